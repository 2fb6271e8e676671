"""The data that a display shows: a mixture, the chosen features with their names, and rows with their labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from gaussmix._src.checks import check_real
from gaussmix._src.engines.base import NOISE_LABEL
from gaussmix._src.errors import ParameterTypeError, counted, invented_names, listed
from gaussmix._src.estimators.gaussian_mixture import as_estimator
from gaussmix._src.mixture.base import append_noise
from gaussmix._src.mixture.features import Feature, check_order, feature_index
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.frames import Frame
from gaussmix._src.validation.rows import check_row_weight

_PIECE_VALUES = 2**24  # maximum number of responsibilities that are computed at the same time
Features = Feature | Sequence[Feature] | None
MAX_GRID_FEATURES = 8  # maximum number of features in a grid of plots that is still legible


@dataclass(frozen=True, eq=False)
class Subject:
    """Mixture to draw, with or without rows.

    Parameters
    ----------
    mixture : the mixture to draw.
    names : names of the mixture's features.
    rows : (n_rows, n_features), all features of the rows in data units, with NaN for missing values; None to draw no
        rows.
    estimator, data : the arguments `estimator` (an estimator or a mixture) and `X` that the user passed.
    row_weight : (n_rows,), row weights ≥ 0; None if all weights are 1.
    """

    mixture: Mixture
    names: list[str]
    rows: Array | None
    estimator: Any = None
    data: Any = None
    row_weight: Array | None = None

    def responsibilities(self, rows: Array) -> Array:
        """Compute p(k | observed values), (n_rows, n_components); raise ValueError for rows that are invalid."""
        probabilities = as_estimator(self.mixture.with_feature_names(None)).predict_proba(rows)
        return np.asarray(probabilities, dtype=np.float64)

    def labels_and_certainty(self) -> tuple[NDArray[np.intp], Array]:
        """Return each row's most probable component, −1 for noise, and the probability of this component, (n_rows,).

        The component and its probability are computed from all features, not only from the features that a display
        shows.
        """
        rows = np.empty((0, self.mixture.n_features)) if self.rows is None else self.rows
        labels, certainty = np.empty(len(rows), dtype=np.intp), np.empty(len(rows))
        n_at_once = max(1, _PIECE_VALUES // len(self.mixture))
        for first in range(0, len(rows), n_at_once):
            piece = slice(first, first + n_at_once)
            probabilities = append_noise(self.mixture, self.responsibilities(rows[piece]))
            labels[piece], certainty[piece] = probabilities.argmax(axis=1), probabilities.max(axis=1)
        labels[labels == len(self.mixture)] = NOISE_LABEL
        return labels, certainty

    def shown(self, features: Sequence[int]) -> Array:
        """Return the chosen features of the rows, (n_rows, n_chosen); (0, n_chosen) if there are no rows."""
        return np.empty((0, len(features))) if self.rows is None else self.rows[:, features]

    def components(self, features: Sequence[int]) -> dict[str, Any]:
        """Return weights, means and dense covariances of the components in the given features, and feature names."""
        means, names = self.mixture.means[:, features], [self.names[j] for j in features]
        covariances = self.mixture._model.covariances.marginal(np.array(features)).dense()
        return {"weights": self.mixture.weights, "means": means, "covariances": covariances, "feature_names": names}

    def needed_rows(self, display: str) -> Array:
        """Return the rows; raise ValueError if there are no rows for a display that needs rows."""
        if self.rows is None:
            raise ValueError(f"{display} needs rows. Pass X of shape (n_samples, n_features).")
        if not len(self.rows):
            raise ValueError("X has no rows to show.")
        return self.rows


def make_subject(
    estimator: Any, X: Any, feature_names: Sequence[str] | None = None, sample_weight: Any = None
) -> Subject:
    """Create a subject from an estimator or a mixture, and rows; raise errors like `FeatureDisplay.from_estimator`."""
    mixture, frame = get_mixture(estimator), Frame.from_table(X)
    its_own = None if frame is None else frame.names
    names = choose_names(mixture.n_features, feature_names, mixture.feature_names, its_own)
    if X is None:
        return Subject(mixture, names, None, estimator)
    check_order(X, mixture.feature_names, "X")
    rows = check_real("X", X)
    if rows.ndim != 2 or rows.shape[1] != mixture.n_features:
        raise ValueError(
            f"X must have shape (n_samples, {mixture.n_features}), a column for each feature of the mixture, not "
            f"{rows.shape}."
        )
    if np.isinf(rows).any():
        raise ValueError("X contains infinity: use finite numbers, and NaN for missing values.")
    weight = None if sample_weight is None else check_row_weight(sample_weight, len(rows))
    return Subject(mixture, names, np.asarray(rows, dtype=np.float64), estimator, X, weight)


def get_mixture(estimator: Any) -> Mixture:
    """Return the mixture of a fitted estimator, or the mixture itself; raise TypeError or NotFittedError."""
    if isinstance(estimator, Mixture):
        return estimator
    mixture = None
    if hasattr(estimator, "fit") and not isinstance(estimator, type):
        check_is_fitted(estimator)
        mixture = estimator._exported() if hasattr(estimator, "_exported") else getattr(estimator, "mixture_", None)
    elif hasattr(estimator, "shape"):
        raise ParameterTypeError("Pass a gaussmix estimator or a gaussmix.Mixture first, and the rows second.")
    if not isinstance(mixture, Mixture):
        hint = "a gaussmix estimator or a gaussmix.Mixture"
        if hasattr(estimator, "best_estimator_"):
            hint = "its best_estimator_"
        elif hasattr(estimator, "steps"):
            hint = "its last step, pipeline[-1], and pipeline[:-1].transform(X)"
        raise ParameterTypeError(f"{' '.join(repr(estimator).split()):.60} can't be drawn: pass {hint}.")
    return mixture


def named_probabilities(mixture: Mixture, probabilities: Array) -> tuple[list[str], Array]:
    """Return component names and responsibilities (n_rows, n_components); a noise component comes last."""
    names = [f"component {k}" for k in range(mixture.n_components)]
    return (names if mixture.noise is None else [*names, "noise"]), append_noise(mixture, probabilities)


def join_targets(X: Any, y: Any, names: tuple[str, ...] | None) -> Any:
    """Join predictors and targets as the columns of one array, or return X if X or y is None.

    If X is a data frame and `names` is not None, the columns of X must be `names` in the same order. Raises ValueError
    or TypeError if X and y can't be joined.
    """
    if X is None or y is None:
        return X
    check_order(X, names, "X")
    rows, targets = check_real("X", X), check_real("y", y)
    if len(rows) != len(targets):
        raise ValueError(f"X has {len(rows)} rows, but y has {len(targets)}. Pass one target per row.")
    return np.column_stack([rows, targets])


def choose_names(n_features: int, chosen: Sequence[str] | None, *others: Iterable[Any] | None) -> list[str]:
    """Return `chosen` or, if None, the first item of `others` with a name for each feature; otherwise x0, x1, ….

    Raises ValueError if `chosen` does not have one name for each feature.
    """
    if chosen is not None:
        if np.ndim(chosen) != 1 or len(chosen) != n_features:
            raise ValueError(
                f"feature_names={chosen!r} must be a list of {counted(n_features, 'name')}, one for each feature."
            )
        return [str(name) for name in chosen]
    for names in others:
        texts = [] if names is None else [str(name) for name in names]
        if len(texts) == n_features:
            return texts
    return list(invented_names(n_features))


def chosen_features(features: Features, subject: Subject, max_features: int) -> list[int]:
    """Return the indices of distinct features that the user specified by index or name.

    If `features` is None, the result is the two features that separate the components best or, for a grid, all
    features. Raises ValueError if more than `max_features` are specified.
    """
    names, is_grid = subject.names, max_features == MAX_GRID_FEATURES
    if features is None and is_grid and len(names) > max_features:
        raise ValueError(
            f"There are {len(names)} features, but a grid shows at most {max_features}: choose some of them with "
            "features=[…]."
        )
    several: Any = features
    if features is None:
        several = separating_features(subject.mixture) if max_features == 2 < len(names) else range(len(names))
    elif isinstance(features, str) or np.ndim(features) == 0:
        several = [features]
    chosen = [feature_index(feature, len(names), tuple(names), "features") for feature in several]
    if not 1 <= len(chosen) <= max_features or len(set(chosen)) != len(chosen):
        named = listed([names[index] for index in chosen]) or "none"
        raise ValueError(f"features must be 1 to {max_features} different features, not {named}.")
    return chosen


def overall(weights: Array, means: Array, variances: Array) -> tuple[Array, Array]:
    """Return each feature's mean and standard deviation, (n_features,); a standard deviation of 0 is replaced by 1."""
    weights = weights / weights.sum()
    centre = weights @ means
    spread = np.sqrt(weights @ (variances + (means - centre) ** 2))
    return centre, np.where(spread > 0, spread, 1.0)


def separating_features(mixture: Mixture) -> list[int]:
    """Return the two features whose means separate the components best, in their original order.

    The two features maximise the trace of T⁻¹ B, where T is the covariance of the whole mixture and B the covariance of
    the components' means. The trace of T⁻¹ B is between 0 and 2 and has no unit. To save time, only pairs of the eight
    features that individually separate the components best are compared.
    """
    weights, covariances = mixture.weights, mixture._model.covariances
    centre, spread = overall(weights, mixture.means, covariances.variances())
    offsets = (mixture.means - centre) / spread
    best = np.sort(np.argsort(-(weights @ offsets**2), kind="stable")[:MAX_GRID_FEATURES])
    between = np.einsum("k,ki,kj->ij", weights, offsets[:, best], offsets[:, best])
    within = np.einsum("k,kij->ij", weights, covariances.marginal(best).dense())
    total = between + within / np.outer(spread[best], spread[best])
    pairs = list(combinations(range(len(best)), 2))
    traces = [np.trace(np.linalg.pinv(total[np.ix_(at, at)]) @ between[np.ix_(at, at)]) for at in pairs]
    return best[list(pairs[np.argmax(traces)])].tolist()
