"""Estimators that predict, and the tables to which they are fitted."""

import numpy as np

import gaussmix
from gaussmix import GaussianMixtureClassifier, GaussianMixtureDetector, GaussianMixtureImputer

ESTIMATORS = {
    "regressor": gaussmix.GaussianMixtureRegressor(),
    "regressor of 3": gaussmix.GaussianMixtureRegressor(3),
    "classifier": GaussianMixtureClassifier(),
    "classifier of shared covariance": GaussianMixtureClassifier(covariance_type="tied"),
    "classifier of mixtures": GaussianMixtureClassifier(2),
    "detector": GaussianMixtureDetector(),
    "detector of 3": GaussianMixtureDetector(3),
    "imputer": GaussianMixtureImputer(),
    "imputer of 2": GaussianMixtureImputer(2),
}


def table(rng):
    """Return 200 rows of three columns and a class: X, y."""
    y = rng.integers(2, size=200)
    X = np.column_stack([3.0 * y, -2.0 * y, np.zeros(200)]) + rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3))
    return X, y


def predictions(estimator, X):
    """Return the predictions of a fitted estimator for rows, by method."""
    methods = ("predict", "predict_proba", "predict_log_proba", "decision_function", "p_values", "transform")
    return {name: getattr(estimator, name)(X) for name in methods if hasattr(estimator, name)}
