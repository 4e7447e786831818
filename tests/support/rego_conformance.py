"""OPA's own conformance cases, asked of the embedded engine as a policy would ask.

They lie in the module cache of Go, where `go install` and `go mod download` put OPA's sources.
A case's query becomes a rule, so that it passes the linter and the translation as all Rego does.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rego_oracle import opa_version

from permissions.pdp.bundle import PolicyBundle
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.regorus.engine import UNDEFINED, Engine
from permissions.pdp.regorus.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

LIST = Path(__file__).parents[1] / "vectors/rego/conformance.json"
MODULE = "github.com/open-policy-agent/opa"
OF_THE_CONTRACT = frozenset(
    {
        *("rego.unread_package", "rego.unread_rule", "rego.foreign_package"),
        *("rego.no_entrypoint", "rego.unknown_input", "rego.unknown_word"),
        *("rego.unknown_table", "rego.unknown_rule", "rego.rule_form", "rego.entry_form"),
        "rego.two_values",
    }
)
"""Findings about what no policy of ours would be, and Rego may be."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    `right` as OPA, `refused` at load, `error` at evaluation (a denial), `other` when it does not
    say what an input of ours would give, and `wrong` for all else.
    """

    kind: str
    why: str = ""


def conformance_folder() -> Path | None:
    """Where the cases of the `opa` on PATH lie, fetched by Go if need be."""
    wanted = f"{MODULE}@v{opa_version()}"
    known = [Path.home() / "go/pkg/mod"]
    go = shutil.which("go")
    if go:
        asked = subprocess.run(
            [go, "env", "GOMODCACHE"], capture_output=True, check=True, text=True
        )
        known.insert(0, Path(asked.stdout.strip()))
    for cache in known:
        folder = cache / wanted / "v1/test/cases/testdata/v1"
        if folder.is_dir():
            return folder
    if go:
        done = subprocess.run(
            [go, "mod", "download", "-json", wanted],
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode == 0:
            return Path(json.loads(done.stdout)["Dir"]) / "v1/test/cases/testdata/v1"
    return None


def conformance_cases(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every case with its name: the file and its number in it."""
    for file in sorted(folder.glob("*/*.y*ml")):
        document = yaml.CSafeLoader(file.read_text()).get_single_data()
        for number, case in enumerate(document.get("cases", [])):
            yield f"{file.parent.name}/{file.name}#{number}", case


def outcome(case: dict[str, Any]) -> Outcome:
    """Asks the embedded engine."""
    names = _names(case)
    modules = {f"test-{n}.rego": text for n, text in enumerate(case.get("modules") or [])}
    head = (
        f"{{{', '.join(f'{json.dumps(name)}: {name}' for name in names)}}}" if names else "true"
    )
    found = f"found := [{head} | {case['query']}]\n"
    answer = "answer := found\n"
    if "input_term" in case:
        answer = (
            f"answer := x if {{\n\tx := found with input as {case['input_term'].strip()}\n}}\n"
        )
    modules["query.rego"] = f"package wardline_query\n\n{found}\n{answer}"
    data = case.get("data") or {}
    if not _is_json(data):
        return Outcome("other", "data that is no JSON")
    bundle = PolicyBundle.of(modules, data)
    findings = check_bundle(bundle, entrypoint="data.wardline_query.answer")
    codes = sorted({each.code for each in findings} - OF_THE_CONTRACT)
    if codes:
        return Outcome("refused", " ".join(codes))
    fails = "want_error" in case or "want_error_code" in case
    try:
        engine = Engine(bundle.modules, json.dumps(data))
        value = engine.ask("data.wardline_query.answer", json.dumps(case.get("input", {})))
    except EngineError:
        return Outcome("right" if fails else "error", "evaluation")
    got = [] if value == UNDEFINED else json.loads(value)
    is_right = not fails and _same(case, names, got)
    if not is_right and "input" not in case and any("input" in m for m in modules.values()):
        return Outcome("other", "asks without an input, and the broker always gives one")
    return Outcome("right" if is_right else "wrong", "" if is_right else f"{got!r:.200}")


def _is_json(data: Any) -> bool:
    if isinstance(data, dict):
        return all(isinstance(key, str) for key in data) and all(map(_is_json, data.values()))
    return all(map(_is_json, data)) if isinstance(data, list) else True


def _names(case: dict[str, Any]) -> list[str]:
    """The variables that the case asks for."""
    wanted = {name for row in case.get("want_result") or [] for name in row}
    named = sorted(name for name in wanted if not name.startswith("__"))
    return named or re.findall(r"=\s*([a-z]\w*)\s*$", case["query"])


def _same(case: dict[str, Any], names: list[str], got: list[Any]) -> bool:
    if "want_result" not in case:
        return True
    wanted = case["want_result"] or []
    if not names:
        return bool(got) == bool(wanted)
    is_sorted = bool(case.get("sort_bindings"))
    ours = [row for row in wanted if isinstance(row, dict)]
    if case.get("ignore_generated_vars"):
        ours = [{k: v for k, v in row.items() if not k.startswith("__local")} for row in ours]
    return _rows(ours, is_sorted) == _rows(got, is_sorted)


def _rows(rows: list[dict[str, Any]], is_sorted: bool) -> set[str]:  # noqa: FBT001 - of the case
    if is_sorted:
        rows = [
            {k: sorted(v, key=_text) if isinstance(v, list) else v for k, v in row.items()}
            for row in rows
        ]
    return set(map(_text, rows))


def _text(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    """Numbers by their value: 1.0 is 1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value
