# METADATA
# scope: package
# title: Coding agents
# description: |
#   What an agent that works in a repository does with a person only: publishing and deploying,
#   carrying data over the network, starting another agent, showing the environment or keys. And what it
#   never does: answer for a person, or change what decides about it by a program that is not known
#   to read only. Holds for every program that a text will run.
#   Comes on top of the packages shell and filesystem, which judge each program and each file that a
#   text names.
#   Not protected from: what a program, a script, a test or a build file does by itself.
# related_resources:
#   - ref: docs/reference/library/coding.md
# custom:
#   denies: "answering for a person (wardline), programs that may write to settings of agents, editors, git and CI"
#   asks: "publishing and deploying, programs that carry data over the network, other agents, showing the environment or keys"
#   needs: "the tools of `wardline hook`, or ShellArg() on texts for a shell"
package wardline.layers.coding

import data.wardline.lib

_table := data.wardline.tables.coding

_run := [[target, command] |
	input.action.name == "tools/call"
	some target in lib.targets("command")
	some command in target.commands
]

# METADATA
# title: What is published or deployed is seen by a person
require_approval contains {
	"code": "coding.publishes",
	"agent": "This publishes or deploys, so a person has to approve. Commit, and say that it can be done.",
	"operator": concat("", ["argument ", target.argument, " starts ", command.program, " (tables.coding.publishes)"]),
	"nearest": null,
	"values": {"argument": target.argument, "program": command.program},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some [target, command] in _run
	_listed(_table.publishes, command)
}

# METADATA
# title: What carries data over the network is seen by a person
require_approval contains {
	"code": "coding.network",
	"agent": "This program reaches the network, so a person has to approve. Use the tool that fetches pages.",
	"operator": concat("", ["argument ", target.argument, " starts ", command.program, " (tables.coding.network)"]),
	"nearest": null,
	"values": {"argument": target.argument, "program": command.program},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some [target, command] in _run
	_listed(_table.network, command)
}

# METADATA
# title: Another agent is started with a person
# description: It may be started without hooks, and then nobody decides what it does.
require_approval contains {
	"code": "coding.agent",
	"agent": "This starts another agent, so a person has to approve. Do the work yourself.",
	"operator": concat("", ["argument ", target.argument, " starts ", command.program, " (tables.coding.agents)"]),
	"nearest": null,
	"values": {"argument": target.argument, "program": command.program},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some [target, command] in _run
	lower(command.program) in _table.agents
}

# METADATA
# title: The environment, where keys are kept, is shown with a person
require_approval contains {
	"code": "coding.environment",
	"agent": "This shows variables of the environment, which may hold keys, so a person has to approve.",
	"operator": concat("", ["argument ", target.argument, " shows the environment"]),
	"nearest": null,
	"values": {"argument": target.argument, "program": command.program},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some [target, command] in _run
	_shows_environment(command)
}

# METADATA
# title: A variable with the name of a secret is shown with a person
# description: |
#   As a word of a program, in a here-document or a here-string, or by a shell that traces. Tests
#   of it, its length, and a word in its stead (`${X:+set}`) show nothing.
require_approval contains {
	"code": "coding.environment",
	"agent": concat("", [
		"This shows the variable ", name, ", which may hold a key, so a person has to approve.",
		" To see whether it is set, say [ -n \"$", name, "\" ] && echo set.",
	]),
	"operator": concat("", ["argument ", target.argument, " shows ", name, " (tables.coding.secret_variables)"]),
	"nearest": null,
	"values": {"argument": target.argument, "variable": name},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	input.action.name == "tools/call"
	some target in lib.targets("command")
	some name in target.shown
	_is_secret(lower(name))
}

# METADATA
# title: Keys that another program keeps are shown with a person
require_approval contains {
	"code": "coding.keys",
	"agent": "This shows keys or what they seal, so a person has to approve. Say what you need them for.",
	"operator": concat("", ["argument ", target.argument, " starts ", command.program, " (tables.coding.reveals)"]),
	"nearest": null,
	"values": {"argument": target.argument, "program": command.program},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some [target, command] in _run
	_listed(_table.reveals, command)
}

# METADATA
# title: No agent answers for a person
deny contains {
	"code": "coding.answers",
	"agent": "Wardline's own commands are for people. Say what you need, and a person does it.",
	"operator": concat("", ["argument ", target.argument, " starts wardline"]),
	"nearest": null,
	"values": {"argument": target.argument, "program": command.program},
} if {
	some [target, command] in _run
	_is_wardline(command)
}

# METADATA
# title: What decides for others is given to programs only that read
# description: |
#   A program that writes is seen by the package filesystem. One that nobody knows may do either.
deny contains {
	"code": "coding.steering",
	"agent": "This file steers other programs, so it is not given to a program that may write it. Read it with cat.",
	"operator": concat("", ["argument ", target.argument, " gives a protected file to ", command.program]),
	"nearest": null,
	"values": {"argument": target.argument, "program": command.program, "path": path.path},
} if {
	some [target, command] in _run
	program := lower(command.program)
	not program in _readers
	some path in lib.targets("path")
	path.argument == target.argument
	some name in {path.path, path.resolved}
	lib.steering_path(_in_workspace(name))
}

_readers := {name | some name in _table.readers}

_in_workspace(path) := trim_prefix(path, input.context.environment.workspace)

_listed(table, command) if table[lower(command.program)] == []

_listed(table, command) if {
	some word in table[lower(command.program)]
	word in command.argv
}

_shows_environment(command) if lower(command.program) in _table.environment

_shows_environment(command) if {
	lower(command.program) == "set"
	count(command.argv) == 1
}

# `env` that starts nothing: after its options and assignments no word is left.
_shows_environment(command) if {
	lower(command.program) == "env"
	count([word | some at, word in command.argv; at > 0; not _is_of_env(command.argv, at)]) == 0
}

_shows_environment(command) if {
	lower(command.program) in {"export", "declare", "typeset", "readonly"}
	count([word | some at, word in command.argv; at > 0; not startswith(word, "-")]) == 0
}

_shows_environment(command) if {
	lower(command.program) in {"export", "declare", "typeset", "readonly"}
	some word in command.argv
	regex.match(`^-[a-zA-Z]*p`, word)
}

_shows_environment(command) if {
	lower(command.program) in {"awk", "gawk", "mawk", "nawk"}
	some word in command.argv
	contains(word, "ENVIRON")
}

# `env` of jq, and not the member of that name.
_shows_environment(command) if {
	lower(command.program) in {"jq", "gojq", "jaq"}
	some at, word in command.argv
	at > 0
	regex.match(`(^|[^.\w"'-])env([^\w"'=]|$)|\$ENV`, word)
}

# `ps auxe`: with `e` among the letters without a dash it shows what each process was given.
_shows_environment(command) if {
	lower(command.program) == "ps"
	regex.match(`^[a-zA-Z]*e[a-zA-Z]*$`, command.argv[1])
}

_is_of_env(argv, at) if startswith(argv[at], "-")

_is_of_env(argv, at) if contains(argv[at], "=")

_is_of_env(argv, at) if argv[at - 1] in {"-C", "-a", "-u", "--argv0", "--chdir", "--unset"}

_is_secret(name) if name in _table.secret_variables

_is_secret(name) if {
	some part in split(name, "_")
	trim_right(part, "0123456789") in _table.secret_variables
}

_is_wardline(command) if lower(command.program) == "wardline"

_is_wardline(command) if {
	"-m" in command.argv
	some word in command.argv
	split(word, ".")[0] in {"permissions", "wardline"}
}
