"""Whether the moments of the same rows agree."""

from __future__ import annotations

import numpy as np

from gaussmix.numerics.arrays import Array
from gaussmix.testing.closeness import assert_close
from gaussmix.waist.moments import Partial
from gaussmix.waist.need import Need, Second


def assert_same_moments(actual: Partial, expected: Partial, spread: Array, tolerance: float, what: str) -> None:
    """Raise unless two moments agree.

    Parameters
    ----------
    actual, expected : moments of the same rows; compared about the anchor of the first.
    spread : (n_components, n_features), Σ s γ (x − a)² about the anchor of `expected`: what was summed, at least.
    tolerance : relative to the sums of absolute values, which Cauchy and Schwarz bound by `spread`.
    what : a name for the message.
    """
    if not np.array_equal(expected.anchor, actual.anchor):
        spread = spread + expected.mass[:, None] * (actual.anchor - expected.anchor) ** 2
        expected = expected.about(actual.anchor)
    total, mass = expected.row_weight, expected.mass
    assert_close(actual.row_weight, total, tolerance, total, f"row_weight of {what}")
    assert_close(actual.mass, mass, tolerance, total, f"mass of {what}")
    # A row's log density is off by ε times its terms, of the order of the row's own log density or of some nats.
    size = abs(expected.log_likelihood) + 10 * total
    assert_close(actual.log_likelihood, expected.log_likelihood, tolerance, size, f"log_likelihood of {what}")
    assert_close(actual.first, expected.first, tolerance, np.sqrt(total * spread), f"first of {what}")
    if actual.second is None or expected.second is None:
        if actual.second is not expected.second:
            raise AssertionError(f"second of {what} is there in one and absent in the other")
        return
    scale = second_scale(expected.need, spread)
    assert_close(actual.second, expected.second, tolerance, scale, f"second of {what}")


def second_scale(need: Need, spread: Array) -> Array:
    """Bound on the sums of |second moments|, in the form that `need` names."""
    if need.second is Second.FULL:
        scale: Array = np.sqrt(spread[:, :, None] * spread[:, None, :])
    elif need.projection is not None:
        roots = np.sqrt(spread)
        shape = len(spread), *need.projection.shape[1:]
        projected = np.einsum("kqd,kd->kq", np.broadcast_to(np.abs(need.projection), shape), roots)
        scale = np.concatenate((roots[:, :, None] * projected[:, None, :], spread[:, :, None]), axis=2)
    else:
        scale = spread.sum(axis=1) if need.second is Second.TRACE else spread
    return scale.sum(axis=0) if need.pooled else scale
