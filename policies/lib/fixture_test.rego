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
			"stateful": false,
			"confirms": null,
			"workspace": "copy",
			"control": [],
			"marks": {},
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
		"facts": {},
		"detected": {},
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
# title: The base call as the question of another resource
_about(name, type, properties) := {
	"subject": base.subject,
	"action": {"name": name, "properties": base.action.properties},
	"resource": {"type": type, "id": "of the call", "properties": object.union(
		{"tool": "some_tool", "tool_digest": "sha256:b", "args_digest": "sha256:a"},
		properties,
	)},
	"context": base.context,
}

# METADATA
# title: A tunnel from the base call to a public host
connection := _about("egress/connect", "connection", {
	"kind": "connect",
	"host": "api.example.com",
	"port": 443,
	"method": null,
	"path": null,
	"profile": "web",
})

# METADATA
# title: The base connection with another effect and other members
connecting(effect, members) := object.union(connection, {
	"action": {"properties": {"effect": effect}},
	"resource": {"properties": members},
})

# METADATA
# title: What a call of this effect and impact changed
change_set(effect, impact, changes) := object.union(
	_about("effects/commit", "change_set", {
		"digest": "sha256:d",
		"counts": {kind: count([1 | some change in changes; change.kind == kind]) |
			some kind in ["created", "changed", "deleted"]
		},
		"bytes": sum([change.size | some change in changes; is_number(change.size)]),
		"changes": changes,
		"complete": true,
		"refused": 0,
		"conflicts": 0,
		"targets": [path("write", "out")],
	}),
	{
		"action": {"properties": {"effect": effect, "impact": impact}},
		"context": {"usage": {name: {"used": 0, "limit": null} |
			some name in ["unseen_files", "unseen_bytes"]
		}},
	},
)

# METADATA
# title: An ordinary file that was created
created(name) := {
	"path": name,
	"kind": "created",
	"type": "file",
	"size": 10,
	"mode": "0644",
	"executable": false,
	"target": null,
	"protected": false,
	"was": null,
}

# METADATA
# title: A file that was changed
changed(name) := object.union(created(name), {"kind": "changed", "was": {
	"type": "file",
	"size": 5,
	"mode": "0644",
	"executable": false,
}})

# METADATA
# title: A file that was deleted
deleted(name) := object.union(changed(name), {"kind": "deleted", "size": null, "mode": null})

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
# title: Tables that the packages of connections and change sets read
tables := {
	"approval": {"terms": {
		"low": terms,
		"high": terms,
		"critical": object.union(terms, {"approvers": ["security"]}),
	}},
	"egress": {
		"internal_endings": ["internal", "localhost"],
		"own_hosts": ["build.internal"],
		"closed": ["evil.example"],
		"read_methods": ["GET", "HEAD"],
		"untrusted": {"effects": ["execute"], "hosts": ["pypi.org"]},
	},
	"effects": {"without_person": {"changes": 2, "bytes": 100, "deletions": 0, "run_changes": 5, "run_bytes": 250}},
	"filesystem": names,
}

# METADATA
# title: The table of names
names := {
	"roots": {"read": ["/usr/share/doc"], "write": []},
	"protected_names": ["agents.md", "conftest.py", ".github"],
	"secret_names": [".ssh", "id_rsa"],
	"secret_endings": [".pem"],
	"secret_patterns": [".env.*"],
	"secret_paths": [".cargo/credentials"],
	"secret_parts": ["firebase-adminsdk"],
	"copy_endings": [".bak", "~"],
	"not_secret_names": [".env.example"],
	"run_later_names": ["makefile"],
	"run_later_endings": [".pth"],
	"root_module_names": ["random.py"],
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
	"links": null,
	"holds_secrets": null,
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
	"commands": [{"program": argv[0], "argv": argv}],
	"complete": true,
	"declared": false,
}
