"""What a responder asks of a record: why, what came of it, which calls, what differs.

Reads entries and opened contents, and never verifies: verify first what you want to rely on.
"""
