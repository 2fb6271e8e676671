"""
Wine: thirteen measurements, three growers
==========================================

A chemist measured alcohol, acids, colours and ten further properties of 178 wines from three growers. A full covariance
of 13 features has 91 parameters, too many for 178 wines. BIC selects a structure with fewer parameters and the number
of components, without using the growers.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import scale

from gaussmix import GaussianMixtureIC

data = load_wine()
X, grower = scale(data.data), data.target
structures = ["full", "tied", "diag", "spherical", "EEI", "VEI", "VVE", "EVE"]
gm = GaussianMixtureIC(range(1, 7), covariance_type=structures, random_state=0).fit(X)
print("chosen:", gm.covariance_type_, gm.n_components_, "components")

# %%
# The curves show the BIC of each structure, where lower is better. The fit with the lowest BIC is kept.

figure, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
table = {name: np.array(column, dtype=object) for name, column in gm.results_.items()}
for structure in structures:
    own = table["structure"] == structure
    ax.plot(table["n_components"][own].astype(int), table["bic"][own].astype(float), "o-", ms=4, label=structure)
ax.set(xlabel="components", ylabel="BIC", ylim=(None, 6800))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.show()

# %%
# The printed adjusted Rand index compares the clusters with the growers, where 1 is perfect and 0 is chance.

clusters = KMeans(3, n_init=10, random_state=0).fit_predict(X)
print(f"mixture: {adjusted_rand_score(grower, gm.predict(X)):.2f}")
print(f"k-means with three clusters: {adjusted_rand_score(grower, clusters):.2f}")
