"""`wardline request`: the people's side of approvals, on the state another process waits on.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 this person may not answer, 4 no longer open,
130 interrupted.
Results go to stdout, questions and errors to stderr. Longer than others because it is the whole
noun: half of it is the help of its commands.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, assert_never

import anyio
import typer

from permissions.approval import console
from permissions.approval.grant import Constraint, grant_of, proposed, sign_grant
from permissions.approval.grant_store import KeptGrant
from permissions.approval.reading import reading
from permissions.approval.stages import turn
from permissions.approval.text import literal, moment, visible
from permissions.approval.votes import sign_vote
from permissions.broker.ports import now_us, random_id
from permissions.cli.approvals import LOOK_SECONDS, on_approvals
from permissions.cli.grant import grant_lines
from permissions.cli.program import noun
from permissions.cli.prompt import ask_person, terminal_width
from permissions.errors import (
    ApprovalError,
    ConfigError,
)
from permissions.signing.key_uris import signer_from_uri

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from permissions.approval.approvers import Approvers
    from permissions.approval.model import AccessRequest, Verdict
    from permissions.approval.service import ApprovalService
    from permissions.model import JsonObject


app = noun("Read and answer access requests.")

Dir = Annotated[
    Path | None, typer.Option("--dir", help="State folder; the configured one by default.")
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the access request.")]
Note = Annotated[
    str,
    typer.Option("--note", help="A word to whoever reads the record; with a no, to the agent."),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="WARDLINE_APPROVER_KEY",
        help="Your key: file:PATH, env:NAME, ssh-agent:NAME.",
    ),
]
As = Annotated[
    str | None,
    typer.Option("--as", help="Your name as an approver; by default the one of the key."),
]


@app.command("list")
def list_(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those decided.")] = False,
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """List requests that wait for an answer.

    \b
    Examples:
      $ wardline request list
      $ wardline request list --all --json
    """

    async def work(service: ApprovalService, _: Approvers) -> None:
        requests = await service.listed(pending_only=not everything)
        for request in requests:
            typer.echo(_json(request) if as_json else _line(request))
        if not requests and not as_json:
            typer.echo("no access requests", err=True)

    on_approvals(work, folder, config)


@app.command()
def show(
    request_id: Id,
    *,
    as_json: Json = False,
    full: Annotated[bool, typer.Option("--full", help="Leave nothing out.")] = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Show one request.

    What exactly would run or be changed, who asks, and why a person has to say yes.
    """

    async def work(service: ApprovalService, _: Approvers) -> None:
        request = await service.get(request_id)
        if as_json:
            typer.echo(_json(request))
        else:
            typer.echo(
                console.page(request, now=now_us(), full=full, width=terminal_width()).text
            )

    on_approvals(work, folder, config)


@app.command()
def approve(
    request_id: Id,
    *,
    note: Note = "",
    key: Key = None,
    name: As = None,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Approve one request, signed with your key.

    \b
    Examples:
      $ wardline request approve req-2f6c --key file:$HOME/.config/wardline/olga.pem
      $ wardline request approve req-2f6c --note "checked with the vendor"
    """
    answer(request_id, "approve", note=note, key=key, name=name, folder=folder, config=config)


@app.command()
def deny(
    request_id: Id,
    *,
    note: Note = "",
    key: Key = None,
    name: As = None,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Deny one request, signed with your key.

    \b
    Examples:
      $ wardline request deny req-2f6c --note "not this account"
    """
    answer(request_id, "deny", note=note, key=key, name=name, folder=folder, config=config)


@app.command()
def remember(
    request_id: Id,
    *,
    uses: Annotated[int, typer.Option("--uses", min=1, help="How often it counts.")] = 5,
    hours: Annotated[
        float, typer.Option("--hours", min=0.01, max=720, help="How long it counts.")
    ] = 8,
    at_most: Annotated[
        list[str] | None,
        typer.Option(
            "--at-most", metavar="NAME=NUMBER", help="Any such amount up to this one."
        ),
    ] = None,
    key: Key = None,
    name: As = None,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Approve one request, and calls like it for a while, signed with your key.

    Like it is the same tool, asked by the same agent for the same person in the same workspace,
    with each argument that matters as it is here. Policies are asked each time, and it counts
    only where they want one person. See `wardline grant list` and `revoke`.

    \b
    Examples:
      $ wardline request remember req-2f6c --uses 10 --hours 4 --at-most amount=50.00
    """
    answer(
        request_id,
        "approve",
        note="",
        key=key,
        name=name,
        folder=folder,
        config=config,
        then=functools.partial(
            _remember, uses=uses, hours=hours, at_most=at_most or [], key=key, name=name
        ),
    )


async def _remember(
    service: ApprovalService,
    approvers: Approvers,
    request: AccessRequest,
    *,
    uses: int,
    hours: float,
    at_most: list[str],
    key: str | None,
    name: str | None,
) -> None:
    constraints = proposed(request)
    for each in at_most:
        argument, equals, number = each.partition("=")
        if not equals or argument not in constraints:
            raise ConfigError(f"--at-most {each[:60]!r}: write NAME=NUMBER, of an argument")
        constraints[argument] = Constraint(kind="at_most", value=json.dumps(number))
    now, signer = now_us(), signer_from_uri(key or "")
    grant = grant_of(
        request,
        constraints,
        name=random_id("grant"),
        approver=name or approvers.holding(signer.public).id,
        uses=uses,
        seconds=int(hours * 3600),
        now=now,
    )
    await service.remember(sign_grant(grant, signer))
    for line in grant_lines(KeptGrant(grant.id, sign_grant(grant, signer), uses), now):
        typer.echo(line)


@app.command()
def edit(
    request_id: Id,
    assignments: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=JSON...", help="Arguments and their new values; others stay."
        ),
    ],
    *,
    note: Note = "",
    key: Key = None,
    name: As = None,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Change a call's arguments instead of approving or denying it, signed with your key.

    The call that you make of it is decided like any other: by the policies, and by people where
    they ask for one, which may be you again. The record shows both calls and who changed what.
    It runs when the agent asks again, or at once if it waits.

    \b
    Examples:
      $ wardline request edit req-2f6c amount='"20.00"' --note "as agreed"
    """
    answer(
        request_id,
        "edit",
        note=note,
        key=key,
        name=name,
        folder=folder,
        config=config,
        change=functools.partial(_changed, assignments),
    )


def _changed(assignments: list[str], request: AccessRequest) -> JsonObject:
    """The arguments of a request with these values in their place.

    Raises:
        ConfigError: one is not NAME=JSON, or names no argument of the call.
    """
    arguments: JsonObject = json.loads(request.call.arguments)
    for each in assignments:
        name, equals, text = each.partition("=")
        try:
            value = json.loads(text)
        except ValueError as err:
            said = f"{each[:80]!r}: write NAME=JSON, as amount='\"20.00\"'"
            raise ConfigError(said) from err
        if not equals or name not in arguments:
            named = ", ".join(sorted(arguments))[:200]
            raise ConfigError(f"the call has no argument {name[:80]!r}; it has {named}")
        arguments[name] = value
    return arguments


@app.command()
def watch(
    *,
    as_json: Json = False,
    key: Key = None,
    name: As = None,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Follow requests as they come and end.

    On a terminal and with a key it asks you about each.

    Waits for the state folder when no broker has made it yet.
    """
    person = not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    asks = person and bool(key)
    if person and not asks:
        typer.echo("watching only; give --key to be asked here", err=True)

    async def work(service: ApprovalService, approvers: Approvers) -> None:
        known: dict[str, AccessRequest] = {}
        token = await service.changed(None)
        while True:
            pending = {each.id: each for each in await service.listed(pending_only=True)}
            ended = [await service.get(gone) for gone in known.keys() - pending.keys()]
            for request in (*ended, *pending.values()):
                if known.get(request.id) != request:
                    typer.echo(_json(request) if as_json else _line(request))
            for request in pending.values():
                if asks and request.id not in known:
                    await _ask(service, approvers, request, key, name)
            known = pending
            with anyio.move_on_after(LOOK_SECONDS):
                token = await service.changed(token)

    on_approvals(work, folder, config, wait_for_state=True)


async def _ask(
    service: ApprovalService,
    approvers: Approvers,
    request: AccessRequest,
    key: str | None,
    name: str | None,
) -> None:
    """Puts one request to the person at the terminal, and records what they say."""
    match said := await ask_person(request, write=typer.echo):
        case "approve" | "deny":
            try:
                envelope = _sign(request, approvers, said, note="", key=key, name=name)
                typer.echo(_line(await service.vote(envelope)))
            except ApprovalError as err:
                typer.echo(f"not recorded: {err}", err=True)
        case "later":
            typer.echo(f"left open: {request.id}")
        case _:
            assert_never(said)


def answer(
    request_id: str,
    verdict: Verdict,
    *,
    note: str,
    key: str | None,
    name: str | None,
    folder: Path | None,
    config: Path | None,
    before: Callable[[AccessRequest], None] | None = None,
    change: Callable[[AccessRequest], JsonObject] | None = None,
    then: Callable[[ApprovalService, Approvers, AccessRequest], Awaitable[None]] | None = None,
) -> None:
    """Shows a request whole, and signs and casts a vote on it.

    Args:
        before: looks at the request first; refuses it by an error.
        change: what its arguments are to be, for an edit.
        then: what else is done, once the vote counts.
    """

    async def work(service: ApprovalService, approvers: Approvers) -> None:
        request = await service.get(request_id)
        if before is not None:
            before(request)
        # The signature covers all of it, so all of it is shown.
        shown = console.page(request, now=now_us(), full=True, width=terminal_width())
        typer.echo(shown.text, err=True)
        arguments = None if change is None else change(request)
        if arguments is not None:
            typer.echo(f"It becomes: {literal(arguments)}", err=True)
        envelope = _sign(
            request, approvers, verdict, note=note, key=key, name=name, arguments=arguments
        )
        typer.echo(_line(await service.vote(envelope)))
        if then is not None:
            await then(service, approvers, request)

    on_approvals(work, folder, config)


def _sign(
    request: AccessRequest,
    approvers: Approvers,
    verdict: Verdict,
    *,
    note: str,
    key: str | None,
    name: str | None,
    arguments: JsonObject | None = None,
) -> str:
    if not key:
        raise ConfigError("an answer is signed: give --key file:PATH or WARDLINE_APPROVER_KEY")
    signer = signer_from_uri(key)
    approver = name or approvers.holding(signer.public).id
    return sign_vote(
        request,
        approver=approver,
        verdict=verdict,
        note=note,
        now=now_us(),
        signer=signer,
        arguments=arguments,
    )


def _line(request: AccessRequest) -> str:
    call, terms = request.call, request.call.terms
    behalf = f" for {visible(call.on_behalf_of)}" if call.on_behalf_of else ""
    given = sum(vote.verdict == "approve" for vote in request.votes)
    used = ", used" if request.consumed_at is not None else ""
    waits = ""
    if terms.stages and request.status == "pending":
        groups = turn(terms, len(request.votes)).stage.approvers
        waits = f", waits for {visible(', '.join(groups))}"
    about = "" if call.effects is None else "  changes to commit"
    return (
        f"{visible(request.id)}  {request.status}{used}  {visible(call.tool)}"
        f"{about}"
        f"  asked by {visible(call.subject)}{behalf}"
        f"  {given} of {terms.quorum} approvals{waits}"
        f"  expires {moment(request.expires_at)}"
    )


def _json(request: AccessRequest) -> str:
    call = request.call.document()
    document: JsonObject = {
        **call,
        "arguments": json.loads(request.call.arguments),
        "targets": json.loads(request.call.targets),
        "effects": None if request.call.effects is None else json.loads(request.call.effects),
        "id": request.id,
        "status": request.status,
        "args_digest": request.call.args_digest,
        "binding": request.call.binding,
        "shown_digest": request.shown_digest,
        "reasons": [reason.model_dump(mode="json") for reason in request.reasons],
        "reading": reading(request).document(),
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "consumed_at": request.consumed_at,
        "votes": [
            {
                "approver": vote.approver,
                "verdict": vote.verdict,
                "note": vote.note,
                "arguments": None if vote.arguments is None else json.loads(vote.arguments),
                "time": vote.time,
                "envelope": json.loads(vote.envelope),
            }
            for vote in request.votes
        ],
    }
    return json.dumps(document)
