"""Parameters: all that an E-step needs to know of a mixture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import log
from gaussmix._src.numerics.threads import cached_property

LOG_2PI = 1.8378770664093456
# Beyond this many standard deviations a row is far: up to here differences of squared distances are good to about 1e-8
# nats a feature.
MAX_REGULAR_DISTANCE = 1e4
# Rows are whitened about one centre for all components only while every mean is nearer to it than this many standard
# deviations: the rounding of W (x − c) − W (μ − c) is then below 1e3 ε.
MAX_MEAN_DISTANCE = 1e3
MIN_COMPONENT_WEIGHT = 2.0**-40  # of the row weight: a component with less has no rows left to learn from
MEAN_ROUNDING = 4 * float(np.finfo(np.float64).eps)  # a deviation below this part of the mean is rounding, not spread
MAX_CANCELLATION = 1e3  # second moments that are moved to the new means may lose so many times their relative error, ε
# Of steps in the core: see cpp/em/run_em.hpp.
LIMITS = MIN_COMPONENT_WEIGHT, MEAN_ROUNDING, MAX_CANCELLATION, MAX_MEAN_DISTANCE


@dataclass(frozen=True, eq=False)
class Parameters:
    """log p(x, k) = log_scale_k − ½ ‖W_k (x − μ_k)‖², and of a background of the same density at every row.

    Parameters
    ----------
    log_scale : (n_components,), log π_k + log |det W_k| − ½ d log 2π, nats; −inf for a weight of 0.
    means : (n_components, n_features), data units.
    whitening : factors W_k.
    log_background : log of the weight of the background times its density, nats; −inf where there is none.
    log_sides : (n_features,), logs of the sides of the box that the background fills, by which its density grows where
        a cell is missing; None where only its volume is known.
    """

    log_scale: Array
    means: Array
    whitening: Whitening
    log_background: float = -np.inf
    log_sides: Array | None = None

    @classmethod
    def from_mixture(
        cls,
        weights: Array,
        means: Array,
        whitening: Whitening,
        log_background: float = -np.inf,
        log_sides: Array | None = None,
    ) -> Parameters:
        """The parameters of Σ π_k N(x | μ_k, Σ_k), and of a background; Bishop (2006) eq. 9.7."""
        log_scale = log(weights) + whitening.log_abs_det - 0.5 * means.shape[1] * LOG_2PI
        return cls(log_scale, means, whitening, log_background, log_sides)

    @cached_property
    def distant_limit(self) -> float:
        """The log density, nats, below which a row is far; −inf for one component, to which every row belongs.

        A row that is far from all components mostly belongs to the background, if there is one.
        """
        return -np.inf if len(self.log_scale) == 1 else float(self.log_scale.max()) - MAX_REGULAR_DISTANCE**2 / 2

    @cached_property
    def inner_box(self) -> Array:
        """Ends of a box, (2, n_features), in which no row is far.

        Each component has such a box, because |W| |x − μ| bounds |W (x − μ)|. This is the widest of them.
        """
        above = self.log_scale - self.distant_limit - 2.0  # a margin above the rounding
        sides = np.broadcast_to(self.whitening.precision_diagonals() ** -0.5, self.means.shape)
        with np.errstate(all="ignore"):  # NaN is not an end of a box: then each row is looked at
            lengths = (self.whitening.bound_whitened(sides) ** 2).sum(axis=1) ** 0.5
            reach = np.sqrt(np.maximum(2 * above, 0)) / lengths
            widths = np.log(np.maximum(reach, np.finfo(np.float64).tiny)) + np.log(sides).mean(axis=1)
            widest = int(widths.argmax())
            return self.means[widest] + reach[widest] * np.outer([-1.0, 1.0], sides[widest])

    @cached_property
    def middle(self) -> Array | None:
        """The mean of the means, (n_features,), if it is near to all of them; else None."""
        middle = self.means.mean(axis=0)
        return middle if self.is_common_centre(middle) else None

    def is_common_centre(self, centre: Array) -> bool:
        """Whether rows may be whitened about `centre` (n_features,) for all components: every mean is near to it."""
        with np.errstate(over="ignore"):
            whitened = self.whitening.whiten_each(self.means - centre)
            return bool((whitened**2).sum(axis=1).max() <= MAX_MEAN_DISTANCE**2)
