"""What leaves a trace for other eyes: the explorer's page, spans, events, statements, tables, packets.

Everything here reads a log that was verified first and says what the verifier said. Nothing here
is evidence by itself: each row names its leaf in the log, and the log is what proves.
"""
