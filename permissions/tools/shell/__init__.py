"""What a command will run: shell text and argvs read by rule, never by running them.

`text` parses shell text, `reading` looks through the programs that start others, `programs` is
the table of those. Pure. Not in here: whether a command may run, which policies decide.
"""
