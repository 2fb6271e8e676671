"""Rows a few at a time with their responsibilities, so that nothing is as large as all rows times components."""

from __future__ import annotations

from collections.abc import Iterator

from gaussmix.engines import choose
from gaussmix.mixture.values import Values
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.waist.block import Block

MOST_ROWS = 16_384  # that the engine is asked about at once: enough for its threads, and responsibilities fit a cache
# Multiplications of one matrix product on a piece: up to here OpenBLAS keeps to one thread. Its threads wait for each
# other, and where processors are shared that took ten times as long.
MOST_NUMBERS = 2**18
FEWEST_ROWS = 256  # of a product: a matrix so large that it takes threads after all is read once for as many rows


def few_rows(
    mixture: Values, block: Block, n_jobs: int | None, *, product: int, array: int
) -> Iterator[tuple[slice, Rows, Array]]:
    """Pieces of a block as (slice, rows, responsibilities), in order.

    Parameters
    ----------
    mixture : whose responsibilities they are.
    block : of rows that have its features.
    n_jobs : threads.
    product : multiplications that a matrix product makes for one row.
    array : numbers that an array holds for one row.
    """
    step = min(max(FEWEST_ROWS, MOST_NUMBERS // product), max(1, MOST_NUMBERS // array))
    engine = choose(n_jobs)
    for part in block.cut(MOST_ROWS):
        shared = engine.responsibilities(part, mixture.parameters)
        for first in range(0, part.n_rows, step):
            piece = slice(first, first + step)
            start = part.first_row + first
            yield slice(start, start + len(shared[piece])), part.rows[piece], shared[piece]
