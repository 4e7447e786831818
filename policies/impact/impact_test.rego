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

_destroys(impact, leaf, verdict) := object.union(
	fixture.call("irreversible", impact, []),
	{
		"resource": {"properties": {"control": ["id"], "args": {"id": "x"}}},
		"context": {
			"labels": ["untrusted"],
			"plan": {"verdict": verdict, "required": false},
			"provenance": {"/id": object.union(
				{
					"origin": "tool",
					"source": "files",
					"trusted": true,
					"control": true,
					"from": null,
					"linked": false,
					"carries": [],
				},
				leaf,
			)},
		},
	},
)

_terms := {level: fixture.terms | some level in ["low", "medium", "high", "critical"]}

_asks(document) := {entry.code | some entry in said} if {
	said := impact.require_approval with input as document
		with data.wardline.tables.approval.terms as _terms
}

test_a_planned_loss_of_a_record_that_the_person_named_needs_nobody if {
	every leaf in [{"linked": true}, {"origin": "user"}, {"origin": "plan"}] {
		impact.allow == {"impact.named"} with input as _destroys("medium", leaf, "matched")
		_asks(_destroys("medium", leaf, "matched")) == set()
		_asks(_destroys("medium", leaf, "mismatch")) == {"impact.irreversible"}
		_asks(_destroys("high", leaf, "matched")) == {"impact.irreversible", "impact.needs_person"}
	}
	_asks(_destroys("medium", {}, "matched")) == {"impact.irreversible"}
	_asks(_destroys("medium", {"linked": true, "trusted": false}, "matched")) == {"impact.irreversible"}
}
