"""Jobs that talk to the network from inside a sandbox. Standard library only."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def fetch(urls: list[str], headers: dict[str, str] | None = None) -> list[str]:
    """What came back from each URL, by the variables any program would use."""
    found = []
    for url in urls:
        request = urllib.request.Request(url, headers=headers or {})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                found.append(answer.read().decode())
        except urllib.error.HTTPError as err:
            found.append(f"{err.code} {err.read().decode()}")
        except OSError as err:
            found.append(f"{type(err).__name__}: {err}")
    return found


def around(host: str, port: int) -> dict[str, Any]:
    """Every way past the proxy it can think of, and how far it got."""
    reached = []
    for address in ("127.0.0.1", "1.1.1.1", "169.254.169.254", "172.17.0.1", "10.0.0.1"):
        with socket.socket() as stream:
            stream.settimeout(1)
            if stream.connect_ex((address, port)) == 0:
                reached.append(address)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, kind) as stream:
            stream.settimeout(1)
            stream.connect(("2606:4700:4700::1111", 443))
            reached.append(f"ipv6 {kind}")
    with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as stream:
        stream.sendto(b"x", ("1.1.1.1", 53))
        reached.append("udp")
    try:
        socket.getaddrinfo(host, port)
        reached.append("dns")
    except OSError:
        pass
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError):
        direct.open(f"http://{host}:{port}/", timeout=2)
        reached.append("without the proxy")
    sockets = [
        str(entry)
        for folder in ("/run", "/var/run", "/tmp", "/egress", "/box")
        for entry in (Path(folder).rglob("*") if Path(folder).is_dir() else ())
        if entry.is_socket()
    ]
    writable = [path for path in ("/egress", "/egress/proxy") if _writes(path)]
    return {"reached": reached, "sockets": sockets, "writable": writable}


def _writes(folder: str) -> bool:
    try:
        Path(folder, "x").touch()
    except OSError:
        return False
    return True


def raw(requests: list[str]) -> list[str]:
    """Answers of the proxy's own socket, without the forwarder."""
    found = []
    for text in requests:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(10)
            stream.connect("/egress/proxy")
            stream.sendall(text.encode())
            data = b""
            with contextlib.suppress(OSError):
                while more := stream.recv(65536):
                    data += more
        found.append(data.decode("latin-1"))
    return found


def kill_everything_else(url: str) -> list[str]:
    """Kills all it may, the forwarder too, and tries to go out."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.kill(-1, signal.SIGTERM)
    return fetch([url])


def tell(name: str) -> dict[str, str]:
    """Says the content of a file in every way it can."""
    data = Path("/box", name).read_bytes()
    text = data.decode()
    print(text, data.hex(), base64.b64encode(b"x" + data).decode())  # noqa: T201
    os.write(2, data)
    Path("/box/out/copy").write_bytes(b"<" + data + b">")
    return {"value": text, text: "name"}


def fail(name: str) -> None:
    """Raises with the content of a file."""
    raise LookupError(Path("/box", name).read_text())


def look_for(parts: list[str]) -> list[str]:
    """Where a text, given in parts, can be found: variables, arguments, files."""
    text = "".join(parts).encode()
    found = [name for name, value in os.environb.items() if text in value]
    paths = [*Path("/proc").glob("[0-9]*/environ"), *Path("/proc").glob("[0-9]*/cmdline")]
    paths += [path for path in Path("/egress").rglob("*") if path.is_file()]
    for path in paths:
        with contextlib.suppress(OSError):
            if text in path.read_bytes():
                found.append(str(path))
    return [str(name) for name in found]
