"""Hosts, addresses, ClientHellos and requests: what is read, and all that is refused."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from ipaddress import ip_address

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.egress.client_hello import MAX_HELLO, HelloError, server_name
from sandbox.egress.requests import (
    MAX_HEAD,
    ProxyRequest,
    RequestError,
    cut_head,
    understand,
)
from sandbox.network.addresses import REFUSED, Address, refusal
from sandbox.network.decision import EgressRequest
from sandbox.network.hosts import (
    Authority,
    HostError,
    parse_authority,
    parse_host,
)

HOSTILE_HOSTS = {
    "empty": "",
    "nul": "allowed.example\0.evil.example",
    "nul-at-end": "allowed.example\0",
    "trailing-dot": "allowed.example.",
    "leading-dot": ".allowed.example",
    "two-dots": "allowed..example",
    "user-info": "allowed.example@evil.example",
    "port-in-host": "allowed.example:80",
    "percent": "allowed%2eexample",
    "slash": "allowed.example/evil",
    "backslash": "evil.example\\.allowed.example",
    "question": "evil.example?.allowed.example",
    "hash": "evil.example#.allowed.example",
    "space": "allowed.example ",
    "tab": "\tallowed.example",
    "line-feed": "allowed.example\n",
    "underscore": "allowed_host.example",
    "leading-hyphen": "-allowed.example",
    "trailing-hyphen": "allowed-.example",
    "wildcard": "*.example",
    "label-of-64": "a" * 64 + ".example",
    "name-of-254": ".".join(["a" * 62] * 4) + ".ab",
    "idn": "ällowed.example",
    "full-width": "\uff41llowed.example",
    "ideographic-dot": "allowed\u3002example",
    "kelvin-sign": "\u212aey.example",
    "soft-hyphen": "allo\u00adwed.example",
    "ipv4": "127.0.0.1",
    "ipv4-short": "127.1",
    "ipv4-decimal": "2130706433",
    "ipv4-octal": "0177.0.0.1",
    "ipv4-hex": "0x7f.0.0.1",
    "ipv4-hex-whole": "0x7f000001",
    "ipv4-hex-last": "127.0.0.0x1",
    "ipv4-hex-empty": "1.0x",
    "ipv6": "[::1]",
    "ipv6-bare": "::1",
    "ipv6-mapped": "[::ffff:127.0.0.1]",
    "zone": "[fe80::1%25eth0]",
}


@pytest.mark.parametrize("text", HOSTILE_HOSTS.values(), ids=HOSTILE_HOSTS.keys())
def test_a_host_that_two_readers_could_read_differently_is_refused(text: str) -> None:
    with pytest.raises(HostError):
        parse_host(text)


@given(st.text(max_size=300))
def test_whatever_is_read_as_a_host_is_plain_and_reads_again(text: str) -> None:
    """Every accepted name is lower-case ASCII, no address, and its own reading."""
    try:
        name = parse_host(text)
    except HostError:
        return

    assert name == parse_host(name) == text.lower()
    assert name.isascii()
    with pytest.raises(ValueError, match="does not appear"):
        ip_address(name)


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("Allowed.Example:443", Authority("allowed.example", 443)),
        ("xn--llowed-7wa.example:8443", Authority("xn--llowed-7wa.example", 8443)),
        ("localhost", Authority("localhost", 80)),
        ("1and1.example", Authority("1and1.example", 80)),
    ],
)
def test_a_plain_authority_is_read(text: str, authority: Authority) -> None:
    assert parse_authority(text, default_port=80) == authority


@pytest.mark.parametrize("port", ["", "0", "080", "65536", "+80", "8 0", "٨٠", "80:80", "-1"])
def test_a_port_that_is_no_plain_number_is_refused(port: str) -> None:
    with pytest.raises(HostError):
        parse_authority(f"allowed.example:{port}", default_port=80)


REFUSED_ADDRESSES = {
    "169.254.169.254": "metadata",
    "fd00:ec2::254": "metadata",
    "100.100.100.200": "metadata",
    "168.63.129.16": "metadata",
    "169.254.170.2": "metadata",
    "0.0.0.0": "this_network",  # noqa: S104 - not bound to
    "0.1.2.3": "this_network",
    "10.255.255.255": "private",
    "100.64.0.1": "shared",
    "100.127.255.254": "shared",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.0.1": "link_local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.8": "reserved",
    "192.0.2.1": "documentation",
    "192.168.0.1": "private",
    "198.19.255.255": "reserved",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "this_network",
    "::1": "loopback",
    "::ffff:8.8.8.8": "embedded",
    "::ffff:127.0.0.1": "embedded",
    "::127.0.0.1": "embedded",
    "64:ff9b::8.8.8.8": "embedded",
    "64:ff9b:1::1": "embedded",
    "100::1": "reserved",
    "2001::1": "embedded",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "embedded",
    "3fff::1": "documentation",
    "4000::1": "reserved",
    "fc00::1": "private",
    "fdff::1": "private",
    "fe80::1": "link_local",
    "fe80::1%eth0": "link_local",
    "fec0::1": "private",
    "ff02::1": "multicast",
}


@pytest.mark.parametrize(("text", "kind"), REFUSED_ADDRESSES.items())
def test_a_special_address_is_refused_by_its_kind(text: str, kind: str) -> None:
    assert refusal(ip_address(text)) == kind


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.1.1.1",
        "128.0.0.1",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450::1",
        "2003::1",
    ],
)
def test_a_global_address_beside_a_refused_range_is_not_refused(text: str) -> None:
    assert refusal(ip_address(text)) is None


@given(
    st.sampled_from(REFUSED).flatmap(
        lambda entry: st.tuples(st.just(entry[0]), st.integers(0, entry[0].num_addresses - 1))
    )
)
def test_no_address_of_a_refused_network_passes(pick: tuple) -> None:  # type: ignore[type-arg]
    network, offset = pick

    assert refusal(network[offset]) is not None


@given(st.ip_addresses())
def test_nothing_passes_that_the_standard_library_calls_special(address: Address) -> None:
    """A second opinion: what passes is global unicast by `ipaddress`, too."""
    if refusal(address) is None:
        assert not (address.is_private)
        assert not (address.is_loopback)
        assert not (address.is_multicast)
        assert not (address.is_link_local)
        assert not (address.is_reserved)
        assert not (address.is_unspecified)


def hello(name: str | None) -> bytes:
    """A ClientHello as the ssl module makes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def test_the_name_of_a_real_client_hello_is_read() -> None:
    assert server_name(hello("Allowed.Example")) == "allowed.example"


def test_a_hello_without_a_name_is_refused() -> None:
    with pytest.raises(HelloError, match="no server name"):
        server_name(hello(None))


def test_a_hello_is_read_at_every_cut() -> None:
    """Each proper beginning asks for more; nothing is guessed."""
    data = hello("allowed.example")

    assert [server_name(data[:end]) for end in range(len(data))] == [None] * len(data)


def test_a_hello_over_several_records_is_read() -> None:
    data = hello("allowed.example")
    body = data[5:]
    parts = [body[at : at + 20] for at in range(0, len(body), 20)]

    split = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)

    assert server_name(split) == "allowed.example"


def extension(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body


def named(*names: bytes) -> bytes:
    body = b"".join(b"\0" + len(name).to_bytes(2, "big") + name for name in names)
    return extension(0, len(body).to_bytes(2, "big") + body)


def written(*extensions: bytes, tail: bytes = b"") -> bytes:
    """A ClientHello of our own hand."""
    rest = b"".join(extensions)
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    body += len(rest).to_bytes(2, "big") + rest + tail
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


HOSTILE_HELLOS = {
    "two-names": written(named(b"allowed.example", b"evil.example")),
    "two-extensions": written(named(b"allowed.example"), named(b"evil.example")),
    "empty-name": written(named(b"")),
    "nul": written(named(b"allowed.example\0")),
    "trailing-dot": written(named(b"allowed.example.")),
    "address": written(named(b"127.0.0.1")),
    "encrypted": written(named(b"allowed.example"), extension(0xFE0D, b"x")),
    "bytes-after": written(named(b"allowed.example"), tail=b"x"),
    "not-tls": b"GET / HTTP/1.1\r\n\r\n",
    "sslv2": b"\x80\x2e\x01\x00\x02",
    "alert": b"\x15\x03\x01\0\x02\x02\x28",
    "server-hello": b"\x16\x03\x03\0\x04\x02\0\0\0",
    "too-long": b"\x16\x03\x01\x40\0\x01" + (MAX_HELLO + 1).to_bytes(3, "big"),
    "empty-record": b"\x16\x03\x01\0\0",
    "record-too-long": b"\x16\x03\x01\xff\xff",
}


@pytest.mark.parametrize("data", HOSTILE_HELLOS.values(), ids=HOSTILE_HELLOS.keys())
def test_a_hello_that_hides_or_doubles_its_name_is_refused(data: bytes) -> None:
    with pytest.raises(HelloError):
        server_name(data)


def test_a_hello_of_our_own_hand_is_read() -> None:
    """The hostile ones differ from this one in one thing each."""
    assert server_name(written(named(b"allowed.example"))) == "allowed.example"


@given(st.binary(max_size=600))
def test_no_bytes_break_the_hello_reader(data: bytes) -> None:
    """It answers, asks for more, or refuses; nothing else."""
    for start in (b"", b"\x16\x03\x01", hello_start()):
        try:
            server_name(start + data)
        except HelloError:
            continue


def hello_start() -> bytes:
    return written(named(b"allowed.example"))[:60]


def asked(head: bytes) -> ProxyRequest:
    """What the proxy understands of a head."""
    cut = cut_head(head)
    assert cut is not None
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(cut[0])
    event = parser.next_event()
    assert isinstance(event, h11.Request)
    return understand(event)


GOOD = b"GET http://allowed.example/a?b HTTP/1.1\r\nHost: allowed.example\r\n"


@dataclass(frozen=True)
class Case:
    id: str
    head: bytes


HOSTILE_REQUESTS = [
    Case("bare-lf", b"GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\n\r\n\r\n"),
    Case("bare-lf-in-header", GOOD + b"A: b\nC: d\r\n\r\n"),
    Case("bare-cr-in-header", GOOD + b"A: b\rC: d\r\n\r\n"),
    Case("nul-in-header", GOOD + b"A: b\0\r\n\r\n"),
    Case("folded-line", GOOD + b"A: b\r\n c\r\n\r\n"),
    Case("space-before-colon", GOOD + b"A : b\r\n\r\n"),
    Case("no-colon", GOOD + b"A\r\n\r\n"),
    Case("two-hosts", GOOD + b"Host: evil.example\r\n\r\n"),
    Case("same-host-twice", GOOD + b"Host: allowed.example\r\n\r\n"),
    Case("two-lengths", GOOD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
    Case(
        "length-and-chunked", GOOD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    Case("chunked-twice", GOOD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"),
    Case("other-coding", GOOD + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
    Case("signed-length", GOOD + b"Content-Length: +1\r\n\r\n"),
    Case("other-host", b"GET http://allowed.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    Case(
        "other-port",
        b"GET http://allowed.example/ HTTP/1.1\r\nHost: allowed.example:81\r\n\r\n",
    ),
    Case("no-host", b"GET http://allowed.example/ HTTP/1.1\r\n\r\n"),
    Case("origin-form", b"GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n"),
    Case(
        "https-url", b"GET https://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\n\r\n"
    ),
    Case(
        "upper-scheme", b"GET HTTP://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\n\r\n"
    ),
    Case("user-info", b"GET http://a@evil.example/ HTTP/1.1\r\nHost: allowed.example\r\n\r\n"),
    Case(
        "backslash", b"GET http://allowed.example\\@evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n"
    ),
    Case(
        "fragment", b"GET http://allowed.example/#a HTTP/1.1\r\nHost: allowed.example\r\n\r\n"
    ),
    Case(
        "query-no-path",
        b"GET http://allowed.example?a HTTP/1.1\r\nHost: allowed.example\r\n\r\n",
    ),
    Case("http-1.0", b"GET http://allowed.example/ HTTP/1.0\r\nHost: allowed.example\r\n\r\n"),
    Case("http-0.9", b"GET http://allowed.example/\r\n\r\n"),
    Case("http-2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Case("space-in-target", b"GET http://allowed.example/a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("empty-line-first", b"\r\n" + GOOD + b"\r\n"),
    Case("socks5", b"\x05\x01\x00\r\n\r\n"),
    Case(
        "connect-no-port", b"CONNECT allowed.example HTTP/1.1\r\nHost: allowed.example\r\n\r\n"
    ),
    Case("connect-address", b"CONNECT 127.0.0.1:443 HTTP/1.0\r\n\r\n"),
    Case("connect-url", b"CONNECT http://allowed.example:443 HTTP/1.0\r\n\r\n"),
    Case(
        "connect-other-host",
        b"CONNECT allowed.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ),
    Case("connect-body", b"CONNECT allowed.example:443 HTTP/1.0\r\nContent-Length: 3\r\n\r\n"),
    Case("too-long", GOOD + b"A: " + b"b" * MAX_HEAD + b"\r\n\r\n"),
    Case("too-many", GOOD + b"".join(b"A%d: b\r\n" % n for n in range(101)) + b"\r\n"),
]


@pytest.mark.parametrize("case", HOSTILE_REQUESTS, ids=lambda case: case.id)
def test_a_request_that_servers_read_differently_is_refused(case: Case) -> None:
    with pytest.raises((RequestError, h11.RemoteProtocolError)):
        asked(case.head)


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT Allowed.example:443 HTTP/1.0\r\n\r\n",
        b"CONNECT allowed.example:443 HTTP/1.1\r\nHost: allowed.example\r\n\r\n",
        b"CONNECT allowed.example:443 HTTP/1.1\r\nHost: allowed.example:443\r\n\r\n",
    ],
)
def test_a_connect_is_read_as_common_clients_write_it(head: bytes) -> None:
    assert asked(head).asked == EgressRequest("connect", "allowed.example", 443)


def test_an_endless_head_is_refused_before_it_ends() -> None:
    with pytest.raises(RequestError, match="too long"):
        cut_head(GOOD + b"A" * MAX_HEAD)


def test_hop_by_hop_and_overriding_headers_stay_here() -> None:
    """What is passed on is what the host is meant to see, and nothing Connection names."""
    understood = asked(
        GOOD + b"Connection: close, X-Mine\r\nX-Mine: 1\r\nProxy-Authorization: Basic x\r\n"
        b"Upgrade: websocket\r\nTE: trailers\r\nX-HTTP-Method-Override: DELETE\r\n"
        b"X-Original-URL: /admin\r\nAccept: */*\r\n\r\n"
    )

    assert understood.headers == [(b"accept", b"*/*")]
    assert understood.target == b"/a?b"


@pytest.mark.parametrize(
    "name",
    [
        *("X-Original-Path", "X-Original-URI", "X-Original-Method", "X-Original-Host"),
        *("X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Method", "X-Forwarded-For"),
        *("X-Forwarded-Scheme", "X-Rewrite-Path", "X-Envoy-Original-Path", "X-Host", "X-Path"),
        *("X-HTTP-Path-Override", "X-Method", "X-Real-IP", "X-Proxy-URL", "X-Accel-Redirect"),
        *("Path-Override", "Forwarded", "X_Original_Path", "X-Backend-Host", "X-URL-Scheme"),
    ],
)
def test_no_header_says_another_method_host_or_path_than_was_decided(name: str) -> None:
    head = GOOD + name.encode() + b": /admin\r\nAccept: */*\r\n\r\n"

    assert asked(head).headers == [(b"accept", b"*/*")]


@pytest.mark.parametrize(
    "name",
    ["X-Api-Key", "X-Request-Id", "Authorization", "X-GitHub-Api-Version", "X-Methodology"],
)
def test_a_header_of_the_job_passes(name: str) -> None:
    head = GOOD + name.encode() + b": 1\r\n\r\n"

    assert asked(head).headers == [(name.lower().encode(), b"1")]


@given(st.binary(max_size=400), st.integers(0, len(GOOD)))
def test_no_bytes_break_the_request_reader(junk: bytes, at: int) -> None:
    """Whatever stands in a head, it is understood or refused."""
    head = GOOD[:at] + junk + GOOD[at:] + b"\r\n\r\n"
    try:
        understood = asked(head[: head.index(b"\r\n\r\n") + 4])
    except (RequestError, h11.RemoteProtocolError):
        return

    names = [name for name, _ in understood.headers]
    assert len(names) == len(set(names))
