"""Policy bundles: the Rego modules and data one decision is made under, and their digest.

A bundle is read once, checked, and never changes afterwards. Its revision is the SHA-256 of
the RFC 8785 form of `{"data": sha256, "modules": {path: sha256}}`, so two machines with the
same files have the same revision, and a recorded decision can be made again under exactly
the bundle it was made under (`save_bundle`, `load_revision`).

`data/<table>.json` becomes `data.wardline.tables.<table>`
(docs/reference/policy-contract.md). Modules that end in `_test.rego` are kept apart: they are
run by `permissions.pdp.policy_tests` and are
never served.

A table that does not have the form of its schema does not load (`table_schemas`). It is
longer than others because a bundle is read from disk in one order, and each refusal stands in
that order. This module does not judge the Rego; `permissions.pdp.lint.bundle` does.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from permissions import files
from permissions.errors import PolicyLoadError, SigningError
from permissions.pdp.library import NAMES_FILE, library_folder, library_names, names_in
from permissions.pdp.table_schemas import table_faults
from permissions.signing.canonical import canonical, digest, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from permissions.model import Digest, JsonObject, JsonValue

MAX_MODULE_BYTES = 256 * 1024
MAX_DATA_BYTES = 8 * 1024 * 1024
MAX_BUNDLE_BYTES = 32 * 1024 * 1024
"""Larger than any policy met so far; a bundle beyond it is a mistake or an attack."""


_CONTRACT = "contract/contract.rego"
_COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*"|`[^`]*`)|#[^\n]*')
"""A comment, or a text, which may hold what looks like one."""
_NAMES_HISTORY = re.compile(r"\bhistory\b").search
_MAY_READ_HISTORY = re.compile(
    r"\bhistory\b|\binput(?!\.[a-z_])\b|\binput\.context(?!\.[a-z_])\b"
).search
"""A line of a policy that may read the calls before this one."""


@dataclass(frozen=True, slots=True)
class PolicyBundle:
    """Modules by path, data, and the digest of both.

    `tests` holds the `*_test.rego` modules; they are no part of the revision.
    """

    modules: Mapping[str, str]
    data: JsonObject
    revision: Digest
    tests: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def of(
        cls,
        modules: Mapping[str, str],
        data: JsonObject | None = None,
        tests: Mapping[str, str] | None = None,
    ) -> PolicyBundle:
        """A bundle from text already in memory.

        Raises:
            PolicyLoadError: a text is not UTF-8, or the data has no canonical form.
        """
        data = {} if data is None else data
        try:
            hashes = {path: digest(text.encode()) for path, text in sorted(modules.items())}
            revision = digest_of({"data": digest(canonical(data)), "modules": hashes})
        except (SigningError, UnicodeEncodeError) as err:
            raise PolicyLoadError(
                [
                    bundle_finding(
                        "data", "bundle.unrepresentable", str(err), "use plain JSON values"
                    )
                ]
            ) from err
        return cls(
            modules=MappingProxyType(dict(modules)),
            data=data,
            revision=revision,
            tests=MappingProxyType(dict(tests or {})),
        )

    def reads_history(self) -> bool:
        """Whether a module may read `input.context.history`.

        In doubt it does: also one that takes `input` or `input.context` as a whole. Only of the
        contract, which does for the sake of speed, is it known that it reads what it names.
        """
        for path, text in self.modules.items():
            reads = _NAMES_HISTORY if path == _CONTRACT else _MAY_READ_HISTORY
            bare = _COMMENT.sub(lambda found: found[1] or "", text)
            if any(map(reads, bare.split("\n"))):
                return True
        return False

    def document(self) -> JsonObject:
        """As the JSON a bundle is saved and sent as."""
        return {"data": self.data, "modules": dict(self.modules)}


def shipped_folder() -> Path:
    """The policies this distribution ships (a real folder, never inside a zip archive)."""
    return Path(str(resources.files("permissions") / "_policies")).resolve()


def load_bundle(folder: Path | None = None, *, overlay: Path | None = None) -> PolicyBundle:
    """Reads `folder` (default: the shipped policies) and puts `overlay` on top of it.

    Packages of the library that either names (`library.json`) come before its own files.
    A table of the overlay replaces the one of that name as a whole. Modules of the overlay
    stand in folders of their own: `main`, `joined`, `lib`, `contract` and the packages of
    `folder` are closed to it. To change one of those, copy the folder and name the copy.

    Raises:
        PolicyLoadError: every file that is unreadable, not UTF-8 or JSON, too large, a link
            out of its folder, or not in force for its name, and every table of another form
            than its schema's, as findings.
    """
    modules: dict[str, str] = {}
    tests: dict[str, str] = {}
    tables: JsonObject = {}
    findings: list[str] = []
    for root in (folder or shipped_folder(), overlay):
        if root is None:
            continue
        switched_on = _switched_on(root, findings)
        for name in switched_on:
            files_of = _texts(library_folder() / name, findings)
            findings += _sorted_in(files_of, modules, tests, tables)
        closed = frozenset(map(_room, modules)) | _SHARED if root is overlay else frozenset()
        findings += _sorted_in(_texts(root, findings), modules, tests, tables, closed)
        for name in switched_on:
            findings += _form(name, tables[name], library=True)
    if not modules:
        findings.append(
            bundle_finding(
                str(folder or "shipped policies"),
                "bundle.empty",
                "no .rego module was found",
                "name a folder that holds one",
            )
        )
    if findings:
        raise PolicyLoadError(findings)
    return PolicyBundle.of(modules, {"wardline": {"tables": tables}}, tests)


def bundle_of_texts(texts: Mapping[str, bytes], tables: JsonObject) -> PolicyBundle:
    """A bundle from files that are in memory, held to the same limits as those of a folder.

    Args:
        texts: the `.rego` files by path; those that end in `_test.rego` are tests.
        tables: by name.

    Raises:
        PolicyLoadError: a file is too large or no UTF-8, or a table is none.
    """
    findings: list[str] = []
    modules: dict[str, str] = {}
    tests: dict[str, str] = {}
    for path, raw in sorted(texts.items()):
        if (text := _text(path, raw, MAX_MODULE_BYTES, findings)) is not None:
            (tests if path.endswith("_test.rego") else modules)[path] = text
    known: JsonObject = {}
    for name, table in tables.items():
        _check_table(known, f"data/{name}.json", table, findings)
    if findings:
        raise PolicyLoadError(findings)
    return PolicyBundle.of(modules, {"wardline": {"tables": known}}, tests)


def _sorted_in(
    texts: Iterator[tuple[str, str]],
    modules: dict[str, str],
    tests: dict[str, str],
    tables: JsonObject,
    closed: frozenset[PurePosixPath] = frozenset(),
) -> list[str]:
    """Puts each file where it belongs; what is wrong with them is given back."""
    findings: list[str] = []
    for path, text in texts:
        if path.endswith("_test.rego"):
            tests[path] = text
        elif path.endswith(".rego"):
            if _room(path) in closed:
                findings.append(_closed(path))
            modules[path] = text
        else:
            _add_table(tables, path, text, findings)
    return findings


def _switched_on(root: Path, findings: list[str]) -> list[str]:
    """The packages of the library that a folder names."""
    named = root / NAMES_FILE
    if not named.exists() and not named.is_symlink():
        return []
    if not named.resolve().is_relative_to(root.resolve()):
        findings.append(bundle_finding(NAMES_FILE, "bundle.link", "a link out", "copy it in"))
        return []
    try:
        with named.open("rb") as file:
            return names_in(file.read(MAX_MODULE_BYTES).decode())
    except (OSError, ValueError, RecursionError) as err:
        said = (err.strerror or "") if isinstance(err, OSError) else str(err)[:200]
        fix = f"it is a list of {', '.join(library_names())}"
        findings.append(bundle_finding(NAMES_FILE, "bundle.library", said, fix))
        return []


def _form(name: str, table: JsonValue, *, library: bool = False) -> list[str]:
    return [
        bundle_finding(f"data/{name}.json", "bundle.table", f"{where}: {what}", fix)
        for where, what, fix in table_faults(name, table, library=library)
    ]


_SHARED = frozenset(map(PurePosixPath, ("main", "joined", "lib", "contract")))


def _room(path: str) -> PurePosixPath:
    """The folder of a module; a file beside the folders stands for one of its name."""
    file = PurePosixPath(path)
    return file.parent if file.parent.name else file.with_suffix("")


def _closed(path: str) -> str:
    return bundle_finding(
        path,
        "bundle.closed",
        f"`{_room(path)}` belongs to the policies below the overlay",
        "add a package in a folder of its own (`layers/<name>/` narrows), or copy the policies"
        " and change the copy",
    )


def save_bundle(bundle: PolicyBundle, folder: Path) -> Path:
    """Writes the bundle as `<hex of its revision>.json` and returns the path.

    Content-addressed, so writing the same bundle twice, or from two processes, is harmless.

    Raises:
        OSError: the folder cannot be written.
    """
    files.make_folder(folder)
    target = _revision_path(folder, bundle.revision)
    if target.exists():
        return target
    files.replace(target, canonical(bundle.document()))
    return target


def load_revision(folder: Path, revision: Digest) -> PolicyBundle:
    """Reads the bundle that was saved under `revision`, and checks that it still is it.

    Raises:
        PolicyLoadError: there is none, or its content has another digest.
    """
    path = _revision_path(folder, revision)
    try:
        document = strict_json(path.read_text("utf-8"))
        bundle = PolicyBundle.of(document["modules"], document["data"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise PolicyLoadError(
            [
                bundle_finding(
                    path.name,
                    "bundle.unreadable",
                    f"no saved bundle of revision {revision[:80]!r} ({type(err).__name__})",
                    "replay where the bundles of that run are kept",
                )
            ]
        ) from err
    if bundle.revision != revision:
        raise PolicyLoadError(
            [
                bundle_finding(
                    path.name,
                    "bundle.altered",
                    f"its content has revision {bundle.revision}",
                    "restore it from a backup; it is not what the run was decided under",
                )
            ]
        )
    return bundle


def _revision_path(folder: Path, revision: Digest) -> Path:
    name = revision.removeprefix("sha256:")
    if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
        raise PolicyLoadError(
            [
                bundle_finding(
                    str(folder),
                    "bundle.revision",
                    f"{revision[:80]!r} is no revision",
                    "it is `sha256:` and 64 hex digits",
                )
            ]
        )
    return folder / f"{name}.json"


def _texts(root: Path, findings: list[str]) -> Iterator[tuple[str, str]]:
    base = root.resolve()
    if not base.is_dir():
        findings.append(
            bundle_finding(str(root), "bundle.missing", "no such folder", "check the path")
        )
        return
    total = 0
    for path in _files(base, findings):
        name = path.relative_to(base).as_posix()
        limit = MAX_MODULE_BYTES if path.suffix == ".rego" else MAX_DATA_BYTES
        try:
            with path.open("rb") as file:
                raw = file.read(limit + 1)
        except OSError as err:
            findings.append(
                bundle_finding(name, "bundle.unreadable", err.strerror or "", "check it")
            )
            continue
        total += len(raw)
        room = limit if total <= MAX_BUNDLE_BYTES else 0
        if (text := _text(name, raw, room, findings)) is not None:
            yield name, text


def _text(name: str, raw: bytes, limit: int, findings: list[str]) -> str | None:
    if len(raw) > limit:
        what = f"more than {limit or MAX_BUNDLE_BYTES:,} bytes"
        findings.append(bundle_finding(name, "bundle.size", what, "split the policy"))
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        findings.append(
            bundle_finding(name, "bundle.encoding", "not UTF-8", "save it as UTF-8")
        )
        return None


def _files(base: Path, findings: list[str]) -> Iterator[Path]:
    """Policy files in a stable order.

    Links are followed for files, inside the folder only (as mounted configuration has them),
    never for folders.
    """
    for here, folders, names in os.walk(base):
        folder = Path(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if folder == base / "library":  # in force where it is named, `library.json`
            folders[:] = [name for name in folders if name not in library_names()]
        findings.extend(
            bundle_finding(
                (folder / name).relative_to(base).as_posix(),
                "bundle.link",
                "a linked folder",
                "copy it in, or name it as the overlay",
            )
            for name in folders
            if (folder / name).is_symlink()
        )
        for name in sorted(names):
            path = folder / name
            is_data = folder == base / "data" and name.endswith(".json")
            if name.startswith("."):
                continue
            if not (is_data or name.endswith(".rego")):
                if _looks_read(path.relative_to(base)):
                    findings.append(_unread(path.relative_to(base).as_posix()))
                continue
            if not path.resolve().is_relative_to(base) or not path.is_file():
                findings.append(
                    bundle_finding(
                        path.relative_to(base).as_posix(),
                        "bundle.link",
                        "a link out of its folder, or no regular file",
                        "copy the file in",
                    )
                )
                continue
            yield path


def _looks_read(path: Path) -> bool:
    """Whether somebody may believe that a file is in force, though it is not."""
    name = path.name.lower()
    is_data = path.parts[0] == "data" and name.endswith((".json", ".yaml", ".yml", ".toml"))
    return is_data or name in {"data.json", "data.yaml", "data.yml"} or name.endswith(".rego")


def _unread(path: str) -> str:
    return bundle_finding(
        path,
        "bundle.unread",
        "this file would not be in force",
        "policies are *.rego, and tables data/NAME.json; name it so, or move it elsewhere",
    )


def _add_table(tables: JsonObject, path: str, text: str, findings: list[str]) -> None:
    try:
        table = strict_json(text)
    except (ValueError, RecursionError) as err:
        problem = str(err)[:200]
        findings.append(
            bundle_finding(path, "bundle.json", problem, "write strict JSON (RFC 8259)")
        )
        return
    _check_table(tables, path, table, findings)


def _check_table(tables: JsonObject, path: str, table: JsonValue, findings: list[str]) -> None:
    name = PurePosixPath(path).stem
    if not name.isidentifier() or not name.isascii():
        findings.append(
            bundle_finding(
                path, "bundle.table", f"{name[:80]!r} is no table name", "use a_to_z names"
            )
        )
        return
    findings += _form(name, table)
    tables[name] = table


def strict_json(text: str, *, number: Callable[[str], Any] | None = None) -> Any:
    """JSON without a key twice and without NaN.

    Args:
        text: the JSON.
        number: reads a number of its text; int or float by default.

    Raises:
        ValueError: it is none.
        RecursionError: it is nested too deeply.
    """
    return json.loads(
        text,
        object_pairs_hook=_unique,
        parse_constant=_refuse_constant,
        parse_int=number,
        parse_float=number,
    )


def _unique(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return out


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def bundle_finding(path: str, code: str, what: str, fix: str) -> str:
    """One line of a `PolicyLoadError` about a file as a whole."""
    return f"{path}:1:1: {code}: {what}; {fix}"
