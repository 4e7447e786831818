"""The container file that is shipped: built without a network, run without any right, it decides."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
import second_verifier
from serving import measure_soon

from sandbox.backends.docker.engine import Engine
from sandbox.backends.docker.image import built_image
from wardline import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docs" / "operations" / "Containerfile"
SETTINGS = """
[service]
tools = ["serving"]
socket = "/run/wardline/broker.sock"

[service.clients.host]
uid = 0
users = ["alice"]
workspaces = ["/"]
"""

pytestmark = [pytest.mark.docker, pytest.mark.index, pytest.mark.slow]


def run(*argv: str | Path) -> str:
    done = subprocess.run(
        [str(each) for each in argv], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-1500:]
    return done.stdout.strip()


@pytest.fixture
def image(tmp_path: Path) -> Iterator[str]:
    """As the file's head says, on the base that the tests have."""
    with closing(Engine.connect()) as engine:
        base = built_image(engine)
    assert base is not None
    run("uv", "build", "--quiet", "--wheel", "--out-dir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    run("uv", "pip", "install", "--quiet", "--target", tmp_path / "site", "--python-version",
        version, "--only-binary", ":all:", f"{wheel}[service]")  # fmt: skip
    tag = f"wardline-test-{secrets.token_hex(4)}"
    run("docker", "build", "--quiet", "--network", "none", "--file", FILE, "--build-arg",
        f"BASE={base}", "--tag", tag, tmp_path)  # fmt: skip
    yield tag
    run("docker", "rmi", "--force", tag)


@pytest.fixture
def container(image: str, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "wardline.toml").write_text(SETTINGS)
    name, tools = f"{image}-run", tmp_path / "tools"
    tools.mkdir()
    (tools / "serving.py").write_bytes((ROOT / "tests/support/serving.py").read_bytes())
    tmp_path.chmod(0o755)
    volumes = [f"{name}-state", f"{name}-socket"]
    for volume in volumes:
        run("docker", "volume", "create", volume)
    run("docker", "run", "--detach", "--name", name, "--network", "none", "--read-only",
        "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp",
        "--volume", f"{volumes[0]}:/var/lib/wardline", "--volume", f"{volumes[1]}:/run/wardline",
        "--volume", f"{tmp_path / 'wardline.toml'}:/etc/wardline/wardline.toml:ro",
        "--volume", f"{tools}:/srv/tools:ro", image)  # fmt: skip
    yield name
    run("docker", "rm", "--force", name)
    run("docker", "volume", "rm", *volumes)


def folder_of(volume: str) -> Path:
    return Path(run("docker", "volume", "inspect", volume, "--format", "{{.Mountpoint}}"))


async def test_a_call_of_the_host_is_decided_and_recorded_in_it(container: str) -> None:
    socket = folder_of(f"{container}-socket") / "broker.sock"
    until = time.monotonic() + 240
    while not socket.exists():
        state = json.loads(run("docker", "inspect", container))[0]["State"]
        assert state["Running"], run("docker", "logs", container)
        assert time.monotonic() < until
        await anyio.sleep(0.1)

    with (
        Broker.connect(f"unix:{socket}", [measure_soon]) as broker,
        broker.session(user="alice", prompt="Measure it"),
    ):
        assert await measure_soon("four") == len("four")

    assert run("docker", "exec", container, "id", "-u") == "10001"
    run("docker", "stop", "--time", "60", container)
    assert json.loads(run("docker", "inspect", container))[0]["State"]["ExitCode"] == 0
    trace = folder_of(f"{container}-state") / "trace"
    assert second_verifier.verify(trace) == []
