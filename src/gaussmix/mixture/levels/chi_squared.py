"""The chi-squared distribution by the logarithm of its upper tail, however deep."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc, gammainccinv, gammaln

from gaussmix.mixture.line.bracketing import increasing_roots
from gaussmix.numerics.arrays import Array

_LOG_DEEP = -650.0  # nats: below it SciPy's tail nears the smallest number of float64


def log_tail(half_squares: Array, n_features: int) -> Array:
    """log P(½χ² > y) of each y ≥ 0, (n,), nats, for χ² of n_features degrees of freedom.

    Far out by the asymptotic series of the incomplete gamma function, DLMF 8.11.2.
    """
    order = 0.5 * n_features
    with np.errstate(divide="ignore"):
        log_tails: Array = np.log(gammaincc(order, half_squares))
    deep = log_tails < _LOG_DEEP
    log_tails[deep] = _log_deep(half_squares[deep], order)
    return log_tails


def half_square(log_tails: Array, n_features: int) -> Array:
    """The inverse of `log_tail`: y with log P(½χ² > y) as given, (n,), at most 0."""
    order = 0.5 * n_features
    found: Array = gammainccinv(order, np.exp(np.maximum(log_tails, _LOG_DEEP)))
    found[log_tails == -np.inf] = np.inf
    deep = (log_tails < _LOG_DEEP) & (log_tails > -np.inf)
    wanted = log_tails[deep]

    def excess(y: Array, numbers: NDArray[np.intp]) -> tuple[Array, Array]:
        log_tail = _log_deep(y, order)
        return wanted[numbers] - log_tail, np.exp((order - 1) * np.log(y) - y - gammaln(order) - log_tail)

    # Laurent & Massart (2000) lemma 1: P(χ² ≥ d + 2√(d t) + 2 t) ≤ exp(−t).
    high = order - wanted + np.sqrt(-2 * order * wanted)
    found[deep] = increasing_roots(excess, found[deep], high, 1.0)
    return found


def _log_deep(y: Array, order: float) -> Array:
    term, total = np.ones_like(y), np.ones_like(y)
    number = 1
    while term.size and np.abs(term).max() > np.finfo(np.float64).eps:
        term = term * (order - number) / y
        total += term
        number += 1
    return np.asarray((order - 1) * np.log(y) - y - gammaln(order) + np.log(total))
