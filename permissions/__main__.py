"""`python -m permissions` is `wardline`."""

from permissions.cli import main

main()
