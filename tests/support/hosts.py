"""Real HTTP and TLS servers on loopback for egress tests, and a certificate authority for them."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import ssl
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAY = dt.timedelta(days=1)


@dataclass(slots=True)
class Host:
    """A server that notes every request it gets.

    Attributes:
        authorities: PEM of the authority that vouches for it; empty without TLS.
    """

    port: int
    authorities: str = ""
    requests: list[dict[str, object]] = field(default_factory=list)
    meanwhile: dict[str, Callable[[], None]] = field(default_factory=dict)
    """By path: what happens before the request is answered."""


def _handler(host: Host) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - one page per path
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size) if size else self._chunks()
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen = {"method": self.command, "path": self.path, "headers": headers}
            host.requests.append({**seen, "body": body.decode("latin-1")})
            answer = json.dumps({**seen, "body": body.decode("latin-1")}).encode()
            path = self.path.partition("?")[0]
            host.meanwhile.get(path, lambda: None)()
            self.send_response(302 if path == "/redirect" else 200)
            if path == "/redirect":
                self.send_header("Location", "http://evil.example/")
            if path == "/gzip":
                answer = gzip.compress(answer)
                self.send_header("Content-Encoding", "gzip")
            if path == "/header":
                self.send_header("X-Echo", headers.get("authorization", ""))
            if path == "/endless":
                self._endless()
                return
            if path == "/dribble":
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for byte in answer:
                    self.wfile.write(b"1\r\n%c\r\n" % byte)
                self.wfile.write(b"0\r\n\r\n")
                return
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do  # noqa: N815 - the base's names

        def _chunks(self) -> bytes:
            body = b""
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            return body

        def _endless(self) -> None:
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing: tests have their own record."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a peer that hangs up is what is tested."""


@contextmanager
def plain_host() -> Iterator[Host]:
    """An HTTP server."""
    host = Host(0)
    with _serving(_Server(("127.0.0.1", 0), _handler(host)), host):
        yield host


@contextmanager
def tls_host(*names: str) -> Iterator[Host]:
    """An HTTPS server whose certificate is for `names`."""
    authorities, chain = certificates(*names)
    host = Host(0, authorities)
    server = _Server(("127.0.0.1", 0), _handler(host))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as path:
        Path(path.name).write_text(chain)
        context.load_cert_chain(path.name)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    with _serving(server, host):
        yield host


@contextmanager
def _serving(server: _Server, host: Host) -> Iterator[None]:
    host.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificates(*names: str) -> tuple[str, str]:
    """A new authority's certificate, and a key with the certificate it gave for `names`."""
    now = dt.datetime.now(dt.UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])

    def certificate(subject: x509.Name, owner: ec.EllipticCurvePrivateKey, *, ca: bool) -> str:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(owner.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        signed = builder.sign(authority_key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode()

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return certificate(issuer, authority_key, ca=True), private + certificate(
        subject, key, ca=False
    )
