"""Tests of rows in arrays of PyTorch and JAX: the programs of the page, tensors with gradients, and equal results."""

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


def test_the_programs_of_pytorch_run(capsys):
    pytest.importorskip("torch")
    first, *_, last = re.findall(r"```py\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    namespace = {}
    for program in (first, last):
        exec(program.replace('"cuda"', '"cpu"').replace("1_000_000", "100_000"), namespace)
    assert capsys.readouterr().out == "cpu cpu\n"
    assert namespace["x"].grad.shape == (5, 16)


def test_the_program_of_jax_runs():
    jax = pytest.importorskip("jax")
    _, _, program, _ = re.findall(r"```py\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    namespace = {}
    exec(program.replace("1_000_000", "100_000"), namespace)
    found, X = namespace["gm"], np.asarray(namespace["X"])
    assert isinstance(found.means_, jax.Array)
    np.testing.assert_allclose(found.means_, GaussianMixture(8, random_state=0).fit(X).means_, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_fit_of_tensors_is_the_fit_of_arrays(kind, rng):
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
