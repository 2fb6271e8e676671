"""Covariance families; importing one registers it."""

# The order is that of `FAMILIES`, in which candidates are tried: of equal ones the first is chosen.
# isort: off
from gaussmix.families import diag as diag
from gaussmix.families import eei as eei
from gaussmix.families import full as full
from gaussmix.families import eev as eev
from gaussmix.families import eii as eii
from gaussmix.families import eve as eve
from gaussmix.families import evi as evi
from gaussmix.families import evv as evv
from gaussmix.families import factor_analyzer as factor_analyzer
from gaussmix.families import spherical as spherical
from gaussmix.families import tied as tied
from gaussmix.families import vee as vee
from gaussmix.families import vei as vei
from gaussmix.families import vev as vev
from gaussmix.families import vve as vve

# isort: on
from typing import Literal

from gaussmix.families.base import ALIASES, FAMILIES, Family, family_named

# What editors complete; any text, since others register structures too.
Structure = (
    Literal["full", "tied", "diag", "spherical", "factor_analyzer"]
    | Literal[
        "EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV", "E", "V"
    ]
    | str
)

__all__ = ["ALIASES", "FAMILIES", "Family", "Structure", "family_named"]
