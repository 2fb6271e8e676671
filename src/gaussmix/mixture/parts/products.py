"""Products of Gaussians, N(x | μ, Σ) N(x | ν, T) = c N(x | m, C) with C⁻¹ = Σ⁻¹ + T⁻¹, for all pairs of two."""

from __future__ import annotations

import numpy as np

from gaussmix.covariances import Covariances, Dense, Diagonal, Isotropic
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import log
from gaussmix.waist.whitening.triangular import TriangularWhitening

# Standard deviations: up to here squared distances, and so log weights, are right to about 1e-8 nats a feature.
FARTHEST = 1e4

Pairs = tuple[Array, Array, Array, Array]


def product(one: Model, other: Model) -> tuple[Array, Array, Covariances]:
    """Weights (n_pairs,), means (n_pairs, d) and covariances, shared where both share theirs.

    The pairs of the first component with every one of the other model come first.

    Raises
    ------
    ValueError : the mixtures are so far apart that the weights of pairs would have no digits.
    SingularCovariance : a covariance is not positive definite.
    """
    pair = [model.covariances.simple() for model in (one, other)]
    kind = next(kind for kind in (Dense, Diagonal, Isotropic) if any(isinstance(c, kind) for c in pair))
    is_shared = all(covariances.is_shared for covariances in pair)
    first, second = (c.lift(Dense if kind is Dense else Diagonal).each for c in pair)
    apart = other.means - one.means[:, None]
    with np.errstate(over="ignore"):
        log_scale, squared, steps, covariances = (_matrices if kind is Dense else _diagonals)(first, second, apart)
        log_weights = (log(one.weights)[:, None] + log(other.weights) + log_scale - 0.5 * squared).ravel()
    if is_shared:
        covariances = covariances[:1, :1]
    else:
        covariances = np.broadcast_to(covariances, (*apart.shape[:2], *covariances.shape[2:]))
    each = covariances.reshape(-1, *covariances.shape[2:])
    means = (one.means[:, None] + steps).reshape(-1, one.n_features)
    each = each[:, 0] if kind is Isotropic else each
    return _normalised(log_weights, squared), means, kind(each, len(means), one.n_features, is_shared)


def _normalised(log_weights: Array, squared: Array) -> Array:
    if len(log_weights) == 1:
        return np.ones(1)
    likeliest = log_weights.argmax()
    distance = np.sqrt(squared.ravel()[likeliest])
    if not distance <= FARTHEST:
        raise ValueError(
            f"These mixtures are {distance:.3g} standard deviations apart: the weights of their product would have no "
            "digits."
        )
    weights: Array = np.exp(log_weights - log_weights[likeliest])
    weights /= weights.sum()
    return weights


def _diagonals(first: Array, second: Array, apart: Array) -> Pairs:
    """For variances (K, d) and (L, d) or one: log c + ½ ρ² + constant, ρ² = (ν − μ)ᵀ(Σ + T)⁻¹(ν − μ), m − μ and C.

    Each with the axes of the pairs, (K, L), first.
    """
    first, second = first[:, None], second[None]
    total = first + second
    share = first / total
    squared = ((apart / np.sqrt(total)) ** 2).sum(axis=2)
    return -0.5 * log(total).sum(axis=2), squared, share * apart, share * second


def _matrices(first: Array, second: Array, apart: Array) -> Pairs:
    """The same for matrices, by a QR factorisation for each pair: no inverse, no sum of precisions or covariances.

    With Σ⁻¹ = WᵀW, T⁻¹ = VᵀV and δ = ν − μ, the triangular factor of [[W, 0], [V, V δ]] is [[R, z], [0, ρ]]:
    C⁻¹ = RᵀR, m = μ + R⁻¹ z.
    """
    n_features = apart.shape[2]
    unit = np.ldexp(1.0, np.frexp(np.abs(apart).max(axis=2))[1] - 1)  # so that V δ is within float64
    left, right = TriangularWhitening.of(first), TriangularWhitening.of(second)
    stacked = np.zeros((*apart.shape[:2], 2 * n_features, n_features + 1))
    stacked[:, :, :n_features, :-1] = left.factors[:, None]
    stacked[:, :, n_features:, :-1] = right.factors
    stacked[:, :, n_features:, -1:] = right.factors @ (apart / unit[..., None])[..., None]
    factor = np.asarray(np.linalg.qr(stacked, mode="r"))
    triangle = factor[..., :-1, :-1]
    # Elimination of a matrix that is upper triangular leaves it as it is: this is back substitution.
    inverse: Array = np.linalg.solve(triangle, np.broadcast_to(np.eye(n_features), triangle.shape))
    steps: Array = np.linalg.solve(triangle, factor[..., :-1, -1:])[..., 0] * unit[..., None]
    log_scale = left.log_abs_det[:, None] + right.log_abs_det
    log_scale = log_scale - log(np.abs(np.diagonal(triangle, axis1=2, axis2=3))).sum(axis=2)
    return log_scale, (factor[..., -1, -1] * unit) ** 2, steps, np.einsum("klij,klmj->klim", inverse, inverse)
