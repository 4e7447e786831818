package wardline.main_test

import data.wardline.fixture_test as fixture
import data.wardline.main

_entry(code) := {"code": code, "agent": "a", "operator": "o", "nearest": null}

_asks(code, terms) := object.union(_entry(code), {"terms": terms})

_obligation(id, type) := {"id": id, "type": type, "properties": {}}

_none := {"none": {"allow": set()}}

test_nothing_said_is_a_denial if {
	answer := main.response with input as fixture.base with data.wardline.policies as _none
	answer.decision == false
	fixture.codes(answer.context.reasons) == {"main.nothing_allows"}
}

test_an_allow_is_enough if {
	said := {"p": {"allow": {"p.b", "p.a"}, "obligations": {
		_obligation("z", "evidence"),
		_obligation("a", "label"),
	}}}
	answer := main.response with input as fixture.base with data.wardline.policies as said
	answer == {"decision": true, "context": {
		"reasons": [],
		"obligations": [_obligation("a", "label"), _obligation("z", "evidence")],
		"access_request": null,
		"rules": ["p.a", "p.b"],
	}}
}

test_a_denial_beats_approval_and_allow if {
	said := {
		"p": {"allow": {"p.a"}, "obligations": {_obligation("e", "evidence")}},
		"q": {
			"deny": {_entry("q.z"), _entry("q.b")},
			"require_approval": {_asks("q.c", fixture.terms)},
			"obligations": {_obligation("l", "label")},
		},
	}
	answer := main.response with input as fixture.base with data.wardline.policies as said
	answer == {"decision": false, "context": {
		"reasons": [_entry("q.b"), _entry("q.z")],
		"obligations": [_obligation("e", "evidence")],
		"access_request": null,
		"rules": ["p.a", "q.b", "q.c", "q.z"],
	}}
}

test_approval_beats_allow_and_terms_add_up if {
	one := {
		"approvers": ["b", "a", "c"],
		"quorum": 1,
		"expires_in_seconds": 60,
		"separation_of_duties": false,
	}
	two := {
		"approvers": ["c", "b"],
		"quorum": 2,
		"expires_in_seconds": 90,
		"separation_of_duties": true,
	}
	said := {"p": {
		"allow": {"p.a"},
		"require_approval": {_asks("p.one", one), _asks("p.two", two)},
	}}
	answer := main.response with input as fixture.base with data.wardline.policies as said
	answer.decision == false
	fixture.codes(answer.context.reasons) == {"p.one", "p.two"}
	answer.context.access_request == {
		"approvers": ["b", "c"],
		"quorum": 2,
		"expires_in_seconds": 60,
		"separation_of_duties": true,
	}
}

_first_a_then_b := {
	"stages": [{"approvers": ["a", "c"], "quorum": 1}, {"approvers": ["b"], "quorum": 1}],
	"expires_in_seconds": 60,
	"separation_of_duties": false,
}

_asked_of(entries) := answer if {
	answer := main.response with input as fixture.base
		with data.wardline.policies as {"p": {"require_approval": entries}}
}

test_stages_keep_their_order if {
	answer := _asked_of({_asks("p.one", _first_a_then_b)})
	answer.context.access_request == {
		"approvers": ["a", "b", "c"],
		"quorum": 2,
		"expires_in_seconds": 60,
		"separation_of_duties": false,
		"stages": [{"approvers": ["a", "c"], "quorum": 1}, {"approvers": ["b"], "quorum": 1}],
	}
}

test_terms_without_stages_narrow_those_of_stages if {
	other := {
		"approvers": ["b", "a"],
		"quorum": 4,
		"expires_in_seconds": 50,
		"separation_of_duties": true,
	}
	answer := _asked_of({_asks("p.one", _first_a_then_b), _asks("p.two", other)})
	answer.context.access_request == {
		"approvers": ["a", "b"],
		"quorum": 4,
		"expires_in_seconds": 50,
		"separation_of_duties": true,
		"stages": [{"approvers": ["a"], "quorum": 1}, {"approvers": ["b"], "quorum": 3}],
	}
}

test_a_stage_without_people_is_a_denial if {
	other := object.union(fixture.terms, {"approvers": ["a"]})
	answer := _asked_of({_asks("p.one", _first_a_then_b), _asks("p.two", other)})
	answer.context.access_request == null
	"main.no_common_approvers" in fixture.codes(answer.context.reasons)
}

test_stages_of_another_order_are_a_denial if {
	other := object.union(_first_a_then_b, {"stages": [
		{"approvers": ["b"], "quorum": 1},
		{"approvers": ["a", "c"], "quorum": 1},
	]})
	answer := _asked_of({_asks("p.one", _first_a_then_b), _asks("p.two", other)})
	answer.context.access_request == null
	"main.stages_differ" in fixture.codes(answer.context.reasons)
}

test_stages_of_another_form_deny_everything if {
	one := {"approvers": ["a"], "quorum": 1}
	every stages in [[], [one], [one, {"approvers": ["a"]}], [one, one, one, one, one, one], {"a": one, "b": one}] {
		terms := object.union(_first_a_then_b, {"stages": stages})
		fixture.codes(_asked_of({_asks("p.one", terms)}).context.reasons) == {"main.rule_malformed"}
	}
	both := object.union(_first_a_then_b, {"approvers": ["a"], "quorum": 1})
	fixture.codes(_asked_of({_asks("p.one", both)}).context.reasons) == {"main.rule_malformed"}
}

_agreed(stages) := fixture.in_context(fixture.base, {"approval": object.union(
	fixture.approval(["bob", "eve"], ["a", "b"]),
	{"stages": stages},
)})

test_an_approval_of_stages_permits_in_their_order_alone if {
	said := {"p": {"require_approval": {_asks("p.one", _first_a_then_b)}}}
	first := {"approvers": ["bob"], "groups": ["a"]}
	second := {"approvers": ["eve"], "groups": ["b"]}
	permitted := main.response with input as _agreed([first, second])
		with data.wardline.policies as said
	permitted.decision == true
	every stages in [
		[],
		[first],
		[second, first],
		[{"approvers": ["bob", "eve"], "groups": ["a", "b"]}],
		[first, {"approvers": ["eve"], "groups": []}],
		[first, {"approvers": [], "groups": ["b"]}],
	] {
		answer := main.response with input as _agreed(stages)
			with data.wardline.policies as said
		answer.decision == false
	}
}

test_an_approval_that_meets_the_terms_permits if {
	said := {"p": {"require_approval": {_asks("p.one", fixture.terms)}}}
	approved := fixture.in_context(
		fixture.base,
		{"approval": fixture.approval(["bob"], ["operators"])},
	)
	answer := main.response with input as approved with data.wardline.policies as said
	answer.decision == true
	answer.context.access_request == null
}

test_an_approval_never_lifts_a_denial if {
	said := {"p": {
		"deny": {_entry("p.no")},
		"require_approval": {_asks("p.one", fixture.terms)},
	}}
	approved := fixture.in_context(
		fixture.base,
		{"approval": fixture.approval(["bob"], ["operators"])},
	)
	answer := main.response with input as approved with data.wardline.policies as said
	answer.decision == false
}

test_an_approval_nobody_asked_for_permits_nothing if {
	approved := fixture.in_context(
		fixture.base,
		{"approval": fixture.approval(["bob"], ["operators"])},
	)
	answer := main.response with input as approved with data.wardline.policies as _none
	answer.decision == false
}

test_without_a_common_group_nobody_is_asked if {
	said := {"p": {"require_approval": {
		_asks("p.one", fixture.terms),
		_asks("p.two", object.union(fixture.terms, {"approvers": ["others"]})),
	}}}
	answer := main.response with input as fixture.base with data.wardline.policies as said
	answer.context.access_request == null
	fixture.codes(answer.context.reasons) == {"main.no_common_approvers"}
}

test_terms_the_table_lacks_mean_nobody if {
	said := {"p": {"require_approval": {_asks("p.one", null)}}}
	answer := main.response with input as fixture.base with data.wardline.policies as said
	fixture.codes(answer.context.reasons) == {"main.no_common_approvers"}
}

test_a_layer_allows_nothing_by_itself if {
	answer := main.response with input as fixture.base
		with data.wardline.policies as _none
		with data.wardline.layers as {"team": {"allow": {"team.a"}}}
	fixture.codes(answer.context.reasons) == {"main.nothing_allows"}
}

test_a_layer_that_speaks_of_allowing_has_to_allow if {
	said := {"p": {"allow": {"p.a"}}}
	answer := main.response with input as fixture.base
		with data.wardline.policies as said
		with data.wardline.layers as {"team": {"allow": set()}, "org": {"allow": {"org.a"}}}
	fixture.codes(answer.context.reasons) == {"main.layer_silent"}
	permitted := main.response with input as fixture.base
		with data.wardline.policies as said
		with data.wardline.layers as {"team": {"allow": {"team.a"}}, "org": {}}
	permitted.decision == true
}

test_a_layer_adds_what_it_denies_asks_and_obliges if {
	said := {"p": {"allow": {"p.a"}}}
	denied := main.response with input as fixture.base
		with data.wardline.policies as said
		with data.wardline.layers as {"team": {"deny": {_entry("team.no")}}}
	fixture.codes(denied.context.reasons) == {"team.no"}
	held := main.response with input as fixture.base
		with data.wardline.policies as said
		with data.wardline.layers as {"team": {
			"require_approval": {_asks("team.ask", fixture.terms)},
			"obligations": {_obligation("team.e", "evidence")},
		}}
	held.context.access_request == fixture.terms
	held.context.obligations == [_obligation("team.e", "evidence")]
}

test_a_rule_of_another_form_denies_everything if {
	every rules in [
		{"deny": true},
		{"allow": true},
		{"allow": {1}},
		{"deny": {"no"}},
		{"deny": {{"code": "p.no"}}},
		{"require_approval": {_entry("p.one")}},
		{"require_approval": {_asks("p.one", {"approvers": ["a"]})}},
		{"require_approval": {_asks("p.one", object.union(fixture.terms, {"quorum": 0}))}},
		{"require_approval": {_asks("p.one", object.union(fixture.terms, {"approvers": [1]}))}},
		{"obligations": {{"id": "a"}}},
	] {
		answer := main.response with input as fixture.base
			with data.wardline.policies as {"p": rules, "q": {"allow": {"q.a"}}}
		answer.decision == false
		fixture.codes(answer.context.reasons) == {"main.rule_malformed"}
		with_layer := main.response with input as fixture.base
			with data.wardline.policies as {"q": {"allow": {"q.a"}}}
			with data.wardline.layers as {"p": rules}
		with_layer.decision == false
		fixture.codes(with_layer.context.reasons) == {"main.rule_malformed"}
	}
}

test_an_input_of_unknown_form_is_denied_before_any_package_is_asked if {
	answer := main.response with input as {"subject": 1}
		with data.wardline.policies as {"p": {"allow": {"p.a"}}}
	answer.decision == false
	answer.context.rules[0] == "contract.action"
}

test_a_false_of_a_layer_is_malformed_too if {
	answer := main.response with input as fixture.base
		with data.wardline.policies as {"p": {"allow": {"p.a"}}}
		with data.wardline.layers as {"team": {"allow": false}}
	fixture.codes(answer.context.reasons) == {"main.rule_malformed"}
}

_each := {
	"policies": fixture.base,
	"egress": fixture.connection,
	"effects": fixture.change_set("write", "low", [fixture.created("a")]),
}

test_each_question_is_answered_by_its_own_packages_only if {
	allowed := {[question, source] |
		some question, asked in _each
		some source in ["policies", "egress", "effects"]
		_permits(asked, source)
	}
	allowed == {[question, question] | some question, _ in _each}
}

_permits(asked, source) if {
	said := object.union(
		{"policies": _none, "egress": _none, "effects": _none},
		{source: {"p": {"allow": {"p.a"}}}},
	)
	answer := main.response with input as asked
		with data.wardline.policies as said.policies
		with data.wardline.egress as said.egress
		with data.wardline.effects as said.effects
	answer.decision == true
}

test_a_layer_denies_and_asks_about_every_question if {
	every asked in _each {
		denied := main.response with input as asked
			with data.wardline.tables as fixture.tables
			with data.wardline.policies as {"p": {"allow": {"p.a"}}}
			with data.wardline.layers as {"team": {"deny": {_entry("team.no")}}}
		fixture.codes(denied.context.reasons) == {"team.no"}
		held := main.response with input as asked
			with data.wardline.tables as fixture.tables
			with data.wardline.policies as {"p": {"allow": {"p.a"}}}
			with data.wardline.layers as {"team": {"require_approval": {_asks("team.ask", fixture.terms)}}}
		held.context.access_request == fixture.terms
	}
}

test_a_layer_allows_calls_and_nothing_else if {
	every asked in [_each.egress, _each.effects] {
		permitted := main.response with input as asked
			with data.wardline.tables as fixture.tables
			with data.wardline.layers as {"team": {"allow": set()}}
		permitted.decision == true
	}
}

test_the_obligations_of_a_layer_are_about_calls_except_evidence if {
	obligations := {_obligation("team.e", "evidence"), _obligation("team.s", "sandbox")}
	every question, asked in _each {
		answer := main.response with input as asked
			with data.wardline.policies as {"p": {"allow": {"p.a"}}}
			with data.wardline.layers as {"team": {"obligations": obligations}}
		owed := {obligation.id | some obligation in answer.context.obligations}
		owed == {id | some id in ["team.e", "team.s"]; _is_owed(question, id)}
	}
}

_is_owed(question, _) if question == "policies"

_is_owed(_, id) if id == "team.e"

test_the_approval_of_a_call_covers_its_connections if {
	code := fixture.in_context(fixture.connecting("execute", {}), {"labels": ["untrusted"]})
	held := main.response with input as code with data.wardline.tables as fixture.tables
	fixture.codes(held.context.reasons) == {"connection.untrusted_session"}
	approved := fixture.in_context(code, {"approval": fixture.approval(["bob"], ["operators"])})
	permitted := main.response with input as approved
		with data.wardline.tables as fixture.tables
	permitted.decision == true
}

test_only_people_who_saw_the_changes_approve_them if {
	gone := fixture.change_set("write", "low", [fixture.deleted("a")])
	of_call := fixture.approval(["bob"], ["operators"])
	held := main.response with input as fixture.in_context(gone, {"approval": of_call})
		with data.wardline.tables as fixture.tables
	fixture.codes(held.context.reasons) == {"changes.deletions"}
	seen := object.union(of_call, {"args_digest": "sha256:d"})
	permitted := main.response with input as fixture.in_context(gone, {"approval": seen})
		with data.wardline.tables as fixture.tables
	permitted.decision == true
}
