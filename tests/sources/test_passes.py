"""Numbers of passes over a file for each kind of fit, and results of one pass, such as quantiles."""

import logging
from functools import partial

import numpy as np
import pytest
from common import LEAF_ROWS, ArraySource, Block, assert_same_bits
from many_blocks import ManyBlocks

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureIC, GaussianMixtureImputer, NormalInverseWishart
from gaussmix._src.interfaces.block import RowStatistics, nodes
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.sources.quantile import lowest_inside
from gaussmix._src.sources.row_statistics import Cells, DistinctDigests, PairwiseObservedCounts
from gaussmix._src.sources.survey import Survey

N_ROWS, STEPS = 2 * LEAF_ROWS + 1_000, 3
SURVEY, START = 1, 2  # an initialisation computes means first, then the scatter about them
SETTINGS = {"max_iter": STEPS, "tol": 0, "init_params": "kmeans", "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def table():
    """Return rows of three groups, their groups, and weights."""
    rng = np.random.default_rng(5)
    groups = rng.integers(3, size=N_ROWS)
    rows = rng.normal(size=(N_ROWS, 3)) + 5 * rng.normal(size=(3, 3))[groups]
    return rows, groups, rng.choice([0, 0.5, 1, 2, 1000], size=N_ROWS)


def source_of(folder, rows, weights=None, missing=False):
    """Write rows to a file that does not fit into the memory limit, and open it."""
    np.save(folder / "rows.npy", rows if weights is None else np.column_stack([rows, weights]))
    weights = None if weights is None else f"x{rows.shape[1]}"
    return gaussmix.open(folder / "rows.npy", weights=weights, missing=missing, memory="1 MB")


@pytest.fixture
def n_passes_made():
    """Return a function that counts the passes, which are logged, since the last call."""
    log, handler, messages = logging.getLogger("gaussmix"), logging.Handler(), []
    handler.emit = lambda record: messages.append(record.getMessage())
    log.addHandler(handler)
    log.setLevel("DEBUG")

    def count():
        made = sum(line.startswith("pass: ") for line in messages)
        messages.clear()
        return made

    yield count
    log.removeHandler(handler)
    log.setLevel("NOTSET")


@pytest.mark.heavy(n_default=3)
@pytest.mark.parametrize(
    ("settings", "n_passes"),
    [
        ({}, SURVEY + START + STEPS),
        ({"covariance_type": "diag"}, SURVEY + START + STEPS),
        ({"covariance_type": "tied"}, SURVEY + START + STEPS),
        ({"prior": NormalInverseWishart()}, SURVEY + START + STEPS),
        ({"prior": NormalInverseWishart(), "covariance_type": "diag"}, SURVEY + START + STEPS),
        ({"noise": True}, SURVEY + START + STEPS + 1),  # one more for the box along principal axes
        # Each pass needs a second pass to find its cutoff. Two passes need a third pass, because the cutoff has moved
        # far.
        ({"trim": 0.05}, SURVEY + 2 * (START + STEPS) + 2),
    ],
    ids=str,
)
def test_fit_makes_the_expected_number_of_passes(settings, n_passes, table, tmp_path, n_passes_made):
    GaussianMixture(3, **SETTINGS, **settings).fit(source_of(tmp_path, table[0]))
    assert n_passes_made() == n_passes


def test_a_checkpoint_adds_no_pass(table, tmp_path, n_passes_made):
    GaussianMixture(3, checkpoint=tmp_path / "fit.ckpt", **SETTINGS).fit(source_of(tmp_path, table[0]))
    assert n_passes_made() == SURVEY + START + STEPS


def test_weights_add_no_pass(table, tmp_path, n_passes_made):
    rows, _, weights = table
    GaussianMixture(3, **SETTINGS).fit(source_of(tmp_path, rows, weights))
    assert n_passes_made() == SURVEY + START + STEPS


def test_fit_with_labels_makes_the_expected_number_of_passes(table, tmp_path, n_passes_made):
    rows, groups, _ = table
    labels = np.where(np.arange(N_ROWS) % 100 == 0, groups, -1)
    GaussianMixture(3, **SETTINGS).fit(source_of(tmp_path, rows), labels=labels)
    matching, from_labels = 1, 1  # matching of initial components with labels, and means of the rows of each label
    before = SURVEY + matching + from_labels + START + STEPS
    assert before < n_passes_made() <= before + 20  # k-means makes the remaining passes


@pytest.mark.parametrize("some", [False, True])
def test_missing_values_add_no_pass(some, table, tmp_path, n_passes_made):
    rows = table[0].copy()
    if some:
        rows[::10, 1] = np.nan
    GaussianMixtureImputer(3, **SETTINGS).fit(source_of(tmp_path, rows, missing=True))
    assert n_passes_made() == SURVEY + START + STEPS


@pytest.mark.parametrize(
    ("candidates", "n_passes"), [([3], SURVEY + START + STEPS + 1), ([2, 3], SURVEY + 2 * (START + STEPS + 1))]
)
def test_model_selection_adds_one_pass_for_each_candidate(candidates, n_passes, table, tmp_path, n_passes_made):
    GaussianMixtureIC(candidates, covariance_type="full", **SETTINGS).fit(source_of(tmp_path, table[0]))
    assert n_passes_made() == n_passes


@pytest.mark.parametrize(
    ("method", "n_passes"), [("score", 1), ("predict", 1), ("predict_proba", 1), ("bic", 2), ("aic", 2)]
)
def test_predictions_make_the_expected_number_of_passes(method, n_passes, table, tmp_path, n_passes_made):
    gm = GaussianMixture(3, **SETTINGS).fit(table[0])
    getattr(gm, method)(source_of(tmp_path, table[0]))
    assert n_passes_made() == n_passes


@pytest.mark.parametrize("method", ["bic", "summary"])
def test_bic_and_summary_of_the_fitted_rows_make_one_pass(method, table, tmp_path, n_passes_made):
    source = source_of(tmp_path, table[0])
    gm = GaussianMixture(3, **SETTINGS).fit(source)
    n_passes_made()
    getattr(gm, method)(source)
    assert n_passes_made() == 1


KINDS = RowStatistics, Cells, PairwiseObservedCounts, DistinctDigests, Spread


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("may_have_nan", [False, True])
@pytest.mark.parametrize("has_weights", [False, True])
def test_statistics_of_the_first_pass_give_the_same_bits_for_any_blocks(has_weights, may_have_nan, table, rng):
    rows, _, weights = table
    rows, weights = rows.copy(), weights * 1e3 ** (np.arange(N_ROWS) // LEAF_ROWS) if has_weights else None
    if may_have_nan:
        rows[rng.random(rows.shape) < 0.2] = np.nan
    expected, survey = ArraySource(rows, weights), Survey(N_ROWS, KINDS)
    by_columns = Block(0, np.asfortranarray(rows), weights)
    for node in nodes(by_columns.split(50_000)):
        survey.add(node)
    for kind in KINDS:
        for name, value in vars(expected.collect(kind)).items():
            if name != "digests":
                actual = np.array([getattr(survey.findings[kind], name), value], dtype=np.float64)  # None becomes NaN
                assert_same_bits(actual[0], actual[1], f"{kind.__name__}.{name}")
    present = np.ones(N_ROWS, dtype=bool) if weights is None else weights > 0
    cells, empty = survey.findings[Cells], np.isnan(rows).all(axis=1) & present
    np.testing.assert_array_equal(cells.n_seen, (~np.isnan(rows[present])).sum(axis=0))
    np.testing.assert_array_equal(cells.n_missing, np.isnan(rows).sum(axis=0))
    np.testing.assert_array_equal(cells.ends, [np.nanmin(rows[present], axis=0), np.nanmax(rows[present], axis=0)])
    assert (cells.n_empty > 0, cells.n_empty) == (may_have_nan, empty.sum())
    np.testing.assert_allclose(cells.empty_weight, empty.sum() if weights is None else weights[empty].sum())
    spread = survey.findings[Spread]
    if may_have_nan:
        assert np.isnan(spread.covariance).all()
    else:
        np.testing.assert_allclose(spread.mean, np.average(rows, axis=0, weights=weights), rtol=1e-12)
        np.testing.assert_allclose(spread.covariance, np.cov(rows.T, aweights=weights, ddof=0), rtol=1e-11)


def test_sample_makes_a_pass_if_the_first_pass_stored_too_few_rows(table, tmp_path, monkeypatch, n_passes_made):
    monkeypatch.setattr("gaussmix._src.sources.survey.SPARE_ROWS", -LEAF_ROWS // 2)
    rows, weights = table[0], np.arange(1.0, 1 + N_ROWS)
    actual = source_of(tmp_path, rows, weights).sample(LEAF_ROWS)
    expected = ArraySource(rows, weights).sample(LEAF_ROWS)
    np.testing.assert_array_equal(actual.rows, expected.rows)
    np.testing.assert_array_equal(actual.row_weight, expected.row_weight)
    assert n_passes_made() == SURVEY + 1


def first_column(block):
    return block.rows[:, 0]


def quantile_of_sorted(scores, weight, fraction):
    """Return the score below which rows have at most this fraction of the weight."""
    counts = ~np.isnan(scores) & (weight > 0)
    scores, weight = scores[counts], weight[counts]
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weight[order])
    return scores[order[np.flatnonzero(reached > fraction * reached[-1] * (1 + 1e-12))[0]]]


SCORES = {
    "normal": lambda rng: rng.normal(size=3_000),
    "of all sizes": lambda rng: rng.choice([-1.0, 1.0], 3_000) * 10.0 ** rng.uniform(-300, 300, 3_000),
    "few numbers": lambda rng: rng.choice([-2.0, -0.0, 0.0, 1.0, np.inf, -np.inf, np.nan], 3_000),
    "neighbours": lambda rng: 1.0 + np.spacing(1.0) * rng.integers(5, size=3_000),
    "one": lambda rng: np.array([-3.5, *[np.nan] * 20]),
}


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("scores", SCORES)
def test_lowest_inside_equals_the_quantile_of_sorted_rows(scores, is_weighted, rng):
    rows = SCORES[scores](rng)[:, None]
    weight = rng.integers(0, 4, len(rows)) / 4 + np.isclose(rows[:, 0], -3.5) if is_weighted else None
    cut = ManyBlocks(rows, weight)
    cut.each_row = None
    for fraction in 0.001, 0.29, 0.5, 0.999:
        expected = quantile_of_sorted(rows[:, 0], np.ones(len(rows)) if weight is None else weight, fraction)
        assert lowest_inside(cut, first_column, fraction) == expected
        assert lowest_inside(ArraySource(rows, weight), first_column, fraction) == expected


def test_lowest_inside_of_a_column_without_values_is_none():
    assert lowest_inside(ArraySource(np.full((3, 1), np.nan)), first_column, 0.1) is None


def test_contamination_gives_the_same_bits_for_a_file_as_for_an_array(tmp_path, rng):
    rows = rng.normal(size=(150_000, 2))
    detector = partial(gaussmix.GaussianMixtureDetector, 2, contamination=0.07, random_state=0, tol=1.0)
    source = source_of(tmp_path, rows)
    source.each_row = None
    actual, expected = detector().fit(source), detector().fit(rows)
    assert actual.offset_ == expected.offset_
    assert (expected.score_samples(rows) < actual.offset_).sum() == round(0.07 * len(rows))
