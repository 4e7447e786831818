"""Texts an attacker would put into a record, and a log that holds them everywhere it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import orjson
from logs import CONFIG, KEK, NAME, SIGNER, run_end, seeded, ticking

from permissions.trace.entry import TraceEntry
from permissions.trace.log import open_log
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.trace.log import SignedLog

TEXTS = (
    "</script><script>window.fired='script'</script>",
    '<img src=x onerror="window.fired=1"><svg onload=window.fired=2>',
    "<!--<script>window.fired=3",
    '"><iframe srcdoc="<script>parent.fired=4</script>">',
    "javascript:window.fired=5",
    "\x1b]0;title\x07\x1b[2Jcleared\x1b[8mhidden",
    "pay alice\u202eecila yap\u2066\u2069\u200b\ufeff",
    "lookalike\u00ad\u3164\u2800 \U000e0041\U000e0042",
    "{{constructor.constructor('window.fired=6')()}}",
    "a\u0300" * 200,
    "huge " * 60_000,
    '__proto__"];window.fired=7;//',
)


def call_of(run: str, call: str, text: str) -> list[TraceEntry]:
    """One call whose every name and text is hostile, and tells a story that may happen."""
    arguments = orjson.dumps({text[:80]: text, "__proto__": {"fired": text}})
    request, tool = f"req-{call}", f"tool {text[:60]}"
    shown = orjson.dumps(
        {
            "id": request,
            "call": {
                "arguments": arguments.decode(),
                "effects": {"diff": f"--- a\n+++ b\n@@ -1 +1 @@\n-{text}\n+{text}"},
                "terms": {"approvers": [text[:60]], "quorum": 1},
            },
            "expires_at": 1,
        }
    )
    asked = {
        "action": {"name": "tools/call"},
        "resource": {"properties": {"args": orjson.loads(arguments)}},
        "context": {
            "provenance": {
                f"/{text[:60]}": {
                    "origin": text[:60],
                    "trusted": False,
                    "from": {"call": text[:60], "entry": 1, "pointer": f"/{text[:60]}"},
                }
            }
        },
    }
    reason = {"code": text[:60], "agent": text, "operator": text, "values": {text[:60]: text}}
    context = {"access_request": {}, "rules": [text], "reasons": [reason], "obligations": []}
    answered = {"decision": False, "context": context}
    tagged = {"args": arguments}
    return [
        TraceEntry("intent", run, call, {"tool": tool}, {"arguments": arguments}, tagged),
        TraceEntry(
            "decision",
            run,
            call,
            {
                "action": "tools/call",
                "permitted": False,
                "requestable": True,
                "rules": [text[:2000]],
                "reasons": [text[:60]],
            },
            {"input": orjson.dumps(asked), "response": orjson.dumps(answered)},
        ),
        TraceEntry(
            "request",
            run,
            call,
            {"request": request, "approvers": [text[:60]], "quorum": 1, "expires_at": 1},
            {"shown": shown},
        ),
        TraceEntry(
            "denied",
            run,
            call,
            {"kind": "denied", "codes": [text[:60]]},
            {"operator": orjson.dumps([text])},
        ),
    ]


def write_hostile_log(directory: Path) -> None:
    """A closed log of one run, with a call for each text and one that returned them all."""

    async def record(log: SignedLog) -> None:
        run = "run-hostile"
        everything = "\n".join(TEXTS).encode()
        start = TraceEntry(
            "run.start",
            run,
            body={"subject": {"id": TEXTS[0]}},
            contents={"prompt": everything},
        )
        await log.append([start], barrier="buffered")
        for number, text in enumerate(TEXTS):
            await log.append(call_of(run, f"call-{number}", text), barrier="buffered")
        await log.append([run_end(run, 0)], barrier="durable")

    async def main() -> None:
        async with open_log(
            directory,
            name=NAME,
            signer=SIGNER,
            kek=KEK,
            config=CONFIG,
            clock=ticking(),
            random=seeded("hostile"),
        ) as log:
            await record(log)

    anyio.run(main)


def write_page_of(directory: Path, target: Path, *, opened: bool = True) -> None:
    """The explorer of a log in this folder, verified with the key it was signed by."""
    from permissions.export.opened import Entries
    from permissions.export.page import write_page

    vault = VaultReader(directory, KEK)
    report = verify_trace(directory, key=SIGNER.public, vault=vault)
    with target.open("wb") as file:
        write_page(
            file,
            Entries(read_entries(directory), vault if opened else None),
            report,
            about={"made": "2026-01-01T00:00:00Z", "opened": opened, "build": "test"},
        )
