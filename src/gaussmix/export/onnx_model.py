"""A mixture as an ONNX graph, which runs where there is a runtime for it: phones, browsers, other languages."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from sklearn.pipeline import Pipeline

from gaussmix.export.graph import OPSET, Graph
from gaussmix.export.pipeline import of_pipeline


def to_onnx(model: Any, path: str | PathLike[str] | None = None, *, dtype: DTypeLike = np.float32) -> Any:
    """Write a mixture, a fitted estimator or a pipeline that ends with one as an ONNX model of opset 17.

    The input is `X` (n_rows, n_features). The outputs are

    ============== ========================== =======================================================
    name           shape                      what
    ============== ========================== =======================================================
    label          (n_rows,), int64           the component, −1 for noise; of a detector 1 or −1 (outlier)
    probabilities  (n_rows, n_components)     p(k | x); not of a detector
    log_density    (n_rows,)                  log p(x), nats
    p_value        (n_rows,)                  of a detector: the mass that is less probable than the row
    ============== ========================== =======================================================

    Means are subtracted from the rows first, so that float32 keeps its digits far from the origin.

    Parameters
    ----------
    model : a `Mixture`; a fitted `GaussianMixture`, `GaussianMixtureIC` or `GaussianMixtureDetector`; or a fitted
        `Pipeline` of scikit-learn that ends with one, which needs skl2onnx.
    path : where to write it, usually "….onnx"; None to write no file.
    dtype : of the input and of the computation, float32 or float64.

    Returns
    -------
    onnx_model : the `onnx.ModelProto`.

    Raises
    ------
    ImportError : onnx, or for a pipeline skl2onnx, is not installed.
    NotFittedError, TypeError : the model is not fitted, or of another kind.
    ValueError : dtype is neither float32 nor float64, or p-values of a mixture with noise are asked for.

    Notes
    -----
    Results agree with gaussmix to 1e-12 in float64 and 1e-5 in float32. P-values come from a table of 8192 values. For
    one component their relative error is 1e-5, for several 1 percent, since quasi-Monte Carlo makes the table.
    Rows with NaN are not supported.

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
    made = of_pipeline(model, kind) if isinstance(model, Pipeline) else _of_graph(Graph.of(model, kind))
    if path is not None:
        with open(path, "wb") as file:
            file.write(made.SerializeToString())
    return made


def _of_graph(graph: Graph) -> Any:
    """The ONNX model of a graph."""
    try:
        import onnx
        from onnx import helper, numpy_helper
    except ImportError:
        raise ImportError("to_onnx needs onnx: pip install 'gaussmix[onnx]'.") from None
    kinds = {np.dtype(np.int64): onnx.TensorProto.INT64, np.dtype(np.float32): onnx.TensorProto.FLOAT}
    kinds[np.dtype(np.float64)] = onnx.TensorProto.DOUBLE
    made = helper.make_graph(
        [helper.make_node(kind, inputs, outputs, **more) for kind, inputs, outputs, more in graph.nodes],
        "gaussian_mixture",
        [helper.make_tensor_value_info("X", kinds[graph.dtype], ["n_rows", graph.n_features])],
        [
            helper.make_tensor_value_info(name, kinds[dtype], ["n_rows", n_columns] if n_columns else ["n_rows"])
            for name, dtype, n_columns in graph.outputs
        ],
        [numpy_helper.from_array(np.ascontiguousarray(values), name) for name, values in graph.constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="gaussmix")
    model.ir_version = 8  # that of opset 17
    onnx.checker.check_model(model)
    return model
