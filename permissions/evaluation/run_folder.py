"""A run's folder: what was run, and one line per scenario, so that it can go on and be compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from permissions.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from permissions.vocabulary import JsonObject

FORM = 2
EPISODES, ABOUT = "episodes.jsonl", "run.json"
_OF_THE_RUN = {"planned", "seconds"}
"""What is noted while it runs, and does not tell one run from another."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    def begin(self, about: JsonObject) -> set[str]:
        """Writes what is run; gives the keys of jobs that an earlier start has played.

        Raises:
            ConfigError: the folder holds a run of other data, policies or settings.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        about = {"form": FORM, **about}
        kept = self.path / ABOUT
        if kept.exists():
            earlier = self.about()
            changed = sorted(
                name
                for name in about.keys() | earlier.keys()
                if about.get(name) != earlier.get(name) and name not in _OF_THE_RUN
            )
            if changed:
                raise ConfigError(
                    f"{self.path} holds a run with another {', '.join(changed)}; give another"
                    " folder, or remove this one"
                )
        else:
            kept.write_text(json.dumps(about, indent=2) + "\n")
        self._mend()
        return {row["job"] for row in self.rows()}

    def note(self, *, planned: JsonObject | None = None, seconds: float = 0.0) -> None:
        """Keeps how many scenarios each setting calls for, and adds to the time it took."""
        about = self.about()
        about["planned"] = planned if planned is not None else about.get("planned", {})
        about["seconds"] = round(about.get("seconds", 0.0) + seconds, 3)
        (self.path / ABOUT).write_text(json.dumps(about, indent=2) + "\n")

    def _mend(self) -> None:
        """Drops a last line that was cut when a run was killed."""
        file = self.path / EPISODES
        if file.exists():
            data = file.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            if whole != data:
                file.write_bytes(whole)

    def append(self, rows: Sequence[JsonObject]) -> None:
        """Adds the episodes of a job, all of them or none."""
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        with (self.path / EPISODES).open("a") as file:
            file.write(text)

    def about(self) -> dict[str, Any]:
        """What was run.

        Raises:
            ConfigError: there is no run here, or one of another form.
        """
        try:
            about = json.loads((self.path / ABOUT).read_text())
        except (OSError, ValueError) as err:
            raise ConfigError(
                f"{self.path} holds no run; `wardline eval run --out {self.path}` makes one"
            ) from err
        if not isinstance(about, dict) or about.get("form") != FORM:
            raise ConfigError(f"{self.path} holds a run of another form; run it again")
        return about

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every episode.

        Raises:
            ConfigError: a line cannot be read.
        """
        file = self.path / EPISODES
        if not file.exists():
            return
        with file.open() as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield json.loads(line)
                except ValueError as err:
                    raise ConfigError(f"{file}:{number} is no JSON") from err
