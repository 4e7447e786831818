"""Configurations that undo a sandbox cannot be written down, or are refused before a start."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import Mount, ProfileError, SandboxProfile
from sandbox.backends.docker.options import create_request
from sandbox.isolation.mounts import checked_source
from sandbox.profile import MEBIBYTE

UNSPEAKABLE = [
    "privileged",
    "capabilities",
    "user",
    "pid_mode",
    "ipc_mode",
    "devices",
    "seccomp",
]


@pytest.mark.parametrize("name", UNSPEAKABLE)
def test_a_profile_has_no_word_for_it(name: str) -> None:
    """Not even one that is refused."""
    with pytest.raises(TypeError):
        SandboxProfile(**{name: "host"})  # type: ignore[arg-type]  # what is tried


def test_a_mount_has_no_word_for_writing() -> None:
    assert [field.name for field in fields(Mount)] == ["source", "target"]


@pytest.mark.parametrize("network", ["host", "bridge", "container:other", True, None])
def test_the_hosts_network_is_no_network(network: Any) -> None:
    with pytest.raises(ProfileError):
        SandboxProfile(network=network)


@pytest.mark.parametrize(
    "source",
    [
        *("/", "/proc", "/proc/1/root", "/sys/fs/cgroup", "/dev", "/dev/shm"),
        *("/etc", "/etc/shadow", "/root", "/home", "/var", "/var/lib", "/usr", "/run"),
        *("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"),
    ],
)
def test_what_opens_the_host_is_no_source(source: str) -> None:
    """Whether it exists here or not."""
    with pytest.raises(ProfileError):
        checked_source(Path(source))


def test_a_socket_is_no_source_wherever_it_lies(tmp_path: Path) -> None:
    """An engine's socket under another name is still one."""
    import socket

    path = tmp_path / "innocent"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))

        with pytest.raises(ProfileError):
            checked_source(path)


@given(
    memory=st.integers(32 * MEBIBYTE, 2**40),
    processes=st.integers(4, 32768),
    cpus=st.floats(0.05, 1024, allow_nan=False),
    runtime=st.sampled_from([None, "runc", "runsc", "kata"]),
    environment=st.dictionaries(st.from_regex(r"[A-Z]{3,8}X", fullmatch=True), st.just("1")),
    mounts=st.lists(
        st.from_regex(r"/(data|mnt)/[a-z]{1,8}", fullmatch=True), max_size=3, unique=True
    ),
)
def test_no_profile_makes_a_container_that_opens_the_host(
    *,
    memory: int,
    processes: int,
    cpus: float,
    runtime: str | None,
    environment: dict[str, str],
    mounts: list[str],
) -> None:
    """Whatever is asked for, these stay as they are."""
    profile = SandboxProfile(
        memory_bytes=memory,
        processes=processes,
        cpus=cpus,
        runtime=runtime,
        environment=environment,
        mounts=tuple(Mount(Path("/srv/x"), target) for target in mounts),
    )

    made = create_request(
        profile,
        image="sha256:" + "a" * 64,
        lease="lease",
        user=4711,
        code_roots=[Path("/srv/code")],
    )

    host = made["HostConfig"]
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] == "none"
    assert host["Devices"] == []
    assert (host["PidMode"], host["IpcMode"], host["UTSMode"]) == ("", "none", "")
    assert not {"CapAdd", "Binds", "VolumesFrom", "DeviceCgroupRules", "GroupAdd"} & set(host)
    assert all(mount["ReadOnly"] for mount in host["Mounts"])
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert made["User"] == "4711:4711"
