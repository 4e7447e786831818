"""`wardline grant`: what people approved for a while, how often it was used, and taking it back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.approval.grant import Grant
from permissions.approval.text import moment, time_left, visible
from permissions.broker.ports import now_us
from permissions.cli.approvals import on_approvals
from permissions.cli.program import noun
from permissions.errors import ApprovalError
from permissions.signing import dsse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.approval.approvers import Approvers
    from permissions.approval.grant_store import KeptGrant
    from permissions.approval.service import ApprovalService

app = noun("See what was approved for a while, and take it back.")

Dir = Annotated[
    Path | None, typer.Option("--dir", help="State folder; the configured one by default.")
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Name = Annotated[str, typer.Argument(metavar="ID", help="Id of the grant.")]


@app.command("list")
def list_(*, as_json: Json = False, folder: Dir = None, config: Config = None) -> None:
    """List remembered approvals, those that ended too.

    `wardline request remember` makes one.

    \b
    Examples:
      $ wardline grant list
    """

    async def work(service: ApprovalService, _: Approvers) -> None:
        found = await service.grants()
        for kept in found:
            typer.echo(json.dumps(_document(kept)) if as_json else _line(kept, now_us()))
        if not found and not as_json:
            typer.echo("no approval is remembered", err=True)

    on_approvals(work, folder, config)


@app.command()
def show(
    name: Name, *, as_json: Json = False, folder: Dir = None, config: Config = None
) -> None:
    """Show one: for which calls exactly, by whom, until when."""

    async def work(service: ApprovalService, _: Approvers) -> None:
        kept = next((each for each in await service.grants() if each.id == name), None)
        if kept is None:
            raise ApprovalError(f"there is no grant {name[:80]!r}; wardline grant list")
        if as_json:
            typer.echo(json.dumps(_document(kept)))
            return
        for line in grant_lines(kept, now_us()):
            typer.echo(line)

    on_approvals(work, folder, config)


@app.command()
def revoke(name: Name, *, folder: Dir = None, config: Config = None) -> None:
    """Take one back: it counts for no call that has not begun."""

    async def work(service: ApprovalService, _: Approvers) -> None:
        typer.echo(_line(await service.revoke_grant(name), now_us()))

    on_approvals(work, folder, config)


def grant_lines(kept: KeptGrant, now: int) -> Iterator[str]:
    """A grant in words."""
    grant = _read(kept)
    behalf = f", on behalf of {visible(grant.on_behalf_of)}" if grant.on_behalf_of else ""
    yield _line(kept, now)
    for name, constraint in sorted(grant.constraints.items()):
        yield f"  {visible(name)} {constraint.words}"
    yield f"  asked by {visible(grant.subject)}{behalf}, in {visible(grant.workspace)}"
    yield f"  said by {visible(grant.approver)} at {moment(grant.time)} ({visible(grant.request)})"


def _line(kept: KeptGrant, now: int) -> str:
    grant = _read(kept)
    if kept.revoked_at is not None:
        standing = f"revoked {moment(kept.revoked_at)}"
    elif kept.used >= kept.uses:
        standing = "used up"
    else:
        standing = f"ends {time_left(grant.until - now)}"
    used = f"{kept.used} of {kept.uses} uses"
    return f"{visible(kept.id)}  {visible(grant.tool)}  {used}  {standing}"


def _read(kept: KeptGrant) -> Grant:
    return Grant.model_validate_json(dsse.Envelope.parse(kept.envelope.encode()).payload)


def _document(kept: KeptGrant) -> dict[str, object]:
    return {
        **_read(kept).model_dump(mode="json"),
        "used": kept.used,
        "revoked_at": kept.revoked_at,
        "envelope": json.loads(kept.envelope),
    }
