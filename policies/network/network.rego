# METADATA
# scope: package
# title: Hosts
# description: |
#   Only listed hosts, on their listed schemes and ports; addresses inside never, also when
#   listed.
#   Not protected from: a listed name that resolves to an address inside (the egress proxy
#   checks what it dials), and data carried out in a request to a listed host.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.network

import data.wardline.lib

_hosts := lib.targets("host")

# METADATA
# title: Calls of ordinary impact to listed hosts
allow contains "network.listed_host" if {
	input.action.properties.effect in {"read", "write", "send"}
	lib.ordinary_impact
	count(_hosts) > 0
	every target in _hosts {
		lib.host_listed(target)
	}
}

# METADATA
# title: No address inside
deny contains {
	"code": "network.internal_address",
	"agent": "This address is inside a private network and may not be used. Use a public host.",
	"operator": concat("", ["argument ", target.argument, " is ", target.address_class]),
	"nearest": null,
	"values": _host_values(target),
} if {
	some target in _hosts
	not lib.host_public(target)
}

# METADATA
# title: No host that is not listed
deny contains {
	"code": "network.unlisted_host",
	"agent": "This host is not on the list of allowed hosts. Use one that is, or ask for it.",
	"operator": concat("", ["argument ", target.argument, " is not in tables.network.hosts"]),
	"nearest": null,
	"values": _host_values(target),
} if {
	some target in _hosts
	lib.host_public(target)
	host := target.host
	not _known(host)
}

# METADATA
# title: No scheme or port that is not listed for the host
deny contains {
	"code": "network.unlisted_scheme",
	"agent": "This host may not be reached this way. Use https on its usual port.",
	"operator": concat("", ["argument ", target.argument, " has an unlisted scheme or port"]),
	"nearest": {"argument": target.argument, "scheme": "https"},
	"values": object.union(_host_values(target), {
		"schemes": object.get(_entry(target.host), "schemes", []),
		"ports": object.get(_entry(target.host), "ports", []),
	}),
} if {
	some target in _hosts
	lib.host_public(target)
	_known(target.host)
	not lib.host_listed(target)
}

_host_values(target) := {
	"argument": target.argument,
	"host": target.host,
	"scheme": target.scheme,
	"port": target.port,
	"address_class": target.address_class,
}

_entry(host) := entry if {
	entry := data.wardline.tables.network.hosts[host]
	is_object(entry)
} else := {}

_known(host) if data.wardline.tables.network.hosts[host]
