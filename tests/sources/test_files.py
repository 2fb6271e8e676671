"""Tables in files give the same bits as rows in memory, need bounded memory, and cause clear error messages."""

import copy
import gc
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
import tracemalloc
import warnings
from types import SimpleNamespace

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet
import pytest
import streamed
from common import LEAF_ROWS, FileSource, assert_same_fit

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureIC, GaussianMixtureRegressor, open
from gaussmix._src.sources.files.arrow import DatasetReader, TableReader
from gaussmix._src.sources.files.batches import spool
from gaussmix._src.sources.opening import check_memory
from gaussmix._src.sources.tables import open_table
from gaussmix._src.sources.tables.base import BATCH_BYTES, BATCH_ROWS, Dialect
from gaussmix.testing import check_source

N_ROWS, NAMES = 2 * LEAF_ROWS + 1_234, ["a", "b", "c"]
SMALL = "3 MB"  # less memory than the rows take


@pytest.fixture(scope="module")
def table():
    """Return rows, weights, and a table with a column of text."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(N_ROWS, 3)) + 4 * rng.normal(size=(3, 3))[rng.integers(3, size=N_ROWS)]
    weights = 2 * rng.random(N_ROWS)
    columns = {**dict(zip(NAMES, rows.T, strict=True)), "w": weights, "text": np.array(["x"] * N_ROWS)}
    return rows, weights, pa.table(columns)


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    """Write the table to files of every format."""
    rows, _, arrow = table
    path = tmp_path_factory.mktemp("files")
    pa.parquet.write_table(arrow.slice(0, 70_001), path / "part-1.parquet", row_group_size=30_000)
    pa.parquet.write_table(arrow.slice(70_001), path / "part-2.parquet", compression="none")
    pa.parquet.write_table(arrow, path / "slow.pq", compression="zstd")
    pa.feather.write_feather(arrow, path / "table.feather", compression="lz4")
    pa.csv.write_csv(arrow, path / "table.csv")
    np.save(path / "by-rows.npy", rows)
    np.save(path / "by-columns.npy", np.asfortranarray(rows))
    np.save(path / "single.npy", rows.astype("f4"))
    np.save(path / "integers.npy", np.rint(10 * rows).astype("i2"))
    return path


def fitted(X, **options):
    return GaussianMixture(3, random_state=0, max_iter=4, **options).fit(X)


@pytest.fixture(scope="module")
def expected(table):
    rows, weights, _ = table
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            False: fitted(rows),
            True: GaussianMixture(3, random_state=0, max_iter=4).fit(rows, sample_weight=weights),
        }


WEIGHTED = ["part-*.parquet", "slow.pq", "table.feather", "table.csv"]


@pytest.mark.heavy(n_default=3)
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("memory", [SMALL, "512 MB"])
@pytest.mark.parametrize(
    ("name", "weights"), [*((name, "w") for name in WEIGHTED), ("part-*.parquet", None), ("by-rows.npy", None),
                          ("by-columns.npy", None)],
)  # fmt: skip
def test_fit_to_files_gives_the_same_bits_as_in_memory(name, weights, memory, folder, table, expected):
    source = open(folder / name, columns=None if name.endswith(".npy") else NAMES, weights=weights, memory=memory)
    assert isinstance(source, FileSource) == (memory == SMALL)
    assert_same_fit(fitted(source), expected[weights is not None])
    gm, (rows, row_weight, _) = expected[weights is not None], table
    assert gm.score(source) == gm.score(rows, sample_weight=None if weights is None else row_weight)
    np.testing.assert_array_equal(gm.predict(source), gm.predict(rows))


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["single.npy", "integers.npy"])
def test_a_source_has_the_dtype_of_its_file(name, folder):
    rows = np.load(folder / name)
    source = open(folder / name, memory=SMALL)
    assert source.dtype == ("f4" if name == "single.npy" else "f8")
    assert_same_fit(fitted(source), fitted(rows))


@pytest.mark.parametrize("name", ["rows.npy", "rows.parquet", "rows.feather"])
def test_float16_becomes_float64_as_in_memory(name, tmp_path, rng):
    rows = rng.normal(size=(90, 2)).astype("f2")
    np.save(tmp_path / "rows.npy", rows)
    frame = pa.table({"a": rows[:, 0], "b": rows[:, 1]})
    pa.parquet.write_table(frame, tmp_path / "rows.parquet")
    pyarrow.feather.write_feather(frame, tmp_path / "rows.feather")
    actual, expected = (GaussianMixture(2, random_state=0).fit(each) for each in (tmp_path / name, rows))
    assert_same_fit(actual, expected)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
def test_open_accepts_tables_of_pyarrow_polars_and_duckdb(folder, table, expected):
    import polars

    parts = [str(folder / f"part-{number}.parquet") for number in (1, 2)]
    _, _, arrow = table
    for data in (pyarrow.dataset.dataset(parts), arrow.to_reader(), polars.scan_parquet(parts)):
        source = open(data, columns=NAMES, weights="w", memory=SMALL)
        assert_same_fit(fitted(source), expected[True])
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.from_arrow(arrow)
    assert_same_fit(fitted(open(relation, columns=NAMES, weights="w", memory=SMALL)), expected[True])


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit_accepts_a_path(folder, expected):
    """Check that text columns cause a warning, and that the fit stores the other column names."""
    with pytest.warns(RuntimeWarning, match="left out column 'text': it contains text, not numbers"):
        gm = fitted(str(folder / "part-*.parquet"))
    assert list(gm.feature_names_in_) == [*NAMES, "w"]
    gm = fitted(folder / "by-rows.npy")
    assert_same_fit(gm, expected[False])
    chosen = GaussianMixtureIC(range(1, 3), max_iter=3).fit(folder / "by-rows.npy")
    assert chosen.n_components_ in (1, 2)


def test_predictions_from_a_path_read_only_the_features_of_the_fit(rng, tmp_path):
    frame = pandas.DataFrame(rng.normal(size=(40, 2)), columns=["x", "y"])
    gm, path = GaussianMixture(2, random_state=0).fit(frame), tmp_path / "x.csv"
    frame.assign(place="here", z=1.0)[["z", "place", "y", "x"]].to_csv(path, index=False)
    np.testing.assert_array_equal(gm.predict(path), gm.predict(frame))  # warnings are errors
    for regressor in (
        GaussianMixtureRegressor(1, random_state=0).fit(frame[["x"]], frame["y"]),
        GaussianMixtureRegressor(1, targets=["y"], random_state=0).fit(frame),
    ):
        np.testing.assert_array_equal(regressor.predict(path), regressor.predict(frame[["x"]]))
    frame[["x"]].assign(place="here").to_csv(path, index=False)
    with (
        pytest.warns(RuntimeWarning, match="left out column 'place'"),
        pytest.raises(ValueError, match=r"The columns of X are 'x', but .* was fitted with 'x', 'y'"),
    ):
        gm.predict(path)


def test_predict_rejects_columns_in_another_order_than_in_fit(folder):
    gm = GaussianMixture(1).fit(open(folder / "table.feather", columns=NAMES))
    with pytest.raises(ValueError, match=r"columns of X are 'c', 'b', 'a', .* columns=list"):
        gm.predict(open(folder / "table.feather", columns=NAMES[::-1]))


def test_file_source_passes_check_source(tmp_path, rng):
    def make(rows, row_weight=None):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npy"
        np.save(path, rows if row_weight is None else np.column_stack([rows, row_weight]))
        return open(path, weights=None if row_weight is None else f"x{rows.shape[1]}", memory="1 kB")

    check_source(make, rng)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit_logs_each_pass_over_the_file(folder, caplog):
    caplog.set_level("DEBUG", "gaussmix")
    source = open(folder / "by-rows.npy", memory=SMALL)
    GaussianMixture(3, init_params="kmeans", random_state=0, max_iter=4, tol=0).fit(source)
    survey, start, steps = 1, 2, 4  # an initialisation computes means first, then the scatter about them
    lines = [each.getMessage() for each in caplog.records if each.name == "gaussmix"]
    assert len(lines) == survey + start + steps
    for line in lines:
        assert re.fullmatch(rf"pass: {source.n_rows} rows, [\d.]+ MB, [\d.]+ s, [\d.e+]+ rows/s", line)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit_gives_the_same_bits_if_block_states_exceed_the_memory(folder, expected, monkeypatch):
    monkeypatch.setattr("gaussmix._src.engines.complete.engine.CompleteState.n_bytes", 10**6, raising=False)
    assert_same_fit(fitted(open(folder / "by-rows.npy", memory=SMALL)), expected[False])


class TestErrorMessages:
    def test_a_missing_file_raises_file_not_found_error(self):
        with pytest.raises(FileNotFoundError, match=r"no file name matches: 'nowhere/\*\.parquet'"):
            GaussianMixture().fit("nowhere/*.parquet")
        with pytest.raises(FileNotFoundError, match="path is empty: pass the name of a file"):
            open("")

    @pytest.mark.parametrize("memory", [SMALL, "1 GB"])
    def test_the_first_invalid_value_is_reported_by_file_row_and_column(self, memory, tmp_path, table):
        _, _, arrow = table
        bad = arrow["b"].to_numpy().copy()
        bad[100_003] = np.nan
        path = tmp_path / "bad.parquet"
        pa.parquet.write_table(pa.table({"a": arrow["a"], "b": bad}), path, row_group_size=40_000)
        with pytest.raises(ValueError, match=r"bad.parquet, row group 2, row 20003, column 'b': .* missing"):
            GaussianMixture().fit(open(path, memory=memory))
        bad[100_003] = 1e200
        pa.parquet.write_table(pa.table({"a": arrow["a"], "b": bad}), path)
        with pytest.raises(ValueError, match=r"row 100003, column 'b': 1e\+200 is too large"):
            GaussianMixture().fit(open(path, memory=memory))

    @pytest.mark.parametrize("weight", [-2.0, 2e150], ids=["negative", "sums overflow"])
    def test_invalid_weights_are_rejected(self, weight, tmp_path):
        path = tmp_path / "weights.parquet"
        pa.parquet.write_table(pa.table({"a": [1.0, 2.0, 4.0], "w": [1.0, weight, 1e150]}), path)
        message = f"row 1, column 'w': the weight {weight:g} is not between 0 and 1e+150"
        with pytest.raises(ValueError, match=re.escape(message)):
            open(path, weights="w")

    def test_a_file_that_changes_between_passes_is_reported(self, tmp_path, table):
        path = tmp_path / "rows.npy"
        np.save(path, table[0])
        source = open(path, memory=SMALL)
        gm = GaussianMixture(2, random_state=0, max_iter=2, tol=0)
        np.save(path, table[0][:-1])
        with pytest.raises(OSError, match=r"changed while it was read; .*rows\.npy"):
            gm.fit(source)
        assert not hasattr(gm, "mixture_")

    def test_a_file_truncated_during_a_pass_is_reported(self, tmp_path, table):
        """Check that there is no bus error, which a memory map would cause."""
        path = tmp_path / "rows.npy"
        np.save(path, table[0])
        blocks = open(path, memory=SMALL).blocks()
        next(blocks)
        os.truncate(path, 2_000)
        with pytest.raises(OSError, match=r"(became shorter|changed) .*rows.npy"):
            list(blocks)

    @pytest.mark.parametrize("suffix", ["parquet", "feather", "npy"])
    def test_a_file_that_changes_during_the_last_pass_is_reported(self, suffix, tmp_path, table):
        rows, _, arrow = table
        path = tmp_path / f"rows.{suffix}"
        if suffix == "npy":
            np.save(path, rows)
        else:
            write = pa.parquet.write_table if suffix == "parquet" else pa.feather.write_feather
            write(arrow.select(NAMES), path, compression="snappy" if suffix == "parquet" else "lz4")
        blocks = open(path, memory=SMALL).blocks()
        next(blocks)
        os.utime(path, (1, 1))
        with pytest.raises(OSError, match="changed while it was read"):
            list(blocks)

    def test_files_with_different_columns_or_extensions_are_rejected(self, tmp_path):
        np.save(tmp_path / "a.npy", np.zeros((3, 2)))
        np.save(tmp_path / "b.npy", np.zeros((3, 3)))
        with pytest.raises(ValueError, match=r"b.npy has 3 columns .* all files must have the same columns"):
            open(tmp_path / "*.npy")
        (tmp_path / "c.csv").write_text("a\n1\n")
        for name in "", "*", "**":
            offered = re.escape(str(tmp_path / ("**" if name == "**" else "") / "*.npy"))
            with pytest.raises(
                ValueError,
                match=rf"different extensions, '\.csv' and '\.npy': choose one extension, for example '{offered}'",
            ):
                open(tmp_path / name)

    @pytest.mark.parametrize("name", ["", "*.parquet", "**/*.parquet"])
    def test_the_folder_of_a_delta_table_is_rejected(self, name, tmp_path):
        """Check the error, because some files may contain deleted rows."""
        (tmp_path / "_delta_log").mkdir()
        (tmp_path / "day=1").mkdir()
        for file in tmp_path / "1.parquet", tmp_path / "day=1" / "2.parquet":
            pa.parquet.write_table(pa.table({"a": [1.0]}), file)
        with pytest.raises(ValueError, match=re.escape(f"pass deltalake.DeltaTable({str(tmp_path)!r}) instead")):
            open(tmp_path / name)
        assert open(file).n_rows == 1

    def test_a_pattern_in_a_folder_of_a_delta_table_is_rejected(self, tmp_path, monkeypatch):
        for folder in "delta/_delta_log", "delta/day=1", "other":
            (tmp_path / folder).mkdir(parents=True)
        for folder in "delta/day=1", "other":
            pa.parquet.write_table(pa.table({"a": [1.0]}), tmp_path / folder / "1.parquet")
        monkeypatch.chdir(tmp_path / "delta" / "day=1")
        with pytest.raises(ValueError, match="is a Delta table"):
            open("*.parquet")
        assert open("../../other/*.parquet").n_rows == 1

    @pytest.mark.parametrize(
        ("second", "what"),
        [
            ({"a": [1.0]}, "no column 'b'"),
            ({"a": [1.0], "b": [1.0], "c": [1.0]}, "column 'c'"),
            ({"b": [1.0], "a": [1.0]}, "its columns in a different order"),
            ({"a": [1.0], "b": ["x"]}, "column 'b' of string"),
            ({"a": pa.nulls(1), "b": ["x"]}, "column 'b' of string"),
        ],
    )
    def test_a_file_with_other_columns_is_reported_with_the_first_difference(self, second, what, tmp_path):
        pa.parquet.write_table(pa.table({"a": [1.0], "b": [1.0]}), tmp_path / "1.parquet")
        pa.parquet.write_table(pa.table(second), tmp_path / "2.parquet")
        with pytest.raises(ValueError, match=rf"2\.parquet has {what}, unlike .*1\.parquet: all files must have"):
            open(tmp_path)

    @pytest.mark.parametrize("kind", [pa.null(), pa.float64()])
    def test_a_data_set_with_two_columns_of_the_same_name_is_rejected(self, kind):
        table = pa.table([pa.nulls(2, kind), [1.0, 2.0], ["a", "b"]], names=["x", "y", "x"])
        with pytest.raises(ValueError, match=r"the dataset has two columns called 'x': rename one\."):
            open(pa.dataset.dataset(table))

    def test_a_null_in_a_data_set_is_reported_with_its_file(self, tmp_path):
        pa.parquet.write_table(pa.table({"a": [1.0, 2.0]}), tmp_path / "1.parquet")
        pa.parquet.write_table(pa.table({"a": [3.0, None]}), tmp_path / "2.parquet")
        dataset = pyarrow.dataset.dataset(tmp_path)
        with pytest.raises(ValueError, match=r"2\.parquet, row 1, column 'a': the value is missing"):
            open(dataset)
        with pytest.raises(ValueError, match="the dataset, row 2, column 'a': the value is missing"):
            open(dataset.filter(~(pyarrow.dataset.field("a") == 1.0) | pyarrow.dataset.field("a").is_null()))

    def test_files_without_rows_are_ignored_and_files_without_bytes_are_rejected(self, tmp_path):
        for name, values in (("1", [1.0]), ("2", []), ("3", [2.0])):
            pa.parquet.write_table(pa.table({"a": pa.array(values, pa.float64())}), tmp_path / f"{name}.parquet")
        np.testing.assert_array_equal(open(tmp_path).whole.rows, [[1.0], [2.0]])
        (tmp_path / "2.parquet").write_bytes(b"")
        with pytest.raises(ValueError, match=r"2\.parquet can't be read as Parquet: .* 0 bytes"):
            open(tmp_path)

    def test_csv_files_without_rows_are_ignored_if_another_file_has_rows(self, tmp_path):
        for name, text in (("1", ""), ("2", "a,b\n"), ("3", "a,b\n1,2\n"), ("4", "\n"), ("5", "a,b\n3,4\n")):
            (tmp_path / f"{name}.csv").write_text(text)
        with pytest.warns(RuntimeWarning, match=r"ignored an empty file: .*[14]\.csv is empty\."):
            np.testing.assert_array_equal(open(tmp_path).whole.rows, [[1.0, 2.0], [3.0, 4.0]])
        for name in "35":
            (tmp_path / f"{name}.csv").unlink()
        with pytest.raises(ValueError, match=r"1\.csv is empty\."):
            open(tmp_path)

    @pytest.mark.parametrize("text", ["b,a\n", "5,x\n", "a\n", '"a\nx",b\n'])
    def test_a_header_without_rows_must_have_the_columns_of_the_other_files(self, text, tmp_path):
        (tmp_path / "1.csv").write_text("a,b\n1,2\n")
        (tmp_path / "2.csv").write_text(text)
        with pytest.raises(ValueError, match=r"2\.csv has a header but no rows\."):
            open(tmp_path)

    def test_a_table_without_rows_is_rejected(self, tmp_path):
        np.save(tmp_path / "a.npy", np.zeros((0, 2)))
        with pytest.raises(ValueError, match="has no rows"):
            open(tmp_path / "a.npy")

    def test_open_rejects_lists_and_sets(self):
        with pytest.raises(TypeError, match="open takes a path, a pattern or a table that is not in memory, not set"):
            open({1.0})
        several = r"To open several files, pass a pattern, their folder or pyarrow\.dataset\.dataset\(files\)"
        with pytest.raises(TypeError, match=rf"not in memory, not list\. {several}"):
            open(["a.csv", "b.csv"])
        with pytest.raises(TypeError, match=rf"Input X is a list of text\. {several}"):
            GaussianMixture().fit(["a.csv", "b.csv"])

    def test_repr_of_a_source_gives_its_size(self, folder):
        source = open(folder / "by-rows.npy")
        assert repr(source) == f"<ArraySource: {N_ROWS} rows, {source.n_features} features, {source.dtype}>"

    @pytest.mark.parametrize("many", [False, True])
    def test_fit_reports_the_class_of_an_unsupported_object(self, many):
        name = "list of threading" if many else "threading"
        message = rf"Input X is a {name}\.Event, not a table\. See help\(gaussmix\.open\)"
        with pytest.raises(TypeError, match=message):
            GaussianMixture().fit([threading.Event(), threading.Event()] if many else threading.Event())

    def test_memory_is_a_number_of_bytes_or_a_string_with_a_unit(self):
        assert [check_memory(each) for each in (5, "512 MB", "2GiB", "1.5 k")] == [5, 512 * 10**6, 2 * 1024**3, 1500]
        for wrong in ("much", 0, -1, 0.5, "1.2.3 MB"):
            with pytest.raises(ValueError, match="memory must be a number of bytes or a string such as '512 MB'"):
                check_memory(wrong)

    def test_missing_values_are_rejected_unless_missing_is_true(self, tmp_path):
        np.save(tmp_path / "a.npy", [[1.0, np.nan], [2.0, 3.0]])
        with pytest.raises(
            ValueError, match=r"row 0, column 'x1': .* fill such rows first, or open .* if the estimator allows"
        ):
            open(tmp_path / "a.npy")
        assert open(tmp_path / "a.npy", missing=True).may_miss
        with pytest.raises(TypeError, match="missing must be True or False, not 'error'"):
            open(tmp_path / "a.npy", missing="error")


class TestColumns:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"columns": []}, r"columns must be a list of names, got \[\]"),
            ({"columns": "ab"}, "columns must be a list of names, got 'ab'"),
            ({"columns": 3}, "columns must be a list of names, got 3"),
            ({"columns": ["a", ["b"]]}, r"columns must be a list of names, got \['a', \['b'\]\]"),
            ({"columns": np.array(["a", "b"])}, r"columns must be a list of names, got array\("),
            ({"weights": np.ones(2)}, r"weights must be the name of a column, not array\(\[1\., 1\.\]\)"),
            ({"columns": ["a", "a"]}, "columns must not name a column more than once"),
            ({"columns": ["a", "w"], "weights": "w"}, "'w' can't be both a feature and the column of weights"),
        ],
    )
    def test_open_rejects_invalid_columns_and_weights(self, options, message, folder):
        with pytest.raises(ValueError, match=message):
            open(folder / "part-*.parquet", **options)

    def test_the_column_of_weights_may_have_an_empty_name(self, tmp_path, rng):
        rows, row_weight = rng.normal(size=(90, 2)), rng.integers(1, 4, size=90)
        pa.parquet.write_table(pa.table({"a": rows[:, 0], "b": rows[:, 1], "": row_weight}), tmp_path / "a.parquet")
        for data in (tmp_path / "a.parquet", pyarrow.dataset.dataset(tmp_path)):
            source = open(data, columns=["a", "b"], weights="")
            np.testing.assert_array_equal(source.row_weight, row_weight)

    def test_a_file_that_contains_only_weights_is_rejected(self, tmp_path):
        np.save(tmp_path / "w.npy", np.ones((3, 1)))
        with pytest.raises(ValueError, match="no column of numbers to fit"):
            open(tmp_path / "w.npy", weights="x0")

    @pytest.mark.filterwarnings("ignore:Stored array in format 3.0:UserWarning")
    def test_column_names_of_npy_files_may_contain_any_letters(self, tmp_path):
        names = "größe", "温度", "a\u3000\xa0\u2028b"  # NumPy writes these spaces as escape sequences
        np.save(tmp_path / "a.npy", np.arange(9).astype([(name, "f8") for name in names]))
        assert open(tmp_path / "a.npy").feature_names == names

    def test_columns_without_names_have_the_same_names_as_in_summaries(self, tmp_path, rng):
        np.save(tmp_path / "a.npy", rng.normal(size=(90, 2)))
        with pytest.raises(ValueError, match="has no column 'x2'; it has 'x0', 'x1'"):
            open(tmp_path / "a.npy", weights="x2")
        assert "2 features (x0, x1)" in str(GaussianMixture().fit(tmp_path / "a.npy").summary())

    @pytest.mark.heavy(n_default=2)
    @pytest.mark.filterwarnings("ignore:Best performing", "ignore:.* is slow to read")
    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    @pytest.mark.parametrize("memory", ["64 MB", SMALL])
    def test_large_integers_are_accepted_if_doubles_distinguish_them(self, suffix, memory, tmp_path):
        """Check that all rows are used, because the first batch and the rows to predict have too small a range."""
        path, times = tmp_path / f"a.{suffix}", 17 * 10**17 + 5 * np.arange(150_000)
        times[-1] += 10**12  # nanoseconds of a quarter of an hour
        table = pa.table({"time": times, "x": np.where(np.arange(150_000) == 149_999, np.nan, times % 7)})
        (pa.parquet.write_table if suffix == "parquet" else pa.csv.write_csv)(table, path)
        source = open(path, missing=True, memory=memory)
        gm = GaussianMixture(max_iter=1, random_state=0).fit(source)
        actual = np.concatenate([block.rows.copy() for block in source.blocks()])
        np.testing.assert_array_equal(actual[:, 0], times)
        assert np.isnan(actual[-1, 1])
        pa.parquet.write_table(table.slice(0, 9), tmp_path / "few.parquet")
        assert len(gm.predict(tmp_path / "few.parquet")) == 9

    def test_large_integers_are_accepted_if_doubles_represent_them_exactly(self, tmp_path):
        seconds = 10**9 * (17 * 10**8 + np.arange(5))  # times in nanoseconds are multiples of 2**9
        pa.parquet.write_table(pa.table({"a": seconds, "b": np.arange(5) % 3}), tmp_path / "a.parquet")
        np.testing.assert_allclose(GaussianMixture().fit(tmp_path / "a.parquet").means_[0], [seconds[2], 0.8])

    @pytest.mark.parametrize("missing", [False, True])
    @pytest.mark.parametrize(
        "integers",
        [
            10**17 + np.arange(9),
            np.full(9, 2**60),
            10**17 + 16 * np.arange(9),
            np.uint64(2**64 - 1) - np.arange(9, dtype="u8"),
        ],
    )
    def test_integers_too_large_for_doubles_are_rejected_in_every_format(self, integers, missing, tmp_path):
        import pandas as pd

        frame = pd.DataFrame({"x": np.arange(9) % 4 / 2, "id": pd.array(integers)})
        if missing:
            frame.loc[4, "id"] = pd.NA
        frame.to_parquet(tmp_path / "a.parquet")
        frame.to_csv(tmp_path / "a.csv", index=False)
        pairs = list(zip(frame["x"], frame["id"], strict=True))
        lines = [f"{x};{'' if y is pd.NA else format(y, ',')}\n" for x, y in pairs]
        (tmp_path / "b.csv").write_text("".join(["x;id\n", *lines]))
        grouped = open(open_table(str(tmp_path / "b.csv"), dialect=Dialect(thousands=",")), missing=missing)
        cells = [[x, None if y is pd.NA else int(y)] for x, y in pairs]
        for X in frame, frame.astype(object), cells, tmp_path / "a.parquet", tmp_path / "a.csv", grouped:
            with pytest.raises(ValueError, match=r"contains integers of size (1e\+17|1.15e\+18|1.84e\+19)"):
                GaussianMixture(missing="allow" if missing else "error").fit(X)

    def test_categories_of_numbers_are_left_out_in_every_format(self, tmp_path):
        import pandas as pd

        frame = pd.DataFrame({"x": [1.0, 2.0, 4.0], "place": pd.Categorical([3, 1, 3])})
        frame.to_parquet(tmp_path / "a.parquet")
        frame.to_feather(tmp_path / "a.feather")
        with pytest.raises(TypeError, match="categories in column 'place'"):
            GaussianMixture().fit(frame)
        for X in tmp_path / "a.parquet", tmp_path / "a.feather", pa.dataset.dataset(tmp_path / "a.parquet"):
            with pytest.warns(RuntimeWarning, match="left out column 'place': it contains categories, not numbers"):
                assert open(X).feature_names == ("x",)
            with pytest.raises(ValueError, match="column 'place': it contains categories, not numbers"):
                open(X, columns=["place"])

    @pytest.mark.parametrize("metadata", ["nonsense", "[1]", '{"columns": ["x"]}', '{"columns": null}'])
    def test_damaged_metadata_of_pandas_are_ignored(self, metadata, tmp_path):
        table = pa.table({"x": [1.0, 2.0, 4.0]}).replace_schema_metadata({"pandas": metadata})
        pa.parquet.write_table(table, tmp_path / "a.parquet")
        for X in tmp_path / "a.parquet", pa.dataset.dataset(tmp_path / "a.parquet"):
            assert open(X).feature_names == ("x",)

    @pytest.mark.heavy
    def test_column_types_are_inferred_from_all_rows(self, tmp_path):
        """Check that neither the first rows nor the first file alone determine the type of a column."""
        rows = [f"{at % 7},,\n" for at in range(400_000)]
        (tmp_path / "1.csv").write_text("a,b,c\n" + "".join(rows))
        with pytest.warns(RuntimeWarning, match="left out column '[bc]': it is empty"):
            assert open(tmp_path / "1.csv").feature_names == ("a",)
        (tmp_path / "2.csv").write_text("a,b,c\n" + "".join(rows) + "3, 2.5,x\n")
        for name in "2.csv", "*.csv":
            with pytest.warns(RuntimeWarning, match="left out column 'c'"):
                source = open(tmp_path / name, missing=True)
            assert source.feature_names == ("a", "b")
            *_, last = source.blocks()
            assert last.rows[-1].tolist() == [3.0, 2.5]

    def test_column_types_of_a_data_set_are_inferred_from_all_files(self, tmp_path):
        tables = [pa.table({"a": [1.0, 2.0], "b": pa.nulls(2)}), pa.table({"a": [3.0, 5.0], "b": [2.0, 3.0]})]
        for number, each in enumerate(tables):
            pa.parquet.write_table(each, tmp_path / f"{number}.parquet")
        assert open(pyarrow.dataset.dataset(tmp_path), missing=True).feature_names == ("a", "b")
        pa.parquet.write_table(pa.table({"a": [1.0], "b": ["x"]}), tmp_path / "2.parquet")
        with pytest.raises(ValueError, match=r"2.parquet, column 'b' of string, can't be read: Failed to parse"):
            open(pyarrow.dataset.dataset(tmp_path), missing=True)

    @pytest.mark.parametrize("nulls", [pa.nulls(2), pa.nulls(2, pa.int64())], ids=["null", "int64"])
    @pytest.mark.parametrize("write", [pa.parquet.write_table, pa.feather.write_feather])
    def test_column_types_of_files_are_inferred_from_all_files(self, write, nulls, tmp_path):
        values = pa.schema([("a", pa.int64()), pa.field("b", pa.int64(), nullable=False)])
        tables = {"a": nulls, "b": [1, 2]}, {"a": [3, 4], "b": [5, 6]}, {"a": [7, 8], "b": nulls}
        for number, each in enumerate(tables):
            write(pa.table(each, values if number == 1 else None), tmp_path / f"{number}.table")
        rows = [[np.nan, 1], [np.nan, 2], [3, 5], [4, 6], [7, np.nan], [8, np.nan]]
        np.testing.assert_array_equal(open(tmp_path, missing=True).whole.rows, rows)
        with pytest.raises(ValueError, match=r"0\.table, .*row 0, column 'a': the value is missing"):
            open(tmp_path)
        parts = list(open_table(str(tmp_path)).parts(2))
        assert [part.schema.types for part in parts] == 3 * [[pa.int64(), pa.int64()]]
        assert [part["a"].to_pylist() for part in parts] == [[None, None], [3, 4], [7, 8]]
        assert open_table(str(tmp_path)).complete_in(["a", "b"]).complete_rows().tolist() == [2, 3]
        write(pa.table({"a": [1, 2], "b": ["x", "y"]}), tmp_path / "3.table")
        with pytest.raises(
            ValueError, match=r"3\.table has column 'b' of string, unlike .*0\.table: all files must have"
        ):
            open(tmp_path)


def test_hidden_files_and_folders_are_ignored(tmp_path):
    for name in ("a.npy", ".hidden.npy", "_temporary/a.npy", ".ipynb_checkpoints/a-checkpoint.npy", "deep/b.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, np.arange(6.0).reshape(3, 2))
    assert open(tmp_path).n_rows == 6
    assert open(tmp_path / "*").n_rows == 3  # the pattern matches a folder, too


def slow_tables(folder, table):
    """Write tables whose decoding takes longer than a pass of EM."""
    pa.feather.write_feather(table[2], folder / "slow.feather", compression="zstd")
    pa.parquet.write_table(table[2].slice(70_001), folder / "rest.pq", compression="zstd")
    return {
        "feather": folder / "slow.feather",
        "data set of CSV": pyarrow.dataset.dataset(str(folder / "table.csv"), format="csv"),
        "data set of Parquet": pyarrow.dataset.dataset(str(folder / "slow.pq")),
        "data set of Parquet, in part": pyarrow.dataset.dataset(
            [str(folder / "part-1.parquet"), str(folder / "rest.pq")]
        ),
        "data set of Arrow": pyarrow.dataset.dataset(str(folder / "slow.feather"), format="feather"),
    }


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize(
    "name", ["feather", "data set of CSV", "data set of Parquet", "data set of Parquet, in part", "data set of Arrow"]
)
def test_tables_that_are_slow_to_decode_are_copied_once(name, folder, table):
    with pytest.warns(RuntimeWarning, match="is slow to read, so its values are copied to"):
        source = open(slow_tables(folder, table)[name], columns=NAMES, memory=SMALL)
    np.testing.assert_array_equal(source.sample(N_ROWS).rows, table[0])


@pytest.mark.heavy
def test_an_interrupt_while_a_temporary_copy_is_removed_is_raised(folder, tmp_path, monkeypatch):
    def interrupted(path, **options):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open(folder / "table.csv", columns=NAMES)
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_file_of_a_data_set_is_closed_after_its_codec_is_read(folder, table):
    file = pa.OSFile(str(folder / "table.feather"))
    fragment = SimpleNamespace(format=SimpleNamespace(default_extname="feather"), open=lambda: file)
    dataset = SimpleNamespace(schema=table[2].schema, get_fragments=lambda: [fragment], count_rows=lambda: N_ROWS)
    assert not DatasetReader(dataset, NAMES, None, 2**27).is_slow
    assert file.closed


def test_columns_that_are_not_read_do_not_cause_a_temporary_copy(table, tmp_path):
    arrow = table[2].select(["a", "b", "w"])
    pa.parquet.write_table(arrow, tmp_path / "a.parquet", compression={"a": "none", "b": "snappy", "w": "zstd"})
    open(tmp_path / "a.parquet", columns=["a", "b"], memory=SMALL)  # any warning would be an error
    with pytest.warns(RuntimeWarning, match="is slow to read"):
        open(tmp_path / "a.parquet", columns=["a", "b"], weights="w", memory=SMALL)


@pytest.fixture
def write_one_batch(tmp_path):
    """Write a table as an Arrow file of one batch."""

    def write(table, compression=None):
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_file(str(tmp_path / "one.arrow"), table.schema, options=options) as writer:
            writer.write_table(table.combine_chunks())
        return tmp_path / "one.arrow"

    return write


def peak_arrow_memory(path, columns, n_rows):
    """Return the largest memory that Arrow takes to read some columns of a table of `n_rows` rows."""
    before, peak, n_read = pa.total_allocated_bytes(), 0, 0
    for batch in open_table(str(path)).batches(columns):
        peak, n_read = max(peak, pa.total_allocated_bytes() - before), n_read + batch.num_rows
    assert n_read == n_rows
    return peak


def test_parquet_files_with_many_columns_are_read_with_bounded_memory(tmp_path):
    """Check that Arrow stores two batches, and a page and a small buffer for each column, but no row group."""
    page, names = 2**16, [f"x{column}" for column in range(64)]
    wide = pa.table([*np.random.default_rng(0).normal(size=(64, 70_000))], names)
    pa.parquet.write_table(wide, tmp_path / "a.parquet", data_page_size=page, use_dictionary=False)
    assert peak_arrow_memory(tmp_path / "a.parquet", names, 70_000) < 2 * BATCH_BYTES + 2 * page * len(names)


def test_a_large_arrow_batch_is_read_with_bounded_memory(table, write_one_batch):
    n_many = 3 * BATCH_ROWS + 5
    path = write_one_batch(pa.table({name: np.zeros(n_many) for name in NAMES}))
    tracemalloc.start()
    assert peak_arrow_memory(path, ["b"], n_many) < 100_000  # memory that Python allocates is not included
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * 8 * BATCH_ROWS < 8 * n_many
    path = write_one_batch(table[2])
    source = open(path, columns=["b", "a"], memory=SMALL)
    np.testing.assert_array_equal(source.sample(N_ROWS).rows, table[0][:, [1, 0]])


def test_numeric_types_of_a_large_arrow_batch_are_converted(write_one_batch, rng):
    """Check a part that begins inside a byte of the bits."""
    n_rows = BATCH_ROWS + 3
    numbers = rng.integers(0, 100, n_rows)
    kinds = ["bool", "int8", "uint16", "int32", "int64", "float16", "float32", "float64"]
    columns = {kind: pa.array(numbers % 2 == 0 if kind == "bool" else numbers.astype(kind)) for kind in kinds}
    columns["decimal"] = pa.array(numbers).cast(pa.decimal128(30, 3))
    path = write_one_batch(pa.table(columns))
    actual = np.concatenate(list(open_table(str(path)).rows(list(columns), n_rows)))
    for index, name in enumerate(columns):
        np.testing.assert_array_equal(actual[:, index], columns[name].cast("float64"))
    missing = numbers.astype(float)
    missing[BATCH_ROWS + 1] = np.nan
    path = write_one_batch(pa.table({"x": pa.array(missing, from_pandas=True)}))
    with pytest.raises(ValueError, match=f"row {BATCH_ROWS + 1}, column 'x': the value is missing"):
        open(path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("sizes", [(0, 9), (5, 0, 4), (9, 0)])
def test_empty_batches_of_arrow_files_are_ignored(sizes, compression, rng, tmp_path):
    rows, first = rng.normal(size=(9, 2)), 0
    schema = pa.schema([("a", pa.float64()), ("b", pa.float64())])
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), schema, options=options) as writer:
        for size in sizes:
            writer.write_batch(pa.record_batch(list(rows[first : first + size].T), schema))
            first += size
    np.testing.assert_array_equal(open(tmp_path / "a.arrow").whole.rows, rows)


@pytest.mark.parametrize("is_dictionary", [False, True])
@pytest.mark.parametrize("write", [pa.ipc.new_file, pa.ipc.new_stream])
def test_an_arrow_offset_outside_its_buffer_is_rejected(write, is_dictionary, tmp_path):
    """Check that the offset is rejected before Arrow follows it, which would end the process."""
    texts = pa.array(["x", "y", "z", "w"])
    arrow = pa.table({"a": [1.0, 2.0, 4.0, 7.0], "s": texts.dictionary_encode() if is_dictionary else texts})
    path = tmp_path / "rows.arrow"
    with write(path, arrow.schema) as file:
        file.write_table(arrow)
    contents, offsets = path.read_bytes(), np.arange(5, dtype="<i4")
    assert contents.count(offsets.tobytes()) == 1
    path.write_bytes(contents.replace(offsets.tobytes(), np.where(offsets == 2, 2**30, offsets).tobytes()))
    with pytest.raises(ValueError, match=r"rows\.arrow, column 's' is damaged: .*out of bounds: 1073741824 > 4\.$"):
        list(open_table(str(path)).batches(["a", "s"]))
    assert open(path, columns=["a"]).n_rows == 4, "other columns can be read"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n" + "0" * (2**20 + 1), r", line 3 has more than 1,048,576 characters: .* a larger value\.$"),
        ('a\n1\n"2' + "\n1" * 2**19, r", line 524291 has more than 1,048,576 characters: close the open quote"),
        ("," * 2**14, r" has 16,385 columns, and needs 135 MB\. Set memory= to at least that\.$"),
        ("   1 " * 2**15, r" has 32,768 columns, and needs 269 MB"),
    ],
)
def test_csv_lines_and_columns_beyond_the_limits_are_rejected(text, message, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=r"a\.csv" + message):
        open(tmp_path / "a.csv", memory="8 MB")


def test_a_damaged_length_is_not_reported_as_a_lack_of_memory(folder, monkeypatch):
    monkeypatch.setattr(pa.csv, "open_csv", lambda *args: raise_memory_error(size=2**56))
    with pytest.raises(ValueError, match=r"table\.csv is damaged: it claims a part of 72,057,594,037,927,936 bytes"):
        open(folder / "table.csv")


def test_a_damaged_row_group_is_not_reported_as_a_full_disk(folder, tmp_path):
    contents = bytearray((folder / "part-1.parquet").read_bytes())
    contents[4:40] = bytes(36)
    (tmp_path / "a.parquet").write_bytes(contents)
    with pytest.raises(OSError, match=r"row group 0 can't be read: [^;]*a\.parquet'$"):
        spool(TableReader(open_table(str(tmp_path / "a.parquet")), NAMES))


def test_arrow_values_outside_their_buffer_are_rejected():
    """Check tables that PyArrow has read from a damaged stream, in memory or a batch at a time."""
    arrow, sink = pa.table({"a": np.arange(1000.0)}), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, arrow.schema) as file:
        file.write_table(arrow)
    before, size, after = sink.getvalue().to_pybytes().rpartition((8000).to_bytes(8, "little"))
    contents = before + bytes(len(size)) + after
    with pytest.raises(ValueError, match=r"^the stream of record batches, column 'a' is damaged: Buffer #1 too small"):
        open(pa.ipc.open_stream(contents))
    with pytest.raises(ValueError, match=r"^the stream of record batches has no rows\."):
        open(pa.RecordBatchReader.from_batches(arrow.schema, []))
    with pytest.raises(ValueError, match=r"^The PyArrow table is damaged: Column 0: .*got 0\. Create it again\.$"):
        GaussianMixture().fit(pa.ipc.open_stream(contents).read_all())


@pytest.mark.filterwarnings("ignore:.* is slow to read:RuntimeWarning")
@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_compressed_batch_that_exceeds_the_memory_is_rejected(compression, table, write_one_batch):
    path = write_one_batch(table[2], compression)
    message = f"one.arrow has {N_ROWS} rows in a batch that can only be read as a whole: 4 MB. Set memory= to at least"
    with pytest.raises(ValueError, match=message):
        open(path, columns=NAMES, memory=SMALL)
    assert open(path, columns=NAMES, memory="4 MB").n_rows == N_ROWS


def raise_memory_error(*args, size=1000000, **kwargs):
    raise pa.ArrowMemoryError(f"realloc of size {size} failed")


class TestLackOfMemory:
    """Errors that report a lack of memory suggest a remedy, because the file is valid."""

    MESSAGE = r": there is not enough memory to read it \(realloc of size 1000000 failed\)\. Lower memory=\.$"

    def test_a_lack_of_memory_for_a_parquet_row_group_is_reported(self, folder, monkeypatch):
        source = open(folder / "part-*.parquet", columns=NAMES, memory=SMALL)
        monkeypatch.setattr(pa.parquet.ParquetFile, "iter_batches", raise_memory_error)
        with pytest.raises(MemoryError, match=r"part-1\.parquet, row group 0" + self.MESSAGE):
            GaussianMixture(1).fit(source)

    def test_a_lack_of_memory_for_a_csv_copy_is_reported(self, folder, monkeypatch):
        monkeypatch.setattr(pa.csv, "open_csv", raise_memory_error)
        with pytest.raises(MemoryError, match=r"table\.csv" + self.MESSAGE):
            open(folder / "table.csv")


@pytest.mark.parametrize("memory", [SMALL, "512 MB"])
def test_a_column_with_too_small_a_range_is_reported(memory, table, tmp_path):
    """Check that the error is the same as for arrays."""
    rows = table[0].copy()
    rows[:, 1] *= 1e-200
    np.save(tmp_path / "a.npy", rows)
    with pytest.raises(ValueError, match=r"varies by only .*e-\d+ in column 1 .*: the square of this range"):
        GaussianMixture(2).fit(open(tmp_path / "a.npy", memory=memory))


def test_boolean_columns_are_features(tmp_path, rng):
    """Check that Boolean columns are features, as in data frames in memory."""
    import pandas as pd

    frame = pd.DataFrame({"x": rng.normal(size=200), "is": rng.random(200) < 0.5})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    np.save(tmp_path / "a.npy", frame[["is", "is"]].to_numpy())
    expected = GaussianMixture(1).fit(frame)
    for name in ("a.parquet", "a.csv"):
        assert_same_fit(GaussianMixture(1).fit(open(tmp_path / name)), expected)
    np.testing.assert_array_equal(open(tmp_path / "a.npy").whole.rows[:, 0], frame["is"])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
class TestTemporaryCopy:
    def test_weights_of_float32_rows_are_not_rounded(self, tmp_path):
        path = tmp_path / "slow.parquet"
        table = pa.table({"a": np.array([1, 2, 4], "f4"), "w": [16777217.0, 1e40, 1.0]})
        pa.parquet.write_table(table, path, compression="zstd")
        source = open(path, weights="w")
        assert source.dtype == np.float32
        np.testing.assert_array_equal(source.row_weight, [16777217.0, 1e40, 1.0])

    def test_an_invalid_value_of_a_csv_file_is_reported_by_its_line(self, tmp_path):
        (tmp_path / "a.csv").write_text("a,b\n1,2\n3,inf\n")
        with pytest.raises(ValueError, match=r"a\.csv, line 3, column 'b': the value is infinite"):
            open(tmp_path / "a.csv")

    def test_a_temporary_copy_warns_and_is_removed_with_its_source(self, folder):
        with pytest.warns(RuntimeWarning, match=r"table.csv is slow to read, so its values are copied to .* \(4 MB\)"):
            source = open(folder / "table.csv", columns=NAMES, weights="w", memory=SMALL)
        path = source.reader.files[0].path
        assert path.exists()
        del source
        assert not path.parent.exists()

    def test_copied_and_pickled_sources_share_the_temporary_copy(self, folder, table):
        source = open(folder / "table.csv", columns=NAMES, memory=SMALL)
        path = source.reader.files[0].path.parent
        twin, sent = copy.deepcopy(source), pickle.loads(pickle.dumps(source))
        del sent
        assert path.exists()
        del source
        np.testing.assert_array_equal(twin.sample(N_ROWS).rows, table[0])
        del twin
        assert not path.exists()

    def test_copied_sources_of_a_record_batch_reader_share_the_temporary_copy(self, table):
        source = open(table[2].to_reader(), columns=NAMES, memory=SMALL)
        np.testing.assert_array_equal(copy.deepcopy(source).sample(N_ROWS).rows, table[0])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).sample(N_ROWS).rows, table[0])

    def test_a_full_disk_is_reported(self, folder, monkeypatch):
        def full(file, shape, dtype):
            if shape[0] > 0:  # the second header, after all rows
                raise OSError(28, "No space left on device")

        monkeypatch.setattr("gaussmix._src.sources.files.batches._write_header", full)
        with pytest.raises(OSError, match=r"No space left .* while .*table\.csv was copied to a .npy file; set TMPDIR"):
            open(folder / "table.csv", columns=NAMES, memory=SMALL)


def test_the_reader_thread_ends_when_a_pass_is_abandoned(folder):
    blocks = open(folder / "by-rows.npy", memory=SMALL).blocks()
    next(blocks)
    blocks.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gaussmix-reader")]


def test_an_error_of_the_caller_is_not_replaced_by_that_of_a_changed_file(folder, tmp_path):
    path = tmp_path / "rows.npy"
    shutil.copy(folder / "by-rows.npy", path)
    blocks = open(path, memory=SMALL).blocks()
    next(blocks)
    os.utime(path, (1, 1))
    with pytest.raises(ValueError, match="the real error"):
        blocks.throw(ValueError("the real error"))


@pytest.mark.heavy
def test_a_fit_in_a_thread_continues_after_the_main_thread_has_ended(folder):
    path = folder / "by-rows.npy"
    program = f"""
import threading
from gaussmix import GaussianMixture, open

def fit():
    threading.main_thread().join()
    gm = GaussianMixture(2, max_iter=2, tol=0, random_state=0).fit(open({str(path)!r}, memory={SMALL!r}))
    print("fitted", len(gm.means_), flush=True)

threading.Thread(target=fit).start()
next(open({str(path)!r}, memory={SMALL!r}).blocks())
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("fitted 2\n", 0), done.stderr


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("call", streamed.CALLS)
def test_calls_that_store_nothing_per_row_give_the_same_bits_as_arrays(call, tmp_path, monkeypatch, rng):
    rows = streamed.rows_of(LEAF_ROWS + 9_000, rng)
    path = tmp_path / "rows.parquet"
    pa.parquet.write_table(pa.table(dict(zip(streamed.NAMES, rows.T, strict=True))), path)
    with_labels = gaussmix.open(path, memory="1 MB")
    X = gaussmix.open(path, columns=streamed.NAMES[:2], memory="1 MB")
    for source in with_labels, X:
        assert isinstance(source, FileSource)
    monkeypatch.setattr(FileSource, "each_row", None)
    streamed.check_same_bits(call, X, with_labels, rows)


def test_fit_warns_about_too_few_distinct_rows_in_a_file(tmp_path):
    np.save(tmp_path / "a.npy", np.repeat([[0.0, 1.0], [2.0, 5.0]], LEAF_ROWS, axis=0))
    with pytest.warns(RuntimeWarning, match="2 distinct rows"):
        GaussianMixture(3, random_state=0).fit(open(tmp_path / "a.npy", memory="1 MB"))
