r"""What an approver sees on a terminal, and how a terminal asks them.

Everything that came from an agent, a tool or a policy is shown as the JSON text of its value,
with each character that a terminal would not show as itself written as a `\uXXXX` escape
(controls, ANSI sequences, bidirectional and invisible characters, stacked marks). So what
stands on the screen parses back to exactly the value that will run. Lines are broken here and
not by the terminal: no text can start a line of its own. Readable without colour.

Not protected from: letters of other scripts that look alike. They are shown as they are and
named below the value. And diffs are lines, not values: an escape in one may stand for its
character or for the letters it is written in.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, assert_never

from permissions.signing.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from permissions.approval.model import AccessRequest, RequestedCall
    from permissions.model import JsonObject, JsonValue

Answer = Literal["approve", "deny", "later"]

WIDTH = 96
MAX_VALUE = 400
"""Characters of one value that are shown without `full`."""
MAX_ARGUMENTS = 40
"""Arguments, paths or changes that are shown without `full`."""
MAX_DIFF = 40
"""Lines of one file's diff that are shown without `full`."""
_ANSWERS: dict[str, Answer] = {"approve": "approve", "deny": "deny", "later": "later"}
_MAX_TRIES = 5
_LABEL = 12
_NARROWEST = 24

_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0").union(
    map(chr, [*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
)
"""Letters, marks and symbols without a visible shape (Unicode, Default_Ignorable)."""
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})


@dataclass(frozen=True, slots=True)
class Page:
    """A request as text, and whether any of it was left out."""

    text: str
    truncated: bool


def literal(value: JsonValue) -> str:
    """The JSON text of a value in characters a terminal shows as they are.

    `json.loads` of it gives the value again.
    """
    shown = []
    before = ""
    for char in json.dumps(value, ensure_ascii=False):
        shown.append(char if _shows_as_itself(char, before) else _escaped(char))
        before = char
    return "".join(shown)


def visible(text: str) -> str:
    """A text in one line, in characters a terminal shows as they are."""
    return literal(text)[1:-1].replace('\\"', '"')


def compared(values: Mapping[str, JsonValue]) -> str:
    """The values that a reason compared, in one line; empty without any."""
    return ", ".join(f"{name} {literal(value)}" for name, value in values.items())


def page(request: AccessRequest, *, now: int, full: bool = False, width: int = WIDTH) -> Page:
    """The request as an approver should read it before they answer.

    Long values are cut and marked as such, with the digest of the whole, unless `full`.

    Time left is counted from `now`, microseconds since 1970 UTC. A terminal narrower than
    `width` breaks lines by itself, and text may then begin one.
    """
    call, terms = request.call, request.call.terms
    behalf = f", on behalf of {visible(call.on_behalf_of)}" if call.on_behalf_of else ""
    barred = "; not by who asks or is acted for" if terms.separation_of_duties else ""
    facts = [
        ("request", f"{visible(request.id)} ({request.status})"),
        ("tool", visible(call.tool)),
        ("definition", call.tool_digest),
        ("arguments", call.args_digest),
        ("asked by", f"{visible(call.subject)}{behalf}"),
        ("workspace", visible(call.workspace)),
        ("run, call", f"{visible(call.run)}, {visible(call.key)}"),
        ("plan step", visible(call.plan_step) if call.plan_step else "none"),
        *(("why", text) for text in _reasons(request)),
        ("needs", f"{terms.quorum} of {visible(', '.join(terms.approvers))}{barred}"),
        ("expires", f"{moment(request.expires_at)} ({_left(request.expires_at - now)})"),
        *(("answered", text) for text in _votes(request)),
    ]
    lines = [line for name, text in facts for line in _field(name, text, width)]
    document = json.loads(call.arguments)
    named = document if isinstance(document, dict) else {"(arguments)": document}
    arguments, truncated = _values([*named.items()], " = ", full=full, width=width)
    heading = (
        "What will run"
        if call.effects is None
        else "What ran, its changes not yet in the workspace"
    )
    lines += ["", f"{heading}, exactly:", *(arguments or ["  (no arguments)"])]
    if call.effects is not None:
        changes, cut = _effects(json.loads(call.effects), full=full, width=width)
        lines += ["", "What it would change in the workspace, all or nothing:", *changes]
        truncated |= cut
    elif paths := [(each["argument"], each["resolved"]) for each in _paths(call)]:
        leads, cut = _values(paths, " leads to ", full=full, width=width)
        lines += ["", "Where its paths lead now; elsewhere, it will not run:", *leads]
        truncated |= cut
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

    Words have to be typed out. Nobody approves what they were not shown: with parts left out,
    `approve` first shows the whole. The end of input, and nonsense, mean `later`. `read` shows
    a question and gives the line typed, as `input` does.
    """
    shown = page(request, now=now, width=width)
    write(shown.text)
    truncated = shown.truncated
    for _ in range(_MAX_TRIES):
        try:
            said = read("approve / deny / later / full > ").strip().lower()
        except EOFError:
            return "later"
        if said == "full" or (said == "approve" and truncated):
            write(page(request, now=now, full=True, width=width).text)
            if said == "approve":
                write("Parts were left out above. This is the whole; please answer again.")
            truncated = False
        elif said in _ANSWERS:
            return _ANSWERS[said]
    return "later"


def moment(micros: int) -> str:
    """A time as people read it, in UTC."""
    return f"{datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros):%Y-%m-%d %H:%M:%S} UTC"


def _reasons(request: AccessRequest) -> Iterator[str]:
    for reason in request.reasons:
        yield f"{reason.code}: {visible(reason.agent)}"
        if reason.operator:
            yield f"{reason.code}: {visible(reason.operator)}"
        if reason.values:
            yield f"{reason.code}: {compared(reason.values)}"


def _votes(request: AccessRequest) -> Iterator[str]:
    for vote in request.votes:
        note = f": {visible(vote.note)}" if vote.note else ""
        match vote.verdict:
            case "approve":
                verb = "approved"
            case "deny":
                verb = "denied"
            case _:
                assert_never(vote.verdict)
        yield f"{visible(vote.approver)} {verb} at {moment(vote.time)}{note}"


def _effects(shown: JsonObject, *, full: bool, width: int) -> tuple[list[str], bool]:
    """Each change, with the diff of its file below it.

    No text of a file can look like ours: what is ours begins further left.
    """
    entries = shown["change_set"]["entries"]
    diffs = {each["path"]: each["diff"].split("\n")[2:] for each in shown["diffs"]}
    lines: list[str] = []
    truncated = False
    for position, entry in enumerate(entries):
        if position == MAX_ARGUMENTS and not full:
            lines += _notice(f"{len(entries) - position} more are not shown; use --full", width)
            return lines, True
        lines += _wrapped(_change(entry), first="  ", then="  | ", width=width)
        for caution in _cautions(f"{entry['path']}{entry['target'] or ''}"):
            lines += _notice(caution, width)
        diff, cut = _diff(diffs.get(entry["path"]), entry, full=full, width=width)
        lines += diff
        truncated |= cut
    return lines, truncated


def _change(entry: JsonObject) -> str:
    """One change on one line: facts of ours first, the run's words last."""
    facts = [f"{entry['kind']} {entry['type']}", *_facts(entry)]
    if entry["executable"]:
        facts.append("executable")
    was = f" (was {', '.join(_facts(entry['was']))})" if entry["was"] else ""
    leads = f" leads to {literal(entry['target'])}" if entry["target"] is not None else ""
    return f"{', '.join(facts)}{was}: {literal(entry['path'])}{leads}"


def _facts(entry: JsonObject) -> Iterator[str]:
    if entry["type"] != "link" and entry["mode"] is not None:
        yield f"mode {entry['mode']}"
    if entry["type"] == "file" and entry["size"] is not None:
        yield f"{entry['size']} bytes"


def _diff(
    diff: list[str] | None, entry: JsonObject, *, full: bool, width: int
) -> tuple[list[str], bool]:
    if entry["type"] != "file" or entry["kind"] == "deleted":
        return [], False
    if diff is None:
        return _notice(f"no text to compare; its content has {entry['digest']}", width), False
    shown = diff if full else diff[:MAX_DIFF]
    lines = []
    for line in shown:
        seen = "".join(
            char if _shows_as_itself(char, before) else _escaped(char)
            for before, char in zip(f"a{line}", line, strict=False)
        )
        lines += _wrapped(seen, first="      ", then="    | ", width=width)
    for caution in _cautions("".join(shown)):
        lines += _notice(caution, width)
    if hidden := len(diff) - len(shown):
        cut = f"cut: {hidden} of {len(diff)} lines are not shown; use --full"
        lines += _notice(cut, width)
    return lines, bool(hidden)


def _paths(call: RequestedCall) -> list[JsonObject]:
    return [target for target in json.loads(call.targets) if target["kind"] == "path"]


def _values(
    named: Sequence[tuple[str, JsonValue]], between: str, *, full: bool, width: int
) -> tuple[list[str], bool]:
    lines: list[str] = []
    truncated = False
    for position, (name, value) in enumerate(named):
        if position == MAX_ARGUMENTS and not full:
            truncated = True
            left_out = f"{len(named) - position} more are not shown; use --full"
            lines += _notice(left_out, width)
            break
        whole = literal(value)
        cut = len(whole) > MAX_VALUE and not full
        shown = f"{visible(name)}{between}{whole[:MAX_VALUE] if cut else whole}"
        lines += _wrapped(shown, first="  ", then="  | ", width=width)
        if cut:
            truncated = True
            hidden = f"{len(whole) - MAX_VALUE} of {len(whole)} characters"
            lines += _notice(f"cut: {hidden} are not shown; use --full", width)
            lines += _notice(f"the whole has {digest(whole.encode())}", width)
        for caution in _cautions(name + whole):
            lines += _notice(caution, width)
    return lines, truncated


def _cautions(text: str) -> Iterator[str]:
    """Names characters that may look like others, or be shown in another order."""
    foreign = sorted({char for char in text if not char.isascii()})
    shown = [char for char in foreign if _shows_as_itself(char, "a")]
    if shown:
        named = ", ".join(f"U+{ord(c):04X} {unicodedata.name(c, 'unnamed')}" for c in shown[:5])
        more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
        yield f"beyond plain ASCII: {named}{more}"
    if any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in shown):
        yield "has right-to-left letters: the order on the screen may not be the order"


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


def _shows_as_itself(char: str, before: str) -> bool:
    if " " <= char <= "~":
        return True
    category = unicodedata.category(char)
    if category in _UNSHOWN or char in _BLANK:
        return False
    if category in ("Mn", "Me"):
        # One mark on a letter is writing; more of them paint over the neighbours.
        return unicodedata.category(before).startswith("L") if before else False
    return True


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _left(micros: int) -> str:
    seconds = micros // 1_000_000
    if seconds <= 0:
        return "over"
    days, rest = divmod(seconds, 86_400)
    return f"in {f'{days} d ' if days else ''}{timedelta(seconds=rest)}"
