"""Labels of some or all rows: `fit(X, labels=…)`."""

from contextlib import nullcontext
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from common import STARTS, ArraySource, assert_same_fit, complete_engine, raises_and_keeps
from sklearn.base import clone

import gaussmix
from gaussmix import FAMILIES, BayesianGaussianMixture, GaussianMixture, GaussianMixtureIC
from gaussmix._src.em.initialisation.label_matching import match_labels
from gaussmix._src.em.initialisation.user_labels import UserLabels
from gaussmix.extend import Partition

N_ROWS = 240


@pytest.fixture
def groups(rng):
    """Return three groups that overlap, and the group of each row."""
    truth = np.repeat(np.arange(3), N_ROWS // 3)
    rows = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])[truth] + rng.normal(size=(N_ROWS, 2))
    order = rng.permutation(N_ROWS)
    return rows[order], truth[order]


def hide_labels(truth, rng, fraction=0.2):
    """Return the labels, of which all but this fraction are set to -1, unknown."""
    return np.where(rng.random(len(truth)) < fraction, truth, -1)


@pytest.mark.parametrize("structure", sorted(FAMILIES))
def test_a_fully_labelled_fit_equals_one_m_step(structure, groups, rng):
    """Check that weights and means follow from the labels, and that no step changes them."""
    rows, truth = groups
    weight = rng.uniform(0.5, 2.0, size=len(rows))
    fitted = GaussianMixture(3, covariance_type=structure, tol=1e-9, max_iter=500, reg_covar=0.0)
    fitted.fit(rows, sample_weight=weight, labels=truth)
    means = [np.average(rows[truth == k], axis=0, weights=weight[truth == k]) for k in range(3)]
    np.testing.assert_allclose(fitted.means_, means, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(fitted.weights_, np.bincount(truth, weight) / weight.sum(), rtol=1e-12)
    assert fitted.converged_
    if structure == "full":
        np.testing.assert_allclose(fitted.covariances_[0], np.cov(rows[truth == 0].T, aweights=weight[truth == 0],
                                                                  ddof=0), rtol=1e-9)  # fmt: skip
        assert fitted.n_iter_ <= 2


@pytest.mark.parametrize("init_params", sorted(STARTS))
def test_component_k_fits_the_rows_of_label_k_for_every_initialisation(init_params, groups, rng):
    """Check that with any initialisation component k is the group whose rows have the label k."""
    rows, truth = groups
    for shift in range(3):
        labels = hide_labels((truth + shift) % 3, rng)
        fitted = GaussianMixture(3, init_params=init_params, random_state=0, max_iter=300).fit(rows, labels=labels)
        assert (fitted.predict(rows) == (truth + shift) % 3).mean() > 0.85


def test_match_labels_assigns_a_cluster_to_the_label_of_most_weight():
    """Check that weights decide: in each cluster, the label of more rows has less weight than the other label."""
    rows = np.repeat([[0.0], [1.0]], 5, axis=0)
    labels = np.array([1, 1, 1, 0, -1, 0, 0, 0, 1, -1], dtype=np.int32)
    weight = np.where(np.isin(np.arange(10), [3, 8]), 9.0, 1.0)
    known = UserLabels([(0,), (1,)], labels).log_prior(2, False)
    for row_weight, order in ((None, [1, 0]), (weight, [0, 1])):
        source = ArraySource(rows, row_weight).with_log_prior(*known)
        partition = Partition(responsibilities=lambda block: np.eye(2)[block.rows[:, 0].astype(int)])
        found = match_labels(partition, source, complete_engine(1), 2)
        proba = found.responsibilities(source.whole)
        assert [proba[4].argmax(), proba[9].argmax()] == order


def test_all_forms_of_the_same_labels_give_the_same_bits(groups, rng):
    rows, truth = groups
    labels = hide_labels(truth, rng)
    allowed = np.where(labels[:, None] < 0, True, labels[:, None] == np.arange(3))
    forms = [
        labels,
        [None if label < 0 else int(label) for label in labels],
        np.where(labels < 0, np.nan, labels),
        allowed,
        allowed.astype(float),
        0.25 * allowed,
    ]
    fits = [GaussianMixture(3, random_state=0).fit(rows, labels=form) for form in forms]
    named = np.array(["unknown", "a", "b", "c"], dtype=object)[labels + 1]
    named[named == "unknown"] = None
    fits.append(GaussianMixture(3, random_state=0, label_components={"a": [0], "b": [1], "c": [2]}))
    fits[-1].fit(rows, labels=named)
    for kind in ("string", "string[pyarrow]"):
        fits.append(GaussianMixture(3, random_state=0, label_components={"a": [0], "b": [1], "c": [2]}))
        fits[-1].fit(rows, labels=pd.Series(named, dtype=kind))
    for fitted in fits[1:]:
        assert fitted.mixture_ == fits[0].mixture_


@pytest.mark.parametrize("labels", [np.full(N_ROWS, -1), [None] * N_ROWS], ids=["numbers", "None"])
def test_labels_that_are_all_unknown_equal_no_labels(labels, groups):
    plain, labelled = (GaussianMixture(3, random_state=0).fit(groups[0], labels=each) for each in (None, labels))
    assert labelled.mixture_ == plain.mixture_
    assert GaussianMixture(1).fit(groups[0], labels=labels).n_components == 1


def test_prior_responsibilities_multiply_those_of_the_mixture(groups, rng):
    """Check that a row's final responsibilities are the mixture's times its prior, and determine weights and means."""
    rows, _ = groups
    prior = rng.random((len(rows), 3)) + 0.05
    fitted = GaussianMixture(3, random_state=0, tol=1e-12, max_iter=3000, reg_covar=0).fit(rows, labels=prior)
    posterior = prior * fitted.predict_proba(rows)
    posterior /= posterior.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.weights_, posterior.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(fitted.means_, posterior.T @ rows / posterior.sum(axis=0)[:, None], atol=1e-4)


def test_a_label_may_have_several_components(groups, rng):
    rows, truth = groups
    labels = np.where(hide_labels(truth, rng, 0.5) < 0, -1, np.where(truth == 2, 7, 3))
    fitted = GaussianMixture(3, label_components={3: [0, 1], 7: [2]}, random_state=0, max_iter=300)
    fitted.fit(rows, labels=labels)
    assert np.linalg.norm(fitted.means_[2] - [0, 3]) < 0.6
    assert np.linalg.norm(np.sort(fitted.means_[:2], axis=0) - [[0, 0], [3, 0]]) < 1.0


@pytest.mark.parametrize("kinds", [(False, True), (2**60, 2**60 + 1)], ids=["booleans", "equal as floats"])
@pytest.mark.parametrize("has_unknown", [False, True])
def test_labels_of_label_components_may_be_booleans_or_large_integers(kinds, has_unknown, groups):
    rows, truth = groups
    labels = [kinds[each] for each in (truth == 2).tolist()]
    fits = [GaussianMixture(3, random_state=0, label_components={kinds[0]: [0, 1], kinds[1]: [2]}) for _ in range(2)]
    fits.append(GaussianMixture(3, random_state=0, label_components={3: [0, 1], 7: [2]}))
    numbers = np.where(truth == 2, 7, 3)
    if has_unknown:
        labels[0], numbers[0] = None, -1
    for gm, form in zip(fits, (pl.Series(labels), np.array(labels), numbers), strict=True):
        assert gm.fit(rows, labels=form).mixture_ == fits[0].mixture_


def test_fit_ignores_y(groups):
    rows, truth = groups
    gm = GaussianMixture(3, random_state=0)
    assert gm.fit(rows, truth).mixture_ == gm.fit(rows).mixture_


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("criterion", ["bic", "icl", "cv"])
def test_gaussian_mixture_ic_uses_labels(criterion, groups, rng):
    rows, truth = groups
    labels = hide_labels(truth, rng)
    selected = GaussianMixtureIC([3, 4], covariance_type=["EII", "VVV"], criterion=criterion, random_state=0)
    selected.fit(rows, labels=labels)
    assert selected.n_components_ == 3
    assert (selected.predict(rows) == truth).mean() > 0.85


def test_the_log_likelihood_in_results_takes_labels_into_account(groups, rng):
    """Compare with log L = Σ log Σ_k [k allowed] π_k N(x | k), computed directly."""
    rows, truth = groups
    labels = hide_labels(truth, rng)
    selected = GaussianMixtureIC(3, covariance_type="VVV", random_state=0).fit(rows, labels=labels)
    joint = selected.mixture_.component_log_density(rows) + np.log(selected.weights_)
    joint[(labels[:, None] >= 0) & (labels[:, None] != np.arange(3))] = -np.inf
    total = np.logaddexp.reduce(joint, axis=1).sum()
    assert selected.results_["log_likelihood"][0] == pytest.approx(total, rel=1e-10)


INVALID = {
    "labels are": (np.full(N_ROWS, 3), {}, "labels use component 3; with n_components=3"),
    "huge and unknown": ([10**30, *[None] * (N_ROWS - 1)], {}, "labels use component 1000000000000000000000000000000"),
    "column": (np.zeros((N_ROWS, 1), int), {}, r"shape \(240, 1\). Pass one label for each of the 240 rows"),
    "negative": (np.full(N_ROWS, -2), {}, r"labels\[0\] is -2"),
    "fractions": (np.full(N_ROWS, 0.5), {}, r"labels\[0\] is 0.5; a label is the index of a component"),
    "text": (["a"] * N_ROWS, {}, r"For other labels set label_components, such as \{'a': \[0\]\}, or"),
    "other text": (["a"] * N_ROWS, {"label_components": {"b": [0]}}, r"labels\[0\] is 'a', but label_components lists"),
    "nothing allowed": (np.arange(N_ROWS)[:, None] + np.zeros(3) != 17, {}, "Row 17 of labels allows no component"),
    "columns": (np.ones((N_ROWS, 2)), {}, "labels has 2 columns; with n_components=3 a table of labels must have 3"),
    "below 0": (-np.ones((N_ROWS, 3)), {}, "Row 0 of labels must contain numbers ≥ 0"),
    "NaN": (np.full((N_ROWS, 3), np.nan), {}, "Row 0 of labels must contain numbers ≥ 0"),
    "table": (np.ones((N_ROWS, 3)), {"label_components": {0: [0]}}, "not a table"),
    "cube": (np.ones((N_ROWS, 3, 2)), {}, "or a table of shape"),
    "empty": (np.zeros(N_ROWS, int), {"label_components": {0: []}}, "must be a list of components"),
    "no component": (np.zeros(N_ROWS, int), {"label_components": {0: [1.5]}}, "not a component's index"),
    "unknown": (np.zeros(N_ROWS, int), {"label_components": {-1: [0]}}, "-1, which means unknown"),
    "beyond": (np.zeros(N_ROWS, int), {"label_components": {0: [8]}}, "labels use component 8"),
    "sets": ([{0}] * N_ROWS, {}, "labels must be a list or an array of numbers or text, not of type set"),
    "lists": ([[0], *[[0, 1]] * (N_ROWS - 1)], {}, "labels must contain one label for each row, not lists of"),
    "without": (None, {"label_components": {0: [0]}}, "fit also needs the argument labels"),
}


@pytest.mark.parametrize("name", sorted(INVALID))
def test_invalid_labels_are_rejected(name, groups):
    rows, _ = groups
    labels, settings, sentence = INVALID[name]
    estimator = GaussianMixture(3, random_state=0, **settings)
    with raises_and_keeps(estimator, ValueError, sentence):
        estimator.fit(rows, labels=labels)


@pytest.mark.parametrize(
    ("labels", "settings"), [(np.zeros(N_ROWS, bool), {}), (np.zeros(N_ROWS, int), {"label_components": [[0]]})]
)
def test_labels_of_the_wrong_type_raise_type_error(labels, settings, groups):
    with pytest.raises(TypeError, match=r"labels contains True and False|must be a dictionary"):
        GaussianMixture(3, **settings).fit(groups[0], labels=labels)


def test_components_without_rows_are_reported_with_advice_about_labels(groups):
    labels = np.zeros(N_ROWS, int)
    with pytest.warns(RuntimeWarning, match="component 1 became empty: .* Lower n_components, or change labels"):
        GaussianMixture(2).fit(groups[0], labels=labels)
    labels[0] = -1  # components 1 and 2 share this row
    with pytest.warns(RuntimeWarning, match="it has the highest responsibility for no row"):
        GaussianMixture(3).fit(groups[0], labels=labels)


def test_gaussian_mixture_ic_rejects_fewer_components_than_labels(groups):
    with pytest.raises(ValueError, match="labels use component 2; with n_components=2"):
        GaussianMixtureIC([2, 3], random_state=0).fit(groups[0], labels=groups[1])


@pytest.mark.parametrize("kind", [int, object, np.uint8, float])
def test_masked_labels_are_unknown(kind, groups, rng):
    rows, truth = groups
    is_masked = rng.random(N_ROWS) < 0.7
    plain, masked = (GaussianMixture(3, random_state=0, max_iter=9) for _ in range(2))
    plain.fit(rows, labels=np.where(is_masked, -1, truth))
    masked.fit(rows, labels=np.ma.masked_array(truth.astype(kind), is_masked))
    assert masked.mixture_ == plain.mixture_
    hidden = GaussianMixture(3, random_state=0, max_iter=9).fit(rows, labels=np.ma.masked_array(truth, True))
    assert hidden.mixture_ == GaussianMixture(3, random_state=0, max_iter=9).fit(rows, labels=[-1] * N_ROWS).mixture_


def test_a_masked_row_of_a_table_of_labels_allows_all_components(groups, rng):
    rows, truth = groups
    is_masked = rng.random(N_ROWS) < 0.7
    table = np.ma.masked_array(np.eye(3)[truth], np.repeat(is_masked[:, None], 3, axis=1))
    masked = GaussianMixture(3, random_state=0, max_iter=9).fit(rows, labels=table)
    open_rows = np.where(is_masked[:, None], 1.0, np.eye(3)[truth])
    assert masked.mixture_ == GaussianMixture(3, random_state=0, max_iter=9).fit(rows, labels=open_rows).mixture_
    table.mask[5] = [True, False, False]
    with pytest.raises(ValueError, match=r"Row 5 of labels is partly masked\. Mask the whole row"):
        masked.fit(rows, labels=table)


@pytest.mark.parametrize("kind", ["boolean", "Int64", "Float64"])
def test_a_table_of_labels_may_be_a_nullable_data_frame(kind, groups, rng):
    rows, truth = groups
    known = hide_labels(truth, rng)[:, None]
    allowed = (known == np.arange(3)) | (known < 0)
    mixture = partial(GaussianMixture, 3, random_state=0)
    found = mixture().fit(rows, labels=pd.DataFrame(allowed).astype(kind))
    assert_same_fit(found, mixture().fit(rows, labels=allowed))
    incomplete = pd.DataFrame(allowed).astype(kind)
    incomplete.iloc[5, 1] = None
    with pytest.raises(ValueError, match=r"Row 5 of labels must contain numbers ≥ 0, not \[.*nan"):
        mixture().fit(rows, labels=incomplete)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_labels_may_be_the_name_of_a_column_of_a_data_frame(library, groups, rng):
    rows, truth = groups
    known = [["left", "right", "top"][k] if k >= 0 else None for k in hide_labels(truth, rng)]
    table = {"x": rows[:, 0], "expert": known, "y": rows[:, 1]}
    frame = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}[library](table)
    mixture = partial(GaussianMixture, 3, random_state=0, label_components={"left": [0], "right": [1], "top": [2]})
    expected, found = mixture().fit(rows, labels=known), mixture().fit(frame, labels="expert")
    assert_same_fit(found, expected)
    assert list(found.feature_names_in_) == ["x", "y"]
    np.testing.assert_array_equal(mixture().fit_predict(frame, labels="expert"), expected.predict(rows))
    one = found.inference(frame, labels="expert", kind="hessian")
    other = expected.inference(rows, labels=known, kind="hessian")
    np.testing.assert_array_equal(one.covariance, other.covariance)


@pytest.mark.parametrize("unknown", [np.nan, -1])
@pytest.mark.parametrize("kind", [object, "category"])
def test_unknown_labels_may_be_numbers_in_a_column_of_text(unknown, kind, groups, rng):
    rows, truth = groups
    known = [["left", "right", "top"][k] if k >= 0 else unknown for k in hide_labels(truth, rng)]
    mixture = partial(GaussianMixture, 3, random_state=0, label_components={"left": [0], "right": [1], "top": [2]})
    expected = mixture().fit(rows, labels=np.array(known, dtype=object))
    assert_same_fit(mixture().fit(rows, labels=known), expected)
    frame = pd.DataFrame(rows, columns=["x", "y"]).assign(expert=pd.Series(known, dtype=kind))
    assert_same_fit(mixture().fit(frame, labels="expert"), expected)


def test_a_label_column_without_known_labels_equals_no_labels(groups, tmp_path):
    rows, _ = groups
    table = pa.table({"x": rows[:, 0], "y": rows[:, 1], "expert": np.full(len(rows), -1)})
    pq.write_table(table, tmp_path / "a.parquet")
    found = GaussianMixture(3, random_state=0).fit(str(tmp_path / "a.parquet"), labels="expert")
    assert_same_fit(found, GaussianMixture(3, random_state=0).fit(rows))


@pytest.mark.parametrize(("n_features", "has_missing"), [(2, True), (70, False)])
def test_priors_of_a_fit_with_a_label_column_use_all_rows(n_features, has_missing, rng, tmp_path):
    truth = np.repeat([0, 1], 100)
    rows = truth[:, None] * 4.0 + rng.normal(size=(200, n_features))
    rows[3, 0] = np.nan if has_missing else 0.0
    known = hide_labels(truth, rng)
    columns = {f"x{k}": column for k, column in enumerate(rows.T)}
    pq.write_table(pa.table(columns | {"expert": known}), tmp_path / "a.parquet")
    source = gaussmix.open(tmp_path / "a.parquet", missing=has_missing)
    common = {"n_components": 2, "covariance_type": "diag", "random_state": 0}
    bayesian = BayesianGaussianMixture(**common, split_merge=False, init_params="kmeans")
    for mixture in (bayesian, GaussianMixture(**common, prior="default")):
        expected = clone(mixture).fit(rows, labels=known)
        assert_same_fit(mixture.fit(source, labels="expert"), expected)


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        ([0.0, 1, 0.5], {}, r"column 'c' of X contains 0.5; a label is the index of a component, -1 or None"),
        ([0.0, 1, -2], {}, r"column 'c' of X contains -2; a label is the index of a component, or -1"),
        ([0.0, 1, 5], {}, r"labels use component 5; with n_components=2 they must lie in 0 … 1"),
        ([0.0, 1, 5], {"label_components": {0: [0], 1: [1]}}, r"of X contains 5, but label_components lists"),
        (np.arange(70_000.0), {}, r"labels='c': this column of X has more than 65,536 distinct numbers"),
    ],
)
def test_an_invalid_label_column_is_rejected_by_name(values, settings, message, tmp_path):
    column = np.resize(values, max(30, len(values)))
    pq.write_table(pa.table({"a": np.arange(len(column)) % 7.0, "c": column}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=message):
        GaussianMixture(2, **settings).fit(tmp_path / "a.parquet", labels="c")


def test_labels_that_name_no_usable_column_are_rejected(groups, tmp_path):
    rows, _ = groups
    with pytest.raises(ValueError, match="labels='c' should be a column of X, but the columns of X have no names"):
        GaussianMixture(2).fit(rows, labels="c")
    with pytest.raises(ValueError, match="labels='c' should be a column of X, whose columns are 'a', 'b'"):
        GaussianMixture(2).fit(pd.DataFrame(rows, columns=["a", "b"]), labels="c")
    with pytest.raises(ValueError, match=r"labels='a' is the only column of X\. X must also"):
        GaussianMixture(2).fit(pd.DataFrame({"a": rows[:, 0]}), labels="a")
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": np.arange(3.0)}), path)
    with pytest.raises(ValueError, match=r"labels='a' is the only column of X\. X must also"):
        GaussianMixture(2).fit(path, labels="a")
    pq.write_table(pa.table({"a": np.arange(3.0), "c": ["x", "y", "x"]}), path)
    with (
        pytest.warns(RuntimeWarning, match="left out column 'c': it contains text"),
        pytest.raises(ValueError, match=r"columns of numbers are 'a'\. Labels in files and on clusters must"),
    ):
        GaussianMixture(2).fit(path, labels="c")


UNKNOWN = [0, 1, -1], [0.0, np.nan, 2.0], ["a", "b", None], pd.Series(["a", pd.NA, "b"])
OTHER_Y = [-1, 1, 1], [-2, -1, 0], [0, 1, 2], [-1, -1, -1], np.zeros((3, 2)), "y"


@pytest.mark.parametrize("y", [*UNKNOWN, *OTHER_Y], ids=str)
def test_a_y_with_unknown_labels_is_ignored_with_a_warning(y):
    is_warned, message = any(y is each for each in UNKNOWN), "ignores y, .* If y numbers components, pass labels=y"
    for method in "fit", "fit_predict":
        with pytest.warns(RuntimeWarning, match=message) if is_warned else nullcontext():
            getattr(GaussianMixture(random_state=0), method)([[0.0], [1.0], [5.0]], y)
