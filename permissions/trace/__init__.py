"""The signed record of every call: what was asked, decided, approved, run and returned.

`entry` holds what is recorded and the port to record it; `log` the file format; `verify`
re-derives everything from the bytes by another path than the writer.
"""
