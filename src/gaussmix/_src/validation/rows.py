"""Check X and `sample_weight`, and convert them to rows and row weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from gaussmix._src import numerics, validation
from gaussmix._src.errors import ParameterTypeError, cell_named, column_named, counted, listed, warn
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.numerics.arrays import Array, Rows, copied, plain_array
from gaussmix._src.numerics.rows import MAX_TOTAL_WEIGHT, MIN_MERGED_INTEGER, bad_cell, in_whole_steps, merging_error
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.opening import is_table, open
from gaussmix._src.sources.row_statistics import Cells, Fingerprint
from gaussmix._src.validation.parameters import check_name, check_row_floats

RowsLike = ArrayLike | Source | PathLike[str]  # type of X; lazy frames work, but type checkers reject them

MIN_ROWS = 2  # minimum number of rows for a fit
MIN_WEIGHT = 2.0**-800  # products of smaller weights are near the smallest double and therefore lose digits
WEIGHT_TYPES = "frequency", "precision"
check_weight_type = partial(check_name, "weight_type", known=WEIGHT_TYPES)


def check_source(
    estimator: BaseEstimator,
    X: RowsLike,
    sample_weight: ArrayLike | None = None,
    *,
    reset: bool,
    may_miss: bool = False,
    is_stream: bool = False,
) -> Source:
    """Check X and its weights, and return a source of the weighted rows.

    If X is a source, X must already contain the weights, and X itself is returned after the checks. Missing values are
    allowed if `may_miss`. If `is_stream`, X may have a single row, and all weights may be 0.

    Raises ValueError if X has text, complex, masked or non-finite numbers, numbers too large for a fit, or the wrong
    number of dimensions, samples or features. ValueError is also raised if weights are invalid, or if X is a source and
    `sample_weight` is passed. Raises TypeError for a sparse matrix, dates, times or durations, or values that are
    neither numbers nor text.
    """
    if isinstance(X, bytes):
        raise ParameterTypeError(f"X must be a table, not {X!r:.60}. Pass the path of a file as a string.")
    if not isinstance(X, np.ndarray):
        if hasattr(X, "__dlpack_device__") and get_config()["array_api_dispatch"]:
            from gaussmix._src.sources.device import open_device  # needed only for arrays on a device

            X = _weight_on_device(open_device(X, are_squared=reset or is_stream), sample_weight)
            sample_weight = None
        elif is_table(X):
            X = open_table(X, None if reset else vars(estimator).get("feature_names_in_"), may_miss=may_miss)
    if isinstance(X, Source):
        if X.may_miss and not may_miss:
            raise ValueError(
                f"X was opened with missing=True, but this {type(estimator).__name__} does not support missing values. "
                "Open X without missing=True, or fill missing values with GaussianMixtureImputer first."
            )
        if sample_weight is not None:
            raise ValueError(
                "The rows of files, clusters and Dask arrays contain their weights. Remove sample_weight, and name the "
                "column of weights in gaussmix.open(…, weights=…)."
            )
        return _check_fit_source(estimator, X, is_stream=is_stream) if reset else _check_fitted_features(estimator, X)
    rows, is_missing = _check_rows(estimator, X, reset=reset, may_miss=may_miss, is_stream=is_stream)
    weight = None if sample_weight is None else check_row_weight(sample_weight, len(rows), may_vanish=is_stream)
    source = ArraySource(rows, weight)
    source.may_miss = is_missing
    if is_stream:
        source.integer_columns = [*_integer_columns(X)]  # checked later, because a call may have few rows
    if reset and is_missing:
        check_empty_columns(source, getattr(estimator, "feature_names_in_", None))
    return source


def open_table(X: Any, names: Any, *, may_miss: bool) -> Source:
    """Open a table; read only the columns `names` from files that have them, without notices about other columns."""
    if names is not None and isinstance(X, str | PathLike):
        with suppress(ValueError):  # raised again below, or described better when features are compared
            return open(X, columns=[*names], missing=may_miss)
    return open(X, missing=may_miss)


def _weight_on_device(source: Any, sample_weight: ArrayLike | None) -> Source:
    """Return a `DeviceSource` with checked row weights; `sample_weight` may be on the device."""
    if sample_weight is None:
        return source
    if not source.is_in_library_of_rows(sample_weight):
        sample_weight = check_row_weight(sample_weight, source.n_rows)
    source = source.weighted(sample_weight)
    # `check_row_weight` scales tiny weights in memory; weights on the device are scaled here.
    is_tiny = (source.row_totals.largest_weight or 0.0) < MIN_WEIGHT
    return source.reweighted(1 / MIN_WEIGHT) if is_tiny else source


def _check_fit_source(estimator: BaseEstimator, X: Source, *, is_stream: bool) -> Source:
    """Check and return a source for a fit, and store the names and number of its features in the estimator."""
    vars(estimator).pop("feature_names_in_", None)
    if X.feature_names is not None:
        estimator.feature_names_in_ = np.array(X.feature_names, dtype=object)
    estimator.n_features_in_ = X.n_features
    if not is_stream:
        if X.n_rows < MIN_ROWS:  # the message is the same as in scikit-learn
            raise ValueError(
                f"Found array with {X.n_rows} sample(s) (shape={(X.n_rows, X.n_features)}) while a minimum of "
                f"{MIN_ROWS} is required by {type(estimator).__name__}."
            )
        if getattr(estimator, "checkpoint", None) is not None:
            X.collect(Fingerprint)  # collected first, so that one pass computes all statistics
        n_rows = X.row_totals.n_rows
        if n_rows != X.n_rows:
            raise ValueError(f"X.n_rows is {X.n_rows}, but X.blocks() gave {n_rows} rows in total. Correct X.n_rows.")
        low, high = X.collect(Cells).ends
        _check_ranges(low, high, X.feature_names)
        _check_integers(X.integer_columns, X.feature_names, low, high, X.sum_of)
    return check_empty_columns(X, X.feature_names) if X.may_miss else X


def check_empty_columns(source: Source, names: Any) -> Source:
    """Return the source, with `may_miss` False if no value is missing; raise ValueError for a column without values."""
    cells = source.collect(Cells)
    empty = np.flatnonzero(cells.n_seen == 0)
    if empty.size:
        column = int(empty[0])
        where = column_named(column, names)
        if cells.n_missing[column] < source.n_rows:
            n_positive = counted(source.row_totals.n_positive, "row")
            raise ValueError(
                f"Input X has no value in {where} among the {n_positive} with a positive sample_weight. Give more rows "
                "a positive weight, or drop the column."
            )
        why = " An X_error above 1.3e154 counts as infinite, because its square overflows." if source.has_errors else ""
        raise ValueError(f"Input X has no value at all in {where}, so it can't be fitted. Drop the column.{why}")
    if not cells.n_missing.any():
        source = source.without_states()
        source.may_miss = False
    return source


def _check_fitted_features(estimator: BaseEstimator, X: Source) -> Source:
    """Return the source X; raise ValueError if the features of X differ from the features of the training data."""
    before, name = getattr(estimator, "feature_names_in_", None), type(estimator).__name__
    if before is not None and X.feature_names is not None and list(before) != list(X.feature_names):
        raise ValueError(
            f"The columns of X are {listed(X.feature_names)}, but {name} was fitted with {listed(before)}. Open X by "
            "gaussmix.open(…, columns=list(estimator.feature_names_in_))."
        )
    if X.n_features != getattr(estimator, "n_features_in_", X.n_features):  # the same message as in scikit-learn
        raise ValueError(
            f"X has {X.n_features} features, but {name} is expecting {estimator.n_features_in_} features as input."
        )
    return X


def check_enough_rows(source: Source, n_components: int, advice: str = "Lower n_components.") -> None:
    """Raise ValueError if there are fewer rows than components, or fewer rows of positive weight than components."""
    if source.n_rows < n_components:
        counts = f"n_components = {n_components}, n_samples = {source.n_rows}"
        raise ValueError(f"Expected n_samples >= n_components but got {counts}. {advice}")
    n_positive = source.row_totals.n_positive
    if n_positive < n_components:
        expected = f"Expected at least n_components={n_components} rows of positive sample_weight"
        raise ValueError(f"{expected}, but got {n_positive}. {advice}")


def _check_rows(estimator: BaseEstimator, X: Any, *, reset: bool, may_miss: bool, is_stream: bool) -> tuple[Rows, bool]:
    """Return the rows of X (n_samples, n_features) in float32 or float64, and whether values are missing.

    Rows are copied only if they must be converted. For a stream, the largest allowed value is computed for `LEAF_ROWS`
    rows, whatever the number of rows in a call.
    """
    rows = as_rows(estimator, X, MIN_ROWS if reset and not is_stream else 1, reset=reset)
    largest, names = numerics.rows.MAX_DOUBLE, getattr(estimator, "_names", None)
    if reset or is_stream:
        largest = numerics.rows.largest_of(LEAF_ROWS if is_stream else len(rows))
    cell = bad_cell(rows, largest)
    is_missing = may_miss and cell is not None
    if is_missing:
        cell = bad_cell(rows, largest, may_miss=True)
    if cell is not None:
        where = cell_named(cell.row, cell.column, names) + numerics.frames.also_in(
            rows, cell, largest, names, is_missing
        )
        raise ValueError(f"Input X contains {cell.name}: {where}. {cell.advice}")
    if reset and not is_stream:
        low, high = numerics.rows.extremes(rows).astype(np.float64)
        _check_ranges(low, high, names)
        large = ((low <= -MIN_MERGED_INTEGER) | (high >= MIN_MERGED_INTEGER)).nonzero()[0].tolist()
        if large:
            columns = sorted(set(large) & set(_integer_columns(X)))
            _check_integers(columns, names, low, high, Block(0, rows).sum_of)
    return in_whole_steps(rows), is_missing


def as_rows(estimator: BaseEstimator, X: ArrayLike, least: int, *, reset: bool) -> Rows:
    """Return the rows of an array or data frame, with unchecked values; raise ValueError for fewer than `least`."""
    # scikit-learn would not convert these arrays, but its checks would take as long as `predict` of a few rows.
    if type(X) is np.ndarray and X.ndim == 2 and X.dtype in (np.float64, np.float32) and len(X) >= least:
        n_features = X.shape[1]
        if n_features and "feature_names_in_" not in vars(estimator):
            if reset:
                estimator.n_features_in_ = n_features
            if getattr(estimator, "n_features_in_", n_features) == n_features:
                return X
    return _validate(estimator, X, least, reset=reset)


# Options of scikit-learn's checks; `bad_cell` finds values that are not finite, with better messages.
_SKLEARN_OPTIONS: dict[str, Any] = {"dtype": [np.float64, np.float32], "ensure_all_finite": False}


def _validate(estimator: BaseEstimator, X: Any, least: int, *, reset: bool) -> Rows:
    """Convert X to rows with the functions of scikit-learn; raise the same errors as `check_source`."""
    X = plain_array(X)
    frame = numerics.frames.Frame.from_table(X)
    if frame is not None:
        return _from_frame(estimator, frame, least, reset=reset)
    if _kind_code(X) in "mM":  # NumPy would convert times to integers (missing times to −9.2e18)
        raise ParameterTypeError(numerics.frames.times_sentence("Input X"))
    try:
        rows: Rows = validate_data(estimator, _as_doubles(X), reset=reset, ensure_min_samples=least, **_SKLEARN_OPTIONS)
    except (TypeError, ValueError, OverflowError) as error:
        if str(error).startswith("Complex data not supported"):  # scikit-learn's message would contain all of X
            raise ValueError(numerics.frames.COMPLEX) from None
        validation.invalid_rows.check_cells(X, getattr(estimator, "feature_names_in_", None))
        raise
    if np.asarray(X).dtype.kind in "OSU":  # NumPy may have converted texts to numbers
        validation.invalid_rows.check_cells(X, getattr(estimator, "feature_names_in_", None), are_converted=True)
    return rows


def _from_frame(estimator: BaseEstimator, frame: numerics.frames.Frame, least: int, *, reset: bool) -> Rows:
    """Return the rows of a data frame, after scikit-learn has compared its column names with the training data.

    This function raises the same errors as `check_source`.
    """
    validate_data(estimator, frame.native, reset=reset, skip_check_array=True)
    rows = frame.rows("Input X")
    checked: Rows = check_array(rows, ensure_min_samples=least, estimator=estimator, **_SKLEARN_OPTIONS)
    return checked


def _as_doubles(X: Any) -> Any:
    """Convert a NumPy array of numbers (2-D) to floats, as scikit-learn would; return any other object unchanged."""
    if type(X) not in (np.ndarray, np.memmap) or X.ndim != 2 or X.dtype.kind not in "biuf":
        return X
    return X if X.dtype in (np.float64, np.float32) else copied(X)


def _check_integers(columns: Iterable[int], names: Any, low: Array, high: Array, sum_of: Callable[..., Any]) -> None:
    """Raise ValueError if different integers of one of the `columns` may have been rounded to the same double.

    `low` and `high` are the smallest and the largest values of all columns of X, (n_features,). The check sees only
    doubles, because files, clusters and data frames with missing values convert integers to doubles. Rounded integers
    nearly always include odd multiples of the spacing of doubles. Therefore a column with such values is rejected, even
    if its integers were exact.

    `sum_of` is the method `Source.sum_of` or `Block.sum_of` of all rows.
    """
    for column in columns:
        least, largest = float(low[column]), float(high[column])
        step = numerics.rows.merging_step(least, largest)
        if step and (least == largest or sum_of(partial(_has_odd_multiples, column=column, step=step))):
            raise merging_error(f"Input X, {column_named(column, names)},", least, largest, largest - least + step)


def _has_odd_multiples(leaf: Block, column: int, step: float) -> np.bool_:
    """Return whether some values of a column are not multiples of 2 · `step`."""
    values = leaf.rows[:, column]
    return (np.fmod(values[~np.isnan(values)], 2 * step) != 0).any()


def _integer_columns(X: Any) -> Collection[int]:
    """Return the indices of the columns of integers in an array, or of long integers in a data frame."""
    frame = numerics.frames.Frame.from_table(X)
    if frame is not None:
        return frame.integer_columns()
    array = np.asarray(X, dtype=object) if isinstance(X, list | tuple) else np.asarray(plain_array(X, None))
    if array.dtype.kind == "O":
        return [index for index, column in enumerate(array.T) if numerics.frames.are_integers(column)]
    return range(array.shape[1]) if array.dtype.kind in "iu" else ()


def _check_ranges(low: Array, high: Array, names: Any) -> None:
    """Raise ValueError for a column whose squared range underflows. For a column without values, both are NaN."""
    spread = high - low
    vanishing = (spread > 0) & (spread < numerics.rows.MIN_SPREAD)
    if vanishing.any():
        column = int(vanishing.argmax())
        raise ValueError(
            f"Input X varies by only {spread[column]:.3g} in {column_named(column, names)}: the square of this range "
            "underflows. Rescale the columns of X."
        )


def _kind_code(X: Any) -> str:
    """Return NumPy's kind code, such as "f", for the values of an array or a data frame."""
    try:
        return np.asarray(X[:1]).dtype.kind
    except (TypeError, ValueError, LookupError, OverflowError, NotImplementedError):
        return "?"  # for objects that are not tables; scikit-learn then raises an error


def check_row_weight(sample_weight: ArrayLike, n_rows: int, *, may_vanish: bool = False) -> Array:
    """Check row weights, and return them as float64 numbers (n_rows,). If `may_vanish`, all weights may be 0.

    Raises ValueError if weights are not finite numbers ≥ 0, have the wrong shape, are all 0, or have a sum that is too
    large.
    """
    weight = convert_row_weight(sample_weight, n_rows)
    for wrong, what in ((~np.isfinite(weight), "a finite number"), (weight < 0, "≥ 0")):
        if wrong.any():
            row = int(wrong.argmax())
            hint = " A weight can't be missing. Use 0 to leave the row out." if np.isnan(weight[row]) else ""
            raise ValueError(f"sample_weight must be {what}, but row {row} has {weight[row]}.{hint}")
    with np.errstate(over="ignore"):
        if not weight.sum() <= MAX_TOTAL_WEIGHT:
            raise ValueError(
                f"sample_weight adds up to more than {MAX_TOTAL_WEIGHT:g}; divide it by its maximum, {weight.max()}."
            )
    if not (weight.any() or may_vanish):
        raise ValueError("sample_weight is zero for every row. At least one row needs a positive weight.")
    if 0 < weight.max(initial=0.0) < MIN_WEIGHT:  # scaling by a power of 2 is exact
        weight = weight / MIN_WEIGHT
    return in_whole_steps(weight)


def convert_row_weight(sample_weight: ArrayLike, n_rows: int) -> Array:
    """Return row weights as float64 numbers (n_rows,), whose values are not checked; raises ValueError for shapes."""
    weight = check_row_floats("sample_weight", sample_weight)
    if weight.ndim == 0:
        weight = np.full(n_rows, float(weight))
    if weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got shape {weight.shape}.")
    if weight.shape != (n_rows,):
        raise ValueError(f"sample_weight.shape == {weight.shape}, expected {(n_rows,)}: one number for each row.")
    return weight


def scale_precisions(source: Source, weight_type: str) -> Source:
    """Scale precisions so that their mean over rows of positive weight is 1; leave frequencies unchanged."""
    is_precision = check_weight_type(weight_type) == "precision"
    return _scale_to_mean_1(source) if is_precision and source.row_totals.largest_weight is not None else source


def _scale_to_mean_1(source: Source) -> Source:
    """Scale weights so that their mean over rows with a positive weight and an observed value is 1."""
    # Tiny weights are first scaled by a power of 2, because n_rows / total could overflow.
    scaled = source.reweighted(1 / MIN_WEIGHT) if source.row_totals.total_weight < MIN_WEIGHT else source
    total, n_rows = _observed_rows(scaled)
    scaled = scaled.reweighted(n_rows / total)
    scaled.feature_names, scaled.may_miss = source.feature_names, source.may_miss
    return scaled


def scale_fractional_weights(source: Source, weight_type: str = WEIGHT_TYPES[0], *, is_silent: bool = False) -> Source:
    """Scale weights that sum to less than 2, because criteria such as BIC use the sum of weights as the number of rows.

    With such weights, for example weights that were normalised to sum to 1, the penalty log Σs would be small or
    negative. They are treated as proportions: they are scaled to sum to the number of rows of positive weight, and a
    warning is issued unless `is_silent`. Precisions (with `weight_type="precision"`) are always scaled.
    """
    source = scale_precisions(source, weight_type)
    n_rows = count_rows(source)
    if n_rows == _observed_rows(source)[0]:
        return source
    if not is_silent:
        warn(
            "sample_weight sums to less than 2, but criteria such as BIC need a row count. The weights are treated as "
            f"proportions and scaled to sum to {n_rows:.0f}, the number of rows of positive weight. "
            "Pass frequencies (a row of weight 2 counts as two rows). For precisions, set weight_type='precision'."
        )
    return _scale_to_mean_1(source)


def count_rows(source: Source) -> float:
    """Return the number of rows for criteria such as BIC: the total weight or, if it is below 2, a count of rows.

    Rows of weight 0 and rows without any observed value are not counted.
    """
    if source.row_totals.largest_weight is None and not source.may_miss:
        return float(source.row_totals.total_weight)
    total, n_rows = _observed_rows(source)
    return total if source.row_totals.largest_weight is None else row_count_of_weights(total, n_rows)


def _observed_rows(source: Source) -> tuple[float, int]:
    """Return the total weight, and the number, of rows with a positive weight and at least one observed value."""
    total, n_rows = float(source.row_totals.total_weight), source.row_totals.n_positive
    if not source.may_miss:
        return total, n_rows
    cells = source.collect(Cells)
    return total - cells.empty_weight, n_rows - cells.n_empty


def row_count_of_weights(total: float, n_rows: int) -> float:
    """Return the number of rows for criteria such as BIC, given the sum `total` of `n_rows` positive weights."""
    return total if total >= min(2, n_rows) else float(n_rows)
