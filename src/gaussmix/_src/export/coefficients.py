"""The coefficients from which a program can compute log p(x, k), for any covariance structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array


@dataclass(frozen=True, eq=False)
class Linear:
    """Coefficients of log p(x, k) = levels_k + slopes_k · (x − centre), in nats, up to a term common to all k.

    If x is far from all means, rounding errors of squared distances exceed the differences between components. The
    linear form is accurate for any x, because it contains no differences of large terms.

    Parameters
    ----------
    centre : (n_features,), origin of the linear form, in data units.
    slopes : (n_components, n_features), Σ⁻¹ (μ_k − centre), in 1 / data units.
    levels : (n_components,), constants_k − ½ ‖W (μ_k − centre)‖² with the whitening factor W; −inf for a component of
        weight 0.
    limit : threshold in nats; if the largest log p(x, k) of a row is below this threshold, the row needs the linear
        form, because rounding errors of the quadratic form exceed √ε.
    """

    centre: Array
    slopes: Array
    levels: Array
    limit: float


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Coefficients of log p(x, k) = constants_k − ½ ‖factors_k (x − means_k)‖².

    Parameters
    ----------
    mixture : the mixture, whose means are the means_k of the formula.
    constants : (n_components,), log π_k N(x | μ_k, Σ_k) at x = μ_k, in nats; −inf for a component of weight 0.
    factors : whitening factors in 1 / data units: lower triangular matrices (n_components, n_features, n_features), or
        (n_components, n_features) if covariances are diagonal.
    noise : log density π₀ / V of the noise component, in nats; None if there is no noise component.
    offset : log density below which a detector reports a row as an outlier; None if the model is not a detector.
    """

    mixture: Mixture
    constants: Array
    factors: Array
    noise: float | None
    offset: float | None

    @classmethod
    def from_model(cls, model: Any) -> Coefficients:
        """Create the coefficients of a mixture or a fitted estimator; raise TypeError or NotFittedError."""
        offset = getattr(model, "offset_", None)
        if hasattr(model, "_exported"):
            model = model._exported()
        if not isinstance(model, Mixture):
            advice = ": give its mixture_" if isinstance(getattr(model, "mixture_", None), Mixture) else ""
            raise ParameterTypeError(
                "A Mixture, or a fitted GaussianMixture, GaussianMixtureIC, GaussianMixtureDetector or "
                f"BayesianGaussianMixture is needed, not {type(model).__name__}{advice}."
            )
        covariances = model._model.covariances.to_simple_form()
        factors = covariances.whitening.factors
        if not covariances.is_matrix:
            factors = factors.reshape(len(factors), -1)
        wanted = (model.n_components, *(model.n_features,) * (2 if covariances.is_matrix else 1))
        noise = None if model.noise is None else model.noise.log_density
        return cls(model, model.parameters.log_scale, np.broadcast_to(factors, wanted), noise, offset)

    def linear(self, centre: Array, dtype: DTypeLike = np.float64) -> Linear | None:
        """Return the linear form about `centre` for rows of type `dtype`; None if the components' covariances differ.

        The result is also None for a single component and for a mixture with noise, because in these cases rounding
        errors do not change the label of a row that is far from all means.
        """
        factor = self.factors[0]
        if len(self.factors) == 1 or self.noise is not None or not (self.factors == factor).all():
            return None
        matrix = factor if self.is_matrix else np.diag(factor)
        whitened = (self.mixture.means - centre) @ matrix.T
        slopes, squares = whitened @ matrix, (whitened**2).sum(axis=1)
        if not np.isfinite(slopes).all() or not np.isfinite(squares).all():
            return None
        # Rounding errors are about ε ½ ‖factors (x − means)‖². At the limit, they reach ½ √ε.
        limit = float(self.constants.max()) - 0.5 * float(np.finfo(dtype).eps) ** -0.5
        return Linear(centre, slopes, self.constants - 0.5 * squares, limit)

    def check_range(self, dtype: np.dtype[Any]) -> None:
        """Raise ValueError if the means or factors are too large or too small for `dtype`."""
        scales = np.diagonal(self.factors, axis1=1, axis2=2) if self.is_matrix else self.factors
        largest = max(np.abs(self.mixture.means).max(), np.abs(self.factors).max())
        if largest > np.finfo(dtype).max or np.abs(scales).min() < np.finfo(dtype).tiny:
            raise ValueError(
                f"The means or covariances are beyond the range of {dtype}: set dtype to float64, or rescale the "
                "features."
            )

    @property
    def is_matrix(self) -> bool:
        """Return whether the whitening factors are stored as matrices instead of diagonals."""
        return self.factors.ndim == 3
