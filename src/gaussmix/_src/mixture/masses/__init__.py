"""Probabilities of boxes under a mixture."""
