"""Evidence for a review board: the risk register, the release gate, and what is made of them.

In here are the register's form and what is wrong with one, the judgement of each part of the
gate, exemptions, and the documents written from what was gathered (`permissions.gathered`).
Everything judges values that were measured before: nothing in here runs a probe, plays an
evaluation or reads a log by itself, which the command line does. No broker needs any of it.
"""
