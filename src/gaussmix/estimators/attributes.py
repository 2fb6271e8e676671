"""The fitted attributes of scikit-learn's mixtures, read from `mixture_`, and the methods that its test suite calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.covariances import Covariances, LowRank
from gaussmix.em.initial import InitialMoments
from gaussmix.em.objective import Ridge
from gaussmix.engines import choose
from gaussmix.estimators.initial import check_covariances
from gaussmix.estimators.structures import check_family
from gaussmix.mixture.mixture import Mixture
from gaussmix.sources.array import ArraySource
from gaussmix.starts import Partition

Floats = NDArray[np.floating[Any]]


class FittedAttribute(property):
    """A fitted attribute: a read-only array, computed from `mixture_` and never set by hand."""

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        if estimator is None:
            return self
        if not hasattr(estimator, "mixture_"):
            raise AttributeError(f"This {type(estimator).__name__} is not fitted yet: {self._name} comes with fit.")
        shown = super().__get__(estimator, owner).view()
        shown.flags.writeable = False  # what is written here would not reach the mixture
        return shown

    @property
    def _name(self) -> str:
        assert self.fget is not None
        return self.fget.__name__

    def __set__(self, estimator: Any, value: Any) -> None:
        raise AttributeError(
            f"{type(estimator).__name__} has no {self._name} to set: fit it from weights_init, means_init and "
            "covariances_init with max_iter=0, or use gaussmix.Mixture, the distribution itself."
        )


def narrowed(values: NDArray[np.float64], dtype: np.dtype[Any]) -> Floats:
    """The values in a floating type, or as they are where a finite one would become infinite."""
    if dtype == values.dtype:
        return values
    with np.errstate(over="ignore"):
        narrow: Floats = values.astype(dtype)
    return narrow if (np.isfinite(narrow) | ~np.isfinite(values)).all() else values


class MixtureAttributes:
    """Attributes in the type of the training data if it can hold them; `mixture_` holds them in float64."""

    mixture_: Mixture
    _dtype: np.dtype[Any]

    # Of the estimator this is mixed into.
    covariance_type: Any
    precisions_init: ArrayLike | None

    @FittedAttribute
    def weights_(self) -> Floats:
        return self.mixture_.weights.astype(self._dtype, copy=False)

    @FittedAttribute
    def means_(self) -> Floats:
        return narrowed(self.mixture_.means, self._dtype)

    @FittedAttribute
    def covariances_(self) -> Floats:
        return self._narrowed_matrices(self._shown)

    @FittedAttribute
    def precisions_(self) -> Floats:
        return self._narrowed_matrices(self.mixture_.model.covariances.inverse())

    @FittedAttribute
    def precisions_cholesky_(self) -> Floats:
        factors = self._shown.whitening.factors
        upper = factors.transpose(0, 2, 1) if self._shown.is_matrix else factors
        return self._narrowed_matrices(replace(self._shown, each=upper))

    @FittedAttribute
    def loadings_(self) -> Floats:
        return narrowed(self._of_factors(self._low_rank.loadings), self._dtype)

    @FittedAttribute
    def noise_variances_(self) -> Floats:
        noise = self._of_factors(self._low_rank.noise)
        return noise if noise.min() < np.finfo(self._dtype).tiny else narrowed(noise, self._dtype)

    @property
    def _shown(self) -> Covariances:
        """The covariances in the form that is shown."""
        return self.mixture_.model.covariances.simple()

    @property
    def _low_rank(self) -> LowRank:
        """The covariances of a structure with factors; raises AttributeError for others."""
        covariances = self.mixture_.model.covariances
        if not isinstance(covariances, LowRank):
            raise AttributeError(f"covariance_type={self.mixture_.family.name!r} has no loadings and noise variances.")
        return covariances

    def _of_factors(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Loadings or noise variances of each component, from those that all may share."""
        return np.broadcast_to(values, (self.mixture_.n_components, *values.shape[1:]))

    def _narrowed_matrices(self, matrices: Covariances) -> Floats:
        """Covariances, precisions or factors: a variance of 0 after rounding would be wrong."""
        if matrices.variances().min() < np.finfo(self._dtype).tiny:
            return matrices.array
        return narrowed(matrices.array, self._dtype)

    def _n_parameters(self) -> int:
        """Number of free parameters of the fitted mixture."""
        return self.mixture_.n_parameters

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
