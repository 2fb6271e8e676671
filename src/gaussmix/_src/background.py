"""Background: a uniform density for rows that belong to no component."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gaussmix._src.numerics.arrays import Array, Indices, frozen
from gaussmix._src.numerics.elementary import log

NOISE_ARRAYS = "noise", "noise_box"  # what `Background.arrays` may hold


@dataclass(frozen=True, eq=False)
class Background:
    """A background of the density 1 / V at every row; Banfield & Raftery (1993), Biometrics 49.

    Parameters
    ----------
    weight : π₀, its share of all rows. Those of the components sum to 1 − π₀.
    log_volume : log V, V in data units^d.
    bounds : (2, n_features), the corners with the smallest and the largest numbers, where the background is a box; None
        where only the volume is known.
    """

    weight: float
    log_volume: float
    bounds: Array | None = None

    def __post_init__(self) -> None:
        if self.bounds is not None:
            frozen(self.bounds)

    @classmethod
    def from_bounds(cls, weight: float, bounds: Array) -> Background:
        """The background in a box (2, n_features)."""
        return cls(weight, float(log(bounds[1] - bounds[0]).sum()), bounds)

    @property
    def log_density(self) -> float:
        """log π₀ / V, nats; −inf where the weight is 0."""
        return float(log(np.array([self.weight]))[0]) - self.log_volume

    @property
    def log_sides(self) -> Array | None:
        """Logs of the sides of the box, (n_features,); None where only the volume is known."""
        return None if self.bounds is None else log(self.bounds[1] - self.bounds[0])

    def weighing(self, weight: float) -> Background:
        """The same with another weight."""
        return replace(self, weight=weight)

    def log_mass(self, lower: Array, upper: Array) -> Array:
        """log of what lies between limits (n, n_features), (n,), nats; only of a box."""
        assert self.bounds is not None, "a volume has no place"
        low, high = self.bounds
        inside = np.maximum(np.minimum(upper, high) - np.maximum(lower, low), 0.0) / (high - low)
        with np.errstate(divide="ignore"):
            log_mass: Array = np.log(self.weight) + np.log(inside).sum(axis=1)
        return log_mass

    def marginal(self, indices: Indices) -> Background:
        """The background of the features at `indices`; only of a box."""
        assert self.bounds is not None, "a volume has no marginal"
        return Background.from_bounds(self.weight, self.bounds[:, indices])

    def arrays(self) -> dict[str, Array]:
        """As arrays of numbers, for files."""
        arrays = {"noise": np.array([self.weight, self.log_volume])}
        return arrays if self.bounds is None else {**arrays, "noise_box": self.bounds}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Background | None:
        """What `arrays` gave; None where there was none."""
        if "noise" not in arrays:
            return None
        if arrays["noise"].shape != (2,):
            raise ValueError("the weight and the logarithm of the volume are two numbers")
        weight, log_volume = arrays["noise"].tolist()
        return cls(weight, log_volume, arrays.get("noise_box"))

    @property
    def invalid_reason(self) -> str | None:
        """What is wrong with the numbers, as the end of a sentence; None where nothing is."""
        if not 0 <= self.weight <= 1:
            return f"the weight of its noise is {self.weight:.7g}, not a number from 0 to 1"
        if not math.isfinite(self.log_volume):
            return "the volume of its noise is 0 or not finite"
        if self.bounds is not None and (self.bounds.ndim != 2 or len(self.bounds) != 2):
            return f"the box of its noise has shape {self.bounds.shape}, not (2, n_features)"
        if self.bounds is not None and not (np.isfinite(self.bounds).all() and (self.bounds[0] < self.bounds[1]).all()):
            return "the box of its noise is empty or not finite"
        return None


NO_MARGINAL = "noise with only a volume has no density of some of the features"
