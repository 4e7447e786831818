# METADATA
# scope: package
# title: Hosts
# description: |
#   Hosts that no list should hold: where anybody can drop or collect data, tunnels into some
#   machine, short links that hide a host, names that resolve to an address inside; and, unless you
#   say otherwise, connections that are not encrypted and bare addresses.
#   Says so of what a call names and of what a sandbox connects to, also when an operator's list or a
#   profile with a wildcard would let it.
#   Not protected from: such a service under a name of its own.
# related_resources:
#   - ref: docs/reference/library/hosts.md
# custom:
#   denies: "known drop sites, tunnels, short links and rebinding names; plain http; bare addresses"
#   asks: "nothing"
#   needs: "HostArg() on URLs and hosts; a sandbox profile for connections"
package wardline.layers.hosts

import data.wardline.lib

_table := data.wardline.tables.hosts

_kinds := {
	"drop_site": _table.drop_sites,
	"tunnel": _table.tunnels,
	"short_link": _table.short_links,
	"rebinding": _table.rebinding,
}

_hosts contains host if {
	input.action.name == "tools/call"
	some target in lib.targets("host")
	host := target.host
}

_hosts contains host if {
	input.action.name == "egress/connect"
	host := input.resource.properties.host
}

# METADATA
# title: No host that is known for one of these
deny contains {
	"code": concat(".", ["hosts", kind]),
	"agent": "Hosts of this kind are not used here, whatever they serve. Use the service itself.",
	"operator": concat("", [host, " is below ", domain, " in tables.hosts"]),
	"nearest": null,
	"values": {"host": host, "kind": kind, "listed": domain},
} if {
	some host in _hosts
	some kind, domains in _kinds
	some domain in domains
	_within(host, domain)
}

# METADATA
# title: Nothing travels in clear
deny contains {
	"code": "hosts.plain_text",
	"agent": "This would travel unencrypted. Use https.",
	"operator": concat("", ["argument ", target.argument, " has the scheme ", target.scheme]),
	"nearest": {"argument": target.argument, "scheme": "https"},
	"values": {"argument": target.argument, "host": target.host, "scheme": target.scheme},
} if {
	_table.encrypted_only == true
	input.action.name == "tools/call"
	some target in lib.targets("host")
	target.scheme in {"http", "ws"}
}

deny contains {
	"code": "hosts.plain_text",
	"agent": "This would travel unencrypted. Use https.",
	"operator": concat("", ["a connection to ", input.resource.properties.host, " in clear"]),
	"nearest": null,
	"values": {"host": input.resource.properties.host, "port": input.resource.properties.port},
} if {
	_table.encrypted_only == true
	input.action.name == "egress/connect"
	input.resource.properties.port == 80
}

# METADATA
# title: A name, so that somebody can be held to it
deny contains {
	"code": "hosts.bare_address",
	"agent": "Use the name of this host and not its address.",
	"operator": concat("", ["argument ", target.argument, " is an address"]),
	"nearest": null,
	"values": {"argument": target.argument, "host": target.host},
} if {
	_table.names_only == true
	input.action.name == "tools/call"
	some target in lib.targets("host")
	target.address_class != null
}

_within(host, domain) if host == domain

_within(host, domain) if endswith(host, concat("", [".", domain]))
