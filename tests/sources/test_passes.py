"""How often each kind of fit reads its rows, where they lie in a file that does not fit into memory."""

import numpy as np
import pytest

from gaussmix import GaussianMixture, GaussianMixtureIC, GaussianMixtureImputer, NormalInverseWishart
from gaussmix.em.guided import MOST_PASSES
from gaussmix.em.noise_box import noise_of_rows
from gaussmix.report.messages import few_rows_sentence
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Source
from gaussmix.sources.files.base import FileSource
from gaussmix.sources.files.npy import NpyReader
from gaussmix.sources.findings import Cells, Distinct, SeenTogether
from gaussmix.sources.survey import Survey
from gaussmix.testing.closeness import assert_same_bits
from gaussmix.waist.block import Block, Profile, nodes
from gaussmix.waist.leaves import LEAF_ROWS
from gaussmix.waist.spread import Spread

N_ROWS, STEPS = 2 * LEAF_ROWS + 1_000, 3
SURVEY, START = 1, 2  # a start takes means first, then scatter about them
SETTINGS = {"max_iter": STEPS, "tol": 0, "init_params": "kmeans", "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def table():
    """Rows of three groups, their groups, and weights."""
    rng = np.random.default_rng(5)
    groups = rng.integers(3, size=N_ROWS)
    rows = rng.normal(size=(N_ROWS, 3)) + 5 * rng.normal(size=(3, 3))[groups]
    return rows, groups, rng.choice([0, 0.5, 1, 2, 1000], size=N_ROWS)


class Counted:
    """A file of rows and how often it was read."""

    def __init__(self, folder, rows, weights=None, may_miss=False):
        every = rows if weights is None else np.column_stack([rows, weights])
        np.save(folder / "rows.npy", every)
        names = [f"x{column}" for column in range(every.shape[1])]
        self.reader = NpyReader([folder / "rows.npy"], names, None, None if weights is None else names[-1])
        self.reader.may_miss = may_miss

    @property
    def source(self):
        return FileSource(self.reader, 10**6)


@pytest.fixture
def passes(monkeypatch):
    """How often files were read: a list that grows."""
    found = []
    monkeypatch.setattr(NpyReader, "cursor", lambda self, make=NpyReader.cursor: found.append(self) or make(self))
    return found


@pytest.mark.heavy(but=6)
@pytest.mark.parametrize(
    ("settings", "n_passes"),
    [
        ({}, SURVEY + START + STEPS),
        ({"covariance_type": "diag"}, SURVEY + START + STEPS),
        ({"covariance_type": "tied"}, SURVEY + START + STEPS),
        ({"prior": NormalInverseWishart()}, SURVEY + START + STEPS),
        ({"prior": NormalInverseWishart(), "covariance_type": "diag"}, SURVEY + START + STEPS),
        ({"noise": True}, SURVEY + START + STEPS + 1),  # the box along the principal axes, once these are known
        ({"trim": 0.05}, SURVEY + 2 * (START + STEPS) + 2),  # each finds the cutoff first, and two of them far away
    ],
    ids=str,
)
def test_a_fit(settings, n_passes, table, tmp_path, passes):
    GaussianMixture(3, **SETTINGS, **settings).fit(Counted(tmp_path, table[0]).source)
    assert len(passes) == n_passes


def test_a_checkpoint_costs_no_pass(table, tmp_path, passes):
    GaussianMixture(3, checkpoint=tmp_path / "fit.ckpt", **SETTINGS).fit(Counted(tmp_path, table[0]).source)
    assert len(passes) == SURVEY + START + STEPS


def test_weights_cost_no_pass(table, tmp_path, passes):
    rows, _, weights = table
    GaussianMixture(3, **SETTINGS).fit(Counted(tmp_path, rows, weights).source)
    assert len(passes) == SURVEY + START + STEPS


def test_labels(table, tmp_path, passes):
    rows, groups, _ = table
    labels = np.where(np.arange(N_ROWS) % 100 == 0, groups, -1)
    GaussianMixture(3, **SETTINGS).fit(Counted(tmp_path, rows).source, labels=labels)
    matching, from_labels = 1, 1  # parts of the start with components, and means of the rows of each label
    before = SURVEY + matching + from_labels + START + STEPS
    assert before < len(passes) <= before + MOST_PASSES


@pytest.mark.parametrize("some", [False, True])
def test_missing_cells_cost_no_pass(some, table, tmp_path, passes):
    rows = table[0].copy()
    if some:
        rows[::10, 1] = np.nan
    GaussianMixtureImputer(3, **SETTINGS).fit(Counted(tmp_path, rows, may_miss=True).source)
    assert len(passes) == SURVEY + START + STEPS


@pytest.mark.parametrize(
    ("candidates", "n_passes"), [([3], SURVEY + START + STEPS + 1), ([2, 3], SURVEY + 2 * (START + STEPS + 1))]
)
def test_a_search_adds_one_pass_for_the_criteria_of_a_candidate(candidates, n_passes, table, tmp_path, passes):
    GaussianMixtureIC(candidates, covariance_type="full", **SETTINGS).fit(Counted(tmp_path, table[0]).source)
    assert len(passes) == n_passes


@pytest.mark.parametrize(
    ("method", "n_passes"), [("score", 1), ("predict", 1), ("predict_proba", 1), ("bic", 2), ("aic", 2)]
)
def test_what_is_asked_of_a_fit(method, n_passes, table, tmp_path, passes):
    gm = GaussianMixture(3, **SETTINGS).fit(table[0])
    getattr(gm, method)(Counted(tmp_path, table[0]).source)
    assert len(passes) == n_passes


def test_the_bic_of_the_rows_of_a_fit_needs_no_survey(table, tmp_path, passes):
    source = Counted(tmp_path, table[0]).source
    gm = GaussianMixture(3, **SETTINGS).fit(source)
    del passes[:]
    gm.bic(source)
    assert len(passes) == 1


def test_the_score_of_a_file_is_that_of_an_array(table, tmp_path):
    rows, _, weights = table
    gm = GaussianMixture(3, **SETTINGS).fit(rows)
    assert gm.score(Counted(tmp_path, rows, weights).source) == gm.score(rows, sample_weight=weights)


KINDS = Profile, Cells, SeenTogether, Distinct, Spread


@pytest.mark.parametrize("may_miss", [False, True])
@pytest.mark.parametrize("has_weights", [False, True])
def test_findings_have_the_same_bits_however_rows_are_cut(has_weights, may_miss, table, rng):
    rows, _, weights = table
    rows, weights = rows.copy(), weights * 1e3 ** (np.arange(N_ROWS) // LEAF_ROWS) if has_weights else None
    if may_miss:
        rows[rng.random(rows.shape) < 0.2] = np.nan
    expected, survey = ArraySource(rows, weights), Survey(N_ROWS, KINDS)
    by_columns = Block(0, np.asfortranarray(rows), weights)
    for node in nodes(by_columns.cut(50_000)):
        survey.add(node)
    for kind in KINDS:
        for name, value in vars(expected.of_all(kind)).items():
            if name != "digests":
                found = np.array([getattr(survey.findings[kind], name), value], dtype=np.float64)  # None is NaN
                assert_same_bits(found[0], found[1], f"{kind.__name__}.{name}")
    present = np.ones(N_ROWS, dtype=bool) if weights is None else weights > 0
    cells, empty = survey.findings[Cells], np.isnan(rows).all(axis=1) & present
    np.testing.assert_array_equal(cells.n_seen, (~np.isnan(rows[present])).sum(axis=0))
    np.testing.assert_array_equal(cells.n_missing, np.isnan(rows).sum(axis=0))
    np.testing.assert_array_equal(cells.ends, [np.nanmin(rows[present], axis=0), np.nanmax(rows[present], axis=0)])
    assert (cells.n_empty > 0, cells.n_empty) == (may_miss, empty.sum())
    np.testing.assert_allclose(cells.empty_weight, empty.sum() if weights is None else weights[empty].sum())
    spread = survey.findings[Spread]
    if may_miss:
        assert np.isnan(spread.covariance).all()
    else:
        np.testing.assert_allclose(spread.mean, np.average(rows, axis=0, weights=weights), rtol=1e-12)
        np.testing.assert_allclose(spread.covariance, np.cov(rows.T, aweights=weights, ddof=0), rtol=1e-11)


@pytest.mark.parametrize("unit", [1e-150, 1e150])
def test_the_spread_of_rows_with_extreme_weights(unit, rng):
    rows = 1e100 * rng.normal(size=(2 * LEAF_ROWS, 2))
    weights = unit * rng.random(len(rows))
    spread = Spread.of(Block(0, rows, weights))
    np.testing.assert_allclose(spread.covariance, np.cov(rows.T / 1e100, aweights=weights / unit, ddof=0) * 1e200)


@pytest.mark.heavy
@pytest.mark.parametrize("n_distinct", [1, 5, Distinct.MOST - 1, Distinct.MOST, 100])
def test_few_distinct_rows_are_counted_in_a_file_as_in_memory(n_distinct, tmp_path, rng):
    rows = np.repeat(rng.normal(size=(n_distinct, 2)), -(-N_ROWS // n_distinct), axis=0)[:N_ROWS]
    weights = np.where(np.arange(N_ROWS) < 0.8 * N_ROWS, 1.0, 0.0)
    source = Counted(tmp_path, rows, weights).source
    for most in (3, Distinct.MOST, Distinct.MOST + 1):
        assert few_rows_sentence(source, most) == few_rows_sentence(ArraySource(rows, weights), most)


def test_the_noise_of_a_file_is_that_of_an_array(table, tmp_path):
    rows, _, weights = table
    noise = noise_of_rows(0.1, Counted(tmp_path, rows, weights).source)
    assert noise.log_volume == noise_of_rows(0.1, ArraySource(rows, weights)).log_volume


def test_a_sample_for_which_the_survey_kept_too_few_rows_takes_a_pass_of_its_own(table, tmp_path, monkeypatch, passes):
    monkeypatch.setattr("gaussmix.sources.survey.SPARE", -LEAF_ROWS // 2)
    rows, weights = table[0], np.arange(1.0, 1 + N_ROWS)
    found = Counted(tmp_path, rows, weights).source.sample(LEAF_ROWS)
    expected = ArraySource(rows, weights).sample(LEAF_ROWS)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.row_weight, expected.row_weight)
    assert len(passes) == SURVEY + 1


def test_rows_that_only_differ_in_what_is_known_of_them_are_surveyed_once(table, tmp_path, passes):
    rows, groups, weights = table
    source: Source = Counted(tmp_path, rows, weights).source
    labels = groups.astype(np.int32)
    for twin in (source.reweighted(2.0), source.with_given(labels), source.with_log_prior(np.zeros((1, 3)))):
        assert twin.profile.n_positive == source.profile.n_positive
        assert_same_bits(twin.sample(LEAF_ROWS).rows, source.sample(LEAF_ROWS).rows, "the sample")
    assert source.reweighted(2.0).profile.total_weight == 2 * source.profile.total_weight
    assert len(passes) == SURVEY
