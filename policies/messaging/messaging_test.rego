package wardline.policies.messaging_test

import data.wardline.fixture_test as fixture
import data.wardline.policies.messaging

_tables := {
	"messaging": {
		"domains": ["example.com"],
		"addresses": ["bob@partner.example"],
		"accounts": ["DE02120300000000202051"],
		"phones": ["+4930901820"],
	},
	"approval": {"terms": {"low": fixture.terms, "medium": fixture.terms}},
}

_asked(effect, impact, target) := entries if {
	entries := messaging.require_approval with input as fixture.call(effect, impact, [target])
		with data.wardline.tables as _tables
}

_phone(number) := object.union(_account(number), {"scheme": "phone"})

_account(address) := {
	"kind": "recipient",
	"argument": "to",
	"scheme": "account",
	"address": address,
	"domain": null,
}

test_allowed_listed_recipients if {
	messaging.allow == {"messaging.listed_recipients"} with input as fixture.call(
		"send", "low",
		[fixture.email("a", "example.com")],
	)
		with data.wardline.tables as _tables
	_asked("send", "low", fixture.email("a", "example.com")) == set()
	_asked("send", "low", _phone("+4930901820")) == set()
	_asked("send", "low", fixture.email("bob", "partner.example")) == set()
	_asked("send", "low", _account("DE02120300000000202051")) == set()
}

test_asked_for_unlisted_recipients if {
	every target in [
		fixture.email("eve", "partner.example"),
		fixture.email("a", "sub.example.com"),
		fixture.email("a", "example.com.evil.example"),
		_account("DE00000000000000000000"),
		_account("example.com"),
	] {
		asked := _asked("send", "medium", target)
		fixture.codes(asked) == {"messaging.unlisted_recipient"}
		every entry in asked {
			entry.terms == fixture.terms
		}
	}
}

test_a_draft_reaches_nobody if {
	_asked("write", "low", fixture.email("eve", "evil.example")) == set()
	messaging.allow == {"messaging.draft"} with input as fixture.call(
		"write", "low",
		[fixture.email("eve", "evil.example")],
	)
	asked := _asked("write", "medium", fixture.email("eve", "evil.example"))
	fixture.codes(asked) == {"messaging.unlisted_recipient"}
}

test_without_tables_everyone_is_unlisted_and_nobody_approves if {
	asked := messaging.require_approval with data.wardline.tables as {}
		with input as fixture.call("send", "low", [fixture.email("a", "example.com")])
	every entry in asked {
		entry.terms == null
	}
	count(asked) == 1
}

test_unlisted_recipients_are_not_called_listed if {
	every targets in [
		[fixture.email("eve", "partner.example")],
		[fixture.email("a", "example.com"), _phone("+4930901821")],
	] {
		said := messaging.allow with input as fixture.call("send", "low", targets)
			with data.wardline.tables as _tables
		said == set()
	}
}

_marked(kind, effect, targets) := object.union(
	fixture.call(effect, "medium", targets),
	{"resource": {"properties": {"marks": {"to": kind}}}},
)

test_asked_for_a_call_without_its_recipient if {
	asked := messaging.require_approval with input as _marked("recipient", "send", [])
		with data.wardline.tables as _tables
	fixture.codes(asked) == {"messaging.no_recipient"}
	every call in [
		_marked("free", "send", []),
		_marked("recipient", "read", []),
		_marked("recipient", "send", [fixture.email("a", "example.com")]),
	] {
		none := messaging.require_approval with input as call with data.wardline.tables as _tables
		none == set()
	}
}

test_denied_recipient_of_a_read if {
	denied := messaging.deny with input as _marked("recipient", "read", [fixture.email("a", "example.com")])
	fixture.codes(denied) == {"messaging.effect_understated"}
}

_vouched(properties) := object.union(
	{
		"origin": "tool",
		"source": "directory",
		"trusted": true,
		"control": true,
		"from": null,
		"linked": false,
		"carries": [],
	},
	properties,
)

_mail(to, body, context) := fixture.in_context(
	fixture.call("send", "medium", [fixture.email("eve", "partner.example")]),
	object.union({"provenance": {"/to": to, "/body": body}, "labels": ["untrusted"]}, context),
)

_codes(document) := {entry.code | some entry in said} if {
	said := messaging.require_approval with input as document with data.wardline.tables as _tables
}

test_a_recipient_that_the_person_means_needs_no_list if {
	plain := _vouched({"control": false})
	_codes(_mail(_vouched({"origin": "user"}), plain, {})) == set()
	_codes(_mail(_vouched({"linked": true}), plain, {})) == set()
	_codes(_mail(_vouched({}), plain, {"plan": {"verdict": "matched", "required": false}})) == set()
	_codes(_mail(_vouched({}), plain, {})) == {"messaging.unlisted_recipient"}
	_codes(_mail(_vouched({"trusted": false}), plain, {})) == {"messaging.unlisted_recipient"}
}

test_text_that_carries_an_address_of_others_is_shown if {
	link := _vouched({"control": false, "carries": ["url"]})
	_codes(_mail(_vouched({"origin": "user"}), link, {})) == {"messaging.carries_untrusted"}
	read := object.union(_mail(_vouched({"origin": "user"}), link, {}), {"action": {"properties": {"effect": "read"}}})
	_codes(read) == set()
}
