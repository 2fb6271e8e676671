"""Mixtures derived from mixtures, such as marginals and products, and moments, derivatives and modes of mixtures."""
