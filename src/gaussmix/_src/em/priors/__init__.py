"""Objectives with priors and fixed parameters: EM maximises the posterior density."""
