"""Coding agents: the call that an agent is about to make, decided before it makes it.

Claude Code, Codex, the Gemini CLI and Cursor each start a command around a call, with the call as
JSON on its standard input, and do what its answer says. `hook` is that command: it hands the event
on to whoever answers (`answerers`), which is the daemon or the `helper` of this user. There a
`desk` reads it: `dialects` has each agent's form, `calls` turns a call of theirs into one of the
tools in `tools`. `settings` writes the agents' settings files.

`hook` is loaded before each call, and imports next to nothing. Not in here: what is permitted,
which policies say.
"""
