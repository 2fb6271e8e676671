"""Splits of components: EM with two components on many groups of rows in one NumPy call, or on one by the core.

Groups are whitened first, so that their shapes do not decide the cuts. Halves have unconstrained covariances, or
unconstrained variances if the structure of the mixture has variances only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gaussmix.numerics.arrays import Array
from gaussmix.numerics.axes import principal_axes
from gaussmix.numerics.contract import contract
from gaussmix.numerics.core import native_target
from gaussmix.numerics.elementary import log, softmax_and_log_sum
from gaussmix.numerics.factorise import factorise

STEPS = 5  # of EM, after a first M-step
MIXED = 0.05  # first responsibility of a half for rows on the other side of the cut
SHORTEST_CUT = 0.2  # least share of the rows on one side of a random cut
RIDGE = 1e-9  # added to the variances of a half; the whole has variance 1
LEAST_WEIGHT = 0.02  # of each half
FLATTEST = 1e-12  # least variance along an axis of a group, relative to the largest
RESOLVED = float(np.sqrt(np.finfo(np.float64).eps))  # least spread of a feature, relative to its size
TINY = 1e-300  # replaces 0 in quotients


class Halves(NamedTuple):
    """Two components for each of some groups of rows.

    Parameters
    ----------
    gain : (n_groups,), gain of log-likelihood over one component, nats per unit of weight; −inf if a half has hardly
        any rows.
    middle : (n_groups, n_features), the mean of each group, data units.
    whitening : (n_groups, n_features, n_features), turns the covariance of each group into the unit matrix.
    weights : (n_groups, 2).
    means : (n_groups, 2, n_features), of whitened rows.
    factors : (n_groups, 2, n_features, n_features), W with Σ⁻¹ = WᵀW, of whitened rows.
    """

    gain: Array
    middle: Array
    whitening: Array
    weights: Array
    means: Array
    factors: Array

    def gains(self, group: int, rows: Array) -> Array:
        """Gains of log density over one component, nats, for rows in data units that were not split, (n_rows,)."""
        of_group = (np.ascontiguousarray(each) for each in (rows, *(a[group] for a in self[1:])))
        return native_target().gains_of_halves(*of_group)

    def first_share(self, group: int, rows: Array) -> Array:
        """Responsibilities (n_rows,) of the first half of a group for rows in data units."""
        return self._shares(group, self._whitened(group, rows))[0][0]

    def _whitened(self, group: int, rows: Array) -> Array:
        return np.asarray(np.einsum("nd,ed->ne", rows - self.middle[group], self.whitening[group]))

    def _shares(self, group: int, whitened: Array) -> tuple[Array, Array]:
        """Responsibilities (2, n_rows) of the halves of a group for whitened rows, and log densities (n_rows,)."""
        of_group = (part[group : group + 1] for part in (self.weights, self.means, self.factors))
        return softmax_and_log_sum(_log_joint(whitened[None], *of_group)[0], axis=0)


def halved(
    rows: Array,
    weight: Array,
    scale: Array,
    cuts: Array | None,
    *,
    is_full: bool,
    has_heavy: bool = False,
    has_tails: bool = False,
    least: float = LEAST_WEIGHT,
) -> Halves:
    """Split each group from a cut across its longest axis and from another cut; return the better splits.

    Rows are (n_groups, n_rows, n_features), data units. Weights (n_groups, n_rows) sum to 1 in each group, and to 0 in
    a group without rows. Axes are compared on `scale` (n_features,), data units. `cuts`, (n_groups, 1 + n_features),
    are numbers from [0, 1): where the other cut of a group lies, and its direction. With None there is one cut instead,
    of rows that are far from the mean, in any direction, from those near it. With `has_heavy` a third cut parts
    the heaviest row from the others, and with `has_tails` a cut parts rows that are far from the mean from those near
    it, along the axis with the farthest row. Halves have covariances if `is_full`, else variances, and at least
    the weight `least` each.
    """
    n_features = rows.shape[2]
    middle = contract("gn,gnd->gd", weight, rows)
    scale = np.maximum(scale, RESOLVED * np.abs(rows).max(axis=1))[:, None]
    offset = (rows - middle[:, None]) / scale
    offset -= contract("gn,gnd->gd", weight, offset)[:, None]  # of a constant feature only rounding is left
    offset[weight == 0] = 0.0
    if is_full:
        values, axes = principal_axes(contract("gnd,gne->gde", offset * weight[:, :, None], offset))
        axes = axes.transpose(0, 2, 1)
    else:
        values = contract("gn,gnd->gd", weight, offset**2)
        axes = np.broadcast_to(np.eye(n_features), (len(rows), n_features, n_features))
    values = np.maximum(values, np.maximum(FLATTEST * values.max(axis=1, keepdims=True), FLATTEST))
    whitening = axes / np.sqrt(values)[:, :, None]
    whitened = contract("gnd,ged->gne", offset, whitening)
    if cuts is None:
        squares = (whitened**2).sum(axis=2)
        sides = [squares > contract("gn,gn->g", weight, squares)[:, None]]
    else:
        longest = np.eye(n_features)[values.argmax(axis=1)]
        direction = 2 * cuts[:, 1:] - 1
        part = SHORTEST_CUT + (1 - 2 * SHORTEST_CUT) * cuts[:, :1]
        along = contract("gnd,gd->gn", whitened, direction)
        sides = [contract("gnd,gd->gn", whitened, longest) > 0, along > _quantiles(along, weight, part)]
    if has_heavy:
        heaviest = np.take_along_axis(rows, weight.argmax(axis=1)[:, None, None], axis=1)
        sides.append((rows == heaviest).all(axis=2))
    if has_tails:
        squares = whitened**2
        farthest = squares.max(axis=1).argmax(axis=1)
        sides.append(np.take_along_axis(squares, farthest[:, None, None], axis=2)[:, :, 0] > 1)
    starts = (np.where(side, MIXED, 1 - MIXED) for side in sides)
    first, *others = (_settled(whitened, weight, start, is_full, least) for start in starts)
    for other in others:
        is_better = other[0] > first[0]
        best = (np.where(is_better.reshape(-1, *[1] * (b.ndim - 1)), b, a) for a, b in zip(first, other, strict=True))
        first = tuple(best)
    gain, weights, means, factors = first
    return Halves(gain, middle, whitening / scale, weights, means, factors)


def halved_alone(
    rows: Array, weight: Array, scale: Array, cuts: Array | None, *, is_full: bool, **others: Any
) -> Halves:
    """Split one group, by the core where it can; the arguments are those of `halved` without the first axis."""
    target, n_features = native_target(), rows.shape[1]
    if any(others.values()):
        each = None if cuts is None else cuts[None]
        return halved(rows[None], weight[None], scale, each, is_full=is_full, **others)
    of_group = np.ascontiguousarray(rows), np.ascontiguousarray(weight), is_full, np.ascontiguousarray(scale), cuts
    gain, middle, whitening, weights, means, factors = target.halved(*of_group)
    if is_full:
        whitening, factors = whitening.reshape(n_features, n_features), factors.reshape(2, n_features, n_features)
    else:
        whitening, factors = np.diag(whitening), np.eye(n_features) * factors.reshape(2, 1, n_features)
    means = means.reshape(2, n_features)
    return Halves(np.array([gain]), middle[None], whitening[None], weights[None], means[None], factors[None])


def _quantiles(values: Array, weight: Array, part: Array) -> Array:
    """Weighted quantiles of each group, (n_groups, 1)."""
    order = np.argsort(values, axis=1, kind="stable")
    reached = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    place = np.take_along_axis(order, (reached >= part).argmax(axis=1, keepdims=True), axis=1)
    return np.take_along_axis(values, place, axis=1)


def _settled(rows: Array, weight: Array, first: Array, is_full: bool, least: float) -> tuple[Array, ...]:
    """Make steps of EM from responsibilities (n_groups, n_rows) of the first half: gain, weights, means and factors.

    The gain is that before the last M-step.
    """
    n_features, shares, has_rows = rows.shape[2], np.stack((first, 1 - first), axis=1), np.ones(len(rows), dtype=bool)
    for step in range(STEPS + 1):
        shares = shares * weight[:, None]
        weights = shares.sum(axis=2)
        has_rows &= (weights > least).all(axis=1)
        shares = shares / np.maximum(weights, TINY)[:, :, None]
        means = contract("ghn,gnd->ghd", shares, rows)
        if is_full:
            offset = rows[:, None] - means[:, :, None]
            covariances = contract("ghnd,ghne->ghde", offset * shares[..., None], offset) + RIDGE * np.eye(n_features)
            factors, _, failed = factorise(covariances.reshape(-1, n_features, n_features))
            has_rows &= ~failed.reshape(-1, 2).any(axis=1)
            factors = np.where(failed[:, None, None], np.eye(n_features), factors).reshape(covariances.shape)
        else:
            variances = np.maximum(contract("ghn,gnd->ghd", shares, rows**2) - means**2, 0.0) + RIDGE
            factors = np.eye(n_features) / np.sqrt(variances)[:, :, None]
        if step == STEPS:
            break
        shares, log_density = softmax_and_log_sum(_log_joint(rows, weights, means, factors), axis=1)
    variances = contract("gn,gnd->gd", weight, rows**2)  # of the whole: 1, and less where it is flat
    whole = -0.5 * (log(variances + RIDGE) + variances / (variances + RIDGE)).sum(axis=1)
    gain = (weight * log_density).sum(axis=1) - whole
    return np.where(has_rows, gain, -np.inf), weights, means, factors


def _log_joint(rows: Array, weights: Array, means: Array, factors: Array) -> Array:
    """log π_k N(x | μ_k, Σ_k) without −½ d log 2π: (n_groups, 2, n_rows) of rows (n_groups, n_rows, n_features)."""
    log_scale = log(np.maximum(weights, TINY)) + log(np.diagonal(factors, axis1=2, axis2=3)).sum(axis=2)
    at_means: Array = np.einsum("ghed,ghd->ghe", factors, means)
    distances: Array = ((np.einsum("gnd,ghed->ghne", rows, factors) - at_means[:, :, None]) ** 2).sum(axis=3)
    return log_scale[..., None] - 0.5 * distances
