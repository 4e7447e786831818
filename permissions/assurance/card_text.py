"""The system card for people: made from its JSON, so that the two cannot disagree. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from permissions.export.blocks import Bullets, Heading, Table, Text
from permissions.export.card import recorded_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from permissions.export.blocks import Block
    from permissions.vocabulary import JsonObject


def card_blocks(card: JsonObject) -> Iterator[Block]:
    """The card, section by section."""
    yield Heading(1, "System card")
    build = ", ".join(f"{name} {value}" for name, value in card["build"].items())
    yield Text(
        f"Made {card['made']} for the environment {card['environment']} by {build}, from what was"
        " gathered and is in force; nobody wrote it by hand."
    )
    for title, name, shape in _SECTIONS:
        yield Heading(2, title)
        section = card[name]
        if "not_measured" in section:
            yield Text(f"Not measured: {section['not_measured']}")
        else:
            yield from shape(section)


def _measured(section: JsonObject) -> Iterator[Block]:
    """What every part of the gate has."""
    if "not_measured" in section:
        yield Text(f"Not measured: {section['not_measured']}")
        return
    when = _moment(section["measured_at"])
    under = (
        "these policies" if section["same_policies"] else "other policies than those in force"
    )
    yield Text(f"{section['outcome']}: {section['sentence']}. Measured {when} under {under}.")
    yield Bullets(section["findings"])


def _gate(section: JsonObject) -> Iterator[Block]:
    yield from _measured(section)
    rows = [
        (p["part"], "holds" if p["holds"] else "DOES NOT HOLD", p["sentence"])
        for p in section["parts"]
    ]
    yield Table(("part", "verdict", "why"), rows)


def _tools(section: JsonObject) -> Iterator[Block]:
    yield Text(
        f"A call that can be stopped runs {section['deadline_seconds']} seconds at most."
    )
    yield Table(
        ("tool", "effect", "impact", "isolation", "output", "arguments", "nobody said what"),
        [
            (
                each["name"],
                each["effect"],
                each["impact"],
                each["isolation"] + (f", profile {each['profile']}" if each["profile"] else ""),
                each["output"],
                ", ".join(f"{name}: {kind}" for name, kind in each["marks"].items()),
                ", ".join(each["unmarked"]),
            )
            for each in section["list"]
        ],
    )


def _policies(section: JsonObject) -> Iterator[Block]:
    yield Text(f"Revision {section['revision']}.")
    shares = section["tests"].get("packages", {})
    rows = []
    for name, found in section["packages"].items():
        share = shares.get(name)
        covered = "not measured" if share is None else f"{share:.0%}"
        rows.append((name, ", ".join(found["denies"]), ", ".join(found["asks"]), covered))
    yield Table(("package", "denies with", "asks a person with", "lines tested"), rows)
    if section["in_shadow"]:
        yield Text(f"Tried in the shadow, deciding nothing: {', '.join(section['in_shadow'])}.")
    for title, name in (("Tests", "tests"), ("Against the last release", "differences")):
        yield Heading(3, title)
        yield from _measured(section[name])


def _approvals(section: JsonObject) -> Iterator[Block]:
    if not section["approvers"]:
        yield Text("Nobody is registered as an approver: what would be asked about is denied.")
    yield Table(
        ("approver", "groups", "key file"),
        [
            (each["name"], ", ".join(each["groups"]), "yes" if each["file_key"] else "no")
            for each in section["approvers"]
        ],
    )
    yield Table(
        ("impact", "groups asked", "people", "not who asks", "time to answer"),
        [
            (
                impact,
                ", ".join(terms["approvers"]),
                terms["quorum"],
                "yes" if terms["separation_of_duties"] else "no",
                f"{terms['expires_in_seconds']} s",
            )
            for impact, terms in section["terms"].items()
        ],
    )
    stop = section["stop"]
    lifted = ", ".join(stop["agreement_for"]) or "none"
    yield Text(
        f"Stops that another person has to agree to lift: {lifted};"
        f" {stop['quorum']} of {', '.join(stop['approvers'])}."
    )
    asked = [f"{each['effect']} of {each['impact']} impact" for each in section["always_ask"]]
    yield Text(f"Asked each time, never remembered: {', '.join(asked) or 'nothing'}.")


def _isolation(section: JsonObject) -> Iterator[Block]:
    yield from _measured(section)
    rows = [
        (name, ", ".join(f"{count} {word}" for word, count in counts.items()))
        for name, counts in section["backends"].items()
    ]
    yield Table(("backend", "attempts"), rows)
    yield Table(("backend that is not here", "why"), [*section["missing"].items()])
    yield Bullets([f"promised and not seen to hold: {each}" for each in section["open"]])


def _evaluation(section: JsonObject) -> Iterator[Block]:
    yield from _measured(section)
    yield Table(
        ("variant", "plan", "suite", "figure", "share", "95% Wilson interval"),
        [
            (
                *(each[name] for name in ("variant", "plan", "suite", "figure")),
                f"{each['share']:.2%}",
                f"{each['wilson'][0]:.2%} to {each['wilson'][1]:.2%}",
            )
            for each in section["figures"]
        ],
    )


def _drills(section: JsonObject) -> Iterator[Block]:
    rows = []
    for name, played in section.items():
        seconds: Mapping[str, float] = played.get("seconds") or {}
        spent = ", ".join(f"{phase} {each:.1f} s" for phase, each in seconds.items())
        when = _moment(played["measured_at"]) if "measured_at" in played else ""
        outcome = played.get("outcome", "not measured")
        if played.get("prevented"):
            outcome += ", prevented by the policies"
        rows.append((name, outcome, spent, when))
    yield Table(("drill", "outcome", "time of the machine", "played"), rows)


def _risks(section: JsonObject) -> Iterator[Block]:
    yield from _measured(section)
    names = ("id", "title", "severity", "likelihood", "owner", "due", "status", "residual")
    yield Table(names, [[each.get(name) or "-" for name in names] for each in section["list"]])


def _exemptions(section: JsonObject) -> Iterator[Block]:
    names = ("code", "text", "reason", "by", "until")
    rows = [[each.get(name, "") for name in names] for each in section["in_force"]]
    yield Table(names, rows) if rows else Text("None is in force.")
    yield Bullets(section["refused"])


def _recorded(section: JsonObject) -> Iterator[Block]:
    for block in recorded_blocks(section):
        yield Heading(3, block.text) if isinstance(block, Heading) else block


def _limits(section: JsonObject) -> Iterator[Block]:
    yield Text("As the threat model states them. Outside of all of it:")
    yield Bullets(section["outside"])
    for name, said in section["parts"].items():
        yield Heading(3, name)
        yield Bullets(said)


def _changes(section: JsonObject) -> Iterator[Block]:
    yield Text(f"Since the card of {section['since']}:")
    yield Bullets(section["what"] or ["nothing"])


def _moment(micros: Any) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")


_SECTIONS: tuple[tuple[str, str, Callable[[JsonObject], Iterator[Block]]], ...] = (
    ("May it go out", "gate", _gate),
    ("Changes", "changes", _changes),
    ("Tools", "tools", _tools),
    ("Policies in force", "policies", _policies),
    ("Who approves what", "approvals", _approvals),
    ("Isolation measured on this machine", "isolation", _isolation),
    ("Evaluation", "evaluation", _evaluation),
    ("The record", "record", _measured),
    ("Last week's calls under these policies", "what_if", _measured),
    ("Drills", "drills", _drills),
    ("Residual risks", "risks", _risks),
    ("Exemptions", "exemptions", _exemptions),
    ("What was recorded", "recorded", _recorded),
    ("Known limits", "limits", _limits),
)
