"""The policy enforcement point: what happens to a call, step by step.

`broker` reads as the eleven steps; each other module is one of them (`request`: 1 to 4,
`decision`: 5 and 6, `idempotency`, `recorder`, `entries`: 8 and 11, `egress` and `changes`: what a
run asks meanwhile and afterwards, `result`: 10, `denial`: every early end). `ports` is what a
broker is built from.

Not in here: how a stage does its work (`pdp`, `plan`, `approval`, `execution`, `trace`), and how
a program opens a broker or a session (`setup`, `sessions`).
"""
