"""Tests of `Mixture.to_torch`: the same density, responsibilities and gradients, and draws from the same mixture."""

import pickle
import re

import numpy as np
import pytest

from gaussmix import FAMILIES, GaussianMixture, Mixture, Noise

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.in_all])
def test_to_torch_gives_the_same_densities_responsibilities_and_gradients(name, rng):
    X = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3))
    mixture = GaussianMixture(3, covariance_type=name, init_params="kmeans", random_state=0).fit(X).mixture_
    module, rows = mixture.to_torch(), 3 * X
    x = torch.tensor(rows, requires_grad=True)
    log_density = module(x)
    log_density.sum().backward()
    np.testing.assert_allclose(log_density.detach(), mixture.log_density(rows), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(x.grad, mixture.gradient(rows), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(module.responsibilities(x).detach(), mixture.responsibilities(rows), atol=1e-12)
    np.testing.assert_allclose(module(x.reshape(2, 100, 3)).detach().reshape(-1), log_density.detach(), rtol=1e-14)


def test_to_torch_module_samples_from_the_mixture():
    mixture = Mixture([0.3, 0.7], [[0.0, 0.0], [9.0, 5.0]], [[[2.0, 1.0], [1.0, 1.0]], np.eye(2)], FAMILIES["full"])
    drawn = mixture.to_torch().sample(20_000, torch.Generator().manual_seed(0)).numpy()
    near = drawn[mixture.predict(drawn) == 0]
    assert abs(len(near) / 20_000 - 0.3) < 0.02
    np.testing.assert_allclose(np.cov(near.T), [[2.0, 1.0], [1.0, 1.0]], atol=0.1)


def test_to_torch_module_can_be_pickled_and_has_no_trainable_parameters(rng):
    mixture = GaussianMixture(2, random_state=0).fit(rng.normal(size=(50, 2))).mixture_
    module = mixture.to_torch()
    x = torch.zeros(1, 2, dtype=torch.float64)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), module(x))
    assert list(module.parameters()) == []
    assert module.float()(x.float()).dtype == torch.float32


@pytest.mark.parametrize("shape", [(5, 1), (5, 2), (2, 5, 4), (1,), ()])
@pytest.mark.parametrize("method", ["forward", "log_density", "component_log_density", "responsibilities"])
def test_to_torch_module_rejects_rows_of_another_shape(method, shape):
    module = Mixture([0.5, 0.5], [[0.0] * 3, [1.0] * 3], np.ones((2, 3)), FAMILIES["diag"]).to_torch()
    with pytest.raises(ValueError, match=re.escape(f"rows must have shape (…, 3), not {shape}.")):
        getattr(module, method)(torch.ones(shape, dtype=torch.float64))


def test_to_torch_rejects_noise(rng):
    gm = GaussianMixture(2, noise=Noise(volume=100.0), random_state=0).fit(rng.normal(size=(50, 2)))
    with pytest.raises(ValueError, match="noise"):
        gm.mixture_.to_torch()


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_to_torch_gradients_of_distant_rows_are_exact(kind):
    mixture = Mixture(np.full(8, 0.125), np.zeros((8, 1)), np.ones(8), FAMILIES["spherical"])
    module = mixture.to_torch().to(getattr(torch, kind))
    x = torch.tensor([[1e4], [1e9]], dtype=module.means.dtype, requires_grad=True)
    module(x).sum().backward()
    np.testing.assert_allclose(x.grad, -x.detach(), rtol=1e-6)
    farther = torch.tensor([[float(torch.finfo(x.dtype).max) ** 0.6]], dtype=x.dtype, requires_grad=True)
    module(farther).sum().backward()
    assert farther.grad.isfinite().all()
    np.testing.assert_allclose(module.responsibilities(farther).detach(), 0.125)
