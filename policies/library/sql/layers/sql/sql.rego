# METADATA
# scope: package
# title: SQL
# description: |
#   What a text of SQL does, as its grammar reads it: only the classes of statement, tables and columns
#   you let, one statement, no more rows than you say, no change of every row, and no function that
#   reads files or runs programs. A text that does not parse never gets here: it is a bad argument.
#   Not protected from: what a view, a trigger or a stored function does. Give the tool a database user
#   that can only do what it should.
# related_resources:
#   - ref: docs/reference/library/sql.md
# custom:
#   denies: "statements other than you let, closed tables and columns, many rows, changes without WHERE, dangerous functions"
#   asks: "functions the database has and the grammar does not know"
#   needs: "SqlArg(\"postgres\") (or mysql, sqlite, tsql, ...) on the text"
package wardline.layers.sql

import data.wardline.lib

_table := data.wardline.tables.sql

_targets := lib.targets("sql")

_statements := [[target.argument, statement] |
	some target in _targets
	some statement in target.statements
]

# METADATA
# title: Only classes of statement that the table lets
deny contains {
	"code": "sql.class",
	"agent": concat("", ["This statement is not allowed here. Allowed: ", concat(", ", _table.classes), "."]),
	"operator": concat("", ["argument ", argument, " does ", class, ", which tables.sql.classes lacks"]),
	"nearest": {"argument": argument, "classes": _table.classes},
	"values": {"argument": argument, "class": class, "allowed": _table.classes},
} if {
	some [argument, statement] in _statements
	some class in statement.classes
	not _class_let(class)
}

# METADATA
# title: A tool that says it reads only reads
deny contains {
	"code": "sql.effect_understated",
	"agent": "This tool is declared to read, and this statement does more.",
	"operator": concat("", ["argument ", argument, " does ", class, " under effect read"]),
	"nearest": null,
	"values": {"argument": argument, "class": class, "effect": "read"},
} if {
	input.action.properties.effect == "read"
	some [argument, statement] in _statements
	some class in statement.classes
	not class in {"read", "describe"}
}

# METADATA
# title: One statement at a time
deny contains {
	"code": "sql.several",
	"agent": "One statement at a time. Leave out what comes after the first.",
	"operator": concat("", ["argument ", target.argument, " holds several statements"]),
	"nearest": {"argument": target.argument, "statements": 1},
	"values": {"argument": target.argument, "statements": count(target.statements)},
} if {
	_table.one_statement == true
	some target in _targets
	count(target.statements) > 1
}

# METADATA
# title: Only listed tables, where there is a list
deny contains {
	"code": "sql.table",
	"agent": "This table is not for agents. Use others.",
	"operator": concat("", ["argument ", argument, " names ", name]),
	"nearest": null,
	"values": {"argument": argument, "table": name},
} if {
	some [argument, statement] in _statements
	some name in array.concat(statement.reads, statement.writes)
	not _open(name)
}

# METADATA
# title: Closed columns are not read, not even as part of all
deny contains {
	"code": "sql.column",
	"agent": "A column of this statement is not for agents. Name the columns you need, without it.",
	"operator": concat("", ["argument ", argument, " names ", column]),
	"nearest": null,
	"values": {"argument": argument, "column": column},
} if {
	some [argument, statement] in _statements
	some column in statement.columns
	column in _table.closed_columns
}

deny contains {
	"code": "sql.every_column",
	"agent": "Name the columns you need instead of taking all of them.",
	"operator": concat("", ["argument ", argument, " takes whole rows, and tables.sql.closed_columns closes some"]),
	"nearest": null,
	"values": {"argument": argument, "columns": "*"},
} if {
	count(_table.closed_columns) > 0
	some [argument, statement] in _statements
	statement.every_column == true
}

# METADATA
# title: No more rows than the table says
deny contains {
	"code": "sql.rows",
	"agent": concat("", ["End the query with LIMIT ", format_int(_table.most_rows, 10), " or less."]),
	"operator": concat("", ["argument ", argument, " has no limit, or a higher one than tables.sql.most_rows"]),
	"nearest": {"argument": argument, "limit": _table.most_rows},
	"values": {"argument": argument, "limit": statement.limit, "allowed": _table.most_rows},
} if {
	is_number(_table.most_rows)
	some [argument, statement] in _statements
	statement.classes == ["read"]
	not _bounded(statement)
}

# METADATA
# title: A change says which rows
deny contains {
	"code": "sql.every_row",
	"agent": "This would change every row. Say which, with WHERE.",
	"operator": concat("", ["argument ", argument, " updates or deletes without WHERE"]),
	"nearest": null,
	"values": {"argument": argument, "where": false},
} if {
	some [argument, statement] in _statements
	statement.where == false
}

# METADATA
# title: No function that reaches files, programs or other databases
deny contains {
	"code": "sql.function",
	"agent": "This function is not for agents.",
	"operator": concat("", ["argument ", argument, " calls ", name]),
	"nearest": null,
	"values": {"argument": argument, "function": name},
} if {
	some [argument, statement] in _statements
	some name in statement.functions
	_closed_function(name)
}

# METADATA
# title: A function that nobody listed may do anything
require_approval contains {
	"code": "sql.unknown_function",
	"agent": "This calls a function nobody listed, so a person has to approve. Do without it.",
	"operator": concat("", ["argument ", argument, " calls ", name, ", which tables.sql.functions lacks"]),
	"nearest": null,
	"values": {"argument": argument, "function": name},
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	some [argument, statement] in _statements
	some name in statement.unknown_functions
	not _function_let(name)
}

_class_let(class) if class in _table.classes

_function_let(name) if name in _table.functions

_open(name) if {
	_table.tables == null
	not _closed(name)
}

_open(name) if {
	name in _table.tables
	not _closed(name)
}

# `public.users` is closed when `users` is.
_closed(name) if name in _table.closed_tables

_closed(name) if array.reverse(split(name, "."))[0] in _table.closed_tables

_closed(name) if strings.any_prefix_match(name, _table.closed_schemas)

_closed_function(name) if name in _table.closed_functions

_closed_function(name) if strings.any_prefix_match(name, _table.closed_function_beginnings)

_bounded(statement) if statement.one_row == true

_bounded(statement) if {
	is_number(statement.limit)
	statement.limit <= _table.most_rows
}
