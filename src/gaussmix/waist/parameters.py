"""Parameters: all that an E-step needs to know of a mixture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import log
from gaussmix.waist.whitening.base import Whitening

LOG_2PI = 1.8378770664093456
# Rows are whitened about one centre for all components only while every mean is nearer to it than this many standard
# deviations: the rounding of W (x − c) − W (μ − c) is then below 1e3 ε.
FARTHEST_MEAN = 1e3


@dataclass(frozen=True, eq=False)
class Parameters:
    """log p(x, k) = log_scale_k − ½ ‖W_k (x − μ_k)‖².

    Parameters
    ----------
    log_scale : (n_components,), log π_k + log |det W_k| − ½ d log 2π, nats; −inf for a weight of 0.
    means : (n_components, n_features), data units.
    whitening : factors W_k.
    deviations : (n_components, n_features), roots of the diagonals of Σ_k, data units; None where they are unknown.
    """

    log_scale: Array
    means: Array
    whitening: Whitening
    deviations: Array | None = None

    @classmethod
    def of(cls, weights: Array, means: Array, whitening: Whitening, deviations: Array | None = None) -> Parameters:
        """The parameters of Σ π_k N(x | μ_k, Σ_k); Bishop (2006) eq. 9.7."""
        return cls(log(weights) + whitening.log_abs_det - 0.5 * means.shape[1] * LOG_2PI, means, whitening, deviations)

    def is_near(self, centre: Array) -> bool:
        """Whether rows may be whitened about `centre` (n_features,) for all components: every mean is near to it."""
        with np.errstate(over="ignore"):
            whitened = self.whitening.whiten_each(self.means - centre)
            return bool((whitened**2).sum(axis=1).max() <= FARTHEST_MEAN**2)
