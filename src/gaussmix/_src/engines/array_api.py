"""The engine of rows on a device: sums and densities by matrix products of their array library.

With φ(y) = (y_i y_j, y, 1), log p(y, k) = φ(y) · θ_k, and γᵀ φ are the sums of a step, so that a pass is two products
and reads n (D + K) numbers in place of n K d. The rows y are measured from their mean, in units of their spread. If
components are narrow compared with the spread, products lose digits. Then the engine takes differences from each mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.base import NEGLIGIBLE_NATS, NOISE_LABEL
from gaussmix._src.engines.calls import PackedPrior
from gaussmix._src.engines.complete.engine import CompleteEngine, OrderedContext
from gaussmix._src.engines.joint import one_hot
from gaussmix._src.interfaces.algebra import Algebra
from gaussmix._src.interfaces.block import Block, BlockState
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec, Second
from gaussmix._src.interfaces.moments import BlockMoments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.base import FactorShape
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.device_array import DeviceArray, to_host

MAX_ERROR = 1e-9  # nats: if products could be wrong by more, components take differences
MAX_ERROR_PER_EPS = 1e4  # the limit on devices that have no float64, times the precision of float32
MAX_SQUARE = float(np.finfo(np.float32).max)  # a squared distance that overflows counts as this one
MAX_VALUES = 2**26  # values that a pass makes at a time, 512 MB in float64
MAX_CORRELATION_LOSS = 1e-6  # relative variance that the scale of nearly dependent features has at least


class Frame(NamedTuple):
    """Coordinates y = S⁻¹ (x − c) in which rows have a spread of about 1.

    Parameters
    ----------
    centre : c, (n_features,), data units.
    deviations : (n_features,), data units; S is the diagonal of these for structures without correlations.
    scale : S for other structures, (n_features, n_features), lower triangular.
    reach : the largest |y| of a row.
    """

    centre: Array
    deviations: Array
    scale: Array
    reach: float

    @property
    def inverse(self) -> Array:
        """S⁻ᵀ, by which offsets of rows are multiplied from the right."""
        return np.asarray(np.linalg.inv(self.scale).T, dtype=np.float64)

    @classmethod
    def from_block(cls, block: Block) -> Frame:
        """Measure the rows of a block on their device."""
        rows: Any = block.rows
        xp, n_features = rows.namespace, rows.shape[1]

        def sum_leaf(leaf: Any) -> Sums:
            offsets = leaf.rows.as_doubles() - centre
            return Sums((xp.sum(offsets, axis=0), offsets.T @ offsets))

        def longest(leaf: Any) -> float:
            offsets = (leaf.rows.as_doubles() - centre) @ inverse
            return float(xp.max(xp.sum(offsets * offsets, axis=1))) ** 0.5

        centre = rows.send(rows[np.zeros(1, np.int64)][0])
        first, second = (to_host(each).astype(np.float64) / len(rows) for each in block.sum_of(sum_leaf))
        mean = to_host(centre).astype(np.float64) + first
        with np.errstate(all="ignore"):
            covariance = second - np.outer(first, first)
            variances = np.diagonal(covariance)
            deviations = np.sqrt(np.where(variances > 0, variances, 1.0))
            correlations = covariance / deviations / deviations[:, None] + MAX_CORRELATION_LOSS * np.eye(n_features)
        if not np.isfinite(correlations).all():
            return cls(mean, np.ones(n_features), np.eye(n_features), np.inf)
        scale = deviations[:, None] * np.linalg.cholesky(correlations)
        frame = cls(mean, deviations, scale, np.inf)
        centre, inverse = rows.send(mean), rows.send(frame.inverse)
        return frame._replace(reach=max(map(longest, block.split())))


class Coordinates:
    """Features φ of some rows in a frame, made when they are first needed.

    Parameters
    ----------
    rows : (n_rows, n_features), on the device, in the type that sums are computed in.
    frame : the frame, on the device.
    """

    def __init__(self, xp: Any, rows: Any, frame: DeviceFrame) -> None:
        self.rows, self.offsets = rows, rows - frame.centre
        self._xp, self._frame, self._features = xp, frame, dict[Second, Any]()

    def features(self, second: Second) -> Any:
        """Return (products, y, 1): products y_i y_j, i ≤ j, for `Second.FULL`, squares for `DIAGONAL`, else none."""
        if second not in self._features:
            frame, is_full = self._frame, second is Second.FULL
            y = self.offsets @ frame.inverse if is_full else self.offsets / frame.deviations
            products = [y[:, i, None] * y[:, i:] for i in range(y.shape[1])] if is_full else [y * y]
            columns = [*(products if second is not Second.NONE else ()), y, self._xp.ones_like(y[:, :1])]
            self._features[second] = self._xp.concat(columns, axis=1)
        return self._features[second]


class DeviceFrame(NamedTuple):
    """The arrays of a `Frame` on a device."""

    centre: Any
    deviations: Any
    inverse: Any


class JointDensity:
    """Computes log p(x, k) of rows on a device, nats.

    Parameters
    ----------
    rows : some of the rows.
    parameters : of the mixture.
    frame : coordinates of the rows.

    Attributes
    ----------
    second : the products in the features of wide components.
    is_wide : (n_components,), whether the density of a component follows from products.
    """

    def __init__(self, rows: DeviceArray, parameters: Parameters, frame: Frame) -> None:
        self._parameters, self._rows = parameters, rows
        whitening, K = parameters.whitening, len(parameters.means)
        self._shape = whitening.factor_shape
        self.second = Second.FULL if self._shape is FactorShape.TRIANGULAR else Second.DIAGONAL
        self._is_shared = self._shape is FactorShape.TRIANGULAR and whitening.is_shared
        self._theta, errors = None, np.full(K, np.inf)
        if self._shape is not FactorShape.LOW_RANK:
            theta, errors = _natural_parameters(parameters, frame)
            errors *= rows.precision
        self.is_wide = errors <= max(MAX_ERROR, MAX_ERROR_PER_EPS * rows.precision)
        wide, self._narrow = np.flatnonzero(self.is_wide), np.flatnonzero(~self.is_wide)
        self._order = np.argsort(np.concatenate((wide, self._narrow)), kind="stable")
        if len(wide):
            self._theta = rows.send(theta[wide].T.copy())
        if self._is_shared:
            whitened = whitening.whiten_each(parameters.means - frame.centre)
            constant = parameters.log_scale - 0.5 * (whitened**2).sum(axis=1)
            self._theta, self._constant = rows.send(whitened[wide].T.copy()), rows.send(constant[wide])

    def __call__(self, xp: Any, coordinates: Coordinates) -> Any:
        """Compute log p(x, k), (n_rows, n_components)."""
        columns, send, means = list[Any](), self._rows.send, self._parameters.means
        if self._theta is not None and self._is_shared:  # rows are whitened once for all components
            whitened = self._whiten(0, coordinates.offsets)
            columns.append(
                whitened @ self._theta + self._constant - 0.5 * xp.sum(whitened * whitened, axis=1, keepdims=True)
            )
        elif self._theta is not None:
            columns.append(coordinates.features(self.second) @ self._theta)
        for k in self._narrow.tolist():
            whitened = self._whiten(k, coordinates.rows - send(means[k]))
            squares = xp.sum(whitened * whitened, axis=1, keepdims=True)
            squares = xp.where(squares <= MAX_SQUARE, squares, xp.full_like(squares, MAX_SQUARE))
            columns.append(float(self._parameters.log_scale[k]) - 0.5 * squares)
        joint = columns[0] if len(columns) == 1 else xp.concat(columns, axis=1)
        return joint if 0 in (self.is_wide.sum(), len(self._narrow)) else xp.take(joint, send(self._order), axis=1)

    def _whiten(self, k: int, offsets: Any) -> Any:
        """Return W_k u for each row u of `offsets`."""
        factor, send = self._parameters.whitening.factor(k), self._rows.send
        if self._shape is FactorShape.TRIANGULAR:
            return offsets @ send(factor.T)
        if self._shape is not FactorShape.LOW_RANK:
            return offsets * send(np.broadcast_to(factor, offsets.shape[1:]))
        scaled, directions = offsets * send(factor[:, -1]), send(factor[:, :-1])
        return scaled - (scaled @ directions) @ send(factor[:, :-1].T)


def _natural_parameters(parameters: Parameters, frame: Frame) -> tuple[Array, Array]:
    """Return θ of each component, (n_components, n_values), and bounds on its rounding errors, in units of eps."""
    whitening, centred = parameters.whitening, parameters.means - frame.centre
    factors = whitening.factors
    if whitening.is_shared:
        factors = np.repeat(factors, len(centred), axis=0)
    with np.errstate(all="ignore"):  # a bound that is infinite or NaN makes a component narrow
        if whitening.factor_shape is FactorShape.TRIANGULAR:
            scaled, means = factors @ frame.scale, centred @ frame.inverse
            precisions = np.swapaxes(scaled, 1, 2) @ scaled
            linear, sizes = np.einsum("kij,kj->ki", precisions, means), np.linalg.norm(precisions, axis=(1, 2))
            i, j = np.triu_indices(len(frame.centre))
            quadratic = precisions[:, i, j] * np.where(i == j, -0.5, -1.0)
        else:
            precisions = (factors if factors.ndim == 2 else factors[:, None]) ** 2 * frame.deviations**2
            means = centred / frame.deviations
            linear, sizes, quadratic = precisions * means, np.linalg.norm(precisions, axis=1), -0.5 * precisions
        constant = parameters.log_scale - 0.5 * (linear * means).sum(axis=1)
        errors = sizes * (frame.reach + np.linalg.norm(means, axis=1)) ** 2
    return np.column_stack((quadratic, linear, constant)), np.where(np.isnan(errors), np.inf, errors)


@dataclass(eq=False)
class DeviceState(BlockState):
    """The coordinates of the products; None before the first pass."""

    frame: Frame | None = field(default=None, kw_only=True)


class _Pass:
    """A pass over the rows of a block on a device.

    Parameters
    ----------
    block : the rows.
    parameters : of the mixture; None if `Block.assignment` shares the rows.
    n_components : K.
    frame : coordinates of the rows; None to measure them.
    """

    def __init__(self, block: Block, parameters: Parameters | None, n_components: int, frame: Frame | None) -> None:
        self._block, self._parameters, self._K = block, parameters, n_components
        rows: Any = block.rows
        self._rows, self._xp, send = rows, rows.namespace, rows.send
        self._frame = frame = frame or Frame.from_block(block)
        self._on_device = DeviceFrame(send(frame.centre), send(frame.deviations), send(frame.inverse))
        self._joint_density = None if parameters is None else JointDensity(self._rows, parameters, frame)

    def evaluate(self, function: Callable[[Any, Any], Any]) -> DeviceArray:
        """Compute a function of log p(x, k) for each row."""
        parts = [part for leaf in self._block.split() for part in self._parts(leaf)]
        results = [function(self._xp, self._joint(part, self._coordinates(part))) for part in parts]
        return DeviceArray(self._xp.concat(results) if len(results) > 1 else results[0])

    def sum_moments(self, spec: MomentSpec, rule: AssignmentRule, about: Array) -> BlockMoments:
        """Sum the moments of all rows of the block about points (n_components, n_features)."""
        is_wide = np.full(self._K, spec.second is Second.NONE)
        joint_density = self._joint_density
        if joint_density is not None and spec.second in (joint_density.second, Second.DIAGONAL):
            is_wide |= joint_density.is_wide  # sums about the centre lose as many digits as densities do
        wide, narrow = np.flatnonzero(is_wide), np.flatnonzero(~is_wide).tolist()

        def sum_part(part: Block) -> Sums:
            xp, send, coordinates = self._xp, self._rows.send, self._coordinates(part)
            log_density, resp = self._share(part, coordinates, rule)
            weight = xp.ones_like(log_density) if part.row_weight is None else send(part.row_weight)
            resp = resp * weight[:, None]
            sums = [xp.sum(log_density * weight), xp.sum(weight), xp.sum(resp, axis=0)]
            if len(wide):
                some = resp[:, : self._K] if not narrow else xp.take(resp, send(wide), axis=1)
                sums.append(xp.matrix_transpose(some) @ coordinates.features(spec.second))
            for k in narrow:
                sums += self._sum_about(coordinates.rows - send(about[k]), resp[:, k, None], spec, k)
            return Sums(sums)

        sums = self._block.sum_of(lambda leaf: reduce(add, map(sum_part, self._parts(leaf))))
        log_likelihood, row_weight, mass, *others = (to_host(each).astype(np.float64) for each in sums)
        first, second = about * 0.0, None
        if spec.second is not Second.NONE:
            second = np.zeros_like(spec.squares(about))
        if len(wide):
            products = others.pop(0)
            some = self._moments_of_products(products, spec).about(about[wide])
            first[wide] = some.first
            if second is not None:
                second[wide] = some.second
        for k, first_k, second_k in zip(narrow, others[::2], others[1::2], strict=True):
            first[k] = first_k
            if second is not None:
                second[k] = second_k
        background = float(mass[self._K :].sum())
        return BlockMoments(
            mass[: self._K], first, second, about, float(log_likelihood), float(row_weight), spec, background=background
        )

    def _parts(self, leaf: Block) -> Iterator[Block]:
        """Cut a leaf into parts for which a pass makes at most `MAX_VALUES` values."""
        d = len(self._frame.centre)
        return leaf.split(max(1, MAX_VALUES // (4 * self._K + 4 * d + d * d)))

    def _coordinates(self, part: Block) -> Coordinates:
        rows: Any = part.rows
        return Coordinates(self._xp, rows.as_doubles(), self._on_device)

    def _joint(self, part: Block, coordinates: Coordinates) -> Any:
        """Compute log p(x, k), nats, with a column for the background if there is one."""
        assert self._joint_density is not None, "there is no density without parameters"
        assert self._parameters is not None, "the same"
        joint, background = self._joint_density(self._xp, coordinates), self._parameters.log_background
        if background > -np.inf:
            joint = self._xp.concat([joint, self._xp.full_like(joint[:, :1], background)], axis=1)
        prior = part.row_log_prior(joint.shape[1])
        return joint if prior is None else joint + self._rows.send(prior)

    def _share(self, part: Block, coordinates: Coordinates, rule: AssignmentRule) -> tuple[Any, Any]:
        """Return log p(x) of each row, nats, and responsibilities with a column for the background if there is one."""
        xp, send = self._xp, self._rows.send
        if rule is AssignmentRule.ASSIGNMENT or self._joint_density is None:
            assert part.assignment is not None, "the rule reads it"
            resp = send(one_hot(np.asarray(part.assignment), self._K))
            return xp.zeros_like(resp[:, 0]), resp
        joint = self._joint(part, coordinates)
        highest = xp.max(joint, axis=1, keepdims=True)
        likelihoods = xp.exp(joint - highest)
        total = xp.sum(likelihoods, axis=1, keepdims=True)
        log_density = highest[:, 0] + xp.log(total[:, 0])
        if rule is AssignmentRule.HARD:
            labels, indices = xp.argmax(joint, axis=1, keepdims=True), send(np.arange(joint.shape[1]))
            return log_density, xp.astype(labels == indices[None, :], joint.dtype)
        is_negligible = joint - highest <= -NEGLIGIBLE_NATS
        return log_density, xp.where(is_negligible, xp.zeros_like(joint), likelihoods / total)

    def _sum_about(self, offsets: Any, resp: Any, spec: MomentSpec, k: int) -> list[Any]:
        """Sum γ u, and the second moments that `spec` names, of offsets u from the point of component k."""
        xp, weighted, squares = self._xp, resp * offsets, None
        if spec.second is not Second.FULL:
            squares = xp.sum(weighted * offsets, axis=0)
        if spec.second is not Second.DIAGONAL:
            other = offsets
            if spec.projection is not None:
                other = offsets @ self._rows.send(spec.projection[min(k, len(spec.projection) - 1)].T.copy())
            products = xp.matrix_transpose(weighted) @ other
            squares = products if squares is None else xp.concat([products, squares[:, None]], axis=1)
        return [xp.sum(weighted, axis=0), squares]

    def _moments_of_products(self, sums: Array, spec: MomentSpec) -> BlockMoments:
        """Return moments about the centre, data units, from sums γᵀ φ (n_wide, n_values)."""
        frame, d = self._frame, len(self._frame.centre)
        products, first, mass = sums[:, : -1 - d], sums[:, -1 - d : -1], sums[:, -1]
        second = None
        if spec.second is Second.FULL:
            i, j = np.triu_indices(d)
            second = np.empty((len(sums), d, d))
            second[:, i, j] = second[:, j, i] = products
            first, second = first @ frame.scale.T, frame.scale @ second @ frame.scale.T
        else:
            first = first * frame.deviations
            second = products * frame.deviations**2 if spec.second is Second.DIAGONAL else None
        return BlockMoments(mass, first, second, np.broadcast_to(frame.centre, first.shape), 0.0, 0.0, spec)


class ArrayApiEngine(CompleteEngine):
    """An engine for rows in a `DeviceArray`. Rows in NumPy's arrays, such as samples, go to the C++ core.

    Sums of leaves are merged in the order of the tree. Unlike the core's, their last bits depend on the array library,
    on the device, and on the blocks that the rows are cut into.
    """

    def make_state(self, block: Block, n_components: int) -> Any:
        return DeviceState(n_components) if _is_on_device(block) else super().make_state(block, n_components)

    def step(
        self,
        block: Block,
        state: Any,
        parameters: Parameters | None,
        spec: MomentSpec,
        rule: AssignmentRule = AssignmentRule.SOFT,
        anchor: Array | None = None,
        context: OrderedContext | None = None,
    ) -> BlockMoments:
        if not _is_on_device(block):
            return super().step(block, state, parameters, spec, rule, anchor, context)
        second = Second.DIAGONAL if spec.second is Second.TRACE else spec.second  # features are added up in `finish`
        frame = state.frame = state.frame or Frame.from_block(block)
        total = None if context is None else context.total_spread
        shape = state.n_components, len(frame.centre)
        if anchor is None and total is not None and parameters is not None and parameters.log_background == -np.inf:
            # Pooled moments about one common point are the scatter of all rows, which `finish` knows.
            second, about = Second.NONE, np.broadcast_to(total.mean, shape)
        elif anchor is None:
            about = np.broadcast_to(frame.centre, shape) if parameters is None else parameters.means
        else:
            about = anchor
        assigned = None if rule is AssignmentRule.ASSIGNMENT else parameters
        passing = _Pass(block, assigned, state.n_components, frame)
        return passing.sum_moments(replace(spec, second=second, is_pooled=False), rule, about)

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        return self._evaluate_rows(super().log_density, _log_density, block, parameters)

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        K = len(parameters.means)
        return self._evaluate_rows(super().component_log_density, lambda xp, joint: joint[:, :K], block, parameters)

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        function = partial(_responsibilities, n_components=len(parameters.means))
        return self._evaluate_rows(super().responsibilities, function, block, parameters)

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        function = partial(_labels, n_components=len(parameters.means))
        labels: NDArray[np.int64] = self._evaluate_rows(super().labels, function, block, parameters)
        return labels

    def supports_core_steps(
        self, block: Block, n_components: int, structure: Algebra, prior: PackedPrior | None, has_background: bool
    ) -> bool:
        is_usual = not _is_on_device(block)
        return is_usual and super().supports_core_steps(block, n_components, structure, prior, has_background)

    def score_products(
        self, block: Block, parameters: Parameters, whitening: Array, score_form: Second
    ) -> tuple[Array, Array]:
        return super().score_products(block.on_host(), parameters, whitening, score_form)

    def _evaluate_rows(
        self, on_host: Callable[..., Any], function: Callable[..., Any], block: Block, parameters: Parameters
    ) -> Any:
        """Compute a function of log p(x, k) for each row, on the device if the rows are there."""
        if not _is_on_device(block):
            return on_host(block, parameters)
        return _Pass(block, parameters, len(parameters.means), None).evaluate(function)


def _is_on_device(block: Block) -> bool:
    return isinstance(block.rows, DeviceArray)


def _log_density(xp: Any, joint: Any) -> Any:
    """Return log p(x) of each row, nats."""
    highest = xp.max(joint, axis=1, keepdims=True)
    return highest[:, 0] + xp.log(xp.sum(xp.exp(joint - highest), axis=1))


def _responsibilities(xp: Any, joint: Any, n_components: int) -> Any:
    """Return p(k | x) of each row and component."""
    likelihoods = xp.exp(joint - xp.max(joint, axis=1, keepdims=True))
    return (likelihoods / xp.sum(likelihoods, axis=1, keepdims=True))[:, :n_components]


def _labels(xp: Any, joint: Any, n_components: int) -> Any:
    """Return the most probable component of each row, `NOISE_LABEL` for the background."""
    labels = xp.astype(xp.argmax(joint, axis=1), xp.int64)
    return xp.where(labels < n_components, labels, xp.full_like(labels, NOISE_LABEL))
