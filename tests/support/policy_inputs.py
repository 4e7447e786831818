"""Hypothesis strategies for inputs of the policy contract, and for inputs that break it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from permissions.vocabulary import ISOLATION_ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import JsonObject, JsonValue

EFFECTS = ["read", "write", "send", "execute", "irreversible"]
IMPACTS = ["low", "medium", "high", "critical"]
VERDICTS = ["matched", "undeclared", "exhausted", "not_ready", "mismatch", "expired"]
ORIGINS = ["user", "plan", "approval", "tool", "default", "unknown"]
ARGUMENTS = ["path", "url", "to", "amount", "command"]

WORDS = st.text("aZ.-_/ é🎉\u0130", max_size=8)
"""Letters that engines measure, fold and order differently; nothing here relies on that."""

_PATHS = [
    "/srv/desk/a",
    "/srv/desk/.git/x",
    "/srv/desk/AGENTS.md",
    "/etc/shadow",
    "/srv/desk/.env",
]
_HOSTS = ["api.example.com", "10.0.0.5", "evil.example", "localhost"]
_ADDRESSES = ["ann@example.com", "eve@other.example", "DE02120300000000202051", "X"]
_PROGRAMS = ["ls", "sudo", "mount.cifs", "", None]
_AMOUNTS = st.sampled_from([0, 1, 10_000, 10_001, 1_000_001, 2**53 - 1])


def _one(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


_TARGETS: st.SearchStrategy[JsonObject] = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("resource"),
            "argument": st.just("id"),
            "type": _one(["record", "table"]),
            "name": WORDS,
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("path"),
            "argument": st.just("path"),
            "access": _one(["read", "write"]),
            "path": _one(_PATHS) | WORDS,
            "resolved": _one(_PATHS) | WORDS,
            "inside_workspace": st.booleans(),
            "relative": _one([None, "a"]),
            "hidden": st.booleans(),
            "links": _one([None, 1, 2]),
            "holds_secrets": _one([None, True, False]),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("host"),
            "argument": st.just("url"),
            "scheme": _one(["https", "http", None]),
            "host": _one(_HOSTS) | WORDS.map(str.lower),
            "port": _one([443, 80, None]),
            "path": _one(["/", None]),
            "address_class": _one([None, "global", "private", "loopback", "metadata"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("recipient"),
            "argument": st.just("to"),
            "scheme": _one(["email", "account", "phone", "name"]),
            "address": _one(_ADDRESSES) | WORDS,
            "domain": _one(["example.com", "other.example", None]),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("amount"),
            "argument": st.just("amount"),
            "currency": _one(["EUR", "USD", "XTS"]),
            "minor": _AMOUNTS,
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("command"),
            "argument": st.just("command"),
            "argv": st.lists(WORDS, max_size=2),
            "program": _one(_PROGRAMS) | WORDS,
            "shell": st.booleans(),
            "commands": st.lists(
                st.fixed_dictionaries(
                    {
                        "program": _one(["ls", "sudo", "SSH", ""]) | WORDS,
                        "argv": st.lists(WORDS, max_size=2),
                    }
                ),
                max_size=2,
            ),
            "complete": st.booleans(),
            "declared": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {"kind": st.just("secret"), "argument": st.just("token"), "new": st.booleans()}
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("sql"),
            "argument": st.just("query"),
            "dialect": _one(["postgres", "duckdb"]),
            "statements": st.lists(
                st.fixed_dictionaries(
                    {
                        "classes": st.lists(_one(["read", "define", "copy"]), max_size=2),
                        "reads": st.lists(_one(["orders", "a.csv"]) | WORDS, max_size=2),
                        "writes": st.lists(WORDS, max_size=1),
                        "columns": st.just([]),
                        "every_column": st.booleans(),
                        "functions": st.lists(_one(["count", "readfile"]) | WORDS, max_size=2),
                        "unknown_functions": st.just([]),
                        "limit": _one([None, 10]),
                        "one_row": st.booleans(),
                        "where": st.booleans(),
                    }
                ),
                max_size=2,
            ),
        }
    ),
)

LEAVES = st.fixed_dictionaries(
    {
        "origin": _one(ORIGINS),
        "source": st.none(),
        "trusted": st.booleans(),
        "control": st.booleans(),
        "from": st.none()
        | st.just({"call": "call-0", "entry": 3, "pointer": "/0/id", "cut": None})
        | st.just({"call": "call-0", "entry": None, "pointer": None, "cut": [1, 4]}),
        "linked": st.booleans(),
        "carries": st.sampled_from([[], ["url"], ["email", "url"]]),
    }
)

PLANS = st.none() | st.fixed_dictionaries(
    {
        "id": st.just("plan-1"),
        "digest": st.just("sha256:p"),
        "step": st.none(),
        "verdict": _one([None, *VERDICTS]),
        "detail": st.none(),
        "scope_read": st.booleans(),
        "required": st.booleans(),
    }
)

APPROVALS = st.fixed_dictionaries(
    {
        "id": st.just("approval-1"),
        "approvers": st.lists(_one(["alice", "bob", "eve", "clerk"]), max_size=3),
        "groups": st.lists(_one(["operators", "security", "others"]), max_size=2),
        "quorum": st.integers(1, 3),
        "approved_until": _one([0, 1795500900000000]),
        "policy_revision": st.just("sha256:c"),
        "args_digest": _one(["sha256:a", "sha256:z"]),
        "stages": st.lists(
            st.fixed_dictionaries(
                {
                    "approvers": st.lists(_one(["alice", "bob", "eve"]), max_size=2),
                    "groups": st.lists(_one(["operators", "security"]), max_size=2),
                }
            ),
            max_size=3,
        ),
    }
)

_BUDGETS = st.fixed_dictionaries(
    {"used": _AMOUNTS, "limit": st.none() | st.integers(0, 100_000)}
)


@st.composite
def documents(draw: st.DrawFn, *, approvals: st.SearchStrategy[Any] = APPROVALS) -> JsonObject:
    """An input of the contract's form."""
    return {
        "subject": {
            "type": draw(_one(["user", "agent", "service"])),
            "id": draw(_one(["clerk", "alice"])),
            "properties": {
                "roles": [],
                "on_behalf_of": draw(_one([None, "user:alice"])),
                "act": draw(_one([[], [{"type": "user", "id": "alice"}]])),
            },
        },
        "action": {
            "name": "tools/call",
            "properties": {"effect": draw(_one(EFFECTS)), "impact": draw(_one(IMPACTS))},
        },
        "resource": {
            "type": "tool",
            "id": "some_tool",
            "properties": {
                "args": draw(st.dictionaries(_one(ARGUMENTS), _one(["x", None, [], {}]))),
                "args_digest": "sha256:a",
                "tool_digest": "sha256:b",
                "isolation": draw(_one(list(ISOLATION_ORDER))),
                "stateful": draw(st.booleans()),
                "confirms": draw(_one([None, 0, 1])),
                "workspace": draw(_one(["copy", "overlay"])),
                "control": draw(st.lists(_one(ARGUMENTS), unique=True)),
                "marks": draw(
                    st.dictionaries(
                        _one(ARGUMENTS), _one(["path", "recipient", "amount", "free"])
                    )
                ),
                "targets": draw(st.lists(_TARGETS, max_size=3)),
            },
        },
        "context": {
            "run": "run-1",
            "call": "call-1",
            "time": 1795500000000000,
            "plan": draw(PLANS),
            "provenance": draw(
                st.dictionaries(
                    _one([f"/{name}" for name in ARGUMENTS] + ["/to/0", "/body", ""]), LEAVES
                )
            ),
            "labels": draw(_one([[], ["untrusted"]])),
            "usage": draw(
                st.dictionaries(_one(["calls", "cost", "amount_eur", "amount_usd"]), _BUDGETS)
            ),
            "approval": draw(st.none() | approvals),
            "environment": {
                "name": "test",
                "workspace": "/srv/desk",
                "isolation": draw(st.lists(_one(list(ISOLATION_ORDER)), max_size=2)),
            },
            "facts": {},
            "detected": {"secrets": []},
            "history": [],
        },
    }


JUNK: st.SearchStrategy[JsonValue] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.just(0.5),
    WORDS,
    st.lists(WORDS, max_size=2),
    st.dictionaries(WORDS, WORDS, max_size=2),
)


_CALL = {"tool": st.just("some_tool"), "tool_digest": st.just("b"), "args_digest": st.just("a")}

_CONNECTIONS = st.fixed_dictionaries(
    {
        **_CALL,
        "kind": _one(["connect", "http"]),
        "host": _one([*_HOSTS, "metadata.google.internal", "pypi.org", "evil.example"])
        | WORDS.map(str.lower),
        "port": st.integers(1, 65535),
        "method": _one([None, "GET", "POST"]) | WORDS,
        "path": _one([None, "/"]) | WORDS,
        "profile": _one([None, "web"]),
    }
)

_WAS = st.fixed_dictionaries(
    {
        "type": _one(["file", "directory", "link"]),
        "size": st.none() | _AMOUNTS,
        "mode": _one([None, "0644", "0755"]),
        "executable": st.booleans(),
    }
)

_CHANGES = st.builds(
    lambda entry, rest: {**entry, **rest},
    _WAS,
    st.fixed_dictionaries(
        {
            "path": _one(["out/a", "out", ".cache/a", "conftest.py", "a.pem", "b"]) | WORDS,
            "kind": _one(["created", "changed", "deleted"]),
            "target": _one([None, "b"]),
            "protected": _one([False, False, True]),
            "was": st.none() | _WAS,
        }
    ),
)

_CHANGE_SETS = st.fixed_dictionaries(
    {
        **_CALL,
        "digest": st.just("sha256:z"),
        "counts": st.fixed_dictionaries(
            {kind: st.integers(0, 2) for kind in ("created", "changed", "deleted")}
        ),
        "bytes": _AMOUNTS,
        "changes": st.lists(_CHANGES, max_size=3),
        "complete": _one([True, True, False]),
        "refused": _one([0, 0, 1]),
        "conflicts": _one([0, 0, 1]),
        "targets": st.lists(
            _TARGETS.filter(lambda target: target["kind"] == "path"), max_size=2
        ),
    }
)


@st.composite
def questions(draw: st.DrawFn) -> JsonObject:
    """An input of any of the three questions."""
    document = draw(documents())
    name, kind, properties = draw(
        _one(
            [
                ("tools/call", "tool", None),
                ("egress/connect", "connection", _CONNECTIONS),
                ("effects/commit", "change_set", _CHANGE_SETS),
            ]
        )
    )
    if properties is None:
        return document
    return {
        **document,
        "action": {**document["action"], "name": name},
        "resource": {"type": kind, "id": "x", "properties": draw(properties)},
    }


@st.composite
def damaged(draw: st.DrawFn) -> JsonObject:
    """An input with one to three members replaced by anything, or taken away."""
    document = copy.deepcopy(draw(questions()))
    for _ in range(draw(st.integers(1, 3))):
        paths = list(_holders(document))
        if not paths:
            break
        holder, key = draw(st.sampled_from(paths))
        if draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = draw(JUNK)
    return document


def _holders(value: JsonValue) -> Iterator[tuple[Any, Any]]:
    members: Any = []
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for key, member in members:
        yield value, key
        yield from _holders(member)
