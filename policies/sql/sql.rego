# METADATA
# scope: package
# title: Statements of SQL
# description: |
#   A tool that says it reads only reads, and no statement opens files, starts programs or reaches
#   other databases by a function that is known for it, whatever its tool says.
#   Not protected from: what a view, a trigger or a stored function does, and functions that
#   nobody listed. The package sql of the library narrows further: tables, columns, rows.
# related_resources:
#   - ref: docs/reference/policy-contract.md
package wardline.policies.sql

import data.wardline.lib

_targets := lib.targets("sql")

_statements := [[target.argument, statement] |
	some target in _targets
	some statement in target.statements
]

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
# title: No function that opens files, starts programs or reaches other databases
deny contains {
	"code": "sql.reaches_out",
	"agent": "This function reaches files, programs or other databases, so it may not be used. Go on without it.",
	"operator": concat("", ["argument ", argument, " calls ", name]),
	"nearest": null,
	"values": {"argument": argument, "name": name},
} if {
	some [argument, statement] in _statements
	some name in statement.functions
	_reaches_out(name)
}

# METADATA
# title: No file in the place of a table
deny contains {
	"code": "sql.reaches_out",
	"agent": "A file stands in the place of a table, so this may not be used. Name a table.",
	"operator": concat("", ["argument ", target.argument, " reads or writes the file ", name]),
	"nearest": null,
	"values": {"argument": target.argument, "name": name},
} if {
	some target in _targets
	some statement in target.statements
	some name in array.concat(statement.reads, statement.writes)
	_is_file(target, name)
}

_reaches_out(name) if name in _functions

_reaches_out(name) if strings.any_prefix_match(name, _function_beginnings)

_reaches_out(name) if endswith(name, "_scan")

_is_file(_, name) if contains(name, "/")

_is_file(_, name) if contains(name, "\\")

# DuckDB opens what has no table of its name.
_is_file(target, name) if {
	target.dialect == "duckdb"
	strings.any_suffix_match(name, _file_endings)
}

_functions := {
	"bfilename", "database_to_xml", "edit", "executable", "external_query",
	"file", "fts3_tokenizer", "getenv", "glob", "load_extension", "load_file", "mongodb", "mysql",
	"mysql_query", "odbc", "jdbc", "hdfs", "opendatasource", "openquery", "openrowset",
	"postgres_query", "postgresql", "query_to_xml", "readcsv", "readfile", "remote", "s3",
	"sniff_csv", "sqlite", "st_read", "sys_eval", "sys_exec", "system", "table_to_xml", "url",
	"writefile",
}

_function_beginnings := [
	"dblink", "dbms_", "http_", "httpuri", "lo_", "pg_file", "pg_ls", "pg_read", "pg_stat_file",
	"read_", "utl_", "xp_",
]

_file_endings := [
	".arrow", ".avro", ".csv", ".db", ".duckdb", ".gz", ".json", ".jsonl", ".ndjson", ".parquet",
	".sqlite", ".tsv", ".txt", ".xlsx", ".zst",
]
