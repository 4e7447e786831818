"""What a sandbox may reach, as values: hosts, addresses, the rules of an allowlist, a decision.

Pure, and below the profile that holds them. Not in here: the proxy that keeps the rules
(`sandbox.egress`), and anything that opens a socket or looks up a name.
"""
