"""A demonstration: an agent pays the month's invoices, and is attacked while doing it.

Run it with `wardline demo` or `python -m agents_demo`. It needs no network, no model and no
key: the model is a script that behaves as a gullible language model would, including doing
what a document tells it to. Everything else is real.
"""
