"""
The colours of a photograph
===========================

A photograph of 273,280 pixels is reduced to eight colours. Each pixel is a row: red, green and blue. Fitting takes a
second, because EM settles on a sample before it reads all pixels. A mixture then gives a *soft* picture, too: the
mean of the eight colours, weighted by the probability of each. k-means can only replace a pixel by its nearest
colour.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_sample_image

from gaussmix import GaussianMixture

image = load_sample_image("china.jpg") / 255.0
pixels = image.reshape(-1, 3)
gm = GaussianMixture(8, random_state=0).fit(pixels)
kmeans = MiniBatchKMeans(8, n_init=3, random_state=0).fit(pixels)

pictures = {
    "photograph": pixels,
    "k-means, 8 colours": kmeans.cluster_centers_[kmeans.predict(pixels)],
    "mixture, 8 colours": gm.means_[gm.predict(pixels)],
    "mixture, soft": gm.predict_proba(pixels) @ gm.means_,
}

# %%
# The soft picture has more than eight colours, because most pixels are between two of them.

figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
for ax, (name, result) in zip(axes.ravel(), pictures.items(), strict=True):
    ax.imshow(np.clip(result.reshape(image.shape), 0, 1))
    ax.set_title(name)
    ax.axis("off")
plt.show()

# %%
# The eight colours, as wide as their share of the pixels:

figure, ax = plt.subplots(figsize=(9, 1.2), layout="constrained")
left = 0.0
for k in gm.weights_.argsort()[::-1]:
    ax.barh(0, gm.weights_[k], left=left, color=gm.means_[k])
    left += gm.weights_[k]
ax.set(xlim=(0, 1), yticks=[], xlabel="share of the pixels")
plt.show()
