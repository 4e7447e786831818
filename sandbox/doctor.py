"""What isolation this machine can give, backend by backend, and how to get the rest."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from sandbox.backends.vm_kernel import kernel_runtime, refused_runtimes
from sandbox.errors import SandboxUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.protocol import Sandbox
    from sandbox.result import Isolation


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        subject: what was looked at: a backend, or a layer of one.
        isolation: the boundary it gives; None for a layer.
        works: whether it can be used; for a layer, whether it is as strong as it could be.
        detail: what is there, or what is missing.
        remedy: how to get it; empty when nothing is missing.
        facts: plain JSON for `--json`.
    """

    subject: str
    isolation: Isolation | None
    works: bool
    detail: str
    remedy: str
    facts: Mapping[str, object]


async def diagnose() -> list[Finding]:
    """Probes every backend for real; the strongest boundary comes first."""
    from sandbox.backends.bubblewrap import (
        BubblewrapSandbox,  # late, as the Docker SDK is slow to load
    )
    from sandbox.backends.docker import DockerSandbox
    from sandbox.backends.oci import OciSandbox

    oci = await _probed(OciSandbox())
    docker = await _probed(DockerSandbox())
    bubblewrap = await _probed(BubblewrapSandbox())
    findings = [_kernel(oci, docker), oci, docker, bubblewrap]
    findings += await to_thread.run_sync(_changed_roots)
    if docker.facts.get("user_namespace") is False:
        findings.append(
            Finding(
                subject="docker user namespace",
                isolation=None,
                works=False,
                detail="containers share the host's user ids; jobs are uid 65534 in both",
                remedy="set `userns-remap` in the engine's daemon.json for one more layer",
                facts={},
            )
        )
    if bubblewrap.facts.get("mended") is False:
        findings.append(
            Finding(
                subject="bubblewrap version",
                isolation=None,
                works=False,
                detail=f"{bubblewrap.facts['version']} has CVE-2026-87766, which needs a mount"
                " target within another one: such profiles are refused",
                remedy="install bubblewrap 0.12.0 or later when your source of it has one",
                facts={"version": bubblewrap.facts["version"]},
            )
        )
    if bubblewrap.works and bubblewrap.facts.get("controllers") == []:
        findings.append(
            Finding(
                subject="bubblewrap control group",
                isolation=None,
                works=False,
                detail="no control group can be made: memory is limited per process only",
                remedy="run as root, or in a delegated cgroup (systemd-run --user -p Delegate=yes)",
                facts={},
            )
        )
    return findings


def can_isolate(findings: Sequence[Finding]) -> bool:
    """True when at least one backend works."""
    return any(finding.works and finding.isolation is not None for finding in findings)


def host_facts() -> dict[str, object]:
    """What the kernel of this machine offers, as plain JSON."""
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "uid": os.geteuid() if hasattr(os, "geteuid") else None,
        "user_namespaces": _number("/proc/sys/user/max_user_namespaces"),
        "apparmor_restricts_user_namespaces": _number(
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
        ),
        "security_modules": _text("/sys/kernel/security/lsm"),
        "seccomp": _text("/proc/sys/kernel/seccomp/actions_avail"),
    }


async def _probed(sandbox: Sandbox) -> Finding:
    try:
        answer = await sandbox.probe()
    finally:
        await sandbox.aclose()
    return Finding(
        subject=sandbox.name,
        isolation=sandbox.isolation,
        works=answer.available,
        detail="works" if answer.available else answer.missing,
        remedy=answer.remedy,
        facts=answer.facts,
    )


def _changed_roots() -> list[Finding]:
    """Reads every prepared root file system, and names those that are not what was prepared."""
    from sandbox.backends.oci import roots

    try:
        changed = [root for root in roots.prepared() if not root.verify()]
    except SandboxUnavailableError:
        return []  # the backend's own line says it
    return [
        Finding(
            subject=f"oci root file system {root.image:.19}",
            isolation=None,
            works=False,
            detail="its files are not those that were prepared",
            remedy=f"remove {root.path}, then `wardline sandbox build` or `prepare`",
            facts={"image": root.image, "content": root.content},
        )
        for root in changed
    ]


def _kernel(*backends: Finding) -> Finding:
    found = sorted(
        {
            runtime
            for backend in backends
            if (runtime := kernel_runtime(backend.facts)) is not None
        }
    )
    refused = [
        f"{backend.subject} refuses {runtime}: {why}"
        for backend in backends
        for runtime, why in refused_runtimes(backend.facts).items()
    ]
    there = f"runtimes {', '.join(found)}" if found else "no runtime with a kernel of its own"
    remedy = (
        "mend what it says, or install another release of that runtime"
        if refused
        else "install gVisor's runsc on PATH (oci), or name it in the engine's daemon.json (docker)"
    )
    return Finding(
        subject="kernel boundary",
        isolation="kernel",
        works=bool(found),
        detail="; ".join([there, *refused]),
        remedy="" if found else remedy,
        facts={"runtimes": found},
    )


def _number(path: str) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.isdigit() else None


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text("ascii", "replace").strip()
    except OSError:
        return None
