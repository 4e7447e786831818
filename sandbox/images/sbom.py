"""What an image holds, as a CycloneDX 1.6 JSON document: written by its library, read by hand.

The same contents give the same bytes: parts in order, no time of day, a serial number that is a
digest.
Not in it: what somebody copied into a base image by hand, which no package manager knows.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Any, Literal

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cyclonedx.model.component import Component

    from sandbox.images.wheel import Wheel

MAX_SBOM_BYTES = 32 * 1024 * 1024

_FOLDER = "io.wardline.place"
_SUBJECT = "image"
IMPORTABLE = "/opt/wardline/packages"
"""Where the runner looks; a distribution anywhere else is listed, and found by nobody."""

_PURL = {"python": ("pypi", None), "debian": ("deb", "debian"), "generic": ("generic", None)}
_NAMESPACE = uuid.UUID("b8b5e9a2-54a9-5a2b-9d26-6f2f7d5a4c10")


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One package of an image.

    Attributes:
        kind: `python` for a distribution, `debian` for a package, `generic` for the rest.
        name: normalised for Python.
        version: as its own metadata says.
        folder: the import folder of a distribution, empty otherwise.
        arch: of a Debian package.
        sha256: of the wheel it came from, empty when it is not known.
        licence: what its metadata says, empty when nothing.
    """

    kind: Literal["python", "debian", "generic"]
    name: str
    version: str
    folder: str = ""
    arch: str = ""
    sha256: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Sbom:
    """An SBOM as it was read: the document, its digest, its parts."""

    document: Mapping[str, Any]
    digest: str
    parts: tuple[Part, ...]

    @property
    def importable(self) -> dict[str, str]:
        """Version by name of the distributions that a job in the image can import."""
        return {
            part.name: part.version
            for part in self.parts
            if part.kind == "python" and part.folder == IMPORTABLE
        }


def digest_of(text: bytes) -> str:
    """`sha256:<hex>` of an SBOM as it lies in the image."""
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def parts_of(wheels: Sequence[Wheel]) -> Iterator[Part]:
    """What wheels become in an image."""
    for wheel in wheels:
        yield Part(
            "python",
            wheel.name,
            wheel.version,
            folder=IMPORTABLE,
            sha256=wheel.sha256,
            licence=wheel.licence,
        )


def debian_parts(status: str) -> Iterator[Part]:
    """The installed packages of a dpkg status file."""
    for paragraph in status.split("\n\n"):
        said = HeaderParser().parsestr(paragraph.lstrip("\n"))
        if str(said["Status"] or "").endswith(" installed"):
            yield Part(
                "debian",
                str(said["Package"]),
                str(said["Version"]),
                arch=str(said["Architecture"] or ""),
            )


def distribution_part(metadata: str, folder: str) -> Part:
    """A distribution that a base image has already, by its METADATA."""
    said = HeaderParser().parsestr(metadata)
    licence = str(said["License-Expression"] or said["License"] or "").partition("\n")[0]
    return Part(
        "python",
        canonicalize_name(str(said["Name"] or "unknown")),
        str(said["Version"] or "0"),
        folder=folder,
        licence=licence.strip()[:200],
    )


def write_sbom(parts: Sequence[Part], *, name: str, version: str) -> bytes:
    """The document as it goes into the image.

    Args:
        parts: in any order.
        name: of the project, or of the default image.
        version: of the same.
    """
    from cyclonedx.model.bom import Bom  # late: only builds pay for it
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    ordered = sorted(set(parts))
    bom = Bom(components=[_component(part) for part in ordered])
    image = Component(
        name=name, version=version, type=ComponentType.CONTAINER, bom_ref=_SUBJECT
    )
    bom.metadata.component = image
    bom.register_dependency(image, bom.components)
    seed = repr((name, version, ordered))
    bom.serial_number = uuid.uuid5(_NAMESPACE, seed)
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the format has it optional
    return (JsonV1Dot6(bom).output_as_string(indent=1) + "\n").encode()


def _component(part: Part) -> Component:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    kind, namespace = _PURL[part.kind]
    arch = {"arch": part.arch} if part.arch else None
    purl = PackageURL(kind, namespace, part.name, part.version, arch)
    return Component(
        name=part.name,
        version=part.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{purl}#{part.folder}",
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)]
        if part.sha256
        else None,
        licenses=[LicenseFactory().make_from_string(part.licence)] if part.licence else None,
        properties=[Property(name=_FOLDER, value=part.folder)] if part.folder else None,
    )


def read_sbom(text: bytes) -> Sbom:
    """Reads a document of `write_sbom`.

    Raises:
        ValueError: it is none.
    """
    document = json.loads(text) if len(text) <= MAX_SBOM_BYTES else None
    if not isinstance(document, dict) or document.get("specVersion") != "1.6":
        raise ValueError("not a CycloneDX 1.6 document")
    parts = tuple(_part(each) for each in document.get("components") or ())
    return Sbom(document, digest_of(text), parts)


def _part(said: Any) -> Part:
    match said:
        case {"name": str(name), "version": str(version), "purl": str(purl)}:
            pass
        case _:
            raise ValueError("a component without name, version and package URL")
    kind: Literal["python", "debian", "generic"] = "generic"
    if purl.startswith("pkg:pypi/"):
        kind = "python"
    elif purl.startswith("pkg:deb/"):
        kind = "debian"
    properties = {
        str(each.get("name")): each.get("value") for each in said.get("properties", ())
    }
    hashes = [
        each.get("content") for each in said.get("hashes", ()) if each["alg"] == "SHA-256"
    ]
    licences = [
        each.get("expression") or each["license"].get("id") or each["license"].get("name")
        for each in said.get("licenses", ())
    ]
    arch = purl.partition("?arch=")[2].partition("&")[0]
    return Part(
        kind,
        name,
        version,
        folder=str(properties.get(_FOLDER) or ""),
        arch=arch,
        sha256=str(next(iter(hashes), "")),
        licence=str(next(iter(licences), "")),
    )
