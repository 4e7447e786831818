"""The policy decision point: what answers whether a call is permitted.

`base` holds the port; `embedded` (the default) and `opa` implement it; `bundle` loads a
policy folder and gives it its revision; `lint` refuses what the embedded engine would decide
otherwise than OPA.
"""
