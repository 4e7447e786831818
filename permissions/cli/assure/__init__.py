"""`wardline assure`: what is gathered for a review board, and made of it."""

from permissions.cli.assure.card import card
from permissions.cli.program import noun

app = noun("System card, with evidence that others can check.")
app.command()(card)


@app.callback()
def _assure() -> None:
    """With one command alone, typer would take its name away."""


__all__ = ["app"]
