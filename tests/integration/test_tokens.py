"""The broker's keys in a PKCS #11 token (SoftHSM), and in a server that speaks Vault's transit API."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from permissions.errors import SigningError
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import log_signer, vault_key
from permissions.signing.key_uris import secret_from_uri, signer_from_uri
from permissions.signing.keys import memory_signer
from permissions.trace.reader import first_entry
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "271828"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A token with the keys of a log; gives the part of a URI after the key's name."""
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    (folder / "pin").write_text(f"{PIN}\n")
    (folder / "pin").chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(conf))
        for label in ("w", "v"):
            run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN)
        tool = ("pkcs11-tool", "--module", MODULE, "--token-label", "w", "-l", "--pin", PIN)
        run(*tool, "--keypairgen", "--key-type", "EC:edwards25519", "--label", "log")
        run(*tool, "--keypairgen", "--key-type", "EC:prime256v1", "--label", "curve")
        sign = ("--usage-sign", "--id", "02")
        run(*tool, "--keygen", "--key-type", "GENERIC:32", "--label", "vault", *sign)
        yield f"?module-path={MODULE}&pin-source=file:{folder / 'pin'}"


def run(*argv: str) -> None:
    if argv[0] == "softhsm2-util":
        argv = (*argv, "--so-pin", PIN)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.softhsm
@pytest.mark.slow
async def test_a_broker_signs_and_seals_with_keys_that_stay_in_the_token(
    token: str, tmp_path: Path
) -> None:
    named = {
        "key": f"pkcs11:token=w;object=log{token}",
        "vault_key": f"pkcs11:token=w;object=vault{token}",
    }
    config = BrokerConfig(state=tmp_path / "state", workspace=tmp_path, trace=named)

    for _ in range(2):  # the second goes on with the log of the first
        async with open_broker(config, []):
            pass

    trace = tmp_path / "state" / "trace"
    vault = VaultReader(trace, vault_key(config))
    report = verify_trace(trace, key=log_signer(config).public, vault=vault)
    assert report.integrity.verdict == "signed"
    assert report.completeness.is_whole
    opening = first_entry(trace)
    assert opening is not None
    said = opening.body
    assert (said["mode"], said["key_in"], said["vault_key_in"]) == (
        "library",
        "pkcs11",
        "pkcs11",
    )
    assert list((tmp_path / "state" / "keys").iterdir()) == []


@pytest.mark.softhsm
@pytest.mark.slow
def test_a_token_says_what_is_wrong_with_a_key(token: str, tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("wrong")
    (tmp_path / "pin").chmod(0o600)
    wrong = f"?module-path={MODULE}&pin-source=file:{tmp_path / 'pin'}"
    cases = [
        (f"pkcs11:token=w;object=other{token}", "has 0 objects that are a private key"),
        (f"pkcs11:token=other;object=log{token}", "0 tokens are called 'other'"),
        (f"pkcs11:token=w;object=curve{token}", "not Ed25519"),
    ]
    for uri, says in cases:
        with pytest.raises(SigningError, match=says):
            signer_from_uri(uri)
    with pytest.raises(SigningError, match="0 objects that are a secret key"):
        secret_from_uri(f"pkcs11:token=w;object=log{token}")
    with pytest.raises(SigningError, match="cannot be used"):
        signer_from_uri(f"pkcs11:token=v;object=log{wrong}")  # nobody is logged in to it yet


KEY = memory_signer(b"v" * 32)


class Transit(BaseHTTPRequestHandler):
    """The two requests of Vault's transit engine that are made; no more of Vault."""

    def do_GET(self) -> None:
        keys = {"3": {"public_key": str(KEY.public)}}
        self._answer({"keys": keys} if self.path == "/v1/transit/keys/log" else None)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["X-Vault-Token"] == "t"
        signed = KEY.sign(base64.b64decode(asked["input"]))
        said = {"signature": f"vault:v3:{base64.b64encode(signed).decode()}"}
        self._answer(said if asked["key_version"] == 3 else None)

    def _answer(self, data: dict[str, Any] | None) -> None:
        body = json.dumps({"data": data} if data else {"errors": ["no such key"]}).encode()
        self.send_response(200 if data else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def transit() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Transit)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.mark.slow
def test_a_key_of_vault_signs_and_one_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "t")
    with transit() as address:
        monkeypatch.setenv("VAULT_ADDR", address)

        signer = signer_from_uri("hv:log/3")

        assert signer.public == KEY.public
        signer.public.verify(signer.sign(b"data"), b"data")
        with pytest.raises(SigningError, match="no version of an Ed25519 key hv:log/4"):
            signer_from_uri("hv:log/4")
        with pytest.raises(SigningError, match="did not give hv:other/1"):
            signer_from_uri("hv:other/1")
    with pytest.raises(SigningError, match="did not sign with hv:log/3"):
        signer.sign(b"the server is gone")
