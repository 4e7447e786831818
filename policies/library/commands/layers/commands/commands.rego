# METADATA
# scope: package
# title: Commands
# description: |
#   Which programs an agent may run at all, and what a person sees first: what destroys files, what
#   installs code of others, what reaches the network. Holds for every program that will run: behind
#   wrappers, in pipes and substitutions, after `;` and `&&`.
#   Comes on top of the package shell, which denies texts for a shell, denied programs and what cannot
#   be told before it runs.
#   Not protected from: what a program, a script or a build file does by itself.
# related_resources:
#   - ref: docs/reference/library/commands.md
# custom:
#   denies: "programs that are not on your list, programs that carry data to and from the network"
#   asks: "programs that destroy files, and those that install code of others"
#   needs: "CommandArg() on commands"
package wardline.layers.commands

import data.wardline.lib

_table := data.wardline.tables.commands

_run := [[target, command] |
	input.action.name == "tools/call"
	some target in lib.targets("command")
	some command in target.commands
]

# METADATA
# title: Only listed programs, where there is a list
deny contains {
	"code": "commands.unlisted_program",
	"agent": concat("", ["This program is not on the list. Use: ", concat(", ", _table.only), "."]),
	"operator": concat("", ["argument ", target.argument, " starts a program that tables.commands.only lacks"]),
	"nearest": null,
	"values": {"argument": target.argument, "program": command.program},
} if {
	is_array(_table.only)
	some [target, command] in _run
	program := lower(command.program)
	not program in _table.only
}

# METADATA
# title: No program that carries data to or from the network
deny contains {
	"code": "commands.network_program",
	"agent": "Programs that reach the network are not run here. Use a tool that fetches or sends.",
	"operator": concat("", ["argument ", target.argument, " starts ", command.program]),
	"nearest": null,
	"values": {"argument": target.argument, "program": command.program},
} if {
	some [target, command] in _run
	lower(command.program) in _table.network
}

# METADATA
# title: What destroys files is seen by a person
require_approval contains {
	"code": "commands.destroys",
	"agent": "This command may destroy files, so a person has to approve.",
	"operator": concat("", ["argument ", target.argument, " starts ", command.program]),
	"nearest": null,
	"values": {"argument": target.argument, "program": command.program},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some [target, command] in _run
	_destroys(command)
}

# METADATA
# title: What installs code of others is seen by a person
require_approval contains {
	"code": "commands.installs",
	"agent": "This command installs code of others, so a person has to approve.",
	"operator": concat("", ["argument ", target.argument, " starts ", command.program]),
	"nearest": null,
	"values": {"argument": target.argument, "program": command.program},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some [target, command] in _run
	_installs(command)
}

_destroys(command) if lower(command.program) in _table.destroys

_destroys(command) if {
	some word in _table.destroying_words[lower(command.program)]
	word in command.argv
}

_installs(command) if {
	words := _table.installs[lower(command.program)]
	words == []
}

_installs(command) if {
	some word in _table.installs[lower(command.program)]
	word in command.argv
}

# `python -m pip install x`
_installs(command) if {
	startswith(lower(command.program), "python")
	some module in {"pip", "ensurepip", "easy_install", "pipx", "uv"}
	module in command.argv
}
