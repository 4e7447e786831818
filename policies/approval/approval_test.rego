package wardline.policies.approval_test

import data.wardline.fixture_test as fixture
import data.wardline.policies.approval

_tables := {"never": [{"effect": "irreversible", "impact": "critical"}]}

_denied(document) := fixture.codes(entries) if {
	entries := approval.deny with input as document with data.wardline.tables.approval as _tables
}

test_allowed_no_approval_and_the_right_one if {
	_denied(fixture.base) == set()
	approved := fixture.in_context(fixture.base, {"approval": fixture.approval(["bob"], ["operators"])})
	_denied(approved) == set()
}

test_denied_approval_of_other_arguments if {
	other := object.union(fixture.approval(["bob"], ["operators"]), {"args_digest": "sha256:z"})
	_denied(fixture.in_context(fixture.base, {"approval": other})) == {"approval.other_arguments"}
}

_remembered(tables) := {code |
	granted := object.union(fixture.approval(["bob"], ["operators"]), {"id": "grant-1"})
	document := fixture.in_context(fixture.call("send", "high", []), {"approval": granted})
	some entry in approval.deny with input as document with data.wardline.tables.approval as tables
	code := entry.code
}

test_allowed_what_may_be_remembered if {
	_remembered({"never": [], "always_ask": []}) == set()
	_remembered({"never": [], "always_ask": [{"effect": "send", "impact": "critical"}]}) == set()
}

test_denied_remembered_where_a_person_is_asked_each_time if {
	_remembered({"never": [], "always_ask": [{"effect": "send", "impact": "high"}]}) == {"approval.always_ask"}
	_remembered({"never": []}) == {"approval.always_ask"}
}

test_denied_what_is_never_approved if {
	_denied(fixture.call("irreversible", "critical", [])) == {"approval.never"}
	_denied(fixture.call("irreversible", "high", [])) == set()
	_denied(fixture.call("send", "critical", [])) == set()
}
