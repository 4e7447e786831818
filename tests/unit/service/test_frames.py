"""Frames of many tasks over one connection: whole, in order, and refused to all when it ends."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from permissions.service.frames import TOGETHER, Frames, PeerGoneError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from anyio.abc import SocketStream


@asynccontextmanager
async def connected(tmp_path: Path) -> AsyncIterator[tuple[Frames, SocketStream]]:
    """One end as frames, and the other as it is."""
    async with await anyio.create_unix_listener(tmp_path / "s") as listener:
        near = await anyio.connect_unix(tmp_path / "s")
        async with await listener.accept() as far, near:
            yield Frames(near), far


@pytest.mark.parametrize("size", [1, TOGETHER // 8, TOGETHER, 3 * TOGETHER])
async def test_what_many_tasks_send_arrives_whole_and_in_order(
    tmp_path: Path, size: int
) -> None:
    text = "x" * size
    arrived: list[object] = []
    async with connected(tmp_path) as (near, far), anyio.create_task_group() as tasks:

        async def send(number: int) -> None:
            await near.send({"id": number, "text": text})

        for number in range(30):
            tasks.start_soon(send, number)
        frames = Frames(far)
        with anyio.fail_after(60):
            while len(arrived) < 30:
                arrived.append(await frames.receive())

    assert arrived == [{"id": number, "text": text} for number in range(30)]


async def test_a_peer_that_is_gone_is_told_to_all_who_send(tmp_path: Path) -> None:
    told: list[int] = []
    async with connected(tmp_path) as (near, far):
        await far.aclose()

        async def send(number: int) -> None:
            with pytest.raises(PeerGoneError, match="gone"):
                await near.send({"id": number})
            told.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(send, number)

    assert sorted(told) == [*range(20)]


async def test_a_peer_that_does_not_read_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All who wait are told, and nothing more is sent."""
    monkeypatch.setattr("permissions.service.frames.SEND_SECONDS", 0.2)  # ten seconds else
    told: list[int] = []
    async with connected(tmp_path) as (near, _):

        async def send(number: int) -> None:
            with pytest.raises(PeerGoneError, match="does not read"):
                await near.send({"id": number, "text": "x" * (8 << 20)})
            told.append(number)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number in range(4):
                    tasks.start_soon(send, number)

    assert sorted(told) == [0, 1, 2, 3]
