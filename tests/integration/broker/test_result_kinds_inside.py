"""What a sandboxed tool gives has one fate, in a real sandbox: the table of docs/reference/results.md.

Delivered as the JSON it came out as, traced, recorded, and given again under its key; or an error
that says what it was. Never changed without a word, and never a fault of the broker's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import giving
import pytest
from giving import ACCOUNT, GIVES, TEXT

from permissions.errors import ToolFailedError
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker
    from permissions.run.state import RunState

COMES_AS: dict[str, Any] = {
    "text": TEXT,
    "text with a broken byte": TEXT + " \udcff",
    "text with a surrogate": "\ud800" + TEXT,
    "text with a zero": TEXT + "\0",
    "bytes": TEXT,
    "big integer": {"n": 2**80, "t": TEXT},
    "number": 1.5,
    "nothing": None,
    "tuple": [1, TEXT],
    "set": [TEXT],
    "other keys": {"1": TEXT},
    "decimal": ["1.10", TEXT],
    "date": "2026-01-01",
    "model": {"body": TEXT},
    "dataclass": {"body": TEXT},
    "generator": [TEXT],
}
FAILS = {
    "bytes that are no text": "UnicodeDecodeError: ",
    "huge integer": "ValueError: Exceeds the limit",
    "not a number": "ValueError: nan has no form in JSON",
    "infinity": "ValueError: inf has no form in JSON",
    "object": "PydanticSerializationError: ",
    "deep": "ValueError: Maximum serialization depth",
    "exception": f"Odd: {TEXT}",
    "exception with a surrogate": "Odd: ",
    "exception without a text": "Odd: ",
    "interrupt": "KeyboardInterrupt:",
    "group": "ExceptionGroup: g",
}
STOPS = {"exit": "execution.stopped"}

BACKENDS = [
    pytest.param("bubblewrap", marks=pytest.mark.bwrap),
    pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow]),
]


def test_the_table_is_whole() -> None:
    assert {*COMES_AS, *FAILS, *STOPS} == {*GIVES}


async def has_its_fate(
    broker: PermissionBroker, session: RunState, tool: str, kind: str
) -> str:
    """Empty when a call comes to what the table says, also the second time under its key."""
    call = ToolCall(tool, {"kind": kind}, key=f"{tool} {kind}")
    said = []
    for _ in range(2):
        try:
            result = await broker.call(session, call)
        except ToolFailedError as err:
            said.append(str(err))
            continue
        said.append(result.value if isinstance(result, Completed) else result.code)
        if isinstance(result, Denial):
            said[-1] = result.code
    if kind in COMES_AS:
        expected = COMES_AS[kind]
        fits = all(repr(each) == repr(expected) for each in said)
    else:
        expected = {**FAILS, **STOPS}[kind]
        fits = all(isinstance(each, str) and each.startswith(expected) for each in said)
    return "" if fits else f"{tool} {kind}: {said!a}, wanted {expected!a}"


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tool", ["give_again", pytest.param("give", marks=pytest.mark.slow)])
async def test_what_a_sandboxed_tool_gives_has_its_fate(
    tmp_path: Path, backend: str, tool: str
) -> None:
    """In a session of one interpreter, and each in a sandbox of its own."""
    config = BrokerConfig.load(
        state=tmp_path / "state",
        workspace=tmp_path,
        sandbox={"backends": (backend,), "prewarmed": 0},
    )
    async with (
        open_broker(config, [giving.give, giving.give_again, giving.give_bytes]) as broker,
        open_session(broker, user="kim", run="r") as session,
    ):
        wrong = [await has_its_fate(broker, session, tool, kind) for kind in GIVES]
        traced = session.provenance.trace({"to": ACCOUNT}, {"to"})["/to"]
        data = b"\xff\xd8" if tool == "give" else TEXT.encode()
        kind = "bytes that are no text" if tool == "give" else "bytes"
        result = await broker.call(session, ToolCall("give_bytes", {"kind": kind}))

    assert [each for each in wrong if each] == []
    assert (traced["origin"], traced["trusted"]) == ("tool", False)
    assert isinstance(result, Completed)
    assert result.value == data
    report = verify_trace(config.state / "trace")
    assert report.is_intact
    assert report.completeness.is_whole


@pytest.mark.bwrap
async def test_what_an_exception_from_a_sandbox_says_is_traced(tmp_path: Path) -> None:
    config = BrokerConfig.load(
        state=tmp_path / "state",
        workspace=tmp_path,
        sandbox={"backends": ("bubblewrap",), "prewarmed": 0},
    )
    async with (
        open_broker(config, [giving.give_again]) as broker,
        open_session(broker, user="kim") as session,
    ):
        for kind in ("exception", "exception with a surrogate"):
            with pytest.raises(ToolFailedError):
                await broker.call(session, ToolCall("give_again", {"kind": kind}))
        traced = session.provenance.trace({"to": ACCOUNT}, {"to"})["/to"]

    assert (traced["origin"], traced["source"], traced["trusted"]) == (
        "tool",
        "give_again",
        False,
    )
