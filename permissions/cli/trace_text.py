"""What `wardline trace` prints. Everything recorded is escaped; nothing depends on colour."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from permissions.approval.text import literal, visible
from permissions.cli.trace_answers_text import arguments_text
from permissions.errors import TraceError
from permissions.trace.index_check import CODE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.model import JsonObject
    from permissions.replay.rows import Summary
    from permissions.setup.renewal import Renewed
    from permissions.trace.index_check import IndexCheck
    from permissions.trace.reader import RecordedEntry
    from permissions.trace.report import Completeness, Report
    from permissions.trace.vault import VaultReader

_SHOWN = 2000
_ARGUMENT = 60
"""Characters of an argument that a line shows without `--full`; the rest is counted."""
_TOLD = ("tool", "permitted", "requestable", "rules", "reasons", "approvers", "kind", "codes",
         "fate", "isolation", "status", "verdict", "reason")  # fmt: skip
_LISTED = 40
_LISTED_LINES = 400
_GOOD, _BAD, _MIND = "green", "red", "yellow"


def call_line(call: Mapping[str, Any], *, full: bool = False) -> str:
    """One call on one line."""
    why = f"  [{_text(', '.join(call['reasons']))}]" if call["reasons"] else ""
    people = f"  approved by {_text(', '.join(call['approvers']))}" if call["approvers"] else ""
    where = f"  isolation {_text(call['isolation'])}" if call["isolation"] else ""
    where += f"  changes {_text(call['changes'])}" if call["changes"] else ""
    tool = _text(call["tool"]) if call["tool"] else "(not registered)"
    given = arguments_text(call["arguments"], None if full else _ARGUMENT)
    return (
        f"{call['index']:>8}  {_moment(call['time'])}  {tool}({given})  {_text(call['end'])}{where}"
        f"{people}{why}  {_text(call['call'])}  run {_text(call['run'])}"
    )


def entry_line(entry: RecordedEntry) -> str:
    """One entry on one line."""
    told = {name: entry.body[name] for name in _TOLD if name in entry.body}
    facts = "  ".join(f"{name} {literal(value)}" for name, value in told.items())
    call = f"  {_text(entry.call)}" if entry.call else ""
    run = f"  run {_text(entry.run)}" if entry.run else ""
    return f"{entry.index:>8}  {_moment(entry.time)}  {_text(entry.type):<9} {facts}{call}{run}"


def opened_contents(entry: RecordedEntry, vault: VaultReader) -> JsonObject:
    """The contents of an entry as JSON: text, base64 of what is none, or why it stays closed."""
    contents: JsonObject = {}
    for name in entry.digests:
        try:
            data = entry.open(name, vault)
        except TraceError as err:
            contents[name] = {"problem": str(err)}
            continue
        try:
            contents[name] = {"text": data.decode()}
        except UnicodeDecodeError:
            contents[name] = {"base64": base64.b64encode(data).decode()}
    return contents


def entry_text(entry: RecordedEntry, opened: JsonObject) -> str:
    """One entry over several lines."""
    lines = [
        f"{entry.index}  {typer.style(visible(entry.type), bold=True)}  {_moment(entry.time)}"
    ]
    if entry.run is not None:
        lines.append(
            f"  run {_text(entry.run)}" + (f"  call {_text(entry.call)}" if entry.call else "")
        )
    lines.extend(f"  {_text(name)}: {_value(value)}" for name, value in entry.body.items())
    for name, digest in entry.digests.items():
        kept = "sealed" if name in entry.sealed else "not here"
        lines.append(f"  {_text(name)}: content, {kept}, SHA-256 {_text(digest)}")
        whole = _lines if entry.type == "effect" and name == "diff" else _content
        lines.extend(f"    {line}" for line in whole(opened.get(name)))
    return "\n".join(lines)


def report_text(report: Report, *, key_source: str) -> str:
    """The three verdicts, one under the other."""
    return "\n".join(
        [
            *_integrity(report, key_source),
            "",
            *_anchoring(report.completeness, report.integrity.size),
            *_witnessed(report),
            "",
            *_completeness(report.completeness),
        ]
    )


def index_text(index: IndexCheck) -> str:
    """What an index says that its log does not, and what to do; or why nobody looked."""
    if index.skipped:
        return f"index         not compared: {_text(index.skipped)}"
    differs = _styled("DIFFERS from the log", _BAD)
    return "\n".join(
        (
            f"index         {differs} ({CODE}): a search may have missed calls",
            *(f"  why         {_text(fault)}" for fault in index.faults),
            f"  to mend     delete {_text(str(index.file))}; it is made anew from the log",
        )
    )


def replay_text(summary: Summary, rows: list[JsonObject], *, what_if: bool) -> str:
    """The matrix, and the rows somebody has to look at."""
    replayed = summary.decisions - summary.unreplayable
    lines = [f"{summary.decisions} decisions, {replayed} replayed"]
    if not what_if:
        lines.append(_judged("byte-equal", summary.identical, good=True))
        lines.append(_judged("different", summary.mismatched, good=False))
    lines.append(_judged("not replayable", summary.unreplayable, good=False))
    if what_if:
        lines.append(_judged("changed", summary.changed, good=False))
        lines.append(_judged("newly allowed", summary.newly_allowed, good=False))
        lines.append(_judged("weaker terms", summary.weaker, good=False))
        lines.extend(["", f"{'before':>8}  {'allow':>8} {'ask':>8} {'deny':>8}  (after)"])
        for before in ("allow", "ask", "deny"):
            counts = [summary.matrix[before, after] for after in ("allow", "ask", "deny")]
            lines.append(f"{before:>8}  " + " ".join(f"{count:>8}" for count in counts))
        lines.extend(_changed_by(summary))
        lines.extend(_not_known(summary))
    if rows:
        lines.append("")
        lines.extend(_row(row) for row in rows[:_LISTED])
    if len(rows) > _LISTED:
        lines.append(f"... and {len(rows) - _LISTED} more; --json lists them all")
    return "\n".join(lines)


def _changed_by(summary: Summary) -> Iterator[str]:
    """The matrix by tool, agent and rule, where anything changed; newly allowed first."""
    for kind in ("tool", "agent", "rule"):
        found = sorted(
            (after != "allow", name, before, after, count)
            for (of, name, before, after), count in summary.by.items()
            if of == kind and before != after
        )
        for _, name, before, after, count in found[:_LISTED]:
            yield f"{f'by {kind}':>10}  {_text(name)}  {before} -> {after}  {count}"
        if len(found) > _LISTED:
            yield f"{'':>10}  ... and {len(found) - _LISTED} more; --json lists them all"
    if runs := summary.changed_by_run.most_common(_LISTED):
        told = ", ".join(f"{_text(name)} {count}" for name, count in runs)
        left = len(summary.changed_by_run) - len(runs)
        yield f"{'by run':>10}  {told}" + (
            f", and {left} more; --json lists them" if left else ""
        )


def _not_known(summary: Summary) -> Iterator[str]:
    """What to do where a contract refuses what another one took."""
    if any(
        kind == "rule" and name.startswith("contract.") and before != "deny" == after
        for kind, name, before, after in summary.by
    ):
        yield ""
        yield (
            "These policies refuse the form of recorded inputs (contract.*): they were recorded"
            " under another version of the policy contract."
        )
        yield (
            "Without --policy each is decided under its own; `wardline trace config` says which"
            " build and policies that was."
        )


def following_text(follows: JsonObject) -> str:
    """What a log says of the one it follows."""
    kept = follows.get("kept")
    went = "nobody kept how far it went" if kept is None else f"it had {kept} entries"
    return (
        f"warning: this log follows {_text(follows.get('origin'))}: {_text(went)}, of which"
        f" {_text(follows.get('verified'))} verify in set-aside/{_text(follows.get('folder'))}"
        f" ({_text(follows.get('reason'))})"
    )


def renewed_text(renewed: Renewed) -> str:
    """What became of the old log, and what the new one is."""
    moved = "nothing was left of it" if renewed.set_aside is None else str(renewed.set_aside)
    return "\n".join(
        (
            f"the old log  {_text(renewed.follows['origin'])}",
            f"  why        {_text(renewed.follows['reason'])}",
            f"  now in     {_text(moved)}",
            f"the new log  {_text(renewed.origin)}, which says so in its first entry",
        )
    )


def _integrity(report: Report, key_source: str) -> Iterator[str]:
    found = report.integrity
    key = f"key {found.keyid[:16]}" if found.keyid else "no key"
    match found.verdict:
        case "failed":
            yield f"integrity     {_styled('FAILED', _BAD)} at entry {found.failed_at}"
            yield f"  why         {_text(found.reason)}"
        case "signed":
            yield f"integrity     {_styled('signed', _GOOD)} by {key}, pinned in {_text(key_source)}"
        case "consistent" if not found.checkpoints:
            yield f"integrity     {_styled('consistent', _MIND)}, but nothing in it is signed"
        case "consistent" if found.pin_revoked:
            yield f"integrity     {_styled('consistent', _MIND)}, signed by {key}"
            yield f"  key         {_text(key_source)}: revoked in this log, so it pins nothing"
            yield "  to pin      --key with the verifier key that took its stead, from its owner"
        case "consistent":
            yield f"integrity     {_styled('consistent', _MIND)}, signed by {key}"
            yield f"  key         {_text(key_source)}: no pin, who swaps the log swaps it, too"
            yield "  to pin      --key with a copy of the public key kept elsewhere; from now on"
            yield "              this log and key are remembered for this folder (trust on first use)"
    yield f"  log         {_text(found.origin)}"
    yield f"  entries     {found.size} under {found.checkpoints} checkpoints"
    yield f"  root        {_text(found.root)}"
    for doubt in found.doubtful:
        yield (
            f"  in doubt    {_styled(f'entries {doubt.first} to {doubt.end - 1}', _BAD)}: key"
            f" {_text(doubt.keyid[:16])} was stolen by {_moment(doubt.since)}, and nobody else"
            " vouches for them"
        )


def _anchoring(found: Completeness, size: int) -> Iterator[str]:
    if found.anchor is None:
        yield f"anchoring     {_styled('NOT anchored', _MIND)}"
        yield "  why         no checkpoint of this log is known, so a cut at a checkpoint would not show"
    else:
        yield f"anchoring     {_styled('anchored', _GOOD)} up to {found.anchor.size} of {size} entries"
        yield f"  by          the checkpoint kept in {_text(found.anchor.source)}"


def _witnessed(report: Report) -> Iterator[str]:
    for each in report.witnessed:
        yield (
            f"  witnessed   {_styled('yes', _GOOD)}: {_text(each.witness)} up to {each.size}"
            f" entries, at {_moment(each.time * 1_000_000)}"
        )
    for name in report.unwitnessed:
        yield f"  witnessed   {_styled('no', _MIND)}: nothing that {_text(name)} cosigned is here"


def _completeness(found: Completeness) -> Iterator[str]:
    if not found.is_whole:
        word = _styled("NOT whole", _MIND)
    elif found.anchor is None:
        word = _styled("whole, unless its tail was cut", _MIND)
    else:
        word = _styled("whole", _GOOD)
    yield f"completeness  {word}"
    reason = f" ({_text(found.close_reason)})" if found.closed else ""
    yield f"  closed      {'yes' if found.closed else 'no: still written, or it died'}{reason}"
    if found.archived:
        yield f"  archived    {found.archived} entries were moved to an archive, and not read"
    if found.unsigned_bytes:
        yield f"  unsigned    {found.unsigned_bytes} bytes after the last signed checkpoint"
    yield f"  runs        {len(found.open_runs)} not ended"
    yield f"  calls       {len(found.open_calls)} without an end, {found.gaps} gaps"
    for word, calls in (("open", found.open_calls), ("gap", found.gap_calls)):
        for call in calls[:_LISTED]:
            tool = _text(call.tool) if call.tool else "(not registered)"
            yield f"    {word:<8}  {tool}  {_text(call.call)} of run {_text(call.run)},"
            yield f"              begun at entry {call.since}, last seen: {call.last}"
    sealed = found.contents
    yield (
        f"  contents    {sealed.checked} opened and right, {sealed.sealed} not opened,"
        f" {sealed.absent} absent, {sealed.erased} erased"
    )
    if sealed.locked:
        locked = _styled(f"{sealed.locked} sealed under another vault key", _MIND)
        yield f"              {locked} than the one here: not erased, and not checked"
    if found.unknown_types:
        yield f"  unknown     {found.unknown_types} entries of types this version does not judge"
    yield f"  findings    {found.findings_count}"
    for finding in found.findings[:_LISTED]:
        yield f"    at {finding.index}: {_text(finding.text)}"


def _row(row: JsonObject) -> str:
    tool = _text(row["tool"]) if row["tool"] else "(not registered)"
    about = "" if row["action"] == "tools/call" else f" {_text(row['action'])}"
    call = f"{row['index']:>8}  {tool}{about}  {_text(row['call'])}"
    if row["problem"]:
        return f"{call}  not replayable: {_text(row['problem'])}"
    after = ", ".join(row["reasons_after"]) or "no reason"
    note = "  (conditional: its run had changed before)" if row["conditional"] else ""
    if row["terms"]:
        changed = _text(", ".join(row["terms_changed"]))
        return f"{call}  {row['before']} on {row['terms']} terms: {changed}{note}"
    if row["before"] == row["after"]:
        return f"{call}  {row['before']} with another answer  [{_text(after)}]{note}"
    return f"{call}  {row['before']} -> {row['after']}  [{_text(after)}]{note}"


def _content(found: JsonObject | None) -> list[str]:
    if found is None:
        return []
    if "problem" in found:
        return [f"cannot be opened: {_text(found['problem'])}"]
    said = literal(found.get("text", found.get("base64")))
    cut = len(said) - _SHOWN
    return [said[:_SHOWN] + (f"... {cut} more characters; --json shows all" if cut > 0 else "")]


def _lines(found: JsonObject | None) -> list[str]:
    """A diff as the lines it has; their letters were made printable when it was made."""
    if found is None or "text" not in found:
        return _content(found)
    lines = str(found["text"]).split("\n")
    more = len(lines) - _LISTED_LINES
    shown = [visible(line) for line in lines[:_LISTED_LINES]]
    return [*shown, *([f"... {more} more lines; --json shows all"] if more > 0 else [])]


def _judged(words: str, count: int, *, good: bool) -> str:
    colour = _GOOD if good or not count else _BAD
    return f"{words:>16}  {_styled(str(count), colour)}"


def _styled(word: str, colour: str) -> str:
    return typer.style(word, fg=colour, bold=True)


def _value(value: object) -> str:
    return value and visible(value) if isinstance(value, str) else literal(value)


def _text(value: object) -> str:
    return visible(value) if isinstance(value, str) else json.dumps(value)


def _moment(micros: object) -> str:
    if not isinstance(micros, int):
        return "?"
    try:
        return datetime.fromtimestamp(micros / 1_000_000, UTC).isoformat(
            timespec="milliseconds"
        )
    except (ValueError, OverflowError, OSError):
        return str(micros)
