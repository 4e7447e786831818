"""What a profile becomes for a runtime. Pure: no runtime, no file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox import Mount, SandboxProfile
from sandbox.backends.oci.configuration import (
    CONTAINER_ROOT,
    configuration,
    enforced,
    points,
)
from sandbox.backends.oci.roots import Root
from sandbox.backends.oci.runtimes import Runtime
from sandbox.isolation.seccomp import POLICY_DIGEST, docker_profile

PROFILE = SandboxProfile(
    work_bytes=1 << 20, tmp_bytes=1 << 19, files=99, mounts=(Mount(Path("/srv/d"), "/data"),)
)


def made(
    profile: SandboxProfile = PROFILE, *, runtime: str = "crun", merged: Path | None = None
) -> dict[str, Any]:
    return configuration(
        profile,
        runtime=runtime,
        lease="lease",
        name="name",
        user=4711,
        code_roots=[Path("/srv/code"), Path("/srv/more")],
        merged=merged,
    )


def test_every_limit_is_spelled_out() -> None:
    said = made()
    process, linux = said["process"], said["linux"]

    assert said["root"]["readonly"] is True
    assert process["user"] == {"uid": 65534, "gid": 65534}
    assert set(process["capabilities"]) == {
        "bounding",
        "effective",
        "inheritable",
        "permitted",
        "ambient",
    }
    assert not any(process["capabilities"].values())
    assert process["noNewPrivileges"] is True
    assert process["terminal"] is False
    assert process["cwd"] == "/"
    assert process["env"] == ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"]
    kinds = [entry["type"] for entry in linux["namespaces"]]
    assert sorted(kinds) == sorted(["pid", "network", "ipc", "uts", "mount", "cgroup", "user"])
    assert not any("path" in entry for entry in linux["namespaces"])
    assert {"/proc/kcore", "/proc/keys", "/proc/timer_list"} <= set(linux["maskedPaths"])
    assert {"/proc/sys", "/proc/sysrq-trigger"} <= set(linux["readonlyPaths"])
    assert linux["resources"]["devices"] == [{"allow": False, "access": "rwm"}]
    assert "hooks" not in said
    assert "devices" not in linux


def test_container_root_owns_nothing_on_the_host() -> None:
    """And nobody is nobody on both sides, so that files mean the same."""
    for kind in ("uidMappings", "gidMappings"):
        mapped = {
            entry["containerID"]: (entry["hostID"], entry["size"])
            for entry in made()["linux"][kind]
        }
        assert mapped == {0: (CONTAINER_ROOT, 1), 65534: (4711, 1)}
    assert CONTAINER_ROOT > 65535


def test_a_kernel_of_its_own_has_its_own_ids() -> None:
    linux = made(runtime="runsc")["linux"]

    assert "user" not in [entry["type"] for entry in linux["namespaces"]]
    assert "uidMappings" not in linux


@pytest.mark.parametrize("kind", ["tmpfs", "bind", "proc"])
def test_no_mount_gives_more_than_it_has_to(kind: str) -> None:
    """What can be written cannot be run, and what is shown cannot be written."""
    mounts = [entry for entry in made()["mounts"] if entry["type"] == kind]

    assert mounts
    for entry in mounts:
        assert "nosuid" in entry["options"]
        if kind == "bind":
            assert {"bind", "ro", "nodev", "private"} <= set(entry["options"])
            assert "rbind" not in entry["options"]
        else:
            assert "noexec" in entry["options"]


def test_what_can_be_written_has_a_size_and_a_number() -> None:
    mounts = {entry["destination"]: entry["options"] for entry in made()["mounts"]}

    assert {"size=1048576", "nr_inodes=99", "mode=0700", "uid=65534"} <= set(mounts["/box"])
    assert {"size=524288", "nr_inodes=99"} <= set(mounts["/tmp"])
    assert "size=65536" in mounts["/dev"]
    assert not {"/sys", "/dev/shm", "/dev/mqueue", "/sys/fs/cgroup"} & set(mounts)


def test_only_the_layer_of_a_workspace_is_writable() -> None:
    binds = {
        entry["destination"]: (entry["source"], "rw" in entry["options"])
        for entry in made(merged=Path("/run/layer"))["mounts"]
        if entry["type"] == "bind"
    }

    assert binds == {
        "/code/0": ("/srv/code", False),
        "/code/1": ("/srv/more", False),
        "/data": ("/srv/d", False),
        "/workspace": ("/run/layer", True),
    }


def test_every_mount_has_its_point() -> None:
    """So that no runtime has to make one in the root file system all share."""
    given = points(PROFILE, code_roots=2, files=[True], has_workspace=True)
    wanted = {entry["destination"] for entry in made(merged=Path("/run/layer"))["mounts"]}

    assert {f"/{path}" for path, _ in given} == wanted
    assert dict(given)["data"] is False
    assert dict(given)["code/1"] is True


def test_the_system_calls_are_those_of_the_other_backends() -> None:
    seccomp = made()["linux"]["seccomp"]

    assert seccomp["defaultAction"] == "SCMP_ACT_ERRNO"
    assert seccomp["syscalls"] == docker_profile()["syscalls"]
    assert len(seccomp["architectures"]) == 1


def test_nothing_of_the_profile_but_its_limits_is_written_down() -> None:
    """Variables travel with the job; what lies on the disk has no secret in it."""
    profile = replace(PROFILE, environment={"TOKEN": "telling"})

    assert "telling" not in json.dumps(made(profile))


@pytest.mark.parametrize(
    ("runtime", "isolation", "filter_digest", "user_namespace"),
    [("crun", "container", POLICY_DIGEST, True), ("runsc", "kernel", None, False)],
)
def test_the_record_claims_what_stood(
    runtime: str, isolation: str, filter_digest: str | None, *, user_namespace: bool
) -> None:
    said = enforced(
        PROFILE,
        runtime=Runtime(runtime, Path("/usr/bin", runtime), "1.2"),
        root=Root("sha256:i", "sha256:c", "3.11", "x", True, 1, Path("/x")),  # noqa: FBT003
        cgroup=2,
        swap_limited=True,
        has_workspace=False,
    )

    assert json.loads(json.dumps(said)) == said
    assert (said["isolation"], said["seccomp"]) == (isolation, filter_digest)
    assert said["user_namespace"] is user_namespace
    assert (said["engine"], said["image"], said["root"]) == (
        f"{runtime} 1.2",
        "sha256:i",
        "sha256:c",
    )
    assert said["profile"] == PROFILE.digest
