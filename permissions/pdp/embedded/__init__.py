"""The default decision point: the engine in processes of its own, with a deadline and a memory limit.

`pdp` is the port's side, `process` one evaluator, `worker` what runs in it. Not in here: the
engine itself (`regorus`), and judging a policy (`lint`), which `pdp` asks for before it serves.
"""
