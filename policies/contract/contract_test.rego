package wardline.contract_test

import data.wardline.contract
import data.wardline.fixture_test as fixture

_all_kinds := [
	fixture.path("read", "a"),
	fixture.host("example.com"),
	object.union(fixture.host("example.com"), {"scheme": null, "port": null}),
	fixture.email("a", "example.com"),
	fixture.amount("EUR", 1),
	fixture.command(["ls"]),
]

test_the_base_call_is_known if {
	count(contract.faults) == 0 with input as fixture.base
}

test_every_kind_of_target_is_known if {
	count(contract.faults) == 0 with input as fixture.call("read", "low", _all_kinds)
}

test_a_full_context_is_known if {
	count(contract.faults) == 0 with input as fixture.in_context(fixture.base, {
		"plan": {"verdict": "matched", "required": true},
		"provenance": {"/a": {"origin": "user", "source": null, "trusted": true, "control": false, "from": null, "linked": false, "carries": []}},
		"usage": {"cost": {"used": 0, "limit": null}},
		"approval": fixture.approval(["bob"], ["operators"]),
	})
}

test_an_empty_input_is_faulty_in_every_part if {
	wanted := {
		"contract.subject",
		"contract.action",
		"contract.resource",
		"contract.targets",
		"contract.context",
		"contract.provenance",
		"contract.usage",
		"contract.plan",
		"contract.approval",
	}
	fixture.codes(contract.faults) == wanted with input as {}
}

test_each_wrong_word_is_a_fault if {
	every patch in _patches {
		faulty := object.union(fixture.base, patch.with)
		fixture.codes(contract.faults) == {patch.code} with input as faulty
	}
}

_patches := [
	{"code": "contract.action", "with": {"action": {"properties": {"effect": "delete"}}}},
	{"code": "contract.action", "with": {"action": {"properties": {"impact": null}}}},
	{"code": "contract.action", "with": {"action": {"name": "tools/list"}}},
	{"code": "contract.subject", "with": {"subject": {"type": "robot"}}},
	{"code": "contract.subject", "with": {"subject": {"properties": {"act": [{"id": 1}]}}}},
	{"code": "contract.resource", "with": {"resource": {"properties": {"isolation": "weak"}}}},
	{"code": "contract.resource", "with": {"resource": {"properties": {"workspace": "whole"}}}},
	{"code": "contract.resource", "with": {"resource": {"properties": {"control": [1]}}}},
	{"code": "contract.targets", "with": {"resource": {"properties": {"targets": {}}}}},
	{"code": "contract.targets", "with": {"resource": {"properties": {"targets": ["a"]}}}},
	{
		"code": "contract.targets",
		"with": {"resource": {"properties": {"targets": [{"kind": "path", "argument": "a"}]}}},
	},
	{
		"code": "contract.targets",
		"with": {"resource": {"properties": {"targets": [fixture.amount("EUR", -1)]}}},
	},
	{
		"code": "contract.targets",
		"with": {"resource": {"properties": {"targets": [fixture.amount("EUR", 1.5)]}}},
	},
	{"code": "contract.context", "with": {"context": {"labels": null}}},
	{"code": "contract.context", "with": {"context": {"environment": {"isolation": ["strong"]}}}},
	{"code": "contract.provenance", "with": {"context": {"provenance": {"/a": {"origin": "x"}}}}},
	{"code": "contract.usage", "with": {"context": {"usage": {"calls": {"used": "1"}}}}},
	{"code": "contract.plan", "with": {"context": {"plan": {"verdict": "fine"}}}},
	{"code": "contract.approval", "with": {"context": {"approval": {"approvers": "bob"}}}},
]

_changed := fixture.change_set("write", "low", [
	fixture.created("a"),
	fixture.changed("b"),
	fixture.deleted("c"),
])

test_the_two_further_questions_are_known if {
	count(contract.faults) == 0 with input as fixture.connection
	count(contract.faults) == 0 with input as fixture.connecting("read", {
		"kind": "http",
		"method": "GET",
		"path": "/a",
		"profile": null,
	})
	count(contract.faults) == 0 with input as _changed
}

test_each_wrong_word_of_a_connection_is_a_fault if {
	every members in [
		{"kind": "udp"},
		{"host": null},
		{"port": 0},
		{"port": 65536},
		{"port": "443"},
		{"method": 1},
		{"path": 1},
		{"profile": 1},
		{"tool": null},
		{"args_digest": null},
	] {
		faulty := fixture.connecting("read", members)
		fixture.codes(contract.faults) == {"contract.resource"} with input as faulty
	}
}

test_each_wrong_word_of_a_change_set_is_a_fault if {
	every members in [
		{"digest": null},
		{"counts": {"deleted": -1}},
		{"bytes": 0.5},
		{"complete": "yes"},
		{"refused": []},
		{"conflicts": null},
		{"tool_digest": null},
	] {
		faulty := object.union(_changed, {"resource": {"properties": members}})
		fixture.codes(contract.faults) == {"contract.resource"} with input as faulty
	}
	every targets in [[fixture.host("example.com")], null] {
		aimed := object.union(_changed, {"resource": {"properties": {"targets": targets}}})
		fixture.codes(contract.faults) == {"contract.targets"} with input as aimed
	}
}

test_each_wrong_word_of_a_change_is_a_fault if {
	every members in [
		{"path": null},
		{"kind": "moved"},
		{"type": "device"},
		{"size": -1},
		{"mode": 420},
		{"executable": null},
		{"target": 1},
		{"protected": "no"},
		{"was": {}},
	] {
		change := object.union(fixture.created("a"), members)
		faulty := fixture.change_set("write", "low", [fixture.changed("b"), change])
		"contract.changes" in fixture.codes(contract.faults) with input as faulty
	}
}

test_action_and_resource_belong_together if {
	every name in ["tools/call", "effects/commit"] {
		faulty := object.union(fixture.connection, {"action": {"name": name}})
		fixture.codes(contract.faults) == {"contract.resource"} with input as faulty
	}
}

test_a_usual_call_is_plainly_formed if {
	contract.well_formed with input as fixture.base
}

test_nothing_else_is_plainly_formed if {
	not contract.well_formed with input as {}
	not contract.well_formed with input as object.union(fixture.base, {"subject": null})
}
