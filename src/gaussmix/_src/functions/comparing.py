"""The function `compare`, which makes a table of several fits to the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import _safe_indexing as rows_of
from sklearn.utils.validation import _num_samples

from gaussmix._src.checks import check_count
from gaussmix._src.errors import ParameterTypeError, warn
from gaussmix._src.estimators.mixture_estimator import MixtureEstimator
from gaussmix._src.fit.after.stability import equal_pairs, weight_of_self_pairs
from gaussmix._src.fit.candidates import Folds
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.frames import made_frame
from gaussmix._src.validation.incomplete import select_errors
from gaussmix._src.validation.rows import check_row_weight, row_count_of_weights

SHOWN_COLUMNS = "structure", "n_components", "n_parameters", "log_likelihood", "bic", "icl"


def compare(
    fits: Mapping[str, Any],
    X: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    X_error: ArrayLike | None = None,
    cv: int | None = None,
) -> Any:
    """Compare several estimators that were fitted to the same rows, and return a table.

    Parameters
    ----------
    fits : dictionary of names and fitted estimators, such as ``{"two": gm2, "three": gm3}``. The estimators may belong
        to different classes.
    X : the rows to which all estimators were fitted, (n_samples, n_features), in memory, in the units of the data.
    sample_weight : weights of the rows, (n_samples,), ≥ 0. Rows of weight 0 are ignored.
    X_error : measurement errors of X, in the format of the parameter `X_error` of `fit`.
    cv : number of folds for cross-validation, at least 2, or None for no cross-validation. For each fold, a clone of
        each estimator is fitted without labels to the rows outside the fold. The sizes of the folds differ by at most
        one row.

    Returns
    -------
    frame : data frame with one row per fit, sorted by BIC, with the lowest BIC first. The data frame is from the
        library of X or, if X is not a data frame, from the first of pandas, polars and pyarrow that is installed. The
        columns "name", "structure", "n_components", "n_parameters", "log_likelihood" (in nats, summed over rows), "bic"
        and "icl" (lower is better) describe each fit. The column "bic_above" is the difference from the lowest BIC. The
        column "agreement" is the adjusted Rand index (Hubert & Arabie 1985) between the labels of the fit and the
        labels of the fit with the lowest BIC. A row of weight 2 counts as two rows in the index, unless the fit with
        the lowest BIC has ``weight_type="precision"``. If `cv` is given, the column "cv" is the mean log density of
        held-out rows (in nats, higher is better), and "cv_se" is the standard error of "cv", computed from the folds.

    Warns
    -----
    RuntimeWarning : an estimator was fitted to a different number or total weight of rows, or an estimator was fitted
        with `X_error`, but `compare` is called without `X_error`.

    Raises
    ------
    NotFittedError : one of the estimators is not fitted.
    TypeError : `fits` is not a dictionary of names and mixture estimators, or an estimator has no BIC because it is
        Bayesian.
    ValueError : `fits` is empty, or X, `sample_weight` or `cv` is not valid.
    ImportError : neither pandas nor polars nor pyarrow is installed.

    Notes
    -----
    A difference of BIC above 10 is very strong evidence for the fit with the lower BIC (Kass & Raftery 1995, JASA 90,
    eq. 9 and the table after eq. 9).

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture, compare
    >>> X = np.random.default_rng(0).normal(np.repeat([0.0, 9.0], 100)[:, None], size=(200, 2))
    >>> fits = {f"{k} of {s}": GaussianMixture(k, covariance_type=s).fit(X) for k in (1, 2) for s in ("full", "tied")}
    >>> compare(fits, X)[["name", "n_parameters", "bic", "agreement"]].round(1)
            name  n_parameters     bic  agreement
    0  2 of tied             8  1447.3        1.0
    1  2 of full            11  1460.4        1.0
    2  1 of full             5  1888.5        0.0
    3  1 of tied             5  1888.5        0.0
    """
    _check_fits(fits)
    rows, weight, error = _without_weight_0(X, sample_weight, X_error)
    summaries = [fit.summary(rows, weight, X_error=error) for fit in fits.values()]
    for (name, fit), summary in zip(fits.items(), summaries, strict=True):
        if "icl" not in summary.statistics:
            raise ParameterTypeError(f"fits[{name!r}] has no BIC. Compare Bayesian fits by their lower_bound_.")
        _warn_of_other_rows(name, fit, summary.statistics["n_rows"], weight, X_error)
    columns = {"name": [*fits]} | {name: [each.statistics[name] for each in summaries] for name in SHOWN_COLUMNS}
    order = np.argsort(columns["bic"], kind="stable")
    best = [*fits.values()][order[0]]
    labels = [fit.predict(rows, X_error=error) for fit in fits.values()]
    columns["bic_above"] = [bic - columns["bic"][order[0]] for bic in columns["bic"]]
    frequency = np.ones(len(labels[0])) if weight is None or best.weight_type == "precision" else weight
    columns["agreement"] = [_adjusted_rand(labels[order[0]], each, frequency) for each in labels]
    if cv is not None:
        n_rows = summaries[0].statistics["n_rows"]
        if check_count("cv", cv, 2) > n_rows:
            raise ValueError(f"cv={cv}, but X has only {n_rows} rows of positive weight. Use fewer folds.")
        fold = Folds(cv, 0).assign_folds(slice(0, n_rows))
        scores = [_cross_validate(fit, fold, rows, weight, error) for fit in fits.values()]
        columns["cv"], columns["cv_se"] = ([*part] for part in np.transpose(scores))
    return made_frame(
        {name: [values[i] for i in order] for name, values in columns.items()}, summaries[0].frame_library
    )


def _check_fits(fits: Any) -> None:
    """Raise TypeError or ValueError if `fits` is not a dictionary of names and estimators with at least one entry."""
    if not isinstance(fits, Mapping):
        raise ParameterTypeError('fits must be a dictionary of fitted estimators, such as {"two": gm2, "three": gm3}.')
    for name, fit in fits.items():
        if not isinstance(fit, MixtureEstimator):
            raise ParameterTypeError(f"fits[{name!r}] must be a GaussianMixture or GaussianMixtureIC, not {fit!r:.50}.")
    if not fits:
        raise ValueError("fits is empty. Pass at least one fitted estimator.")


def _without_weight_0(X: Any, sample_weight: ArrayLike | None, error: ArrayLike | None) -> tuple[Any, ...]:
    """Return X, the checked weights and the measurement errors, all without the rows of weight 0."""
    weight = None if sample_weight is None else check_row_weight(sample_weight, _num_samples(X))
    if weight is None or weight.all():
        return X, weight, error
    return _select(np.flatnonzero(weight), X, weight, error, len(weight))


def _select(indices: NDArray[np.intp], X: Any, weight: Any, error: Any, n_rows: int) -> tuple[Any, ...]:
    """Return some of `n_rows` rows of X, their weights and their measurement errors."""
    selected_errors = None if error is None else select_errors(error, indices, n_rows)
    return rows_of(X, indices), None if weight is None else weight[indices], selected_errors


def _warn_of_other_rows(name: str, fit: Any, n_rows: int, weight: Any, error: ArrayLike | None) -> None:
    """Warn if a fit was made to rows with another total weight, or with measurement errors that were not passed."""
    fitted_rows = fit._fitted.row_summary
    if fitted_rows is None:
        return
    # A fit scales precisions to sum to the number of rows.
    total = float(n_rows if weight is None or fit.weight_type == "precision" else weight.sum())
    # Weights with a total below 2 are treated as proportions. A fit rescales them, so their totals are not compared.
    if total >= 2 and not np.isclose(fitted_rows.row_weight, total, rtol=1e-6):
        other_rows = f"rows with total weight {fitted_rows.row_weight:g}"
        warn(f"fits[{name!r}] was fitted to {other_rows}, but X has {total:g}.", RuntimeWarning)
    if fitted_rows.has_errors and error is None:
        warn(f"fits[{name!r}] had X_error, but compare treats X as exact. Pass X_error to compare.", RuntimeWarning)


def _adjusted_rand(one: Any, other: Any, weight: Array) -> float:
    """Compute the adjusted Rand index of labels, in which a row of weight 2 counts as two rows.

    Hubert & Arabie (1985), Journal of Classification 2, eq. 5. Pairs of rows are weighted as in `fowlkes_mallows`.
    """
    weight = weight * (row_count_of_weights(weight.sum(), len(weight)) / weight.sum())
    (rows, columns), codes = zip(*(np.unique(each, return_inverse=True) for each in (one, other)), strict=True)
    table = np.zeros((len(rows), len(columns)))
    np.add.at(table, codes, weight)
    self_pairs = weight_of_self_pairs(weight)
    n_pairs = table.sum() ** 2 - self_pairs
    both, first, second = np.array(equal_pairs(table, self_pairs)) / (n_pairs if n_pairs > 0 else 1)
    expected, largest = first * second, (first + second) / 2
    return float((both - expected) / (largest - expected)) if largest > expected else 1.0


def _cross_validate(fit: Any, folds: NDArray[np.intp], X: Any, weight: Any, error: Any) -> tuple[float, float]:
    """Return the cross-validated mean log density of the rows, and the standard error, computed from the folds.

    `folds` contains the index of each row's fold, (n_samples,). The rows of a fold are scored with a fit to the rows of
    all other folds.
    """
    scores, weights = [], []
    alone = {name: None for name in ("checkpoint",) if name in fit.get_params()}  # fits to folds write no files
    for index in range(folds.max() + 1):
        parts = (np.flatnonzero(is_part) for is_part in (folds != index, folds == index))
        (rows, w, e), fold = (_select(part, X, weight, error, len(folds)) for part in parts)
        again = clone(fit).set_params(**alone).fit(rows, sample_weight=w, X_error=e)
        scores.append(again.score(fold[0], sample_weight=fold[1], X_error=fold[2]))
        weights.append(np.sum(folds == index) if fold[1] is None else fold[1].sum())
    fractions, mean = np.array(weights) / np.sum(weights), np.average(scores, weights=weights)
    # The mean is a ratio of two sums over the folds; Cochran (1977), "Sampling Techniques", section 6.4.
    squares = np.sum((fractions * (scores - mean)) ** 2)
    return float(mean), float(np.sqrt(len(scores) / (len(scores) - 1) * squares))
