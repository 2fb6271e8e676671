"""
A photograph without its noise, from itself alone
=================================================

:doc:`The other example of patches </gallery/plot_patches_denoised>` fits 20 components to clean photographs and needs
the standard deviation of the noise. This example needs only the noisy photograph: 1,000 components are fitted to its
own patches, and the fit also estimates the noise. A mixture of 20 components for the same patches is shown for
comparison.
"""

import warnings
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d

from gaussmix import FactorAnalyzer, GaussianMixture

SIDE = 8
rng = np.random.default_rng(0)
clean = load_sample_image("china.jpg")[:280, :420].mean(axis=2) / 255.0  # a part, so that the example takes less time
noisy = clean + 0.1 * rng.normal(size=clean.shape)

# %%
# The mean brightness of each patch is subtracted. The remainder has 63 dimensions, in coordinates that preserve
# lengths.

pixels = extract_patches_2d(noisy, (SIDE, SIDE)).reshape(-1, SIDE**2)
brightness = pixels.mean(axis=1, keepdims=True)
basis = np.linalg.svd(np.eye(SIDE**2) - 1 / SIDE**2)[0][:, :-1]
patches = pixels @ basis

# %%
# With ``posterior=8`` EM is truncated: a patch has responsibilities only for its 8 most likely components. Full
# covariances of 1,000 components would fit the noise too, so each component has only 6 factors. A few components become
# empty or keep few rows; the warning that lists them is suppressed.

warnings.filterwarnings("ignore", "[Cc]omponents? ")
settings = {"tol": 0.1, "random_state": 0}
began = perf_counter()
many = GaussianMixture(
    1000, covariance_type=FactorAnalyzer(6), posterior=8, init_params="random_from_data", **settings
).fit(patches)
print(f"{len(patches):,} patches, {many.n_iter_} steps, {perf_counter() - began:.0f} s")
outcome = many.outcome_
print(f"bound below the log-likelihood: {outcome.posterior_gap:.3f} ± {outcome.posterior_gap_error:.3f} nats per patch")
few = GaussianMixture(20, init_params="kmeans", **settings).fit(patches)

# %%
# In flat regions of the photograph, such as the sky, patches contain only noise. The components with the smallest
# variance therefore estimate the variance of the noise. The Wiener filter of a component then keeps only variation that
# exceeds the noise.


def noise_variance(mixture):
    """Return the mean variance of the components with the smallest variance, which contain a tenth of the patches."""
    variances = np.trace(mixture.covariances_, axis1=1, axis2=2) / mixture.covariances_.shape[1]
    order = np.argsort(variances)
    return variances[order[np.searchsorted(np.cumsum(mixture.weights_[order]), 0.1)]]


def denoised(mixture):
    variances, axes = np.linalg.eigh(mixture.covariances_)
    gains = np.maximum(1 - noise_variance(mixture) / variances, 0)
    labels = mixture.predict(patches)
    rows = np.argsort(labels, kind="stable")
    result = np.empty_like(patches)
    for own in np.split(rows, np.flatnonzero(np.diff(labels[rows])) + 1):
        k = labels[own[0]]
        mean = mixture.means_[k]
        result[own] = mean + (patches[own] - mean) @ axes[k] * gains[k] @ axes[k].T
    return reconstruct_from_patches_2d((result @ basis.T + brightness).reshape(-1, SIDE, SIDE), noisy.shape)


print(f"standard deviation of the noise: {np.sqrt(noise_variance(many)):.3f} found, 0.1 added")

# %%
# Higher values are better, and a gain of 3 dB halves the squared error. On this region of the photograph, the other
# example reaches 24.5 dB. Most of the gain comes from the patches of the photograph itself, because 20 components for
# these patches reach nearly the same value as 1,000 components.

part = slice(100, 260), slice(60, 260)


def quality(image):
    return -10 * np.log10(np.mean((image[part] - clean[part]) ** 2))


pictures = {"photograph": clean, "noisy": noisy, "20 components": denoised(few), "1,000 components": denoised(many)}
figure, axes = plt.subplots(2, 2, figsize=(8.5, 7), layout="constrained")
for ax, (name, image) in zip(axes.ravel(), pictures.items(), strict=True):
    ax.imshow(image[part], cmap="gray", vmin=0, vmax=1)
    ax.set_title(name if image is clean else f"{name}: {quality(image):.1f} dB")
    ax.axis("off")
plt.show()
