"""Opening, resuming and closing a session, and the handle by which its tools reach the broker.

Not in here: what a run remembers (`run`), and the steps of a call (`broker`).
"""
