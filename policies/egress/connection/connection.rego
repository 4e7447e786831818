# METADATA
# scope: package
# title: Connections out of a sandbox
# description: |
#   A host that the sandbox's profile lists may be reached by the call that was permitted to run
#   in that profile, unless its name is an internal one, the call does more than its tool
#   declares, or code runs after untrusted data was read.
#   Not protected from: what a listed host does with what it is told, and what happens inside a
#   tunnel, which has neither method nor path.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.egress.connection

import data.wardline.lib

_host := input.resource.properties.host

_table := data.wardline.tables.egress

# METADATA
# title: What the profile lists
# description: The proxy has checked that; a run without a profile of its own has no egress.
allow contains "connection.profile" if is_string(input.resource.properties.profile)

# METADATA
# title: Nothing while the table is missing or one of its lists is
deny contains {
	"code": "connection.unconfigured",
	"agent": "No host can be reached until an operator has mended the configuration.",
	"operator": "tables.egress is missing, or one of its lists is",
	"nearest": null,
} if {
	not _configured
}

# METADATA
# title: No name that means something inside only
# description: |
#   A public name server may answer for it all the same, and the address is then somebody else's.
#   Services of one's own stand in the table.
deny contains {
	"code": "connection.internal_name",
	"agent": "This name is an internal one and may not be reached. Use a public host.",
	"operator": "the host has no dot, or an ending of tables.egress.internal_endings",
	"nearest": null,
	"values": {"host": _host, "port": input.resource.properties.port},
} if {
	_internal
	not _own
}

# METADATA
# title: No host that operators closed
# description: Wins over every profile, so that one line closes a host everywhere.
deny contains {
	"code": "connection.closed_host",
	"agent": "This host was closed by an operator. Go on without it.",
	"operator": "the host, or a domain above it, is in tables.egress.closed",
	"nearest": null,
	"values": {"host": _host, "closed": closed},
} if {
	some closed in _table.closed
	_within(closed)
}

# METADATA
# title: A tool that reads does not send
deny contains {
	"code": "connection.effect_understated",
	"agent": "This tool is declared to read and made a request that changes something.",
	"operator": "effect=read with a method that is not in tables.egress.read_methods",
	"nearest": null,
	"values": {"host": _host, "method": method, "effect": "read"},
} if {
	input.action.properties.effect == "read"
	method := input.resource.properties.method
	is_string(method)
	not _reads(method)
}

# METADATA
# title: Code that ran after untrusted data was read reaches listed hosts only
# description: |
#   Untrusted text, code the model wrote and egress are together how data leaves. A person
#   who approved this very call has seen the code; nobody is asked while a connection waits.
require_approval contains {
	"code": "connection.untrusted_session",
	"agent": "After untrusted data was read, this code may reach the host only in a call that a person approved.",
	"operator": concat("", ["labels untrusted, effect=", effect, ", host not in tables.egress.untrusted.hosts"]),
	"nearest": null,
	"values": {"host": _host, "effect": effect, "labels": input.context.labels},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	"untrusted" in input.context.labels
	effect := input.action.properties.effect
	effect in _table.untrusted.effects
	not _trusted
}

_configured if {
	is_array(_table.closed)
	is_array(_table.internal_endings)
	is_array(_table.own_hosts)
	is_array(_table.read_methods)
	is_array(_table.untrusted.effects)
	is_array(_table.untrusted.hosts)
}

_internal if not _dotted

_dotted if contains(_host, ".")

_internal if {
	some ending in _table.internal_endings
	_within(ending)
}

_own if _host in _table.own_hosts

_trusted if _host in _table.untrusted.hosts

_reads(method) if method in _table.read_methods

_within(domain) if _host == domain

_within(domain) if endswith(_host, concat("", [".", domain]))
