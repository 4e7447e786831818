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
		"provenance": {"/a": {"origin": "user", "source": null, "trusted": true, "control": false}},
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
