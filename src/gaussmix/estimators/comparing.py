"""A table of several fits to the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import KFold
from sklearn.utils import _safe_indexing as rows_of

from gaussmix.checks import check_count
from gaussmix.estimators.mixture_estimator import MixtureEstimator
from gaussmix.numerics.frames import made_frame

SHOWN = "structure", "n_components", "n_parameters", "log_likelihood", "bic", "icl"


def compare(
    fits: Mapping[str, Any], X: ArrayLike, sample_weight: ArrayLike | None = None, *, cv: int | None = None
) -> Any:
    """Compare several fits on the same rows.

    Parameters
    ----------
    fits : fitted estimators by name, such as ``{"two": gm2, "three": gm3}``. They may be of different kinds.
    X : (n_samples, n_features), data units: the rows that all were fitted to, in memory.
    sample_weight : (n_samples,), ≥ 0, of the rows.
    cv : number of folds, at least 2. Each estimator is fitted again to the rows outside each fold, with its own
        parameters. None for no cross-validation.

    Returns
    -------
    frame : a row for each fit, the lowest BIC first, in pandas, polars or pyarrow, the first that is installed: "name",
        "structure", "n_components", "n_parameters", "log_likelihood" (nats, a total), "bic" and "icl" (lower is
        better), "bic_above" (how much BIC is above the best), and "agreement", the adjusted Rand index (Hubert & Arabie
        1985) of its labels with those of the best. With `cv` also "cv", the mean log density of held-out rows (nats,
        higher is better), and "cv_se", its standard error over folds.

    Raises
    ------
    NotFittedError : one of the estimators is not fitted.
    TypeError : `fits` is no mapping of names to estimators of mixtures, or one is Bayesian and has no BIC.
    ValueError : `fits` is empty, or X, `sample_weight` or `cv` can't be used.
    ImportError : no library of data frames is installed.

    Notes
    -----
    Differences of BIC above 10 are very strong evidence (Kass & Raftery 1995, JASA 90, eq. 9 and the table after it).

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
    if not all(isinstance(fit, MixtureEstimator) for fit in getattr(fits, "values", lambda: [None])()):
        raise TypeError('fits must be fitted estimators by name, such as {"two": gm2, "three": gm3}.')
    if not fits:
        raise ValueError("fits is empty. Give at least one fitted estimator.")
    summaries = [fit.summary(X, sample_weight) for fit in fits.values()]
    without = [name for name, each in zip(fits, summaries, strict=True) if "icl" not in each.facts]
    if without:
        raise TypeError(f"fits[{without[0]!r}] has no BIC. Compare Bayesian fits by their lower_bound_.")
    columns = {"name": [*fits]} | {name: [each.facts[name] for each in summaries] for name in SHOWN}
    order = np.argsort(columns["bic"], kind="stable")
    labels = [fit.predict(X) for fit in fits.values()]
    columns["bic_above"] = [bic - columns["bic"][order[0]] for bic in columns["bic"]]
    columns["agreement"] = [adjusted_rand_score(labels[order[0]], each) for each in labels]
    if cv is not None:
        scores = np.array([_held_out(fit, X, sample_weight, check_count("cv", cv, 2)) for fit in fits.values()])
        columns["cv"] = [*scores.mean(axis=1)]
        columns["cv_se"] = [*(scores.std(axis=1, ddof=1) / np.sqrt(cv))]
    return made_frame({name: [values[i] for i in order] for name, values in columns.items()}, summaries[0].library)


def _held_out(fit: MixtureEstimator, X: ArrayLike, sample_weight: ArrayLike | None, n_folds: int) -> list[float]:
    """The scores of folds, each of a fit to all other rows. Folds are drawn alike for each estimator."""
    found = []
    for others, fold in KFold(n_folds, shuffle=True, random_state=0).split(X):
        weights = [None if sample_weight is None else np.asarray(sample_weight)[some] for some in (others, fold)]
        again = clone(fit).fit(rows_of(X, others), sample_weight=weights[0])
        found.append(again.score(rows_of(X, fold), sample_weight=weights[1]))
    return found
