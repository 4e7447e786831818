"""The policy decision point: what answers whether a call is permitted.

`base` holds the port; `embedded` (the default), `opa` and `memory` implement it; `bundle` loads
a policy folder and gives it its revision; `lint` refuses what the embedded engine would decide
otherwise than OPA; `door` is the strict JSON every question passes.

The embedded engine, from the outside in: `embedded` keeps `evaluator`s warm, each the parent's
side of a `worker` process, which asks an `engine` made equal to OPA by `shims`.
"""
