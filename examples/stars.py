"""A star cluster measured with errors: a mixture with known errors compared with a mixture that ignores them.

python examples/stars.py
"""

from __future__ import annotations

import numpy as np

from gaussmix import GaussianMixture

SPREAD = 0.3  # standard deviation of the motions within the cluster, mas / year
SHARE = 0.3  # fraction of stars in the cluster
MOTION = np.array([-6.0, 2.5])


def catalogue(n_stars: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw motions (n_stars, 2), their errors, which are larger for faint stars, and the cluster membership."""
    is_member = rng.random(n_stars) < SHARE
    true = np.where(is_member[:, None], MOTION, rng.normal([-2.0, 0.0], [4.0, 3.0], size=(n_stars, 2)))
    true = true + is_member[:, None] * SPREAD * rng.normal(size=(n_stars, 2))
    magnitude = rng.uniform(10, 20, size=n_stars)
    errors = 0.05 * 10 ** (0.17 * (magnitude[:, None] - 10)) * np.ones(2)
    return true + errors * rng.normal(size=true.shape), errors, is_member


def compare(n_stars: int = 3000, n_times: int = 5) -> dict[str, tuple[float, float, float]]:
    """Return the spread of the cluster, its weight, and the fraction of stars that are classified correctly."""
    results: dict[str, list[tuple[float, float, float]]] = {"with errors": [], "without": []}
    for seed in range(n_times):
        measured, errors, is_member = catalogue(n_stars, np.random.default_rng(seed))
        for name, X_error in ("with errors", errors), ("without", None):
            gm = GaussianMixture(2, max_iter=2000, tol=1e-6, n_init=3, random_state=0).fit(measured, X_error=X_error)
            narrow = int(np.linalg.det(gm.covariances_).argmin())
            spread = float(np.sqrt(np.trace(gm.covariances_[narrow]) / 2))
            found = gm.predict(measured, X_error=X_error) == narrow
            results[name].append((spread, float(gm.weights_[narrow]), float((found == is_member).mean())))
    return {name: tuple(np.mean(found, axis=0).tolist()) for name, found in results.items()}


def main() -> None:
    """Print the table."""
    print(f"3,000 stars, {SHARE:.0%} in a cluster whose motions spread by {SPREAD} mas/year; mean of five\n")
    print(f"{'':14}{'spread':>8}{'share':>8}{'right':>8}")
    for name, (spread, share, right) in compare().items():
        print(f"{name:14}{spread:8.2f}{share:8.2f}{right:8.1%}")


if __name__ == "__main__":
    main()
