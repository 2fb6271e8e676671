"""Derivatives of the objective at a mixture: certificates of a maximum, and standard errors."""
