"""The OCI backend: containers by a runtime itself, without a daemon."""

from __future__ import annotations

from sandbox.oci.backend import OciSandbox

__all__ = ["OciSandbox"]
