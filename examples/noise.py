"""Old Faithful with the same number of junk rows: mixtures with and without a uniform background.

python examples/noise.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaussmix import GaussianMixture

CLEAN = np.loadtxt(Path(__file__).parent / "faithful.csv", delimiter=",", skiprows=1)


def compare(n_tables: int = 10) -> dict[str, tuple[float, float, float]]:
    """Return the errors of means and standard deviations compared with clean rows, and the fraction of junk found."""
    truth = GaussianMixture(2, tol=1e-8, max_iter=1000, random_state=0).fit(CLEAN)
    results: dict[str, list[tuple[float, float, float]]] = {"plain": [], "with noise": []}
    low, high = CLEAN.min(axis=0), CLEAN.max(axis=0)
    for seed in range(n_tables):
        junk = np.random.default_rng(seed).uniform(low, high, size=CLEAN.shape)
        rows = np.concatenate([CLEAN, junk])
        for name, noise in (("plain", False), ("with noise", True)):
            fitted = GaussianMixture(2, noise=noise, tol=1e-6, max_iter=1000, random_state=seed).fit(rows)
            matched = fitted.mixture_.without_noise.match_to(truth.mixture_)
            found, wanted = matched._model.covariances.variances(), truth.mixture_._model.covariances.variances()
            shift = np.abs(matched.means - truth.means_) / np.sqrt(wanted)
            growth = np.abs(np.sqrt(found / wanted) - 1)
            results[name].append((shift.mean(), growth.mean(), (fitted.predict(junk) == -1).mean()))
    return {name: tuple(np.mean(each, axis=0).tolist()) for name, each in results.items()}


def main() -> None:
    """Print the table."""
    print("272 eruptions and 272 junk rows in the same box, mean of ten tables\n")
    print(f"{'':12}{'means off by':>14}{'deviations off by':>19}{'junk found':>12}")
    for name, (shift, growth, found) in compare().items():
        print(f"{name:12}{shift:11.2f} sd{growth:19.0%}{found:12.0%}")


if __name__ == "__main__":
    main()
