"""Coding agents: the call that an agent is about to make, decided before it makes it.

Claude Code, Codex, the Gemini CLI and Cursor each start a command before a tool runs, with the
call as JSON on its standard input, and do what its answer says. `dialects` has each one's form,
`calls` turns a call of theirs into one of the tools in `tools`, `hook` is the command: it asks
the daemon (`thin`) or a broker of its own (`alone`), and answers. `settings` writes the agents'
settings files.

What answers may be loaded before each call, so `hook`, `dialects`, `calls` and `thin` import
the standard library alone. Not in here: what is permitted, which policies say.
"""
