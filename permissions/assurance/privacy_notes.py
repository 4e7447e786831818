"""What is stored where, for how long, who can read it, and how it is erased. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.export.blocks import Bullets, Heading, Table, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.export.blocks import Block
    from permissions.setup.config import BrokerConfig
    from permissions.vocabulary import JsonObject


def privacy_notes(card: JsonObject, settings: BrokerConfig) -> Iterator[Block]:
    """The notes.

    Args:
        card: the system card.
        settings: in force.
    """
    yield Heading(1, "Privacy notes")
    yield Text(f"Filled {card['made']} for the environment {card['environment']}.")
    yield Heading(2, "What is stored where")
    yield Table(("where", "what", "readable by", "how long"), [*_stores(settings)])
    yield Heading(2, "Before it is stored")
    redact = settings.trace.redact
    yield Text(
        f"What these detectors find is replaced in all that is recorded: {', '.join(redact)}."
        if redact
        else "Nothing is looked for and replaced: `trace.redact` is empty."
    )
    yield Heading(2, "What leaves this machine")
    yield Bullets([*_leaves(settings)])
    yield Heading(2, "Whose data is in the record")
    yield from _recorded(card)
    yield Heading(2, "How it is erased")
    yield Text(
        "wardline trace erase destroys the keys of runs, or of one kind of their contents: every"
        " copy of the log without its key file is reached, and proofs over the log still hold. Kept in the clear for ever: tools'"
        " names, times, run ids, reason codes, and who asked and approved."
        " wardline trace hold keeps what a case needs."
    )
    yield Heading(2, "For people")
    yield Table(
        ("question", "answer"),
        [
            (each, "")
            for each in (
                "For what purpose, and on which lawful basis",
                "Who is the controller, who processes for them",
                "Who answers a request to see or erase data, and within how long",
                "Which copies and backups hold the key file, and for how long",
                "Which providers of models see what the agent reads",
            )
        ],
    )


def _stores(settings: BrokerConfig) -> Iterator[tuple[str, str, str, str]]:
    trace = settings.trace
    days = (
        "for ever, until it is erased: trace.retain_days is not set"
        if trace.retain_days is None
        else f"{trace.retain_days} days after a run's last entry, where `wardline trace erase"
        " --expired` is run by a timer"
    )
    if trace.retain_kind_days:
        clocks = ", ".join(f"{kind} {each}" for kind, each in trace.retain_kind_days.items())
        days += f"; of these kinds for fewer days: {clocks}"
    reader = (
        f"the responders {', '.join(sorted(trace.responders))} alone"
        if trace.responders
        else "whoever has the vault's key"
    )
    state = settings.state
    yield (
        f"{state}/trace",
        "prompts, arguments, results, what people were shown: sealed by run and kind",
        reader,
        days,
    )
    yield (
        f"{state}/trace",
        "tools, times, run ids, reason codes, names of who asked and who approved",
        "whoever may read the folder",
        "for ever: the log is append-only",
    )
    yield f"{state}/trace/vault.keys", "the keys of each run, wrapped", "the broker", days
    yield (
        f"{state}/state.db",
        "open requests, votes, results by key, budgets: contents sealed under keys of runs",
        "the broker",
        "until the run's key is destroyed",
    )
    yield (
        f"{state}/bundles",
        "policies that decided; no data of people",
        "anybody there",
        "for ever",
    )
    if trace.replica is not None:
        yield str(trace.replica), "a second copy of the log", "as the first", "as the first"
    if trace.known_checkpoints is not None:
        kept = "checkpoints: sizes and hashes of the log"
        yield str(trace.known_checkpoints), kept, "anybody there", "for ever"


def _leaves(settings: BrokerConfig) -> Iterator[str]:
    notify = settings.approval.notify
    if notify.webhook or notify.smtp_host or notify.chat:
        yield "Notices that a request waits: tool, who asks, reason codes; no argument."
    for name, witness in settings.trace.witnesses.items():
        yield f"To the witness {name} ({witness.url}): checkpoints, which hold no content."
    if settings.pdp.engine == "opa":
        yield f"To the OPA server at {settings.pdp.opa_url}: the input of each decision, in full."
    for name, profile in settings.sandbox.profiles.items():
        if profile.egress:
            hosts = ", ".join(each.host for each in profile.egress.values())
            yield f"What tools of the profile {name} send to {hosts}."
    yield "What tools without a sandbox send: this is theirs, and is not seen."


def _recorded(card: JsonObject) -> Iterator[Block]:
    found = card["recorded"]
    if "not_measured" in found:
        yield Text(f"Not measured: {found['not_measured']}")
        return
    yield Text(f"{found['runs']} runs with {found['calls']} calls, asked for by:")
    yield Table(("who", "runs"), found["subjects"])
    yield Table(("who approved", "calls"), found["counted"]["approver"])
