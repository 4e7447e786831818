"""From a deployer's labels to guarded tools, alike for every suite.

No tool is known by its name. What a label does not say is told from the names of arguments,
by the words that `wardline policy check --tools` suggests marks with; what a service fills in
is told from the names of fields, unless the label lists them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from permissions.detection.secrets import is_secret_name
from permissions.errors import ConfigError, ToolDefinitionError
from permissions.tools.from_schema import tool_from_schema
from permissions.tools.targets import (
    AmountArg,
    CommandArg,
    FreeText,
    HostArg,
    PathArg,
    RecipientArg,
    ResourceArg,
    SecretArg,
    SqlArg,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.evaluation.rows import LabelRow, ToolRow
    from permissions.evaluation.suite import Suite
    from permissions.tools.decorator import GuardedTool
    from permissions.tools.targets import Target
    from permissions.vocabulary import JsonValue

EFFECTS: dict[str, tuple[str, str]] = {
    "read": ("read", "low"),
    "net_read": ("send", "low"),
    "write": ("write", "low"),
    "egress": ("send", "medium"),
    "share": ("send", "medium"),
    "money": ("send", "medium"),
    "net_act": ("send", "medium"),
    "commit": ("send", "medium"),  # see _tool
    "execute": ("execute", "medium"),
    "credential": ("write", "medium"),
    "destroy": ("write", "medium"),
}
"""A label's effect, in the broker's words: effect and impact. Fetching a URL carries data out."""

FIELDS = (
    "id", "id_", "sender", "recipients", "cc", "bcc", "participants", "owner", "shared_with#",
    "timestamp", "start_time", "end_time", "last_modified", "date", "amount", "recipient",
    "size", "status", "read", "all_day", "recurring", "permission",
    "attachments",
)  # fmt: skip
"""Fields that services fill in by themselves, where a label says nothing."""

_SIGNS_IN = re.compile(r"(?<![a-z])(?:log|sign)[ _-]?(?:in|on)(?![a-z])|authenticat")
"""What a tool says that presents a credential; any other sets it."""
_ID = re.compile(r"(?:[a-z0-9]+_)*ids?")
_MARKS: dict[str, Callable[..., Any]] = {
    "path": PathArg,
    "host": HostArg,
    "recipient": RecipientArg,
    "resource": ResourceArg,
    "amount": AmountArg,
    "command": CommandArg,
    "secret": SecretArg,
    "sql": SqlArg,
    "free": FreeText,
}


def tools_of(
    suite: Suite, run: Callable[[str, dict[str, Any]], Any]
) -> Iterator[GuardedTool[..., Any]]:
    """Every tool of a suite, put under the broker; `run` gets a tool's name and arguments.

    Raises:
        ConfigError: a tool's schema or label cannot be used.
    """
    fields = _id_fields(suite)
    for name, tool in suite.tools.items():
        label = suite.labels[name]
        try:
            built = _tool(tool, label, run, fields)
            _ = built.guard.definition  # read now, for what is wrong with it to be said here
            yield built
        except (ToolDefinitionError, TypeError) as err:
            raise ConfigError(f"suite {suite.name}: {err}") from err


def _tool(
    tool: ToolRow,
    label: LabelRow,
    run: Callable[[str, dict[str, Any]], Any],
    fields: frozenset[str],
) -> GuardedTool[..., Any]:
    def called(**arguments: Any) -> Any:
        return run(tool.name, arguments)

    effect, impact = EFFECTS[label.effect]
    if label.effect == "commit" and label.sensitive_args:
        effect = "irreversible"  # an order placed; without arguments, what was named before
    options: dict[str, Any] = {
        "effect": effect,
        "impact": label.impact or impact,
        "control": label.sensitive_args,
        "output": "untrusted" if label.untrusted_output else "trusted",
        "trusted_fields": sorted({*FIELDS, *fields})
        if label.trusted_fields is None
        else label.trusted_fields,
    }
    if label.effect == "commit" and not label.sensitive_args:
        options["confirms"] = True
    return tool_from_schema(
        called,
        name=tool.name,
        parameters=tool.parameters,
        description=tool.description,
        marks=dict(_marks(tool, label)),
        **options,
    )


def _id_fields(suite: Suite) -> frozenset[str]:
    """Names of ids that tools of the suite take: records carry them under the same name."""
    return frozenset(
        name.removesuffix("s")
        for tool in suite.tools.values()
        for name in tool.parameters.get("properties", {})
        if _ID.fullmatch(name)
    )


def _marks(tool: ToolRow, label: LabelRow) -> Iterator[tuple[str, Target | FreeText]]:
    for name, schema in tool.parameters.get("properties", {}).items():
        if (told := label.marks.get(name)) is not None:
            yield name, mark_from(told)
        elif name not in label.sensitive_args:
            yield name, FreeText()
        elif (guessed := _guess(name, schema, tool, label)) is not None:
            yield name, guessed


def mark_from(told: dict[str, Any]) -> Target | FreeText:
    """The mark that a label writes as JSON: `{"kind": "path", "access": "write"}`.

    Raises:
        ToolDefinitionError: there is no such mark.
    """
    kind, members = told.get("kind"), {k: v for k, v in told.items() if k != "kind"}
    if not isinstance(kind, str) or kind not in _MARKS:
        raise ToolDefinitionError(
            f"a mark's kind is one of {', '.join(sorted(_MARKS))}, not {kind!r:.40}"
        )
    known = getattr(_MARKS[kind], "__dataclass_fields__", {})
    if unknown := sorted(members.keys() - known.keys()):
        raise ToolDefinitionError(
            f"a mark of kind {kind} has no {unknown[0]!r:.40}; it takes"
            f" {', '.join(known) or 'nothing else'}"
        )
    mark: Target | FreeText = _MARKS[kind](**members)
    return mark


def _guess(name: str, schema: JsonValue, tool: ToolRow, label: LabelRow) -> Target | None:
    words = re.split(r"[_\W]+", name.lower())
    if label.effect == "credential" and is_secret_name(name):
        return SecretArg(new=not _SIGNS_IN.search(f"{tool.name} {tool.description}".lower()))
    if label.effect == "money" and words[-1] in {"amount", "price", "total"}:
        return AmountArg()
    if label.effect == "money" and words[-1] in {"recipient", "iban", "account", "payee"}:
        return RecipientArg("account")
    if label.effect in {"egress", "share"} and "email" in _described(name, schema):
        return RecipientArg("email")
    if words[-1] in {"url", "host"}:
        return HostArg()
    return None


def _described(name: str, schema: JsonValue) -> str:
    """What a schema says of an argument of texts, in lower case; nothing of other arguments."""
    if not isinstance(schema, dict):
        return ""
    shapes = [schema, *(each for each in schema.get("anyOf", ()) if isinstance(each, dict))]
    texts = any(
        each.get("type") == "string" or each.get("items", {}).get("type") == "string"
        for each in shapes
    )
    return f"{name} {schema.get('description', '')}".lower() if texts else ""
