# METADATA
# scope: package
# title: The declared plan
# description: |
#   A plan that is there binds. A read its scope covers is left to the other packages, and the
#   session is labelled; every other deviation is denied and says how to go on. A plan never
#   allows: each of its steps needs an allowing package like any call.
#   Not protected from: a plan made after untrusted data was read, which the verifier refuses.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.plan

_plan := input.context.plan

# METADATA
# title: A run that needs a plan has one
deny contains {
	"code": "plan.missing",
	"agent": "This run needs a plan before its first call. Declare one.",
	"operator": "plan.required is true and no plan is declared",
	"nearest": null,
} if {
	_plan.required == true
	_plan.verdict == null
}

# METADATA
# title: Nothing that departs from the plan, but reads in its scope
deny contains {
	"code": concat("", ["plan.", verdict]),
	"agent": text,
	"operator": concat("", ["plan verdict ", verdict]),
	"nearest": null,
} if {
	verdict := _plan.verdict
	text := _deviations[verdict]
	not _read_in_scope
}

_deviations := {
	"undeclared": "The plan has no step for this call. Ask to amend the plan, or leave it.",
	"exhausted": "The plan's step for this call is used up. Ask to amend the plan.",
	"not_ready": "A step this one builds on has not run yet. Run that one first.",
	"mismatch": "An argument is not what the plan says. Call with the planned arguments.",
	"expired": "The plan has expired. Declare it again.",
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
