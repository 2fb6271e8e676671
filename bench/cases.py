"""Define the cases of all timings: shapes, structures, data and initial parameters."""

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
    """A case: rows (n, d), and the parameters from which every fit starts."""

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
        """Return clusters of unit variance.
        Centres of overlapping clusters are a standard deviation and a half apart, so that no work can be skipped.
        Centres of separated clusters are three standard deviations apart in every coordinate.
        """
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((self.n_rows, self.n_features))
        centres = self._centres() if self.separated else self._near(rng)
        labels = rng.integers(self.n_components, size=self.n_rows)
        for first in range(0, self.n_rows, 65_536):  # in chunks, so that temporary arrays are small
            rows[first : first + 65_536] += centres[labels[first : first + 65_536]]
        return rows

    def start(self) -> dict[str, Any]:
        """Return weights, means and unit precisions, as scikit-learn's parameters require them.

        Fits of separated clusters start close to the centres, because EM would otherwise first have to find them.
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
        """Return points about 1.5 from the origin, whatever the number of features."""
        return rng.standard_normal((self.n_components, self.n_features)) * 1.5 / self.n_features**0.5

    def _centres(self) -> NDArray[np.float64]:
        """Return points whose coordinates have a root mean square of 3."""
        return 3 * np.random.default_rng(2).standard_normal((self.n_components, self.n_features))


def cases(structures: list[str]) -> list[Case]:
    """Return every shape under each structure."""
    return [Case(structure, *shape) for structure in structures for shape in SHAPES]
