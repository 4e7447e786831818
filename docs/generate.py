"""Writes what in docs/ comes from code, or with `--check` says which of it is stale.

A page holds a generated part between two comments, so prose and table stand together::

    <!-- generated: settings -->
    ...
    <!-- end of generated: settings -->
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from pydantic import BaseModel

DOCS = Path(__file__).parent
POLICIES = DOCS.parent / "policies"
_POLICY_CODE = re.compile(r'(?:"code": |_ask\(\s*)"([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+)"')
_EXAMPLES = re.compile(r"\x08\nExamples:\n((?: +\$ .*\n?)+)")
_PART = re.compile(
    r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end of generated: (?P=name) -->)",
    re.DOTALL,
)


def reason_codes() -> Iterator[str]:
    """Each code the broker gives by itself, and what the agent is told."""
    from permissions.reasons import Code, reason

    yield "| code | what the agent is told |"
    yield "|---|---|"
    for code in Code:
        yield f"| `{code.value}` | {_cell(reason(code).agent)} |"


def policy_codes() -> Iterator[str]:
    """Each code a shipped policy gives, and the file that gives it."""
    yield "| code | given in |"
    yield "|---|---|"
    found = {
        (code, file.relative_to(POLICIES.parent).as_posix())
        for file in POLICIES.rglob("*.rego")
        if not file.stem.endswith("_test")
        for code in _POLICY_CODE.findall(file.read_text(encoding="utf-8"))
    }
    for code, file in sorted(found):
        yield f"| `{code}` | `{file}` |"


def library() -> Iterator[str]:
    """Each package of the library: what it denies, asks and needs."""
    from permissions.pdp.library import library_names, library_package

    yield "| package | denies | asks a person about | needs |"
    yield "|---|---|---|---|"
    for name in library_names():
        each = library_package(name)
        said = " | ".join(map(_cell, (each.denies, each.asks, each.needs)))
        yield f"| [{name}](library/{name}.md) | {said} |"


def errors() -> Iterator[str]:
    """The tree of exceptions and what each one means."""
    from permissions import errors as module

    tree = inspect.cleandoc(module.__doc__ or "").split("::\n\n", 1)[1].split("\n\n", 1)[0]
    yield "```text"
    yield from (line.removeprefix("    ") for line in tree.splitlines())
    yield "```"
    yield ""
    yield "| exception | meaning |"
    yield "|---|---|"
    for name, error in vars(module).items():
        if inspect.isclass(error) and issubclass(error, module.BrokerError):
            yield f"| `{name}` | {_cell(inspect.getdoc(error) or '')} |"


def public_modules() -> list[ModuleType]:
    """`wardline` and the modules of its folder."""
    import wardline

    names = sorted(each.name for each in iter_modules(wardline.__path__))
    return [
        wardline,
        *(import_module(f"wardline.{name}") for name in names if not name.startswith("_")),
    ]


def public_names() -> Iterator[str]:
    """Each name the public modules export, and its first sentence."""
    for module in public_modules():
        yield f"## `{module.__name__}`"
        yield ""
        yield (inspect.getdoc(module) or "").partition("\n\n")[0]
        yield ""
        yield "| name | what it is |"
        yield "|---|---|"
        for name in module.__all__:
            yield f"| `{name}` | {_cell(_sentence(getattr(module, name)))} |"
        yield ""


def _sentence(value: Any) -> str:
    """The first paragraph of a docstring, or the members of a type alias."""
    if inspect.isclass(value) or inspect.isroutine(value):
        return (inspect.getdoc(value) or "").partition("\n\n")[0]
    members = getattr(value, "__args__", ())
    return "one of " + ", ".join(f"`{getattr(each, '__name__', each)}`" for each in members)


def settings() -> Iterator[str]:
    """Each setting: key in the file, variable, default, meaning."""
    from permissions.setup.config import BrokerConfig

    yield "| key | environment | default | meaning |"
    yield "|---|---|---|---|"
    for key, default, meaning in _settings(BrokerConfig, ()):
        variable = "WARDLINE_" + "__".join(part.upper() for part in key)
        yield f"| `{'.'.join(key)}` | `{variable}` | {default} | {_cell(meaning)} |"


def _settings(
    model: type[BaseModel], prefix: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    from pydantic import BaseModel

    for name, field in model.model_fields.items():
        key = (*prefix, name)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _settings(kind, key)
            continue
        values = getattr(kind, "__args__", ())
        if values and isinstance(values[-1], type) and issubclass(values[-1], BaseModel):
            yield from _settings(values[-1], (*key, "<name>"))
            continue
        yield key, _default(field), field.description or ""


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value in (None, "", (), {}):
        return "not set"
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    return f"`{value}`"


def commands() -> Iterator[str]:
    """Each command of `wardline` with its arguments and options."""
    from permissions.cli.root import NOUNS, load

    every = (each for noun in sorted(NOUNS) for each in walk(load(noun), ("wardline", noun)))
    for path, command in every:
        yield f"### `{' '.join(path)}`"
        yield ""
        yield _EXAMPLES.sub(_fenced, inspect.cleandoc(command.help or "")).strip()
        yield ""
        rows = [_parameter(each) for each in command.params if each.name != "help"]
        if rows:
            yield "| | default | meaning |"
            yield "|---|---|---|"
            yield from rows
            yield ""


def _fenced(found: re.Match[str]) -> str:
    lines = "\n".join(line.strip() for line in found[1].splitlines())
    return f"```console\n{lines}\n```\n"


def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below this one that does something by itself, with its words."""
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children or getattr(command, "invoke_without_command", False):
        yield path, command
    for name in sorted(children):
        if not children[name].hidden:
            yield from walk(children[name], (*path, name))


def _parameter(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        label = f"`{_cell((parameter.metavar or parameter.name).upper())}`"
    else:
        label = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    default = "required" if parameter.required else _shown(parameter.default)
    return f"| {label} | {default} | {_cell(getattr(parameter, 'help', None) or '')} |"


def _shown(default: Any) -> str:
    if default in (None, False, "", ()) or callable(default):
        return ""
    return f"`{default}`"


def _cell(text: str) -> str:
    return " ".join(text.partition("\n\nAttributes:")[0].split()).replace("|", "\\|")


def sandbox_probes() -> Iterator[str]:
    """Each abuse case and what is expected of it, backend by backend."""
    from sandbox.probes import COLUMNS, PROBES

    titles = {"oci": "OCI runtime", "docker": "Docker", "bubblewrap": "bubblewrap"}
    names = " | ".join(titles[backend] for backend in COLUMNS)
    yield f"| # | what is attempted | what has to happen | open without | {names} |"
    yield "|---|---|---|---|" + "---|" * len(COLUMNS)
    for number, row in sorted(PROBES.items()):
        cells = [_cell(_expectation(row, backend)) for backend in COLUMNS]
        texts = map(_cell, (row.title, row.expected, row.without))
        yield f"| {number} | {' | '.join((*texts, *cells))} |"


def _expectation(row: Any, backend: str) -> str:
    """What the table promises of a row, in one cell."""
    if (reason := row.absent.get(backend)) is not None:
        return f"does not apply: {reason}"
    if (weakness := row.weak.get(backend)) is None:
        return "blocked"
    return f"blocked with {WITH[weakness.unless]}" if weakness.unless else "may be open"


WITH = {"controllers": "a control group", "user_namespace": "`userns-remap`"}
"""Facts of a backend with which it promises more, in words."""


def sandbox_weaknesses() -> Iterator[str]:
    """Each row that a backend does not promise, and what an open one means."""
    from sandbox.probes import COLUMNS, PROBES

    yield "| # | backend | not promised | an open row means |"
    yield "|---|---|---|---|"
    for number, row in sorted(PROBES.items()):
        for backend in COLUMNS:
            if (weakness := row.weak.get(backend)) is not None:
                when = f"without {WITH[weakness.unless]}" if weakness.unless else "at all"
                yield f"| {number} | {backend} | {when} | {_cell(weakness.means)} |"


def detection_rates() -> Iterator[str]:
    """How much detectors find of the labelled lines of the tests."""
    sys.path.insert(0, str(DOCS.parent / "tests" / "support"))
    yield import_module("detection_rates").table()


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "detection-rates": detection_rates,
    "errors": errors,
    "library": library,
    "policy-codes": policy_codes,
    "public-names": public_names,
    "reason-codes": reason_codes,
    "sandbox-probes": sandbox_probes,
    "sandbox-weaknesses": sandbox_weaknesses,
    "settings": settings,
}


def schemas() -> Iterator[tuple[Path, str]]:
    """Each JSON Schema that editors read, and what it should hold."""
    from permissions.assurance.register import Register
    from permissions.assurance.terms import Terms

    forms: dict[str, type[BaseModel]] = {"risk-register": Register, "release-gate": Terms}
    for name, form in forms.items():
        text = json.dumps(form.model_json_schema(), indent=2)
        yield DOCS / "reference" / "schemas" / f"{name}.json", f"{text}\n"


def rendered(page: str) -> str:
    """The page with its generated parts as they should be now."""

    def fill(found: re.Match[str]) -> str:
        lines = "\n".join(PARTS[found["name"]]()).strip()
        return f"{found[1]}\n{lines}\n\n{found[3]}"

    return _PART.sub(fill, page)


def main() -> int:
    """Writes or checks every page; 1 when a checked page is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on drift")
    check = parser.parse_args().check
    stale = []
    pages = [(file, rendered(file.read_text("utf-8"))) for file in sorted(DOCS.rglob("*.md"))]
    for file, fresh in (*pages, *schemas()):
        if not file.exists() or file.read_text("utf-8") != fresh:
            stale.append(file.relative_to(DOCS.parent))
            if not check:
                file.write_text(fresh, encoding="utf-8")
    for file in stale:
        sys.stdout.write(f"{file}: {'stale; run `make docs`' if check else 'written'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
