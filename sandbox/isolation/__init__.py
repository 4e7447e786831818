"""What the kernel is told to refuse: system calls, control groups, mounts, `/proc`.

Shared by the backends that enforce it themselves. Not in here: what one engine is told in its
own words (`backends`).
"""
