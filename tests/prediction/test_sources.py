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

N_ROWS, NAMES, SMALL = 2 * LEAF_ROWS + 1_234, ["a", "b", "c"], "3 MB"  # last: less memory than the rows take
FEW = {"random_state": 0, "max_iter": 3, "tol": 0.0}

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
    place = tmp_path_factory.mktemp("rows")
    np.save(place / "rows.npy", rows)
    np.save(place / "holed.npy", np.where(missing, np.nan, rows))
    for name, mask in (("rows", None), ("holed", missing)):
        columns = {
            each: pa.array(rows[:, j], mask=mask if mask is None else mask[:, j]) for j, each in enumerate(NAMES)
        }
        pq.write_table(pa.table({**columns, "w": weights}), place / f"{name}.parquet", row_group_size=30_000)
    return place


def opened(folder, name, is_weighted, **how):
    """Return a source that reads its file in every pass."""
    weighted = {"columns": NAMES, "weights": "w"} if is_weighted else {}
    path = folder / f"{name}.{'parquet' if is_weighted else 'npy'}"
    source = gaussmix.open(path, memory=SMALL, **weighted, **how)
    assert isinstance(source, FileSource)
    return source


def weight_of(table, is_weighted):
    return {"sample_weight": table[2]} if is_weighted else {}


def assert_same_mixture(found, expected):
    for name in "weights", "means", "covariances":
        assert_same_bits(getattr(found.mixture_, name), getattr(expected.mixture_, name), name)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("n_components", "n_unknown", "is_weighted"), [(None, 0, False), (None, 2, True), (2, 0, True), (2, 2, False)]
)
def test_a_classifier_of_a_file_has_the_bits_of_one_in_memory(n_components, n_unknown, is_weighted, table, folder):
    rows, y, _, _ = table
    y = np.where(np.arange(N_ROWS) % 5 < n_unknown, None, y)
    source = opened(folder, "rows", is_weighted)
    settings = {"n_components": n_components, "reject_below": 0 if n_components else 1e-4, **FEW}
    expected = GaussianMixtureClassifier(**settings).fit(rows, y, **weight_of(table, is_weighted))
    found = GaussianMixtureClassifier(**settings).fit(source, y)
    assert_same_mixture(found, expected)
    for name in "log_likelihood_", "bic_", "n_iter_", "class_prior_", "component_class_":
        assert_same_bits(getattr(found, name), getattr(expected, name), name)
    for name in "predict", "predict_proba", "predict_log_proba", *([] if n_components else ["density_p_value"]):
        np.testing.assert_array_equal(getattr(found, name)(source), getattr(expected, name)(rows))
    assert set(found.predict(source)) == {"cat", "dog", "eel"} | (set() if n_components else {"unknown"})
    known = table[1]
    assert found.score(source, known) == expected.score(rows, known, **weight_of(table, is_weighted))
    assert list(getattr(found, "feature_names_in_", NAMES)) == NAMES


@pytest.mark.heavy
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("targets", [1, [2, 0]])
def test_a_regressor_of_a_file_has_the_bits_of_one_in_memory(targets, is_weighted, table, folder):
    rows = table[0]
    source = opened(folder, "rows", is_weighted)
    expected = GaussianMixtureRegressor(3, targets=targets, **FEW).fit(rows, **weight_of(table, is_weighted))
    named = [NAMES[place] for place in targets] if isinstance(targets, list) else NAMES[targets]
    found = GaussianMixtureRegressor(3, targets=named if is_weighted else targets, **FEW).fit(source)
    assert_same_mixture(found, expected)
    assert (found.n_features_in_, np.shape(found.targets_)) == (expected.n_features_in_, np.shape(targets))
    assert_same_bits(found.predict(source), expected.predict(rows), "means")
    for one, other in zip(found.predict(source, return_std=True), expected.predict(rows, return_std=True), strict=True):
        assert_same_bits(one, other, "means and deviations")
    assert found.score(source) == expected.score(rows, **weight_of(table, is_weighted))
    some = rows[::7]
    at = ManyBlocks(some)  # cut inside leaves: BLAS may round a row among others differently
    for name in "predict", "predict_quantiles":
        np.testing.assert_allclose(getattr(found, name)(at), getattr(expected, name)(some), rtol=1e-10, atol=1e-10)
    one, other = found.predict_mixture(at), expected.predict_mixture(some)
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(one.means, other.means, rtol=1e-10, atol=1e-10)
    assert len(one) == len(some)


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize("targets", ["b", ["c", "a"]])
def test_the_score_of_a_regressor_keeps_nothing_for_each_row(targets, table, folder):
    rows, source = table[0], opened(folder, "rows", True)
    regressor = GaussianMixtureRegressor(2, targets=targets, **FEW).fit(source)
    told, found = rows[:, [NAMES.index(name) for name in targets]], regressor.predict(source)
    source.each_row = None
    expected = r2_score(told, found, **weight_of(table, True))
    assert regressor.score(source) == pytest.approx(expected, rel=1e-9)


def test_the_score_of_a_regressor_whose_target_is_constant_or_of_one_row(table):
    rows = table[0][:500].copy()
    regressor = GaussianMixtureRegressor(2, targets=1, **FEW).fit(rows)
    rows[:, 1] = 3.0
    assert regressor.score(rows) == r2_score(rows[:, 1], regressor.predict(rows)) == 0.0
    with pytest.warns(UndefinedMetricWarning, match="R² is not defined for fewer than two rows"):
        assert np.isnan(regressor.score(rows[:1]))
    rows[7, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        regressor.score(rows)


def test_a_prediction_takes_the_predictors_alone(table, folder):
    rows, regressor = table[0], GaussianMixtureRegressor(2, targets="b", **FEW)
    regressor.fit(opened(folder, "rows", True))
    path = folder / "rows.parquet"
    expected = regressor.predict(opened(folder, "rows", True))
    assert_same_bits(regressor.predict(gaussmix.open(path, columns=["a", "c"], memory=SMALL)), expected, "predictors")
    given = GaussianMixtureRegressor(2, **FEW).fit(rows[:500, [0, 2]], rows[:500, 1])
    assert_same_bits(given.predict(gaussmix.open(path, columns=["a", "c"])), given.predict(rows[:, [0, 2]]), "of y")
    for columns in (["c", "a"], ["c", "b", "a"]):
        with pytest.raises(ValueError, match=r"The columns of X are 'c', .* GaussianMixtureRegressor was fitted with"):
            regressor.predict(gaussmix.open(path, columns=columns))
    with pytest.raises(ValueError, match="X has 3 features, but GaussianMixtureRegressor is expecting 2"):
        given.predict(gaussmix.open(path, columns=NAMES))


def test_y_beside_a_file_is_refused(table, folder):
    regressor = GaussianMixtureRegressor().fit(table[0][:50, :2], table[0][:50, 2])
    for X in (folder / "rows.npy", opened(folder, "rows", False)):
        for work in (regressor.fit, regressor.score):
            with pytest.raises(ValueError, match=r"^y can't be combined with a file .* the column as targets=\.$"):
                work(X, table[0][:, 0])
        with pytest.raises(ValueError, match=r"requires y to be passed, but the target y is None\. Pass y"):
            regressor.fit(X)


def test_a_target_that_is_another_column_is_named_in_a_file(table, tmp_path):
    rows = table[0]
    np.save(tmp_path / "twice.npy", np.column_stack([rows, rows[:, 1]]))
    source = gaussmix.open(tmp_path / "twice.npy", memory=SMALL)
    with pytest.raises(ValueError, match=r"The target in column 3 \(.*\) equals column 1 \(counted from 0\),"):
        GaussianMixtureRegressor(targets=3, reg_covar=0).fit(source)


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_an_imputer_of_a_file_has_the_bits_of_one_in_memory(is_weighted, table, folder):
    rows, _, _, missing = table
    holed = np.where(missing, np.nan, rows)
    expected = GaussianMixtureImputer(2, **FEW).fit(holed, **weight_of(table, is_weighted))
    source = opened(folder, "holed", is_weighted, missing=True)
    found = GaussianMixtureImputer(2, **FEW).fit(source)
    assert_same_mixture(found, expected)
    for is_drawn in (False, True):
        filled = found.set_params(sample_posterior=is_drawn).transform(source)
        assert_same_bits(filled, expected.set_params(sample_posterior=is_drawn).transform(holed), "filled")
        assert_same_bits(filled[~missing], rows[~missing], "known cells")
    complete = opened(folder, "rows", is_weighted, missing=True)
    assert_same_mixture(
        GaussianMixtureImputer(2, **FEW).fit(complete),
        GaussianMixture(2, **FEW).fit(rows, **weight_of(table, is_weighted)),
    )


def test_leaves_are_filled_with_draws_of_their_own(table):
    """Check that the same numbers do not appear in every 65,520th row."""
    imputer = GaussianMixtureImputer(**FEW, sample_posterior=True).fit(table[0][:1000])
    drawn = imputer.transform(np.full((2 * LEAF_ROWS, 3), np.nan))
    assert not np.isin(drawn[LEAF_ROWS:], drawn[:LEAF_ROWS]).any()


@pytest.mark.heavy(but=1)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_components", [None, 2])
def test_a_classifier_of_a_file_with_holes_has_the_bits_of_one_in_memory(n_components, table, folder):
    rows, y, _, missing = table
    holed, source = np.where(missing, np.nan, rows), opened(folder, "holed", False, missing=True)
    expected = GaussianMixtureClassifier(n_components, **FEW).fit(holed, y)
    found = GaussianMixtureClassifier(n_components, **FEW).fit(source, y)
    assert_same_mixture(found, expected)
    for name in "predict", "predict_proba":
        np.testing.assert_array_equal(getattr(found, name)(source), getattr(expected, name)(holed))


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize("memory", [SMALL, "1 GB"])
def test_infinity_and_weights_are_checked_beside_missing_cells(memory, table, tmp_path):
    rows, _, weights, missing = table
    columns = {"a": np.where(missing[:, 0], np.nan, rows[:, 0]), "b": rows[:, 1], "w": weights}
    for name, value, sentence in (("b", -np.inf, "the value is infinite"), ("w", np.nan, "the weight is missing")):
        bad = {**columns, name: np.where(np.arange(N_ROWS) == 90_000, value, columns[name])}
        pq.write_table(pa.table(bad), tmp_path / "bad.parquet")
        with pytest.raises(ValueError, match=rf"bad.parquet, row group 0, row 90000, column '{name}': {sentence}"):
            GaussianMixtureImputer().fit(
                gaussmix.open(tmp_path / "bad.parquet", weights="w", memory=memory, missing=True)
            )


def test_a_column_without_a_value_is_named(table, tmp_path):
    rows = table[0]
    empty = pa.array(rows[:, 1], mask=np.ones(N_ROWS, dtype=bool))
    pq.write_table(pa.table({"a": rows[:, 0], "b": empty}), tmp_path / "empty.parquet")
    with pytest.raises(ValueError, match="no value at all in column 'b'"):
        GaussianMixtureImputer().fit(gaussmix.open(tmp_path / "empty.parquet", memory=SMALL, missing=True))


def test_a_detector_answers_for_files(table, folder):
    detector = gaussmix.GaussianMixtureDetector(contamination=0.1, **FEW).fit(table[0])
    source = opened(folder, "rows", False)
    for name in "predict", "score_samples", "decision_function", "p_values":
        assert_same_bits(getattr(detector, name)(source), getattr(detector, name)(table[0]), name)


def test_a_source_has_its_own_weights(table, folder):
    source = opened(folder, "rows", False)
    for estimator in GaussianMixtureClassifier(), GaussianMixtureImputer(), GaussianMixtureRegressor(targets=0):
        with pytest.raises(ValueError, match="contains its row weights"):
            estimator.fit(source, None, sample_weight=np.ones(N_ROWS))


def test_a_file_of_one_row_is_too_little(tmp_path):
    np.save(tmp_path / "one.npy", np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"^Found array with 1 sample\(s\) \(shape=\(1, 2\)\) while a minimum of 2 is"):
        GaussianMixture().fit(tmp_path / "one.npy")
