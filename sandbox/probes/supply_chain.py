"""Cases 66 to 74: secrets, copies, images, names, and suppliers that fail."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from sandbox.errors import ProfileError, SandboxProviderError, SandboxUnavailableError
from sandbox.job import CommandJob
from sandbox.lease import Lease
from sandbox.probes.fixtures import NotTriedError, ended_well, new_mark, seen, survivors
from sandbox.probes.network import SOCKETS
from sandbox.probes.table import (
    blocked,
    blocked_unless,
    opened,
    probe,
)
from sandbox.profile import SandboxProfile

if TYPE_CHECKING:
    from sandbox.probes.fixtures import Ground
    from sandbox.probes.table import Outcome

WITHOUT_ENGINE = """
import anyio
from sandbox import CommandJob, SandboxProfile, SandboxUnavailableError
from sandbox.backends.docker import DockerSandbox
async def main():
    async with DockerSandbox() as sandbox:
        try:
            await sandbox.run(CommandJob(("true",)), SandboxProfile())
        except SandboxUnavailableError as err:
            print("refused", bool(err.remedy))
anyio.run(main)
"""
"""A caller whose engine does not answer."""


@probe(
    66,
    "The caller's secrets in variables, arguments, the image",
    "not found",
    without="an environment of its own",
)
async def caller_secrets(ground: Ground) -> Outcome:
    """A canary variable, and what the engine keeps of the profile's own."""
    if ground.canary in await ground.told():
        return opened("the caller's variable is inside")
    if ground.backend != "docker":
        return blocked("in no process's variables or arguments")
    from sandbox.probes.engine import containers

    profile = ground.profile(environment={"TOKEN": ground.canary})
    async with ground.living(profile=profile):
        kept = "".join(str(one) for one in await containers())
    if not kept:
        raise NotTriedError("the engine shows no container of this process")
    return blocked_unless(
        ground.canary in kept and "the engine keeps it", "neither inside nor at the engine"
    )


@probe(
    69,
    "Two sandboxes that share their randomness",
    "each has its own",
    without="a seed of its own for each start",
)
async def shared_randomness(ground: Ground) -> Outcome:
    """Seeds, identifiers, hashes, the kernel's bytes."""
    one = await ground.value("abuse:randomness")
    two = await ground.value("abuse:randomness")
    return blocked_unless([value for value in one if value in two], f"{len(one)} kinds differ")


@probe(
    70,
    "An image's tag moved to another image",
    "pinned by digest, recorded",
    without="the check that an image is named by its digest",
    absent={"bubblewrap": "it has no images"},
)
async def moved_tag(ground: Ground) -> Outcome:
    """A tag is refused, a digest is recorded."""
    try:
        SandboxProfile(image="wardline/python:3.11")
    except ProfileError:
        pass
    else:
        return opened("a tag was taken")
    result = await ground.command("true")
    image = str(result.enforced.get("image"))
    return blocked_unless(not image.startswith("sha256:") and f"{image!r}", "by digest")


@probe(
    71,
    "A sibling container, a cluster's API with a mounted token",
    "no socket, no token",
    without="a view without the host's files",
)
async def cluster(ground: Ground) -> Outcome:
    """Tokens, variables, names."""
    entries = ["/var/run/secrets", "/run/secrets", "/var/run/secrets/kubernetes.io"]
    tokens = await ground.among("attempts:readable", "/etc/passwd", entries)
    tokens += await ground.value("attempts:unix_sockets", paths=list(SOCKETS))
    variables = (await ground.value("attempts:environment"))["own"]
    names = (await ground.value("abuse:resolve", names=["kubernetes.default.svc"]))[0]
    found = [name for name in variables if name.startswith(("KUBERNETES", "DOCKER"))]
    return blocked_unless([*tokens, *found, *names], "neither token nor name")


@probe(
    72,
    "Claim another's sandbox by a forged lease",
    "the others are left alone",
    without="the look at a lease's owner",
)
async def forged_lease(ground: Ground) -> Outcome:
    """A job carries the lease of a dead owner while another job runs, and the reaper comes."""
    from sandbox.backends.bubblewrap.reaper import LEASE_VARIABLE

    kind = type(ground.sandbox)
    if not kind.__module__.startswith("sandbox."):
        raise NotTriedError("only a backend of this package has a reaper known here")
    dead = Lease(boot="0", namespace="0", pid=1, started=1, expires=1)
    ended = []

    async def hold(mark: str, profile: SandboxProfile) -> None:
        with suppress(SandboxProviderError):  # somebody ended it
            await ground.sandbox.run(CommandJob(("sleep", mark)), profile)
        ended.append(mark)

    other, forger = new_mark(), new_mark()
    async with anyio.create_task_group() as group:
        group.start_soon(hold, other, ground.profile())
        forging = ground.profile(environment={LEASE_VARIABLE: str(dead)})
        group.start_soon(hold, forger, forging)
        for mark in (other, forger):
            await seen(mark)
        later = kind()
        try:
            if not (answer := await later.probe()).available:
                raise NotTriedError(f"no reaper came: {answer.missing:.200}")
        finally:
            await later.aclose()
        is_alive = bool(survivors(other)) and other not in ended
        group.cancel_scope.cancel()
    return blocked_unless(not is_alive and "another's job was ended", "the other job lives")


@probe(
    73,
    "A runtime or an image that was asked for is missing",
    "an error with a remedy, never less",
    without="the refusal of what is not there, or the order to use what is",
)
async def missing_runtime(ground: Ground) -> Outcome:
    """A runtime and an image that do not exist; and one that does is the one that runs."""
    ended_well(await ground.command("true"))
    for profile in (
        SandboxProfile(runtime=f"none-{secrets.token_hex(4)}"),
        ground.profile(image="sha256:" + "0" * 64),
    ):
        try:
            await ground.sandbox.run(CommandJob(("true",)), profile)
        except SandboxUnavailableError as err:
            if err.remedy:
                continue
        return opened("it ran without, or said nothing of a remedy")
    if ground.backend != "docker":
        return blocked("runtime and image")
    from sandbox.probes.engine import containers

    known = ground.facts.get("runtimes")
    usual = ground.runtime or ground.facts.get("default_runtime")
    others = [name for name in (known if isinstance(known, list) else []) if name != usual]
    if not others:
        return blocked("runtime and image; the engine has one runtime only")
    async with ground.living(profile=SandboxProfile(runtime=others[0])):
        ran = {one["HostConfig"]["Runtime"] for one in await containers()}
    return blocked_unless(
        others[0] not in ran and f"{sorted(ran)} instead of {others[0]}", "runtime and image"
    )


@probe(
    74,
    "The daemon does not answer",
    "an error within bounds",
    without="the look for the engine that was named",
    absent=dict.fromkeys(("oci", "bubblewrap"), "it has no daemon"),
)
async def no_daemon(ground: Ground) -> Outcome:  # noqa: ARG001 - a caller of its own is started
    """A second caller, whose engine's socket does not exist."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        done = await to_thread.run_sync(
            lambda: subprocess.run(
                [sys.executable, "-c", WITHOUT_ENGINE],
                env={**os.environ, "DOCKER_HOST": f"unix://{folder}/nobody.sock"},
                capture_output=True,
                check=False,
                timeout=30,
            )
        )
    return blocked_unless(
        done.stdout.strip() != b"refused True"
        and f"it ran, or said nothing of a remedy: {done.stdout!r} {done.stderr[-200:]!r}",
        f"refused with a remedy in {time.monotonic() - start:.1f} s",
    )
