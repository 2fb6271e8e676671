"""The difference between the log-likelihood and the lower bound that truncated EM maximises."""
