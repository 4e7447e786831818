"""Frames of many tasks over one connection: whole, in order, and refused to all when it ends."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import anyio
import pytest

from permissions.errors import ServiceError
from permissions.service.frames import TOGETHER, Frames, PeerGoneError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from anyio.abc import ByteStream, SocketStream


class Counted:
    """A stream that counts how often it is read and written."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.reads = self.writes = 0

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        """What came."""
        self.reads += 1
        return await self._stream.receive(max_bytes)

    async def send(self, item: bytes) -> None:
        """Goes on."""
        self.writes += 1
        await self._stream.send(item)


@asynccontextmanager
async def streams(tmp_path: Path) -> AsyncIterator[tuple[SocketStream, SocketStream]]:
    """Both ends of a connection."""
    async with await anyio.create_unix_listener(tmp_path / "s") as listener:
        near = await anyio.connect_unix(tmp_path / "s")
        async with await listener.accept() as far, near:
            yield near, far


@asynccontextmanager
async def connected(tmp_path: Path) -> AsyncIterator[tuple[Frames, SocketStream]]:
    """One end as frames, and the other as it is."""
    async with streams(tmp_path) as (near, far):
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


async def test_what_is_said_in_one_turn_of_the_loop_is_one_write_and_one_read(
    tmp_path: Path,
) -> None:
    arrived: list[object] = []
    async with streams(tmp_path) as (near, far):
        sending, receiving = Counted(near), Counted(far)
        said = Frames(cast("ByteStream", sending))
        async with anyio.create_task_group() as tasks:
            for number in range(16):
                tasks.start_soon(said.send, {"id": number})
        heard = Frames(cast("ByteStream", receiving))
        while len(arrived) < 16:
            arrived.append(await heard.receive())

    assert arrived == [{"id": number} for number in range(16)]
    assert (sending.writes, receiving.reads) == (1, 1)


@pytest.mark.parametrize("cut", [1, 4, 9])
async def test_a_connection_that_ends_within_a_frame_says_so(tmp_path: Path, cut: int) -> None:
    """Also behind a whole frame that came with it."""
    whole = b"\x00\x00\x00\x08" + b'{"id":1}'
    async with streams(tmp_path) as (near, far):
        await near.send(whole + whole[:cut])
        await near.aclose()
        heard = Frames(far)
        assert await heard.receive() == {"id": 1}
        with pytest.raises(ServiceError, match="within a frame"):
            await heard.receive()


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
