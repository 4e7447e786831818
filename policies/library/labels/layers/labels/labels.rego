# METADATA
# scope: package
# title: Data labels
# description: |
#   What may happen once a session has read data of a kind: a label says where its data may go and what may
#   no longer be done. Tools and folders put labels on the session that reads from them.
#   Not protected from: what the session read before a label was put, and what another session does with a
#   file that this one wrote.
# related_resources:
#   - ref: docs/reference/library/labels.md
# custom:
#   denies: "sending data of a label to others than the label lets, and effects the label bars"
#   asks: "effects a label wants a person for"
#   needs: "tools or folders listed in the table; PathArg, RecipientArg and HostArg on where data comes from and goes"
package wardline.layers.labels

import data.wardline.lib

_table := data.wardline.tables.labels

# Each label of the session that the table has, and what it says.
_held[label] := rules if {
	input.action.name == "tools/call"
	some label in input.context.labels
	rules := _table.labels[label]
}

# METADATA
# title: Data of a label stays where the label lets it
deny contains {
	"code": "labels.destination",
	"agent": concat("", ["This session holds ", label, " data, which may not go there."]),
	"operator": concat("", ["argument ", target.argument, " is no destination of tables.labels.labels.", label]),
	"nearest": null,
	"values": {"label": label, "argument": target.argument},
} if {
	lib.reaches_out
	some label, rules in _held
	some target in input.resource.properties.targets
	target.kind in {"recipient", "host"}
	not _lets(rules, target)
}

# METADATA
# title: What a label bars is over for this session
deny contains {
	"code": "labels.barred",
	"agent": concat("", ["This session holds ", label, " data, so this is no longer done in it. Begin another."]),
	"operator": concat("", ["tables.labels.labels.", label, " bars this effect"]),
	"nearest": null,
	"values": {"label": label, "effect": input.action.properties.effect},
} if {
	some label, rules in _held
	input.action.properties.effect in rules.bars
}

# METADATA
# title: What a label wants a person for
require_approval contains {
	"code": "labels.asks",
	"agent": concat("", ["This session holds ", label, " data, so a person has to approve."]),
	"operator": concat("", ["tables.labels.labels.", label, " wants a person for this effect"]),
	"nearest": null,
	"values": {"label": label, "effect": input.action.properties.effect},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some label, rules in _held
	input.action.properties.effect in rules.asks
}

# METADATA
# title: What a call reads from puts its labels on the session
obligations contains {
	"id": concat(".", ["labels", label]),
	"type": "label",
	"properties": {"add": [label]},
} if {
	some label in _put
}

_put contains label if {
	input.action.name == "tools/call"
	some label in _table.tools[input.resource.id]
}

_put contains label if {
	input.action.name == "tools/call"
	some target in lib.targets("path")
	target.relative != null
	some folder, labels in _table.folders
	_below(lower(target.relative), folder)
	some label in labels
}

_below(relative, folder) if relative == folder

_below(relative, folder) if startswith(relative, concat("", [folder, "/"]))

_lets(rules, target) if {
	target.kind == "recipient"
	target.domain in rules.domains
}

_lets(rules, target) if {
	target.kind == "recipient"
	target.address in rules.names
}

_lets(rules, target) if {
	target.kind == "host"
	target.host in rules.hosts
}
