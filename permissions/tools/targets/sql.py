"""A text of SQL as a target: what its statements do, to which tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from permissions.errors import ToolDefinitionError
from permissions.tools.targets.base import TargetError, plain_text

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue

SqlDialect = Literal[
    "bigquery", "clickhouse", "databricks", "duckdb", "mysql", "oracle", "postgres", "redshift",
    "snowflake", "sqlite", "trino", "tsql",
]  # fmt: skip
"""MariaDB is `mysql`, SQL Server `tsql`."""


@dataclass(frozen=True, slots=True)
class SqlArg:
    """A text of SQL that the tool runs, in the dialect of its database.

    Refused as a bad argument: what does not parse, and what databases read differently
    (comments, a backslash before a quote). Needs a database user of few rights besides: a view,
    a trigger or a function can do more than its statement says.
    """

    dialect: SqlDialect = "postgres"
    kind = "sql"
    control = True

    def __post_init__(self) -> None:
        """Refuses a dialect that nobody reads.

        Raises:
            ToolDefinitionError: it is none of the known ones.
        """
        if self.dialect not in get_args(SqlDialect):
            raise ToolDefinitionError(
                f"SqlArg({self.dialect!r:.40}): one of {', '.join(get_args(SqlDialect))}"
            )

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:  # noqa: ARG002
        """The statements in their order (`permissions.tools.sql`)."""
        from permissions.tools.sql.reading import MAX_TEXT, SqlRefusedError, read_sql

        text = plain_text(value, "SQL", MAX_TEXT, lines=True)
        try:
            statements = read_sql(text, self.dialect)
        except SqlRefusedError as err:
            raise TargetError(str(err)) from err
        return {"dialect": self.dialect, "statements": [each.document() for each in statements]}

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind, "dialect": self.dialect}
