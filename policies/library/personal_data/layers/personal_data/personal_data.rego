# METADATA
# scope: package
# title: Personal data
# description: |
#   Personal data that leaves: card numbers, IBANs, social security numbers in what is sent to somebody
#   who is not yours, and anything sent once the session has read data you labelled personal. Numbers are
#   checked by their own check digits, so that an order number is no card.
#   Not protected from: names and addresses in plain words, numbers in pieces or in words, pictures.
# related_resources:
#   - ref: docs/reference/library/personal_data.md
# custom:
#   denies: "card numbers, IBANs and US social security numbers to recipients that are not yours"
#   asks: "sending to others once data labelled personal was read"
#   needs: "RecipientArg() or HostArg() on where it goes; a label on what holds personal data (package labels)"
package wardline.layers.personal_data

import data.wardline.lib

_table := data.wardline.tables.personal_data

_leaves if {
	input.action.name == "tools/call"
	input.action.properties.effect in {"send", "irreversible"}
	not _all_own
}

_all_own if {
	recipients := lib.targets("recipient")
	count(recipients) > 0
	count(lib.targets("host")) == 0
	every target in recipients {
		_own(target)
	}
}

_all_own if {
	hosts := lib.targets("host")
	count(hosts) > 0
	count(lib.targets("recipient")) == 0
	every target in hosts {
		target.host in _table.own_hosts
	}
}

_own(target) if target.domain in _table.own_domains

_own(target) if target.address in _table.own_names

_text := json.marshal(input.resource.properties.args) if _leaves

# METADATA
# title: No card numbers
deny contains {
	"code": "personal_data.card",
	"agent": "This holds the number of a payment card, which does not leave. Leave it out.",
	"operator": "an argument holds a card number with a right check digit",
	"nearest": null,
	"values": {"kind": "card", "tool": input.resource.id},
} if {
	"card" in _table.kinds
	some found in regex.find_n(`\b[3-6][0-9]{3}[ -]?[0-9]{4,6}[ -]?[0-9]{4,5}[ -]?[0-9]{0,4}\b`, _text, 20)
	_is_card(replace(replace(found, " ", ""), "-", ""))
}

# METADATA
# title: No IBANs but those the call is about
deny contains {
	"code": "personal_data.iban",
	"agent": "This holds a bank account, which does not leave. Leave it out.",
	"operator": "an argument holds an IBAN that is no recipient of the call",
	"nearest": null,
	"values": {"kind": "iban", "tool": input.resource.id},
} if {
	"iban" in _table.kinds
	some found in regex.find_n(`\b[A-Z]{2}[0-9]{2} ?([0-9A-Z]{4} ?){2,7}[0-9A-Z]{1,4}\b`, _text, 20)
	account := replace(found, " ", "")
	count([1 | some target in lib.targets("recipient"); target.address == account]) == 0
	_is_iban(account)
}

# METADATA
# title: No social security numbers
deny contains {
	"code": "personal_data.us_ssn",
	"agent": "This holds a social security number, which does not leave. Leave it out.",
	"operator": "an argument holds what has the form of a US social security number",
	"nearest": null,
	"values": {"kind": "us_ssn", "tool": input.resource.id},
} if {
	"us_ssn" in _table.kinds
	some found in regex.find_n(`\b[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}\b`, _text, 20)
	parts := split(found, "-")
	area := parts[0]
	not area in {"000", "666"}
	parts[1] != "00"
	parts[2] != "0000"
}

# METADATA
# title: After personal data was read, a person sees what leaves
require_approval contains {
	"code": "personal_data.after_reading",
	"agent": "Personal data was read in this session, so a person has to approve what leaves.",
	"operator": concat("", ["the session has the label ", label]),
	"nearest": null,
	"values": {"label": label, "tool": input.resource.id},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_leaves
	some label in input.context.labels
	label in _table.labels
}

# ISO/IEC 7812: every second digit from the right is doubled, and its digits are added.
_is_card(digits) if {
	signs := split(digits, "")
	count(signs) >= 13
	count(signs) <= 19
	sum([_luhn(_value(sign), ((count(signs) - 1) - at) % 2) | some at, sign in signs]) % 10 == 0
}

_luhn(digit, 0) := digit

_luhn(digit, 1) := digit * 2 if digit < 5

_luhn(digit, 1) := (digit * 2) - 9 if digit >= 5

# ISO 13616: the first four signs go to the end, letters are numbers from 10, and 97 leaves 1.
_is_iban(account) if {
	turned := concat("", [substring(account, 4, -1), substring(account, 0, 4)])
	numbers := concat("", [_number(sign) | some sign in split(turned, "")])
	signs := split(numbers, "")
	sum([part | some at, sign in signs; part := _value(sign) * _powers[(count(signs) - 1) - at]]) % 97 == 1
}

_value(sign) := indexof("0123456789", sign)

_number(sign) := sign if _value(sign) >= 0

_number(sign) := format_int(indexof("ABCDEFGHIJKLMNOPQRSTUVWXYZ", sign) + 10, 10) if _value(sign) < 0

# Ten to the n leaves this, divided by 97.
_powers := [1, 10, 3, 30, 9, 90, 27, 76, 81, 34, 49, 5, 50, 15, 53, 45, 62, 38, 89, 17, 73, 51, 25, 56, 75, 71, 31, 19, 93, 57, 85, 74, 61, 28, 86, 84, 64, 58, 95, 77, 91, 37, 79, 14, 43, 42, 32, 29, 96, 87, 94, 67, 88, 7, 70, 21, 16, 63, 48, 92, 47, 82, 44, 52, 35, 59, 8, 80, 24, 46, 72]
