"""The fast path of the native engine: steps of EM in the core (cpp/em), for families that are algebra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gaussmix.engines.native.visits import could_pay
from gaussmix.engines.native.work import is_long
from gaussmix.engines.runner import Control, Course, Fits, Groups, Recipe
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import log
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS
from gaussmix.waist.parameters import FARTHEST_MEAN
from gaussmix.waist.spread import Spread
from gaussmix.waist.whitening.base import FactorShape, Whitening
from gaussmix.waist.whitening.diagonal import DiagonalWhitening
from gaussmix.waist.whitening.spherical import SphericalWhitening
from gaussmix.waist.whitening.triangular import TriangularWhitening

if TYPE_CHECKING:
    from gaussmix._core import Target

SECONDS = 0.05  # the core makes no further step after this long, so that callers can report and stop
MOST_STEPS = 2**31  # in one call: the core counts in 64 bits, Python without a limit
MOST_NUMBERS = 2**18  # in the covariances: M-steps with more take long enough for Python, and much memory


def suits_core(block: Block, n_components: int, algebra: Algebra) -> bool:
    """Whether steps on this block have nothing to decide between them, and short M-steps.

    Between steps the engine decides about float32 and about the order of the rows. Neither pays on a short pass.
    """
    n_features, factor_shape = block.rows.shape[1], _factor_shape(algebra)
    if n_components * n_features ** (2 if factor_shape is FactorShape.TRIANGULAR else 1) > MOST_NUMBERS:
        return False
    if block.rows.dtype != np.float64 and is_long(block.n_rows, factor_shape, n_components, n_features):
        return False
    return algebra.is_shared or not could_pay(block.n_rows, factor_shape, n_components, n_features)


def _factor_shape(algebra: Algebra) -> FactorShape:
    if algebra.orientation is not Across.NOTHING:
        return FactorShape.TRIANGULAR
    return FactorShape.SPHERICAL if algebra.shape is Across.NOTHING else FactorShape.DIAGONAL


def begin_em(
    target: Target,
    n_threads: int,
    block: Block,
    total: Spread | None,
    centres: Array,
    algebra: Algebra,
    control: Control,
) -> Course | None:
    """Make the first M-step in the core; see `Runner.begin_em`, and `total` in `run_em`."""
    n_components, n_features = centres.shape
    n_numbers = {FactorShape.SPHERICAL: 1, FactorShape.DIAGONAL: n_features}.get(_factor_shape(algebra), n_features**2)
    weights, means = np.empty(n_components), np.array(centres, order="C")
    covariances = np.empty(n_numbers if algebra.is_shared else n_components * n_numbers)
    factors = target.begin_em(
        block.rows, block.row_weight, algebra, weights, means, covariances, *_about_centre(total), control.ridge,
        _limits(control), n_threads,
    )  # fmt: skip
    if factors is None:
        return None
    return Course(weights, means, covariances, _whitening(algebra, *factors, n_features), [])


def run_em(
    target: Target,
    n_threads: int,
    block: Block,
    total: Spread | None,
    start: tuple[Array, Array, Array],
    algebra: Algebra,
    control: Control,
) -> Course:
    """Make steps of EM in the core; see `Runner.run_em`.

    Parameters
    ----------
    total : mean and scatter of the block if all components have one full covariance, None otherwise.
    """
    weights, means, covariances = (np.array(each, order="C") for each in start)
    n_steps = min(control.max_steps, MOST_STEPS)
    log_likelihood, factors, log_abs_det = target.run_em(
        block.rows, block.row_weight, block.total_weight, algebra, weights, means, covariances.reshape(-1),
        *_about_centre(total), control.ridge, _limits(control), control.tolerance, control.previous, n_steps, SECONDS,
        n_threads,
    )  # fmt: skip
    whitening = None
    if log_likelihood.size:
        whitening = _whitening(algebra, factors, log_abs_det, means.shape[1])
    return Course(weights, means, covariances, whitening, log_likelihood.tolist())


def fit_one(target: Target, n_threads: int, block: Block, unit: float, recipe: Recipe) -> tuple[Course, Array] | None:
    """Fit one table in the core; see `Runner.fit_one`."""
    if not _suits_recipe(recipe) or not suits_core(block, recipe.n_components, recipe.algebra):
        return None
    table = block.rows, block.row_weight, block.total_weight, unit
    found = target.fit_one(*table, **_options(recipe), seconds=SECONDS, n_threads=n_threads)
    if found is None:
        return None
    weights, means, covariances, factors, log_abs_det, log_likelihood, ridge = found
    whitening = _whitening(recipe.algebra, factors, log_abs_det, means.shape[1])
    return Course(weights, means, covariances, whitening, log_likelihood.tolist()), ridge


def _suits_recipe(recipe: Recipe) -> bool:
    """Whether the core begins such fits by itself: not where all components have one full covariance."""
    has_one_matrix = recipe.algebra.is_shared and _factor_shape(recipe.algebra) is FactorShape.TRIANGULAR
    return not has_one_matrix and 1 <= recipe.max_steps <= MOST_STEPS


def _options(recipe: Recipe) -> dict[str, Any]:
    """A recipe as the core takes it."""
    return {
        "algebra": recipe.algebra, "n_components": recipe.n_components, "n_candidates": recipe.n_candidates,
        "uniform": recipe.uniform, "kmeans": (recipe.max_passes, recipe.settled), "ridge": recipe.ridge,
        "automatic": (recipe.ridge_share, recipe.trimmed), "smallest_spread": recipe.smallest_spread,
        "limits": (recipe.lost_share, recipe.noise, recipe.loss, FARTHEST_MEAN), "tolerance": recipe.tolerance,
        "max_steps": recipe.max_steps,
    }  # fmt: skip


def fit_many(target: Target, n_threads: int, groups: Groups, recipe: Recipe) -> Fits | None:
    """Fit each group in the core; see `Runner.fit_many`."""
    if not _suits_recipe(recipe):
        return None
    sizes, size_of = np.unique(groups.size, return_inverse=True)
    suits = [
        size <= LEAF_ROWS and suits_core(Block(0, groups.rows[:size]), recipe.n_components, recipe.algebra)
        for size in sizes.tolist()
    ]
    suited = np.flatnonzero(np.array(suits, dtype=bool)[size_of])
    found = target.fit_many(
        groups.rows,
        groups.row_weight,
        (groups.first[suited], groups.size[suited]),
        (groups.total_weight[suited], groups.unit[suited]),
        **_options(recipe),
        n_threads=n_threads,
    )
    if len(suited) == len(groups.size):
        return Fits(*found)
    every = [np.zeros((len(groups.size), *some.shape[1:]), some.dtype) for some in found]
    for whole, some in zip(every, found, strict=True):
        whole[suited] = some
    return Fits(*every)


def _about_centre(total: Spread | None) -> tuple[Array | None, Array | None]:
    """The mean of all rows, and their second moments about it."""
    return (None, None) if total is None else (total.mean, total.scatter)


def _limits(control: Control) -> tuple[float, float, float, float]:
    return control.lost_share, control.noise, control.loss, FARTHEST_MEAN


def _whitening(algebra: Algebra, factors: Array, log_abs_det: Array, n_features: int) -> Whitening:
    """Factors as families make them, of the core's numbers."""
    factor_shape, factors = _factor_shape(algebra), factors.reshape(len(log_abs_det), -1)
    if factor_shape is FactorShape.TRIANGULAR:
        return TriangularWhitening(factors.reshape(-1, n_features, n_features), log_abs_det)
    if factor_shape is FactorShape.SPHERICAL:
        return SphericalWhitening(factors[:, 0], log_abs_det)
    return DiagonalWhitening(factors, log(factors).sum(axis=1))  # the core adds the logarithms in another order
