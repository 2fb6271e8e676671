"""Rows in Dask give the same bits as in memory, on a cluster or without one, even if workers die."""

from __future__ import annotations

import gc
import logging
import os
import signal
import tempfile
import threading
import weakref
from _thread import interrupt_main
from contextlib import suppress
from functools import partial
from importlib import import_module, metadata
from itertools import pairwise
from time import monotonic, sleep

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import streamed
from common import LEAF_ROWS, Block, assert_same_bits, assert_same_fit, short_em
from sklearn.base import clone

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureClassifier, GaussianMixtureImputer, GaussianMixtureRegressor, open
from gaussmix._src.interfaces.leaves import Tree
from gaussmix._src.interfaces.moments import BlockMoments
from gaussmix._src.sources import remote, traffic, waiting
from gaussmix.testing import check_source

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

dask_source = import_module("gaussmix._src.sources.dask.cluster")

pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")

N_ROWS, N_FEATURES = 3 * LEAF_ROWS + 4_321, 3
NAMES = ["a", "b", "c"]
CUTS = {
    "a few": [70_000, 140_000],
    "ragged": [17, 18, LEAF_ROWS - 1, LEAF_ROWS - 1, LEAF_ROWS + 5, 150_000, 150_001, N_ROWS - 1],
}


@pytest.fixture(scope="module", params=["no cluster", "cluster"])
def cluster(request):
    """Return None, or workers that are threads of this process."""
    if request.param == "no cluster":
        yield None
        return
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, dashboard_address=":0", memory_limit=0
        ) as made,
        distributed.Client(made) as client,
    ):
        yield client


@pytest.fixture
def always_remote(monkeypatch):
    """Keep small tables from being copied to this process, so that every pass needs workers."""
    monkeypatch.setattr(dask_source.DaskCluster, "whole", None)


no_cluster_first = pytest.mark.parametrize(
    "cluster", ["no cluster", pytest.param("cluster", marks=pytest.mark.heavy)], indirect=True
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return overlapping clusters with weights in the last column, in memory and in a file that workers read."""
    whole = streamed.weighted_clusters(N_ROWS, N_FEATURES)
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(path, whole)
    return whole, path


def array_of(path, ends, columns=N_FEATURES, dtype="f8"):
    """Return a Dask array whose chunks end at given rows; each task reads its own rows."""

    def read(path, first, end, columns, dtype):  # defined here, because worker processes cannot import this file
        return np.load(path, mmap_mode="r")[first:end, :columns].astype(dtype)

    parts = [
        da.from_delayed(dask.delayed(read)(path, first, end, columns, dtype), (end - first, columns), dtype)
        for first, end in pairwise([0, *ends, N_ROWS])
    ]
    return da.concatenate(parts)


def frame_of(path, ends):
    """Return a Dask frame with a column of weights and one of text, whose partitions have unknown numbers of rows."""

    def partition(first, end):
        frame = pd.DataFrame(np.load(path, mmap_mode="r")[first:end], columns=[*NAMES, "weight"])
        return frame.assign(name="x")

    meta = partition(0, 0)
    return dd.from_delayed([dask.delayed(partition)(*each) for each in pairwise([0, *ends, N_ROWS])], meta=meta)


@pytest.mark.heavy(n_default=1)
@pytest.mark.pairwise
@pytest.mark.parametrize("what", ["", "float32"])
@pytest.mark.parametrize("structure", ["full", "tied", "diag"])
def test_fit_to_a_dask_array_gives_the_same_bits_as_in_memory(structure, what, table, cluster, rng):
    whole, path = table
    cuts = np.sort(rng.integers(N_ROWS, size=rng.integers(12)))
    rows = whole[:, :N_FEATURES].astype("f4" if what else "f8")
    gm = short_em(covariance_type=structure)
    expected = short_em(covariance_type=structure).fit(rows)
    assert_same_fit(gm.fit(array_of(path, cuts, dtype=rows.dtype.str[1:])), expected)
    assert not hasattr(gm, "feature_names_in_")


@pytest.mark.heavy
def test_truncated_em_gives_the_same_bits_as_in_memory(table, cluster):
    """Check that truncated EM and the estimated gap give the same bits."""
    whole, path = table
    actual, expected = (short_em(posterior=3).fit(X) for X in (array_of(path, CUTS["a few"]), whole[:, :-1]))
    assert_same_fit(actual, expected)
    assert actual.outcome_ == expected.outcome_


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("structure", ["full", "tied", "diag"])
def test_fit_to_a_weighted_dask_data_frame_gives_the_same_bits_as_in_memory(structure, table, cluster):
    whole, path = table
    expected = short_em(covariance_type=structure).fit(whole[:, :-1], sample_weight=whole[:, -1])
    with pytest.warns(RuntimeWarning, match=r"left out column 'name': its type, \w+, is not numeric\."):
        source = open(frame_of(path, CUTS["ragged"]), weights="weight")
    gm = short_em(covariance_type=structure).fit(source)
    assert_same_fit(gm, expected)
    assert list(gm.feature_names_in_) == NAMES
    for name in "score", "bic":
        assert getattr(gm, name)(source) == getattr(expected, name)(whole[:, :-1], sample_weight=whole[:, -1])


@pytest.mark.parametrize("cluster", ["no cluster"], indirect=True)
def test_without_a_cluster_rows_beyond_the_memory_are_computed_in_every_pass(table, cluster):
    whole, path = table
    source = open(array_of(path, CUTS["ragged"]), memory="3 MB")
    assert_same_fit(short_em().fit(source), short_em().fit(whole[:, :-1]))
    assert type(source._rows).__name__ == "FileSource"


def test_float16_becomes_float64_as_in_memory(table):
    frame = pd.DataFrame(table[0][:1000, :N_FEATURES].astype("f2"))
    assert_same_fit(short_em().fit(dd.from_pandas(frame, npartitions=3)), short_em().fit(frame))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
def test_masked_values_of_a_dask_array_are_missing(dtype, table):
    rows = np.ma.masked_greater((10 * table[0][:1000, :N_FEATURES]).astype(dtype), 30)
    lazy = da.from_array(rows, chunks=(300, N_FEATURES))
    assert_same_fit(short_em().fit(lazy), short_em().fit(rows))
    np.testing.assert_array_equal(short_em().fit(rows).predict(lazy), short_em().fit(rows).predict(rows))


def test_the_column_of_weights_may_be_called_0(table):
    whole = table[0][:1000]
    source = open(dd.from_pandas(pd.DataFrame(whole[:, ::-1]), npartitions=3), columns=[3, 2, 1], weights=0)
    assert_same_fit(short_em().fit(source), short_em().fit(whole[:, :-1], sample_weight=whole[:, -1]))


@pytest.mark.parametrize("cluster", ["no cluster"], indirect=True)
def test_a_table_that_loses_rows_between_passes_is_reported(table, cluster):
    rows, n_rows = table[0][:, :-1], [N_ROWS]
    part = da.from_delayed(dask.delayed(lambda: rows[: n_rows[0]], pure=False)(), rows.shape, "f8")
    source = open(part, memory="3 MB")
    assert source.row_totals.n_rows == N_ROWS
    n_rows[0] = N_ROWS - 1
    with pytest.raises(OSError, match=f"has fewer rows than the {N_ROWS} rows that it had before: 'the Dask array'"):
        short_em().fit(source)


@pytest.mark.parametrize("cluster", ["no cluster"], indirect=True)
def test_a_chunk_with_more_rows_than_expected_is_reported(table, cluster):
    rows = table[0][:50, :-1]
    lazy = da.from_delayed(dask.delayed(rows), (40, N_FEATURES), "f8")
    with pytest.raises(ValueError, match="partition 0 of the Dask array has 50 rows, but 40 were expected"):
        short_em().fit(da.concatenate([lazy, lazy]))


@pytest.mark.heavy(n_default=1)
@pytest.mark.usefixtures("always_remote")
def test_dask_source_passes_check_source(cluster, rng):
    def make_source(rows, row_weight):
        columns = rows if row_weight is None else np.column_stack([rows, row_weight])
        chunks = ((7, 993, 0, len(rows) - 1000), columns.shape[1])
        return open(da.from_array(columns, chunks=chunks), weights=None if row_weight is None else "x3")

    check_source(make_source, rng)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("cluster", ["cluster"], indirect=True)
@pytest.mark.parametrize("call", streamed.CALLS)
def test_calls_that_store_nothing_per_row_give_the_same_bits_as_arrays(call, cluster, rng):
    rows = streamed.rows_of(LEAF_ROWS + 9_000, rng)
    frame = dd.from_pandas(pd.DataFrame(rows, columns=streamed.NAMES), npartitions=3)
    streamed.check_same_bits(call, frame[streamed.NAMES[:2]], frame, rows)


@pytest.mark.heavy
@pytest.mark.parametrize("cluster", ["cluster"], indirect=True)
@pytest.mark.parametrize("call", ["labels", "mixtures of classes", "labels and cv", "weights and cv"])
def test_labelled_weighted_and_split_rows_may_have_missing_values(call, cluster, rng):
    """Check rows that are labelled or weighted first, and then split."""
    rows = streamed.rows_of(3_000, rng)
    rows[:, :2][rng.random((3_000, 2)) < 0.1] = np.nan
    frame = dd.from_pandas(pd.DataFrame(rows, columns=streamed.NAMES), npartitions=3)
    if "and cv" not in call:
        streamed.check_same_bits(call, frame[streamed.NAMES[:2]], frame, rows)
        return
    search = partial(gaussmix.GaussianMixtureIC, [3], covariance_type="diag", criterion="cv", n_folds=3, **streamed.FEW)
    if call == "labels and cv":
        actual, expected = search().fit(frame, labels="label"), search().fit(rows[:, :2], labels=rows[:, 2].astype(int))
    else:
        frame = frame.assign(label=frame["label"] + 1)
        actual = search().fit(open(frame, columns=streamed.NAMES[:2], weights="label", missing=True))
        expected = search().fit(rows[:, :2], sample_weight=rows[:, 2] + 1)
    assert expected.results_["failure"] == [None]
    assert actual.results_["cv"] == expected.results_["cv"]
    assert_same_fit(actual, expected)


@pytest.mark.heavy
def test_predictions_are_lazy_and_give_the_same_bits_as_in_memory(table, cluster):
    whole, path = table
    rows, gm = whole[:, :N_FEATURES], short_em().fit(whole[:20_000, :N_FEATURES])
    lazy, frame = array_of(path, CUTS["ragged"]), frame_of(path, CUTS["a few"])
    for name in "predict", "predict_proba", "score_samples":
        expected = getattr(gm, name)(rows)
        actual = getattr(gm, name)(lazy)
        assert (actual.chunks[0], actual.dtype, actual.ndim) == (lazy.chunks[0], expected.dtype, expected.ndim)
        assert_same_bits(actual.compute(), expected, name)
        assert_same_bits(getattr(gm, name)(frame[NAMES]).compute(), expected, f"{name} of a frame")
    labelled = frame.assign(label=gm.predict(frame[NAMES]))
    assert_same_bits(labelled["label"].compute().to_numpy(), gm.predict(rows), "a new column")
    assert gm.predict_proba(lazy.astype("f4")).dtype == np.float32


@pytest.mark.heavy(n_default=1)
def test_predictions_of_one_source_have_different_task_keys(table, cluster, caplog):
    """Check that Dask's scheduler does not warn about deadlocks, as it does if it receives two tasks for a key."""
    source, scheduler = open(frame_of(table[1], CUTS["a few"])[NAMES]), logging.getLogger("distributed.scheduler")
    gm = short_em().fit(source)
    scheduler.addHandler(caplog.handler)
    try:
        for name in "predict", "score_samples":
            getattr(gm, name)(source).compute()
    finally:
        scheduler.removeHandler(caplog.handler)
    assert "run_spec" not in caplog.text


@pytest.mark.heavy
@no_cluster_first
def test_bayesian_fit_gives_the_same_bits_as_in_memory(table, cluster):
    """Check that births, merges and predictive densities are the same as in memory, with weights or missing values."""
    whole, path = table
    rows, weight = whole[:, :N_FEATURES], whole[:, -1]
    bayesian = gaussmix.BayesianGaussianMixture(6, random_state=0, max_iter=10)
    expected = clone(bayesian).fit(rows, sample_weight=weight)
    source = open(frame_of(path, CUTS["ragged"]), columns=NAMES, weights="weight")
    actual = clone(bayesian).fit(source)
    assert_same_fit(actual, expected)
    assert actual.score(source) == expected.score(rows, sample_weight=weight)
    lazy = array_of(path, CUTS["a few"])
    for name in "predict", "predict_proba", "score_samples":
        assert_same_bits(getattr(actual, name)(lazy).compute(), getattr(expected, name)(rows), name)
    X_nan = np.where(np.random.default_rng(1).random(rows.shape) < 0.1, np.nan, rows)
    lazy = da.from_array(X_nan, chunks=((70_000, 1, N_ROWS - 70_001), N_FEATURES))
    short = clone(bayesian).set_params(max_iter=2, split_merge=False, init_params="kmeans")
    assert_same_fit(clone(short).fit(lazy), clone(short).fit(X_nan))


@pytest.mark.heavy
@no_cluster_first
def test_predictive_estimators_give_lazy_results_equal_to_those_in_memory(table, cluster):
    whole, path = table
    rows, lazy, frame = whole[:, :N_FEATURES], array_of(path, CUTS["ragged"]), frame_of(path, CUTS["a few"])[NAMES]
    settings, y = {"max_iter": 2, "tol": 0.0, "random_state": 0}, np.where(rows[:, 0] > 0, "up", "down")
    classifier = GaussianMixtureClassifier(reject_below=0.01, **settings)
    for X, estimator, names in (
        (lazy, classifier, ("predict", "predict_proba", "density_p_value")),
        (lazy, GaussianMixtureRegressor(2, targets=[2, 0], **settings), ("predict",)),
        (frame, GaussianMixtureRegressor(2, targets="b", **settings), ("predict",)),
        (lazy, gaussmix.GaussianMixtureDetector(**settings), ("predict", "decision_function", "p_values")),
    ):
        is_classifier = isinstance(estimator, GaussianMixtureClassifier)
        columns = rows if X is lazy else pd.DataFrame(rows, columns=NAMES)
        expected = clone(estimator).fit(columns, y if is_classifier else None)
        assert_same_bits(
            estimator.fit(X, y if is_classifier else None).mixture_.means, expected.mixture_.means, "means"
        )
        for name in names:
            in_memory, actual = getattr(expected, name)(columns), getattr(estimator, name)(X)
            assert (actual.dtype, actual.ndim) == (in_memory.dtype, in_memory.ndim)
            assert_near(actual.compute(), in_memory)
        if hasattr(estimator, "score"):
            labels = (y,) if is_classifier else ()
            assert estimator.score(X, *labels) == pytest.approx(expected.score(columns, *labels), rel=1e-12)
    quantiles = GaussianMixtureRegressor(2, targets=[2, 0], **settings).fit(rows[:1000]).predict_quantiles(lazy)
    assert (quantiles.shape, quantiles.chunks[0]) == ((N_ROWS, 2, 3), lazy.chunks[0])


def assert_near(actual, expected):
    """Check that values agree up to rounding, because BLAS may round a row among others differently."""
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)
    else:
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.heavy
@no_cluster_first
def test_imputer_gives_lazy_results_equal_to_those_in_memory(table, cluster):
    X_nan = np.where(np.random.default_rng(1).random((N_ROWS, N_FEATURES)) < 0.1, np.nan, table[0][:, :-1])
    lazy = da.from_array(X_nan, chunks=((70_000, 1, N_ROWS - 70_001), N_FEATURES))
    frame = lazy.to_dask_dataframe(columns=NAMES)
    expected = GaussianMixtureImputer(2, max_iter=2, random_state=0).fit(X_nan)
    for X in lazy, open(frame, missing=True), frame:
        imputer = GaussianMixtureImputer(2, max_iter=2, random_state=0).fit(X)
        assert_same_bits(imputer.mixture_.means, expected.mixture_.means, "means")
        filled = imputer.transform(X)
        assert (filled.dtype, filled.ndim) == (np.float64, 2)
        assert_near(filled.compute(), expected.transform(X_nan))
    assert imputer.transform(frame.astype("f4")).dtype == np.float32
    with pytest.raises(ValueError, match="Random draws depend on row indices, which rows of Dask, Spark or Ray"):
        imputer.set_params(sample_posterior=True).transform(lazy)
    with pytest.raises(ValueError, match=r"the value is missing \(NaN or null\)"):
        imputer.fit(open(lazy))
    with pytest.raises(ValueError, match="with missing=True, but this GaussianMixture does not support missing values"):
        short_em(missing="error").fit(open(lazy, missing=True))


def test_predict_does_not_compute_the_dask_array(table):
    def fail():
        raise AssertionError("computed")

    gm = short_em().fit(table[0][:1000, :N_FEATURES])
    lazy = da.from_delayed(dask.delayed(fail)(), (10, N_FEATURES), "f8")
    assert repr(open(lazy)) == "<LazySource the Dask array: 3 features, float64>"
    labels = gm.predict(lazy)
    with pytest.raises(AssertionError, match="computed"):
        labels.compute()


def with_values(rows, changes):
    rows = rows.copy()
    for row, column, value in changes:
        rows[row, column] = value
    return rows


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([(90_000, 1, np.nan), (150_000, 0, np.inf)], r"row 90000, column 'x1': the value is missing"),
        ([(150_000, 0, -np.inf)], r"row 150000, column 'x0': the value is infinite"),
        ([(3, 2, 1e200)], r"row 3, column 'x2': 1e\+200 is too large"),
        ([(70_001, 3, -1)], r"row 70001, column 'x3': the weight -1 is not"),
    ],
)
def test_fit_reports_the_first_invalid_value(changes, sentence, table, cluster):
    path = table[1]
    lazy = array_of(path, CUTS["a few"], N_FEATURES + 1)

    def damaged(chunk, block_id):
        first = [0, *CUTS["a few"]][block_id[0]]
        here = [(row - first, *change) for row, *change in changes if first <= row < first + len(chunk)]
        return with_values(chunk, here)

    source = open(lazy.map_blocks(damaged, dtype="f8"), weights="x3")
    gm = short_em()
    with pytest.raises(ValueError, match=sentence):
        gm.fit(source)
    assert not hasattr(gm, "mixture_")


def test_predict_reports_the_partition_of_an_invalid_value(table, cluster):
    whole, path = table
    gm = short_em().fit(whole[:1000, :N_FEATURES])
    lazy = array_of(path, CUTS["a few"]).map_blocks(
        lambda chunk, block_id: with_values(chunk, [(5, 1, np.inf)] if block_id[0] == 2 else []), dtype="f8"
    )
    with pytest.raises(ValueError, match=r"partition 2, row 5 of it, column 'x1': the value is infinite"):
        gm.predict(lazy).compute()


def test_data_that_is_not_a_numeric_table_is_rejected(table):
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
        short_em().fit(da.zeros(5))
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
        short_em().fit(dd.from_pandas(pd.Series([1.0, 2.0]), npartitions=1))
    with pytest.raises(ValueError, match="contains complex128"):
        short_em().fit(da.zeros((5, 2), dtype=complex))
    with pytest.raises(ValueError, match="no column 'x2'; it has 'x0', 'x1'"):
        open(da.zeros((5, 2)), weights="x2")
    with pytest.raises(ValueError, match="the Dask array has no rows"):
        short_em().fit(da.zeros((0, 2)))
    frame = dd.from_pandas(pd.DataFrame({"a": [1.0, 2.0], "t": pd.to_datetime(["2020", "2021"])}), npartitions=1)
    with pytest.raises(ValueError, match=r"column 't': its type, datetime64\S*, is not numeric\.$"):
        open(frame, columns=["a", "t"])
    with pytest.raises(ValueError, match="no column 'z'"):
        open(frame, weights="z")
    with pytest.raises(ValueError, match="no column of numbers"):
        open(frame[["t"]])
    gm = short_em().fit(table[0][:1000, :N_FEATURES])
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3"):
        gm.predict(da.zeros((5, 2)))
    with pytest.raises(ValueError, match="contain their weights"):
        gm.fit(da.zeros((5, 3)), sample_weight=np.ones(5))


def test_delayed_objects_are_rejected():
    with pytest.raises(
        TypeError, match=r"Input X is a dask\.delayed\.Delayed\w*, not a table\. See help\(gaussmix\.open\)"
    ):
        GaussianMixture().fit(dask.delayed(np.ones)((5, 2)))


def test_columns_of_other_types_are_converted_and_nulls_are_missing_values(cluster):
    values = pd.DataFrame({"a": np.arange(40) % 7, "b": np.linspace(0, 1, 40, dtype="f4"), "c": np.arange(40) % 3 > 1})
    nullable = values.convert_dtypes()
    values["d"] = np.arange(40) % 5 / 4
    nullable["d"] = values["d"].astype("string[pyarrow]").astype(pd.ArrowDtype(pa.decimal128(5, 2)))
    expected = GaussianMixture(2, random_state=0).fit(values.astype("f8"))
    assert_same_fit(GaussianMixture(2, random_state=0).fit(dd.from_pandas(nullable, npartitions=3)), expected)
    nullable.loc[31, "a"] = pd.NA
    with pytest.raises(ValueError, match=r"row 31, column 'a': the value is missing"):
        GaussianMixture(2, missing="error").fit(dd.from_pandas(nullable, npartitions=3))
    nullable.loc[30, "d"] = pd.NA
    with pytest.raises(ValueError, match=r"row 30, column 'd': the value is missing"):
        GaussianMixture(2).fit(open(dd.from_pandas(nullable[["b", "d"]], npartitions=3)))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1.5"] * 5, "string"),
        ([1j] * 5, "complex"),
        (pd.to_datetime(["2026"] * 5), "datetime64"),
        ([0.5, None, 2, True, "many"], "string"),  # mixed values, and the type that Dask infers
    ],
)
@pytest.mark.parametrize("chosen", [{"columns": ["a", "b"]}, {"columns": ["a"], "weights": "b"}])
def test_a_partition_without_numbers_is_reported(values, kind, chosen, cluster):
    rows = pd.DataFrame({"a": np.arange(5.0), "b": np.arange(5.0) ** 2})
    frame = dd.from_map(lambda number: rows.assign(b=values) if number == 3 else rows, range(5), meta=rows)
    with pytest.raises(ValueError, match=f"partition 3 of the Dask frame, column 'b': it contains {kind}"):
        short_em().fit(open(frame, **chosen))


def test_a_partition_that_lacks_a_column_is_reported():
    rows = pd.DataFrame({"a": np.arange(5.0), "b": np.arange(5.0) ** 2})
    parts = [dask.delayed(rows if number != 3 else rows[["a"]]) for number in range(5)]
    with pytest.raises(ValueError, match="partition 3 of the Dask frame has no column 'b'; it has 'a'"):
        short_em().fit(dd.from_delayed(parts, meta=rows, verify_meta=False))


def test_a_column_of_nulls_in_one_partition_means_missing_values(cluster):
    rows = pd.DataFrame({"a": np.arange(50.0) % 7, "b": np.arange(50.0) % 5})
    frame = dd.from_map(lambda number: rows.assign(b=None) if number == 1 else rows, range(3), meta=rows)
    whole = pd.concat([rows, rows.assign(b=np.nan), rows])
    actual, expected = (GaussianMixture(2, random_state=0, max_iter=3, tol=0).fit(each) for each in (frame, whole))
    assert_same_fit(actual, expected)


@pytest.mark.parametrize("chunk", [np.ones((5, 4)), np.ones(5), np.ones((5, 3), dtype=complex)])
def test_a_chunk_of_another_shape_or_type_is_reported(chunk, cluster):
    chunks = [np.ones((5, 3)), np.ones((5, 3)), chunk]
    lazy = da.concatenate([da.from_delayed(dask.delayed(each), (5, 3), float) for each in chunks])
    with pytest.raises(ValueError, match="partition 2 of the Dask array has the shape"):
        short_em().fit(lazy)


@pytest.mark.parametrize("cluster", ["cluster"], indirect=True)
def test_a_partition_that_cannot_be_computed_is_reported(cluster):
    def read(number):
        if number == 2:
            raise OSError("the disk is gone")
        return pd.DataFrame({"a": np.arange(5.0)})

    with pytest.raises(OSError, match="the disk is gone") as failed:
        short_em().fit(dd.from_map(read, range(4), meta=pd.DataFrame({"a": [0.0]})))
    assert failed.value.__notes__ == ["It happened in partition 2 of the Dask frame."]


@pytest.mark.heavy
@pytest.mark.parametrize("cluster", ["cluster"], indirect=True)
def test_partial_fit_gathers_one_block_of_rows_at_a_time(table, cluster, monkeypatch):
    """Check that the bits agree with rows in memory, and that this process never has all rows."""
    whole, path = table
    gather, n_rows = dask_source.DaskWorkers.gathered, []

    def gathered(self, needed, submit):
        results = gather(self, needed, submit)
        lists = [each for each in results if isinstance(each, list)]
        n_rows.append(sum(block.n_rows for each in lists for block in each if isinstance(block, Block)))
        return results

    expected = short_em().partial_fit(whole[:, :-1], sample_weight=whole[:, -1])
    monkeypatch.setattr(remote, "PARTITIONS_PER_WORKER", 1)  # makes a worker have partitions of several leaves
    source = open(frame_of(path, CUTS["ragged"])[[*NAMES, "weight"]], weights="weight")
    monkeypatch.setattr(dask_source.DaskWorkers, "gathered", gathered)
    assert_same_fit(short_em().partial_fit(source), expected)
    assert (sum(n_rows), max(n_rows)) == (N_ROWS, LEAF_ROWS)


@pytest.mark.parametrize("cluster", ["cluster"], indirect=True)
@pytest.mark.parametrize("theirs", [None, "0.0.1"])
def test_workers_without_this_version_of_gaussmix_are_reported(theirs, cluster, monkeypatch):
    """Check the error, because workers would otherwise leave the cluster in turn, and the fit would wait forever."""

    def version(name):
        if threading.current_thread() is threading.main_thread():
            return "0.0.2"
        if theirs is None:
            raise metadata.PackageNotFoundError(name)
        return theirs

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(dask_source, "_CHECKED_WORKERS", weakref.WeakKeyDictionary())
    expected = "no gaussmix. Install gaussmix 0.0.2" if theirs is None else "gaussmix 0.0.1, but this process has 0.0.2"
    fitted = short_em().fit(np.random.default_rng(0).normal(size=(50, 2)))
    for work in (short_em().fit, fitted.predict):
        with pytest.raises(ImportError, match=expected):
            work(da.zeros((50, 2)))


def test_large_integers_are_checked_over_all_partitions():
    """Check integers of which each partition alone has too small a range."""
    frame = pd.DataFrame({"time": 17 * 10**17 + 5 * np.arange(1_000), "x": np.arange(1_000) % 7})
    with pytest.raises(ValueError, match=r"'time', contains integers of size 1.7e\+18 that differ by at most \d+: a"):
        GaussianMixture().fit(dd.from_pandas(frame, npartitions=3))
    frame.loc[999, "time"] += 10**12
    gm = GaussianMixture().fit(dd.from_pandas(frame, npartitions=3))
    assert_same_fit(gm, GaussianMixture().fit(frame))
    assert len(gm.predict(dd.from_pandas(frame[:9], npartitions=2)).compute()) == 9


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("cluster", ["cluster"], indirect=True)
@pytest.mark.parametrize("cuts", [CUTS["ragged"], [*range(1_000, N_ROWS, 1_000)]], ids=["ragged", "short"])
@pytest.mark.parametrize("n_parts", [1, 4])
def test_workers_merge_the_sums_of_their_partitions(n_parts, cuts, table, cluster, monkeypatch):
    """Check that this process gets the sums of all rows once per pass, for any partitions and workers.

    Large sums are distributed, and arrive in parts.
    """
    whole, path = table
    if n_parts > 1:
        monkeypatch.setattr(traffic, "MAX_MERGE_BYTES", 1)
    gather, n_sums = dask_source.DaskWorkers.gathered, []

    def gathered(self, needed, submit):
        results = gather(self, needed, submit)
        assert not any(isinstance(each, Tree) for each in results)
        n_sums.append(sum(isinstance(each, BlockMoments) for each in results))
        return results

    source = open(array_of(path, cuts))
    assert source.n_rows == N_ROWS
    assert len(source._rows._stored) == 4
    monkeypatch.setattr(dask_source.DaskWorkers, "gathered", gathered)
    monkeypatch.setattr(remote, "FAN_IN", 2)
    monkeypatch.setattr(dask_source.DaskCluster, "_groups", lambda self: {worker: [worker] for worker in (2, 0, 3, 1)})
    assert_same_fit(short_em().fit(source), short_em().fit(whole[:, :N_FEATURES]))
    assert n_sums.count(n_parts) >= 3
    assert max(n_sums) == n_parts
    called = cluster.cluster.scheduler.task_prefixes
    assert ("gaussmix-deal" in called) or n_parts == 1


@pytest.mark.heavy
@pytest.mark.parametrize("cluster", ["cluster"], indirect=True)
def test_persisted_rows_stay_in_memory_while_a_source_uses_them(cluster, rng):
    rows = rng.normal(size=(500, 3))
    gm = short_em().fit(rows)
    chunks = [da.from_array(rows + 0.0, chunks=(200, 3)).persist() for _ in range(2)]
    source, labels = open(chunks[0]), gm.predict(chunks[1])
    chunks.clear()
    sleep(0.3)  # wait until the scheduler has recorded that no other worker holds the chunks
    assert_same_fit(short_em().fit(source), gm)
    assert_same_bits(labels.compute(), gm.predict(rows), "labels")


@pytest.mark.heavy
@pytest.mark.parametrize("cluster", ["cluster"], indirect=True)
@pytest.mark.usefixtures("always_remote")
def test_rows_that_dask_discarded_are_reported(cluster, rng):
    """Check that work is not restarted repeatedly, and that no worker is reported as dead."""
    source = open(da.from_array(rng.normal(size=(100, 2)), chunks=30))
    short_em().fit(source)
    cluster.cancel(source._rows._stored)
    with pytest.raises(RuntimeError, match=r"has discarded rows of the Dask array: .*\. Open the table again, from"):
        short_em().fit(source)


@pytest.fixture
def empty_cluster(request, monkeypatch):
    """Make a cluster without workers, which would be threads, and make fits warn soon."""
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(waiting, "PATIENCE", 0.1)
    settings = {"distributed.scheduler.no-workers-timeout": getattr(request, "param", None)}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=0, threads_per_worker=1, processes=False, dashboard_address=":0", memory_limit=0
        ) as made,
        distributed.Client(made.scheduler_address),
    ):
        yield made


IDLE = r"The Dask cluster at inproc://.* has had no worker for \d+ s, and the work waits for a worker\. Start workers"


def test_a_fit_without_workers_warns_and_resumes_when_a_worker_starts(empty_cluster):
    rows = np.random.default_rng(0).normal(size=(100, 2))

    def start_worker_after_warning():
        while not any("has had no worker" in str(each.message) for each in caught):
            sleep(0.01)
        empty_cluster.scale(1)

    def fitted():
        threading.Thread(target=start_worker_after_warning, daemon=True).start()
        return short_em().fit(da.from_array(rows, chunks=30))

    with pytest.warns(RuntimeWarning, match=IDLE) as caught:
        gm = fitted()
    assert_same_fit(gm, short_em().fit(rows))


def test_max_time_ends_a_wait_for_workers(empty_cluster):
    gm = short_em(max_time=0.5)
    with (
        pytest.warns(RuntimeWarning, match=IDLE),
        pytest.raises(TimeoutError, match=r"has had no worker for \d+ s, and max_time has passed\. Start workers"),
    ):
        gm.fit(da.zeros((50, 2)))
    assert not hasattr(gm, "mixture_")


@pytest.mark.heavy
def test_an_interrupt_ends_a_wait_for_workers_and_leaves_no_tasks(empty_cluster, caplog):
    threading.Timer(0.5, interrupt_main).start()
    with pytest.warns(RuntimeWarning, match=IDLE), pytest.raises(KeyboardInterrupt):
        short_em().fit(da.zeros((50, 2)))
    until = monotonic() + 20
    while empty_cluster.scheduler.tasks and monotonic() < until:
        gc.collect()
        sleep(0.02)
    assert not empty_cluster.scheduler.tasks
    gc.collect()
    assert "never retrieved" not in caplog.text  # errors of tasks that Dask's `gather` leaves behind


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("ended", ["client", "scheduler"])
@pytest.mark.usefixtures("always_remote")
def test_a_closed_cluster_raises_connection_error(ended, empty_cluster):
    empty_cluster.scale(1)
    source = open(da.from_array(np.random.default_rng(0).normal(size=(100, 2)), chunks=30))
    assert source.n_rows == 100
    (distributed.default_client() if ended == "client" else empty_cluster).close()
    with pytest.raises(ConnectionError, match=r"cluster at inproc://.* can't be reached: its scheduler has ended"):
        short_em().fit(source)


@pytest.mark.heavy
@pytest.mark.parametrize("empty_cluster", ["300ms"], indirect=True)
def test_the_timeout_of_dask_ends_a_wait_for_workers(empty_cluster):
    with (
        pytest.warns(RuntimeWarning, match=IDLE),
        pytest.raises(TimeoutError, match=r"has had no worker for 0.3 s, as long as Dask waits\. Start workers"),
    ):
        short_em().fit(da.zeros((50, 2)))


@pytest.mark.heavy
@pytest.mark.usefixtures("always_remote")
def test_a_worker_that_joins_later_with_another_version_is_reported(empty_cluster, monkeypatch):
    ours = metadata.version("gaussmix")
    empty_cluster.scale(1)
    source = open(da.from_array(np.random.default_rng(0).normal(size=(100, 2)), chunks=30))
    expected = short_em().fit(source)

    def version(name):
        return ours if threading.current_thread() is threading.main_thread() else "0.0.1"

    monkeypatch.setattr(metadata, "version", version)
    assert_same_fit(short_em().fit(source), expected)  # the workers' versions are not checked again
    empty_cluster.scale(2)
    distributed.default_client().wait_for_workers(2, timeout=60)
    with pytest.raises(ImportError, match=f"The worker inproc://.* has gaussmix 0.0.1, but this process has {ours}. "):
        short_em().fit(source)


@pytest.mark.heavy
def test_a_partition_that_kills_three_workers_is_reported(tmp_path):
    def read(number):
        if number == 3:
            tempfile.mkstemp(dir=tmp_path)
            os._exit(1)
        return np.full((10, 2), number)

    parts = [da.from_delayed(dask.delayed(read)(number), (10, 2), "f8") for number in range(8)]
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0") as made,
        distributed.Client(made) as client,
    ):
        with pytest.raises(RuntimeError, match=r"repeatedly with partition 3 of the Dask array \(the last was tcp"):
            short_em().fit(da.concatenate(parts))
        client.wait_for_workers(2, timeout=60)  # a cluster cannot be closed while it restarts a worker
    assert len([*tmp_path.iterdir()]) == 3


def kill(process):
    # a worker that was killed at the end of the previous fit is replaced in this one
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


@pytest.mark.heavy
def test_the_death_of_a_worker_does_not_change_the_fit(table, rng, request):
    """Check that a dead worker's data is computed again, and no row counts twice, so that the bits are the same."""
    whole, path = table
    expected = short_em(max_iter=12).fit(whole[:, :N_FEATURES])
    # By default, a cluster gives up a worker that needs 15 s to restart.
    patient = {"distributed.deploy.lost-worker-timeout": "1h"}
    with (
        dask.config.set(patient),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made,
        distributed.Client(made) as client,
    ):
        lazy = array_of(path, [40_000, 80_000, 120_000, 160_000])
        assert_same_fit(short_em(max_iter=12).fit(lazy), expected)
        for _ in range(request.config.getoption("kills")):
            client.wait_for_workers(2, timeout=60)
            victim = [*made.workers.values()][rng.integers(2)].pid
            killer = threading.Timer(rng.random(), kill, [victim])
            killer.start()
            try:
                assert_same_fit(short_em(max_iter=12).fit(lazy), expected)
            finally:
                killer.join()
