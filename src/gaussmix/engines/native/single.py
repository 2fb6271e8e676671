"""Steps in single precision: for float32 rows, where nothing is lost by it and enough is gained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gaussmix.engines.native.precision import suits_single
from gaussmix.numerics.arrays import Array
from gaussmix.waist.block import Block
from gaussmix.waist.need import Need, Rule, Second
from gaussmix.waist.parameters import Parameters
from gaussmix.waist.whitening.base import FactorShape, Whitening

WORK = 1e7  # multiply-adds, an exponential counting as 20: a pass of about a millisecond


def steps_in_single(block: Block, parameters: Parameters | None, need: Need, rule: Rule) -> bool:
    """Whether the core is to work on these rows in float32; nothing but the arguments decides it."""
    if block.rows.dtype != np.float32 or parameters is None or rule is not Rule.SOFT:
        return False
    whitening, (n_components, n_features) = parameters.whitening, parameters.means.shape
    if need.pooled or need.second in (Second.NONE, Second.PROJECTED) or len(whitening.factors) < n_components:
        return False
    if whitening.factor_shape is FactorShape.LOW_RANK:  # the core has these in double only
        return False
    is_dense = whitening.factor_shape is FactorShape.TRIANGULAR
    work = float(block.n_rows) * n_components * (20 + (n_features**2 if is_dense else 4 * n_features))
    return work >= WORK and suits_single(parameters)


def rounded(numbers: Array) -> Array:
    """Numbers of float32. About such an anchor, a row minus it is rounded once at most."""
    return numbers.astype(np.float32).astype(np.float64)


def scaled_for_single(parameters: Parameters) -> tuple[Parameters, float]:
    """Log scales as float32 takes them, nats: the largest is 0; and what it was.

    Float32 would lose digits to what all share. And log |det| becomes that of the factors rounded to float32, so that
    densities still integrate to 1: near a maximum, rounding the factors then changes the likelihood in second order.
    """
    log_scale = parameters.log_scale + _rounding_of_log_det(parameters.whitening, parameters.means.shape[1])
    offset = float(log_scale.max())
    return replace(parameters, log_scale=log_scale - offset), offset


def _rounding_of_log_det(whitening: Whitening, n_features: int) -> Array:
    """What rounding the factors, or the squares of spherical ones, adds to log |det W_k|, (n_components,)."""
    factors = whitening.factors
    if whitening.factor_shape is FactorShape.SPHERICAL:
        return _rounding(factors**2) * (n_features / 2)
    diagonals = np.einsum("kii->ki", factors) if whitening.factor_shape is FactorShape.TRIANGULAR else factors
    growth: Array = _rounding(diagonals).sum(axis=1)
    return growth


def _rounding(numbers: Array) -> Array:
    relative: Array = (rounded(numbers) - numbers) / numbers
    return relative
