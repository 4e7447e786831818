"""The OCI backend: containers by a runtime itself (crun, runc, runsc), without a daemon.

Prepared root file systems, the runtime's configuration, launch and leftovers. Not in here:
anything another backend needs too.
"""

from __future__ import annotations

from sandbox.backends.oci.backend import OciSandbox

__all__ = ["OciSandbox"]
