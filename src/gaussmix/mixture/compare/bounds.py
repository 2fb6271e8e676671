"""Bounds of entropies and divergences in closed form, from divergences between pairs of components; nats."""

from __future__ import annotations

import numpy as np

from gaussmix.mixture.compare.gaussians import (
    Gaussians,
    bhattacharyya_distances,
    kl_divergences,
    log_overlaps,
    within_range,
)
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import log_sum

# The variational bound falls from step to step. It stops after so many steps (with few components) or exponentials
# (with many), or where a step lowers it by less than this share. 16 components take 10 ms, 500 half a second.
_MOST_STEPS, _MOST_EXPONENTIALS = 1000, 10**7
_LEAST_FALL = 1e-6


def entropy_bounds(p: Gaussians) -> tuple[float, float]:
    """Σ_i π_i (h_i − log Σ_j π_j e^−D_ij), D Bhattacharyya's distances or divergences: Kolchinsky & Tracey (2017)."""
    distances = bhattacharyya_distances(p, p), kl_divergences(p, p)
    lower, upper = (float(p.weights @ (p.entropies - _attained(p, between))) for between in distances)
    return min(lower, upper), upper


def kl_bounds(p: Gaussians, q: Gaussians) -> tuple[float, float]:
    """Bounds of −H(p) − ∫ p log q from bounds of both terms, in which entropies of components cancel.

    The upper bound is the variational one where that is less.
    """
    divergences = kl_divergences(p, q)
    overlaps = log_sum(q.log_weights + log_overlaps(p, q), axis=1)
    lower = float(p.weights @ (_attained(p, kl_divergences(p, p)) - p.entropies - overlaps))
    upper = float(p.weights @ (_attained(p, bhattacharyya_distances(p, p)) - _attained(q, divergences)))
    upper = max(within_range(min(upper, _variational_bound(p, q, divergences))), 0.0)
    return min(max(lower, 0.0), upper), upper


def kl_variational(p: Gaussians, q: Gaussians) -> float:
    """Σ_i π_i log (Σ_j π_j e^−KL(p_i‖p_j) / Σ_j ω_j e^−KL(p_i‖q_j)), Hershey & Olsen (2007) eq. 20."""
    ratios = _attained(p, kl_divergences(p, p)) - _attained(q, kl_divergences(p, q))
    return within_range(float(p.weights @ ratios))


def _attained(q: Gaussians, distances: Array) -> Array:
    """log Σ_j ω_j e^−D_ij, (n,), of distances (n, m) to the components of q."""
    return log_sum(q.log_weights - distances, axis=1)


def _variational_bound(p: Gaussians, q: Gaussians, divergences: Array) -> float:
    """The least Σ φ_ij (log (φ_ij / ψ_ij) + KL(p_i‖q_j)) over shares φ of π_i and ψ of ω_j; each such sum is a bound.

    Hershey & Olsen (2007) section 8. For given ψ the best φ_ij is π_i times the share of ψ_ij e^−KL(p_i‖q_j) in its
    row; the bound is then −Σ_i π_i log of the sum of the row, less the entropy of π. For given φ the best ψ_ij is ω_j
    times the share of φ_ij in its column.
    """
    log_psi = q.log_weights + p.log_weights[:, None]
    bound = np.inf
    for _ in range(min(_MOST_STEPS, _MOST_EXPONENTIALS // divergences.size + 1)):
        joint = log_psi - divergences
        of_rows = log_sum(joint, axis=1)
        before, bound = bound, float(p.weights @ (p.log_weights - of_rows))
        if not bound < before * (1 - _LEAST_FALL):
            break
        log_phi = joint + (p.log_weights - of_rows)[:, None]
        log_psi = log_phi + (q.log_weights - log_sum(log_phi, axis=0))
    return max(min(before, bound), 0.0)
