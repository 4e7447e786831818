package wardline.policies.budgets_test

import data.wardline.fixture_test as fixture
import data.wardline.policies.budgets

_tables := {
	"budgets": {"amounts": {"EUR": {"without_person": 100, "maximum": 1000}}},
	"approval": {"terms": {"low": fixture.terms, "medium": fixture.terms}},
}

_used(usage) := object.union(fixture.base, {"context": {"usage": usage}})

_sends(amounts, usage) := object.union(
	fixture.call("send", "medium", amounts),
	{"context": {"usage": usage}},
)

_denied(document) := fixture.codes(entries) if {
	entries := budgets.deny with input as document with data.wardline.tables as _tables
}

_asked(document) := fixture.codes(entries) if {
	entries := budgets.require_approval with input as document with data.wardline.tables as _tables
}

test_allowed_up_to_the_last_call if {
	_denied(_used({"calls": {"used": 50, "limit": 50}})) == set()
	_denied(_used({"calls": {"used": 51, "limit": 50}})) == {"budgets.spent"}
	_denied(_used({"calls": {"used": 51, "limit": null}})) == set()
}

test_a_cost_budget_needs_something_left if {
	_denied(_used({"cost": {"used": 9, "limit": 10}})) == set()
	_denied(_used({"cost": {"used": 10, "limit": 10}})) == {"budgets.spent"}
}

test_amounts_below_the_free_one_pass if {
	document := _sends([fixture.amount("EUR", 100)], {})
	_denied(document) == set()
	_asked(document) == set()
}

test_amounts_above_the_free_one_need_a_person if {
	document := _sends([fixture.amount("EUR", 101)], {})
	_denied(document) == set()
	_asked(document) == {"budgets.amount_needs_person"}
}

test_amounts_above_the_maximum_are_denied_with_the_nearest if {
	document := _sends([fixture.amount("EUR", 1001)], {})
	denied := budgets.deny with input as document with data.wardline.tables as _tables
	{entry.nearest | some entry in denied} == {{"argument": "amount", "currency": "EUR", "minor": 1000}}
}

test_unlisted_currencies_are_denied if {
	_denied(_sends([fixture.amount("XTS", 1)], {})) == {"budgets.currency_unlisted"}
	broken := budgets.deny with input as _sends([fixture.amount("EUR", 1)], {})
		with data.wardline.tables as {"budgets": {"amounts": {"EUR": {"maximum": 10}}}}
	fixture.codes(broken) == {"budgets.currency_unlisted"}
}

test_a_draft_moves_nothing if {
	draft := fixture.call("write", "low", [fixture.amount("XTS", 1)])
	_denied(draft) == set()
}

test_amount_budgets_add_up_and_are_reserved if {
	two := [fixture.amount("EUR", 60), fixture.amount("EUR", 40)]
	_denied(_sends(two, {"amount_eur": {"used": 900, "limit": 1000}})) == set()
	_denied(_sends(two, {"amount_eur": {"used": 901, "limit": 1000}})) == {"budgets.spent"}
	obligations := budgets.obligations with input as _sends(two, {"amount_eur": {"used": 0, "limit": 1000}})
	obligations == {{
		"id": "budgets.amount_eur",
		"type": "budget",
		"properties": {"name": "amount_eur", "amount": 100},
	}}
}

test_nothing_is_reserved_without_a_budget if {
	count(budgets.obligations) == 0 with input as _sends([fixture.amount("EUR", 60)], {})
	other := _sends([fixture.amount("EUR", 60)], {"amount_usd": {"used": 0, "limit": 10}})
	count(budgets.obligations) == 0 with input as other
}

test_amounts_of_a_call_count_together if {
	many := [fixture.amount("EUR", 60), fixture.amount("EUR", 60)]
	_asked(_sends(many, {})) == {"budgets.amount_needs_person"}
	_denied(_sends([fixture.amount("EUR", 600), fixture.amount("EUR", 600)], {})) == {"budgets.amount_above_maximum"}
}

test_amounts_of_a_run_count_together if {
	next := [fixture.amount("EUR", 60)]
	_asked(_sends(next, {"amount_eur": {"used": 0, "limit": null}})) == set()
	_asked(_sends(next, {"amount_eur": {"used": 40, "limit": null}})) == set()
	_asked(_sends(next, {"amount_eur": {"used": 41, "limit": null}})) == {"budgets.run_needs_person"}
	_asked(_sends(next, {"amount_eur": {"used": 41, "limit": 500}})) == set()
}

test_a_table_says_what_a_run_may_move if {
	asked := budgets.require_approval with input as _sends(
		[fixture.amount("EUR", 60)],
		{"amount_eur": {"used": 200, "limit": null}},
	)
		with data.wardline.tables as object.union(
			_tables,
			{"budgets": {"amounts": {"EUR": {"run_without_person": 300}}}},
		)
	asked == set()
}

test_asked_for_a_call_without_its_amount if {
	call := object.union(
		fixture.call("send", "medium", []),
		{"resource": {"properties": {"marks": {"amount": "amount"}}}},
	)
	_asked(call) == {"budgets.no_amount"}
}

test_denied_amount_of_a_read if {
	_denied(fixture.call("read", "low", [fixture.amount("EUR", 1)])) == {"budgets.effect_understated"}
}

_leaf := {
	"origin": "tool",
	"source": "directory",
	"trusted": true,
	"control": true,
	"from": null,
	"linked": false,
	"carries": [],
}

_payment(minor, payee, amount, bounds, verdict) := entries if {
	target := {
		"kind": "recipient",
		"argument": "to",
		"scheme": "account",
		"address": "DE02",
		"domain": null,
	}
	document := object.union(
		_sends([target, fixture.amount("EUR", minor)], {"amount_eur": {"used": 50, "limit": null}}),
		{
			"resource": {"properties": {
				"control": ["to", "amount"],
				"args": {"to": "DE02", "amount": "given"},
			}},
			"context": {
				"labels": ["untrusted"],
				"plan": {"verdict": verdict, "required": false},
				"provenance": {
					"/to": object.union(_leaf, payee),
					"/amount": object.union(_leaf, amount),
				},
			},
		},
	)
	limits := object.union({"without_person": 0, "maximum": 1000}, bounds)
	tables := object.union(_tables, {
		"budgets": {"amounts": {"EUR": limits}},
		"messaging": {"addresses": [], "domains": [], "accounts": [], "phones": []},
	})
	said := budgets.require_approval with input as document with data.wardline.tables as tables
	entries := fixture.codes(said)
}

_both := {"budgets.amount_needs_person", "budgets.run_needs_person"}

test_what_the_person_means_to_pay_needs_nobody if {
	said := {"origin": "user"}
	free := {"said_without_person": 1000}
	_payment(900, said, said, free, null) == set()
	_payment(900, {"linked": true}, said, free, null) == set()
	_payment(900, {}, {}, free, "matched") == set()
	_payment(900, said, said, {}, null) == _both
	_payment(900, {}, said, free, null) == _both
	_payment(900, said, {}, free, null) == _both
	_payment(900, {"origin": "user", "trusted": false}, said, free, null) == _both
	_payment(900, said, said, {"said_without_person": 800}, null) == _both
	_payment(900, {}, {}, free, "mismatch") == _both
}

test_small_amounts_to_known_payees_need_nobody if {
	unknown := {"origin": "unknown", "trusted": false}
	bound := {"to_known_payee": 200}
	_payment(150, {"origin": "approval"}, unknown, bound, null) == set()

	# With what the run moved before it is more, or the payee is only genuine.
	_payment(151, {"origin": "approval"}, unknown, bound, null) == _both
	_payment(150, {}, unknown, bound, null) == _both
	_payment(150, {"linked": true}, unknown, bound, null) == _both
	_payment(150, {"origin": "approval"}, unknown, {}, null) == _both
}

test_small_amounts_that_are_planned_need_nobody if {
	unknown := {"origin": "unknown", "trusted": false}
	bound := {"planned_without_person": 200}
	_payment(150, {}, unknown, bound, "matched") == set()
	_payment(151, {}, unknown, bound, "matched") == _both
	_payment(150, {}, unknown, bound, "mismatch") == _both
	_payment(150, {"trusted": false}, unknown, bound, "matched") == _both
	_payment(150, {}, unknown, {}, "matched") == _both
}
