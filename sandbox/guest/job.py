"""The half of the runner that becomes the job: from the fork to the answer.

Joined with `runner` into one program (`sandbox.supervisor.bootstrap`), so its rules hold here as well: only the
standard library, and of that as little as can be. Before any of the job's code runs, `move_in`
has taken from the forked process everything that is not the job's.
"""

# ruff: noqa: PTH123, UP031, SIM105, S110 - as in `runner`
from __future__ import annotations

import _ctypes
import _json
import _signal as signal  # type: ignore[import-not-found]  # not in typeshed
import os
import resource
import sys

from sandbox.guest.output import CHUNK, written

TYPE_CHECKING = False  # the idiom without importing `typing`, which costs milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

ORDERS, READY = 4, 5
IS_READY = b"."
CAUSE = 300  # letters of why a child is not
PACKAGES = "/opt/wardline/packages"  # of an image built from a project; after all else
SOURCE = "__source__"
TRACEBACK = 4000
PR_SET_DUMPABLE = 4
# None is the program itself, which typeshed does not know
PRCTL = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]


def prctl(option: int, value: int) -> int:
    """Sets an attribute of this process (prctl(2)); 0 when it was set."""
    answer: int = _ctypes.call_function(PRCTL, (option, value, 0, 0, 0))
    return answer


class Plain:
    """What `json.loads` would have asked for."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = parse_constant = float
    parse_int = int


def understood(text: bytes) -> dict[str, Any]:
    """A document of the supervisor's."""
    document: dict[str, Any] = _json.make_scanner(Plain)(text.decode(), 0)[0]  # type: ignore[arg-type]  # any object will do
    return document


def limit(rlimits: dict[str, int | None]) -> None:
    """Lowers this process's resource limits; the hard ones are never raised.

    Raises:
        OSError: the kernel takes no such limit. It is named, because kernels differ in this.
    """
    for name, wanted in rlimits.items():
        if wanted is None:
            continue
        try:
            which = getattr(resource, "RLIMIT_" + name.upper())
            ceiling = resource.getrlimit(which)[1]
            most = wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)
            # One second between SIGXCPU and the kill
            resource.setrlimit(which, (most, most + 1 if name == "cpu" else most))
        except (AttributeError, OSError, ValueError) as err:
            raise OSError("the limit %s of %d is refused: %s" % (name, wanted, err)) from None


def move_in(setup: dict[str, Any], ends: tuple[int, ...]) -> None:
    """Takes everything from the forked child that is not the job's, and limits it.

    What fails is said in the place of being ready, and ends the child: nobody else knows.
    """
    os.setsid()
    for ended_by in (signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(ended_by, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write over the limit is an OSError
    signal.set_wakeup_fd(-1)
    # The channel took the low numbers first, so none of these ends is in another's number
    for number, end in enumerate(ends):
        os.dup2(end, number, inheritable=number < 3)
    os.closerange(len(ends), 65536)
    try:
        settle(setup)
    except Exception as err:  # noqa: BLE001 - whatever this kernel refuses
        said = "%s: %s" % (type(err).__name__, err)
        os.write(READY, said[:CAUSE].encode("utf-8", "backslashreplace"))
        os._exit(70)


def settle(setup: dict[str, Any]) -> None:
    """Gives the child what the job will have: its variables, limits, folder and path."""
    prctl(PR_SET_DUMPABLE, 1)
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")
    except OSError:
        pass
    os.environ.clear()
    os.environ.update(setup["environment"])
    limit(setup["rlimits"])
    os.chdir(setup["directory"])
    roots = ["/code/%d" % number for number in range(setup["code_roots"])]
    packages = [PACKAGES] if os.path.isdir(PACKAGES) else []  # noqa: PTH112
    sys.path[:] = roots + [entry for entry in sys.path if entry] + packages
    sys.argv[:] = [""]


def become_job(setup: dict[str, Any], ends: tuple[int, ...]) -> NoReturn:
    """Turns the forked child into the job. Never returns."""
    move_in(setup, ends)
    job = await_orders(setup["preload"])
    if "argv" in job:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        try:
            os.execvp(job["argv"][0], job["argv"])  # noqa: S606 - no shell is the point
        except (OSError, ValueError) as err:
            tell(written({"error": describe(err)}))
            os._exit(0)
    os._exit(call(job, tell, setup["value_bytes"]))


def await_orders(preload: list[str]) -> dict[str, Any]:
    """Looks up what the job will need, says that it is ready, and waits for the job."""
    get_ready(preload)
    text = b""
    while data := os.read(ORDERS, CHUNK):
        text += data
    os.close(ORDERS)
    return understood(text)


def get_ready(preload: list[str]) -> None:
    """Looks up what the job will need, then says that it is ready."""
    for entry in preload:
        # What fails here fails again in the call, where it can be told.
        try:
            find(entry)
        except BaseException:  # noqa: BLE001 - whatever a module raises
            pass
    os.write(READY, IS_READY)
    os.close(READY)


def call(job: dict[str, Any], answer: Callable[[str], None], most: int) -> int:
    """Imports and calls the function; `answer` gets its value or exception, unless it left.

    A traceback that has no room within `most` is left out, so that the message arrives.
    """
    code = 0
    try:
        text = written({"value": evaluate(job)})
    except SystemExit as leave:
        given = 0 if leave.code is None else leave.code
        text, code = "", given & 0xFF if isinstance(given, int) else 1
    except BaseException as err:  # noqa: BLE001 - whatever the job raises is its answer
        said = describe(err)
        text = written({"error": said})
        if len(text) > most:
            text = written({"error": {**said, "traceback": ""}})
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:  # noqa: BLE001 - the job may have put anything in their place
        pass
    if text:
        answer(text)
    return code


def find(entry: str) -> Any:
    """What `module` or `module:attribute.path` names."""
    module, _, path = entry.partition(":")
    __import__(module)
    found: Any = sys.modules[module]
    for part in path.split(".") if path else ():
        found = getattr(found, part)
    return found


def evaluate(job: dict[str, Any]) -> Any:
    """Calls the function of a job; gives its value."""
    function = find(job["entry"]) if "source" not in job else compiled(job)
    value = function(**job["arguments"])
    if type(value).__name__ == "coroutine":
        import asyncio  # noqa: TID251 - only the standard library exists in here

        value = asyncio.run(value)
    return value


def compiled(job: dict[str, Any]) -> Any:
    """The function of a job that is its own source: the text is run as a module first."""
    import linecache
    import types

    source, name = job["source"], "<%s>" % SOURCE
    # So that a traceback shows the line
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    module = sys.modules[SOURCE] = types.ModuleType(SOURCE)
    code = compile(source, name, "exec", dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102 - what the sandbox is for
    found: Any = module
    for part in job["entry"].split("."):
        found = getattr(found, part)
    return found


def trace_of(err: BaseException) -> str:
    """The lines an exception came through, without this file's own; the last are kept."""
    import traceback

    steps = err.__traceback__
    while steps is not None and steps.tb_frame.f_code.co_filename == "<string>":
        steps = steps.tb_next
    lines = traceback.format_exception(type(err), err, steps, limit=-50)
    return "".join(lines)[-TRACEBACK:]


def describe(err: BaseException) -> dict[str, str]:
    """An exception as text, for the supervisor."""
    try:
        message = str(err)
    except Exception:  # noqa: BLE001 - `__str__` is the job's code too
        message = "(its text cannot be made)"
    try:
        trace = trace_of(err)
    except BaseException:  # noqa: BLE001 - it runs the job's code as well
        trace = ""
    return {"type": type(err).__name__, "message": message[:4000], "traceback": trace}


def tell(text: str) -> None:
    """Writes to the pipe of the answer."""
    data = text.encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(3, data) :]
    except OSError:
        pass
