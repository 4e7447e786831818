"""The proxy process: gives up what it can, then serves one sandbox until its parent is gone.

Started by `sandbox.egress.proxy` with two descriptors, a socket pair's end and a listening unix
socket, and an environment of import paths only. Before the first byte from a sandbox is read it
has become nobody (when it was root), cannot gain privileges, cannot be traced by others of its
user, makes system calls of the sandbox's own list only, and has limits on memory, descriptors
and files.

What it does not protect from: a proxy that was taken over can dial any address and read what
everybody on this machine may read; started by a plain user it is still that user. It never has
the job's profile, and of secrets only those of requests it is serving.
"""

from __future__ import annotations

import base64
import concurrent.futures.thread  # noqa: F401 - the event loop imports it with its first lookup
import contextlib
import ctypes
import os
import platform
import resource
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

import anyio
import anyio._backends._asyncio
from anyio.abc import SocketListener, UNIXSocketStream

from sandbox.egress.control import Control, ControlError
from sandbox.egress.conversation import Conversation, Means
from sandbox.egress.dial import system_resolver
from sandbox.egress.instruction import Instruction
from sandbox.egress.relay import Budget
from sandbox.egress.server import Server
from sandbox.isolation.bpf import program

if TYPE_CHECKING:
    from sandbox.network.decision import EgressRequest, EndReason

NOBODY = 65534
MEMORY_BYTES = 1024 * 1024 * 1024
"""Address space; the resident set is a small part of it."""

PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 4, 38, 22, 2


class ParentProcess:
    """The parent, at the other end of the control channel."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._waiting: dict[int, tuple[anyio.Event, list[Instruction]]] = {}

    async def ask(self, number: int, request: EgressRequest) -> Instruction:
        """See `server.Parent`."""
        answered, instructions = self._waiting[number] = anyio.Event(), []
        try:
            await self._control.send(
                {
                    "ask": number,
                    "kind": request.kind,
                    "host": request.host,
                    "port": request.port,
                    "method": request.method,
                    "path": request.path,
                }
            )
            await answered.wait()
        finally:
            del self._waiting[number]
        return instructions[0]

    async def ended(self, number: int, conversation: Conversation, end: EndReason) -> None:
        """See `server.Parent`."""
        await self._control.send(
            {
                "ended": number,
                "end": end,
                "reason": conversation.reason,
                "address": conversation.address,
                "out": conversation.relay.bytes_out,
                "in": conversation.relay.bytes_in,
            }
        )

    def answer(self, message: dict[str, Any]) -> None:
        """Hands the parent's answer to the conversation that waits for it."""
        waiting = self._waiting.get(message["answer"])
        if waiting is not None:
            waiting[1].append(read_instruction(message))
            waiting[0].set()


def read_instruction(message: dict[str, Any]) -> Instruction:
    """The instruction in a message of the parent."""
    header = message["header"]
    return Instruction(
        permitted=message["permitted"],
        reason=message["reason"],
        port=message["port"],
        tls=message["tls"],
        pinned=message["pinned"],
        header=None if header is None else (header[0].encode(), base64.b64decode(header[1])),
        secrets=tuple(base64.b64decode(secret) for secret in message["secrets"]),
    )


def confine(*, descriptors: int) -> None:
    """Gives up user, privileges, tracing, most system calls, and most of every resource.

    Raises:
        OSError: one of them could not be given up; the process must not go on.
    """
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, descriptors),
        (resource.RLIMIT_AS, MEMORY_BYTES),
    ):
        resource.setrlimit(limit, (most, most))
    libc = ctypes.CDLL(None, use_errno=True)
    _prctl(libc, PR_SET_DUMPABLE, 0)
    _prctl(libc, PR_SET_NO_NEW_PRIVS, 1)
    # Another machine's table would refuse every call: the process ends, unprivileged or not.
    code = program("x86_64" if platform.machine() == "x86_64" else "aarch64")
    memory = ctypes.create_string_buffer(code, len(code))
    filters = _FilterProgram(len(code) // 8, ctypes.addressof(memory))
    _prctl(libc, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filters))


class _FilterProgram(ctypes.Structure):
    """`struct sock_fprog` of seccomp(2)."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _prctl(libc: ctypes.CDLL, option: int, value: int, pointer: Any = 0) -> None:
    if libc.prctl(option, ctypes.c_ulong(value), pointer, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


async def main(control_descriptor: int, listener_descriptor: int) -> None:
    """Serves until the parent closes its end."""
    control = Control(await UNIXSocketStream.from_socket(_adopted(control_descriptor)))
    settings = await control.receive()
    if settings is None:
        return
    _load_what_comes_late()
    trust = ssl.create_default_context()
    if settings["authorities"]:
        trust.load_verify_locations(cadata=settings["authorities"])
    # Two for each connection, some for the event loop and name lookups.
    confine(descriptors=2 * settings["concurrent"] + 64)
    parent = ParentProcess(control)
    server = Server(
        Means(
            resolve=system_resolver,
            trust=lambda: trust,
            budget=Budget(settings["total_bytes"]),
            idle_seconds=settings["idle_seconds"],
        ),
        parent,
        connections=settings["connections"],
        concurrent=settings["concurrent"],
        connection_seconds=settings["connection_seconds"],
    )
    listener = await SocketListener.from_socket(_adopted(listener_descriptor))
    async with anyio.create_task_group() as group:

        async def serve() -> None:
            await server.serve(listener)
            group.cancel_scope.cancel()

        group.start_soon(serve)
        await control.send({"ready": os.getuid()})
        while (message := await control.receive()) is not None:
            if "answer" in message:
                parent.answer(message)
            elif "close" in message:
                server.close(message["close"])
            else:
                server.leave()
        group.cancel_scope.cancel()


def _load_what_comes_late() -> None:
    """What the interpreter and the C library load at a first lookup: perhaps closed to nobody."""
    "late.example".encode("idna")
    # In this thread: the system call filter only binds threads that are started after it.
    with contextlib.suppress(OSError):
        socket.getaddrinfo("localhost", None)


def _adopted(descriptor: int) -> socket.socket:
    adopted = socket.socket(fileno=descriptor)
    adopted.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return adopted


if __name__ == "__main__":
    try:
        anyio.run(main, int(sys.argv[1]), int(sys.argv[2]))
    except (ControlError, OSError, KeyError) as error:
        os.write(2, f"egress: {type(error).__name__}: {error}\n"[:300].encode())
        os._exit(1)
    os._exit(0)  # a name lookup that hangs in its thread must not keep the process
