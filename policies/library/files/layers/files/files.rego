# METADATA
# scope: package
# title: Files
# description: |
#   Which part of the workspace may be written at all, what is closed to the agent, and what a
#   person sees first: lock files, which decide what is installed, and calls that name many files.
#   Comes on top of the package filesystem, which holds calls inside the workspace and away from
#   secrets.
#   Not protected from: what a command does to files, which `effects/changes` judges.
# related_resources:
#   - ref: docs/reference/library/files.md
# custom:
#   denies: "writing outside the folders you list, touching a folder you closed"
#   asks: "lock files, migrations and other files you name, calls that name many files"
#   needs: "PathArg(\"read\") or PathArg(\"write\") on every path"
package wardline.layers.files

import data.wardline.lib

_table := data.wardline.tables.files

_paths := [target |
	input.action.name == "tools/call"
	some target in lib.targets("path")
	target.relative != null
]

_written := [target | some target in _paths; target.access == "write"]

# METADATA
# title: Written are only the folders that the table lists
deny contains {
	"code": "files.not_writable",
	"agent": concat("", ["This file may only be read. Write below: ", concat(", ", _table.write_below), "."]),
	"operator": concat("", ["argument ", target.argument, " lies below no folder of tables.files.write_below"]),
	"nearest": {"argument": target.argument, "below": _table.write_below},
	"values": {"argument": target.argument, "path": target.relative, "below": _table.write_below},
} if {
	some target in _written
	not _writable(target)
}

# METADATA
# title: A closed folder is neither read nor written
deny contains {
	"code": "files.closed",
	"agent": "This folder is closed to agents. Do without what lies in it.",
	"operator": concat("", ["argument ", target.argument, " lies in ", folder, " (tables.files.closed)"]),
	"nearest": null,
	"values": {"argument": target.argument, "path": target.relative, "closed": folder},
} if {
	some target in _paths
	some folder in _table.closed
	_below(lower(target.relative), folder)
}

# METADATA
# title: Files that decide for others are changed with a person
require_approval contains {
	"code": "files.careful",
	"agent": "This file decides what others install or run, so a person has to approve.",
	"operator": concat("", ["argument ", target.argument, " is named in tables.files"]),
	"nearest": null,
	"values": {"argument": target.argument, "path": target.relative},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some target in _written
	_careful(lower(target.relative))
}

# METADATA
# title: Many files in one call are seen by a person
require_approval contains {
	"code": "files.many",
	"agent": concat("", ["More than ", format_int(_table.most_paths, 10), " files in one call need a person. Name fewer."]),
	"operator": "more paths than tables.files.most_paths",
	"nearest": null,
	"values": {"paths": count(_paths), "limit": _table.most_paths},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	count(_paths) > _table.most_paths
}

_writable(target) if {
	some folder in _table.write_below
	_below(target.relative, folder)
}

_below(_, folder) if folder == "."

_below(relative, folder) if relative == folder

_below(relative, folder) if startswith(relative, concat("", [folder, "/"]))

_careful(relative) if {
	some part in array.reverse(split(relative, "/"))
	part in _table.careful_names
}

_careful(relative) if strings.any_suffix_match(relative, _table.careful_endings)
