"""The static allowlist: what a rule may say, and what it covers."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import ProfileError
from sandbox.egress import (
    Egress,
    EgressRequest,
    EgressRule,
    HeaderSecret,
)
from sandbox.network.decision import matching_rule, nearest_refusal

SECRET = HeaderSecret(handle="secret://forge")

FORBIDDEN: dict[str, dict[str, Any]] = {
    "wildcard": {"host": "*.example"},
    "address": {"host": "127.0.0.1"},
    "upper-case": {"host": "API.example"},
    "no-port": {"host": "api.example", "ports": (0,)},
    "bool-port": {"host": "api.example", "ports": (True,)},
    "tunnel-with-methods": {"host": "api.example", "methods": ("GET",)},
    "tunnel-with-path": {"host": "api.example", "path_prefix": "/a"},
    "tunnel-with-secret": {"host": "api.example", "secret": SECRET},
    "plain-with-secret": {"host": "api.example", "mode": "http", "secret": SECRET},
    "https-two-ports": {"host": "api.example", "mode": "https", "ports": (443, 8443)},
    "connect-as-method": {"host": "api.example", "mode": "http", "methods": ("CONNECT",)},
    "lower-method": {"host": "api.example", "mode": "http", "methods": ("get",)},
    "relative-path": {"host": "api.example", "mode": "http", "path_prefix": "a"},
    "dot-path": {"host": "api.example", "mode": "http", "path_prefix": "/a/../b"},
    "escaped-path": {"host": "api.example", "mode": "http", "path_prefix": "/a%2fb"},
    "name-as-address": {"host": "api.example", "unsafe_address": "localhost"},
    "other-mode": {"host": "api.example", "mode": "socks"},
}


@pytest.mark.parametrize("values", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_a_rule_that_promises_what_nobody_can_keep_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ProfileError):
        EgressRule(**values)


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "a b", ""])
def test_a_secret_cannot_change_how_a_request_is_read(name: str) -> None:
    with pytest.raises(ProfileError):
        HeaderSecret(handle="secret://forge", name=name)


def test_a_host_is_not_both_plain_and_secured() -> None:
    with pytest.raises(ProfileError, match="both"):
        Egress(
            allow=(
                EgressRule(host="api.example", mode="http"),
                EgressRule(host="api.example", mode="https"),
            )
        )


EGRESS = Egress(
    allow=(
        EgressRule(host="tunnel.example"),
        EgressRule(host="plain.example", mode="http", ports=(80, 8080)),
        EgressRule(
            host="api.example", mode="https", methods=("GET",), path_prefix="/repos/mine"
        ),
        EgressRule(host="api.example", mode="https", methods=("POST",), path_prefix="/hooks/"),
    )
)

CONNECTIONS: dict[str, tuple[EgressRequest, str | None]] = {
    "tunnel": (EgressRequest("connect", "tunnel.example", 443), None),
    "tunnel-port": (EgressRequest("connect", "tunnel.example", 22), "egress.port_unlisted"),
    "suffix": (EgressRequest("connect", "eviltunnel.example", 443), "egress.host_unlisted"),
    "subdomain": (EgressRequest("connect", "a.tunnel.example", 443), "egress.host_unlisted"),
    "prefix": (EgressRequest("connect", "tunnel.example.evil", 443), "egress.host_unlisted"),
    "plain-to-tunnel": (
        EgressRequest("http", "tunnel.example", 443, "GET", "/"),
        "egress.mode_unlisted",
    ),
    "tunnel-to-ruled": (EgressRequest("connect", "api.example", 443), "egress.mode_unlisted"),
    "plain": (EgressRequest("http", "plain.example", 8080, "HEAD", "/x/../y"), None),
    "plain-post": (
        EgressRequest("http", "plain.example", 80, "POST", "/"),
        "egress.method_unlisted",
    ),
    "path": (EgressRequest("http", "api.example", 80, "GET", "/repos/mine"), None),
    "path-below": (EgressRequest("http", "api.example", 443, "GET", "/repos/mine/a"), None),
    "path-beside": (
        EgressRequest("http", "api.example", 80, "GET", "/repos/mine2"),
        "egress.path_unlisted",
    ),
    "method-of-other-path": (
        EgressRequest("http", "api.example", 80, "POST", "/repos/mine"),
        "egress.path_unlisted",
    ),
    "second-rule": (EgressRequest("http", "api.example", 80, "POST", "/hooks/1"), None),
    **{
        f"path-trick {path}": (
            EgressRequest("http", "api.example", 80, "GET", path),
            "egress.path_unlisted",
        )
        for path in (
            "/repos/mine/../../user",
            "/repos/mine/%2e%2e/user",
            "/repos/mine/..%2fuser",
            "/repos/mine//user",
            "/repos/mine/.",
            "/repos/mine/..;/user",
            "/repos/mine/\\..\\user",
            "//api.example/repos/mine",
            "/repos%2fmine",
        )
    },
}


@pytest.mark.parametrize(("request_", "refused"), CONNECTIONS.values(), ids=CONNECTIONS.keys())
def test_only_what_a_rule_covers_is_allowed(
    request_: EgressRequest, refused: str | None
) -> None:
    if refused is None:
        assert matching_rule(EGRESS, request_) is not None
    else:
        assert matching_rule(EGRESS, request_) is None
        assert nearest_refusal(EGRESS, request_) == refused


def test_the_document_names_everything_but_no_value() -> None:
    """What a digest is made of differs with each rule; a secret stands there by its handle."""
    plain = Egress(allow=(EgressRule(host="api.example", mode="https"),))
    secret = Egress(allow=(EgressRule(host="api.example", mode="https", secret=SECRET),))

    assert plain.document() != secret.document()
    assert secret.document()["allow"][0]["secret"]["handle"] == "secret://forge"
    assert secret.handles == {"secret://forge"}
