# METADATA
# scope: package
# title: Words that several packages share
# description: |
#   Facts about the input and the tables, no opinions. A table that is missing makes a fact
#   undefined, so whatever asks for it is not listed, not contained, not approved.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.lib

# METADATA
# title: Targets of one kind
targets(kind) := [target |
	some target in input.resource.properties.targets
	target.kind == kind
]

# METADATA
# title: Impact that the packages of single targets may allow by themselves
ordinary_impact if input.action.properties.impact in {"low", "medium"}

# METADATA
# title: The call may have consequences for others than the workspace
# description: |
#   A write of low impact holds a recipient or an amount without reaching it (a draft); any
#   other effect than a read is taken to reach what it names.
reaches_out if input.action.properties.effect in {"send", "execute", "irreversible"}

reaches_out if {
	input.action.properties.effect == "write"
	input.action.properties.impact != "low"
}

# METADATA
# title: The tool takes a target of this kind, and the call names none
# description: |
#   A null or an empty list in its place. Where the effect then goes is the tool's own choice.
unnamed(kind) if {
	reaches_out
	some marked in input.resource.properties.marks
	marked == kind
	count(targets(kind)) == 0
}

# METADATA
# title: Arguments in which a credential is in its place
credential contains target.argument if some target in targets("secret")

# METADATA
# title: Arguments that present a credential, rather than set one
presented contains target.argument if {
	some target in targets("secret")
	target.new == false
}

# METADATA
# title: Text of others was read in this session
heard if "untrusted" in input.context.labels

# METADATA
# title: The plan declares this call
planned if input.context.plan.verdict == "matched"

# METADATA
# title: The call completes an effect of this run that was decided before
# description: |
#   A one-time code after an order: it names nothing itself. Each effect is completed once.
completes if {
	is_number(input.resource.properties.confirms)
	input.resource.properties.confirms > 0
	ordinary_impact
}

# METADATA
# title: The control arguments that were given, and hold something
given_control contains argument if {
	some argument in input.resource.properties.control
	value := input.resource.properties.args[argument]
	not value in {null, [], {}, ""}
}

# METADATA
# title: Arguments whose values the person means
# description: |
#   Each is the person's own, the plan's or the tool's default; or it is vouched for and the
#   person led to it, or the plan declares this call, or nobody else was heard yet.
meant contains argument if {
	some argument, leaves in _leaves
	every leaf in leaves {
		_meant(leaf)
	}
}

# METADATA
# title: Arguments that the person means, and amounts that need nobody
covered := meant | small_amounts

# METADATA
# title: Arguments whose values the person said, or led to the records they name
# description: A genuine value is not enough for what cannot be undone.
named contains argument if {
	some argument, leaves in _leaves
	every leaf in leaves {
		_named(leaf)
	}
}

# METADATA
# title: Arguments whose values a person approved an effect on before, in this run
approved contains argument if {
	some argument, leaves in _leaves
	every leaf in leaves {
		leaf.origin == "approval"
	}
}

# METADATA
# title: Amounts that an operator lets go without a person, whoever chose them
# description: |
#   Together with what the run moved before: up to `to_known_payee` to payees that are listed or
#   that a person approved in this run, and up to `planned_without_person` in a call that the
#   plan declares and whose other control arguments the person means.
small_amounts contains target.argument if {
	ordinary_impact
	some target in _amounts
	limits := data.wardline.tables.budgets.amounts[target.currency]
	used := object.get(input.context.usage, [concat("_", ["amount", lower(target.currency)]), "used"], 0)
	total := sum([each.minor | some each in _amounts; each.currency == target.currency])
	some bound in _bounds(limits)
	used + total <= bound
}

_amounts := targets("amount")

_bounds(limits) := {bound |
	some bound in [
		[limits.to_known_payee | _payees_known],
		[limits.planned_without_person | _payees_planned],
	][_]
}

_payees_known if {
	payees := targets("recipient")
	count(payees) > 0
	every payee in payees {
		_known_payee(payee)
	}
}

_payees_planned if {
	planned
	rest := given_control - {target.argument | some target in _amounts}
	count(rest) > 0
	rest - meant == set()
}

_known_payee(target) if recipient_listed(target)

_known_payee(target) if target.argument in approved

# By the argument's name, which is the pointer's first part (RFC 6901).
_leaves[argument] contains leaf if {
	some pointer, leaf in input.context.provenance
	argument := split(trim_prefix(pointer, "/"), "/")[0]
}

_named(leaf) if {
	leaf.trusted == true
	leaf.origin in {"user", "plan", "default"}
}

_named(leaf) if {
	leaf.trusted == true
	leaf.linked == true
}

_meant(leaf) if _named(leaf)

_meant(leaf) if {
	leaf.trusted == true
	planned
}

_meant(leaf) if {
	leaf.trusted == true
	not heard
}

# METADATA
# title: A path inside the workspace that is not hidden
path_plain(target) if {
	target.inside_workspace == true
	target.hidden == false
}

_files := data.wardline.tables.filesystem

# METADATA
# title: The table of names that filesystem and changes read is there, whole
names_configured if {
	every member in [
		"protected_names",
		"secret_names",
		"secret_endings",
		"secret_patterns",
		"secret_paths",
		"secret_parts",
		"copy_endings",
		"not_secret_names",
		"run_later_names",
		"run_later_endings",
		"root_module_names",
	] {
		is_array(_files[member])
	}
}

# METADATA
# title: A path on which programs keep credentials
# description: |
#   Any of its names may say so, for it may be a folder. Lower case, because some file systems
#   take `.ENV` for `.env`. `permissions.tools.secret_paths` says the same to executors.
secret_path(path) if {
	parts := split(lower(path), "/")
	_may_be_secret(parts)
	some part in parts
	_secret_name(part)
	count([1 | some name in _files.not_secret_names; name == part]) == 0
}

secret_path(path) if {
	some part in split(lower(path), "/")
	part in _secret_path_beginnings
	some known in _files.secret_paths
	contains(concat("", ["/", lower(path), "/"]), concat("", ["/", known, "/"]))
}

# All names at once, for most paths hold no secret.
_may_be_secret(parts) if strings.any_suffix_match(parts, _files.secret_endings)

_may_be_secret(parts) if strings.any_prefix_match(parts, _secret_beginnings)

_may_be_secret(parts) if {
	some part in parts
	part in _files.secret_names
}

_may_be_secret(parts) if strings.any_suffix_match(parts, _files.copy_endings)

_may_be_secret(parts) if {
	some text in _files.secret_parts
	contains(concat("/", parts), text)
}

_secret_name(part) if _named_secret(part)

# A copy is as secret as what it is a copy of.
_secret_name(part) if {
	some ending in _files.copy_endings
	endswith(part, ending)
	_named_secret(trim_suffix(part, ending))
}

_named_secret(name) if name in _files.secret_names

_named_secret(name) if strings.any_suffix_match(name, _files.secret_endings)

_named_secret(name) if {
	some text in _files.secret_parts
	contains(name, text)
}

_named_secret(name) if {
	some pattern in _files.secret_patterns
	halves := split(pattern, "*")
	startswith(name, halves[0])
	endswith(name, halves[1])
}

# What a pattern begins with, and the first folder of a path: the same for every input.
_secret_beginnings := [split(pattern, "*")[0] | some pattern in _files.secret_patterns]

_secret_path_beginnings := {split(known, "/")[0] | some known in _files.secret_paths}

# METADATA
# title: A path that programs run or obey without being told to
steering_path(path) if {
	some part in split(lower(path), "/")
	part in _files.protected_names
}

# METADATA
# title: A file that somebody runs later, as a build does its build file
runs_later(relative) if {
	some part in split(lower(relative), "/")
	part in _files.run_later_names
}

runs_later(relative) if strings.any_suffix_match(lower(relative), _files.run_later_endings)

# A module of the standard library's name is imported in its place when it lies at the top.
runs_later(relative) if lower(relative) in _files.root_module_names

# METADATA
# title: An address outside of private networks, or a name
host_public(target) if target.address_class in {null, "global"}

# METADATA
# title: A host with scheme and port as an operator listed it
host_listed(target) if {
	host_public(target)
	entry := data.wardline.tables.network.hosts[target.host]
	target.scheme in entry.schemes
	target.port in entry.ports
}

# METADATA
# title: A recipient an operator listed
recipient_listed(target) if {
	target.scheme == "email"
	target.address in data.wardline.tables.messaging.addresses
}

recipient_listed(target) if {
	target.scheme == "email"
	target.domain in data.wardline.tables.messaging.domains
}

recipient_listed(target) if {
	target.scheme == "account"
	target.address in data.wardline.tables.messaging.accounts
}

recipient_listed(target) if {
	target.scheme == "phone"
	target.address in data.wardline.tables.messaging.phones
}

recipient_listed(target) if {
	target.scheme == "name"
	target.address in data.wardline.tables.messaging.names
}

# METADATA
# title: An amount within its currency's maximum
amount_limited(target) if {
	limit := data.wardline.tables.budgets.amounts[target.currency]
	target.minor <= limit.maximum
}

# METADATA
# title: What approvers have to be asked at this impact
# description: null when the table names nobody; main then denies, for nobody could approve.
approval_terms(impact) := terms if {
	terms := data.wardline.tables.approval.terms[impact]
} else := null

# METADATA
# title: These terms, met by two people at least, and not by who asks
# description: null where nobody could approve.
two_people(terms) := object.union(
	terms,
	{"quorum": max([2, terms.quorum]), "separation_of_duties": true},
) if {
	is_object(terms)
	_unordered(terms)
}

# Stages are two at least, and nobody answers twice.
two_people(terms) := object.union(terms, {"separation_of_duties": true}) if {
	is_object(terms)
	is_array(terms.stages)
}

two_people(null) := null

_unordered(terms) if object.get(terms, "stages", null) == null

# METADATA
# title: The approval at hand meets these terms
# description: |
#   Signatures, single use and binding were checked before; what is checked again here can
#   have changed since: the terms, and the time. A connection is covered by the approval of its
#   call, a change set only by one of people who saw exactly these changes.
approval_meets(terms) if {
	approval := input.context.approval
	approval.args_digest == _shown
	_meets(approval, terms)
}

# Of the whole plan: it covers planned calls of which the plan or the person said where the
# effect goes, and so nothing that approvers did not see.
approval_meets(terms) if {
	input.action.name == "tools/call"
	planned
	approval := input.context.plan.approval
	approval.digest == input.context.plan.digest
	input.context.plan.step in approval.steps
	given_control - _pinned == set()
	_meets(approval, terms)
}

_pinned contains argument if {
	some argument, leaves in _leaves
	every leaf in leaves {
		leaf.trusted == true
		leaf.origin in {"user", "plan"}
	}
}

_meets(approval, terms) if {
	approval.approved_until >= input.context.time
	count(approval.groups) > 0
	every group in approval.groups {
		group in terms.approvers
	}
	people := {person | some person in approval.approvers}
	count(people) >= terms.quorum
	not _barred(terms, people)
	every number, stage in object.get(terms, "stages", []) {
		_stage_meets(approval.stages[number], stage)
	}
}

_stage_meets(agreed, stage) if {
	count(agreed.groups) > 0
	every group in agreed.groups {
		group in stage.approvers
	}
	count({person | some person in agreed.approvers}) >= stage.quorum
}

_shown := input.resource.properties.digest if {
	input.action.name == "effects/commit"
} else := input.resource.properties.args_digest

# An agent never approves its own call, whatever the terms say.
_barred(_, people) if {
	input.subject.type != "user"
	input.subject.id in people
}

_barred(terms, people) if {
	terms.separation_of_duties == true
	some person in people
	_asks(person)
}

_asks(person) if person == input.subject.id

_asks(person) if input.subject.properties.on_behalf_of in {person, concat(":", ["user", person])}

_asks(person) if {
	some actor in input.subject.properties.act
	person in {actor.id, concat(":", [actor.type, actor.id])}
}

# METADATA
# title: Boundaries in rising order
isolation_rank := {"none": 0, "process": 1, "container": 2, "kernel": 3}

# METADATA
# title: This machine can give the boundary, or a stronger one
isolation_available(boundary) if {
	some given in input.context.environment.isolation
	isolation_rank[given] >= isolation_rank[boundary]
}
