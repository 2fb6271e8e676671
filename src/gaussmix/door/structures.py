"""The parameters that name structures, numbers of components and a criterion, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from gaussmix.checks import check_count
from gaussmix.door.warnings import warn
from gaussmix.em.criteria import CRITERIA
from gaussmix.errors import unknown_name
from gaussmix.families.base import ALIASES, FAMILIES, Family, family_named, is_known, known_names
from gaussmix.families.one_feature import check_features

EVERY = "all"
HELD_OUT = "cv"

# The parameters that only structures with factors have, those that others have alone, and their defaults.
FACTORS: dict[str, Any] = {
    "n_factors": None,
    "noise_variance": "diagonal",
    "shared_loadings": False,
    "shared_noise": False,
}
OPTIONS: dict[str, Any] = {**FACTORS, "max_condition": None}


def check_name(covariance_type: Any) -> str:
    """The name of a structure; whether it is known is not checked."""
    if not isinstance(covariance_type, str):
        names = ", ".join(map(repr, known_names()))
        raise TypeError(f"covariance_type must be one of {names}, not {covariance_type!r}.")
    return covariance_type


def check_family(estimator: Any) -> Family:
    """The family that an estimator names, with its options.

    Raises
    ------
    ValueError, TypeError : the name is unknown, an option can't be used, or the structure has none of that name.
    """
    return family_named(check_name(estimator.covariance_type), **options_of(estimator))


def options_of(estimator: Any) -> dict[str, Any]:
    """The options of structures that differ from their defaults."""
    values = {name: getattr(estimator, name, default) for name, default in OPTIONS.items()}
    of_noise = getattr(estimator, "noise", False)
    if of_noise in ("diagonal", "isotropic"):
        warn(f"noise={of_noise!r} is called noise_variance={of_noise!r} now.", FutureWarning)
        values["noise_variance"] = of_noise
    return {name: value for name, value in values.items() if not _is(value, OPTIONS[name])}


def _is(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, (str, bool, np.bool_)) and value == default)


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
    """The families that an estimator names, each once, or one for each number of factors.

    "all" means every family registered for it that is defined for this number of features.
    """
    covariance_type, options = estimator.covariance_type, options_of(estimator)
    if _is_every(covariance_type):
        of_one = [FAMILIES[name] for alias, name in ALIASES.items() if len(alias) == 1 and FAMILIES[name].in_all]
        for option, value in options.items():
            lacking = "without factors" if option in FACTORS else "which mostly have no such bound"
            raise ValueError(
                f"{option}={value!r} has no meaning with covariance_type={EVERY!r}, structures {lacking}: name "
                "the structures to try."
            )
        return of_one if n_features == 1 else [family for family in FAMILIES.values() if family.in_all]
    names = _names(covariance_type)
    choices = [options]
    if "n_factors" in options:
        choices = [{**options, "n_factors": count} for count in check_counts("n_factors", options["n_factors"])]
    has_factors = any("n_factors" in family_named(name).takes for name in map(check_name, names))
    families: dict[Family, None] = {}
    for name in names:
        check_features(name, n_features)
        is_without = has_factors and "n_factors" not in family_named(name).takes
        left_out: Mapping[str, Any] = FACTORS if is_without else {}
        for chosen in choices:
            own = {option: value for option, value in chosen.items() if option not in left_out}
            families[family_named(name, **own)] = None
    return list(families)


def names_several(covariance_type: Any) -> bool:
    """Whether it means several structures, so that it does not say which one parts set by hand have."""
    return _is_every(covariance_type) or not isinstance(covariance_type, str)


def one_feature_notes(covariance_type: Any) -> list[str]:
    """Sentences that say what names of structures mean for one feature."""
    names = [] if _is_every(covariance_type) else _names(covariance_type)
    return [sentence for name in names if (sentence := check_features(name, 1)) is not None]


def _is_every(covariance_type: Any) -> bool:
    return isinstance(covariance_type, str) and covariance_type == EVERY


def _names(covariance_type: Any) -> Sequence[Any]:
    if isinstance(covariance_type, str):
        if not is_known(covariance_type):
            raise unknown_name("covariance_type", covariance_type, (*known_names(), EVERY))
        return [covariance_type]
    return _several("covariance_type", covariance_type, f'the name of a structure, several, or "{EVERY}"')


def _several(parameter: str, values: Any, wanted: str) -> Sequence[Any]:
    """The values of an iterable with at least one; raises TypeError or ValueError, which name the parameter."""
    if not isinstance(values, Iterable):
        raise TypeError(f"{parameter} must be {wanted}, not {values!r}.")
    found = list(values)
    if not found:
        raise ValueError(f"{parameter} is empty: give {wanted}.")
    return found
