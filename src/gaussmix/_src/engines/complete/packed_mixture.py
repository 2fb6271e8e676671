"""Parameters of a mixture in the form that the C++ core reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gaussmix._src.interfaces.moment_spec import MomentSpec
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.numerics.arrays import Array


class PackedMixture(NamedTuple):
    """Parameters as four arguments of `Target.step` and `Target.evaluate`.

    `factors` has one factor for each component, or a single one if the core whitens each row only once.
    """

    log_scale: Array
    means: Array
    factor_shape: int
    factors: Array

    def is_same(self, other: PackedMixture) -> bool:
        """Return whether another mixture gives every row the same densities."""
        return self is other or (
            self.factor_shape == other.factor_shape
            and np.array_equal(self.log_scale, other.log_scale)
            and np.array_equal(self.means, other.means)
            and np.array_equal(self.factors, other.factors)
        )


def common_origin(parameters: Parameters, centre: Array | None = None) -> Array | None:
    """Return the point about which rows are whitened once for all components; None if each component whitens them.

    Parameters
    ----------
    centre : (n_features,), the point to use unless digits would be lost; by default the mean of the means.
    """
    if not (parameters.whitening.is_shared and parameters.whitening.factor_shape is FactorShape.TRIANGULAR):
        return None
    if centre is None:
        return parameters.middle
    return centre if parameters.is_common_centre(centre) else None


def pack_parameters(parameters: Parameters, whiten_once: bool = False) -> PackedMixture:
    """Convert parameters for the core, with one factor for each component or, with `whiten_once`, the shared factor."""
    whitening, means = parameters.whitening, np.ascontiguousarray(parameters.means)
    factors = whitening.factors if whiten_once else repeat_factors(whitening, len(means))
    return PackedMixture(parameters.log_scale, means, int(whitening.factor_shape), factors)


def repeat_factors(whitening: Whitening, n_components: int) -> Array:
    """Return one factor for each component, repeating a shared factor."""
    if not whitening.is_shared or n_components == 1:
        return np.ascontiguousarray(whitening.factors)
    return whitening.factors.repeat(n_components, axis=0)


def repeat_projection(spec: MomentSpec, n_components: int) -> Array | None:
    """Return B_kᵀ for each component, (n_components, n_features, n_projected); None without a projection."""
    if spec.projection is None:
        return None
    each = np.broadcast_to(spec.projection, (n_components, *spec.projection.shape[1:]))
    return np.ascontiguousarray(each.swapaxes(1, 2))


def placeholder_parameters(anchor: Array) -> PackedMixture:
    """Return placeholders for `AssignmentRule.ASSIGNMENT`, under which the core reads no parameters."""
    n = len(anchor)
    return PackedMixture(np.zeros(n), np.zeros(anchor.shape), int(FactorShape.SPHERICAL), np.ones(n))
