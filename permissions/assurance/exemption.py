"""An exemption: a person lets one finding by, for a while, with a signature.

It is a DSSE v1 envelope by an approver's own key, a line of a file that lies in the repository.
It names the finding, and so lets no other by: one that names the policies' revision (what is
newly allowed) holds for exactly these policies, and a figure that got worse is another finding.

Not protected from: an approver's key that was stolen, or a person who signs without reading.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from permissions.errors import ApproverRefusedError, ConfigError, SigningError
from permissions.reasons import shown
from permissions.signing import dsse
from permissions.signing.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from permissions.approval.approvers import Approver, Approvers
    from permissions.gathered import Finding
    from permissions.signing.keys import Signer

PAYLOAD_TYPE = "application/vnd.wardline.exemption+json"
MAX_REASON = 500
MAX_BYTES = 4_000_000
_MICROS = 1_000_000


class Exemption(BaseModel):
    """What was signed.

    Attributes:
        finding: its id (`Finding.id`).
        code, text: what the person saw of it.
        reason: why it may pass, in their words.
        by: who they are.
        until: the last day on which it holds, UTC.
        time: when it was signed, microseconds since 1970 UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    finding: str = Field(pattern=r"^[0-9a-f]{12}$")
    code: str = Field(max_length=80)
    text: str
    reason: str = Field(min_length=1, max_length=MAX_REASON)
    by: str = Field(min_length=1, max_length=64)
    until: date
    time: int = Field(ge=0)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Who may let a finding by, and for how long.

    Attributes:
        groups: one of which they must be in; everybody who is registered when empty.
        days: from the day it is signed on.
    """

    groups: frozenset[str]
    days: int


def sign_exemption(
    finding: Finding,
    *,
    reason: str,
    until: date,
    approver: Approver,
    bounds: Bounds,
    now: int,
    signer: Signer,
) -> bytes:
    """The line that lets a finding by.

    Raises:
        ConfigError: it has no reason, no end within the bounds, or this person may not.
    """
    if not reason.strip() or len(reason) > MAX_REASON:
        raise ConfigError(f"a reason has 1 to {MAX_REASON} characters, not {len(reason)}")
    said = Exemption(
        finding=finding.id,
        code=finding.code,
        text=finding.text,
        reason=reason,
        by=approver.id,
        until=until,
        time=now,
    )
    if (problem := _problem(said, approver, bounds, now)) is not None:
        raise ConfigError(problem)
    payload = canonical(said.model_dump(mode="json"))
    return dsse.sign(payload, payload_type=PAYLOAD_TYPE, signers=[signer]).dumps()


def read_exemptions(
    path: Path, approvers: Approvers, bounds: Bounds, now: int
) -> tuple[list[Exemption], list[str]]:
    """Those that hold today, and why each other one does not.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        raw = path.read_bytes() if path.exists() else b""
    except OSError as err:
        raise ConfigError(f"{path} cannot be read: {err.strerror}") from err
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path} has more than {MAX_BYTES:,} bytes")
    return judged_exemptions(raw.splitlines(), approvers, bounds, now)


def judged_exemptions(
    lines: Iterable[bytes], approvers: Approvers, bounds: Bounds, now: int
) -> tuple[list[Exemption], list[str]]:
    """Those that hold, and why each other line does not. Pure."""
    held: list[Exemption] = []
    refused: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            said, approver = _genuine(line, approvers)
        except (SigningError, ApproverRefusedError, ValidationError, ValueError) as err:
            first = str(err).partition("\n")[0]
            refused.append(shown(f"line {number} is no exemption that counts: {first}"))
            continue
        if (problem := _problem(said, approver, bounds, now)) is None:
            held.append(said)
        else:
            refused.append(shown(f"line {number}, of {said.finding} by {said.by}: {problem}"))
    return held, refused


def _genuine(line: bytes, approvers: Approvers) -> tuple[Exemption, Approver]:
    envelope = dsse.Envelope.parse(line)
    claimed = json.loads(envelope.payload)
    approver = approvers.get(str(claimed.get("by")) if isinstance(claimed, dict) else "")
    payload = dsse.verify(envelope, keys=approver.keys, payload_type=PAYLOAD_TYPE)
    return Exemption.model_validate_json(payload), approver


def _problem(said: Exemption, approver: Approver, bounds: Bounds, now: int) -> str | None:
    """Why an exemption that is signed does not hold now."""
    today, signed_on = day_of(now), day_of(said.time)
    if bounds.groups and not bounds.groups & approver.groups:
        return f"{approver.id} is in none of the groups that may: {', '.join(sorted(bounds.groups))}"
    if said.time > now:
        return "it was signed in the future; check the clocks"
    if said.until < today:
        return f"it ended on {said.until}"
    if said.until > signed_on + timedelta(days=bounds.days):
        return f"it lasts until {said.until}, longer than {bounds.days} days"
    return None


def exemption_of(finding: Finding, held: Sequence[Exemption]) -> Exemption | None:
    """The exemption that lets a finding by, the one that lasts longest."""
    mine = [each for each in held if each.finding == finding.id and each.code == finding.code]
    return max(mine, key=lambda each: each.until, default=None)


def day_of(micros: int) -> date:
    """The day of a time, UTC."""
    return datetime.fromtimestamp(micros // _MICROS, tz=UTC).date()
