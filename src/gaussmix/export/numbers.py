"""The numbers that a program needs to compute log p(x, k), whatever the covariance structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gaussmix.estimators.detector import GaussianMixtureDetector
from gaussmix.estimators.gaussian_mixture import GaussianMixture
from gaussmix.estimators.gaussian_mixture_ic import GaussianMixtureIC
from gaussmix.mixture.mixture import Mixture
from gaussmix.mixture.sketch import names_of
from gaussmix.numerics.arrays import Array


@dataclass(frozen=True, eq=False)
class Numbers:
    """log p(x, k) = constants_k − ½ ‖factors_k (x − means_k)‖².

    Parameters
    ----------
    mixture : the distribution.
    constants : (n_components,), log π_k N(μ_k | μ_k, Σ_k), nats; −inf for a component of weight 0.
    factors : (n_components, n_features, n_features), lower triangular; for diagonal covariances (n_components,
        n_features), 1 / data units.
    noise : log π₀ / V, nats; None without noise.
    offset : log density below which a row is an outlier of a detector; None for what is no detector.
    """

    mixture: Mixture
    constants: Array
    factors: Array
    noise: float | None
    offset: float | None

    @classmethod
    def of(cls, model: Any) -> Numbers:
        """The numbers of a mixture or a fitted estimator.

        Raises
        ------
        TypeError : model is neither a mixture nor an estimator of one.
        NotFittedError : the estimator is not fitted.
        """
        offset = None
        if isinstance(model, GaussianMixture | GaussianMixtureIC | GaussianMixtureDetector):
            check_is_fitted(model)
            offset = model.offset_ if isinstance(model, GaussianMixtureDetector) else None
            model = model.mixture_
        if not isinstance(model, Mixture):
            advice = ": give its mixture_" if isinstance(getattr(model, "mixture_", None), Mixture) else ""
            raise TypeError(
                "A Mixture, or a fitted GaussianMixture, GaussianMixtureIC or GaussianMixtureDetector is needed, not "
                f"{type(model).__name__}{advice}."
            )
        covariances = model.model.covariances.simple()
        factors = covariances.whitening.factors
        if not covariances.is_matrix:
            factors = factors.reshape(len(factors), -1)
        wanted = (model.n_components, *(model.n_features,) * (2 if covariances.is_matrix else 1))
        noise = None if model.noise is None else model.noise.log_density
        return cls(model, model.parameters.log_scale, np.broadcast_to(factors, wanted), noise, offset)

    @property
    def is_matrix(self) -> bool:
        """Whether the factors are matrices."""
        return self.factors.ndim == 3

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features; x0, x1 … if they have none."""
        return names_of(self.mixture)
