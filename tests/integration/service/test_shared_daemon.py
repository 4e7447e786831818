"""One daemon for a web application of two workers, a script and the command line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from permissions.setup.daemon import socket_of
from permissions.setup.layout import log_signer
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.setup.config import BrokerConfig

SUPPORT = Path(__file__).parents[2] / "support"
PATIENCE = 180


class Programs:
    """Starts programs, and ends what it started."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._environment = environment
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *argv: str, **more: str) -> subprocess.Popen[bytes]:
        with (self.folder / "programs.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *argv],
                cwd=self.folder,
                env={**self._environment, **more},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def run(self, *argv: str, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, *argv],
            cwd=self.folder,
            env={**self._environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def said(self) -> str:
        return (self.folder / "programs.log").read_text()

    def end(self) -> None:
        for process in reversed(self._started):
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{SUPPORT}:{os.environ.get('PYTHONPATH', '')}",
        "WARDLINE_CONFIG": str(tmp_path / "wardline.toml"),
    }
    found = Programs(tmp_path, environment)
    yield found
    found.end()


def until(is_so: Any, programs: Programs) -> None:
    late = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < late, programs.said()
        time.sleep(0.05)


@pytest.mark.slow
def test_workers_a_script_and_the_command_line_share_one(
    config: BrokerConfig, programs: Programs, tmp_path: Path
) -> None:
    shipped = Path(__file__).parents[3] / "policies"
    (tmp_path / "policies").symlink_to(shipped)
    with (tmp_path / "wardline.toml").open("a") as file:
        file.write(f'[pdp]\npolicies = "{tmp_path}/policies"\n')
    daemon = programs.start("permissions", "serve", "--tools", "serving")
    until(lambda: socket_of(config).is_socket() or daemon.poll() is not None, programs)
    assert daemon.poll() is None, programs.said()
    broker = {"WARDLINE_BROKER": f"unix:{socket_of(config)}"}

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    web = [
        "uvicorn",
        "desk_app:app",
        "--workers",
        "2",
        "--port",
        str(port),
        "--lifespan",
        "off",
    ]
    programs.start(*web, **broker)
    workers, answers = set(), []

    def both_answered() -> bool:
        with httpx.Client(timeout=60) as client:
            try:
                found = client.get(f"http://127.0.0.1:{port}/ask", params={"text": "four"})
            except httpx.HTTPError:
                return False
        assert found.status_code == 200, programs.said()
        workers.add(found.json()["process"])
        answers.append(found.json()["said"])
        return len(workers) == 2

    until(both_answered, programs)
    assert set(answers) == {"4"}

    script = str(SUPPORT / "serving.py")
    assert programs.run(script, broker["WARDLINE_BROKER"], "3").count("Found") == 3

    def wardline(*words: str) -> str:
        return programs.run("-m", "permissions", *words)

    (tmp_path / "policies").unlink()
    changed = tmp_path / "changed"
    subprocess.run(["cp", "-rL", str(shipped), str(changed)], check=True)
    main = changed / "impact" / "impact.rego"
    main.write_text(main.read_text() + "\n# another revision\n")
    (tmp_path / "policies").symlink_to(changed)
    reloaded = json.loads(wardline("policy", "reload", "--json"))
    assert reloaded["changed"] is True
    assert reloaded["now"] != reloaded["before"]
    assert programs.run(script, broker["WARDLINE_BROKER"], "1").count("Found") == 1
    listed = [json.loads(line) for line in wardline("trace", "list", "--json").splitlines()]
    assert sum(each["tool"] == "measure" for each in listed) == 4
    assert sum(each["tool"] == "measure_soon" for each in listed) == len(answers)

    daemon.terminate()
    assert daemon.wait(PATIENCE) == 0, programs.said()
    report = verify_trace(config.state / "trace", key=log_signer(config).public)
    assert report.integrity.verdict == "signed"
    assert report.completeness.is_whole, report.completeness
    in_force = [e.body for e in read_entries(config.state / "trace") if e.type == "config"]
    assert in_force[-1]["policy"] == reloaded["now"]
    assert in_force[-1]["before"] == reloaded["before"]
