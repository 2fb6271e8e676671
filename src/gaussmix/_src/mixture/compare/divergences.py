"""Entropy and divergences in nats, as Monte Carlo estimates, exact values for single Gaussians, or bounds.

The bounds are closed-form functions of the divergences between all pairs of components.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gaussmix._src.checks import Rng, check_count, generator
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.mixture.compare import gaussians
from gaussmix._src.mixture.compare.estimate import Estimate
from gaussmix._src.mixture.compare.gaussians import Gaussians
from gaussmix._src.mixture.sampling import draw, one_component_weights
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, pieces
from gaussmix._src.numerics.elementary import log_sum
from gaussmix._src.numerics.rows import MAX_DOUBLE

_LOG_2 = float(np.log(2.0))
# Each step of `_variational_bound` lowers the bound. The steps end if a step lowers the bound by less than the fraction
# `_MIN_RELATIVE_FALL` of the bound, or after `_MAX_STEPS` steps. If there are many components, the steps end
# sooner, after about `_MAX_EXPONENTIALS` evaluations of exp. `_variational_bound` takes 10 ms for 16 components, and
# half a second for 500 components.
_MAX_STEPS, _MAX_EXPONENTIALS = 1000, 10**7
_MIN_RELATIVE_FALL = 1e-6


def entropy(model: Model, n_draws: int, rng: Rng, engine: Engine[Any]) -> Estimate[float]:
    """Return the entropy −∫ p log p, in nats."""
    own = Gaussians.from_model(model)
    if len(own.weights) == 1:
        return Estimate(float(own.entropies[0]), 0.0)
    return expectation(np.negative, [model], n_draws, rng, engine)


def kl(p: Model, q: Model, n_draws: int, rng: Rng, engine: Engine[Any]) -> Estimate[float]:
    """Return the Kullback–Leibler divergence ∫ p log (p / q), in nats; the value is at least 0."""
    one, another = Gaussians.pair(p, q)
    if len(one.weights) == len(another.weights) == 1:
        return Estimate(gaussians.within_range(float(gaussians.kl_divergences(one, another)[0, 0])), 0.0)
    result = expectation(np.subtract, [p, q], n_draws, rng, engine)
    return Estimate(max(result.value, 0.0), result.error)


def js(p: Model, q: Model, n_draws: int, rng: Rng, engine: Engine[Any]) -> Estimate[float]:
    """Return ½ KL(p‖m) + ½ KL(q‖m) with m = ½ p + ½ q; both terms are estimated with the same random numbers."""
    seed = None if rng is None else int(generator(rng).integers(2**63))

    def half(one: Model, other: Model) -> Estimate[float]:
        """Return KL(p‖m), the mean of log (p / m) = log 2 − log (1 + q / p) over draws from p."""

        def excess(log_p: Array, log_q: Array) -> Array:
            return np.asarray(_LOG_2 - np.logaddexp(0.0, log_q - log_p))

        return expectation(excess, [one, other], n_draws, seed, engine)

    p_divergence, q_divergence = half(p, q), half(q, p)
    value = 0.5 * (p_divergence.value + q_divergence.value)
    return Estimate(min(max(value, 0.0), _LOG_2), 0.5 * (p_divergence.error + q_divergence.error))


def entropy_bounds(model: Model) -> tuple[float, float]:
    """Return Σ_i π_i (h_i − log Σ_j π_j e^−D_ij) with Bhattacharyya distances D, then with KL divergences D.

    Kolchinsky & Tracey (2017) prove that the sum is a lower bound on the entropy for Bhattacharyya distances, and an
    upper bound for KL divergences; h_i is the entropy of component i.
    """
    p = Gaussians.from_model(model)
    distances = gaussians.bhattacharyya_distances(p, p), gaussians.kl_divergences(p, p)
    lower, upper = (float(p.weights @ (p.entropies - _log_kernel(p, between))) for between in distances)
    return min(lower, upper), upper


def kl_bounds(one: Model, other: Model) -> tuple[float, float]:
    """Return bounds of KL(p‖q) = −H(p) − ∫ p log q, computed from bounds of both terms.

    If `_variational_bound` is smaller than the upper bound computed from both terms, it replaces this upper bound.
    """
    p, q = Gaussians.pair(one, other)
    divergences = gaussians.kl_divergences(p, q)
    overlaps = log_sum(q.log_weights + gaussians.log_overlaps(p, q), axis=1)
    lower = float(p.weights @ (_log_kernel(p, gaussians.kl_divergences(p, p)) - p.entropies - overlaps))
    upper = float(p.weights @ (_log_kernel(p, gaussians.bhattacharyya_distances(p, p)) - _log_kernel(q, divergences)))
    upper = max(gaussians.within_range(min(upper, _variational_bound(p, q, divergences))), 0.0)
    return min(max(lower, 0.0), upper), upper


def kl_variational(one: Model, other: Model) -> float:
    """Return Σ_i π_i log (Σ_j π_j e^−KL(p_i‖p_j) / Σ_j ω_j e^−KL(p_i‖q_j)); Hershey & Olsen (2007), eq. 20."""
    p, q = Gaussians.pair(one, other)
    ratios = _log_kernel(p, gaussians.kl_divergences(p, p)) - _log_kernel(q, gaussians.kl_divergences(p, q))
    return gaussians.within_range(float(p.weights @ ratios))


def _log_kernel(q: Gaussians, distances: Array) -> Array:
    """Return log Σ_j ω_j e^−D_ij, (n,), for distances D (n, m) to the components of q, which have the weights ω."""
    return log_sum(q.log_weights - distances, axis=1)


def _variational_bound(p: Gaussians, q: Gaussians, divergences: Array) -> float:
    """Return an upper bound of KL(p‖q): the smallest Σ φ_ij (log (φ_ij / ψ_ij) + KL(p_i‖q_j)) over φ and ψ.

    The row sums of the matrix φ are the weights π of p, and the column sums of ψ are the weights ω of q. For all
    matrices with these sums, the expression is an upper bound; Hershey & Olsen (2007), section 8. For given ψ, the
    optimal row i of φ is ψ_ij e^−KL(p_i‖q_j) for all j, scaled to the sum π_i. With these optimal rows, the bound is
    Σ_i π_i (log π_i − log r_i), where r_i is the sum of row i before scaling. For given φ, the optimal column j of ψ is
    column j of φ, scaled to the sum ω_j.
    """
    log_psi = q.log_weights + p.log_weights[:, None]
    bound = np.inf
    for _ in range(min(_MAX_STEPS, _MAX_EXPONENTIALS // divergences.size + 1)):
        joint = log_psi - divergences
        log_row_sums = log_sum(joint, axis=1)
        before, bound = bound, float(p.weights @ (p.log_weights - log_row_sums))
        if not bound < before * (1 - _MIN_RELATIVE_FALL):
            break
        log_phi = joint + (p.log_weights - log_row_sums)[:, None]
        log_psi = log_phi + (q.log_weights - log_sum(log_phi, axis=0))
    return max(min(before, bound), 0.0)


def expectation(
    integrand: Callable[..., Array], models: Sequence[Model], n_draws: Any, rng: Rng, engine: Engine[Any]
) -> Estimate[float]:
    """Estimate the expectation of f(log p(x), log q(x), …) for x from p, by draws from each component of p.

    The arguments of `integrand` f are one array of log densities per model, in nats; p is the first model. The number
    of draws from a component is proportional to the weight of the component, but at least two. Stratifying by component
    ensures that a rare component with large f is not missed, and that differences between components do not increase
    the error; Cochran (1977), theorem 5.3. Rows are drawn relative to the mean of the component, because values far
    from 0 have larger rounding errors. Raises ValueError or TypeError if `n_draws` is not an integer of at least 2, and
    ValueError if values of f are too large for `within_range`.
    """
    n_draws = check_count("n_draws", n_draws, 2)
    p, random_numbers, value, variance = models[0], generator(rng, 0), 0.0, 0.0
    weights = p.weights / p.weights.sum()

    def draw_values(component: int, shifted: Sequence[Model], n_rows: int) -> Array:
        only = one_component_weights(component, p.n_components)
        rows = draw(only, shifted[0].means, p.whitening, n_rows, random_numbers, engine)[0]
        return integrand(*(engine.log_density(Block(0, rows), model.parameters) for model in shifted))

    for k in map(int, np.flatnonzero(weights)):
        shifted = [_shift_origin(model, p.means[k]) for model in models]
        n_own = max(2, int(np.ceil(n_draws * weights[k])))
        mean, squared_error = mean_and_squared_error(partial(draw_values, k, shifted), n_own, p.n_features)
        value += float(weights[k]) * mean
        variance += float(weights[k]) ** 2 * squared_error
    return Estimate(value, float(np.sqrt(variance)))


def _shift_origin(model: Model, origin: Array) -> Model:
    """Return the model shifted so that `origin` becomes 0; both models use the same covariances, without a copy."""
    with np.errstate(over="ignore"):
        means = np.clip(model.means - origin, -MAX_DOUBLE, MAX_DOUBLE)
    return replace(model, means=means)


def mean_and_squared_error(draw: Callable[[int], Array], n_draws: int, n_features: int) -> tuple[float, float]:
    """Return the mean of `n_draws` ≥ 2 numbers that `draw` returns, and the squared standard error of the mean.

    The argument of `draw` is the number of rows in a block; the block size depends on the number of features. The means
    and sums of squares of blocks are combined by the formulas of Chan, Golub & LeVeque (1983), which avoid differences
    of large squares.
    """
    n_done, mean, squares = 0, 0.0, 0.0
    for part in pieces((n_draws, n_features)):
        numbers = draw(min(part.stop, n_draws) - part.start)
        gaussians.within_range(float(np.abs(numbers).max()))
        own_mean, n_before, n_done = float(numbers.mean()), n_done, n_done + len(numbers)
        ahead = own_mean - mean
        squares += float(((numbers - own_mean) ** 2).sum()) + ahead**2 * (n_before * len(numbers) / n_done)
        mean += ahead * (len(numbers) / n_done)
    return mean, squares / (n_draws - 1) / n_draws
