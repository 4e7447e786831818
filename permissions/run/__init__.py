"""What the broker remembers of one run: labels, history, and where each value came from.

Values and pure functions over them. Not in here: opening, resuming or closing a run (`sessions`),
and deciding a call (`broker`).
"""
