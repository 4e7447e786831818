"""Tools as developers declare them: the decorator, the schema, the targets of arguments.

Everything that is known of a tool before and while it is called. Not in here: whether a call is
permitted, or where it runs; nothing in this folder imports a stage or the broker.
"""
