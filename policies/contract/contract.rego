# METADATA
# scope: package
# title: Inputs of unknown form
# description: |
#   Rules that deny do not fire on what is undefined, so an input the contract does not know is
#   refused before any of them is asked. Says nothing about whether a call is wise.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.contract

# METADATA
# title: What is wrong with the form of this input
faults contains _fault("subject", "subject is not type, id and properties") if not _subject

faults contains _fault("action", "action is unknown, or its effect or impact is") if not _action

faults contains _fault("resource", "resource is no tool, connection or change set") if not _resource

faults contains _fault("resource", "resource is of another type than action asks about") if {
	_resource
	wanted := _asked[input.action.name]
	type := input.resource.type
	type != wanted
}

faults contains _fault("changes", "a change is of unknown kind or form") if {
	is_array(input.resource.properties.changes)
	some change in input.resource.properties.changes
	not _change(change)
}

faults contains _fault("targets", "targets is no list") if not _targets

faults contains _fault("targets", "a target is of unknown kind or form") if {
	_targets
	some target in input.resource.properties.targets
	not _target(target)
}

faults contains _fault("targets", "a change set comes with path targets only") if {
	input.resource.type == "change_set"
	_targets
	some target in input.resource.properties.targets
	kind := target.kind
	kind != "path"
}

faults contains _fault("context", "context is not of the contract's form") if not _context

faults contains _fault("provenance", "provenance is no object") if not _provenance

faults contains _fault("provenance", "an entry of provenance is of unknown form") if {
	_provenance
	some entry in input.context.provenance
	not _origin(entry)
}

faults contains _fault("usage", "usage is no object") if not _usage

faults contains _fault("usage", "a budget is not used and limit") if {
	_usage
	some budget in input.context.usage
	not _budget(budget)
}

faults contains _fault("plan", "plan is neither null nor of known verdict") if not _plan

faults contains _fault("approval", "approval is neither null nor complete") if not _approval

# METADATA
# title: A call that is plainly of the form
# description: |
#   In one straight line, for the usual call to pass. What it passes has no faults; what it does
#   not is looked at rule by rule.
well_formed if {
	input.action.name == "tools/call"
	subject := input.subject
	subject.type in {"user", "agent", "service"}
	is_string(subject.id)
	who := subject.properties
	is_array(who.roles)
	every role in who.roles {
		is_string(role)
	}
	type_name(who.on_behalf_of) in {"string", "null"}
	is_array(who.act)
	every actor in who.act {
		is_string(actor.type)
		is_string(actor.id)
	}
	does := input.action.properties
	does.effect in {"read", "write", "send", "execute", "irreversible"}
	does.impact in {"low", "medium", "high", "critical"}
	resource := input.resource
	resource.type == "tool"
	is_string(resource.id)
	tool := resource.properties
	is_object(tool.args)
	is_string(tool.args_digest)
	is_string(tool.tool_digest)
	tool.isolation in {"none", "process", "container", "kernel"}
	tool.stateful in {true, false}
	_nullable_whole(tool.confirms)
	tool.workspace in {"copy", "overlay"}
	is_array(tool.control)
	every argument in tool.control {
		is_string(argument)
	}
	is_object(tool.marks)
	every kind in tool.marks {
		kind in {"path", "host", "recipient", "amount", "command", "resource", "secret", "sql", "free"}
	}
	not tool.changes
	is_array(tool.targets)
	every target in tool.targets {
		_target(target)
	}
	context := input.context
	is_string(context.run)
	is_string(context.call)
	_whole(context.time)
	is_array(context.labels)
	every label in context.labels {
		is_string(label)
	}
	here := context.environment
	is_string(here.name)
	type_name(here.workspace) in {"string", "null"}
	is_array(here.isolation)
	every boundary in here.isolation {
		boundary in {"none", "process", "container", "kernel"}
	}
	is_object(context.provenance)
	every entry in context.provenance {
		_origin(entry)
	}
	is_object(context.facts)
	is_object(context.detected)
	every found in context.detected {
		_findings(found)
	}
	is_object(context.usage)
	every budget in context.usage {
		_budget(budget)
	}
	_plan
	_approval
}

_fault(part, operator) := {
	"code": concat("", ["contract.", part]),
	"agent": "The broker described this in a form the policies do not know.",
	"operator": operator,
	"nearest": null,
}

_subject if {
	input.subject.type in {"user", "agent", "service"}
	is_string(input.subject.id)
	_strings(input.subject.properties.roles)
	_nullable_string(input.subject.properties.on_behalf_of)
	is_array(input.subject.properties.act)
	every actor in input.subject.properties.act {
		is_string(actor.type)
		is_string(actor.id)
	}
}

_action if {
	_asked[input.action.name]
	input.action.properties.effect in {"read", "write", "send", "execute", "irreversible"}
	input.action.properties.impact in {"low", "medium", "high", "critical"}
}

# What each action is about.
_asked := {
	"tools/call": "tool",
	"egress/connect": "connection",
	"effects/commit": "change_set",
}

_resource if {
	input.resource.type == "tool"
	is_string(input.resource.id)
	is_object(input.resource.properties.args)
	is_string(input.resource.properties.args_digest)
	is_string(input.resource.properties.tool_digest)
	_boundary(input.resource.properties.isolation)
	is_boolean(input.resource.properties.stateful)
	_nullable_whole(input.resource.properties.confirms)
	input.resource.properties.workspace in {"copy", "overlay"}
	_strings(input.resource.properties.control)
	is_object(input.resource.properties.marks)
	every kind in input.resource.properties.marks {
		kind in {"path", "host", "recipient", "amount", "command", "resource", "secret", "sql", "free"}
	}
}

_resource if {
	input.resource.type == "connection"
	is_string(input.resource.id)
	_of_call
	input.resource.properties.kind in {"connect", "http"}
	is_string(input.resource.properties.host)
	_whole(input.resource.properties.port)
	input.resource.properties.port >= 1
	input.resource.properties.port <= 65535
	_nullable_string(input.resource.properties.method)
	_nullable_string(input.resource.properties.path)
	_nullable_string(input.resource.properties.profile)
}

_resource if {
	input.resource.type == "change_set"
	is_string(input.resource.id)
	_of_call
	is_string(input.resource.properties.digest)
	every kind in ["created", "changed", "deleted"] {
		_whole(input.resource.properties.counts[kind])
	}
	_whole(input.resource.properties.bytes)
	is_array(input.resource.properties.changes)
	is_boolean(input.resource.properties.complete)
	_whole(input.resource.properties.refused)
	_whole(input.resource.properties.conflicts)
}

_of_call if {
	is_string(input.resource.properties.tool)
	is_string(input.resource.properties.tool_digest)
	is_string(input.resource.properties.args_digest)
}

_change(change) if {
	is_string(change.path)
	change.kind in {"created", "changed", "deleted"}
	_entry(change)
	_nullable_string(change.target)
	is_boolean(change.protected)
	_was(change.was)
}

_was(entry) if entry == null

_was(entry) if _entry(entry)

_entry(entry) if {
	entry.type in {"file", "directory", "link"}
	_nullable_whole(entry.size)
	_nullable_string(entry.mode)
	is_boolean(entry.executable)
}

_targets if is_array(input.resource.properties.targets)

_targets if input.resource.type == "connection"

_target(target) if {
	is_string(target.argument)
	_target_of(target.kind, target)
}

_target_of("path", target) if {
	target.access in {"read", "write"}
	is_string(target.path)
	is_string(target.resolved)
	is_boolean(target.inside_workspace)
	is_boolean(target.hidden)
	_nullable_string(target.relative)
	_nullable_whole(target.links)
	object.get(target, "holds_secrets", null) in {null, true, false}
}

_target_of("host", target) if {
	is_string(target.host)
	_nullable_string(target.scheme)
	_nullable_whole(target.port)
	_nullable_string(target.path)
	target.address_class in {
		null,
		"global",
		"private",
		"loopback",
		"link_local",
		"metadata",
		"reserved",
	}
}

_target_of("recipient", target) if {
	target.scheme in {"email", "account", "phone", "name"}
	is_string(target.address)
	_nullable_string(target.domain)
}

_target_of("amount", target) if {
	is_string(target.currency)
	_whole(target.minor)
}

_target_of("resource", target) if {
	is_string(target.type)
	is_string(target.name)
}

_target_of("secret", target) if is_boolean(target.new)

_target_of("command", target) if {
	_strings(target.argv)
	_nullable_string(target.program)
	is_boolean(target.shell)
	is_boolean(target.complete)
	is_boolean(target.declared)
	is_array(target.commands)
	every command in target.commands {
		is_string(command.program)
		_strings(command.argv)
	}
}

_target_of("sql", target) if {
	is_string(target.dialect)
	is_array(target.statements)
	every statement in target.statements {
		every member in ["classes", "reads", "writes", "columns", "functions", "unknown_functions"] {
			_strings(statement[member])
		}
		every member in ["every_column", "one_row", "where"] {
			is_boolean(statement[member])
		}
		_nullable_whole(statement.limit)
	}
}

_context if {
	is_string(input.context.run)
	is_string(input.context.call)
	_whole(input.context.time)
	_strings(input.context.labels)
	is_object(input.context.facts)
	is_object(input.context.detected)
	every found in input.context.detected {
		_findings(found)
	}
	is_string(input.context.environment.name)
	_nullable_string(input.context.environment.workspace)
	is_array(input.context.environment.isolation)
	every boundary in input.context.environment.isolation {
		_boundary(boundary)
	}
}

_findings(found) if {
	is_array(found)
	every one in found {
		is_string(one.kind)
		is_string(one.pointer)
		_whole(one.start)
		_whole(one.end)
		type_name(one.from) in {"object", "null"}
	}
}

_provenance if is_object(input.context.provenance)

_origin(entry) if {
	entry.origin in {"user", "plan", "approval", "tool", "default", "unknown"}
	_nullable_string(entry.source)
	is_boolean(entry.trusted)
	is_boolean(entry.control)
	_site(entry.from)
	is_boolean(entry.linked)
	_strings(entry.carries)
}

_site(where) if where == null

_site(where) if {
	is_string(where.call)
	_nullable_whole(where.entry)
	_nullable_string(where.pointer)
	type_name(where.cut) in {"array", "null"}
}

_usage if is_object(input.context.usage)

_budget(budget) if {
	_whole(budget.used)
	_nullable_whole(budget.limit)
}

_plan if input.context.plan == null

_plan if {
	input.context.plan.verdict in {
		null,
		"matched",
		"undeclared",
		"exhausted",
		"not_ready",
		"mismatch",
		"expired",
	}
	is_boolean(input.context.plan.required)
	_plan_approval(object.get(input.context.plan, "approval", null))
}

_plan_approval(approval) if approval == null

_plan_approval(approval) if {
	_strings(approval.approvers)
	_strings(approval.groups)
	_whole(approval.approved_until)
	is_string(approval.digest)
	_strings(approval.steps)
	_agreed(object.get(approval, "stages", []))
}

_approval if input.context.approval == null

_approval if {
	_strings(input.context.approval.approvers)
	_strings(input.context.approval.groups)
	_whole(input.context.approval.approved_until)
	is_string(input.context.approval.args_digest)
	_agreed(object.get(input.context.approval, "stages", []))
}

_agreed(stages) if {
	is_array(stages)
	every stage in stages {
		_strings(stage.approvers)
		_strings(stage.groups)
	}
}

_boundary(value) if value in {"none", "process", "container", "kernel"}

_strings(values) if {
	is_array(values)
	every value in values {
		is_string(value)
	}
}

_nullable_string(value) if type_name(value) in {"string", "null"}

# Engines only agree on integers that a double holds exactly.
_whole(value) if {
	is_number(value)
	value >= 0
	value <= 9007199254740991
	value == floor(value)
}

_nullable_whole(value) if _whole(value)

_nullable_whole(value) if value == null
