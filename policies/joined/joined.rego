# METADATA
# scope: package
# title: What packages and layers say
# description: |
#   Joins what every package of the question asked and every layer under
#   data.wardline.layers says. Each question has packages of its own, so what allows a call
#   allows no connection.
#   When policies are loaded, the rules of the packages are put in the place of this one
#   (`permissions.pdp.linker`), which decides the same and evaluates less.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.joined

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

# METADATA
# title: What packages allow
# description: |
#   Only packages allow: a layer narrows. Which calls it allows says nothing about what a call
#   that may run then reaches or changes; there it narrows by what it denies or asks for.
allows contains code if {
	some ["policies", "allow", _, said] in _said
	is_set(said)
	some code in said
}

# METADATA
# title: What packages and layers deny
denials contains entry if {
	some [_, "deny", _, said] in _said
	is_set(said)
	some entry in said
}

denials contains _silent(layer) if {
	_is_call
	some layer
	_layers[layer].allow == set()
}

_silent(layer) := {
	"code": "main.layer_silent",
	"agent": "A layer of policy that has to allow this call does not.",
	"operator": concat("", ["layer ", layer, " has allow rules and none of them fired"]),
	"nearest": null,
}

# METADATA
# title: What packages and layers want a person to approve
approvals contains entry if {
	some [_, "require_approval", _, said] in _said
	is_set(said)
	some entry in said
}

# METADATA
# title: What packages and layers oblige to
obligations contains entry if {
	some [source, "obligations", _, said] in _said
	is_set(said)
	some entry in said
	_owed(source, entry)
}

# METADATA
# title: A package asks for a person
# description: |
#   That a layer does so does not let what no package allows or asks about.
asked if {
	some ["policies", "require_approval", _, said] in _said
	said != set()
}

# The obligations of a layer are about running a call, except how an answer is recorded.
_owed(source, _) if source == "policies"

_owed(_, _) if _is_call

_owed(_, entry) if entry.type == "evidence"

# METADATA
# title: Rules of another form than the contract's
# description: |
#   Such a rule says nothing that can be trusted, so it is no silence: every call is denied until
#   its author mends it.
malformed contains {
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
	object.keys(entry) - {"values"} == {"code", "agent", "operator", "nearest"}
	_voices(entry)
}

_entry_formed("require_approval", entry) if {
	is_object(entry)
	object.keys(entry) - {"values"} == {"code", "agent", "operator", "nearest", "terms"}
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
	is_object(object.get(entry, "values", {}))
}

_terms_formed(terms) if terms == null

_terms_formed(terms) if {
	is_object(terms)
	object.keys(terms) == {"approvers", "quorum", "expires_in_seconds", "separation_of_duties"}
	_people_formed(terms)
	_time_formed(terms)
}

_terms_formed(terms) if {
	is_object(terms)
	object.keys(terms) == {"stages", "expires_in_seconds", "separation_of_duties"}
	is_array(terms.stages)
	count(terms.stages) in {2, 3, 4, 5}
	every stage in terms.stages {
		object.keys(stage) == {"approvers", "quorum"}
		_people_formed(stage)
	}
	_time_formed(terms)
}

_people_formed(terms) if {
	is_array(terms.approvers)
	every group in terms.approvers {
		is_string(group)
	}
	is_number(terms.quorum)
	terms.quorum >= 1
}

_time_formed(terms) if {
	is_number(terms.expires_in_seconds)
	terms.expires_in_seconds >= 1
	is_boolean(terms.separation_of_duties)
}
