"""Large arrays are worked on in pieces: their size changes nothing, and every place that is cut is cut rightly."""

import numpy as np
import pytest

from gaussmix import GaussianMixture
from gaussmix.families import FAMILIES
from gaussmix.numerics import pieces
from gaussmix.numerics.rows import extreme_rows, extremes
from gaussmix.starts import STARTS

ATTRIBUTES = ["weights_", "means_", "covariances_", "precisions_", "lower_bound_", "n_iter_"]
FORMS = {
    "float64": lambda rows: rows,
    "integers": lambda rows: np.round(8 * rows).astype(np.int16),
    "big-endian": lambda rows: rows.astype(">f8"),
    "columns": np.asfortranarray,
}


@pytest.fixture(params=[1, 7, 50])
def few_numbers(request, monkeypatch):
    """Pieces of so few numbers."""
    return lambda: monkeypatch.setattr(pieces, "PIECE", request.param)


@pytest.mark.heavy(but=38)
@pytest.mark.pairwise
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_fit_in_small_pieces_is_the_same(family, start, form, few_numbers, rng):
    """As that of doubles in one piece; gross rows, equal rows and weights included."""
    rows = np.vstack([rng.normal(size=(60, 3)) + 4 * rng.integers(3, size=(60, 1)), [[1e6, 0, 0]], np.ones((3, 3))])
    rows, weight = FORMS[form](rows), rng.integers(0, 3, size=64)
    fits = []
    for form_of_rows in (np.array(rows, dtype=np.float64, order="C"), rows):
        model = GaussianMixture(4, covariance_type=family, init_params=start, random_state=0, max_iter=5, tol=0)
        with pytest.warns(UserWarning, match="max_iter"):
            fits.append(model.fit(form_of_rows, sample_weight=weight))
        few_numbers()
    for name in ATTRIBUTES:
        # Products of all pairs are sums of at most 4 terms, which NumPy may add up in another order.
        np.testing.assert_allclose(getattr(fits[1], name), getattr(fits[0], name), rtol=1e-11, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("weighted", [False, True])
def test_extreme_rows_are_the_first_of_equals(weighted, few_numbers, rng):
    few_numbers()
    rows = rng.integers(0, 6, size=(40, 3)).astype(np.float64)
    weight = rng.choice([0.0, 2.0], size=40) if weighted else np.ones(40)
    present = np.flatnonzero(weight)
    found = extreme_rows(rows, weight if weighted else None)
    assert found[0].tolist() == present[rows[present].argmin(axis=0)].tolist()
    assert found[1].tolist() == present[rows[present].argmax(axis=0)].tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hole", [None, (3, 0), (slice(None), 0)])
@pytest.mark.parametrize("n_features", [1, 3, 1023, 1024, 1025, 3000])
def test_extremes_of_many_rows_have_the_bits_of_those_one_by_one(n_features, hole, dtype, rng):
    rows = rng.choice(
        np.array([-1.0, -0.0, 0.0, 0.5, np.inf], dtype=dtype), size=(20_000 // n_features + 5, n_features)
    )
    rows[:, 1:2] = np.copysign(0.0, rows[:, 1:2])
    if hole is not None:
        rows[hole] = np.nan
    found = extremes(rows)
    one_by_one = rows[extreme_rows(rows), np.arange(n_features)] + 0.0
    assert found.dtype == dtype
    assert found.tobytes() == one_by_one.tobytes()
