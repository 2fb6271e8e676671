"""Mixtures of one feature: distribution function, quantiles, modes and level sets."""
