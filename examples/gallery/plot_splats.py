"""
From 100,000 splats to 5,000
============================

Gaussian splatting describes a scene with a very large number of small coloured Gaussians, often more than a viewer
can show. In this example, each of the 100,000 pixels of a photograph is a splat: a narrow Gaussian in position and
colour. The image is divided into 1,000 tiles of 100 splats, and ``fit_many`` fits five components to each tile in one
call. The usual alternative is a smaller image of 5,000 pixels.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import zoom
from sklearn.datasets import load_sample_image

from gaussmix import Mixture, fit_many

image = load_sample_image("flower.jpg")[100:350, 130:530] / 255.0  # 250 × 400 pixels
height, width, _ = image.shape
place = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1)
splats = np.concatenate([place, image], axis=-1)  # row, column, red, green, blue
spread = np.array([0.3, 0.3, 1e-3, 1e-3, 1e-3])  # variances of one splat

# %%
# In units of its own spread, each splat has variance 1 in every feature. A ridge of 1 adds this variance to the
# covariances of the components, which then describe the splats and not only their centres.

corners = [(row, column) for row in range(0, height, 10) for column in range(0, width, 10)]
tiles = [splats[row : row + 10, column : column + 10].reshape(-1, 5) / np.sqrt(spread) for row, column in corners]
reduced = list(fit_many(tiles, 5, reg_covar=1.0, max_iter=500, random_state=0))
few = Mixture.concatenate(reduced, np.full(len(reduced), 1 / len(reduced))).transform(np.diag(np.sqrt(spread)))
print(f"{height * width:,} splats became {few.n_components:,}")

# %%
# The image of a mixture is the mean colour given the position, a regression in closed form. Only splats near a tile
# matter.

drawn = np.zeros_like(image)
for row, column in corners:
    near = (np.abs(few.means[:, :2] - [row + 5, column + 5]) < 20).all(axis=1)
    weights = few.weights[near] / few.weights[near].sum()
    local = Mixture.from_parameters(weights, few.means[near], few.covariances[near])
    places = place[row : row + 10, column : column + 10].reshape(-1, 2).astype(float)
    drawn[row : row + 10, column : column + 10] = local.conditional_mean(places, known=[0, 1]).reshape(10, 10, 3)

step = np.sqrt(height * width / 5000)
small = zoom(image, (1 / step, 1 / step, 1), order=1, grid_mode=True, mode="nearest")
enlarged = zoom(small, (height / small.shape[0], width / small.shape[1], 1), order=3, grid_mode=True, mode="nearest")


def quality(result):
    return -10 * np.log10(np.mean((np.clip(result, 0, 1) - image) ** 2))


pictures = {
    "100,000 pixels": image,
    f"5,000 splats: {quality(drawn):.1f} dB": drawn,
    f"{small.shape[0] * small.shape[1]:,} pixels: {quality(enlarged):.1f} dB": enlarged,
}
figure, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained")
for ax, (name, result) in zip(axes, pictures.items(), strict=True):
    ax.imshow(np.clip(result, 0, 1))
    ax.set_title(name)
    ax.axis("off")
plt.show()
