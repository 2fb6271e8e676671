"""The scores of rows, summed: in one pass where they have formulas, else by differences of what a step of EM sums."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from gaussmix._src.em.curvature.coordinates import Coordinates
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import TILE_ROWS, Sums
from gaussmix._src.interfaces.moment_spec import MomentSpec, Rule, Second
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array, below_diagonal
from gaussmix._src.sources.base import Source

MAX_SCORES = 2**20  # scores in memory at a time, 8 MB
DIFFERENCE_STEP = 1e-4  # of central differences: what they leave out is as small as the rounding


@dataclass(frozen=True, eq=False)
class Scores:
    """Sums of products of scores over a leaf: Σ s S_i S_iᵀ, and of each component Σ s γ_ik c_ik c_ikᵀ.

    The scores of a component are c = (1, z, the products of z), z = W_k (x − μ_k), and S_i holds γ_ik c_ik of all. An
    engine sums their products as it sums the second moments of rows. With `has_squares` also Σ s² S_i S_iᵀ.
    """

    engine: Engine[Any]
    coordinates: Coordinates
    has_squares: bool = False

    def __call__(self, leaf: Block) -> Sums:
        at, weight, result = self.coordinates, leaf.row_weight, list[Array]()
        factors = at.factors
        if factors.ndim < 3:
            factors = np.broadcast_to(factors, (len(factors), at.model.n_features))[:, None]
        squared = [replace(leaf, row_weight=weight**2)] if self.has_squares and weight is not None else []
        for part in [leaf, *squared]:
            between, within = self.engine.score_products(part, at.model.parameters, factors, at.second)
            result += [self._in_order(between, within, part.total_weight), within]
        return Sums(result[:3])

    def _in_order(self, products: Array, within: Array, row_weight: float) -> Array:
        """An engine's products (n_all, n_all) in the order of the Jacobian, with those of the background.

        The numbers of a row that are of weights sum to 1.
        """
        at = self.coordinates
        K, d = at.model.means.shape
        n_own = 1 + d + (len(at.basis) if at.n_covariances > 1 else 0)
        of_each = np.arange(K * n_own).reshape(K, n_own)
        last = np.arange(K * n_own, len(products))
        order = np.concatenate((of_each[:, 0], of_each[:, 1 : 1 + d].ravel(), of_each[:, 1 + d :].ravel(), last))
        if at.n_weights > K:
            order = np.insert(order, K, 0)  # whatever stands there
        result: Array = products[order[:, None], order]
        if at.n_weights == K:
            return result
        sums = joined(at, within[:, 0], row_weight)
        of_noise = sums - result[:K].sum(axis=0)
        of_noise[K] = sums[K] - of_noise[:K].sum()
        result[K], result[:, K] = of_noise, of_noise
        return result


def expected(at: Coordinates, source: Source, engine: Engine[Any], parameters: Parameters) -> Array:
    """Σ s γ_ik c_ik, (n_components, n_own), in expectation over what parameters leave open of each row.

    These are the moments of a step of EM, in the units of the components at θ = 0.
    """
    model, second = at.model, at.second
    (K, d), spec = model.means.shape, MomentSpec(second)
    anchor = None if source.is_incomplete else model.means  # in float64, and for complete rows as fast as others
    task = StepTask(engine, K, parameters, spec, anchor=anchor)
    moments = task.sum_moments(source).about(model.means)
    assert moments.second is not None, "they were asked for"
    mass, squares = moments.mass[:, None], moments.second
    factors = np.broadcast_to(at.factors, (K, *at.factors.shape[1:]))
    if second is Second.FULL:
        first = np.einsum("kij,kj->ki", factors, moments.first)
        whitened = np.einsum("kil,kjl->kij", np.einsum("kij,kjl->kil", factors, squares), factors)
        rest = (np.diagonal(whitened, axis1=1, axis2=2) - mass) / np.sqrt(2)
        return np.concatenate((mass, first, rest, whitened[:, *below_diagonal(d)]), axis=1)
    n_squares = d if second is Second.TRACE else 1
    rest = (factors**2 * squares.reshape(K, -1) - n_squares * mass) / np.sqrt(2 * n_squares)
    return np.concatenate((mass, factors * moments.first, rest), axis=1)


def joined(at: Coordinates, own: Array, row_weight: float) -> Array:
    """Σ s S_i (n_all,) from the sums of each component (n_components, n_own)."""
    K, d = at.model.means.shape
    mass, of_means, rest = own[:, 0], own[:, 1 : 1 + d], own[:, 1 + d :]
    of_noise = [row_weight - mass.sum()] * (at.n_weights - K)
    rest = rest if at.n_covariances > 1 else rest.sum(axis=0)
    return np.concatenate((mass, of_noise, of_means.ravel(), rest.ravel()))


def slopes(at: Coordinates, source: Source, engine: Engine[Any]) -> Array:
    """∂ Σ s S_i / ∂θ, (n_all, p), by two passes for each coordinate."""
    columns, row_weight = [], source.profile.total_weight
    for point in DIFFERENCE_STEP * np.eye(at.size):
        ends = (expected(at, source, engine, at.at(end).parameters) for end in (point, -point))
        above, below = (joined(at, own, row_weight) for own in ends)
        columns.append((above - below) / (2 * DIFFERENCE_STEP))
    return np.array(columns).reshape(at.size, len(at.jacobian)).T


@dataclass(frozen=True, eq=False)
class Differences:
    """Sums of products of scores over a leaf by differences of log densities, for rows without formulas.

    The numbers of a row are its responsibilities, that of the background, and its score (p,); Σ s of their products,
    and with `has_squares` Σ s² too.

    Parameters
    ----------
    engine : for the rows.
    here : the parameters at θ = 0.
    ends : the parameters at both ends of the difference of each coordinate.
    has_noise : whether there is a background.
    has_squares : whether Σ s² is made too.
    """

    engine: Engine[Any]
    here: Parameters
    ends: list[tuple[Parameters, Parameters]]
    has_noise: bool
    has_squares: bool

    @classmethod
    def at_coordinates(cls, at: Coordinates, engine: Engine[Any], *, has_squares: bool) -> Differences:
        """By all coordinates."""
        steps, model = DIFFERENCE_STEP * np.eye(at.size), at.model
        ends = [(at.at(step).parameters, at.at(-step).parameters) for step in steps]
        return cls(engine, model.parameters, ends, model.noise is not None, has_squares)

    def __call__(self, leaf: Block) -> Sums:
        n_rows = MAX_SCORES // (TILE_ROWS * (len(self.here.means) + self.has_noise + len(self.ends))) * TILE_ROWS
        return reduce(add, map(self._sums, leaf.cut(max(n_rows, TILE_ROWS))))

    def _sums(self, part: Block) -> Sums:
        responsibilities = self.engine.responsibilities(part, self.here).T
        of_noise = [1 - responsibilities.sum(axis=0)] if self.has_noise else []
        log_density = self.engine.log_density
        scores = [(log_density(part, up) - log_density(part, down)) / (2 * DIFFERENCE_STEP) for up, down in self.ends]
        values, weight = np.array([*responsibilities, *of_noise, *scores]), part.weight
        return Sums(squares(self.engine, values, each) for each in [weight, weight**2][: 1 + self.has_squares])


def squares(engine: Engine[Any], scores: Array, weight: Array) -> Array:
    """Σ w x xᵀ of the columns of scores, the same bits on every processor."""
    spec = MomentSpec(Second.FULL)
    block = Block(0, scores.T, weight, assignment=np.zeros(len(weight), np.int32))
    state, anchor = engine.open(block, spec, 1), np.zeros((1, len(scores)))
    second = engine.step(block, state, None, spec, Rule.ASSIGNMENT, anchor).second
    assert second is not None, "they were asked for"
    return second[0]
