"""The parameters that say what is tried and what decides, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from gaussmix.errors import unknown_name
from gaussmix.facade.parameters import check_count, check_family
from gaussmix.families.base import ALIASES, FAMILIES, Family
from gaussmix.families.one_feature import check_features
from gaussmix.selection.candidate import Candidate
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
    """The families that the user names, each once; every one that there is for so many features."""
    if _is_every(covariance_type):
        of_one = [FAMILIES[name] for alias, name in ALIASES.items() if len(alias) == 1]  # mclust's E and V
        return of_one if n_features == 1 else list(FAMILIES.values())
    families = {}
    for name in _names(covariance_type):
        family = check_family(name)
        check_features(name, n_features)
        families[family.name] = family
    return list(families.values())


def one_feature_notes(covariance_type: Any) -> list[str]:
    """What names of structures mean where there is one feature, in sentences."""
    names = [] if _is_every(covariance_type) else _names(covariance_type)
    return [sentence for name in names if (sentence := check_features(name, 1)) is not None]


def _is_every(covariance_type: Any) -> bool:
    return isinstance(covariance_type, str) and covariance_type == EVERY


def _names(covariance_type: Any) -> Sequence[Any]:
    if isinstance(covariance_type, str):
        return [covariance_type]
    return _several("covariance_type", covariance_type, f'the name of a structure, several, or "{EVERY}"')


def _several(parameter: str, values: Any, wanted: str) -> Sequence[Any]:
    """The values of something that has one or more."""
    if not isinstance(values, Iterable):
        raise TypeError(f"{parameter} must be {wanted}, not {values!r}.")
    found = list(values)
    if not found:
        raise ValueError(f"{parameter} is empty: give {wanted}.")
    return found
