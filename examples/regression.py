"""Regression of eruptions of Old Faithful on held-out rows: a mixture compared with common regressions.

python examples/regression.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold

from gaussmix import GaussianMixtureRegressor

EDGES = [0.05, 0.95]
Interval = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # mean, 5 %, 95 %, log p(y | x)


def mixture(X: np.ndarray, y: np.ndarray, X_new: np.ndarray, y_new: np.ndarray) -> Interval:
    """Predict by a mixture whose number of components is selected by BIC; its predictions are mixtures too."""
    regressor = GaussianMixtureRegressor([1, 2, 3, 4], random_state=0, tol=1e-6, max_iter=1000).fit(X, y)
    low, high = regressor.predict_quantiles(X_new, EDGES).T
    return regressor.predict(X_new), low, high, regressor.predict_mixture(X_new).log_density(y_new)


def normal(mean: np.ndarray, std: np.ndarray, y_new: np.ndarray) -> Interval:
    """Return the prediction of a regression that provides a mean and a standard deviation."""
    low, high = (norm.ppf(edge, mean, std) for edge in EDGES)
    return mean, low, high, norm.logpdf(y_new, mean, std)


def line(X: np.ndarray, y: np.ndarray, X_new: np.ndarray, y_new: np.ndarray) -> Interval:
    """Predict by a straight line and the residual standard deviation."""
    fit = LinearRegression().fit(X, y)
    std = np.sqrt(((y - fit.predict(X)) ** 2).sum() / (len(y) - 2))
    return normal(fit.predict(X_new), np.full(len(X_new), std), y_new)


def process(X: np.ndarray, y: np.ndarray, X_new: np.ndarray, y_new: np.ndarray) -> Interval:
    """Predict by a Gaussian process with noise."""
    kernel = ConstantKernel(1.0) * RBF(10.0) + WhiteKernel(0.1)
    fit = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(X, y)
    return normal(*fit.predict(X_new, return_std=True), y_new)


METHODS = {"mixture": mixture, "straight line": line, "Gaussian process": process}


def compare(n_folds: int = 10) -> dict[str, tuple[float, float, float, float]]:
    """Return error, coverage and mean width of 90 % intervals, and mean log p(y | x), for held-out rows."""
    table = np.loadtxt(Path(__file__).parent / "faithful.csv", delimiter=",", skiprows=1)
    X, y = table[:, 1:], table[:, 0]
    results = {}
    for name, method in METHODS.items():
        parts = []
        for train, test in KFold(n_folds, shuffle=True, random_state=0).split(X):
            parts.append((y[test], *method(X[train], y[train], X[test], y[test])))
        truth, mean, low, high, log_density = (np.concatenate(column) for column in zip(*parts, strict=True))
        inside = (low <= truth) & (truth <= high)
        error = np.sqrt(((truth - mean) ** 2).mean())
        results[name] = float(error), float(inside.mean()), float((high - low).mean()), float(log_density.mean())
    return results


def main() -> None:
    """Print the table."""
    print("Minutes that an eruption lasts, from the wait before it; 272 rows, ten-fold\n")
    print(f"{'':18}{'RMSE':>8}{'in 90 %':>9}{'width':>8}{'log p':>9}")
    for name, (error, inside, width, log_density) in compare().items():
        print(f"{name:18}{error:8.3f}{inside:9.1%}{width:8.2f}{log_density:9.3f}")


if __name__ == "__main__":
    main()
