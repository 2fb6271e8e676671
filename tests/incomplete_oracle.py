"""The oracle of rows that are known in part: the engine with its steps and densities by NumPy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from common import Block, FactorShape, Rule, Second
from reference_engine import OneStep, step_shares

from gaussmix.engines.incomplete import IncompleteEngine, _summed, dense_covariances
from gaussmix.engines.joint import with_background
from gaussmix.numerics.arrays import Array, Places
from gaussmix.numerics.contract import contract
from gaussmix.numerics.elementary import softmax
from gaussmix.numerics.rows import patterns
from gaussmix.waist.moments import Partial
from gaussmix.waist.parameters import LOG_2PI, Parameters


class IncompleteOracle(OneStep, IncompleteEngine):
    def step(self, block, state, parameters, need, rule=Rule.SOFT, anchor=None, facts=None):
        if parameters is None or rule is not Rule.SOFT:
            return super().step(block, state, parameters, need, rule, anchor, facts)
        anchor = parameters.means if anchor is None else anchor
        return block.sum_of(lambda leaf: _expected(leaf, parameters, _summed(need), anchor))

    def _log_joint(self, block, parameters):
        log_joint, gaussians = np.empty((block.n_rows, len(parameters.means))), gaussians_for(block, parameters)
        for places, part in gaussians.parts(block):
            log_joint[places] = gaussians.all_given(part)[1]
        return log_joint

    def expected_rows(self, block, parameters):
        n_features, gaussians = block.rows.shape[1], gaussians_for(block, parameters)
        means, covariances = np.zeros(block.rows.shape), np.zeros((*block.rows.shape, n_features))
        for places, part in gaussians.parts(block):
            given, log_joint = gaussians.all_given(part)
            shared = softmax(log_joint).T
            mean = sum(share[:, None] * each.mean for share, each in zip(shared, given, strict=True))
            means[places] = mean
            for share, each in zip(shared, given, strict=True):
                apart, spread = each.mean - mean, each.covariance
                if isinstance(gaussians, Independent):
                    spread = spread[:, None, :] * np.eye(n_features)
                covariances[places] += share[:, None, None] * (apart[:, :, None] * apart[:, None, :] + spread)
        return means, covariances


def _expected(leaf, parameters, need, anchor):
    """The expected sums of a leaf about an anchor."""
    n_components, log_likelihood, background = len(anchor), 0.0, 0.0
    gaussians, mass, first = gaussians_for(leaf, parameters), np.zeros(n_components), np.zeros(anchor.shape)
    is_diagonal = isinstance(gaussians, Independent)
    second = np.zeros(anchor.shape if need.second is Second.DIAGONAL else (*anchor.shape, anchor.shape[1]))
    for _, part in gaussians.parts(leaf):
        given, log_joint = gaussians.all_given(part)
        shared, log_density = step_shares(with_background(log_joint, part, parameters))
        weight = part.weight
        log_likelihood += float(weight @ log_density)
        background += float(weight @ shared[:, n_components:].sum(axis=1))
        for k, each in enumerate(given):
            share = weight * shared[:, k]
            offsets = np.where(share[:, None] > 0, each.mean - anchor[k], 0.0)  # 0 × ∞ is 0 here
            mass[k] += share.sum()
            first[k] += share @ offsets
            second[k] += _squares(share, offsets, need) + _spread(share, each.covariance, is_diagonal, need)
    return Partial(mass, first, second, anchor, log_likelihood, leaf.total_weight, need, background=background)


def _squares(share, offsets, need):
    """Σ γ u uᵀ of offsets (n_rows, n_features), or its diagonal."""
    return share @ offsets**2 if need.second is Second.DIAGONAL else (share[:, None] * offsets).T @ offsets


def _spread(share, covariance, is_diagonal, need):
    """Σ γ C of the covariances of rows, or of the one that all have, or its diagonal."""
    if is_diagonal:
        total = share @ covariance
        return total if need.second is Second.DIAGONAL else np.diag(total)
    total = share.sum() * covariance if covariance.ndim == 2 else contract("n,nij->ij", share, covariance)
    return np.diagonal(total) if need.second is Second.DIAGONAL else total


NUMBERS = 2**21  # that are held at once, 16 MB, for each array


class Given(NamedTuple):
    """The conditional distribution of true rows under one component, given what is observed.

    Parameters
    ----------
    log_joint : (n_rows,), log p(x, k) of what is observed, nats.
    mean : (n_rows, n_features), of the true rows.
    covariance : of the true rows, a matrix for each row or one for all, or (n_rows, n_features) if it is diagonal.
    """

    log_joint: Array
    mean: Array
    covariance: Array


class Gaussians(ABC):
    """The components of a mixture, for rows that are known in part only."""

    def __init__(self, parameters: Parameters) -> None:
        n_features = parameters.means.shape[1]
        self.log_weight = parameters.log_scale - parameters.whitening.log_abs_det + 0.5 * n_features * LOG_2PI
        self.means = parameters.means

    @abstractmethod
    def parts(self, block: Block) -> Iterator[tuple[Places, Block]]:
        """The rows of a block in parts that `given` takes, with their places."""

    @abstractmethod
    def given(self, part: Block, k: int) -> Given:
        """Condition component k on rows; Bovy, Hogg & Roweis (2011) eq. 15–17."""

    def all_given(self, part: Block) -> tuple[list[Given], Array]:
        """Condition every component on rows; also returns log p(x, k) (n_rows, n_components)."""
        given = [self.given(part, k) for k in range(len(self.means))]
        log_joint, prior = np.stack([each.log_joint for each in given], axis=1), part.row_log_prior(len(given))
        return given, log_joint if prior is None else log_joint + prior


class Dense(Gaussians):
    """Components whose features depend on each other, or rows with such errors."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.covariances = dense_covariances(parameters.whitening, *parameters.means.shape)

    def parts(self, block: Block) -> Iterator[tuple[Places, Block]]:
        """Rows that lack the same features, few at a time."""
        missing, n_features = np.isnan(block.rows), block.rows.shape[1]
        most = max(1, NUMBERS // (len(self.means) * n_features * (1 if block.error is None else n_features)))
        for group, _ in patterns(missing):
            for first in range(0, len(group), most):
                places = group[first : first + most]
                yield places, block.taken(places, block.first_row)

    def given(self, part: Block, k: int) -> Given:
        mean, covariance = self.means[k], self.covariances[k]
        seen, errors = np.flatnonzero(~np.isnan(part.rows[0])), None
        offsets = part.rows[:, seen].astype(np.float64) - mean[seen]
        total = covariance[np.ix_(seen, seen)]
        if part.error is not None:
            errors = _errors(part.error, seen)
            total = total + errors
        lower = np.linalg.cholesky(total)
        roots = np.linalg.solve(lower, np.broadcast_to(covariance[seen], (*lower.shape[:-1], len(mean))))
        with np.errstate(over="ignore", invalid="ignore"):
            whitened = np.linalg.solve(lower, offsets[..., None])[..., 0]
            log_density = _log_density((whitened**2).sum(axis=-1), len(seen))
        log_density -= np.log(np.diagonal(lower, axis1=-2, axis2=-1)).sum(axis=-1)
        expected = mean + (whitened[..., None, :] @ roots)[..., 0, :]
        if errors is None:
            spread = covariance - roots.T @ roots
            spread[seen], spread[:, seen], expected[:, seen] = 0.0, 0.0, part.rows[:, seen]
        else:
            spread = _left(covariance, seen, np.linalg.solve(lower.swapaxes(-1, -2), roots), errors)
        return Given(self.log_weight[k] + log_density, expected, spread)


class Independent(Gaussians):
    """Components whose features are independent, and rows whose errors are."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.variances = np.broadcast_to(1.0 / parameters.whitening.precision_diagonals(), parameters.means.shape)

    def parts(self, block: Block) -> Iterator[tuple[Places, Block]]:
        for part in block.cut(max(1, NUMBERS // max(1, self.means.size))):
            yield np.arange(part.n_rows) + (part.first_row - block.first_row), part

    def given(self, part: Block, k: int) -> Given:
        mean, variance, is_seen = self.means[k], self.variances[k], ~np.isnan(part.rows)
        offsets, error = np.where(is_seen, part.rows - mean, 0.0), np.zeros(1)
        if part.error is not None:
            error = np.where(is_seen, part.error, 0.0)
        total = np.where(is_seen, variance + error, np.inf)
        with np.errstate(over="ignore", invalid="ignore"):
            log_density = _log_density((offsets**2 / total).sum(axis=1), is_seen.sum(axis=1))
        log_density -= 0.5 * np.log(np.where(is_seen, total, 1.0)).sum(axis=1)
        left = np.where(is_seen, error / total, 1.0)  # of the variance, whose square may overflow or vanish
        return Given(self.log_weight[k] + log_density, mean + variance / total * offsets, variance * left)


def gaussians_for(block: Block, parameters: Parameters) -> Gaussians:
    has_matrices = block.error is not None and block.error.ndim == 3
    independent = parameters.whitening.factor_shape in (FactorShape.SPHERICAL, FactorShape.DIAGONAL)
    return Independent(parameters) if independent and not has_matrices else Dense(parameters)


def _errors(error: Array, seen: Places) -> Array:
    """Covariances (n_rows, n_seen, n_seen) of the errors of some features."""
    if error.ndim == 3:
        return error[:, seen[:, None], seen]
    errors = np.zeros((len(error), len(seen), len(seen)))
    errors[:, np.arange(len(seen)), np.arange(len(seen))] = error[:, seen]
    return errors


def _left(covariance: Array, seen: Places, gain: Array, errors: Array) -> Array:
    """What measurements leave of a covariance Σ: (I − Gᵀ) Σ (I − G) + Gᵀ S G, which rounding keeps positive.

    Joseph's form; Bierman (1977), Factorization Methods for Discrete Sequential Estimation, section 2.8. G holds
    (Σ + S)⁻¹ Σ of the measured features, (n_rows, n_seen, n_features).
    """
    kept = np.broadcast_to(np.eye(len(covariance)), (len(gain), *covariance.shape)).copy()
    kept[:, seen] -= gain
    return kept.swapaxes(1, 2) @ covariance @ kept + gain.swapaxes(1, 2) @ errors @ gain


def _log_density(squared: Array, n_seen: Any) -> Array:
    """−½ (n log 2π + ‖z‖²); a squared distance that overflows counts as the largest double."""
    largest = np.finfo(np.float64).max
    return -0.5 * (n_seen * LOG_2PI + np.nan_to_num(squared, nan=largest, posinf=largest))
