"""Several steps of EM, and whole fits, in one call of the core (cpp/em), for families that `Algebra` describes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from gaussmix._src.engines import calls
from gaussmix._src.engines.base import Facts
from gaussmix._src.engines.calls import MAX_STEPS_OF_CALL, Control, Fits, FitSettings, Groups, PackedPrior, RunHistory
from gaussmix._src.engines.complete.visits import MIN_LONG_WORK, could_pay, work_per_row
from gaussmix._src.interfaces.algebra import Across, Algebra
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.interfaces.parameters import LIMITS
from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.interfaces.whitening.diagonal import DiagonalWhitening, SphericalWhitening
from gaussmix._src.interfaces.whitening.triangular import TriangularWhitening
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.threads import allowed

MAX_CALL_SECONDS = 0.05  # the core makes no further step after this long, so that callers can report and stop
NO_TIME_LIMIT = 1e9  # seconds
MIN_ORDERED_WORK = 16 * MIN_LONG_WORK  # multiply-adds
# If covariances have more numbers than this, the time of the loop in Python does not count compared with M-steps.
MAX_COVARIANCE_VALUES = 2**18


def makes_steps(block: Block, n_components: int, algebra: Algebra) -> bool:
    """Whether the core may make many steps in one call: nothing is decided between them, and M-steps are short.

    What is decided between steps is the order of the rows (`complete/visits.py`). Python then makes the steps. An order
    does not pay on a short pass, and on a pass below `MIN_ORDERED_WORK` it gains less than steps in the core do.
    """
    n_features, factor_shape = block.rows.shape[1], _factor_shape(algebra)
    if block.log_prior is not None:
        return False
    if n_components * n_features ** (2 if factor_shape is FactorShape.TRIANGULAR else 1) > MAX_COVARIANCE_VALUES:
        return False
    if algebra.is_shared or block.n_rows * work_per_row(factor_shape, n_components, n_features) < MIN_ORDERED_WORK:
        return True
    return not could_pay(block.n_rows, factor_shape, n_components, n_features)


def _factor_shape(algebra: Algebra) -> FactorShape:
    if algebra.orientation is not Across.NOTHING:
        return FactorShape.TRIANGULAR
    return FactorShape.SPHERICAL if algebra.shape is Across.NOTHING else FactorShape.DIAGONAL


def _whitening(algebra: Algebra, factors: Array, log_abs_det: Array, n_features: int) -> Whitening:
    """Factors as families make them, of the core's numbers."""
    factor_shape, factors = _factor_shape(algebra), factors.reshape(len(log_abs_det), -1)
    if factor_shape is FactorShape.TRIANGULAR:
        return TriangularWhitening(factors.reshape(-1, n_features, n_features), log_abs_det)
    if factor_shape is FactorShape.SPHERICAL:
        return SphericalWhitening(factors[:, 0], log_abs_det)
    return DiagonalWhitening(factors, log_abs_det)


class InOneCall:
    """An engine's steps and fits in one call of the core; see `Engine`."""

    n_threads: int
    is_incomplete: ClassVar[bool] = False  # whether rows may be known in part

    @property
    def _n_threads(self) -> int:
        return allowed(self.n_threads)

    def makes_steps(
        self, block: Block, n_components: int, algebra: Algebra, packed_prior: PackedPrior | None, has_background: bool
    ) -> bool:
        return (packed_prior is None or not has_background) and makes_steps(block, n_components, algebra)

    def run_em(
        self, block: Block, facts: Facts, start: tuple[Array, Array, Array], algebra: Algebra, control: Control
    ) -> RunHistory:
        total = facts.total if control.log_volume == np.inf else None  # a background has a part of the scatter
        assert control.ridge is not None, "only the beginning of a fit looks for one"
        weights, means, covariances = (np.array(each, order="C") for each in start)
        n_steps = min(control.max_steps, MAX_STEPS_OF_CALL)
        centre, scatter = (None, None) if total is None else (total.mean, total.scatter)
        log_likelihood, objective, factors, log_abs_det = native_target().run_em(
            block.rows, block.row_weight, block.total_weight, algebra, weights, means, covariances.reshape(-1),
            centre, scatter, control.ridge, LIMITS, control.tolerance, control.previous, n_steps, MAX_CALL_SECONDS,
            control.packed_prior, (self.is_incomplete, block.error), self._n_threads, control.log_volume,
        )  # fmt: skip
        whitening = _whitening(algebra, factors, log_abs_det, means.shape[1]) if log_likelihood.size else None
        of_steps = log_likelihood.tolist()
        values = of_steps if control.packed_prior is None else objective.tolist()
        return RunHistory(weights, means, covariances, whitening, of_steps, values)

    def fit_many(self, groups: Groups, settings: FitSettings) -> Fits | None:
        algebra, start, control = settings.algebra, settings.start, settings.control
        seeds = start if isinstance(start, calls.Seeds) else calls.Seeds(1, None, 0, 0.0)
        unsuited = [
            size
            for size in {*groups.size.tolist()}
            if size > LEAF_ROWS or not makes_steps(Block(0, groups.rows[:size]), settings.n_components, algebra)
        ]
        suited = np.flatnonzero(~np.isin(groups.size, unsuited)) if unsuited else slice(None)
        if unsuited and not len(groups.size[suited]):
            return None
        initial = start.select(suited) if isinstance(start, calls.InitialMixtures) else None
        arrays: dict[str, Any] = {start.dtype.kind: start} if isinstance(start, np.ndarray) else {}
        result = native_target().fit_many(
            groups.rows, groups.row_weight, (groups.first[suited], groups.size[suited]),
            None if groups.first_weight is None else groups.first_weight[suited],
            (groups.total_weight[suited], groups.unit[suited]), algebra, settings.n_components,
            arrays.get("f"), arrays.get("i"), seeds.n_candidates, seeds.uniform,
            (seeds.max_passes, seeds.tolerance), control.ridge, (settings.ridge_fraction, settings.trimmed),
            settings.smallest_spread, LIMITS, control.tolerance, min(control.max_steps, MAX_STEPS_OF_CALL),
            MAX_CALL_SECONDS if len(groups.size) == 1 else NO_TIME_LIMIT, settings.search, initial,
            control.packed_prior, (self.is_incomplete, groups.error), self._n_threads, control.log_volume,
        )  # fmt: skip
        weights, means, covariances, factors, log_abs_det, ridge = result[:6]
        n_steps, has_converged, log_likelihood, objective, search = result[6:]
        objective = log_likelihood if control.packed_prior is None else objective
        whitening = None
        if len(n_steps) == len(groups.size) == 1 and n_steps[0] >= 0:
            whitening = _whitening(algebra, factors[0], log_abs_det[0], groups.rows.shape[1])
        fits = Fits(
            weights, means, covariances, ridge, n_steps, has_converged, log_likelihood, objective, whitening, search
        )
        return fits if isinstance(suited, slice) else fits.among(suited, len(groups.size))
