"""Covariance structures. Importing this package registers all structures of gaussmix."""

from typing import Literal

from gaussmix._src.families import factor_analyzer as factor_analyzer
from gaussmix._src.families import structures as structures
from gaussmix._src.families.base import ALIASES, FAMILIES, Family, family_named

# The order in which model selection tries the structures. Among equally good structures, the first in this order wins.
_ORDER = "diag EEI full EEV EII EVE EVI EVV factor_analyzer spherical tied VEE VEI VEV VVE"
for _name in _ORDER.split():
    FAMILIES[_name] = FAMILIES.pop(_name)

# Names of structures that type checkers accept. For a structure of another package, pass FAMILIES[name], not its name.
Structure = Literal[
    "full", "tied", "diag", "spherical", "factor_analyzer",
    "EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV", "E", "V",
]  # fmt: skip

__all__ = ["ALIASES", "FAMILIES", "Family", "Structure", "family_named"]
