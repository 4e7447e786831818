"""Cases 23 to 34: files, going in and coming out."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from sandbox.errors import FrameError, ProfileError, SandboxProviderError
from sandbox.job import CommandJob
from sandbox.probes.fixtures import NotTriedError, ended_well, inside
from sandbox.probes.table import (
    blocked,
    blocked_unless,
    opened,
    probe,
)
from sandbox.profile import MEBIBYTE, Mount, SandboxProfile
from sandbox.supervisor.transcript import Transcript

if TYPE_CHECKING:
    from sandbox.probes.fixtures import Ground
    from sandbox.probes.table import Outcome

SYSTEM = (
    *("/", "/bin", "/boot", "/etc", "/home", "/lib", "/media", "/mnt", "/opt", "/root", "/run"),
    *("/sbin", "/srv", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/var", "/var/tmp"),  # noqa: S108
    *("/var/log", "/var/lib", "/dev", "/dev/shm", "/dev/mqueue", "/proc", "/sys", "/code"),  # noqa: S108
    *("/code/0", "/etc/passwd", "/etc/hosts", "/etc/resolv.conf", "/usr/bin/env"),
)
"""Where nothing may be written, whoever owns it."""

RISKY_SOURCES = (
    *("/", "/root", "/home", "/etc", "/etc/passwd", "/proc", "/sys", "/dev", "/run", "/usr"),
    *("/var", "/var/lib", "/boot", "/var/run/docker.sock"),
)
"""Host paths that are not shown, not even read-only."""

PROTECTED = (
    *(".git/hooks/post-commit", ".git/config", ".github/workflows/ci.yml", ".gitlab-ci.yml"),
    *(".vscode/tasks.json", "wardline.toml", ".envrc", "Makefile"),
)
"""Files that make a person's or a server's tools run something."""


@probe(
    23,
    "A symbolic link planted in the out folder",
    "not followed, reported",
    without="the refusal to follow links",
)
async def planted_link(ground: Ground) -> Outcome:
    """Links to the host's canary and to files inside."""
    targets = [str(ground.folder / "canary"), "/etc/passwd", "/usr/bin/env"]
    targets.append("/proc/self/environ")
    result = await ground.done("abuse:links", targets=targets)
    refused = {entry.path for entry in result.refused}
    if any(ground.canary.encode() in content for content in result.files_out.values()):
        return opened("the host's canary came out")
    soft = {f"soft{number}" for number in range(len(targets))}
    if followed := soft & result.files_out.keys():
        return opened(f"{sorted(followed)} were followed")
    return blocked_unless(sorted(soft - refused), "each link refused")


@probe(
    24,
    "A folder swapped for a link while it is copied out",
    "nothing of the target",
    without="the refusal to follow links",
)
async def swapped_folder(ground: Ground) -> Outcome:
    """A child of the job swaps for as long as it lives; and the out folder itself."""
    for _ in range(3):
        result = await ground.done("abuse:swap_for_ever", target="/etc")
        foreign = [
            name for name, content in result.files_out.items() if content not in (b"", b"swap")
        ]
        if foreign:
            return opened(f"{foreign!r:.100} came out")
    replaced = await ground.done("attempts:replace_out_folder")
    if not replaced.files_out and [entry.path for entry in replaced.refused] != ["out"]:
        raise NotTriedError(f"the out folder was not replaced: {replaced.refused!r:.200}")
    return blocked_unless(
        sorted(replaced.files_out), "every process is dead before the first file is read"
    )


@probe(25, "A hard link to a protected file", "refused", without="the count of a file's names")
async def hard_link(ground: Ground) -> Outcome:
    """To a file of the system, and two names of one file."""
    result = await ground.done("abuse:links", targets=["/etc/passwd", "/usr/bin/env"])
    twins = await ground.done("attempts:plant")
    leaked = [*result.files_out, *(n for n in twins.files_out if n.endswith("-name"))]
    refused = {entry.path for entry in twins.refused}
    if not leaked and not {"first-name", "second-name"} <= refused:
        raise NotTriedError(f"two names of one file were not met: {sorted(refused)!r:.200}")
    return blocked_unless(leaked, "links of either kind stay behind")


@probe(
    26,
    "Absolute, climbing and odd names on either side",
    "refused, nothing outside",
    without="the check of file names",
)
async def climbing_names(ground: Ground) -> Outcome:
    """Names in are refused by the host; names out too, if a runner were taken over."""
    outside = ground.folder / "planted"
    names = ["../planted", str(outside), "a/../../planted", "a\0b", "out/x", "", "a//b", "./a"]
    for name in names:
        try:
            await ground.attempt("probes:echo", files={name: b"x"})
        except ProfileError:
            continue
        return opened(f"the name {name!r:.60} was taken in")
    await ground.value("probes:echo", files={"plain/name": b"x"})
    if _refuses("plain/name"):
        raise NotTriedError("not even a plain name comes out")
    for name in names:
        if name != "out/x" and not _refuses(name):
            return opened(f"the name {name!r:.60} was taken out")
    return blocked_unless(outside.exists() and "planted on the host", f"{len(names)} names")


def _refuses(name: str) -> bool:
    transcript = Transcript(SandboxProfile())
    transcript.feed(_frame(b"H", {"python": [3, 11, 0]}))
    for kind in (b"A", b"j"):  # ready, and the job taken: from here on files may come
        transcript.feed(struct.pack(">cI", kind, 0))
    try:
        transcript.feed(_frame(b"f", {"path": name, "size": 0}))
    except FrameError:
        return True
    return False


def _frame(kind: bytes, document: dict[str, object]) -> bytes:
    text = json.dumps(document).encode("ascii")
    return struct.pack(">cI", kind, len(text)) + text


@probe(
    27,
    "A pipe, a socket, a device where a file is expected",
    "refused without hanging",
    without="the refusal of what is no regular file",
)
async def special_files(ground: Ground) -> Outcome:
    """Opening a pipe for reading would wait for ever."""
    result = await ground.attempt("abuse:specials", ground.profile(wall_seconds=10))
    if result.verdict == "timeout":
        return opened("whoever read the pipe waits for ever")
    refused = {entry.path for entry in ended_well(result).refused}
    left = set(result.value) - refused
    return blocked_unless(
        sorted(left) or ("device" in result.value and "a device was made"), f"{sorted(refused)}"
    )


@probe(
    28,
    "Thousands of files, deep folders, names with new lines",
    "bounded and escaped",
    without="the check of file names",
)
async def many_names(ground: Ground) -> Outcome:
    """More files than may come out, and names that lie."""
    profile = ground.profile(files=256)
    result = await ground.done("abuse:many_out", profile, count=1000, size=1)
    if result.value < 200:
        raise NotTriedError(f"only {result.value} of 1000 files could be made")
    if len(result.files_out) > 256 or len(result.refused) > 1000:
        return opened(f"{len(result.files_out)} out, {len(result.refused)} refused one by one")
    odd = await ground.done("abuse:odd_names")
    met = [*(entry.path for entry in odd.refused), *odd.files_out]
    if len(met) < 6:
        raise NotTriedError(f"of six odd names only {met!r:.200} were met")
    return blocked_unless(
        [name for name in met if not name.isprintable()],
        f"{len(result.files_out)} of 1000 came out under a limit of 256",
    )


@probe(
    29,
    "Write outside the working folder",
    "read-only, everywhere",
    without="a root, or a `/dev`, that is closed to it",
)
async def write_outside(ground: Ground) -> Outcome:
    """The system's folders, and a folder of the host that is open to everybody."""
    planted = ground.folder / "outside"
    await ground.value("abuse:leave_at", paths=[str(planted)], text="x")
    if planted.exists():
        return opened("a file appeared on the host")
    return blocked_unless(
        await ground.among("abuse:can_write", "/box", SYSTEM), "only /box and /tmp"
    )


@probe(
    30,
    "Hooks, build files and the broker's settings in a shown folder",
    "not writable",
    without="mounts that are read-only",
)
async def protected_paths(ground: Ground) -> Outcome:
    """Present and absent at the start; the host looks for them."""
    shown = ground.folder / "project"
    (shown / ".git" / "hooks").mkdir(parents=True, exist_ok=True)
    for folder in (shown, shown / ".git", shown / ".git" / "hooks"):
        folder.chmod(0o777)
    (shown / "Makefile").write_text("all:\n", "utf-8")
    (shown / "Makefile").chmod(0o666)
    profile = ground.profile(mounts=(Mount(shown, "/project"),))
    paths = [f"/project/{name}" for name in PROTECTED]
    if not await ground.value("abuse:contents", profile, paths=["/project/Makefile"]):
        raise NotTriedError("the folder is not shown")
    await ground.value("abuse:leave_at", profile, paths=paths, text="changed")
    changed = [
        name
        for name in PROTECTED
        if (shown / name).exists() and "changed" in (shown / name).read_text("utf-8")
    ]
    return blocked_unless(changed, f"{len(PROTECTED)} paths, present or not")


@probe(
    31,
    "Read a home, keys, credentials, shadow",
    "not there",
    without="a view without the host's files",
)
async def secrets_of_the_host(ground: Ground) -> Outcome:
    """A canary of the host, by every name it may have."""
    canary = ground.folder / "canary"
    names = [".ssh", ".aws", ".config", ".netrc", ".bashrc", ".docker", ".kube", ".profile"]
    home = Path.home()
    entries = [str(home / name) for name in names] if home != Path("/") else []
    entries += [
        "/etc/shadow",
        "/etc/ssh",
        "/etc/gshadow",
        "/home",
        "/var/lib/docker",
        "/run/secrets",
    ]
    readable = await ground.among("attempts:readable", "/etc/passwd", entries)
    read = await ground.value("abuse:contents", paths=[str(canary), f"/proc/self/root{canary}"])
    # A container has a home of its own; what tells is whether it is the host's.
    foreign = [entry for entry in readable if not (ground.backend == "docker" and _own(entry))]
    return blocked_unless([*read, *foreign], "neither the canary nor a credential")


def _own(path: str) -> bool:
    return path.endswith((".bashrc", ".profile"))


@probe(
    32,
    "Show `/`, a system folder, a socket, or a link to one",
    "refused before it starts",
    without="the check of what may be shown",
)
async def risky_mounts(ground: Ground) -> Outcome:
    """As a mount and as a code root; a folder beside them is shown."""
    link, keys, end = (ground.folder / name for name in ("innocent", ".ssh", "socket"))
    if not link.is_symlink():
        link.symlink_to("/etc")
    plain = ground.folder / "plain"
    for folder in (keys, plain):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    end.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(end))
    sources = [path for path in map(Path, RISKY_SOURCES) if path.exists()]
    for source in (*sources, link, keys, end, plain):
        taken = []
        for job, mounts in (
            (CommandJob(("true",)), (Mount(source, "/data"),)),
            (
                replace(inside("probes:echo"), code_roots=(*inside("x:x").code_roots, source)),
                (),
            ),
        ):
            try:
                ended_well(await ground.sandbox.run(job, ground.profile(mounts=mounts)))
            except ProfileError:
                taken.append(False)
            except SandboxProviderError:
                taken.append(True)  # what refused it, if anything, is no promise of ours
            else:
                taken.append(True)
        if source == plain and not all(taken):
            raise NotTriedError("not even a harmless folder is shown")
        if source != plain and any(taken):
            return opened(f"{str(source)!r} was shown")
    return blocked(f"{len(sources) + 3} sources, as mounts and as code")


@probe(
    33,
    "An upload unpacked by the image's own program",
    "bytes arrive as they are",
    without="files that are taken as bytes",
)
async def packed_upload(ground: Ground) -> Outcome:
    """A compressed archive is not touched."""
    packed = bytes.fromhex("1f8b0800000000000003") + b"not really" * 1000
    seen = await ground.value("abuse:digest_of", files={"a.tar.gz": packed}, name="a.tar.gz")
    return blocked_unless(
        seen != hashlib.sha256(packed).hexdigest() and "it was changed", "not unpacked"
    )


@probe(
    34,
    "A file swapped between approval and run",
    "what was handed over is what runs",
    without="the reading of its files before anything starts",
)
async def swapped_input(ground: Ground) -> Outcome:
    """On disk, and in the caller's own mapping while the sandbox starts."""
    source = ground.folder / "approved"
    source.write_bytes(b"approved" * MEBIBYTE)
    approved = source.read_bytes()
    handed, ended = {"approved": approved}, []

    async def run() -> None:
        ended.append(await ground.done("abuse:digest_of", files=handed, name="approved"))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await anyio.lowlevel.checkpoint()  # it goes as far as it can without waiting
        source.write_bytes(b"swapped")
        handed["approved"] = b"swapped"
    return blocked_unless(
        ended[0].value != hashlib.sha256(approved).hexdigest() and "other bytes ran",
        "files are read once, before anything starts; which were approved is the broker's part",
    )
