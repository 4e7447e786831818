"""Frames that nobody should send, from a server and from a client: bounded, by seeds.

Whatever comes, a call ends as a result or as the gateway's own error, nothing that was not
decided reaches a server, and the next honest frame is answered.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import plain_mcp
import pytest
from gateways import approve_tools
from mcp.types import Tool

from permissions.errors import GatewayError
from permissions.gateway.lines import messages
from permissions.gateway.offered import Offered
from permissions.gateway.upstream import Upstream
from permissions.service.tasks import beside
from permissions.setup.config import BrokerConfig
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LENGTHS = [
    pytest.param(20, 60.0, id="short", marks=pytest.mark.slow),
    pytest.param(10**9, 300.0, id="long", marks=[pytest.mark.long, pytest.mark.timeout(600)]),
]
ODD: list[Any] = [
    *(None, True, -1, 0, 2**63, 1e308, "", "\u0000", "\ud800", "x" * 70_000, [], {}, [[]]),
    *({"": None}, {"jsonrpc": "2.0"}, {"$ref": "#"}, "tools/call", "notifications/cancelled"),
]
BYTES = (b"\xff\xfe", b"\x00", b"\n\n\n", b"\r\n", b"{", b"]", b'"', b"\xed\xa0\x80", b"1e999")


def mutated(choice: random.Random, value: Any) -> Any:
    """Another value: a member changed, gone, doubled or put elsewhere."""
    if isinstance(value, dict) and value and choice.random() < 0.8:
        key = choice.choice(list(value))
        match choice.randrange(4):
            case 0:
                return {name: each for name, each in value.items() if name != key}
            case 1:
                return {**value, key: choice.choice(ODD)}
            case 2:
                return {
                    **value,
                    choice.choice(["id", "method", "params", "result", "error"]): value[key],
                }
            case _:
                return {**value, key: mutated(choice, value[key])}
    if isinstance(value, list) and value and choice.random() < 0.8:
        at = choice.randrange(len(value))
        return [*value[:at], mutated(choice, value[at]), *value[at:]]
    return choice.choice(ODD)


def line_of(choice: random.Random, frame: Any) -> bytes:
    """A frame as bytes, which may be broken."""
    if choice.random() < 0.5:
        frame = mutated(choice, frame)
    data = json.dumps(frame).encode()
    if choice.random() < 0.3:
        at = choice.randrange(len(data))
        data = data[:at] + choice.choice(BYTES) + data[at + choice.randrange(3) :]
    return data if choice.random() < 0.05 else data + b"\n"


def chunks(choice: random.Random, data: bytes) -> Iterator[bytes]:
    while data:
        size = choice.choice((1, 7, 100, 5000, 100_000))
        yield data[:size]
        data = data[size:]


TOOL = Tool(
    name="run",
    description="Runs Python.",
    input_schema={"type": "object", "properties": {"code": {"type": "string"}}},
)


def honest(asked: dict[str, Any]) -> dict[str, Any] | None:
    """The answer of a server of the older protocol."""
    if "id" not in asked or "method" not in asked:
        return None
    match asked["method"]:
        case "initialize":
            result: Any = plain_mcp.answer("initialize", asked["params"])
        case "tools/list":
            result = {"tools": [TOOL.model_dump(by_alias=True, exclude_none=True, mode="json")]}
        case "tools/call":
            result = {"content": [{"type": "text", "text": "done"}]}
        case _:
            error = {"code": -32601, "message": "no such method"}
            return {"jsonrpc": "2.0", "id": asked["id"], "error": error}
    return {"jsonrpc": "2.0", "id": asked["id"], "result": result}


class Peer:
    """A server in this process, as hostile as its seed says; honest once `calm`."""

    def __init__(self, seed: int) -> None:
        self.choice = random.Random(seed)  # noqa: S311 - the same frames for the same seed
        self.calm = False
        self.calls = 0

    @asynccontextmanager
    async def transport(self) -> AsyncIterator[Any]:
        send, heard = anyio.create_memory_object_stream[bytes](100_000)

        async def said(line: bytes) -> None:
            for each in self.answers(json.loads(line)):
                send.send_nowait(each)

        with send, heard:
            async with messages(heard, said) as streams:
                yield streams

    def answers(self, asked: dict[str, Any]) -> Iterator[bytes]:
        self.calls += asked.get("method") == "tools/call"
        answer, choice = honest(asked), self.choice
        if answer is None:
            return
        if self.calm:
            yield json.dumps(answer).encode() + b"\n"
            return
        noise = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
        data = b""
        for _ in range(choice.randrange(3)):
            data += line_of(choice, choice.choice([noise, answer, asked]))
        if choice.random() < 0.9:
            data += line_of(choice, answer)
        yield from chunks(choice, data)


@pytest.mark.parametrize(("rounds", "seconds"), LENGTHS)
async def test_frames_of_a_server(
    rounds: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Minutes are the product's patience with a server that says nothing; here it is a moment.
    monkeypatch.setattr("permissions.gateway.upstream.CONNECT_SECONDS", 0.5)
    monkeypatch.setattr("permissions.gateway.upstream.ANSWER_SECONDS", 0.5)
    approved = Offered.of(TOOL).digest
    ends, seed, ended = time.monotonic() + seconds, 0, {"done": 0, "failed": 0}
    while seed < rounds and time.monotonic() < ends:
        seed += 1
        peer = Peer(seed)
        upstream = Upstream("fuzz", peer.transport)
        async with beside() as tasks:
            tasks.start_soon(upstream.run)
            for _ in range(3):
                with anyio.fail_after(60):
                    try:
                        await upstream.call("run", {"code": "1"}, approved)
                        ended["done"] += 1
                    except GatewayError:
                        ended["failed"] += 1
            peer.calm = True
            await upstream.end()
            monkeypatch.setattr("permissions.gateway.upstream.CONNECT_SECONDS", 30)
            monkeypatch.setattr("permissions.gateway.upstream.ANSWER_SECONDS", 30)
            with anyio.fail_after(60):
                result = await upstream.call("run", {"code": "1"}, approved)
            monkeypatch.setattr("permissions.gateway.upstream.CONNECT_SECONDS", 0.5)
            monkeypatch.setattr("permissions.gateway.upstream.ANSWER_SECONDS", 0.5)
            assert result.content[0].text == "done", seed  # type: ignore[union-attr]

    assert seed >= min(rounds, 10)
    assert min(ended.values()) > 0, "some got through, and some did not"


HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    },
}
ASKED: list[dict[str, Any]] = [
    {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}},
    {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "box__run", "arguments": {"code": "open('ran', 'a').write('1')"}},
    },
    {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "tools/call",
        "params": {"name": "box__gone", "arguments": {}},
    },
    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}},
    {"jsonrpc": "2.0", "id": 4, "method": "subscriptions/listen", "params": {}},
    {"jsonrpc": "2.0", "id": 5, "result": {"action": "accept"}},
]


@pytest.mark.parametrize(("rounds", "seconds"), LENGTHS)
async def test_frames_of_a_client(tmp_path: Path, rounds: int, seconds: float) -> None:
    (tmp_path / "work").mkdir()
    ran = tmp_path / "ran"
    settings = {
        "state": str(tmp_path / "state"),
        "workspace": str(tmp_path / "work"),
        "sandbox.backends": [],
        "trace.evidence": "buffered",
        "gateway.pins": str(tmp_path / "gateway-tools.toml"),
        "gateway.upstream.box.command": [sys.executable, plain_mcp.__file__],
        "gateway.upstream.box.folder": str(tmp_path),
    }
    file = tmp_path / "wardline.toml"
    file.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items()))
    tools = [Tool.model_validate(each, by_name=False) for each in plain_mcp.TOOLS]
    row = {"effect": "read", "impact": "low", "marks": {"code": "free"}}
    approve_tools(BrokerConfig.load(file), "box", tools[:1], **row)
    choice = random.Random(11)  # noqa: S311 - as above
    process = await anyio.open_process(
        [sys.executable, "-m", "permissions", "gateway", "run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "WARDLINE_CONFIG": str(file)},
    )
    async with process:
        assert process.stdin is not None
        assert process.stdout is not None
        heard = lines(process.stdout)
        say = process.stdin.send

        async def honest_answer(number: str) -> dict[str, Any]:
            await say(b"\n" + json.dumps({**ASKED[0], "id": number}).encode() + b"\n")
            with anyio.fail_after(60):
                async for each in heard:
                    if each.get("id") == number:
                        return each
            raise AssertionError("it ended")

        await say(json.dumps(HELLO).encode() + b"\n")
        await say(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        ends, done = time.monotonic() + seconds, 0
        while done < rounds and time.monotonic() < ends:
            done += 1
            data = b"".join(line_of(choice, choice.choice(ASKED)) for _ in range(4))
            for each in chunks(choice, data):
                await say(each)
            answer = await honest_answer(f"honest-{done}")
            assert [each["name"] for each in answer["result"]["tools"]] == ["box__run"], done
        with anyio.fail_after(60):  # what is in hand when it closes is given up
            while not ran.exists():  # noqa: ASYNC110 - it is in a file when it is there
                await anyio.sleep(0.05)
        await process.stdin.aclose()
        with anyio.fail_after(60):
            assert await process.wait() == 0

    entries = list(read_entries(tmp_path / "state" / "trace"))
    started = [each for each in entries if each.type == "start"]
    assert done >= min(rounds, 10)
    assert len(ran.read_text()) <= len(started), "nothing ran that was not decided"
    assert verify_trace(tmp_path / "state" / "trace").is_intact


async def lines(stream: Any) -> AsyncIterator[dict[str, Any]]:
    """What a gateway says, whole line by whole line."""
    begun = b""
    async for chunk in stream:
        begun += chunk
        *whole, begun = begun.split(b"\n")
        for each in filter(None, whole):
            yield json.loads(each)
