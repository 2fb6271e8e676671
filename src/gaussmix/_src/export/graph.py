"""The computation of a mixture as nodes of an ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gaussmix._src.export.numbers import Linear, Numbers
from gaussmix._src.mixture.base import check_alone
from gaussmix._src.mixture.levels import log_tails
from gaussmix._src.mixture.masses.masses import N_LEVEL_POINTS
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array

OPSET = 17
_KNOTS, _FARTHEST = 8192, 38.0  # of the table of p-values; exp(−38² / 2) is about the smallest float64


@dataclass
class Graph:
    """The nodes of a computation, which begins at "X".

    Parameters
    ----------
    dtype : of its numbers.
    n_features : columns of X.
    nodes : type of operation, inputs, outputs and attributes of each.
    constants : arrays by name.
    outputs : name, dtype and number of columns of each; 0 columns for a vector.
    """

    dtype: np.dtype[Any]
    n_features: int
    nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    outputs: list[tuple[str, np.dtype[Any], int]] = field(default_factory=list)

    @classmethod
    def of(cls, model: Any, dtype: np.dtype[Any]) -> Graph:
        """The graph of a mixture or a fitted estimator; raises as `to_onnx`."""
        numbers = Numbers.of(model)
        numbers.check_range(dtype)
        graph = cls(dtype, numbers.mixture.n_features)
        centre = numbers.mixture.means.mean(axis=0).astype(dtype)
        centred = graph.add("Sub", "X", graph.number(centre))
        joint = graph.joint(numbers, centre, centred)
        highest = graph.add("ReduceMax", joint, axes=[1], keepdims=1)
        linear, top = numbers.linear(centre.astype(np.float64), dtype), highest
        if linear is not None:
            is_far = graph.add("Less", highest, graph.number(linear.limit))
            joint = graph.add("Where", is_far, graph.linear(linear, centred), joint)
            top = graph.add("ReduceMax", joint, axes=[1], keepdims=1)
        shares = graph.add("Exp", graph.add("Sub", joint, top))
        total = graph.add("ReduceSum", shares, graph.places([1]), keepdims=1)
        column = graph.add("Add", highest, graph.add("Log", total))
        if numbers.offset is None:
            graph.labels(numbers, joint)
            probabilities = graph.add("Div", shares, total)
            if numbers.noise is not None:
                ends = graph.places([0]), graph.places([numbers.mixture.n_components]), graph.places([1])
                probabilities = graph.add("Slice", probabilities, *ends)
            graph.give("probabilities", probabilities, graph.dtype, numbers.mixture.n_components)
        log_density = graph.add("Squeeze", column, graph.places([1]))
        if numbers.offset is not None:
            graph.sides(log_density, numbers.offset)
        graph.give("log_density", log_density, graph.dtype)
        if numbers.offset is not None:
            graph.give("p_value", graph.p_values(log_density, numbers.mixture), graph.dtype)
        return graph

    def joint(self, numbers: Numbers, centre: Array, centred: str) -> str:
        """log p(x, k), (n_rows, n_components), and in a last column log p(x, noise)."""
        means = (numbers.mixture.means - centre.astype(np.float64))[:, None, :]
        offsets = self.add("Sub", self.add("Unsqueeze", centred, self.places([0])), self.number(means))
        if numbers.is_matrix:
            whitened = self.add("MatMul", offsets, self.number(numbers.factors.swapaxes(1, 2)))
        else:
            whitened = self.add("Mul", offsets, self.number(numbers.factors[:, None, :]))
        squares = self.add("Mul", whitened, whitened)
        distances = self.add("ReduceSum", squares, self.places([2]), keepdims=0)
        distances = self.add("Min", distances, self.number(np.finfo(self.dtype).max / 4))  # ∞ − ∞ would be NaN
        halves = self.add("Mul", self.add("Transpose", distances, perm=[1, 0]), self.number(-0.5))
        joint = self.add("Add", halves, self.number(numbers.constants))
        if numbers.noise is None:
            return joint
        first = self.add("Slice", joint, self.places([0]), self.places([1]), self.places([1]))
        noise = self.add("Expand", self.number(numbers.noise), self.add("Shape", first))
        return self.add("Concat", joint, noise, axis=1)

    def linear(self, form: Linear, centred: str) -> str:
        """log p(x, k) without a term that all components share, (n_rows, n_components)."""
        found = self.add("MatMul", centred, self.number(form.slopes.T))
        found = self.add("Add", found, self.number(form.levels))
        most = float(np.finfo(self.dtype).max) / 4  # ∞ − ∞ would be NaN
        return self.add("Clip", found, self.number(-most), self.number(most))

    def labels(self, numbers: Numbers, joint: str) -> None:
        """The most probable component; the last column of noise is −1."""
        label = self.add("ArgMax", joint, axis=1, keepdims=0)
        if numbers.noise is not None:
            last = self.constant(np.array(numbers.mixture.n_components, np.int64))
            label = self.add("Where", self.add("Equal", label, last), self.constant(np.array(-1, np.int64)), label)
        self.give("label", label, np.dtype(np.int64))

    def sides(self, log_density: str, offset: float) -> None:
        """1 for usual rows, −1 for outliers."""
        is_outlier = self.add("Less", log_density, self.number(offset))
        sides = self.constant(np.array(-1, np.int64)), self.constant(np.array(1, np.int64))
        self.give("label", self.add("Where", is_outlier, *sides), np.dtype(np.int64))

    def p_values(self, log_density: str, mixture: Mixture) -> str:
        """The mass that is less probable: a line between two knots in r, where the log density is the top − r² / 2."""
        check_alone("p_value", [mixture])
        top = float(np.asarray(mixture.highest_density_level(0.0)))
        knots = np.linspace(0.0, _FARTHEST, _KNOTS)
        logs = log_tails(mixture._levels(N_LEVEL_POINTS, None), top - 0.5 * knots**2)[0]
        logs[0] = 0.0
        depth = self.add("Max", self.add("Sub", self.number(top), log_density), self.number(0.0))
        radius = self.add("Sqrt", self.add("Mul", depth, self.number(2.0)))
        place = self.add("Mul", radius, self.number(1.0 / knots[1]))
        place = self.add("Min", place, self.number(_KNOTS - 1.001))
        lower = self.add("Floor", place)
        at = self.add("Cast", lower, to=7)  # int64
        below = self.add("Gather", self.number(logs), at)
        slope = self.add("Gather", self.number(np.append(np.diff(logs), 0.0)), at)
        return self.add("Exp", self.add("Add", below, self.add("Mul", self.add("Sub", place, lower), slope)))

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output, and return the name of that."""
        name = f"n{len(self.nodes)}"
        self.nodes.append((operation, list(inputs), [name], attributes))
        return name

    def give(self, name: str, found: str, dtype: np.dtype[Any], n_columns: int = 0) -> None:
        """Make a result an output of the graph."""
        self.nodes.append(("Identity", [found], [name], {}))
        self.outputs.append((name, dtype, n_columns))

    def number(self, values: Any) -> str:
        """A constant of the graph's dtype."""
        return self.constant(np.asarray(values, self.dtype))

    def places(self, values: list[int]) -> str:
        """A constant of int64."""
        return self.constant(np.array(values, np.int64))

    def constant(self, values: Any) -> str:
        """The name of a constant; equal ones are one."""
        for name, known in self.constants.items():
            if known.dtype == values.dtype and np.array_equal(known, values):
                return name
        name = f"c{len(self.constants)}"
        self.constants[name] = values
        return name
