"""
Iris with missing values: filling them
======================================

Three of ten measurements are missing. The mixture is fitted to the incomplete rows, and replaces each missing value
with its conditional mean given the other values of the flower. The usual alternatives are the mean of the column, the
nearest flowers, and one regression for each column.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from gaussmix import GaussianMixtureImputer

X = load_iris().data
rng = np.random.default_rng(0)
lost = rng.random(X.shape) < 0.3
holed = np.where(lost, np.nan, X)

imputers = {
    "mean of the column": SimpleImputer(),
    "nearest flowers": KNNImputer(),
    "regressions": IterativeImputer(max_iter=50, tol=1e-2, random_state=0),
    "mixture": GaussianMixtureImputer(3, covariance_type="tied", random_state=0, max_iter=1000),
}
filled = {name: imputer.fit_transform(holed) for name, imputer in imputers.items()}

# %%
# A perfect imputer would put every point on the line.

figure, axes = plt.subplots(2, 2, figsize=(8, 7), sharex=True, sharey=True, layout="constrained")
for ax, (name, values) in zip(axes.ravel(), filled.items(), strict=True):
    ax.axline((0, 0), slope=1, color="0.7", lw=1)
    ax.scatter(X[lost], values[lost], s=10, c=np.nonzero(lost)[1], cmap="tab10", vmin=0, vmax=9)
    error = np.sqrt(((values - X)[lost] ** 2).mean())
    ax.set(title=f"{name}: {error:.2f} cm")
figure.supxlabel("truth, cm")
figure.supylabel("filled in, cm")
plt.show()

# %%
# Conditional means vary too little, because real flowers vary about them. If the variance matters, draw values instead.

drawn = GaussianMixtureImputer(3, covariance_type="tied", sample_posterior=True, random_state=0, max_iter=1000)
for name, values in (("truth", X), ("means", filled["mixture"]), ("draws", drawn.fit_transform(holed))):
    print(f"{name}: correlation of petal length and width {np.corrcoef(values[:, 2], values[:, 3])[0, 1]:.3f}")
