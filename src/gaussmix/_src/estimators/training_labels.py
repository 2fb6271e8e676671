"""Labels of the training rows, which are predicted when a user first reads `labels_`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def predict_labels(estimator: Any) -> NDArray[np.int64]:
    """Return the labels of the training rows of a mixture estimator; raises NotFittedError or AttributeError."""
    estimator._check_fitted()
    source = vars(estimator).get("_label_source", "this estimator was loaded, copied or fitted in parts")
    if isinstance(source, np.ndarray):
        return source
    X, why = None, source
    if isinstance(source, tuple):
        reference, checksum = source
        X, why = reference(), "the array X no longer exists"
        if X is not None and not _is_unchanged(estimator, X, checksum):
            X, why = None, "the array X has been changed"
    if X is None:
        raise AttributeError(
            f"{type(estimator).__name__} has no labels_, because a fit does not store X, and {why}. "
            "Call predict(X) or fit_predict(X)."
        )
    labels: NDArray[np.int64] = estimator.predict(X)
    return labels


def _is_unchanged(estimator: Any, X: Any, checksum: int) -> bool:
    try:
        return bool(estimator._source(X).sampled_checksum == checksum)
    except (TypeError, ValueError):  # for example, a data frame has a new column
        return False
