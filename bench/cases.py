"""The cases that are measured: shapes, structures, data and starts, the same for everything that is timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHAPES = [
    (1_000_000, 2, 8),
    (500_000, 8, 16),
    (200_000, 16, 16),
    (100_000, 32, 32),
    (50_000, 64, 32),
    (20_000, 128, 16),
]
STRUCTURES = ["full", "tied", "diag", "spherical"]
MEMORY_SHAPE = (5_000_000, 8, 32)


@dataclass(frozen=True)
class Case:
    """Rows (n, d), and the parameters that every fit starts from."""

    structure: str
    n_rows: int
    n_features: int
    n_components: int
    separated: bool = False

    @property
    def name(self) -> str:
        kind = "separated " if self.separated else ""
        shape = f"{self.n_rows:.0e}, d={self.n_features}, K={self.n_components}".replace("e+0", "e")
        return f"{kind}{self.structure} {shape}"

    def rows(self) -> NDArray[np.float64]:
        """Clusters of unit variance.

        Overlapping: centres a standard deviation and a half apart, so that no work can be skipped. Separated: centres
        three standard deviations apart in every coordinate.
        """
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((self.n_rows, self.n_features))
        centres = self._centres() if self.separated else self._near(rng)
        labels = rng.integers(self.n_components, size=self.n_rows)
        for first in range(0, self.n_rows, 65_536):  # in parts, so that the rows are the peak of memory
            rows[first : first + 65_536] += centres[labels[first : first + 65_536]]
        return rows

    def start(self) -> dict[str, Any]:
        """Weights, means and unit precisions, as scikit-learn's parameters take them.

        Fits of separated clusters start close to the centres: from elsewhere the first steps of EM look for them.
        """
        rng = np.random.default_rng(1)
        k, d = self.n_components, self.n_features
        identity = {
            "full": np.tile(np.eye(d), (k, 1, 1)),
            "tied": np.eye(d),
            "diag": np.ones((k, d)),
            "spherical": np.ones(k),
        }
        return {
            "weights_init": np.full(k, 1 / k),
            "means_init": self._centres() + 0.3 * self._near(rng) if self.separated else self._near(rng),
            "precisions_init": identity[self.structure],
        }

    def _near(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Points about 1.5 from the origin, whatever the number of features."""
        return rng.standard_normal((self.n_components, self.n_features)) * 1.5 / self.n_features**0.5

    def _centres(self) -> NDArray[np.float64]:
        """Points 3 from the origin in every coordinate, in the root mean square."""
        return 3 * np.random.default_rng(2).standard_normal((self.n_components, self.n_features))


def cases(structures: list[str]) -> list[Case]:
    """Every shape under each structure."""
    return [Case(structure, *shape) for structure in structures for shape in SHAPES]
