"""Truncated posteriors: how far their bound is below the log-likelihood."""
