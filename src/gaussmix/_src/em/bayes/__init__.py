"""Variational Bayes, and moves that change the number of components."""
