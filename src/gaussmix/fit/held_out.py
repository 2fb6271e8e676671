"""Cross-validation: each candidate is fitted to a part of the rows and judged by the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.em.accumulate import StepTask
from gaussmix.engines.base import Engine
from gaussmix.fit.candidate import Result
from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Source
from gaussmix.waist.need import Need, Second


def folds(n_rows: int, n_folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """The random fold of each row, (n_rows,); sizes of folds differ by at most one."""
    numbers: NDArray[np.intp] = rng.permutation(np.arange(n_rows) % n_folds)
    return numbers


def held_out(results: Sequence[Result], source: Source, engine: Engine[Any]) -> Array:
    """Mean log-likelihood of rows that no fit has seen, nats per unit of weight; NaN for candidates that failed."""
    means = np.full(len(results), np.nan)
    for place, result in enumerate(results):
        if result.run is not None and result.failure is None:
            model = result.run.model
            moments = StepTask(engine, model.n_components, model.parameters, Need(Second.NONE)).over(source)
            means[place] = moments.log_likelihood / moments.row_weight
    return means


def mean_and_error(by_fold: Array) -> tuple[Array, Array]:
    """Mean over folds (n_folds, n_candidates) and its standard error, (n_candidates,) each."""
    n_folds = len(by_fold)
    mean = by_fold.mean(axis=0)
    return mean, np.sqrt(((by_fold - mean) ** 2).sum(axis=0) / (n_folds * (n_folds - 1)))
