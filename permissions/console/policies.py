"""What is in force, what its rules did, what those in the shadow would do, and a call to try."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio.to_thread

from permissions.approval.text import moment
from permissions.authoring.trial import Circumstances, question_about
from permissions.console.record import SHADOW_CALLS
from permissions.errors import BrokerError

if TYPE_CHECKING:
    from starlette.responses import Response

    from permissions.authoring.shadow_report import ShadowReport
    from permissions.console.record import Record
    from permissions.console.visit import Visit
    from permissions.model import Decision
    from permissions.trace.reader import RecordedEntry

DAYS: Final = 7
ROWS: Final = 60
CHANGES: Final = 20
MAX_ARGUMENTS: Final = 64 * 1024
_WORDS: Final = {"allow": "allowed", "ask": "asked a person", "deny": "denied", None: "failed"}
_DAY = 24 * 60 * 60 * 1_000_000


class RuleLine(NamedTuple):
    """How often one rule spoke, by what became of the calls."""

    rule: str
    ran: int
    waited: int
    denied: int
    total: int


class ShadowLine(NamedTuple):
    """One rule in the shadow over the calls of one tool; `changes` in words with a count."""

    package: str
    code: str
    tool: str
    changes: list[tuple[str, int, bool]]
    said: str
    examples: list[str]


class Revision(NamedTuple):
    """When policies came into force, or should have."""

    time: int
    policy: str
    by: str
    refused: str


async def show(visit: Visit) -> Response:
    """The page."""
    return await _page(visit, tried=None, given={}, problem="")


async def try_call(visit: Visit) -> Response:
    """The page, with what would be decided for a call that nobody made."""
    given = await visit.form()
    try:
        decided = await _decided(visit, given)
    except (BrokerError, ValueError) as err:
        return await _page(visit, tried=None, given=given, problem=str(err)[:500])
    return await _page(visit, tried=decided, given=given, problem="")


async def _decided(visit: Visit, given: dict[str, str]) -> Decision:
    """What the broker's own decision point answers; nothing is recorded."""
    broker = visit.parts.broker
    tool = broker.known(given.get("tool", ""))
    if tool is None:
        raise ValueError("there is no such tool here")
    text = given.get("arguments", "").strip() or "{}"
    if len(text) > MAX_ARGUMENTS:
        raise ValueError(f"the arguments are longer than {MAX_ARGUMENTS} characters")
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise ValueError(  # noqa: TRY004 - a value of a form
            'the arguments are no JSON object, as in {"amount": "20.00"}'
        )
    around = Circumstances(
        user=given.get("user") or None,
        roles=tuple(given.get("roles", "").replace(",", " ").split()),
        prompt=given.get("prompt", ""),
        workspace=broker.parts.workspace,
        time=visit.parts.clock(),
        environment=broker.parts.environment,
        isolation=broker.isolation,
    )
    question = await anyio.to_thread.run_sync(question_about, tool, arguments, around)
    return await broker.parts.pdp.evaluate(question)


async def _page(
    visit: Visit, *, tried: Decision | None, given: dict[str, str], problem: str
) -> Response:
    parts, record = visit.parts.broker.parts, visit.parts.record
    since = visit.parts.clock() - DAYS * _DAY
    rules: list[RuleLine] = []
    revisions: list[Revision] = []
    shadow: list[ShadowLine] = []
    if record is not None:
        rules, revisions, shadow = await anyio.to_thread.run_sync(_recorded, record, since)
    return visit.page(
        "policies.html",
        revision=parts.pdp.revision,
        engine=parts.pdp.engine,
        environment=parts.environment,
        since=next(
            (moment(each.time) for each in _began(revisions, parts.pdp.revision)), "its start"
        ),
        revisions=revisions[:CHANGES],
        rules=rules[:ROWS],
        more_rules=max(0, len(rules) - ROWS),
        days=DAYS,
        shadow=shadow[:ROWS],
        more_shadow=max(0, len(shadow) - ROWS),
        shadow_calls=SHADOW_CALLS,
        most=max((each.total for each in rules), default=1),
        tools=sorted(each.name for each in parts.registry),
        tried=tried,
        given={**dict.fromkeys(("tool", "arguments", "prompt", "user", "roles"), ""), **given},
        problem=problem,
    )


def _recorded(
    record: Record, since: int
) -> tuple[list[RuleLine], list[Revision], list[ShadowLine]]:
    revisions = [_revision(each) for each in record.in_force()]
    return _rules(record.rules(since)), revisions, _shadow(record.shadow())


def _shadow(report: ShadowReport) -> list[ShadowLine]:
    lines = []
    for row in report.rows:
        changes = [
            (
                f"{_WORDS[was]} as before"
                if was == would
                else f"{_WORDS[was]} → {_WORDS[would]}",
                many,
                was != would,
            )
            for (was, would), many in sorted(row.changes.items(), key=str)
        ]
        said = row.said or {}
        text = str(said.get("operator") or said.get("agent") or "")
        lines.append(
            ShadowLine(row.package, row.code, row.tool, changes, text, [*row.examples])
        )
    return lines


def _rules(found: list[tuple[str, str | None, int]]) -> list[RuleLine]:
    lines = []
    for rule, rows in groupby(
        sorted(found, key=lambda each: each[0]), key=lambda each: each[0]
    ):
        counts: dict[str, int] = {}
        for _, end, many in rows:
            kind = {"pending": "waited", "denied": "denied", "expired": "denied"}.get(
                end or "pending", "ran"
            )
            counts[kind] = counts.get(kind, 0) + many
        ran, waited, denied = (counts.get(name, 0) for name in ("ran", "waited", "denied"))
        lines.append(RuleLine(rule, ran, waited, denied, ran + waited + denied))
    return sorted(lines, key=lambda each: (-each.total, each.rule))


def _revision(entry: RecordedEntry) -> Revision:
    body: Any = entry.body
    return Revision(
        entry.time,
        str(body.get("policy")),
        str(body.get("by") or "start"),
        ", ".join(map(str, body.get("refused", ()))),
    )


def _began(revisions: list[Revision], policy: str) -> list[Revision]:
    """The entries since this policy is in force without a break, the first of them first."""
    found: list[Revision] = []
    for each in revisions:  # the last first
        if each.policy != policy:
            break
        found.insert(0, each)
    return found
