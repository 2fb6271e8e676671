"""Detection of malignant tumours: a mixture fitted to benign tumours alone, compared with common detectors.

python examples/outliers.py
"""

from __future__ import annotations

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.covariance import EllipticEnvelope
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

from gaussmix import GaussianMixtureDetector

ALLOWED = 0.05  # nominal fraction of benign tumours that are marked as suspicious


def detectors() -> dict[str, OutlierMixin]:
    """Return detectors that mark a fraction ALLOWED of their training rows, or of the mixture's mass for the second."""
    mixture = {"n_components": [1, 2, 3, 4], "max_iter": 1000, "random_state": 0}
    return {
        "mixture": GaussianMixtureDetector(contamination=ALLOWED, **mixture),
        "mixture, by its mass": GaussianMixtureDetector(coverage=1 - ALLOWED, **mixture),
        "elliptic envelope": EllipticEnvelope(contamination=ALLOWED, random_state=0),
        "isolation forest": IsolationForest(contamination=ALLOWED, random_state=0),
        "local outlier factor": LocalOutlierFactor(novelty=True, contamination=ALLOWED),
    }


def compare(n_halves: int = 5) -> dict[str, tuple[float, float, float]]:
    """Return the area under the ROC curve and the fractions of benign and malignant held-out rows that are marked."""
    data = load_breast_cancer()
    X, is_benign = np.log(data.data[:, :6]), data.target == 1  # measurements that are never 0
    results = {name: [] for name in detectors()}
    for seed in range(n_halves):
        benign = np.random.default_rng(seed).permutation(np.flatnonzero(is_benign))
        train, held_out = benign[: len(benign) // 2], benign[len(benign) // 2 :]
        malignant = np.flatnonzero(~is_benign)
        for name, detector in detectors().items():
            detector.fit(X[train])
            usual, unusual = detector.decision_function(X[held_out]), detector.decision_function(X[malignant])
            area = roc_auc_score(np.r_[np.zeros(len(usual)), np.ones(len(unusual))], -np.r_[usual, unusual])
            results[name].append((area, (usual < 0).mean(), (unusual < 0).mean()))
    return {name: tuple(np.mean(found, axis=0).tolist()) for name, found in results.items()}


def main() -> None:
    """Print the table."""
    print("Breast tumours, fitted to half of the 357 benign ones, with 5 % allowed as suspicious; mean of five\n")
    print(f"{'':22}{'ROC area':>9}{'false alarms':>14}{'malignant found':>17}")
    for name, (area, false, found) in compare().items():
        print(f"{name:22}{area:9.3f}{false:14.1%}{found:17.1%}")


if __name__ == "__main__":
    main()
