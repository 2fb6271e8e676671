"""Print a hash of each of a fixed set of fits: ``python tests/fit_hashes.py``.

If two processors, systems or builds print the same lines, they compute the same bits. Arguments select fits by the
first word of their names: ``python tests/fit_hashes.py full tied options``.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gaussmix import FAMILIES, BayesianGaussianMixture, GaussianMixture, GaussianMixtureIC, Noise, NormalInverseWishart
from gaussmix._src.numerics.arrays import Array
from gaussmix.extend import LowRank

STARTS = ["kmeans", "k-means++", "random", "random_from_data", "hierarchical"]
FREQUENT = ["full", "tied", "diag", "spherical", "VEV", "factor_analyzer"]  # structures that are tried with all options
BAYESIAN = ["full", "tied", "diag", "spherical", "EEI", "EII"]
SIZES = [(3000, 2, 3), (3000, 9, 12)]  # numbers of rows, features and components
# Fits of EVE and VVE compare EM from several common axes, which takes half a minute for each fit of the `SIZES` if the
# processor has no FMA instructions.
SIZES_OF_COMMON_AXES = [(3000, 2, 3), (600, 9, 4)]


def rows_of(n_rows: int, n_features: int, n_groups: int = 4) -> Array:
    """Draw rows in overlapping groups by exact arithmetic, because logarithms differ between systems."""
    rng = np.random.default_rng(n_rows + n_features)
    centres = rng.integers(-(2**20), 2**20, size=(n_groups, n_features)) / 2**19
    noise = rng.integers(-(2**20), 2**20, size=(4, n_rows, n_features)).sum(axis=0) / 2**21
    return np.asarray(centres[rng.integers(n_groups, size=n_rows)] + noise)


def digest(*arrays: Any) -> str:
    """Return sixteen digits of the SHA-256 of the arrays' bytes."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:16]


def hash_fit(estimator: GaussianMixture | GaussianMixtureIC | BayesianGaussianMixture) -> str:
    """Return a digest of the parameters and the trace of a fit."""
    mixture = estimator.mixture_
    return digest(mixture.weights, mixture.means, mixture.covariances, np.array(estimator.lower_bounds_))


def cases() -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the names of fits, with functions that run them and return their digests."""
    for structure in FAMILIES:
        for start in STARTS:
            for size in SIZES_OF_COMMON_AXES if structure in ("EVE", "VVE") else SIZES:
                yield f"{structure} {start} {size[1]}", partial(_plain, structure, start, size)
        if FAMILIES[structure].kind is not LowRank:  # factor analysers cannot be initialised by precisions
            yield f"{structure} from precisions", partial(_from_precisions, structure)
    for name, make in OPTIONS.items():
        for structure in BAYESIAN if name.startswith("Bayesian") else FREQUENT:
            yield f"options {name} {structure}", partial(make, structure)


def _plain(structure: str, start: str, size: tuple[int, int, int]) -> str:
    n_rows, n_features, n_components = size
    estimator = GaussianMixture(
        n_components, covariance_type=structure, init_params=start, max_iter=20, tol=0, random_state=0
    )
    return hash_fit(estimator.fit(rows_of(n_rows, n_features)))


def _from_precisions(structure: str) -> str:
    rows = rows_of(3000, 9)
    settings: dict[str, Any] = {"covariance_type": structure, "init_params": "kmeans", "random_state": 0}
    precisions = GaussianMixture(3, **settings).fit(rows).precisions_
    again = GaussianMixture(3, **settings, precisions_init=precisions, max_iter=5)
    return hash_fit(again.fit(rows))


def _fitted(structure: str, X: Any = None, *, fit: dict[str, Any] | None = None, **parameters: Any) -> GaussianMixture:
    parameters = {"init_params": "kmeans", "max_iter": 20, "tol": 0, "random_state": 0} | parameters
    estimator = GaussianMixture(4, covariance_type=structure, **parameters)
    return estimator.fit(rows_of(2000, 5) if X is None else X, **(fit or {}))


def _with_missing_values(structure: str, size: tuple[int, ...] = (2000, 5), **parameters: Any) -> str:
    rows = rows_of(*size)
    rows[np.random.default_rng(1).integers(0, 4, size=rows.shape) == 0] = np.nan
    return hash_fit(_fitted(structure, rows, missing="allow", **parameters))


def _with_errors(structure: str, n_rows: int = 2000, **parameters: Any) -> str:
    errors = np.random.default_rng(2).integers(0, 8, size=(n_rows, 5)) / 16
    return hash_fit(_fitted(structure, rows_of(n_rows, 5), fit={"X_error": errors}, **parameters))


def _bayesian(structure: str) -> str:
    estimator = BayesianGaussianMixture(
        9, covariance_type=structure, init_params="kmeans", split_merge=False, random_state=0
    )
    return hash_fit(estimator.fit(rows_of(600, 5)))


def _born(structure: str) -> str:
    return hash_fit(BayesianGaussianMixture(9, covariance_type=structure, random_state=0).fit(rows_of(600, 5)))


def _with_distant_rows(structure: str) -> str:
    rows = rows_of(600, 5)
    fitted = _fitted(structure, rows, warm_start=True)
    rows[::60] *= 2.0**20
    return hash_fit(fitted.fit(rows))


def _weighted(structure: str) -> str:
    weights = np.random.default_rng(3).integers(0, 5, size=2000) / 2
    return hash_fit(_fitted(structure, fit={"sample_weight": weights}))


def _labelled(structure: str) -> str:
    known = np.random.default_rng(4).integers(-1, 4, size=2000)
    return hash_fit(_fitted(structure, fit={"labels": known}))


def _drawn(structure: str) -> str:
    rows, labels = _fitted(structure).sample(5000)
    return digest(rows, labels.astype(np.int64))


def _from_file(structure: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, rows_of(2000, 5))
        return hash_fit(_fitted(structure, path))


def _chosen(structure: str) -> str:
    search = GaussianMixtureIC([2, 3, 4], covariance_type=structure, random_state=0).fit(rows_of(600, 3))
    return hash_fit(search)


def _predicted(structure: str) -> str:
    fitted, rows = _fitted(structure), rows_of(500, 5)
    return digest(fitted.predict_proba(rows), fitted.score_samples(rows))


OPTIONS: dict[str, Callable[[str], str]] = {
    "missing values": _with_missing_values,
    "errors": _with_errors,
    "weights": _weighted,
    "labels": _labelled,
    "prior": lambda structure: hash_fit(_fitted(structure, prior=NormalInverseWishart(dof=9.0))),
    "noise": lambda structure: hash_fit(_fitted(structure, noise=Noise(weight=0.1))),
    "many rows": lambda structure: hash_fit(_fitted(structure, rows_of(200_000, 5), max_iter=5)),
    "draws": _drawn,
    "trim missing values": lambda structure: _with_missing_values(structure, (500, 5), trim=0.05),
    "trim errors": lambda structure: _with_errors(structure, 500, trim=0.05),
    "distant rows": _with_distant_rows,
    "Bayesian": _bayesian,
    "Bayesian births": _born,
    "acceleration": lambda structure: hash_fit(_fitted(structure, init_params="random", acceleration="auto", tol=1e-5)),
    "search missing values": lambda structure: _with_missing_values(
        structure, (500, 2, 1), init_params="search", tol=1e-3
    ),
    "search": lambda structure: hash_fit(_fitted(structure, init_params="search", tol=1e-3)),
    "choice": _chosen,
    "file": _from_file,
    "prediction": _predicted,
}


def main(*words: str) -> None:
    """Print a line for each fit whose name begins with one of the words, or for all fits if there are no words."""
    unknown = {*words} - {*FAMILIES, "options"}
    if unknown:
        sys.exit(f"{sorted(unknown)} are no first words of fits: {[*FAMILIES, 'options']}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # most fits have too few steps to converge
        for name, make in cases():
            if not words or name.split()[0] in words:
                print(f"{name}: {make()}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
