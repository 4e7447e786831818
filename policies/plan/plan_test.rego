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

test_denied_deviations if {
	every verdict in ["undeclared", "exhausted", "not_ready", "mismatch", "expired"] {
		every effect in ["write", "send", "execute", "irreversible"] {
			denied := plan.deny with input as _planned(effect, verdict, true, false)
			fixture.codes(denied) == {concat("", ["plan.", verdict])}
		}
		read := plan.deny with input as _planned("read", verdict, false, false)
		fixture.codes(read) == {concat("", ["plan.", verdict])}
	}
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
	denied := plan.deny with input as _planned("read", "expired", true, false)
	fixture.codes(denied) == {"plan.expired"}
}
