"""Comparisons of mixtures: divergences, distances, entropy, order of components, reduction and merging."""
