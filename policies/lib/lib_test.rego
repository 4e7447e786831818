package wardline.lib_test

import data.wardline.fixture_test as fixture
import data.wardline.lib

test_targets_of_one_kind if {
	host := fixture.host("example.com")
	document := fixture.call("read", "low", [fixture.path("read", "a"), host])
	lib.targets("host") == [host] with input as document
}

test_terms_missing_from_the_table_are_null if {
	lib.approval_terms("high") == null with data.wardline.tables.approval as {"terms": {}}
}

test_two_people_only_make_terms_harder if {
	lib.two_people(_one_person) == object.union(_one_person, {"quorum": 2, "separation_of_duties": true})
	lib.two_people(object.union(_one_person, {"quorum": 3})).quorum == 3
	lib.two_people(null) == null
	staged := {
		"stages": [{"approvers": ["a"], "quorum": 1}, {"approvers": ["b"], "quorum": 1}],
		"expires_in_seconds": 60,
		"separation_of_duties": false,
	}
	lib.two_people(staged) == object.union(staged, {"separation_of_duties": true})
}

test_a_small_write_reaches_nobody if {
	not lib.reaches_out with input as fixture.call("write", "low", [])
}

test_other_effects_reach_out if {
	every effect in ["send", "execute", "irreversible"] {
		lib.reaches_out with input as fixture.call(effect, "low", [])
	}
	lib.reaches_out with input as fixture.call("write", "medium", [])
}

_one_person := {
	"approvers": ["operators"],
	"quorum": 1,
	"expires_in_seconds": 900,
	"separation_of_duties": false,
}

_approved(approvers, groups) := fixture.in_context(fixture.base, {
	"approval": fixture.approval(approvers, groups),
})

test_an_approval_meets_terms if {
	lib.approval_meets(_one_person) with input as _approved(["bob"], ["operators"])
}

test_no_approval_meets_nothing if {
	not lib.approval_meets(_one_person) with input as fixture.base
}

test_a_group_beside_the_terms_voids_it if {
	not lib.approval_meets(_one_person) with input as _approved(["bob"], ["operators", "others"])
}

test_an_approval_without_group_meets_nothing if {
	not lib.approval_meets(_one_person) with input as _approved(["bob"], [])
}

test_one_person_twice_is_no_quorum if {
	terms := object.union(fixture.terms, {"quorum": 2})
	not lib.approval_meets(terms) with input as _approved(["bob", "bob"], ["operators"])
	lib.approval_meets(terms) with input as _approved(["bob", "eve"], ["operators"])
}

test_an_outlived_approval_meets_nothing if {
	late := object.union(_approved(["bob"], ["operators"]), {"context": {"time": 2001}})
	not lib.approval_meets(_one_person) with input as late
}

test_other_arguments_are_not_approved if {
	other := object.union(
		_approved(["bob"], ["operators"]),
		{"resource": {"properties": {"args_digest": "sha256:z"}}},
	)
	not lib.approval_meets(_one_person) with input as other
}

test_separation_of_duties_bars_the_human_acted_for if {
	terms := object.union(fixture.terms, {"separation_of_duties": true})
	lib.approval_meets(_one_person) with input as _approved(["alice"], ["operators"])
	not lib.approval_meets(terms) with input as _approved(["alice"], ["operators"])
	not lib.approval_meets(terms) with input as _approved(["user:alice"], ["operators"])
	lib.approval_meets(terms) with input as _approved(["bob"], ["operators"])
}

test_separation_of_duties_bars_everyone_who_asks if {
	terms := object.union(fixture.terms, {"separation_of_duties": true})
	subject := {"type": "user", "id": "ann", "properties": {
		"roles": [],
		"on_behalf_of": null,
		"act": [{"type": "agent", "id": "lead"}],
	}}
	every person in ["ann", "lead", "agent:lead"] {
		document := object.union(_approved([person], ["operators"]), {"subject": subject})
		lib.approval_meets(_one_person) with input as document
		not lib.approval_meets(terms) with input as document
	}
}

test_an_agent_never_approves_its_own_call if {
	not lib.approval_meets(_one_person) with input as _approved(["clerk"], ["operators"])
}

test_a_stronger_boundary_will_do if {
	lib.isolation_available("process") with input as fixture.base
	not lib.isolation_available("kernel") with input as fixture.base
}
