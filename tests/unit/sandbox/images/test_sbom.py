"""The SBOM is the public format's, the same for the same contents, and reads back."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from sandbox.images.sbom import (
    IMPORTABLE,
    Part,
    debian_parts,
    digest_of,
    distribution_part,
    read_sbom,
    write_sbom,
)

PARTS = [
    Part("python", "a-b", "1.0+x", folder=IMPORTABLE, sha256="0" * 64, licence="MIT"),
    Part("python", "odd", "2", folder=IMPORTABLE, licence="see the file (C) <me>"),
    Part("python", "pip", "23", folder="/usr/lib/python3/dist-packages"),
    Part("debian", "libc6", "1:2.36-9+deb12u9", arch="amd64"),
    Part("generic", "cpython", "3.11.2"),
]


def test_it_is_a_cyclonedx_document_and_reads_back() -> None:
    text = write_sbom(PARTS, name="shop", version="1")

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.decode()) is None
    found = read_sbom(text)
    assert sorted(found.parts) == sorted(PARTS)
    assert found.digest == digest_of(text)
    assert found.importable == {"a-b": "1.0+x", "odd": "2"}


def test_the_same_contents_give_the_same_bytes() -> None:
    text = write_sbom(PARTS, name="shop", version="1")

    assert write_sbom(PARTS[::-1], name="shop", version="1") == text
    assert write_sbom(PARTS[1:], name="shop", version="1") != text


STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9
Description: text
 Package: not-a-package

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
"""


def test_only_installed_debian_packages_are_listed() -> None:
    assert list(debian_parts(STATUS)) == [Part("debian", "libc6", "2.36-9", arch="amd64")]
    assert list(debian_parts("")) == []


def test_a_distribution_is_read_from_its_metadata() -> None:
    part = distribution_part("Name: A.b\nVersion: 1\nLicense: MIT\n more\n\nLicense: x", "/p")

    assert part == Part("python", "a-b", "1", folder="/p", licence="MIT")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        json.dumps({"specVersion": "1.6", "components": [1]}).encode(),
        json.dumps({"specVersion": "1.6", "components": [{"name": "a"}]}).encode(),
    ],
)
def test_what_is_no_sbom_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_sbom(text)
