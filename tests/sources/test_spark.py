"""Rows in Spark give the same bits as in memory, even if Python workers die."""

from __future__ import annotations

import gc
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone

import gaussmix
from gaussmix import BayesianGaussianMixture, GaussianMixture, GaussianMixtureClassifier, GaussianMixtureImputer
from gaussmix._src.interfaces.leaves import LEAF_ROWS, Tree
from gaussmix._src.sources import traffic, waiting
from gaussmix._src.sources.opening import open
from gaussmix._src.testing.closeness import assert_same_bits
from gaussmix._src.version import package_version
from gaussmix.testing import check_source

pytest.importorskip("pyspark")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java", allow_module_level=True)

from pyspark.errors import PythonException
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import SparkSession, functions
from pyspark.sql.types import ArrayType, DoubleType, StructField, StructType

spark_source = pytest.importorskip("gaussmix._src.sources.spark.cluster")
jobs = spark_source.jobs

pytestmark = [
    pytest.mark.filterwarnings("ignore:Best performing initialization did not converge"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Py4J leaves sockets open
]

N_ROWS, N_FEATURES = 3 * LEAF_ROWS + 4_321, 3
NAMES = ["a", "b", "c"]
RAGGED = [17, 17, LEAF_ROWS + 5, 150_000, 150_001]
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.driver.maxResultSize": "32m",
    "spark.log.level": "OFF",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "false",  # compiling takes longer than it saves here
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.files.maxPartitionBytes": "1000000",  # splits files, so that partitions have several sizes
}


def assert_same_fit(actual, expected):
    # imported here, because Spark's workers import this module without its neighbours
    from common import assert_same_fit

    assert_same_fit(actual, expected)


@pytest.fixture(scope="module")
def spark():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        builder = SparkSession.builder.master("local[2,4]")  # a failing task is tried four times
        for name, value in SETTINGS.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        yield session
        session.stop()


@pytest.fixture(scope="module")
def whole():
    """Return rows of overlapping clusters, with one distant row and with weights in the last column."""
    rng = np.random.default_rng(12)
    centres = 3 * rng.normal(size=(4, N_FEATURES))
    rows = centres[rng.integers(4, size=N_ROWS)] + rng.normal(size=(N_ROWS, N_FEATURES))
    rows[70_000] = 1e9
    return np.column_stack([rows, rng.integers(0, 5, size=N_ROWS)])


@pytest.fixture(scope="module")
def folder(whole, tmp_path_factory):
    """Write the same rows to Parquet files of several sizes."""
    return written(whole, tmp_path_factory.mktemp("a b") / "rows.parquet")


def written(whole, folder, dtype="f8"):
    folder.mkdir()
    for number, (first, end) in enumerate(pairwise([0, 5, 90_000, N_ROWS])):
        columns = {name: whole[first:end, index].astype(dtype) for index, name in enumerate(NAMES)}
        columns |= {"weight": whole[first:end, -1], "name": np.full(end - first, "x")}
        pq.write_table(pa.table(columns), folder / f"part {number}.parquet", row_group_size=20_000)
    return str(folder)


@pytest.fixture(scope="module")
def ragged(spark, whole, tmp_path_factory):
    """Return a frame that does not come from files, with partitions of different sizes, including empty ones."""
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(path, whole)
    return frame_of(spark, path, RAGGED)


def frame_of(spark, path, ends):
    cuts = [*pairwise([0, *ends, N_ROWS])]

    def read(batches):
        for batch in batches:
            for number in batch.column(0).to_pylist():
                rows = np.load(path, mmap_mode="r")[slice(*cuts[number])]
                yield pa.RecordBatch.from_arrays([pa.array(column) for column in rows.T], [*"abc", "weight"])

    return spark.range(0, len(cuts), 1, len(cuts)).mapInArrow(read, "a double, b double, c double, weight double")


def short_em(**parameters):
    return GaussianMixture(4, **{"random_state": 0, "max_iter": 3, "tol": 0.0} | parameters)


def test_fit_rejects_a_spark_column(spark):
    with pytest.raises(TypeError, match=r"Input X is a pyspark\..*\.Column, not a table\. See help\(gaussmix\.open\)"):
        short_em().fit(spark.range(9)["id"])


def test_a_frame_of_a_stopped_session_is_rejected(spark, monkeypatch):
    frame = spark.range(9)
    monkeypatch.setattr(spark.sparkContext, "_jsc", None)  # as after `spark.stop()`
    with pytest.raises(RuntimeError, match=r"The Spark session of X was stopped\. Start a session"):
        short_em().fit(frame)


@pytest.mark.parametrize(("structure", "dtype"), [("full", "f8"), pytest.param("tied", "f4", marks=pytest.mark.heavy)])
def test_fit_to_parquet_files_gives_the_same_bits_as_in_memory(structure, dtype, whole, spark, tmp_path):
    rows = whole[:, :-1].astype(dtype)
    frame = spark.read.parquet(written(whole, tmp_path / "rows", dtype)).select(NAMES)
    gm = short_em(covariance_type=structure).fit(frame)
    assert_same_fit(gm, short_em(covariance_type=structure).fit(rows))
    assert list(gm.feature_names_in_) == NAMES


def test_rows_of_parquet_files_are_in_the_order_of_the_files(whole, spark, folder, monkeypatch):
    """Check the order of the files, although Spark reads them in another order, and if a filter removes rows."""
    # Capturing the output of `explain` would also capture what other threads print.
    monkeypatch.setattr(type(spark.range(1)), "explain", None)
    source = open(spark.read.parquet(folder).where("a > 0").select("a", functions.col("b").alias("z.z")))
    expected = whole[whole[:, 0] > 0, :2]
    assert_same_bits(np.concatenate([block.rows for block in source.blocks()]), expected, "rows")
    assert source.feature_names == ("a", "z.z")


@pytest.mark.heavy
def test_files_of_a_delta_table_are_read_in_the_order_of_their_paths(whole, spark, tmp_path):
    """Check files of the latest version, read without Delta's own library, which no Python package index has."""
    deltalake = pytest.importorskip("deltalake")
    for mode, first, end in (("append", 0, 50), ("overwrite", 0, 90_000), ("append", 90_000, N_ROWS)):
        part = pa.table({name: whole[first:end, index] for index, name in enumerate(NAMES)})
        deltalake.write_deltalake(str(tmp_path), part, mode=mode)
    paths = deltalake.DeltaTable(str(tmp_path)).file_uris()
    assert len(paths) < len(list(tmp_path.glob("*.parquet")))
    expected = pa.concat_tables([pq.read_table(path.removeprefix("file://")) for path in sorted(paths)])
    assert expected.num_rows == N_ROWS
    for some in paths, paths[::-1]:
        source = open(spark.read.parquet(*some))
        rows = np.concatenate([block.rows for block in source.blocks()])
        assert_same_bits(rows, np.column_stack(expected.columns), "rows")


def test_truncated_em_gives_the_same_bits_and_removes_old_candidates(whole, spark, ragged):
    """Check that truncated EM has the same bits, whichever workers run the tasks, and that old candidates are removed.

    The estimated gap has the same bits.
    """
    gc.collect()
    before, source = set(folders(spark)), open(ragged.select(NAMES).where("a < 1e8"))
    gm = GaussianMixture(20, posterior=3, max_iter=8, tol=0, random_state=0)
    expected = clone(gm).fit(whole[whole[:, 0] < 1e8, :-1])
    for n_fits in 1, 2:
        assert_same_fit(gm.fit(source), expected)
        assert gm.outcome_ == expected.outcome_
        (mine,) = set(folders(spark)) - before
        assert len([*mine.iterdir()]) == source._rows._layout.n_partitions * (1 + 2 * n_fits)


def test_fit_to_uneven_weighted_partitions_gives_the_same_bits_as_in_memory(whole, ragged):
    expected = short_em(covariance_type="diag").fit(whole[:, :-1], sample_weight=whole[:, -1])
    with pytest.warns(RuntimeWarning, match="the Spark frame: left out column 'name'"):
        source = open(ragged.withColumn("name", functions.lit("x")), weights="weight")
    gm = short_em(covariance_type="diag").fit(source)
    assert_same_fit(gm, expected)
    for name in "score", "bic":
        assert getattr(gm, name)(source) == getattr(expected, name)(whole[:, :-1], sample_weight=whole[:, -1])


def test_spark_source_passes_check_source(spark, monkeypatch, rng):
    monkeypatch.setattr(spark_source.SparkCluster, "whole", None)  # otherwise small tables are copied to this process

    def make_source(rows, row_weight):
        columns = rows if row_weight is None else np.column_stack([rows, row_weight])
        table = pa.table({f"x{index}": column for index, column in enumerate(columns.T)})
        return open(spark.createDataFrame(table), weights=None if row_weight is None else "x3")

    check_source(make_source, rng)


def are_chosen(block, chosen):
    return chosen[block.row_slice]


def test_bayesian_fit_gives_the_same_bits_as_in_memory(whole, ragged):
    bayesian = BayesianGaussianMixture(6, random_state=0, max_iter=3)
    expected = clone(bayesian).fit(whole[:, :-1], sample_weight=whole[:, -1])
    source = open(ragged, weights="weight")
    actual = clone(bayesian).fit(source)
    assert_same_fit(actual, expected)
    assert actual.score(source) == expected.score(whole[:, :-1], sample_weight=whole[:, -1])


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("call", ["trim", "cv", "labels", "classes"])
def test_calls_that_store_nothing_per_row_give_the_same_bits_as_arrays(call, spark, tmp_path, rng):
    import streamed  # imported here, because Spark's workers import this module without its neighbours

    rows = streamed.rows_of(LEAF_ROWS + 9_000, rng)
    pq.write_table(pa.table(dict(zip(streamed.NAMES, rows.T, strict=True))), tmp_path / "rows.parquet")
    frame = spark.read.parquet(str(tmp_path / "rows.parquet"))
    streamed.check_same_bits(call, frame.select(streamed.NAMES[:2]), frame, rows)


def test_predictions_are_spark_columns_with_the_same_bits_as_in_memory(whole, spark, folder):
    frame, gm = spark.read.parquet(folder).select(NAMES), short_em().fit(whole[:20_000, :-1])
    names = "predict", "predict_proba", "score_samples"
    actual = frame.select("a", *(getattr(gm, name)(frame).alias(name) for name in names)).toArrow()
    order = np.argsort(whole[:, 0])
    assert_same_bits(np.sort(actual["a"].to_numpy()), whole[order, 0], "rows")
    back = np.empty(N_ROWS, dtype=np.intp)  # index in memory of each row of `actual`
    back[np.argsort(actual["a"].to_numpy())] = order
    for name in names:
        column = actual[name].combine_chunks()
        flat = column.flatten() if name == "predict_proba" else column
        expected = getattr(gm, name)(whole[:, :-1])
        assert_same_bits(flat.to_numpy().reshape(expected.shape), expected[back], name)
    single = frame.select([functions.col(name).cast("float") for name in NAMES])
    schema = single.select(gm.predict(single).alias("label"), gm.predict_proba(single).alias("p")).schema
    assert schema.simpleString() == "struct<label:bigint,p:array<float>>"


@pytest.mark.heavy
def test_classifier_and_regressor_predict_spark_columns(whole, spark, folder):
    frame, rows, settings = spark.read.parquet(folder).select(NAMES), whole[:, :-1], {"max_iter": 2, "random_state": 0}
    table, y = pd.DataFrame(rows, columns=NAMES), np.where(rows[:, 0] > 0, "up", "down")
    classifier = GaussianMixtureClassifier(reject_below=0.001, **settings).fit(frame, y)
    expected = GaussianMixtureClassifier(reject_below=0.001, **settings).fit(table, y)
    assert_same_bits(classifier.mixture_.means, expected.mixture_.means, "means")
    regressor = gaussmix.GaussianMixtureRegressor(2, targets=["c", "b"], **settings).fit(table)
    columns = {"label": classifier.predict(frame), "cb": regressor.predict(frame)}
    columns["q"] = regressor.predict_quantiles(frame, [0.1, 0.5])
    chosen = frame.where("a > 6").select("a", *(column.alias(name) for name, column in columns.items()))
    actual = chosen.toArrow()
    taken = pd.DataFrame({"a": rows[:, 0], "row": np.arange(N_ROWS)}).set_index("a")["row"][actual["a"].to_numpy()]
    some = table.iloc[taken.to_numpy()]
    assert actual["label"].to_pylist() == expected.predict(some).tolist()
    np.testing.assert_allclose(actual["cb"].to_pylist(), regressor.predict(some), rtol=1e-9)
    np.testing.assert_allclose(actual["q"].to_pylist(), regressor.predict_quantiles(some, [0.1, 0.5]), rtol=1e-9)


def test_imputer_returns_a_spark_column_of_filled_values(whole, spark, folder):
    rows = whole[whole[:, 0] < 1e8, :-1]  # the distant row would make a covariance nearly singular
    frame = spark.read.parquet(folder).select(NAMES).where("a < 1e8")
    X_nan = frame.withColumn("b", functions.expr("IF(a > 4, NULL, b)"))
    missing = np.where((rows[:, :1] > 4) & [False, True, False], np.nan, rows)
    imputer = GaussianMixtureImputer(max_iter=2, random_state=0).fit(X_nan)
    expected = GaussianMixtureImputer(max_iter=2, random_state=0).fit(missing)
    assert_same_bits(imputer.mixture_.means, expected.mixture_.means, "means")
    actual = X_nan.where("a > 4").select("a", imputer.transform(X_nan).alias("filled")).toArrow()
    filled, order = np.array(actual["filled"].to_pylist()), np.argsort(actual["a"].to_numpy())
    some = missing[rows[:, 0] > 4]
    np.testing.assert_allclose(filled[order], expected.transform(some)[np.argsort(some[:, 0])], rtol=1e-9)


@pytest.mark.parametrize(
    ("row", "column", "value", "sentence"),
    [
        (90_000, "b", "NULL", r"row 90000, column 'b': the value is missing"),
        (150_000, "a", "double('-inf')", r"row 150000, column 'a': the value is infinite"),
        (70_001, "weight", "-1.0", r"row 70001, column 'weight': the weight -1 is not"),
    ],
)
def test_fit_reports_the_first_invalid_value(row, column, value, sentence, spark, folder, whole):
    frame = spark.read.parquet(folder).drop("name")
    damaged = functions.expr(f"IF(a = {float(whole[row, 0])!r}D, {value}, {column})")
    gm = short_em()
    with pytest.raises(ValueError, match=f"the Spark frame, {sentence}"):
        gm.fit(open(frame.withColumn(column, damaged), weights="weight"))
    assert not hasattr(gm, "mixture_")


def test_predict_reports_an_invalid_value(spark, whole):
    gm = short_em().fit(whole[:1000, :-1])
    frame = spark.createDataFrame([(1.0, 2.0, 3.0), (1.0, float("inf"), 3.0)], NAMES)
    with pytest.raises(Exception, match="the Spark frame, one of its rows, column 'b': the value is infinite"):
        frame.select(gm.predict(frame)).toArrow()


def test_data_that_is_not_a_numeric_table_is_rejected(spark, whole):
    frame = spark.createDataFrame([(1.0, "x", 2**62), (2.0, "y", 2**62 + 1)], ["a", "text", "long"])
    with pytest.raises(ValueError, match="column 'text': it contains text, not numbers"):
        open(frame, columns=["a", "text"])
    with pytest.raises(ValueError, match="the Spark frame has no rows"):
        short_em().fit(frame.select("a").limit(0))
    with pytest.raises(ValueError, match=r"column 'long'.* contains integers"):
        short_em().fit(frame.select("long").coalesce(1))
    gm = short_em().fit(whole[:1000, :-1])
    with pytest.raises(ValueError, match="X has 1 features, but GaussianMixture is expecting 3"):
        gm.predict(frame.select("a"))


def folders(spark):
    """Return the folders in which this session stores rows."""
    table = spark.range(1).mapInArrow(lambda batches: map(_local_dirs, batches), "place string").toArrow()
    return [*Path(table["place"][0].as_py()).glob("gaussmix-*")]


def _local_dirs(batch):
    return pa.RecordBatch.from_arrays([pa.array([os.environ["SPARK_LOCAL_DIRS"]])], ["place"])


@pytest.mark.heavy
def test_lost_files_are_written_again_and_deleted_with_the_source(whole, spark, ragged):
    gc.collect()
    before = set(folders(spark))
    source = open(ragged.select(NAMES))
    assert source.row_totals.n_rows == N_ROWS
    (mine,) = set(folders(spark)) - before
    files = sorted(mine.iterdir())
    for file in files[::2]:
        file.unlink()
    assert_same_fit(short_em().fit(source), short_em().fit(whole[:, :-1]))
    assert sorted(mine.iterdir()) == files
    del source
    gc.collect()
    assert becomes_true(lambda: not mine.exists())


def becomes_true(condition):
    until = monotonic() + 60
    while not condition() and monotonic() < until:
        sleep(0.1)
    return condition()


@pytest.mark.parametrize("n_parts", [1, pytest.param(4, marks=pytest.mark.heavy)])
def test_executors_merge_the_sums_of_their_partitions(n_parts, whole, spark, ragged, monkeypatch):
    """Check that this process gets one tree, even if a task has several partitions and some files are lost.

    If sums are large, it gets one tree for each part of the components.
    """
    monkeypatch.setattr(traffic, "MAX_MERGE_BYTES", traffic.MAX_MERGE_BYTES if n_parts == 1 else 1)
    for name in "MAX_TASKS", "MAX_TREES":
        monkeypatch.setattr(spark_source, name, 1)
    answers, n_trees, lost = spark_source.SparkCluster._answers, [], []

    def counted(self, frame):
        parts = answers(self, frame)
        if (0, 3) in parts and not lost:  # a part of a partition, as happens if files are lost between tasks of a job
            lost.append(parts.pop((0, 3)))
        n_trees.append(sum(isinstance(pickle.loads(each), Tree) for each in parts.values() if each))
        return parts

    gc.collect()
    before = set(folders(spark))
    source = open(ragged.select(NAMES))
    assert source.row_totals.n_rows == N_ROWS
    layout = source._rows._layout
    assert (layout.n_partitions, layout.n_per_task, layout.n_tasks) == (4, 2, 2)
    (mine,) = set(folders(spark)) - before
    sorted(mine.iterdir())[1].unlink()
    assert [block.first_row for block in source.blocks()] == [leaf * LEAF_ROWS for leaf in range(4)]
    sorted(mine.iterdir())[2].unlink()
    monkeypatch.setattr(spark_source.SparkCluster, "_answers", counted)
    assert_same_fit(short_em().fit(source), short_em().fit(whole[:, :-1]))
    assert n_trees.count(n_parts) > 3
    assert max(n_trees) == n_parts


def test_partial_fit_reads_one_block_of_rows_at_a_time(whole, spark, ragged):
    """Check that lost files do not change the bits, and that this process never has all rows."""
    gc.collect()
    before = set(folders(spark))
    source = open(ragged, weights="weight")
    expected = short_em().partial_fit(whole[:, :-1], sample_weight=whole[:, -1])
    assert_same_fit(short_em().partial_fit(source), expected)
    (mine,) = set(folders(spark)) - before
    sorted(mine.iterdir())[1].unlink()
    sizes = [block.n_rows for block in source.blocks()]
    assert (sum(sizes), max(sizes)) == (N_ROWS, LEAF_ROWS)
    assert_same_fit(short_em().partial_fit(source), expected)


@pytest.mark.heavy
def test_a_data_frame_that_differs_when_it_is_computed_again_is_rejected(spark, whole, tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, whole)
    before = set(folders(spark))
    source = open(frame_of(spark, path, RAGGED).select(NAMES))
    assert source.row_totals.n_rows == N_ROWS
    (mine,) = set(folders(spark)) - before
    source._rows._pieces.unpersist(blocking=True)
    raises = partial(pytest.raises, OSError, match="the Spark frame no longer has the rows that were first computed")
    chosen = np.arange(N_ROWS) % 2 == 0
    for other in whole[::-1], whole[:150_000]:  # in the second table, partitions have fewer rows or none
        np.save(path, other)
        for file in mine.iterdir():
            file.unlink()
        for _ in range(2):  # the second fit raises the same error
            with raises():
                short_em().fit(source)
        with raises():
            source.part(partial(are_chosen, chosen=chosen), int(chosen.sum()))
    np.save(path, whole)
    assert_same_bits(np.concatenate([block.rows for block in source.blocks()]), whole[:, :-1], "rows")
    np.save(path, whole[::-1])
    source._rows._stored.unpersist(blocking=True)
    with raises():
        short_em().fit(source)
    path.unlink()  # the executors' files are deleted without computing them again
    del source
    gc.collect()
    assert becomes_true(lambda: not mine.exists())


@pytest.mark.heavy
def test_the_death_of_a_python_worker_does_not_change_the_fit(whole, spark, ragged, rng, request):
    expected, source = short_em(max_iter=5).fit(whole[:, :-1]), open(ragged.select(NAMES))
    for _ in range(min(2, request.config.getoption("kills"))):
        pids = spark.range(0, 4, 1, 4).mapInArrow(lambda batches: map(_pid, batches), "pid long").toArrow()["pid"]
        victim = int(rng.choice(pids.to_numpy()))
        killer = threading.Timer(2 * rng.random(), os.kill, [victim, signal.SIGKILL])
        killer.start()
        try:
            assert_same_fit(short_em(max_iter=5).fit(source), expected)
        finally:
            killer.join()


def test_a_partition_that_kills_its_workers_is_reported(spark):
    def read(batches):
        for batch in batches:
            if batch.column(0).to_pylist() == [3]:
                os._exit(1)
            yield pa.RecordBatch.from_arrays([batch.column(0).cast(pa.float64())], ["a"])

    frame = spark.range(0, 5, 1, 5).mapInArrow(read, "a double")
    with pytest.raises(RuntimeError, match=r"Partition 3 of a Spark job killed its worker 4 times, the limit that"):
        short_em().fit(frame)


def _pid(batch):
    sleep(0.1)  # waits so that each worker gets some tasks
    return pa.RecordBatch.from_arrays([pa.array([os.getpid()])], ["pid"])


def test_spark_estimator_works_in_a_pipeline_and_can_be_saved(whole, spark, tmp_path):
    from pyspark.ml import Pipeline, PipelineModel
    from pyspark.ml.feature import VectorAssembler

    from gaussmix.spark import GaussianMixture as SparkMixture

    table = whole[:5000]
    frame = spark.createDataFrame(pa.table(dict(zip([*NAMES, "weight"], table.T, strict=True)))).coalesce(1)
    settings = {"k": 3, "covarianceType": "VVI", "weightCol": "weight", "maxIter": 5, "logDensityCol": "log p(x)"}
    stages = [VectorAssembler(inputCols=NAMES, outputCol="features"), SparkMixture(**settings)]
    Pipeline(stages=stages).write().overwrite().save(str(tmp_path / "pipeline"))
    model = Pipeline.load(str(tmp_path / "pipeline")).fit(frame)
    model.save(str(tmp_path / "model"))
    rows, weight = table[:, :-1], table[:, -1]
    expected = GaussianMixture(3, covariance_type="VVI", max_iter=5, random_state=0).fit(rows, sample_weight=weight)
    for each in model, PipelineModel.load(str(tmp_path / "model")):
        assert_same_fit(each.stages[1].estimator, expected)
        actual = each.transform(frame).toPandas()
        assert list(actual) == [*NAMES, "weight", "features", "prediction", "probability", "log p(x)"]
        assert (actual["prediction"].dtype, actual["weight"].tolist()) == (np.int32, weight.tolist())
        assert_same_bits(actual["prediction"].to_numpy().astype(np.int64), expected.predict(rows), "labels")
        proba = np.array([vector.toArray() for vector in actual["probability"]])
        assert_same_bits(proba, expected.predict_proba(rows), "responsibilities")
        assert_same_bits(actual["log p(x)"].to_numpy(), expected.score_samples(rows), "log densities")


def test_a_column_of_vectors_is_rejected_with_a_hint_to_the_spark_estimator(spark):
    frame = spark.createDataFrame([(1.0, Vectors.dense([1.0, 2.0]))], ["a", "features"])
    advice = r"it contains vectors; use gaussmix\.spark\.GaussianMixture for vectors, or pass the original columns\.$"
    with pytest.raises(ValueError, match=rf"^the Spark frame, column 'features': {advice}"):
        open(frame.select("features"))
    with pytest.warns(RuntimeWarning, match=rf"left out column 'features': {advice}"):
        assert open(frame).n_features == 1


def test_columns_of_times_are_excluded_with_a_warning(spark):
    times = "current_timestamp() AS t", "make_interval(1) AS i", "array(current_timestamp()) AS many"
    frame = spark.range(9).selectExpr("double(id) AS a", *times)
    with pytest.warns(RuntimeWarning, match="left out") as caught:
        assert open(frame).feature_names == ("a",)
    kinds = [re.search(r"left out column '(.*)': it contains (.*?)[,;]", str(each.message)).groups() for each in caught]
    assert kinds == [("t", "dates"), ("i", "dates"), ("many", "array<timestamp>")]
    assert GaussianMixture(1).fit(open(frame, columns=["a"])).n_features_in_ == 1


def test_vectors_of_different_sizes_are_rejected(spark):
    from gaussmix.spark import GaussianMixture as SparkMixture

    frame = spark.createDataFrame([([1.0, 2.0],), ([3.0],)], ["features"]).coalesce(1)
    with pytest.raises(Exception, match="features: a row does not have 2 numbers"):
        SparkMixture(k=1).fit(frame)
    with pytest.raises(ValueError, match="The Spark data frame has no row"):
        SparkMixture().fit(frame.limit(0))


@pytest.mark.parametrize("kind", [ArrayType(DoubleType()), VectorUDT()])
def test_a_row_without_a_vector_is_reported(kind, spark):
    from gaussmix.spark import GaussianMixture as SparkMixture

    numbers = [1.0, 2.0] if isinstance(kind, ArrayType) else Vectors.dense([1.0, 2.0])
    schema = StructType([StructField("features", kind)])
    frame = spark.createDataFrame([(None,), (numbers,)], schema).coalesce(1)
    with pytest.raises(ValueError, match=r"row 0, column 'features\[0\]': the value is missing"):
        SparkMixture(k=1).fit(frame)
    with pytest.raises(ValueError, match="The Spark data frame has no row with a feature vector in column 'features'"):
        SparkMixture(k=1).fit(frame.where("features IS NULL"))


def test_column_names_may_contain_dots(spark, rng):
    from gaussmix.spark import GaussianMixture as SparkMixture

    rows, weight = rng.normal(size=(50, 2)), rng.integers(1, 4, size=50).astype(float)
    table = list(zip(rows.tolist(), weight.tolist(), strict=True))
    frame = spark.createDataFrame(table, "`f.x` array<double>, `w.t` double").coalesce(1)
    settings = {"featuresCol": "f.x", "weightCol": "w.t", "predictionCol": "p.q", "probabilityCol": "p.r"}
    model = SparkMixture(k=2, **settings).fit(frame)
    expected = GaussianMixture(2, random_state=0).fit(rows, sample_weight=weight)
    assert_same_bits(model.estimator.means_, expected.means_, "means")
    actual = model.transform(frame).toPandas()
    assert list(actual) == ["f.x", "w.t", "p.q", "p.r"]
    assert actual["p.q"].tolist() == expected.predict(rows).tolist()


@pytest.mark.heavy
def test_guide_code_for_spark_runs(whole, spark):
    frame = spark.createDataFrame(pa.table(dict(zip(["x", "y", "z", "count"], whole[:2000].T, strict=True)))).coalesce(
        1
    )
    page = Path(__file__).parents[2] / "docs" / "guide" / "clusters.md"
    namespace = {"frame": frame}
    for code in re.findall(r"^```py\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL):
        if "import ray" not in code:
            exec(compile(code, str(page), "exec"), namespace)
    assert namespace["labelled"].columns == [*frame.columns, "label", "p"]
    assert_same_bits(namespace["means"], namespace["gm"].means_, "means of the Pipeline")


def test_executors_without_this_version_of_gaussmix_are_reported(spark, monkeypatch):
    frame = spark.createDataFrame([(1.0, 2.0), (2.0, 2.0)], ["a", "b"]).coalesce(1)  # each task is tried four times
    monkeypatch.setattr(jobs, "package_version", lambda: "0.0.2")
    with pytest.raises(ImportError, match=r"^The Spark executor on \S+ has gaussmix \S+, but your program has 0.0.2\."):
        short_em().fit(frame)

    def raise_missing_module(batches, module):
        raise ModuleNotFoundError(f"No module named '{module}'")

    for module in "gaussmix", "pyarrow":
        with pytest.raises(
            ImportError,
            match=rf"^A Spark executor has no {module}\. Install gaussmix {package_version()} and what it needs on all "
            r"executors\. If they have it, .* set PYSPARK_PYTHON before the session begins, on this machine to sys",
        ):
            jobs.run_job(frame.mapInArrow(partial(raise_missing_module, module=module), "a double"), "fail")
    with pytest.raises(PythonException, match="No module named 'of_the_user'"):
        jobs.run_job(frame.mapInArrow(partial(raise_missing_module, module="of_the_user"), "a double"), "fail")


def test_a_deleted_file_is_reported(spark, whole, tmp_path):
    folder = Path(written(whole, tmp_path / "rows of today"))
    frame = spark.read.parquet(str(folder)).select(NAMES)
    (folder / "part 1.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"was deleted or replaced; read the frame again: 'file:.*1\.p"):
        short_em().fit(frame)


def test_a_file_with_another_column_type_is_reported(spark, whole, tmp_path):
    for number in range(2):
        column = whole[:9, 0] if number == 0 else np.arange(9)
        pq.write_table(pa.table({"a": column, "b": whole[:9, 1]}), tmp_path / f"{number}.parquet")
    sentence = "1.parquet, column 'a': it contains INT64, but the Spark frame has double: all files must have the same"
    with pytest.raises(ValueError, match=sentence):
        short_em().fit(spark.read.parquet(str(tmp_path)))


def test_results_larger_than_the_limit_of_spark_raise_memory_error(spark):
    def make(batches):
        for _ in batches:
            yield pa.RecordBatch.from_arrays([pa.array([bytes(2**24)])], ["content"])

    large = spark.range(0, 4, 1, 4).mapInArrow(make, "content binary")
    with pytest.raises(MemoryError, match=r"exceed spark\.driver\.maxResultSize\. Raise this limit"):
        jobs.run_job(large, "come to the driver")


def test_max_time_ends_a_wait_for_executors(spark, ragged, monkeypatch):
    source = open(ragged.select(NAMES))
    assert source.row_totals.n_rows == N_ROWS
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "PATIENCE", 0.01)
    monkeypatch.setattr(jobs, "_has_executors", lambda context: False)
    with pytest.raises(TimeoutError, match=r"^The Spark application has had no worker for \d s, and max_time has"):
        short_em(max_time=0.001).fit(source)
    assert becomes_true(lambda: not spark.sparkContext.statusTracker().getActiveJobsIds())


CONNECT = """
import os
import sys
import threading
import time
import warnings
from pathlib import Path
import gaussmix
from gaussmix._src.sources import waiting
from pyspark.sql import SparkSession

folder, model, *settings = sys.argv[1:]
builder = SparkSession.builder.remote("local[2,4]")
for setting in settings:
    builder = builder.config(*setting.split("=", 1))
spark = builder.getOrCreate()
assert type(spark).__module__.startswith("pyspark.sql.connect")
frame = spark.read.parquet(folder).select("a", "b", "c")
gm = gaussmix.GaussianMixture(4, random_state=0, max_iter=3, tol=0.0).fit(frame)
gm.save(model)
rows = frame.select(gm.predict(frame).alias("label")).groupBy("label").count().orderBy("label").toArrow()
print(rows["count"].to_pylist())

def hold(batches):  # both cores, so that no other task runs
    Path(f"{model}.{os.getpid()}").touch()
    time.sleep(10)
    yield from batches

def job():
    spark.range(0, 4, 1, 4).mapInArrow(hold, "id long").toArrow()

waiting.PATIENCE = 2.0
other = threading.Thread(target=job)
other.start()
while other.is_alive() and len(list(Path(model).parent.glob("*.gmm.*"))) < 2:
    time.sleep(0.05)
assert other.is_alive()
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    source = gaussmix.open(frame.limit(1000).coalesce(1))
    print(source.n_rows, *[str(each.message) for each in found if "no worker" in str(each.message)])
other.join()
spark.stop()
"""


@pytest.mark.heavy
def test_spark_connect_gives_the_same_bits(whole, folder, tmp_path):
    """Run a separate process, because a process either is a client of Spark Connect or is not."""
    pytest.importorskip("grpc")
    model = tmp_path / "model.gmm"
    settings = [f"{name}={value}" for name, value in SETTINGS.items()]
    settings.append("spark.connect.progress.reportInterval=100ms")
    command = [sys.executable, "-W", "ignore", "-c", CONNECT, folder, str(model), *settings]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_GATEWAY"))
    }
    environment |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    expected = short_em().fit(whole[:, :-1])
    assert_same_fit(GaussianMixture.load(model), expected)
    counts, warning = done.stdout.splitlines()[-2:]
    assert counts == str(np.bincount(expected.predict(whole[:, :-1])).tolist())
    assert re.fullmatch(
        r"1000 The Spark application has had no worker for \d s, and the work waits for a worker\. See in .*", warning
    )
