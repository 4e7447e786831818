"""The abuse suite: the ways a job may go against its sandbox, attempted on the backends here.

`run_probes` attempts them and judges from outside where that can be done: by processes, files
and listeners of the host, and by the supervisor's verdict. Attempts go a little past a promise
and never to the end, so that a machine without any isolation survives the suite. It is no
proof: it finds protection that is missing, not a hole in it.
"""

from __future__ import annotations

from sandbox.probes import (  # noqa: F401 - each fills `PROBES`
    egress,
    files,
    kernel,
    lifetime,
    network,
    resources,
    supply_chain,
)
from sandbox.probes.suite import (
    COLUMNS,
    Column,
    Finding,
    columns_here,
    run_probes,
)
from sandbox.probes.table import (
    PROBES,
    Outcome,
    Probe,
    Weakness,
)

__all__ = [
    "COLUMNS",
    "PROBES",
    "Column",
    "Finding",
    "Outcome",
    "Probe",
    "Weakness",
    "columns_here",
    "run_probes",
]
