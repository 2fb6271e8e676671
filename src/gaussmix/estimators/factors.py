"""What estimators are told of factors, and the family that it makes with a name."""

from __future__ import annotations

from typing import Any

import numpy as np

from gaussmix.estimators.parameters import check_name
from gaussmix.families.base import Family, family_named

# Parameters of estimators that only structures with factors have, as they are by default.
FACTORS: dict[str, Any] = {"n_factors": None, "noise": "diagonal", "shared_loadings": False, "shared_noise": False}


def check_family(estimator: Any) -> Family:
    """The family that an estimator names, with what it says of factors.

    Raises
    ------
    ValueError, TypeError : there is no such name, factors can't be so, or the structure has none.
    """
    return family_named(check_name(estimator.covariance_type), **options_of(estimator))


def options_of(estimator: Any) -> dict[str, Any]:
    """The parameters about factors that are not as they are by default."""
    values = {name: getattr(estimator, name, default) for name, default in FACTORS.items()}
    return {name: value for name, value in values.items() if not _is(value, FACTORS[name])}


def _is(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, (str, bool, np.bool_)) and value == default)
