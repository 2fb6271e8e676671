"""Pipelines of scikit-learn as ONNX models, by skl2onnx: a mixture may be their last step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from gaussmix.export.graph import OPSET, Graph
from gaussmix.export.numbers import Numbers


def of_pipeline(pipeline: Pipeline, dtype: np.dtype[Any]) -> Any:
    """The ONNX model of a fitted pipeline; raises ImportError or what skl2onnx raises for steps it does not know."""
    try:
        from skl2onnx import convert_sklearn, update_registered_converter
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    except ImportError:
        raise ImportError("to_onnx of a pipeline needs skl2onnx: pip install 'gaussmix[onnx]'.") from None
    last = pipeline[-1]
    is_detector = Numbers.of(last).offset is not None
    names = ("label", "log_density", "p_value") if is_detector else ("label", "probabilities", "log_density")
    alias = f"Gaussmix{type(last).__name__}"
    update_registered_converter(type(last), alias, _shapes, _nodes, parser=_parser_of(names), overwrite=True)
    tensor = FloatTensorType if dtype == np.float32 else DoubleTensorType
    n_columns = pipeline.n_features_in_
    return convert_sklearn(pipeline, initial_types=[("X", tensor([None, n_columns]))], target_opset=OPSET)


def _parser_of(names: Sequence[str]) -> Any:
    """What declares the outputs of a step."""

    def parse(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
        from skl2onnx._supported_operators import get_model_alias  # the name under which the step is registered
        from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

        operator = scope.declare_local_operator(get_model_alias(type(model)), model)
        operator.inputs = list(inputs)
        for name in names:
            kind = Int64TensorType() if name == "label" else FloatTensorType()
            operator.outputs.append(scope.declare_local_variable(name, kind))
        return operator.outputs

    return parse


def _shapes(operator: Any) -> None:
    """The types and shapes of the outputs of a step."""
    from skl2onnx.common.data_types import Int64TensorType

    kind = type(operator.inputs[0].type)
    for output in operator.outputs:
        if output.raw_name == "label":
            output.type = Int64TensorType([None])
        elif output.raw_name == "probabilities":
            output.type = kind([None, operator.raw_operator.mixture_.n_components])
        else:
            output.type = kind([None])


def _nodes(scope: Any, operator: Any, container: Any) -> None:
    """The nodes of a step, under names that are free in the whole model."""
    from skl2onnx.common.data_types import DoubleTensorType

    is_double = isinstance(operator.inputs[0].type, DoubleTensorType)
    graph = Graph.of(operator.raw_operator, np.dtype(np.float64 if is_double else np.float32))
    names = {"X": operator.inputs[0].full_name}
    names |= {output.raw_name: output.full_name for output in operator.outputs}
    for name, values in graph.constants.items():
        from onnx import numpy_helper

        names[name] = scope.get_unique_variable_name(name)
        tensor = numpy_helper.from_array(np.ascontiguousarray(values), names[name])
        container.add_initializer(names[name], None, None, tensor)
    for kind, inputs, outputs, more in graph.nodes:
        for name in outputs:
            names.setdefault(name, scope.get_unique_variable_name(name))
        container.add_node(
            kind,
            [names[name] for name in inputs],
            [names[name] for name in outputs],
            op_version=OPSET,
            name=scope.get_unique_operator_name(kind),
            **more,
        )
