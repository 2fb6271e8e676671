"""Parameters of estimators, checked: each error names the parameter, its value and what it may be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from copy import copy
from functools import lru_cache, partial
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from gaussmix._src import numerics
from gaussmix._src.checks import check_count
from gaussmix._src.em.collapse.remedies import Remedy
from gaussmix._src.em.initialisation.base import AUTO, STARTS
from gaussmix._src.errors import ParameterTypeError, listed, unknown_name
from gaussmix._src.families.base import ALIASES, FAMILIES, Family, check_features, family_named, family_names, is_family
from gaussmix._src.numerics.arrays import Array, plain_array

MAX_VALUE = 1e150  # data units: squares of larger numbers overflow


def check_column_names(parameter: str, value: Any, feature_names: Sequence[str] | None) -> None:
    """Raise ValueError for a data frame whose columns have other names than those of X, or another order."""
    frame = None if feature_names is None else numerics.frames.Frame.from_table(value)
    if frame is None or feature_names is None or not all(isinstance(name, str) for name in frame.names):
        return
    if frame.names != tuple(feature_names):
        raise ValueError(
            f"The columns of {parameter} are {listed(frame.names)}, but those of X are {listed(list(feature_names))}."
        )


def check_name(parameter: str, value: Any, known: Collection[str]) -> str:
    """One of the known names; raises ValueError, which lists them."""
    if not isinstance(value, str) or value not in known:
        raise unknown_name(parameter, value, known)
    return value


def check_nonnegative(name: str, value: Any, hint: str = "") -> float:
    """A finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (float, Real)):
        raise ParameterTypeError(f"{name} must be a number ≥ 0{hint}, not {value!r}.")
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all doubles
        number = np.inf
    if not 0 <= number < np.inf:
        raise ValueError(f"{name}={value!r} must be a finite number ≥ 0{hint}.")
    return number


def check_fraction(name: str, value: Any) -> float:
    """A number from 0 to 1."""
    number = check_nonnegative(name, value, " and at most 1")
    if number > 1:
        raise ValueError(f"{name}={value!r} must be a number from 0 to 1.")
    return number


def check_trim(trim: Any) -> float:
    """The share of the row weight to leave out."""
    fraction = check_nonnegative("trim", trim, " and below 1/2")
    if not fraction < 0.5:
        raise ValueError(f"trim={trim!r} must be a share below 1/2: most rows belong to the mixture.")
    return fraction


def check_ridge(reg_covar: Any, families: Sequence[Family], prior: Any = None) -> float | None:
    """A number to add to every variance; None for the automatic one, which is 0 where nothing else can collapse.

    A prior of covariances keeps them from collapsing, as a bound on their ratios does.
    """
    if isinstance(reg_covar, str) and reg_covar == "auto":
        if prior is not None:
            from gaussmix._src.priors import Dirichlet  # for fits with a prior alone

            if not isinstance(prior, Dirichlet):
                return 0.0
        return 0.0 if all(family.is_bounded for family in families) else None
    ridge = check_nonnegative("reg_covar", reg_covar, ' or "auto"')
    if ridge > MAX_VALUE**2:
        raise ValueError(f"reg_covar={reg_covar!r} must be at most {MAX_VALUE**2:g}: its sums over the rows overflow.")
    return ridge


def check_tol(tol: Any) -> float | None:
    """Nats per unit of row weight; None for "auto"."""
    return None if isinstance(tol, str) and tol == "auto" else check_nonnegative("tol", tol, ' or "auto"')


def check_acceleration(acceleration: Any) -> None:
    """ "auto" or None."""
    if acceleration is not None and not (isinstance(acceleration, str) and acceleration == "auto"):
        wrong = ValueError if isinstance(acceleration, str) else ParameterTypeError
        raise wrong(f'acceleration must be "auto" or None, not {acceleration!r}.')


def check_maximum_option(check_maximum: Any) -> bool | None:
    """Whether the end of a fit is certified; None where it is if that is cheap."""
    if isinstance(check_maximum, str) and check_maximum == "auto":
        return None
    if isinstance(check_maximum, (bool, np.bool_)):
        return bool(check_maximum)
    wrong = ValueError if isinstance(check_maximum, str) else ParameterTypeError
    raise wrong(f'check_maximum must be "auto", True or False, not {check_maximum!r}.')


def check_remedy(degenerate: Any) -> Remedy:
    """What to do with a component that collapses or loses its mass."""
    try:
        return Remedy(degenerate)
    except ValueError:
        raise unknown_name("degenerate", degenerate, [remedy.value for remedy in Remedy]) from None


def check_posterior(posterior: Any) -> int | None:
    """Check `posterior`; return the number of candidates of each row, or None for "auto" and "exact"."""
    if isinstance(posterior, str):
        if posterior in ("auto", "exact"):
            return None
        raise ValueError(f'posterior={posterior!r} must be "auto", "exact" or an integer, the candidates of a row.')
    return check_count("posterior", posterior, 1)


def check_flag(name: str, value: Any) -> bool:
    """True or False; 0, 1 and other values that count as one of them are refused."""
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterTypeError(f"{name} must be True or False, not {value!r}.")
    return bool(value)


def check_verbose(verbose: Any) -> int:
    """How much to print: False or 0 nothing, True or 1 steps, from 2 on times too."""
    return int(verbose) if isinstance(verbose, (bool, np.bool_)) else check_count("verbose", verbose, 0)


_DRAW = 0, 2**31 - 1, 4  # what a seed is drawn from, and how many numbers of it


@lru_cache  # a new RandomState takes a tenth of a small fit
def _drawn(seed: int) -> NDArray[np.int64]:
    return np.random.RandomState(seed).randint(*_DRAW)


def check_seed(random_state: Any) -> np.random.Generator:
    """A generator seeded by `random_state`; an integer seeds a RandomState first, as in scikit-learn.

    Its seed sequence is its own: a start may call `Generator.spawn`, which counts there what it has spawned.
    """
    return np.random.default_rng(drawn_seed(random_state).astype(np.uint32))  # NumPy takes other integers one by one


def drawn_seed(random_state: Any) -> NDArray[np.int64]:
    """The seed of `check_seed`, (4,), for whoever needs several generators alike."""
    try:
        is_seed = isinstance(random_state, (int, Integral))
        return _drawn(int(random_state)) if is_seed else check_random_state(random_state).randint(*_DRAW)
    except ValueError:
        raise ValueError(
            f"random_state must be an integer from 0 to 2**32 - 1, a RandomState or None, not {random_state!r}."
        ) from None


def seed_restorer(random_state: Any) -> Callable[[], None]:
    """Make a function that restores the present state of `random_state`, for a fit that then draws nothing from it."""
    if not (random_state is None or isinstance(random_state, np.random.RandomState)):
        return lambda: None
    generator = check_random_state(random_state)
    return partial(generator.set_state, generator.get_state())


def check_start_names(init_params: Any) -> tuple[str, ...]:
    """The names of starts in `init_params`; none if it is an array or a callable."""
    several = isinstance(init_params, (list, tuple)) and any(isinstance(name, str) for name in init_params)
    names = tuple(init_params) if several else (init_params,) if isinstance(init_params, str) else ()
    return tuple(check_name("init_params", name, [AUTO, *STARTS]) for name in names)


# The checks of parameters that are one value, for estimators and for the options of the command line.
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
    """Real numbers of any shape in float64, copied only to convert; NaN and infinity pass.

    Masked cells, and nulls of a data frame, become NaN.

    Raises ValueError: text, complex numbers, lists of unequal length. TypeError: a column of a data frame holds neither
    numbers nor text; dates, times or durations.
    """
    frame = numerics.frames.Frame.from_table(values)
    try:
        array = np.asarray(plain_array(values)) if frame is None else frame.rows(parameter)
        if array.dtype.kind not in "cmM":
            return array.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{parameter} must be an array of numbers: {error}") from None
    if array.dtype.kind != "c":  # NumPy would count units since 1970, and take a missing time for −9.2e18
        raise ParameterTypeError(numerics.frames.times_sentence(parameter))
    raise ValueError(f"{parameter} must be real numbers, not complex ones.")


MISSING = ("allow", "error")
check_missing = partial(check_name, "missing", known=MISSING)  # what becomes of missing cells
ALL = "all"
_WANTED = f'a structure, its name, several, or "{ALL}"'


def check_family(estimator: Any) -> Family:
    """The structure that an estimator names; raises ValueError or TypeError for none, or several."""
    structure = estimator.covariance_type
    if type(structure) is str:
        if structure == ALL:
            raise ValueError(f'covariance_type="{ALL}" compares structures: use GaussianMixtureIC(n_components).')
        return family_named(structure)
    return _family(structure, "a structure or its name (GaussianMixtureIC takes several)")


def _family(structure: Any, wanted: str) -> Family:
    if isinstance(structure, Family):
        return copy(structure)  # what a fit has found must not change with the user's value
    if isinstance(structure, type) and issubclass(structure, Family):
        name, needed = structure.__name__, "n_factors" if hasattr(structure, "n_factors") else ""
        raise ParameterTypeError(f"covariance_type is the class {name}. Give a structure: {name}({needed}).")
    if not isinstance(structure, str):
        raise ParameterTypeError(
            f"covariance_type must be {wanted}, not {structure!r}. Names are {listed(family_names(), 99)}."
        )
    return family_named(structure)


def shown(family: Family) -> Any:
    """What a user would give as `covariance_type`: the name of a structure, or one with options of its own."""
    return copy(family) if family.non_default_params else family.name


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


def check_supported(family: Family, n_features: int) -> None:
    """Raise ValueError for a structure that so few features do not allow."""
    reason = family.unsupported_reason(n_features)
    if reason is not None:
        raise ValueError(f"{reason}.")


def check_families(estimator: Any, n_features: int) -> list[Family]:
    """The structures that an estimator names, each once.

    "all" means every family registered for it that is defined for this number of features.
    """
    covariance_type = estimator.covariance_type
    if _means_all(covariance_type):
        of_one = {name for alias, name in ALIASES.items() if len(alias) == 1}
        return [family for family in FAMILIES.values() if family.in_all and (n_features > 1 or family.name in of_one)]
    families: dict[Family, None] = {}
    for structure in _named(covariance_type):
        check_features(structure, n_features)
        families[_family(structure, _WANTED)] = None
    return list(families)


def names_several(covariance_type: Any) -> bool:
    """Whether it names several structures, so that arrays set by hand have no known structure."""
    return _means_all(covariance_type) or not isinstance(covariance_type, str | Family)


def one_feature_notes(covariance_type: Any) -> list[str]:
    """Sentences that say what names of structures mean for one feature."""
    named = [] if _means_all(covariance_type) else _named(covariance_type)
    return [sentence for each in named if (sentence := check_features(each, 1)) is not None]


def _means_all(covariance_type: Any) -> bool:
    return isinstance(covariance_type, str) and covariance_type == ALL


def _named(covariance_type: Any) -> Sequence[Any]:
    """Names and structures, as the user gave them."""
    if isinstance(covariance_type, str) and not is_family(covariance_type):
        raise unknown_name("covariance_type", covariance_type, (*family_names(), ALL))
    if isinstance(covariance_type, str | Family):
        return [covariance_type]
    return _several("covariance_type", covariance_type, _WANTED)


def _several(parameter: str, values: Any, wanted: str) -> Sequence[Any]:
    """The values of an iterable with at least one; raises TypeError or ValueError, which name the parameter."""
    if not isinstance(values, Iterable):
        raise ParameterTypeError(f"{parameter} must be {wanted}, not {values!r}.")
    items = list(values)
    if not items:
        raise ValueError(f"{parameter} is empty: give {wanted}.")
    return items
