"""Paths of `/proc` that a container does not see, or cannot write: the engines' own lists."""

from __future__ import annotations

MASKED = tuple(
    f"/proc/{name}"
    for name in (
        *("acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug"),
        *("scsi", "timer_list", "timer_stats"),
    )
)
READ_ONLY = tuple(f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger"))
