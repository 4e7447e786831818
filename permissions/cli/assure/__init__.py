"""`wardline assure`: the risk register, the release gate, and what is gathered for a review board.

Exit codes: 0 it holds; 1 it does not, or something could not be measured; 2 wrong usage.
"""

from permissions.cli.assure.card import card
from permissions.cli.assure.check import check
from permissions.cli.assure.exempt import exempt
from permissions.cli.assure.gate import gate
from permissions.cli.assure.packet import packet
from permissions.cli.assure.starting import init, schema
from permissions.cli.assure.template import template
from permissions.cli.program import noun

app = noun("Risk register, release gate, system card and evidence packet.")
app.command()(init)
app.command()(check)
app.command()(gate)
app.command()(exempt)
app.command()(card)
app.command()(packet)
app.command()(template)
app.command()(schema)

__all__ = ["app"]
