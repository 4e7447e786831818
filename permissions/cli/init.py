"""`wardline init`: a first configuration, and a key for the first approver."""

from __future__ import annotations

import getpass
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.approval.approvers import APPROVER_ID
from permissions.coding.settings import AGENTS, merged
from permissions.coding.starter import FOLDER as STARTER
from permissions.coding.starter import write_starter
from permissions.errors import ConfigError
from permissions.files import create, make_folder
from permissions.setup.config import BrokerConfig
from permissions.setup.layout import StateLayout
from permissions.setup.settings_file import NAME, settings_file
from permissions.setup.trust import TrustList
from permissions.signing.key_uris import signer_from_uri
from permissions.signing.keys import generate
from permissions.user_folders import config_folder

if TYPE_CHECKING:
    from permissions.coding.settings import Merged

GROUPS = ("operators", "security")
"""Of the first approver: those whom the shipped policies ask, for critical calls too."""

_APPROVER = """\
[approvers."{name}"]
groups = [{groups}]
public_key = "{key}"
"""
_SETTINGS = """\
# Settings of Wardline. Every key, its default and its unit: docs/reference/settings.md
# Paths start from this folder. After a change: wardline trust

state = ".wardline"
environment = "development"

"""
_CODING = f"""\
[pdp]
overlay = "{STARTER}"

[service]
tools = ["permissions.coding.tools"]

"""


def init(
    *,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Your name as an approver; your login if unset."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="Approver group you belong to; may be given again."),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--dir", help="Folder to write wardline.toml into.")
    ] = Path(),
    coding_agent: Annotated[
        str | None,
        typer.Option(
            "--coding-agent",
            metavar="NAME",
            help=f"Have a coding agent start `wardline hook`, too: {', '.join(AGENTS)}.",
        ),
    ] = None,
) -> None:
    """Write wardline.toml and create your approver key.

    The key is put below your home (~/.config/wardline), away from the state folder: whoever
    can read it can approve in your name. One key serves all your projects, and nothing that
    exists is overwritten, so it can be run again, here and in each project.

    \b
    Examples:
      $ wardline init
      $ wardline init --name olga --group finance --group operators
      $ wardline init --coding-agent claude-code
    """
    person = (
        name if name is not None else re.sub(r"[^a-z0-9._@+-]", "-", getpass.getuser().lower())
    )
    if not re.fullmatch(APPROVER_ID, person):
        raise ConfigError(
            f"{person[:80]!r} is no approver's name: lower-case letters, digits and . _ @ + -,"
            " beginning with a letter or digit; choose one with --name"
        )
    if odd := [each for each in group or () if not re.fullmatch(r"[\w.-]{1,64}", each)]:
        raise ConfigError(f"{odd[0][:80]!r} is no group: letters, digits and . _ - only")
    # Of an agent, settings that cannot be added to are told before anything is written.
    agent = None if coding_agent is None else merged(coding_agent, folder)
    key, public = _key_of(person)
    groups = ", ".join(f'"{each}"' for each in group or GROUPS)
    approver = _APPROVER.format(name=person, groups=groups, key=public)
    if (folder / NAME).exists():
        _keep(folder / NAME, person, public, approver)
    else:
        _write(folder, approver, coding=agent is not None)
    if agent is not None:
        _start_hook(folder, agent)
    typer.echo(f"approve with `--key file:{key}`")
    typer.echo("next: wardline doctor, then wardline demo")


def approver_key(person: str) -> Path:
    """Where the key of an approver lies, below the user's home (`permissions.user_folders`)."""
    return config_folder() / f"{person}.pem"


def _key_of(person: str) -> tuple[Path, str]:
    """The approver's key, made if there is none yet, and its public half."""
    path = approver_key(person)
    if path.exists():
        return path, str(signer_from_uri(f"file:{path}").public)
    try:
        make_folder(path.parent)
        signer = generate(path)
    except OSError as err:
        raise ConfigError(f"the approver key {path} cannot be made: {err.strerror}") from err
    typer.echo(f"wrote {path}: your approver key")
    return path, str(signer.public)


def _start_hook(folder: Path, agent: Merged) -> None:
    """The policies a coding agent starts from, and its settings; what is there stays."""
    for path in write_starter(folder / STARTER):
        typer.echo(f"wrote {path}")
    config = BrokerConfig.load(folder / NAME)
    if not config.broker and _is_trusted(folder / NAME):
        from permissions.coding.helper import open_once

        open_once(config)  # what cannot be opened is told now, and not before the first call
    if config.pdp.overlay != (folder / STARTER).resolve() and config.pdp.overlay != (
        folder / STARTER
    ):
        typer.echo(
            f"{folder / NAME} does not name the policies for coding agents, without which a"
            " shell text is refused; to use them, put this into it:"
        )
        typer.echo(f'workspace = "."\n\n{_CODING}')
    written = agent.write()
    typer.echo(f"{'wrote' if written else 'kept'} {agent.path}")
    typer.echo(f"then: {agent.afterwards}")


def _write(folder: Path, approver: str, *, coding: bool) -> None:
    """New settings, trusted because this program wrote them, and their state folder."""
    path = folder / NAME
    # A coding agent may stand anywhere in the repository when it starts the hook.
    of_agent = 'workspace = "."\n\n' + _CODING if coding else ""
    content = (_SETTINGS.rstrip("\n") + "\n" + (of_agent or "\n") + approver).encode()
    try:
        make_folder(folder, mode=0o755)
        create(path, content, mode=0o644)
    except OSError as err:
        raise ConfigError(f"{path} cannot be written: {err.strerror}") from err
    typer.echo(f"wrote {path}")
    TrustList().add(path, content)
    config = BrokerConfig.load(path)
    StateLayout(config.state).make(config.workspace)


def _keep(path: Path, person: str, public: str, approver: str) -> None:
    """Settings that exist stay as they are; says what they lack."""
    config = BrokerConfig.load(path)
    typer.echo(f"kept {path}")
    listed = config.approvers.get(person)
    if listed is None or listed.public_key != public:
        typer.echo(f"{path} does not name you as an approver; to be one, put this into it:")
        typer.echo(approver)
    if not _is_trusted(path):
        typer.echo(
            f"it is not trusted yet; read it, then run `wardline trust {shlex.quote(str(path))}`"
        )


def _is_trusted(path: Path) -> bool:
    source = settings_file(path)
    return source is not None and TrustList().trusts(source.path, source.content)
