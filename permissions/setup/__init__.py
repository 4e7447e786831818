"""From settings to an open broker: the one module that knows every implementation.

Reads `wardline.toml`, chooses the decision point, the sandboxes and the stores, and closes what
it opened. Not in here: anything that a call passes through.
"""
