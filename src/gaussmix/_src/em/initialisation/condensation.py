"""Condensation of rows with one feature to fewer weighted rows, to which Bayesian mixtures are fitted first."""

from __future__ import annotations

import numpy as np

from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.numerics.arrays import Array, Indices

MAX_UNCONDENSED_VALUES = 4_000  # samples with at most this number of values are not condensed
# Values are condensed in at least `MIN_RUNS` runs (groups of adjacent sorted values). At each end of the sorted values,
# about `N_TAIL_ROWS` runs contain one value each.
MIN_RUNS, N_TAIL_ROWS = 250, 25
# A run of values contains a gap if the run is more than `MIN_GAP_RATIO` times as wide as each neighbouring run. The
# values of at most `MAX_GAPS` runs with a gap are not condensed.
MIN_GAP_RATIO, MAX_GAPS = 3.0, 20


def condense_rows(sample: DistinctRows) -> DistinctRows:
    """Condense rows of one feature to fewer rows with the same mean and variance, and nearly the same density.

    Each run of consecutive sorted values is replaced by two rows, at the run's mean plus and minus the run's standard
    deviation. A run has at most about 1 / `MIN_RUNS` of the total weight. Near both ends of the sorted values, a run
    also has at most 1 / `N_TAIL_ROWS` of the weight between the run and the end, or consists of a single row. The rows
    of runs that contain a gap are kept, and rows of negligible weight are left out.
    """
    sample = sample.without_negligible_rows
    values, weight = sample.rows[:, 0], sample.weight
    if len(values) <= MAX_UNCONDENSED_VALUES:
        return sample
    first = _find_run_starts(weight)
    mass, means, spread = _run_moments(values, weight, first)
    around = np.maximum(np.append(spread[1:], 0.0), np.append(0.0, spread[:-1]))
    ends, alone = np.append(first, len(values)), np.empty(0, dtype=np.intp)
    is_short = np.diff(ends) <= MAX_UNCONDENSED_VALUES // MAX_GAPS
    over_gaps = np.flatnonzero((spread > MIN_GAP_RATIO * around) & is_short)
    over_gaps = np.sort(over_gaps[np.argsort(-spread[over_gaps], kind="stable")[:MAX_GAPS]])
    if over_gaps.size:  # the rows of runs with a gap are kept
        alone = np.concatenate([np.arange(ends[run], ends[run + 1]) for run in over_gaps])
        mass, means, spread = (np.delete(each, over_gaps) for each in (mass, means, spread))
    is_pair = spread > 0
    mass = np.where(is_pair, 0.5, 1.0) * mass
    result = np.concatenate((means - spread, (means + spread)[is_pair], values[alone]))
    order = np.argsort(result, kind="stable")
    return DistinctRows(result[order, None], np.concatenate((mass, mass[is_pair], weight[alone]))[order])


def _find_run_starts(weight: Array) -> Indices:
    """Return the index of the first row of each run, given the weights of the sorted rows."""
    n_rows, total = len(weight), weight.sum()
    positions, position = list[float](), 0.0  # positions at which the runs in the lower half of the values begin
    while position < 0.5 * n_rows:
        positions.append(position)
        position += min(max(1.0, position / N_TAIL_ROWS), n_rows / MIN_RUNS)
    run_starts = np.array([*positions, 0.5 * n_rows])
    middle = (np.cumsum(weight) - 0.5 * weight) * (n_rows / total)
    first: Indices = np.unique(np.searchsorted(middle, np.concatenate((run_starts, n_rows - run_starts))))
    return first[first < n_rows]


def _run_moments(values: Array, weight: Array, run_starts: Indices) -> tuple[Array, Array, Array]:
    """Return the weight, mean and standard deviation of each run, given the index of each run's first row."""
    sizes, mass = np.diff(run_starts, append=len(values)), np.add.reduceat(weight, run_starts)
    offsets = values - np.repeat(values[run_starts], sizes)
    shift = np.add.reduceat(weight * offsets, run_starts) / mass
    offsets -= np.repeat(shift, sizes)
    return mass, values[run_starts] + shift, np.sqrt(np.add.reduceat(weight * offsets**2, run_starts) / mass)
