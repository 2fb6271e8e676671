"""Tests of rows in PyTorch's tensors: the page's program, tensors with gradients, and equal results."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn import config_context

from gaussmix import GaussianMixture

torch = pytest.importorskip("torch")
PAGE = Path(__file__).parents[2] / "docs/guide/devices.md"


@pytest.fixture(autouse=True)
def _dispatch(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")


def test_the_programs_of_the_page_run(capsys):
    first, *_, last = re.findall(r"```py\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    namespace = {}
    for program in (first, last):
        exec(program.replace('"cuda"', '"cpu"').replace("1_000_000", "100_000"), namespace)
    assert capsys.readouterr().out == "cpu cpu\n"
    assert namespace["x"].grad.shape == (5, 16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_fit_of_tensors_is_the_fit_of_arrays(dtype, rng):
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
