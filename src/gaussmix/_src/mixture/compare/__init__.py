"""Mixtures compared: divergences, distances, entropy, order of components, reduction and merging."""
