"""Variational Bayes, and moves (births, merges, deletions) that change the number of components."""
