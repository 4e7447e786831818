# METADATA
# scope: package
# title: Git
# description: |
#   What a git command does, read from its first word behind git's own options: publishing, throwing
#   away or rewriting what was committed, fetching from elsewhere, changing git's settings. A word
#   that is no command of git may be an alias for anything. Also the tools of MCP servers and toolkits
#   that push by another name.
#   Not protected from: hooks and filters of the repository, which a plain commit or checkout runs.
# related_resources:
#   - ref: docs/reference/library/git.md
# custom:
#   denies: "publishing (push, send-email, pushing tools), settings (config, `-c`, `--exec-path`), force"
#   asks: "rewriting or discarding (reset, rebase, clean), fetching (clone, pull), words that are no command of git"
#   needs: "CommandArg() on commands; for tools that push, their names in the table"
package wardline.layers.git

import data.wardline.lib

_table := data.wardline.tables.git

# What a call does in git: [argument, subcommand, words].
_does contains [target.argument, _subcommand(command.argv), command.argv] if {
	some [target, command] in _commands
}

_does contains [input.resource.id, _table.tools[input.resource.id], []] if {
	input.action.name == "tools/call"
}

_commands := [[target, command] |
	input.action.name == "tools/call"
	some target in lib.targets("command")
	some command in target.commands
	lower(command.program) in {"git", "git.exe"}
]

# The first word that is neither an option of git nor its value; "" for none.
_subcommand(argv) := array.concat(
	[word |
		some at, word in argv
		at > 0
		not startswith(word, "-")
		before := argv[at - 1]
		not before in _takes_value
	],
	[""],
)[0]

_takes_value := {
	"-C", "-c", "--attr-source", "--config-env", "--exec-path", "--git-dir", "--list-cmds",
	"--namespace", "--super-prefix", "--work-tree",
}

# METADATA
# title: Nothing is published
deny contains {
	"code": "git.publishes",
	"agent": "Publishing commits is not for agents here. Commit, and say that it can be pushed.",
	"operator": concat("", [where, " does git ", word, " (tables.git.publishes)"]),
	"nearest": null,
	"values": {"argument": where, "command": word},
} if {
	some [where, word, _] in _does
	word in _table.publishes
}

# METADATA
# title: Nothing that was committed is overwritten by force
deny contains {
	"code": "git.forces",
	"agent": "Nothing is overwritten by force here. Leave the option out.",
	"operator": concat("", [where, " forces git ", word]),
	"nearest": null,
	"values": {"argument": where, "command": word},
} if {
	some [where, word, argv] in _does
	some option in argv
	option in _table.forces
}

# METADATA
# title: Git's settings stay as they are
# description: They name programs that git runs, and where its hooks are.
deny contains {
	"code": "git.sets",
	"agent": "Git's settings are not changed by agents. Use the command without.",
	"operator": concat("", [where, " changes what git runs or where it works"]),
	"nearest": null,
	"values": {"argument": where, "command": word},
} if {
	some [where, word, argv] in _does
	_sets(word, argv)
}

# METADATA
# title: What rewrites or discards work is seen by a person
require_approval contains {
	"code": "git.rewrites",
	"agent": "This discards or rewrites work, so a person has to approve.",
	"operator": concat("", [where, " does git ", word]),
	"nearest": null,
	"values": {"argument": where, "command": word},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some [where, word, argv] in _does
	_rewrites(word, argv)
}

# METADATA
# title: What comes from elsewhere is seen by a person
require_approval contains {
	"code": "git.fetches",
	"agent": "This brings in what others wrote, so a person has to approve.",
	"operator": concat("", [where, " does git ", word]),
	"nearest": null,
	"values": {"argument": where, "command": word},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some [where, word, _] in _does
	word in _table.fetches
}

# METADATA
# title: A word that is no command of git may be an alias
require_approval contains {
	"code": "git.unknown",
	"agent": "This is no command that git itself has, so a person has to approve.",
	"operator": concat("", [where, " runs git with a word that tables.git does not know"]),
	"nearest": null,
	"values": {"argument": where},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some [where, word, argv] in _does
	not _known(word, argv)
}

_known(word, _) if word in _table.plain

_known(word, _) if word in _table.rewrites

_known(word, _) if word in _table.fetches

_known(word, _) if word in _table.publishes

_known(word, _) if word in _table.sets

# `git --version`, and git alone, which shows its help.
_known(word, _) if word == ""

_rewrites(word, _) if word in _table.rewrites

_rewrites(word, argv) if {
	some option in _table.rewriting_options[word]
	option in argv
}

# `git checkout -- file` and `git checkout .` throw changes away.
_rewrites("checkout", argv) if {
	some word in {"--", "."}
	word in argv
}

_sets(word, argv) if {
	word in _table.sets
	not _only_reads(word, argv)
}

_sets(_, argv) if {
	some at, option in argv
	at > 0
	strings.any_prefix_match(option, ["-c", "--config-env", "--exec-path=", "--git-dir", "--receive-pack", "--upload-pack", "--work-tree"])
	_is_global(argv, at)
}

# Before the subcommand: `git commit -c HEAD` takes a message and no setting.
_is_global(argv, at) if {
	words := [i | some i, word in argv; i > 0; word == _subcommand(argv)]
	at < array.concat(words, [count(argv)])[0]
}

_only_reads("config", argv) if {
	some option in {"--get", "--get-all", "--get-regexp", "--list", "-l", "get", "list"}
	option in argv
}
