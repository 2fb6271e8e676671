"""Iris flowers, a tenth with a lost decimal point: mixtures with and without trimming, compared with R's tclust.

python examples/trimming.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

from gaussmix import Full, GaussianMixture

TCLUST = Path(__file__).parent / "trimming_tclust.json"  # by tests/oracle/tclust/tclust.R
N_LOST = 15  # number of rows with one value multiplied by ten


def flowers() -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the rows, their species, and which rows lost a decimal point."""
    X, species = load_iris(return_X_y=True)
    rng, is_wrong = np.random.default_rng(0), np.zeros(len(X), dtype=np.bool_)
    rows, columns = rng.choice(len(X), size=N_LOST, replace=False), rng.integers(0, X.shape[1], size=N_LOST)
    X[rows, columns] *= 10.0
    is_wrong[rows] = True
    return X, species, is_wrong


def joint_labels(n_init: int) -> dict[str, NDArray[Any]]:
    """Return the cluster of each row, −1 for rows that were left out."""
    X, common = flowers()[0], {"n_components": 3, "max_iter": 1000, "random_state": 0}
    return {
        "plain mixture": GaussianMixture(n_init=n_init, **common).fit_predict(X),
        "trimmed mixture": GaussianMixture(trim=0.1, **common).fit_predict(X),
        "the same, bounded": GaussianMixture(trim=0.1, covariance_type=Full(max_condition=50), **common).fit_predict(X),
        "tclust": np.array(json.loads(TCLUST.read_text(encoding="utf-8"))["cluster"]) - 1,
    }


def compare(n_init: int = 10) -> dict[str, tuple[float, float]]:
    """Return the adjusted Rand index of the correct rows, and the number of wrong rows that were left out."""
    _, species, is_wrong = flowers()
    return {
        name: (
            float(adjusted_rand_score(species[~is_wrong], labels[~is_wrong])),
            float((labels[is_wrong] == -1).mean()),
        )
        for name, labels in joint_labels(n_init).items()
    }


def main() -> None:
    """Print the table."""
    print("150 iris flowers, 15 of them with a lost decimal point; three groups\n")
    print(f"{'':20}{'agreement':>10}{'wrong rows left out':>22}")
    for name, (agreement, found) in compare().items():
        print(f"{name:20}{agreement:10.3f}{found:22.0%}")


if __name__ == "__main__":
    main()
