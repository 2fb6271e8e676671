"""Where single precision is enough for a step.

With ε = 2⁻²⁴, d features and the amplification a = max_ki ‖W_ki diag(σ_k)‖ (1 for uncorrelated features, whatever
their units), the log density of a row near its mean has an error of about ε a √d nats, and second moments, in whitened
coordinates, of about ε a². Measured on covariances of 2 to 128 features with a up to 3e4: at most
1.5 ε a √d + ε d^1.5 / 8 (root mean square), and 2.3 ε a² of 400 rows.
"""

from __future__ import annotations

import numpy as np

from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import pieces
from gaussmix.waist.parameters import Parameters
from gaussmix.waist.whitening.base import FactorShape, Whitening

AMPLIFICATION = 32.0  # 1e-4 nats at d = 1000; 1.4e-4 of a variance from 400 rows, and less from more
N_FEATURES = 1024
# Products of two differences, and of the smallest responsibility, are numbers of float32.
DEVIATIONS = 2.0**-40, 2.0**50
MEANS = 2.0**60
# Nats between the largest and the least log scale: what float32 subtracts has few digits before the point.
SPREAD = 250.0


def suits_single(parameters: Parameters) -> bool:
    """Whether float32 gives the squared distances and moments of a step to about 1e-4.

    Parameters
    ----------
    parameters : of the mixture; without deviations the answer is no.
    """
    deviations, means = parameters.deviations, parameters.means
    if deviations is None or means.shape[1] > N_FEATURES:
        return False
    log_scale = parameters.log_scale[parameters.log_scale > -np.inf]
    if not log_scale.size or np.ptp(log_scale) > SPREAD or np.abs(means).max() > MEANS:
        return False
    if not (DEVIATIONS[0] <= deviations.min() and deviations.max() <= DEVIATIONS[1]):
        return False
    return _amplification(parameters.whitening, deviations) <= AMPLIFICATION


def _amplification(whitening: Whitening, deviations: Array) -> float:
    if whitening.factor_shape is not FactorShape.TRIANGULAR:
        return 1.0
    largest = 0.0
    for part in pieces((len(deviations), *whitening.factors.shape[1:])):
        scaled = (whitening.factors if whitening.is_shared else whitening.factors[part]) * deviations[part, None, :]
        largest = max(largest, float((scaled**2).sum(axis=2).max()))
    return float(np.sqrt(largest))
