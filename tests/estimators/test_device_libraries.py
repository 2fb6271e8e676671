"""PyTorch tensors and JAX arrays as rows: the examples of the guide, tensors with gradients, and equal results."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn import config_context

from gaussmix import GaussianMixture

PAGE = Path(__file__).parents[2] / "docs/guide/devices.md"


@pytest.fixture(autouse=True)
def _dispatch(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")


def test_the_pytorch_examples_of_the_guide_run(capsys):
    pytest.importorskip("torch")
    first, *_, last = re.findall(r"```py\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    namespace = {}
    for program in (first, last):
        exec(program.replace('"cuda"', '"cpu"').replace("1_000_000", "100_000"), namespace)
    assert capsys.readouterr().out == "cpu cpu\n"
    assert namespace["x"].grad.shape == (5, 16)


def test_the_jax_example_of_the_guide_runs():
    jax = pytest.importorskip("jax")
    _, _, program, _ = re.findall(r"```py\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    namespace = {}
    exec(program.replace("1_000_000", "100_000"), namespace)
    found, X = namespace["gm"], np.asarray(namespace["X"])
    assert isinstance(found.means_, jax.Array)
    np.testing.assert_allclose(found.means_, GaussianMixture(8, random_state=0).fit(X).means_, rtol=1e-6, atol=1e-6)


TENSORS = {
    "negative bit": (lambda torch, X: [torch.complex(X, -X).conj().imag], None),
    "gradients": (lambda torch, X: [X, None, X[:, 0].exp().requires_grad_()], None),
    "compressed rows": (lambda torch, X: [X.to_sparse_csr()], "Sparse data was passed for X"),
    "compressed columns": (lambda torch, X: [X.to_sparse_csc()], "Sparse data was passed for X"),
    "sparse weights": (lambda torch, X: [X, None, X[:, 0].to_sparse()], "Sparse data was passed for sample_weight"),
    "complex weights": (lambda torch, X: [X, None, X[:, 0] + 1j], "sample_weight must be real numbers"),
}


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize(("arguments", "sentence"), TENSORS.values(), ids=TENSORS)
def test_tensor_views_are_fitted_but_sparse_and_complex_tensors_are_rejected(arguments, sentence, rng):
    torch = pytest.importorskip("torch")
    X = torch.tensor(rng.normal(size=(50, 2)))
    values = arguments(torch, X)
    with config_context(array_api_dispatch=True):
        if sentence is not None:
            with pytest.raises((ValueError, TypeError), match=sentence):
                GaussianMixture(1).fit(*values)
            return
        found = GaussianMixture(1).fit(*values)
    weight = values[2].detach() if len(values) > 1 else None
    np.testing.assert_allclose(found.means_[0], np.average(X, axis=0, weights=weight), rtol=1e-12)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_fit_to_a_tensor_equals_the_fit_to_an_array(kind, rng):
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, kind)
    X = np.concatenate([rng.normal(size=(300, 2)), rng.normal(size=(200, 2)) + 5])
    tensor = torch.tensor(X, dtype=dtype, requires_grad=True)
    rows = tensor.detach().numpy()
    expected = GaussianMixture(2, random_state=0).fit(rows)
    with config_context(array_api_dispatch=True):
        found = GaussianMixture(2, random_state=0).fit(tensor)
        responsibilities, drawn = found.predict_proba(tensor), found.sample(3)[0]
    assert (found.means_.dtype, responsibilities.dtype, drawn.dtype) == (dtype, dtype, dtype)
    np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found.labels_, expected.labels_)


@pytest.mark.parametrize("dtype", ["int32", "float32", "bool"])
def test_X_and_sample_weight_may_be_arrays_of_different_libraries(dtype, rng):
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    X, weight = rng.normal(size=(50, 2)), rng.integers(1, 4, 50).astype(dtype)
    with config_context(array_api_dispatch=True):
        found = GaussianMixture(1).fit(torch.tensor(X), sample_weight=jax.numpy.asarray(weight))
    np.testing.assert_allclose(found.means_[0], np.average(X, axis=0, weights=weight), rtol=1e-12)
