"""The computation of densities and labels of a mixture as nodes of an ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.export.coefficients import Coefficients, Linear
from gaussmix._src.mixture.base import check_alone
from gaussmix._src.mixture.levels import log_tails
from gaussmix._src.mixture.masses.masses import N_LEVEL_POINTS
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array

OPSET = 17
# Number of cells in the table of p-values, and the largest radius r in the table; exp(−38² / 2) is about the smallest
# positive float64.
_CELLS, _MAX_RADIUS = 8192, 38.0
# A cell is divided into up to `_MAX_PARTS` parts until the relative error of p-values inside the parts is below this
# value.
_MAX_ERROR, _MAX_PARTS = 1e-3, 4096


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of a classifier.

    Parameters
    ----------
    mixture : mixture of the components of all classes.
    labels : labels of the classes, (n_classes,), as int64 or as objects that are strings.
    memberships : 1 if the component belongs to the class, otherwise 0, (n_components, n_classes).
    """

    mixture: Mixture
    labels: NDArray[Any]
    memberships: Array

    @classmethod
    def from_model(cls, model: Any) -> Classes | None:
        """Return the classes of a classifier; None if the model is not a classifier.

        Raises NotFittedError, and ValueError if the classifier rejects rows.
        """
        if not hasattr(model, "class_mixture"):
            return None
        if model.reject_below:
            raise ValueError(
                f"reject_below={model.reject_below!r} can't be exported, because an ONNX model does not compute the "
                "p-values of classes. Set reject_below=0."
            )
        mixture, classes = model.mixture_, model.classes_  # the classes are text, booleans or whole numbers
        labels = classes.astype(object if classes.dtype.kind == "U" else np.int64)
        return cls(mixture, labels, np.eye(len(labels))[model.component_class_])


@dataclass
class Graph:
    """Nodes and constants of an ONNX graph whose input is "X".

    Parameters
    ----------
    dtype : type of the input and of the computation.
    n_features : number of columns of the input X.
    nodes : operation type, input names, output names and attributes of each node.
    constants : constant arrays of the graph by name.
    outputs : name, dtype and number of columns of each output; 0 columns mean that the output is a vector.
    """

    dtype: np.dtype[Any]
    n_features: int
    nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    outputs: list[tuple[str, np.dtype[Any], int]] = field(default_factory=list)

    @classmethod
    def from_model(cls, model: Any, dtype: np.dtype[Any]) -> Graph:
        """Create the graph of a mixture or a fitted estimator; raise the errors of `to_onnx`."""
        classes = Classes.from_model(model)
        coefficients = Coefficients.from_model(model if classes is None else classes.mixture)
        coefficients.check_range(dtype)
        graph = cls(dtype, coefficients.mixture.n_features)
        centre = coefficients.mixture.means.mean(axis=0).astype(dtype)
        centred = graph.add("Sub", "X", graph.real(centre))
        joint = graph.joint(coefficients, centre, centred)
        highest = graph.add("ReduceMax", joint, axes=[1], keepdims=1)
        linear, top = coefficients.linear(centre.astype(np.float64), dtype), highest
        if linear is not None:
            is_outer = graph.add("Less", highest, graph.real(linear.limit))
            joint = graph.add("Where", is_outer, graph.linear(linear, centred), joint)
            top = graph.add("ReduceMax", joint, axes=[1], keepdims=1)
        scaled = graph.add("Exp", graph.add("Sub", joint, top))
        total = graph.add("ReduceSum", scaled, graph.integers([1]), keepdims=1)
        column = graph.add("Add", highest, graph.add("Log", total))
        if classes is not None:
            graph.add_classes(classes, graph.add("Div", scaled, total))
        elif coefficients.offset is None:
            graph.labels(coefficients, joint)
            probabilities = graph.add("Div", scaled, total)
            if coefficients.noise is not None:
                ends = graph.integers([0]), graph.integers([coefficients.mixture.n_components]), graph.integers([1])
                probabilities = graph.add("Slice", probabilities, *ends)
            graph.set_output("probabilities", probabilities, graph.dtype, coefficients.mixture.n_components)
        log_density = graph.add("Squeeze", column, graph.integers([1]))
        if coefficients.offset is not None:
            graph.add_inlier_labels(log_density, coefficients.offset)
        graph.set_output("log_density", log_density, graph.dtype)
        if coefficients.offset is not None:
            graph.set_output("p_value", graph.p_values(log_density, coefficients.mixture), graph.dtype)
        return graph

    def joint(self, coefficients: Coefficients, centre: Array, centred: str) -> str:
        """Add nodes for log p(x, k), (n_rows, n_components); if there is noise, the last column is log p(x, noise)."""
        means = (coefficients.mixture.means - centre.astype(np.float64))[:, None, :]
        offsets = self.add("Sub", self.add("Unsqueeze", centred, self.integers([0])), self.real(means))
        if coefficients.is_matrix:
            whitened = self.add("MatMul", offsets, self.real(coefficients.factors.swapaxes(1, 2)))
        else:
            whitened = self.add("Mul", offsets, self.real(coefficients.factors[:, None, :]))
        squares = self.add("Mul", whitened, whitened)
        distances = self.add("ReduceSum", squares, self.integers([2]), keepdims=0)
        distances = self.add("Min", distances, self.real(np.finfo(self.dtype).max / 4))  # avoids ∞ − ∞, which is NaN
        scaled = self.add("Mul", self.add("Transpose", distances, perm=[1, 0]), self.real(-0.5))
        joint = self.add("Add", scaled, self.real(coefficients.constants))
        if coefficients.noise is None:
            return joint
        first = self.add("Slice", joint, self.integers([0]), self.integers([1]), self.integers([1]))
        noise = self.add("Expand", self.real(coefficients.noise), self.add("Shape", first))
        return self.add("Concat", joint, noise, axis=1)

    def linear(self, form: Linear, centred: str) -> str:
        """Add nodes for log p(x, k) minus the largest log p(x, j), (n_rows, n_components)."""
        # Products are computed in units of a power of two, in which even the largest rows do not overflow.
        limits = np.finfo(self.dtype)
        largest, exponent = float(limits.max), 2 + np.ceil(np.log2(np.abs(form.slopes).sum(axis=1).max(initial=1)))
        unit = 2.0 ** min(exponent, limits.maxexp - 1)
        rows = self.add("Clip", centred, self.real(-largest), self.real(largest))
        result = self.add("MatMul", rows, self.real(form.slopes.T / unit))
        result = self.add("Add", result, self.real(form.levels / unit))
        result = self.add("Sub", result, self.add("ReduceMax", result, axes=[1], keepdims=1))
        return self.add("Mul", result, self.real(unit))

    def labels(self, coefficients: Coefficients, joint: str) -> None:
        """Add the output "label": the most probable component, or −1 for noise (last column of `joint` if present)."""
        label = self.add("ArgMax", joint, axis=1, keepdims=0)
        if coefficients.noise is not None:
            last = self.constant(np.array(coefficients.mixture.n_components, np.int64))
            label = self.add("Where", self.add("Equal", label, last), self.constant(np.array(-1, np.int64)), label)
        self.set_output("label", label, np.dtype(np.int64))

    def add_classes(self, classes: Classes, probabilities: str) -> None:
        """Add the outputs "label" and "probabilities" of a classifier, given the probabilities of the components."""
        each = self.add("MatMul", probabilities, self.real(classes.memberships))
        best = self.add("ArgMax", each, axis=1, keepdims=0)
        self.set_output("label", self.add("Gather", self.constant(classes.labels), best), classes.labels.dtype)
        self.set_output("probabilities", each, self.dtype, len(classes.labels))

    def add_inlier_labels(self, log_density: str, offset: float) -> None:
        """Add the output "label" of a detector: 1 for an inlier, −1 for an outlier."""
        is_outlier = self.add("Less", log_density, self.real(offset))
        sides = self.constant(np.array(-1, np.int64)), self.constant(np.array(1, np.int64))
        self.set_output("label", self.add("Where", is_outlier, *sides), np.dtype(np.int64))

    def p_values(self, log_density: str, mixture: Mixture) -> str:
        """Add nodes for each row's p-value, the probability that a row drawn from the mixture has a lower density.

        The log p-value is interpolated linearly in r, which is defined by log p(x) = max log p − r² / 2. The table has
        cells of equal length in r. Cells in which the p-value changes steeply are divided into 2, 4, 8, … parts.
        """
        check_alone("p_value", [mixture])
        top = float(np.asarray(mixture.highest_density_level(0.0)))
        counts, logs = _table(mixture, top)
        depth = self.add("Max", self.add("Sub", self.real(top), log_density), self.real(0.0))
        radius = self.add("Sqrt", self.add("Mul", depth, self.real(2.0)))
        position = self.add("Mul", radius, self.real(_CELLS / _MAX_RADIUS))
        cell, rest = self.split(self.add("Min", position, self.real(_CELLS - 0.001)))
        part, rest = self.split(self.add("Mul", rest, self.add("Gather", self.real(counts), cell)))
        firsts = np.cumsum(counts) - counts
        lower = self.add("Add", self.add("Gather", self.constant(firsts), cell), part)
        upper = self.add("Add", lower, self.integers([1]))
        below, above = (self.add("Gather", self.real(logs), at) for at in (lower, upper))
        slope = self.add("Sub", above, below)
        return self.add("Exp", self.add("Add", below, self.add("Mul", rest, slope)))

    def split(self, values: str) -> tuple[str, str]:
        """Add nodes that split each value into its integer part, as int64, and its fractional part."""
        whole = self.add("Floor", values)
        return self.add("Cast", whole, to=7), self.add("Sub", values, whole)  # 7 is ONNX's code for int64

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the name of the output."""
        name = f"n{len(self.nodes)}"
        self.nodes.append((operation, list(inputs), [name], attributes))
        return name

    def set_output(self, name: str, result: str, dtype: np.dtype[Any], n_columns: int = 0) -> None:
        """Make the result of a node an output of the graph."""
        self.nodes.append(("Identity", [result], [name], {}))
        self.outputs.append((name, dtype, n_columns))

    def real(self, values: Any) -> str:
        """Add a constant of the graph's dtype, and return its name."""
        return self.constant(np.asarray(values, self.dtype))

    def integers(self, values: list[int]) -> str:
        """Add a constant of type int64, and return its name."""
        return self.constant(np.array(values, np.int64))

    def constant(self, values: Any) -> str:
        """Return the name of a constant with these values; if the graph has no such constant, add one."""
        for name, known in self.constants.items():
            if known.dtype == values.dtype and np.array_equal(known, values):
                return name
        name = f"c{len(self.constants)}"
        self.constants[name] = values
        return name


def _table(mixture: Mixture, top: float) -> tuple[NDArray[np.int64], Array]:
    """Return the number of parts of each cell, and the log p-values at the ends of all parts.

    For one feature, the p-value changes like a square root of the density just below each mode and just above each
    minimum. If p-values are estimated from a sample, they change in steps, and cells are not divided.
    """
    levels = mixture._levels(N_LEVEL_POINTS, None)

    def log_p(positions: Array) -> Array:
        radii = positions.ravel() * (_MAX_RADIUS / _CELLS)
        return log_tails(levels, top - 0.5 * radii**2)[0].reshape(positions.shape)

    counts, steep, n = np.ones(_CELLS, np.int64), np.arange(_CELLS), 1
    while mixture._exact_levels is not None and len(steep) and n < _MAX_PARTS:
        logs = log_p(steep[:, None] + np.arange(4 * n + 1) / (4 * n))
        between = logs[:, :-1:4, None] + np.diff(logs[:, ::4])[:, :, None] * [0.25, 0.5, 0.75]
        errors = np.abs(between - logs[:, :-1].reshape(len(steep), n, 4)[:, :, 1:]).max(axis=(1, 2))
        steep, n = steep[errors > _MAX_ERROR], 2 * n
        counts[steep] = n
    logs = log_p(np.concatenate([*(cell + np.arange(n) / n for cell, n in enumerate(counts)), [_CELLS]]))
    logs[0] = 0.0
    return counts, logs
