package wardline.policies.network_test

import data.wardline.fixture_test as fixture
import data.wardline.policies.network

_tables := {"hosts": {
	"api.example.com": {"schemes": ["https"], "ports": [443]},
	"db.example.com": {"schemes": [null], "ports": [5432]},
	"10.0.0.5": {"schemes": ["https"], "ports": [443]},
	"8.8.8.8": {"schemes": ["https"], "ports": [443]},
}}

_denied(target) := fixture.codes(entries) if {
	entries := network.deny with input as fixture.call("read", "low", [target])
		with data.wardline.tables.network as _tables
}

test_allowed_listed_host if {
	_denied(fixture.host("api.example.com")) == set()
	network.allow == {"network.listed_host"} with input as fixture.call(
		"send", "medium",
		[fixture.host("api.example.com")],
	)
		with data.wardline.tables.network as _tables
	count(network.allow) == 0 with input as fixture.call("read", "low", [fixture.host("evil.example")])
		with data.wardline.tables.network as _tables
}

test_allowed_listed_public_address if {
	_denied(object.union(fixture.host("8.8.8.8"), {"address_class": "global"})) == set()
}

test_allowed_bare_host_where_listed if {
	_denied(object.union(fixture.host("db.example.com"), {"scheme": null, "port": 5432})) == set()
}

test_denied_unlisted_host if {
	_denied(fixture.host("evil.example")) == {"network.unlisted_host"}
	_denied(fixture.host("api.example.com.evil.example")) == {"network.unlisted_host"}
}

test_denied_internal_address_also_when_listed if {
	every class in ["private", "loopback", "link_local", "metadata", "reserved"] {
		target := object.union(fixture.host("10.0.0.5"), {"address_class": class})
		_denied(target) == {"network.internal_address"}
	}
}

test_denied_scheme_and_port_not_listed if {
	_denied(object.union(fixture.host("api.example.com"), {"scheme": "http", "port": 443})) == {"network.unlisted_scheme"}
	_denied(object.union(fixture.host("api.example.com"), {"port": 8443})) == {"network.unlisted_scheme"}
	_denied(object.union(fixture.host("api.example.com"), {"scheme": null})) == {"network.unlisted_scheme"}
}

test_denied_without_the_table if {
	denied := network.deny with input as fixture.call("read", "low", [fixture.host("a.example")])
		with data.wardline.tables as {}
	fixture.codes(denied) == {"network.unlisted_host"}
}

test_one_bad_host_among_good_ones_is_denied if {
	targets := [fixture.host("api.example.com"), fixture.host("evil.example")]
	denied := network.deny with input as fixture.call("read", "low", targets)
		with data.wardline.tables.network as _tables
	fixture.codes(denied) == {"network.unlisted_host"}
}

test_high_impact_is_not_allowed_here if {
	count(network.allow) == 0 with input as fixture.call(
		"send", "high",
		[fixture.host("api.example.com")],
	)
		with data.wardline.tables.network as _tables
	count(network.allow) == 0 with input as fixture.call("read", "low", [fixture.host("evil.example")])
		with data.wardline.tables.network as _tables
}
