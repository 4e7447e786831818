"""Stops: a person bars the calls of a run, an agent, a tool, or all of them, until it is lifted.

`scope` says whose calls a stop bars, `statement` is what a person said as signed text, `register`
the port to where it is kept, `file` the durable one, in the state folder.

Not in here: what a broker does when it meets one (`permissions.broker.stopped`, `stopping`).
"""
