"""Parameters of a mixture in the form that an E-step reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import log
from gaussmix._src.numerics.threads import cached_property

LOG_2PI = 1.8378770664093456
# A row is called distant if it is further than this number of standard deviations from every component mean. Up to this
# distance, rounding errors of log density differences are at most about 1e-8 nats per feature.
MAX_REGULAR_DISTANCE = 1e4
# Rows are whitened about one centre c for all components only if every component mean is within this number of standard
# deviations of c, so that the rounding error of W (x − c) − W (μ − c) is below 1e3 ε.
MAX_MEAN_DISTANCE = 1e3
MIN_COMPONENT_WEIGHT = 2.0**-40  # a component with at most this fraction of the total weight counts as empty
MEAN_ROUNDING = 4 * float(np.finfo(np.float64).eps)  # at most this × |mean|, a deviation may be rounding error
MAX_CANCELLATION = 1e3  # maximum factor by which rounding errors may grow when moments are moved to new means
# The C++ core runs EM steps within these limits; Python runs the steps that violate a limit (cpp/em/em_view.hpp).
LIMITS = MIN_COMPONENT_WEIGHT, MEAN_ROUNDING, MAX_CANCELLATION, MAX_MEAN_DISTANCE


@dataclass(frozen=True, eq=False)
class Parameters:
    """Parameters of the log densities log p(x, k) = log_scale_k − ½ ‖W_k (x − μ_k)‖² and of a noise component.

    Parameters
    ----------
    log_scale : log p(x, k) at x = μ_k, which is log π_k + log |det W_k| − ½ d log 2π for d features, (n_components,),
        in nats; −inf if π_k is 0.
    means : means of the components, (n_components, n_features), in data units.
    whitening : whitening factors W_k; the precision of component k is W_kᵀ W_k.
    log_noise_density : logarithm of weight × density of the noise component, in nats; −inf without a noise component.
    log_sides : logs of the side lengths of the noise component's box, (n_features,); None if only the volume of the box
        is known. For each missing value of a row, the noise density is multiplied by the side length of the feature.
    """

    log_scale: Array
    means: Array
    whitening: Whitening
    log_noise_density: float = -np.inf
    log_sides: Array | None = None

    @classmethod
    def from_mixture(
        cls,
        weights: Array,
        means: Array,
        whitening: Whitening,
        log_noise_density: float = -np.inf,
        log_sides: Array | None = None,
    ) -> Parameters:
        """Compute the parameters of the mixture Σ π_k N(x | μ_k, Σ_k); Bishop (2006) eq. 9.7."""
        log_scale = log(weights) + whitening.log_abs_det - 0.5 * means.shape[1] * LOG_2PI
        return cls(log_scale, means, whitening, log_noise_density, log_sides)

    @cached_property
    def distant_limit(self) -> float:
        """Return the log density, in nats, below which a row counts as distant; −inf if there is only one component.

        If there is a noise component, distant rows belong almost entirely to the noise component.
        """
        return -np.inf if len(self.log_scale) == 1 else float(self.log_scale.max()) - MAX_REGULAR_DISTANCE**2 / 2

    @cached_property
    def inner_box(self) -> Array:
        """Return the lower and upper corners, (2, n_features), of a box in which no row is distant.

        Each component has such a box, because |W (x − μ)| ≤ |W| |x − μ|. The largest box of all components is returned.
        """
        above = self.log_scale - self.distant_limit - 2.0  # subtracts 2 nats as a margin for rounding errors
        sides = np.broadcast_to(self.whitening.precision_diagonals() ** -0.5, self.means.shape)
        with np.errstate(all="ignore"):  # if the corners are NaN, no row counts as inside the box
            lengths = (self.whitening.bound_whitened(sides) ** 2).sum(axis=1) ** 0.5
            reach = np.sqrt(np.maximum(2 * above, 0)) / lengths
            widths = np.log(np.maximum(reach, np.finfo(np.float64).tiny)) + np.log(sides).mean(axis=1)
            widest = int(widths.argmax())
            return self.means[widest] + reach[widest] * np.outer([-1.0, 1.0], sides[widest])

    @cached_property
    def common_centre(self) -> Array | None:
        """Return the mean of the component means, (n_features,), if all of these are near this mean; otherwise None."""
        centre = self.means.mean(axis=0)
        return centre if self.is_common_centre(centre) else None

    def is_common_centre(self, centre: Array) -> bool:
        """Return whether all means are near enough to `centre` (n_features,) to whiten rows about this centre."""
        with np.errstate(over="ignore"):
            whitened = self.whitening.whiten_each(self.means - centre)
            return bool((whitened**2).sum(axis=1).max() <= MAX_MEAN_DISTANCE**2)
