"""Which policies the settings name, and whether they may come into force.

Where the settings pin keys, only an archive that one of them signed is loaded. Where they refuse
older ones, the state folder remembers the last one accepted: its sequence and revision. A lower
sequence is refused, and so is another content under the same one.

Not protected from: whoever restores the whole state folder from a backup, and whoever writes in
it, which the broker keeps its own tools from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions import files
from permissions.errors import ConfigError, PolicyLoadError, StateError
from permissions.pdp.bundle import bundle_finding, load_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.pdp.bundle import PolicyBundle
    from permissions.setup.config import BrokerConfig


@dataclass(frozen=True, slots=True)
class NamedPolicies:
    """The policies of the settings, loaded and, where that is asked for, verified.

    Attributes:
        sequence: of the archive they came in; None for a folder.
        signed_by: name of the key that signed it; None where no key is pinned.
    """

    bundle: PolicyBundle
    sequence: int | None = None
    signed_by: str | None = None


def load_policies(config: BrokerConfig) -> NamedPolicies:
    """Reads what the settings name. Nothing is judged or remembered yet.

    Raises:
        ConfigError: settings that contradict each other.
        PolicyLoadError: it cannot be read, or is not signed as the settings ask.
        SigningError: a pinned key cannot be read.
    """
    pdp = config.pdp
    if pdp.refuse_older and not pdp.bundle_keys:
        raise ConfigError(
            "pdp.refuse_older needs pdp.bundle_keys: anybody can write a higher number into a"
            " bundle that nobody signed"
        )
    if pdp.policies is not None and pdp.policies.is_file():
        if pdp.overlay is not None:
            raise ConfigError(
                "pdp.overlay cannot be put on a bundle; build both into one:"
                " wardline policy build --overlay DIR"
            )
        return read_release(pdp.policies, pdp.bundle_keys)
    if pdp.bundle_keys:
        raise PolicyLoadError(
            [
                bundle_finding(
                    str(pdp.policies or "shipped policies"),
                    "bundle.unsigned",
                    "pdp.bundle_keys is set, and a folder carries no signature",
                    "wardline policy build --key FILE, and name the archive in pdp.policies",
                )
            ]
        )
    return NamedPolicies(load_bundle(pdp.policies, overlay=pdp.overlay))


def read_release(path: Path, keys: tuple[Path, ...]) -> NamedPolicies:
    """The policies in an archive, verified when there are keys.

    Raises:
        PolicyLoadError: it cannot be read, or is not signed by one of the keys.
        SigningError: a key cannot be read.
    """
    from permissions.pdp.archive import MAX_ARCHIVE_BYTES
    from permissions.pdp.opa_bundle import read_opa_bundle
    from permissions.pdp.signatures import BundleKey

    pinned = [BundleKey.read(key) for key in keys]
    try:
        with path.open("rb") as file:
            data = file.read(MAX_ARCHIVE_BYTES + 1)
    except OSError as err:
        said = err.strerror or ""
        raise PolicyLoadError(
            [bundle_finding(str(path), "bundle.unreadable", said, "check it")]
        ) from err
    try:
        read = read_opa_bundle(data, pinned)
    except PolicyLoadError as err:
        named = [each.replace("archive:1:1:", f"{path.name}:1:1:", 1) for each in err.findings]
        raise PolicyLoadError(named) from err
    return NamedPolicies(read.bundle, read.sequence, read.signed_by)


class AcceptedPolicies:
    """The last signed bundle that came into force here, in a file of the state folder."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def require_newer(self, found: NamedPolicies) -> None:
        """Passes what may follow the last one accepted.

        Raises:
            PolicyLoadError: it is older, another of the same sequence, or has none.
            StateError: what was accepted last cannot be read.
        """
        if found.sequence is None:
            raise _older(
                "bundle.sequence",
                "it has no sequence, so whether it is older cannot be told",
                "wardline policy build --sequence NUMBER",
            )
        last = self._last()
        if last is None:
            return
        sequence, revision = last
        if found.sequence < sequence:
            raise _older(
                "bundle.older",
                f"its sequence is {found.sequence}, and {sequence} was accepted here before",
                "build the policies you want again, with a higher --sequence",
            )
        if found.sequence == sequence and found.bundle.revision != revision:
            raise _older(
                "bundle.older",
                f"another bundle of sequence {sequence} was accepted here before",
                f"build it with --sequence {sequence + 1} or higher",
            )

    def remember(self, found: NamedPolicies) -> None:
        """Makes it the last one accepted. Only what is signed and counted is remembered.

        Raises:
            StateError: it cannot be written.
        """
        if found.sequence is None or found.signed_by is None:
            return
        document = {"sequence": found.sequence, "revision": found.bundle.revision}
        try:
            if self._last() != (found.sequence, found.bundle.revision):
                files.replace(self._file, json.dumps(document).encode())
        except OSError as err:
            raise StateError(f"{self._file} cannot be written: {err.strerror}") from err

    def _last(self) -> tuple[int, str] | None:
        try:
            document = json.loads(self._file.read_bytes())
            found = (document["sequence"], document["revision"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise self._unreadable() from err
        if type(found[0]) is not int or type(found[1]) is not str:
            raise self._unreadable()
        return found

    def _unreadable(self) -> StateError:
        return StateError(
            f"{self._file}, which says the last policies that were accepted, cannot be read: put"
            " it back from a copy; or remove it, to accept what the settings name now"
        )


def _older(code: str, what: str, fix: str) -> PolicyLoadError:
    return PolicyLoadError([bundle_finding("archive", code, what, fix)])
