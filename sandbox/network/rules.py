"""What a sandbox may reach, as frozen values that are part of its profile's digest.

There is no wildcard and no "all": a name that is not written down cannot be looked up, so
not even a name server learns of it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, fields
from typing import Any, Literal

from sandbox.errors import ProfileError
from sandbox.network.addresses import parse_address
from sandbox.network.hosts import HostError, parse_host

Mode = Literal["tunnel", "http", "https"]
"""`tunnel`: CONNECT, TLS from inside to the host. `http`: plain all the way. `https`: the job
says `http://host/...` to the proxy, which opens TLS to the host, so that methods and paths can
be ruled and a credential added."""

HANDLE = re.compile(r"secret://[a-z0-9][a-z0-9_.-]{0,63}")
_METHOD = re.compile(r"[A-Z]{1,20}")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_FRAMING = frozenset(
    ("connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderSecret:
    """A credential the proxy adds to a request: the header `name: prefix + value`.

    Attributes:
        handle: `secret://name`, looked up for each request and held no longer.
    """

    handle: str
    name: str = "Authorization"
    prefix: str = "Bearer "

    def __post_init__(self) -> None:
        """Refuses a header that would change how the request is read."""
        if not HANDLE.fullmatch(self.handle):
            raise ProfileError(f"egress: {self.handle!r:.80} is no handle (secret://name)")
        if not _HEADER.fullmatch(self.name) or self.name.lower() in _FRAMING:
            raise ProfileError(f"egress: a secret cannot go into header {self.name!r:.80}")
        if not self.prefix.isascii() or not (self.prefix + "x").isprintable():
            raise ProfileError("egress: a secret's prefix is not printable ASCII")


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRule:
    """One host that may be reached, and how.

    Attributes:
        host: a name, exactly; no wildcard, no address.
        mode: see `Mode`.
        ports: of the host; empty for the mode's own (443, or 80 for `http`).
        methods: allowed methods; not for a tunnel, whose inside nobody sees.
        path_prefix: begins with `/`; whole segments (`/a` covers `/a/b`, not `/ab`).
        secret: credential for requests of this rule; only in mode `https`.
        unsafe_address: dialled instead of what the name resolves to, and not checked. For
            tests, and for a service of one's own that has no public address.
    """

    host: str
    mode: Mode = "tunnel"
    ports: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()
    path_prefix: str = "/"
    secret: HeaderSecret | None = None
    unsafe_address: str | None = None

    def __post_init__(self) -> None:
        """Checks every value and fills in the mode's defaults."""
        try:
            name = parse_host(self.host)
        except HostError as err:
            raise ProfileError(f"egress: host {self.host!r:.80}: {err}") from err
        if name != self.host:
            raise ProfileError(f"egress: write host {self.host!r:.80} in lower case")
        if self.mode not in ("tunnel", "http", "https"):
            raise ProfileError(f"egress: mode {self.mode!r:.40} is none of tunnel, http, https")
        if not self.ports:
            object.__setattr__(self, "ports", (80,) if self.mode == "http" else (443,))
        if self.mode == "tunnel":
            if self.methods or self.path_prefix != "/" or self.secret:
                raise ProfileError(
                    "egress: nobody sees methods, paths or headers in a tunnel;"
                    " use mode='https' and http:// inside"
                )
        elif not self.methods:
            object.__setattr__(self, "methods", ("GET", "HEAD"))
        if self.secret is not None and self.mode != "https":
            raise ProfileError("egress: a secret only leaves over TLS; use mode='https'")
        self._check_words()

    def _check_words(self) -> None:
        if any(type(port) is not int or not 0 < port < 65536 for port in self.ports):
            raise ProfileError(f"egress: ports {self.ports!r:.80} are no ports")
        if self.mode == "https" and len(self.ports) != 1:
            raise ProfileError("egress: a rule of mode https has one port")
        if any(not _METHOD.fullmatch(word) or word == "CONNECT" for word in self.methods):
            raise ProfileError(f"egress: methods {self.methods!r:.80} are no methods")
        if not plain_path(self.path_prefix):
            raise ProfileError(f"egress: path_prefix {self.path_prefix!r:.80} is no plain path")
        if self.unsafe_address is not None and parse_address(self.unsafe_address) is None:
            raise ProfileError(f"egress: {self.unsafe_address!r:.80} is no address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """A sandbox's egress: these hosts through the proxy, within these bounds.

    Attributes:
        allow: the rules; what none of them covers is refused.
        connections: that may be made in the sandbox's life.
        concurrent: that may be open at once.
        total_bytes: in and out together, of all connections.
        idle_seconds: without a byte in either direction; also for a request's head to arrive.
        connection_seconds: of one connection, from its acceptance.
        authorities: further certificate authorities (PEM) the proxy trusts in mode `https`.
    """

    allow: tuple[EgressRule, ...]
    connections: int = 256
    concurrent: int = 32
    total_bytes: int = 64 * 1024 * 1024
    idle_seconds: float = 15.0
    connection_seconds: float = 120.0
    authorities: str = ""

    def __post_init__(self) -> None:
        """Checks the bounds, and that each request has one rule's reading at most."""
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ProfileError(f"egress: {name} must be a number, not {value!r:.40}")
            if not low <= value <= high:
                raise ProfileError(f"egress: {name}={value!r:.40} is outside {low} to {high}")
        if not 0 < len(self.allow) <= MAX_RULES:
            raise ProfileError(f"egress: 1 to {MAX_RULES} rules; for none, network='none'")
        modes: dict[str, Mode] = {}
        for rule in self.allow:
            if rule.mode == "tunnel":
                continue
            if modes.setdefault(rule.host, rule.mode) != rule.mode:
                raise ProfileError(f"egress: host {rule.host!r} is both http and https")
        if len(self.authorities) > MAX_AUTHORITIES or not self.authorities.isascii():
            raise ProfileError("egress: authorities are no PEM text, or too long")

    @property
    def handles(self) -> frozenset[str]:
        """Every secret a rule names."""
        return frozenset(rule.secret.handle for rule in self.allow if rule.secret is not None)

    def document(self) -> dict[str, Any]:
        """As plain JSON, for the profile's digest; authorities by their digest."""
        return {
            **{name: getattr(self, name) for name in _BOUNDS},
            "authorities": hashlib.sha256(self.authorities.encode()).hexdigest(),
            "allow": [_rule_document(rule) for rule in self.allow],
        }


MAX_RULES = 256
MAX_AUTHORITIES = 262144

_BOUNDS: dict[str, tuple[float, float]] = {
    "connections": (1, 100_000),
    "concurrent": (1, 512),
    "total_bytes": (1024, 1024**4),
    "idle_seconds": (0.05, 3600),
    "connection_seconds": (0.05, 86400),
}


def _rule_document(rule: EgressRule) -> dict[str, Any]:
    document = {entry.name: getattr(rule, entry.name) for entry in fields(rule)}
    secret = rule.secret
    document["ports"], document["methods"] = list(rule.ports), list(rule.methods)
    document["secret"] = secret and {
        "handle": secret.handle,
        "name": secret.name,
        "prefix": secret.prefix,
    }
    return document


_PLAIN = re.compile(r"/[A-Za-z0-9._~!$&'()*+,=:@/-]*")


def plain_path(path: str) -> bool:
    """Whether every server reads this path (without its query) as the same segments.

    No escapes, no backslash, no `;`, no empty or dot segment: a rule on a path is worth
    nothing when the server's own clean-up leads elsewhere.
    """
    if not _PLAIN.fullmatch(path) or "//" in path:
        return False
    return not any(segment in (".", "..") for segment in path.split("/"))
