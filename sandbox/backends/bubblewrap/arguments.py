"""The command line of a launch. Pure: values in, argv out.

A plain user starts bubblewrap directly. For uid 0 that would be a hole: inside its user
namespace the job would still be the host's root, owner of everything root owns (measured:
`kernel.core_pattern` could be written). So uid 0 is dropped before any namespace of the job
exists, in steps that become one another:

1. if a source lies in a directory closed to others (`/root`), bubblewrap as root makes a
   private mount namespace of the system's directories, and shows the sources under `/tmp`;
2. `setpriv` becomes a user of its own and gives up every capability for good;
3. bubblewrap as that user builds the sandbox itself.

Every launch has a first step when there is a workspace to put an overlay over
(`sandbox.backends.bubblewrap.workspace`). Else it is left out: it costs a tenth of a start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.backends.bubblewrap.workspace import hiding, inside, staged
from sandbox.errors import ProfileError
from sandbox.profile import (
    CODE,
    TMP,
    USER,
    WORK,
)
from sandbox.supervisor.bootstrap import ENVIRONMENT, python_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.backends.bubblewrap.locate import Programs
    from sandbox.backends.bubblewrap.workspace import View
    from sandbox.profile import SandboxProfile

STAGE = "/tmp"  # noqa: S108 - a mount of its own in the launcher's private namespace

MASKED = (
    "/proc/keys",
    "/proc/kcore",
    "/proc/timer_list",
    "/proc/sysrq-trigger",
    "/proc/latency_stats",
)
"""Host-wide facts no job needs; what the kernel does not have is skipped."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Numbers of the descriptors a launch inherits."""

    seccomp: int
    info: int
    passwd: int
    group: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A host path that is mounted read-only inside."""

    source: Path
    target: str


def command(
    programs: Programs,
    profile: SandboxProfile,
    *,
    shown: Sequence[Shown],
    system: Sequence[tuple[str, str | None]],
    masked: Sequence[str],
    descriptors: Descriptors,
    user: int | None,
    is_closed: bool,
    view: View | None = None,
) -> list[str]:
    """The whole argv of a launch.

    Args:
        programs: from `locate`.
        profile: sizes of the file systems.
        shown: the interpreter's installation, code roots and mounts.
        system: from `system_links`.
        masked: the paths of `MASKED` that exist here.
        descriptors: inherited descriptors.
        user: of the host, to be dropped to when the launcher is uid 0.
        is_closed: True when that user could not get at what is shown, or at bubblewrap.
        view: of the job's workspace, if it has one.
    """
    bwrap = str(programs.bwrap)
    dropped: list[str] = []
    if user is not None:
        dropped = [str(programs.setpriv), f"--reuid={user}", f"--regid={user}"]
        dropped += ["--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
        dropped += ["--no-new-privs", "--"]
    if view is None and not (user is not None and is_closed):
        return dropped + _sandbox(
            bwrap,
            programs,
            profile,
            shown=shown,
            system=system,
            masked=masked,
            descriptors=descriptors,
        )
    moved = [
        Shown(Path(f"{STAGE}/{number}"), entry.target) for number, entry in enumerate(shown)
    ]
    # Not all of `/`: a mount that others remove meanwhile would fail the launch.
    stage = [bwrap, "--dir", "/etc", *_system(system), "--tmpfs", STAGE]
    stage += ["--dev-bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev"]
    for entry, path in zip(shown, moved, strict=True):
        stage += ["--ro-bind", str(entry.source), str(path.source)]
    if programs.bwrap_root is not None:
        stage += ["--ro-bind", str(programs.bwrap_root), f"{STAGE}/bwrap"]
        bwrap = f"{STAGE}/bwrap/{programs.bwrap.relative_to(programs.bwrap_root)}"
    if view is not None:
        stage += staged(view, profile, STAGE)
    proper = _sandbox(
        bwrap,
        programs,
        profile,
        shown=moved,
        system=system,
        masked=masked,
        descriptors=descriptors,
        view=view,
    )
    if view is not None and user is None:
        return [*stage, "--die-with-parent", "--", *hiding(view, STAGE), *proper]
    for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
        stage += ["--cap-add", capability]
    return [*stage, "--die-with-parent", "--", *dropped, *proper]


def _system(system: Sequence[tuple[str, str | None]]) -> list[str]:
    argv = []
    for path, link in system:
        argv += ["--ro-bind", path, path] if link is None else ["--symlink", link, path]
    return argv


def _sandbox(
    bwrap: str,
    programs: Programs,
    profile: SandboxProfile,
    *,
    shown: Sequence[Shown],
    system: Sequence[tuple[str, str | None]],
    masked: Sequence[str],
    descriptors: Descriptors,
    view: View | None = None,
) -> list[str]:
    argv = [bwrap, "--unshare-all", "--unshare-user", "--disable-userns"]
    argv += ["--uid", str(USER), "--gid", str(USER), "--hostname", "sandbox"]
    argv += ["--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"]
    argv += ["--clearenv"]
    for name, value in ENVIRONMENT.items():
        argv += ["--setenv", name, value]
    argv += _system(system)
    argv += ["--perms", "0444", "--ro-bind-data", str(descriptors.passwd), "/etc/passwd"]
    argv += ["--perms", "0444", "--ro-bind-data", str(descriptors.group), "/etc/group"]
    argv += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"]
    for path in masked:
        argv += ["--ro-bind", "/dev/null", path]
    # No terminals: the kernel has a few thousand for the whole machine.
    argv += ["--dev", "/dev", "--tmpfs", "/dev/pts", "--remount-ro", "/dev/pts"]
    argv += ["--remount-ro", "/dev"]
    argv += ["--perms", "0700", "--size", str(profile.tmp_bytes), "--tmpfs", TMP]
    argv += ["--perms", "0700", "--size", str(profile.work_bytes), "--tmpfs", WORK]
    for entry in shown:
        argv += ["--ro-bind", str(entry.source), entry.target]
    if view is not None:
        argv += inside(view, STAGE)
    # The root of a bubblewrap sandbox is a file system without a size limit: close it last.
    argv += ["--remount-ro", "/", "--chdir", "/"]
    argv += ["--seccomp", str(descriptors.seccomp), "--info-fd", str(descriptors.info)]
    return [*argv, "--", str(programs.interpreter), *python_arguments()]


def check_targets(programs: Programs, profile: SandboxProfile) -> None:
    """Refuses a mount within the interpreter's installation, which is shown at its own path.

    Raises:
        ProfileError: there is one.
    """
    for mount in profile.mounts:
        prefix, target = programs.prefix, Path(mount.target)
        if prefix is not None and (
            target.is_relative_to(prefix) or prefix.is_relative_to(target)
        ):
            raise ProfileError(
                f"mount target {mount.target!r:.120} lies where the interpreter is"
                f" ({str(prefix)!r}); give it another one"
            )


def shown_paths(
    programs: Programs, code_roots: Sequence[Path], profile: SandboxProfile
) -> list[Shown]:
    """What is shown besides the system's own directories."""
    prefix = [] if programs.prefix is None else [Shown(programs.prefix, str(programs.prefix))]
    roots = [Shown(root, f"{CODE}/{number}") for number, root in enumerate(code_roots)]
    mounts = [Shown(mount.source, mount.target) for mount in profile.mounts]
    return prefix + roots + mounts
