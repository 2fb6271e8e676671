"""
Old Faithful: how many kinds of eruption?
=========================================

The data contain 272 eruptions of the geyser Old Faithful. Each row has the duration of an eruption and the wait until
the next eruption, in minutes. BIC selects the number of components. For k-means, the usual alternative, this number
must be given. k-means splits the plane by distance, so that without scaling the wait alone decides.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans

from gaussmix import GaussianMixtureIC
from gaussmix.plot import ComponentDisplay

X = np.loadtxt("../faithful.csv", delimiter=",", skiprows=1)
gm = GaussianMixtureIC(range(1, 7), covariance_type="full", random_state=0).fit(X)
clusters = KMeans(2, n_init=10, random_state=0).fit_predict(X)

for n_components, bic in zip(gm.results_["n_components"], gm.results_["bic"], strict=True):
    print(f"{n_components} components: BIC {bic:.0f}")

# %%
# With full covariances, two components have the lowest BIC. Over all structures, BIC is lowest for three components
# with a shared covariance. Two of these components overlap; if they are merged, the result is the same two kinds. The
# ellipses are one, two and three standard deviations wide.

names = ["eruption, minutes", "wait for the next, minutes"]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
ComponentDisplay.from_estimator(gm, X, ax=left, feature_names=names)
left.set_title("mixture: two components, by BIC")
right.scatter(*X.T, c=np.array(["#0072B2", "#D55E00"])[clusters], s=12)
right.set(title="k-means with two clusters", xlabel=names[0])
plt.show()

# %%
# The mixture and k-means both find the two kinds. The mixture also provides probabilities, and predicts the wait after
# an eruption of 3 minutes:

wait = gm.mixture_.condition({0: 3.0})
low, middle, high = wait.quantile([0.05, 0.5, 0.95])
print(f"after 3 minutes: {middle:.0f} minutes of waiting, and between {low:.0f} and {high:.0f} in 9 cases of 10")
