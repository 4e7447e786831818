"""`wardline approver`: who may answer, with which keys, letting them add a passkey, taking it back.

Who they are stands in the settings; a passkey is enrolled in the console and kept in the state.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.approval.approvers import Approvers
from permissions.approval.text import moment, visible
from permissions.cli.approvals import on_approvals
from permissions.cli.console import console_settings, link_for, signed_out
from permissions.cli.program import noun
from permissions.console.sign_ins import LINK_SECONDS
from permissions.errors import ApprovalError

if TYPE_CHECKING:
    from permissions.approval.approvers import Approver
    from permissions.approval.passkey_store import Enrolled
    from permissions.approval.service import ApprovalService

app = noun("See who may answer access requests, and their passkeys.")

Dir = Annotated[
    Path | None, typer.Option("--dir", help="State folder; the configured one by default.")
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@app.command("list")
def list_(*, as_json: Json = False, folder: Dir = None, config: Config = None) -> None:
    """List approvers, their groups and their keys.

    A public half that `--json` prints is what `wardline trace votes --key NAME=FILE` takes.

    \b
    Examples:
      $ wardline approver list
      $ wardline approver list --json
    """

    async def work(service: ApprovalService, approvers: Approvers) -> None:
        enrolled = await service.passkeys()
        for approver in approvers:
            own = [each for each in enrolled if each.approver == approver.id]
            if as_json:
                typer.echo(json.dumps(_document(approver, own)))
            else:
                for line in _lines(approver, own):
                    typer.echo(line)
        if not any(True for _ in approvers) and not as_json:
            typer.echo("no approvers; add [approvers.NAME] to the settings", err=True)

    on_approvals(work, folder, config)


@app.command()
def invite(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An approver of the settings.")],
    *,
    lost: Annotated[
        bool,
        typer.Option("--lost", help="Take back the passkeys and sessions they have, first."),
    ] = False,
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Make a link by which somebody adds a passkey, once, within 15 minutes.

    Hand it over so that nobody else reads it: whoever opens it first adds theirs in that name. It
    is for the first passkey, for one more device, and with --lost for a device that is gone.

    \b
    Examples:
      $ wardline approver invite olga
      $ wardline approver invite olga --lost
    """
    settings = console_settings(folder, config)
    Approvers.from_config(settings.approvers).get(name)
    revoked = _revoked(name, "", folder, config) if lost else []
    ended = signed_out(settings, name) if lost else 0
    url = link_for(settings, name, "approver", enrols=True)
    if as_json:
        said = {"url": url, "name": name, "expires_in_seconds": LINK_SECONDS}
        typer.echo(json.dumps({**said, "revoked": [_passkey(each) for each in revoked]}))
        return
    typer.echo(url)
    for each in revoked:
        typer.echo(_line(each), err=True)
    if lost:
        typer.echo(f"{ended} ended: sessions and links of {name}", err=True)
    typer.echo(f"adds a passkey of {name}: once, within {LINK_SECONDS // 60} minutes", err=True)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose passkeys.")],
    *,
    credential: Annotated[
        str | None,
        typer.Option("--credential", help="This passkey alone, as `list` names it."),
    ] = None,
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Take somebody's passkeys back: a lost device, or somebody who left.

    They count no more at once, also for approvals that were given and not used yet, and the
    person is signed out of the console. Nothing brings a passkey back; `invite --lost` lets them
    add a new one. A key file is taken back in the settings.

    \b
    Examples:
      $ wardline approver revoke olga
    """
    found = _revoked(name, credential or "", folder, config)
    signed_out(console_settings(folder, config), name)
    if not found:
        raise ApprovalError(f"{name} has no such passkey; wardline approver list")
    for each in found:
        typer.echo(json.dumps(_passkey(each)) if as_json else _line(each))


def _revoked(
    name: str, credential: str, folder: Path | None, config: Path | None
) -> list[Enrolled]:
    """The passkeys of somebody that begin so, which count no more from now on."""
    found: list[Enrolled] = []

    async def work(service: ApprovalService, approvers: Approvers) -> None:
        approvers.get(name)
        for each in await service.passkeys():
            is_theirs = each.approver == name and each.revoked_at is None
            if is_theirs and each.passkey.credential.startswith(credential):
                found.append(await service.revoke_passkey(each.passkey.credential))

    on_approvals(work, folder, config)
    return found


def _lines(approver: Approver, enrolled: list[Enrolled]) -> list[str]:
    groups = visible(", ".join(sorted(approver.groups)))
    lines = [f"{approver.id}  groups {groups or 'none'}"]
    if approver.public_key is not None:
        lines.append(f"  key file  {approver.public_key.keyid[:16]}")
    lines += [f"  {_line(each)}" for each in enrolled]
    if not approver.keys:
        lines.append("  no key yet, so they cannot answer")
    return lines


def _line(each: Enrolled) -> str:
    ended = "" if each.revoked_at is None else f", revoked {moment(each.revoked_at)}"
    return (
        f"passkey   {each.passkey.credential[:20]}  {visible(each.passkey.origin)}"
        f"  enrolled {moment(each.enrolled_at)}{ended}"
    )


def _document(approver: Approver, enrolled: list[Enrolled]) -> dict[str, object]:
    key = approver.public_key
    return {
        "id": approver.id,
        "groups": sorted(approver.groups),
        "public_key": None if key is None else str(key),
        "passkeys": [_passkey(each) for each in enrolled],
    }


def _passkey(each: Enrolled) -> dict[str, object]:
    return {
        "credential": each.passkey.credential,
        "public_key": str(each.passkey),
        "origin": each.passkey.origin,
        "enrolled_at": each.enrolled_at,
        "revoked_at": each.revoked_at,
    }
