"""Steps in float32: for float32 rows, if the error does not matter and the pass is long.

With ε = 2⁻²⁴, d features and the amplification a = max_ki ‖W_ki diag(σ_k)‖ (1 for uncorrelated features in any units),
the log density of a row near its mean has an error of about ε a √d nats. Second moments, in whitened coordinates, have
one of about ε a². Measured on covariances of 2 to 128 features with a up to 3e4: at most 1.5 ε a √d + ε d^1.5 / 8 (root
mean square), and 2.3 ε a² of 400 rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gaussmix.engines.native.visits import is_long
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import pieces
from gaussmix.waist.block import Block
from gaussmix.waist.need import Need, Rule, Second
from gaussmix.waist.parameters import Parameters
from gaussmix.waist.whitening.base import FactorShape, Whitening

MOST_AMPLIFICATION = 32.0  # errors of 1e-4 nats at d = 1000, and of 1.4e-4 of a variance from 400 rows, less from more
MOST_FEATURES = 1024
# Standard deviations for which float32 holds the products of two differences and the smallest responsibility.
LEAST_DEVIATION, MOST_DEVIATION = 2.0**-40, 2.0**50
FARTHEST = 2.0**60  # the largest coordinate of a mean, data units
# Nats between the largest and the smallest log scale. Float32 subtracts them with few digits after the point.
MOST_SPREAD = 250.0


def steps_in_single(block: Block, n_rows: int, parameters: Parameters, need: Need, rule: Rule) -> bool:
    """Whether the core works on rows of this type in float32. Only the arguments decide, never the time or the machine.

    Parameters
    ----------
    n_rows : of the whole data.
    """
    if block.rows.dtype != np.float32 or rule is not Rule.SOFT:
        return False
    whitening, (n_components, n_features) = parameters.whitening, parameters.means.shape
    if need.pooled or need.second in (Second.NONE, Second.PROJECTED) or len(whitening.factors) < n_components:
        return False
    if whitening.factor_shape is FactorShape.LOW_RANK:  # the core has float32 kernels for the other shapes only
        return False
    return is_long(n_rows, whitening.factor_shape, n_components, n_features) and suits_single(parameters)


def suits_single(parameters: Parameters) -> bool:
    """Whether float32 gives the squared distances and moments of a step with errors of about 1e-4.

    Parameters
    ----------
    parameters : of the mixture; without `deviations` the answer is no.
    """
    deviations, means = parameters.deviations, parameters.means
    if deviations is None or means.shape[1] > MOST_FEATURES:
        return False
    log_scale = parameters.log_scale[parameters.log_scale > -np.inf]
    if not log_scale.size or np.ptp(log_scale) > MOST_SPREAD or np.abs(means).max() > FARTHEST:
        return False
    if not (deviations.min() >= LEAST_DEVIATION and deviations.max() <= MOST_DEVIATION):
        return False
    return _amplification(parameters.whitening, deviations) <= MOST_AMPLIFICATION


def _amplification(whitening: Whitening, deviations: Array) -> float:
    if whitening.factor_shape is not FactorShape.TRIANGULAR:
        return 1.0
    largest = 0.0
    for part in pieces((len(deviations), *whitening.factors.shape[1:])):
        scaled = (whitening.factors if whitening.is_shared else whitening.factors[part]) * deviations[part, None, :]
        largest = max(largest, float((scaled**2).sum(axis=2).max()))
    return float(np.sqrt(largest))


def rounded(numbers: Array) -> Array:
    """The nearest numbers of float32. The difference of a row and an anchor made of them has one rounding at most."""
    return numbers.astype(np.float32).astype(np.float64)


def scaled_for_single(parameters: Parameters) -> tuple[Parameters, float]:
    """Parameters for a step in float32, and the log scale, nats, that was subtracted from each component's.

    The largest log scale becomes 0, because float32 would spend its digits on what all components have in common.
    log |det W_k| becomes that of the factors rounded to float32, so that densities still integrate to 1. Near a maximum
    rounding the factors then changes the likelihood in second order only.
    """
    log_scale = parameters.log_scale + _rounding_of_log_det(parameters.whitening, parameters.means.shape[1])
    offset = float(log_scale.max())
    log_background = parameters.log_background - offset
    return replace(parameters, log_scale=log_scale - offset, log_background=log_background), offset


def _rounding_of_log_det(whitening: Whitening, n_features: int) -> Array:
    """By how much log |det W_k| grows when the factors are rounded to float32, (n_components,).

    The core rounds the squares of spherical factors: log |det W_k| is ½ d log w_k².
    """
    factors = whitening.factors
    if whitening.factor_shape is FactorShape.SPHERICAL:
        return _rounding(factors**2) * (n_features / 2)
    diagonals = np.einsum("kii->ki", factors) if whitening.factor_shape is FactorShape.TRIANGULAR else factors
    return _rounding(diagonals).sum(axis=1)


def _rounding(numbers: Array) -> Array:
    """The relative error of rounding to float32."""
    return (rounded(numbers) - numbers) / numbers
