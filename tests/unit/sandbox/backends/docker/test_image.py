"""What of a root file system goes into the default image."""

from __future__ import annotations

import os
import tarfile
import time
from dataclasses import dataclass

import pytest

from sandbox.errors import SandboxUnavailableError
from sandbox.images.debootstrap import follow, kept, python_tag


@dataclass(frozen=True)
class Case:
    id: str
    name: str
    kind: bytes = tarfile.REGTYPE
    mode: int = 0o644
    kept: bool = True
    mode_after: int = 0o644


CASES = [
    Case("a program", "./usr/bin/python3", mode=0o755, mode_after=0o755),
    Case("a set-id program", "./usr/bin/su", mode=0o4755, mode_after=0o755),
    Case("a set-group-id program", "./usr/bin/expiry", mode=0o2755, mode_after=0o755),
    Case("a sticky folder", "./tmp", tarfile.DIRTYPE, 0o1777, mode_after=0o1777),
    Case("a block device", "./dev/sda", tarfile.BLKTYPE, kept=False),
    Case("a character device", "./dev/null", tarfile.CHRTYPE, kept=False),
    Case("a named pipe", "./run/initctl", tarfile.FIFOTYPE, kept=False),
    Case("a manual page", "./usr/share/man/man1/ls.1.gz", kept=False),
    Case("a package list", "./var/lib/apt/lists/x", kept=False),
    Case("the folder of them", "./var/lib/apt/lists", tarfile.DIRTYPE),
    Case("a name that only begins so", "./usr/share/docker/x"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_entry_is_kept_or_left_out(case: Case) -> None:
    """No device, no set-id bit, nothing that only people read."""
    entry = tarfile.TarInfo(case.name)
    entry.type, entry.mode = case.kind, case.mode

    found = kept(entry)

    assert (found is not None) is case.kept
    if found is not None:
        assert found.mode == case.mode_after


def test_the_tag_is_the_callers_minor_version() -> None:
    assert python_tag().count(".") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="it makes mounts; run the tests as root")
def test_a_bootstrap_that_hangs_is_given_up() -> None:
    """A mirror that stops answering in the middle of a file; what it started ends too."""
    told: list[str] = []
    start = time.monotonic()

    with pytest.raises(SandboxUnavailableError, match="took over 1 seconds"):
        follow(
            ["/bin/sh", "-c", "echo I: Retrieving x; sleep 60 & sleep 60"],
            told.append,
            seconds=1,
        )

    assert time.monotonic() - start < 20
    assert told == ["I: Retrieving x"]
