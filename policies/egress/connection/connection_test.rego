package wardline.egress.connection_test

import data.wardline.egress.connection
import data.wardline.fixture_test as fixture

_table := fixture.tables.egress

_denied(document) := fixture.codes(entries) if {
	entries := connection.deny with input as document
		with data.wardline.tables as fixture.tables
}

_asked(document) := fixture.codes(entries) if {
	entries := connection.require_approval with input as document
		with data.wardline.tables as fixture.tables
}

_untrusted(document) := fixture.in_context(document, {"labels": ["untrusted"]})

_to(name) := fixture.connecting("read", {"host": name})

test_allowed_what_the_profile_lists if {
	_denied(fixture.connection) == set()
	_asked(fixture.connection) == set()
	connection.allow == {"connection.profile"} with input as fixture.connection
}

test_not_allowed_without_a_profile if {
	count(connection.allow) == 0 with input as fixture.connecting("read", {"profile": null})
}

test_denied_internal_names if {
	every name in ["metadata", "localhost", "a.localhost", "metadata.google.internal"] {
		_denied(_to(name)) == {"connection.internal_name"}
	}
	_denied(_to("a.notinternal")) == set()
	_denied(_to("internal.example.com")) == set()
	_denied(_to("build.internal")) == set()
}

test_denied_closed_host_and_below if {
	_denied(_to("evil.example")) == {"connection.closed_host"}
	_denied(_to("a.b.evil.example")) == {"connection.closed_host"}
	_denied(_to("notevil.example")) == set()
}

test_denied_a_read_that_sends if {
	_denied(fixture.connecting("read", {"method": "POST"})) == {"connection.effect_understated"}
	_denied(fixture.connecting("read", {"method": "GET"})) == set()
	_denied(fixture.connecting("send", {"method": "POST"})) == set()
}

test_code_after_untrusted_data_needs_a_person if {
	code := _untrusted(fixture.connecting("execute", {}))
	_asked(code) == {"connection.untrusted_session"}
	_asked(_untrusted(fixture.connecting("execute", {"host": "pypi.org"}))) == set()
	_asked(fixture.connecting("execute", {})) == set()
	_asked(_untrusted(fixture.connecting("send", {}))) == set()
}

test_denied_without_the_table_or_a_list if {
	denied := connection.deny with input as fixture.connection
		with data.wardline.tables as {}
	fixture.codes(denied) == {"connection.unconfigured"}
	every list in ["internal_endings", "own_hosts", "closed", "read_methods", "untrusted"] {
		partly := connection.deny with input as fixture.connection
			with data.wardline.tables as {"egress": object.remove(_table, [list])}
		fixture.codes(partly) == {"connection.unconfigured"}
	}
}
