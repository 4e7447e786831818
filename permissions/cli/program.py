"""What every command has in common: how it ends, and what is said when it fails.

An error of ours is one sentence on stderr, or with `--json` one object on stdout::

    {"error": {"type": "ConfigError", "message": "...", "exit_code": 2}}

A standard output that is closed or full ends the command with exit code 1 and a sentence.
Anything else that is raised is a fault of this program, and shows as a traceback.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from permissions.errors import (
    ApprovalInvalidError,
    ApproverRefusedError,
    BrokerError,
    ConfigError,
    ExecutionUnavailableError,
    PdpError,
    RequestClosedError,
    SigningError,
    TraceIntegrityError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXIT_FAILED, EXIT_USAGE, EXIT_REFUSED, EXIT_CLOSED, EXIT_INTEGRITY, EXIT_UNAVAILABLE = range(
    1, 7
)
"""1 failure, 2 wrong usage or settings, 3 denied, 4 pending or expired, 5 integrity failure,
6 sandbox or decision point unavailable."""

_CODES: tuple[tuple[type[BrokerError], int], ...] = (
    (ConfigError, EXIT_USAGE),
    (SigningError, EXIT_USAGE),
    (ApproverRefusedError, EXIT_REFUSED),
    (ApprovalInvalidError, EXIT_REFUSED),
    (RequestClosedError, EXIT_CLOSED),
    (TraceIntegrityError, EXIT_INTEGRITY),
    (PdpError, EXIT_UNAVAILABLE),
    (ExecutionUnavailableError, EXIT_UNAVAILABLE),
)


def noun(words: str) -> typer.Typer:
    """The commands of one noun; `words` is what its help says."""
    return typer.Typer(
        cls=Program,
        help=words,
        no_args_is_help=True,
        add_completion=False,  # the root completes its nouns
        rich_markup_mode=None,
    )


class Program(TyperGroup):
    """A group of commands that turns errors into exit codes and sentences."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - typer's own signature
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002
        **extra: Any,
    ) -> Any:
        """Runs the command line and ends the process, unless `standalone_mode` is off."""
        words = list(sys.argv[1:] if args is None else args)
        extra["windows_expand_args"] = windows_expand_args
        if not standalone_mode:
            return super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
        sys.exit(self._ended(words, prog_name, complete_var, extra))

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Reads the command line, which may print a help text."""
        with _output_kept():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Runs what the command line says."""
        with _output_kept():
            return super().invoke(ctx)

    def _ended(
        self,
        words: list[str],
        prog_name: str | None,
        complete_var: str | None,
        extra: dict[str, Any],
    ) -> int:
        as_json = "--json" in words
        if sys.stdout is None:
            return _say("standard output is closed; nothing was done", EXIT_FAILED)
        try:
            code = super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except typer.Abort:
            return _say("aborted", EXIT_FAILED)
        except Exception as err:  # noqa: BLE001 - the edge of the program; what is not ours goes on
            return _failed(_single(err), as_json=as_json)
        return code if isinstance(code, int) else 0


class _OutputError(Exception):
    """Whoever read standard output went away."""


@contextmanager
def _output_kept() -> Iterator[None]:
    """Keeps typer from ending the process in silence when its output is cut."""
    try:
        yield
    except BrokenPipeError as err:
        raise _OutputError from err


def _single(err: BaseException) -> BaseException:
    """The one error in a task group's, as far as there is only one."""
    while isinstance(err, BaseExceptionGroup) and len(err.exceptions) == 1:
        err = err.exceptions[0]
    return err


def _failed(err: BaseException, *, as_json: bool) -> int:
    """Says what went wrong; gives the exit code, or raises again what is no error of ours."""
    from sandbox.errors import SandboxError

    match err:
        case _OutputError():
            _give_up_output()
            return _say("nobody reads standard output any more", EXIT_FAILED)
        case OSError():
            _give_up_output()
            return _say(_of_the_system(err), EXIT_FAILED)
        case BrokerError() | SandboxError():
            code = exit_code(err)
            about = {"type": type(err).__name__, **_details(err)}
            text = "\n".join([str(about["message"]), *_remedies(about)])
        case typer.TyperException():
            code = err.exit_code
            about = {"type": type(err).__name__, "message": err.format_message()}
            if not as_json:
                err.show()  # type: ignore[attr-defined] # with the usage of its command
                return code
            text = ""
        case _:
            raise err
    if as_json:
        try:
            typer.echo(json.dumps({"error": {**about, "exit_code": code}}))
        except OSError as lost:
            return _failed(lost, as_json=False)
        return code
    return _say(text, code)


def exit_code(err: BaseException) -> int:
    """The exit code of an error of ours; the table is the same for every noun."""
    from sandbox.errors import SandboxUnavailableError, SbomTamperedError

    if isinstance(err, SbomTamperedError):
        return EXIT_INTEGRITY
    if isinstance(err, SandboxUnavailableError):
        return EXIT_UNAVAILABLE
    return next((code for kind, code in _CODES if isinstance(err, kind)), EXIT_FAILED)


def _details(err: BaseException) -> dict[str, Any]:
    about: dict[str, Any] = {"message": str(getattr(err, "missing", "") or err)}
    for name in ("remedy", "findings"):
        if value := getattr(err, name, None):
            about[name] = value if isinstance(value, str) else list(value)
    return about


def _remedies(about: dict[str, Any]) -> list[str]:
    return [f"to get it: {about['remedy']}"] if "remedy" in about else []


def _of_the_system(err: OSError) -> str:
    said = err.strerror or str(err)
    return f"{err.filename}: {said}" if err.filename else said


def _say(text: str, code: int) -> int:
    """One sentence on stderr, with what could steer a terminal written out."""
    from permissions.approval.text import visible

    lines = [visible(line) for line in text.splitlines()]
    with suppress(OSError):
        typer.echo("\n".join([f"wardline: {lines[0] if lines else ''}", *lines[1:]]), err=True)
    return code


def _give_up_output() -> None:
    """Lets what is still in the buffer of standard output go nowhere, or Python says so at exit."""
    with suppress(OSError, ValueError, AttributeError):
        if sys.stdout.fileno() == 1:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.close(nowhere)
