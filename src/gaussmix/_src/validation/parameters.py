"""Check estimators' parameters, with error messages that name the parameter, its value and the allowed values."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import lru_cache, partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from gaussmix._src import numerics
from gaussmix._src.checks import check_count, check_nonnegative
from gaussmix._src.em.collapse.remedies import Remedy
from gaussmix._src.em.initialisation.base import AUTO, STARTS
from gaussmix._src.errors import ParameterTypeError, listed, unknown_name
from gaussmix._src.families.base import ALIASES, FAMILIES, Family, check_features, family_named, family_names, is_family
from gaussmix._src.numerics.arrays import Array, plain_array

MAX_VALUE = 1e150  # maximum absolute value in the units of the data; sums of larger squares would overflow


def check_column_names(parameter: str, value: Any, feature_names: Sequence[str] | None) -> None:
    """Raise ValueError if a data frame or a Series `value` does not have the column names of X in the same order."""
    names = None if feature_names is None else numerics.frames.column_names(value)
    if names is None or feature_names is None or not all(isinstance(name, str) for name in names):
        return
    if names != tuple(feature_names):
        raise ValueError(f"The columns of {parameter} are {listed(names)}, but X has {listed(list(feature_names))}.")


def check_label_order(parameter: str, value: Any, expected: list[Any], owner: str) -> None:
    """Raise ValueError if a Series has the expected labels in a different order, as after pandas' `value_counts`."""
    labels = list(numerics.frames.column_names(value) or ())
    if labels != expected and set(labels) == set(expected):
        raise ValueError(f"The labels of {parameter} are {listed(labels)}, but {owner} {listed(expected)}.")


def check_name(parameter: str, value: Any, known: Collection[str]) -> str:
    """Return `value` if it is a known name; otherwise raise ValueError with a list of the known names."""
    if not isinstance(value, str) or value not in known:
        raise unknown_name(parameter, value, known)
    return value


def check_trim(trim: Any) -> float:
    """Check and return `trim`, the fraction of the total row weight to leave out."""
    fraction = check_nonnegative("trim", trim, " and below 1/2")
    if not fraction < 0.5:
        raise ValueError(f"trim={trim!r} must be a fraction below 1/2, because most rows must belong to the mixture.")
    return fraction


def check_ridge(reg_covar: Any, families: Sequence[Family], prior: Any = None) -> float | None:
    """Check `reg_covar`, and return the number to add to every variance; None if the data will determine the number.

    "auto" means 0 if covariances have a prior or a bound on the ratio of eigenvalues, because both prevent collapse.
    """
    if isinstance(reg_covar, str) and reg_covar == "auto":
        if prior is not None:
            from gaussmix._src.priors import Dirichlet  # imported here, because only fits with a prior need this class

            if not isinstance(prior, Dirichlet):
                return 0.0
        return 0.0 if all(family.is_bounded for family in families) else None
    return check_ridge_number(reg_covar, ' or "auto"')


def check_ridge_number(reg_covar: Any, hint: str = "") -> float:
    """Check a number to add to every variance; `hint` names other allowed values in error messages."""
    ridge = check_nonnegative("reg_covar", reg_covar, hint)
    if ridge > 1e300:  # the square of MAX_VALUE
        raise ValueError(f"reg_covar={ridge!r} must be at most 1e+300, or sums over rows overflow.")
    return ridge


def check_tol(tol: Any) -> float | None:
    """Check and return `tol` in nats per unit of row weight; return None for "auto"."""
    return None if isinstance(tol, str) and tol == "auto" else check_nonnegative("tol", tol, ' or "auto"')


def check_acceleration(acceleration: Any) -> None:
    """Check that `acceleration` is "auto" or None."""
    if acceleration is not None and not (isinstance(acceleration, str) and acceleration == "auto"):
        wrong = ValueError if isinstance(acceleration, str) else ParameterTypeError
        raise wrong(f'acceleration must be "auto" or None, not {acceleration!r}.')


def check_maximum_option(check_maximum: Any) -> bool | None:
    """Check and return `check_maximum`; return None for "auto"."""
    if isinstance(check_maximum, str) and check_maximum == "auto":
        return None
    if isinstance(check_maximum, (bool, np.bool_)):
        return bool(check_maximum)
    wrong = ValueError if isinstance(check_maximum, str) else ParameterTypeError
    raise wrong(f'check_maximum must be "auto", True or False, not {check_maximum!r}.')


def check_remedy(degenerate: Any) -> Remedy:
    """Return the remedy for components that collapse or become empty; raise ValueError for an unknown name."""
    try:
        return Remedy(degenerate)
    except ValueError:
        raise unknown_name("degenerate", degenerate, [remedy.value for remedy in Remedy]) from None


def check_posterior(posterior: Any) -> int | None:
    """Check `posterior`; return the number of candidate components of each row, or None for "auto" and "exact"."""
    if isinstance(posterior, str):
        if posterior in ("auto", "exact"):
            return None
        raise ValueError(f'posterior={posterior!r} must be "auto", "exact" or a number of candidate components.')
    return check_count("posterior", posterior, 1)


def check_flag(name: str, value: Any) -> bool:
    """Return a value that must be True or False; raise TypeError for any other value, including 0 and 1."""
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterTypeError(f"{name} must be True or False, not {value!r}.")
    return bool(value)


def check_verbose(verbose: Any) -> int:
    """Check and return `verbose`: 0 or False for no output, 1 or True for steps, 2 for steps and times."""
    return int(verbose) if isinstance(verbose, (bool, np.bool_)) else check_count("verbose", verbose, 0)


_DRAW = 0, 2**31 - 1, 4  # range and number of the random integers in a seed


@lru_cache  # cached, because creating a RandomState takes a tenth of the time of a small fit
def _drawn(seed: int) -> NDArray[np.int64]:
    return np.random.RandomState(seed).randint(*_DRAW)


def check_seed(random_state: Any) -> np.random.Generator:
    """Return a random generator. Its seed is drawn from `random_state`, or, for an integer, from RandomState(integer).

    Each call creates a new seed sequence, because initialisations may change it by calling `Generator.spawn`.
    """
    return np.random.default_rng(drawn_seed(random_state).astype(np.uint32))  # NumPy would be slow for other types


def drawn_seed(random_state: Any) -> NDArray[np.int64]:
    """Return the seed (4,) of the generator of `check_seed`, from which callers can create several equal generators."""
    try:
        is_seed = isinstance(random_state, (int, Integral))
        return _drawn(int(random_state)) if is_seed else check_random_state(random_state).randint(*_DRAW)
    except ValueError:
        raise ValueError(
            f"random_state must be an integer from 0 to 2**32 - 1, a RandomState or None, not {random_state!r}."
        ) from None


def seed_restorer(random_state: Any) -> Callable[[], None]:
    """Return a function that resets `random_state` to its present state, as if no numbers had been drawn since."""
    if not (random_state is None or isinstance(random_state, np.random.RandomState)):
        return lambda: None
    generator = check_random_state(random_state)
    return partial(generator.set_state, generator.get_state())


def check_start_names(init_params: Any, *others: str) -> tuple[str, ...]:
    """Check and return the names in `init_params`; return an empty tuple if `init_params` is an array or a callable.

    If `init_params` is a single name, it may also be one of the names `others`, which are not allowed in a list.
    """
    several = isinstance(init_params, (list, tuple)) and any(isinstance(name, str) for name in init_params)
    names = tuple(init_params) if several else (init_params,) if isinstance(init_params, str) else ()
    for name in set(others).intersection(names if several else ()):
        raise ValueError(f'init_params={name!r} cannot be in a list. Set init_params="{name}".')
    return tuple(check_name("init_params", name, [AUTO, *STARTS, *(() if several else others)]) for name in names)


# For each parameter with a single value, the function by which estimators and the command line check the value.
CHECKS: dict[str, Callable[[Any], Any]] = {
    "tol": check_tol,
    "max_iter": partial(check_count, "max_iter", smallest=0),
    "max_time": partial(check_nonnegative, "max_time"),
    "n_init": partial(check_count, "n_init", smallest=1),
    "trim": check_trim,
    "reg_covar": partial(check_ridge, families=()),
    "init_params": check_start_names,
}


def check_floats(parameter: str, values: ArrayLike) -> Array:
    """Convert real numbers of any shape to a float64 array, without a copy if possible; NaN and infinity are allowed.

    Masked values and nulls in data frames become NaN.

    Raises ValueError for text, complex numbers and lists of unequal length. Raises TypeError for dates, times and
    durations, and for a column of a data frame that has neither numbers nor text.
    """
    frame = numerics.frames.Frame.from_table(values)
    try:
        array = np.asarray(plain_array(values)) if frame is None else frame.rows(parameter)
        for text in array.ravel().tolist() if array.dtype.kind in "OSU" else ():
            if isinstance(text, str | bytes):  # NumPy would convert "1.5"
                raise ValueError(f"{text!r:.40} is text. Convert text to numbers first, such as by .astype(float).")
        if array.dtype.kind not in "cmM":
            return array.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        reason = f": {error}"
        if reason.startswith(": float() argument"):
            reason = f", not {reprlib.repr(values)}."
        elif "inhomogeneous shape" in reason:
            reason = ", but its lists have different lengths."
        raise ValueError(f"{parameter} must be an array of numbers{reason}") from None
    if array.dtype.kind != "c":  # NumPy would convert times to integers (missing times to −9.2e18)
        raise ParameterTypeError(numerics.frames.times_sentence(parameter))
    raise ValueError(f"{parameter} must be real numbers, not complex numbers.")


def check_row_floats(parameter: str, values: ArrayLike) -> Array:
    """Convert the values of all rows, as `check_floats` does; raises ValueError for text, such as a column's name."""
    if isinstance(values, str):
        raise ValueError(f"{parameter}={values!r} is text. Pass the values of the column, and leave it out of X.")
    return check_floats(parameter, values)


MISSING = ("allow", "error")
check_missing = partial(check_name, "missing", known=MISSING)
ALL = "all"
_WANTED = f'a structure, the name of a structure, a list of these, or "{ALL}"'


def check_family(estimator: Any) -> Family:
    """Return the single covariance structure of an estimator; raise ValueError or TypeError if it names several."""
    structure = estimator.covariance_type
    if type(structure) is str:
        if structure == ALL:
            raise ValueError(f'covariance_type="{ALL}" compares structures: use GaussianMixtureIC(n_components).')
        return family_named(structure)
    return _family(structure, "a structure or its name (for several structures, use GaussianMixtureIC)")


def _family(structure: Any, wanted: str) -> Family:
    if isinstance(structure, Family):
        return copy(structure)  # a copy, so that later changes by the user do not affect the fit
    if isinstance(structure, type) and issubclass(structure, Family):
        name, needed = structure.__name__, "n_factors" if hasattr(structure, "n_factors") else ""
        raise ParameterTypeError(f"covariance_type is the class {name}. Pass an instance: {name}({needed}).")
    if not isinstance(structure, str):
        raise ParameterTypeError(
            f"covariance_type must be {wanted}, not {structure!r}. Names are {listed(family_names(), 99)}."
        )
    return family_named(structure)


def shown(family: Family) -> Any:
    """Return the value of `covariance_type` for a structure: a name or, if the structure has options, a copy of it."""
    return copy(family) if family.non_default_params else family.name


def check_candidates(estimator: Any, n_features: int) -> list[tuple[Family, int]]:
    """Return all pairs of a covariance structure and a number of components that a model selection compares."""
    counts = check_counts(estimator.n_components)
    return [(family, count) for family in check_families(estimator, n_features) for count in counts]


def check_counts(n_components: Any) -> list[int]:
    """Check one positive integer or several positive integers, and return a list without duplicates."""
    if isinstance(n_components, (Integral, str)):
        return [check_count("n_components", n_components, 1)]
    counts = _list_values("n_components", n_components, "an integer ≥ 1, or several integers such as range(1, 10)")
    return list(dict.fromkeys(check_count("n_components", count, 1) for count in counts))


def check_supported(family: Family, n_features: int) -> None:
    """Raise ValueError if a covariance structure does not support `n_features` features."""
    reason = family.unsupported_reason(n_features)
    if reason is not None:
        advice = reason.kind.advice[0] if n_features > 1 else 'set covariance_type="diag"'
        raise ValueError(f"{reason}; {advice}.")


def check_families(estimator: Any, n_features: int) -> list[Family]:
    """Return the covariance structures of an estimator, without duplicates.

    "all" means every covariance structure that is registered for "all" and supports `n_features` features.
    """
    covariance_type = estimator.covariance_type
    if _means_all(covariance_type):
        univariate = {name for alias, name in ALIASES.items() if len(alias) == 1}
        return [each for each in FAMILIES.values() if each.in_all and (n_features > 1 or each.name in univariate)]
    families: dict[Family, None] = {}
    for structure in _named(covariance_type):
        check_features(structure, n_features)
        families[_family(structure, _WANTED)] = None
    return list(families)


def names_several(covariance_type: Any) -> bool:
    """Return whether `covariance_type` names several covariance structures, from which a fit will select one."""
    return _means_all(covariance_type) or not isinstance(covariance_type, str | Family)


def one_feature_notes(covariance_type: Any, n_features: int) -> list[str]:
    """Return sentences that explain the names of covariance structures if X has one feature; [] for several."""
    named = [] if _means_all(covariance_type) else _named(covariance_type)
    return [sentence for each in named if (sentence := check_features(each, n_features)) is not None]


def _means_all(covariance_type: Any) -> bool:
    return isinstance(covariance_type, str) and covariance_type == ALL


def _named(covariance_type: Any) -> Sequence[Any]:
    """Return a list of the names and covariance structures that the user passed as `covariance_type`."""
    if isinstance(covariance_type, str) and not is_family(covariance_type):
        raise unknown_name("covariance_type", covariance_type, (*family_names(), ALL))
    if isinstance(covariance_type, str | Family):
        return [covariance_type]
    return _list_values("covariance_type", covariance_type, _WANTED)


def _list_values(parameter: str, values: Any, wanted: str) -> Sequence[Any]:
    """Return the values of an iterable.

    Raises TypeError if `values` is a mapping or not iterable, and ValueError if it is empty.
    """
    if not isinstance(values, Iterable) or isinstance(values, Mapping):
        raise ParameterTypeError(f"{parameter} must be {wanted}, not {values!r}.")
    if isinstance(values, Iterator):  # would be empty in the next fit
        raise ParameterTypeError(f"{parameter} is an iterator, which can be read only once. Pass a list.")
    items = list(values)
    if not items:
        raise ValueError(f"{parameter} is empty. It must be {wanted}.")
    return items
