"""Prewarmed sandboxes: started, waiting on a pipe, used once, destroyed.

`inventory` keeps the books without a clock or any IO, `pool` does the work. Not in here: how a
sandbox is started (`backends`).
"""
