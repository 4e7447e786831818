"""LangGraph's and LangChain's own tests, as published, with every tool under the broker.

What fails is what `docs/reference/framework-tests.md` says, with its reason, and nothing else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/reference/framework-tests.md"
NEEDED = Path(__file__).with_name("their_own_tests.txt")

ARCHIVES = {
    "langgraph-prebuilt==1.1.2": "8ad6353b16ea76b04b1e35fdc9ed4ead469346f80730ca346e08f26549e7b56a",
    "langchain==1.4.7": "818275348cd707f7fbbe92ece0a725c25823140a054cf29865f420e0200fa2af",
}
AGENTS = "tests/unit_tests/agents"
CORE, MORE = f"{AGENTS}/middleware/core", f"{AGENTS}/middleware/implementations"
SUITES = {
    "LangGraph": ("langgraph_prebuilt-1.1.2", ("tests",)),
    "LangChain": (
        "langchain-1.4.7",
        (
            f"{CORE}/test_dynamic_tools.py",
            f"{CORE}/test_framework.py",
            f"{CORE}/test_sync_async_wrappers.py",
            f"{CORE}/test_tools.py",
            f"{CORE}/test_wrap_tool_call.py",
            f"{MORE}/test_human_in_the_loop.py",
            f"{MORE}/test_todo.py",
            f"{MORE}/test_tool_call_limit.py",
            f"{MORE}/test_tool_emulator.py",
            f"{MORE}/test_tool_error.py",
            f"{MORE}/test_tool_retry.py",
            f"{MORE}/test_tool_selection.py",
            f"{AGENTS}/test_create_agent_tool_validation.py",
            f"{AGENTS}/test_injected_runtime_create_agent.py",
            f"{AGENTS}/test_invalid_tool_calls.py",
            f"{AGENTS}/test_kwargs_tool_runtime_injection.py",
            f"{AGENTS}/test_return_direct_graph.py",
            f"{AGENTS}/test_state_schema.py",
        ),
    ),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.index,
    pytest.mark.xdist_group("their-tests"),
    pytest.mark.unmeasured,
]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published archives, and what their tests need, in one folder."""
    folder = tmp_path_factory.mktemp("published")
    wanted = folder / "archives.txt"
    wanted.write_text("".join(f"{n} --hash=sha256:{h}\n" for n, h in ARCHIVES.items()))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    by_hash = ["--no-deps", "--require-hashes", "-r"]
    # Their build back-end is here already; pip asks it what an archive is called.
    sources = ["--no-binary", ":all:", "--no-build-isolation", "--dest", str(folder)]
    subprocess.run([*pip, "download", *sources, *by_hash, str(wanted)], check=True)
    needed = ["install", "--prefer-binary", "--target", str(folder / "needed")]
    subprocess.run([*pip, *needed, *by_hash, str(NEEDED)], check=True)
    for archive in folder.glob("*.tar.gz"):
        subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True)
    return folder


def outcomes(folder: Path, name: str) -> list[tuple[str, str]]:
    """Each test of a suite, and how it ended; two files may have one of the same name."""
    where, files = SUITES[name]
    report = folder / f"{name}.xml"
    path = [folder / "needed", ROOT / "tests/support", ROOT]
    off = [f"-pno:{each}" for each in ("cacheprovider", "timeout", "xdist", "randomly")]
    scratch = folder / "scratch"  # LangGraph's own leave files where files of no name go
    scratch.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "through_guard", *off),
            *(f"--junitxml={report}", "--tb=short", *files),
        ],
        cwd=folder / where,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "TMPDIR": str(scratch),
        },
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode in {0, 1}, done.stdout[-2000:] + done.stderr[-2000:]
    ended = []
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - our own run wrote it
        kinds = {each.tag for each in case} & {"failure", "error", "skipped"}
        ended.append((case.attrib["name"], kinds.pop() if kinds else "passed"))
    return ended


def differences(name: str) -> set[str]:
    """The tests that the page says end otherwise under the broker, or fail without one."""
    text = PAGE.read_text()
    rows = text.split(f"| {name}'s test | why |\n", 1)[1].split("\n\n", 1)[0]
    first = " ".join(row.split("|")[1] for row in rows.splitlines())
    broken = text.split("These fail without a broker, too", 1)[1].split("\n", 1)[0]
    return {*re.findall(r"`(test_[^`]+)`", first + broken)}


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_passes_but_for_what_is_documented(unpacked: Path, name: str) -> None:
    ended = outcomes(unpacked, name)

    failed = [test for test, how in ended if how in {"failure", "error"}]
    run = {test for test, _ in ended}
    assert sorted(failed) == sorted(test for test in differences(name) if test in run)
    counts = f"{len(ended) - len(failed)} of {len(ended)} |\n"
    assert counts in PAGE.read_text(), counts
