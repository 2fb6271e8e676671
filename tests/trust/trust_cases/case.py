"""The class of a case, the error of an incorrect result, and the rows that most cases use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

STRUCTURES = "full", "tied", "diag", "spherical"
INITS = "kmeans", "k-means++", "random", "random_from_data"

# `model(n_components, **parameters)` returns an unfitted estimator.
Model = Callable[..., Any]


class Wrong(AssertionError):
    """The error of an incorrect result, whose message states the deviation."""


@dataclass(frozen=True)
class Case:
    """An input and its required result.

    Parameters
    ----------
    item : kind of input to which the case belongs.
    name : name of the case.
    check : function that raises `Wrong` if a result is incorrect; the estimator's own errors pass through.
    may_reject : whether a clear error is also a correct result.
    """

    item: str
    name: str
    check: Callable[[Model], None]
    may_reject: bool = False


def expect(claim: Any, sentence: str) -> None:
    """Raise `Wrong` unless all elements of the claim are true."""
    if not np.all(claim):
        raise Wrong(sentence)


def expect_close(actual: Any, expected: Any, tolerance: Any, what: str) -> None:
    """Raise `Wrong` unless |actual − expected| ≤ tolerance; NaN and infinity are never close to a number."""
    actual, expected = np.asarray(actual, dtype=np.longdouble), np.asarray(expected, dtype=np.longdouble)
    expect(actual.shape == expected.shape, f"{what} has shape {actual.shape}, not {expected.shape}")
    with np.errstate(invalid="ignore"):
        difference = np.abs(actual - expected)
    is_close = difference <= tolerance
    expect(is_close, f"{what} is off by {float(np.max(np.where(np.isnan(difference), np.inf, difference))):.3g}")


def blobs() -> Any:
    """Return 450 rows in three groups about (0, 0, 0), (4, 4, 4) and (8, −3, 2), of standard deviation 1, ½ and 1½.

    Values are multiples of 2⁻²⁰, so that adding up to 1e8 rounds nothing, and only the fit can differ.
    """
    rng = np.random.default_rng(0)
    sizes, spreads = (200, 150, 100), (1.0, 0.5, 1.5)
    rows = [rng.normal(mean, spread, (n, 3)) for mean, spread, n in zip(CENTRES, spreads, sizes, strict=True)]
    return np.round(np.vstack(rows) * 2.0**20) * 2.0**-20


CENTRES = np.array([[0.0, 0, 0], [4, 4, 4], [8, -3, 2]])


def identity(structure: str, n_components: int, n_features: int, value: float = 1.0) -> Any:
    """Return unit precisions or covariances, in the shape of a structure."""
    shapes = {
        "full": np.tile(np.eye(n_features), (n_components, 1, 1)),
        "tied": np.eye(n_features),
        "diag": np.ones((n_components, n_features)),
        "spherical": np.ones(n_components),
    }
    return value * shapes[structure]


def initial(structure: str, means: Any, precision: float = 1.0) -> dict[str, Any]:
    """Return parameters with equal weights, these means, and the identity times `precision`."""
    means = np.asarray(means, dtype=np.float64)
    return {
        "covariance_type": structure,
        "weights_init": np.full(len(means), 1 / len(means)),
        "means_init": means,
        "precisions_init": identity(structure, *means.shape, precision),
    }


def expect_sound(fitted: Any, X: Any) -> None:
    """Check that everything is finite, and that weights and responsibilities sum to 1."""
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        expect(np.isfinite(getattr(fitted, name)), f"{name} is not finite")
    expect_close(np.sum(fitted.weights_, dtype=np.float64), 1, 1e-12, "the sum of weights_")
    expect(np.isfinite(fitted.score_samples(X)), "score_samples is not finite")
    expect_close(fitted.predict_proba(X).sum(axis=1), np.ones(len(X)), 1e-12, "the sum of predict_proba")
