"""Canonical bytes, digests, DSSE envelopes and the keys behind them."""
