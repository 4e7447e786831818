# METADATA
# scope: package
# title: MCP pins
# description: |
#   Tools of others stay what you reviewed: the digest of a tool's definition is pinned, and a call of one
#   whose definition changed is denied until you looked at it again. Tools whose name says that they come
#   from a server, and that nobody pinned, are denied or shown to a person.
#   Not protected from: a server that does something else under the same definition.
# related_resources:
#   - ref: docs/reference/library/mcp.md
# custom:
#   denies: "tools whose definition is not the one you pinned"
#   asks: "tools of a server that nobody pinned (or denies, as you set it)"
#   needs: "digests from `wardline policy try --json` in the table, and the beginnings of your servers' tool names"
package wardline.layers.mcp

import data.wardline.lib

_table := data.wardline.tables.mcp

_pinned := _table.pins[input.resource.id] if input.action.name == "tools/call"

# METADATA
# title: A tool that changed since it was pinned
deny contains {
	"code": "mcp.changed",
	"agent": "This tool is not what it was when it was reviewed. Use another.",
	"operator": concat("", ["the digest of ", input.resource.id, " is not the one in tables.mcp.pins"]),
	"nearest": null,
	"values": {"tool": input.resource.id, "digest": input.resource.properties.tool_digest, "pinned": _pinned},
} if {
	input.resource.properties.tool_digest != _pinned
}

_unpinned if {
	input.action.name == "tools/call"
	strings.any_prefix_match(input.resource.id, _table.servers)
	not _table.pins[input.resource.id]
}

# METADATA
# title: A tool of a server that nobody pinned
deny contains {
	"code": "mcp.unpinned",
	"agent": "Nobody reviewed this tool. Use another, or ask for it.",
	"operator": concat("", [input.resource.id, " is not in tables.mcp.pins"]),
	"nearest": null,
	"values": {"tool": input.resource.id, "digest": input.resource.properties.tool_digest},
} if {
	_table.unpinned == "deny"
	_unpinned
}

# METADATA
# title: Or a person sees its calls
require_approval contains {
	"code": "mcp.unpinned",
	"agent": "Nobody reviewed this tool, so a person has to approve.",
	"operator": concat("", [input.resource.id, " is not in tables.mcp.pins"]),
	"nearest": null,
	"values": {"tool": input.resource.id, "digest": input.resource.properties.tool_digest},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_table.unpinned == "ask"
	_unpinned
}
