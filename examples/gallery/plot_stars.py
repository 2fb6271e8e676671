"""
Stars: the true spread behind noisy measurements
================================================

Velocities of stars in a cluster differ little, but their measured values differ a lot, because each measurement has its
own known error. A fit that ignores the errors describes mainly the errors. Extreme deconvolution (Bovy, Hogg & Roweis
2011) fits the distribution *without* errors: pass the standard deviations as ``X_error``, or a covariance for each
star, ``(n, d, d)``. The program simulates the stars, so that the true parameters are known.
"""

import matplotlib.pyplot as plt
import numpy as np

from gaussmix import GaussianMixture
from gaussmix.plot import ComponentDisplay

rng = np.random.default_rng(1)
in_cluster = rng.random(2000) < 0.3
truth = np.where(in_cluster[:, None], rng.normal([3, -2], 0.3, (2000, 2)), rng.normal([0, 0], [3, 2], (2000, 2)))
errors = rng.uniform(0.2, 1.5, size=truth.shape)
measured = truth + errors * rng.normal(size=truth.shape)

naive = GaussianMixture(2, random_state=0, tol=1e-6, max_iter=2000).fit(measured)
exact = GaussianMixture(2, random_state=0, tol=1e-6, max_iter=2000).fit(measured, X_error=errors)
fits = {"errors ignored": naive, "errors known": exact}

# %%
# The true cluster is 0.3 km/s wide, which only the fit with ``X_error`` finds.

names = ["velocity to the east, km/s", "velocity to the north, km/s"]
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.3), layout="constrained")
for ax, (name, gm) in zip(axes, fits.items(), strict=True):
    order = gm.mixture_.sorted("size")
    width = np.sqrt(np.linalg.eigvalsh(order.covariances).mean(axis=1)).min()
    ComponentDisplay.from_estimator(
        gm.mixture_, measured, ax=ax, row_kwargs={"s": 3}, legend=False, feature_names=names
    )
    ax.set(title=f"{name}: cluster {width:.2f} km/s wide", xlim=(-9, 9), ylim=(-7, 7))
plt.show()

# %%
# ``denoise`` returns the mean of the true velocity of each star given its measurement, and its covariance.

means, _ = exact.denoise(measured, X_error=errors)
for name, values in (("measured", measured), ("denoised", means)):
    print(f"{name}: {np.sqrt(((values - truth) ** 2).mean()):.2f} km/s from the truth")
