package wardline.policies.shell_test

import data.wardline.fixture_test as fixture
import data.wardline.policies.shell

_tables := {"isolation": "process", "denied_programs": ["sudo", "mount"]}

_denied(target) := fixture.codes(entries) if {
	entries := shell.deny with input as fixture.call("execute", "low", [target])
		with data.wardline.tables.shell as _tables
}

test_allowed_command_gets_a_sandbox if {
	call := fixture.call("execute", "low", [fixture.command(["ls", "-l"])])
	shell.allow == {"shell.sandboxed"} with input as call with data.wardline.tables.shell as _tables
	_denied(fixture.command(["ls"])) == set()
	obligations := shell.obligations with input as call with data.wardline.tables.shell as _tables
	obligations == {{
		"id": "shell.sandbox",
		"type": "sandbox",
		"properties": {"isolation": "process", "profile": null},
	}}
}

test_denied_text_for_a_shell if {
	text := object.union(
		fixture.command(["ls | sh"]),
		{"program": null, "shell": true},
	)
	_denied(text) == {"shell.text"}
}

test_denied_programs_in_any_spelling if {
	every program in ["sudo", "SUDO", "mount.cifs"] {
		_denied(fixture.command([program, "x"])) == {"shell.denied_program"}
	}
}

test_a_denied_name_as_an_argument_is_fine if {
	_denied(fixture.command(["grep", "sudo"])) == set()
}

test_denied_without_a_program if {
	_denied(object.union(fixture.command(["ls"]), {"program": null})) == {"shell.denied_program"}
	_denied(object.union(fixture.command(["ls"]), {"program": ""})) == {"shell.denied_program"}
}

test_denied_without_a_sandbox if {
	bare := fixture.in_context(
		fixture.call("execute", "low", [fixture.command(["ls"])]),
		{"environment": {"isolation": ["none"]}},
	)
	denied := shell.deny with input as bare with data.wardline.tables.shell as _tables
	fixture.codes(denied) == {"shell.no_sandbox"}
	shell.allow == set() with input as bare with data.wardline.tables.shell as _tables
}

test_denied_when_the_table_asks_for_no_boundary_or_is_missing if {
	call := fixture.call("execute", "low", [fixture.command(["ls"])])
	open := shell.deny with input as call
		with data.wardline.tables.shell as object.union(_tables, {"isolation": "none"})
	fixture.codes(open) == {"shell.no_sandbox"}
	missing := shell.deny with input as call with data.wardline.tables as {}
	fixture.codes(missing) == {"shell.no_sandbox", "shell.denied_program"}
}

test_high_impact_is_not_allowed_here if {
	count(shell.allow) == 0 with input as fixture.call("execute", "high", [fixture.command(["ls"])])
}

test_nothing_said_about_calls_without_commands if {
	count(shell.deny) == 0 with input as fixture.base with data.wardline.tables as {}
	count(shell.obligations) == 0 with input as fixture.base
}

test_denied_program_behind_another if {
	wrapped := object.union(
		fixture.command(["timeout", "5", "sudo", "id"]),
		{"commands": [{"program": "timeout", "argv": ["timeout"]}, {"program": "SUDO", "argv": ["SUDO"]}]},
	)
	_denied(wrapped) == {"shell.denied_program"}
}

test_denied_below_an_effect_that_is_no_execution if {
	every effect in ["read", "write", "send"] {
		denied := shell.deny with input as fixture.call(effect, "low", [fixture.command(["ls"])])
			with data.wardline.tables.shell as _tables
		fixture.codes(denied) == {"shell.effect_understated"}
	}
}

test_a_declared_command_may_read if {
	declared := object.union(fixture.command(["ls"]), {"declared": true})
	denied := shell.deny with input as fixture.call("read", "low", [declared])
		with data.wardline.tables.shell as _tables
	denied == set()
}

test_asked_for_what_only_running_it_would_show if {
	open := object.union(fixture.command(["python3", "-c", "x"]), {"complete": false})
	asked := shell.require_approval with input as fixture.call("execute", "low", [open])
		with data.wardline.tables.approval.terms as {"low": fixture.terms}
	fixture.codes(asked) == {"shell.unseen"}
	plain := shell.require_approval with input as fixture.call(
		"execute", "low",
		[fixture.command(["ls"]), object.union(open, {"declared": true})],
	)
	count(plain) == 0
}

test_asked_for_a_call_without_its_command if {
	call := object.union(
		fixture.call("execute", "low", []),
		{"resource": {"properties": {"marks": {"argv": "command"}}}},
	)
	asked := shell.require_approval with input as call
		with data.wardline.tables.approval.terms as {"low": fixture.terms}
	fixture.codes(asked) == {"shell.no_command"}
}

_handed := object.union(_tables, {"handed_over": ["a_tool"]})

_text(commands, complete) := object.union(
	fixture.command(["text"]),
	{"program": null, "shell": true, "commands": commands, "complete": complete},
)

_handed_call(target) := object.union(
	fixture.call("execute", "medium", [target]),
	{"resource": {"id": "a_tool"}},
)

test_a_text_that_is_handed_over_is_read if {
	call := _handed_call(_text([{"program": "ls", "argv": ["ls"]}], true))
	shell.allow == {"shell.handed_over"} with input as call with data.wardline.tables.shell as _handed
	shell.deny == set() with input as call with data.wardline.tables.shell as _handed
	shell.require_approval == set() with input as call with data.wardline.tables.shell as _handed
	shell.obligations == set() with input as call with data.wardline.tables.shell as _handed
}

test_each_program_of_a_handed_over_text_is_judged if {
	call := _handed_call(_text([{"program": "ls", "argv": ["ls"]}, {"program": "Sudo", "argv": ["Sudo"]}], true))
	denied := shell.deny with input as call with data.wardline.tables.shell as _handed
	fixture.codes(denied) == {"shell.denied_program"}
}

test_a_handed_over_text_with_doubts_is_seen if {
	call := _handed_call(_text([], false))
	asked := shell.require_approval with input as call with data.wardline.tables.shell as _handed
	fixture.codes(asked) == {"shell.unseen"}
}

test_another_tool_is_not_handed_over if {
	call := object.union(_handed_call(_text([], true)), {"resource": {"id": "b_tool"}})
	denied := shell.deny with input as call with data.wardline.tables.shell as _handed
	fixture.codes(denied) == {"shell.text"}
}
