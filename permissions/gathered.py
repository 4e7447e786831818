"""What was measured of an installation, part by part, in a folder that others read and add to.

The release gate puts its parts here (`evaluation`, `probe`, `policy-check`, ...), drills put
theirs, and the system card, the evidence packet and the trends read them::

    FOLDER/evaluation/20261130T141500.000000Z.json

One file is one measurement; the newest of a part is the one that counts, and the older ones are
its history. A file says the digest of its evidence, so one that was edited by hand or cut is
refused. Who writes the folder can write digests, too: only a signature over what was gathered
(the evidence packet) protects from that.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from permissions import files
from permissions.errors import ConfigError
from permissions.signing.canonical import digest_of
from permissions.vocabulary import Digest, JsonObject  # noqa: TC001 - pydantic reads them

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULT_FOLDER = ".wardline-evidence"
"""Where the commands look when they are told no folder; beside a project's settings."""

PartOutcome = Literal["passed", "failed", "not_measured"]
"""`not_measured` is no pass: who needs the part treats it as missing."""

PART = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
_FILE = re.compile(r"^\d{8}T\d{6}\.\d{6}Z\.json$")


class Finding(BaseModel):
    """One thing that is wrong, as a code for programs and a sentence for people.

    Attributes:
        code: `<part>.<what>`, as `register.no_owner`; each is in docs/reference/assurance.md.
        text: which one, and what to do.
        about: what it is about, where the text holds more than that (counts, an example).
        file: where it stands, relative to where the command ran; empty where it is no file's.
        line: counted from 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    code: str = Field(max_length=80)
    text: str
    about: str = ""
    file: str = ""
    line: int = Field(default=1, ge=1)

    @property
    def id(self) -> str:
        """Twelve hex digits that stay the same as long as it is the same finding."""
        named = {"code": self.code, "about": self.about or self.text}
        return digest_of(named).removeprefix("sha256:")[:12]


class PartResult(BaseModel):
    """What one part came to, and when.

    Attributes:
        part: its name, in small letters with dashes.
        outcome: whether it holds.
        sentence: the outcome in a sentence, for a reviewer.
        findings: what is wrong; empty when it passed.
        evidence: what was measured, as JSON; its form is the part's own.
        evidence_digest: over the canonical bytes of `evidence`.
        measured_at: microseconds since 1970 UTC.
        policies: revision of the policies it was measured under, where it had any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    part: str = Field(pattern=PART, max_length=60)
    outcome: PartOutcome
    sentence: str = Field(min_length=1)
    findings: Annotated[tuple[Finding, ...], Field(strict=False)] = ()
    evidence: JsonObject
    evidence_digest: Digest
    measured_at: int = Field(ge=0)
    policies: str | None = None

    @model_validator(mode="after")
    def _agrees(self) -> PartResult:
        if digest_of(self.evidence) != self.evidence_digest:
            raise ValueError("its evidence has another digest")
        if (self.outcome == "failed") != bool(self.findings):
            raise ValueError("what failed has findings, and nothing else has")
        return self


def measured(
    part: str,
    sentence: str,
    evidence: JsonObject,
    *,
    at: int,
    findings: tuple[Finding, ...] = (),
    policies: str | None = None,
) -> PartResult:
    """The result of a part that was measured: it failed when there are findings.

    Raises:
        SigningError: the evidence has no canonical form.
    """
    evidence = json.loads(json.dumps(evidence))  # as it will be read back: lists, text as names
    return PartResult(
        part=part,
        outcome="failed" if findings else "passed",
        sentence=sentence,
        findings=findings,
        evidence=evidence,
        evidence_digest=digest_of(evidence),
        measured_at=at,
        policies=policies,
    )


def not_measured(part: str, why: str, *, at: int) -> PartResult:
    """The result of a part that could not be measured; `why` says what to do."""
    return PartResult(
        part=part,
        outcome="not_measured",
        sentence=why,
        evidence={},
        evidence_digest=digest_of({}),
        measured_at=at,
    )


@dataclass(frozen=True, slots=True)
class Gathered:
    """The folder."""

    folder: Path

    def keep(self, result: PartResult) -> Path:
        """Adds a measurement and gives its file.

        Raises:
            FileExistsError: there is one of this part and microsecond.
            OSError: it cannot be written.
        """
        file = self.folder / result.part / _name(result.measured_at)
        files.make_folder(file.parent)
        text = json.dumps(result.model_dump(mode="json"), indent=2)
        files.create(file, f"{text}\n".encode(), mode=0o644)
        return file

    def newest(self, part: str) -> PartResult | None:
        """The newest measurement of a part; None when there is none.

        Raises:
            ConfigError: it cannot be read, or was altered.
        """
        found = self._files(part)
        return self._read(part, found[-1]) if found else None

    def history(self, part: str) -> Iterator[PartResult]:
        """Every measurement of a part, oldest first.

        Raises:
            ConfigError: one cannot be read, or was altered.
        """
        for file in self._files(part):
            yield self._read(part, file)

    def all(self) -> dict[str, PartResult]:
        """The newest measurement of each part, by name.

        Raises:
            ConfigError: one cannot be read, or was altered.
        """
        if not self.folder.is_dir():
            return {}
        parts = sorted(each.name for each in self.folder.iterdir() if each.is_dir())
        found = {part: self.newest(part) for part in parts if re.match(PART, part)}
        return {part: result for part, result in found.items() if result is not None}

    def _files(self, part: str) -> list[Path]:
        folder = self.folder / part
        if not folder.is_dir():
            return []
        return sorted(each for each in folder.iterdir() if _FILE.match(each.name))

    def _read(self, part: str, file: Path) -> PartResult:
        try:
            result = PartResult.model_validate_json(file.read_bytes())
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False)[0]
            where = "/".join(map(str, first["loc"])) or "the whole"
            raise ConfigError(
                f"{file}: {where}: {first['msg']}; remove it and measure {part} again"
            ) from err
        except OSError as err:
            raise ConfigError(f"{file} cannot be read: {err.strerror}") from err
        if (result.part, _name(result.measured_at)) != (part, file.name):
            raise ConfigError(
                f"{file} is a measurement of {result.part} from another time; remove it and"
                f" measure {part} again"
            )
        return result


def _name(measured_at: int) -> str:
    """The file of a time, so that names sort as times do."""
    seconds, rest = divmod(measured_at, 1_000_000)
    when = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{when:%Y%m%dT%H%M%S}.{rest:06d}Z.json"
