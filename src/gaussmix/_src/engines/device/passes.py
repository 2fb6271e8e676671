"""Passes over rows on a device, which sum moments or compute a result for each row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from math import exp
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.base import NEGLIGIBLE_NATS
from gaussmix._src.engines.device.joint_density import JointDensity
from gaussmix._src.engines.device.standardisation import MeasuredRows, StandardisedRows
from gaussmix._src.engines.joint import one_hot
from gaussmix._src.errors import warn
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS, Sums
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec, Second
from gaussmix._src.interfaces.moments import BlockMoments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.device_array import DeviceArray, concatenated, to_host

# Maximum number of values that a pass stores at a time: 512 MB in float64 on a GPU, 8 MB (in the cache) on a CPU.
MAX_PASS_VALUES, MAX_CACHED_VALUES = 2**26, 2**20
# Triton's kernels keep at most this number of components or features of a row in registers. Their compilation takes
# seconds, so they are used only if a pass computes at least this number of products φ_i θ_ik.
MAX_KERNEL_SIZE, MIN_KERNEL_WORK = 64, 2**28


class Pass:
    """Pass over the rows of a block.

    Parameters
    ----------
    block : the rows.
    parameters : parameters of the mixture; None if `Block.assignment` assigns the rows.
    n_components : number of components K.
    rule : rule that assigns the rows.
    """

    def __init__(
        self, block: Block, parameters: Parameters | None, n_components: int, rule: AssignmentRule = AssignmentRule.SOFT
    ) -> None:
        self._block, self._K, self._rule = block, n_components, rule
        self._log_noise = -np.inf if parameters is None else parameters.log_noise_density
        self._distant_limit = -np.inf if parameters is None else parameters.distant_limit
        rows: Any = block.rows
        self._xp, self._send, self._measured = rows.namespace, rows.send, MeasuredRows.of_array(rows)
        self._precision, d = rows.precision, rows.shape[1]
        max_values = MAX_CACHED_VALUES if rows.is_on_cpu else MAX_PASS_VALUES
        self._n_part_rows = max(1, max_values // (4 * n_components + 8 * d + d * d))
        if rows.computing_type != self._xp.float64:  # sums over many rows lose digits in float32
            self._n_part_rows = min(self._n_part_rows, LEAF_ROWS)
        self._joint_density = None
        if parameters is not None:  # under the hard rule, rounding errors of products would decide ties
            self._joint_density = JointDensity(rows, parameters, self._measured, rule is not AssignmentRule.HARD)

    def evaluate(self, function: Callable[[Any, Any], Any]) -> tuple[DeviceArray, Indices]:
        """Call `function` with the array namespace and log p(x, k) of rows.

        Returns
        -------
        results : results of all rows.
        distant : indices of the rows that are far from every mean (`engines.complete.distant`).
        """
        results, are_distant = list[DeviceArray](), list[DeviceArray]()
        for part in self._block.split(self._n_part_rows):
            joint = self._joint(part, self._standardise(part))
            values = function(self._xp, joint)
            in_order = self._xp.reshape(self._xp.reshape(values, (-1,)), values.shape)  # contiguous, as users expect
            results.append(DeviceArray(in_order))
            are_distant.append(DeviceArray(self._are_distant(self._xp.max(joint, axis=1))))
        return concatenated(results), to_host(self._xp.nonzero(concatenated(are_distant).values)[0])

    def sum_moments(self, spec: MomentSpec, anchor: Array) -> tuple[BlockMoments, int]:
        """Sum the moments of all rows about `anchor`, (n_components, n_features).

        Returns
        -------
        sums : the moments, which are not pooled; traces of second moments are replaced by the diagonals.
        n_distant : number of rows with positive weight that are far from every mean.
        """
        second = Second.DIAGONAL if spec.second is Second.TRACE else spec.second  # `finish` sums over the features
        each = replace(spec, second=second, is_pooled=False)
        # Matrix products with standardised rows are faster than sums over offsets from each anchor, but lose digits of
        # second moments. How many digits are lost can be computed only from the sums.
        is_by_products = np.full(self._K, second is Second.NONE)
        if self._joint_density is not None and second in (self._joint_density.second, Second.DIAGONAL):
            is_by_products |= self._joint_density.is_by_products
        sums, n_distant = self._sum(each, anchor, is_by_products)
        if second is not Second.NONE and is_by_products.any():
            is_accurate = is_by_products & self._are_products_accurate(sums, spec)
            if (is_accurate != is_by_products).any():
                sums, n_distant = self._sum(each, anchor, is_accurate)
        return sums, n_distant

    def _are_products_accurate(self, sums: BlockMoments, spec: MomentSpec) -> NDArray[np.bool_]:
        """Return whether each component's second moments stay accurate if they are sums of products, (n_components,).

        Products are summed about the centre of all rows. If the mean of a component, with covariance V, is at the
        distance δ from the centre, the second moments about the mean have a relative error of about 10 ε δᵀV⁻¹δ. Sums
        are accurate if V − ε^(1/3) δδᵀ is positive, because the error is then below 4e-10 (2e-4 in float32).
        """
        assert sums.second is not None, "products have second moments"
        mass, inverse = sums.mass, self._measured.standardisation.inverse
        with np.errstate(all="ignore"):  # a remainder that is not finite is not positive
            root_mass = np.sqrt(mass)[:, None]
            moved = sums.first / np.where(root_mass > 0, root_mass, 1.0)
            offset = root_mass * (sums.anchor - self._measured.standardisation.centre) + moved
            remainder = sums.second - sums.spec.squares(moved)
            remainder -= self._precision ** (1 / 3) * sums.spec.squares(offset)
            if spec.is_pooled:
                remainder, mass = remainder.sum(axis=0, keepdims=True), mass.sum(keepdims=True)
            if spec.second is Second.TRACE:
                remainder = remainder.sum(axis=1, keepdims=True)
        if spec.second is not Second.FULL:
            return np.broadcast_to([bool((each >= 0).all()) for each in remainder], self._K)
        least = self._precision**0.75 * np.eye(len(inverse))  # smaller parts of the variance of all rows are rounding
        standardised = inverse.T @ remainder @ inverse + mass[:, None, None] * least
        if _is_positive(standardised):  # one call for all components, because a call for each takes milliseconds
            return np.ones(self._K, np.bool_)
        return np.broadcast_to([_is_positive(each) for each in standardised], self._K)

    def _sum(self, spec: MomentSpec, anchor: Array, is_by_products: NDArray[np.bool_]) -> tuple[BlockMoments, int]:
        """Return moments about `anchor`, by products of features for marked components, and a count of distant rows."""
        xp, send = self._xp, self._send
        by_products, others = np.flatnonzero(is_by_products), np.flatnonzero(~is_by_products)
        kernels, tables = (None, None) if others.size else self._begin_kernels(spec.second)
        components = send(by_products), others.tolist(), send(anchor)

        def sum_part(part: Block) -> Sums:
            weight: Any = None if part.row_weight is None else send(part.row_weight)
            if kernels is None:
                log_density, *sums = self._sum_by_library(part, weight, spec, *components)
            else:
                log_density, *sums = kernels.sum_features(tables, part, weight)
            are_distant = self._are_distant(log_density)
            if weight is not None:
                are_distant, log_density = are_distant & (weight > 0), log_density * weight
            return Sums([xp.sum(xp.astype(are_distant, xp.int64)), xp.sum(log_density), *sums])

        on_device = self._block.sum_of(sum_part, self._n_part_rows if kernels is None else kernels.n_part_rows)
        n_distant, log_likelihood, noise_mass, *sums = (to_host(each).astype(np.float64) for each in on_device)
        form = spec.second if kernels is None else kernels.second
        moments = self._assemble_moments(sums, form, spec, anchor, is_by_products)
        weight = self._block.row_weight
        row_weight = float(self._block.n_rows if weight is None else xp.sum(send(weight)))
        totals = float(log_likelihood), row_weight
        return BlockMoments(*moments, anchor, *totals, spec, noise_mass=float(noise_mass)), int(n_distant)

    def _sum_by_library(
        self, part: Block, weight: Any, spec: MomentSpec, by_products: Any, others: list[int], anchors: Any
    ) -> list[Any]:
        """Return log p(x) of each row, the mass of noise, and sums that `_assemble_moments` converts to moments.

        The sums are γᵀ φ of the components `by_products` (unless there are none), and three sums of offsets for each of
        the components `others`. The arrays `weight` (or None), `by_products` and `anchors` are on the device.
        """
        xp, rows = self._xp, self._standardise(part)
        log_density, likelihoods, scale = self._assign_rows(part, rows)
        if weight is not None:
            scale = scale * weight[:, None]
        features = rows.features(spec.second) if len(others) < self._K else None
        has_noise = likelihoods.shape[1] > self._K
        # The factors of rows are multiplied into the smaller of the two tables.
        if features is not None and not others and not has_noise and features.shape[0] < self._K:
            responsibilities, features = likelihoods, features * xp.matrix_transpose(scale)
        else:
            responsibilities = likelihoods * scale
        sums = [log_density, xp.sum(responsibilities[:, self._K :])]
        if features is not None:
            chosen = xp.take(responsibilities, by_products, axis=1) if others else responsibilities[:, : self._K]
            sums.append(xp.matrix_transpose(chosen) @ xp.matrix_transpose(features))
        for k in others:
            sums += self._sum_offsets(rows.rows - anchors[k, :], responsibilities[:, k, None], spec, k)
        return sums

    def _assemble_moments(
        self, sums: list[Array], form: Second, spec: MomentSpec, anchor: Array, is_by_products: NDArray[np.bool_]
    ) -> tuple[Array, Array, Array | None]:
        """Return masses, first moments and second moments (or None), from sums of features φ and sums of offsets.

        `form` specifies the features φ, as the parameter `second` of `StandardisedRows.features` does.
        """
        mass, first = np.zeros(self._K), np.zeros(anchor.shape)
        second = None if spec.second is Second.NONE else np.zeros_like(spec.squares(anchor))
        if is_by_products.any():
            masses, sums_of_rows, squares = self._measured.standardisation.moments(sums[0], form)
            centre = np.broadcast_to(self._measured.standardisation.centre, sums_of_rows.shape)
            squares = None if second is None else squares
            moments = BlockMoments(masses, sums_of_rows, squares, centre, 0.0, 0.0, spec).about(anchor[is_by_products])
            mass[is_by_products], first[is_by_products] = moments.mass, moments.first
            if second is not None:
                second[is_by_products] = moments.second
            sums = sums[1:]
        for k, *own in zip(np.flatnonzero(~is_by_products), sums[::3], sums[1::3], sums[2::3], strict=True):
            mass[k], first[k] = own[:2]
            if second is not None:
                second[k] = own[2]
        return mass, first, second

    def _begin_kernels(self, second: Second) -> tuple[Any, Any]:
        """Return `TritonKernels` that sum moments in the form `second`, and their tables for this pass.

        Both are None if the kernels do not support the pass, or if the pass is too short.
        """
        density, block, rows = self._joint_density, self._block, cast(DeviceArray, self._block.rows)
        if density is None or density.theta is None or second not in (density.second, Second.NONE):
            return None, None
        has_noise = self._log_noise > -np.inf
        is_small = max(self._K + has_noise, rows.shape[1]) <= MAX_KERNEL_SIZE
        is_long = len(rows) * density.theta.size >= MIN_KERNEL_WORK
        if block.log_prior is not None or not is_small or not is_long or not has_kernels(rows):
            return None, None
        key, known = (density.second, self._K, has_noise), self._measured.kernels
        if key not in known:
            known[key] = _compile_kernels(rows.whole, self._measured, *key)
        kernels = known[key]
        return kernels, None if kernels is None else kernels.begin_pass(density.theta, self._log_noise)

    def _standardise(self, part: Block) -> StandardisedRows:
        return StandardisedRows(part, self._measured.on_device)

    def _joint(self, part: Block, rows: StandardisedRows) -> Any:
        """Compute log p(x, k), in nats, with a last column for the noise component if there is one."""
        assert self._joint_density is not None, "densities need parameters"
        joint = self._joint_density(rows)
        if self._log_noise > -np.inf:
            joint = self._xp.concat([joint, self._xp.full_like(joint[:, :1], self._log_noise)], axis=1)
        table = part.log_prior_table(joint.shape[1])
        if table is None:
            return joint
        if part.prior_indices is None:
            return joint + self._send(table[:-1])
        indices: Any = part.prior_indices  # index −1 selects the last row of the table
        indices = indices.values if isinstance(indices, DeviceArray) else self._send(indices)
        indices = self._xp.where(indices < 0, self._xp.full_like(indices, len(table) - 1), indices)
        return joint + self._xp.take(self._send(table), indices, axis=0)

    def _are_distant(self, log_density: Any) -> Any:
        """Return whether each row is far from every mean, with the same limit as `distant_rows`."""
        return log_density < self._distant_limit - 1.0

    def _assign_rows(self, part: Block, rows: StandardisedRows) -> tuple[Any, Any, Any]:
        """Return log-likelihoods (n_rows,), relative likelihoods (n_rows, n_components), and a factor (n_rows, 1).

        A relative likelihood times the factor of its row is the responsibility. The last column of relative likelihoods
        is for noise (if any). Under the hard rule, the log-likelihood of a row is log p(x, k) of its most probable
        component k.
        """
        xp = self._xp
        if self._joint_density is None:
            resp = self._send(one_hot(np.asarray(part.assignment), self._K))
            return xp.zeros_like(resp[:, 0]), resp, xp.ones_like(resp[:, :1])
        joint = self._joint(part, rows)
        highest = xp.max(joint, axis=1, keepdims=True)
        if self._rule is AssignmentRule.HARD:
            labels, indices = xp.argmax(joint, axis=1, keepdims=True), self._send(np.arange(joint.shape[1]))
            return highest[:, 0], xp.astype(labels == indices[None, :], joint.dtype), xp.ones_like(highest)
        likelihoods = xp.exp(joint - highest)
        total = xp.sum(likelihoods, axis=1, keepdims=True)
        retained = xp.where(likelihoods > exp(-NEGLIGIBLE_NATS), likelihoods, xp.zeros_like(joint[:1, :1]))
        return (highest + xp.log(total))[:, 0], retained, 1 / total

    def _sum_offsets(self, offsets: Any, resp: Any, spec: MomentSpec, k: int) -> list[Any]:
        """Return Σ γ, Σ γ u and the second moments in `spec`, for offsets u of rows from the anchor of component k."""
        xp, weighted, squares = self._xp, resp * offsets, None
        if spec.second is not Second.FULL:
            squares = xp.sum(weighted * offsets, axis=0)
        if spec.second is not Second.DIAGONAL:
            other = offsets
            if spec.projection is not None:
                other = offsets @ self._send(spec.projection[min(k, len(spec.projection) - 1)].T)
            products = xp.matrix_transpose(weighted) @ other
            squares = products if squares is None else xp.concat([products, squares[:, None]], axis=1)
        return [xp.sum(resp), xp.sum(weighted, axis=0), squares]


def has_kernels(rows: DeviceArray) -> bool:
    """Return whether rows are a PyTorch tensor on an NVIDIA GPU of the generation that the kernels were measured on."""
    values = rows.values
    if not getattr(values, "is_cuda", False) or find_spec("triton") is None:
        return False
    torch = import_module("torch")
    return torch.version.cuda is not None and torch.cuda.get_device_capability(values.device)[0] == 9  # H100, H200


def _compile_kernels(
    rows: DeviceArray, measured: MeasuredRows, second: Second, n_components: int, has_noise: bool
) -> Any:
    """Return `TritonKernels`; or warn and return None, because Triton needs a C compiler and the headers of Python."""
    try:
        module = import_module("gaussmix._src.engines.device.triton_kernels")  # imports PyTorch and Triton
        return module.TritonKernels(rows, measured.on_device, second, n_components, has_noise, MAX_PASS_VALUES)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        warn(f"Triton could not compile kernels for the GPU ({reason}), so each step takes several times as long.")
        return None


def _is_positive(matrices: Array) -> bool:
    """Return whether one or several symmetric matrices are all positive definite, or all zero."""
    try:
        np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        return not matrices.any()
    return True
