"""
A codebook of 4,096 cells
=========================

A search engine for images divides its feature space into thousands of cells, and compares a query only with the rows of
a few cells. The cells usually come from k-means; this example compares them with the cells of a mixture of the same
size. The features are the colours of 2 × 2 pixels of two photographs, and a query searches for the ten nearest of
100,000 rows.
"""

import warnings
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_image
from sklearn.feature_extraction.image import extract_patches_2d
from sklearn.neighbors import KDTree

from gaussmix import GaussianMixture

N_CELLS = 4096
rng = np.random.default_rng(0)
photographs = [load_sample_image(name) + rng.uniform(-0.5, 0.5, (427, 640, 3)) for name in ("flower.jpg", "china.jpg")]
patches = np.concatenate([extract_patches_2d(photograph, (2, 2)).reshape(-1, 12) for photograph in photographs])
patches = rng.permutation(patches)
rows, queries = patches[:100_000], patches[100_000:102_000]
neighbours = KDTree(rows).query(queries, k=10, return_distance=False)

# %%
# With 4,096 components, EM is truncated: a row has responsibilities only for its most likely components. K-means begins
# with random rows, because k-means++ would take longer than the rest of the program. A few of the components become
# empty or keep only identical rows; the warning that lists them is suppressed.

warnings.filterwarnings("ignore", "[Cc]omponents? ")
began = perf_counter()
mixture = GaussianMixture(N_CELLS, covariance_type="spherical", tol=0.01).fit(rows)
middle = perf_counter()
kmeans = KMeans(N_CELLS, init="random", n_init=1, max_iter=15, random_state=0).fit(rows)
print(f"mixture: {mixture.n_iter_} steps, {middle - began:.0f} s; a row has {mixture.outcome_.n_candidates} components")
print(f"k-means: {kmeans.n_iter_} steps, {perf_counter() - middle:.0f} s")

# %%
# The code of a row is the index of its cell. A query visits the cells in the order of their distance or, with the
# mixture, of their probability.


def visited(codes, order):
    """Return the number of rows that a query reads in 1, 2, 3 … cells, and the fraction of its neighbours found."""
    sizes = np.bincount(codes, minlength=N_CELLS)
    turn = np.argsort(order, axis=1)
    found = np.take_along_axis(turn, codes[neighbours], axis=1)
    counts = np.arange(1, 33)
    recall = [(found < count).mean() for count in counts]
    return counts, np.cumsum(sizes[order[:, :32]], axis=1).mean(axis=0), recall


codes = mixture.predict(rows)
by_centre = KDTree(mixture.means_).query(queries, k=N_CELLS, return_distance=False)
curves = {
    "k-means, nearest cells": visited(kmeans.labels_, np.argsort(kmeans.transform(queries), axis=1)),
    "mixture, nearest cells": visited(codes, by_centre),
    "mixture, most probable cells": visited(codes, np.argsort(-mixture.predict_proba(queries), axis=1)),
}
for name, (_, n_read, recall) in curves.items():
    print(f"{name + ':':30}{recall[3]:.1%} of the neighbours in 4 cells, {n_read[3]:.0f} rows")

# %%
# For a given number of rows read, the mixture finds about the same number of neighbours as k-means. The mixture takes
# less time to fit, because a step does not compare each row with all cells. The nearest cells contain more neighbours
# than the most probable cells.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharey=True)
for name, (counts, n_read, recall) in curves.items():
    axes[0].plot(counts, recall, ".-", label=name)
    axes[1].plot(n_read, recall, ".-", label=name)
axes[0].set(xscale="log", xlabel="cells visited", ylabel="recall of the ten nearest rows")
axes[1].set(xscale="log", xlabel="rows read per query")
axes[0].legend()
for ax in axes:
    ax.grid(alpha=0.3)
plt.show()
