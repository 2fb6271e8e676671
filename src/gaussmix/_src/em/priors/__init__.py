"""Objectives with priors and fixed parameters, for which EM maximises the posterior density."""
