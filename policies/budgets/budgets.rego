# METADATA
# scope: package
# title: Budgets and amounts
# description: |
#   No budget of the run is overdrawn, and no amount leaves above its currency's limits. The
#   broker counts calls and cost by itself; amounts are reserved by an obligation.
#   Not protected from: many small amounts, unless the run has a budget `amount_<currency>`
#   (in lower case, as in `amount_eur`).
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.budgets

import data.wardline.lib

_amounts := [target |
	lib.reaches_out
	some target in lib.targets("amount")
]

# METADATA
# title: No call beyond a spent budget
deny contains {
	"code": "budgets.spent",
	"agent": "A budget of this run is used up. Finish with what you have.",
	"operator": concat("", ["budget ", name, " has nothing left for this call"]),
	"nearest": null,
} if {
	some name, budget in input.context.usage
	is_number(budget.limit)
	budget.used + _cost(name) > budget.limit
}

# METADATA
# title: No amount above the maximum of its currency
deny contains {
	"code": "budgets.amount_above_maximum",
	"agent": "This amount is above what may be moved in one call.",
	"operator": concat("", ["argument ", target.argument, " is above the maximum in tables.budgets"]),
	"nearest": {"argument": target.argument, "currency": target.currency, "minor": limit.maximum},
} if {
	some target in _amounts
	limit := data.wardline.tables.budgets.amounts[target.currency]
	target.minor > limit.maximum
}

# METADATA
# title: No amount of a currency nobody listed
deny contains {
	"code": "budgets.currency_unlisted",
	"agent": "Amounts of this currency may not be moved.",
	"operator": concat("", ["argument ", target.argument, " has no currency in tables.budgets"]),
	"nearest": null,
} if {
	some target in _amounts
	currency := target.currency
	not _currency_listed(currency)
}

# METADATA
# title: An amount above the free one is shown to a person
require_approval contains {
	"code": "budgets.amount_needs_person",
	"agent": "An amount of this size needs a person's approval.",
	"operator": concat("", ["argument ", target.argument, " is above without_person"]),
	"nearest": null,
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some target in _amounts
	limit := data.wardline.tables.budgets.amounts[target.currency]
	target.minor > limit.without_person
}

# METADATA
# title: Amounts are reserved where the run has a budget for them
obligations contains {
	"id": concat("", ["budgets.", name]),
	"type": "budget",
	"properties": {"name": name, "amount": cost},
} if {
	some name in object.keys(input.context.usage)
	startswith(name, "amount_")
	cost := _cost(name)
	cost > 0
}

# The broker has counted this call already.
_cost("calls") := 0

_cost(name) := total if {
	startswith(name, "amount_")
	total := sum([target.minor |
		some target in _amounts
		concat("_", ["amount", lower(target.currency)]) == name
	])
}

# What a call costs is known after it, so something has to be left.
_cost(name) := 1 if {
	name != "calls"
	not startswith(name, "amount_")
}

_currency_listed(currency) if {
	limit := data.wardline.tables.budgets.amounts[currency]
	is_number(limit.maximum)
	is_number(limit.without_person)
}
