"""The difference between the log-likelihood and the bound that truncated EM maximises."""
