"""
A photograph without its noise (EPLL)
=====================================

Small patches of different photographs resemble each other: edges, textures, flat areas. A mixture is fitted to patches
of one photograph, and then removes the noise from another photograph. This is the expected patch log-likelihood of
Zoran & Weiss (ICCV 2011): each patch is replaced by its conditional mean given the noisy patch, and overlapping patches
are averaged. The usual alternatives are a Gaussian filter and wavelets; the filter is shown for comparison.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_image
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d

from gaussmix import GaussianMixture

SIDE, NOISE = 8, 0.1


def grey(name):
    return load_sample_image(name).mean(axis=2) / 255.0


rng = np.random.default_rng(0)
patches = extract_patches_2d(grey("flower.jpg"), (SIDE, SIDE), max_patches=10_000, random_state=0).reshape(-1, SIDE**2)
others = extract_patches_2d(grey("china.jpg")[:, 320:], (SIDE, SIDE), max_patches=10_000, random_state=0)
patches = np.concatenate([patches, others.reshape(-1, SIDE**2)])
patches -= patches.mean(axis=1, keepdims=True)
patches += 0.01 * rng.normal(size=patches.shape)  # flat patches would have singular covariances
prior = GaussianMixture(20, tol=0.1, random_state=0).fit(patches)

# %%
# The noisy image is a region of the second photograph, which was not used in the fit. `convolve` adds the noise to the
# mixture, so that `predict` returns the component of a noisy patch. The Wiener filter of this component removes the
# noise.

clean = grey("china.jpg")[100:260, 60:260]
noisy = clean + NOISE * rng.normal(size=clean.shape)


def denoised(image, error):
    rows = extract_patches_2d(image, (SIDE, SIDE)).reshape(-1, SIDE**2)
    brightness = rows.mean(axis=1, keepdims=True)
    component = prior.mixture_.convolve(np.full(SIDE**2, error**2)).predict(rows - brightness)
    result = np.empty_like(rows)
    for k, (mean, covariance) in enumerate(zip(prior.means_, prior.covariances_, strict=True)):
        wiener = covariance @ np.linalg.inv(covariance + error**2 * np.eye(SIDE**2))
        own = component == k
        result[own] = mean + (rows[own] - brightness[own] - mean) @ wiener.T + brightness[own]
    return reconstruct_from_patches_2d(result.reshape(-1, SIDE, SIDE), image.shape)


def quality(image):
    return -10 * np.log10(np.mean((image - clean) ** 2))


smooth = max((gaussian_filter(noisy, width) for width in np.arange(0.5, 2.0, 0.1)), key=quality)
pictures = {"photograph": clean, "noisy": noisy, "best Gaussian filter": smooth, "mixture": denoised(noisy, NOISE)}

# %%
# Higher values are better, and a gain of 3 dB halves the squared error.

figure, axes = plt.subplots(2, 2, figsize=(8.5, 7), layout="constrained")
for ax, (name, image) in zip(axes.ravel(), pictures.items(), strict=True):
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set_title(name if image is clean else f"{name}: {quality(image):.1f} dB")
    ax.axis("off")
plt.show()
