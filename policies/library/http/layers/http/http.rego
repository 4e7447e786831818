# METADATA
# scope: package
# title: HTTP APIs
# description: |
#   Which methods an agent may use on which paths of an API. For hosts that you list, everything that is
#   not listed is denied; a call whose method cannot be told is shown to a person. Holds for tools that
#   take a URL, and for requests out of a sandbox where the proxy sees them.
#   Not protected from: what an API does on a GET, what a body asks for, and encrypted tunnels out of
#   a sandbox, of which only the host is seen (they are denied for listed hosts).
# related_resources:
#   - ref: docs/reference/library/http.md
# custom:
#   denies: "methods and paths a listed API has no line for, odd paths, tunnels to listed APIs"
#   asks: "calls whose method cannot be told"
#   needs: "HostArg() on the URL, the method as an argument or in the tool's name"
package wardline.layers.http

import data.wardline.lib

_table := data.wardline.tables.http

# What is asked of a listed API: [host, method, path]; method and path are null when unknown.
_requests contains [target.host, _method, target.path] if {
	input.action.name == "tools/call"
	some target in lib.targets("host")
	_table.apis[target.host]
}

_requests contains [properties.host, object.get(properties, "method", null), object.get(properties, "path", null)] if {
	input.action.name == "egress/connect"
	properties := input.resource.properties
	_table.apis[properties.host]
}

default _method := null

_method := upper(given) if {
	some name in _table.method_arguments
	given := input.resource.properties.args[name]
	is_string(given)
} else := _table.tools[input.resource.id]

# METADATA
# title: Only methods and paths that the API's lines let
deny contains {
	"code": "http.not_listed",
	"agent": "This method or path of the API is not for agents. Ask for less.",
	"operator": concat("", [method, " on ", host, " fits no line of tables.http.apis"]),
	"nearest": null,
	"values": {"host": host, "method": method, "path": path},
} if {
	some [host, method, path] in _requests
	is_string(method)
	is_string(path)
	not _listed(host, method, path)
}

# METADATA
# title: A path that servers read differently
deny contains {
	"code": "http.odd_path",
	"agent": "Write the path plainly: without dots, double slashes or escaped slashes.",
	"operator": concat("", ["the path of a call to ", host, " can be read in several ways"]),
	"nearest": null,
	"values": {"host": host, "path": path},
} if {
	some [host, _, path] in _requests
	is_string(path)
	_odd(lower(path))
}

# METADATA
# title: A tunnel to a listed API shows neither method nor path
deny contains {
	"code": "http.unseen",
	"agent": "This API is used by its own tool, and not out of a sandbox.",
	"operator": concat("", ["a tunnel to ", host, ", of which the proxy sees no request"]),
	"nearest": null,
	"values": {"host": host},
} if {
	input.action.name == "egress/connect"
	some [host, null, _] in _requests
}

# METADATA
# title: A method that cannot be told is seen by a person
require_approval contains {
	"code": "http.no_method",
	"agent": "What this call does to the API cannot be told, so a person has to approve.",
	"operator": concat("", ["tables.http.tools and method_arguments say no method for ", input.resource.id]),
	"nearest": null,
	"values": {"host": host, "tool": input.resource.id},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	input.action.name == "tools/call"
	some [host, null, _] in _requests
}

_listed(host, method, path) if {
	some line in _table.apis[host]
	method in line.methods
	some below in line.below
	_below(path, below)
}

_below(path, below) if path == below

_below(path, below) if {
	endswith(below, "/")
	startswith(path, below)
}

_below(path, below) if startswith(path, concat("", [below, "/"]))

_odd(path) if {
	some sign in ["//", "/./", "/../", "%2e", "%2f", "%5c", "%00", "%25", ";", "\\"]
	contains(path, sign)
}

_odd(path) if strings.any_suffix_match(path, ["/..", "/."])
