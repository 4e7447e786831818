"""What a packet for a review board says of itself, beyond what every packet does. Pure."""

from __future__ import annotations

from typing import Final

STEPS: Final = "$ python3 -I verify_statements.py\n"

QUESTIONS: Final = (
    ("May this release go out, and what decides that?", "gathered/gate.json", "sentence, findings, evidence.parts"),
    ("Which tools may the agent use, and what can each do?", "system-card.json", "tools.list"),
    ("Which policies decide, and how much of them is tested?", "system-card.json", "policies.revision, policies.packages, policies.tests.covered_share"),
    ("Who is asked, and for what?", "system-card.json", "approvals.approvers, approvals.terms"),
    ("What isolates the tools, and was it measured?", "system-card.json", "isolation.backends, isolation.open"),
    ("How many attacks got through, and how sure is that?", "system-card.json", "evaluation.figures: share, wilson"),
    ("What was let by, by whom, and until when?", "system-card.json", "exemptions.in_force"),
    ("Which risks are left, and who answers for each?", "system-card.json", "risks.list: owner, due, residual"),
    ("Is the record unaltered, and is anything missing from it?", "verdict.json", "integrity, completeness; `verify.py` proves the first"),
    ("Was an incident practised, and how fast was it found and stopped?", "system-card.json", "drills: seconds"),
    ("What does all this not protect from?", "system-card.json", "limits"),
    ("What changed since the last release?", "system-card.json", "changes.what"),
)  # fmt: skip
"""What a review board asks, the file that answers, and where in it."""


def packet_text() -> str:
    """What goes to the end of the packet's README."""
    rows = "\n".join(f"| {asked} | `{file}` | {where} |" for asked, file, where in QUESTIONS)
    return f"""
## For a review board

`system-card.html` is the card to read, `system-card.json` the same for programs. What was not
measured says so there (`not_measured`), and is no good result.

| question | file | where |
|---|---|---|
{rows}

`verify_statements.py` holds each line of `statements.jsonl` to `packet-key.pem`, and the files it
is about to their digests. The first is an in-toto test result that release tools read: `FAILED`
unless the release gate holds, and `WARNED` where it holds by an exemption or a drill failed. The second names each part that was measured with the digest of
its evidence, each exemption, and how far the record goes.

| file | holds |
|---|---|
| `system-card.json`, `.md`, `.html` | the system, as far as it was measured |
| `gathered/` | the newest result of each part of the gate, and of each drill, with its evidence |
| `inputs/` | the policies in force, and what the gate read: thresholds, risk register, exemptions |
| `statements.jsonl` | what the signer of the packet says, in DSSE envelopes |

What a signature does not say: that what was measured was measured well, or on the machine that
the release will run on.
"""
