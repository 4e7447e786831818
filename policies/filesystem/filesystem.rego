# METADATA
# scope: package
# title: Paths
# description: |
#   Reads and ordinary writes inside the workspace are fine; anything outside is not, unless
#   its root is listed. What steers other programs (CI, editors, agents) is never written, what
#   holds secrets is never touched; other hidden files, build files and files with several names
#   are shown to a person.
#   A folder that holds secrets is given to a tool of the broker's own process with a person; a
#   sandbox leaves them out.
#   Not protected from: links changed after the decision, which a sandbox's mounts are for, and
#   secrets under names the table does not know.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.filesystem

import data.wardline.lib

_paths := lib.targets("path")

_table := data.wardline.tables.filesystem

# METADATA
# title: Reads inside the workspace or a listed root
allow contains "filesystem.read" if {
	input.action.properties.effect == "read"
	lib.ordinary_impact
	count(_paths) > 0
	_all_contained
}

# METADATA
# title: Writes of ordinary impact inside the workspace or a listed root
allow contains "filesystem.write" if {
	input.action.properties.effect == "write"
	lib.ordinary_impact
	count(_paths) > 0
	_all_contained
}

# METADATA
# title: Nothing while the table that names secrets and protected files is missing
deny contains {
	"code": "filesystem.unconfigured",
	"agent": "Files cannot be used until an operator has mended the configuration.",
	"operator": "tables.filesystem is missing, or one of its lists is",
	"nearest": null,
} if {
	count(_paths) > 0
	not _configured
}

# METADATA
# title: Nothing outside of the workspace and the listed roots
deny contains {
	"code": "filesystem.outside",
	"agent": "This path is outside of what may be used. Use a path inside the workspace.",
	"operator": concat("", ["argument ", target.argument, " is in no root for ", target.access]),
	"nearest": {"argument": target.argument, "inside": "workspace"},
	"values": object.union(_path_values(target), {"inside": _roots(target.access)}),
} if {
	some target in _paths
	not _contained(target)
}

# METADATA
# title: Nothing written that steers other programs
deny contains {
	"code": "filesystem.protected",
	"agent": "This file steers other programs, so it may not be written. Write another file.",
	"operator": concat("", ["argument ", target.argument, " has a protected name"]),
	"nearest": {"argument": target.argument, "inside": "workspace", "hidden": false},
	"values": object.union(_path_values(target), {"path": path}),
} if {
	some target in _paths
	target.access == "write"
	some path in {target.path, target.resolved}
	lib.steering_path(_in_workspace(path))
}

# METADATA
# title: No secrets, neither read nor written
deny contains {
	"code": "filesystem.secret",
	"agent": "This path may hold credentials and may not be used. Go on without it.",
	"operator": concat("", ["argument ", target.argument, " has a name under which secrets are kept"]),
	"nearest": null,
	"values": object.union(_path_values(target), {"path": path}),
} if {
	some target in _paths
	some path in {target.path, target.resolved}
	lib.secret_path(path)
}

# METADATA
# title: Hidden files are written with a person
require_approval contains _ask("filesystem.hidden", "This file is hidden, so a person has to approve writing it.", target) if {
	some target in _paths
	target.access == "write"
	target.hidden == true
}

# METADATA
# title: Files that somebody runs later are written with a person
require_approval contains _ask("filesystem.runs_later", "This file is run later by other programs, so a person has to approve writing it.", target) if {
	some target in _paths
	target.access == "write"
	is_string(target.relative)
	lib.runs_later(target.relative)
}

# METADATA
# title: A file with several names is used with a person
# description: The others may be those of a secret, or lie outside of the workspace.
require_approval contains _ask("filesystem.several_names", "This file has several names (hard links), so a person has to approve.", target) if {
	some target in _paths
	target.links > 1
}

# METADATA
# title: A folder that holds secrets is given to a tool of this process with a person
# description: In a sandbox they are left out; in this process nobody can keep a tool from them.
require_approval contains _ask("filesystem.holds_secrets", "Files that may hold credentials, or the broker's own, lie below this folder, so a person has to approve. Name a file, or a folder without them.", target) if {
	some target in _paths
	target.holds_secrets == true
}

_ask(code, agent, target) := {
	"code": code,
	"agent": agent,
	"operator": concat("", ["argument ", target.argument, ", access ", target.access]),
	"nearest": {"argument": target.argument, "inside": "workspace", "hidden": false},
	"values": _path_values(target),
	"terms": lib.approval_terms(input.action.properties.impact),
}

# METADATA
# title: A tool that reads does not name a path to write
deny contains {
	"code": "filesystem.effect_understated",
	"agent": "This tool is declared to read and names a path to write, so it cannot be used.",
	"operator": concat("", ["argument ", target.argument, " has access write under effect read"]),
	"nearest": null,
	"values": object.union(_path_values(target), {"effect": "read"}),
} if {
	some target in _paths
	target.access == "write"
	input.action.properties.effect == "read"
}

_path_values(target) := {
	"argument": target.argument,
	"access": target.access,
	"path": target.path,
	"resolved": target.resolved,
	"links": target.links,
}

# What a path may lie in.
_roots(access) := array.concat(_workspace, listed) if {
	listed := _table.roots[access]
	is_array(listed)
} else := _workspace

_workspace := [input.context.environment.workspace]

_configured if lib.names_configured

# Where the workspace lies says nothing about the files in it.
_in_workspace(path) := trim_prefix(path, input.context.environment.workspace) if {
	is_string(input.context.environment.workspace)
} else := path

_all_contained if {
	every target in _paths {
		_contained(target)
	}
}

# Both the path as spelled and the one that links lead to have to be inside.
_contained(target) if target.inside_workspace == true

_contained(target) if {
	some root in _table.roots[target.access]
	_under(target.path, root)
	some resolved_root in _table.roots[target.access]
	_under(target.resolved, resolved_root)
}

_under(path, root) if path == root

_under(path, root) if startswith(path, concat("", [root, "/"]))
