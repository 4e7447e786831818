"""The broker for programs without an event loop.

It runs the async broker on an event loop in a thread of its own; sync tools still run in the
thread that calls them.
"""

from __future__ import annotations

import os
import signal
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    contextmanager,
    suppress,
)
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import anyio
from anyio.from_thread import start_blocking_portal

from permissions.errors import BrokerError
from permissions.tools.context import EnteredSession

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import Self, Unpack

    from anyio.from_thread import BlockingPortal

    from permissions.broker.broker import PermissionBroker
    from permissions.broker.reloading import Reloaded
    from permissions.model import CallResult
    from permissions.run.delegation import Delegation
    from permissions.run.state import RunState, SessionOptions
    from permissions.sessions.handle import CurrentSession
    from permissions.setup.config import BrokerConfig


_OF_PARENTS: list[ExitStack] = []
"""What the process this one was forked from has opened: to let go of it would be to close it."""


class Broker(AbstractContextManager["Broker"]):
    """A permission broker for sync programs. Use it as a context manager.

        with Broker(tools=[read_file]) as broker, broker.session(user="alice"):
            read_file("notes.txt")

    Args:
        tools: decorated functions; a tool that is not among them is denied.
        config: settings; from `wardline.toml` and the environment by default.

    Raises:
        ConfigError: on entering, a setting cannot be used.
        PolicyLoadError: on entering, the policies must not be used.
    """

    def __init__(
        self, tools: Iterable[object] = (), *, config: BrokerConfig | None = None
    ) -> None:
        self._tools = tuple(tools)
        self._config = config
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._broker: PermissionBroker | None = None
        self._left_open: dict[ExitStack, None] = {}
        self._process = os.getpid()

    def __enter__(self) -> Self:
        """Starts the event loop and opens everything the broker needs."""
        # A module that only names the broker (a sandboxed tool's own, say) loads no engine.
        from permissions.setup.config import BrokerConfig
        from permissions.setup.factory import open_broker

        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal(name="wardline-broker"))
            config = self._config or BrokerConfig.load()
            self._broker = stack.enter_context(
                self._portal.wrap_async_context_manager(open_broker(config, self._tools))
            )
            self._stack = stack.pop_all()
            self._process = os.getpid()
        return self

    @classmethod
    def connect(
        cls,
        address: str,
        tools: Iterable[object] = (),
        *,
        token: str | None = None,
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> Broker:
        """A broker that is a daemon (`wardline serve`), in the place of one in this process.

        Args:
            address: of the daemon, as `unix:/run/wardline/broker.sock` or
                `tcp://broker.example:8182`.
            tools: decorated functions, the same that the daemon knows.
            token: over the network, what `wardline service token create` printed; the setting
                `connection.token` by default.
            ca: authorities (PEM) that may have signed the daemon's certificate; the setting
                `connection.ca` by default, then the system's.
            certificate, key: of this program (PEM), in the place of a token.

        Raises:
            ConfigError: a setting cannot be used.
        """
        from permissions.setup.config import BrokerConfig

        said = {"token": token, "ca": ca, "certificate": certificate, "key": key}
        given = {name: value for name, value in said.items() if value is not None}
        over: dict[str, Any] = {"connection": given} if given else {}
        return cls(tools, config=BrokerConfig(broker=address, **over))

    def __exit__(self, *exc: object) -> None:
        """Closes everything, the record included. In a forked child it is not this one's to close."""
        if self._process == os.getpid():
            while self._left_open:  # by a generator that nobody took to its end
                self._left_open.popitem()[0].close()
            self._stack.__exit__(None, None, None)

    @contextmanager
    def session(self, **options: Unpack[SessionOptions]) -> Iterator[RunState]:
        """Opens a session in this thread; see `permissions.sessions.open.open_session`."""
        from permissions.sessions.open import open_session

        with self._entered(open_session(self._opened()[1], **options)) as session:
            yield session

    @contextmanager
    def delegate(
        self,
        parent: RunState,
        *,
        agent: str,
        may: Delegation | Mapping[str, Any],
        task: str = "",
        run: str | None = None,
    ) -> Iterator[RunState]:
        """Opens a sub-agent's session; see `permissions.sessions.delegate.open_delegate`."""
        from permissions.sessions.delegate import open_delegate

        broker = self._opened()[1]
        opened = open_delegate(broker, parent, agent=agent, may=may, task=task, run=run)
        with self._entered(opened) as session:
            yield session

    def warrant(
        self,
        parent: RunState,
        *,
        agent: str,
        may: Delegation | Mapping[str, Any],
        task: str = "",
        run: str | None = None,
    ) -> str:
        """See `permissions.sessions.delegate.warrant_for`."""
        from permissions.sessions.delegate import warrant_for

        portal, broker = self._opened()
        work = partial(warrant_for, broker, parent, agent=agent, may=may, task=task, run=run)
        made: str = _wait_for(portal, work)
        return made

    @contextmanager
    def warranted(self, warrant: str) -> Iterator[RunState]:
        """Opens a sub-agent's session; see `permissions.sessions.delegate.open_warranted`."""
        from permissions.sessions.delegate import open_warranted

        with self._entered(open_warranted(self._opened()[1], warrant)) as session:
            yield session

    @contextmanager
    def _entered(self, opening: AbstractAsyncContextManager[RunState]) -> Iterator[RunState]:
        portal, broker = self._opened()
        process = os.getpid()
        with ExitStack() as stack:
            opened = portal.wrap_async_context_manager(opening)
            session = stack.enter_context(opened)
            current = EnteredSession(_handle(portal, broker, session))
            stack.callback(current.leave)
            self._left_open[stack] = None
            try:
                yield session
            finally:
                self._left_open.pop(stack, None)
                current.leave()
                if process != os.getpid():
                    stack.pop_all()  # its end is the parent's to record

    def call(
        self,
        session: RunState,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        key: str | None = None,
    ) -> CallResult:
        """Takes one call through all steps; the result is a `Completed` or a `Denial`."""
        from permissions.tools.call import ToolCall

        portal, broker = self._opened()
        call = ToolCall(tool, arguments, key)
        result: CallResult = _wait_for(portal, partial(broker.call, session, call))
        return result

    def reload_policies(self, *, by: str | None = None) -> Reloaded:
        """Loads the policies that the settings name again, and has them in force at once.

        Args:
            by: who wants it, for the record; this process's user by default.

        Raises:
            BrokerError: they must not come into force; those before stay
                (`permissions.broker.broker.PermissionBroker.reload_policies`).
        """
        portal, broker = self._opened()
        who = by or f"uid {os.geteuid()}, this program"
        done: Reloaded = _wait_for(portal, partial(broker.reload_policies, by=who))
        return done

    @contextmanager
    def reload_on(self, number: int) -> Iterator[None]:
        """Loads the policies again whenever this process gets a signal, `signal.SIGHUP` say.

        For the main thread. Policies that are refused are logged, and in the record.
        """
        name = signal.Signals(number).name

        def reload() -> None:
            with suppress(BrokerError):  # logged and recorded where it was refused
                self.reload_policies(by=name)

        def handle(*_: object) -> None:
            # In a thread of its own: the main thread may be in the middle of a call.
            Thread(target=reload, name="wardline-reload").start()

        before = signal.signal(number, handle)
        try:
            yield
        finally:
            signal.signal(number, before)

    @property
    def core(self) -> PermissionBroker:
        """The async broker, for adapters."""
        return self._opened()[1]

    def _opened(self) -> tuple[BlockingPortal, PermissionBroker]:
        if self._portal is None or self._broker is None:
            raise RuntimeError(
                "use the broker as a context manager: `with Broker(...) as broker:`"
            )
        self._broker.require_own_process()
        if self._process != os.getpid():  # a daemon's: a child of the program begins anew
            _OF_PARENTS.extend((self._stack, *self._left_open))
            self._left_open.clear()
            self.__enter__()
        return self._portal, self._broker


def _handle(
    portal: BlockingPortal, broker: PermissionBroker, session: RunState
) -> CurrentSession:
    from permissions.sessions.handle import CurrentSession, InTask, InThread

    async def elsewhere(work: Callable[[], Awaitable[Any]]) -> Any:
        return await anyio.to_thread.run_sync(portal.call, work)

    return CurrentSession(
        broker,
        session,
        in_thread=InThread(partial(_wait_for, portal)),
        in_task=InTask(elsewhere),
    )


def _wait_for(portal: BlockingPortal, work: Callable[[], Awaitable[Any]]) -> Any:
    """Runs `work` on the broker's loop and waits for it in this thread.

    When the wait ends early (Ctrl-C), the work is cancelled and its end awaited all the same:
    a call is recorded as given up before its session closes.
    """
    ended = Event()

    async def to_the_end() -> Any:
        try:
            return await work()
        finally:
            ended.set()

    future = portal.start_task_soon(to_the_end)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        ended.wait()
        raise
