"""The settings of the noise component, which `GaussianMixture` accepts as `noise`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.checks import check_finite, check_within
from gaussmix._src.value import Value


@dataclass(frozen=True, eq=False, repr=False)
class Noise(Value):
    """Settings of the noise component, which has a uniform density, for the parameter `noise` of `GaussianMixture`.

    Parameters
    ----------
    weight : float, default 0.1
        Initial weight of the noise component, between 0 and 1.
    volume : float or array-like (2, n_features), default None
        Volume V of the noise component, whose density is 1 / V, in data units to the power of n_features. You can also
        pass a box: the smallest value and the largest value of each feature. By default, V is the smaller volume of two
        boxes around all rows, along the features and along the principal axes, as mclust's `hypvol` does.

    Raises
    ------
    ValueError : if a value is out of its range, or the box is empty.
    TypeError : if `weight` is not a number, or `volume` does not contain numbers.

    See Also
    --------
    gaussmix.GaussianMixture : the estimator that has the parameter `noise`.

    Examples
    --------
    >>> from gaussmix import GaussianMixture, Noise
    >>> rows = [[0.0], [0.2], [0.4], [9.0]]
    >>> gm = GaussianMixture(noise=Noise(0.2, volume=[[0.0], [10.0]]), random_state=0).fit(rows)
    >>> gm.predict(rows).tolist()
    [0, 0, 0, -1]
    """

    weight: float = 0.1
    volume: float | ArrayLike | None = None

    def __post_init__(self) -> None:
        check_within("weight", self.weight, "a number between 0 and 1", lambda weight: 0 < weight < 1)
        if self.volume is None:
            return
        values = check_finite("volume", self.volume)
        if values.ndim == 0:
            if values <= 0:
                raise ValueError(f"volume={self.volume!r} must be a number above 0.")
        elif values.ndim != 2 or len(values) != 2 or not values.size or not (values[0] < values[1]).all():
            raise ValueError(
                "volume must be a number, or a box (2, n_features): a row with the smallest value of each feature, "
                f"and a row with the largest. It is {self.volume!r:.80}."
            )

    @property
    def bounds(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
        """Return the bounds of the box, (2, n_features); None if `volume` is a number or None."""
        values = None if self.volume is None else check_finite("volume", self.volume)
        return None if values is None or values.ndim == 0 else values


Noise.__module__ = "gaussmix"  # the module from which users import the class
