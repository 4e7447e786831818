"""Where the arguments of a call came from, told among few and many remembered values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from measure import Timed, main, timed

from permissions.run.origins import Output
from permissions.run.provenance import ProvenanceLedger
from permissions.tools.trusted_fields import TrustedFields

if TYPE_CHECKING:
    from permissions.model import JsonObject

CALLS = 3_000
FIELDS = TrustedFields(["id", "sender"])
PROMPT = "Answer the mail of ann@corp.example about the March report, and pay 120.50 EUR."
MAILS = 20
"""In one output; each holds about five values."""


def _mails(first: int) -> list[JsonObject]:
    return [
        {
            "id": f"m-{number}",
            "sender": f"person{number}@corp.example",
            "subject": f"Report {number} of project {number % 7}",
            "body": f"See https://files.example/{number} for report-{number}.pdf, thanks.",
        }
        for number in range(first, first + MAILS)
    ]


def _ledger(values: int) -> ProvenanceLedger:
    """One that remembers so many values of mails, and what the person said."""
    ledger = ProvenanceLedger()
    ledger.add_user_text(PROMPT)
    first = 0
    while len(ledger._known) < values:
        _add(ledger, first)
        first += MAILS
    return ledger


def _add(ledger: ProvenanceLedger, first: int) -> None:
    mails = _mails(first)
    ledger.add_output(
        "read_mail",
        mails,
        trusted=False,
        effect="read",
        arguments={},
        provenance={},
        result=mails,
        fields=FIELDS,
        output=Output("call-1", 7),
    )


def _trace(values: int) -> Timed:
    ledger = _ledger(values)
    wanted = {"/to": "user", "/cc/0": "tool", "/note": "unknown", "/id": "tool"}

    def call(_: int) -> bool:
        arguments = {
            "to": "ann@corp.example",
            "cc": ["person3@corp.example"],
            "note": "As you asked: the numbers of March are in the report, see the attachment.",
            "id": "m-7",
        }
        found = ledger.trace(arguments, {"to", "cc", "id"})
        return {name: found[name]["origin"] for name in wanted} == wanted

    return timed(call, CALLS)


def _learn(values: int) -> Timed:
    """Taking up an output of twenty mails that are known already: it fills nothing up."""
    ledger = _ledger(values)

    def call(_: int) -> bool:
        _add(ledger, 0)
        return not ledger.overflowed

    return timed(call, 500)


CASES = {
    "trace-100": lambda: _trace(100),
    "trace-10k": lambda: _trace(10_000),
    "learn-100": lambda: _learn(100),
    "learn-10k": lambda: _learn(10_000),
}

if __name__ == "__main__":
    main(CASES)
