"""Distances between mixtures in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import eye_array, kron, vstack
from scipy.special import logsumexp

from gaussmix.errors import unknown_name
from gaussmix.mixture.compare.gaussians import Gaussians, log_overlaps, squared_wasserstein, within_range
from gaussmix.mixture.values import Values, common_names
from gaussmix.numerics.arrays import Array

_RANGE = np.log(np.finfo(np.float64).tiny), np.log(np.finfo(np.float64).max)


class Distances(Values):
    """How far another mixture is."""

    def distance(self, other: Self, metric: str = "mw2") -> float:
        """The distance to another mixture.

        Parameters
        ----------
        other : a mixture of the same features.
        metric : what is measured.

            - "mw2": how far mass must be moved where each piece moved must be Gaussian, data units; a metric on
              mixtures, and the Wasserstein distance W₂ between single Gaussians. Delon & Desolneux (2020), SIAM J.
              Imaging Sci. 13, 936–970.
            - "l2": √∫ (p − q)², the root of the integrated squared error (ISE), per root of data volume. Its square
              is right to 1e-15 of ∫ p² + ∫ q².
            - "cauchy_schwarz": −log (∫ p q / √(∫ p² ∫ q²)), nats, the same in any unit; no triangle inequality.

        Returns
        -------
        distance : ≥ 0, and 0 for equal mixtures.

        Raises
        ------
        ValueError : other has other features, there is no such metric, or the distance is beyond the range of float64.
        TypeError : other is no mixture.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> one = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> other = Mixture([0.5, 0.5], [[1.0], [5.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> round(one.distance(other), 6)
        1.0
        """
        common_names([self, other])
        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
        distance = METRICS[metric](*Gaussians.pair(self, other))
        if not np.isfinite(distance):
            raise ValueError(f"The distance {metric!r} is beyond the range of float64: rescale the features.")
        return distance


def _l2(p: Gaussians, q: Gaussians) -> float:
    logs = np.array([_log_product(p, p), _log_product(q, q), _log_product(p, q)])
    scale = float(logs.max())
    squared = float(np.exp(logs - scale) @ [1.0, 1.0, -2.0])
    if squared <= 0:  # rounding
        return 0.0
    log_distance = 0.5 * (scale + np.log(squared))
    if not _RANGE[0] <= log_distance <= _RANGE[1]:
        raise ValueError(
            f"The L2 distance is exp({log_distance:.5g}), beyond the range of float64: rescale the features, or take "
            "metric='cauchy_schwarz', which depends on no unit."
        )
    return float(np.exp(log_distance))


def _cauchy_schwarz(p: Gaussians, q: Gaussians) -> float:
    """Jenssen et al. (2006), J. Franklin Inst. 343, 614–629; of mixtures Kampa, Hasanbelliu & Principe (2011)."""
    return within_range(max(0.5 * (_log_product(p, p) + _log_product(q, q)) - _log_product(p, q), 0.0))


def _log_product(p: Gaussians, q: Gaussians) -> float:
    """log ∫ p q."""
    return float(logsumexp(p.log_weights[:, None] + q.log_weights + log_overlaps(p, q)))


def _mw2(p: Gaussians, q: Gaussians) -> float:
    """Delon & Desolneux (2020) proposition 4: the least Σ γ_ij W₂²(p_i, q_j) over plans γ with margins π and ω."""
    largest = [np.abs(part).max() for part in (p.means - q.means[0], q.means - q.means[0], p.roots, q.roots)]
    unit = float(max(largest))  # in which squares neither overflow nor vanish
    return unit * float(np.sqrt(_transport(squared_wasserstein(p, q, unit), p.weights, q.weights)))


def _transport(costs: Array, supply: Array, demand: Array) -> float:
    """The least Σ γ_ij c_ij with γ ≥ 0, rows that sum to `supply` and columns that sum to `demand`."""
    n_rows, n_columns = costs.shape
    if min(n_rows, n_columns) == 1 or not costs.any():
        return float((supply[:, None] * demand * costs).sum())
    # The solver's tolerances are absolute: a cost of 1 is to be what most of the mass must pay at least.
    unit = max(float(supply @ costs.min(axis=1)), float(demand @ costs.min(axis=0)), 1e-12 * float(costs.max()))
    margins = vstack(
        [kron(eye_array(n_rows), np.ones((1, n_columns))), kron(np.ones((1, n_rows)), eye_array(n_columns))]
    )
    solved = linprog(
        costs.ravel() / unit,
        A_eq=margins.tocsr()[:-1],  # the last follows from the others
        b_eq=np.concatenate([supply, demand])[:-1],
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if solved.x is None:
        raise ValueError(f"The distance 'mw2' could not be found: {solved.message}")
    return float(np.maximum(solved.x, 0.0) @ costs.ravel())


METRICS: dict[str, Callable[[Gaussians, Gaussians], float]] = {
    "mw2": _mw2,
    "l2": _l2,
    "cauchy_schwarz": _cauchy_schwarz,
}
