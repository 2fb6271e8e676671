"""Variational Bayes, with the moves that change the number of components."""
