package wardline.joined_test

import data.wardline.fixture_test as fixture
import data.wardline.joined

_entry(code) := {"code": code, "agent": "a", "operator": "o", "nearest": null}

_said := {
	"p": {"allow": {"p.a"}, "deny": {_entry("p.d")}},
	"q": {
		"deny": {_entry("q.d")},
		"require_approval": {object.union(_entry("q.r"), {"terms": null})},
		"obligations": {{"id": "q.o", "type": "label", "properties": {}}},
	},
}

test_what_packages_say_is_joined if {
	fixture.codes(joined.denials) == {"p.d", "q.d"} with input as fixture.base
		with data.wardline.policies as _said
	fixture.codes(joined.approvals) == {"q.r"} with input as fixture.base
		with data.wardline.policies as _said
	joined.allows == {"p.a"} with input as fixture.base with data.wardline.policies as _said
	count(joined.obligations) == 1 with input as fixture.base
		with data.wardline.policies as _said
	joined.malformed == set() with input as fixture.base with data.wardline.policies as _said
	joined.asked with input as fixture.base with data.wardline.policies as _said
}

test_a_layer_asks_and_denies_and_allows_nothing if {
	joined.allows == set() with input as fixture.base
		with data.wardline.policies as {"p": {}}
		with data.wardline.layers as _said
	fixture.codes(joined.denials) == {"p.d", "q.d"} with input as fixture.base
		with data.wardline.policies as {"p": {}}
		with data.wardline.layers as _said
	not joined.asked with input as fixture.base
		with data.wardline.policies as {"p": {}}
		with data.wardline.layers as _said
}

test_an_unknown_question_is_asked_of_layers_only if {
	unknown := object.union(fixture.base, {"action": {"name": "another"}})
	joined.denials == set() with input as unknown with data.wardline.policies as _said
	fixture.codes(joined.denials) == {"p.d", "q.d"} with input as unknown
		with data.wardline.policies as _said
		with data.wardline.layers as _said
}

test_a_rule_of_another_form_is_malformed if {
	some said in [
		{"p": {"allow": {1}}},
		{"p": {"deny": ["p.d"]}},
		{"p": {"deny": {_entry(1)}}},
		{"p": {"require_approval": {_entry("p.r")}}},
		{"p": {"obligations": {{"id": "p.o", "type": "label"}}}},
	]
	fixture.codes(joined.malformed) == {"main.rule_malformed"} with input as fixture.base
		with data.wardline.policies as said
}
