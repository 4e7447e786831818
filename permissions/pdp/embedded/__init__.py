"""The default decision point: regorus in processes of its own, with a deadline and a memory limit.

`pdp` is the port's side, `process` one evaluator, `worker` what runs in it, `engine` and
`builtins` the engine made to answer as OPA does. Not in here: judging a policy (`lint`).
"""
