# METADATA
# scope: package
# title: Delegation
# description: |
#   What an agent may do that another sent, and for whom any agent acts: no deeper than you say, no
#   effects and impacts that sub-agents leave to their sender, nothing without a person at the end of the
#   chain where you want one.
#   Comes on top of what the broker itself holds a sub-agent to (tools, bounds, budgets).
#   Not protected from: agents that are not told apart, for instance by one token for all.
# related_resources:
#   - ref: docs/reference/library/delegation.md
# custom:
#   denies: "sub-agents that are too deep, or do what is left to their sender; agents you did not list"
#   asks: "effects of an agent that acts for no person"
#   needs: "nothing: the chain is in every question"
package wardline.layers.delegation

import data.wardline.lib

_table := data.wardline.tables.delegation

_sent if {
	input.action.name == "tools/call"
	is_object(input.subject.properties.delegation)
}

_depth := input.subject.properties.delegation.depth if _sent

# METADATA
# title: Sub-agents of sub-agents end somewhere
deny contains {
	"code": "delegation.too_deep",
	"agent": "This agent was sent by too many others in a row. Report back, and let the sender do it.",
	"operator": "deeper than tables.delegation.most_depth",
	"nearest": null,
	"values": {"depth": _depth, "limit": _table.most_depth},
} if {
	_depth > _table.most_depth
}

# METADATA
# title: What is left to the sender
deny contains {
	"code": "delegation.left_to_sender",
	"agent": "A sub-agent does not do this. Report what is to be done, and let the sender do it.",
	"operator": "effect or impact is not in tables.delegation",
	"nearest": null,
	"values": {
		"depth": _depth,
		"effect": input.action.properties.effect,
		"impact": input.action.properties.impact,
	},
} if {
	_sent
	not _let
}

_let if {
	input.action.properties.effect in _table.effects
	input.action.properties.impact in _table.impacts
}

# METADATA
# title: Only listed agents, where there is a list
deny contains {
	"code": "delegation.unlisted_agent",
	"agent": "This agent is not known here.",
	"operator": concat("", [input.subject.id, " is not in tables.delegation.agents"]),
	"nearest": null,
	"values": {"agent": input.subject.id},
} if {
	input.action.name == "tools/call"
	is_array(_table.agents)
	input.subject.type == "agent"
	not _listed
}

_listed if input.subject.id in _table.agents

# METADATA
# title: Somebody stands behind what has an effect
require_approval contains {
	"code": "delegation.nobody",
	"agent": "Nobody stands behind this agent, so a person has to approve.",
	"operator": "the subject acts for no user",
	"nearest": null,
	"values": {"agent": input.subject.id, "effect": input.action.properties.effect},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	input.action.name == "tools/call"
	_table.person_behind == true
	input.action.properties.effect != "read"
	input.subject.type != "user"
	not _for_somebody
}

_for_somebody if {
	some actor in input.subject.properties.act
	actor.type == "user"
}

_for_somebody if {
	is_string(input.subject.properties.on_behalf_of)
	startswith(input.subject.properties.on_behalf_of, "user:")
}
