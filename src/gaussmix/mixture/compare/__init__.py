"""Mixtures beside each other: divergences, distances, entropy, order, reduction and merging."""
