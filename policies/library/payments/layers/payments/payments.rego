# METADATA
# scope: package
# title: Payments
# description: |
#   Who may be paid, and how much each: accounts that you list with a maximum of their own, per call and
#   per run. A payment without a payee or to a payee nobody listed is denied. Tools that move money by
#   their name, and whose call names no amount, are seen by a person.
#   Comes on top of the package budgets, which bounds amounts whoever is paid.
#   Not protected from: what a payment provider adds (fees, exchange), and runs that share no record.
# related_resources:
#   - ref: docs/reference/library/payments.md
# custom:
#   denies: "payees nobody listed, more than a payee may get, another currency than the payee's"
#   asks: "tools known to move money whose call names no amount, and sums of a run above your line"
#   needs: "RecipientArg(\"account\") on the payee and AmountArg() on the amount, in one call"
package wardline.layers.payments

import data.wardline.lib

_table := data.wardline.tables.payments

_amounts := [target |
	input.action.name == "tools/call"
	lib.reaches_out
	some target in lib.targets("amount")
]

_payees := [target |
	count(_amounts) > 0
	some target in lib.targets("recipient")
]

# METADATA
# title: Only listed payees
deny contains {
	"code": "payments.unknown_payee",
	"agent": "This payee is not on the list of payees. Ask for it to be added.",
	"operator": concat("", ["argument ", target.argument, " is not in tables.payments.payees"]),
	"nearest": null,
	"values": {"argument": target.argument, "recipient": target.address},
} if {
	some target in _payees
	address := target.address
	not _table.payees[address]
}

# METADATA
# title: No payment without a payee that can be seen
deny contains {
	"code": "payments.no_payee",
	"agent": "Name who is paid.",
	"operator": "the call has an amount and no recipient",
	"nearest": null,
	"values": {"argument": target.argument, "amount": target.minor},
} if {
	some target in _amounts
	count(_payees) == 0
}

# METADATA
# title: No payee gets more than its maximum
deny contains {
	"code": "payments.payee_limit",
	"agent": "This is more than this payee may get at once. Pay less.",
	"operator": concat("", ["argument ", payee.argument, " may get less, see tables.payments.payees"]),
	"nearest": null,
	"values": {
		"argument": payee.argument,
		"recipient": payee.address,
		"amount": total,
		"limit": entry.maximum,
		"currency": entry.currency,
	},
} if {
	some payee in _payees
	entry := _table.payees[payee.address]
	total := sum([target.minor | some target in _amounts])
	total > entry.maximum
}

# METADATA
# title: A payee is paid in its currency
deny contains {
	"code": "payments.currency",
	"agent": concat("", ["This payee is paid in ", entry.currency, "."]),
	"operator": concat("", ["argument ", target.argument, " is in ", target.currency]),
	"nearest": {"argument": target.argument, "currency": entry.currency},
	"values": {"argument": target.argument, "currency": target.currency, "allowed": entry.currency},
} if {
	some payee in _payees
	entry := _table.payees[payee.address]
	some target in _amounts
	target.currency != entry.currency
}

# METADATA
# title: What a run pays together is seen by a person above a line
require_approval contains {
	"code": "payments.run_total",
	"agent": "Together with what was paid before, this needs a person.",
	"operator": "more than tables.payments.run_without_person together",
	"nearest": null,
	"values": {"used": used, "amount": more, "limit": limit, "currency": currency},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some currency in {target.currency | some target in _amounts}
	used := object.get(input.context.usage, [concat("_", ["amount", lower(currency)]), "used"], 0)
	more := sum([target.minor | some target in _amounts; target.currency == currency])
	limit := object.get(_table.run_without_person, currency, 0)
	used + more > limit
}

# METADATA
# title: A tool that moves money and says no amount
require_approval contains {
	"code": "payments.no_amount",
	"agent": "This moves money and names no amount that can be checked, so a person has to approve.",
	"operator": concat("", [input.resource.id, " is in tables.payments.tools, and no argument is marked as an amount"]),
	"nearest": null,
	"values": {"tool": input.resource.id},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	input.action.name == "tools/call"
	input.resource.id in _table.tools
	count(lib.targets("amount")) == 0
}
