"""
Columns with several peaks, normalised for a neural network
===========================================================

Generators of synthetic tables such as CTGAN (Xu et al., NeurIPS 2019) normalise a column with several peaks by a
mixture. Each value is replaced by the index of its component and by its distance from that component's mean, divided by
four standard deviations. The index is one-hot encoded, so that a network learns the peaks separately. Scaling by the
range or by quantiles, the usual alternatives, keeps all peaks in one number.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.preprocessing import minmax_scale, quantile_transform

from gaussmix import GaussianMixtureIC

faithful = np.loadtxt("../faithful.csv", delimiter=",", skiprows=1)
wine = load_wine()
columns = {
    "wait for Old Faithful": faithful[:, 1],
    "proline of wine": wine.data[:, wine.feature_names.index("proline")],
}


def normalise(values):
    """Draw the component of each value by its probabilities, as in CTGAN; also return the scaled distances."""
    gm = GaussianMixtureIC(range(1, 11), covariance_type="full", random_state=0).fit(values[:, None])
    probabilities = gm.predict_proba(values[:, None])
    drawn = np.random.default_rng(0).random((len(values), 1))
    component = (probabilities.cumsum(axis=1) < drawn).sum(axis=1)
    component = np.minimum(component, gm.n_components_ - 1)
    deviation = np.sqrt(gm.covariances_.ravel()[component])
    return gm, component, (values - gm.means_.ravel()[component]) / (4 * deviation)


# %%
# The left plot shows the column and its components. The middle plot shows the input of the network, with a colour for
# each component. The right plot shows the alternatives.

figure, axes = plt.subplots(2, 3, figsize=(11, 6), layout="constrained")
for (name, values), (left, middle, right) in zip(columns.items(), axes, strict=True):
    gm, component, scaled = normalise(values)
    grid = np.linspace(values.min(), values.max(), 300)
    left.hist(values, bins=30, density=True, color="0.85")
    densities = np.exp(gm.score_samples(grid[:, None]))[:, None] * gm.predict_proba(grid[:, None])
    left.plot(grid, densities)
    middle.hist([scaled[component == k] for k in range(gm.n_components_)], bins=30, stacked=True)
    right.hist(minmax_scale(values) * 2 - 1, bins=30, alpha=0.6, label="range")
    right.hist(
        quantile_transform(values[:, None], n_quantiles=100).ravel() * 2 - 1, bins=30, alpha=0.6, label="quantiles"
    )
    left.set(title=name, ylabel="density")
    middle.set(title="distance from the component's mean", xlim=(-1, 1))
    right.set(title="scaled by range, by quantiles", xlim=(-1, 1))
    right.legend(frameon=False)
plt.show()

# %%
# Component and distance determine the original values up to rounding:

gm, component, scaled = normalise(columns["proline of wine"])
again = gm.means_.ravel()[component] + 4 * np.sqrt(gm.covariances_.ravel()[component]) * scaled
print(np.abs(again - columns["proline of wine"]).max() < 1e-9)
