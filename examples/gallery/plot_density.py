"""
A smooth density from few parameters
====================================

How are the waits for Old Faithful distributed? A histogram depends on its bins, and a kernel density must store all
rows. A mixture of two components has five parameters, and its probabilities have a closed form.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import gaussian_kde

from gaussmix import GaussianMixture

wait = np.loadtxt("../faithful.csv", delimiter=",", skiprows=1)[:, 1]
gm = GaussianMixture(2, random_state=0).fit(wait[:, None])
kernel = gaussian_kde(wait)
grid = np.linspace(35, 105, 400)

figure, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
ax.hist(wait, bins=25, density=True, color="0.88")
ax.plot(grid, np.exp(gm.score_samples(grid[:, None])), lw=2.5, label="mixture of two")
ax.plot(grid, kernel(grid), lw=1.5, ls="--", label="kernel density")
low, high = gm.mixture_.quantile([0.05, 0.95])
ax.axvspan(low, high, alpha=0.08, label="90 % of the waits, by the mixture")
ax.set(xlabel="wait, minutes", ylabel="density, 1 / minute")
ax.legend(frameon=False)
plt.show()

# %%
# Which density describes new waits better? The program prints the mean log density over ten folds, in nats per wait:

order = np.random.default_rng(0).permutation(len(wait))
scores = {"mixture": [], "kernel density": []}
for fold in np.array_split(order, 10):
    rest = np.setdiff1d(order, fold)
    scores["mixture"].append(GaussianMixture(2, random_state=0).fit(wait[rest, None]).score(wait[fold, None]))
    scores["kernel density"].append(np.log(gaussian_kde(wait[rest])(wait[fold])).mean())
for name, values in scores.items():
    print(f"{name}: {np.mean(values):.3f}")
