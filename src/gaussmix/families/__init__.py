"""Covariance families; importing one registers it."""

from gaussmix.families import diagonal, full, spherical, tied
from gaussmix.families.base import FAMILIES, Family, family_named

__all__ = ["FAMILIES", "Family", "diagonal", "family_named", "full", "spherical", "tied"]
