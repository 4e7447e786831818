# METADATA
# scope: package
# title: Mail and chat
# description: |
#   Who may be written to, and how many at once: colleagues only, or others with a person; no more
#   recipients than you say; not everybody in a channel or on a list without a person. Tools that
#   leave something behind (a filter that forwards, a shared calendar, an invitation) are seen by a person.
#   Not protected from: harmful words to the right recipient.
# related_resources:
#   - ref: docs/reference/library/mail.md
# custom:
#   denies: "recipients outside of your domains (or asks, as you set it)"
#   asks: "many recipients, whole channels and lists, mailbox rules, invitations and sharing"
#   needs: "RecipientArg() on addresses, RecipientArg(\"name\") on channels"
package wardline.layers.mail

import data.wardline.lib

_table := data.wardline.tables.mail

_recipients := [target |
	input.action.name == "tools/call"
	some target in lib.targets("recipient")
	target.scheme in {"email", "name", "phone"}
]

_outside := [target |
	lib.reaches_out
	some target in _recipients
	target.scheme == "email"
	not _own(target)
]

# METADATA
# title: Only colleagues
deny contains {
	"code": "mail.outside",
	"agent": concat("", ["Mail goes to colleagues only: ", concat(", ", _table.own_domains), "."]),
	"operator": concat("", ["argument ", target.argument, " is outside of tables.mail.own_domains"]),
	"nearest": {"argument": target.argument, "domains": _table.own_domains},
	"values": {"argument": target.argument, "recipient": target.address, "domain": target.domain},
} if {
	_table.outside == "deny"
	some target in _outside
}

# METADATA
# title: Others with a person
require_approval contains {
	"code": "mail.outside",
	"agent": "This leaves the organisation, so a person has to approve.",
	"operator": concat("", ["argument ", target.argument, " is outside of tables.mail.own_domains"]),
	"nearest": null,
	"values": {"argument": target.argument, "recipient": target.address, "domain": target.domain},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	_table.outside == "ask"
	some target in _outside
}

# METADATA
# title: Many recipients are seen by a person
require_approval contains {
	"code": "mail.many",
	"agent": concat("", ["More than ", format_int(_table.most_recipients, 10), " recipients need a person. Write to fewer."]),
	"operator": "more recipients than tables.mail.most_recipients",
	"nearest": null,
	"values": {"recipients": count(_recipients), "limit": _table.most_recipients},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	lib.reaches_out
	count(_recipients) > _table.most_recipients
}

# METADATA
# title: Everybody of a list or a channel is seen by a person
require_approval contains {
	"code": "mail.everybody",
	"agent": "This reaches everybody of a list or a channel, so a person has to approve.",
	"operator": concat("", ["argument ", where, " names everybody"]),
	"nearest": null,
	"values": {"argument": where},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	lib.reaches_out
	some where in _everybody
}

# METADATA
# title: What stays behind is seen by a person
require_approval contains {
	"code": "mail.lasting",
	"agent": "This changes who gets what from now on, so a person has to approve.",
	"operator": concat("", [input.resource.id, " is in tables.mail.lasting_tools"]),
	"nearest": null,
	"values": {"tool": input.resource.id},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	input.action.name == "tools/call"
	input.resource.id in _table.lasting_tools
}

_own(target) if {
	some domain in _table.own_domains
	_within(target.domain, domain)
}

_own(target) if lower(target.address) in _table.also

_within(host, domain) if host == domain

_within(host, domain) if {
	_table.subdomains == true
	endswith(host, concat("", [".", domain]))
}

_everybody contains target.argument if {
	some target in _recipients
	target.scheme == "email"
	lower(split(target.address, "@")[0]) in _table.list_names
}

_everybody contains target.argument if {
	some target in _recipients
	target.scheme == "name"
	trim_left(lower(target.address), "#@") in _table.list_names
}

# Said in the text of a message: everybody who reads the channel is called.
_everybody contains argument if {
	count(_recipients) > 0
	some argument, value in input.resource.properties.args
	is_string(value)
	some call in _table.calls
	contains(lower(value), call)
}
