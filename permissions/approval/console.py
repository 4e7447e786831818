"""How a terminal shows an approver a request (`approval.reading`), and asks them.

Lines are broken here and not by the terminal, and each begins with a prefix of ours: no text of an
agent, a tool or a policy can start a line of its own. Readable without colour.

Not protected from: a diff's lines are no values: an escape in one may stand for its character or
for the letters it is written in.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

from permissions.approval.reading import reading
from permissions.approval.text import (
    cautions,
    compared,
    literal,
    moment,
    time_left,
    visible,
)
from permissions.signing.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.approval.model import AccessRequest
    from permissions.approval.reading import Argument, Change, Origin, Reading
    from permissions.model import JsonObject

Answer = Literal["approve", "deny", "later"]

WIDTH = 96
MAX_VALUE = 400
"""Characters of one value that are shown without `full`."""
MAX_ARGUMENTS = 40
"""Arguments, paths or changes that are shown without `full`."""
MAX_ORIGINS = 8
"""Values of one argument that are told from where each, without `full`; of more, those alike together."""
MAX_DIFF = 40
"""Lines of one file's diff that are shown without `full`."""
_ANSWERS: dict[str, Answer] = {"approve": "approve", "deny": "deny", "later": "later"}
_MAX_TRIES = 5
_LABEL = 12
_NARROWEST = 24

HELP = """\
approve  it runs once, exactly as it stands above; the policy is asked again with your answer
deny     it does not run, in this run of the agent; your words are told to the agent
         (to change its arguments instead: wardline request edit)
later    you leave it open; somebody else, or you, may answer until it expires
full     shows what was cut
"""
_EXPLAINED = """\
How to read it:
  a value stands as JSON text: \\u202e and the like are characters that would not show
  <  where a value came from; whoever is named there vouches for it
  !  a value nobody vouches for, or something else that you should look at
why      the rules that want a person, and the values they compared
plan     how the call stands to the plan that was declared before the first step
needs    how many people have to say yes, and from which groups
digests  prove what you were shown; you need not compare them
"""


@dataclass(frozen=True, slots=True)
class Page:
    """A request as text, and whether any of it was left out."""

    text: str
    truncated: bool


def page(request: AccessRequest, *, now: int, full: bool = False, width: int = WIDTH) -> Page:
    """The request as an approver should read it before they answer.

    Long values are cut and marked as such, with the digest of the whole, unless `full`.

    Time left is counted from `now`, microseconds since 1970 UTC. A terminal narrower than
    `width` breaks lines by itself, and text may then begin one.
    """
    read = reading(request)
    kind = f" ({read.effect}, {read.impact} impact)" if read.effect else ""
    heading = (
        "What ran, its changes not yet in the workspace"
        if read.is_about_changes
        else ("What will run")
    )
    lines = _wrapped(
        f"{heading}, exactly: {visible(read.tool)}{visible(kind)}",
        first="",
        then="  | ",
        width=width,
    )
    shown, truncated = _arguments(read.arguments, full=full, width=width)
    lines += shown or ["  (no arguments)"]
    if read.is_about_changes:
        changes, cut = _effects(read.changes, full=full, width=width)
        lines += ["", "What it would change in the workspace, all or nothing:", *changes]
        truncated |= cut
    lines.append("")
    for name, text in _facts(read, now):
        lines += _field(name, text, width)
    return Page("\n".join(lines), truncated)


def ask(
    request: AccessRequest,
    *,
    now: int,
    read: Callable[[str], str],
    write: Callable[[str], object],
    width: int = WIDTH,
) -> Answer:
    """Shows the request and asks one person. Blocks; run it in a thread.

    Words have to be typed out, and `?` explains. Nobody approves what they were not shown: with
    parts left out, `approve` first shows the whole. The end of input, and nonsense, mean `later`.
    `read` shows a question and gives the line typed, as `input` does.
    """
    shown = page(request, now=now, width=width)
    write(shown.text)
    truncated = shown.truncated
    for _ in range(_MAX_TRIES):
        try:
            said = read("approve / deny / later / full / ? > ").strip().lower()
        except EOFError:
            return "later"
        if said == "full" or (said == "approve" and truncated):
            write(page(request, now=now, full=True, width=width).text)
            if said == "approve":
                write("Parts were left out above. This is the whole; please answer again.")
            truncated = False
        elif said in _ANSWERS:
            return _ANSWERS[said]
        else:
            write(HELP + _EXPLAINED if said in ("?", "help") else HELP)
    return "later"


def _facts(read: Reading, now: int) -> Iterator[tuple[str, str]]:
    """What stands below the arguments, in the order of how much it tells."""
    for target in read.on_what:
        yield "on what", target
    yield "for whom", read.for_whom
    if read.task:
        yield "task", read.task
    for why in read.why:
        yield "why", f"{why.code}: {why.text}"
        if why.operator:
            yield "why", f"{why.code}: {why.operator}"
        if why.values:
            yield "why", f"{why.code}: {compared(why.values)}"
    yield "plan", read.plan
    barred = "; not by who asks or is acted for" if read.separation_of_duties else ""
    if not read.stages:
        yield "needs", f"{read.quorum} of {visible(', '.join(read.groups))}{barred}"
    for number, stage in enumerate(read.stages):
        first = f"first {stage.quorum}" if number == 0 else f"then {stage.quorum}"
        given = f": {visible(', '.join(stage.answered))}" if stage.answered else ""
        turn = " (its turn)" if stage.waits else ""
        said = f"{first} of {visible(', '.join(stage.groups))}{given}{turn}"
        yield "needs", f"{said}{barred if number == 0 else ''}"
    yield "expires", f"{moment(read.expires_at)} ({time_left(read.expires_at - now)})"
    yield from _answers(read)
    yield "use within", time_left(read.use_within).removeprefix("in ")
    yield "request", f"{visible(read.id)} ({read.status})"
    yield "workspace", visible(read.workspace)
    yield "run, call", f"{visible(read.run)}, {visible(read.call)}"
    for name in ("definition", "arguments"):
        yield name, read.digests[name]


def _answers(read: Reading) -> Iterator[tuple[str, str]]:
    for vote in read.votes:
        note = f": {visible(vote.note)}" if vote.note else ""
        match vote.verdict:
            case "approve":
                verb = "approved"
            case "deny":
                verb = "denied"
            case "edit":
                verb = f"made it {visible(vote.arguments or '')}"
            case _:
                assert_never(vote.verdict)
        yield "answered", f"{visible(vote.approver)} {verb} at {moment(vote.time)}{note}"


def _arguments(
    arguments: tuple[Argument, ...], *, full: bool, width: int
) -> tuple[list[str], bool]:
    lines: list[str] = []
    truncated = False
    for position, argument in enumerate(arguments):
        if position == MAX_ARGUMENTS and not full:
            left_out = f"{len(arguments) - position} more are not shown; use --full"
            return lines + _notice(left_out, width), True
        whole = literal(argument.value)
        cut = len(whole) > MAX_VALUE and not full
        shown = f"{visible(argument.name)} = {whole[:MAX_VALUE] if cut else whole}"
        lines += _wrapped(shown, first="  ", then="  | ", width=width)
        if cut:
            truncated = True
            hidden = f"{len(whole) - MAX_VALUE} of {len(whole)} characters"
            lines += _notice(f"cut: {hidden} are not shown; use --full", width)
            lines += _notice(f"the whole has {digest(whole.encode())}", width)
        for caution in cautions(argument.name + whole):
            lines += _notice(caution, width)
        for leads in argument.leads_to:
            said = f"leads to {literal(leads)} now; elsewhere, it will not run"
            lines += _told(said, width)
        for origins in _alike(argument.origins, full=full):
            lines += _origin(origins, width)
    return lines, truncated


def _alike(origins: tuple[Origin, ...], *, full: bool) -> list[list[Origin]]:
    """Values of one origin together, where there are many and no line of them is quoted."""
    groups: dict[object, list[Origin]] = {}
    for number, origin in enumerate(origins):
        own = full or len(origins) <= MAX_ORIGINS or origin.quote is not None
        key = number if own else (origin.trusted, origin.words)
        groups.setdefault(key, []).append(origin)
    return list(groups.values())


def _origin(origins: list[Origin], width: int) -> list[str]:
    """Where values came from: one, or several of one origin."""
    origin = origins[0]
    inner = [each.at.removeprefix("/").partition("/")[2] for each in origins]
    at = ", ".join(visible(f"/{each}") for each in inner[:3] if each)
    more = f" and {len(inner) - 3} more values" if len(inner) > 3 else ""
    at = f"{at}{more}: " if at else ""
    lines = (_told if origin.trusted else _notice)(f"{at}{origin.words}", width)
    if origin.quote is not None:
        lines += _told(f"the line: {origin.quote}", width)
    return lines


def _effects(changes: tuple[Change, ...], *, full: bool, width: int) -> tuple[list[str], bool]:
    """Each change, with the diff of its file below it.

    No text of a file can look like ours: what is ours begins further left.
    """
    lines: list[str] = []
    truncated = False
    for position, change in enumerate(changes):
        if position == MAX_ARGUMENTS and not full:
            left_out = f"{len(changes) - position} more are not shown; use --full"
            return lines + _notice(left_out, width), True
        entry = change.entry
        lines += _wrapped(_change(entry), first="  ", then="  | ", width=width)
        for caution in cautions(f"{entry['path']}{entry['target'] or ''}"):
            lines += _notice(caution, width)
        diff, cut = _diff(change, full=full, width=width)
        lines += diff
        truncated |= cut
    return lines, truncated


def _change(entry: JsonObject) -> str:
    """One change on one line: facts of ours first, the run's words last."""
    facts = [f"{entry['kind']} {entry['type']}", *_facts_of(entry)]
    if entry["executable"]:
        facts.append("executable")
    was = f" (was {', '.join(_facts_of(entry['was']))})" if entry["was"] else ""
    leads = f" leads to {literal(entry['target'])}" if entry["target"] is not None else ""
    return f"{', '.join(facts)}{was}: {literal(entry['path'])}{leads}"


def _facts_of(entry: JsonObject) -> Iterator[str]:
    if entry["type"] != "link" and entry["mode"] is not None:
        yield f"mode {entry['mode']}"
    if entry["type"] == "file" and entry["size"] is not None:
        yield f"{entry['size']} bytes"


def _diff(change: Change, *, full: bool, width: int) -> tuple[list[str], bool]:
    entry, diff = change.entry, change.diff
    if entry["type"] != "file" or entry["kind"] == "deleted":
        return [], False
    if diff is None:
        return _notice(f"no text to compare; its content has {entry['digest']}", width), False
    shown = diff if full else diff[:MAX_DIFF]
    lines = []
    for line in shown:
        lines += _wrapped(line, first="      ", then="    | ", width=width)
    for caution in cautions("".join(shown)):
        lines += _notice(caution, width)
    if hidden := len(diff) - len(shown):
        cut = f"cut: {hidden} of {len(diff)} lines are not shown; use --full"
        lines += _notice(cut, width)
    return lines, bool(hidden)


def _told(text: str, width: int) -> list[str]:
    return _wrapped(text, first="  < ", then="  |   ", width=width)


def _notice(text: str, width: int) -> list[str]:
    return _wrapped(text, first="  ! ", then="  |   ", width=width)


def _field(name: str, text: str, width: int) -> list[str]:
    return _wrapped(text, first=f"{name:<{_LABEL}}", then=f"{'':<{_LABEL - 2}}| ", width=width)


def _wrapped(text: str, *, first: str, then: str, width: int) -> list[str]:
    """Lines of at most `width` columns, each beginning with a prefix of ours."""
    lines, line, columns = [], first, len(first)
    for char in text:
        wide = 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if columns + wide > max(width, _NARROWEST):
            lines.append(line)
            line, columns = then, len(then)
        line += char
        columns += wide
    return [*lines, line]
