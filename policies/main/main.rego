# METADATA
# scope: package
# title: The one answer
# description: |
#   Made of what packages and layers say (`joined`). Deny beats approval beats allow; nothing
#   said means deny.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.main

import data.wardline.lib

# METADATA
# title: The whole answer to one evaluation request
# description: |
#   After the usual answer the order of the branches is the order of precedence. An input of
#   unknown form is kept away from the packages, whose denials would not fire on what is
#   undefined.
# entrypoint: true
default response := {
	"decision": false,
	"context": {
		"reasons": [{
			"code": "main.nothing_allows",
			"agent": "No policy allows this. Do it another way, or ask for it to be allowed.",
			"operator": "no package allows it and none asks for an approval",
			"nearest": null,
		}],
		"obligations": [],
		"access_request": null,
		"rules": [],
	},
}

# The usual answer: the form is known, nobody denies or asks, and somebody allows.
response := {
	"decision": true,
	"context": {
		"reasons": [],
		"obligations": _ordered(_obligations, "id"),
		"access_request": null,
		"rules": sort(_allows),
	},
} if {
	_faults == set()
	_malformed == set()
	_said_denials == set()
	_approvals == set()
	_allows != set()
} else := _refusal(_faults, _codes(_faults), [], null) if {
	_faults != set()
} else := _refusal(_malformed, _codes(_malformed), [], null) if {
	_malformed != set()
} else := _refusal(_denials, _fired, _evidence, null) if {
	_denials != set()
} else := _refusal(_approvals, _fired, _evidence, _terms) if {
	_permissible
	_approvals != set()
	not _approved
} else := _permit if {
	_permissible
	_approvals != set()
}

# That a layer asks for a person does not let what no package allows or asks about.
_permissible if _allows != set()

_permissible if data.wardline.joined.asked

# A rule of its own, so that terms without a value are none that were met.
_approved if lib.approval_meets(_terms)

# What is plainly well-formed is not looked at for faults.
_faults := set() if {
	data.wardline.contract.well_formed
} else := data.wardline.contract.faults

_malformed := data.wardline.joined.malformed

_allows := data.wardline.joined.allows

_approvals := data.wardline.joined.approvals

_obligations := data.wardline.joined.obligations

_said_denials := data.wardline.joined.denials

_denials := _said_denials | _unanswerable

_permit := {
	"decision": true,
	"context": {
		"reasons": [],
		"obligations": _ordered(_obligations, "id"),
		"access_request": null,
		"rules": sort(_fired),
	},
}

_refusal(entries, rules, obligations, access_request) := {
	"decision": false,
	"context": {
		"reasons": _reasons({object.remove(entry, ["terms"]) | some entry in entries}),
		"obligations": obligations,
		"access_request": access_request,
		"rules": sort(rules),
	},
}

# A call can name a hundred paths, and each is a reason of its own: eight of one code are told.
_reasons(said) := [reason |
	some code in sort(_codes(said))
	some reason in array.slice(sort([each | some each in said; each.code == code]), 0, 8)
]

_ordered(entries, key) := [entry |
	some [_, entry] in sort([[candidate[key], candidate] | some candidate in entries])
]

_codes(entries) := {entry.code | some entry in entries}

_fired := _codes(_denials | _approvals) | _allows

# How an answer is recorded is owed for refusals too; other obligations only make sense for a run.
_evidence := _ordered({entry | some entry in _obligations; entry.type == "evidence"}, "id")

_unanswerable contains {
	"code": "main.no_common_approvers",
	"agent": "This needs a person's approval, and nobody may give it. Use another way.",
	"operator": "the demanded approver groups have none in common, or tables.approval names none",
	"nearest": null,
} if {
	_approvals != set()
	_somebody_missing
}

_somebody_missing if _common_approvers == set()

_somebody_missing if {
	some stage in _stages
	stage.approvers == []
}

_unanswerable contains {
	"code": "main.stages_differ",
	"agent": "This needs the approval of people in an order that nobody can keep. Use another way.",
	"operator": "packages ask for different stages; nobody can say which come first",
	"nearest": null,
} if {
	count(_asked_stages) > 1
}

# Joined terms: each entry can only make them harder to meet.

_common_approvers := intersection({_approvers(entry) | some entry in _approvals})

# Of stages: whoever answers in any of them.
_approvers(entry) := _groups([entry.terms]) | _groups([stage | some stage in entry.terms.stages])

_groups(stages) := {group | some stage in stages; some group in stage.approvers}

_asked_stages := {entry.terms.stages | some entry in _approvals}

# The people who are asked for without an order; they can be those of the stages.
_quorum := max({0} | {entry.terms.quorum | some entry in _approvals})

_stages := [stage |
	some order in _asked_stages
	some number, asked in order
	stage := {
		"approvers": sort([group | some group in _groups([asked]); group in _common_approvers]),
		"quorum": asked.quorum + _more(order, number),
	}
]

# Where more people are asked for than the stages have, the last stage has them.
_more(order, number) := max([0, _quorum - sum([stage.quorum | some stage in order])]) if {
	number == count(order) - 1
} else := 0

_terms := object.union(_people, {
	"expires_in_seconds": min([entry.terms.expires_in_seconds | some entry in _approvals]),
	"separation_of_duties": true in {entry.terms.separation_of_duties | some entry in _approvals},
})

_people := {"approvers": sort(_common_approvers), "quorum": _quorum} if {
	_asked_stages == set()
} else := {
	"approvers": sort(_common_approvers),
	"quorum": sum([stage.quorum | some stage in _stages]),
	"stages": _stages,
}
