# METADATA
# scope: package
# title: Recipients
# description: |
#   What leaves for a listed recipient is fine at ordinary impact, and so is what leaves for one
#   that the person means; any other recipient is shown to a person first, and so is text that
#   carries addresses of others. A recipient taken from untrusted data is the business of the
#   package provenance, which denies it unless it is listed.
#   Not protected from: harmful words to the right recipient, and an address in another spelling.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.messaging

import data.wardline.lib

_recipients := lib.targets("recipient")

# METADATA
# title: Sending to listed recipients
allow contains "messaging.listed_recipients" if {
	input.action.properties.effect == "send"
	lib.ordinary_impact
	count(_recipients) > 0
	every target in _recipients {
		lib.recipient_listed(target)
	}
}

# METADATA
# title: Drafts that reach nobody
allow contains "messaging.draft" if {
	input.action.properties.effect == "write"
	input.action.properties.impact == "low"
	count(_recipients) > 0
}

# METADATA
# title: A recipient nobody listed is shown to a person
require_approval contains {
	"code": "messaging.unlisted_recipient",
	"agent": "This recipient is not on the list, so a person has to approve the call.",
	"operator": concat("", ["argument ", target.argument, " is not in tables.messaging"]),
	"nearest": null,
	"values": _recipient_values(target),
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	lib.reaches_out
	some target in _recipients
	not lib.recipient_listed(target)
	argument := target.argument
	not argument in lib.meant
}

# METADATA
# title: Text that carries somebody else's address is shown to a person
# description: |
#   A link, a mail address, an account or a phone number that was first seen in untrusted text:
#   whoever wrote that text would speak through this call.
require_approval contains {
	"code": "messaging.carries_untrusted",
	"agent": "This text carries an address from data that is not trusted, so a person has to approve.",
	"operator": concat("", ["text at ", pointer, " carries from an untrusted output: ", concat(", ", leaf.carries)]),
	"nearest": {"argument": split(trim_prefix(pointer, "/"), "/")[0], "without": leaf.carries},
	"values": {"pointer": pointer, "carries": leaf.carries},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	lib.reaches_out
	some pointer, leaf in input.context.provenance
	count(leaf.carries) > 0
}

# METADATA
# title: A call that names no recipient is shown to a person
require_approval contains {
	"code": "messaging.no_recipient",
	"agent": "This call names no recipient, so a person has to approve. Name who receives it.",
	"operator": "the tool takes a recipient, and the call has null or nothing in its place",
	"nearest": null,
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	lib.unnamed("recipient")
	not lib.planned
}

# METADATA
# title: A tool that reads names no recipient
deny contains {
	"code": "messaging.effect_understated",
	"agent": "This tool is declared to read and names a recipient, so it cannot be used.",
	"operator": concat("", ["argument ", target.argument, " is a recipient under effect read"]),
	"nearest": null,
	"values": object.union(_recipient_values(target), {"effect": "read"}),
} if {
	input.action.properties.effect == "read"
	some target in _recipients
}

_recipient_values(target) := {
	"argument": target.argument,
	"scheme": target.scheme,
	"recipient": target.address,
}
