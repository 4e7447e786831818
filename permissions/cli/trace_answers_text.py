"""What `wardline trace why`, `blast`, `diff` and `votes` print for people.

Everything recorded is escaped, so that no text of an agent or a tool moves a terminal or begins a
line. What is too long is cut with a word about how much; `--full` and `--json` cut nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from permissions.approval.text import compared, literal, moment, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.model import JsonObject

MOST = 400
_VERDICTS = {"allow": "permitted", "ask": "asked a person", "deny": "denied"}


def short(value: Any, most: int | None = MOST) -> str:
    """A value's JSON text, cut with a word about it."""
    said = literal(value)
    if most is None or len(said) <= most:
        return said
    return f"{said[:most]}... ({len(said) - most} more characters; --full shows all)"


def arguments_text(arguments: Any, most: int | None = 60) -> str:
    """The arguments of a call, as in a call."""
    if not isinstance(arguments, dict):
        return short(arguments, most)
    if arguments.keys() == {"closed"}:
        return f"(closed: {visible(str(arguments['closed']))})"
    return ", ".join(
        f"{visible(str(name))}={_cut(value, most)}" for name, value in arguments.items()
    )


def _cut(value: Any, most: int | None) -> str:
    said = literal(value)
    left = 0 if most is None else len(said) - most
    return said if left <= 0 else f"{said[:most]}...(+{left})"


def why_text(found: JsonObject, *, full: bool) -> Iterator[str]:
    """Why a call ended as it did."""
    most = None if full else MOST
    yield f"{_word(found['tool'] or '(not registered)')}  {_word(found['end'])}"
    yield f"  call        {_word(found['call'])} of run {_word(found['run'])}"
    yield f"  asked       {moment(found['time'])}, entry {found['index']}"
    yield f"  by          {_subject(found['subject'])}"
    arguments = found["arguments"]
    named = arguments.items() if isinstance(arguments, dict) else [("arguments", arguments)]
    for name, value in named:
        yield f"  argument    {visible(str(name))} = {short(value, most)}"
        for line in _provenance(found["provenance"], str(name)):
            yield f"              {line}"
    if (plan := found["plan"]) is not None:
        step = f"step {_word(plan['step'])}" if plan["step"] else "no step"
        yield f"  plan        {_word(plan['id'] or 'none declared')}: {step}, {_word(plan['verdict'] or 'no verdict')}"
    for decision in found["decisions"]:
        yield from _decision(decision, most)
    for request in found["requests"]:
        yield from _request(request, most)
    if (start := found["start"]) is not None:
        used = f", with approval {_word(start['request'])}" if start.get("request") else ""
        yield f"  started     isolation {_word(start.get('isolation', 'none'))}, evidence {_word(start.get('evidence'))}{used}"
    for effect in found["effects"]:
        facts = {name: value for name, value in effect.items() if name not in ("entry", "kind")}
        yield f"  effect      entry {effect['entry']}: {_word(effect['kind'])} {short(facts, most)}"
    yield from _ended(found["ended"], most)


def blast_text(found: JsonObject) -> Iterator[str]:
    """What values reached."""
    for call in found["sources"]:
        yield f"source        {_one(call)}"
    for call in found["reached"]:
        yield f"reached       {_one(call)}"
        for way in call["by"]:
            yield f"                {_way(way)}"
    ran = sum(call["outcome"] not in ("denied", "expired", "open") for call in found["reached"])
    yield f"{len(found['reached'])} calls reached by values, {ran} of them ran"
    for run, count in found["after"].items():
        yield (
            f"{count} more calls of run {_word(run)} came after it and repeat no value of it;"
            " what the agent concluded from it is not seen"
        )
    if found["closed"]:
        yield f"{found['closed']} calls cannot be opened: nobody knows what reached them"


def diff_text(rows: Iterable[JsonObject]) -> Iterator[str]:
    """Two runs, a line for each call."""
    counts = {"same": 0, "changed": 0, "first_only": 0, "second_only": 0}
    signs = {"same": " ", "changed": "~", "first_only": "-", "second_only": "+"}
    for row in rows:
        counts[row["change"]] += 1
        yield f"{signs[row['change']]} {_one(row['first'] or row['second'])}"
        for name in row["differs"]:
            yield f"    {name}: {short(row['first'][name])} -> {short(row['second'][name])}"
    yield ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())


def votes_text(requests: Iterable[JsonObject]) -> Iterator[str]:
    """Who answered what, and whether that is proven."""
    for request in requests:
        yield f"request {_word(request['request'])}, entry {request['entry']}"
        yield f"  shown       {_word(request['shown_digest'] or 'not kept')}"
        for vote in request["votes"]:
            said = f"{_word(vote['approver'])} said {_word(vote['verdict'])}"
            note = f", noting {short(vote['note'])}" if vote.get("note") else ""
            yield f"  {said} at {moment(vote['time'])}{note}"
            proven = "proven by their key" if vote["problem"] is None else "NOT PROVEN"
            yield f"    {proven}" + (
                "" if vote["problem"] is None else f": {_word(vote['problem'])}"
            )
        if not request["votes"]:
            yield "  nobody answered, or no answer is kept"


def _decision(decision: JsonObject, most: int | None) -> Iterator[str]:
    about = "" if decision["action"] == "tools/call" else f" ({_word(decision['action'])})"
    yield (
        f"  decision    {_VERDICTS[decision['verdict']]}{about}, entry {decision['entry']},"
        f" policies {_word(str(decision['revision'])[:23])}"
    )
    if decision["rules"]:
        yield f"    rules     {visible(', '.join(decision['rules']))}"
    for reason in decision["reasons"]:
        said = f": {visible(reason['agent'])}" if reason.get("agent") else ""
        yield f"    reason    {_word(reason['code'])}{said}"
        if reason.get("operator"):
            yield f"              {visible(reason['operator'])}"
        if reason.get("values"):
            yield f"              {_within(compared(reason['values']), most)}"
    if decision["answer"] != "opened":
        yield f"    answer    closed: {_word(decision['answer']['closed'])}"


def _people(request: JsonObject) -> str:
    """How many of whom; in which order, where what was shown can be opened and says one."""
    shown = request["shown"]
    call = shown.get("call", {}) if isinstance(shown, dict) else {}
    return ", then ".join(
        f"{stage['quorum']} of {visible(', '.join(stage['approvers']))}"
        for stage in call.get("terms", {}).get("stages") or [request]
    )


def _request(request: JsonObject, most: int | None) -> Iterator[str]:
    shown = request["shown"]
    yield (f"  people      {_people(request)} were asked, request {_word(request['request'])}")
    if isinstance(shown, dict) and "closed" in shown:
        yield f"    saw       closed: {_word(shown['closed'])}"
    elif isinstance(shown, dict) and isinstance(call := shown.get("call"), dict):
        yield f"    saw       {_word(call.get('tool'))} with {short(call.get('arguments'), most)}"
        for reason in shown.get("reasons", ()):
            said = compared(reason.get("values") or {}) or visible(str(reason.get("agent")))
            yield f"              {_word(reason.get('code'))}: {_within(said, most)}"
    else:
        yield f"    saw       what is not of its form: {short(shown, most)}"
    for vote in request["answers"]:
        if "closed" in vote:
            yield f"    answer    closed: {_word(vote['closed'])}"
            continue
        note = f", noting {short(vote['note'], most)}" if vote.get("note") else ""
        yield (
            f"    answer    {_word(vote.get('approver'))} said {_word(vote.get('verdict'))} at"
            f" {_when(vote.get('time'))}{note}"
        )
    if not request["answers"]:
        yield "    answer    none is recorded"


def _ended(ended: JsonObject | None, most: int | None) -> Iterator[str]:
    if ended is None:
        yield "  ended       not: no entry says how"
        return
    yield f"  ended       entry {ended['entry']}, {moment(ended['time'])}"
    if codes := ended.get("codes"):
        yield f"    codes     {visible(', '.join(map(str, codes)))}"
    for name in ("result", "error", "stdout", "stderr", "operator"):
        if name in ended:
            yield f"    {name:<9} {short(ended[name], most)}"


def _provenance(provenance: JsonObject, argument: str) -> Iterator[str]:
    top = "/" + argument.replace("~", "~0").replace("/", "~1")
    for pointer, leaf in provenance.items():
        if pointer != top and not pointer.startswith(f"{top}/"):
            continue
        below = f" at {visible(pointer)}" if pointer != top else ""
        trust = "trusted" if leaf["trusted"] else "untrusted"
        said = f"from {_word(leaf['origin'])}{below}, {trust}"
        if leaf["source"]:
            said += f", {_word(leaf['source'])}"
        yield said + (f": {_site(leaf['from'])}" if leaf["from"] else "")


def _site(site: JsonObject) -> str:
    cut, pointer = site.get("cut"), site.get("pointer")
    said = f", characters {cut[0]} to {cut[1]}" if cut else ""
    where = "" if pointer is None else f" at {literal(pointer)}"
    return f"{_word(site.get('call'))}, entry {_word(site.get('entry'))}{where}{said}"


def _way(way: JsonObject) -> str:
    if "file" in way:
        told = way["file"]
        return f"{visible(way['argument'])} reads {literal(told['path'])}, written by {_word(told['written_by'])}"
    if "address" in way:
        return f"{visible(way['argument'])} has {literal(way['address'])}, first in {_word(way['seen_in'])}"
    return f"{visible(way['argument'])} from {_site(way['from'])}"


def _one(call: JsonObject) -> str:
    tool = _word(call["tool"] or "(not registered)")
    return f"{call['index']:>6}  {tool}({arguments_text(call['arguments'])})  {_word(call['end'])}  {_word(call['call'])}"


def _subject(subject: JsonObject | None) -> str:
    if subject is None:
        return "not recorded"
    behalf = (subject.get("properties") or {}).get("on_behalf_of")
    return f"{_word(subject.get('id'))}" + (f" for {_word(behalf)}" if behalf else "")


def _within(text: str, most: int | None) -> str:
    if most is None or len(text) <= most:
        return text
    return f"{text[:most]}... ({len(text) - most} more characters; --full shows all)"


def _when(time: object) -> str:
    return moment(time) if type(time) is int else _word(time)


def _word(value: object) -> str:
    return visible(value) if isinstance(value, str) else json.dumps(value)
