"""Who may answer access requests: people, their groups, their public keys.

The registry comes from the broker's configuration, never from a request or a vote. One key
stands for one person: two names with the same key would make a quorum of one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from permissions.errors import ApproverRefusedError, ConfigError, SigningError
from permissions.signing.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from permissions.signing.passkey import Passkey

APPROVER_ID = r"[a-z0-9][a-z0-9._@+-]{0,63}"
"""Lower-case ASCII, so that no two ids look alike and separation of duties can compare."""


@dataclass(frozen=True, slots=True)
class Approver:
    """One person who may answer, and the keys only they hold.

    Attributes:
        public_key: of a key file or an agent; None for who has passkeys alone.
        passkeys: that they enrolled and nobody revoked.
    """

    id: str
    groups: frozenset[str]
    public_key: PublicKey | None = None
    passkeys: tuple[Passkey, ...] = ()

    @property
    def keys(self) -> tuple[PublicKey | Passkey, ...]:
        """All of them."""
        return (*(() if self.public_key is None else (self.public_key,)), *self.passkeys)


class ListedApprover(Protocol):
    """How an approver stands in the settings."""

    @property
    def groups(self) -> Iterable[str]:
        """Groups the person belongs to."""
        ...

    @property
    def public_key(self) -> str | None:
        """Ed25519 public key, base64 of 32 bytes; none for who enrols a passkey."""
        ...


class Approvers:
    """The registry of approvers. Immutable.

    Raises:
        ConfigError: an id is malformed or named twice, or two people share a key.
    """

    def __init__(self, approvers: Iterable[Approver]) -> None:
        self._by_id: dict[str, Approver] = {}
        holders: dict[str, str] = {}
        for approver in approvers:
            if not re.fullmatch(APPROVER_ID, approver.id):
                raise ConfigError(
                    f"approver id {approver.id[:80]!r} is not 1 to 64 lower-case letters,"
                    " digits and . _ @ + -, beginning with a letter or digit"
                )
            if approver.id in self._by_id:
                raise ConfigError(f"approver {approver.id!r} is named twice")
            for key in approver.keys:
                other = holders.setdefault(key.keyid, approver.id)
                if other != approver.id:
                    raise ConfigError(
                        f"approvers {other!r} and {approver.id!r} have the same public key; each"
                        " person needs their own, or a quorum means nothing"
                    )
            self._by_id[approver.id] = approver

    @classmethod
    def from_config(cls, table: Mapping[str, ListedApprover]) -> Approvers:
        """The registry of the configuration's `[approvers.NAME]` tables.

        Raises:
            ConfigError: as the class, or a public key is no Ed25519 key.
        """
        approvers = []
        for name, entry in table.items():
            if entry.public_key is None:
                approvers.append(Approver(name, frozenset(entry.groups)))
                continue
            try:
                key = PublicKey.parse(entry.public_key)
            except SigningError as err:
                raise ConfigError(f"approvers.{name}.public_key: {err}") from err
            approvers.append(Approver(name, frozenset(entry.groups), key))
        return cls(approvers)

    def get(self, name: str) -> Approver:
        """The approver of that id.

        Raises:
            ApproverRefusedError: nobody of that id is registered.
        """
        try:
            return self._by_id[name]
        except KeyError:
            raise ApproverRefusedError(
                f"{name[:80]!r} is no registered approver; add [approvers.NAME] to the"
                " configuration"
            ) from None

    def holding(self, key: PublicKey) -> Approver:
        """The approver whose key this is.

        Raises:
            ApproverRefusedError: it is nobody's.
        """
        for approver in self._by_id.values():
            if approver.public_key == key:
                return approver
        raise ApproverRefusedError(
            f"the key {key.keyid[:16]} belongs to no registered approver"
        )

    def with_passkeys(self, enrolled: Mapping[str, tuple[Passkey, ...]]) -> Approvers:
        """The same people with these passkeys, by id; of nobody who is not registered.

        Raises:
            ConfigError: two people have one key.
        """
        return Approvers(
            replace(each, passkeys=(*each.passkeys, *enrolled.get(each.id, ())))
            for each in self
        )

    def __iter__(self) -> Iterator[Approver]:
        """All approvers, in the order they were given."""
        return iter(self._by_id.values())
