"""Rows with missing cells or measurement errors: an engine that expects what it cannot see.

Under the current parameters, the observed part of a row says what its other features are, up to a covariance. So its
squares in the sums of a step are expected squares, and families and the loop need not know. Ghahramani & Jordan (1994),
NIPS 6, for missing cells; Bovy, Hogg & Roweis (2011), Annals of Applied Statistics 5, for errors. A missing cell is one
with an infinite error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix.engines.base import NEGLIGIBLE, Engine
from gaussmix.engines.joint import background_of, labels_of, log_density_of, responsibilities_of, with_background
from gaussmix.engines.native.engine import COMPONENTS, NativeEngine
from gaussmix.numerics.arrays import Array, Places, Rows
from gaussmix.numerics.core import native_target
from gaussmix.numerics.elementary import softmax
from gaussmix.numerics.factorise import factorise
from gaussmix.numerics.threads import allowed
from gaussmix.waist.block import Block, Profile
from gaussmix.waist.leaves import Tree
from gaussmix.waist.moments import Moments, Partial
from gaussmix.waist.need import Need, Rule, Second
from gaussmix.waist.parameters import LOG_2PI, Parameters
from gaussmix.waist.whitening.base import FactorShape, Whitening

if TYPE_CHECKING:
    from gaussmix._core import Target

NUMBERS = 2**21  # that are held at once, 16 MB, for each array


@dataclass(frozen=True)
class IncompleteEngine:
    """Sums and densities of rows that are known in part only. NaN is a missing cell.

    Parameters
    ----------
    engine : the engine for complete rows.
    """

    engine: Engine[Any]

    def look(self, profile: Profile, need: Need, sum_all: Callable[[Need, Array | None], Moments]) -> None:
        return None

    def open(self, block: Block, need: Need, n_components: int) -> int:
        return n_components

    def step(
        self,
        block: Block,
        state: int,
        parameters: Parameters | None,
        need: Need,
        rule: Rule = Rule.SOFT,
        anchor: Array | None = None,
        facts: None = None,
    ) -> Partial:
        if anchor is None:
            anchor = np.zeros((state, block.rows.shape[1])) if parameters is None else parameters.means
        if parameters is not None and rule is Rule.SOFT and np.array_equal(anchor, parameters.means):
            core = self._core
            if core is not None:
                return _in_core(core, _with_marginal_background(block, parameters), parameters, _summed(need))
        tree = Tree[Partial]()
        for leaf in block.cut():
            if parameters is None or rule is not Rule.SOFT:
                tree.add(self._shared(leaf, parameters, state, _summed(need), anchor))
            else:
                tree.add(_expected(leaf, parameters, _summed(need), anchor))
        return tree.total

    def _shared(
        self, leaf: Block, parameters: Parameters | None, n_components: int, need: Need, anchor: Array
    ) -> Partial:
        """Sums of observed cells before EM has a model, or where rows have one component each."""
        if parameters is None:
            assert leaf.given is not None
            return _observed(leaf, _one_hot(leaf.given, n_components), need, anchor)
        log_joint = with_background(self.component_log_density(leaf, parameters), leaf, parameters)
        weight = np.ones(leaf.n_rows) if leaf.row_weight is None else leaf.row_weight
        best = log_joint.argmax(axis=1)
        sums = _observed(leaf, _one_hot(best, n_components), need, anchor)
        left, log_likelihood = float(weight[best == n_components].sum()), float((weight * log_joint.max(axis=1)).sum())
        return replace(sums, background=left, log_likelihood=log_likelihood)

    def finish(self, sums: Partial, parameters: Parameters | None, need: Need, facts: None = None) -> Moments:
        complete = sums if sums.counts is None else _completed(sums)
        return Moments.of(replace(complete, second=_reduced(complete.second, need), need=need))

    def suits_single(self, parameters: Parameters) -> bool:
        return False

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        return self._evaluated(block, parameters, self.engine.log_density, log_density_of)

    @property
    def _core(self) -> tuple[Target, int] | None:
        """The core, and the number of its threads; None where NumPy is the engine."""
        target = native_target()
        if target is None or not isinstance(self.engine, NativeEngine):
            return None
        return target, allowed(self.engine.n_threads)

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        return self._evaluated(block, parameters, self.engine.component_log_density, lambda log_joint, *_: log_joint)

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        return self._evaluated(block, parameters, self.engine.responsibilities, responsibilities_of)

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        return self._evaluated(block, parameters, self.engine.labels, labels_of)

    def _evaluated(
        self,
        block: Block,
        parameters: Parameters,
        of_complete: Callable[[Block, Parameters], NDArray[Any]],
        of_joint: Callable[[Array, Block, Parameters], NDArray[Any]],
    ) -> NDArray[Any]:
        """Answers for rows; those for complete ones by the other engine, so that they do not depend on the others."""
        is_complete = np.zeros(block.n_rows, bool) if block.error is not None else ~np.isnan(block.rows).any(axis=1)
        if is_complete.all() and block.error is None:
            return of_complete(block, parameters)
        if not is_complete.any():
            return of_joint(self._log_joint(block, parameters), block, parameters)
        complete, others = np.flatnonzero(is_complete), np.flatnonzero(~is_complete)
        known = of_complete(block.taken(complete, block.first_row), parameters)
        part = block.taken(others, block.first_row)
        found = np.empty((block.n_rows, *known.shape[1:]), known.dtype)
        found[complete], found[others] = known, of_joint(self._log_joint(part, parameters), part, parameters)
        return found

    def _log_joint(self, block: Block, parameters: Parameters) -> Array:
        """log p(x, k) of rows that are known in part, (n_rows, n_components)."""
        core = self._core
        if core is not None:
            target, n_threads = core
            from_core: Array = target.evaluate_incomplete(*_known(block, parameters), COMPONENTS, n_threads)
            return from_core
        log_joint, gaussians = np.empty((block.n_rows, len(parameters.means))), _gaussians(block, parameters)
        for places, part in gaussians.parts(block):
            log_joint[places] = gaussians.all_given(part)[1]
        return log_joint

    def draw(
        self, n_rows: int, cumulative: Array, means: Array, whitening: Whitening, key: int
    ) -> tuple[Array, NDArray[np.int64]]:
        return self.engine.draw(n_rows, cumulative, means, whitening, key)

    def expected_rows(self, block: Block, parameters: Parameters) -> tuple[Array, Array]:
        """The means (n_rows, n_features) and covariances (n_rows, n_features, n_features) of the true rows."""
        n_features, gaussians = block.rows.shape[1], _gaussians(block, parameters)
        means, covariances = np.zeros(block.rows.shape), np.zeros((*block.rows.shape, n_features))
        for places, part in gaussians.parts(block):
            given, log_joint = gaussians.all_given(part)
            shared = softmax(log_joint).T
            mean = sum(share[:, None] * each.mean for share, each in zip(shared, given, strict=True))
            means[places] = mean
            for share, each in zip(shared, given, strict=True):
                apart, spread = each.mean - mean, each.covariance
                if isinstance(gaussians, _Independent):
                    spread = spread[:, None, :] * np.eye(n_features)
                covariances[places] += share[:, None, None] * (apart[:, :, None] * apart[:, None, :] + spread)
        return means, covariances


class _Given(NamedTuple):
    """What rows say under one component.

    Parameters
    ----------
    log_joint : (n_rows,), log p(x, k) of what is observed, nats.
    mean : (n_rows, n_features), of the true rows.
    covariance : of the true rows, a matrix for each row or one for all, or (n_rows, n_features) where it is diagonal.
    """

    log_joint: Array
    mean: Array
    covariance: Array


class _Gaussians(ABC):
    """The components of a mixture, as rows need them that are known in part only."""

    def __init__(self, parameters: Parameters) -> None:
        n_features = parameters.means.shape[1]
        self.log_weight = parameters.log_scale - parameters.whitening.log_abs_det + 0.5 * n_features * LOG_2PI
        self.means = parameters.means

    @abstractmethod
    def parts(self, block: Block) -> Iterator[tuple[Places, Block]]:
        """The rows of a block in parts that `given` takes, with their places."""

    @abstractmethod
    def given(self, part: Block, k: int) -> _Given:
        """What rows say under component k; Bovy, Hogg & Roweis (2011) eq. 15–17."""

    def all_given(self, part: Block) -> tuple[list[_Given], Array]:
        """What rows say under each component, and log p(x, k) (n_rows, n_components)."""
        given = [self.given(part, k) for k in range(len(self.means))]
        log_joint, prior = np.stack([each.log_joint for each in given], axis=1), part.row_log_prior(len(given))
        return given, log_joint if prior is None else log_joint + prior


class _Dense(_Gaussians):
    """Components whose features depend on each other, or rows with such errors."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.covariances = dense_covariances(parameters.whitening, *parameters.means.shape)

    def parts(self, block: Block) -> Iterator[tuple[Places, Block]]:
        """Rows that lack the same features, few at a time."""
        missing, n_features = np.isnan(block.rows), block.rows.shape[1]
        if missing.any():
            packed, pattern = np.unique(np.packbits(missing, axis=1), axis=0, return_inverse=True)
            ends = np.cumsum(np.bincount(pattern.ravel(), minlength=len(packed)))[:-1]
            groups = np.split(np.argsort(pattern.ravel(), kind="stable"), ends)
        else:
            groups = [np.arange(block.n_rows)]
        most = max(1, NUMBERS // (len(self.means) * n_features * (1 if block.error is None else n_features)))
        for group in groups:
            for first in range(0, len(group), most):
                places = group[first : first + most]
                yield places, block.taken(places, block.first_row)

    def given(self, part: Block, k: int) -> _Given:
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
        return _Given(self.log_weight[k] + log_density, expected, spread)


class _Independent(_Gaussians):
    """Components whose features are independent, and rows whose errors are."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.variances = np.broadcast_to(1.0 / parameters.whitening.precision_diagonals(), parameters.means.shape)

    def parts(self, block: Block) -> Iterator[tuple[Places, Block]]:
        for part in block.cut(max(1, NUMBERS // max(1, self.means.size))):
            yield np.arange(part.n_rows) + (part.first_row - block.first_row), part

    def given(self, part: Block, k: int) -> _Given:
        mean, variance, is_seen = self.means[k], self.variances[k], ~np.isnan(part.rows)
        offsets = np.where(is_seen, part.rows - mean, 0.0)
        total = np.where(is_seen, variance + (0.0 if part.error is None else part.error), np.inf)
        with np.errstate(over="ignore", invalid="ignore"):
            log_density = _log_density((offsets**2 / total).sum(axis=1), is_seen.sum(axis=1))
        log_density -= 0.5 * np.log(np.where(is_seen, total, 1.0)).sum(axis=1)
        return _Given(
            self.log_weight[k] + log_density, mean + variance * offsets / total, variance - variance**2 / total
        )


def _gaussians(block: Block, parameters: Parameters) -> _Gaussians:
    has_matrices = block.error is not None and block.error.ndim == 3
    independent = parameters.whitening.factor_shape in (FactorShape.SPHERICAL, FactorShape.DIAGONAL)
    return _Independent(parameters) if independent and not has_matrices else _Dense(parameters)


def _errors(error: Array, seen: Places) -> Array:
    """Covariances (n_rows, n_seen, n_seen) of the errors of some features."""
    if error.ndim == 3:
        matrices: Array = error[:, seen[:, None], seen]
        return matrices
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
    left: Array = kept.swapaxes(1, 2) @ covariance @ kept + gain.swapaxes(1, 2) @ errors @ gain
    return left


def _log_density(squared: Array, n_seen: Any) -> Array:
    """−½ (n log 2π + ‖z‖²); a squared distance that overflows counts as the largest double."""
    largest = np.finfo(np.float64).max
    density: Array = -0.5 * (n_seen * LOG_2PI + np.nan_to_num(squared, nan=largest, posinf=largest))
    return density


def dense_covariances(whitening: Whitening, n_components: int, n_features: int) -> Array:
    """Σ_k = (W_kᵀ W_k)⁻¹, (n_components, n_features, n_features)."""
    roots = np.array([whitening.colour(k, np.eye(n_features)) for k in range(len(whitening.factors))])
    return np.broadcast_to(roots.swapaxes(1, 2) @ roots, (n_components, n_features, n_features))


def _known(
    block: Block, parameters: Parameters
) -> tuple[Rows, Array | None, NDArray[np.int32] | None, Array | None, Array, Array, Array, float]:
    """Rows and parameters, as the core takes them."""
    whitening, (n_components, n_features) = parameters.whitening, parameters.means.shape
    log_weight = parameters.log_scale - whitening.log_abs_det + 0.5 * n_features * LOG_2PI
    factors, background = _triangular(whitening, n_components, n_features), parameters.log_background
    known = block.rows, block.log_prior, block.prior_places, block.error
    return *known, log_weight, parameters.means, factors, background


def _triangular(whitening: Whitening, n_components: int, n_features: int) -> Array:
    """Factors as triangular matrices, (n_components, n_features, n_features)."""
    if whitening.factor_shape is FactorShape.LOW_RANK:
        factors = factorise(dense_covariances(whitening, n_components, n_features))[0]
    elif whitening.factor_shape is FactorShape.TRIANGULAR:
        factors = whitening.factors
    else:
        factors = whitening.factors.reshape(len(whitening.factors), 1, -1) * np.eye(n_features)
    return np.ascontiguousarray(np.broadcast_to(factors, (n_components, n_features, n_features)))


def _with_marginal_background(block: Block, parameters: Parameters) -> Block:
    """The rows; where cells are missing beside a background, its density of the others as what is known of a row."""
    if parameters.log_background == -np.inf or not np.isnan(block.rows).any():
        return block
    n_columns = len(parameters.means) + 1
    prior = block.row_log_prior(n_columns)
    prior = np.zeros((block.n_rows, n_columns)) if prior is None else np.array(prior)
    prior[:, -1] += background_of(block, parameters) - parameters.log_background
    return replace(block, log_prior=prior, prior_places=None)


def _in_core(core: tuple[Target, int], block: Block, parameters: Parameters, need: Need) -> Partial:
    """The expected sums of a block about the means, by the core."""
    target, n_threads = core
    known = _known(block, parameters)
    log_likelihood, mass, background, first, second = target.step_incomplete(
        known[0], block.row_weight, *known[1:], need.second, n_threads
    )
    total = block.total_weight
    return Partial(mass, first, second, parameters.means, log_likelihood, total, need, background=background)


def _summed(need: Need) -> Need:
    """What is summed for each component, until `finish` knows all rows."""
    return Need(Second.FULL if need.second in (Second.FULL, Second.PROJECTED) else Second.DIAGONAL)


def _expected(leaf: Block, parameters: Parameters, need: Need, anchor: Array) -> Partial:
    """The expected sums of a leaf about an anchor."""
    n_components, log_likelihood, background = len(anchor), 0.0, 0.0
    gaussians, mass, first = _gaussians(leaf, parameters), np.zeros(n_components), np.zeros(anchor.shape)
    is_diagonal = isinstance(gaussians, _Independent)
    second = np.zeros(anchor.shape if need.second is Second.DIAGONAL else (*anchor.shape, anchor.shape[1]))
    for _, part in gaussians.parts(leaf):
        given, log_joint = gaussians.all_given(part)
        shared, log_density = _shares(with_background(log_joint, part, parameters))
        weight = np.ones(part.n_rows) if part.row_weight is None else part.row_weight
        log_likelihood += float(weight @ log_density)
        background += float(weight @ shared[:, n_components:].sum(axis=1))
        for k, each in enumerate(given):
            share = weight * shared[:, k]
            offsets = np.where(share[:, None] > 0, each.mean - anchor[k], 0.0)  # 0 × ∞ is 0 here
            mass[k] += share.sum()
            first[k] += share @ offsets
            second[k] += _squares(share, offsets, need) + _spread(share, each.covariance, is_diagonal, need)
    return Partial(mass, first, second, anchor, log_likelihood, leaf.total_weight, need, background=background)


def _squares(share: Array, offsets: Array, need: Need) -> Array:
    """Σ γ u uᵀ of offsets (n_rows, n_features), or its diagonal."""
    found: Array = share @ offsets**2 if need.second is Second.DIAGONAL else (share[:, None] * offsets).T @ offsets
    return found


def _spread(share: Array, covariance: Array, is_diagonal: bool, need: Need) -> Array:
    """Σ γ C of the covariances of rows, or of the one that all have, or its diagonal."""
    if is_diagonal:
        total: Array = share @ covariance
        return total if need.second is Second.DIAGONAL else np.diag(total)
    total = share.sum() * covariance if covariance.ndim == 2 else np.einsum("n,nij->ij", share, covariance)
    return np.diagonal(total) if need.second is Second.DIAGONAL else total


def _shares(log_joint: Array) -> tuple[Array, Array]:
    """Responsibilities and log p(x) of rows; see `engines.base.NEGLIGIBLE`."""
    largest = log_joint.max(axis=1, keepdims=True)
    relative = log_joint - largest
    kept = np.where(relative > -NEGLIGIBLE, np.exp(relative), 0.0)
    total = kept.sum(axis=1, keepdims=True)
    return kept / total, (largest + np.log(total))[:, 0]


def _reduced(second: Array | None, need: Need) -> Array | None:
    """Second moments as they are needed, of those of `_summed`."""
    if second is None or need.second is Second.NONE:
        return None
    found = second
    if need.second is Second.TRACE:
        found = second.sum(axis=1)
    elif need.projection is not None:
        projection = np.broadcast_to(need.projection, (len(second), *need.projection.shape[1:]))
        projected = np.einsum("kij,kqj->kiq", second, projection)
        found = np.concatenate([projected, np.einsum("kii->ki", second)[..., None]], axis=2)
    return found.sum(axis=0) if need.pooled else found


def _one_hot(given: NDArray[Any], n_components: int) -> Array:
    """Shares (n_rows, n_components) of labels, or shares as they are."""
    shared = given if given.ndim == 2 else given[:, None] == np.arange(n_components)
    return shared.astype(np.float64)


def _observed(leaf: Block, shared: Array, need: Need, anchor: Array) -> Partial:
    """Sums of the observed cells about an anchor; `counts` is the mass of each component that has the feature."""
    weight = np.ones(leaf.n_rows) if leaf.row_weight is None else leaf.row_weight
    mass, first, counts, second = np.zeros(len(anchor)), np.zeros(anchor.shape), np.zeros(anchor.shape), []
    subscripts = "ni,ni->i" if need.second is Second.DIAGONAL else "ni,nj->ij"
    for k, mean in enumerate(anchor):  # sums without BLAS, whose bits depend on threads and on the order in memory
        places = np.flatnonzero(shared[:, k])
        rows, share = np.ascontiguousarray(leaf.rows[places]), weight[places] * shared[places, k]
        is_seen = ~np.isnan(rows)
        offsets = np.where(is_seen, rows - mean, 0.0)
        mass[k], weighted = share.sum(), share[:, None] * offsets
        first[k], counts[k] = weighted.sum(axis=0), np.einsum("n,ni->i", share, is_seen)
        second.append(np.einsum(subscripts, weighted, offsets))
    return Partial(mass, first, np.array(second), anchor, 0.0, leaf.total_weight, need, counts=counts)


def _completed(sums: Partial) -> Partial:
    """Sums as if missing cells were spread as those that are observed in the component, and correlated with nothing.

    A feature that a component has nothing of is spread as in all rows.
    """
    seen, second = sums.counts, sums.second
    assert seen is not None, "made by `_observed`"
    assert second is not None, "made by `_observed`"
    n_features = seen.shape[1]
    squares = second if second.ndim == 2 else np.array(np.einsum("kii->ki", second))
    all_seen = np.maximum(seen.sum(axis=0), np.finfo(np.float64).tiny)
    centre = (seen * sums.anchor + sums.first).sum(axis=0) / all_seen
    apart = np.where(seen > 0, sums.first / np.where(seen > 0, seen, 1.0), centre - sums.anchor)
    about_centre = squares + 2 * sums.first * (sums.anchor - centre) + seen * (sums.anchor - centre) ** 2
    mean_square = about_centre.sum(axis=0) / all_seen + apart**2
    missing = sums.mass[:, None] - seen
    added = missing * np.where(seen > 0, squares / np.where(seen > 0, seen, 1.0), mean_square)
    if second.ndim == 2:
        second = second + added
    else:
        second = np.array(second)
        second[:, np.arange(n_features), np.arange(n_features)] += added
    return replace(sums, first=sums.mass[:, None] * apart, second=second, counts=None)
