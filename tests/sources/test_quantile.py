"""Quantiles from counts are those of sorted rows, and no array of all rows is made."""

from functools import partial

import numpy as np
import pytest
from common import ArraySource
from many_blocks import ManyBlocks

import gaussmix
from gaussmix import GaussianMixtureDetector
from gaussmix.sources.quantile import lowest_inside


def first_column(block):
    return block.rows[:, 0]


def of_sorted(scores, weight, share):
    """Rows below it have at most this share of the weight."""
    counts = ~np.isnan(scores) & (weight > 0)
    scores, weight = scores[counts], weight[counts]
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weight[order])
    return scores[order[np.flatnonzero(reached > share * reached[-1] * (1 + 1e-12))[0]]]


SCORES = {
    "normal": lambda rng: rng.normal(size=3_000),
    "of all sizes": lambda rng: rng.choice([-1.0, 1.0], 3_000) * 10.0 ** rng.uniform(-300, 300, 3_000),
    "few numbers": lambda rng: rng.choice([-2.0, -0.0, 0.0, 1.0, np.inf, -np.inf, np.nan], 3_000),
    "neighbours": lambda rng: 1.0 + np.spacing(1.0) * rng.integers(5, size=3_000),
    "one": lambda rng: np.array([-3.5, *[np.nan] * 20]),
}


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("scores", SCORES)
def test_a_quantile_is_that_of_sorted_rows(scores, is_weighted, rng):
    rows = SCORES[scores](rng)[:, None]
    weight = rng.integers(0, 4, len(rows)) / 4 + np.isclose(rows[:, 0], -3.5) if is_weighted else None
    cut = ManyBlocks(rows, weight)
    cut.each_row = None
    for share in 0.001, 0.29, 0.5, 0.999:
        expected = of_sorted(rows[:, 0], np.ones(len(rows)) if weight is None else weight, share)
        assert lowest_inside(cut, first_column, share) == expected
        assert lowest_inside(ArraySource(rows, weight), first_column, share) == expected


def test_no_row_counts():
    assert lowest_inside(ArraySource(np.full((3, 1), np.nan)), first_column, 0.1) is None


def test_contamination_of_a_file_has_the_bits_of_that_in_memory(tmp_path, rng):
    rows = rng.normal(size=(150_000, 2))
    np.save(tmp_path / "rows.npy", rows)
    detector = partial(GaussianMixtureDetector, 2, contamination=0.07, random_state=0, tol=1.0)
    source = gaussmix.open(tmp_path / "rows.npy", memory="2 MB")
    source.each_row = None
    found, expected = detector().fit(source), detector().fit(rows)
    assert found.offset_ == expected.offset_
    assert (expected.score_samples(rows) < found.offset_).sum() == round(0.07 * len(rows))
