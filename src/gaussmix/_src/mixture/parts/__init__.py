"""Mixtures made from mixtures, such as marginals, conditionals and products, and derivatives and modes of a mixture."""
