"""What a job says it needs, held against what its sandbox has. Pure.

Requirements are PEP 508 with PEP 440 versions; what is inside is a name and a version for each
distribution. A marker that is false here makes a requirement void, as it does for installers.
Not looked at: whether a distribution that is there works, and what it needs in its turn.
`packaging` is imported late: it takes a third of this package's import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import ProfileError, SandboxUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from packaging.requirements import Requirement

_INFO = ".dist-info"


def read_requirement(text: str) -> Requirement:
    """One requirement as written.

    Raises:
        ProfileError: it is none, or one that cannot be looked up: a URL, or extras.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        found = Requirement(text) if len(text) <= 500 else None
    except InvalidRequirement as err:
        raise ProfileError(f"requirement {text!r:.120} is not in the form of PEP 508") from err
    if found is None or found.url is not None or found.extras:
        raise ProfileError(
            f"requirement {text!r:.120} cannot be checked: give a name and versions, without a"
            " URL or extras"
        )
    return found


def check_requirements(
    requires: Iterable[str], found: Mapping[str, str], *, remedy: str
) -> None:
    """Refuses a job whose requirements are not met.

    Args:
        requires: of the job.
        found: version by normalised name (PEP 503), of all that its Python will find.
        remedy: what to do, with `{}` where the requirement stands in it.

    Raises:
        SandboxUnavailableError: a distribution is missing, or is of another version.
        ProfileError: a requirement cannot be checked.
    """
    from packaging.utils import canonicalize_name

    for text in requires:
        wanted = read_requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        version = found.get(canonicalize_name(wanted.name))
        if version is None or not _fits(wanted, version):
            seen = "it has none" if version is None else f"it has {version}"
            raise SandboxUnavailableError(
                f"the sandbox lacks {wanted.name}{wanted.specifier}: {seen}",
                remedy.format(f"{wanted.name}{wanted.specifier}"),
            )


def _fits(wanted: Requirement, version: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return wanted.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def installed(roots: Iterable[Path]) -> dict[str, str]:
    """What stands in import folders, by normalised name; the first folder wins, as on import.

    By the names of the `.dist-info` folders alone, so nothing of them is read or run.
    """
    found: dict[str, str] = {}
    for root in roots:
        for name, version in _distributions(root):
            found.setdefault(name, version)
    return found


def _distributions(root: Path) -> Iterator[tuple[str, str]]:
    from packaging.utils import canonicalize_name

    for folder in sorted(root.glob(f"*{_INFO}")):
        name, _, version = folder.name.removesuffix(_INFO).partition("-")
        if version and folder.is_dir():
            yield canonicalize_name(name), version
