"""The parameters that name structures, numbers of components and a criterion, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from numbers import Integral
from typing import Any

from gaussmix.checks import check_count
from gaussmix.em.criteria import CRITERIA
from gaussmix.errors import listed, unknown_name
from gaussmix.families.base import ALIASES, FAMILIES, Family, family_named, is_known, known_names
from gaussmix.families.one_feature import check_features

EVERY = "all"
HELD_OUT = "cv"
_WANTED = f'a structure, its name, several, or "{EVERY}"'


def check_family(estimator: Any) -> Family:
    """The structure that an estimator names; raises ValueError or TypeError for none, or several."""
    return _family(estimator.covariance_type, "the name of a structure or a structure")


def _family(given: Any, wanted: str) -> Family:
    if isinstance(given, Family):
        return copy(given)  # what a fit has found must not change with the user's value
    if not isinstance(given, str):
        raise TypeError(f"covariance_type must be {wanted}, not {given!r}. Names are {listed(known_names(), 99)}.")
    return family_named(given)


def shown(family: Family) -> str | Family:
    """What a user would give as `covariance_type`: the name of a structure, or one with options of its own."""
    return copy(family) if family.options else family.name


def check_criterion(criterion: Any) -> str:
    """The name of a criterion."""
    if not isinstance(criterion, str) or criterion not in (*CRITERIA, HELD_OUT):
        raise unknown_name("criterion", criterion, (*CRITERIA, HELD_OUT))
    return criterion


def check_candidates(estimator: Any, n_features: int) -> list[tuple[Family, int]]:
    """All pairs of a structure and a number of components that an estimator names, each pair once."""
    counts = check_counts("n_components", estimator.n_components)
    return [(family, count) for family in check_families(estimator, n_features) for count in counts]


def check_counts(parameter: str, value: Any) -> list[int]:
    """One whole number or several, each once."""
    if isinstance(value, (Integral, str)):
        return [check_count(parameter, value, 1)]
    counts = _several(parameter, value, "an integer ≥ 1 or several, such as range(1, 10)")
    return list(dict.fromkeys(check_count(parameter, count, 1) for count in counts))


def check_families(estimator: Any, n_features: int) -> list[Family]:
    """The structures that an estimator names, each once.

    "all" means every family registered for it that is defined for this number of features.
    """
    covariance_type = estimator.covariance_type
    if _is_every(covariance_type):
        of_one = [FAMILIES[name] for alias, name in ALIASES.items() if len(alias) == 1 and FAMILIES[name].in_all]
        return of_one if n_features == 1 else [family for family in FAMILIES.values() if family.in_all]
    families: dict[Family, None] = {}
    for given in _named(covariance_type):
        check_features(given, n_features)
        families[_family(given, _WANTED)] = None
    return list(families)


def names_several(covariance_type: Any) -> bool:
    """Whether it means several structures, so that it does not say which one parts set by hand have."""
    return _is_every(covariance_type) or not isinstance(covariance_type, str | Family)


def one_feature_notes(covariance_type: Any) -> list[str]:
    """Sentences that say what names of structures mean for one feature."""
    named = [] if _is_every(covariance_type) else _named(covariance_type)
    return [sentence for each in named if (sentence := check_features(each, 1)) is not None]


def _is_every(covariance_type: Any) -> bool:
    return isinstance(covariance_type, str) and covariance_type == EVERY


def _named(covariance_type: Any) -> Sequence[Any]:
    """Names and structures, as the user gave them."""
    if isinstance(covariance_type, str) and not is_known(covariance_type):
        raise unknown_name("covariance_type", covariance_type, (*known_names(), EVERY))
    if isinstance(covariance_type, str | Family):
        return [covariance_type]
    return _several("covariance_type", covariance_type, _WANTED)


def _several(parameter: str, values: Any, wanted: str) -> Sequence[Any]:
    """The values of an iterable with at least one; raises TypeError or ValueError, which name the parameter."""
    if not isinstance(values, Iterable):
        raise TypeError(f"{parameter} must be {wanted}, not {values!r}.")
    found = list(values)
    if not found:
        raise ValueError(f"{parameter} is empty: give {wanted}.")
    return found
