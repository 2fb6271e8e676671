"""Labels of the training rows, which are predicted when a user first reads `labels_`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.estimators.base import TrainingRows
from gaussmix._src.validation.labels import without_labels


def predict_labels(estimator: Any) -> NDArray[np.int64]:
    """Return the labels of the training rows of a mixture estimator; raises NotFittedError or AttributeError."""
    estimator._check_fitted()
    source = vars(estimator).get("_label_source", "this estimator was loaded, copied or fitted in parts")
    if isinstance(source, np.ndarray):
        return source
    X, why = None, source
    if isinstance(source, TrainingRows):
        X, why = source.reference(), "the array X no longer exists"
        if X is not None:
            X, why = _unchanged_rows(estimator, X, source), "the array X has been changed"
    if X is None:
        raise AttributeError(
            f"{type(estimator).__name__} has no labels_, because a fit does not store X, and {why}. "
            "Call predict or fit_predict with these rows."
        )
    labels: NDArray[np.int64] = estimator.predict(X)
    return labels


def _unchanged_rows(estimator: Any, X: Any, source: TrainingRows) -> Any:
    """Return X without the column of labels, or None if X has been changed since the fit."""
    try:
        X, _ = without_labels(estimator, X, source.label_column)
        return X if estimator._source(X).sampled_checksum == source.checksum else None
    except (TypeError, ValueError):  # for example, a data frame has a new column
        return None
