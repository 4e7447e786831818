# METADATA
# scope: package
# title: Commands
# description: |
#   A command is a list of words for one program, run in a sandbox. The list of denied programs
#   stops what a sandbox makes useless anyway and says so early; it is no boundary, the sandbox
#   is.
#   Not protected from: what an interpreter does with its arguments inside the sandbox.
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
}

# METADATA
# title: Nothing that a shell would read
deny contains {
	"code": "shell.text",
	"agent": "A command given as one text is not run. Give a list: the program, then its words.",
	"operator": concat("", ["argument ", target.argument, " would be read by a shell"]),
	"nearest": {"argument": target.argument, "form": ["program", "word", "..."]},
} if {
	some target in _commands
	target.shell == true
}

# METADATA
# title: No program that leaves the sandbox, raises privilege or starts others unseen
deny contains {
	"code": "shell.denied_program",
	"agent": "This program may not be run. Call the program that does the work by itself.",
	"operator": concat("", ["argument ", target.argument, " starts a denied program"]),
	"nearest": null,
} if {
	some target in _commands
	target.shell == false
	not _program_allowed(target)
}

# METADATA
# title: No command without a sandbox
deny contains {
	"code": "shell.no_sandbox",
	"agent": "Commands run in a sandbox only, and there is none here. Do it without a command.",
	"operator": "environment.isolation lacks tables.shell.isolation; see `wardline doctor`",
	"nearest": null,
} if {
	count(_commands) > 0
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
}

_program_allowed(target) if {
	denied := {name | some name in _table.denied_programs}
	count(denied) > 0
	is_string(target.program)
	target.program != ""
	every word in _program_words(target) {
		not word in denied
	}
}

# A program by its name, and with an extension taken off (`mount.cifs`, `python3.12`).
_program_words(target) := {lower(target.program), split(lower(target.program), ".")[0]}

_sandbox if {
	count(_commands) > 0
	lib.isolation_rank[_table.isolation] > 0
	lib.isolation_available(_table.isolation)
}
