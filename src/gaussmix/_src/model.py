"""The parameters of a mixture and the covariance structure, as used by EM, engines, model selection and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaussmix._src.covariances import Covariances
from gaussmix._src.errors import SingularCovarianceError, name_components
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.numerics.arrays import FLOAT32_ERROR, Array, Indices, frozen, is_symmetric
from gaussmix._src.numerics.threads import cached_property

# Tolerance of the sum of weights, for weights typed with seven digits; weights from EM sum to 1 within K·ε.
SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Model:
    """Parameters of a mixture Σ_k π_k N(x | μ_k, Σ_k), maybe with noise, in read-only arrays that are not checked.

    Parameters
    ----------
    weights : weights π_k, (n_components,).
    means : means μ_k, (n_components, n_features), in data units.
    covariances : covariances Σ_k of the components.
    family : covariance structure.
    noise : noise component, whose weight is 1 minus the sum of `weights`; None if there is no noise.
    """

    weights: Array
    means: Array
    covariances: Covariances
    family: Family
    noise: NoiseComponent | None = None

    def __post_init__(self) -> None:
        frozen(self.weights)
        frozen(self.means)

    @classmethod
    def from_arrays(
        cls, weights: Array, means: Array, covariances: Array, family: Family, noise: NoiseComponent | None = None
    ) -> Model:
        """Make a model from an array with the values of `covariances_`, in any shape, such as a vector."""
        shape = means.shape
        return cls(weights, means, family.covariances(covariances.reshape(family.shape(*shape)), *shape), family, noise)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (np.array(self.weights), np.array(self.means), self.covariances, self.family, self.noise)

    @property
    def n_components(self) -> int:
        return len(self.weights)

    @property
    def n_features(self) -> int:
        return int(self.means.shape[1])

    @property
    def all_weights(self) -> Array:
        """Return the weights of the components and, if there is noise, the weight of the noise last; the sum is 1."""
        return self.weights if self.noise is None else np.append(self.weights, self.noise.weight)

    @property
    def noise_weight(self) -> float:
        """Return the weight of the noise component, or 0 if there is none."""
        return 0.0 if self.noise is None else self.noise.weight

    @property
    def n_parameters(self) -> int:
        """Return the number of free parameters, including K − 1 weights, K·d means and 2 parameters of the noise."""
        return free_parameters(self.family, self.n_components, self.n_features, has_noise=self.noise is not None)

    @property
    def whitening(self) -> Whitening:
        """Return the whitening factors W_k with Σ_k⁻¹ = W_kᵀ W_k; raises `SingularCovarianceError`."""
        return self.covariances.whitening

    @cached_property
    def parameters(self) -> Parameters:
        """Return the parameters that an engine needs for the E-step; raises `SingularCovarianceError`."""
        noise = self.noise
        noise_values = () if noise is None else (noise.log_density, noise.log_sides)
        return Parameters.from_mixture(self.weights, self.means, self.whitening, *noise_values)

    def with_noise(self, noise: NoiseComponent | None) -> Model:
        """Return the model with a noise component added; earlier weights are multiplied by 1 − noise.weight."""
        if noise is None:
            return self
        return Model((1 - noise.weight) * self.weights, self.means, self.covariances, self.family, noise)

    @property
    def without_noise(self) -> Model:
        """Return the model without noise, with weights that sum to 1."""
        if self.noise is None:
            return self
        total = self.weights.sum()
        weights = self.weights / total if total > 0 else np.full(self.n_components, 1 / self.n_components)
        return Model(weights, self.means, self.covariances, self.family)

    @property
    def centre(self) -> Array:
        """Return the mean of the mixture without noise, (n_features,), in data units."""
        return (self.without_noise.weights[:, None] * self.means).sum(axis=0)

    @property
    def feature_variances(self) -> Array:
        """Return each feature's variance in the mixture without noise, (n_features,), in data units²; 1 replaces 0."""
        scatter = self.covariances.variances() + (self.means - self.centre) ** 2
        result: Array = (self.without_noise.weights[:, None] * scatter).sum(axis=0)
        return np.where(result > 0, result, 1.0)

    def take(self, components: Sequence[int] | Indices) -> Model:
        """Return a model of the components at the indices `components`, with unchanged weights and without noise."""
        indices = np.asarray(components, dtype=np.intp)
        return Model(self.weights[indices], self.means[indices], self.covariances.take(indices), self.family)

    def marginal(self, indices: Indices) -> Model:
        """Return the marginal distribution of the features at `indices`, in the order of `indices`."""
        covariances = self.covariances.marginal(indices)
        noise = None if self.noise is None else self.noise.marginal(indices)
        return Model(self.weights, self.means[:, indices], covariances, self.family.relaxed(covariances), noise)


def free_parameters(family: Family, n_components: int, n_features: int, *, has_noise: bool) -> int:
    """Return the number of free parameters of a mixture; noise has two: weight and volume, as in mclust."""
    of_components = n_components - 1 + n_components * n_features + family.n_parameters(n_components, n_features)
    return of_components + 2 * has_noise


def invalid_reason(
    weights: Array,
    means: Array,
    covariances: Array,
    family: Family,
    noise: NoiseComponent | None = None,
    *,
    noun: str = "covariance",
    is_factored: bool = True,
) -> str | None:
    """Return the reason why parameters are not a valid mixture, for the end of a sentence; None if they are valid.

    Parameters
    ----------
    weights, means : same as in `Model`.
    covariances : array, which should have the shape that the covariance structure requires.
    family : covariance structure.
    noise : noise component of the mixture; None if there is no noise.
    noun : "covariance" or "precision" in messages, because precisions are checked in the same way.
    is_factored : whether to factorise covariances to check that they are positive definite, which takes longer.
    """
    if weights.ndim != 1 or means.ndim != 2 or len(weights) != len(means) or not means.size:
        return f"weights of shape {weights.shape} do not match means of shape {means.shape}"
    shape = family.shape(*means.shape)
    if covariances.shape != shape:
        return f"its {noun}s have shape {covariances.shape}, not {shape}"
    for name, values in (("weights", weights), ("means", means), (f"{noun}s", covariances)):
        if not np.isfinite(values).all():
            return f"its {name} contain NaN or infinity"
    if (weights < 0).any():
        return f"weight {int((weights < 0).argmax())} is negative"
    if noise is not None and noise.invalid_reason is not None:
        return noise.invalid_reason
    if noise is not None and noise.bounds is not None and noise.bounds.shape != (2, means.shape[1]):
        return f"the box of its noise has shape {noise.bounds.shape}, not {(2, means.shape[1])}"
    total = weights.sum() + (0.0 if noise is None else noise.weight)
    if abs(total - 1) > SUM_TOLERANCE:
        return f"its weights sum to {total:.7g}, not to 1{'' if noise is None else ', including the noise'}"
    with np.errstate(all="ignore"):
        reason = invalid_matrix_reason if is_factored else _invalid_singular_reason
        return reason(family.covariances(covariances, *means.shape), noun)


def _invalid_singular_reason(covariances: Covariances, noun: str) -> str | None:
    """Return why covariances, possibly singular, are not valid, for the end of a sentence; None if they are valid."""
    if covariances.is_matrix:
        matrices = covariances.array
        allowed = FLOAT32_ERROR * np.abs(matrices).max(axis=(-2, -1), keepdims=True)
        asymmetric = (np.abs(matrices - matrices.swapaxes(-1, -2)) > allowed).any(axis=(-2, -1))
        wrong = np.flatnonzero(np.broadcast_to(asymmetric, covariances.n_components))  # all, if covariances are shared
        if wrong.size:
            return f"the {noun} of {name_components(wrong.tolist())} is not symmetric"
    variances = covariances.variances()
    rounding_error = 1e-12 * variances.max(axis=1, keepdims=True)  # for example, of a difference of two matrices
    wrong = np.flatnonzero((variances < -rounding_error).any(axis=1))
    return f"the {noun} of {name_components(wrong.tolist())} has a negative variance" if wrong.size else None


def invalid_matrix_reason(covariances: Covariances, noun: str = "covariance") -> str | None:
    """Return why Gaussians with these covariances have no density, for the end of a sentence; None if they have one."""
    if covariances.is_matrix and not (symmetric := is_symmetric(covariances.array)).all():
        wrong = np.flatnonzero(np.broadcast_to(~symmetric, covariances.n_components)).tolist()
        return f"the {noun} of {name_components(wrong)} is not symmetric"
    try:
        usable = np.isfinite(covariances.whitening.log_abs_det).all()
    except SingularCovarianceError as error:
        return f"the {noun} of {name_components(error.components)} is not positive definite"
    return None if usable else f"its {noun}s are beyond the range of float64"
