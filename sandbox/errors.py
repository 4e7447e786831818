"""Every exception this package raises, grouped by who can mend it.

::

    SandboxError
    ├── ProfileError               the caller: a profile, job, file name or mount that is refused
    ├── SandboxUnavailableError    the operator: something this machine lacks, and how to get it
    │     └── SbomTamperedError        an image's SBOM is not the one its label names
    ├── SessionEndedError          the caller: a session that is over, its state gone
    ├── SandboxProviderError       the provider failed under a call (daemon gone, channel broken)
    │     ├── SandboxGoneError         the sandbox ended before it took its job; nothing ran
    │     └── FrameError               the channel out of the sandbox broke its own grammar
    ├── ImageRefusedError          the user: a project, lock or wheel no image is made of, and why
    └── CommitError                a change set that does not go into its workspace, and why
                                   (`sandbox.workspace.errors`)

What the sandboxed code does is never an exception: it is the `verdict` of an `ExecResult`.
"""

from __future__ import annotations


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


class SandboxGoneError(SandboxProviderError):
    """The sandbox ended before it took its job: nothing ran."""


class FrameError(SandboxProviderError):
    """Bytes out of the sandbox that are not the runner's frames."""
