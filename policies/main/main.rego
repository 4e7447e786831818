# METADATA
# scope: package
# title: The one answer
# description: |
#   Joins what every package of the question asked and every layer under
#   data.wardline.layers says. Deny beats approval beats allow; nothing said means deny.
#   Each question has packages of its own, so what allows a call allows no connection.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.main

import data.wardline.lib

# METADATA
# title: The whole answer to one evaluation request
# description: |
#   The order of the branches is the order of precedence. The first one keeps inputs of
#   unknown form away from the packages, whose denials would not fire on what is undefined.
# entrypoint: true
default response := {
	"decision": false,
	"context": {
		"reasons": [{
			"code": "main.nothing_allows",
			"agent": "No policy allows this. Do it another way, or ask for it to be allowed.",
			"operator": "no package allows it and none asks for an approval",
			"nearest": null,
		}],
		"obligations": [],
		"access_request": null,
		"rules": [],
	},
}

response := _refusal(_faults, _codes(_faults), [], null) if {
	_faults != set()
} else := _refusal(_malformed, _codes(_malformed), [], null) if {
	_malformed != set()
} else := _refusal(_denials, _fired, _evidence, null) if {
	_denials != set()
} else := _refusal(_approvals, _fired, _evidence, _terms) if {
	_permissible
	_approvals != set()
	not _approved
} else := _permit if {
	_permissible
	_approvals != set()
} else := _permit if {
	_allows != set()
}

# That a layer asks for a person does not let what no package allows or asks about.
_permissible if _allows != set()

_permissible if {
	some ["policies", "require_approval", _, said] in _said
	said != set()
}

# A rule of its own, so that terms without a value are none that were met.
_approved if lib.approval_meets(_terms)

_faults := data.wardline.contract.faults

_permit := {
	"decision": true,
	"context": {
		"reasons": [],
		"obligations": _ordered(_obligations, "id"),
		"access_request": null,
		"rules": sort(_fired),
	},
}

_refusal(entries, rules, obligations, access_request) := {
	"decision": false,
	"context": {
		"reasons": _ordered({_reason(entry) | some entry in entries}, "code"),
		"obligations": obligations,
		"access_request": access_request,
		"rules": sort(rules),
	},
}

_reason(entry) := {
	"code": entry.code,
	"agent": entry.agent,
	"operator": entry.operator,
	"nearest": entry.nearest,
}

_ordered(entries, key) := [entry |
	some [_, entry] in sort([[candidate[key], candidate] | some candidate in entries])
]

_codes(entries) := {entry.code | some entry in entries}

_fired := _codes(_denials | _approvals) | _allows

# What packages and layers say, read once: [source, rule, package, what the rule holds]. A rule
# that did not fire says nothing, and most do not.

# Bound once: an engine that finds `data.wardline.policies[name]` in four rules evaluates every
# package four times. And bound after the question is known: those of others are not evaluated.
_packages := data.wardline.policies if {
	_is_call
} else := data.wardline.egress if {
	input.action.name == "egress/connect"
} else := data.wardline.effects if {
	input.action.name == "effects/commit"
}

_is_call if input.action.name == "tools/call"

_layers := data.wardline.layers

_said contains ["policies", "allow", name, said] if {
	said := _packages[name].allow
	said != set()
}

_said contains ["policies", "deny", name, said] if {
	said := _packages[name].deny
	said != set()
}

_said contains ["policies", "require_approval", name, said] if {
	said := _packages[name].require_approval
	said != set()
}

_said contains ["policies", "obligations", name, said] if {
	said := _packages[name].obligations
	said != set()
}

_said contains ["layers", "allow", name, said] if {
	said := _layers[name].allow
	said != set()
}

_said contains ["layers", "deny", name, said] if {
	said := _layers[name].deny
	said != set()
}

_said contains ["layers", "require_approval", name, said] if {
	said := _layers[name].require_approval
	said != set()
}

_said contains ["layers", "obligations", name, said] if {
	said := _layers[name].obligations
	said != set()
}

# Only packages allow: a layer narrows. Which calls it allows says nothing about what a call
# that may run then reaches or changes; there it narrows by what it denies or asks for.
_allows contains code if {
	some ["policies", "allow", _, said] in _said
	is_set(said)
	some code in said
}

_denials contains entry if {
	some [_, "deny", _, said] in _said
	is_set(said)
	some entry in said
}

_denials contains {
	"code": "main.layer_silent",
	"agent": "A layer of policy that has to allow this call does not.",
	"operator": concat("", ["layer ", layer, " has allow rules and none of them fired"]),
	"nearest": null,
} if {
	_is_call
	some layer
	_layers[layer].allow == set()
}

_denials contains {
	"code": "main.no_common_approvers",
	"agent": "This needs a person's approval, and nobody may give it. Use another way.",
	"operator": "the demanded approver groups have none in common, or tables.approval names none",
	"nearest": null,
} if {
	_approvals != set()
	_common_approvers == set()
}

_approvals contains entry if {
	some [_, "require_approval", _, said] in _said
	is_set(said)
	some entry in said
}

_obligations contains entry if {
	some [source, "obligations", _, said] in _said
	is_set(said)
	some entry in said
	_owed(source, entry)
}

# The obligations of a layer are about running a call, except how an answer is recorded.
_owed(source, _) if source == "policies"

_owed(_, _) if _is_call

_owed(_, entry) if entry.type == "evidence"

# How an answer is recorded is owed for refusals too; other obligations only make sense for a run.
_evidence := _ordered({entry | some entry in _obligations; entry.type == "evidence"}, "id")

# Joined terms: each entry can only make them harder to meet.

_common_approvers := intersection({_approvers(entry) | some entry in _approvals})

_approvers(entry) := {group | some group in entry.terms.approvers}

_terms := {
	"approvers": sort(_common_approvers),
	"quorum": max([entry.terms.quorum | some entry in _approvals]),
	"expires_in_seconds": min([entry.terms.expires_in_seconds | some entry in _approvals]),
	"separation_of_duties": true in {entry.terms.separation_of_duties | some entry in _approvals},
}

# A rule of another form than the contract's says nothing that can be trusted, so it is no
# silence: every call is denied until its author mends it.

_malformed contains {
	"code": "main.rule_malformed",
	"agent": "A policy is not written as the contract asks, so nothing can be allowed.",
	"operator": concat("", ["rule ", rule, " of ", name, " is no set of well-formed entries"]),
	"nearest": null,
} if {
	some [_, rule, name, said] in _said
	not _well_formed(rule, said)
}

_well_formed(rule, said) if {
	is_set(said)
	every entry in said {
		_entry_formed(rule, entry)
	}
}

_entry_formed("allow", entry) if is_string(entry)

_entry_formed("deny", entry) if {
	is_object(entry)
	object.keys(entry) == {"code", "agent", "operator", "nearest"}
	_voices(entry)
}

_entry_formed("require_approval", entry) if {
	is_object(entry)
	object.keys(entry) == {"code", "agent", "operator", "nearest", "terms"}
	_voices(entry)
	_terms_formed(entry.terms)
}

_entry_formed("obligations", entry) if {
	is_object(entry)
	object.keys(entry) == {"id", "type", "properties"}
	is_string(entry.id)
	is_string(entry.type)
	is_object(entry.properties)
}

_voices(entry) if {
	is_string(entry.code)
	is_string(entry.agent)
	is_string(entry.operator)
}

_terms_formed(terms) if terms == null

_terms_formed(terms) if {
	is_object(terms)
	object.keys(terms) == {"approvers", "quorum", "expires_in_seconds", "separation_of_duties"}
	is_array(terms.approvers)
	every group in terms.approvers {
		is_string(group)
	}
	is_number(terms.quorum)
	terms.quorum >= 1
	is_number(terms.expires_in_seconds)
	terms.expires_in_seconds >= 1
	is_boolean(terms.separation_of_duties)
}
