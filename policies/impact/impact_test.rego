package wardline.policies.impact_test

import data.wardline.fixture_test as fixture
import data.wardline.policies.impact

_tables := {
	"impact": {"ordinary": {"read": ["low", "medium"], "write": ["low"], "send": ["low"]}},
	"approval": {"terms": {"low": fixture.terms, "high": fixture.terms, "critical": fixture.terms}},
}

_allowed(effect, impact_word) := entries if {
	entries := impact.allow with input as fixture.call(effect, impact_word, [])
		with data.wardline.tables as _tables
}

_asked(effect, impact_word) := entries if {
	entries := impact.require_approval with input as fixture.call(effect, impact_word, [])
		with data.wardline.tables as _tables
}

test_allowed_ordinary_reads_and_low_writes if {
	_allowed("read", "low") == {"impact.ordinary"}
	_allowed("read", "medium") == {"impact.ordinary"}
	_allowed("write", "low") == {"impact.ordinary"}
}

test_nothing_else_is_allowed_also_when_listed if {
	_allowed("write", "medium") == set()
	_allowed("read", "high") == set()
	_allowed("send", "low") == set()
}

test_without_the_table_nothing_is_ordinary if {
	count(impact.allow) == 0 with input as fixture.base with data.wardline.tables as {}
}

test_high_needs_a_person if {
	asked := _asked("read", "high")
	fixture.codes(asked) == {"impact.needs_person"}
	_asked("read", "medium") == set()
}

test_critical_needs_two_who_do_not_ask if {
	terms := {entry.terms | some entry in _asked("read", "critical")}
	terms == {object.union(fixture.terms, {"quorum": 2, "separation_of_duties": true})}
}

test_a_larger_quorum_is_kept if {
	asked := impact.require_approval with input as fixture.call("read", "critical", [])
		with data.wardline.tables as {"approval": {"terms": {"critical": object.union(fixture.terms, {"quorum": 3})}}}
	{entry.terms.quorum | some entry in asked} == {3}
}

test_terms_nobody_listed_are_null if {
	asked := impact.require_approval with input as fixture.call("read", "critical", [])
		with data.wardline.tables as {}
	{entry.terms | some entry in asked} == {null}
}

test_irreversible_needs_a_person_at_any_impact if {
	fixture.codes(_asked("irreversible", "low")) == {"impact.irreversible"}
	fixture.codes(_asked("irreversible", "high")) == {"impact.irreversible", "impact.needs_person"}
}

test_evidence_is_durable_but_for_slight_calls if {
	count(impact.obligations) == 0 with input as fixture.base
	count(impact.obligations) == 0 with input as fixture.call("write", "low", [])
	count(impact.obligations) == 1 with input as fixture.call("write", "medium", [])
	count(impact.obligations) == 1 with input as fixture.call("read", "high", [])
	count(impact.obligations) == 1 with input as fixture.call("send", "low", [])
}
