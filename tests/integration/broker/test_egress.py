"""A tool behind limits reaches one host through the broker, and the record says so."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from hosts import tls_host
from reaching import repositories

from permissions.errors import ConfigError
from permissions.model import Completed
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import log_signer
from permissions.tools.call import ToolCall
from permissions.trace.history import history_of
from permissions.trace.reader import read_entries
from permissions.trace.vault import load_kek
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

SECRET = b"s3cr3t/Token+Value=42"


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("bubblewrap", marks=pytest.mark.bwrap),
        pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow]),
        pytest.param("oci", marks=[pytest.mark.oci, pytest.mark.slow]),
    ],
)
async def test_a_tool_reaches_its_host_and_never_its_credential(
    backend: str, tmp_path: Path
) -> None:
    """Each connection is an entry; no file of the broker holds the secret in any form."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "forge").write_bytes(SECRET + b"\n")
    (secrets / "forge").chmod(0o600)
    (tmp_path / "work").mkdir()
    with tls_host("forge.example") as host:
        (tmp_path / "authorities.pem").write_text(host.authorities)
        config = BrokerConfig.load(
            state=tmp_path / "state",
            workspace=tmp_path / "work",
            sandbox={
                "backends": (backend,),
                "secrets": secrets,
                "profiles": {
                    "web": {
                        "authorities": tmp_path / "authorities.pem",
                        "secret_files": {"token": "secret://forge"},
                        "egress": {
                            "forge": {
                                "host": "forge.example",
                                "mode": "https",
                                "port": host.port,
                                "path_prefix": "/repos",
                                "secret": "secret://forge",
                                "unsafe_address": "127.0.0.1",
                            }
                        },
                    }
                },
            },
        )
        async with (
            open_broker(config, [repositories]) as broker,
            open_session(broker, user="alice", prompt="list /repos/mine and /user") as session,
        ):
            result = await broker.call(
                session, ToolCall("repositories", {"paths": ["/repos/mine", "/user"]})
            )

    assert isinstance(result, Completed), result
    stars = "*" * len(SECRET)
    assert json.loads(result.value[0])["headers"]["authorization"] == f"Bearer {stars}"
    assert "egress.path_unlisted" in result.value[1]
    assert [seen["headers"]["authorization"] for seen in host.requests] == [  # type: ignore[index]
        f"Bearer {SECRET.decode()}"
    ]
    effects = [
        entry.body for entry in read_entries(config.state / "trace") if entry.type == "effect"
    ]
    assert [(body["permitted"], body["end"], body.get("address")) for body in effects] == [
        (True, "complete", "127.0.0.1"),
        (False, "refused", None),
    ]
    report = verify_trace(config.state / "trace", key=log_signer(config).public)
    assert report.integrity.verdict == "signed"
    assert report.completeness.is_whole
    assert_nowhere(config, session.run)


def assert_nowhere(config: BrokerConfig, run: str) -> None:
    """No form of the secret in a file or in what is sealed there, and its mask in some."""
    kek = load_kek(next(config.state.rglob("vault.key")))
    opened = [
        data
        for entry in history_of(run, directory=config.state / "trace", kek=kek)
        for data in entry.contents.values()
    ]
    forms = [SECRET, SECRET.hex().encode(), base64.b64encode(SECRET)]
    forms += [base64.b64encode(b"x" * shift + SECRET)[4:-4] for shift in (1, 2)]
    files = [path.read_bytes() for path in config.state.rglob("*") if path.is_file()]

    assert any(b"*" * len(SECRET) in data for data in opened)
    assert not [form for form in forms for data in opened + files if form in data]


async def test_a_profile_that_promises_too_much_does_not_open(tmp_path: Path) -> None:
    """A wildcard in the settings is an error before any call."""
    config = BrokerConfig.load(
        state=tmp_path / "state",
        workspace=tmp_path,
        sandbox={
            "backends": (),
            "profiles": {"web": {"egress": {"all": {"host": "*.example"}}}},
        },
    )

    with pytest.raises(ConfigError, match=r"profile 'web'.*no plain name"):
        async with open_broker(config, []):
            pass
