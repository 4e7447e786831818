"""The MCP gateway: tools of MCP servers behind the broker, for any MCP client.

What belongs in here: what servers offer (`offered`), what people approved of it (`pinned`), the
connection to one (`upstream`), their tools as guarded ones (`tools`), and the server that
clients speak to (`server`). What a call is allowed is none of it: that is the broker's.
"""
