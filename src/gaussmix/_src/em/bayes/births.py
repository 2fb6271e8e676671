"""Births of components: a component is split in two, based on a sample of the rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.bayes.variational_posterior import VariationalPosterior
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.axes import principal_axes
from gaussmix._src.numerics.core import core, native_target
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.threads import cached_property

MAX_AXES, MIN_AXES = 32, 4  # maximum and minimum number of axes along which components are split
MIN_ROWS_PER_AXIS = 20  # minimum number of rows per axis among the rows that determine a split
# A split of a component with n rows is computed from at most max(100, 40 × number of axes, n / 8) rows, and validated
# with as many other rows.
MIN_SPLIT_ROWS, ROWS_PER_SPLIT_AXIS, ROW_DIVISOR = 100, 40, 8
MIN_DIVISOR = 1e-300  # minimum of a divisor that could otherwise be 0
# If a component has fewer distinct rows than this, its split is computed from all its rows, and is not validated.
MIN_VALIDATED_ROWS = 8
# To split off outliers, the farthest `N_FARTHEST_ROWS` rows and at most `MAX_OTHER_ROWS` other rows are used.
N_FARTHEST_ROWS, MAX_OTHER_ROWS = 256, 2048
MIN_COMPLETE_FRACTION = 0.25  # only complete rows are used if they have more than this fraction of a component's weight
# If the weight of a row exceeds the mean weight times this factor, the split is computed from all of these rows, and is
# not validated.
MAX_RELATIVE_WEIGHT = 5.0
# Minimum of (mean |x|)² / mean x², where x is the distance from the mean, for a feature that is probably bimodal. The
# ratio (mean |x|)² / mean x² is 1 for two points, 3/4 for a uniform distribution, and 2/π for a normal distribution.
MIN_BIMODALITY = 0.7
# If a feature's variance is less than this fraction of the largest variance, the feature may be constant except for
# rounding errors.
MIN_RELATIVE_VARIANCE = 1e-9


class SplitCandidate(NamedTuple):
    """Split of a component: its rows, their weights, their projections on the split axes, and the two halves."""

    rows: Array
    weight: Array
    projected_rows: Array
    bisection: core.Target.Bisection

    @property
    def gain(self) -> float:
        return self.bisection.gain

    @property
    def is_validated(self) -> bool:
        """Return whether the split, found from every second row, increases the density of the other rows."""
        if not np.isfinite(self.gain):
            return False
        gains = native_target().bisection_gains(self.bisection, self.projected_rows[1::2])
        return bool((self.weight[1::2] * gains).sum() > 0)


@dataclass(frozen=True, eq=False)
class BirthProposals:
    """Proposals of births, computed from sampled rows; `rng` draws the positions at which components are cut."""

    sample: DistinctRows
    rng: np.random.Generator

    @cached_property
    def _feature_scale(self) -> Array:
        """Return the standard deviation of each feature in the sample, (n_features,), in data units, never 0."""
        return np.sqrt(np.maximum(self.sample.mean_imputed.var(axis=0), np.finfo(np.float64).tiny))

    def split_components(
        self, posterior: VariationalPosterior, labels: NDArray[np.int64], components: Indices
    ) -> tuple[VariationalPosterior, Indices] | None:
        """Split the given components in two; return the new posterior and the parent of each component.

        The parent is the index of the component that was split, or −1 for a component that was not split. The result is
        None if no component can be split. `labels`, (n_distinct,), are the most probable components of the sampled
        rows.
        """
        splits = {k: pair for k in components.tolist() if (pair := self._halve(posterior, np.flatnonzero(labels == k)))}
        if not splits:
            return None
        of, prior = np.array(list(splits)), posterior.prior
        weights, half_means, half_forms = (np.array(each) for each in zip(*splits.values(), strict=True))
        masses, n_before = posterior.counts[of, None] * weights, len(posterior.counts)
        mass, means = np.append(posterior.counts, masses[:, 1]), np.concatenate((posterior.means, half_means[:, 1]))
        mass[of], means[of] = masses[:, 0], half_means[:, 0]
        shape = (1,) * (half_forms.ndim - 2)
        if posterior.covariances.is_shared:
            within = np.repeat(posterior.covariances.each, n_before, axis=0)  # n_before copies of the shared covariance
            within[of] = (weights.reshape(*weights.shape, *shape) * half_forms).sum(axis=1)
            each = prior.scale + (posterior.counts.reshape(-1, *shape) * within).sum(axis=0, keepdims=True)
            each = each / posterior.dof[0]
        else:
            masses = masses.reshape(*masses.shape, *shape)
            half_covariances = (prior.scale + masses * half_forms) / (prior.dof + masses)
            each = np.concatenate((posterior.covariances.each, half_covariances[:, 1]))
            each[of] = half_covariances[:, 0]
        covariances = replace(posterior.covariances, each=each, n_components=len(mass))
        parents = np.append(np.full(n_before, -1), of)
        parents[of] = of
        return replace(posterior, counts=mass, means=means, covariances=covariances), parents

    def _halve(self, posterior: VariationalPosterior, indices: Indices) -> tuple[Array, Array, Array] | None:
        """Return weights (2,), means (2, n_features) and covariances (2, …) of both halves; None if no split is found.

        A split along the longest principal axes is determined from every second row. If such a split lowers the density
        of the other rows, the component is instead split into a narrow component within a wide component, which suits
        distributions with long tails. If there are few rows, or if one row has the weight of many rows, all rows
        determine the split. If no split is found, the function tries to split off a few distant rows.
        """
        if len(indices) < core.MIN_ROWS_SPLIT:
            return None
        has_matrices, complete_weight = posterior.prior.covariance_form is Second.FULL, self._complete_weights
        complete = indices[complete_weight[indices] > 0]
        if complete_weight[complete].sum() > MIN_COMPLETE_FRACTION * self.sample.weight[indices].sum():
            # Only complete rows are used, because a split could otherwise separate rows that have different missing
            # values.
            indices = complete
        splits = self._bisect_rows(indices, has_matrices) or self._split_off_outliers(indices, has_matrices)
        if splits is None:
            return None
        rows, weight, along, bisection = splits
        first = native_target().first_responsibility(bisection, along)
        weights = weight * np.stack((first, 1.0 - first))
        mass = weights.sum(axis=1)
        if not mass.all():
            return None
        if has_matrices:
            spreads = [Spread.from_block(Block(0, rows, responsibilities)) for responsibilities in weights]
            covariances = np.array([each.covariance for each in spreads])
            return mass / mass.sum(), np.array([each.mean for each in spreads]), covariances
        means = einsum("hn,nd->hd", weights, rows) / mass[:, None]
        covariances = einsum("hn,hnj->hj", weights, (rows - means[:, None]) ** 2) / mass[:, None]
        covariances = covariances.mean(axis=1) if posterior.prior.covariance_form is Second.TRACE else covariances
        return mass / mass.sum(), means, covariances

    def _bisect_rows(self, indices: Indices, has_matrices: bool) -> SplitCandidate | None:
        """Find the best split of a group of rows; return None if two components are not better than one component."""
        n_features = len(self._feature_scale)
        max_axes = min(n_features, MAX_AXES)
        chosen = _thin(indices, 2 * max(MIN_SPLIT_ROWS, ROWS_PER_SPLIT_AXIS * max_axes, len(indices) // ROW_DIVISOR))
        rows, weight = _zero_constant_features(self.sample.mean_imputed[chosen]), self.sample.weight[chosen]
        is_validated = len(chosen) >= MIN_VALIDATED_ROWS and self._has_even_weights(chosen)
        n_axes = min(max_axes, max(MIN_AXES, len(chosen) // (2 * MIN_ROWS_PER_AXIS)))
        units, step = _candidate_scales(rows, weight / weight.sum(), self._feature_scale), 2 if is_validated else 1
        ways = [(rows, u) if n_axes == n_features else _project_on_axes(rows, weight, n_axes, u) for u in units]
        fraction = weight[::step] / weight[::step].sum()

        def bisect_along(projected: Array, scale: Array, cuts: Array | None) -> SplitCandidate:
            bisection = native_target().bisect(projected[::step], fraction, has_matrices, scale, cuts, not is_validated)
            return SplitCandidate(self.sample.mean_imputed[chosen], weight, projected, bisection)

        across = max((bisect_along(*way, self.rng.random(1 + n_axes)) for way in ways), key=lambda each: each.gain)
        if not is_validated or len(chosen) <= 8 * n_axes:
            return across if np.isfinite(across.gain) else None
        if across.is_validated:
            return across
        within = bisect_along(*ways[0], None)
        return within if within.is_validated else None

    def _split_off_outliers(self, indices: Indices, has_matrices: bool) -> SplitCandidate | None:
        """Split off a few rows far from the others, or with most of the weight; return None if there are no such rows.

        If one half of a split contains a fraction p of the rows, the squared distance of the mean of this half from the
        mean of all rows is at most (1 − p) / p variances. A row is far if its squared distance exceeds (1 − p) / p
        variances for the smallest p that an ordinary split allows. The farthest rows are all used, and a sample
        represents the other rows.
        """
        rows, weight = _zero_constant_features(self.sample.mean_imputed[indices]), self.sample.weight[indices]
        fraction = weight / weight.sum()
        squares = (rows - einsum("n,nj->j", fraction, rows)) ** 2
        variances = np.maximum(einsum("n,nj->j", fraction, squares), _resolvable_spread(rows) ** 2 + MIN_DIVISOR)
        if (_column_maxima(squares) * core.MIN_SPLIT_WEIGHT <= variances).all() and self._has_even_weights(indices):
            return None
        order = np.argsort((squares / variances).max(axis=1) * weight, kind="stable")
        nearby = order[:-N_FARTHEST_ROWS]
        some = nearby[_thin(np.arange(len(nearby)), MAX_OTHER_ROWS)]
        positions = np.concatenate((some, order[-N_FARTHEST_ROWS:]))
        rows, mass = rows[positions], weight[positions]
        if some.size:
            mass[: len(some)] *= weight[nearby].sum() / weight[some].sum()
        cuts = self.rng.random(1 + len(self._feature_scale))
        bisection = native_target().bisect(
            rows, mass / mass.sum(), has_matrices, self._feature_scale, cuts, True, True, core.MIN_TAIL_WEIGHT
        )
        splits = SplitCandidate(self.sample.mean_imputed[indices[positions]], mass, rows, bisection)
        return splits if 0 < splits.gain < np.inf else None

    def _has_even_weights(self, indices: Indices) -> bool:
        """Return whether no complete row has the weight of many rows. Incomplete rows are not checked."""
        return bool(self._complete_weights[indices].max() <= MAX_RELATIVE_WEIGHT * self.sample.weight[indices].mean())

    @cached_property
    def _complete_weights(self) -> Array:
        """Return the weight of each complete row, and 0 for each row with missing values, (n_distinct,)."""
        return np.where(np.isnan(self.sample.rows).any(axis=1), 0.0, self.sample.weight)


def _zero_constant_features(rows: Array) -> Array:
    """Return the rows with each constant feature set to 0, so that means of constant features are exact."""
    is_constant = rows[0] == rows[-1]
    if is_constant.any():
        is_constant = (rows == rows[0]).all(axis=0)
    return np.where(is_constant, 0.0, rows) if is_constant.any() else rows


def _column_maxima(values: Array) -> Array:
    """Return the largest value of each column by `argmax`, which is faster than `max` along the first axis in NumPy."""
    return np.asarray(values[values.argmax(axis=0), np.arange(values.shape[1])])


def _resolvable_spread(rows: Array) -> Array:
    """Return, for each feature, the smallest spread that exceeds rounding errors, (n_features,), in data units."""
    return core.RESOLVED * _column_maxima(np.abs(rows))


def _project_on_axes(rows: Array, weight: Array, n_axes: int, scale: Array) -> tuple[Array, Array]:
    """Return projections (n_rows, n_axes) of scaled rows on their longest principal axes, and a scale of 1 per axis."""
    centre = einsum("n,nj->j", weight / weight.sum(), rows)
    offsets = (rows - centre) / np.maximum(scale, _resolvable_spread(rows))
    axes = principal_axes(Spread.from_block(Block(0, offsets, weight)).covariance[None])[1][0]
    return einsum("ni,ij->nj", offsets, axes[:, :n_axes]), np.ones(n_axes)


def _candidate_scales(rows: Array, weight: Array, scale: Array) -> list[Array]:
    """Return one or two candidate scales of the features, (n_features,), for a cut across the longest principal axis.

    If features are divided by their standard deviations, the feature that separates two groups varies no more than the
    other features, and the longest principal axis may not lie along this feature. Therefore, the second scale stretches
    the feature whose distribution is most similar to two points, as measured by mean |x| divided by the standard
    deviation; Geary (1935), Biometrika 27.
    """
    offsets = (rows - einsum("n,nj->j", weight, rows)) / np.maximum(scale, _resolvable_spread(rows))
    squares = einsum("n,nj->j", weight, offsets**2)
    is_long = squares > MIN_RELATIVE_VARIANCE * squares.max()
    lengths = einsum("n,nj->j", weight, np.abs(offsets))
    likeness = np.where(is_long, lengths**2 / np.where(is_long, squares, 1.0), 0.0)
    j = int(likeness.argmax())
    if likeness[j] < MIN_BIMODALITY:
        return [scale]
    changed = scale.copy()
    changed[j] *= 0.5 * math.sqrt(squares[j] / squares.max())
    return [scale, changed]


def _thin(indices: Indices, limit: int) -> Indices:
    """Return at most `limit` of the indices, equally spaced."""
    if len(indices) <= limit:
        return indices
    return indices[(2 * np.arange(limit) + 1) * len(indices) // (2 * limit)]
