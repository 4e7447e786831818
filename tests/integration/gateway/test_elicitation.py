"""A client that shows things is told where a person answers; what it says back decides nothing."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import untrusted_mcp
from gateways import approve, say
from mcp import Client
from mcp.types import ElicitRequestURLParams, ElicitResult

from permissions.gateway import run as gateway
from permissions.setup.config import ApproverConfig, BrokerConfig
from permissions.signing.keys import memory_signer, write_secret
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

OLGA = memory_signer(b"o" * 32)
GRAVE = {"effect": "write", "impact": "high", "marks": {"path": "path write"}}


def configured(tmp_path: Path, url: str) -> BrokerConfig:
    (tmp_path / "work").mkdir()
    write_secret(tmp_path / "olga.pem", OLGA.pem())
    return BrokerConfig.load(
        state=tmp_path / "state",
        workspace=tmp_path / "work",
        approvers={
            "olga": ApproverConfig(
                groups=("operators", "security", "owners"), public_key=str(OLGA.public)
            )
        },
        sandbox={"backends": ()},
        service={"url": url},
        gateway={
            "upstream": {
                "notes": {
                    "command": [
                        sys.executable,
                        untrusted_mcp.__file__,
                        "honest",
                        str(tmp_path / "shared"),
                    ]
                }
            },
            "pins": tmp_path / "gateway-tools.toml",
        },
    )


async def answer_it(tmp_path: Path, request: str, verb: str) -> None:
    """As the approver, from a process of their own."""
    settings = tmp_path / "wardline.toml"
    settings.write_text(
        f'[approvers.olga]\ngroups = ["operators", "security", "owners"]\n'
        f'public_key = "{OLGA.public}"\n'
    )
    command = [sys.executable, "-m", "permissions", "request", verb, request]
    command += ["--key", f"file:{tmp_path / 'olga.pem'}", "--dir", str(tmp_path / "state")]
    command += ["--config", str(settings)]
    await anyio.run_process(command, env={**os.environ, "WARDLINE_CONFIG": str(settings)})


@pytest.mark.parametrize("url", ["", "https://approve.example"], ids=["form", "url"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("verb", ["approve", "deny", None], ids=["yes", "no", "nobody"])
async def test_it_says_where_to_answer_and_the_store_decides(
    tmp_path: Path, mode: Any, url: str, verb: str | None
) -> None:
    """Coming back without a person's yes runs nothing, whatever the client says."""
    config = configured(tmp_path, url)
    await approve(config, **GRAVE)
    seen: list[Any] = []

    async def shown(_: Any, params: Any) -> ElicitResult:
        seen.append(params)
        found = re.search(r"req-[0-9a-z]+", params.message)
        assert found is not None
        if verb is not None:
            await answer_it(tmp_path, found[0], verb)
        return ElicitResult(action="accept", content={"again": True})

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server, mode=mode, elicitation_callback=shown) as client,
    ):
        is_error, text = await say(client, "notes__read_note", {"path": "secret-plan.txt"})

    (params,) = seen
    assert isinstance(params, ElicitRequestURLParams) is bool(url)
    if url:
        assert params.url.startswith("https://approve.example/requests/req-")
    assert "secret-plan" not in params.message
    assert is_error is (verb != "approve")
    assert (tmp_path / "shared.calls").exists() is (verb == "approve")
    if verb is None:
        told = json.loads(text)
        assert told["status"] == "pending"
        assert told["answer"]["request"] == told["access_request"]
        assert told["answer"].get("url", "").startswith(url)
    assert verify_trace(tmp_path / "state" / "trace").is_intact


async def test_a_client_that_shows_nothing_is_told_in_the_answer(tmp_path: Path) -> None:
    config = configured(tmp_path, "")
    await approve(config, **GRAVE)

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server) as client,
    ):
        _, text = await say(client, "notes__read_note", {"path": "a.txt"})
        told = json.loads(text)
        await answer_it(tmp_path, told["access_request"], "approve")
        again = await say(client, "notes__read_note", {"path": "a.txt"})

    assert told["status"] == "pending"
    assert told["answer"]["command"].endswith(told["access_request"])
    assert again[0] is False
