"""Triton kernels of a step for PyTorch tensors, on a GPU if there is one and otherwise interpreted in Python."""

import os
from dataclasses import replace

import numpy as np
import pytest
from common import Block, FactorShape, MomentSpec, Second
from random_parameters import random_parameters

from gaussmix._src.engines.device import passes
from gaussmix._src.numerics.device_array import DeviceArray

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
if DEVICE == "cuda" and not torch.cuda.is_available():
    pytest.skip("needs a GPU or TRITON_INTERPRET=1", allow_module_level=True)


@pytest.fixture
def sum_moments(monkeypatch):
    """Return a function that sums moments of a block on a device by the library and by the kernels."""

    def sum_both(block, parameters, spec):
        rows = DeviceArray(torch.tensor(block.rows, device=DEVICE))
        weight = None if block.row_weight is None else DeviceArray(torch.tensor(block.row_weight, device=DEVICE))
        on_device = replace(block, rows=rows, row_weight=weight)
        step = passes.Pass(on_device, parameters, len(parameters.means))
        by_products = step.sum_moments(spec, parameters.means)
        monkeypatch.setattr(passes, "has_kernels", lambda rows: True)
        by_kernels = step.sum_moments(spec, parameters.means)
        assert step._measured.kernels
        return by_products, by_kernels

    monkeypatch.setattr(passes, "has_kernels", lambda rows: False)
    monkeypatch.setattr(passes, "MIN_KERNEL_WORK", 0)
    return sum_both


@pytest.mark.parametrize("has_noise", [False, True])
@pytest.mark.parametrize("has_weight", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (3, 2), (20, 17)])
@pytest.mark.parametrize(
    ("factor_shape", "second", "is_shared"),
    [
        (FactorShape.TRIANGULAR, Second.FULL, False),
        (FactorShape.TRIANGULAR, Second.NONE, True),
        (FactorShape.DIAGONAL, Second.DIAGONAL, False),
    ],
)
def test_kernels_sum_the_same_moments_as_matrix_products(
    factor_shape, second, is_shared, n_components, n_features, dtype, has_weight, has_noise, sum_moments, rng
):
    parameters = random_parameters(rng, n_components, n_features, factor_shape, is_shared=is_shared)
    parameters = replace(parameters, log_noise_density=-2.0 if has_noise else -np.inf)
    rows = (2 * rng.normal(size=(77, n_features))).astype(dtype)
    block = Block(0, rows, rng.choice([0.0, 0.5, 2.0], len(rows)) if has_weight else None)
    (expected, n_expected), (found, n_found) = sum_moments(block, parameters, MomentSpec(second))
    assert n_found == n_expected
    names = ["mass", "first", "log_likelihood", "row_weight", "noise_mass"] + ["second"] * (second is not Second.NONE)
    for name in names:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-11)


def test_kernels_add_the_sums_of_several_parts_and_programs(sum_moments, rng, monkeypatch):
    triton_kernels = pytest.importorskip("gaussmix._src.engines.device.triton_kernels")
    parameters = random_parameters(rng, 3, 2, FactorShape.TRIANGULAR)
    block = Block(0, 2 * rng.normal(size=(200, 2)))
    monkeypatch.setattr(triton_kernels, "SUM_ROWS", 32)
    monkeypatch.setattr(passes, "MAX_PASS_VALUES", 90 * (16 + 2 + 1))  # parts of 90 rows
    (expected, _), (found, _) = sum_moments(block, parameters, MomentSpec(Second.FULL))
    for name in ("mass", "first", "second", "log_likelihood"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-11)


def test_a_pass_without_compiled_kernels_warns_and_uses_matrix_products(sum_moments, rng, monkeypatch):
    triton_kernels = pytest.importorskip("gaussmix._src.engines.device.triton_kernels")
    parameters = random_parameters(rng, 3, 2, FactorShape.TRIANGULAR)
    monkeypatch.setattr(triton_kernels, "_assign_rows", None)
    with pytest.warns(RuntimeWarning, match=r"Triton could not compile kernels for the GPU \(TypeError: "):
        expected, found = sum_moments(Block(0, rng.normal(size=(50, 2))), parameters, MomentSpec(Second.FULL))
    assert found[0].log_likelihood == expected[0].log_likelihood
