# METADATA
# scope: package
# title: Tests of what statements may do
package wardline.policies.sql_test

import data.wardline.fixture_test as fixture
import data.wardline.policies.sql

_target(classes, functions) := {
	"kind": "sql",
	"argument": "text",
	"dialect": "postgres",
	"statements": [{
		"classes": classes,
		"reads": ["t"],
		"writes": [],
		"columns": [],
		"every_column": false,
		"functions": functions,
		"unknown_functions": [],
		"limit": null,
		"one_row": false,
		"where": true,
	}],
}

test_a_tool_that_reads_only_reads if {
	every class in ["copy", "define", "delete", "insert", "lock", "other", "session", "update"] {
		denied := sql.deny with input as fixture.call("read", "low", [_target(["read", class], [])])
		fixture.codes(denied) == {"sql.effect_understated"}
	}
}

test_queries_are_reads if {
	sql.deny == set() with input as fixture.call("read", "low", [_target(["read"], ["count"])])
	sql.deny == set() with input as fixture.call("read", "low", [_target(["describe"], [])])
}

test_a_tool_that_writes_may_change_tables if {
	sql.deny == set() with input as fixture.call("write", "low", [_target(["update"], ["lower"])])
}

test_functions_that_reach_out_are_for_no_tool if {
	every name in ["readfile", "read_text", "pg_read_file", "lo_import", "load_file", "xp_cmdshell"] {
		every effect in ["read", "write"] {
			denied := sql.deny with input as fixture.call(effect, "low", [_target(["read"], [name])])
			fixture.codes(denied) == {"sql.reaches_out"}
		}
	}
}

test_a_file_is_no_table if {
	every named in [["postgres", "csv./etc/passwd"], ["tsql", "c:\\x"], ["duckdb", "a.csv"]] {
		target := object.union(_reading(named[1]), {"dialect": named[0]})
		denied := sql.deny with input as fixture.call("read", "low", [target])
		fixture.codes(denied) == {"sql.reaches_out"}
	}
}

test_a_schema_may_have_a_table_csv if {
	sql.deny == set() with input as fixture.call("read", "low", [_reading("a.csv")])
}

_reading(name) := object.union(target, {"statements": [object.union(statement, {"reads": [name]})]}) if {
	target := _target(["read"], [])
	[statement] := target.statements
}
