"""
The colours of a photograph
===========================

A photograph of 273,280 pixels is reduced to eight colours. Each pixel is a row with the features red, green and blue.
k-means replaces a pixel with its nearest colour, and minimises the distance between pixels and colours. A mixture
replaces a pixel with the mean of its eight colours, weighted by their probabilities. For a clean photograph, this
*soft* assignment has a larger error, but for a noisy photograph it removes more of the noise.
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
    """Return the rows in eight colours, by k-means and by the soft assignment of a mixture."""
    kmeans = MiniBatchKMeans(8, n_init=3, random_state=0).fit(rows)
    gm = GaussianMixture(8, reg_covar=1e-4, random_state=0).fit(rows)  # 0.01², two or three colour steps
    soft = gm.predict_proba(rows) @ gm.means_
    return {"k-means, 8 colours": kmeans.cluster_centers_[kmeans.predict(rows)], "mixture, soft": soft}, gm


clean, gm = reduced(pixels)
denoised, _ = reduced(noisy)
for name in clean:
    errors = [np.sqrt(((result[name] - pixels) ** 2).mean()) for result in (clean, denoised)]
    print(f"{name}: {errors[0]:.3f} from the photograph; made from the noisy one, {errors[1]:.3f}")

# %%
# The errors are root mean squares, and the noise has a standard deviation of 0.1. For the clean photograph, k-means has
# the smaller error. For the noisy photograph, soft assignment has the smaller error: if the original pixel may have had
# either of two colours, it becomes a mean of both. k-means uses the nearest colour, and thus keeps more of the noise.

pictures = {"photograph": pixels, "with noise": noisy, **denoised}
figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
for ax, (name, result) in zip(axes.ravel(), pictures.items(), strict=True):
    ax.imshow(np.clip(result.reshape(image.shape), 0, 1))
    ax.set_title(name)
    ax.axis("off")
plt.show()

# %%
# The bar shows the mixture's eight colours of the clean photograph. Their widths are the fractions of pixels:

figure, ax = plt.subplots(figsize=(9, 1.2), layout="constrained")
left = 0.0
for k in gm.weights_.argsort()[::-1]:
    ax.barh(0, gm.weights_[k], left=left, color=gm.means_[k])
    left += gm.weights_[k]
ax.set(xlim=(0, 1), yticks=[], xlabel="share of the pixels")
plt.show()
