"""An approver who has nothing but the console answers a real daemon, and the record alone shows who.

The daemon is `wardline serve`, the approver is a browser with a passkey device, the agent a client
over the socket; what is checked afterwards is a copy of the state, with the public half of the key.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any

import pytest
import second_verifier
from browser import browser

from permissions.model import Completed
from permissions.signing.keys import PublicKey
from wardline import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(400)]

TOOL = '''
from typing import Annotated

from wardline import FreeText, tool


@tool(effect="irreversible", impact="high")
def erase_case(number: Annotated[str, FreeText()]) -> str:
    """Erases a case."""
    return f"case {number} is gone"
'''
PATIENCE_SECONDS = 120.0


class Machine:
    """The broker's machine: the daemon's settings, and commands beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://localhost:{port}"
        (folder / "work").mkdir()
        (folder / "desk_tools.py").write_text(TOOL)
        self.settings = folder / "wardline.toml"
        self.settings.write_text(
            f'state = "{folder}/state"\nworkspace = "{folder}/work"\n'
            f'[service]\ntools = ["desk_tools"]\nhttp = "127.0.0.1:{port}"\nurl = "{self.url}"\n'
            '[approvers.olga]\ngroups = ["operators"]\n[sandbox]\nbackends = []\n'
        )
        self.environment = {
            **os.environ,
            "WARDLINE_CONFIG": str(self.settings),
            "XDG_STATE_HOME": str(folder / "xdg"),
            "PYTHONPATH": str(folder),
        }

    def wardline(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "permissions", *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            check=False,
            text=True,
        )

    def said(self, *arguments: str) -> Any:
        done = self.wardline(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def tool(self) -> Any:
        """As a client has it: the module, loaded in its own process."""
        spec = spec_from_file_location("desk_tools", self.folder / "desk_tools.py")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.erase_case

    @contextmanager
    def serving(self) -> Iterator[str]:
        log = self.folder / "serve.log"
        with log.open("w") as out:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "permissions", "serve"],
                env=self.environment,
                cwd=self.folder,
                stdout=out,
                stderr=out,
            )
        try:
            end = time.monotonic() + PATIENCE_SECONDS
            while "isolation" not in log.read_text():
                assert daemon.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            yield f"unix:{self.folder}/state/broker.sock"
        finally:
            daemon.terminate()
            daemon.wait(PATIENCE_SECONDS)


def asks(address: str, erase_case: Any) -> Any:
    """What an agent gets that waits for a person."""
    with (
        Broker.connect(address, [erase_case]) as broker,
        broker.session(
            user="alice", agent="clerk", prompt="Erase case 4711.", approval_mode="wait"
        ) as session,
    ):
        return broker.call(session, "erase_case", {"number": "4711"})


def test_a_passkey_in_the_console_lets_a_call_of_the_daemon_run(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine = Machine(tmp_path)
    with (
        machine.serving() as address,
        browser(tmp_path_factory.mktemp("profile")) as page,
        ThreadPoolExecutor(1) as agent,
    ):
        page.authenticator()
        page.go(machine.said("approver", "invite", "olga", "--json")["url"])
        page.js("document.querySelector('form button').click()")
        page.until("location.pathname === '/me' && document.readyState === 'complete'")
        page.js("document.querySelector('form[data-passkey=enrol] button').click()")
        page.until("location.pathname === '/inbox' && document.readyState === 'complete'")
        result = agent.submit(asks, address, machine.tool())
        page.until("document.querySelectorAll('[data-rows] > li').length === 1")
        page.js("document.querySelector('[data-rows] a').click()")
        page.until(
            "document.readyState === 'complete' && !!document.querySelector('[data-approve]')"
        )
        assert "4711" in page.js("document.body.innerText")
        page.js("document.querySelector('[data-approve]').click()")
        page.until("(document.body?.innerText ?? '').includes('Approved')")
        ran = result.result(PATIENCE_SECONDS)
        olga = machine.said("approver", "list", "--json")
        assert page.messages == []

    assert isinstance(ran, Completed)
    assert ran.value == "case 4711 is gone"
    # Somebody elsewhere, with a copy of the state and the public half that olga gave them.
    (tmp_path / "olga.pub").write_text(olga["passkeys"][0]["public_key"])
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "state", copy)
    shutil.rmtree(tmp_path / "state")
    key = f"olga={tmp_path / 'olga.pub'}"
    (asked,) = machine.said(
        "trace", "votes", ran.call, "--key", key, "--dir", str(copy), "--json"
    )
    (vote,) = asked["votes"]
    assert (vote["approver"], vote["verdict"], vote["problem"]) == ("olga", "approve", None)
    verified = machine.wardline("trace", "verify", "--dir", str(copy))
    assert verified.returncode == 0, verified.stdout
    public = PublicKey.parse((copy / "keys" / "log.pem.pub").read_text().strip())
    found = second_verifier.verify(
        copy / "trace", public.raw, (copy / "keys" / "vault.key").read_bytes()
    )
    assert found == []
