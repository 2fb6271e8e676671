"""Truncated EM: an estimate of what its bound leaves of the log-likelihood."""
