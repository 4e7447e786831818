"""A real Chromium without a window, spoken to over a pipe in its own protocol (DevTools)."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_SECONDS = 120.0
_FLAGS = (
    "--headless",
    "--no-sandbox",  # as root there is none; the page that is opened is the one under test
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--window-size=1440,900",
    "--remote-debugging-pipe",
)


class Uncaught(AssertionError):  # noqa: N818 - as browsers say it
    """What a page said in place of an answer."""


class Page:
    """One tab. What it logs and asks for over the network is kept."""

    def __init__(self, out: int, into: int, process: subprocess.Popen[bytes]) -> None:
        self._out, self._into, self._process = out, into, process
        self._numbers = count(1)
        self._read = b""
        self._session: str | None = None
        self.messages: list[str] = []
        """Everything the console, the policy of the page and its exceptions said."""
        self.requests: list[str] = []

    def attach(self) -> None:
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def open(self, path: Path, fragment: str = "") -> None:
        """Opens a file, and waits until it has shown its first rows."""
        self.send("Page.navigate", url="about:blank")  # or a fragment alone loads nothing
        self.requests.clear()
        self.send("Page.navigate", url=f"{path.as_uri()}{fragment}")
        self.until("document.documentElement?.dataset.painted !== undefined")

    def go(self, url: str) -> None:
        """Opens a page of a server, and waits until it is whole."""
        with self.left():
            self.send("Page.navigate", url=url)

    @contextmanager
    def left(self) -> Iterator[None]:
        """Waits, after what leads to another page or the same anew, until that one is whole.

        What it says may be on the page before, too: an open page hears of what it did itself.
        """
        self.js("window.isOld = true")
        yield
        self.until("window.isOld === undefined && document.readyState === 'complete'")

    def size(self, width: int, height: int) -> None:
        """Gives the tab a size, a narrow one as of a phone."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1 if width > 600 else 2,
            mobile=width <= 600,
        )

    def dark(self, is_dark: bool) -> None:  # noqa: FBT001 - a switch
        """Has the reader prefer dark pages, or light ones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def authenticator(self) -> str:
        """Plugs in a passkey device whose owner agrees to everything; gives its id."""
        self.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        added = self.send("WebAuthn.addVirtualAuthenticator", options=options)
        return str(added["authenticatorId"])

    def until(self, condition: str) -> None:
        """Waits until an expression holds in the page.

        Between two pages there may be nothing that it could be asked of.
        """
        end = time.monotonic() + PATIENCE_SECONDS
        found: object = None
        while True:
            try:
                found = self.js(condition)
            except Uncaught as error:
                found = error
            else:
                if found:
                    return
            assert time.monotonic() < end, (
                f"never came true: {condition}; {found}; {self.messages}"
            )
            time.sleep(0.05)

    def js(self, expression: str) -> Any:
        """What an expression comes to in the page.

        Raises:
            Uncaught: it raised, or the page went away meanwhile.
        """
        found = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise Uncaught(found["exceptionDetails"])
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Presses a key, as a person does."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def write(self, text: str) -> None:
        """Writes into what has the focus."""
        self.send("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        """What is to be seen, as a PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    def printed(self) -> bytes:
        """The page as a PDF."""
        return base64.b64decode(self.send("Page.printToPDF")["data"])

    def send(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol, and its answer."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._into, data) :]
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self._next(end)
            if answer.get("id") == number:
                if "error" in answer:
                    raise Uncaught(method, answer["error"])
                return answer["result"]
            self._note(answer)

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._out], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._out, 1 << 20)
            assert data, f"the browser ended: {self._process.poll()}"
            self._read += data
        line, _, self._read = self._read.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        said = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled":
                self.messages.append(str([each.get("value") for each in said["args"]]))
            case "Runtime.exceptionThrown":
                self.messages.append(json.dumps(said["exceptionDetails"])[:2000])
            case "Log.entryAdded":
                self.messages.append(said["entry"]["text"])
            case "Page.javascriptDialogOpening":
                self.messages.append(f"dialog: {said['message']}")
            case "Network.requestWillBeSent":
                self.requests.append(said["request"]["url"])


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A browser of this test alone, with a new profile."""
    program = shutil.which("chromium")
    assert program is not None
    theirs_in, ours_in = os.pipe()
    ours_out, theirs_out = os.pipe()

    argv = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    # The protocol speaks over the descriptors 3 and 4.
    command = 'exec "$@" 3<&"$IN" 4>&"$OUT"'
    environment = {"IN": str(theirs_in), "OUT": str(theirs_out), "HOME": str(profile)}
    process = subprocess.Popen(
        ["bash", "-c", command, "bash", *argv],
        env={**os.environ, **environment},
        pass_fds=(theirs_in, theirs_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    page = Page(ours_out, ours_in, process)
    try:
        page.attach()
        yield page
    finally:
        os.close(ours_in)  # it ends when nobody speaks to it any more
        os.close(ours_out)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
