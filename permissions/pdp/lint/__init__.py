"""Findings about a bundle: what the engine would decide otherwise than OPA, or not at all.

One module for each subject of findings; `bundle` joins them. Pure. Not in here: the syntax trees
they walk (`rego`), and deciding anything.
"""
