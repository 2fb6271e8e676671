"""The fitted attributes of scikit-learn's mixtures, read from `mixture_`, and the methods that its test suite calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.covariances import Covariances, LowRank
from gaussmix.door.initial import check_covariances
from gaussmix.door.structures import check_family, names_several
from gaussmix.em.initial import InitialMoments
from gaussmix.em.objective import Ridge
from gaussmix.engines import choose
from gaussmix.estimators.by_hand import Parts
from gaussmix.estimators.conversion import PRIVATE, instead_of
from gaussmix.mixture.mixture import Mixture
from gaussmix.numerics.arrays import narrowed
from gaussmix.sources.array import ArraySource
from gaussmix.starts import Partition

Floats = NDArray[np.floating[Any]]

# What a fit says of its rows or of its components one by one; and of its course.
_OF_ROWS = "_parts", "cutoff_", "_stream", "n_samples_seen_"
_OF_THE_RUN = "converged_", "n_iter_", "lower_bound_", "lower_bounds_", "outcome_", "traces_"


class Shown(np.ndarray[Any, np.dtype[np.floating[Any]]]):
    """A read-only array. The error of writing into it names the line that works. Results of arithmetic are plain."""

    name: str | None

    def __array_finalize__(self, origin: Any) -> None:
        self.name = getattr(origin, "name", None)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._check_writeable()
        super().__setitem__(key, value)

    def __array_ufunc__(self, ufunc: np.ufunc, method: Any, *inputs: Any, **options: Any) -> Any:
        for each in options.get("out", ()):
            if isinstance(each, Shown):
                each._check_writeable()
        if "out" in options:
            options["out"] = tuple(_plain(each) for each in options["out"])
        return getattr(ufunc, method)(*map(_plain, inputs), **options)

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()

    def __repr__(self) -> str:
        return repr(np.asarray(self))

    def _check_writeable(self) -> None:
        if not self.flags.writeable:
            raise ValueError(
                f"{self.name} is read-only here. Change a copy and set it: values = estimator.{self.name}.copy(); "
                f"values[...] = ...; estimator.{self.name} = values. To sort the components: estimator.mixture_ = "
                "estimator.mixture_.sorted('weight')."
            )


def _plain(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, Shown) else value


class FittedAttribute:
    """A fitted attribute: a read-only array that is computed from the mixture.

    What is set by hand is kept in `Parts` until the mixture is used next. Until then an attribute is what was set, or
    what it was before.

    Parameters
    ----------
    read : what makes the values of a mixture, in a type if it can hold them.
    is_settable : whether it can be set.
    """

    def __init__(self, read: Callable[[Mixture, np.dtype[Any]], Floats], *, is_settable: bool = True) -> None:
        self._read, self._is_settable = read, is_settable

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        if estimator is None:
            return self
        parts = vars(estimator).get("_parts")
        values = None if parts is None else parts.values.get(self._name)
        if values is None:
            mixture = None if parts is None else parts.base
            values = self._read(mixture or self._mixture_of(estimator), estimator._dtype)
        shown = values.view(Shown)
        shown.flags.writeable, shown.name = False, self._name
        return shown

    def _mixture_of(self, estimator: Any) -> Mixture:
        if not hasattr(estimator, "mixture_"):
            kind, parts = type(estimator).__name__, vars(estimator).get("_parts")
            how = f"{self._name} comes with fit." if parts is None else parts.said
            raise AttributeError(f"This {kind} is not fitted yet: {how}")
        mixture: Mixture = estimator.mixture_
        return mixture

    def __set__(self, estimator: Any, value: Any) -> None:
        if not self._is_settable:
            raise AttributeError(f"{self._name} can't be set: set mixture_, the whole distribution.")
        parts = vars(estimator).get("_parts") or Parts(getattr(estimator, "mixture_", None))
        vars(estimator)["_parts"] = parts.having(self._name, value)


class FittedMixture:
    """The attribute `mixture_`, from which all others are computed: of a fit, set by hand, or made of parts."""

    @overload
    def __get__(self, estimator: None, owner: type) -> Self: ...
    @overload
    def __get__(self, estimator: Any, owner: type | None = None) -> Mixture: ...
    def __get__(self, estimator: Any, owner: type | None = None) -> Self | Mixture:
        if estimator is None:
            return self
        parts = vars(estimator).get("_parts")
        if parts is not None and not parts.lacking:
            estimator._become(parts)
        mixture: Mixture | None = vars(estimator).get("mixture_")
        if mixture is None:
            raise AttributeError(f"{type(estimator).__name__!r} object has no attribute 'mixture_'")
        return mixture

    def __set__(self, estimator: Any, mixture: Any) -> None:
        if not isinstance(mixture, Mixture):
            raise TypeError(f"mixture_ must be a gaussmix.Mixture, not {mixture!r:.60}.")
        estimator._adopt(mixture)


def _low_rank(mixture: Mixture) -> LowRank:
    """The covariances of a structure with factors; raises AttributeError for others."""
    covariances = mixture.model.covariances
    if not isinstance(covariances, LowRank):
        raise AttributeError(f"covariance_type={mixture.family.name!r} has no loadings and noise variances.")
    return covariances


def _of_factors(values: NDArray[np.float64], mixture: Mixture) -> NDArray[np.float64]:
    """Loadings or noise variances of each component, from those that all may share."""
    return np.broadcast_to(values, (mixture.n_components, *values.shape[1:]))


def _loadings(mixture: Mixture, dtype: np.dtype[Any]) -> Floats:
    return narrowed(_of_factors(_low_rank(mixture).loadings, mixture), dtype)


def _noise_variances(mixture: Mixture, dtype: np.dtype[Any]) -> Floats:
    noise = _of_factors(_low_rank(mixture).noise, mixture)
    return noise if noise.min() < np.finfo(dtype).tiny else narrowed(noise, dtype)


def _narrowed_matrices(matrices: Covariances, dtype: np.dtype[Any]) -> Floats:
    """Covariances, precisions or factors: a variance of 0 after rounding would be wrong."""
    if matrices.variances().min() < np.finfo(dtype).tiny:
        return matrices.array
    return narrowed(matrices.array, dtype)


def _covariances(mixture: Mixture, dtype: np.dtype[Any]) -> Floats:
    return _narrowed_matrices(mixture.model.covariances.simple(), dtype)


def _precisions(mixture: Mixture, dtype: np.dtype[Any]) -> Floats:
    return _narrowed_matrices(mixture.model.covariances.inverse(), dtype)


def _precisions_cholesky(mixture: Mixture, dtype: np.dtype[Any]) -> Floats:
    shown = mixture.model.covariances.simple()
    factors = shown.whitening.factors
    upper = factors.transpose(0, 2, 1) if shown.is_matrix else factors
    return _narrowed_matrices(replace(shown, each=upper), dtype)


class MixtureAttributes:
    """Attributes in the type of the training data if it can hold them; `mixture_` holds them in float64."""

    mixture_ = FittedMixture()
    weights_ = FittedAttribute(lambda mixture, dtype: mixture.weights.astype(dtype, copy=False))
    means_ = FittedAttribute(lambda mixture, dtype: narrowed(mixture.means, dtype))
    covariances_ = FittedAttribute(_covariances)
    precisions_ = FittedAttribute(_precisions)
    precisions_cholesky_ = FittedAttribute(_precisions_cholesky)
    loadings_ = FittedAttribute(_loadings, is_settable=False)
    noise_variances_ = FittedAttribute(_noise_variances, is_settable=False)

    _dtype: np.dtype[Any]
    _parts: Parts

    # Of the estimator this is mixed into.
    covariance_type: Any
    precisions_init: ArrayLike | None

    @property
    def noise_weight_(self) -> float:
        """Weight of the background; 0 where there is none."""
        if not hasattr(self, "mixture_"):
            raise AttributeError(f"This {type(self).__name__} is not fitted yet: noise_weight_ comes with fit.")
        noise = self.mixture_.noise
        return 0.0 if noise is None else noise.weight

    def __sklearn_is_fitted__(self) -> bool:
        parts = vars(self).get("_parts")
        is_set = parts is not None and not parts.lacking
        return is_set or any(name.endswith("_") and not name.startswith("__") for name in vars(self))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in PRIVATE:
                raise instead_of(type(self).__name__, name)
            return object.__getattribute__(self, name)  # raises, in Python's words or those of an attribute

    def _become(self, parts: Parts) -> None:
        """Become the mixture that parts make; raises ValueError where they make none."""
        base = parts.base
        try:
            family = check_family(self)
        except (TypeError, ValueError):
            if base is not None:
                family = base.family
            elif names_several(self.covariance_type):
                raise ValueError(
                    f"covariance_type={self.covariance_type!r:.60} names several structures, and these parts have "
                    "one: set mixture_, the whole distribution."
                ) from None
            else:
                raise
        self._adopt(parts.mixture(family))
        if "means_" in parts.values:
            self._dtype = parts.values["means_"].dtype

    def _adopt(self, mixture: Mixture) -> None:
        """Become a mixture that was set by hand, and forget what is not of it."""
        before: Mixture | None = vars(self).get("mixture_")
        is_alike = before is not None and before.means.shape == mixture.means.shape and before.family == mixture.family
        n_fixed = 0
        if before is not None and is_alike:
            n_fixed = before.n_parameters - vars(self).get("n_parameters_", before.n_parameters)
        self._forget_fit(everything=not is_alike)
        vars(self).update(
            mixture_=mixture,
            n_features_in_=mixture.n_features,
            n_parameters_=mixture.n_parameters - n_fixed,
            collapsed_=[],
            diagnostics_=[],
        )
        vars(self).pop("feature_names_in_", None)
        if mixture.feature_names is not None:
            self.feature_names_in_ = np.asarray(mixture.feature_names, dtype=object)

    def _forget_fit(self, *, everything: bool) -> None:
        """Forget what only the fit before can say; or everything that it found."""
        for name in _OF_ROWS if not everything else (*_OF_ROWS, *_OF_THE_RUN):
            vars(self).pop(name, None)
        facts = vars(self).pop("_facts", None)
        if facts is not None and not everything:
            vars(self)["_facts"] = replace(facts, log_likelihood=None)  # that was of the mixture before

    def _set_parameters(self, params: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]) -> None:
        """Become the mixture of (weights, means, covariances, their precision factors, which are made anew)."""
        weights, means, covariances = (np.asarray(value) for value in params[:3])
        share = weights / weights.sum()  # scikit-learn's own estimates are masses
        self.mixture_ = Mixture(share, means, covariances, check_family(self))
        self._dtype = means.dtype

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
        self.mixture_, self._dtype = Mixture.of(model), rows.dtype
