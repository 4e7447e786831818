# METADATA
# scope: package
# title: Budgets and amounts
# description: |
#   No budget of the run is overdrawn, and no amount leaves above its currency's limits. The
#   broker counts calls and cost by itself; amounts are reserved by an obligation.
#   Amounts of a call count together, and so do those of a run: by its budget
#   `amount_<currency>` (in lower case, as in `amount_eur`), or by what the table lets pass.
#   Not protected from: many small amounts in many runs.
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
	"values": {"budget": name, "used": budget.used, "cost": _cost(name), "limit": budget.limit},
} if {
	some name, budget in input.context.usage
	is_number(budget.limit)
	budget.used + _cost(name) > budget.limit
}

# METADATA
# title: No call that moves more than the maximum of a currency
# description: All amounts of a call count together, in one list or in several arguments.
deny contains {
	"code": "budgets.amount_above_maximum",
	"agent": "This amount is above what may be moved in one call.",
	"operator": concat("", ["argument ", target.argument, ", with all amounts of its currency, is above the maximum in tables.budgets"]),
	"nearest": {"argument": target.argument, "currency": target.currency, "minor": limit.maximum},
	"values": _amount_values(target, limit.maximum),
} if {
	some target in _amounts
	limit := data.wardline.tables.budgets.amounts[target.currency]
	_total(target.currency) > limit.maximum
}

# METADATA
# title: No amount of a currency nobody listed
deny contains {
	"code": "budgets.currency_unlisted",
	"agent": "Amounts of this currency may not be moved.",
	"operator": concat("", ["argument ", target.argument, " has no currency in tables.budgets"]),
	"nearest": null,
	"values": {"argument": target.argument, "currency": target.currency, "amount": target.minor},
} if {
	some target in _amounts
	currency := target.currency
	not _currency_listed(currency)
}

# METADATA
# title: An amount above the free one is shown to a person
# description: |
#   But for one that the person means, as they mean the payee, up to `said_without_person`
#   (without it `without_person`); and for a small one to a payee that is known or planned.
require_approval contains {
	"code": "budgets.amount_needs_person",
	"agent": "An amount of this size needs a person's approval.",
	"operator": concat("", ["argument ", target.argument, ", with all amounts of its currency, is above without_person"]),
	"nearest": null,
	"values": _amount_values(target, limit.without_person),
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some target in _amounts
	limit := data.wardline.tables.budgets.amounts[target.currency]
	_total(target.currency) > limit.without_person
	currency := target.currency
	not _meant(limit, currency)
	amount := target.argument
	not amount in lib.small_amounts
}

# Everything that decides where it goes, and how much, is what the person means: asking them
# again teaches them not to read.
_meant(limit, currency) if {
	lib.ordinary_impact
	_total(currency) <= object.get(limit, "said_without_person", limit.without_person)
	count(lib.given_control) > 0
	lib.given_control - lib.meant == set()
}

# METADATA
# title: Many small amounts are shown to a person
# description: |
#   What a run moves without a person adds up to `run_without_person`, or to `without_person`
#   where the table does not name it. Amounts of budgets with a limit are the budget's business.
require_approval contains {
	"code": "budgets.run_needs_person",
	"agent": "Together with what this run has moved before, this needs a person's approval.",
	"operator": concat("", ["amounts of the run in ", target.currency, " add up to more than nobody is asked for"]),
	"nearest": null,
	"values": object.union(_amount_values(target, _free_in_run(limit)), {"used": budget.used}),
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some target in _amounts
	limit := data.wardline.tables.budgets.amounts[target.currency]
	budget := input.context.usage[concat("_", ["amount", lower(target.currency)])]
	budget.limit == null
	budget.used > 0
	budget.used + _total(target.currency) > _free_in_run(limit)
	currency := target.currency
	not _meant(limit, currency)
	amount := target.argument
	not amount in lib.small_amounts
}

# METADATA
# title: A call that names no amount is shown to a person
require_approval contains {
	"code": "budgets.no_amount",
	"agent": "This call names no amount, so a person has to approve. Name how much it moves.",
	"operator": "the tool takes an amount, and the call has null or nothing in its place",
	"nearest": null,
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	lib.unnamed("amount")
	not lib.planned
}

# METADATA
# title: A tool that reads moves no amount
deny contains {
	"code": "budgets.effect_understated",
	"agent": "This tool is declared to read and names an amount, so it cannot be used.",
	"operator": concat("", ["argument ", target.argument, " is an amount under effect read"]),
	"nearest": null,
	"values": {"argument": target.argument, "currency": target.currency, "amount": target.minor, "effect": "read"},
} if {
	input.action.properties.effect == "read"
	some target in lib.targets("amount")
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
	is_number(input.context.usage[name].limit)
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

_total(currency) := sum([target.minor | some target in _amounts; target.currency == currency])

# What is compared: all amounts of a currency together, in its smallest unit.
_amount_values(target, limit) := {
	"argument": target.argument,
	"currency": target.currency,
	"amount": _total(target.currency),
	"limit": limit,
}

_free_in_run(limit) := object.get(limit, "run_without_person", limit.without_person)

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
