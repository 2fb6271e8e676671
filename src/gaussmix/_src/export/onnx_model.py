"""Export of a mixture, or of a scikit-learn pipeline that ends with an estimator, as an ONNX model."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from sklearn.pipeline import Pipeline

from gaussmix._src.export.coefficients import Coefficients
from gaussmix._src.export.graph import OPSET, Classes, Graph


def to_onnx(model: Any, path: str | PathLike[str] | None = None, *, dtype: DTypeLike = np.float32) -> Any:
    """Export a mixture, a fitted estimator, or a pipeline that ends with an estimator, as an ONNX model of opset 17.

    The input is `X` (n_rows, n_features). The output `label` (n_rows,), int64, is the most probable component, or −1
    for noise; for a detector, `label` is 1 for an inlier and −1 for an outlier; for a classifier, `label` is the most
    probable class, as int64 or string. The output `probabilities` contains p(k | x), (n_rows, n_components), or the
    probabilities of a classifier's classes, (n_rows, n_classes); a detector does not have this output. The output
    `log_density` (n_rows,) is log p(x) in nats. Only a detector has the output `p_value` (n_rows,), the probability
    that a row drawn from the mixture has a lower density than the input row.

    The graph of a mixture first subtracts the average of the components' means from the rows, so that float32 is
    accurate even if all rows are far from the origin. Earlier steps of a pipeline round such rows; use float64.

    Parameters
    ----------
    model : a `Mixture`; a fitted `GaussianMixture`, `GaussianMixtureIC`, `GaussianMixtureDetector`,
        `GaussianMixtureClassifier` or `BayesianGaussianMixture`; or a fitted scikit-learn `Pipeline` that ends with
        such an estimator, for which skl2onnx is needed. A `BayesianGaussianMixture` is exported as the components of
        `mixture_` that have rows, whose densities differ from the predictive densities of `score_samples`.
    path : path of the file to write, usually "….onnx"; None to write no file.
    dtype : type of the input and of the computation, float32 or float64.

    Returns
    -------
    onnx_model : the model as an `onnx.ModelProto`.

    Raises
    ------
    ImportError : onnx is not installed or, for a pipeline, skl2onnx is not installed.
    NotFittedError, TypeError : the model is not fitted, or its type is not supported.
    ValueError : `dtype` is neither float32 nor float64, `dtype` cannot represent the parameters, or the model is a
        detector with noise or a classifier with `reject_below`, for which the ONNX model would need p-values that are
        not defined or not exported.

    Notes
    -----
    Results of a mixture agree with gaussmix to 1e-12 in float64 and 1e-5 in float32. P-values are interpolated in a
    table of 8,000 to 20,000 values. The relative error of p-values is 1e-5 for a mixture with one component. It is 1
    percent for several components and p-values above 0.001, because the table is computed by quasi-Monte Carlo
    integration unless there is one feature. Rows with NaN are not supported.

    Examples
    --------
    >>> import onnxruntime  # doctest: +SKIP
    >>> to_onnx(gm, "faithful.onnx")  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("faithful.onnx")  # doctest: +SKIP
    >>> label, probabilities, log_density = session.run(None, {"X": X.astype("float32")})  # doctest: +SKIP
    """
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be float32 or float64, not {kind}.")
    result = convert_pipeline(model, kind) if isinstance(model, Pipeline) else _convert(Graph.from_model(model, kind))
    if path is not None:
        with open(fspath(path), "wb") as file:
            file.write(result.SerializeToString())
    return result


def _convert(graph: Graph) -> Any:
    """Create the ONNX model of a graph."""
    try:
        import onnx
        from onnx import helper, numpy_helper
    except ImportError:
        raise ImportError("to_onnx needs onnx: use pip install 'gaussmix[onnx]'.") from None
    kinds = {np.dtype(np.int64): onnx.TensorProto.INT64, np.dtype(np.float32): onnx.TensorProto.FLOAT}
    kinds |= {np.dtype(np.float64): onnx.TensorProto.DOUBLE, np.dtype(object): onnx.TensorProto.STRING}
    onnx_graph = helper.make_graph(
        [helper.make_node(kind, inputs, outputs, **attributes) for kind, inputs, outputs, attributes in graph.nodes],
        "gaussian_mixture",
        [helper.make_tensor_value_info("X", kinds[graph.dtype], ["n_rows", graph.n_features])],
        [
            helper.make_tensor_value_info(name, kinds[dtype], ["n_rows", n_columns] if n_columns else ["n_rows"])
            for name, dtype, n_columns in graph.outputs
        ],
        [numpy_helper.from_array(np.ascontiguousarray(values), name) for name, values in graph.constants.items()],
    )
    model = helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="gaussmix")
    model.ir_version = 8  # version of the ONNX file format that belongs to opset 17
    onnx.checker.check_model(model)
    return model


def convert_pipeline(pipeline: Pipeline, dtype: np.dtype[Any]) -> Any:
    """Convert a fitted pipeline to ONNX; raise ImportError, or skl2onnx's error about a step without a converter."""
    try:
        from skl2onnx import convert_sklearn, update_registered_converter
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    except ImportError:
        raise ImportError("to_onnx of a pipeline needs skl2onnx: use pip install 'gaussmix[onnx]'.") from None
    last = pipeline[-1]
    classes = Classes.from_model(last)
    is_detector = classes is None and Coefficients.from_model(last).offset is not None
    names = ("label", "log_density", "p_value") if is_detector else ("label", "probabilities", "log_density")
    has_text = classes is not None and classes.labels.dtype == object
    alias = f"Gaussmix{type(last).__name__}"
    update_registered_converter(
        type(last), alias, _shapes, _nodes, parser=_make_parser(names, has_text), overwrite=True
    )
    tensor = FloatTensorType if dtype == np.float32 else DoubleTensorType
    # skl2onnx can't convert None and "passthrough", which stand for no step.
    used = Pipeline([(name, step) for name, step in pipeline.steps if step not in (None, "passthrough")])
    return convert_sklearn(used, initial_types=[("X", tensor([None, used.n_features_in_]))], target_opset=OPSET)


def _make_parser(names: Sequence[str], has_text: bool) -> Any:
    """Return a function for skl2onnx that declares the outputs of the last step, whose labels may be text."""

    def parse(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
        from skl2onnx._supported_operators import get_model_alias  # returns the name under which a class is registered
        from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

        operator = scope.declare_local_operator(get_model_alias(type(model)), model)
        operator.inputs = list(inputs)
        for name in names:
            label_type = StringTensorType if has_text else Int64TensorType
            kind = label_type if name == "label" else FloatTensorType
            operator.outputs.append(scope.declare_local_variable(name, kind()))
        return operator.outputs

    return parse


def _shapes(operator: Any) -> None:
    """Set the types and shapes of the outputs of the last step."""
    kind = type(operator.inputs[0].type)
    for output in operator.outputs:
        if output.raw_name == "label":
            output.type = type(output.type)([None])
        elif output.raw_name == "probabilities":
            last = operator.raw_operator
            output.type = kind([None, len(getattr(last, "classes_", last.mixture_.weights))])
        else:
            output.type = kind([None])


def _nodes(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of the last step to skl2onnx's container, under names that are unique in the whole model."""
    from onnx import TensorProto, numpy_helper
    from skl2onnx.common.data_types import DoubleTensorType

    is_double = isinstance(operator.inputs[0].type, DoubleTensorType)
    graph = Graph.from_model(operator.raw_operator, np.dtype(np.float64 if is_double else np.float32))
    names = {"X": operator.inputs[0].full_name}
    names |= {output.raw_name: output.full_name for output in operator.outputs}
    for name, values in graph.constants.items():
        names[name] = scope.get_unique_variable_name(name)
        if values.dtype == object:  # skl2onnx does not copy the strings of a tensor
            texts = [text.encode() for text in values]
            container.add_initializer(names[name], TensorProto.STRING, [len(texts)], texts)
            continue
        tensor = numpy_helper.from_array(np.ascontiguousarray(values), names[name])
        container.add_initializer(names[name], None, None, tensor)
    for kind, inputs, outputs, attributes in graph.nodes:
        for name in outputs:
            names.setdefault(name, scope.get_unique_variable_name(name))
        input_names, output_names = [names[name] for name in inputs], [names[name] for name in outputs]
        unique = scope.get_unique_operator_name(kind)
        container.add_node(kind, input_names, output_names, op_version=OPSET, name=unique, **attributes)
