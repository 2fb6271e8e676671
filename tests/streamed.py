"""Calls that read rows from files or compute clusters, compared with the same calls for arrays in memory."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from common import assert_same_bits
from sklearn.exceptions import ConvergenceWarning

from gaussmix import GaussianMixture, GaussianMixtureClassifier, GaussianMixtureIC

FEW = {"max_iter": 3, "tol": 0, "random_state": 0}
NAMES = ["a", "b", "label"]
CALLS = ["merge", "trim", "cv", "labels", "groups of components", "classes", "mixtures of classes"]


def rows_of(n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows with two features in three groups, and a column of labels, which is −1 in a third of the rows."""
    group = rng.integers(3, size=n_rows)
    rows = rng.normal(4 * group[:, None], [1.0, 2.0], (n_rows, 2))
    return np.column_stack([rows, np.where(rng.random(n_rows) < 1 / 3, -1, group)])


def weighted_clusters(n_rows: int, n_features: int) -> np.ndarray:
    """Draw rows of four overlapping clusters, with weights from 0 to 4 in the last column."""
    rng = np.random.default_rng(12)
    centres = 3 * rng.normal(size=(4, n_features))
    rows = centres[rng.integers(4, size=n_rows)] + rng.normal(size=(n_rows, n_features))
    return np.column_stack([rows, rng.integers(0, 5, size=n_rows)])


def fitted(call: str, X: Any, labels: Any) -> Any:
    """Run the named call; `labels` is an array, or the name of a column of X."""
    if call == "merge":
        gm = GaussianMixture(3, means_init=[[0, 0], [4, 4], [8, 8]], **FEW).fit(X)
        return gm.merge(X)
    if call == "trim":
        return GaussianMixture(2, trim=0.1, means_init=[[0, 0], [6, 6]], **FEW).fit(X)
    if call == "cv":
        return GaussianMixtureIC([1, 2], covariance_type="diag", criterion="cv", n_folds=3, **FEW).fit(X)
    if call == "labels":
        return GaussianMixture(3, **FEW).fit(X, labels=labels)
    if call == "groups of components":
        return GaussianMixture(4, label_components={0: [0], 1: [1, 2], 2: [3]}, **FEW).fit(X, labels=labels)
    if call == "classes":
        return GaussianMixtureClassifier(max_iter=3, tol=0).fit(X, labels)
    return GaussianMixtureClassifier(2, covariance_type="diag", init_params="kmeans", **FEW).fit(X, labels)


def check_same_bits(call: str, X: Any, with_labels: Any, rows: np.ndarray) -> None:
    """Check that fits to X and to arrays of its rows are bit-identical; `with_labels` is X with a column "label"."""
    needs_labels = call not in ("merge", "trim", "cv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = fitted(call, with_labels if needs_labels else X, "label")
        expected = fitted(call, np.ascontiguousarray(rows[:, :2]), rows[:, 2].astype(int))
    if call == "merge":
        assert_same_bits(found.entropy, expected.entropy, "entropy")
        assert_same_bits(found.cluster_labels, expected.cluster_labels, "clusters")
        return
    for name in "weights", "means", "covariances":
        assert_same_bits(getattr(found.mixture_, name), getattr(expected.mixture_, name), name)
    if call == "trim":
        assert found.cutoff_ == expected.cutoff_
    if call == "cv":
        assert (found.results_["cv"], found.results_["cv_error"]) == (
            expected.results_["cv"],
            expected.results_["cv_error"],
        )
    if "classes" in call:
        assert found.classes_.tolist() == [0, 1, 2]
        assert found.log_likelihood_ == expected.log_likelihood_
        assert found.score(with_labels, "label") == expected.score(rows[:, :2], rows[:, 2])
    if needs_labels:
        assert found.n_features_in_ == 2
