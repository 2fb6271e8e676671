"""
A scanned surface as 20,000 Gaussians
=====================================

A scanner measures millions of noisy points on a surface. A mixture of many flat components describes the surface with
fewer parameters, and the thinnest axis of each component is the local normal of the surface. Because real scans are too
large for this gallery, the points are drawn from a bumpy ball whose normals are known. The usual alternative is to
compute the principal axes of the nearest neighbours of each point.
"""

import warnings
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree

from gaussmix import GaussianMixture, Mixture

NOISE = 0.002
rng = np.random.default_rng(0)


def height(points):
    """Return the heights of points above the surface."""
    radius = np.linalg.norm(points, axis=1)
    x, y, z = points.T / radius
    waves = 0.12 * np.sin(5 * x) * np.sin(6 * y + 1) + 0.05 * np.sin(14 * z + 3 * x)
    return radius - 1 - waves - 0.02 * np.sin(25 * y) * np.sin(23 * x)


def scan(n_points):
    directions = rng.normal(size=(n_points, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * (1 - height(directions))[:, None] + NOISE * rng.normal(size=(n_points, 3))


points = scan(1_000_000)
warnings.filterwarnings("ignore", "[Cc]omponents? ")  # ten of 20,000 components keep only a few points
began = perf_counter()
surface = GaussianMixture(20_000, tol=0.01, random_state=0).fit(points)
outcome = surface.outcome_
print(f"{surface.n_iter_} steps, {perf_counter() - began:.0f} s")
print(f"The bound is {outcome.posterior_gap:.1g} nats per row below the log-likelihood.")

# %%
# With 20,000 components, EM is truncated: a row has responsibilities only for its 8 most likely components. The fit
# reports the resulting loss of log-likelihood, which is negligible here. Because there are only 50 points per
# component, later steps would fit the noise, so `tol` is 0.01.

thickness, axes_of = np.linalg.eigh(surface.covariances_)
normals = axes_of[:, :, 0]


def angles(normals, places):
    """Return the angles between the given normals and the normals of the surface, in degrees."""
    gradient = np.stack([height(places + step) - height(places - step) for step in 1e-5 * np.eye(3)], axis=1)
    cosines = np.einsum("nd,nd->n", normals, gradient) / np.linalg.norm(gradient, axis=1)
    return np.degrees(np.arccos(np.minimum(np.abs(cosines), 1)))


places = points[:20_000]
near = points[cKDTree(points).query(places, k=50)[1]]
centred = near - near.mean(axis=1, keepdims=True)
by_neighbours = np.linalg.eigh(np.einsum("nki,nkj->nij", centred, centred))[1][:, :, 0]

print("error of half of the normals, at most")
print(f"components:     {np.median(angles(normals, surface.means_)):.1f} degrees, 10 numbers each")
print(f"50 neighbours:  {np.median(angles(by_neighbours, places)):.1f} degrees, all points are kept")
print("distance from the surface")
print(f"points:         {np.sqrt(np.mean(height(points) ** 2)):.4f}")
print(f"means:          {np.sqrt(np.mean(height(surface.means_) ** 2)):.4f}")
print(f"mean log-density of new points: {surface.score(scan(20_000)):.2f} nats")

# %%
# The left plot shows the scanned points, where brighter points are nearer. The middle plot shows the components, lit
# from the upper left. The right plot shows new points that are drawn from the mixture, with the light of their
# components.

light = np.array([-0.5, 0.6, 0.65])
outward = normals * np.sign(np.einsum("kd,kd->k", normals, surface.means_))[:, None]
shade = np.clip(outward @ light, 0.15, 1)
drawn, component = surface.sample(200_000)
some = points[:200_000]
pictures = {
    "scanned points": (some, some[:, 2], some[:, 2] > 0, 0.6),
    "20,000 components and their normals": (surface.means_, shade, outward[:, 2] > 0, 9),
    "points drawn from the mixture": (drawn, shade[component], outward[component, 2] > 0, 0.6),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained", facecolor="black")
for ax, (name, (shown, colour, is_front, size)) in zip(axes, pictures.items(), strict=True):
    shown, colour = shown[is_front], colour[is_front]
    order = np.argsort(shown[:, 2])
    ax.scatter(*shown[order, :2].T, s=size, c=colour[order], cmap="bone", vmin=0, linewidths=0)
    ax.set_title(name, color="white")
    ax.set_aspect("equal")
    ax.axis("off")

# %%
# The plot shows the log density in a plane through the ball, and the scanned points near this plane.

is_near = np.abs(surface.means_ - [0.65, 0, 0.7]).max(axis=1) < 0.15
weights = surface.weights_[is_near] / surface.weights_[is_near].sum()
local = Mixture.from_parameters(weights, surface.means_[is_near], surface.covariances_[is_near])
x, z = np.meshgrid(np.linspace(0.6, 0.7, 300), np.linspace(0.65, 0.75, 300))
plane = np.stack([x.ravel(), np.zeros(x.size), z.ravel()], axis=1)
slab = points[np.abs(points[:, 1]) < 0.005]

figure, ax = plt.subplots(figsize=(5, 4.2), layout="constrained")
mesh = ax.pcolormesh(x, z, local.log_density(plane).reshape(x.shape), vmin=-4, cmap="magma")
ax.plot(slab[:, 0], slab[:, 2], "c.", markersize=3)
ax.set(xlim=(0.6, 0.7), ylim=(0.65, 0.75), xlabel="x", ylabel="z", aspect="equal")
figure.colorbar(mesh, label="log-density, nats")
plt.show()
