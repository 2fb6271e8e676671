"""The least cost of moving mass, exactly: no tolerance decides what counts."""

from __future__ import annotations

import numpy as np

from gaussmix.numerics.arrays import Array


def transport_cost(costs: Array, supply: Array, demand: Array) -> float:
    """The least Σ γ_ij c_ij over plans γ ≥ 0 whose rows sum to `supply` and whose columns sum to `demand`.

    Parameters
    ----------
    costs : (n, m), c_ij ≥ 0, finite.
    supply, demand : (n,) and (m,), positive; both sum to 1.

    Notes
    -----
    The primal-dual algorithm of Ford & Fulkerson; Ahuja, Magnanti & Orlin (1993), Network Flows, section 9.8. Rounding
    is relative to the costs of the mass that moves. A linear programme would neglect masses and costs below its
    tolerances, which are absolute.
    """
    left, wanted = supply.copy(), demand.copy()
    plan = np.zeros_like(costs)
    # Prices with c_ij + row_i − column_j ≥ 0, and = 0 where the plan has mass; 0 for rows that have mass left.
    row_price, column_price = np.zeros(len(left)), np.zeros(len(wanted))
    while left.any() and wanted.any():
        ends, from_row, from_column = _ways(costs, plan, left, wanted, row_price, column_price)
        for column in ends:
            _move(plan, left, wanted, column, from_row, from_column)
    return float((plan * costs).sum())


def _ways(
    costs: Array, plan: Array, left: Array, wanted: Array, row_price: Array, column_price: Array
) -> tuple[list[int], list[int], list[int]]:
    """The shortest ways from rows that have mass left to columns that want mass, by Dijkstra's algorithm.

    The way back from a column to a row whose mass is there costs nothing. Prices are updated in place, so that all
    these ways cost nothing.

    Returns
    -------
    ends : the columns that want mass, the nearest first.
    from_row : (m,), the row before each column.
    from_column : (n,), the column before each row; −1 where a way begins.
    """
    sources = np.flatnonzero(left)
    first = np.maximum(costs[sources] - column_price, 0.0)
    nearest = first.argmin(axis=0)
    distance, from_row = first[nearest, np.arange(len(column_price))], sources[nearest]
    to_visit = distance.copy()  # inf for columns that have been visited
    row_distance, from_column = np.where(left > 0, 0.0, np.inf), np.full(len(left), -1)
    has_mass, ends, n_ends = plan.T > 0, [], np.count_nonzero(wanted)
    while True:
        column = int(to_visit.argmin())
        to_visit[column], so_far = np.inf, float(distance[column])
        if wanted[column] > 0:
            ends.append(column)
            if len(ends) == n_ends:
                break
        for row in np.flatnonzero(has_mass[column] & (row_distance == np.inf)).tolist():
            row_distance[row], from_column[row] = so_far, column
            way = costs[row] + (row_price[row] + so_far) - column_price
            np.maximum(way, so_far, out=way)
            is_shorter = way < distance
            for array in (distance, to_visit):
                np.copyto(array, way, where=is_shorter)
            np.copyto(from_row, row, where=is_shorter)
    row_price += np.minimum(row_distance, so_far)
    column_price += np.minimum(distance, so_far)
    return ends, from_row.tolist(), from_column.tolist()


def _move(plan: Array, left: Array, wanted: Array, end: int, from_row: list[int], from_column: list[int]) -> None:
    """Move as much mass as can go the way that ends at a column; changes plan, left and wanted in place."""
    there, back, column = [], [], end
    while column >= 0:
        row = from_row[column]
        there.append((row, column))
        column = from_column[row]
        back.append((row, column))
    back.pop()  # no column comes before the first row
    mass = min(left[row], wanted[end], *(plan[cell] for cell in back))
    for cell in there:
        plan[cell] += mass
    for cell in back:
        plan[cell] -= mass
    left[row] -= mass
    wanted[end] -= mass
