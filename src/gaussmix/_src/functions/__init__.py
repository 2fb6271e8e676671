"""Functions that fit many mixtures, compare fits, test the number of components, or load models."""
