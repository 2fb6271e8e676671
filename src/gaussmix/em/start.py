"""From a partition of the rows to the mixture that EM starts from: an M-step first."""

from __future__ import annotations

from typing import Any

from gaussmix.em.accumulate import StepTask
from gaussmix.em.maximise import first_mixture
from gaussmix.engines.base import Engine
from gaussmix.families.base import Family
from gaussmix.mixture.mixture import Mixture
from gaussmix.sources.base import Source
from gaussmix.starts.base import Partition
from gaussmix.waist.arrays import Array
from gaussmix.waist.need import Need, Second


def start_mixture(
    source: Source, engine: Engine[Any], family: Family, n_components: int, partition: Partition, ridge: Array
) -> Mixture:
    """Weights, means and covariances of shared rows: one pass for the means, one about them.

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
    parameters, rule, share = partition.parameters, partition.rule, partition.share
    rough = source.map_merge(StepTask(engine, n_components, parameters, Need(Second.NONE), rule, share=share))
    centre = rough.anchor + rough.first.sum(axis=0) / rough.mass.sum()
    means = rough.means(centre if parameters is None else parameters.means)
    moments = source.map_merge(
        StepTask(engine, n_components, parameters, family.need(), rule, anchor=means, share=share)
    )
    return first_mixture(moments, family, engine, ridge, means)
