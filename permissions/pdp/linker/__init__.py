"""Composes a bundle into one direct module per question, which decides the same in less time.

`link` gives the modules that are served; `question` composes one of them, `renamed` puts a
rule under another name. `permissions.pdp.bundle` and the linter know nothing of it: what a
person reads, tests and covers is the bundle as it is written.
"""
