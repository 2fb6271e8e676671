"""Tests of data frames of pandas, polars and Arrow: values, column names, and errors."""

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from io import StringIO

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from common import raises_and_keeps
from pyarrow import parquet

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureIC, GaussianMixtureImputer, GaussianMixtureRegressor
from gaussmix._src.numerics.frames import Frame

NAMES = ["width", "height", "depth"]
LIBRARIES = {
    "pandas": pd.DataFrame,
    "pandas with types of Arrow": lambda columns: pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": pl.DataFrame,
    "Arrow": pa.table,
    "Arrow in two chunks": lambda columns: pa.concat_tables([(whole := pa.table(columns)).slice(0, 1), whole.slice(1)]),
    "a record batch": pa.record_batch,
}


def rows_of(n_rows=90):
    rng = np.random.default_rng(3)
    return np.concatenate([rng.normal(0, 1, (n_rows // 2, 3)), rng.normal(6, 1, (n_rows - n_rows // 2, 3))])


def columns_of(X, names=NAMES):
    return {name: np.ascontiguousarray(column) for name, column in zip(names, X.T, strict=True)}


@pytest.fixture(params=LIBRARIES)
def library(request):
    return LIBRARIES[request.param]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_data_frame_gives_the_fit_of_its_values_and_feature_names(library, dtype):
    X = rows_of().astype(dtype)
    frame = library(columns_of(X))
    fitted, plain = (GaussianMixture(2, random_state=0).fit(each) for each in (frame, X))
    assert fitted.feature_names_in_.tolist() == list(fitted.mixture_.feature_names) == NAMES
    assert fitted.mixture_ == plain.mixture_.with_feature_names(NAMES)
    assert fitted.means_.dtype == dtype
    for method in ("predict", "predict_proba", "score_samples", "score", "bic"):
        np.testing.assert_array_equal(getattr(fitted, method)(frame), getattr(plain, method)(X))
    mixture = fitted.mixture_
    np.testing.assert_array_equal(mixture.log_density(frame), mixture.log_density(X))


@pytest.mark.heavy(n_default=2)
def test_each_estimator_accepts_each_data_frame(library):
    X = rows_of()
    y, frame = np.repeat([0, 1], 45), library(columns_of(X))
    for cls, arguments, method in (
        (GaussianMixtureIC, (), "predict"),
        (gaussmix.GaussianMixtureClassifier, (y,), "predict_proba"),
        (gaussmix.GaussianMixtureDetector, (), "score_samples"),
        (GaussianMixtureImputer, (), "transform"),
        (GaussianMixtureRegressor, (X[:, 0] - X[:, 1],), "predict"),
    ):
        estimator = cls([1, 2], random_state=0) if cls is GaussianMixtureIC else cls(random_state=0)
        fitted, plain = (type(estimator)(**estimator.get_params()).fit(each, *arguments) for each in (frame, X))
        assert fitted.feature_names_in_.tolist() == NAMES
        np.testing.assert_array_equal(getattr(fitted, method)(frame), getattr(plain, method)(X))


def test_targets_of_a_regressor_may_be_a_data_frame(library):
    X, names = rows_of(), ["sum", "difference"]
    Y = np.column_stack([X[:, 0] + X[:, 1], X[:, 0] - X[:, 2]]) + 0.1 * X[::-1, :2]
    fitted = GaussianMixtureRegressor().fit(library(columns_of(X)), library(columns_of(Y, names)))
    assert list(fitted.mixture_.feature_names) == [*NAMES, *names]
    expected = GaussianMixtureRegressor().fit(X, Y).predict(X)
    np.testing.assert_array_equal(fitted.predict(library(columns_of(X))), expected)


@pytest.mark.parametrize(
    "values",
    [[1.5, None, 2.0, 4.0, 3.0, 7.0], [1, None, 2, 4, 3, 7], [True, None, False, True, True, False]],
    ids=["floats", "integers", "truth values"],
)
def test_nulls_are_missing_values(library, values):
    if library is pd.DataFrame:
        series = pd.array(values, dtype={float: "Float64", int: "Int64", bool: "boolean"}[type(values[0])])
    else:
        series = values
    other = np.array([2.0, 1.0, 5.0, 3.0, 4.0, 4.5])
    frame = library({"a": series, "b": other})
    rows = np.column_stack([np.array([np.nan if value is None else float(value) for value in values]), other])
    np.testing.assert_array_equal(Frame.from_table(frame).rows("X"), rows)
    actual, expected = (GaussianMixtureImputer().fit(X).transform(X) for X in (frame, rows))
    np.testing.assert_array_equal(actual, expected)


INVALID_COLUMNS = {
    "text": (["a", "b", "c", "d"], ValueError, "contains text, 'a', in row 0, column 'depth'. Give numbers"),
    "text of digits": (["1", "2", "3", "4"], ValueError, "row 0, column 'depth'. Give numbers: convert such columns"),
    "dates": ([date(2020, 1, 1)] * 4, TypeError, "contains dates, times or durations in "),
    "times": ([datetime(2020, 1, 1)] * 4, TypeError, "contains dates, times or durations in "),
    "times with a zone": ([None, *[datetime(2020, 1, 1, tzinfo=UTC)] * 3], TypeError, "dates, times or durations in "),
    "times of day": ([None, *[time(4, 5)] * 3], TypeError, "dates, times or durations in "),
    "durations": ([timedelta(1)] * 4, TypeError, "contains dates, times or durations in "),
    "lists": ([[1.0]] * 4, TypeError, "Give numbers: leave such columns out."),
}


@pytest.mark.parametrize(("values", "error_type", "message"), INVALID_COLUMNS.values(), ids=INVALID_COLUMNS)
def test_columns_that_are_not_numeric_are_rejected_by_name(library, values, error_type, message):
    X = rows_of(4)
    check_error(library({"width": X[:, 0], "height": X[:, 1], "depth": values}), error_type, message)


CATEGORIES = {
    "pandas": lambda columns: pd.DataFrame(columns).astype({"depth": "category"}),
    "polars": lambda columns: pl.DataFrame(columns).with_columns(pl.col("depth").cast(pl.Categorical)),
    "an enumeration of polars": lambda columns: pl.DataFrame(columns).with_columns(
        pl.col("depth").cast(pl.Enum(["a", "b"]))
    ),
    "Arrow": lambda columns: pa.table(columns | {"depth": pa.array(columns["depth"]).dictionary_encode()}),
}


@pytest.mark.parametrize("make", CATEGORIES.values(), ids=CATEGORIES)
def test_categorical_columns_are_rejected_by_name(make):
    X = rows_of(4)
    frame = make({"width": X[:, 0], "height": X[:, 1], "depth": ["a", "b", "a", "a"]})
    check_error(frame, TypeError, "contains categories in column 'depth'. Give numbers: leave such columns out, or e")


def check_error(frame, error_type, message):
    """Check that estimators and a mixture reject the frame, and that the estimator does not change."""
    estimator = GaussianMixture(2, random_state=0).fit(rows_of())
    for call in (estimator.fit, GaussianMixtureImputer().fit, estimator.mixture_.log_density):
        with raises_and_keeps(estimator, error_type, re.escape(message)) as caught:
            call(frame)
        assert "'depth'" in str(caught.value)


def test_duplicate_column_names_are_rejected():
    frame = pd.DataFrame(rows_of(), columns=["width", "depth", "width"])
    with pytest.raises(ValueError, match=r"A table has two columns called 'width': rename one of them\."):
        GaussianMixture(2).fit(frame)


def test_predictions_check_the_names_and_the_order_of_columns(library):
    X = rows_of()
    frame, reversed_frame = library(columns_of(X)), library(columns_of(X[:, ::-1], NAMES[::-1]))
    fitted = GaussianMixture(2, random_state=0).fit(frame)
    with pytest.raises(ValueError, match="Feature names must be in the same order as they were in fit"):
        fitted.predict(reversed_frame)
    with pytest.raises(ValueError, match="has 'depth' in column 0, but the columns must be"):
        fitted.mixture_.log_density(reversed_frame)
    with pytest.warns(UserWarning, match="X does not have valid feature names, but GaussianMixture was fitted with"):
        fitted.predict(X)
    plain = GaussianMixture(2, random_state=0).fit(X)
    with pytest.warns(UserWarning, match="X has feature names, but GaussianMixture was fitted without feature names"):
        plain.predict(frame)


COLUMNS_OF_ARROW = {
    "decimals": lambda: pa.array([None, *(Decimal(n) / 8 for n in range(89))], pa.decimal128(20, 3)),
    "integers of a dictionary": lambda: pa.array(np.arange(90) % 7).dictionary_encode(),
    "floats of a dictionary": lambda: pa.array(np.arange(90) % 7 / 3).dictionary_encode(),
    "large integers that doubles hold": lambda: pa.array(np.uint64(2**63) + np.arange(90, dtype=np.uint64) * 4096),
}


@pytest.mark.parametrize("column", COLUMNS_OF_ARROW.values(), ids=COLUMNS_OF_ARROW)
def test_an_arrow_table_gives_the_same_fit_as_its_parquet_file(column, tmp_path):
    table = pa.table({"width": rows_of()[:, 0], "depth": column()})
    path = str(tmp_path / "t.parquet")
    parquet.write_table(table, path)
    in_memory, in_batch, read = (
        GaussianMixtureImputer().fit(each).mixture_ for each in (table, table.combine_chunks().to_batches()[0], path)
    )
    assert in_memory == in_batch == read


def test_decimals_are_converted_to_the_nearest_floats(library, tmp_path):
    X = rows_of(7)
    decimals = [*map(Decimal, ("0.1", "-2.7", "3", "1e-3", "123456.789", "0", "-0.13210"))]
    frame = library({"width": X[:, 0], "depth": decimals})
    np.testing.assert_array_equal(Frame.from_table(frame).rows("X")[:, 1], list(map(float, decimals)))
    path = str(tmp_path / "t.parquet")
    parquet.write_table(pa.table({"width": X[:, 0], "depth": decimals}), path)
    np.testing.assert_array_equal(gaussmix.open(path).whole.rows[:, 1], list(map(float, decimals)))


def test_integers_of_128_bits_are_converted_to_the_nearest_floats():
    values = [-(2**100), None, 0, 3, 10**30]
    frame = pl.DataFrame({"width": np.arange(5.0), "depth": pl.Series(values, dtype=pl.Int128)})
    expected = [np.nan if value is None else float(value) for value in values]
    np.testing.assert_array_equal(Frame.from_table(frame).rows("X")[:, 1], expected)
    indistinguishable = frame.with_columns(depth=pl.Series([10**30 + i for i in range(5)], dtype=pl.Int128))
    with pytest.raises(ValueError, match="column 'depth', contains integers of size"):
        GaussianMixture().fit(indistinguishable)


def test_fit_rejects_bytes_and_columns_of_bytes():
    with pytest.raises(TypeError, match=r"X must be a table, not b'rows.csv'. Pass the path of a file as a string"):
        GaussianMixture().fit(b"rows.csv")
    with pytest.raises(TypeError, match="contains bytes in row 0, column 'a'"):
        GaussianMixture().fit(pd.DataFrame({"a": [b"x"] * 4}))


def test_errors_for_unsupported_objects_explain_how_to_make_a_table():
    pairs = [(0.0, 1.0), (2.0, 5.0), (4.0, 2.0)]
    with pytest.raises(TypeError, match=r"X is a structured array. Convert it to a table: numpy\.lib"):
        GaussianMixture().fit(np.array(pairs, dtype=[("a", float), ("b", float)]))
    for X, name in (set(pairs), "set"), ((pair for pair in pairs), "generator"):
        with pytest.raises(TypeError, match=rf"Input X is of type {name}, not a table.*: list\(X\)"):
            GaussianMixture().fit(X)
    with pytest.raises(TypeError, match=r"If X yields tables, pass each to GaussianMixture\.partial_fit\.$"):
        GaussianMixture().fit(iter([np.zeros((2, 2))]))
    with pytest.raises(TypeError, match=r"Input X is an open file\. Pass the path of the file"):
        GaussianMixture().fit(StringIO("1,2\n3,4\n"))


def test_object_columns_of_pandas_are_accepted_if_all_values_are_numbers():
    X = rows_of(6)
    frame = pd.DataFrame(columns_of(X)).astype(object)
    np.testing.assert_array_equal(Frame.from_table(frame).rows("X"), X)
    frame.loc[2, "height"], frame.loc[3, "height"], frame.loc[4, "height"] = None, pd.NA, True
    np.testing.assert_array_equal(Frame.from_table(frame).rows("X")[2:5, 1], [np.nan, np.nan, 1.0])
    assert Frame.from_table(frame.assign(depth=[Decimal("1.5"), *X[1:, 2]])).rows("X")[0, 2] == 1.5
    check_error(frame.assign(depth=[*X[:5, 2], "six"]), ValueError, "contains text, 'six', in row 5, column 'depth'")


def test_a_lazy_frame_gives_the_same_fit_as_a_data_frame(rng):
    frame = pl.DataFrame(dict(zip(NAMES, rng.normal(size=(3, 60)), strict=True)))
    plain = GaussianMixture(2, random_state=0).fit(frame)
    lazy = GaussianMixture(2, random_state=0).fit(frame.lazy())
    assert lazy.mixture_ == plain.mixture_
    assert lazy.mixture_.feature_names == tuple(NAMES)
    assert np.array_equal(np.asarray(lazy.predict(frame.lazy())), plain.predict(frame))


def test_a_lazy_frame_of_an_old_polars_is_rejected(monkeypatch):
    monkeypatch.delattr(pl.LazyFrame, "collect_batches")
    with pytest.raises(TypeError, match=r"from polars 1\.34 on\. Pass X\.collect\(\)\."):
        GaussianMixture().fit(pl.LazyFrame({"a": [1.0]}))


def test_one_error_lists_all_invalid_columns():
    frame = pd.DataFrame({"a": [np.inf, 2.0, 1.0], "b": [np.inf, 3.0, 1.0], "c": [1.0, np.inf, 2.0]})
    with pytest.raises(TypeError) as caught:
        GaussianMixture().fit(frame.assign(plan="gold", since=pd.Timestamp("2020"), region="north"))
    messages = (
        "text in columns 'plan', 'region'",
        "dates, times or durations in column 'since'",
        "infinity in columns 'a', '",
    )
    assert all(f" contains {part}" in str(caught.value) for part in messages)
    numbers = frame.to_numpy()
    for X, columns in (frame, "columns 'b', 'c'"), (numbers, "columns 1, 2"), (frame[["b", "a"]], "column 'a'"):
        with pytest.raises(ValueError, match=rf"infinity: row \d.* \(counted from 0\).*, and in {columns} too"):
            GaussianMixture().fit(X)
