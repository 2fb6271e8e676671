"""`max_iter=0` gives the parameters that were given, copied; a fit that fails changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trust_cases.case import STRUCTURES, Case, Model, Wrong, blobs, expect, expect_close
from trust_cases.far import COVARIANCES, MEANS, WEIGHTS


def bad_rows(X: Any) -> dict[str, Any]:
    infinite, narrow = X.copy(), X[:, :2].copy()
    infinite[7, 1] = narrow[7, 1] = np.inf
    return {"infinity": infinite, "infinity in fewer columns": narrow, "too few rows": X[:2]}


def cases() -> Iterator[Case]:
    """Every structure."""
    for structure in STRUCTURES:
        yield Case("start parameters", f"max_iter=0 gives what was given, {structure}", kept(structure))
        yield Case("start parameters", f"max_iter=0 copies what was given, {structure}", copied(structure))
        for name in ("infinity", "infinity in fewer columns", "too few rows"):
            yield Case("failed refits", f"{name}, {structure}", survived(structure, name))


def parameters(structure: str) -> dict[str, Any]:
    covariances = COVARIANCES[structure]
    inverse = np.linalg.inv(covariances) if structure in ("full", "tied") else 1 / covariances
    return {"weights_init": WEIGHTS.copy(), "means_init": MEANS.copy(), "precisions_init": inverse}


def kept(structure: str) -> Any:
    def check(model: Model) -> None:
        fitted = model(3, covariance_type=structure, max_iter=0, **parameters(structure)).fit(blobs())
        expect_close(fitted.weights_, WEIGHTS, 0, "weights_")
        expect_close(fitted.means_, MEANS, 0, "means_")
        expect_close(fitted.covariances_, COVARIANCES[structure], 1e-12, "covariances_")

    return check


def copied(structure: str) -> Any:
    def check(model: Model) -> None:
        passed, X = parameters(structure), blobs()
        fitted = model(3, covariance_type=structure, max_iter=0, **passed).fit(X)
        before = fitted.score_samples(X)
        for array in passed.values():
            array *= 3
        expect_close(fitted.weights_, WEIGHTS, 0, "weights_")
        expect_close(fitted.means_, MEANS, 0, "means_")
        expect_close(fitted.score_samples(X), before, 0, "score_samples")

    return check


def survived(structure: str, name: str) -> Any:
    def check(model: Model) -> None:
        X = blobs()
        fitted = model(3, covariance_type=structure, random_state=0).fit(X)
        before = fitted.score_samples(X), fitted.n_iter_, fitted.lower_bound_
        try:
            fitted.fit(bad_rows(X)[name])
        except ValueError:
            pass
        else:
            raise Wrong("unusable rows were fitted")
        expect_close(fitted.score_samples(X), before[0], 0, "score_samples")
        expect((fitted.n_iter_, fitted.lower_bound_) == before[1:], "n_iter_ or lower_bound_ changed")

    return check
