"""Every Python example in README and docs runs as it stands.

An example that needs something a reader has and a test has not says so in its fence:
`python {test="skip: needs a running OPA server"}`. Such a skip is visible, with its reason.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    example
    for example in find_examples(ROOT / "README.md", ROOT / "docs")
    if example.prefix.split(" ")[0] in {"python", "py"}
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.path.name}:{e.start_line}")
def test_example_runs(
    example: CodeExample,
    eval_example: EvalExample,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The example runs in an empty folder, and prints what its comments say it prints."""
    verdict, _, reason = example.prefix_settings().get("test", "").partition(":")
    if verdict == "skip":
        assert reason.strip(), "a skipped example has to say why"
        pytest.skip(reason.strip())
    monkeypatch.chdir(tmp_path)

    eval_example.run_print_check(example)
