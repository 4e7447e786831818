"""Jobs that behave, and jobs that use too much. Standard library only; they judge nothing."""

# ruff: noqa: INP001 - a code root, not a package
# ruff: noqa: PTH123 - attempts go by plain system calls
from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from pathlib import Path
from typing import Any

OUT = Path("/box/out")


def echo(**arguments: Any) -> dict[str, Any]:
    """Its own arguments."""
    return arguments


async def echo_later(**arguments: Any) -> dict[str, Any]:
    """As `echo`, from a coroutine."""
    return arguments


def fail(message: str) -> None:
    """Raises."""
    raise LookupError(message)


def leave(code: int, *, hard: bool) -> None:
    """Ends the process with `code`."""
    if hard:
        os._exit(code)
    sys.exit(code)


def die(number: int) -> None:
    """Ends by a signal."""
    os.kill(os.getpid(), number)


def copy_files() -> list[str]:
    """Copies every file it was given to the out folder; gives their names."""
    names = []
    for path in sorted(Path("/box").rglob("*")):
        if path.is_file() and OUT not in path.parents:
            target = OUT / path.relative_to("/box")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            names.append(str(path.relative_to("/box")))
    return names


def speak(stdout_hex: str, stderr_hex: str) -> None:
    """Writes raw bytes."""
    os.write(1, bytes.fromhex(stdout_hex))
    os.write(2, bytes.fromhex(stderr_hex))


def flood() -> None:
    """Writes for ever."""
    while True:
        os.write(1, b"x" * 8192)


def big_value(size: int) -> str:
    """A long string."""
    return "x" * size


def eat_memory(total: int) -> int:
    """Touches `total` bytes."""
    held: list[bytearray] = []
    while len(held) * 1048576 < total:
        held.append(bytearray(b"x" * 1048576))
    return len(held)


def eat_memory_together(processes: int, each: int) -> int:
    """Forks processes that each hold `each` bytes until all do; gives how many lived."""
    (held, holding), (end, more) = os.pipe(), os.pipe()
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            os.close(more)
            try:
                block = bytearray(b"x" * each)
                os.close(holding)
                os.read(end, 1)
            except MemoryError:
                os._exit(1)
            os._exit(len(block) & 0)
        children.append(child)
    os.close(holding)
    os.read(held, 1)  # its end: each has closed its own, or is dead
    os.close(more)
    return sum(os.waitpid(child, 0)[1] == 0 for child in children)


def fork_for_ever() -> None:
    """A fork bomb whose children wait."""
    while True:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)


def orphans(count: int) -> int:
    """Makes orphans that end at once, many more than may live; gives how many it made."""
    for _ in range(count):
        child = os.fork()
        if child == 0:
            with contextlib.suppress(OSError):
                os.fork()
            os._exit(0)
        os.waitpid(child, 0)
        time.sleep(0.002)
    return count


def spin() -> None:
    """Uses the processor for ever."""
    while True:
        pass


def fill(folder: str) -> None:
    """Writes until the disk is full."""
    with open(f"{folder}/fill", "wb") as target:
        while True:
            target.write(b"x" * 65536)


def many_files(folder: str, count: int) -> int:
    """Makes empty files; gives how many it could."""
    for number in range(count):
        try:
            Path(folder, f"file{number}").touch()
        except OSError:
            return number
    return count


def open_files() -> int:
    """Opens descriptors until it may not; gives their number."""
    held: list[int] = []
    try:
        while len(held) < 100_000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as err:
        if err.errno != errno.EMFILE:
            raise
    count = len(held)
    for number in held:
        os.close(number)
    return count
