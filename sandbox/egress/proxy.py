"""The parent's side of a proxy: starts it, answers it, keeps the record of every connection.

The rules of the profile are applied here, not in the proxy, and a gate may refuse further. What
the proxy says of itself is believed only as far as numbers and fixed words go.
"""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import anyio
from anyio.abc import UNIXSocketStream

from sandbox.egress.control import Control, ControlError
from sandbox.egress.socket_folder import socket_folder
from sandbox.errors import SandboxError, SandboxProviderError, SandboxUnavailableError
from sandbox.logs import get_logger
from sandbox.network.decision import (
    EgressDecision,
    EgressReport,
    EgressRequest,
    EndReason,
    matching_rule,
    nearest_refusal,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from anyio.abc import TaskGroup

    from sandbox.egress.secrets import SecretStore
    from sandbox.network.decision import Gate
    from sandbox.network.rules import Egress, EgressRule

log = get_logger("egress")

START_SECONDS = 15.0
GATE_SECONDS = 10.0
LEAVE_SECONDS = 5.0

ALLOWED = EgressDecision(permitted=True, reason="egress.allowed")


@dataclass(slots=True)
class _Open:
    """A connection that was asked about and has not ended."""

    request: EgressRequest
    permitted: bool
    since: float
    number: int | None = None


class EgressProxy:
    """A running proxy of one sandbox. Made by `open_proxy`.

    Attributes:
        folder: to be shown inside the sandbox; the socket in it is named `proxy`.
        pid: of the proxy process.
        gone: set when the proxy has closed its end.
        is_broken: it said something a proxy does not say, and was ended.
        reports: of the connections that have ended, in that order.
    """

    def __init__(
        self,
        egress: Egress,
        control: Control,
        *,
        folder: Path,
        process: subprocess.Popen[bytes],
        secrets: SecretStore | None,
        gate: Gate | None,
    ) -> None:
        self._egress = egress
        self._control = control
        self._secrets = secrets
        self._gate = gate
        self._open: dict[int, _Open] = {}
        self._ended: set[int] = set()
        self.folder = folder
        self._process = process
        self.pid = process.pid
        self.gone = anyio.Event()
        self.is_broken = False
        self.reports: list[EgressReport] = []

    async def close_matching(self, tightened: Callable[[EgressRequest], bool]) -> int:
        """Closes the open connections whose request `tightened` holds for; their number.

        For a program that opens a proxy itself and narrows what it allows meanwhile (abuse case
        64). A broker's permit is for a connection as a whole, so it does not call this.

        Raises:
            ControlError: the proxy takes no messages.
        """
        numbers = [
            number
            for number, entry in self._open.items()
            if entry.permitted and tightened(entry.request)
        ]
        for number in numbers:
            await self._control.send({"close": number})
        return len(numbers)

    async def attend(self) -> None:
        """Answers the proxy until it is gone, or breaks the protocol and is ended."""
        try:
            async with anyio.create_task_group() as group:
                await self._attend(group)
                group.cancel_scope.cancel()
        except* (ControlError, KeyError, TypeError, ValueError):
            self.is_broken = True
            self._process.kill()
        finally:
            self.gone.set()

    async def _attend(self, group: TaskGroup) -> None:
        while (message := await self._control.receive()) is not None:
            if "ask" in message:
                number, request = self._asked(message)
                group.start_soon(self._answer, number, request)
            else:
                self._note_end(message)

    async def leave(self) -> None:
        """Tells the proxy that the sandbox is gone, and waits for its last word."""
        with anyio.move_on_after(LEAVE_SECONDS, shield=True), suppress(ControlError):
            await self._control.send({"leave": True})
            await self.gone.wait()

    def _asked(self, message: dict[str, Any]) -> tuple[int, EgressRequest]:
        number = _number(message["ask"], self._egress.connections)
        if number in self._open or number in self._ended:
            raise ValueError("asked twice")
        request = EgressRequest(
            kind="connect" if message["kind"] == "connect" else "http",
            host=str(message["host"])[:253],
            port=_number(message["port"], 65535),
            method=None if message["method"] is None else str(message["method"])[:20],
            path=None if message["path"] is None else str(message["path"])[:16384],
        )
        self._open[number] = _Open(request, permitted=False, since=time.monotonic())
        return number, request

    async def _answer(self, number: int, request: EgressRequest) -> None:
        rule = matching_rule(self._egress, request)
        if rule is None:
            decision = EgressDecision(
                permitted=False, reason=nearest_refusal(self._egress, request)
            )
        else:
            decision = await self._gated(request)
        instruction = {"answer": number, **self._instruction(request, rule, decision)}
        entry = self._open.get(number)
        if entry is not None:
            entry.permitted = bool(instruction["permitted"])
            entry.number = decision.number
        log.info(
            "egress_decided", host=request.host, port=request.port, reason=instruction["reason"]
        )
        await self._control.send(instruction)

    async def _gated(self, request: EgressRequest) -> EgressDecision:
        if self._gate is None:
            return ALLOWED
        fault = "no EgressDecision"
        try:
            with anyio.fail_after(GATE_SECONDS):
                decision: object = await self._gate.decide(request)
            if isinstance(decision, EgressDecision):
                return decision
        except Exception as err:  # noqa: BLE001 - the contract of `Gate`: no answer is a no
            fault = type(err).__name__
        log.warning("egress_gate_failed", host=request.host, fault=fault)
        return EgressDecision(permitted=False, reason="egress.gate_failed")

    def _instruction(
        self, request: EgressRequest, rule: EgressRule | None, decision: EgressDecision
    ) -> dict[str, Any]:
        instruction: dict[str, Any] = {
            "permitted": decision.permitted is True and rule is not None,
            "reason": decision.reason,
            "port": 0,
            "tls": False,
            "pinned": None,
            "header": None,
            "secrets": [],
        }
        if rule is None or not instruction["permitted"]:
            return instruction
        instruction["tls"] = rule.mode == "https"
        instruction["port"] = rule.ports[0] if rule.mode == "https" else request.port
        instruction["pinned"] = rule.unsafe_address
        if rule.secret is None:
            return instruction
        try:
            value = self._secret(rule.secret.handle)
        except SandboxError as err:
            log.warning("egress_secret_missing", handle=rule.secret.handle, fault=str(err))
            return {**instruction, "permitted": False, "reason": "egress.secret_missing"}
        header = base64.b64encode(rule.secret.prefix.encode() + value).decode()
        instruction["header"] = [rule.secret.name, header]
        instruction["secrets"] = [base64.b64encode(value).decode()]
        return instruction

    def _secret(self, handle: str) -> bytes:
        if self._secrets is None:
            raise SandboxUnavailableError("there is no secret store", "give the sandbox one")
        value = self._secrets.get(handle).reveal()
        if not value.isascii() or any(not 32 <= byte < 127 for byte in value):
            raise SandboxUnavailableError(
                f"the value of {handle} cannot stand in a header", "use printable ASCII"
            )
        return value

    def _note_end(self, message: dict[str, Any]) -> None:
        number = _number(message["ended"], self._egress.connections)
        end, address = message["end"], message["address"]
        if end not in get_args(EndReason) or number in self._ended:
            raise ValueError("no such end")
        self._ended.add(number)
        entry = self._open.pop(number, None)
        self.reports.append(
            EgressReport(
                request=None if entry is None else entry.request,
                permitted=entry is not None and entry.permitted,
                reason=str(message["reason"])[:60],
                address=None if address is None else str(address)[:45],
                bytes_out=_number(message["out"], 2**53, least=0),
                bytes_in=_number(message["in"], 2**53, least=0),
                seconds=0.0 if entry is None else time.monotonic() - entry.since,
                end=end,
                number=None if entry is None else entry.number,
            )
        )

    def note_lost(self) -> None:
        """Takes what is still open as ended by the proxy's own end."""
        for number, entry in self._open.items():
            self._ended.add(number)
            self.reports.append(
                EgressReport(
                    request=entry.request,
                    permitted=entry.permitted,
                    reason="egress.proxy_ended",
                    address=None,
                    bytes_out=0,
                    bytes_in=0,
                    seconds=time.monotonic() - entry.since,
                    end="fault",
                    number=entry.number,
                )
            )
        self._open.clear()


@asynccontextmanager
async def open_proxy(
    egress: Egress,
    *,
    wall_seconds: float,
    secrets: SecretStore | None = None,
    gate: Gate | None = None,
) -> AsyncIterator[EgressProxy]:
    """A proxy for one sandbox; when the block is left it is gone and `reports` is whole.

    Args:
        egress: rules and bounds.
        wall_seconds: how long the sandbox may live, for the lease of the socket's folder.
        secrets: values of the handles in the rules.
        gate: may refuse what the rules allow.

    Raises:
        SandboxProviderError: it does not start, or broke its protocol.
    """
    if any(rule.unsafe_address is not None for rule in egress.allow):
        log.warning("egress_unsafe_address", hosts=len(egress.allow))
    with socket_folder(wall_seconds=wall_seconds) as opened:
        ours, process = _start(opened.listener)
        opened.listener.close()
        try:
            ours.setblocking(False)  # noqa: FBT003 - the socket module's signature
            stream = await UNIXSocketStream.from_socket(ours)
            try:
                control = Control(stream)
                await _configure(control, egress)
                proxy = EgressProxy(
                    egress,
                    control,
                    folder=opened.folder,
                    process=process,
                    secrets=secrets,
                    gate=gate,
                )
                async with _attended(proxy):
                    yield proxy
            finally:
                await anyio.aclose_forcefully(stream)
        finally:
            process.kill()
            process.wait()


@asynccontextmanager
async def _attended(proxy: EgressProxy) -> AsyncIterator[None]:
    """Answers the proxy meanwhile; the block's own exception leaves it as it was raised."""
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(proxy.attend)
        try:
            yield
        except Exception as err:  # noqa: BLE001 - raised again below, outside of the group
            failure = err
        await proxy.leave()
        group.cancel_scope.cancel()
    proxy.note_lost()
    if failure is not None:
        raise failure
    if proxy.is_broken:
        raise SandboxProviderError("the egress proxy broke its protocol and was ended")


async def _configure(control: Control, egress: Egress) -> None:
    settings = {
        "connections": egress.connections,
        "concurrent": egress.concurrent,
        "total_bytes": egress.total_bytes,
        "idle_seconds": egress.idle_seconds,
        "connection_seconds": egress.connection_seconds,
        "authorities": egress.authorities,
    }
    try:
        with anyio.fail_after(START_SECONDS):
            await control.send(settings)
            ready = await control.receive()
    except (TimeoutError, ControlError) as err:
        raise SandboxProviderError("the egress proxy does not start") from err
    if ready is None or "ready" not in ready:
        raise SandboxProviderError("the egress proxy ended before it was ready")


def _start(listener: socket.socket) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Our end of the control channel, and the proxy at its other end."""
    with ExitStack() as stack:
        try:
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            with theirs:
                process = subprocess.Popen(
                    [
                        *(sys.executable, "-P", "-s", "-S", "-B", "-m"),
                        "sandbox.egress.process",
                        *(str(theirs.fileno()), str(listener.fileno())),
                    ],
                    env={"PYTHONPATH": ":".join(_import_roots())},
                    pass_fds=[theirs.fileno(), listener.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                )
        except OSError as err:
            raise SandboxProviderError(f"the egress proxy cannot be started: {err}") from err
        stack.pop_all()
    return ours, process


def _import_roots() -> list[str]:
    package = str(Path(__file__).resolve().parents[2])
    return [package, *(path for path in sys.path if Path(path).is_absolute())]


def _number(value: object, most: int, *, least: int = 1) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError("no such number")
    return value
