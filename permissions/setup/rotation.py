"""Another key for the log, and the word that one was stolen. No broker may be open meanwhile.

The entry that names the new key stands under a checkpoint that the old and the new one sign, so
whoever trusts the old one can follow. After that the old private half is destroyed where it is a
file here; in a token or a service, destroy it there.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from permissions.database import StateDatabase
from permissions.errors import ConfigError
from permissions.setup.layout import StateLayout
from permissions.setup.own_keys import OwnKeys
from permissions.setup.own_log import own_log
from permissions.signing.key_uris import signer_from_uri
from permissions.stops.file import sign_again
from permissions.trace import own_checkpoint
from permissions.trace.checkpoint import vkey
from permissions.trace.checkpoint_signer import KeyChange
from permissions.trace.entry import TraceEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.setup.config import BrokerConfig
    from permissions.signing.keys import PublicKey


class Rotated(NamedTuple):
    """The key that signed until now, the one that does from here on, and what pins it."""

    old: PublicKey
    new: PublicKey
    vkey: str
    uri: str | None
    """What `trace.key` has to say from now on; None when the key is a file in the state folder."""


async def rotate_key(
    config: BrokerConfig, *, to: str | None = None, reason: str = ""
) -> Rotated:
    """Has the log go on under another key.

    Args:
        config: the settings, still with the old key.
        to: URI of the new key; without one a file in the state folder is made.
        reason: for people, sealed in the record.

    Raises:
        ConfigError: the settings name a key elsewhere, and `to` names none.
        SigningError: a key cannot be used, or the new one is the old one.
        TraceError: a broker writes the log, or it cannot be written.
    """
    return await _rotated(config, to, reason, ())


async def revoke_key(
    config: BrokerConfig,
    *,
    since: int,
    keyid: str | None = None,
    to: str | None = None,
    reason: str = "",
) -> Rotated | None:
    """Records that a key of the log is taken for stolen, and rotates it if it is in force.

    Args:
        config: the settings.
        since: from when on, microseconds since 1970 UTC.
        keyid: which key, its id or the first 16 digits of it; the one in force by default.
        to: URI of the key that takes its stead.
        reason: for people, sealed in the record.

    Returns:
        The rotation, or None when the key had been replaced before.

    Raises:
        ConfigError: the log never had such a key.
        SigningError: a key cannot be used.
        TraceError: a broker writes the log, or it cannot be written.
    """
    async with (
        StateDatabase(StateLayout(config.state).database, [own_checkpoint.SCHEMA]) as state,
        own_log(config, state, mode="command", body={"build": version("wardline")}) as log,
    ):
        current = log.keys.log.keyid
        ids = [reign.key.keyid for reign in log.keys.reigns]
        found = [each for each in ids if each.startswith(keyid or current)]
        if len(found) != 1 or (keyid is not None and len(keyid) < 16):
            raise ConfigError(
                f"the log has no key {keyid}; it had {', '.join(each[:16] for each in ids)}"
            )
        body = {"act": "revoke", "keyid": found[0], "since": since}
        entry = TraceEntry("key", "", body=body, contents={"reason": reason.encode()})
        if found[0] != current:
            await log.append([entry], barrier="durable")
            return None
    return await _rotated(config, to, reason, [entry])


async def _rotated(
    config: BrokerConfig, to: str | None, reason: str, also: Sequence[TraceEntry]
) -> Rotated:
    if config.trace.key and to is None:
        raise ConfigError(
            "trace.key names the log's key, so say what takes its stead: --to URI"
        )
    layout = StateLayout(config.state)
    layout.make(config.workspace)
    keys = OwnKeys(layout)
    async with (
        StateDatabase(layout.database, [own_checkpoint.SCHEMA]) as state,
        own_log(config, state, mode="command", body={"build": version("wardline")}) as log,
    ):
        old = log.keys.log
        signer = keys.next_log_key() if to is None else signer_from_uri(to)
        if log.keys.holds(signer.public):
            raise ConfigError("that key is or was the log's; a new one has to take its stead")
        await log.change_key(KeyChange("rotate", signer), reason=reason, also=also)
        await log.keep_checkpoint()
    if not also:  # a stolen key vouches for nothing any more
        sign_again(config.state, old, signer)
    keys.settle(log.keys)
    return Rotated(old, signer.public, vkey(log.origin, signer.public), to)
