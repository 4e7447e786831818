package wardline.policies.provenance_test

import data.wardline.fixture_test as fixture
import data.wardline.policies.provenance

_tables := {
	"messaging": {"domains": ["example.com"], "addresses": [], "accounts": []},
	"network": {"hosts": {"api.example.com": {"schemes": ["https"], "ports": [443]}}},
	"budgets": {"amounts": {"EUR": {"without_person": 0, "maximum": 1000}}},
	"approval": {"terms": {"low": fixture.terms, "medium": fixture.terms}},
}

_leaf(origin, trusted) := {"origin": origin, "source": null, "trusted": trusted, "control": true, "from": null, "linked": false, "carries": []}

# A call with one target, whose argument has a value of this origin.
_call(effect, impact, target, leaf) := object.union(
	fixture.call(effect, impact, [target]),
	{
		"resource": {"properties": {"control": [target.argument], "args": {target.argument: "x"}}},
		"context": {"provenance": {concat("", ["/", target.argument]): leaf}},
	},
)

_denied(document) := fixture.codes(entries) if {
	entries := provenance.deny with input as document with data.wardline.tables as _tables
}

_asked(document) := fixture.codes(entries) if {
	entries := provenance.require_approval with input as document with data.wardline.tables as _tables
}

_untrusted := _leaf("tool", false)

test_allowed_trusted_origins if {
	every origin in ["user", "plan", "tool", "default"] {
		document := _call("send", "medium", fixture.email("a", "evil.example"), _leaf(origin, true))
		_denied(document) == set()
		_asked(document) == set()
	}
}

test_denied_free_choice_of_untrusted_data if {
	every target in [
		fixture.email("a", "evil.example"),
		fixture.host("evil.example"),
		fixture.path("write", ".hidden"),
		fixture.amount("EUR", 1001),
		fixture.amount("XTS", 1),
		fixture.command(["ls"]),
	] {
		_denied(_call("send", "medium", target, _untrusted)) == {"provenance.untrusted_control"}
	}
}

test_the_denial_names_the_argument_and_where_to_take_it if {
	document := _call("send", "low", fixture.email("a", "evil.example"), _untrusted)
	denied := provenance.deny with input as document with data.wardline.tables as _tables
	{entry.nearest | some entry in denied} == {{"argument": "to", "origin": ["user", "plan"]}}
}

test_asked_for_a_choice_among_listed_ones if {
	every target in [
		fixture.email("a", "example.com"),
		fixture.host("api.example.com"),
		fixture.path("write", "a.txt"),
		fixture.amount("EUR", 1000),
	] {
		document := _call("send", "medium", target, _untrusted)
		_denied(document) == set()
		_asked(document) == {"provenance.untrusted_choice"}
	}
}

test_a_small_write_inside_the_workspace_passes if {
	document := _call("write", "low", fixture.path("write", "a.txt"), _untrusted)
	_denied(document) == set()
	_asked(document) == set()
}

test_one_free_value_among_listed_ones_is_denied if {
	document := object.union(
		_call("send", "medium", fixture.email("a", "example.com"), _untrusted),
		{"resource": {"properties": {"targets": [
			fixture.email("a", "example.com"),
			fixture.email("a", "evil.example"),
		]}}},
	)
	_denied(document) == {"provenance.untrusted_control"}
}

test_a_control_argument_without_target_is_a_free_choice if {
	document := object.union(
		_call("write", "low", fixture.path("write", "a.txt"), _untrusted),
		{"resource": {"properties": {"targets": []}}},
	)
	_denied(document) == {"provenance.untrusted_control"}
}

test_a_leaf_below_a_control_argument_counts if {
	document := object.union(
		fixture.call("send", "low", []),
		{
			"resource": {"properties": {"control": ["to"], "args": {"to": ["x"]}}},
			"context": {"provenance": {"/to/0": {
				"origin": "tool",
				"source": "reader",
				"trusted": false,
				"control": false,
				"from": null,
				"linked": false,
				"carries": [],
				"from": null,
				"linked": false,
				"carries": [],
			}}},
		},
	)
	_denied(document) == {"provenance.untrusted_control"}
}

test_asked_for_unknown_origin if {
	send := _call("send", "low", fixture.email("a", "evil.example"), _leaf("unknown", false))
	_denied(send) == set()
	_asked(send) == {"provenance.unknown_control"}
	write := _call("write", "low", fixture.path("write", "a.txt"), _leaf("unknown", false))
	_asked(write) == set()
}

test_a_null_of_unknown_origin_is_nobodys_choice if {
	document := object.union(
		_call("send", "low", fixture.email("a", "example.com"), _leaf("user", true)),
		{
			"resource": {"properties": {"control": ["to", "cc"], "args": {"to": "x", "cc": null}}},
			"context": {"provenance": {"/cc": _leaf("unknown", false)}},
		},
	)
	_asked(document) == set()
}

test_denied_without_a_history if {
	document := object.union(
		fixture.call("send", "low", []),
		{"resource": {"properties": {"control": ["to"], "args": {"to": "x"}}}},
	)
	_denied(document) == {"provenance.missing"}
}

test_an_argument_not_given_needs_no_history if {
	document := object.union(
		fixture.call("send", "low", []),
		{"resource": {"properties": {
			"control": ["to", "cc", "bcc", "more"],
			"args": {"to": null, "cc": [], "bcc": {}},
		}}},
	)
	_denied(document) == set()
}

test_reads_are_free_but_from_hosts if {
	document := _call("read", "low", fixture.path("read", "a.txt"), _untrusted)
	_denied(document) == set()
	_asked(document) == set()
	_denied(_call("read", "low", fixture.host("evil.example"), _untrusted)) == {"provenance.untrusted_control"}
	_asked(_call("read", "low", fixture.host("api.example.com"), _untrusted)) == {"provenance.untrusted_choice"}
}

test_free_text_is_no_control_argument if {
	document := fixture.in_context(
		fixture.call("send", "low", []),
		{"provenance": {"/body": {
			"origin": "tool",
			"source": "reader",
			"trusted": false,
			"control": false,
			"from": null,
			"linked": false,
			"carries": [],
		}}},
	)
	_denied(document) == set()
	_asked(document) == {"provenance.nothing_named"}
}

_act(effect, leaf, labels) := object.union(
	fixture.call(effect, "medium", []),
	{
		"resource": {"properties": {"control": ["id"], "args": {"id": "x"}}},
		"context": {"provenance": {"/id": leaf}, "labels": labels},
	},
)

_linked := object.union(_leaf("tool", true), {"linked": true})

test_what_the_person_means_is_allowed if {
	every effect in ["write", "send"] {
		every leaf in [_leaf("user", true), _leaf("plan", true), _leaf("default", true), _linked] {
			provenance.allow == {"provenance.meant"} with input as _act(effect, leaf, ["untrusted"])
			_asked(_act(effect, leaf, ["untrusted"])) == set()
		}
	}
	every effect in ["execute", "irreversible", "read"] {
		provenance.allow == set() with input as _act(effect, _leaf("user", true), [])
	}
}

test_a_genuine_value_that_nothing_leads_to_is_shown if {
	document := _act("send", _leaf("tool", true), ["untrusted"])
	provenance.allow == set() with input as document
	_asked(document) == {"provenance.unnamed_control"}
	_denied(document) == set()

	# Before anybody else was heard, or when the plan declares the call, it is meant.
	_asked(_act("send", _leaf("tool", true), [])) == set()
	planned := object.union(document, {"context": {"plan": {
		"verdict": "matched",
		"required": false,
	}}})
	_asked(planned) == set()
	provenance.allow == {"provenance.meant"} with input as planned
}

test_one_leaf_that_is_not_meant_is_enough if {
	document := object.union(
		_act("send", _leaf("user", true), ["untrusted"]),
		{"context": {"provenance": {"/id/1": _leaf("unknown", false)}}},
	)
	provenance.allow == set() with input as document
	_asked(document) == {"provenance.unknown_control"}
}

test_an_approved_value_is_known_and_not_named if {
	document := _act("send", _leaf("approval", true), ["untrusted"])
	_asked(document) == {"provenance.unnamed_control"}
}

test_what_names_nothing_is_shown if {
	every effect in ["write", "send"] {
		document := fixture.call(effect, "medium", [])
		_asked(document) == {"provenance.nothing_named"}
		provenance.allow == set() with input as document
	}
	_asked(fixture.call("write", "low", [])) == set()
}

_confirms(effects) := object.union(
	fixture.call("send", "medium", []),
	{"resource": {"properties": {"confirms": effects}}},
)

test_a_confirmation_of_what_was_decided_needs_nobody if {
	_asked(_confirms(1)) == set()
	provenance.allow == {"provenance.completes"} with input as _confirms(1)
	every effects in [0, null, "1", true] {
		_asked(_confirms(effects)) == {"provenance.nothing_named"}
		provenance.allow == set() with input as _confirms(effects)
	}
	high := object.union(_confirms(1), {"action": {"properties": {"impact": "high"}}})
	provenance.allow == set() with input as high
}

test_a_credential_of_untrusted_data_is_shown_where_it_is_presented if {
	every impact in ["low", "medium"] {
		presented := _call("write", impact, {"kind": "secret", "argument": "to", "new": false}, _untrusted)
		_denied(presented) == set()
		"provenance.untrusted_credential" in _asked(presented)
		changed := _call("write", impact, {"kind": "secret", "argument": "to", "new": true}, _untrusted)
		_denied(changed) == {"provenance.untrusted_control"}
	}
}

test_what_a_plan_takes_from_untrusted_data_is_shown if {
	matched := {"context": {"plan": {"verdict": "matched"}}}
	every effect in ["write", "send", "irreversible"] {
		document := object.union(_call(effect, "low", fixture.email("a", "evil.example"), _untrusted), matched)
		_denied(document) == set()
		"provenance.untrusted_extracted" in _asked(document)
	}
	departs := {"context": {"plan": {"verdict": "mismatch"}}}
	document := object.union(_call("send", "low", fixture.email("a", "evil.example"), _untrusted), departs)
	_denied(document) == {"provenance.untrusted_control"}
}
