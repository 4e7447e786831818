# METADATA
# scope: package
# title: The declared plan
# description: |
#   A call of ordinary impact that the plan declares, with control arguments that somebody
#   vouches for, needs no other allowance. A read its scope covers is left to the other packages,
#   and the session is labelled. Every other deviation is shown to a person, with what differs;
#   so nothing can be done less with a plan than without one.
#   Not protected from: a plan made after untrusted data was read, which the verifier refuses.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.plan

import data.wardline.lib

_plan := input.context.plan

# METADATA
# title: A planned call whose control arguments are vouched for
allow contains "plan.step" if {
	lib.planned
	input.action.properties.effect in {"write", "send"}
	lib.ordinary_impact
	lib.given_control - lib.covered == set()
}

# METADATA
# title: A run that needs a plan has one
deny contains {
	"code": "plan.missing",
	"agent": "This run needs a plan before its first call. Declare one.",
	"operator": "plan.required is true and no plan is declared",
	"nearest": null,
	"values": {"required": true, "verdict": null},
} if {
	_plan.required == true
	_plan.verdict == null
}

# METADATA
# title: What departs from the plan is shown to a person, but reads in its scope
require_approval contains {
	"code": concat("", ["plan.", verdict]),
	"agent": text,
	"operator": concat("", ["plan verdict ", verdict]),
	"nearest": {"deviation": _plan.detail},
	"values": {"verdict": verdict, "step": object.get(_plan, "step", null)},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	verdict := _plan.verdict
	text := _deviations[verdict]
	not _read_in_scope
	not _completes
}

_deviations := {
	"undeclared": "The plan has no step for this call, so a person has to approve it, or an amended plan.",
	"exhausted": "The plan's step for this call is used up, so a person has to approve one more.",
	"not_ready": "A step this one builds on has not run yet. Run that one first, or have a person approve.",
	"mismatch": "An argument is not what the plan says. Call with the planned one, or have a person approve.",
	"expired": "The plan has expired. Declare it again, or have a person approve.",
}

# What a step began may be completed: the plan that declares the order means its confirmation.
_completes if {
	_plan.verdict == "undeclared"
	lib.completes
}

# METADATA
# title: A read outside of the plan marks the session
obligations contains {
	"id": "plan.label",
	"type": "label",
	"properties": {"add": ["plan.deviated"]},
} if {
	_read_in_scope
}

_read_in_scope if {
	input.action.properties.effect == "read"
	_plan.scope_read == true
	_plan.verdict in {"undeclared", "exhausted", "not_ready", "mismatch"}
}
