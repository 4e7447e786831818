"""A real OPA server for tests: `opa run --server` on a free loopback port."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from permissions.pdp.opa_bundle import opa_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.pdp.bundle import PolicyBundle

START_SECONDS = 40


@contextmanager
def opa_server(bundle: PolicyBundle) -> Iterator[str]:
    """Serves a bundle and gives the server's URL. The server is gone afterwards.

    Raises:
        RuntimeError: it did not become healthy; the message holds what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="wardline-opa-") as folder:
        archive = Path(folder, "bundle.tar.gz")
        archive.write_bytes(opa_bundle(bundle))
        with opa_process(["--bundle", str(archive)], Path(folder)) as url:
            yield url


@contextmanager
def opa_process(arguments: list[str], folder: Path) -> Iterator[str]:
    """Runs `opa run --server` with these arguments until the block ends."""
    executable = shutil.which("opa")
    if executable is None:
        raise RuntimeError("no `opa` on PATH")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    address = ["--addr", f"127.0.0.1:{port}", "--log-level", "error", "--skip-version-check"]
    printed = Path(folder, "opa.log")
    with (
        printed.open("wb") as log,
        subprocess.Popen(
            [executable, "run", "--server", *address, *arguments],
            stdout=log,
            stderr=log,
            cwd=folder,
        ) as process,
    ):
        try:
            _await_health(process, url, printed)
            yield url
        finally:
            process.kill()
            process.wait(timeout=START_SECONDS)


def free_port() -> int:
    """A loopback TCP port that was free a moment ago, of those nobody is given unasked."""
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(given // 2, given)  # noqa: S311 - so that others take another
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _await_health(process: subprocess.Popen[bytes], url: str, printed: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):  # noqa: S310 - ours
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)  # the server has no other way to say that it is up
    raise RuntimeError(f"opa did not start: {printed.read_text('utf-8')[:2000]}")
