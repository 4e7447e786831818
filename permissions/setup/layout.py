"""The state folder: what lies where in it, its keys, and what of a machine decides permissions.

The keys are made with the first log and never again. A key that is gone is an error that says
so: a new one in its stead would open nothing that was recorded, or continue no log, in silence.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from permissions.database import STATE_FILE
from permissions.errors import ConfigError, SigningError
from permissions.files import create, make_folder
from permissions.run_keys import RunKeys
from permissions.setup.own_state import require_own
from permissions.setup.trust import TrustList
from permissions.signing.key_uris import file_of, secret_from_uri, signer_from_uri
from permissions.signing.keys import Signer, generate, public_half, write_public_half
from permissions.trace.store import segments
from permissions.trace.vault import load_kek, make_kek

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.setup.config import BrokerConfig


class StateLayout:
    """Paths in the state folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keys = root / "keys"
        self.log_key = self.keys / "log.pem"
        self.log_public_key = public_half(self.log_key)
        self.kek = self.keys / "vault.key"
        self.trace = root / "trace"
        self.bundles = root / "bundles"
        self.code = root / "code"
        self.commits = root / "commits"
        self.database = root / STATE_FILE
        self.index = root / "trace.index"
        self.accepted = root / "policies.json"

    @property
    def has_log(self) -> bool:
        """Whether a log was begun here."""
        return self.trace.is_dir() and bool(segments(self.trace))

    def make(self, workspace: Path) -> None:
        """Makes the folders: the root may be passed through, the rest is the owner's.

        A sandbox runs under another user id and has to reach the staged code by name; it can
        neither list the root nor enter any other folder. Keys and contents do not belong in a
        repository, so git is told to leave the whole folder out.

        Args:
            workspace: the folder tools work on: a state folder in it has to be this user's own
                (`permissions.setup.own_state`).

        Raises:
            ConfigError: they cannot be made there, or somebody else made them.
        """
        require_own(self.root, workspace, TrustList())
        try:
            make_folder(self.root)
            self.root.chmod(0o711)
            for folder in (self.keys, self.trace, self.bundles):
                make_folder(folder)
            make_folder(self.code, mode=0o755)
            with suppress(FileExistsError):
                create(self.root / ".gitignore", b"*\n", mode=0o644)
        except OSError as err:
            raise ConfigError(
                f"the state folder {self.root} cannot be used ({err.strerror}); it has to be a"
                " folder of this user's own, on a disk with room"
            ) from err

    def vault_key(self) -> bytes:
        """The key that seals recorded contents; made when there is no log yet.

        Raises:
            SigningError: it is gone, or cannot be used.
        """
        if not self.kek.exists():
            self._require_no_log(self.kek, "no recorded content can be read without it")
            make_kek(self.kek)
        return load_kek(self.kek)

    def run_keys(self) -> RunKeys:
        """What seals the contents of the state file.

        Raises:
            SigningError: the vault's key is gone, or cannot be used.
        """
        return RunKeys(load_kek(self.kek))

    def log_signer(self) -> Signer:
        """The key that signs the log; made when there is no log yet.

        Raises:
            SigningError: it is gone, or cannot be used.
        """
        if not self.log_key.exists():
            self._require_no_log(self.log_key, "the log cannot be continued without it")
            return generate(self.log_key)
        signer = signer_from_uri(f"file:{self.log_key}")
        try:
            write_public_half(self.log_key, signer)
        except OSError as err:
            raise SigningError(f"{self.log_public_key} cannot be written: {err}") from err
        return signer

    def _require_no_log(self, key: Path, loss: str) -> None:
        if self.has_log:
            raise SigningError(
                f"the key {key} is gone, and {loss}: put it back from a copy; if there is none,"
                f" begin a new log: wardline trace renew --dir {self.root}"
            )


def log_signer(config: BrokerConfig) -> Signer:
    """The key that signs the log, configured or the state folder's own.

    Raises:
        SigningError: it is gone, or cannot be used.
    """
    if config.trace.key:
        return signer_from_uri(config.trace.key)
    return StateLayout(config.state).log_signer()


def vault_key(config: BrokerConfig) -> bytes:
    """The key that seals recorded contents: configured, or the state folder's own.

    Raises:
        SigningError: it is gone, or cannot be used.
    """
    if config.trace.vault_key:
        return secret_from_uri(config.trace.vault_key)
    return StateLayout(config.state).vault_key()


def run_keys(config: BrokerConfig) -> RunKeys:
    """What seals the contents of the state file; makes no key.

    Raises:
        SigningError: the vault's key is gone, or cannot be used.
    """
    if config.trace.vault_key:
        return RunKeys(secret_from_uri(config.trace.vault_key))
    return StateLayout(config.state).run_keys()


def control_plane(config: BrokerConfig) -> tuple[Path, ...]:
    """What no tool may see or change, wherever it lies: it decides what the next start permits."""
    named = (
        config.sandbox.secrets,
        file_of(config.trace.key),
        file_of(config.trace.vault_key),
        config.trace.known_checkpoints,
        config.trace.replica,
        config.pdp.policies,
        config.pdp.overlay,
        *config.pdp.bundle_keys,
        *(profile.authorities for profile in config.sandbox.profiles.values()),
    )
    return (config.state, *(path for path in named if path is not None))
