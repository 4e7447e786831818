# METADATA
# scope: package
# title: Where control arguments come from
# description: |
#   Control arguments decide where an effect goes. One that comes from untrusted data is denied
#   when it is a free choice, and shown to a person when it can only pick from what operators
#   listed; only a low write inside the workspace passes by itself. Values that the person means
#   need no other allowance at ordinary impact; a genuine value that nothing leads to is shown
#   to a person.
#   Not protected from: a genuine value the person spoke of, used against them, and influence
#   through free text; the plan is what speaks about intent.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.provenance

import data.wardline.lib

# METADATA
# title: A call whose control arguments the person means
allow contains "provenance.meant" if {
	_acts
	count(lib.given_control) > 0
	lib.given_control - lib.covered == set()
}

# METADATA
# title: A confirmation of an effect that was decided before
allow contains "provenance.completes" if {
	_acts
	lib.completes
	count(lib.given_control) == 0
}

# METADATA
# title: Genuine is not meant
# description: |
#   After others were heard, a value that the service vouches for may still be one that they
#   chose: the right address for the wrong mail. Without a plan that declares the call a person
#   sees it.
require_approval contains {
	"code": "provenance.unnamed_control",
	"agent": "The request does not lead to this value, so a person has to approve. Declare a plan first, or look the value up by what was asked for.",
	"operator": concat("", ["control argument ", argument, " is genuine, and nothing the person said leads to it"]),
	"nearest": {"argument": argument, "origin": ["user", "plan"]},
	"values": _origin_values(argument),
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_acts
	not _slight
	not lib.planned
	some argument in lib.given_control
	argument in _vouched
	not argument in lib.meant
	not _bounded(argument)
}

# METADATA
# title: What names nothing is shown to a person
require_approval contains {
	"code": "provenance.nothing_named",
	"agent": "This call names nothing that could be traced to the request, so a person has to approve.",
	"operator": "an effect without any control argument, that no plan declares",
	"nearest": null,
	"values": {"effect": input.action.properties.effect, "impact": input.action.properties.impact},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_acts
	not _slight
	not lib.planned
	not lib.completes
	count(lib.given_control) == 0
}

# Effects of ordinary impact that end with the call.
_acts if {
	input.action.properties.effect in {"write", "send"}
	lib.ordinary_impact
}

# METADATA
# title: No free choice by untrusted data
deny contains {
	"code": "provenance.untrusted_control",
	"agent": "This argument comes from untrusted data. Take it from the request or the plan.",
	"operator": concat("", ["control argument ", argument, " has an untrusted origin"]),
	"nearest": {"argument": argument, "origin": ["user", "plan"]},
	"values": _origin_values(argument),
} if {
	_guarded
	some argument in _untrusted
	not _bounded(argument)
	not argument in lib.presented
	not lib.planned
}

# METADATA
# title: What untrusted data chose through a declared extractor is shown to a person
# description: |
#   A plan that matches such a call was accepted with an extractor for it, before anything
#   untrusted was read. It bounds what the value can be, and not whose it is.
require_approval contains {
	"code": "provenance.untrusted_extracted",
	"agent": "The plan takes this argument from untrusted data, so a person has to approve.",
	"operator": concat("", ["control argument ", argument, " was taken from untrusted data, as the plan says"]),
	"nearest": {"argument": argument, "origin": ["user", "plan"]},
	"values": _origin_values(argument),
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_guarded
	lib.planned
	some argument in _untrusted
	not _bounded(argument)
}

# METADATA
# title: A credential that untrusted data names is shown to a person
# description: |
#   "The password is in the mail": a login with it lets nobody else in, but what follows may be
#   done in somebody else's account. A credential that is set is a free choice, and denied.
require_approval contains {
	"code": "provenance.untrusted_credential",
	"agent": "This credential comes from untrusted data, so a person has to approve.",
	"operator": concat("", ["credential ", argument, " has an untrusted origin"]),
	"nearest": {"argument": argument, "origin": ["user", "plan"]},
	"values": _origin_values(argument),
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_guarded
	some argument in _untrusted
	argument in lib.presented
}

# METADATA
# title: No control argument without a known history
deny contains {
	"code": "provenance.missing",
	"agent": "Where this argument comes from was not recorded, so the call cannot be judged.",
	"operator": concat("", ["control argument ", argument, " has no provenance"]),
	"nearest": null,
	"values": {"argument": argument},
} if {
	_guarded
	some argument in input.resource.properties.control
	_given(argument)
	not argument in _traced
}

# METADATA
# title: A bounded choice by untrusted data is shown to a person
require_approval contains {
	"code": "provenance.untrusted_choice",
	"agent": "This argument was chosen by data that is not trusted, so a person has to approve.",
	"operator": concat("", ["control argument ", argument, " is listed, but of untrusted origin"]),
	"nearest": {"argument": argument, "origin": ["user", "plan"]},
	"values": _origin_values(argument),
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_guarded
	not _slight
	some argument in _untrusted
	_bounded(argument)
	not _small_amount(argument)
}

# METADATA
# title: A value of unknown origin is shown to a person
# description: |
#   The agent made it up or computed it. Honest sums look like this, and so does a paraphrase
#   of an injected address.
require_approval contains {
	"code": "provenance.unknown_control",
	"agent": "Where this argument comes from is not known, so a person has to approve.",
	"operator": concat("", ["control argument ", argument, " has an unknown origin"]),
	"nearest": {"argument": argument, "origin": ["user", "plan"]},
	"values": _origin_values(argument),
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_guarded
	some argument in _unknown
	_given(argument)
	not _passes_alone(argument)
	not _small_amount(argument)
}

# A fetched address carries data out as well as in, so reading from a host is guarded too.
_guarded if input.action.properties.effect != "read"

_guarded if count(lib.targets("host")) > 0

_slight if {
	input.action.properties.effect == "write"
	input.action.properties.impact == "low"
}

_passes_alone(argument) if {
	_slight
	_bounded(argument)
}

# Within the operator's bound, to payees that are known or planned: it may come from anywhere
# but an untrusted text.
_small_amount(argument) if argument in lib.small_amounts

# The argument's name is the pointer's first part (RFC 6901).
_leaves contains [argument, leaf] if {
	_guarded
	some pointer, leaf in input.context.provenance
	argument := split(trim_prefix(pointer, "/"), "/")[0]
}

_control_leaves contains [argument, leaf] if {
	some [argument, leaf] in _leaves
	leaf.control == true
}

_control_leaves contains [argument, leaf] if {
	some [argument, leaf] in _leaves
	argument in input.resource.properties.control
}

_untrusted contains argument if {
	some [argument, leaf] in _control_leaves
	leaf.trusted == false
	leaf.origin != "unknown"
}

_unknown contains argument if {
	some [argument, leaf] in _control_leaves
	leaf.origin == "unknown"
}

# Every leaf is vouched for: none is the business of the rules on untrusted or unknown ones.
_vouched contains argument if {
	some [argument, _] in _control_leaves
	not argument in _untrusted
	not argument in _unknown
}

# Where the argument's values came from: the tools, and the entries of the record. Never the
# values themselves, which may be texts of others.
_origin_values(argument) := {
	"argument": argument,
	"origins": sort({leaf.origin | some [name, leaf] in _control_leaves; name == argument}),
	"sources": sort({leaf.source |
		some [name, leaf] in _control_leaves
		name == argument
		is_string(leaf.source)
	}),
	"entries": sort({leaf.from.entry |
		some [name, leaf] in _control_leaves
		name == argument
		is_object(leaf.from)
		is_number(leaf.from.entry)
	}),
}

_traced contains argument if some [argument, _] in _leaves

_given(argument) if {
	value := input.resource.properties.args[argument]
	not value in {null, [], {}}
}

_bounded(argument) if {
	targets := [target |
		some target in input.resource.properties.targets
		target.argument == argument
	]
	count(targets) > 0
	every target in targets {
		_listed(target)
	}
}

_listed(target) if {
	target.kind == "path"
	lib.path_plain(target)
}

_listed(target) if {
	target.kind == "host"
	lib.host_listed(target)
}

_listed(target) if {
	target.kind == "recipient"
	lib.recipient_listed(target)
}

_listed(target) if {
	target.kind == "amount"
	lib.amount_limited(target)
}
