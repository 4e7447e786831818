"""Every exception this package raises, grouped by who can mend it.

::

    SandboxError
    ├── ProfileError               the caller: a profile, job, file name or mount that is refused
    ├── SandboxUnavailableError    the operator: something this machine lacks, and how to get it
    │     └── SbomTamperedError        an image's SBOM is not the one its label names
    ├── SessionEndedError          the caller: a session that is over, its state gone
    ├── SandboxProviderError       the provider failed under a call (daemon gone, channel broken)
    │     └── FrameError               the channel out of the sandbox broke its own grammar
    ├── ImageRefusedError          the user: a project, lock or wheel no image is made of, and why
    └── CommitError                a change set that does not go into its workspace, and why

What the sandboxed code does is never an exception: it is the `verdict` of an `ExecResult`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.workspace.model import Fault


class SandboxError(Exception):
    """Root of this package's exceptions."""


class ProfileError(SandboxError):
    """A profile, job, file name or mount that must not be run as written."""


class SandboxUnavailableError(SandboxError):
    """This machine cannot give the isolation that was asked for.

    Attributes:
        missing: what is missing, one short sentence.
        remedy: what an operator can do about it.
    """

    def __init__(self, missing: str, remedy: str) -> None:
        self.missing = missing
        self.remedy = remedy
        super().__init__(f"{missing}; {remedy}")


class SbomTamperedError(SandboxUnavailableError):
    """What an image says of its contents is not what was said when it was built."""


class ImageRefusedError(SandboxError):
    """A project, lock or wheel that no image is made of."""


class SessionEndedError(SandboxError):
    """A call of a session that is over: its state is gone, and nothing ran.

    Attributes:
        why: what ended it, one short sentence.
    """

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"the session has ended and its state is gone: {why}; open a new one")


class SandboxProviderError(SandboxError):
    """The sandbox provider failed before or while the job ran; the job's end is unknown."""


class FrameError(SandboxProviderError):
    """Bytes out of the sandbox that are not the runner's frames."""


class CommitError(SandboxError):
    """A change set that was not committed.

    Attributes:
        kind: `refused` by what is in it; `conflict` with changes made meanwhile; `failed` on
            the way, and undone; `torn`: failed, and it could not be undone everywhere.
        faults: the paths and reasons. Nothing of a commit that is not `torn` is in the
            workspace, which is as it was or as others made it meanwhile.
    """

    def __init__(
        self, kind: Literal["refused", "conflict", "failed", "torn"], faults: Sequence[Fault]
    ) -> None:
        self.kind = kind
        self.faults = tuple(faults)
        first = "; ".join(f"{fault.path}: {fault.reason}" for fault in self.faults[:3])
        more = f", and {len(self.faults) - 3} more" if len(self.faults) > 3 else ""
        super().__init__(f"{kind}: {first:.600}{more}")
