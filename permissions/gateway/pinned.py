"""What people approved of the tools that servers offer: a file a team keeps and reviews.

    [files.read_text_file]
    definition = "sha256:5f0c…"
    effect = "read"
    impact = "low"
    marks = { path = "path read" }

`wardline gateway pin` adds a row for each tool with the most suspicious reading of it, and the
definition the row is bound to goes to the state folder, under its digest. Effects and marks are
the operator's to say.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from permissions.errors import ConfigError, ToolDefinitionError
from permissions.files import make_folder, replace
from permissions.gateway.offered import Offered
from permissions.tools.targets import FreeText, TargetError, mark_named
from permissions.vocabulary import Digest, Effect, Impact, Trust  # noqa: TC001 - pydantic reads them

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from permissions.tools.targets import Target

MAX_BYTES = 4 * 1024 * 1024


class Row(BaseModel):
    """What an operator says of one tool."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    definition: Annotated[Digest, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    effect: Effect = "execute"
    impact: Impact = "high"
    output: Trust = "untrusted"
    idempotent: bool = False
    control: tuple[str, ...] | None = None
    trusted_fields: tuple[str, ...] = ()
    marks: dict[str, str] = {}
    use: Literal["offered", "hidden"] = "offered"

    @property
    def is_described(self) -> bool:
        """Whether anybody said anything of the tool since it was approved."""
        return (self.effect, self.impact) != ("execute", "high")

    def targets(self, tool: str) -> dict[str, Target | FreeText]:
        """What each argument points at.

        Raises:
            ConfigError: there is no such mark.
        """
        found: dict[str, Target | FreeText] = {}
        for argument, text in self.marks.items():
            try:
                found[argument] = FreeText() if text == "free" else mark_named(text)
            except TargetError as err:
                raise ConfigError(
                    f"{tool}: {argument} {err}; `free` says that it is none"
                ) from err
        return found


_ROWS = TypeAdapter(dict[str, dict[str, Row]])


@dataclass(frozen=True, slots=True)
class Pins:
    """The file's rows, by upstream and tool."""

    rows: Mapping[str, Mapping[str, Row]]

    @classmethod
    def load(cls, path: Path) -> Pins:
        """Reads the file; none is one without rows.

        Raises:
            ConfigError: it cannot be read, with what and where.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return cls({})
        except OSError as err:
            raise ConfigError(f"{path}: {err.strerror}") from err
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{path}: over {MAX_BYTES} bytes")
        try:
            return cls(_ROWS.validate_python(tomllib.loads(data.decode())))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
            raise ConfigError(f"{path}: {err}") from err
        except ValidationError as err:
            (fault, *_) = err.errors(include_url=False, include_input=False)
            where = ".".join(map(str, fault["loc"]))
            raise ConfigError(f"{path}: {where}: {fault['msg']}") from err

    def with_row(self, upstream: str, tool: str, row: Row) -> Pins:
        """These, and one more or another."""
        of_upstream = {**self.rows.get(upstream, {}), tool: row}
        return Pins({**self.rows, upstream: of_upstream})

    def save(self, path: Path) -> None:
        """Writes the file anew, at once or not at all.

        Raises:
            OSError: it cannot be written.
        """
        replace(path, self.text().encode(), mode=0o644)

    def text(self) -> str:
        """As TOML; what is as it would be anyway is written too, for a reviewer to see."""
        parts = [
            "# Tools of MCP servers that were approved; `wardline gateway pin` adds to it."
        ]
        for upstream in sorted(self.rows):
            for tool in sorted(self.rows[upstream]):
                row = self.rows[upstream][tool]
                parts.append(f"\n{heading(upstream, tool)}")
                shown = row.model_dump(mode="json", exclude_defaults=True)
                shown |= {"effect": row.effect, "impact": row.impact}
                marks = shown.pop("marks", {})
                parts += [f"{key} = {json.dumps(shown[key])}" for key in sorted(shown)]
                said = ", ".join(
                    f"{_key(k)} = {json.dumps(v)}" for k, v in sorted(marks.items())
                )
                parts.append(f"marks = {{ {said} }}" if said else "marks = {}")
        return "\n".join(parts) + "\n"


class Definitions:
    """The approved definitions, each in a file named by its digest.

    Args:
        folder: in the state folder, which no tool reaches.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, offered: Offered) -> Digest:
        """Keeps one.

        Raises:
            ToolDefinitionError: it has no canonical form.
            OSError: it cannot be written.
        """
        digest = offered.digest
        make_folder(self._folder)
        replace(self._file(digest), json.dumps(offered.document).encode())
        return digest

    def get(self, digest: Digest) -> Offered:
        """The definition of this digest.

        Raises:
            ToolDefinitionError: it is not there, or not what its name says.
        """
        path = self._file(digest)
        try:
            offered = Offered.read(json.loads(path.read_bytes()))
        except (OSError, ValueError) as err:
            raise ToolDefinitionError(
                f"the approved definition {digest[:23]}… is not in {self._folder}; run"
                " `wardline gateway pin`"
            ) from err
        if offered.digest != digest:
            raise ToolDefinitionError(f"{path}: this is not what its name says; pin it again")
        return offered

    def _file(self, digest: Digest) -> Path:
        return self._folder / f"{digest.removeprefix('sha256:')}.json"


def heading(upstream: str, tool: str) -> str:
    """How the table of a row is headed in the file."""
    return f"[{_key(upstream)}.{_key(tool)}]"


def _key(name: str) -> str:
    return (
        name
        if name.replace("-", "").replace("_", "").isalnum() and name.isascii()
        else json.dumps(name)
    )
