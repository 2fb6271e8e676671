"""EM by the core alone, where nothing is decided between steps: on small tables Python would take most of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gaussmix.engines.native.arguments import FARTHEST_MEAN
from gaussmix.engines.native.visits import could_pay, is_long
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.block import Block
from gaussmix.waist.course import Control, Course, Gaussians
from gaussmix.waist.moments import Moments

if TYPE_CHECKING:
    from gaussmix._core import Target

SECONDS = 0.05  # after which Python is told
MOST_STEPS = 2**31  # at a time: the core counts in 64 bits, and Python without end
MOST_NUMBERS = 2**18  # of the covariances: larger ones take their time and memory in the M-step, wherever it is made


def goes_alone(block: Block, n_components: int, algebra: Algebra) -> bool:
    """Whether no pass could be made in float32, nor gain by another order of the rows; and M-steps are short."""
    n_features, is_triangular = block.rows.shape[1], algebra.orientation is not Across.NOTHING
    if n_components * n_features ** (2 if is_triangular else 1) > MOST_NUMBERS:
        return False
    shape = block.n_rows, n_components, n_features, is_triangular
    if block.rows.dtype != np.float64 and is_long(*shape):
        return False
    return algebra.is_shared or not could_pay(*shape)


def shares_matrix(algebra: Algebra) -> bool:
    """Whether all components have one full covariance."""
    return algebra.is_shared and algebra.orientation is Across.EQUAL


def run(
    target: Target,
    n_threads: int,
    block: Block,
    total: Moments | None,
    mixture: Gaussians,
    algebra: Algebra,
    control: Control,
) -> Course:
    """Steps of EM in the core.

    Parameters
    ----------
    total : moments of the block as one component, where `shares_matrix`; else None.
    """
    start = mixture.weights, mixture.means, mixture.covariances
    weights, means, covariances = (np.array(each, order="C") for each in start)
    centre, second = (None, None) if total is None or total.second is None else (total.anchor[0], total.second[0])
    limits = control.lost_share, control.noise, control.loss, FARTHEST_MEAN
    n_steps = min(control.max_steps, MOST_STEPS)
    log_likelihood = target.run(
        block.rows, block.row_weight, block.total_weight, algebra, weights, means, covariances.reshape(-1), centre,
        second, control.ridge, limits, control.tolerance, control.previous, n_steps, SECONDS, n_threads,
    )  # fmt: skip
    return Course(weights, means, covariances, log_likelihood.tolist())
