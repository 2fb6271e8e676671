"""The mass of a normal distribution of several features in rectangles, by quasi-Monte Carlo."""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtri_exp

from gaussmix.mixture.masses.normal_interval import log_interval, mean_between
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import log_sum
from gaussmix.numerics.pieces import pieces


def log_masses(lower: Array, upper: Array, correlation: Array, net: Array) -> Array:
    """Log of the mass between lower and upper (n, d), deviations from the mean, nats, by each scramble of a net.

    The features are drawn one by one, each between its limits given those before it. The mass is the mean, over the
    net, of the product of the masses between these limits. Genz (1992), J. Comput. Graph. Stat. 1, 141.

    Parameters
    ----------
    correlation : (d, d).
    net : (n_scrambles, n_points, d − 1), of the unit cube.

    Returns
    -------
    log_masses : (n_scrambles, n).
    """
    log_shares = np.log(net.reshape(-1, net.shape[2])).T
    found = np.empty((len(net), len(lower)))
    for part in pieces((len(lower), lower.shape[1] * log_shares.shape[1])):
        log_products = _log_products(*_in_order(lower[part], upper[part], correlation), log_shares)
        found[:, part] = log_sum(log_products.reshape(len(log_products), *net.shape[:2])).T - np.log(net.shape[1])
    return found


def _log_products(lower: Array, upper: Array, factor: Array, log_shares: Array) -> Array:
    """Log of the product of the masses between the limits of each feature, (n_rows, n_points)."""
    n_rows, n_features = lower.shape
    log_products = np.zeros((n_rows, log_shares.shape[1]))
    drawn = np.empty((n_features, *log_products.shape))
    for j in range(n_features):
        shift = np.einsum("nm,mnp->np", factor[:, j, :j], drawn[:j])
        low, high = ((limit[:, j, None] - shift) / factor[:, j, j, None] for limit in (lower, upper))
        log_mass = log_interval(low, high)
        log_products += log_mass
        if j < n_features - 1:
            drawn[j] = _quantile(low, high, log_mass, log_shares[j])
    return log_products


def _quantile(low: Array, high: Array, log_mass: Array, log_share: Array) -> Array:
    """The point below which a share of the mass between two limits lies, taken from the nearer tail."""
    with np.errstate(invalid="ignore"):  # −inf + inf: nothing to flip
        flipped = low + high > 0
    end = np.where(flipped, -high, low)
    quantile = ndtri_exp(np.minimum(np.logaddexp(log_ndtr(end), log_share + log_mass), 0.0))
    return np.asarray(np.clip(np.where(flipped, -quantile, quantile), low, high))


def _in_order(lower: Array, upper: Array, correlation: Array) -> tuple[Array, Array, Array]:
    """Limits (n, d) and the Cholesky factor (n, d, d) with the features of each row in an order of its own.

    Next comes the feature with the least mass between its limits where those before it are at their means. The product
    then varies less. Gibson, Glasbey & Elston (1994).
    """
    n_rows, n_features = lower.shape
    lower, upper = lower.copy(), upper.copy()
    left = np.broadcast_to(correlation, (n_rows, n_features, n_features)).copy()  # covariance given the features before
    factor = np.zeros_like(left)
    shift = np.zeros_like(lower)
    each = np.arange(n_rows)
    for j in range(n_features):
        deviations = np.sqrt(np.diagonal(left, axis1=1, axis2=2)[:, j:])
        log_mass = log_interval((lower - shift)[:, j:] / deviations, (upper - shift)[:, j:] / deviations)
        best = j + log_mass.argmin(axis=1)
        for array in (lower, upper, shift, factor, left, left.swapaxes(1, 2)):
            array[each, j], array[each, best] = array[each, best].copy(), array[each, j].copy()
        deviation = np.sqrt(left[:, j, j])[:, None]
        column = left[:, j:, j] / deviation
        factor[:, j:, j] = column
        left[:, j:, j:] -= column[:, :, None] * column[:, None, :]
        low, high = ((limit - shift)[:, j] / deviation[:, 0] for limit in (lower, upper))
        shift[:, j + 1 :] += column[:, 1:] * mean_between(low, high)[:, None]
    return lower, upper, factor
