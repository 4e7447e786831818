# METADATA
# scope: package
# title: Commands
# description: |
#   A command is a list of words for one program, run in a sandbox. Programs that start others
#   (timeout, env, find -exec) are looked through, so the list of denied ones holds for what will
#   run; it is no boundary, the sandbox is. Where what will run cannot be told (program text for
#   an interpreter), a person sees it first.
#   A coding agent runs its commands itself: for tools that the table lists as handed over, a text
#   is read for its programs, and no sandbox is asked for.
#   Not protected from: what a program, a script or a build file does inside the sandbox.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.shell

import data.wardline.lib

_commands := lib.targets("command")

_table := data.wardline.tables.shell

# METADATA
# title: Commands of ordinary impact, in a sandbox
allow contains "shell.sandboxed" if {
	input.action.properties.effect == "execute"
	lib.ordinary_impact
	count(_commands) > 0
	not _handed_over
	_sandbox
}

# METADATA
# title: Commands of ordinary impact that a coding agent runs
allow contains "shell.handed_over" if {
	input.action.properties.effect == "execute"
	lib.ordinary_impact
	count(_commands) > 0
	_handed_over
}

# METADATA
# title: Nothing that a shell would read
deny contains {
	"code": "shell.text",
	"agent": "A command given as one text is not run. Give a list: the program, then its words.",
	"operator": concat("", ["argument ", target.argument, " would be read by a shell"]),
	"nearest": {"argument": target.argument, "form": ["program", "word", "..."]},
	"values": _command_values(target),
} if {
	some target in _commands
	target.shell == true
	not _handed_over
}

# METADATA
# title: No program that leaves the sandbox, raises privilege or starts others unseen
deny contains {
	"code": "shell.denied_program",
	"agent": "This program may not be run. Call the program that does the work by itself.",
	"operator": concat("", ["argument ", target.argument, " starts a denied program"]),
	"nearest": null,
	"values": object.union(_command_values(target), {"denied": _denied(target)}),
} if {
	some target in _commands
	_read(target)
	not _programs_allowed(target)
}

# METADATA
# title: A command can do anything, so its tool is declared to execute
# description: A command that the developer declared as a whole does what its tool says.
deny contains {
	"code": "shell.effect_understated",
	"agent": "This tool is declared to do less than run commands, so it cannot be used.",
	"operator": concat("", ["argument ", target.argument, " is a command under effect ", _effect]),
	"nearest": null,
	"values": object.union(_command_values(target), {"effect": _effect}),
} if {
	some target in _commands
	target.declared == false
	not _declared_to_run
}

# METADATA
# title: What cannot be told before it runs is seen by a person
require_approval contains {
	"code": "shell.unseen",
	"agent": "What this command will run cannot be told before, so a person has to approve. Name the program and its words instead.",
	"operator": concat("", ["argument ", target.argument, " starts what only running it would show"]),
	"nearest": {"argument": target.argument, "form": ["program", "word", "..."]},
	"values": _command_values(target),
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some target in _commands
	_read(target)
	target.declared == false
	target.complete == false
}

# METADATA
# title: A call that names no command is shown to a person
require_approval contains {
	"code": "shell.no_command",
	"agent": "This call names no command, so a person has to approve. Name the program to run.",
	"operator": "the tool takes a command, and the call has null in its place",
	"nearest": null,
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	lib.unnamed("command")
}

# METADATA
# title: No command without a sandbox
deny contains {
	"code": "shell.no_sandbox",
	"agent": "Commands run in a sandbox only, and there is none here. Do it without a command.",
	"operator": "environment.isolation lacks tables.shell.isolation; see `wardline doctor`",
	"nearest": null,
	"values": {"needed": _needed, "available": input.context.environment.isolation},
} if {
	count(_commands) > 0
	not _handed_over
	not _sandbox
}

# METADATA
# title: The sandbox for commands
obligations contains {
	"id": "shell.sandbox",
	"type": "sandbox",
	"properties": {"isolation": _table.isolation, "profile": null},
} if {
	count(_commands) > 0
	not _handed_over
}

_effect := input.action.properties.effect

_handed_over if input.resource.id in _table.handed_over

# Whose programs are judged one by one.
_read(target) if target.shell == false

_read(_) if _handed_over

_programs_allowed(target) if {
	denied := {name | some name in _table.denied_programs}
	count(denied) > 0
	is_string(target.program)
	target.program != ""
	every word in _program_words(target) {
		not word in denied
	}
}

# A text that is handed over has no program of its own.
_programs_allowed(target) if {
	_handed_over
	denied := {name | some name in _table.denied_programs}
	count(denied) > 0
	every word in _program_words(target) {
		not word in denied
	}
}

# Every program that will run by its name, and with an extension taken off (`mount.cifs`).
_program_words(target) := {word |
	names := {target.program} | {command.program | some command in target.commands}
	some name in names
	is_string(name)
	some word in {lower(name), split(lower(name), ".")[0]}
}

# Names of programs only: the words after them may hold anything.
_command_values(target) := {
	"argument": target.argument,
	"program": target.program,
	"shell": target.shell,
	"complete": target.complete,
}

_denied(target) := sort({word |
	some word in _program_words(target)
	word in {name | some name in _table.denied_programs}
}) if {
	is_array(target.commands)
} else := []

default _needed := null

_needed := _table.isolation if is_string(_table.isolation)

_sandbox if {
	count(_commands) > 0
	lib.isolation_rank[_table.isolation] > 0
	lib.isolation_available(_table.isolation)
}

_declared_to_run if _effect in {"execute", "irreversible"}
