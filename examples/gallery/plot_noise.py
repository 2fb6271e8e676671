"""
Clusters in junk
================

Half of the rows are junk that is spread over the plane. A mixture without noise inflates its components to describe the
junk. With ``noise=True``, a uniform background describes the junk instead. DBSCAN, the usual alternative, needs a
distance and a number of neighbours, which were tuned by hand in this example.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score

from gaussmix import GaussianMixture

rng = np.random.default_rng(0)
eruptions = np.loadtxt("../faithful.csv", delimiter=",", skiprows=1)
junk = rng.uniform(eruptions.min(axis=0), eruptions.max(axis=0), size=(272, 2))
X = np.concatenate([eruptions, junk])
truth = np.r_[(eruptions[:, 1] > 67).astype(int), np.full(272, -1)]
scaled = (X - X.mean(axis=0)) / X.std(axis=0)

found = {
    "truth": truth,
    "without noise": GaussianMixture(2, random_state=0, tol=1e-6, max_iter=1000).fit_predict(X),
    "noise=True": GaussianMixture(2, noise=True, random_state=0, tol=1e-6, max_iter=1000).fit_predict(X),
    "DBSCAN": DBSCAN(eps=0.2, min_samples=10).fit_predict(scaled),
}

# %%
# Grey rows are labelled as noise. The titles show the agreement with the true labels, where 1 is perfect and 0 is
# chance.

figure, axes = plt.subplots(2, 2, figsize=(8, 6.5), sharex=True, sharey=True, layout="constrained")
for ax, (name, labels) in zip(axes.ravel(), found.items(), strict=True):
    ax.scatter(*X[labels < 0].T, s=6, color="0.75")
    ax.scatter(*X[labels >= 0].T, s=8, c=labels[labels >= 0], cmap="tab10", vmin=0, vmax=9)
    ax.set(title=f"{name}: {adjusted_rand_score(truth, labels):.2f}")
figure.supxlabel("eruption, minutes")
figure.supylabel("wait, minutes")
plt.show()
