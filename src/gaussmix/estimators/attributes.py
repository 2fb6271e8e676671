"""The fitted attributes of scikit-learn's mixtures, read or set by hand, and its estimators, from and to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, overload
from weakref import ref

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError

from gaussmix.covariances import Covariances, LowRank
from gaussmix.door.initial import check_covariances
from gaussmix.door.parameters import check_family, check_numbers, names_several
from gaussmix.em.initial import InitialMoments
from gaussmix.em.objective import Ridge
from gaussmix.engines import choose
from gaussmix.errors import listed, name_components
from gaussmix.estimators.base import Estimator
from gaussmix.families.base import Family
from gaussmix.fit.fitted import Fitted
from gaussmix.mixture.conversion import from_parameters
from gaussmix.mixture.mixture import Mixture
from gaussmix.model import SUM_TOLERANCE
from gaussmix.numerics.arrays import Array, narrowed
from gaussmix.numerics.pieces import copied
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Source
from gaussmix.starts import Partition

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as SklearnMixture

Floats = NDArray[np.floating[Any]]

MATRICES = "covariances_", "precisions_cholesky_", "precisions_"  # of several that agree, the first is taken
APART = 0.01  # relative: covariances and precisions typed with three digits agree


def lacking(changed: Mapping[str, Floats]) -> list[str]:
    """Names of the arrays that must be set as well before there is a mixture."""
    matrices = [] if changed.keys() & set(MATRICES) else [MATRICES[0]]
    return [name for name in ("weights_", "means_", *matrices) if name not in changed]


def mixture_of(changed: Mapping[str, Floats], base: Mixture | None, family: Family) -> Mixture:
    """The mixture that arrays make, by the names of their attributes, with the other arrays of `base`.

    `base` is None where `changed` has all that are needed. Raises ValueError where an array does not fit the others, or
    the numbers make no mixture; the message says which.
    """
    given = [name for name in MATRICES if name in changed]
    if given and family.kind is LowRank:
        raise ValueError(unsettable(given[0], family))
    arrays = {} if base is None else {"weights_": base.weights, "means_": base.means}
    if base is not None and not given:
        arrays["covariances_"] = base.covariances
    arrays |= {name: values.astype(np.float64) for name, values in changed.items()}
    weights, means = arrays["weights_"], arrays["means_"]
    _check_shapes(arrays, family)
    noise = None if base is None else base.noise
    rest = 1.0 if noise is None else 1.0 - noise.weight
    if noise is not None and abs(weights.sum() - rest) > SUM_TOLERANCE:
        raise ValueError(f"weights_ must sum to {rest:.7g}, 1 less noise_weight_, not to {weights.sum():.7g}.")
    digits = {name: float(np.finfo(changed[name].dtype).eps) for name in given}
    each = [_covariances_of(name, arrays[name], digits[name], family, means) for name in given]
    covariances = each[0].array if each else arrays["covariances_"]
    try:
        model = from_parameters(weights / rest, means, covariances, None, family)
    except ValueError as error:
        raise ValueError(f"{listed(list(changed))} set by hand: {error}") from None
    for name, other in zip(given[1:], each[1:], strict=True):
        _check_agreement(given[0], name, model.covariances, other, max(digits.values()))
    names = None if base is None or base.n_features != model.n_features else base.feature_names
    return Mixture.of(model.beside(noise), names)


def unsettable(name: str, family: Family) -> str:
    """Say that an array can't be set in a structure."""
    why = f" of {family.name!r} follows from loadings and noise variances, and" if name in MATRICES else ""
    return f"{name}{why} can't be set. Set mixture_ instead."


def _check_shapes(arrays: Mapping[str, Array], family: Family) -> None:
    """Raise ValueError for an array whose shape is not the one that goes with `means_`."""
    means = arrays["means_"]
    if means.ndim != 2 or not means.size:
        raise ValueError(f"means_ was set to an array of shape {means.shape}: give (n_components, n_features).")
    wanted = {"weights_": means.shape[:1], "means_": means.shape} | dict.fromkeys(MATRICES, family.shape(*means.shape))
    for name, values in arrays.items():
        if values.shape != wanted[name]:
            raise ValueError(
                f"{name} has shape {values.shape}, and means_ of shape {means.shape} with "
                f"covariance_type={family.name!r} needs {wanted[name]}: set the one that is wrong."
            )


def _covariances_of(name: str, matrices: Array, digits: float, family: Family, means: Array) -> Covariances:
    """The covariances that matrices mean which have numbers of so many digits."""
    is_matrix = family.kind.is_matrix
    if digits > np.finfo(np.float64).eps and is_matrix and name != "precisions_cholesky_":
        matrices = 0.5 * (matrices + matrices.swapaxes(-1, -2))  # symmetric to seven digits only
    try:
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            if name == "precisions_":
                ones = np.full(len(means), 1 / len(means))
                return from_parameters(ones, means, None, matrices, family).covariances
            if name == "precisions_cholesky_" and not is_matrix:
                matrices = matrices**-2.0
            elif name == "precisions_cholesky_":
                if np.tril(matrices, -1).any():
                    raise ValueError("give upper triangular matrices C with C Cᵀ = Σ⁻¹.")
                inverse = np.linalg.inv(matrices)
                matrices = inverse.swapaxes(-1, -2) @ inverse
    except (ValueError, np.linalg.LinAlgError) as error:
        raise ValueError(f"{name} set by hand: {error}") from None
    return family.covariances(matrices, *means.shape)


def _check_agreement(first: str, name: str, covariances: Covariances, other: Covariances, digits: float) -> None:
    """Raise ValueError where two attributes are not of the same covariances."""
    rounding = 10 * covariances.rounding * (digits / np.finfo(np.float64).eps)  # how far it takes matrices apart
    allowed = APART + (rounding.max(keepdims=True) if covariances.is_shared else rounding)
    with np.errstate(all="ignore"):
        if covariances.is_matrix:
            factors = covariances.whitening.factors
            apart = factors @ other.array @ factors.swapaxes(-1, -2) - np.eye(covariances.n_features)
        else:
            apart = other.array / covariances.array - 1
    wrong = ~(np.abs(apart).reshape(len(allowed), -1).max(axis=1) <= allowed)
    if wrong.any():
        where = "" if len(wrong) == 1 else f" of {name_components(np.flatnonzero(wrong).tolist())}"
        raise ValueError(
            f"{first} and {name} were both changed, but disagree on the covariance{where}. Change only one of them."
        )


class Kept(NamedTuple):
    """An array that the user has, and the bytes that it had as the mixture's; None if there is no mixture."""

    values: Floats
    before: bytes | None

    @property
    def is_changed(self) -> bool:
        """Whether a byte differs."""
        if self.before is None or self.values.nbytes != len(self.before):
            return True
        word = f"u{self.values.itemsize}"  # so that NaN equals itself
        now = self.values.reshape(-1).view(word)
        return bool((now != np.frombuffer(self.before, word)).any())


class FittedArray:
    """A fitted array, in the type of the training data: made of the mixture when it is first read, and then kept.

    The user may write into it, or set another. It counts from the next use of the estimator on. `read` makes the values
    of a mixture, in a type if it can hold them. What follows from loadings can't be set: it is made whenever it is
    read, and is read-only.
    """

    def __init__(self, read: Callable[[Mixture, np.dtype[Any]], Floats], *, is_settable: bool = True) -> None:
        self._read, self._is_settable = read, is_settable

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, estimator: None, owner: type) -> Self: ...
    @overload
    def __get__(self, estimator: Any, owner: type | None = None) -> Floats: ...
    def __get__(self, estimator: Any, owner: type | None = None) -> Self | Floats:
        if estimator is None:
            return self
        kept: Kept | None = vars(estimator).get("_arrays", {}).get(self._name)
        if kept is not None:
            return kept.values
        fitted: Fitted = estimator._stored() or estimator._fitted
        if not self._is_fixed(fitted):
            return self._kept(estimator, fitted).values
        values = self.of(fitted).values
        values.flags.writeable = False
        return values

    def __set__(self, estimator: Any, value: Any) -> None:
        fitted: Fitted | None = estimator._stored()
        if self._is_fixed(fitted):
            raise AttributeError(unsettable(self._name, (fitted or estimator._fitted).mixture.family))
        arrays = vars(estimator).setdefault("_arrays", {})
        if self._name not in arrays and fitted is not None:
            self._kept(estimator, fitted)
        kept = arrays.get(self._name)
        if kept is not None and value is kept.values:
            return  # as after `estimator.means_ += 1`
        numbers: Floats = copied(check_numbers(self._name, value))
        if getattr(value, "dtype", None) == np.float32:
            numbers = numbers.astype(np.float32)
        arrays[self._name] = Kept(numbers, None if kept is None else kept.before)

    def of(self, fitted: Fitted) -> Kept:
        """The array of a fit."""
        values = np.array(self._read(fitted.mixture, fitted.dtype), order="C")
        return Kept(values, values.tobytes())

    def _is_fixed(self, fitted: Fitted | None) -> bool:
        is_of_factors = fitted is not None and fitted.mixture.family.kind is LowRank and self._name in MATRICES
        return is_of_factors or not self._is_settable

    def _kept(self, estimator: Any, fitted: Fitted) -> Kept:
        kept: Kept = vars(estimator).setdefault("_arrays", {}).setdefault(self._name, self.of(fitted))
        return kept


def _low_rank(mixture: Mixture) -> LowRank:
    """The covariances of a structure with factors; raises AttributeError for others."""
    covariances = mixture.model.covariances
    if not isinstance(covariances, LowRank):
        raise AttributeError(f"covariance_type={mixture.family.name!r} has no loadings and noise variances.")
    return covariances


def _of_factors(values: NDArray[np.float64], mixture: Mixture) -> NDArray[np.float64]:
    """Loadings or noise variances of each component, from those that all may share."""
    return np.broadcast_to(values, (mixture.n_components, *values.shape[1:]))


def _noise_variances(mixture: Mixture, dtype: np.dtype[Any]) -> Floats:
    noise = _of_factors(_low_rank(mixture).noise, mixture)
    return noise if noise.min() < np.finfo(dtype).tiny else narrowed(noise, dtype)


def _narrowed_matrices(matrices: Covariances, dtype: np.dtype[Any]) -> Floats:
    """Covariances, precisions or factors: a variance of 0 after rounding would be wrong."""
    if matrices.variances().min() < np.finfo(dtype).tiny:
        return matrices.array
    return narrowed(matrices.array, dtype)


def _precisions_cholesky(mixture: Mixture, dtype: np.dtype[Any]) -> Floats:
    shown = mixture.model.covariances.simple()
    factors = shown.whitening.factors
    upper = factors.transpose(0, 2, 1) if shown.is_matrix else factors
    return _narrowed_matrices(replace(shown, each=upper), dtype)


class MixtureAttributes(Estimator):
    """Arrays in the type of the training data if it can hold them; `mixture_` holds them in float64."""

    weights_ = FittedArray(lambda mixture, dtype: mixture.weights.astype(dtype))
    means_ = FittedArray(lambda mixture, dtype: narrowed(mixture.means, dtype))
    covariances_ = FittedArray(lambda mixture, dtype: _narrowed_matrices(mixture.model.covariances.simple(), dtype))
    precisions_ = FittedArray(lambda mixture, dtype: _narrowed_matrices(mixture.model.covariances.inverse(), dtype))
    precisions_cholesky_ = FittedArray(_precisions_cholesky)
    loadings_ = FittedArray(
        lambda mixture, dtype: narrowed(_of_factors(_low_rank(mixture).loadings, mixture), dtype), is_settable=False
    )
    noise_variances_ = FittedArray(_noise_variances, is_settable=False)

    _instead: ClassVar[Mapping[str, str]] = {}  # its own answers where those of INSTEAD do not fit
    precisions_init: ArrayLike | None
    _rows: ref[Any] | NDArray[np.int64] | str  # of the fit, or their labels once these were made, or why there are none
    labels_: NDArray[np.int64]  # no property: notebooks read all of those to show an estimator

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a subclass that defines a private method of scikit-learn's: nothing would call it."""
        super().__init_subclass__(**options)
        for name in HOOKS.keys() & vars(cls).keys():
            raise TypeError(
                f"{cls.__name__} defines {name}, which scikit-learn's fit calls and gaussmix's does not. "
                f"Use {HOOKS[name]}."
            )

    @property
    def mixture_(self) -> Mixture:
        """The fitted distribution, in float64."""
        return self._fitted.mixture

    @mixture_.setter
    def mixture_(self, mixture: Mixture) -> None:
        if not isinstance(mixture, Mixture):
            raise TypeError(f"mixture_ must be a gaussmix.Mixture, not {mixture!r:.60}.")
        self._become(mixture)

    @property
    def noise_weight_(self) -> float:
        """Weight of the background; 0 if there is none."""
        noise = self.mixture_.noise
        return 0.0 if noise is None else noise.weight

    def __sklearn_is_fitted__(self) -> bool:
        return super().__sklearn_is_fitted__() or not lacking(vars(self).get("_arrays", {}))

    def __getstate__(self) -> dict[str, Any]:
        if "_arrays" in vars(self) and self.__sklearn_is_fitted__():
            _ = self._fitted  # with what was changed by hand
        state = {**super().__getstate__()}
        arrays: dict[str, Kept] = state.pop("_arrays", {})
        if isinstance(state.get("_rows"), ref):  # which are of this process
            del state["_rows"]
        if arrays and "_fitted" not in state:
            state["_arrays"] = {name: Kept(kept.values.copy(), None) for name, kept in arrays.items()}
        return state

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name == "labels_":
                return self._labels()
            if name in PRIVATE:
                raise instead_of(type(self).__name__, name)
            other = self._instead.get(name) or INSTEAD.get(name)
            if other is not None and not hasattr(type(self), name):
                raise AttributeError(f"{type(self).__name__} has no {name}. Use {other}.")
            return object.__getattribute__(self, name)  # raises, in Python's words or those of an attribute

    def _stored(self) -> Fitted | None:
        """The fit, without what was changed by hand since; None if there is none."""
        return vars(self).get("_fitted")

    def _settle(self) -> None:
        arrays: dict[str, Kept] = vars(self).get("_arrays", {})
        changed = {name: kept.values for name, kept in arrays.items() if kept.is_changed}
        fitted = self._stored()
        if fitted is not None and not changed:
            return
        if not changed:
            super()._settle()
        if fitted is None and lacking(changed):
            said = f"{listed(list(changed))} set by hand; set {listed(lacking(changed))} as well."
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: {said}")
        if fitted is None and names_several(self.covariance_type):
            raise ValueError(
                f"covariance_type={self.covariance_type!r:.60} names several structures, but these arrays have one. "
                "Set mixture_ instead."
            )
        base, family = (None, check_family(self)) if fitted is None else (fitted.mixture, fitted.mixture.family)
        dtype = changed["means_"].dtype if "means_" in changed else None
        self._become(mixture_of(changed, base, family), dtype)
        self.__dict__["_arrays"] = self._still(arrays, changed)

    def _still(self, arrays: dict[str, Kept], changed: dict[str, Floats]) -> dict[str, Kept]:
        """The arrays that go on to count, with the bytes of the mixture that was made; others are made when read."""
        still, matrices = {}, set(MATRICES)
        for name, kept in arrays.items():
            is_out_of_date = name in matrices - changed.keys() and matrices & changed.keys()
            now = getattr(type(self), name).of(self._fitted)
            if not is_out_of_date and (kept.values.shape, kept.values.dtype) == (now.values.shape, now.values.dtype):
                kept.values[...] = now.values  # equal up to rounding; the user may hold it, and go on writing into it
                still[name] = Kept(kept.values, now.before)
        return still

    def _become(self, mixture: Mixture, dtype: np.dtype[Any] | None = None) -> None:
        """Become a mixture that was set by hand, with arrays of a type."""
        fitted = Fitted.by_hand(mixture, self._stored())
        self._fitted = fitted if dtype is None else replace(fitted, dtype=dtype)
        self._rows = "fit did not find this mixture"
        self._expect_features()

    def _remember(self, source: Source, X: object) -> None:
        """Let `labels_` find the rows of a fit in memory while somebody else keeps them."""
        if source.has_errors:
            self._rows = "predict does not know X_error"
        elif self._fitted.cutoff is not None:
            self._rows = "predict does not know which of them trim left out"
        elif not isinstance(source, ArraySource):
            self._rows = "these were in a file or on a cluster"
        else:
            self._rows = "these were no array or data frame"
            with suppress(TypeError):  # a list has no weak references
                self._rows = ref(X)

    def _labelled(self, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels of the rows of the fit, which are kept where they are an array."""
        if isinstance(found, np.ndarray):
            self._rows = found
        return found

    def _labels(self) -> NDArray[np.int64]:
        """`predict` of the rows of the fit, which are then kept; raises NotFittedError or AttributeError."""
        self._check_fitted()
        rows = vars(self).get("_rows")
        if isinstance(rows, np.ndarray):
            return rows
        X = rows() if isinstance(rows, ref) else None
        if X is None:
            why = rows if isinstance(rows, str) else "this one was loaded, copied or fitted in parts"
            why = "their array is gone" if isinstance(rows, ref) else why
            raise AttributeError(
                f"{type(self).__name__} has no labels_: a fit keeps no rows, and {why}. Call predict(X) or "
                "fit_predict(X)."
            )
        return self._labelled(self.predict(X))

    def _n_parameters(self) -> int:
        """Number of free parameters, by scikit-learn's name."""
        return self.n_parameters_

    def _set_parameters(self, params: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]) -> None:
        """Become the mixture of (weights, means, covariances, their precision factors, which are made anew)."""
        weights, means, covariances = (np.asarray(value) for value in params[:3])
        share = weights / weights.sum()  # scikit-learn's own estimates are masses
        self._become(Mixture(share, means, covariances, check_family(self)), means.dtype)

    def _initialize(self, X: ArrayLike, resp: ArrayLike) -> None:
        """Become the start that responsibilities (n_samples, n_components) give, with `precisions_init` if set."""
        rows, shares = np.asarray(X), np.asarray(resp, dtype=np.float64)
        family, n_components = check_family(self), shares.shape[1]
        source = ArraySource(rows, given=shares)
        first = InitialMoments(source, choose(), n_components, Partition())
        model = first.model(family, Ridge(np.zeros(source.n_features)))
        if self.precisions_init is not None:
            shape = n_components, source.n_features
            precisions = check_covariances(self.precisions_init, family, *shape, "precision")
            model = replace(model, covariances=precisions.inverse())
        self._become(Mixture.of(model), rows.dtype)


# What programs call of scikit-learn's private methods, and what to call here.
PRIVATE = {
    "_estimate_log_prob": "mixture_.component_log_density(X)",
    "_estimate_weighted_log_prob": "mixture_.component_log_density(X) + np.log(weights_)",
    "_estimate_log_weights": "np.log(weights_)",
    "_estimate_log_prob_resp": "score_samples(X) and predict_proba(X)",
    "_estimate_log_gaussian_prob": "mixture_.component_log_density(X)",
    "_get_parameters": "mixture_, or weights_, means_, covariances_ and precisions_cholesky_",
    "_e_step": "score(X) and predict_proba(X)",
    "_m_step": "fit(X) with init_params=responsibilities and max_iter=0",
    "_initialize_parameters": "fit(X) with max_iter=0, which returns the start",
    "_compute_precision_cholesky": "precisions_cholesky_",
    "_compute_lower_bound": "lower_bound_",
    "_check_parameters": "Mixture.from_parameters(weights, means, covariances), which checks them",
    "_check_X": "predict(X), which checks X",
}
# What people ask of a fitted estimator by the names of other packages.
INSTEAD = {
    "aic_": "aic(X)",
    "bic_": "bic(X), or results_ of a GaussianMixtureIC",
    "best_estimator_": "GaussianMixtureIC itself, which is the best after fit",
    "cluster_centers_": "means_",
    "covariance_": "covariances_",
    "covars_": "covariances_",
    "inertia_": "lower_bound_",
    "n_clusters": "n_components",
    "n_components_": "mixture_.n_components",
    "probabilities_": "predict_proba(X)",
    "responsibilities_": "predict_proba(X)",
    "results_": "GaussianMixtureIC, which compares several candidates",
    "transform": "predict_proba(X), or GaussianMixtureReducer",
}
_STARTS = "init_params, which takes a function (X, n_components, rng), or means_init and weights_init"
_STRUCTURE = "a covariance_type of your own (a gaussmix.families.base.Family)"
_STEPS = "callbacks, max_time or verbose"
# What programs override of them, and what does it here.
HOOKS = {
    "_m_step": f"restrictions, prior, covariance_type=Full(max_condition=…), or {_STRUCTURE}",
    "_e_step": "labels or X_error in fit, trim or noise",
    "_estimate_log_prob": _STRUCTURE,
    "_estimate_log_weights": "restrictions=Restrictions(equal_weights=True) or prior=Dirichlet(…)",
    "_estimate_weighted_log_prob": f"labels in fit, restrictions, or {_STRUCTURE}",
    "_estimate_log_prob_resp": "labels in fit, trim or noise",
    "_initialize": _STARTS,
    "_initialize_parameters": _STARTS,
    "_compute_lower_bound": 'callbacks, which can end a fit, or tol="auto"',
    "_check_parameters": "a fit of your own, which calls super().fit",
    "_print_verbose_msg_init_beg": _STEPS,
    "_print_verbose_msg_iter_end": _STEPS,
    "_print_verbose_msg_init_end": _STEPS,
    "_get_parameters": "mixture_",
    "_set_parameters": "mixture_, which can be set",
    "_n_parameters": "n_parameters_",
}
# The parameters and the facts of a run that mean the same in both libraries.
_PARAMETERS = ("tol", "max_iter", "n_init", "random_state", "warm_start", "verbose", "verbose_interval")
_OF_THE_START = ("init_params", "weights_init", "means_init", "precisions_init")
_OF_THE_RUN = ("converged_", "n_iter_", "lower_bound_", "lower_bounds_")


def instead_of(kind: str, name: str) -> AttributeError:
    """The error for a private method of scikit-learn."""
    return AttributeError(f"{kind} has no {name}, which is private in scikit-learn: use {PRIVATE[name]}.")


def parameters_of(estimator: Any) -> dict[str, Any]:
    """The parameters of a mixture estimator of scikit-learn that have a meaning here."""
    names = "n_components", "covariance_type", "reg_covar", *_PARAMETERS, *_OF_THE_START
    given = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    return {name: given[name] for name in names if name in given}


def facts_of(estimator: Any) -> dict[str, Any]:
    """How the fit of a mixture estimator went; of a Bayesian one not, whose bound is another quantity."""
    if hasattr(estimator, "weight_concentration_"):
        return {}
    return {name: getattr(estimator, name) for name in _OF_THE_RUN if hasattr(estimator, name)}


def to_sklearn(estimator: Any, mixture: Mixture) -> SklearnMixture:
    """A fitted estimator of scikit-learn with the mixture, and with the parameters that both know."""
    made = mixture.to_sklearn()
    made.set_params(**{name: getattr(estimator, name) for name in _PARAMETERS if hasattr(estimator, name)})
    if isinstance(made.tol, str):
        made.set_params(tol=SklearnMixture().tol)
    if isinstance(estimator.reg_covar, float | int):
        made.set_params(reg_covar=estimator.reg_covar)
    for name, value in facts_of(estimator).items():
        setattr(made, name, value)
    if estimator._fitted.dtype == np.float32:
        for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
            setattr(made, name, getattr(made, name).astype(np.float32))
    return made
