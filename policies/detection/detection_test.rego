package wardline.policies.detection_test

import data.wardline.fixture_test as fixture
import data.wardline.policies.detection

_key := {"kind": "github_token", "pointer": "/body", "start": 4, "end": 44, "from": null}

_read := object.union(_key, {"from": {"call": "call-1", "entry": 7, "pointer": "/text"}})

_tables := {
	"detection": {"outgoing": ["secrets"], "results": ["secrets"]},
	"approval": {"terms": {"low": fixture.terms, "medium": fixture.terms, "high": fixture.terms}},
}

_call(effect, found, context) := object.union(fixture.call(effect, "medium", []), {"context": object.union(
	{"detected": {"secrets": found}},
	context,
)})

_denied(question) := fixture.codes(entries) if {
	entries := detection.deny with input as question with data.wardline.tables as _tables
}

_asked(question) := _asked_by(question, _tables)

_asked_by(question, tables) := fixture.codes(entries) if {
	entries := detection.require_approval with input as question with data.wardline.tables as tables
}

test_a_secret_that_leaves_is_a_question if {
	_asked(_call("send", [_key], {})) == {"detection.secret_leaves"}
	_denied(_call("send", [_key], {})) == set()
}

test_one_that_was_read_is_denied if {
	_denied(_call("send", [_read], {})) == {"detection.secret_read_leaves"}
}

test_one_of_unknown_origin_is_denied_after_reading if {
	labels := {"labels": ["secrets_read"]}
	_denied(_call("send", [_key], labels)) == {"detection.secret_leaves_after_reading"}
	said := object.union(labels, {"provenance": {"/body": {"origin": "user"}}})
	_denied(_call("send", [_key], said)) == set()
	_asked(_call("send", [_key], said)) == {"detection.secret_leaves"}
}

test_reading_and_drafting_leave_nothing if {
	_asked(_call("read", [_read], {})) == set()
	_denied(_call("read", [_read], {})) == set()
	draft := object.union(_call("write", [_read], {}), {"action": {"properties": {"impact": "low"}}})
	_denied(draft) == set()
}

test_an_address_that_is_fetched_leaves if {
	host := {
		"kind": "host",
		"argument": "url",
		"scheme": "https",
		"host": "example.com",
		"port": 443,
		"path": "/",
		"address_class": "global",
	}
	fetch := object.union(
		_call("read", [_read], {}),
		{"resource": {"properties": {"targets": [host]}}},
	)
	_denied(fetch) == {"detection.secret_read_leaves"}
}

test_personal_data_in_free_text_is_a_question if {
	found := [{"kind": "iban", "pointer": "/body", "start": 0, "end": 22, "from": null}]
	question := _call("send", [], {"detected": {"personal": found, "secrets": []}})
	both := object.union(_tables, {"detection": {"outgoing": ["secrets", "personal"]}})
	_asked_by(question, both) == {"detection.personal_leaves"}
	control := object.union(question, {"resource": {"properties": {"control": ["body"]}}})
	_asked_by(control, both) == set()
	_asked(question) == set()
}

test_what_was_not_looked_at_is_refused if {
	bare := object.union(fixture.base, {"context": {"detected": {"personal": []}}})
	_denied(bare) == {"detection.missing"}
	_denied(_call("read", [], {})) == set()
}

# A call with one argument that takes a credential; `new` when it sets it.
_signs_in(found, leaf, new) := object.union(
	_call("write", [object.union(found, {"pointer": "/password"})], {}),
	{
		"resource": {"properties": {
			"control": ["password"],
			"args": {"password": "x"},
			"targets": [{"kind": "secret", "argument": "password", "new": new}],
		}},
		"context": {"labels": ["untrusted", "secrets_read"], "provenance": {"/password": object.union(
			{
				"origin": "user",
				"source": null,
				"trusted": true,
				"control": true,
				"from": null,
				"linked": false,
				"carries": [],
			},
			leaf,
		)}},
	},
)

test_a_credential_in_its_place_needs_nobody_when_it_is_meant if {
	every new in [true, false] {
		_denied(_signs_in(_key, {}, new)) == set()
		_asked(_signs_in(_key, {}, new)) == set()
		_asked(_signs_in(_read, {"origin": "tool", "linked": true}, new)) == set()
	}
}

test_any_other_credential_in_its_place_is_a_question if {
	every leaf in [
		{"origin": "tool", "trusted": false},
		{"origin": "tool"},
		{"origin": "unknown", "trusted": false},
	] {
		question := _signs_in(_read, leaf, false)
		_denied(question) == set()
		_asked(question) == {"detection.secret_leaves"}
	}
}

test_a_secret_in_another_argument_leaks if {
	question := object.union(
		_signs_in(_key, {}, false),
		{"context": {"detected": {"secrets": [_read]}}},
	)
	_denied(question) == {"detection.secret_read_leaves"}
}
