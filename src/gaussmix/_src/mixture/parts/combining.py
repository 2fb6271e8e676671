"""Linear maps, convolutions, products and weighted sums of mixtures, whose results are mixtures in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.checks import check_finite
from gaussmix._src.covariances import Covariances, Dense, Diagonal, Isotropic
from gaussmix._src.errors import counted
from gaussmix._src.families.base import unconstrained
from gaussmix._src.interfaces.whitening.triangular import TriangularWhitening
from gaussmix._src.model import SUM_TOLERANCE, Model, invalid_reason
from gaussmix._src.numerics.arrays import Array, is_symmetric
from gaussmix._src.numerics.elementary import log
from gaussmix._src.numerics.factorise import factorise

# Largest distance between two mixtures, in standard deviations, at which the log weights of their product are accurate
# to 1e-8 nats per feature.
_MAX_SEPARATION = 1e4
_MIN_NORMAL = np.finfo(np.float64).tiny  # variances below this value are subnormal numbers, which have fewer digits

Pairs = tuple[Array, Array, Array, Array]


def transform(model: Model, A: ArrayLike, b: ArrayLike | None) -> Model:
    """Return the distribution of A x + b if x has the distribution of the model."""
    matrix = check_finite("A", A, 2)
    if matrix.shape[1] != model.n_features or not len(matrix):
        raise ValueError(f"A must have shape (n_new_features, {model.n_features}), not {matrix.shape}.")
    offset = np.zeros(len(matrix)) if b is None else check_finite("b", b, 1)
    if offset.shape != (len(matrix),):
        raise ValueError(f"b must have shape ({len(matrix)},), not {offset.shape}.")
    _ = model.whitening  # raises SingularCovarianceError here, so that a later failure is due to A
    with np.errstate(over="ignore", invalid="ignore"):
        covariances, means = model.covariances.to_simple_form().transform(matrix), model.means @ matrix.T + offset
        dense = covariances.to_form(Dense).each
    variances = np.diagonal(dense, axis1=1, axis2=2)[:, matrix.any(axis=1)]
    if not (np.isfinite(means).all() and np.isfinite(dense).all() and (variances >= _MIN_NORMAL).all()):
        raise ValueError("A x + b is beyond the range of float64: rescale A.")
    dependent = factorise(dense)[2]
    if dependent.any():
        raise ValueError(
            f"The rows of A, {len(matrix)} for {counted(model.n_features, 'feature')}, are linearly dependent (to "
            "working precision), so A x + b would have no density. Leave out rows that depend on others."
        )
    return Model(model.weights, means, covariances, unconstrained(covariances))


def convolve(model: Model, covariance: ArrayLike) -> Model:
    """Return the distribution of x + e, where e is independent Gaussian noise with the mean 0."""
    noise = _noise(covariance, model.n_components, model.n_features)
    own, noise = _to_common_class([model.covariances.to_simple_form(), noise])
    with np.errstate(over="ignore"):
        covariances = replace(own, each=own.each + noise.each)
    if not np.isfinite(covariances.each).all():
        raise ValueError("Covariances plus `covariance` are beyond the range of float64: rescale the features.")
    return Model(model.weights, model.means, covariances, unconstrained(covariances))


def product(one: Model, other: Model) -> Model:
    """Return the normalised product p(x) q(x) / ∫ p q, with one component per pair of components.

    The product of a pair is N(x | μ, Σ) N(x | ν, T) = c N(x | m, C) with C⁻¹ = Σ⁻¹ + T⁻¹. The pairs of the first
    component with all components of the other model come first. Raises ValueError if the mixtures are so far apart that
    rounding would destroy the weights, and `SingularCovarianceError` if a covariance is not positive definite.
    """
    _ = one.whitening, other.whitening  # raises SingularCovarianceError
    pair = [model.covariances.to_simple_form() for model in (one, other)]
    kind = _common_form(pair)
    is_shared = all(covariances.is_shared for covariances in pair)
    first, second = (c.to_form(Dense if kind is Dense else Diagonal).each for c in pair)
    offsets = other.means - one.means[:, None]
    with np.errstate(over="ignore"):
        log_scale, squared, steps, covariances = (_matrices if kind is Dense else _diagonals)(first, second, offsets)
        log_weights = (log(one.weights)[:, None] + log(other.weights) + log_scale - 0.5 * squared).ravel()
    if is_shared:
        covariances = covariances[:1, :1]
    else:
        covariances = np.broadcast_to(covariances, (*offsets.shape[:2], *covariances.shape[2:]))
    each = covariances.reshape(-1, *covariances.shape[2:])
    means = (one.means[:, None] + steps).reshape(-1, one.n_features)
    each = each[:, 0] if kind is Isotropic else each
    together = kind(each, len(means), one.n_features, is_shared)
    return _check_model(Model(_normalised(log_weights, squared), means, together, unconstrained(together)))


def concatenate(models: Sequence[Model], weights: ArrayLike) -> Model:
    """Return the weighted sum Σ_i w_i p_i(x), which has the components of all models, in the order of the models."""
    fractions = check_finite("weights", weights, 1)
    if len(fractions) != len(models):
        raise ValueError(f"weights must have one number for each of {len(models)} mixtures, not {len(fractions)}.")
    if (fractions < 0).any() or abs(fractions.sum() - 1) > SUM_TOLERANCE:
        raise ValueError(f"weights must be ≥ 0 and sum to 1, not {fractions.tolist()!r:.60}.")
    covariances = _concatenated([model.covariances.to_simple_form() for model in models])
    together = np.concatenate([fraction * model.weights for fraction, model in zip(fractions, models, strict=True)])
    means = np.concatenate([model.means for model in models])
    return _check_model(Model(together, means, covariances, unconstrained(covariances)))


def _check_model(model: Model) -> Model:
    """Return the model unchanged; raise ValueError if overflow or rounding errors made the parameters invalid."""
    wrong = invalid_reason(model.weights, model.means, model.covariances.array, model.family, is_factored=False)
    if wrong is not None:
        raise ValueError(f"Not a valid mixture: {wrong}.")
    return model


def _noise(covariance: ArrayLike, n_components: int, d: int) -> Covariances:
    """Convert a user's covariance to `Isotropic`, `Diagonal` or `Dense`, whichever is simplest, for all components."""
    noise = check_finite("covariance", covariance)
    if noise.shape not in ((), (d,), (d, d)):
        raise ValueError(f"covariance must be a number, or of shape ({d},) or ({d}, {d}), not {noise.shape}.")
    form = (Isotropic, Diagonal, Dense)[noise.ndim]
    matrix = form(noise[None], n_components, d, is_shared=True).to_form(Dense).each[0]
    if not is_symmetric(matrix):
        raise ValueError("covariance is not symmetric. Pass (covariance + covariance.T) / 2, for example.")
    deviations = np.sqrt(np.abs(np.diagonal(matrix)))
    scaled = matrix / np.multiply.outer(*2 * [np.where(deviations > 0, deviations, 1.0)])
    lowest = np.linalg.eigvalsh(scaled)[0]
    if lowest < -8 * d * np.finfo(np.float64).eps:
        raise ValueError("covariance is not positive semidefinite, so it is not a valid covariance.")
    matrix = 0.5 * matrix + 0.5 * matrix.T
    if (matrix != np.diag(variances := np.diagonal(matrix))).any():
        return Dense(matrix[None], n_components, d, is_shared=True)
    if (variances != variances[0]).any():
        return Diagonal(variances[None], n_components, d, is_shared=True)
    return Isotropic(variances[:1], n_components, d, is_shared=True)


def _to_common_class(all_of_them: Sequence[Covariances]) -> list[Covariances]:
    """Convert covariances, which may be spherical, diagonal or dense, to the most general class among them."""
    return [covariances.to_form(_common_form(all_of_them)) for covariances in all_of_them]


def _common_form(all_of_them: Sequence[Covariances]) -> type[Isotropic | Diagonal | Dense]:
    return next(kind for kind in (Dense, Diagonal, Isotropic) if any(isinstance(c, kind) for c in all_of_them))


def _concatenated(all_of_them: Sequence[Covariances]) -> Covariances:
    """Return the covariances of all components of several models; shared if all covariances are the same."""
    first, n_components = all_of_them[0], sum(c.n_components for c in all_of_them)
    if all(c.is_shared and type(c) is type(first) and np.array_equal(c.each, first.each) for c in all_of_them):
        return replace(first, n_components=n_components)
    lifted = _to_common_class(all_of_them)
    each = np.concatenate([covariances.for_all(covariances.each) for covariances in lifted])
    return replace(lifted[0], each=each, n_components=n_components, is_shared=False)


def _normalised(log_weights: Array, squared: Array) -> Array:
    if len(log_weights) == 1:
        return np.ones(1)
    likeliest = log_weights.argmax()
    distance = np.sqrt(squared.ravel()[likeliest])
    if not distance <= _MAX_SEPARATION:
        raise ValueError(
            f"The mixtures are {distance:.3g} standard deviations apart, so the weights of the product would be "
            "inaccurate."
        )
    weights: Array = np.exp(log_weights - log_weights[likeliest])
    weights /= weights.sum()
    return weights


def _diagonals(first: Array, second: Array, offsets: Array) -> Pairs:
    """Return log c + ½ ρ² (up to a constant), ρ² = (ν − μ)ᵀ(Σ + T)⁻¹(ν − μ), m − μ and C in the notation of `product`.

    The variances Σ have shape (K, d), or (1, d) if all components share them, and the variances T have shape (L, d) or
    (1, d). The first two axes of each result are the pairs, (K, L).
    """
    first, second = first[:, None], second[None]
    total = first + second
    ratio = first / total
    squared = ((offsets / np.sqrt(total)) ** 2).sum(axis=2)
    return -0.5 * log(total).sum(axis=2), squared, ratio * offsets, ratio * second


def _matrices(first: Array, second: Array, offsets: Array) -> Pairs:
    """Return the same results as `_diagonals` for matrices Σ and T, from one QR factorisation per pair.

    Let Σ⁻¹ = WᵀW, T⁻¹ = VᵀV and δ = ν − μ. The matrix [[W, 0], [V, V δ]] has the triangular factor [[R, z], [0, ρ]],
    from which follow C⁻¹ = RᵀR and m = μ + R⁻¹ z.
    """
    n_features = offsets.shape[2]
    unit = np.ldexp(1.0, np.frexp(np.abs(offsets).max(axis=2))[1] - 1)  # divides δ, so that V δ cannot overflow
    left, right = TriangularWhitening.from_covariances(first), TriangularWhitening.from_covariances(second)
    stacked = np.zeros((*offsets.shape[:2], 2 * n_features, n_features + 1))
    stacked[:, :, :n_features, :-1] = left.factors[:, None]
    stacked[:, :, n_features:, :-1] = right.factors
    stacked[:, :, n_features:, -1:] = right.factors @ (offsets / unit[..., None])[..., None]
    factor = np.asarray(np.linalg.qr(stacked, mode="r"))
    triangle = factor[..., :-1, :-1]
    # `solve` only substitutes backwards here, because LU elimination leaves an upper triangular matrix unchanged.
    inverse: Array = np.linalg.solve(triangle, np.broadcast_to(np.eye(n_features), triangle.shape))
    steps: Array = np.linalg.solve(triangle, factor[..., :-1, -1:])[..., 0] * unit[..., None]
    log_scale = left.log_abs_det[:, None] + right.log_abs_det
    log_scale = log_scale - log(np.abs(np.diagonal(triangle, axis1=2, axis2=3))).sum(axis=2)
    return log_scale, (factor[..., -1, -1] * unit) ** 2, steps, np.einsum("klij,klmj->klim", inverse, inverse)
