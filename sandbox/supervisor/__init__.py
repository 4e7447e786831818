"""The host's half of a run: the wire to the guest, its bounds, its deadline, the verdict.

A verdict comes from what is seen here and never from the code that ran. Not in here: how a
sandbox is started or ended (`backends`).
"""
