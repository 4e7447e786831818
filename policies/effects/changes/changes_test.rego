package wardline.effects.changes_test

import data.wardline.effects.changes
import data.wardline.fixture_test as fixture

_table := fixture.tables.effects

_names := fixture.tables.filesystem

_allowed(document) := entries if {
	entries := changes.allow with input as document with data.wardline.tables as fixture.tables
}

_denied(document) := fixture.codes(entries) if {
	entries := changes.deny with input as document with data.wardline.tables as fixture.tables
}

_asked(document) := fixture.codes(entries) if {
	entries := changes.require_approval with input as document
		with data.wardline.tables as fixture.tables
}

_of(effect, entries) := fixture.change_set(effect, "low", entries)

_with(document, members) := object.union(document, {"resource": {"properties": members}})

test_allowed_what_the_call_named if {
	declared := _of("send", [fixture.created("out"), fixture.changed("out/a/b")])
	_allowed(declared) == {"changes.declared"}
	_denied(declared) == set()
	_asked(declared) == set()
	_allowed(_of("send", [fixture.created("output")])) == set()
	_allowed(_of("send", [fixture.created("out"), fixture.created("b")])) == set()
}

test_a_named_workspace_covers_all_of_it if {
	root := object.union(fixture.path("write", "x"), {"relative": "."})
	_allowed(_with(_of("send", [fixture.created("b")]), {"targets": [root]})) == {"changes.declared"}
	read := object.union(root, {"access": "read"})
	_allowed(_with(_of("send", [fixture.created("b")]), {"targets": [read]})) == set()
}

test_allowed_few_small_changes if {
	few := [fixture.created("a"), fixture.changed("b")]
	_allowed(_of("write", few)) == {"changes.few"}
	_allowed(_of("execute", few)) == {"changes.few"}
	_allowed(_of("send", few)) == set()
	_allowed(fixture.change_set("write", "high", few)) == set()
}

test_much_is_asked_for if {
	many := [fixture.created("a"), fixture.created("b"), fixture.created("c")]
	_asked(_of("write", many)) == {"changes.many"}
	large := object.union(fixture.created("a"), {"size": 101})
	_asked(_of("write", [large])) == {"changes.large"}
	_asked(_of("write", [object.union(large, {"path": "out"})])) == set()
}

test_many_small_changes_of_a_run_add_up if {
	one := [fixture.created("a")]
	_allowed(_after(_of("write", one), "unseen_files", 4)) == {"changes.few"}
	_asked(_after(_of("write", one), "unseen_files", 5)) == {"changes.many"}
	_asked(_after(_of("write", one), "unseen_bytes", 240)) == set()
	_asked(_after(_of("write", one), "unseen_bytes", 241)) == {"changes.large"}
}

test_what_is_not_known_of_the_run_is_asked_for if {
	unknown := json.remove(_of("write", [fixture.created("a")]), ["/context/usage"])
	_asked(unknown) == {"changes.many", "changes.large"}
}

_after(document, name, used) := object.union(
	document,
	{"context": {"usage": {name: {"used": used, "limit": null}}}},
)

test_deletions_are_asked_for if {
	_asked(_of("write", [fixture.deleted("a")])) == {"changes.deletions"}
	_asked(_of("write", [fixture.deleted("out")])) == {"changes.deletions"}
}

test_programs_are_asked_for if {
	program := {"mode": "0755", "executable": true}
	_asked(_of("write", [object.union(fixture.created("a"), program)])) == {"changes.executable"}
	_asked(_of("write", [object.union(fixture.changed("a"), program)])) == {"changes.executable"}
	again := object.union(fixture.changed("a"), object.union(program, {"was": program}))
	_asked(_of("write", [again])) == {"changes.executable"}
	no_more := object.union(fixture.changed("a"), {"was": program})
	_asked(_of("write", [no_more])) == {"changes.executable"}
}

test_other_permissions_are_asked_for if {
	was := {"type": "file", "size": 5, "mode": "0600", "executable": false}
	_asked(_of("write", [object.union(fixture.changed("a"), {"was": was})])) == {"changes.permissions"}
	everybody := object.union(fixture.created("d"), {"type": "directory", "mode": "0777", "size": null})
	_asked(_of("write", [everybody])) == {"changes.permissions"}
	_asked(_of("write", [object.union(everybody, {"mode": "0775"})])) == set()
	_asked(_of("write", [object.union(fixture.created("a"), {"mode": "0666"})])) == {"changes.permissions"}
	_asked(_of("write", [object.union(fixture.created("a"), {"mode": null})])) == {"changes.permissions"}
}

test_what_makes_a_folder_a_repository_is_asked_for if {
	_asked(_of("write", [fixture.created("vendor/x/HEAD")])) == {"changes.repository"}
	_asked(_of("write", [fixture.changed("vendor/x/config")])) == {"changes.repository"}
	_asked(_of("write", [fixture.created("vendor/config/x.json")])) == set()
}

test_hidden_files_are_asked_for if {
	_asked(_of("write", [fixture.created("a/.cache/b")])) == {"changes.hidden"}
	_asked(_of("write", [fixture.created("a.b")])) == set()
}

test_impact_is_asked_for if {
	_asked(fixture.change_set("write", "high", [fixture.created("out")])) == {"changes.needs_person"}
	_terms({"approval": fixture.tables.approval}) == {{
		"approvers": ["security"],
		"quorum": 2,
		"expires_in_seconds": 900,
		"separation_of_duties": true,
	}}
	_terms({}) == {null}
}

_terms(tables) := {entry.terms | some entry in entries; entry.code == "changes.needs_two"} if {
	entries := changes.require_approval with input as _critical
		with data.wardline.tables as tables
}

_critical := fixture.change_set("write", "critical", [fixture.created("out")])

test_denied_what_steers_or_is_secret if {
	every name in ["conftest.py", "a/Conftest.py/b", "id_rsa", "keys/server.pem"] {
		_denied(_of("write", [fixture.created("b"), fixture.created(name)])) == {"changes.protected"}
	}
	marked := object.union(fixture.created("a"), {"protected": true})
	_denied(_of("write", [marked])) == {"changes.protected"}
	_denied(_of("write", [fixture.created("xconftest.py")])) == set()
}

test_denied_what_cannot_come_out_whole if {
	ordinary := _of("write", [fixture.created("out")])
	_denied(_with(ordinary, {"complete": false})) == {"changes.incomplete"}
	_denied(_with(ordinary, {"refused": 1})) == {"changes.refused_entry"}
	_denied(_with(ordinary, {"conflicts": 1})) == {"changes.conflict"}
}

test_denied_changes_of_a_read if {
	_denied(_of("read", [fixture.created("out")])) == {"changes.effect_understated"}
	_allowed(_of("read", [fixture.created("out")])) == set()
}

test_denied_without_a_table_or_a_member if {
	ordinary := _of("write", [fixture.created("out")])
	every tables in [
		{},
		{"effects": _table},
		{"filesystem": _names},
		{"effects": {"without_person": {"changes": 2, "bytes": 1}}, "filesystem": _names},
		{"effects": _table, "filesystem": object.remove(_names, ["secret_endings"])},
	] {
		denied := changes.deny with input as ordinary with data.wardline.tables as tables
		fixture.codes(denied) == {"changes.unconfigured"}
	}
}

test_what_others_run_later_is_asked_for if {
	every name in ["Makefile", "sub/makefile", "lib/a.pth", "random.py"] {
		_asked(_of("write", [fixture.changed(name)])) == {"changes.runs_later"}
	}
	_asked(_of("write", [fixture.changed("lib/random.py")])) == set()
}

test_secrets_by_pattern_are_not_committed if {
	_denied(_of("write", [fixture.created("a/.env.local")])) == {"changes.protected"}
	_denied(_of("write", [fixture.created("a/.env.example")])) == set()
}
