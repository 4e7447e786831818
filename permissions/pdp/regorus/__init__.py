"""The embedded engine in this process, made to answer as OPA does.

`engine` is regorus with JSON in and out, `builtins` and `glob` what takes the place of its own
builtins. Not in here: processes and deadlines (`embedded`), and judging a policy (`lint`).
"""
