"""
Clusters that are not ellipses
==============================

Half moons are not ellipses, so a mixture describes each moon with a few components, and ``merge`` combines the
components that overlap (Hennig 2010). Spectral clustering, the usual alternative, also finds the moons, but it has no
density and cannot label new rows.
"""

import matplotlib.pyplot as plt
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score

from gaussmix import GaussianMixtureIC

X, moon = make_moons(600, noise=0.08, random_state=0)
gm = GaussianMixtureIC(range(2, 11), covariance_type="full", random_state=0).fit(X)
merging = gm.merge(X)
found = {
    f"{gm.n_components_} components": gm.predict(X),
    "the same, merged": merging.predict(X),
    "k-means": KMeans(2, n_init=5, random_state=0).fit_predict(X),
    "spectral": SpectralClustering(2, affinity="nearest_neighbors", random_state=0).fit_predict(X),
}

# %%

figure, axes = plt.subplots(2, 2, figsize=(8, 5.5), layout="constrained")
for ax, (name, labels) in zip(axes.ravel(), found.items(), strict=True):
    ax.scatter(*X.T, c=labels, s=6, cmap="tab10", vmin=0, vmax=9)
    ax.set(title=f"{name}: {adjusted_rand_score(moon, labels):.2f}", xticks=[], yticks=[])
plt.show()

# %%
# Two components are merged while at least 2.5 % of the rows of one would be assigned to the other. The two moons do not
# overlap, so merging stops with two clusters. The entropy measures how uncertain the assignment of the rows is. The
# entropy decreases when components are merged, and is nearly zero for two clusters, because no row is between the
# moons.

figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.plot(range(1, gm.n_components_ + 1), merging.entropy, "o-")
ax.axvline(merging.n_clusters, color="0.7", zorder=0, label="no clusters overlap")
ax.legend(frameon=False)
ax.set(xlabel="clusters", ylabel="entropy, nats")
plt.show()
