"""Imputation of missing values in correlated measurements: a mixture compared with common imputers.

python examples/missing_cells.py
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.experimental import enable_iterative_imputer
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from gaussmix import GaussianMixtureImputer

assert enable_iterative_imputer is not None, "importing it makes IterativeImputer known"

SHARE = 0.2  # fraction of missing values


def imputers(seed: int) -> dict[str, object]:
    """Return the imputers."""
    return {
        "mixture": GaussianMixtureImputer([1, 2, 3], max_iter=500, random_state=seed),
        "one equation per column": IterativeImputer(random_state=seed, max_iter=50),
        "nearest rows": KNNImputer(),
        "mean of the column": SimpleImputer(),
    }


def compare(n_times: int = 5) -> dict[str, tuple[float, float]]:
    """Return the root mean square error of imputed values (in standard deviations) and the worst correlation error."""
    data = load_breast_cancer().data[:, :10]
    X = np.log(data + 0.01)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    results = {name: [] for name in imputers(0)}
    for seed in range(n_times):
        missing = np.random.default_rng(seed).random(X.shape) < SHARE
        holed = np.where(missing, np.nan, X)
        for name, imputer in imputers(seed).items():
            filled = imputer.fit_transform(holed)
            error = np.sqrt(np.mean((filled - X)[missing] ** 2))
            results[name].append((error, np.abs(np.corrcoef(filled.T) - np.corrcoef(X.T)).max()))
    return {name: tuple(np.mean(found, axis=0).tolist()) for name, found in results.items()}


def main() -> None:
    """Print the table."""
    print("Ten measurements of 569 tumours, a fifth of the cells missing; mean of five times\n")
    print(f"{'':25}{'error':>7}{'largest error of a correlation':>33}")
    for name, (error, correlation) in compare().items():
        print(f"{name:25}{error:7.3f}{correlation:33.3f}")


if __name__ == "__main__":
    main()
