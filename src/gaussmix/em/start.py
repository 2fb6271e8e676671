"""From a partition of the rows to the mixture that EM starts from: an M-step first."""

from __future__ import annotations

from functools import partial
from typing import Any

from gaussmix.em.first_moments import FirstMoments
from gaussmix.em.loop import TOLERANCE_IN_SINGLE, run_em
from gaussmix.em.maximise import first_mixtures
from gaussmix.em.restarts import Run, best_run
from gaussmix.em.stopping import Stopping
from gaussmix.engines.base import Engine
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Source
from gaussmix.starts.base import Partition

FEW_STEPS = 4  # tell which beginning is the best


def start_mixture(
    source: Source, engine: Engine[Any], family: Family, n_components: int, partition: Partition, ridge: Array
) -> Model:
    """Weights, means and covariances of shared rows.

    Parameters
    ----------
    source : the rows.
    engine : sums moments over them.
    family : the covariance structure.
    n_components : K.
    partition : how the rows are shared.
    ridge : (n_features,), added to every variance, data units².

    Raises
    ------
    SingularCovariance : a component has too few distinct rows for a covariance; the message names it.
    """
    return begin(FirstMoments(source, engine, n_components, partition), source, engine, family, ridge)


def begin(first: FirstMoments, source: Source, engine: Engine[Any], family: Family, ridge: Array) -> Model:
    """As `start_mixture`, from moments that other structures may have asked for before.

    Where the family has several beginnings, a few steps of EM from each tell which to take.
    """
    moments, means = first.about_means(family.need(None))
    beginnings = first_mixtures(moments, family, engine, ridge, means)
    mixture = beginnings[0] if len(beginnings) == 1 else _most_promising(beginnings, source, engine, ridge)
    for _ in range(family.n_first_updates - 1):
        moments, means = first.about_means(family.need(mixture.covariances))
        mixture = first_mixtures(moments, family, engine, ridge, means, mixture.covariances)[0]
    return mixture


def _most_promising(beginnings: list[Model], source: Source, engine: Engine[Any], ridge: Array) -> Model:
    """The one from which a few steps lead to the highest likelihood: the first of equals.

    Biernacki, Celeux & Govaert (2003), Computational Statistics & Data Analysis 41.
    """
    few = Stopping(TOLERANCE_IN_SINGLE, FEW_STEPS)

    def run(beginning: Model) -> Run:
        return beginning, run_em(source, engine, beginning, ridge=ridge, stopping=few)[1]

    return best_run(partial(run, beginning) for beginning in beginnings)[0]
