package wardline.policies.filesystem_test

import data.wardline.fixture_test as fixture
import data.wardline.policies.filesystem

_tables := fixture.names

_outside(access, path) := object.union(
	fixture.path(access, "x"),
	{"path": path, "resolved": path, "inside_workspace": false, "relative": null},
)

_denied(effect, target) := fixture.codes(entries) if {
	entries := filesystem.deny with input as fixture.call(effect, "low", [target])
		with data.wardline.tables.filesystem as _tables
}

test_allowed_read_inside if {
	call := fixture.call("read", "medium", [fixture.path("read", "a/b.txt")])
	filesystem.allow == {"filesystem.read"} with input as call
	count(filesystem.deny) == 0 with input as call with data.wardline.tables.filesystem as _tables
}

test_allowed_write_inside if {
	filesystem.allow == {"filesystem.write"} with input as fixture.call(
		"write", "medium",
		[fixture.path("write", "a.txt")],
	)
	_denied("write", fixture.path("write", "a.txt")) == set()
}

test_what_lies_outside_is_no_access_inside if {
	every access in ["read", "write"] {
		both := [fixture.path(access, "a.txt"), _outside(access, "/etc/hosts")]
		filesystem.allow == set() with input as fixture.call(access, "low", both)
			with data.wardline.tables.filesystem as _tables
	}
}

test_allowed_read_of_a_listed_root if {
	_denied("read", _outside("read", "/usr/share/doc")) == set()
	_denied("read", _outside("read", "/usr/share/doc/a")) == set()
}

test_high_impact_is_not_allowed_here if {
	count(filesystem.allow) == 0 with input as fixture.call(
		"write", "high",
		[fixture.path("write", "a.txt")],
	)
}

test_denied_outside if {
	_denied("read", _outside("read", "/etc/passwd")) == {"filesystem.outside"}
}

test_denied_beside_a_listed_root if {
	_denied("read", _outside("read", "/usr/share/docs/a")) == {"filesystem.outside"}
}

test_denied_write_where_only_reads_are_listed if {
	_denied("write", _outside("write", "/usr/share/doc/a")) == {"filesystem.outside"}
}

test_denied_link_that_leads_out_of_a_listed_root if {
	link := object.union(_outside("read", "/usr/share/doc/a"), {"resolved": "/etc/shadow"})
	_denied("read", link) == {"filesystem.outside"}
}

test_denied_write_of_protected if {
	_denied("write", fixture.path("write", ".github/ci.yml")) == {"filesystem.protected"}
	_denied("write", fixture.path("write", "docs/AGENTS.md")) == {"filesystem.protected"}
}

test_allowed_read_of_hidden if _denied("read", fixture.path("read", ".gitignore")) == set()

test_denied_secrets_by_name_and_ending if {
	_denied("read", fixture.path("read", ".ssh/known_hosts")) == {"filesystem.secret"}
	_denied("read", fixture.path("read", "keys/ID_RSA")) == {"filesystem.secret"}
	_denied("read", fixture.path("read", "keys/site.pem")) == {"filesystem.secret"}
}

test_denied_secret_behind_a_link if {
	link := object.union(fixture.path("read", "notes"), {"resolved": "/srv/desk/.ssh/key"})
	_denied("read", link) == {"filesystem.secret"}
}

test_denied_write_under_effect_read if {
	_denied("read", fixture.path("write", "a.txt")) == {"filesystem.effect_understated"}
}

test_denied_without_the_table if {
	denied := filesystem.deny with input as fixture.call("read", "low", [fixture.path("read", "a")])
		with data.wardline.tables as {}
	fixture.codes(denied) == {"filesystem.unconfigured"}
}

test_nothing_said_about_calls_without_paths if {
	count(filesystem.allow) == 0 with input as fixture.base
	count(filesystem.deny) == 0 with input as fixture.base with data.wardline.tables as {}
}

_asked(target) := fixture.codes(entries) if {
	entries := filesystem.require_approval with input as fixture.call("write", "low", [target])
		with data.wardline.tables as fixture.tables
}

test_asked_for_writing_hidden_files if {
	_asked(fixture.path("write", ".gitignore")) == {"filesystem.hidden"}
	_denied("write", fixture.path("write", ".gitignore")) == set()
	_asked(fixture.path("read", ".gitignore")) == set()
}

test_asked_for_writing_what_runs_later if {
	every name in ["Makefile", "lib/Makefile", "lib/a.pth", "random.py"] {
		_asked(fixture.path("write", name)) == {"filesystem.runs_later"}
	}
	_asked(fixture.path("write", "lib/random.py")) == set()
}

test_asked_for_a_file_with_several_names if {
	linked := object.union(fixture.path("read", "notes"), {"links": 2})
	_asked(linked) == {"filesystem.several_names"}
	_asked(object.union(linked, {"links": 1})) == set()
}

test_asked_for_a_folder_that_holds_secrets if {
	folder := object.union(fixture.path("read", "app"), {"holds_secrets": true})
	_asked(folder) == {"filesystem.holds_secrets"}
	_asked(object.union(folder, {"holds_secrets": false})) == set()
}

test_denied_secrets_by_pattern_and_path if {
	every name in [".env.local", "app/.ENV.production", ".cargo/credentials", ".cargo/credentials/x"] {
		_denied("read", fixture.path("read", name)) == {"filesystem.secret"}
	}
	every name in [".env.example", "cargo/credentials", ".environment"] {
		_denied("read", fixture.path("read", name)) == set()
	}
}

test_denied_while_one_list_is_missing if {
	denied := filesystem.deny with input as fixture.call("read", "low", [fixture.path("read", "a")])
		with data.wardline.tables.filesystem as object.remove(fixture.names, ["secret_paths"])
	fixture.codes(denied) == {"filesystem.unconfigured"}
}
