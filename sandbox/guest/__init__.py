"""What runs inside a sandbox. Standard library only: none of it is imported by the host.

`runner`, `job`, `output` and `session` are sent as text to process 1 (`supervisor.bootstrap`);
`forwarder` carries egress; `probes` are jobs of the conformance and the abuse suite. Nothing here
may decide a verdict: what it reports is the word of the code that ran.
"""
