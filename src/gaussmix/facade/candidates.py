"""The parameters that say what is tried and what decides, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from gaussmix.errors import unknown_name
from gaussmix.facade.parameters import check_count, check_family
from gaussmix.families.base import FAMILIES, Family
from gaussmix.selection.candidate import Candidate, distinct_families
from gaussmix.selection.criteria import CRITERIA

EVERY = "all"
HELD_OUT = "cv"


def check_criterion(criterion: Any) -> str:
    """The name of a criterion."""
    if not isinstance(criterion, str) or criterion not in (*CRITERIA, HELD_OUT):
        raise unknown_name("criterion", criterion, (*CRITERIA, HELD_OUT))
    return criterion


def check_candidates(n_components: Any, covariance_type: Any, n_features: int) -> list[Candidate]:
    """Every pair of a structure and a number of components that the user names, each once."""
    counts = check_counts(n_components)
    return [Candidate(family, count) for family in check_families(covariance_type, n_features) for count in counts]


def check_counts(n_components: Any) -> list[int]:
    """Numbers of components, each once: one, or several."""
    if isinstance(n_components, (Integral, str)):
        return [check_count("n_components", n_components, 1)]
    counts = _several("n_components", n_components, "an integer ≥ 1 or several, such as range(1, 10)")
    return list(dict.fromkeys(check_count("n_components", count, 1) for count in counts))


def check_families(covariance_type: Any, n_features: int) -> list[Family]:
    """The families that the user names, each once."""
    if isinstance(covariance_type, str):
        if covariance_type == EVERY:
            return distinct_families(FAMILIES.values(), n_features)
        return [check_family(covariance_type)]
    names = _several("covariance_type", covariance_type, f'the name of a structure, several, or "{EVERY}"')
    families = (check_family(name) for name in names)
    return list({family.name: family for family in families}.values())


def _several(parameter: str, values: Any, wanted: str) -> Sequence[Any]:
    """The values of something that has one or more."""
    if not isinstance(values, Iterable):
        raise TypeError(f"{parameter} must be {wanted}, not {values!r}.")
    found = list(values)
    if not found:
        raise ValueError(f"{parameter} is empty: give {wanted}.")
    return found
