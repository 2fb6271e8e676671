"""The start of a trimmed fit: outliers may spoil one start, so the best of several is taken."""

from __future__ import annotations

from typing import Any

import numpy as np

from gaussmix.covariances import Diagonal
from gaussmix.em.initial import InitialMoments
from gaussmix.em.loop import run_em
from gaussmix.em.objective import Objective
from gaussmix.em.restarts import best_run
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, final
from gaussmix.em.trimming import Trimmed
from gaussmix.engines.base import Engine
from gaussmix.errors import Outcome, SingularCovariance
from gaussmix.families.base import unconstrained
from gaussmix.sources.array import ArraySource
from gaussmix.starts.base import Partition
from gaussmix.starts.sample import Distinct
from gaussmix.waist.need import Rule
from gaussmix.waist.parameters import Parameters

N_TRIES = 20  # of random rows
FIRST, SETTLING = Stopping(1e-3, 5), Stopping(1e-4, 50)  # EM after each of them, and after the best
MOST_SETTLED = 3


def trimmed_partition(
    first: Partition,
    sample: Distinct,
    engine: Engine[Any],
    n_components: int,
    objective: Objective,
    share: float,
    rng: np.random.Generator,
) -> Partition:
    """How a trimmed mixture with one variance per feature shares the rows that it keeps, the best of several.

    Such a mixture has few variances, and none of one component alone: its likelihood has no peaks at single rows, as
    that of a freer structure has, so the best of many starts is a sound one. As in R's tclust, EM takes few steps from
    each start and many from the best. With a tenth of outliers and 4 components, two of three starts from random rows
    begin without an outlier.

    Parameters
    ----------
    first : of the start that the user named.
    sample, engine, n_components : as for a start.
    objective : what EM is going to raise.
    share : of the row weight, left out.
    rng : draws rows.
    """
    of_sample = ArraySource(sample.rows, sample.weight)
    of_sample.may_miss = bool(np.isnan(sample.rows).any())
    source = Trimmed(of_sample, share)
    n_features = sample.rows.shape[1]
    family = unconstrained(Diagonal.of(np.ones(n_features), n_components, n_features, True))
    partitions = [first.scaled, *(_near_random_rows(sample, n_components, rng) for _ in range(N_TRIES))]
    runs = list[State]()
    for partition in partitions:
        try:
            model = InitialMoments(source, engine, n_components, partition).model(family, objective)
        except SingularCovariance:
            continue
        runs.append(final(run_em(source, engine, model, objective, FIRST)))
    runs = [run for run in runs if not run.trace.frozen and run.outcome is not Outcome.NON_FINITE]
    if not runs:
        return first
    runs.sort(key=lambda run: -run.trace.last)
    settled = best_run([final(run_em(source, engine, run.model, objective, SETTLING))] for run in runs[:MOST_SETTLED])
    return Partition(settled.model.parameters, Rule.SOFT)


def _near_random_rows(sample: Distinct, n_components: int, rng: np.random.Generator) -> Partition:
    """Each row goes to the nearest of K random rows, in widths of the middle of each feature."""
    low, high = sample.middle
    widths = np.where(high > low, high - low, max((high - low).max(), 1.0))
    centres = sample.filled[sample.draw_many(rng, n_components)]
    covariances = Diagonal.of(widths**2, n_components, len(widths), True)
    return Partition(Parameters(np.zeros(n_components), centres, covariances.whitening), Rule.HARD)
