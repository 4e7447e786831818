"""What SQL will do: a text read by the grammar of its dialect, never by running it.

`reading` parses a text and tells of each statement what it is, what it touches and how many rows
it can give. Pure. Not in here: whether it may run, which policies decide.
"""
