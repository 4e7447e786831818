"""Evaluation: how many attacks get through the real broker, and how much honest work is asked about.

Scenarios, the agents that play them, the worlds tools act in, and the figures of a run. Not in
here: anything a broker needs to decide a call; nothing of the product imports this folder but
the command line.
"""
