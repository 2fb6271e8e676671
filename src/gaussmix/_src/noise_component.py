"""The noise component of a mixture: a uniform density for rows that belong to no Gaussian component."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gaussmix._src.numerics.arrays import Array, Indices, frozen
from gaussmix._src.numerics.elementary import log

NOISE_ARRAYS = "noise", "noise_box"  # possible keys of `NoiseComponent.arrays`


@dataclass(frozen=True, eq=False)
class NoiseComponent:
    """A noise component, with density 1 / V at every row; see Banfield & Raftery (1993), Biometrics 49.

    Parameters
    ----------
    weight : weight π₀ of the noise component. The weights of the Gaussian components sum to 1 − π₀.
    log_volume : log V, where V is a volume in (data units)^n_features.
    bounds : (2, n_features), smallest and largest value of each feature if the noise is uniform in a box; None if only
        the volume is known.
    """

    weight: float
    log_volume: float
    bounds: Array | None = None

    def __post_init__(self) -> None:
        if self.bounds is not None:
            frozen(self.bounds)

    @classmethod
    def from_bounds(cls, weight: float, bounds: Array) -> NoiseComponent:
        """Create a noise component that is uniform in a box (2, n_features)."""
        return cls(weight, float(log(bounds[1] - bounds[0]).sum()), bounds)

    @property
    def log_density(self) -> float:
        """Return the log of π₀ / V, in nats; −inf if the weight π₀ is 0."""
        return float(log(np.array([self.weight]))[0]) - self.log_volume

    @property
    def log_sides(self) -> Array | None:
        """Return the logs of the box's side lengths, (n_features,); None if only the volume is known."""
        return None if self.bounds is None else log(self.bounds[1] - self.bounds[0])

    def with_weight(self, weight: float) -> NoiseComponent:
        """Return a noise component with the same volume and the weight `weight`."""
        return replace(self, weight=weight)

    def log_mass(self, lower: Array, upper: Array) -> Array:
        """Return the log probability (n,), in nats, of boxes with limits (n, n_features); `bounds` must be known."""
        assert self.bounds is not None, "without bounds, the position is unknown"
        low, high = self.bounds
        inside = np.maximum(np.minimum(upper, high) - np.maximum(lower, low), 0.0) / (high - low)
        with np.errstate(divide="ignore"):
            log_mass: Array = np.log(self.weight) + np.log(inside).sum(axis=1)
        return log_mass

    def marginal(self, indices: Indices) -> NoiseComponent:
        """Return the noise component of the features at `indices`; `bounds` must be known."""
        assert self.bounds is not None, "without bounds, marginals are unknown"
        return NoiseComponent.from_bounds(self.weight, self.bounds[:, indices])

    def arrays(self) -> dict[str, Array]:
        """Return the parameters as a dict from names to arrays, for model files."""
        arrays = {"noise": np.array([self.weight, self.log_volume])}
        return arrays if self.bounds is None else {**arrays, "noise_box": self.bounds}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> NoiseComponent | None:
        """Restore a noise component from the result of `arrays`; return None if there is no noise."""
        if "noise" not in arrays:
            return None
        if arrays["noise"].shape != (2,):
            raise ValueError("noise must be two numbers, its weight and the logarithm of its volume")
        weight, log_volume = arrays["noise"].tolist()
        return cls(weight, log_volume, arrays.get("noise_box"))

    @property
    def invalid_reason(self) -> str | None:
        """Return the reason why the parameters are invalid, for the end of a sentence; None if they are valid."""
        if not 0 <= self.weight <= 1:
            return f"the weight of its noise is {self.weight:.7g}, not a number from 0 to 1"
        if not math.isfinite(self.log_volume):
            return "the volume of its noise is 0 or not finite"
        if self.bounds is not None and (self.bounds.ndim != 2 or len(self.bounds) != 2):
            return f"the box of its noise has shape {self.bounds.shape}, not (2, n_features)"
        if self.bounds is not None and not (np.isfinite(self.bounds).all() and (self.bounds[0] < self.bounds[1]).all()):
            return "the box of its noise is empty or not finite"
        return None


NO_MARGINAL = "noise with only a volume has no density for a subset of the features"
