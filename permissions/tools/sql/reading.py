"""What the statements of a text are: their classes, tables, columns, functions and row limit. Pure.

Read with sqlglot, in the dialect of the database. What it cannot parse, and what two databases
(or two settings of one) would read differently, is refused: comments, a backslash before a
quote, a statement's first word as an alias. What it parses but does not model is of class `other`.
Names are in lower case, whether quoted or not.

Not protected from: what a view, a trigger or a function of the database does, and a dialect
that is not the database's.
"""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlglot
from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.vocabulary import JsonObject

MAX_TEXT: Final = 20_000
"""Characters of one text."""
MAX_STATEMENTS: Final = 50

_reading: ContextVar[bool] = ContextVar("reading", default=False)
# It logs the text of what it does not know, and a text of a call belongs into no log.
logging.getLogger("sqlglot").addFilter(lambda _: not _reading.get())

_CLASSES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("read", (exp.Query, exp.Values)),
    ("insert", (exp.Insert,)),
    ("update", (exp.Update,)),
    ("delete", (exp.Delete, exp.TruncateTable)),
    ("merge", (exp.Merge,)),
    ("define", (exp.Create, exp.Drop, exp.Alter, exp.Comment)),
    ("grant", (exp.Grant, exp.Revoke)),
    ("copy", (exp.Copy, exp.LoadData, exp.Export)),
    ("describe", (exp.Describe, exp.Show)),
    ("transaction", (exp.Transaction, exp.Commit, exp.Rollback)),
    ("session", (exp.Set, exp.Use, exp.Pragma, exp.Attach, exp.Detach)),
)
_INSIDE = (
    exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.Copy,
)  # fmt: skip
"""What makes a statement more than its root says: a query may delete in its WITH."""
_FIRST_WORDS = frozenset(
    [
        "alter",
        "backup",
        "begin",
        "bulk",
        "checkpoint",
        "commit",
        "create",
        "dbcc",
        "deallocate",
        "declare",
        "delete",
        "deny",
        "disable",
        "drop",
        "enable",
        "exec",
        "execute",
        "grant",
        "insert",
        "kill",
        "merge",
        "raiserror",
        "reconfigure",
        "restore",
        "revert",
        "revoke",
        "rollback",
        "save",
        "set",
        "shutdown",
        "truncate",
        "update",
        "use",
        "waitfor",
    ]
)
_ESCAPED_QUOTE = re.compile(r"\\['\"`]")


class SqlRefusedError(ValueError):
    """The text cannot be read without doubt. The message never holds any of it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement.

    Attributes:
        classes: all it does; a query that deletes in its WITH is `delete` and `read`.
        reads: tables, `schema.table` where that is written.
        writes: the tables it changes.
        columns: those it names.
        every_column: it takes whole rows, by `*` or by a table's name.
        functions: those it calls, also with the package or schema they are called by
            (`utl_http.request`); `unknown_functions` no grammar knows: the database's own, or
            somebody's.
        limit: rows it gives at most, where a number says so.
        one_row: it gives a single row of totals.
        where: a change says which rows.
    """

    classes: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    columns: tuple[str, ...]
    every_column: bool
    functions: tuple[str, ...]
    unknown_functions: tuple[str, ...]
    limit: int | None
    one_row: bool
    where: bool

    def document(self) -> JsonObject:
        """As policies see it."""
        return {
            "classes": [*self.classes],
            "reads": [*self.reads],
            "writes": [*self.writes],
            "columns": [*self.columns],
            "every_column": self.every_column,
            "functions": [*self.functions],
            "unknown_functions": [*self.unknown_functions],
            "limit": self.limit,
            "one_row": self.one_row,
            "where": self.where,
        }


def read_sql(text: str, dialect: str) -> list[Statement]:
    """The statements of a text, in their order.

    Raises:
        SqlRefusedError: it cannot be read without doubt.
    """
    if len(text) > MAX_TEXT:
        raise SqlRefusedError(f"is longer than {MAX_TEXT} characters")
    if _ESCAPED_QUOTE.search(text):
        raise SqlRefusedError("holds a backslash before a quote; double the quote instead")
    token = _reading.set(True)
    try:
        tokens = sqlglot.tokenize(text, read=dialect)
        parsed = sqlglot.parse(text, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    except Exception as err:  # a parser of many hands: whatever it raises, nothing was read
        raise SqlRefusedError(f"cannot be parsed as SQL of {dialect}") from err
    finally:
        _reading.reset(token)
    if any(each.comments or each.token_type is sqlglot.TokenType.HINT for each in tokens):
        raise SqlRefusedError("holds a comment, which databases read differently; leave it out")
    roots = [each for each in parsed if each is not None]
    if not roots or len(roots) > MAX_STATEMENTS:
        raise SqlRefusedError(f"holds no statement, or more than {MAX_STATEMENTS}")
    return [_statement(root) for root in roots]


def _statement(root: Any) -> Statement:
    nodes = list(root.walk())
    tables = [each for each in nodes if isinstance(each, exp.Table)]
    _refuse_hidden_statements(nodes)
    written = [each for each in (_written(node) for node in nodes) if each is not None]
    targets = {id(each) for each in written}
    aliases = {each.alias_or_name.lower() for each in tables} | {
        each.alias.lower() for each in nodes if isinstance(each, exp.Subquery | exp.CTE)
    }
    columns = {each.name.lower() for each in nodes if isinstance(each, exp.Column)}
    columns |= {
        each.name.lower()
        for schema in nodes
        if isinstance(schema, exp.Schema)
        for each in schema.expressions
    }
    functions = {_function(each) for each in nodes if isinstance(each, exp.Func)}
    functions |= {
        f"{each.this.name.lower()}.{_function(each.expression)}"
        for each in nodes
        if isinstance(each, exp.Dot) and isinstance(each.expression, exp.Func)
    }
    unknown = {each.name.lower() for each in nodes if isinstance(each, exp.Anonymous)}
    return Statement(
        classes=tuple(sorted({*_classes(root, nodes)})),
        reads=_names(each for each in tables if id(each) not in targets and not _is_cte(each)),
        writes=_names(written),
        columns=tuple(sorted(columns - {"*", ""})),
        every_column=bool(columns & aliases) or any(map(_takes_rows, nodes)),
        functions=tuple(sorted(functions - {""})),
        unknown_functions=tuple(sorted(unknown)),
        limit=_limit(root),
        one_row=_one_row(root),
        where=all(
            each.args.get("where") is not None
            for each in nodes
            if isinstance(each, exp.Update | exp.Delete)
        )
        and not any(isinstance(each, exp.TruncateTable) for each in nodes),
    )


def _classes(root: Any, nodes: list[Any]) -> Iterator[str]:
    yield next((name for name, kinds in _CLASSES if isinstance(root, kinds)), "other")
    for node in nodes:
        if isinstance(node, exp.Into):
            yield "define"
        elif isinstance(node, exp.Lock):
            yield "lock"
        elif isinstance(node, exp.Command | exp.Execute):
            yield "other"
        elif isinstance(node, _INSIDE):
            yield next(name for name, kinds in _CLASSES if isinstance(node, kinds))
        elif isinstance(node, exp.Query):
            yield "read"


def _refuse_hidden_statements(nodes: list[Any]) -> None:
    """Where no `;` is needed between statements, what looks like an alias may be the next one."""
    for node in nodes:
        alias = node.args.get("alias") if isinstance(node, exp.Expression) else None
        name = alias.this if isinstance(alias, exp.TableAlias) else alias
        if (
            isinstance(name, exp.Identifier)
            and not name.quoted
            and name.name.lower() in _FIRST_WORDS
        ):
            raise SqlRefusedError("holds the first word of a statement as an alias; quote it")


def _written(node: Any) -> Any:
    """The table a node changes."""
    if isinstance(node, exp.Into):
        return node.this if isinstance(node.this, exp.Table) else None
    kinds = (
        exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter,
        exp.Copy,
    )  # fmt: skip
    if isinstance(node, exp.TruncateTable):
        return node.expressions[0] if len(node.expressions) == 1 else None
    if not isinstance(node, kinds):
        return None
    target = node.this
    while isinstance(target, exp.Schema | exp.Alias):
        target = target.this
    return target if isinstance(target, exp.Table) else None


def _names(tables: Any) -> tuple[str, ...]:
    found = (
        ".".join(part.name.lower() for part in table.parts)
        for table in tables
        if not isinstance(table.this, exp.Func)
    )
    return tuple(sorted({each for each in found if each}))


def _is_cte(table: Any) -> bool:
    """Whether a table's name is that of a WITH in whose view it stands.

    `WITH t AS (SELECT * FROM t)` reads a table t inside, unless it is recursive.
    """
    if table.args.get("db") is not None:
        return False
    name = table.name.lower()
    below: Any = table
    above: Any = table.parent
    while above is not None:
        if isinstance(above, exp.With):
            names = [each.alias.lower() for each in above.expressions]
            at = next(i for i, each in enumerate(above.expressions) if each is below)
            if name in names[: at + 1 if above.args.get("recursive") else at]:
                return True
            below = above.parent
            above = below.parent
            continue
        clause = above.args.get("with_") or above.args.get("with")
        if clause is not None and name in {each.alias.lower() for each in clause.expressions}:
            return True
        below, above = above, above.parent
    return False


def _takes_rows(node: Any) -> bool:
    return isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count)


def _function(node: Any) -> str:
    return (node.name if isinstance(node, exp.Anonymous) else node.sql_name()).lower()


def _limit(root: Any) -> int | None:
    limit: Any = root.args.get("limit")
    if isinstance(limit, exp.Fetch):
        count: Any = limit.args.get("count")
        plain = True
    elif isinstance(limit, exp.Limit):
        count, plain = limit.expression, not limit.expressions  # LIMIT n BY: for each group
    else:
        return None
    options = limit.args.get("limit_options")
    if options is not None and (options.args.get("percent") or options.args.get("with_ties")):
        return None
    is_number = plain and isinstance(count, exp.Literal) and not count.is_string
    return int(count.this) if is_number and count.this.isdecimal() else None


def _one_row(root: Any) -> bool:
    return (
        isinstance(root, exp.Select)
        and root.args.get("group") is None
        and bool(root.expressions)
        and all(isinstance(each.unalias(), exp.AggFunc) for each in root.expressions)
    )
