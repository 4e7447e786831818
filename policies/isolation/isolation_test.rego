package wardline.policies.isolation_test

import data.wardline.fixture_test as fixture
import data.wardline.policies.isolation

_tables := {"minimum": {
	"read": {"low": "none"},
	"execute": {"low": "process", "high": "container", "critical": "kernel"},
	"write": {"low": "strong"},
}}

_declared(effect, boundary) := object.union(
	fixture.call(effect, "low", []),
	{"resource": {"properties": {"isolation": boundary}}},
)

_boxes(document) := {entry.properties.isolation |
	obligations := isolation.obligations with input as document
		with data.wardline.tables.isolation as _tables
	some entry in obligations
}

_denied(document) := fixture.codes(entries) if {
	entries := isolation.deny with input as document with data.wardline.tables.isolation as _tables
}

test_allowed_execution_in_a_sandbox if {
	document := _declared("execute", "none")
	isolation.allow == {"isolation.sandboxed"} with input as document with data.wardline.tables.isolation as _tables
	_boxes(document) == {"process"}
	_denied(document) == set()
}

test_the_stronger_boundary_wins if {
	_boxes(_declared("execute", "container")) == {"container"}
	_boxes(_declared("read", "container")) == {"container"}
}

test_impact_raises_the_boundary if {
	_boxes(fixture.call("execute", "high", [])) == {"container"}
	_denied(fixture.call("execute", "critical", [])) == {"isolation.unavailable"}
	_denied(fixture.call("execute", "medium", [])) == {"isolation.unavailable"}
}

test_nothing_needed_nothing_said if {
	document := _declared("read", "none")
	_boxes(document) == set()
	_denied(document) == set()
}

test_denied_when_the_machine_lacks_it if {
	_denied(_declared("execute", "kernel")) == {"isolation.unavailable"}
	bare := fixture.in_context(_declared("execute", "none"), {"environment": {"isolation": []}})
	_denied(bare) == {"isolation.unavailable"}
}

test_a_broken_table_asks_for_the_strongest if {
	_denied(_declared("write", "none")) == {"isolation.unavailable"}
	_denied(_declared("send", "none")) == {"isolation.unavailable"}
}

_stateful(impact, stateful) := object.union(
	fixture.call("execute", impact, []),
	{"resource": {"properties": {"stateful": stateful}}},
)

test_a_stateful_tool_is_fine_for_ordinary_impact if {
	every impact in ["low", "medium"] {
		not "isolation.stateful" in _denied(_stateful(impact, true))
	}
}

test_a_stateful_tool_is_denied_for_more if {
	every impact in ["high", "critical"] {
		"isolation.stateful" in _denied(_stateful(impact, true))
		not "isolation.stateful" in _denied(_stateful(impact, false))
	}
}

test_commands_are_the_business_of_shell if {
	count(isolation.allow) == 0 with input as fixture.call("execute", "low", [fixture.command(["ls"])])
		with data.wardline.tables.isolation as _tables
}

test_high_impact_is_not_allowed_here if {
	count(isolation.allow) == 0 with input as fixture.call("execute", "high", [])
		with data.wardline.tables.isolation as _tables
}
