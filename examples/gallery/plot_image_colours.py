"""
The colours of a photograph
===========================

A photograph of 273,280 pixels is reduced to eight colours. Each pixel is a row: red, green and blue. k-means replaces
a pixel by its nearest colour, and no other eight colours are much closer to the pixels: that is what it minimises. A
mixture replaces it by the mean of its eight colours, weighted by the probability of each. This *soft* picture is
farther from a clean photograph. From a noisy one it removes more of the noise.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_sample_image

from gaussmix import GaussianMixture

image = load_sample_image("china.jpg") / 255.0
pixels = image.reshape(-1, 3)
noisy = pixels + np.random.default_rng(0).normal(scale=0.1, size=pixels.shape)


def reduced(rows):
    """The rows in eight colours: by k-means, and softly by a mixture."""
    kmeans = MiniBatchKMeans(8, n_init=3, random_state=0).fit(rows)
    gm = GaussianMixture(8, reg_covar=1e-4, random_state=0).fit(rows)  # 0.01 is two or three steps of a colour
    soft = gm.predict_proba(rows) @ gm.means_
    return {"k-means, 8 colours": kmeans.cluster_centers_[kmeans.predict(rows)], "mixture, soft": soft}, gm


clean, gm = reduced(pixels)
denoised, _ = reduced(noisy)
for name in clean:
    errors = [np.sqrt(((result[name] - pixels) ** 2).mean()) for result in (clean, denoised)]
    print(f"{name}: {errors[0]:.3f} from the photograph; made from the noisy one, {errors[1]:.3f}")

# %%
# The errors are root mean squares; the noise has a standard deviation of 0.1. Of the clean photograph, k-means has the
# smaller error. Of the noisy one, soft assignment has: a noisy pixel may have had either of two colours, and it gets a
# mean of both. k-means takes the nearest colour, and so keeps more of the noise.

pictures = {"photograph": pixels, "with noise": noisy, **denoised}
figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
for ax, (name, result) in zip(axes.ravel(), pictures.items(), strict=True):
    ax.imshow(np.clip(result.reshape(image.shape), 0, 1))
    ax.set_title(name)
    ax.axis("off")
plt.show()

# %%
# The mixture's eight colours of the clean photograph, as wide as their share of the pixels:

figure, ax = plt.subplots(figsize=(9, 1.2), layout="constrained")
left = 0.0
for k in gm.weights_.argsort()[::-1]:
    ax.barh(0, gm.weights_[k], left=left, color=gm.means_[k])
    left += gm.weights_[k]
ax.set(xlim=(0, 1), yticks=[], xlabel="share of the pixels")
plt.show()
