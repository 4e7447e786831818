"""A witness of other machines' logs: cosigns a head only when it extends the one before."""
