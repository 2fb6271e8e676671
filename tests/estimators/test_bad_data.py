"""Data that cannot be fitted raise an error of one sentence with the location, the value and a remedy."""

from types import MappingProxyType

import numpy as np
import pandas as pd
import polars as pl
import pytest
from many_blocks import ManyBlocks
from scipy import sparse
from sklearn.datasets import load_iris

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureClassifier, GaussianMixtureIC, GaussianMixtureImputer

ROWS = np.arange(60.0).reshape(20, 3) % 7
NAMES = ["height", "width", "depth"]
REST = pd.DataFrame({"height": [1.0, 2.0, 3.0, 4.0], "depth": [4.0, 6.0, 5.0, 1.0]})


def X_with(value, row=4, column=1, dtype=np.float64):
    rows = ROWS.astype(dtype)
    rows[row, column] = value
    return rows


# Name of the case → X, the error, a part of its message.
BAD_ROWS = {
    "NaN": (X_with(np.nan), ValueError, "contains NaN: row 4, column 1 (counted from 0). Remove or fill"),
    "NaN in float32": (X_with(np.nan, dtype=np.float32), ValueError, "contains NaN: row 4, column 1"),
    "the first of several": (X_with(np.nan) * [1, 1, np.nan], ValueError, "row 0, column 2 (counted from 0), and in"),
    "infinity": (X_with(np.inf), ValueError, "contains infinity: row 4, column 1"),
    "infinity in float32": (X_with(np.inf, dtype=np.float32), ValueError, "contains infinity: row 4, column 1"),
    "minus infinity": (X_with(-np.inf, 19, 2), ValueError, "contains infinity: row 19, column 2"),
    "infinities that cancel": (np.array([[np.inf], [-np.inf], [0.0]]), ValueError, "infinity: row 0, column 0"),
    "missing in a nullable column": (
        REST.assign(width=pd.array([1, 2, None, 4], dtype="Int64")),
        ValueError,
        "contains NaN: row 2 (counted from 0), column 'width'. Remove",
    ),
    "null in a polars column": (pl.DataFrame({"width": [1.0, None, 2.0]}), ValueError, "NaN: row 1 (counted from 0),"),
    "None before text": (np.array([[None, 2], [3, "wide"]], dtype=object), ValueError, "'wide', in row 1, column 1"),
    "None": (np.array([[1.0, 2], [None, 3], [4, 5]], dtype=object), ValueError, "contains NaN: row 1, column 0"),
    "too large to square": (X_with(1e154), ValueError, "contains 1e+154: row 4, column 1 (counted from 0). Its"),
    "too small to square": (ROWS * 1e-200, ValueError, "in column 0 (counted from 0): the square of this range"),
    "beyond float64": (ROWS.astype(np.longdouble) * np.longdouble("1e400"), ValueError, "infinity: row 0, column 1"),
    "a whole number beyond float64": ([[1, 2], [3, 10**400]], ValueError, "too large to convert to float, in row 1"),
    "text": (np.array([["1", "2"], ["3", "wide"]]), ValueError, "'wide', in row 1, column 1 (counted from 0). X must"),
    "pandas.NA in an array": (X_with(pd.NA, dtype=object), TypeError, "Pass the data frame, or replace pandas.NA"),
    "numbers that are text": (np.array([["1", "2"], ["3", "5"]]), ValueError, "X: '1' is text, in row 0, column 0 (co"),
    "numbers and text": ([[1.0, 2.0], [3.0, "5"]], ValueError, "Input X: '5' is text, in row 1, column 1"),
    "text among numbers": (np.array([[1, 2], [3, "wide"]], dtype=object), ValueError, "'wide', in row 1, column 1"),
    "text in a list": ([[1.0, 2.0], ["wide", 4.0]], ValueError, "'wide', in row 1, column 0"),
    "dates in an array": (ROWS.astype("datetime64[D]"), TypeError, "Input X contains dates, times or durations"),
    "a dictionary in a cell": (np.array([[1, {}], [2, 3]], dtype=object), TypeError, "not 'dict', in row 0, column 1"),
    "complex": (ROWS + 1j, ValueError, "Complex data not supported: X must contain real"),
    "complex in a frame": (pd.DataFrame(ROWS + 1j), ValueError, "Complex data not supported: X must contain real"),
    "arrays in a column": (pd.Series(list(ROWS)), ValueError, "column of arrays. Convert it to a table:"),
    "masked": (np.ma.masked_array(ROWS, ROWS > 4), ValueError, "Input X contains NaN"),
    "sparse array": (sparse.csr_array(ROWS), TypeError, "Sparse data was passed for X, but dense data is required."),
    "sparse matrix": (sparse.coo_matrix(ROWS), TypeError, "Use '.toarray()' to convert to a dense numpy array."),
    "no rows": (ROWS[:0], ValueError, "Found array with 0 sample(s) (shape=(0, 3)) while a minimum of 2 is required"),
    "one row": (ROWS[:1], ValueError, "Found array with 1 sample(s) (shape=(1, 3)) while a minimum of 2 is required"),
    "fewer rows than components": (ROWS[:2], ValueError, "n_samples >= n_components but got n_components = 3, n_samp"),
    "no columns": (ROWS[:, :0], ValueError, "Found array with 0 feature(s)"),
    "one dimension": (ROWS[:, 0], ValueError, "Expected 2D array, got 1D array instead"),
    "three dimensions": (ROWS[None], ValueError, "Found array with dim 3, while dim <= 2 is required"),
    "a number": (3.0, ValueError, "Expected 2D array, got scalar array instead"),
    "nothing": (None, ValueError, "Input X is None. Pass an array, a data frame, or the path of a file."),
    "a word": ("rows", FileNotFoundError, "No such file or directory: 'rows'"),
    "rows of unequal length": ([[1.0, 2.0], [3.0]], ValueError, "rows of different lengths: 2 in row 0 and 1 in row"),
    "a function": (ROWS.copy, TypeError, "Input X is a builtins.builtin_function_or_method, not a table."),
    "arrays by name": (MappingProxyType({"a": ROWS}), TypeError, "of several arrays. Pass one array: X[name]."),
    "a data set of scikit-learn": (load_iris(), TypeError, "Input X is a dictionary. Pass its table: X.data."),
    "a dictionary": ({"a": [1.0, 2.0]}, TypeError, "a dictionary. Convert it to a data frame: pandas.DataFrame(X)."),
}


def weight_at(row, value):
    weight = np.ones(20)
    weight[row] = value
    return weight


BAD_WEIGHTS = {
    "negative": (weight_at(7, -1.0), "sample_weight must be ≥ 0, but row 7 has -1.0"),
    "NaN": (weight_at(7, np.nan), "sample_weight must be a finite number, but row 7 has nan"),
    "masked": (np.ma.masked_array(weight_at(7, 1e6), np.arange(20) == 7), "row 7 has nan. A weight can't be"),
    "infinite": (weight_at(7, np.inf), "sample_weight must be a finite number, but row 7 has inf"),
    "all zero": (np.zeros(20), "sample_weight is zero for every row. At least one row needs"),
    "positive for too few rows": (weight_at(slice(2, None), 0), "n_components=3 rows of positive sample_weight"),
    "too large a sum": (np.full(20, 1e308), "sample_weight adds up to more than 1e+150; divide it by its maximum, 1"),
    "too few": (np.ones(19), "sample_weight.shape == (19,), expected (20,): one number for each row"),
    "a column": (np.ones((20, 1)), "Sample weights must be 1D array or scalar, got shape (20, 1)"),
    "a negative number": (-1.0, "sample_weight must be ≥ 0, but row 0 has -1.0"),
    "text": (["heavy"] * 20, "sample_weight must be an array of numbers: 'heavy' is text. Convert text to numbers"),
    "text of digits": (["1.5"] * 20, "sample_weight must be an array of numbers: '1.5' is text"),
    "text of digits among numbers": (np.array([1.0, "2"] * 10, dtype=object), "an array of numbers: '2' is text"),
    "the name of a column": ("w", "sample_weight='w' is text. Pass the values of the column, and leave"),
    "complex": (np.ones(20) + 1j, "sample_weight must be real numbers, not complex numbers"),
    "ragged": ([1.0, [2.0]], "sample_weight must be an array of numbers, but its lists have different lengths."),
    "a dictionary": ({"a": 1.0}, "sample_weight must be an array of numbers, not {'a': 1.0}."),
}

METHODS = "predict", "predict_proba", "score_samples", "score", "bic", "aic"


def check_message(error, sentence):
    """Check that the message contains the sentence, and that the traceback ends with this error alone."""
    assert sentence in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


# scikit-learn warns about this overflow for long doubles.
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(("X", "kind", "sentence"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_fit_rejects_invalid_rows(X, kind, sentence):
    mixture = GaussianMixture(3, missing="error")
    with pytest.raises(kind) as error:
        mixture.fit(X)
    check_message(error, sentence)
    assert not [name for name in vars(mixture) if name.endswith("_")]


@pytest.mark.parametrize(("weight", "sentence"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_fit_rejects_an_invalid_sample_weight(weight, sentence):
    with pytest.raises(ValueError, match="ample") as error:
        GaussianMixture(3).fit(ROWS, sample_weight=weight)
    check_message(error, sentence)


@pytest.mark.parametrize("method", ["score", "bic", "aic"])
def test_scores_reject_a_negative_sample_weight(method):
    mixture = GaussianMixture(2, random_state=0).fit(ROWS)
    with pytest.raises(ValueError, match=r"sample_weight must be ≥ 0, but row 7 has -1\.0"):
        getattr(mixture, method)(ROWS, sample_weight=weight_at(7, -1.0))


@pytest.mark.parametrize("method", METHODS)
def test_methods_of_a_fitted_estimator_reject_nan_if_missing_is_error(method):
    mixture = GaussianMixture(2, missing="error", random_state=0)
    call = getattr(mixture.fit(pd.DataFrame(ROWS, columns=NAMES)), method)
    with pytest.raises(ValueError, match=r"contains NaN: row 4 \(counted from 0\), column 'width'"):
        call(pd.DataFrame(X_with(np.nan), columns=NAMES))


@pytest.mark.parametrize("method", METHODS)
def test_methods_of_a_fitted_estimator_reject_another_number_of_features(method):
    call = getattr(GaussianMixture(2, random_state=0).fit(ROWS), method)
    for wrong in ROWS[:, :2], np.c_[ROWS, ROWS]:
        with pytest.raises(ValueError, match=f"X has {wrong.shape[1]} features, but GaussianMixture is expecting 3"):
            call(wrong)
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
        call(ROWS[0])
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        call(ROWS[:0])


def test_values_whose_squares_overflow_are_rejected_by_fit_but_not_by_predict():
    X = np.array([[1.0], [1.5e308], [-1.7e308], [2.0]])  # the sum and the difference of these values also overflow
    with pytest.raises(ValueError, match=r"contains 1.5e\+308: row 1, column 0 .* rescale the column"):
        GaussianMixture(1).fit(X)
    mixture = GaussianMixture(2, random_state=0).fit([[0.0], [1.0], [9.0], [11.0]])
    assert np.isfinite(mixture.score_samples(X)).all()
    assert mixture.predict_proba(X).sum(axis=1) == pytest.approx(1, rel=1e-15)


CONSTANT = "constant, so that the variance there is only the automatic reg_covar .* Leave out constant columns"


@pytest.mark.parametrize("value", [0.0, 3.0, -1e5])
def test_fit_warns_of_a_constant_column_by_name(value, rng, covariance_type):
    rows = rng.normal(size=(60, 3))
    rows[:, 1] = value
    if covariance_type == "spherical":  # no warning, because a spherical variance is the mean over all columns
        GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(rows)
        return
    with pytest.warns(RuntimeWarning, match=rf"^Column 1 \(counted from 0\) of X is {CONSTANT}") as caught:
        GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(rows)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(RuntimeWarning, match=rf"^Column 'b' is {CONSTANT}"):
        GaussianMixture(covariance_type=covariance_type).fit(pd.DataFrame(rows, columns=["a", "b", "c"]))


def test_fit_warns_of_a_column_that_is_constant_among_rows_of_positive_weight(rng):
    rows = rng.normal(size=(60, 4))
    rows[:50, [0, 3]] = 2.0
    GaussianMixture(random_state=0).fit(rows)
    with pytest.warns(RuntimeWarning, match=rf"^Columns 0, 3 \(counted from 0\) of X are {CONSTANT}"):
        GaussianMixture().fit(rows, sample_weight=np.arange(60) < 50)
    GaussianMixture(reg_covar=1e-6).fit(rows, sample_weight=np.arange(60) < 50)  # no warning with a chosen ridge


@pytest.mark.parametrize("names", [None, ["a", "b", "c"]])
def test_every_estimator_warns_of_a_constant_column_by_name(names, rng):
    rows, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    rows[:, 2] = 5.0
    X = rows if names is None else pd.DataFrame(rows, columns=names)
    where = r"2 \(counted from 0\) of X" if names is None else "'c'"
    for fit in (
        lambda: GaussianMixtureIC([1, 2], covariance_type="diag", reg_covar="auto", random_state=0).fit(X),
        lambda: GaussianMixtureClassifier().fit(X, y),
        lambda: gaussmix.GaussianMixtureDetector().fit(X),
        lambda: GaussianMixtureImputer().fit(X),
        lambda: gaussmix.GaussianMixtureRegressor(targets=0).fit(X),
    ):
        with pytest.warns(RuntimeWarning, match=rf"^Column {where} is {CONSTANT}") as caught:
            fit()
        assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("names", [None, ["a", "b", "c"]])
def test_a_classifier_warns_of_a_column_that_is_constant_in_one_class(names, rng):
    rows, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    rows[y == 1, 2] = 5.0
    X = rows if names is None else pd.DataFrame(rows, columns=names)
    where = r"2 \(counted from 0\) of X" if names is None else "'c'"
    with pytest.warns(RuntimeWarning, match=rf"lass 1: Column {where} is {CONSTANT}"):
        GaussianMixtureClassifier(1).fit(X, y)


@pytest.mark.parametrize("n_rows", [50, 70])
def test_a_source_that_yields_another_number_of_rows_than_n_rows_is_rejected(n_rows, rng):
    source = ManyBlocks(rng.normal(size=(60, 2)))
    source.n_rows = n_rows
    with pytest.raises(ValueError, match=rf"X\.n_rows is {n_rows}, but X\.blocks\(\) gave 60 rows in total"):
        GaussianMixture().fit(source)
