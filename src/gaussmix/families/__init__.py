"""Covariance families; importing one registers it."""

from gaussmix.families import (
    diagonal,
    eei,
    eev,
    eii,
    eve,
    evi,
    evv,
    factor_analyzer,
    full,
    spherical,
    tied,
    vee,
    vei,
    vev,
    vve,
)
from gaussmix.families.base import ALIASES, FAMILIES, Family, family_named

__all__ = [
    "ALIASES",
    "FAMILIES",
    "Family",
    "diagonal",
    "eei",
    "eev",
    "eii",
    "eve",
    "evi",
    "evv",
    "factor_analyzer",
    "family_named",
    "full",
    "spherical",
    "tied",
    "vee",
    "vei",
    "vev",
    "vve",
]
