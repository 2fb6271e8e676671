"""Sums of the scores of rows, computed by formulas in one pass, or by numerical differences of the sums of EM steps."""

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
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec, Second
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array, below_diagonal
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.waiting import check_time

MAX_SCORES = 2**20  # maximum number of scores in memory at a time (8 MB)
# Step length of central differences, chosen so that truncation errors and rounding errors are about equal.
DIFFERENCE_STEP = 1e-4


@dataclass(frozen=True, eq=False)
class ScoreProducts:
    """Function that sums, over the rows i of a leaf, s S_i S_iᵀ and, for each component k, s γ_ik c_ik c_ikᵀ.

    For row i, s is the weight, γ_ik is the responsibility of component k, and the scores for component k are c_ik = (1,
    z, products of z), with z = W_k (x_i − μ_k). The vector S_i contains γ_ik c_ik for all components, in the order of
    the rows of the Jacobian. An engine sums products of scores in the same way as second moments. If `has_squares` is
    true, Σ s² S_i S_iᵀ is also computed.
    """

    engine: Engine[Any]
    coordinates: Coordinates
    has_squares: bool = False

    def __call__(self, leaf: Block) -> Sums:
        coords, weight, result = self.coordinates, leaf.row_weight, list[Array]()
        factors = coords.whitening_factors
        if factors.ndim < 3:
            factors = np.broadcast_to(factors, (len(factors), coords.model.n_features))[:, None]
        squared = [replace(leaf, row_weight=weight**2)] if self.has_squares and weight is not None else []
        for part in [leaf, *squared]:
            between, within = self.engine.score_products(part, coords.model.parameters, factors, coords.covariance_form)
            result += [self._with_noise(between, within, part.total_weight), within]
        return Sums(result[:3])

    def _with_noise(self, products: Array, component_products: Array, total_weight: float) -> Array:
        """Insert the noise component, if there is one, after the components in an engine's products of scores.

        The entries of S_i for weights are responsibilities with sum 1. Therefore, the products of the noise component
        follow from all other products.
        """
        coords = self.coordinates
        K = coords.model.n_components
        if coords.n_weights == K:
            return products
        result: Array = np.insert(np.insert(products, K, 0.0, axis=0), K, 0.0, axis=1)
        sums = total_score(coords, component_products[:, 0], total_weight)
        noise_products = sums - result[:K].sum(axis=0)
        noise_products[K] = sums[K] - noise_products[:K].sum()
        result[K], result[:, K] = noise_products, noise_products
        return result


def expected_scores(coords: Coordinates, source: Source, engine: Engine[Any], parameters: Parameters) -> Array:
    """Return Σ s γ_ik c_ik, (n_components, n_own), in expectation over the missing values of each row.

    The sums are the moments of an EM step, whitened with the factors W_k of the model at θ = 0. Inside `cut_in_time`,
    `TimeIsOver` is raised if `max_time` has passed.
    """
    check_time()
    model, second = coords.model, coords.covariance_form
    (K, d), spec = model.means.shape, MomentSpec(second)
    # For complete rows, passing the reference points `anchor` takes no additional time.
    anchor = None if source.is_incomplete else model.means
    task = StepTask(engine, K, parameters, spec, anchor=anchor)
    moments = task.sum_moments(source).about(model.means)
    assert moments.second is not None, "second moments were requested"
    mass, squares = moments.mass[:, None], moments.second
    factors = np.broadcast_to(coords.whitening_factors, (K, *coords.whitening_factors.shape[1:]))
    if second is Second.FULL:
        first = np.einsum("kij,kj->ki", factors, moments.first)
        whitened = np.einsum("kil,kjl->kij", np.einsum("kij,kjl->kil", factors, squares), factors)
        rest = (np.diagonal(whitened, axis1=1, axis2=2) - mass) / np.sqrt(2)
        return np.concatenate((mass, first, rest, whitened[:, *below_diagonal(d)]), axis=1)
    n_squares = d if second is Second.TRACE else 1
    rest = (factors**2 * squares.reshape(K, -1) - n_squares * mass) / np.sqrt(2 * n_squares)
    return np.concatenate((mass, factors * moments.first, rest), axis=1)


def total_score(coords: Coordinates, score_sums: Array, total_weight: float) -> Array:
    """Assemble Σ s S_i, (n_all,), from the score sums of the components, (n_components, n_own)."""
    K, d = coords.model.means.shape
    mass, mean_sums, rest = score_sums[:, 0], score_sums[:, 1 : 1 + d], score_sums[:, 1 + d :]
    noise_sum = [total_weight - mass.sum()] * (coords.n_weights - K)
    rest = rest if coords.n_covariances > 1 else rest.sum(axis=0)
    return np.concatenate((mass, noise_sum, mean_sums.ravel(), rest.ravel()))


def score_slopes(coords: Coordinates, source: Source, engine: Engine[Any]) -> Array:
    """Return the derivatives of the total score Σ s S_i with respect to θ, (n_all, p), in two passes per coordinate."""
    columns, row_weight = [], source.row_totals.total_weight
    for point in DIFFERENCE_STEP * np.eye(coords.n_parameters):
        ends = (expected_scores(coords, source, engine, coords.model_at(end).parameters) for end in (point, -point))
        above, below = (total_score(coords, own, row_weight) for own in ends)
        columns.append((above - below) / (2 * DIFFERENCE_STEP))
    return np.array(columns).reshape(coords.n_parameters, len(coords.jacobian)).T


@dataclass(frozen=True, eq=False)
class NumericalScores:
    """Function that sums products of scores over a leaf by numerical differences, if scores have no formulas.

    The values x of a row are its responsibilities, the responsibility of the noise component, and its score (p,). With
    the row weights s, the result is Σ s x xᵀ and, if `has_squares` is true, also Σ s² x xᵀ.

    Parameters
    ----------
    engine : engine that computes densities and responsibilities.
    parameters : parameters of the model at θ = 0.
    step_parameters : for each coordinate, the parameters at both ends of the central difference.
    has_noise : whether the mixture has a noise component.
    has_squares : whether sums with weights s² are also computed.
    """

    engine: Engine[Any]
    parameters: Parameters
    step_parameters: list[tuple[Parameters, Parameters]]
    has_noise: bool
    has_squares: bool

    @classmethod
    def at_coordinates(cls, coords: Coordinates, engine: Engine[Any], *, has_squares: bool) -> NumericalScores:
        """Make the parameters for central differences in all coordinates."""
        steps, model = DIFFERENCE_STEP * np.eye(coords.n_parameters), coords.model
        ends = [(coords.model_at(step).parameters, coords.model_at(-step).parameters) for step in steps]
        return cls(engine, model.parameters, ends, model.noise is not None, has_squares)

    def __call__(self, leaf: Block) -> Sums:
        n_values = len(self.parameters.means) + self.has_noise + len(self.step_parameters)
        return reduce(add, map(self._sums, leaf.split_by_values(n_values, MAX_SCORES)))

    def _sums(self, block: Block) -> Sums:
        responsibilities = self.engine.responsibilities(block, self.parameters).T
        noise_responsibilities = [1 - responsibilities.sum(axis=0)] if self.has_noise else []
        log_density, step = self.engine.log_density, 2 * DIFFERENCE_STEP
        scores = [(log_density(block, up) - log_density(block, down)) / step for up, down in self.step_parameters]
        values, weight = np.array([*responsibilities, *noise_responsibilities, *scores]), block.weight
        return Sums(weighted_gram(self.engine, values, each) for each in [weight, weight**2][: 1 + self.has_squares])


def weighted_gram(engine: Engine[Any], scores: Array, weight: Array) -> Array:
    """Return the sum of w x xᵀ over the columns x of `scores` with weights w, bit-identical on every processor."""
    spec = MomentSpec(Second.FULL)
    block = Block(0, scores.T, weight, assignment=np.zeros(len(weight), np.int32))
    state, anchor = engine.make_state(block, 1), np.zeros((1, len(scores)))
    second = engine.step(block, state, None, spec, AssignmentRule.ASSIGNMENT, anchor).second
    assert second is not None, "second moments were requested"
    return second[0]
