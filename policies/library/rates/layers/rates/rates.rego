# METADATA
# scope: package
# title: Rates and budgets
# description: |
#   How often: calls of an effect within a window of time, the same tool again and again, calls that keep
#   failing, and a budget that is nearly spent.
#   Counted are the last calls of the run that began, at most 20.
#   Not protected from: more runs than one, and what a tool does many times in one call.
# related_resources:
#   - ref: docs/reference/library/rates.md
# custom:
#   denies: "more sends in a minute, or the same tool more often in a row, than you let"
#   asks: "calls after a row of failures, and those that use the rest of a budget"
#   needs: "nothing; budgets where a share of them is to be kept"
package wardline.layers.rates

import data.wardline.lib

_table := data.wardline.tables.rates

_history := input.context.history if input.action.name == "tools/call"

# METADATA
# title: The same tool again and again is a loop
deny contains {
	"code": "rates.repeats",
	"agent": "This tool was called too often in a row. Use what it gave, or stop and report.",
	"operator": concat("", [input.resource.id, " ran as often in a row as tables.rates.most_in_a_row"]),
	"nearest": null,
	"values": {"tool": input.resource.id, "limit": _table.most_in_a_row},
} if {
	_table.most_in_a_row > 0
	count(_history) >= _table.most_in_a_row
	last := array.slice(_history, count(_history) - _table.most_in_a_row, count(_history))
	every call in last {
		call.tool == input.resource.id
	}
}

# METADATA
# title: So many within a while, and no more
deny contains {
	"code": "rates.too_many",
	"agent": "Calls of this kind came too fast. Wait, or do more with each one.",
	"operator": concat("", ["tables.rates.window_calls calls of ", input.action.properties.effect, " began in the window"]),
	"nearest": null,
	"values": {"calls": count(_recent), "limit": _table.window_calls, "seconds": _table.window_seconds},
} if {
	_table.window_calls > 0
	input.action.properties.effect in _table.window_effects
	count(_recent) >= _table.window_calls
}

_recent := [call |
	some call in _history
	call.effect in _table.window_effects
	call.time > input.context.time - (_table.window_seconds * 1000000)
]

# METADATA
# title: After a row of failures a person looks
require_approval contains {
	"code": "rates.failures",
	"agent": "The last calls failed, so a person has to approve. Report what does not work.",
	"operator": "as many calls in a row failed as tables.rates.failures_in_a_row",
	"nearest": null,
	"values": {"tool": input.resource.id, "limit": _table.failures_in_a_row},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_table.failures_in_a_row > 0
	count(_history) >= _table.failures_in_a_row
	last := array.slice(_history, count(_history) - _table.failures_in_a_row, count(_history))
	every call in last {
		ended := call.outcome
		not ended in {"ok", "discarded", "running"}
	}
}

# METADATA
# title: The rest of a budget is a person's to give
require_approval contains {
	"code": "rates.nearly_spent",
	"agent": "A budget is nearly spent, so a person has to approve. Report what is done so far.",
	"operator": concat("", ["more of the budget ", name, " is used than tables.rates.budget_percent"]),
	"nearest": null,
	"values": {"budget": name, "used": budget.used, "limit": budget.limit},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	input.action.name == "tools/call"
	input.action.properties.effect in _table.budget_effects
	some name, budget in input.context.usage
	is_number(budget.limit)
	budget.used * 100 > budget.limit * _table.budget_percent
}
