"""Covariance structures; importing this package registers them."""

from typing import Literal

from gaussmix._src.families import factor_analyzer as factor_analyzer
from gaussmix._src.families import structures as structures
from gaussmix._src.families.base import ALIASES, FAMILIES, Family, family_named

# Order in which candidates are tried. If several are equally good, the first is chosen.
_ORDER = "diag EEI full EEV EII EVE EVI EVV factor_analyzer spherical tied VEE VEI VEV VVE"
for _name in _ORDER.split():
    FAMILIES[_name] = FAMILIES.pop(_name)

# Names for type checkers. A structure that another package registers must be passed as FAMILIES[name].
Structure = Literal[
    "full", "tied", "diag", "spherical", "factor_analyzer",
    "EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV", "E", "V",
]  # fmt: skip

__all__ = ["ALIASES", "FAMILIES", "Family", "Structure", "family_named"]
