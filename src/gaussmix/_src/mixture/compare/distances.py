"""Distances between mixtures in closed form, and the optimal transport cost on which the distance "mw2" is based."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gaussmix._src.errors import unknown_name
from gaussmix._src.mixture.compare.gaussians import Gaussians, log_overlaps, squared_wasserstein, within_range
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import log_sum

_RANGE = np.log(np.finfo(np.float64).tiny), np.log(np.finfo(np.float64).max)


def distance(one: Model, other: Model, metric: str) -> float:
    """Return the distance for a metric in `METRICS`; raises ValueError if the distance overflows or underflows."""
    if str(metric) not in METRICS:  # `metric` may be unhashable
        raise unknown_name("metric", metric, METRICS)
    result = METRICS[metric](*Gaussians.pair(one, other))
    if not np.isfinite(result):
        raise ValueError(f"The distance {metric!r} is beyond the range of float64: rescale the features.")
    return result


def _l2(p: Gaussians, q: Gaussians) -> float:
    logs = np.array([_log_product(p, p), _log_product(q, q), _log_product(p, q)])
    scale = float(logs.max())
    squared = float(np.exp(logs - scale) @ [1.0, 1.0, -2.0])
    if squared <= 0:  # rounding errors can make the squared distance zero or negative
        return 0.0
    log_distance = 0.5 * (scale + np.log(squared))
    if not _RANGE[0] <= log_distance <= _RANGE[1]:
        raise ValueError(
            f"The L2 distance is exp({log_distance:.5g}), beyond the range of float64: rescale the features, or use "
            "metric='cauchy_schwarz', which does not depend on units."
        )
    return float(np.exp(log_distance))


def _cauchy_schwarz(p: Gaussians, q: Gaussians) -> float:
    """Return the Cauchy–Schwarz divergence of Jenssen, Principe, Erdogmus & Eltoft (2006).

    The article by Jenssen and others (2006) is in the Journal of the Franklin Institute 343, 614–629. The closed form
    of the divergence for Gaussian mixtures is due to Kampa, Hasanbelliu & Principe (2011).
    """
    return within_range(max(0.5 * (_log_product(p, p) + _log_product(q, q)) - _log_product(p, q), 0.0))


def _log_product(p: Gaussians, q: Gaussians) -> float:
    """Return log ∫ p q for the densities p and q of two mixtures."""
    return float(log_sum((p.log_weights[:, None] + q.log_weights + log_overlaps(p, q)).ravel()))


def _mw2(p: Gaussians, q: Gaussians) -> float:
    """Return the square root of the smallest Σ γ_ij W₂²(p_i, q_j) over transport plans γ from p's to q's weights.

    Delon & Desolneux (2020) prove in proposition 4 that their MW₂² is the smallest Σ γ_ij W₂²(p_i, q_j).
    """
    largest = [np.abs(part).max() for part in (p.means - q.means[0], q.means - q.means[0], p.roots, q.roots)]
    unit = float(max(largest))  # scale of means and roots; squares of scaled values neither overflow nor underflow
    costs = squared_wasserstein(p, q, unit)
    if not np.isfinite(costs).all():
        return np.inf
    return unit * float(np.sqrt(transport_cost(costs, p.weights, q.weights)))


METRICS: dict[str, Callable[[Gaussians, Gaussians], float]] = {
    "mw2": _mw2,
    "l2": _l2,
    "cauchy_schwarz": _cauchy_schwarz,
}


def transport_cost(costs: Array, supply: Array, demand: Array) -> float:
    """Return the smallest Σ γ_ij c_ij over all plans γ ≥ 0 with row sums `supply` (n,) and column sums `demand` (m,).

    The costs c (n, m) are finite and ≥ 0. Both `supply` and `demand` have positive elements that sum to 1. The function
    uses the primal-dual algorithm of Ford & Fulkerson; Ahuja, Magnanti & Orlin (1993), Network Flows, section 9.8. The
    rounding error of the result is proportional to the result, so even a small result is accurate. A linear programming
    solver, in contrast, would ignore masses and costs below its absolute tolerances.
    """
    left, wanted = supply.copy(), demand.copy()
    plan = np.zeros_like(costs)
    # The prices (dual variables) satisfy c_ij + row_i − column_j ≥ 0, with equality if the plan moves mass from row i
    # to column j. The price of a row is 0 until the supply of the row is used up.
    row_price, column_price = np.zeros(len(left)), np.zeros(len(wanted))
    while left.any() and wanted.any():
        ends, from_row, from_column = _shortest_paths(costs, plan, left, wanted, row_price, column_price)
        for column in ends:
            _move(plan, left, wanted, column, from_row, from_column)
    return float((plan * costs).sum())


def _shortest_paths(
    costs: Array, plan: Array, left: Array, wanted: Array, row_price: Array, column_price: Array
) -> tuple[list[int], list[int], list[int]]:
    """Find the shortest paths from rows with unused supply to columns with unmet demand, by Dijkstra's algorithm.

    A path may go back, at no cost, from a column to a row that already supplies the column. The prices are updated in
    place, so that the reduced cost of every path found is 0 afterwards.

    Returns
    -------
    ends : indices of the columns with unmet demand, sorted by increasing length of the path to the column.
    from_row : index of the row that precedes each column on its path, (m,).
    from_column : index of the column that precedes each row on its path, (n,); −1 if the path begins at the row.
    """
    sources = np.flatnonzero(left)
    first = np.maximum(costs[sources] - column_price, 0.0)
    nearest = first.argmin(axis=0)
    distance, from_row = first[nearest, np.arange(len(column_price))], sources[nearest]
    to_visit = distance.copy()  # distances of the columns, but infinite for columns already visited
    row_distance, from_column = np.where(left > 0, 0.0, np.inf), np.full(len(left), -1)
    has_mass, ends, n_ends = plan.T > 0, [], np.count_nonzero(wanted)
    while True:
        column = int(to_visit.argmin())
        to_visit[column], lowest = np.inf, float(distance[column])
        if wanted[column] > 0:
            ends.append(column)
            if len(ends) == n_ends:
                break
        for row in np.flatnonzero(has_mass[column] & (row_distance == np.inf)).tolist():
            row_distance[row], from_column[row] = lowest, column
            way = costs[row] + (row_price[row] + lowest) - column_price
            np.maximum(way, lowest, out=way)
            is_shorter = way < distance
            for array in (distance, to_visit):
                np.copyto(array, way, where=is_shorter)
            np.copyto(from_row, row, where=is_shorter)
    row_price += np.minimum(row_distance, lowest)
    column_price += np.minimum(distance, lowest)
    return ends, from_row.tolist(), from_column.tolist()


def _move(plan: Array, left: Array, wanted: Array, end: int, from_row: list[int], from_column: list[int]) -> None:
    """Move as much mass as possible along the path to column `end`; change `plan`, `left` and `wanted` in place."""
    there, back, column = [], [], end
    while column >= 0:
        row = from_row[column]
        there.append((row, column))
        column = from_column[row]
        back.append((row, column))
    back.pop()  # removes the pair (row, −1) of the first row, which no column precedes
    mass = min(left[row], wanted[end], *(plan[cell] for cell in back))
    for cell in there:
        plan[cell] += mass
    for cell in back:
        plan[cell] -= mass
    left[row] -= mass
    wanted[end] -= mass
