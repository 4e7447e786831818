# METADATA
# scope: package
# title: Impact
# description: |
#   The more a call can break, the more people have to agree; how a call is recorded follows
#   the same scale.
#   Not protected from: a tool whose developer declared too low an impact.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.impact

import data.wardline.lib

_effect := input.action.properties.effect

_impact := input.action.properties.impact

# METADATA
# title: What needs no other allowance
# description: The table says for each effect at which impact; shipped are reads and low writes.
allow contains "impact.ordinary" if {
	lib.ordinary_impact
	_effect in {"read", "write"}
	_impact in data.wardline.tables.impact.ordinary[_effect]
}

# METADATA
# title: High impact needs a person
require_approval contains {
	"code": "impact.needs_person",
	"agent": "A call of high impact needs a person's approval.",
	"operator": concat("", ["impact=high effect=", _effect]),
	"nearest": null,
	"values": {"impact": _impact, "effect": _effect},
	"terms": lib.approval_terms("high"),
} if {
	_impact == "high"
}

# METADATA
# title: Critical impact needs two people, and not the one who asks
require_approval contains {
	"code": "impact.needs_two",
	"agent": "A call of critical impact needs the approval of two other people.",
	"operator": concat("", ["impact=critical effect=", _effect]),
	"nearest": null,
	"values": {"impact": _impact, "effect": _effect},
	"terms": lib.two_people(lib.approval_terms("critical")),
} if {
	_impact == "critical"
}

# METADATA
# title: What cannot be undone needs a person
# description: |
#   But for planned calls of ordinary impact on records that the person said, or led to.
require_approval contains {
	"code": "impact.irreversible",
	"agent": "What cannot be undone needs a person's approval.",
	"operator": concat("", ["effect=irreversible impact=", _impact]),
	"nearest": null,
	"values": {"impact": _impact, "effect": _effect},
	"terms": lib.approval_terms(_impact),
} if {
	_effect == "irreversible"
	not _planned_and_named
}

_planned_and_named if {
	lib.planned
	lib.ordinary_impact
	count(lib.given_control) > 0
	lib.given_control - lib.named == set()
}

# METADATA
# title: What cannot be undone, planned, of records that the person named
allow contains "impact.named" if {
	_effect == "irreversible"
	_planned_and_named
}

# METADATA
# title: The record of anything but ordinary reads and low writes is durable
obligations contains {
	"id": "impact.evidence",
	"type": "evidence",
	"properties": {"level": "durable"},
} if {
	not _slight
}

_slight if {
	_effect == "read"
	lib.ordinary_impact
}

_slight if {
	_effect == "write"
	_impact == "low"
}
