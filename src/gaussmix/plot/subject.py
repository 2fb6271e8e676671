"""What a picture is of: a mixture, the names of its features, and rows with the component of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from gaussmix.background import NO_MARGINAL
from gaussmix.checks import check_real
from gaussmix.engines.incomplete import IncompleteEngine
from gaussmix.mixture.features import check_order
from gaussmix.mixture.mixture import Mixture
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.frames import Frame
from gaussmix.plot.features import names_of
from gaussmix.waist.block import Block

_PIECE = 65_536  # rows whose responsibilities are in memory at once


@dataclass(frozen=True, eq=False)
class Subject:
    """A mixture and, unless it is drawn alone, rows.

    Parameters
    ----------
    mixture : what is drawn.
    names : of its features.
    rows : (n_rows, n_features), data units, NaN where a cell is missing; None for no rows.
    """

    mixture: Mixture
    names: list[str]
    rows: Array | None

    def responsibilities(self, rows: Array) -> Array:
        """p(k | x) by what each row has, (n_rows, n_components); raises ValueError as the estimators do."""
        if not np.isnan(rows).any():
            return self.mixture.responsibilities(rows)
        if self.mixture.noise is not None and self.mixture.noise.box is None:
            raise ValueError(f"X has missing cells, and {NO_MARGINAL}: fit with a box as the volume of noise.")
        engine = IncompleteEngine(self.mixture._engine())
        found: Array = engine.responsibilities(Block(0, rows), self.mixture.parameters)
        return found

    def labels_and_certainty(self) -> tuple[NDArray[np.intp], Array]:
        """The most probable component of each row, −1 for noise, and its probability; both (n_rows,).

        They are of all features, whether a picture shows them or not.
        """
        rows = np.empty((0, self.mixture.n_features)) if self.rows is None else self.rows
        labels, certainty = np.empty(len(rows), dtype=np.intp), np.empty(len(rows))
        for first in range(0, len(rows), _PIECE):
            piece = slice(first, first + _PIECE)
            shares = self.responsibilities(rows[piece])
            noise = 1.0 - shares.sum(axis=1) if self.mixture.noise is not None else np.zeros(len(shares))
            labels[piece], certainty[piece] = shares.argmax(axis=1), shares.max(axis=1)
            is_noise = noise > certainty[piece]
            labels[piece][is_noise], certainty[piece][is_noise] = -1, noise[is_noise]
        return labels, certainty

    def shown(self, features: Sequence[int]) -> Array:
        """The rows' chosen features, (n_rows, n_chosen); no rows where there are none."""
        return np.empty((0, len(features))) if self.rows is None else self.rows[:, features]


def subject_of(estimator: Any, X: Any, feature_names: Sequence[str] | None = None) -> Subject:
    """The mixture of a fitted estimator, or a mixture itself, and rows as numbers.

    Raises
    ------
    NotFittedError : before `fit`.
    ValueError : X is not numbers of shape (n_samples, n_features).
    TypeError : `estimator` has no mixture, or X is not numbers.
    """
    mixture, frame = mixture_of(estimator), Frame.of(X)
    its_own = None if frame is None else frame.names
    names = names_of(mixture.n_features, feature_names, mixture.feature_names, its_own)
    if X is None:
        return Subject(mixture, names, None)
    check_order(X, mixture.feature_names, "X")
    rows = check_real("X", X)
    if rows.ndim != 2 or rows.shape[1] != mixture.n_features:
        raise ValueError(
            f"X must have shape (n_samples, {mixture.n_features}), a column for each feature of the mixture, not "
            f"{rows.shape}."
        )
    if np.isinf(rows).any():
        raise ValueError("X holds infinity: give finite numbers, or NaN where a cell is missing.")
    return Subject(mixture, names, np.asarray(rows, dtype=np.float64))


def mixture_of(estimator: Any) -> Mixture:
    """The mixture of a fitted estimator, or the mixture itself; raises TypeError or NotFittedError."""
    if isinstance(estimator, Mixture):
        return estimator
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(f"{estimator!r:.60} is not drawn: give a gaussmix estimator or a gaussmix.Mixture.")
    check_is_fitted(estimator)
    mixture = getattr(estimator, "mixture_", None)
    if not isinstance(mixture, Mixture):
        raise TypeError(f"{type(estimator).__name__} is not drawn: give a gaussmix estimator or a gaussmix.Mixture.")
    return mixture


def need_rows(X: Any, display: str) -> None:
    """Raise ValueError for a picture that shows rows and has none."""
    if X is None:
        raise ValueError(f"{display} shows rows: give X, of shape (n_samples, n_features).")


def beside(X: Any, y: Any, names: tuple[str, ...] | None) -> Any:
    """Predictors and targets as the columns of one array; X itself without y. Raises ValueError or TypeError.

    `names` are those of the columns, if they have some; a data frame X must have them in this order.
    """
    if y is None:
        return X
    check_order(X, names, "X")
    rows, targets = check_real("X", X), check_real("y", y)
    if len(rows) != len(targets):
        raise ValueError(f"X has {len(rows)} rows and y has {len(targets)}: they must have as many.")
    return np.column_stack([rows, targets])
