"""A launch checklist, of which what a machine can see is answered already. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from permissions.export.blocks import Heading, Table, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.export.blocks import Block
    from permissions.setup.config import BrokerConfig
    from permissions.vocabulary import JsonObject

DRILL_DAYS = 90
"""A drill that was played longer ago counts as not played."""
_DAY = 24 * 3_600_000_000
_PEOPLE = (
    "Somebody who knows the runbooks is told by the alerts, at any hour",
    "Whoever is asked to approve knows what they will be shown, and may say no",
    "The people whose data it handles were told, and a lawful basis is written down",
    "It was tried by people who do not know it, with their own data",
    "It is known how to go back: which version, who decides, how long it takes",
)
"""What no machine can see; a team adds its own."""


class Item(NamedTuple):
    """One line of the list."""

    what: str
    holds: bool
    evidence: str


def launch_checklist(card: JsonObject, settings: BrokerConfig, *, now: int) -> Iterator[Block]:
    """The list.

    Args:
        card: the system card.
        settings: in force.
        now: microseconds since 1970 UTC.
    """
    yield Heading(1, "Launch checklist")
    yield Text(f"Filled {card['made']} for the environment {card['environment']}.")
    items = [*_gathered(card, now), *_installed(card, settings)]
    missing = sum(not each.holds for each in items)
    yield Heading(2, "Seen by the machine")
    yield Text(f"{len(items) - missing} of {len(items)} hold.")
    yield Table(
        ("", "what", "evidence"),
        [("yes" if each.holds else "NO", each.what, each.evidence) for each in items],
    )
    yield Heading(2, "For people")
    yield Table(("yes or no", "what", "who, when"), [("", each, "") for each in _PEOPLE])
    yield Heading(2, "Decision")
    yield Table(("", ""), [("go, or no go", ""), ("who decided", ""), ("date", "")])


def _gathered(card: JsonObject, now: int) -> Iterator[Item]:
    yield _part("The release gate holds", card["gate"])
    yield _part("The isolation that is promised was measured here", card["isolation"])
    yield _part("The evaluation reaches its thresholds", card["evaluation"])
    yield _part("The record is what is required of it", card["record"])
    yield _part("Each risk has an owner, a date and mitigations that work", card["risks"])
    unmarked = [
        f"{tool['name']}.{name}"
        for tool in card["tools"].get("list", ())
        for name in tool["unmarked"]
    ]
    why = card["tools"].get("not_measured") or ", ".join(unmarked) or "none is left"
    holds = "list" in card["tools"] and not unmarked
    yield Item("Somebody said of each argument what it is", holds, why)
    drills = {} if "not_measured" in card["drills"] else card["drills"]
    fresh = [
        name
        for name, each in drills.items()
        if each.get("outcome") == "passed" and now - each["measured_at"] <= DRILL_DAYS * _DAY
    ]
    said = ", ".join(fresh) or "none"
    yield Item(f"Incidents were practised in the last {DRILL_DAYS} days", bool(fresh), said)


def _part(what: str, section: JsonObject) -> Item:
    if "not_measured" in section:
        return Item(what, holds=False, evidence=f"not measured: {section['not_measured']}")
    holds = section["outcome"] == "passed" and section["same_policies"]
    stale = "" if section["same_policies"] else " (under other policies than those in force)"
    return Item(what, holds, section["sentence"] + stale)


def _installed(card: JsonObject, settings: BrokerConfig) -> Iterator[Item]:
    people = card["approvals"]["approvers"]
    names = ", ".join(each["name"] for each in people) or "nobody"
    most = max((terms["quorum"] for terms in card["approvals"]["terms"].values()), default=1)
    yield Item(
        f"There are enough people to ask ({most + 1}, so that one may be away)",
        len(people) > most,
        names,
    )
    notify = settings.approval.notify
    told = [name for name in ("webhook", "smtp_host", "chat") if getattr(notify, name)]
    yield Item(
        "They are told that a request waits", bool(told), ", ".join(told) or "by nothing"
    )
    trace = settings.trace
    outside = [
        name for name in ("known_checkpoints", "witnesses", "replica") if getattr(trace, name)
    ]
    yield Item(
        "A cut of the record would be seen",
        bool(trace.known_checkpoints or trace.witnesses),
        ", ".join(f"trace.{name}" for name in outside) or "no checkpoint is kept elsewhere",
    )
    days = trace.retain_days
    yield Item(
        "It is decided how long contents are kept",
        days is not None,
        "trace.retain_days is not set" if days is None else f"{days} days",
    )
    yield Item(
        "Policies see that this is no development",
        settings.environment != "development",
        f"environment = {settings.environment}",
    )
