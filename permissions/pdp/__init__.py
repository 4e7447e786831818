"""The policy decision point: what answers whether a call is permitted.

`base` holds the port; `embedded` (the default), `opa` and `memory` implement it; `bundle` loads
a policy folder and gives it its revision; `lint` refuses what the embedded engine would decide
otherwise than OPA; `input_json` is the strict JSON every question passes.

Folders import one way: `rego` (the language), `regorus` (the engine), `lint`, `linker` (what is
served for a bundle), `embedded`.
"""
