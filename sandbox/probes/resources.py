"""Cases 1 to 12: using more than was given. The verdict is the supervisor's."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import ProfileError
from sandbox.probes.fixtures import NotTriedError, ended_well, only_raised
from sandbox.probes.table import (
    Weakness,
    blocked,
    blocked_unless,
    opened,
    probe,
)
from sandbox.profile import MEBIBYTE, SandboxProfile

if TYPE_CHECKING:
    from sandbox.probes.fixtures import Ground
    from sandbox.probes.table import Outcome

TMP = "/tmp"  # noqa: S108 - inside


@probe(
    1,
    "Fork or thread bomb",
    "capped as a group, verdict `pids`",
    without="a limit on the number of its processes",
)
async def fork_bomb(ground: Ground) -> Outcome:
    """Four times the limit, counted."""
    result = await ground.attempt(
        "abuse:fork_many", ground.profile(processes=16, wall_seconds=15), count=64
    )
    if result.verdict == "pids":
        return blocked("the group's process limit ended it")
    if only_raised(result, "BlockingIOError") and result.enforced.get("processes") != "group":
        return blocked("the limit of its user namespace ended it")
    return opened(f"64 processes under a limit of 16 ended as {result.verdict}")


@probe(
    2,
    "Memory bomb, swap as an escape",
    "killed, verdict `oom`; no swap beyond the limit",
    without="a limit on memory",
)
async def memory_bomb(ground: Ground) -> Outcome:
    """Four times the limit, touched page by page."""
    result = await ground.attempt(
        "probes:eat_memory", ground.profile(memory_bytes=48 * MEBIBYTE), total=192 * MEBIBYTE
    )
    if result.verdict == "oom":
        swap = result.enforced.get("swap_limited")
        return blocked("killed" if swap is not False else "killed; this host limits no swap")
    if only_raised(result, "MemoryError") and result.enforced.get("memory") == "per process":
        return blocked("the limit of one process ended it")
    return opened(f"192 MiB under a limit of 48 ended as {result.verdict}")


@probe(
    3,
    "Small processes over the limit together",
    "memory counts for all of them",
    without="a limit on the memory of all its processes together",
    weak={
        "bubblewrap": Weakness(
            "many processes, each below the limit, can use a multiple of it together",
            unless="controllers",
        )
    },
)
async def memory_together(ground: Ground) -> Outcome:
    """Eight processes of a quarter of the limit each."""
    result = await ground.attempt(
        "probes:eat_memory_together",
        ground.profile(memory_bytes=96 * MEBIBYTE, wall_seconds=15),
        processes=8,
        each=24 * MEBIBYTE,
    )
    if result.verdict == "oom" or "oom" in result.limits_hit:
        return blocked("killed as a group")
    lived = ended_well(result).value
    if lived != 8:
        raise NotTriedError(f"{lived} of eight processes lived, and no limit ended the others")
    return opened("eight processes held twice the limit")


@probe(
    4,
    "Spin, and sleep for ever",
    "processor share, processor seconds and wall clock each end it",
    without="a share of the processors",
    weak={
        "bubblewrap": Weakness(
            "the share of the processors is not limited, only the seconds of each process",
            unless="controllers",
        )
    },
    alone=True,
)
async def processor(ground: Ground) -> Outcome:
    """One limit after the other."""
    spun = await ground.attempt("probes:spin", ground.profile(cpu_seconds=1, wall_seconds=15))
    if spun.verdict != "cpu" and not only_raised(spun):
        return opened(f"a spinning job under cpu_seconds=1 ended as {spun.verdict}")
    slept = await ground.command("sleep", "30", profile=ground.profile(wall_seconds=0.5))
    if slept.verdict != "timeout":
        return opened(f"a sleeping job under wall_seconds=0.5 ended as {slept.verdict}")
    shared = await ground.attempt(
        "abuse:burn", ground.profile(cpus=0.2), processes=2, seconds=1.0
    )
    used, elapsed = shared.resources.cpu_seconds, shared.resources.wall_seconds
    if ended_well(shared).value != 2 or used is None:
        raise NotTriedError(f"{shared.value} of two processes worked, in {used} s")
    # On a busy machine nobody gets more than a share: what the kernel was told has to agree.
    async with ground.living(profile=ground.profile(cpus=0.2)) as pid:
        told = _share(pid)
    said = f"{used:.2f} s of processor in {elapsed:.2f} s; the kernel was told {told} for 0.2"
    # An idle start, and the quota's periods: half a processor is the line.
    return blocked_unless((used > 0.5 * elapsed or told > 0.21) and said, said)


def _share(pid: int) -> float:
    """Processors a process may use at once, by the tightest of its control groups."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = [math.inf]
    for line in Path(f"/proc/{pid}/cgroup").read_text("utf-8").splitlines():
        _, names, path = line.split(":", 2)
        for _, mount, kind, options, *_ in mounts:
            is_first = kind == "cgroup" and {"cpu"} <= {*names.split(",")} & {
                *options.split(",")
            }
            if is_first or (kind == "cgroup2" and not names):
                group = Path(mount, path.lstrip("/"))
                found += [_quota(folder) for folder in (group, *group.parents)]
    return min(found)


def _quota(group: Path) -> float:
    """What one group may use at once: `cpu.max`, or its two files in version 1."""
    with suppress(OSError, ValueError):
        quota, period = map(int, (group / "cpu.max").read_text().split())
        return quota / period
    with suppress(OSError):
        quota, period = (
            int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period")
        )
        return quota / period if quota > 0 else math.inf
    return math.inf


@probe(
    5,
    "Fill every writable disk, flood of empty files",
    "no space at the profile's size and number",
    without="a limit on the number of files",
    weak={
        "bubblewrap": Weakness(
            "the number of empty files is bounded by the memory limit, not by `files`"
        )
    },
)
async def disk(ground: Ground) -> Outcome:
    """Four times the size, ten times the number."""
    profile = ground.profile(work_bytes=2 * MEBIBYTE, tmp_bytes=MEBIBYTE, files=256)
    for folder in ("/box", TMP, "/dev/shm", "/var/tmp"):  # noqa: S108 - inside
        result = await ground.attempt(
            "abuse:fill_to", profile, folder=folder, size=8 * MEBIBYTE
        )
        # What is not there, or read-only, cannot be filled either.
        elsewhere = ("OSError", "FileNotFoundError", "PermissionError")
        if result.verdict != "disk" and not only_raised(result, *elsewhere):
            return opened(f"8 MiB written to {folder}: {result.verdict}")
    made = await ground.value("probes:many_files", profile, folder="/box", count=2560)
    return blocked_unless(
        made >= 2560 and "2560 empty files under a limit of 256", f"full after {made} files"
    )


@probe(
    6,
    "A giant sparse file to be copied out",
    "refused by size before it is read",
    without="a limit on the bytes that come out",
)
async def sparse(ground: Ground) -> Outcome:
    """10 TiB, and just over what may come out."""
    result = await ground.attempt("attempts:plant", ground.profile(files_out_bytes=MEBIBYTE))
    refused = {entry.path: entry.reason for entry in ended_well(result).refused}
    if "sparse" in result.files_out:
        return opened("it came out")
    return blocked_unless("larger" not in refused.get("sparse", "") and f"{refused}", "by size")


@probe(
    7,
    "Use up all descriptors",
    "stops at the profile's number",
    without="a limit on descriptors",
)
async def descriptors(ground: Ground) -> Outcome:
    """Eight times the limit."""
    held = await ground.value("abuse:open_to", ground.profile(open_files=64), count=512)
    return blocked_unless(held >= 64 and f"{held} under a limit of 64", f"{held} of 64")


@probe(
    8,
    "Flood of output",
    "cut and said to be; the run ends; nothing more is kept",
    without="a limit on output",
)
async def flood(ground: Ground) -> Outcome:
    """Sixty-four times the limit."""
    result = await ground.attempt(
        "abuse:flood_to", ground.profile(output_bytes=MEBIBYTE), size=64 * MEBIBYTE
    )
    kept = len(result.stdout) + len(result.stderr)
    if result.verdict == "output" and result.truncated and kept <= MEBIBYTE:
        return blocked("ended at the limit, the first part kept")
    only_raised(result)
    return opened(f"{kept} bytes kept, {result.verdict}")


@probe(
    9,
    "Fill the host's disk through a log driver",
    "no log driver: output is only streamed",
    without="the order to keep no log",
    absent=dict.fromkeys(("oci", "bubblewrap"), "no engine that keeps logs"),
)
async def log_driver(ground: Ground) -> Outcome:
    """Asks the engine how it keeps what our containers say."""
    from sandbox.probes.engine import containers

    async with ground.living():
        drivers = {one["HostConfig"]["LogConfig"]["Type"] for one in await containers()}
    if not drivers:
        raise NotTriedError("the engine shows no container of this process")
    return blocked_unless(drivers - {"none"}, "log driver none")


@probe(
    10,
    "Bad text, NUL and terminal escapes in output and names",
    "bytes stay bytes",
    without="a look at the names that come out",
)
async def bad_text(ground: Ground) -> Outcome:
    """Nothing is decoded on the way, and names are escaped."""
    odd = "00ff1b5b324a80c328"
    spoken = await ground.done("probes:speak", stdout_hex=odd, stderr_hex=odd)
    if (spoken.stdout.hex(), spoken.stderr.hex()) != (odd, odd):
        return opened("output was changed on the way")
    named = await ground.done("abuse:odd_names")
    paths = [entry.path for entry in named.refused] + list(named.files_out)
    if len(paths) < 6:
        raise NotTriedError(f"of six odd names only {paths!r:.200} were met")
    return blocked_unless(
        [path for path in paths if not path.isprintable()], "kept as bytes, names escaped"
    )


@probe(
    11,
    "Very large argv, variables and input",
    "a clean refusal, or handed over whole",
    without="a limit on argv, or on one variable",
)
async def large_input(ground: Ground) -> Outcome:
    """Argv and variables are refused, input arrives."""
    try:
        await ground.command("true", "x" * 200_000)
    except ProfileError:
        pass
    else:
        return opened("argv of 200 kB was taken")
    try:
        SandboxProfile(environment={"LARGE": "x" * 200_000})
    except ProfileError:
        pass
    else:
        return opened("a variable of 200 kB was taken")
    counted = await ground.command("wc", "-c", stdin=b"x" * (4 * MEBIBYTE))
    return blocked_unless(
        ended_well(counted).stdout.strip() != b"4194304" and f"{counted.stdout!r} of 4 MiB",
        "argv and variables refused, 4 MiB of input handed over",
    )


@probe(
    12,
    "More files, or more bytes, than fit, in and out",
    "caps on number and sum",
    without="a limit on the bytes that come out",
)
async def many_bytes(ground: Ground) -> Outcome:
    """No archive crosses the boundary; files do, each with its size."""
    for files in ({"big": b"x" * (2 * MEBIBYTE)}, {f"n{n}": b"" for n in range(200)}):
        try:
            await ground.attempt(
                "probes:echo", ground.profile(work_bytes=MEBIBYTE, files=256), files=files
            )
        except ProfileError:
            continue
        return opened(f"{len(files)} files were taken in")
    result = await ground.done(
        "abuse:many_out", ground.profile(files_out_bytes=MEBIBYTE), count=40, size=65536
    )
    if result.value != 40:
        raise NotTriedError(f"only {result.value} of 40 files could be written")
    out = sum(map(len, result.files_out.values()))
    return blocked_unless(
        (out > MEBIBYTE or not result.refused) and f"{out} bytes came out under 1 MiB",
        f"{len(result.files_out)} of 40 files came out, the rest refused",
    )
