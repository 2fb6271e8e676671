"""Rows in Ray give the same bits as in memory, even if workers die."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import tempfile
import threading
from _thread import interrupt_main
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import streamed
from common import LEAF_ROWS, assert_same_bits, assert_same_fit, short_em
from sklearn.base import clone

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureClassifier, GaussianMixtureImputer, GaussianMixtureRegressor, open
from gaussmix._src.sources import waiting
from gaussmix._src.version import package_version
from gaussmix.testing import check_source

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
cluster = pytest.importorskip("gaussmix._src.sources.ray.cluster")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Best performing initialization did not converge"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves files open
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

N_ROWS, N_FEATURES = 3 * LEAF_ROWS + 4_321, 3
NAMES = ["a", "b", "c"]
RAGGED = [17, 17, LEAF_ROWS - 1, LEAF_ROWS + 5, 150_000, 150_001, N_ROWS - 1]


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    """Start Ray with two processors for all tests."""
    folder = tempfile.mkdtemp(prefix="ray")  # a short path, because it is used for sockets
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # with the default niceness 15, workers would hardly get a processor next to other tests
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("GAUSSMIX_TEST_OF", str(os.getpid()))
        ray.init(
            num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error",
            object_store_memory=200_000_000, _temp_dir=folder,
        )  # fmt: skip
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        yield
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def whole():
    return streamed.weighted_clusters(N_ROWS, N_FEATURES)


@pytest.fixture(scope="module")
def ragged(whole):
    """Return references to arrays of the features, of different sizes."""
    return [ray.put(np.ascontiguousarray(rows)) for rows in np.split(whole[:, :-1], RAGGED)]


@pytest.fixture(scope="module")
def frames(whole):
    """Return a data set of tables with names, weights and text."""
    return ray.data.from_arrow([table_of(rows) for rows in np.split(whole, [70_000, 70_001])])


def table_of(whole):
    columns = dict(zip([*NAMES, "weight"], whole.T, strict=True))
    return pa.table(columns | {"name": np.full(len(whole), "x")})


@pytest.mark.parametrize(("structure", "dtype"), [("full", "f8"), ("tied", "f4")])
def test_fit_to_ray_arrays_gives_the_same_bits_as_in_memory(structure, dtype, whole):
    rows = whole[:, :-1].astype(dtype)
    gm = short_em(covariance_type=structure).fit([ray.put(part) for part in np.split(rows, RAGGED)])
    assert_same_fit(gm, short_em(covariance_type=structure).fit(rows))
    assert not hasattr(gm, "feature_names_in_")


def test_fit_to_a_weighted_ray_data_set_gives_the_same_bits_as_in_memory(whole, frames):
    expected = short_em(covariance_type="diag").fit(whole[:, :-1], sample_weight=whole[:, -1])
    with pytest.warns(RuntimeWarning, match="the Ray data set: left out column 'name': it contains text"):
        source = open(frames, weights="weight")
    gm = short_em(covariance_type="diag").fit(source)
    assert_same_fit(gm, expected)
    assert list(gm.feature_names_in_) == NAMES
    for name in "score", "bic":
        assert getattr(gm, name)(source) == getattr(expected, name)(whole[:, :-1], sample_weight=whole[:, -1])


def test_rows_of_a_ray_data_set_keep_their_order(whole, monkeypatch):
    """Check that Ray must keep the order while it computes the data set."""
    preserve_order, compute = [], ray.data.Dataset.to_arrow_refs

    def to_arrow_refs(self):
        preserve_order.append(self.context.execution_options.preserve_order)
        return compute(self)

    monkeypatch.setattr(ray.data.Dataset, "to_arrow_refs", to_arrow_refs)
    lazy = ray.data.from_numpy(np.split(whole[:1000, :-1], [400])).map_batches(lambda batch: batch, batch_size=None)
    source = open(lazy)
    assert_same_bits(np.concatenate([block.rows for block in source.blocks()]), whole[:1000, :-1], "rows")
    assert source.feature_names == ("data[0]", "data[1]", "data[2]")
    assert preserve_order == [True]
    assert not lazy.context.execution_options.preserve_order


def test_data_frames_with_missing_values_and_other_types_are_converted(whole):
    values = pd.DataFrame({"a": np.arange(40) % 7, "b": np.linspace(0, 1, 40, dtype="f4"), "c": np.arange(40) % 3 > 1})
    expected = GaussianMixture(2, random_state=0).fit(values.astype("f8"))
    nullable = values.convert_dtypes()
    parts = [nullable[:15], nullable[15:].reset_index(drop=True)]
    assert_same_fit(GaussianMixture(2, random_state=0).fit([ray.put(part) for part in parts]), expected)
    assert_same_fit(GaussianMixture(2, random_state=0).fit(ray.data.from_pandas([values[:15], values[15:]])), expected)
    nullable.loc[31, "a"] = pd.NA
    with pytest.raises(ValueError, match=r"row 31, column 'a': the value is missing"):
        GaussianMixture(2, missing="error").fit(ray.put(nullable))
    X_nan = np.where(np.random.default_rng(1).random((200, 3)) < 0.1, np.nan, whole[:200, :-1])
    imputer = GaussianMixtureImputer(2, max_iter=2, random_state=0).fit([ray.put(X_nan[:50]), ray.put(X_nan[50:])])
    expected = GaussianMixtureImputer(2, max_iter=2, random_state=0).fit(X_nan)
    assert_same_bits(imputer.mixture_.means, expected.mixture_.means, "means")


@pytest.mark.parametrize("dtype", [">f8", "longdouble"])
def test_arrays_of_types_that_arrow_lacks_are_converted(dtype, whole):
    rows = whole[:1000, :-1]
    assert_same_fit(short_em().fit(ray.put(rows.astype(dtype))), short_em().fit(rows))


def test_masked_values_of_an_array_are_missing(whole):
    rows = np.ma.masked_greater(whole[:1000, :-1], 3)
    assert_same_fit(short_em().fit([ray.put(part) for part in (rows[:400], rows[400:])]), short_em().fit(rows))


def test_the_index_of_a_data_frame_is_not_a_feature(whole):
    frame = pd.DataFrame(whole[:100, :-1], columns=NAMES, index=pd.Index(np.arange(100) ** 2, name="id"))
    gm = short_em().fit([ray.put(frame[:30]), ray.put(frame[30:])])
    assert_same_fit(gm, short_em().fit(frame))
    assert_same_bits(ray.get(gm.predict([ray.put(frame)]))[0], gm.predict(frame), "labels")


def test_ray_source_passes_check_source(monkeypatch, rng):
    monkeypatch.setattr(cluster.RayCluster, "whole", None)  # otherwise small tables are copied to this process

    def make_source(rows, row_weight):
        columns = rows if row_weight is None else np.column_stack([rows, row_weight])
        parts = [ray.put(part) for part in np.split(columns, [7, 1000, 1000])]
        return open(parts, weights=None if row_weight is None else "x3")

    check_source(make_source, rng)


@pytest.mark.parametrize("call", ["merge", "trim", "cv", "labels", "classes"])
def test_calls_that_store_nothing_per_row_give_the_same_bits_as_arrays(call, rng):
    rows = streamed.rows_of(LEAF_ROWS + 9_000, rng)
    tables = [pa.table(dict(zip(streamed.NAMES, part.T, strict=True))) for part in np.split(rows, [9, LEAF_ROWS - 1])]
    frame = ray.data.from_arrow(tables)
    streamed.check_same_bits(call, frame.select_columns(streamed.NAMES[:2]), frame, rows)


@pytest.mark.filterwarnings("ignore:Use .expr. instead of .fn.:UserWarning")
def test_a_filter_may_remove_all_rows_of_a_block(whole):
    parts = np.split(whole[:3_000].copy(), [1_000, 2_000])
    parts[1][:, 0] = -99.0
    chosen = ray.data.from_arrow(list(map(table_of, parts))).select_columns(NAMES).filter(lambda row: row["a"] > -99)
    rows = np.concatenate([parts[0], parts[2]])[:, :-1]
    gm, expected = short_em().fit(chosen), short_em().fit(rows)
    assert_same_fit(gm, expected)
    actual = gm.predict(chosen)
    assert actual.count() == 2_000
    assert actual.columns() == [*NAMES, "result"]
    assert sorted(each["result"] for each in actual.take_all()) == sorted(expected.predict(rows))


@pytest.mark.filterwarnings("ignore:Use .expr. instead of .fn.:UserWarning")
def test_a_filter_that_removes_all_rows_is_reported(whole):
    frame = pd.DataFrame(whole[:100, :-1], columns=NAMES)
    for data in ray.data.from_pandas(frame), ray.data.from_arrow(pa.table(frame)):
        with pytest.raises(ValueError, match=r"^the Ray data set has no rows\."):
            short_em().fit(data.filter(lambda row: row["a"] > 1e9))


def test_bayesian_fit_gives_the_same_bits_as_in_memory(whole, ragged):
    bayesian = gaussmix.BayesianGaussianMixture(6, random_state=0, max_iter=3)
    assert_same_fit(clone(bayesian).fit(ragged), clone(bayesian).fit(whole[:, :-1]))


def test_partial_fit_gives_the_same_bits_as_in_memory(whole, ragged):
    assert_same_fit(short_em().partial_fit(open(ragged)), short_em().partial_fit(whole[:, :-1]))


def test_predictions_give_the_same_bits_as_in_memory(whole, ragged, frames):
    rows, gm = whole[:, :-1], short_em().fit(whole[:20_000, :-1])
    chosen = frames.select_columns(NAMES)
    for name in "predict", "predict_proba", "score_samples":
        expected = getattr(gm, name)(rows)
        assert_same_bits(np.concatenate(ray.get(getattr(gm, name)(ragged))), expected, name)
        actual = getattr(gm, name)(chosen)
        assert actual.columns() == [*NAMES, "result"]
        table = pa.concat_tables(ray.get(actual.to_arrow_refs()))
        column = table["result"].combine_chunks()
        flat = column.flatten() if name == "predict_proba" else column
        order = np.argsort(rows[:, 0])[np.argsort(np.argsort(table["a"].to_numpy()))]  # index in memory of each row
        assert_same_bits(flat.to_numpy().reshape(expected.shape), expected[order], f"{name} of a data set")
    with pytest.raises(ValueError, match="the Ray data set has a column 'result', which predictions would add"):
        gm.predict(open(gm.predict(chosen), columns=NAMES))


def test_classifier_and_regressor_predict_the_same_as_in_memory(whole, ragged):
    rows, settings = whole[:, :-1], {"max_iter": 2, "tol": 0.0, "random_state": 0}
    y = np.where(rows[:, 0] > 0, "up", "down")
    actual = GaussianMixtureClassifier(reject_below=0.01, **settings).fit(ragged, y)
    expected = GaussianMixtureClassifier(reject_below=0.01, **settings).fit(rows, y)
    assert (np.concatenate(ray.get(actual.predict(ragged))) == expected.predict(rows)).all()
    regressor = GaussianMixtureRegressor(2, targets=[2, 0], **settings).fit(ragged)
    quantiles = np.concatenate(ray.get(regressor.predict_quantiles(ragged)))
    np.testing.assert_allclose(
        quantiles, GaussianMixtureRegressor(2, targets=[2, 0], **settings).fit(rows).predict_quantiles(rows), rtol=1e-10
    )


@pytest.mark.parametrize(
    ("row", "column", "value", "sentence"),
    [
        (90_000, 1, np.nan, r"row 90000, column 'x1': the value is missing"),
        (150_000, 0, -np.inf, r"row 150000, column 'x0': the value is infinite"),
        (70_001, 3, -1, r"row 70001, column 'x3': the weight -1 is not"),
    ],
)
def test_fit_reports_the_first_invalid_value(row, column, value, sentence, whole):
    damaged = whole.copy()
    damaged[row, column] = value
    gm = short_em()
    with pytest.raises(ValueError, match=f"the Ray list, {sentence}"):
        gm.fit(open([ray.put(part) for part in np.split(damaged, RAGGED)], weights="x3"))
    assert not hasattr(gm, "mixture_")


def test_predict_reports_the_partition_of_an_invalid_value(whole):
    gm = short_em().fit(whole[:1000, :-1])
    good, bad = gm.predict([ray.put(whole[:10, :-1]), ray.put(np.full((3, 3), np.inf))])
    assert ray.get(good).shape == (10,)
    with pytest.raises(ValueError, match=r"partition 1, row 0 of it, column 'x0': the value is infinite"):
        ray.get(bad)


def test_data_that_is_not_a_numeric_table_is_rejected(whole, frames):
    one, two = ray.put(whole[:10, :3]), ray.put(whole[:10, :2])
    with pytest.raises(
        ValueError, match=r"partition 0 of the Ray list is an array \(10,\) of float64, not of two axes"
    ):
        short_em().fit([ray.put(whole[:10, 0])])
    with pytest.raises(TypeError, match="partition 0 of the Ray list is a dict, not an array, an Arrow table or a"):
        short_em().fit(ray.put({"a": 1}))
    with pytest.raises(ValueError, match="partition 1 of the Ray list has no column 'x2'; it has 'x0', 'x1'"):
        short_em().fit([one, two])
    with pytest.raises(
        ValueError, match="partition 1 of the Ray list is an array of 3 columns, but the first partition has 2"
    ):
        short_em().fit([two, one])
    with pytest.raises(
        ValueError, match="partition 1 of the Ray list has features of float64, but the first partition has f"
    ):
        short_em().fit([ray.put(whole[:10, :3].astype("f4")), one])
    with pytest.raises(ValueError, match="the Ray list has no rows"):
        short_em().fit([ray.put(whole[:0, :3])])
    with pytest.raises(ValueError, match="the Ray data set, column 'name': it contains text, not numbers"):
        open(frames, columns=["a", "name"])


def test_a_partition_that_cannot_be_converted_to_a_table_is_reported():
    rows = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 2.0]})
    for values, sentence in [([1j, 2j], "Unsupported numpy type .* for column b"), ([1.0, "x"], "x.* for column b")]:
        parts = [ray.put(rows), ray.put(rows.assign(b=np.array(values, complex if 1j in values else object)))]
        with pytest.raises(ValueError, match=rf"^partition 1 of the Ray list can't be converted .*: .*{sentence}"):
            short_em().fit(parts)
    with pytest.raises(ValueError, match=r"partition 0 of the Ray list can't be converted .* RecordBatch\.$"):
        short_em().fit(ray.put([[0.0, 1.0], [1.0, 2.0]]))


def test_two_columns_of_the_same_name_are_rejected(rng):
    rows = rng.normal(size=(10, 2))
    frame = pd.DataFrame(rows, columns=["a", "a"])
    with pytest.raises(ValueError, match=r"^partition 0 of the Ray list can't be converted .*: Duplicate column names"):
        short_em().fit([ray.put(frame)])
    vectors = ray.data.from_numpy(rows).add_column("data[1]", lambda part: part["data"][:, 0], batch_format="numpy")
    with pytest.raises(ValueError, match=r"the Ray data set has two columns called 'data\[1\]': rename one"):
        short_em().fit(vectors)


def test_a_partition_that_cannot_be_computed_is_reported():
    @ray.remote
    def read(number):
        if number == 1:
            raise OSError("the disk is gone")
        return np.zeros((5, 2))

    with pytest.raises(OSError, match="the disk is gone") as failed:
        short_em().fit([read.remote(number) for number in range(3)])
    assert failed.value.__notes__ == ["It happened in partition 1 of the Ray list."]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_column_of_nulls_in_one_partition_means_missing_values(dtype):
    rows = pd.DataFrame({"a": np.arange(50) % 7, "b": np.arange(50) % 5}, dtype=dtype).assign(weight=1.0)
    parts = [rows, rows.assign(b=None), rows]
    whole = pd.concat([rows, rows.assign(b=np.nan), rows])[["a", "b"]].astype(dtype)
    names = {"columns": ["a", "b"], "weights": "weight"}
    actual = short_em().fit(open([*map(ray.put, parts)], **names, missing=True))
    assert_same_fit(actual, short_em().fit(whole, sample_weight=np.ones(150)))
    with pytest.raises(ValueError, match="row 50, column 'b': the value is missing"):
        short_em().fit(open([*map(ray.put, parts)], **names))
    parts[1] = rows.assign(weight=None)
    with pytest.raises(ValueError, match="row 50, column 'weight': the weight is missing"):
        short_em().fit(open([*map(ray.put, parts)], **names))


def test_column_types_do_not_depend_on_nulls_in_the_first_partition():
    """Check that the type of a column is inferred from all partitions."""
    rows = pd.DataFrame({"a": np.arange(50.0) % 7, "b": np.arange(50.0) % 5, "c": ["x"] * 50})
    parts = [rows.assign(b=None, c=None), rows, rows]
    expected = short_em().fit(pd.concat([rows.assign(b=np.nan), rows, rows])[["a", "b"]])
    for data in ray.data.from_pandas(parts), [*map(ray.put, parts)]:
        with pytest.warns(RuntimeWarning, match="left out column 'c': it contains text"):
            assert_same_fit(short_em().fit(data), expected)
    with pytest.warns(RuntimeWarning, match="left out column 'b': it is empty"):
        assert short_em().fit([ray.put(part.assign(b=None)[["a", "b"]]) for part in parts]).n_features_in_ == 1


def test_integers_that_become_equal_as_doubles_are_rejected_in_every_partition():
    integers = pd.DataFrame({"a": np.arange(50) % 7, "b": 2**60 + np.arange(50)})
    parts = [integers.astype(float), integers]
    for data in ray.data.from_pandas(parts), [*map(ray.put, parts)]:
        with pytest.raises(ValueError, match="Input X, column 'b', contains integers"):
            short_em().fit(data)
    expected = short_em().fit(pd.concat([integers[["a"]].astype(float)] * 2))
    assert_same_fit(short_em().fit([ray.put(part[["a"]]) for part in parts]), expected)


def test_empty_partitions_before_the_first_row_are_ignored(whole):
    """Check partitions without rows, whose columns may have no types."""
    rows = pd.DataFrame(whole[:100, :3], columns=NAMES)
    expected = short_em().fit(rows)
    empty = pd.DataFrame({name: [] for name in NAMES}, dtype=object)
    assert_same_fit(short_em().fit([ray.put(empty), ray.put(empty), ray.put(rows)]), expected)
    many = ray.data.range(3, override_num_blocks=3)
    data = many.map_batches(lambda part: rows if part["id"][0] == 2 else empty, batch_format="pandas", batch_size=None)
    assert_same_fit(short_em().fit(data), expected)


def test_guide_code_for_ray_runs(tmp_path):
    rows = np.random.default_rng(0).normal(size=(5_000, 3)) + 4 * np.random.default_rng(1).integers(3, size=(5_000, 1))
    for part in range(2):
        columns = dict(zip("xyz", rows[part::2].T, strict=True)) | {"count": np.full(2_500, 2)}
        pq.write_table(pa.table(columns), tmp_path / f"{part}.parquet")
    page = Path(__file__).parents[2] / "docs" / "guide" / "clusters.md"
    (code,) = re.findall(r"^## Ray$.*?^```py\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    namespace = {}
    exec(compile(code.replace('"rows/"', repr(str(tmp_path))), str(page), "exec"), namespace)
    assert namespace["labelled"].columns() == ["x", "y", "z", "count", "label"]
    assert sum(len(each) for each in ray.get(namespace["labels"])) == 5 * 30_000
    ordered = np.concatenate([rows[::2], rows[1::2]])
    expected = GaussianMixture(3, random_state=0).fit(ordered, sample_weight=np.full(len(rows), 2.0))
    assert_same_fit(namespace["gm"], expected)
    labels = np.sort(namespace["labelled"].to_pandas()["label"])
    assert_same_bits(labels, np.sort(expected.predict(ordered)), "labels")


def test_workers_with_another_version_of_gaussmix_are_reported(monkeypatch, whole):
    monkeypatch.setattr(cluster, "package_version", lambda: "0.0.2")
    theirs = re.escape(package_version())
    with pytest.raises(
        ImportError, match=rf"The Ray worker on .* has gaussmix {theirs}, but your program has 0.0.2. Install"
    ):
        short_em().fit([ray.put(whole[:100, :-1])])


@pytest.fixture
def busy_cluster(monkeypatch):
    """Occupy all processors by other work, and make fits warn soon."""
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(waiting, "PATIENCE", 0.1)

    class Other:
        def begin(self):
            return True

    other = ray.remote(num_cpus=2)(Other).remote()
    ray.get(other.begin.remote())
    yield other
    ray.kill(other)


IDLE = r"The Ray cluster at .* has had no worker for \d+ s, and the work waits for a worker\. Add nodes, or see by"


def test_a_fit_without_workers_warns_and_resumes_when_a_worker_starts(busy_cluster, whole):
    parts = [ray.put(rows) for rows in np.split(whole[:100, :-1], [30])]
    threading.Timer(0.5, ray.kill, [busy_cluster]).start()
    with pytest.warns(RuntimeWarning, match=IDLE):
        gm = short_em().fit(parts)
    assert_same_fit(gm, short_em().fit(whole[:100, :-1]))


def test_max_time_ends_a_wait_for_workers(busy_cluster, whole):
    gm = short_em(max_time=0.5)
    with (
        pytest.warns(RuntimeWarning, match=IDLE),
        pytest.raises(TimeoutError, match=r"has had no worker for \d+ s, and max_time has passed\. Add nodes"),
    ):
        gm.fit([ray.put(whole[:100, :-1])])
    assert not hasattr(gm, "mixture_")


def test_an_interrupt_ends_a_wait_for_workers(busy_cluster, whole):
    threading.Timer(0.5, interrupt_main).start()
    with pytest.warns(RuntimeWarning, match=IDLE), pytest.raises(KeyboardInterrupt):
        short_em().fit([ray.put(whole[:100, :-1])])


def test_a_partition_that_kills_three_workers_is_reported(tmp_path):
    """Check that the fit ends after three workers have died."""

    @ray.remote(max_retries=0)
    def read(number):
        return DeadlyArray() if number == 3 else np.full((10, 2), number, float)

    class DeadlyArray:
        def __reduce__(self):
            return die, (str(tmp_path),)

    def die(folder):
        with tempfile.NamedTemporaryFile(dir=folder, delete=False):
            os._exit(1)

    with pytest.raises(RuntimeError, match=r"died repeatedly with partition 3 of the Ray list\. Usually the cause"):
        short_em().fit([read.remote(number) for number in range(5)])
    assert len([*tmp_path.iterdir()]) == 3


def workers():
    """Return the process ids of the actors that fit in these tests."""
    pids, mark = [], f"GAUSSMIX_TEST_OF={os.getpid()}".encode()
    for number in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            is_actor = Path(f"/proc/{number}/cmdline").read_bytes().startswith(b"ray::GaussmixWorker")
            if is_actor and mark in Path(f"/proc/{number}/environ").read_bytes().split(b"\0"):
                pids.append(int(number))
    return pids


def test_the_death_of_a_worker_does_not_change_the_fit(whole, ragged, rng, request):
    """Check that the work of a dead worker is repeated, and that no row counts twice."""
    expected = short_em(max_iter=60).fit(whole[:, :-1])
    source = open(ragged)
    for _ in range(request.config.getoption("kills")):
        assert source.n_rows == N_ROWS

        def kill():
            until = monotonic() + 10
            while not (victims := workers()) and monotonic() < until:
                sleep(0.02)
            sleep(rng.random() / 2)
            for victim in victims:
                with suppress(ProcessLookupError):  # the fit may have ended already
                    os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            assert_same_fit(short_em(max_iter=60).fit(source), expected)
        finally:
            killer.join()


@pytest.fixture
def no_collection():
    """Disable garbage collection, so that actors end only if nothing refers to them."""
    gc.collect()  # frees garbage of other tests
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("n_deaths", [0, 1])
def test_actors_end_with_their_source(n_deaths, ragged):
    """Check that actors also end after the error of an actor that died."""
    source = open(ragged)
    short_em().fit(source)
    for _ in range(n_deaths):
        for victim in workers():
            os.kill(victim, signal.SIGKILL)
        short_em().fit(source)
    assert workers()
    del source
    until = monotonic() + 20
    while workers() and monotonic() < until:
        sleep(0.05)
    assert not workers()
