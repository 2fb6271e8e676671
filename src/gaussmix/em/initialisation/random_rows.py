"""Rows drawn at random as centres."""

from __future__ import annotations

from typing import Any

import numpy as np

from gaussmix.em.initialisation.base import Partition, nearest_centre, register
from gaussmix.em.initialisation.gross import gross_rows_apart
from gaussmix.em.initialisation.sample import Distinct
from gaussmix.engines.base import Engine
from gaussmix.numerics.elementary import log


@register("random_from_data")
@gross_rows_apart
def random_rows(sample: Distinct, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Partition:
    """Give each row to the nearest of K distinct rows, drawn without replacement with probability ∝ weight.

    Efraimidis & Spirakis (2006): the K rows with the largest log(u) / weight, u uniform.
    """
    keys = log(rng.random(len(sample.weight))) / sample.weight
    chosen = np.argsort(-keys, kind="stable")[:n_components]
    return nearest_centre(sample.filled[np.resize(chosen, n_components)])
