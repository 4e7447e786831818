"""The gateway under honest and hostile calls for a while: nothing of it grows."""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import time
from pathlib import Path

import anyio
import pytest
from gateways import approve, say
from mcp import Client
from plain_mcp import __file__ as PLAIN  # noqa: N812 - the path of a program

from permissions.gateway import run as gateway
from permissions.setup.config import BrokerConfig

ROW = {"effect": "read", "impact": "low", "marks": {"path": "path read"}}

HOSTILE = (
    "1/0",
    "import sys; sys.__stdout__.write('not json\\n' * 200)",
    'import sys; sys.__stdout__.write(\'{"jsonrpc": "2.0", "id": []}\\n\' * 200)',
    "import os; os._exit(3)",
    "print('x' * 200_000)",
    "import sys; sys.__stdout__.write('x' * 17_000_000)",
)


def held() -> tuple[int, int, int]:
    """Memory in pages, descriptors and tasks of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages, len(os.listdir("/proc/self/fd")), len(anyio.get_running_tasks())  # noqa: PTH208


@pytest.mark.parametrize(
    ("rounds", "seconds"),
    [
        pytest.param(60, 60, id="short", marks=pytest.mark.slow),
        pytest.param(10**9, 600, id="soak", marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
async def test_nothing_grows(tmp_path: Path, rounds: int, seconds: float) -> None:
    (tmp_path / "work").mkdir()
    config = BrokerConfig.load(
        state=tmp_path / "state",
        workspace=tmp_path / "work",
        sandbox={"backends": ()},
        trace={"evidence": "buffered"},
        gateway={
            "upstream": {"box": {"command": [sys.executable, PLAIN]}},
            "pins": tmp_path / "gateway-tools.toml",
        },
    )
    marks = {"code": "free", "path": "path read", "content": "free"}
    await approve(
        config,
        {
            "run": {**ROW, "marks": {"code": "free"}},
            "write_note": {**ROW, "marks": marks},
        },
    )
    choice = random.Random(7)  # noqa: S311 - the same calls each time

    answered = []

    async def one(client: Client) -> None:
        code = choice.choice((*HOSTILE, "print(1)", "print(2)"))
        is_error, text = await say(client, "box__run", {"code": code})
        answered.append(is_error)
        if is_error:
            assert "ZeroDivisionError" in text or json.loads(text)["status"] == "failed", text
        await say(client, "box__run", {"wrong": "x"})

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server) as client,
    ):
        for _ in range(20):  # what is loaded once
            await one(client)
        before, ends = held(), time.monotonic() + seconds
        done = 0
        while done < rounds and time.monotonic() < ends:
            await one(client)
            done += 1
        after = held()

    assert done >= min(rounds, 10)
    assert set(answered) == {False, True}, "calls ran, and hostile ones failed"
    assert after[1] <= before[1] + 4, "descriptors"
    assert after[2] <= before[2] + 4, "tasks"
    assert after[0] <= before[0] * 1.25 + 20_000, "pages of memory"
