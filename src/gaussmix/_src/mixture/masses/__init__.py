"""Probabilities of boxes and of highest-density regions under a mixture."""
