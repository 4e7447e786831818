"""`wardline demo --console`: the same job against a daemon, approved in its console by a passkey."""

from __future__ import annotations

import json
import re
import socket
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from authenticator import Authenticator
from console_desk import token_in
from terminals import on_a_terminal

from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("langgraph")
pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(400)]

JSON = {"accept": "application/json"}


def test_the_plan_is_approved_in_the_console(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    site, device = f"http://localhost:{port}", Authenticator()
    demo = [sys.executable, "-m", "permissions", "demo", "--console", "--port", str(port)]
    with (
        on_a_terminal(demo, cwd=tmp_path) as terminal,
        httpx.Client(base_url=site, headers={"origin": site}, timeout=60) as browser,
    ):
        terminal.read_until(f"In the console: {site}/requests/req-")
        invited = re.search(r"sign-in\?link=(\S+)", terminal.screen)
        assert invited is not None
        assert browser.post("/sign-in", data={"link": invited[1]}).status_code == 303

        token = token_in(browser.get("/me").text)
        begun = browser.post("/me/enrol/begin", data={"token": token}, headers=JSON).json()
        made = json.dumps(device.create(begun["options"], site))
        signed = {"token": token, "state": begun["state"], "credential": made}
        assert browser.post("/me/enrol/finish", data=signed, headers=JSON).status_code == 200

        asked = re.search(r"In the console: \S+(/requests/\S+)", terminal.screen)
        assert asked is not None
        page = browser.get(asked[1], params={"whole": "1"}).text
        assert "approve_plan" in page
        shown = page.partition('name="shown" value="')[2].partition('"')[0]
        form = {"token": token_in(page), "shown": shown, "note": "", "verdict": "approve"}
        begun = browser.post(f"{asked[1]}/vote/begin", data=form, headers=JSON).json()
        signed = {
            **form,
            "state": begun["state"],
            "credential": json.dumps(device.get(begun["options"], site)),
        }
        done = browser.post(f"{asked[1]}/vote/finish", data=signed, headers=JSON)
        assert done.status_code == 200, done.text
        assert terminal.exit_code() == 0, terminal.screen[-3000:]

    assert "The whole plan is put to a person, once" in terminal.screen
    assert terminal.screen.count("A person is asked") == 1  # what is planned asks nobody again
    assert "WRONG" not in terminal.screen
    report = verify_trace(tmp_path / "wardline-demo" / ".wardline-demo" / "trace")
    assert report.is_intact
    assert report.completeness.is_whole, report.completeness
