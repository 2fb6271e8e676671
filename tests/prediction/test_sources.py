"""Estimators that predict give the same bits for rows in files as for the same rows in an array."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from common import LEAF_ROWS, FileSource, assert_same_bits
from many_blocks import ManyBlocks
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import r2_score

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureClassifier, GaussianMixtureImputer, GaussianMixtureRegressor

N_ROWS, NAMES, SMALL = 2 * LEAF_ROWS + 1_234, ["a", "b", "c"], "3 MB"  # SMALL: less memory than the rows take
SETTINGS = {"random_state": 0, "max_iter": 3, "tol": 0.0}

pytestmark = pytest.mark.filterwarnings("ignore:.*Best performing initialization did not converge")


@pytest.fixture(scope="module")
def table():
    """Return rows of three classes, their classes and weights, and a mask of missing values."""
    rng = np.random.default_rng(5)
    y = rng.integers(3, size=N_ROWS)
    rows = 3 * rng.normal(size=(3, 3))[y] + rng.normal(size=(N_ROWS, 3)) @ rng.normal(size=(3, 3))
    return rows, np.array(["dog", "cat", "eel"])[y], rng.integers(4, size=N_ROWS) / 2, rng.random(rows.shape) < 0.05


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    """Write the rows as .npy and, with weights, as Parquet; both with and without missing values."""
    rows, _, weights, missing = table
    path = tmp_path_factory.mktemp("rows")
    np.save(path / "rows.npy", rows)
    np.save(path / "incomplete.npy", np.where(missing, np.nan, rows))
    for name, mask in (("rows", None), ("incomplete", missing)):
        columns = {
            column: pa.array(rows[:, j], mask=mask if mask is None else mask[:, j]) for j, column in enumerate(NAMES)
        }
        pq.write_table(pa.table({**columns, "w": weights}), path / f"{name}.parquet", row_group_size=30_000)
    return path


def opened(folder, name, is_weighted, **options):
    """Return a source that reads its file in every pass."""
    weighted = {"columns": NAMES, "weights": "w"} if is_weighted else {}
    path = folder / f"{name}.{'parquet' if is_weighted else 'npy'}"
    source = gaussmix.open(path, memory=SMALL, **weighted, **options)
    assert isinstance(source, FileSource)
    return source


def weight_of(table, is_weighted):
    return {"sample_weight": table[2]} if is_weighted else {}


def assert_same_mixture(actual, expected):
    for name in "weights", "means", "covariances":
        assert_same_bits(getattr(actual.mixture_, name), getattr(expected.mixture_, name), name)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("n_components", "n_unknown", "is_weighted"), [(None, 0, False), (None, 2, True), (2, 0, True), (2, 2, False)]
)
def test_classifier_gives_the_same_bits_for_a_file_as_for_an_array(n_components, n_unknown, is_weighted, table, folder):
    rows, y, _, _ = table
    y = np.where(np.arange(N_ROWS) % 5 < n_unknown, None, y)
    source = opened(folder, "rows", is_weighted)
    settings = {"n_components": n_components, "reject_below": 0 if n_components else 1e-4, **SETTINGS}
    expected = GaussianMixtureClassifier(**settings).fit(rows, y, **weight_of(table, is_weighted))
    actual = GaussianMixtureClassifier(**settings).fit(source, y)
    assert_same_mixture(actual, expected)
    for name in "log_likelihood_", "bic_", "n_iter_", "class_prior_", "component_class_":
        assert_same_bits(getattr(actual, name), getattr(expected, name), name)
    for name in "predict", "predict_proba", "predict_log_proba", *([] if n_components else ["density_p_value"]):
        np.testing.assert_array_equal(getattr(actual, name)(source), getattr(expected, name)(rows))
    assert set(actual.predict(source)) == {"cat", "dog", "eel"} | (set() if n_components else {"unknown"})
    known = table[1]
    assert actual.score(source, known) == expected.score(rows, known, **weight_of(table, is_weighted))
    assert list(getattr(actual, "feature_names_in_", NAMES)) == NAMES


@pytest.mark.heavy
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("targets", [1, [2, 0]])
def test_regressor_gives_the_same_bits_for_a_file_as_for_an_array(targets, is_weighted, table, folder):
    rows = table[0]
    source = opened(folder, "rows", is_weighted)
    expected = GaussianMixtureRegressor(3, targets=targets, **SETTINGS).fit(rows, **weight_of(table, is_weighted))
    named = [NAMES[index] for index in targets] if isinstance(targets, list) else NAMES[targets]
    actual = GaussianMixtureRegressor(3, targets=named if is_weighted else targets, **SETTINGS).fit(source)
    assert_same_mixture(actual, expected)
    assert (actual.n_features_in_, np.shape(actual.targets_)) == (expected.n_features_in_, np.shape(targets))
    assert_same_bits(actual.predict(source), expected.predict(rows), "means")
    ours, theirs = actual.predict(source, return_std=True), expected.predict(rows, return_std=True)
    assert_same_bits(np.array(ours), np.array(theirs), "means and deviations")
    assert actual.score(source) == expected.score(rows, **weight_of(table, is_weighted))
    some = rows[::7]
    at = ManyBlocks(some)  # Blocks end inside leaves, so that BLAS may round a row among others differently
    for name in "predict", "predict_quantiles":
        np.testing.assert_allclose(getattr(actual, name)(at), getattr(expected, name)(some), rtol=1e-10, atol=1e-10)
    one, other = actual.predict_mixture(at), expected.predict_mixture(some)
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(one.means, other.means, rtol=1e-10, atol=1e-10)
    assert len(one) == len(some)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("targets", ["b", ["c", "a"]])
def test_regressor_score_of_a_file_stores_nothing_per_row(targets, table, folder):
    rows, source = table[0], opened(folder, "rows", True)
    regressor = GaussianMixtureRegressor(2, targets=targets, **SETTINGS).fit(source)
    y_true, actual = rows[:, [NAMES.index(name) for name in targets]], regressor.predict(source)
    source.each_row = None
    expected = r2_score(y_true, actual, **weight_of(table, True))
    assert regressor.score(source) == pytest.approx(expected, rel=1e-9)


def test_regressor_score_is_0_for_a_constant_target_and_nan_for_one_row(table):
    rows = table[0][:500].copy()
    regressor = GaussianMixtureRegressor(2, targets=1, **SETTINGS).fit(rows)
    rows[:, 1] = 3.0
    assert regressor.score(rows) == r2_score(rows[:, 1], regressor.predict(rows)) == 0.0
    with pytest.warns(UndefinedMetricWarning, match="R² is not defined for fewer than two rows"):
        assert np.isnan(regressor.score(rows[:1]))
    rows[7, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        regressor.score(rows)


def test_regressor_predicts_from_a_file_without_the_target_column(table, folder):
    rows, regressor = table[0], GaussianMixtureRegressor(2, targets="b", **SETTINGS)
    regressor.fit(opened(folder, "rows", True))
    path = folder / "rows.parquet"
    expected = regressor.predict(opened(folder, "rows", True))
    assert_same_bits(regressor.predict(gaussmix.open(path, columns=["a", "c"], memory=SMALL)), expected, "predictors")
    with_y = GaussianMixtureRegressor(2, **SETTINGS).fit(rows[:500, [0, 2]], rows[:500, 1])
    assert_same_bits(with_y.predict(gaussmix.open(path, columns=["a", "c"])), with_y.predict(rows[:, [0, 2]]), "of y")
    for columns in (["c", "a"], ["c", "b", "a"]):
        with pytest.raises(ValueError, match=r"The columns of X are 'c', .* GaussianMixtureRegressor was fitted with"):
            regressor.predict(gaussmix.open(path, columns=columns))
    with pytest.raises(ValueError, match="X has 3 features, but GaussianMixtureRegressor is expecting 2"):
        with_y.predict(gaussmix.open(path, columns=NAMES))


def test_regressor_rejects_y_with_a_file(table, folder):
    regressor = GaussianMixtureRegressor().fit(table[0][:50, :2], table[0][:50, 2])
    for X in (folder / "rows.npy", opened(folder, "rows", False)):
        for work in (regressor.fit, regressor.score):
            with pytest.raises(ValueError, match=r"^y can't be combined with a file .* the column as targets=\.$"):
                work(X, table[0][:, 0])
        with pytest.raises(ValueError, match=r"requires y to be passed, but the target y is None\. Pass y"):
            regressor.fit(X)


def test_regressor_reports_a_target_that_equals_another_column_of_a_file(table, tmp_path):
    rows = table[0]
    np.save(tmp_path / "twice.npy", np.column_stack([rows, rows[:, 1]]))
    source = gaussmix.open(tmp_path / "twice.npy", memory=SMALL)
    with pytest.raises(ValueError, match=r"The target in column 3 \(.*\) equals column 1 \(counted from 0\),"):
        GaussianMixtureRegressor(targets=3, reg_covar=0).fit(source)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_imputer_gives_the_same_bits_for_a_file_as_for_an_array(is_weighted, table, folder):
    rows, _, _, missing = table
    incomplete = np.where(missing, np.nan, rows)
    expected = GaussianMixtureImputer(2, **SETTINGS).fit(incomplete, **weight_of(table, is_weighted))
    source = opened(folder, "incomplete", is_weighted, missing=True)
    actual = GaussianMixtureImputer(2, **SETTINGS).fit(source)
    assert_same_mixture(actual, expected)
    for is_drawn in (False, True):
        filled = actual.set_params(sample_posterior=is_drawn).transform(source)
        assert_same_bits(filled, expected.set_params(sample_posterior=is_drawn).transform(incomplete), "filled")
        assert_same_bits(filled[~missing], rows[~missing], "observed values")
    complete = opened(folder, "rows", is_weighted, missing=True)
    assert_same_mixture(
        GaussianMixtureImputer(2, **SETTINGS).fit(complete),
        GaussianMixture(2, **SETTINGS).fit(rows, **weight_of(table, is_weighted)),
    )


def test_imputer_draws_differ_between_blocks_of_rows(table):
    """Check that different blocks of 65,520 rows do not contain the same values."""
    imputer = GaussianMixtureImputer(**SETTINGS, sample_posterior=True).fit(table[0][:1000])
    drawn = imputer.transform(np.full((2 * LEAF_ROWS, 3), np.nan))
    assert not np.isin(drawn[LEAF_ROWS:], drawn[:LEAF_ROWS]).any()


@pytest.mark.heavy(n_default=1)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_components", [None, 2])
def test_classifier_gives_the_same_bits_for_a_file_with_missing_values(n_components, table, folder):
    rows, y, _, missing = table
    incomplete, source = np.where(missing, np.nan, rows), opened(folder, "incomplete", False, missing=True)
    expected = GaussianMixtureClassifier(n_components, **SETTINGS).fit(incomplete, y)
    actual = GaussianMixtureClassifier(n_components, **SETTINGS).fit(source, y)
    assert_same_mixture(actual, expected)
    for name in "predict", "predict_proba":
        np.testing.assert_array_equal(getattr(actual, name)(source), getattr(expected, name)(incomplete))


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("memory", [SMALL, "1 GB"])
def test_infinity_and_missing_weights_are_rejected_among_missing_values(memory, table, tmp_path):
    rows, _, weights, missing = table
    columns = {"a": np.where(missing[:, 0], np.nan, rows[:, 0]), "b": rows[:, 1], "w": weights}
    for name, value, sentence in (("b", -np.inf, "the value is infinite"), ("w", np.nan, "the weight is missing")):
        bad = {**columns, name: np.where(np.arange(N_ROWS) == 90_000, value, columns[name])}
        pq.write_table(pa.table(bad), tmp_path / "bad.parquet")
        with pytest.raises(ValueError, match=rf"bad.parquet, row group 0, row 90000, column '{name}': {sentence}"):
            GaussianMixtureImputer().fit(
                gaussmix.open(tmp_path / "bad.parquet", weights="w", memory=memory, missing=True)
            )


def test_imputer_reports_a_column_without_values(table, tmp_path):
    rows = table[0]
    empty = pa.array(rows[:, 1], mask=np.ones(N_ROWS, dtype=bool))
    pq.write_table(pa.table({"a": rows[:, 0], "b": empty}), tmp_path / "empty.parquet")
    with pytest.raises(ValueError, match="no value at all in column 'b'"):
        GaussianMixtureImputer().fit(gaussmix.open(tmp_path / "empty.parquet", memory=SMALL, missing=True))


def test_detector_gives_the_same_bits_for_a_file_as_for_an_array(table, folder):
    detector = gaussmix.GaussianMixtureDetector(contamination=0.1, **SETTINGS).fit(table[0])
    source = opened(folder, "rows", False)
    for name in "predict", "score_samples", "decision_function", "p_values":
        assert_same_bits(getattr(detector, name)(source), getattr(detector, name)(table[0]), name)


def test_fit_rejects_sample_weight_with_a_source(folder):
    source = opened(folder, "rows", False)
    for estimator in GaussianMixtureClassifier(), GaussianMixtureImputer(), GaussianMixtureRegressor(targets=0):
        with pytest.raises(ValueError, match="contain their weights"):
            estimator.fit(source, None, sample_weight=np.ones(N_ROWS))


def test_fit_rejects_a_file_of_one_row(tmp_path):
    np.save(tmp_path / "one.npy", np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"^Found array with 1 sample\(s\) \(shape=\(1, 2\)\) while a minimum of 2 is"):
        GaussianMixture().fit(tmp_path / "one.npy")
