"""What OPA's compiler refuses, found before a bundle is served: unbound locals and types.

The embedded engine finds an unbound local, or a text where a number is needed, only when a line
is reached, and some never. The checks here follow what OPA 1.22 does with a rule before it
evaluates one: `lowering` writes it as flat lines without nested calls, `safety` orders them so
that each local is bound before it is read, `checker` infers what values may be. Not in here:
deciding anything, and what is refused for other reasons (`lint`).
"""
