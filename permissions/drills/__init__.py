"""Exercises: incidents played on a copy of an installation, held against the runbooks.

Each drill is a module with `DRILL` and `play`. It breaks something on purpose, then takes the
steps that its runbook names, with the real commands against a real broker, and times detection,
stop and proof. The policies and settings are copied; state, keys and workspace are the copy's own
(`permissions.drills.copy`).

Times are of the machine: how long the commands take to find and stop it once somebody runs them.
How long it takes until somebody does is not measured here, and no drill rings anybody.
"""
