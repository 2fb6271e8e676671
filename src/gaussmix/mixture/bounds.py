"""Bounds of entropies and divergences in closed form, from what pairs of components are to each other; nats."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from gaussmix.mixture.gaussians import (
    Gaussians,
    bhattacharyya_distances,
    kl_divergences,
    log_overlaps,
    within_range,
)
from gaussmix.waist.arrays import Array

# Of a bound that falls from step to step: steps with few components, exponentials with many, and the part of itself
# that it must fall by. 16 components cost 10 ms, 500 half a second.
_MOST_STEPS, _MOST_EXPONENTIALS = 1000, 10**7
_LEAST_FALL = 1e-6


def crossed_entropy(p: Gaussians, q: Gaussians, distances: Array) -> float:
    """Σ_i π_i (h_i − log Σ_j ω_j e^−D_ij): with D = KL(p_i‖q_j) above −∫ p log q."""
    return float(p.weights @ (p.entropies - logsumexp(q.log_weights - distances, axis=1)))


def entropy_bounds(p: Gaussians) -> tuple[float, float]:
    """Kolchinsky & Tracey (2017): crossed with itself by Bhattacharyya distances, and by divergences."""
    upper = crossed_entropy(p, p, kl_divergences(p, p))
    lower = crossed_entropy(p, p, bhattacharyya_distances(p, p))
    return min(lower, upper), upper


def kl_bounds(p: Gaussians, q: Gaussians) -> tuple[float, float]:
    """Of −H(p) − ∫ p log q: bounds of both, and the variational one from above."""
    least_entropy, most_entropy = entropy_bounds(p)
    divergences = kl_divergences(p, q)
    least_crossed = -float(p.weights @ logsumexp(q.log_weights + log_overlaps(p, q), axis=1))
    upper = min(crossed_entropy(p, q, divergences) - least_entropy, _variational_bound(p, q, divergences))
    return min(max(least_crossed - most_entropy, 0.0), within_range(upper)), upper


def _variational_bound(p: Gaussians, q: Gaussians, divergences: Array) -> float:
    """The least Σ φ_ij (log (φ_ij / ψ_ij) + KL(p_i‖q_j)) over shares φ of π_i and ψ of ω_j, all of them bounds.

    Hershey & Olsen (2007) section 8: for given ψ the best φ_ij is π_i times the share of ψ_ij e^−KL(p_i‖q_j) in
    its row, where the bound is −Σ_i π_i log of the sum of the row, less the entropy of π; for given φ the best ψ_ij is
    ω_j times the share of φ_ij in its column.
    """
    log_psi = q.log_weights + p.log_weights[:, None]
    bound = np.inf
    for _ in range(min(_MOST_STEPS, _MOST_EXPONENTIALS // divergences.size + 1)):
        joint = log_psi - divergences
        of_rows = logsumexp(joint, axis=1)
        before, bound = bound, float(p.weights @ (p.log_weights - of_rows))
        if not bound < before * (1 - _LEAST_FALL):
            break
        log_phi = joint + (p.log_weights - of_rows)[:, None]
        log_psi = log_phi + (q.log_weights - logsumexp(log_phi, axis=0))
    return max(min(before, bound), 0.0)
