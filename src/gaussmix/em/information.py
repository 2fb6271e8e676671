"""The gradient and the observed information of the objective at a model, and what they say: how far is the maximum."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from gaussmix.em.coordinates import Coordinates, NotSmooth, pairs
from gaussmix.em.objective import Objective, Ridge
from gaussmix.em.posterior import Posterior
from gaussmix.em.trace import Trace
from gaussmix.engines.base import NEGLIGIBLE, Engine
from gaussmix.errors import SingularCovariance
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.contract import contract
from gaussmix.numerics.factorise import factorise
from gaussmix.sources.base import Source
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import Sums, Tree
from gaussmix.waist.need import Need, Rule, Second
from gaussmix.waist.parameters import Parameters

TRUSTED = 0.25  # Newton's step may gain this part more or less than it promises
ROUNDING = (
    1e-8  # nats per unit of row weight: rounding, and what is not exact in the cost of a ridge, hide smaller gains
)
FURTHEST = 3.0  # the longest step of a mean or a log variance, in units of the component
# Costs in products of the core: the work in NumPy for each score of a row, and of a pass however few its rows are.
OF_SCORE, OF_PASS = 120, 10**7
SHARE_OF_FIT = 0.1  # of the cost of a fit: information that costs at most this part is found without being asked for

MOST_NUMBERS = 2**20  # scores that are held at a time, 8 MB
MOST_COORDINATES = 4_000  # the information of more has 128 MB
TILE_ROWS = 144  # rows of the core's tiles; parts end at the end of a tile
SMALLEST_SHARE = float(np.exp(-NEGLIGIBLE))  # engines count smaller responsibilities as 0


@dataclass(frozen=True, eq=False)
class Information:
    """The gradient g and the observed information I = −∂²/∂θ² of the objective, per unit of row weight, at θ = 0.

    Louis (1982), Journal of the Royal Statistical Society B 44, eq. 3.2': I = Σ_i [E(B_i) − E(S_i S_iᵀ) + E S_i E S_iᵀ]
    with the score S_i and the information B_i of row i and its component, in expectation over the component.

    A ridge counts as a prior with the masses of this model: then g = 0 where EM with the ridge ends. It is not exact,
    because the masses move too; the error is as small as the ridge beside the variances.

    The score of row i is the gradient of log p(x_i) and of its parts of the ridge and the prior: the term of the ridge
    belongs to the rows by responsibility, that of the prior to all rows alike. With row weights s, g = Σ s score / Σ s.

    Parameters
    ----------
    coordinates : θ.
    gradient : (p,).
    matrix : (p, p).
    outer : (p, p), Σ s score scoreᵀ / Σ s where the weights count rows, so that s equal rows are one row of weight s;
        Σ s² score scoreᵀ / Σ s where each weight belongs to one row. With the second, I⁻¹ outer I⁻¹ / Σ s is the
        covariance of θ for either meaning: White (1982), Econometrica 50, theorem 3.2.
    """

    coordinates: Coordinates
    gradient: Array
    matrix: Array
    outer: Array

    @classmethod
    def of(
        cls,
        model: Model,
        objective: Objective,
        trace: Trace,
        source: Source,
        engine: Engine[Any],
        *,
        are_counts: bool = True,
    ) -> Information:
        """Make one pass over the rows; `are_counts` says what row weights are; raises `NotSmooth` without a formula."""
        if source.is_incomplete:
            raise NotSmooth("rows have missing cells or measurement errors")
        coordinates = Coordinates.of(model, objective, trace)
        if len(coordinates.jacobian) > MOST_COORDINATES:
            raise NotSmooth(f"a mixture of this size has more than {MOST_COORDINATES:,} parameters")
        with np.errstate(over="ignore", invalid="ignore"):  # then the information is not positive definite
            are_alike = are_counts or source.profile.largest_weight is None
            between, within, *squared = source.map_merge(_Scores(engine, coordinates, has_squares=not are_alike))
            row_weight = source.profile.total_weight
            return _information(coordinates, objective, between, within, [between, *squared][-1], row_weight)

    @property
    def newton(self) -> tuple[Array, float] | None:
        """Newton's step to the maximum (p,), and the gain it promises, ½ gᵀ I⁻¹ g, nats per unit of row weight.

        None where I is not positive definite to working precision: at a saddle, or on a ridge without an end.
        """
        if not self.gradient.size:
            return self.gradient, 0.0
        factors, _, failed = factorise(self.matrix[None])
        if failed.any():
            return None
        whitened = contract("ij,j->i", factors[0], self.gradient)
        step = contract("ji,j->i", factors[0], whitened)
        return step, 0.5 * float((whitened**2).sum())


@dataclass(frozen=True)
class Standing:
    """How a model stands to a maximum of the objective.

    Parameters
    ----------
    is_maximum : whether one is so near that Newton's step reaches it. False at a saddle, on a ridge, and where the
        model is still far. None if that is not known.
    remaining_gain : what the objective gains on the way there, nats per unit of row weight; only near a maximum.
    changing_labels : share of the row weight whose most probable component is another one there; only near a maximum.
    why_not : why it is not known, as the end of a sentence; empty if it is known, or was not asked for.
    """

    is_maximum: bool | None = None
    remaining_gain: float | None = None
    changing_labels: float | None = None
    why_not: str = ""

    @classmethod
    def of(cls, model: Model, objective: Objective, trace: Trace, source: Source, engine: Engine[Any]) -> Standing:
        """Make two passes over the rows.

        The gain is ½ gᵀ I⁻¹ g, Newton's decrement. It counts only if a pass at the end of Newton's step finds as much:
        where the objective is no parabola on the way there, the decrement may be wrong by any factor.
        """
        try:
            information = Information.of(model, objective, trace, source, engine)
        except NotSmooth as error:
            return cls(why_not=str(error))
        found = information.newton
        if found is None:
            return cls(False)
        step, gain = found
        changes = contract("ap,p->a", information.coordinates.jacobian, step)
        if np.abs(changes[information.coordinates.n_weights :]).max(initial=0.0) > FURTHEST:
            return cls(False)
        end = objective.feasible(information.coordinates.at(step))
        try:
            task = _Compared(engine, model.parameters, end.parameters)
        except SingularCovariance:
            return cls(False)
        before, after, changed, total = source.map_merge(task)
        risen = after - before + objective.log_prior(end) - objective.log_prior(model)
        risen = risen / total - (objective.cost(end) - objective.cost(model))
        if abs(risen - gain) > TRUSTED * gain + ROUNDING:
            return cls(False)
        return cls(True, gain, changed / total)


def is_cheap(model: Model, n_rows: int, n_steps: int) -> bool:
    """Whether `Standing.of` costs at most a tenth of a fit of so many steps, by counting products."""
    K, d = model.means.shape
    second, is_shared = model.covariances.second, model.covariances.is_shared
    n_b = {Second.TRACE: 1, Second.DIAGONAL: d}.get(second, d * (d + 1) // 2)
    n_all, n_own = K + K * d + (1 if is_shared else K) * n_b, 1 + d + n_b
    of_row = n_all**2 / 2 + K * n_own * (n_own / 2 + OF_SCORE)
    of_matrix = (0.3 if is_shared else 0.75) * d * (d + 1)  # as measured
    of_step = K * (20 + (of_matrix if second is Second.FULL else 2 * d))
    return bool(n_rows * of_row + n_all**3 + OF_PASS <= SHARE_OF_FIT * n_steps * n_rows * of_step)


@dataclass(frozen=True)
class _Compared:
    """The task that compares two mixtures: Σ s log p(x) of both, and the weight of rows with another label."""

    engine: Engine[Any]
    first: Parameters
    second: Parameters

    @property
    def key(self) -> Hashable:
        return "compared", self.engine

    def open(self, block: Block) -> None:
        """Nothing is kept."""

    def call(self, block: Block, state: None) -> Sums:
        tree = Tree[Sums]()
        for leaf in block.cut():
            weight = np.ones(leaf.n_rows) if leaf.row_weight is None else leaf.row_weight
            sides = self.first, self.second
            heights = [float((weight * self.engine.log_density(leaf, side)).sum()) for side in sides]
            labels = [self.engine.labels(leaf, side) for side in sides]
            changed = float(weight[labels[0] != labels[1]].sum())
            tree.add(Sums((*heights, changed, leaf.total_weight)))
        return tree.total


@dataclass(frozen=True, eq=False)
class _Scores:
    """The task that sums products of scores: Σ s S_i S_iᵀ, and of each component Σ s γ_ik c_ik c_ikᵀ.

    The scores of a component are c = (1, z, the products of z), z = W_k (x − μ_k), and S_i holds γ_ik c_ik of all. An
    engine sums their products as it sums the second moments of rows. With `has_squares` also Σ s² S_i S_iᵀ.
    """

    engine: Engine[Any]
    coordinates: Coordinates
    has_squares: bool = False

    @property
    def key(self) -> Hashable:
        return "information", self.engine

    def open(self, block: Block) -> None:
        """Nothing is kept."""

    def call(self, block: Block, state: None) -> Sums:
        tree, n_all = Tree[Sums](), len(self.coordinates.jacobian)
        n_rows = max(1, MOST_NUMBERS // (TILE_ROWS * n_all)) * TILE_ROWS
        for leaf in block.cut():
            tree.add(reduce(add, map(self._sums, leaf.cut(n_rows))))
        return tree.total

    def _sums(self, part: Block) -> Sums:
        at, model = self.coordinates, self.coordinates.model
        K, d = model.means.shape
        shares = np.ascontiguousarray(self.engine.responsibilities(part, model.parameters).T)
        shares[shares <= SMALLEST_SHARE] = 0.0
        columns = np.ascontiguousarray(part.rows.T, dtype=np.float64)  # a column is contiguous here, and so are scores
        scores = np.zeros((len(at.jacobian), part.n_rows))
        scores[:K] = shares
        if model.noise is not None:
            scores[K] = np.maximum(0.0, 1 - shares.sum(axis=0))
        weight = np.ones(part.n_rows) if part.row_weight is None else part.row_weight
        within = []
        for k, share in enumerate(shares):
            own = self._scores_of(k, np.where(share > 0, columns - model.means[k, :, None], 0.0))
            within.append(self._products(own, weight * share))
            first = at.n_weights + k * d
            scores[first : first + d] = share * own[1 : 1 + d]
            n_b = len(own) - 1 - d
            first = at.n_weights + K * d + (k * n_b if at.n_covariances > 1 else 0)
            scores[first : first + n_b] += share * own[1 + d :]
        weights = [weight, weight**2] if self.has_squares else [weight]
        between, *squared = (self._products(scores, each) for each in weights)
        return Sums((between, np.array(within), *squared))

    def _scores_of(self, component: int, offsets: Array) -> Array:
        """(1, z, ½ (zᵀ E_b z − tr E_b)) of each row, (n_own, n_rows), from offsets (n_features, n_rows)."""
        second, (d, n) = self.coordinates.model.covariances.second, offsets.shape
        n_b = {Second.TRACE: 1, Second.DIAGONAL: d}.get(second, d * (d + 1) // 2)
        scores = np.empty((1 + d + n_b, n))
        scores[0], whitened, rest = 1.0, scores[1 : 1 + d], scores[1 + d :]
        self.coordinates.whiten_columns(component, offsets, whitened)
        if second is Second.TRACE:
            rest[0] = ((whitened**2).sum(axis=0) - d) / np.sqrt(2 * d)
            return scores
        rest[:d] = (whitened**2 - 1) / np.sqrt(2)
        for i in range(1, d if second is Second.FULL else 0):  # in the order of `pairs`
            first = d + i * (i - 1) // 2
            np.multiply(whitened[i], whitened[:i], out=rest[first : first + i])
        return scores

    def _products(self, scores: Array, weight: Array) -> Array:
        """Σ w x xᵀ of the columns of scores, the same bits on every processor."""
        need = Need(Second.FULL)
        block = Block(0, scores.T, weight, given=np.zeros(len(weight), np.int32))
        state, anchor = self.engine.open(block, need, 1), np.zeros((1, len(scores)))
        second = self.engine.step(block, state, None, need, Rule.GIVEN, anchor).second
        assert second is not None, "they were asked for"
        products: Array = second[0]
        return products


def _information(
    at: Coordinates, objective: Objective, between: Array, within: Array, outer: Array, row_weight: float
) -> Information:
    """The information from the sums of the pass."""
    model, mass = at.model, within[:, 0, 0]
    K, d = model.means.shape
    n_weights, n_b = at.n_weights, within.shape[1] - 1 - d
    of_all, gradient, of_turns = np.array(between), np.zeros(len(between)), np.zeros((at.size, at.size))
    gradient[:K] = mass
    if n_weights > K:
        gradient[K] = row_weight - mass.sum()
        of_all[K, K] -= gradient[K]
    for k, scatter in enumerate(_scatters(at, objective, within)):
        first = n_weights + K * d + (k * n_b if at.n_covariances > 1 else 0)
        means, covariances = np.arange(n_weights + k * d, n_weights + (k + 1) * d), np.arange(first, first + n_b)
        places = np.concatenate(([k], means, covariances))
        of_all[places[:, None], places] -= within[k]
        of_all[means, means] += scatter.mass
        crossed = contract("bij,j->ib", at.basis, scatter.first)
        of_all[means[:, None], covariances] += crossed
        of_all[covariances[:, None], means] += crossed.T
        gradient[means] += scatter.first
        gradient[covariances] += scatter.pull(at.basis)
        if at.angles is None or at.variances is None:
            of_all[covariances[:, None], covariances] += _straight(at.basis, scatter.second)
        else:
            turned = np.concatenate((at.jacobian[covariances[:d]], at.angles[k]))
            of_turns += _within(_turned(scatter.second, at.variances[k]), turned)
    matrix, slope = _within(of_all, at.jacobian) + of_turns, contract("ap,a->p", at.jacobian, gradient)
    concentration = objective.shares.concentration if isinstance(objective, Posterior) else 0.0
    weights = model.weights if model.noise is None else np.append(model.weights, model.noise.weight)
    for group in at.groups:
        mine, columns = group.members, group.columns
        believed = np.broadcast_to(concentration, K)[mine] if group.has_prior else np.zeros(len(mine))
        moved, own = at.jacobian[mine, columns], weights[mine] / weights[mine].sum()
        count = float(gradient[mine].sum() + believed.sum())
        matrix[columns, columns] += count * contract("kp,kq->pq", moved, moved * own[:, None])
        slope[columns] += contract("kp,k->p", moved, believed)
    change = _of_score(at, objective)
    rest = slope - contract("ap,a->p", change, between[:, :n_weights].sum(axis=1))  # of the prior
    change[:n_weights] += rest / row_weight
    outer = _within(outer, change) / row_weight
    return Information(at, slope / row_weight, 0.5 * (matrix + matrix.T) / row_weight, 0.5 * (outer + outer.T))


def _of_score(at: Coordinates, objective: Objective) -> Array:
    """The matrix (n_all, p) that makes the score of a row of S_i, without that of a prior.

    The numbers of S_i that are of weights sum to 1, so they carry what is alike for all rows of a component.
    """
    change, d = np.array(at.jacobian), at.model.n_features
    ridge = np.diag(np.sqrt(objective.ridge)) if isinstance(objective, Ridge) else np.zeros((d, d))
    before, n_b = at.n_weights + at.model.means.size, len(at.basis)
    for k in range(at.model.n_components):
        pulls = 0.5 * contract("bi,i->b", at.basis.reshape(n_b, -1), _squares(at.whiten(k, ridge)).ravel())
        first = before + (k * n_b if at.n_covariances > 1 else 0)
        change[k] += contract("b,bp->p", pulls, at.jacobian[first : first + n_b])
    return change


@dataclass(frozen=True, eq=False)
class _Scatter:
    """What the rows, the prior and the ridge say of a component: −½ [A log|exp B| + Σ (z − a)ᵀ exp(−B) (z − a)].

    Parameters
    ----------
    mass : the weight of the z that pull at the mean.
    first : Σ z, (n_features,), of these.
    second : Σ z zᵀ, (n_features, n_features), of all.
    degrees : A.
    """

    mass: float
    first: Array
    second: Array
    degrees: float

    def pull(self, basis: Array) -> Array:
        """The gradient by the coordinates of B, (n_b,)."""
        of_rows = contract("bi,i->b", basis.reshape(len(basis), -1), self.second.ravel())
        gradient: Array = 0.5 * (of_rows - self.degrees * np.trace(basis, axis1=1, axis2=2))
        return gradient


def _scatters(at: Coordinates, objective: Objective, within: Array) -> list[_Scatter]:
    """The scatters of all components."""
    model, found = at.model, list[_Scatter]()
    d, second = model.n_features, model.covariances.second
    prior = objective.prior if isinstance(objective, Posterior) else None
    ridge = np.diag(np.sqrt(objective.ridge)) if isinstance(objective, Ridge) else np.zeros((d, d))
    for k, sums in enumerate(within):
        mass, first, of_rows = float(sums[0, 0]), sums[0, 1 : 1 + d], sums[0, 1 + d :]
        degrees = pulled = mass
        if second is Second.TRACE:
            squares = (np.sqrt(2 / d) * of_rows + mass) * np.eye(d)
        else:
            squares = np.diag(np.sqrt(2) * of_rows[:d] + mass)
        if second is Second.FULL:
            rows, columns = pairs(d)
            squares[rows, columns] = squares[columns, rows] = of_rows[d:]
        if prior is not None:
            degrees += prior.degrees(model.n_components)
            pulled += prior.shrinkage
            towards = at.whiten(k, (prior.mean - model.means[k])[None])
            first = first + prior.shrinkage * towards[0]
            squares = squares + prior.shrinkage * towards.T * towards
            if k == 0 or at.n_covariances > 1:
                squares = squares + _squares(at.whiten(k, prior.roots(d)))
        squares = squares + degrees * _squares(at.whiten(k, ridge))
        if second is Second.TRACE:
            squares = np.trace(squares) / d * np.eye(d)
        elif second is Second.DIAGONAL:
            squares = np.diag(np.diagonal(squares))
        found.append(_Scatter(pulled, first, squares, degrees))
    return found


def _squares(rows: Array) -> Array:
    return contract("ni,nj->ij", rows, rows)


def _within(matrix: Array, jacobian: Array) -> Array:
    """Jᵀ M J; most columns of J have one number that is not 0."""
    return _times(_times(matrix, jacobian).T, jacobian)


def _times(matrix: Array, jacobian: Array) -> Array:
    """M J."""
    counts, product = (jacobian != 0).sum(axis=0), np.empty((len(matrix), jacobian.shape[1]))
    single, several = np.flatnonzero(counts == 1), np.flatnonzero(counts != 1)
    places = (jacobian[:, single] != 0).argmax(axis=0)
    product[:, single] = matrix[:, places] * jacobian[places, single]
    used = np.flatnonzero((jacobian[:, several] != 0).any(axis=1))
    product[:, several] = contract("ab,bq->aq", matrix[:, used], jacobian[used[:, None], several])
    return product


def _straight(basis: Array, second: Array) -> Array:
    """The second derivatives of ½ Σ zᵀ exp(−B) z by the coordinates of B: ½ tr(E_b E_c S), made symmetric."""
    n_b = len(basis)
    moved = contract("bij,jk->bik", basis, second).reshape(n_b, -1)
    halves = 0.5 * contract("bi,ci->bc", moved, basis.reshape(n_b, -1))  # E_c is symmetric
    return 0.5 * (halves + halves.T)


def _turned(second: Array, variances: Array) -> Array:
    """The same by the diagonal of B, and by the rotation Ω of the axes (i > j).

    Σ⁻¹ is e^Ω V⁻¹ e^(−t) e^(−Ω) along the axes; its terms of second order are those of ½ [Ω, [Ω, V⁻¹]] − [Ω, V⁻¹ t] +
    ½ V⁻¹ t², t = √2 times the diagonal.
    """
    d = len(second)
    rows, columns = pairs(d)
    n, roots = len(rows), np.sqrt(variances / variances.max())
    scatter, inverse, each = second * roots[:, None] * roots, 1 / roots**2, np.arange(n)
    turns = np.zeros((n, d, d))
    turns[each, rows, columns], turns[each, columns, rows] = 1.0, -1.0
    found = np.zeros((d + n, d + n))
    found[np.arange(d), np.arange(d)] = np.diagonal(second)
    crossed = np.sqrt(2) * scatter[rows, columns]
    found[d + each, rows], found[d + each, columns] = crossed * inverse[rows], -crossed * inverse[columns]
    found[:d, d:] = found[d:, :d].T
    first = contract("ij,bjk->bik", scatter * (inverse[:, None] + inverse), turns)
    middle = contract("ij,bjk->bik", scatter, turns) * inverse
    halves = -0.5 * contract("bi,ci->bc", (first - 2 * middle).reshape(n, -1), turns.reshape(n, -1))
    found[d:, d:] = 0.5 * (halves + halves.T)
    return found
