"""The risk register: a TOML file that a team keeps in its repository, beside its policies.

    form = 1

    [[risk]]
    id = "payment-redirected"
    title = "A mail or page has the agent pay somebody else"
    severity = "critical"
    likelihood = "likely"
    owner = "olga"
    due = 2027-03-31
    status = "mitigated"
    covers = { marks = ["recipient", "amount"], effects = ["irreversible"] }
    mitigations.policies = ["provenance", "budgets/budgets.unlimited_currency"]
    mitigations.evaluations = ["V5/attacks/share"]

Mitigations are named and never described: what has a name can be looked for, and `wardline
assure check` does. An unknown member is an error, for a misspelt one would mitigate nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator  # noqa: TC003 - pydantic reads the hints
from datetime import date  # noqa: TC003
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from permissions.errors import ConfigError
from permissions.vocabulary import Effect, Isolation  # noqa: TC001 - pydantic reads them

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_REGISTER = "wardline-risks.toml"
MAX_BYTES = 1_000_000

Severity = Literal["low", "medium", "high", "critical"]
Likelihood = Literal["rare", "unlikely", "possible", "likely"]
Status = Literal["open", "mitigated", "accepted", "closed"]
"""`open` is worked on, `mitigated` is held by its mitigations, `accepted` is lived with by its
owner until it is due again, `closed` is none any more and covers no tool."""

Names = Annotated[tuple[str, ...], Field(strict=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Mitigations(_Part):
    """What holds a risk, by name."""

    policies: Names = Field(
        default=(),
        description="Packages, as `messaging`, `effects.changes` or `layers.git`, or a rule of one by"
        " its reason code or name, as `messaging/messaging.unlisted_recipient`.",
    )
    plans: Names = Field(
        default=(), description="Files of declared plans, relative to the register."
    )
    profiles: Names = Field(
        default=(), description="Sandbox profiles of the settings; `default` is the tightest."
    )
    probes: Annotated[tuple[int, ...], Field(strict=False)] = Field(
        default=(), description="Cases of `wardline sandbox probe`, by number."
    )
    evaluations: Names = Field(
        default=(),
        description="Figures of an evaluation that the thresholds hold, as"
        " `V5/attacks/share`: the variant, and the path of the figure.",
    )
    alerts: Names = Field(default=(), description="Alerts of the monitoring, by name.")
    drills: Names = Field(default=(), description="Exercises, by name.")

    def all(self) -> Iterator[tuple[str, str]]:
        """Each mitigation, as its kind and name."""
        for kind in type(self).model_fields:
            for name in getattr(self, kind):
                yield kind, str(name)


class Covers(_Part):
    """The tools a risk is about: by name, or by what tools declare of themselves."""

    tools: Names = Field(default=(), description="Tools by name.")
    effects: Annotated[tuple[Effect, ...], Field(strict=False)] = Field(
        default=(), description="Every tool with one of these effects."
    )
    marks: Names = Field(
        default=(), description="Every tool with an argument so marked, as `recipient`."
    )
    isolation: Annotated[tuple[Isolation, ...], Field(strict=False)] = Field(
        default=(), description="Every tool that runs behind one of these boundaries."
    )


class Risk(_Part):
    """One risk."""

    id: str = Field(
        pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=60, description="Its name."
    )
    title: str = Field(min_length=1, max_length=200, description="What could happen.")
    severity: Severity = Field(description="How bad it would be.")
    likelihood: Likelihood = Field(description="How likely it is, before any mitigation.")
    owner: str = Field(
        default="", max_length=100, description="Who answers for it; empty is a finding."
    )
    due: date | None = Field(
        default=None, description="When it has to be looked at again; past it is a finding."
    )
    status: Status = Field(default="open", description="What is done about it.")
    residual: str = Field(
        default="", max_length=500, description="What is left of it with its mitigations."
    )
    covers: Covers = Field(default=Covers(), description="The tools it is about.")
    mitigations: Mitigations = Field(default=Mitigations(), description="What holds it.")


class Register(_Part):
    """The whole file."""

    form: Literal[1] = Field(description="Version of the file's form.")
    risk: Annotated[tuple[Risk, ...], Field(strict=False)] = Field(
        default=(), description="The risks."
    )

    @field_validator("risk")
    @classmethod
    def _each_once(cls, risks: tuple[Risk, ...]) -> tuple[Risk, ...]:
        names = [risk.id for risk in risks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0]!r} stands twice; ids are unique")
        return risks


def read_register(path: Path) -> Register:
    """Reads a register.

    Raises:
        ConfigError: it is none; says where and what to do.
    """
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            raise ConfigError(
                f"{path} has more than {MAX_BYTES:,} bytes, which no register has"
            )
        return parse_register(raw.decode())
    except OSError as err:
        raise ConfigError(
            f"{path} cannot be read: {err.strerror}; `wardline assure init` writes one"
        ) from err
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False)[0]
        where = "/".join(map(str, first["loc"])) or "the top"
        raise ConfigError(f"{path}: {where}: {first['msg']}") from err
    except ValueError as err:
        raise ConfigError(f"{path} is no TOML file: {err}") from err


def parse_register(text: str) -> Register:
    """A register of its text.

    Raises:
        ValidationError: it has another form.
        ValueError: it is no TOML.
    """
    return Register.model_validate(tomllib.loads(text))


def line_of(text: str, risk: str) -> int:
    """The line on which a risk's id stands, for messages; 1 when it is not found."""
    for number, line in enumerate(text.splitlines(), start=1):
        name, _, value = line.partition("=")
        if name.strip() == "id" and value.split("#")[0].strip().strip("\"'") == risk:
            return number
    return 1
