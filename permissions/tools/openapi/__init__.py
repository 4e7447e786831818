"""Operations of an OpenAPI document as tools: what it says, and the request that a call becomes.

`document` reads a file and follows its references, `operation` says what each operation takes,
`request` makes an HTTP request of a call's arguments. All of it is pure; who sends the request
is `permissions.integrations.openapi`.
"""
