# METADATA
# scope: package
# title: Paths
# description: |
#   Reads and ordinary writes inside the workspace are fine; anything outside is not, unless
#   its root is listed. What steers other programs (hidden files, CI, agent configuration) is
#   never written, what holds secrets is never touched.
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
}

# METADATA
# title: Writes of ordinary impact inside the workspace or a listed root
allow contains "filesystem.write" if {
	input.action.properties.effect == "write"
	lib.ordinary_impact
	count(_paths) > 0
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
} if {
	some target in _paths
	not _contained(target)
}

# METADATA
# title: Nothing written that steers other programs
deny contains {
	"code": "filesystem.protected",
	"agent": "This file steers other programs, so it may not be written. Write another file.",
	"operator": concat("", ["argument ", target.argument, " is hidden or a protected name"]),
	"nearest": {"argument": target.argument, "inside": "workspace", "hidden": false},
} if {
	some target in _paths
	target.access == "write"
	_steers(target)
}

# METADATA
# title: No secrets, neither read nor written
deny contains {
	"code": "filesystem.secret",
	"agent": "This path may hold credentials and may not be used. Go on without it.",
	"operator": concat("", ["argument ", target.argument, " has a component of a secret name"]),
	"nearest": null,
} if {
	some target in _paths
	parts := _parts(target)
	_secret(parts)
}

# METADATA
# title: A tool that reads does not name a path to write
deny contains {
	"code": "filesystem.effect_understated",
	"agent": "This tool is declared to read and names a path to write, so it cannot be used.",
	"operator": concat("", ["argument ", target.argument, " has access write under effect read"]),
	"nearest": null,
} if {
	some target in _paths
	target.access == "write"
	input.action.properties.effect == "read"
}

_configured if {
	count(_paths) > 0
	is_array(_table.protected_names)
	is_array(_table.secret_names)
	is_array(_table.secret_endings)
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

_steers(target) if target.hidden == true

_steers(target) if {
	some part in _parts(target)
	part in _table.protected_names
}

_secret(parts) if {
	some part in parts
	part in _table.secret_names
}

_secret(parts) if {
	is_array(_table.secret_endings)
	strings.any_suffix_match(parts, _table.secret_endings)
}

# Lower case, because some file systems take `.GIT` for `.git`.
_parts(target) := {part |
	some path in {target.path, target.resolved}
	some part in split(lower(path), "/")
}
