"""Every exception this package raises, grouped by who can mend it.

::

    SandboxError
    ├── ProfileError               the caller: a profile, job, file name or mount that is refused
    ├── SandboxUnavailableError    the operator: something this machine lacks, and how to get it
    └── SandboxProviderError       the provider failed under a call (daemon gone, channel broken)
          └── FrameError               the channel out of the sandbox broke its own grammar

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


class SandboxProviderError(SandboxError):
    """The sandbox provider failed before or while the job ran; the job's end is unknown."""


class FrameError(SandboxProviderError):
    """Bytes out of the sandbox that are not the runner's frames."""
