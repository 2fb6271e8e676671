"""Conversion of the parameters of a mixture to the arguments of the C++ core."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gaussmix._src.interfaces.moment_spec import MomentSpec
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.numerics.arrays import Array


class PackedMixture(NamedTuple):
    """Parameters of a mixture as four arguments of `Target.step` and `Target.evaluate`.

    `factors` has one whitening factor per component, or a single one if each row is whitened once for all components.
    """

    log_scale: Array
    means: Array
    factor_shape: int
    factors: Array

    def is_same(self, other: PackedMixture) -> bool:
        """Return whether the other mixture has the same parameters, and therefore the same densities."""
        return self is other or (
            self.factor_shape == other.factor_shape
            and np.array_equal(self.log_scale, other.log_scale)
            and np.array_equal(self.means, other.means)
            and np.array_equal(self.factors, other.factors)
        )


def common_origin(parameters: Parameters, centre: Array | None = None) -> Array | None:
    """Return the point about which each row can be whitened once for all components; None if this is too inaccurate.

    Parameters
    ----------
    centre : point to return if it is near enough to all means, (n_features,); by default the mean of the means.
    """
    if not (parameters.whitening.is_shared and parameters.whitening.factor_shape is FactorShape.TRIANGULAR):
        return None
    if centre is None:
        return parameters.common_centre
    return centre if parameters.is_common_centre(centre) else None


def pack_parameters(parameters: Parameters, whiten_once: bool = False) -> PackedMixture:
    """Convert parameters for the C++ core: one factor per component, or only the shared factor if `whiten_once`."""
    whitening, means = parameters.whitening, np.ascontiguousarray(parameters.means)
    factors = whitening.factors if whiten_once else repeat_factors(whitening, len(means))
    return PackedMixture(parameters.log_scale, means, int(whitening.factor_shape), factors)


def repeat_factors(whitening: Whitening, n_components: int) -> Array:
    """Return one whitening factor for each component; a shared factor is repeated."""
    if not whitening.is_shared or n_components == 1:
        return np.ascontiguousarray(whitening.factors)
    return whitening.factors.repeat(n_components, axis=0)


def repeat_projection(spec: MomentSpec, n_components: int) -> Array | None:
    """Return B_kᵀ for each component, (n_components, n_features, n_projected); None if there is no projection."""
    if spec.projection is None:
        return None
    each = np.broadcast_to(spec.projection, (n_components, *spec.projection.shape[1:]))
    return np.ascontiguousarray(each.swapaxes(1, 2))


def placeholder_parameters(anchor: Array) -> PackedMixture:
    """Return placeholder parameters, which the core does not read under `AssignmentRule.ASSIGNMENT`."""
    n = len(anchor)
    return PackedMixture(np.zeros(n), np.zeros(anchor.shape), int(FactorShape.SPHERICAL), np.ones(n))
