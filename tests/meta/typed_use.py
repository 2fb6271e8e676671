"""User code for mypy: `nox -s lint` fails if a correct line has an error, or if a marked line has none."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import gaussmix
from gaussmix import FAMILIES, Full, GaussianMixture, GaussianMixtureDetector, GaussianMixtureIC, Mixture

X = np.zeros((10, 2))
gm = GaussianMixture(3, covariance_type="VVE", init_params=["kmeans", "random"], random_state=0).fit(X)
GaussianMixture(3, covariance_type=Full(max_condition=100), init_params=np.zeros(10, int))
GaussianMixture(3, covariance_type=FAMILIES["compound"], init_params=lambda X, n_components, rng: X[:, 0] > 0)
GaussianMixtureIC(range(1, 5), covariance_type=["full", "tied"])
assert_type(gm, GaussianMixture)
assert_type(gm.converged_, bool)
assert_type(gm.means_, NDArray[np.floating[Any]])
assert_type(gm.mixture_, Mixture)
gm.means_ = gm.means_ * 2
rows = gaussmix.open("rows.csv")
assert_type(gm.fit(rows).predict(rows), NDArray[np.int64])
GaussianMixtureDetector(2).fit(Path("rows.csv")).score_samples(rows)

print(gm.mean_)  # type: ignore[attr-defined]
GaussianMixture(3, covariance_type="fulll")  # type: ignore[arg-type]
GaussianMixture(3, init_params="kmean")  # type: ignore[arg-type]
GaussianMixture(3, n_component=4)  # type: ignore[call-arg]
GaussianMixtureIC(range(1, 5), covariance_type=["full", "teid"])  # type: ignore[list-item]
