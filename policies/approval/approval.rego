# METADATA
# scope: package
# title: Approvals
# description: |
#   Who may approve stands in tables.approval; whether an approval meets what policies ask for
#   is checked in main. An approval for something else is no approval at all.
#   Not protected from: approvers who do not read what they approve.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.approval

_approval := input.context.approval

# METADATA
# title: No approval of other arguments
deny contains {
	"code": "approval.other_arguments",
	"agent": "The approval is for other arguments. Ask for one for exactly this call.",
	"operator": "approval.args_digest is not the digest of this call's arguments",
	"nearest": null,
	"values": {"approved": _approval.args_digest, "asked": input.resource.properties.args_digest},
} if {
	_approval.args_digest != input.resource.properties.args_digest
}

# METADATA
# title: Nothing remembered where a person is to be asked each time
deny contains {
	"code": "approval.always_ask",
	"agent": "A person is asked about this kind of call each time.",
	"operator": concat("", ["tables.approval.always_ask lists effect ", input.action.properties.effect]),
	"nearest": null,
	"values": {"effect": input.action.properties.effect, "impact": input.action.properties.impact},
} if {
	startswith(_approval.id, "grant-")
	not _may_be_remembered
}

_may_be_remembered if {
	is_array(data.wardline.tables.approval.always_ask)
	not _always_asked
}

_always_asked if {
	some kept in data.wardline.tables.approval.always_ask
	kept.effect == input.action.properties.effect
	kept.impact == input.action.properties.impact
}

# METADATA
# title: Nothing that an operator keeps from being approved
deny contains {
	"code": "approval.never",
	"agent": "This kind of call is not done here, also not with an approval.",
	"operator": concat("", ["tables.approval.never lists effect ", input.action.properties.effect]),
	"nearest": null,
	"values": {"effect": kept.effect, "impact": kept.impact},
} if {
	some kept in data.wardline.tables.approval.never
	kept.effect == input.action.properties.effect
	kept.impact == input.action.properties.impact
}
