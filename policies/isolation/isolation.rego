# METADATA
# scope: package
# title: Isolation
# description: |
#   What a tool declares and what its risk tier (effect and impact) needs is what it gets, or
#   it does not run. The boundary is never weakened to what happens to be there.
#   Not protected from: a boundary with a hole; see what each backend says of itself.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.isolation

import data.wardline.lib

# METADATA
# title: Code of ordinary impact, in a sandbox
# description: Commands are the business of the package shell.
allow contains "isolation.sandboxed" if {
	input.action.properties.effect == "execute"
	lib.ordinary_impact
	count(lib.targets("command")) == 0
	_needed != "none"
}

# METADATA
# title: No boundary, no run
deny contains {
	"code": "isolation.unavailable",
	"agent": "The isolation this call needs is not available here. Do it another way.",
	"operator": concat("", ["needs isolation ", _needed, "; see `wardline doctor`"]),
	"nearest": null,
	"values": {"needed": _needed, "available": input.context.environment.isolation},
} if {
	_needed != "none"
	not lib.isolation_available(_needed)
}

# METADATA
# title: What an earlier call left in a sandbox decides nothing of weight
# description: |
#   The calls of a stateful tool share an interpreter with whatever earlier ones fed it. A person
#   who approves such a call cannot see what will run.
deny contains {
	"code": "isolation.stateful",
	"agent": "This tool shares its sandbox with earlier calls, which no call of this impact may.",
	"operator": "declare the tool stateful=False, or of low or medium impact",
	"nearest": null,
	"values": {"stateful": true, "impact": input.action.properties.impact},
} if {
	input.resource.properties.stateful == true
	not lib.ordinary_impact
}

# METADATA
# title: The sandbox
obligations contains {
	"id": "isolation.sandbox",
	"type": "sandbox",
	"properties": {"isolation": _needed, "profile": null},
} if {
	_needed != "none"
}

_declared := input.resource.properties.isolation

# The stronger of what is declared and what the table says this tier needs.
_needed := _declared if {
	lib.isolation_rank[_declared] >= lib.isolation_rank[_minimum]
} else := _minimum if {
	lib.isolation_rank[_declared] < lib.isolation_rank[_minimum]
}

# A table that says nothing, or a word that is no boundary, asks for the strongest.
default _minimum := "kernel"

_minimum := boundary if {
	tier := data.wardline.tables.isolation.minimum[input.action.properties.effect]
	boundary := tier[input.action.properties.impact]
	lib.isolation_rank[boundary] >= 0
}
