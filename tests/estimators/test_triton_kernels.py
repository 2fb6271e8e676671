"""Triton kernels of a step for PyTorch tensors, on a Hopper GPU, or interpreted in Python if TRITON_INTERPRET=1."""

import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from common import Block, FactorShape, MomentSpec, Second
from every_engine import ENGINES
from random_parameters import random_parameters

from gaussmix._src.engines.device import passes
from gaussmix._src.numerics.device_array import DeviceArray

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
if DEVICE == "cuda" and not (torch.cuda.is_available() and torch.cuda.get_device_capability()[0] == 9):
    pytest.skip("needs a Hopper GPU or TRITON_INTERPRET=1", allow_module_level=True)
triton_kernels = pytest.importorskip("gaussmix._src.engines.device.triton_kernels")


@pytest.fixture
def has_kernels(monkeypatch):
    """Let a pass of any length use the kernels, and return a function that sets whether it does."""
    monkeypatch.setattr(passes, "MIN_KERNEL_WORK", 0)

    def set_answer(answer):
        monkeypatch.setattr(passes, "has_kernels", lambda rows: answer)

    set_answer(True)
    return set_answer


def on_device(block):
    """Return a block whose rows and weights are tensors with the same strides."""
    weight = None if block.row_weight is None else DeviceArray(torch.from_numpy(block.row_weight).to(DEVICE))
    return replace(block, rows=DeviceArray(torch.from_numpy(block.rows).to(DEVICE)), row_weight=weight)


@pytest.fixture
def check(has_kernels):
    """Return a function that compares the sums of the kernels with the sums by products of the array library."""

    def compare(block, parameters, second=Second.FULL):
        step, spec = passes.Pass(on_device(block), parameters, len(parameters.means)), MomentSpec(second)
        has_kernels(False)
        expected, n_expected = step.sum_moments(spec, parameters.means)
        assert not step._measured.kernels
        has_kernels(True)
        found, n_found = step.sum_moments(spec, parameters.means)
        assert step._measured.kernels
        assert n_found == n_expected
        names = ["mass", "first", "log_likelihood", "row_weight", "noise_mass"]
        for name in names + ["second"] * (second is not Second.NONE):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-11)

    return compare


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
        (FactorShape.DIAGONAL, Second.NONE, True),
    ],
)
def test_kernels_sum_the_same_moments_as_matrix_products(
    factor_shape, second, is_shared, n_components, n_features, dtype, has_weight, has_noise, check, rng
):
    parameters = random_parameters(rng, n_components, n_features, factor_shape, is_shared=is_shared)
    parameters = replace(parameters, log_noise_density=-2.0 if has_noise else -np.inf)
    rows = (2 * rng.normal(size=(77, n_features))).astype(dtype)
    check(Block(0, rows, rng.choice([0.0, 0.5, 2.0], len(rows)) if has_weight else None), parameters, second)


LAYOUTS = {
    "columns": lambda rows: np.asfortranarray(rows),
    "other rows": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "other columns": lambda rows: np.repeat(rows, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_kernels_read_rows_and_weights_with_any_strides(layout, check, rng):
    weight = np.repeat(rng.uniform(0.5, 2.0, 77), 2)[::2]
    block = Block(0, layout(2 * rng.normal(size=(77, 3))), weight)
    check(block, random_parameters(rng, 4, 3, FactorShape.TRIANGULAR))


def test_kernels_ignore_a_component_of_weight_zero(check, rng):
    parameters = random_parameters(rng, 3, 2, FactorShape.TRIANGULAR)
    log_scale = np.where(np.arange(3) == 1, -np.inf, parameters.log_scale)
    check(Block(0, 2 * rng.normal(size=(77, 2))), replace(parameters, log_scale=log_scale))


def test_kernels_add_the_sums_of_several_parts_and_programs(check, rng, monkeypatch):
    parameters = replace(random_parameters(rng, 3, 2, FactorShape.TRIANGULAR), log_noise_density=-2.0)
    monkeypatch.setattr(triton_kernels, "SUM_ROWS", 32)
    monkeypatch.setattr(passes, "MAX_PASS_VALUES", 90 * (16 + 2 + 1))  # parts of at most 90 rows
    check(Block(0, (2 * rng.normal(size=(200, 2))).astype("f4"), rng.uniform(0.5, 2.0, 200)), parameters)


@pytest.mark.parametrize(
    ("n_components", "n_features", "log_noise", "second", "log_prior", "is_used"),
    [
        (64, 1, -np.inf, Second.FULL, None, True),
        (64, 1, -2.0, Second.FULL, None, False),
        (2, 64, -np.inf, Second.FULL, None, True),
        (2, 65, -np.inf, Second.FULL, None, False),
        (2, 2, -np.inf, Second.DIAGONAL, None, False),
        (2, 2, -np.inf, Second.FULL, np.zeros((99, 2)), False),
    ],
)
def test_a_pass_uses_kernels_for_at_most_64_components_without_labels(
    n_components, n_features, log_noise, second, log_prior, is_used, has_kernels, rng
):
    parameters = random_parameters(rng, n_components, n_features, FactorShape.TRIANGULAR)
    block = replace(on_device(Block(0, rng.normal(size=(99, n_features)))), log_prior=log_prior)
    step = passes.Pass(block, replace(parameters, log_noise_density=log_noise), n_components)
    step._joint_density.theta = np.zeros((n_components, (n_features + 1) * (n_features + 2) // 2))
    assert (step._begin_kernels(second)[0] is not None) == is_used


def test_a_device_step_with_distant_rows_equals_the_step_of_numpy_rows(has_kernels, rng):
    parameters = random_parameters(rng, 3, 2, FactorShape.TRIANGULAR)
    rows = 2 * rng.normal(size=(77, 2))
    rows[[5, 40]] = [[1e6, -1e6], [1e8, 1e8]]
    found, expected = (
        ENGINES[name](1).step(block, ENGINES[name](1).make_state(block, 3), parameters, MomentSpec(Second.FULL))
        for name, block in (("device", on_device(Block(0, rows))), ("complete", Block(0, rows)))
    )
    for name in ("mass", "first", "second", "log_likelihood"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)


def test_a_pass_without_compiled_kernels_warns_and_uses_matrix_products(has_kernels, rng, monkeypatch):
    parameters, block = random_parameters(rng, 3, 2, FactorShape.TRIANGULAR), Block(0, rng.normal(size=(50, 2)))
    monkeypatch.setattr(triton_kernels, "_assign_rows", None)
    step = passes.Pass(on_device(block), parameters, 3)
    with pytest.warns(RuntimeWarning, match=r"Triton could not compile kernels for the GPU \(TypeError: "):
        found, _ = step.sum_moments(MomentSpec(Second.FULL), parameters.means)
    has_kernels(False)
    expected, _ = step.sum_moments(MomentSpec(Second.FULL), parameters.means)
    assert found.log_likelihood == expected.log_likelihood


@pytest.mark.parametrize(("generation", "is_cuda", "expected"), [(8, True, False), (9, True, True), (9, False, False)])
def test_kernels_run_only_on_hopper_gpus(generation, is_cuda, expected, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (generation, 0))
    assert passes.has_kernels(SimpleNamespace(values=SimpleNamespace(is_cuda=is_cuda, device="cuda"))) == expected
