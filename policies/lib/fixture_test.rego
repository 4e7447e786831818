# METADATA
# scope: package
# title: Inputs for tests
# description: A complete, harmless call, and ways to change it.
package wardline.fixture_test

# METADATA
# title: A call that reads, of low impact, without arguments
base := {
	"subject": {
		"type": "agent",
		"id": "clerk",
		"properties": {
			"roles": [],
			"on_behalf_of": "user:alice",
			"act": [{"type": "user", "id": "alice"}],
		},
	},
	"action": {"name": "tools/call", "properties": {"effect": "read", "impact": "low"}},
	"resource": {
		"type": "tool",
		"id": "some_tool",
		"properties": {
			"args": {},
			"args_digest": "sha256:a",
			"tool_digest": "sha256:b",
			"isolation": "none",
			"single_use": true,
			"control": [],
			"targets": [],
		},
	},
	"context": {
		"run": "run-1",
		"call": "call-1",
		"time": 1000,
		"plan": null,
		"provenance": {},
		"labels": [],
		"usage": {"calls": {"used": 1, "limit": 50}},
		"approval": null,
		"environment": {
			"name": "test",
			"workspace": "/srv/desk",
			"isolation": ["process", "container"],
		},
		"history": [],
	},
}

# METADATA
# title: The base call with another effect and impact, and with these targets
call(effect, impact, targets) := object.union(base, {
	"action": {"properties": {"effect": effect, "impact": impact}},
	"resource": {"properties": {"targets": targets}},
})

# METADATA
# title: A call with other members of context
in_context(document, context) := object.union(document, {"context": context})

# METADATA
# title: An approval of the base call
approval(approvers, groups) := {
	"id": "approval-1",
	"approvers": approvers,
	"groups": groups,
	"quorum": count(approvers),
	"approved_until": 2000,
	"policy_revision": "sha256:c",
	"args_digest": "sha256:a",
}

# METADATA
# title: Terms one person of a group can meet
terms := {
	"approvers": ["operators"],
	"quorum": 1,
	"expires_in_seconds": 900,
	"separation_of_duties": false,
}

# METADATA
# title: The codes of entries
codes(entries) := {entry.code | some entry in entries}

# METADATA
# title: A path target inside the workspace
path(access, relative) := {
	"kind": "path",
	"argument": "path",
	"access": access,
	"path": concat("/", ["/srv/desk", relative]),
	"resolved": concat("/", ["/srv/desk", relative]),
	"inside_workspace": true,
	"relative": relative,
	"hidden": startswith(relative, "."),
}

# METADATA
# title: A https host target
host(name) := {
	"kind": "host",
	"argument": "url",
	"scheme": "https",
	"host": name,
	"port": 443,
	"path": "/",
	"address_class": null,
}

# METADATA
# title: An e-mail recipient target
email(name, domain) := {
	"kind": "recipient",
	"argument": "to",
	"scheme": "email",
	"address": concat("@", [name, domain]),
	"domain": domain,
}

# METADATA
# title: An amount target
amount(currency, minor) := {
	"kind": "amount",
	"argument": "amount",
	"currency": currency,
	"minor": minor,
}

# METADATA
# title: A command target
command(argv) := {
	"kind": "command",
	"argument": "command",
	"argv": argv,
	"program": argv[0],
	"shell": false,
}
