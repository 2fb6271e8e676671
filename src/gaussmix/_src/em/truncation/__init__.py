"""The difference between the log-likelihood and the lower bound (free energy) that truncated EM maximises."""
