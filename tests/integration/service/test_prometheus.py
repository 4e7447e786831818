"""A real Prometheus scrapes a daemon; promtool reads the metrics, the alerts, the dashboard."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import yaml
from serving import TOOLS
from typer.testing import CliRunner

from permissions.broker.ports import now_us
from permissions.cli.trace import app as trace
from permissions.drills.flood import DRILL
from permissions.drills.result import Result
from permissions.gathered import Gathered
from permissions.model import Completed, Denial
from permissions.service.dial import UnixDial
from permissions.service.remote import RemoteBroker
from permissions.setup.config import ClientConfig
from permissions.setup.daemon import running, socket_of
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from permissions.setup.config import BrokerConfig

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations"
ROOT = OPERATIONS.parents[1]


def expressions() -> list[str]:
    """Every query of the alerts and of the dashboard."""
    rules = yaml.safe_load((OPERATIONS / "alerts.yml").read_text())["groups"][0]["rules"]
    panels = json.loads((OPERATIONS / "dashboard.json").read_text())["panels"]
    drawn = [target["expr"] for panel in panels for target in panel["targets"]]
    return [rule["expr"] for rule in rules] + drawn


def test_each_alert_has_its_runbook() -> None:
    rules = yaml.safe_load((OPERATIONS / "alerts.yml").read_text())["groups"][0]["rules"]
    for rule in rules:
        page = (ROOT / rule["annotations"]["runbook"]).read_text()
        assert f"`{rule['alert']}`" in page
    pages = {rule["annotations"]["runbook"] for rule in rules}
    runbooks = (OPERATIONS / "runbooks").iterdir()
    assert pages == {str(each.relative_to(ROOT)) for each in runbooks}


@pytest.mark.prometheus
@pytest.mark.parametrize(
    "argv", [["check", "rules", "alerts.yml"], ["test", "rules", "alerts-test.yml"]], ids=str
)
def test_promtool_takes_the_alerts(argv: list[str]) -> None:
    done = subprocess.run(
        ["promtool", *argv], cwd=OPERATIONS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.prometheus
async def test_prometheus_scrapes_it(config: BrokerConfig, tmp_path: Path) -> None:
    service = config.service.model_copy(
        update={
            "http": "127.0.0.1:0",
            "clients": {"prometheus": ClientConfig()},
            "evidence": tmp_path / "evidence",
        }
    )
    config = config.model_copy(update={"service": service})
    played = Result(DRILL, "2026-11-30T12:00:00+00:00")
    played.seconds = {"detect": 2.5, "stop": 1.0, "prove": 3.0}
    Gathered(tmp_path / "evidence").keep(played.measured(at=1))
    async with running(config, TOOLS) as daemon:
        assert daemon.url is not None
        now = now_us()
        _, token = await daemon.tokens.create("prometheus", now=now, expires=now + 10**12)
        remote = RemoteBroker(UnixDial(socket_of(config)), TOOLS)
        async with remote.session(user="alice", approval_mode="suspend") as session:
            ran = await remote.call(session, ToolCall("measure", {"text": "abc"}))
            asked = await remote.call(session, ToolCall("destroy", {"name": "x"}))
            assert isinstance(ran, Completed)
            assert isinstance(asked, Denial)
        async with httpx.AsyncClient(base_url=daemon.url) as client:
            assert (await client.get("/metrics")).status_code == 401
            known = {"Authorization": f"Bearer {token}"}
            text = (await client.get("/metrics", headers=known)).content
        checked = await anyio.run_process(
            ["promtool", "check", "metrics"], input=text, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr

        told = tmp_path / "verifier"
        told.mkdir()
        options = ["verify", "--dir", str(config.state), "--metrics", str(told / "metrics")]
        options += ["--known-checkpoints", str(tmp_path / "known")]
        nothing = {"WARDLINE_CONFIG": str(tmp_path / "wardline.toml")}
        ran = await anyio.to_thread.run_sync(
            lambda: CliRunner().invoke(trace, options, env=nothing)
        )
        assert ran.exit_code == 0, ran.output
        checked = await anyio.run_process(
            ["promtool", "check", "metrics"], input=(told / "metrics").read_bytes(), check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
        (tmp_path / "token").write_text(token)
        with socket.create_server(("127.0.0.1", 0)) as free:
            own = f"127.0.0.1:{free.getsockname()[1]}"
        serving = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=told)
        )
        Thread(target=serving.serve_forever, daemon=True).start()
        verifier = f"127.0.0.1:{serving.server_port}"
        settings = {
            "global": {"scrape_interval": "1s"},
            "rule_files": [str(OPERATIONS / "alerts.yml")],
            "scrape_configs": [
                {
                    "job_name": "wardline",
                    "authorization": {"credentials_file": str(tmp_path / "token")},
                    "static_configs": [{"targets": [daemon.url.removeprefix("http://")]}],
                },
                {"job_name": "verifier", "static_configs": [{"targets": [verifier]}]},
            ],
        }
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings))
        argv = ["prometheus", f"--config.file={tmp_path}/prometheus.yml"]
        argv += [f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={own}"]
        async with await anyio.open_process(argv, stdout=None, stderr=None) as process:
            try:
                await _asks(f"http://{own}")
            finally:
                process.terminate()
                await process.wait()
                serving.shutdown()
                serving.server_close()


async def _asks(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:

        async def values(query: str) -> list[Any]:
            answer = (await client.get("/api/v1/query", params={"query": query})).json()
            assert answer["status"] == "success", (query, answer)
            return [
                (each["metric"], float(each["value"][1])) for each in answer["data"]["result"]
            ]

        with anyio.fail_after(120):
            while True:
                try:
                    # Each of the two has an offset of its own within the first interval.
                    if [is_up for _, is_up in await values("up")] == [1, 1]:
                        break
                except (httpx.HTTPError, ValueError):
                    pass
                await anyio.sleep(0.1)
        for query in expressions():
            await values(query)
            for name in re.findall(r"wardline_[a-z_]+", query):
                assert await values(f"count({name})"), name  # what it asks for is there
        assert (await values('wardline_calls_total{tool="measure", ended="ok"}'))[0][1] == 1
        assert (await values("wardline_approvals_pending"))[0][1] == 1
        assert (await values("wardline_ready"))[0][1] == 1
        assert (await values("wardline_verify_failed"))[0][1] == 0
        rules = (await client.get("/api/v1/rules")).json()["data"]["groups"][0]["rules"]
        assert len(rules) == 16
        assert (await values('wardline_time_to_detect_seconds{drill="flood"}'))[0][1] == 2.5
        assert (await values('wardline_drill_worked{drill="flood"}'))[0][1] == 1
