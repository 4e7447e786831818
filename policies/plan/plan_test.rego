package wardline.policies.plan_test

import data.wardline.fixture_test as fixture
import data.wardline.policies.plan

_planned(effect, verdict, scope_read, required) := fixture.in_context(
	fixture.call(effect, "low", []),
	{"plan": {
		"id": "p",
		"digest": "sha256:p",
		"step": null,
		"verdict": verdict,
		"detail": null,
		"scope_read": scope_read,
		"required": required,
	}},
)

test_allowed_matched_and_no_plan if {
	count(plan.deny) == 0 with input as _planned("send", "matched", false, true)
	count(plan.deny) == 0 with input as fixture.base
	count(plan.obligations) == 0 with input as _planned("send", "matched", false, true)
}

test_denied_without_a_required_plan if {
	denied := plan.deny with input as _planned("read", null, null, true)
	fixture.codes(denied) == {"plan.missing"}
	count(plan.deny) == 0 with input as _planned("read", null, null, false)
}

_asks(document) := {entry.code | some entry in said} if {
	said := plan.require_approval with input as document
		with data.wardline.tables.approval.terms as {"low": fixture.terms}
}

test_deviations_are_shown_to_a_person if {
	every verdict in ["undeclared", "exhausted", "not_ready", "mismatch", "expired"] {
		every effect in ["write", "send", "execute", "irreversible"] {
			_asks(_planned(effect, verdict, true, false)) == {concat("", ["plan.", verdict])}
		}
		_asks(_planned("read", verdict, false, false)) == {concat("", ["plan.", verdict])}
		count(plan.deny) == 0 with input as _planned("send", verdict, false, false)
		count(plan.allow) == 0 with input as _planned("send", verdict, false, false)
	}
}

test_a_deviation_names_what_differs if {
	document := fixture.in_context(_planned("send", "mismatch", false, false), {"plan": {"detail": "'to' differs"}})
	said := plan.require_approval with input as document
	{entry.nearest | some entry in said} == {{"deviation": "'to' differs"}}
}

test_a_planned_step_is_allowed_when_its_control_arguments_are_meant if {
	every effect in ["write", "send"] {
		plan.allow == {"plan.step"} with input as _planned(effect, "matched", false, false)
	}
	every effect in ["execute", "irreversible"] {
		count(plan.allow) == 0 with input as _planned(effect, "matched", false, false)
	}
	every impact in ["high", "critical"] {
		document := object.union(
			_planned("send", "matched", false, false),
			{"action": {"properties": {"impact": impact}}},
		)
		count(plan.allow) == 0 with input as document
	}
	given := object.union(
		_planned("send", "matched", false, false),
		{"resource": {"properties": {"control": ["to"], "args": {"to": "x"}}}},
	)
	count(plan.allow) == 0 with input as given
	leaf := {
		"origin": "tool",
		"source": "directory",
		"trusted": true,
		"control": true,
		"from": null,
		"linked": false,
		"carries": [],
	}
	plan.allow == {"plan.step"} with input as fixture.in_context(given, {"provenance": {"/to": leaf}})
	untrusted := object.union(leaf, {"trusted": false})
	count(plan.allow) == 0 with input as fixture.in_context(given, {"provenance": {"/to": untrusted}})
}

test_a_read_in_scope_is_marked if {
	every verdict in ["undeclared", "exhausted", "not_ready", "mismatch"] {
		document := _planned("read", verdict, true, false)
		count(plan.deny) == 0 with input as document
		obligations := plan.obligations with input as document
		{entry.properties.add | some entry in obligations} == {["plan.deviated"]}
	}
}

test_an_expired_plan_has_no_scope if {
	_asks(_planned("read", "expired", true, false)) == {"plan.expired"}
}

test_what_a_step_began_may_be_confirmed if {
	every verdict in ["undeclared", "exhausted", "not_ready", "mismatch", "expired"] {
		document := object.union(
			_planned("send", verdict, false, false),
			{"resource": {"properties": {"confirms": 1}}},
		)
		none := object.union(document, {"resource": {"properties": {"confirms": 0}}})
		_asks(none) == {concat("", ["plan.", verdict])}
		_asks(document) == {code | verdict != "undeclared"; code := concat("", ["plan.", verdict])}
	}
}
