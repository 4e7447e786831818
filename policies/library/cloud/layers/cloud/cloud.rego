# METADATA
# scope: package
# title: Cloud and Kubernetes
# description: |
#   What kubectl, helm, aws, gcloud, az and terraform do, read from their verbs: looking is let,
#   changing needs a person, destroying, going inside and reading secrets is denied. A verb nobody
#   knows counts as a change. Holds for commands, and for the tools of MCP servers by their names.
#   Not protected from: rights the account has beyond need, and programs that call an API themselves.
#   The package shell denies kubectl; take it out of your `tables.shell.denied_programs` to let it look.
# related_resources:
#   - ref: docs/reference/library/cloud.md
# custom:
#   denies: "destroying (delete, terminate, destroy), going inside (exec, port-forward), secrets and tokens, protected namespaces"
#   asks: "every other change, and verbs nobody knows"
#   needs: "CommandArg() on commands; for MCP tools their names in the table"
package wardline.layers.cloud

import data.wardline.lib

_table := data.wardline.tables.cloud

_commands := [[target, lower(command.program), _words(command.argv), command.argv] |
	input.action.name == "tools/call"
	some target in lib.targets("command")
	some command in target.commands
	_table.programs[lower(command.program)]
]

# Its words without options: `kubectl -n web get pods` has web, get, pods.
_words(argv) := [lower(word) | some at, word in argv; at > 0; not startswith(word, "-")]

# What is done: [where, program, kind], kind is read, changes, destroys, inside or secret.
_does contains [target.argument, program, _kind(program, words)] if {
	some [target, program, words, _] in _commands
}

_does contains [target.argument, program, "secret"] if {
	some [target, program, words, _] in _commands
	some word in words
	_secret(program, word)
}

_does contains [input.resource.id, "tool", _table.tools[input.resource.id]] if {
	input.action.name == "tools/call"
}

# An MCP tool that takes a kind of resource may be asked for secrets.
_does contains [argument, "tool", "secret"] if {
	input.action.name == "tools/call"
	_table.tools[input.resource.id]
	some argument in {"kind", "resourceType", "resource_type", "resource"}
	value := input.resource.properties.args[argument]
	is_string(value)
	lower(value) in _table.secret_kinds
}

# The worst that any word says: a resource called `delete` errs on the safe side.
_kind(program, words) := "destroys" if {
	_says(program, words, "destroys")
} else := "inside" if {
	_says(program, words, "inside")
} else := "changes" if {
	_says(program, words, "changes")
} else := "read" if {
	_says(program, words, "read")
} else := "unknown"

_says(program, words, kind) if {
	some word in words
	word in _table.programs[program][kind]
}

_says(program, words, kind) if {
	some word in words
	strings.any_prefix_match(word, _table.programs[program][concat("", [kind, "_beginnings"])])
}

_secret(program, word) if word in _table.programs[program].secrets

# `secret/db`, `pods,secrets`
_secret("kubectl", word) if {
	some part in split(replace(word, "/", ","), ",")
	split(part, ".")[0] in _table.secret_kinds
}

# METADATA
# title: Nothing is destroyed
deny contains {
	"code": "cloud.destroys",
	"agent": "Agents destroy nothing here. Say what should go, and a person does it.",
	"operator": concat("", [where, " destroys, see tables.cloud"]),
	"nearest": null,
	"values": {"argument": where, "program": program},
} if {
	some [where, program, "destroys"] in _does
}

# METADATA
# title: Nobody goes inside, or changes who may what
deny contains {
	"code": "cloud.inside",
	"agent": "Going inside of a machine or a container, or changing accounts, is not for agents.",
	"operator": concat("", [where, " goes inside, see tables.cloud"]),
	"nearest": null,
	"values": {"argument": where, "program": program},
} if {
	some [where, program, "inside"] in _does
}

# METADATA
# title: Secrets and tokens are not read
deny contains {
	"code": "cloud.secret",
	"agent": "Secrets are not read by agents.",
	"operator": concat("", [where, " names a secret or asks for a token"]),
	"nearest": null,
	"values": {"argument": where, "program": program},
} if {
	some [where, program, "secret"] in _does
}

# METADATA
# title: Protected namespaces are left alone
deny contains {
	"code": "cloud.protected",
	"agent": "This namespace or project is not for agents.",
	"operator": concat("", [where, " names one of tables.cloud.protected"]),
	"nearest": null,
	"values": {"argument": where, "name": name},
} if {
	some [where, name] in _named
	name in _table.protected
}

_named contains [target.argument, part] if {
	some [target, _, _, argv] in _commands
	some word in argv
	some part in split(lower(word), "=")
}

# `-nkube-system`
_named contains [target.argument, trim_prefix(lower(word), "-n")] if {
	some [target, _, _, argv] in _commands
	some word in argv
	startswith(word, "-n")
}

_named contains [argument, lower(value)] if {
	input.action.name == "tools/call"
	_table.tools[input.resource.id]
	some argument in {"namespace", "context", "project", "subscription"}
	value := input.resource.properties.args[argument]
	is_string(value)
}

# METADATA
# title: Every change is seen by a person, and so is what nobody knows
require_approval contains {
	"code": "cloud.changes",
	"agent": "This changes what runs, so a person has to approve.",
	"operator": concat("", [where, " changes something, or has a verb that tables.cloud does not know"]),
	"nearest": null,
	"values": {"argument": where, "program": program, "does": kind},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some [where, program, kind] in _does
	kind in {"changes", "unknown"}
}
