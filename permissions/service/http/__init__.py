"""What the daemon says over HTTP: how it stands, and what else is mounted into it.

Nothing here decides. An extra: `pip install 'wardline[service]'`.
"""
