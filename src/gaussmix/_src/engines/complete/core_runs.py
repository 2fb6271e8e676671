"""Functions that run several EM steps, or complete fits, in one call of the C++ core (cpp/em)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from gaussmix._src.engines import calls
from gaussmix._src.engines.calls import EMSettings, FitSettings, GroupFits, PackedPrior, RowGroups, RunHistory
from gaussmix._src.engines.complete.row_order import MIN_LONG_WORK, can_ordering_pay, work_per_row
from gaussmix._src.interfaces.algebra import Across, Algebra
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.interfaces.parameters import LIMITS
from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.interfaces.whitening.diagonal import DiagonalWhitening, SphericalWhitening
from gaussmix._src.interfaces.whitening.triangular import TriangularWhitening
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.threads import allowed_threads

MAX_CALL_SECONDS = 0.05  # seconds after which the C++ core returns, so that callers can report progress between calls
NO_TIME_LIMIT = 1e9  # a time in seconds that no call reaches
MIN_ORDERED_WORK = 16 * MIN_LONG_WORK  # if a pass takes fewer multiply-adds, C++ runs all steps
# If covariances have more values than this, M-steps take so long that the overhead of the Python loop is negligible.
MAX_COVARIANCE_VALUES = 2**18


def supports_core_steps(block: Block, n_components: int, structure: Algebra) -> bool:
    """Return whether the C++ core should run many EM steps in one call, without returning to Python between steps.

    Only Python can reorder the rows between steps so that steps take less time (`complete/row_order.py`). For passes
    with less work than `MIN_ORDERED_WORK`, running all steps in C++ saves more time than reordering. The Python loop
    runs the steps for structures with long M-steps.
    """
    n_features, factor_shape = block.rows.shape[1], _factor_shape(structure)
    if n_components * n_features ** (2 if factor_shape is FactorShape.TRIANGULAR else 1) > MAX_COVARIANCE_VALUES:
        return False
    if structure.is_shared or block.n_rows * work_per_row(factor_shape, n_components, n_features) < MIN_ORDERED_WORK:
        return True
    return not can_ordering_pay(block.n_rows, factor_shape, n_components, n_features)


def _factor_shape(structure: Algebra) -> FactorShape:
    if structure.orientation is not Across.NOTHING:
        return FactorShape.TRIANGULAR
    return FactorShape.SPHERICAL if structure.shape is Across.NOTHING else FactorShape.DIAGONAL


def _make_whitening(structure: Algebra, factors: Array, log_abs_det: Array, n_features: int) -> Whitening:
    """Make a `Whitening` of the class that the covariance structure uses, from factors of the C++ core."""
    factor_shape, factors = _factor_shape(structure), factors.reshape(len(log_abs_det), -1)
    if factor_shape is FactorShape.TRIANGULAR:
        return TriangularWhitening(factors.reshape(-1, n_features, n_features), log_abs_det)
    if factor_shape is FactorShape.SPHERICAL:
        return SphericalWhitening(factors[:, 0], log_abs_det)
    return DiagonalWhitening(factors, log_abs_det)


class CoreRuns:
    """Base class of engines with the methods that run many EM steps, or complete fits, in one call of the core."""

    n_threads: int
    is_incomplete: ClassVar[bool] = False
    is_truncated: ClassVar[bool] = False

    @property
    def _n_threads(self) -> int:
        return allowed_threads(self.n_threads)

    def supports_core_steps(
        self, block: Block, n_components: int, structure: Algebra, prior: PackedPrior | None, has_noise: bool
    ) -> bool:
        # The core cannot combine a prior with a noise component (`EmView` in cpp/em/em_view.hpp).
        return (prior is None or not has_noise) and supports_core_steps(block, n_components, structure)

    def run_em(
        self, block: Block, context: Any, start: tuple[Array, Array, Array], structure: Algebra, settings: EMSettings
    ) -> RunHistory:
        log_volume = settings.log_noise_volume
        total = context.total_spread if log_volume == np.inf else None  # None if there is a noise component
        assert settings.ridge is not None, "the ridge is automatic only at the start of a fit"
        weights, means, covariances = (np.array(each, order="C") for each in start)
        n_steps = min(settings.max_steps, calls.MAX_STEPS_OF_CALL)
        centre, scatter = (None, None) if total is None else (total.mean, total.scatter)
        log_likelihood, objective, factors, log_abs_det = native_target().run_em(
            block.rows, block.row_weight, block.total_weight, structure, weights, means, covariances.reshape(-1),
            centre, scatter, settings.ridge, LIMITS, settings.tolerance, settings.previous_objective, n_steps,
            MAX_CALL_SECONDS, settings.prior, (self.is_incomplete, block.error),
            block.log_prior, block.prior_indices, self._n_threads, log_volume,
        )  # fmt: skip
        whitening = _make_whitening(structure, factors, log_abs_det, means.shape[1]) if log_likelihood.size else None
        objective = log_likelihood if settings.prior is None else objective
        return RunHistory(weights, means, covariances, whitening, log_likelihood.tolist(), objective.tolist())

    def fit_many(self, groups: RowGroups, settings: FitSettings) -> GroupFits | None:
        structure, start, em = settings.structure, settings.start, settings.em_settings
        unsuited = [
            n
            for n in {*groups.n_rows.tolist()}
            if n > LEAF_ROWS or not supports_core_steps(Block(0, groups.rows[:n]), settings.n_components, structure)
        ]
        suited = np.flatnonzero(~np.isin(groups.n_rows, unsuited)) if unsuited else slice(None)
        if unsuited and not len(groups.n_rows[suited]):
            return None
        if isinstance(start, calls.InitialMixtures):
            settings = settings._replace(start=start.select(suited))
        if em.max_steps > calls.MAX_STEPS_OF_CALL:
            settings = settings._replace(em_settings=em._replace(max_steps=calls.MAX_STEPS_OF_CALL))
        result = native_target().fit_many(
            groups.rows, groups.row_weight, (groups.first_row[suited], groups.n_rows[suited]),
            None if groups.first_weight_index is None else groups.first_weight_index[suited],
            (groups.total_weight[suited], groups.weight_unit[suited]), LIMITS, settings,
            MAX_CALL_SECONDS if len(groups.n_rows) == 1 else NO_TIME_LIMIT, (self.is_incomplete, groups.row_errors),
            self._n_threads,
        )  # fmt: skip
        weights, means, covariances, factors, log_abs_det, ridge = result[:6]
        n_steps, converged, log_likelihood, objective, search = result[6:]
        objective = log_likelihood if em.prior is None else objective
        has_one, d = len(n_steps) == len(groups.n_rows) == 1 and n_steps[0] >= 0, groups.rows.shape[1]
        whitening = _make_whitening(structure, factors[0], log_abs_det[0], d) if has_one else None
        histories = log_likelihood, objective, whitening, search
        fits = GroupFits(weights, means, covariances, ridge, n_steps, converged, *histories)
        return fits if isinstance(suited, slice) else fits.expand_to_groups(suited, len(groups.n_rows))
