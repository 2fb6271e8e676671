"""Rows are read where they lie: any strides, either precision, any alignment, and the same bits from all."""

import numpy as np
import pytest


def misaligned(rows):
    """The same values at an odd address."""
    data = np.zeros(rows.nbytes + 1, np.uint8)
    view = data[1:].view(rows.dtype).reshape(rows.shape)
    view[...] = rows
    assert not view.flags.aligned or rows.size == 0
    return view


def every_other(rows):
    wide = np.full((2 * rows.shape[0], 3 * rows.shape[1]), np.nan, rows.dtype)
    wide[::2, 1::3] = rows
    return wide[::2, 1::3]


LAYOUTS = {
    "fortran": np.asfortranarray,
    "rows reversed": lambda rows: rows[::-1].copy()[::-1],
    "features reversed": lambda rows: rows[:, ::-1].copy()[:, ::-1],
    "fortran, rows reversed": lambda rows: np.asfortranarray(rows[::-1])[::-1],
    "part of wider rows": lambda rows: np.pad(rows, ((0, 0), (2, 3)), constant_values=np.nan)[:, 2 : 2 + rows.shape[1]],
    "part of longer columns": lambda rows: np.asfortranarray(np.pad(rows, ((1, 2), (0, 0))))[1 : 1 + len(rows)],
    "every other": every_other,
    "misaligned": misaligned,
}


@pytest.mark.pairwise
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 8, 9, 17])
def test_layout_changes_no_bit(target, make_problem, same_bits, n_features, layout, dtype):
    for n_rows in [1, 7, 31, 150]:
        problem = make_problem(n_rows, n_features)
        rows = problem.rows.astype(dtype)
        same_bits(problem.but(rows=layout(rows)).step(target), problem.but(rows=rows.astype(float)).step(target))


def test_strides_of_weights_and_responsibilities(target, make_problem, same_bits):
    problem = make_problem(100, 4, 3, rule=2)
    wide = np.repeat(problem.row_weight, 3)[::3]
    for layout in (np.asfortranarray, every_other, LAYOUTS["features reversed"]):
        same_bits(problem.but(given=layout(problem.given), row_weight=wide).step(target), problem.step(target))
    labels = np.arange(100, dtype=np.int32) % 3
    same_bits(problem.but(given=np.repeat(labels, 2)[::2]).step(target), problem.but(given=labels).step(target))


@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_a_large_offset_costs_nothing_beyond_the_data(target, make_problem, agrees_with_definition, offset):
    problem = make_problem(200, 6)
    far = problem.but(rows=problem.rows + offset, origin=problem.origin + offset)
    agrees_with_definition(far, far.step(target))
