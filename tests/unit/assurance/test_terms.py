"""The thresholds are read whole, and their paths start from their folder."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from permissions.assurance.terms import PARTS, read_terms
from permissions.errors import ConfigError

ROOT = Path(__file__).parents[3]


def written(folder: Path, text: str) -> Path:
    path = folder / "gate.toml"
    path.write_text(text)
    return path


def test_paths_start_from_the_file(tmp_path: Path) -> None:
    terms = read_terms(
        written(
            tmp_path,
            'form = 1\nrelease = { overlay = "last" }\ntrace = { checkpoints = ["a", "/b"] }\n',
        )
    )

    assert terms.risks == tmp_path / "wardline-risks.toml"
    assert terms.exemptions.file == tmp_path / "wardline-exemptions.jsonl"
    assert terms.release is not None
    assert (terms.release.overlay, terms.release.policies) == (tmp_path / "last", None)
    assert terms.trace.checkpoints == (tmp_path / "a", Path("/b"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "form"),
        ("form = 1\nthreshold = 1", "threshold"),
        ("form = 1\n[evaluation]\n", "evaluation/gates"),
        ('form = 1\n[evaluation]\ngates = [{ variant = "V5", figure = "x" }]', "at_least"),
        ('form = 1\n[trace]\nrequire = ["singed"]', "trace/require"),
        ("form = 1\n[tests]\ncoverage = 2.0", "tests/coverage"),
        ("form = 1\n[exemptions]\ndays = 4000", "exemptions/days"),
        ("form = ", "no TOML"),
    ],
    ids=lambda each: None if "form" in each and each != "form" else each or "empty",
)
def test_what_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_terms(written(tmp_path, text))


def test_a_kept_result_of_other_terms_is_told(tmp_path: Path) -> None:
    one = read_terms(written(tmp_path, "form = 1\n"))
    other = read_terms(written(tmp_path, "form = 1\ntests = { coverage = 0.9 }\n"))

    changed = [part for part in PARTS if one.basis(part, "tools") != other.basis(part, "tools")]

    assert changed == ["policy-tests"]
    assert all(one.basis(part, "tools") != one.basis(part, "others") for part in PARTS)


def test_every_finding_is_on_the_reference_page() -> None:
    page = (ROOT / "docs/reference/assurance.md").read_text()
    folder = Path(str(resources.files("permissions.assurance")))
    parts = "|".join(PARTS)
    codes = {
        code
        for file in folder.glob("*.py")
        for code in re.findall(rf'"((?:{parts})\.[a-z_]+)"', file.read_text())
    }

    assert len(codes) > 25
    assert [code for code in sorted(codes) if f"| `{code}` |" not in page] == []
    listed = re.findall(rf"^\| `((?:{parts})\.[a-z_]+)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(codes)
