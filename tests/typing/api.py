"""Public use of the package, as a type checker must see it. Checked, never run.

Each `assert_type` is a promise to callers; each `type: ignore[code]` marks a mistake the
checker must find (an ignore that is not needed is an error under mypy strict).
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any, assert_type

from wardline import (
    AmountArg,
    Broker,
    BrokerConfig,
    CallDenied,
    CommandArg,
    Completed,
    Denial,
    HostArg,
    PathArg,
    PermissionBroker,
    Reason,
    RecipientArg,
    RunState,
    ToolCall,
    open_broker,
    open_session,
    tool,
)
from wardline.sandbox import BubblewrapSandbox, PythonJob, SandboxProfile


@tool
def bare(path: Annotated[str, PathArg("read")], limit: int = 10) -> list[str]:
    """A sync tool, decorated without options."""
    return [path] * limit


@tool(effect="send", impact="high", control=["recipient"], sandbox="process")
def with_options(
    recipient: Annotated[str, RecipientArg()],
    amount: Annotated[str, AmountArg("EUR")],
    *,
    note: str = "",
) -> bool:
    """A sync tool, decorated with options."""
    return bool(recipient and amount and note)


@tool
async def bare_async(host: Annotated[str, HostArg()]) -> bytes:
    """An async tool, decorated without options."""
    return host.encode()


@tool(effect="execute", output="trusted")
async def async_with_options(argv: Annotated[list[str], CommandArg()]) -> int:
    """An async tool, decorated with options."""
    return len(argv)


async def signatures_stay() -> None:
    """Arguments, defaults, keyword-only markers and results stay what they were."""
    assert_type(bare("a"), list[str])
    assert_type(bare("a", limit=2), list[str])
    assert_type(with_options("a", "1.00", note="n"), bool)
    started = bare_async("a")
    _ = assert_type(started, Coroutine[Any, Any, bytes])
    assert_type(await started, bytes)
    assert_type(await bare_async("a"), bytes)
    assert_type(await async_with_options(["ls"]), int)


async def mistakes_are_found() -> None:
    """What was a mistake before decorating still is one."""
    bare(1)  # type: ignore[arg-type]
    bare("a", "b")  # type: ignore[arg-type]
    bare("a", unknown=1)  # type: ignore[call-arg]
    with_options("a", "1.00", "n")  # type: ignore[call-arg]
    with_options("a")  # type: ignore[call-arg]
    await bare("a")  # type: ignore[misc]
    _: bytes = bare_async("a")  # type: ignore[assignment]
    tool(effect="explode")  # type: ignore[call-overload]
    tool(sandbox="strong")  # type: ignore[call-overload]
    tool("not a function")  # type: ignore[call-overload]


def guards_are_typed() -> None:
    """What stands beside a decorated function knows its arguments."""
    assert_type(bare.__name__, str)
    bare.guard.explain("a", limit=3)
    bare.guard.explain(1)  # type: ignore[arg-type]


def refusals_are_typed(refused: CallDenied) -> None:
    """A refusal carries the denial as data."""
    assert_type(refused.denial, Denial)
    assert_type(refused.denial.reasons, tuple[Reason, ...])
    assert_type(refused.denial.code, str)


def brokers_are_distinct(broker: Broker, inner: PermissionBroker) -> None:
    """The sync facade cannot be taken for the async broker."""
    _: PermissionBroker = broker  # type: ignore[assignment]
    __: Broker = inner  # type: ignore[assignment]


async def the_async_way_in_is_typed(config: BrokerConfig) -> None:
    """Broker, session and result have their own types, without a cast."""
    async with open_broker(config, [bare]) as broker, open_session(broker, user="a") as session:
        assert_type(broker, PermissionBroker)
        assert_type(session, RunState)
        result = await broker.call(session, ToolCall("bare", {"path": "a"}))
        assert_type(result, Completed | Denial)
    open_session(broker, usr="a")  # type: ignore[call-arg]
    open_broker([bare])  # type: ignore[call-arg, arg-type]


async def names_that_are_loaded_late_are_typed() -> None:
    """A re-export is the thing itself to a checker, and a misspelt one an error above."""
    async with BubblewrapSandbox() as sandbox:
        result = await sandbox.run(PythonJob("math:sqrt", {"x": 4}), SandboxProfile())
        assert_type(result.stdout, bytes)
