"""The oracle of rows that are known in part: the engine with its steps and densities by NumPy."""

from __future__ import annotations

import numpy as np
from given import Independent, gaussians_for
from reference_engine import OneStep, step_shares

from gaussmix.engines.incomplete import IncompleteEngine, _summed
from gaussmix.engines.joint import with_background
from gaussmix.numerics.contract import contract
from gaussmix.numerics.elementary import softmax
from gaussmix.waist.moments import Partial
from gaussmix.waist.need import Rule, Second


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
