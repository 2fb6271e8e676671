"""Parameters of a mixture in the form that an E-step needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import log
from gaussmix._src.numerics.threads import cached_property

LOG_2PI = 1.8378770664093456
# A row that is further than this many standard deviations from every mean is distant. Up to this distance, squared
# distances have differences that are accurate to about 1e-8 nats per feature.
MAX_REGULAR_DISTANCE = 1e4
# Rows are whitened about one centre for all components only if every mean is nearer to it than this many standard
# deviations, because the rounding error of W (x − c) − W (μ − c) is then below 1e3 ε.
MAX_MEAN_DISTANCE = 1e3
MIN_COMPONENT_WEIGHT = 2.0**-40  # fraction of the row weight below which a component counts as empty
MEAN_ROUNDING = 4 * float(np.finfo(np.float64).eps)  # deviations below this fraction of the mean are rounding errors
MAX_CANCELLATION = 1e3  # largest factor by which moving second moments to the new means may amplify their error ε
# Limits on steps in the C++ core (cpp/em/run_em.hpp).
LIMITS = MIN_COMPONENT_WEIGHT, MEAN_ROUNDING, MAX_CANCELLATION, MAX_MEAN_DISTANCE


@dataclass(frozen=True, eq=False)
class Parameters:
    """Parameters of log p(x, k) = log_scale_k − ½ ‖W_k (x − μ_k)‖², and of a background of constant density.

    Parameters
    ----------
    log_scale : (n_components,), log π_k + log |det W_k| − ½ d log 2π, nats; −inf for a weight of 0.
    means : (n_components, n_features), data units.
    whitening : factors W_k of the precisions.
    log_background : log of the background's weight times its density, nats; −inf without a background.
    log_sides : (n_features,), logs of the side lengths of the background's box, by which its density grows if a value
        is missing; None if only the volume of the box is given.
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
        """Compute the parameters of Σ π_k N(x | μ_k, Σ_k) and of a background; Bishop (2006) eq. 9.7."""
        log_scale = log(weights) + whitening.log_abs_det - 0.5 * means.shape[1] * LOG_2PI
        return cls(log_scale, means, whitening, log_background, log_sides)

    @cached_property
    def distant_limit(self) -> float:
        """Return the log density, nats, below which a row is distant; −inf for a single component.

        If there is a background, a row that is distant from all components mostly belongs to the background.
        """
        return -np.inf if len(self.log_scale) == 1 else float(self.log_scale.max()) - MAX_REGULAR_DISTANCE**2 / 2

    @cached_property
    def inner_box(self) -> Array:
        """Return the lower and upper ends of a box, (2, n_features), in which no row is distant.

        Because |W| |x − μ| bounds |W (x − μ)|, each component has a box of this kind. The widest one is returned.
        """
        above = self.log_scale - self.distant_limit - 2.0  # margin above the rounding error
        sides = np.broadcast_to(self.whitening.precision_diagonals() ** -0.5, self.means.shape)
        with np.errstate(all="ignore"):  # no row is in a box with an end that is NaN, so every row is evaluated
            lengths = (self.whitening.bound_whitened(sides) ** 2).sum(axis=1) ** 0.5
            reach = np.sqrt(np.maximum(2 * above, 0)) / lengths
            widths = np.log(np.maximum(reach, np.finfo(np.float64).tiny)) + np.log(sides).mean(axis=1)
            widest = int(widths.argmax())
            return self.means[widest] + reach[widest] * np.outer([-1.0, 1.0], sides[widest])

    @cached_property
    def middle(self) -> Array | None:
        """Return the mean of the means, (n_features,), if it is near to all of them; otherwise None."""
        middle = self.means.mean(axis=0)
        return middle if self.is_common_centre(middle) else None

    def is_common_centre(self, centre: Array) -> bool:
        """Return whether all means are so near to `centre` (n_features,) that rows may be whitened about it."""
        with np.errstate(over="ignore"):
            whitened = self.whitening.whiten_each(self.means - centre)
            return bool((whitened**2).sum(axis=1).max() <= MAX_MEAN_DISTANCE**2)
