# METADATA
# scope: package
# title: What detectors found in what leaves
# description: |
#   A secret that an earlier result held does not leave; any other is shown to a person first, and
#   so is personal data in free text, where the table `detection` names that detector. In an
#   argument that takes a credential (`SecretArg`) it is in its place: what the person means passes,
#   and any other is shown to a person. A call whose arguments were not looked at is refused.
#   Not protected from: what detectors miss (docs/explanation/detection.md has rates), and what a
#   tool sends that is not in its arguments.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.detection

import data.wardline.lib

# METADATA
# title: A secret that was read does not leave
deny contains {
	"code": "detection.secret_read_leaves",
	"agent": "This text holds a secret that an earlier result held, so it cannot be sent. Leave it out, or let an operator configure it as a secret handle.",
	"operator": concat("", [found.kind, " at ", found.pointer, " was read by ", found.from.call]),
	"nearest": {"argument": _argument(found.pointer), "without": [found.kind]},
	"values": {"pointer": found.pointer, "kind": found.kind, "call": found.from.call},
} if {
	_leaves
	some found in _secrets
	is_object(found.from)
	argument := _argument(found.pointer)
	not argument in lib.credential
}

# METADATA
# title: A secret of unknown origin does not leave once some were read
# description: |
#   After a restart nobody knows any more which values were read; that some were stays known.
deny contains {
	"code": "detection.secret_leaves_after_reading",
	"agent": "Secrets were read in this run, and this text holds one that nobody gave you. Leave it out.",
	"operator": concat("", [found.kind, " at ", found.pointer, " is neither the person's nor the plan's"]),
	"nearest": {"argument": _argument(found.pointer), "without": [found.kind]},
	"values": {"pointer": found.pointer, "kind": found.kind},
} if {
	_leaves
	"secrets_read" in input.context.labels
	some found in _secrets
	found.from == null
	pointer := found.pointer
	not pointer in _said
	argument := _argument(pointer)
	not argument in lib.credential
}

# METADATA
# title: Any other secret that leaves is shown to a person
require_approval contains {
	"code": "detection.secret_leaves",
	"agent": "This text holds what looks like a secret, so a person has to approve. Leave it out, if it is not needed.",
	"operator": concat("", [found.kind, " at ", found.pointer]),
	"nearest": {"argument": _argument(found.pointer), "without": [found.kind]},
	"values": {"pointer": found.pointer, "kind": found.kind},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_leaves
	some found in _secrets
	argument := _argument(found.pointer)
	not argument in _meant_credential
}

# METADATA
# title: Personal data in free text is shown to a person
# description: |
#   Who receives something, and which account is paid, is the business of other packages.
require_approval contains {
	"code": "detection.personal_leaves",
	"agent": "This text holds personal data, so a person has to approve. Leave it out, if it is not needed.",
	"operator": concat("", [found.kind, " at ", found.pointer]),
	"nearest": {"argument": _argument(found.pointer), "without": [found.kind]},
	"values": {"pointer": found.pointer, "kind": found.kind},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_leaves
	some found in _personal
	argument := _argument(found.pointer)
	not argument in _control
}

# METADATA
# title: Every detector has looked
deny contains {
	"code": "detection.missing",
	"agent": "The arguments of this call were not looked through, so it cannot be judged.",
	"operator": concat("", ["tables.detection names ", name, ", and it did not look"]),
	"nearest": null,
} if {
	input.action.name == "tools/call"
	some name in data.wardline.tables.detection.outgoing
	not name in _looked_at
}

# Whatever has an effect on others, and whatever is fetched, which carries its address out.
_leaves if lib.reaches_out

_leaves if count(lib.targets("host")) > 0

# Of those that the table names: a trial looks with every detector there is.
_secrets contains found if {
	"secrets" in data.wardline.tables.detection.outgoing
	some found in input.context.detected.secrets
}

_personal contains found if {
	"personal" in data.wardline.tables.detection.outgoing
	some found in input.context.detected.personal
}

_said contains pointer if {
	some pointer, leaf in input.context.provenance
	leaf.origin in {"user", "plan"}
}

_meant_credential contains argument if {
	some argument in lib.credential
	argument in lib.meant
}

_control contains argument if some argument in input.resource.properties.control

_looked_at contains name if {
	some name, found in input.context.detected
	is_array(found)
}

_argument(pointer) := split(trim_prefix(pointer, "/"), "/")[0]
