"""
Cell types without drawing gates by hand
========================================

A flow cytometer measures how brightly each cell shines in a few colours. Biologists draw polygons, called gates,
around clusters of cells by hand. The clusters are not ellipses, because gamma-like tails are common. A mixture uses
several components for such a cluster, and ``merge`` combines overlapping components to one cell type. If there is
debris between the clusters, ``noise=True`` describes it. The program simulates cells with fluorescences on a log scale.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from gaussmix import GaussianMixtureIC

rng = np.random.default_rng(3)


def cells(n, centre, spread, tail):
    rows = rng.normal(centre, spread, size=(n, 2))
    return rows + rng.gamma(1.2, 1.0, size=(n, 1)) * np.array(tail)


groups = [
    cells(6000, [1.2, 1.0], [0.25, 0.25], [0.35, 0.05]),
    cells(3000, [1.0, 4.0], [0.25, 0.3], [0.1, 0.3]),
    cells(2500, [4.3, 3.6], [0.3, 0.2], [-0.35, 0.25]),
    cells(800, [4.8, 1.0], [0.15, 0.2], [0.05, 0.3]),
]
X, types = np.concatenate(groups), np.repeat(range(4), [len(group) for group in groups])

gm = GaussianMixtureIC(range(4, 11), covariance_type="full", random_state=0, init_params="kmeans").fit(X)
merging = gm.merge(X)
labels = {
    f"{gm.n_components_} components, by BIC": gm.predict(X),
    f"{merging.n_clusters} types after merging": merging.predict(X),
    "k-means with 4 clusters": KMeans(4, n_init=5, random_state=0).fit_predict(X),
}

# %%
# The titles show the agreement with the true cell types, where 1 is perfect.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True, layout="constrained")
for ax, (name, found) in zip(axes, labels.items(), strict=True):
    ax.scatter(*X.T, c=found, s=2, cmap="tab10", vmin=0, vmax=9, alpha=0.5, linewidths=0)
    ax.set(title=f"{name}: {adjusted_rand_score(types, found):.2f}", xlabel="green, log₁₀")
axes[0].set_ylabel("red, log₁₀")
plt.show()

# %%
# Biologists are interested in the proportions of the cell types:

truth, found = np.bincount(types) / len(X), np.bincount(labels[f"{merging.n_clusters} types after merging"]) / len(X)
print("true: ", np.sort(truth).round(3))
print("found:", np.sort(found).round(3))
