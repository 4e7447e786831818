# METADATA
# scope: package
# title: Changes a sandboxed run made to its workspace
# description: |
#   What a call was permitted to write, and small ordinary changes, are committed; deletions,
#   programs, hidden files, much, and what a call of high impact did are shown to a person
#   first; what acts later outside of a sandbox, cannot come out whole or is not fully known is
#   not committed at all.
#   Not protected from: harmful text in an ordinary file, and a person who does not read.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.effects.changes

import data.wardline.lib

_set := input.resource.properties

_table := data.wardline.tables.effects

_effect := input.action.properties.effect

_impact := input.action.properties.impact

# METADATA
# title: What the call named as written
allow contains "changes.declared" if {
	_effect != "read"
	_all_declared
}

# METADATA
# title: Few small changes by a tool that writes or executes, of ordinary impact
allow contains "changes.few" if {
	_effect in {"write", "execute"}
	lib.ordinary_impact
	_few
	_small
}

# METADATA
# title: Nothing while a table is missing or one of its members is
deny contains {
	"code": "changes.unconfigured",
	"agent": "No change can be kept until an operator has mended the configuration.",
	"operator": "tables.effects or tables.filesystem is missing, or one of its members is",
	"nearest": null,
} if {
	not _configured
}

# METADATA
# title: Nothing that was not listed whole
deny contains {
	"code": "changes.incomplete",
	"agent": "This run changed too many files to be judged, so none is kept. Change fewer at a time.",
	"operator": "the list of changes was cut",
	"nearest": null,
	"values": {"complete": false, "listed": count(_set.changes)},
} if {
	_set.complete == false
}

# METADATA
# title: Nothing beside what must not come out of a sandbox
deny contains {
	"code": "changes.refused_entry",
	"agent": "This run made files that may not leave its sandbox, so no change is kept.",
	"operator": "devices, planted links or the like are among the changes",
	"nearest": null,
	"values": {"refused": _set.refused},
} if {
	_set.refused > 0
}

# METADATA
# title: Nothing over what others changed meanwhile
deny contains {
	"code": "changes.conflict",
	"agent": "Others changed the same files meanwhile, so no change is kept. Do it again.",
	"operator": "paths changed in the workspace after the run began",
	"nearest": null,
	"values": {"conflicts": _set.conflicts},
} if {
	_set.conflicts > 0
}

# METADATA
# title: Nothing that steers other programs or holds secrets
deny contains {
	"code": "changes.protected",
	"agent": "This run changed a file that steers other programs or may hold secrets, so no change is kept.",
	"operator": "a path is protected, or has a name of tables.filesystem",
	"nearest": null,
	"values": {"paths": _first(paths)},
} if {
	paths := {change.path | some change in _set.changes; _protected(change)}
	count(paths) > 0
}

# METADATA
# title: A tool that reads changes nothing
deny contains {
	"code": "changes.effect_understated",
	"agent": "This tool is declared to read and changed files, so no change is kept.",
	"operator": "effect=read with changes",
	"nearest": null,
	"values": {"effect": "read", "changes": count(_set.changes)},
} if {
	_effect == "read"
	count(_set.changes) > 0
}

# METADATA
# title: Deletions are seen by a person
require_approval contains _ask("changes.deletions", "This run deleted files; a person has to look at it.", {"deleted": _set.counts.deleted, "limit": _limit("deletions")}) if {
	_set.counts.deleted > _table.without_person.deletions
}

# METADATA
# title: Many changes are seen by a person
require_approval contains _ask("changes.many", "This run changed many files; a person has to look at it.", _many) if {
	not _few
}

# METADATA
# title: Large changes that the call did not name are seen by a person
require_approval contains _ask("changes.large", "This run wrote much; a person has to look at it.", _much) if {
	not _small
	not _all_declared
}

# METADATA
# title: Programs are seen by a person, those that were one before, too
require_approval contains _ask("changes.executable", "This run made or changed a program; a person has to look at it.", {"paths": _first(paths)}) if {
	paths := {change.path | some change in _set.changes; _is_program(change)}
	count(paths) > 0
}

# METADATA
# title: Other permissions of what was there, and what everybody may write, are seen by a person
require_approval contains _ask("changes.permissions", "This run changed who may read or write a file or folder; a person has to look at it.", {"paths": _first(paths)}) if {
	paths := {change.path | some change in _set.changes; _opens(change)}
	count(paths) > 0
}

# METADATA
# title: What git takes for a repository is seen by a person
# description: |
#   A folder with these files is a bare repository to git, whatever its name, and its
#   configuration names programs that the next git command in there runs.
require_approval contains _ask("changes.repository", "This run changed files that make a folder a git repository; a person has to look at it.", {"paths": _first(paths)}) if {
	paths := {change.path | some change in _set.changes; _of_repository(change)}
	count(paths) > 0
}

# METADATA
# title: Hidden files are seen by a person
require_approval contains _ask("changes.hidden", "This run changed hidden files; a person has to look at it.", {"paths": _first(paths)}) if {
	paths := {change.path | some change in _set.changes; _is_hidden(change)}
	count(paths) > 0
}

# METADATA
# title: Files that somebody runs later are seen by a person
require_approval contains _ask("changes.runs_later", "This run changed files that others run later; a person has to look at it.", {"paths": _first(paths)}) if {
	paths := {change.path | some change in _set.changes; lib.runs_later(change.path)}
	count(paths) > 0
}

# METADATA
# title: What a call of high impact changed is seen by a person
require_approval contains _ask("changes.needs_person", "What a call of high impact changed needs a person's approval.", _risk) if {
	_impact == "high"
}

# METADATA
# title: What a call of critical impact changed is seen by two
require_approval contains object.union(entry, {"terms": lib.two_people(entry.terms)}) if {
	_impact == "critical"
	entry := _ask("changes.needs_two", "What a call of critical impact changed needs the approval of two other people.", _risk)
}

_risk := {"impact": _impact, "effect": _effect}

_many := {
	"changes": count(_set.changes),
	"limit": _limit("changes"),
	"unseen": _unseen_or_null("files"),
	"run_limit": _limit("run_changes"),
}

_much := {
	"bytes": _set.bytes,
	"limit": _limit("bytes"),
	"unseen": _unseen_or_null("bytes"),
	"run_limit": _limit("run_bytes"),
}

_limit(name) := limit if {
	limit := _table.without_person[name]
} else := null

_unseen_or_null(what) := used if {
	used := _unseen(what)
} else := null

_first(paths) := array.slice(sort(paths), 0, 8)

_ask(code, agent, values) := {
	"code": code,
	"agent": agent,
	"operator": concat("", ["impact=", _impact, " effect=", _effect]),
	"nearest": null,
	"values": values,
	"terms": lib.approval_terms(_impact),
}

_configured if {
	is_number(_table.without_person.changes)
	is_number(_table.without_person.bytes)
	is_number(_table.without_person.deletions)
	is_number(_table.without_person.run_changes)
	is_number(_table.without_person.run_bytes)
	lib.names_configured
}

_all_declared if {
	every change in _set.changes {
		_declared(change.path)
	}
}

_few if {
	count(_set.changes) <= _table.without_person.changes
	count(_set.changes) + _unseen("files") <= _table.without_person.run_changes
}

_small if {
	_set.bytes <= _table.without_person.bytes
	_set.bytes + _unseen("bytes") <= _table.without_person.run_bytes
}

# What earlier calls of the run changed and no person saw: many small changes add up.
_unseen(what) := input.context.usage[concat("_", ["unseen", what])].used

# A write target covers itself and, when it is a folder, what is below it.
_declared(path) if {
	some target in lib.targets("path")
	target.access == "write"
	target.inside_workspace == true
	is_string(target.relative)
	_covers(target.relative, path)
}

_covers(relative, _) if relative == "."

_covers(relative, path) if path == relative

_covers(relative, path) if startswith(path, concat("", [relative, "/"]))

_of_repository(change) if {
	parts := split(lower(change.path), "/")
	parts[count(parts) - 1] in {"head", "config", "config.worktree", "commondir", "gitdir"}
}

_is_hidden(change) if {
	some part in split(change.path, "/")
	startswith(part, ".")
}

_is_program(change) if change.executable == true

_is_program(change) if change.was.executable == true

_opens(change) if {
	change.kind == "changed"
	change.mode != change.was.mode
	not _is_program(change)
}

_opens(change) if {
	change.kind != "deleted"
	change.type != "link"
	is_string(change.mode)
	strings.any_suffix_match(change.mode, ["2", "3", "6", "7"])
}

# Bits that are not known may be any.
_opens(change) if {
	change.kind != "deleted"
	change.type != "link"
	change.mode == null
}

_protected(change) if change.protected == true

_protected(change) if lib.steering_path(change.path)

_protected(change) if lib.secret_path(change.path)

# A link is another name of what it leads to: who writes it later writes that.
_protected(change) if {
	is_string(change.target)
	lib.steering_path(change.target)
}

_protected(change) if {
	is_string(change.target)
	lib.secret_path(change.target)
}
