"""The reference engine in NumPy, with which tests compare all other engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import AssignmentRule, Block, MomentSpec, Second
from numpy.typing import NDArray
from reference_philox import Words32, label_uniforms, philox, philox_counter, words_to_uniform

from gaussmix._src.engines import joint
from gaussmix._src.engines.base import NEGLIGIBLE_NATS, PassContext
from gaussmix._src.engines.complete.distant import correct_distant_rows, distant_rows, split_block, sum_distant_rows
from gaussmix._src.interfaces.block import BlockState, RowStatistics
from gaussmix._src.interfaces.moments import BlockMoments, Moments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.numerics.arrays import Array, pieces
from gaussmix._src.numerics.elementary import exponential, log

CHUNK_ROWS = 8_190  # maximum number of rows in temporary arrays (n_rows, n_components)


class OneStep:
    """Base class of engines without EM steps in the C++ core, so that the loop in Python runs every step."""

    is_truncated = False

    def supports_core_steps(self, *arguments: object, has_noise: bool = False) -> bool:
        return False

    def fit_many(self, *arguments: object) -> None:
        return None


@dataclass(frozen=True)
class ReferenceEngine(OneStep):
    """Engine that evaluates the formulas in the docstring of `BlockMoments` as direct sums about the anchor."""

    n_threads = 1

    @property
    def complete_engine(self) -> ReferenceEngine:
        return self

    def prepare(self, statistics: RowStatistics, spec: MomentSpec, find_spread: Callable[[], Spread]) -> PassContext:
        return PassContext(statistics.n_rows)

    def begin_pass(self, context: Any, parameters: Parameters | None) -> Any:
        return context

    def make_state(self, block: Block, n_components: int) -> BlockState:
        return BlockState(n_components)

    def step(
        self,
        block: Block,
        state: BlockState,
        parameters: Parameters | None,
        spec: MomentSpec,
        rule: AssignmentRule = AssignmentRule.SOFT,
        anchor: Array | None = None,
        context: PassContext | None = None,
    ) -> BlockMoments:
        if anchor is None:
            anchor = np.zeros((state.n_components, block.rows.shape[1])) if parameters is None else parameters.means
        return block.sum_of(lambda leaf: self._sum_leaf(leaf, parameters, spec, rule, anchor))

    def _sum_leaf(
        self, leaf: Block, parameters: Parameters | None, spec: MomentSpec, rule: AssignmentRule, anchor: Array
    ) -> BlockMoments:
        n_components = len(anchor)
        total = _moments(np.zeros(anchor.shape), np.zeros((0, n_components)), (0.0, 0.0, 0.0), anchor, spec)
        for part in leaf.split(CHUNK_ROWS):
            resp, noise_mass, log_density = _responsibilities(part, parameters, rule, n_components)
            weight = part.weight
            if (
                rule is AssignmentRule.SOFT
                and parameters is not None
                and (log_density[weight > 0] < parameters.distant_limit).any()
            ):
                places = distant_rows(leaf, parameters, self.log_density)
                if places.size:
                    near, far = split_block(leaf, places)
                    sums = self._sum_leaf(near, parameters, spec, rule, anchor)
                    return sums + sum_distant_rows(far, self, parameters, spec, anchor)
            rows = part.rows.astype(np.float64)
            totals = float(weight @ log_density), part.total_weight, float(weight @ noise_mass)
            total += _moments(rows, weight[:, None] * resp, totals, anchor, spec)
        return total

    def finish(
        self, sums: BlockMoments, parameters: Parameters | None, spec: MomentSpec, context: PassContext | None = None
    ) -> Moments:
        return Moments.from_sums(sums)

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        return joint.joint_log_density(self.component_log_density(block, parameters), block, parameters)

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        log_joint = np.empty((block.n_rows, len(parameters.means)))
        for part in block.split(CHUNK_ROWS):
            first = part.first_row - block.first_row
            log_joint[first : first + part.n_rows] = _log_joint(part, parameters)
        return log_joint

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        resp = joint.joint_responsibilities(self.component_log_density(block, parameters), block, parameters)
        return correct_distant_rows(resp, block, parameters, self.log_density)

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        best = joint.joint_labels(self.component_log_density(block, parameters), block, parameters)
        return correct_distant_rows(best, block, parameters, self.log_density)

    def draw(
        self, n_rows: int, cumulative: Array, means: Array, whitening: Whitening, key: int
    ) -> tuple[Array, NDArray[np.int64]]:
        rows, labels = np.empty((n_rows, means.shape[1])), np.empty(n_rows, np.int64)
        for part in pieces(rows.shape):
            first, last, _ = part.indices(n_rows)
            labels[part] = cumulative.searchsorted(label_uniforms(key, first, last), side="right")
            drawn = standard_normals(key, first, last, rows.shape[1])
            for k in np.unique(labels[part]):
                mine = labels[part] == k
                rows[part][mine] = means[k] + whitening.colour(int(k), drawn[mine])
        return rows, labels


def _log_joint(block: Block, parameters: Parameters) -> Array:
    """Compute log p(x, k), (n_rows, n_components), including labels and other prior knowledge of the rows."""
    rows, largest = block.rows.astype(np.float64), np.finfo(np.float64).max
    log_joint = np.empty((block.n_rows, len(parameters.means)))
    with np.errstate(over="ignore", invalid="ignore"):
        for k, mean in enumerate(parameters.means):
            whitened = parameters.whitening.whiten(k, rows - mean)
            squared = np.nan_to_num((whitened**2).sum(axis=1), nan=largest, posinf=largest)
            log_joint[:, k] = parameters.log_scale[k] - 0.5 * squared
    prior = block.row_log_prior(len(parameters.means))
    return log_joint if prior is None else log_joint + prior


def _responsibilities(
    block: Block, parameters: Parameters | None, rule: AssignmentRule, n_components: int
) -> tuple[Array, Array, Array]:
    """Compute responsibilities (n_rows, n_components) under a rule, responsibilities of noise, and log p(x)."""
    if parameters is None:
        assert block.assignment is not None
        return joint.one_hot(block.assignment, n_components), np.zeros(block.n_rows), np.zeros(block.n_rows)
    log_joint = joint.add_noise_column(_log_joint(block, parameters), block, parameters)
    if rule is AssignmentRule.HARD:
        resp, log_density = joint.one_hot(log_joint.argmax(axis=1), log_joint.shape[1]), log_joint.max(axis=1)
    else:
        resp, log_density = step_responsibilities(log_joint)
    return resp[:, :n_components], resp[:, n_components:].sum(axis=1), log_density


def _moments(
    rows: Array, resp: Array, totals: tuple[float, float, float], anchor: Array, spec: MomentSpec
) -> BlockMoments:
    """Sum the moments of rows with responsibilities `resp`, (n_rows, n_components).

    `totals` has the log-likelihood, the row weight and the mass of noise.
    """
    n_components, n_features = anchor.shape
    shapes = {Second.NONE: None, Second.TRACE: (), Second.DIAGONAL: (n_features,), Second.FULL: (n_features,) * 2}
    if spec.projection is not None:
        shapes[Second.PROJECTED] = n_features, spec.projection.shape[1] + 1
    first = np.zeros(anchor.shape)
    shape = shapes[spec.second]
    second = None if shape is None else np.zeros((n_components, *shape))
    for k in range(n_components if len(resp) else 0):
        offsets = np.where(resp[:, k, None] > 0, rows - anchor[k], 0.0)  # so that 0 × ∞ is 0
        first[k] = resp[:, k] @ offsets
        if second is None:
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            if spec.second is Second.FULL:
                second[k] = (resp[:, k, None] * offsets).T @ offsets
            elif spec.projection is not None:
                projected = offsets @ spec.projection[k if len(spec.projection) > 1 else 0].T
                second[k, :, :-1] = (resp[:, k, None] * offsets).T @ projected
                second[k, :, -1] = resp[:, k] @ offsets**2
            else:
                squares = resp[:, k] @ offsets**2
                second[k] = squares.sum() if spec.second is Second.TRACE else squares
    if second is not None and spec.is_pooled:
        second = second.sum(axis=0)
    log_likelihood, row_weight, noise_mass = totals
    mass = resp.sum(axis=0)
    return BlockMoments(mass, first, second, anchor, log_likelihood, row_weight, spec, noise_mass=noise_mass)


def step_responsibilities(log_joint: Array) -> tuple[Array, Array]:
    """Compute the responsibilities of `step`, in which ones below `NEGLIGIBLE_NATS` are 0, and log p(x) of each row."""
    largest = log_joint.max(axis=1, keepdims=True)
    relative = log_joint - largest
    kept = np.where(relative > -NEGLIGIBLE_NATS, exponential(relative), 0.0)
    total = kept.sum(axis=1, keepdims=True)
    return kept / total, (largest + log(total))[:, 0]


def standard_normals(key: int, first: int, last: int, n_features: int) -> Array:
    """Draw standard normal numbers for rows first..last-1, (n_rows, n_features), two per call of Philox."""
    rows = np.arange(first, last, dtype=np.uint64)
    normals = np.empty((last - first, n_features + n_features % 2))
    for i in range(0, n_features, 2):
        normals[:, i : i + 2] = box_muller(philox(philox_counter(rows, i // 2, 0), key))
    return normals[:, :n_features]


def box_muller(words: tuple[Words32, Words32, Words32, Words32]) -> Array:
    """Compute √(−2 log u) (cos 2πv, sin 2πv), (…, 2), from words for u in (0, 1] and v in [0, 1).

    The method is from Box & Muller (1958), AMS 29.
    """
    a, b, c, d = words
    radius = np.sqrt(-2.0 * np.log(words_to_uniform(a, b) + 2.0**-53))
    turns = 4.0 * words_to_uniform(c, d)  # in quarter turns, so that subtracting whole numbers is exact
    quarter = np.rint(turns)
    angle = np.pi / 2 * (turns - quarter)
    cosine, sine = np.cos(angle), np.sin(angle)
    which = quarter.astype(np.int64) % 4
    return np.stack(
        [
            radius * np.choose(which, [cosine, -sine, -cosine, sine]),
            radius * np.choose(which, [sine, cosine, -sine, -cosine]),
        ],
        axis=-1,
    )
