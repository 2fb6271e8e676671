"""Distances between mixtures in closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gaussmix.errors import unknown_name
from gaussmix.mixture.compare.gaussians import Gaussians, log_overlaps, squared_wasserstein, within_range
from gaussmix.mixture.compare.transport import transport_cost
from gaussmix.model import Model
from gaussmix.numerics.elementary import log_sum

_RANGE = np.log(np.finfo(np.float64).tiny), np.log(np.finfo(np.float64).max)


def distance(one: Model, other: Model, metric: str) -> float:
    """The distance in one of `METRICS`; raises ValueError where it is beyond the range of float64."""
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    found = METRICS[metric](*Gaussians.pair(one, other))
    if not np.isfinite(found):
        raise ValueError(f"The distance {metric!r} is beyond the range of float64: rescale the features.")
    return found


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
    return float(log_sum((p.log_weights[:, None] + q.log_weights + log_overlaps(p, q)).ravel()))


def _mw2(p: Gaussians, q: Gaussians) -> float:
    """Delon & Desolneux (2020) proposition 4: the least Σ γ_ij W₂²(p_i, q_j) over plans γ with margins π and ω."""
    largest = [np.abs(part).max() for part in (p.means - q.means[0], q.means - q.means[0], p.roots, q.roots)]
    unit = float(max(largest))  # in which squares neither overflow nor vanish
    costs = squared_wasserstein(p, q, unit)
    if not np.isfinite(costs).all():
        return np.inf
    return unit * float(np.sqrt(transport_cost(costs, p.weights, q.weights)))


METRICS: dict[str, Callable[[Gaussians, Gaussians], float]] = {
    "mw2": _mw2,
    "l2": _l2,
    "cauchy_schwarz": _cauchy_schwarz,
}
