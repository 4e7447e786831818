"""What SQL is read as, and what is refused, dialect by dialect."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from permissions.errors import ToolDefinitionError
from permissions.tools.sql.reading import MAX_STATEMENTS, SqlRefusedError, read_sql
from permissions.tools.targets import SqlArg, TargetError


def one(text: str, dialect: str = "postgres") -> dict[str, Any]:
    (statement,) = read_sql(text, dialect)
    return statement.document()


CLASSES = [
    ("postgres", "SELECT a FROM t", ["read"]),
    ("postgres", "TABLE t", ["read"]),
    ("postgres", "VALUES (1)", ["read"]),
    ("postgres", "SELECT a FROM t UNION SELECT a FROM u", ["read"]),
    ("postgres", "WITH x AS (DELETE FROM t RETURNING a) SELECT a FROM x", ["delete", "read"]),
    ("postgres", "SELECT a INTO n FROM t", ["define", "read"]),
    ("postgres", "SELECT a FROM t FOR UPDATE", ["lock", "read"]),
    ("postgres", "INSERT INTO t (a) VALUES (1)", ["insert"]),
    ("postgres", "INSERT INTO t SELECT a FROM s", ["insert", "read"]),
    ("postgres", "UPDATE t SET a = 1 WHERE b = 2", ["update"]),
    ("postgres", "DELETE FROM t", ["delete"]),
    ("postgres", "TRUNCATE t", ["delete"]),
    ("postgres", "MERGE INTO t USING s ON t.i = s.i WHEN MATCHED THEN DELETE", ["merge"]),
    ("postgres", "CREATE TABLE t (a int)", ["define"]),
    ("postgres", "CREATE TABLE n AS SELECT a FROM t", ["define", "read"]),
    ("postgres", "DROP TABLE t", ["define"]),
    ("postgres", "ALTER TABLE t DROP COLUMN a", ["define"]),
    ("postgres", "GRANT ALL ON t TO eve", ["grant"]),
    ("postgres", "COPY t TO PROGRAM 'sh'", ["copy"]),
    ("postgres", "COPY (SELECT a FROM t) TO '/tmp/x'", ["copy", "read"]),
    ("postgres", "EXPLAIN ANALYZE DELETE FROM t", ["other"]),
    ("postgres", "DO $$ BEGIN DELETE FROM t; END $$", ["other"]),
    ("postgres", "CALL f()", ["other"]),
    ("postgres", "LISTEN x", ["other"]),
    ("postgres", "VACUUM t", ["other"]),
    ("postgres", "SET ROLE admin", ["other"]),
    ("postgres", "LOCK TABLE t", ["other"]),
    ("postgres", "PREPARE p AS DELETE FROM t", ["other"]),
    ("postgres", "COMMIT", ["transaction"]),
    ("mysql", "SHOW TABLES", ["describe"]),
    ("mysql", "SET GLOBAL general_log = 1", ["session"]),
    ("sqlite", "ATTACH DATABASE 'x' AS y", ["session"]),
    ("sqlite", "PRAGMA writable_schema = 1", ["session"]),
    ("sqlite", "REPLACE INTO t VALUES (1)", ["other"]),
    ("tsql", "EXEC xp_cmdshell 'dir'", ["other"]),
    ("snowflake", "CREATE STAGE s", ["define"]),
]


@pytest.mark.parametrize(("dialect", "text", "classes"), CLASSES, ids=[c[1] for c in CLASSES])
def test_a_statement_is_all_that_it_does(dialect: str, text: str, classes: list[str]) -> None:
    assert one(text, dialect)["classes"] == classes


def test_tables_that_are_read_and_written_are_told_apart() -> None:
    found = one(
        "INSERT INTO app.Sums (total) SELECT sum(v) FROM App.sales JOIN fees USING (id)"
    )

    assert found["writes"] == ["app.sums"]
    assert found["reads"] == ["app.sales", "fees"]


def test_a_name_of_a_with_is_no_table_but_where_it_is_one() -> None:
    """`WITH t AS (SELECT * FROM t)` reads the table t."""
    assert one("WITH x AS (SELECT a FROM t) SELECT a FROM x")["reads"] == ["t"]
    assert one("WITH secrets AS (SELECT a FROM secrets) SELECT a FROM secrets")["reads"] == [
        "secrets"
    ]
    assert one("WITH a AS (SELECT k FROM b), b AS (SELECT k FROM t) SELECT k FROM a")[
        "reads"
    ] == ["b", "t"]
    assert one("SELECT k FROM u WHERE k IN (WITH u AS (SELECT 1 AS k) SELECT k FROM u)")[
        "reads"
    ] == ["u"]
    assert (
        one("WITH RECURSIVE r AS (SELECT 1 AS n UNION SELECT n + 1 FROM r) SELECT n FROM r")[
            "reads"
        ]
        == []
    )


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM t",
        "SELECT t.* FROM t",
        "TABLE t",
        "SELECT t FROM t",
        "SELECT to_json(x) FROM t AS x",
        "SELECT x FROM (SELECT a FROM t) AS x",
    ],
)
def test_whole_rows_are_every_column(text: str) -> None:
    assert one(text)["every_column"]


def test_counting_takes_no_column() -> None:
    found = one("SELECT count(*) FROM t")

    assert (found["every_column"], found["one_row"]) == (False, True)


@pytest.mark.parametrize(
    ("dialect", "text", "limit"),
    [
        ("postgres", "SELECT a FROM t LIMIT 10", 10),
        ("postgres", "SELECT a FROM t FETCH FIRST 5 ROWS ONLY", 5),
        ("postgres", "SELECT a FROM t UNION SELECT a FROM u LIMIT 3", 3),
        ("mysql", "SELECT a FROM t LIMIT 5, 10", 10),
        ("tsql", "SELECT TOP 5 a FROM t", 5),
        ("tsql", "SELECT TOP 5 PERCENT a FROM t", None),
        ("postgres", "SELECT a FROM t FETCH FIRST 5 ROWS WITH TIES", None),
        ("postgres", "SELECT a FROM t LIMIT ALL", None),
        ("postgres", "SELECT a FROM t LIMIT 10 + 10", None),
        ("sqlite", "SELECT a FROM t LIMIT -1", None),
        ("sqlite", "SELECT a FROM t LIMIT ?", None),
        ("postgres", "SELECT a FROM (SELECT a FROM t LIMIT 1) AS x, u", None),
        ("clickhouse", "SELECT a FROM t LIMIT 1 BY a", None),
    ],
)
def test_only_a_plain_number_is_a_limit(dialect: str, text: str, limit: int | None) -> None:
    assert one(text, dialect)["limit"] == limit


def test_functions_nobody_knows_are_told_apart() -> None:
    found = one("SELECT upper(a), pg_read_file('/etc/passwd') FROM t")

    assert found["functions"] == ["pg_read_file", "upper"]
    assert found["unknown_functions"] == ["pg_read_file"]
    assert one("SELECT a FROM read_csv('/etc/passwd')", "duckdb")["reads"] == []
    assert "read_csv" in one("SELECT a FROM read_csv('/etc/passwd')", "duckdb")["functions"]


def test_a_change_of_every_row_has_no_where() -> None:
    assert not one("DELETE FROM t")["where"]
    assert not one("TRUNCATE t")["where"]
    assert not one("WITH x AS (UPDATE t SET a = 1 RETURNING a) SELECT a FROM x")["where"]
    assert one("DELETE FROM t WHERE a = 1")["where"]


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("postgres", "SELEC a FROM t"),
        ("postgres", ";"),
        ("postgres", "SELECT 1 -- ; DROP TABLE t"),
        ("mysql", "SELECT 1 /*!50000 INTO OUTFILE '/tmp/x' */"),
        ("mysql", "SELECT 1 # comment"),
        ("mysql", "SELECT /*+ SET_VAR(sql_mode='') */ 1"),
        ("mysql", r"SELECT '\'; DROP TABLE t; -- '"),
        ("mysql", "SELECT a FROM t INTO OUTFILE '/tmp/x'"),
        ("mysql", "LOAD DATA INFILE 'x' INTO TABLE t"),
        ("tsql", "SELECT a FROM t SHUTDOWN"),
        ("tsql", "SELECT 1 DROP TABLE t"),
        ("postgres", "SELECT " + "(" * 3000 + "1" + ")" * 3000),
        ("postgres", "SELECT 1;" * (MAX_STATEMENTS + 1)),
        ("postgres", "SELECT '" + "x" * 20_000 + "'"),
    ],
    ids=range(14),
)
def test_what_is_in_doubt_is_refused(dialect: str, text: str) -> None:
    with pytest.raises(SqlRefusedError):
        read_sql(text, dialect)


def test_statements_come_in_their_order() -> None:
    found = read_sql("SELECT a FROM t; DELETE FROM u", "postgres")

    assert [each.classes for each in found] == [("read",), ("delete",)]


def test_a_refusal_says_nothing_of_the_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(TargetError) as caught:
        SqlArg().parse("SELECT hunter2 FROM WHERE", Path("/w"))
    with caplog.at_level(logging.DEBUG):
        SqlArg().parse("CALL hunter2()", Path("/w"))

    assert "hunter2" not in str(caught.value) + caplog.text


def test_a_dialect_is_one_of_those_known() -> None:
    with pytest.raises(ToolDefinitionError, match="one of bigquery"):
        SqlArg("postgresql")  # type: ignore[arg-type]
