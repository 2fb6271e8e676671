"""Rows a few at a time with their responsibilities, so that nothing is as large as all rows times components."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gaussmix.engines import choose
from gaussmix.mixture.values import Values
from gaussmix.waist.arrays import Array
from gaussmix.waist.block import Block

MOST_ROWS, MOST_NUMBERS = 16_384, 2**19  # held at once, of rows and of an array for them: they fit a cache


def few_rows(mixture: Values, block: Block, numbers: int, n_jobs: int | None) -> Iterator[tuple[slice, Array, Array]]:
    """Parts of a block as (slice, rows, responsibilities), in order; rows in float64.

    Parameters
    ----------
    mixture : whose responsibilities they are.
    block : of rows that have its features.
    numbers : that work on one row makes, at most.
    n_jobs : threads.
    """
    engine, widest = choose(n_jobs), max(numbers, mixture.n_components, mixture.n_features)
    for part in block.cut(min(MOST_ROWS, max(1, MOST_NUMBERS // widest))):
        shared = engine.responsibilities(part, mixture.parameters)
        yield slice(part.first_row, part.first_row + part.n_rows), part.rows.astype(np.float64), shared
