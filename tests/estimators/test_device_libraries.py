"""PyTorch tensors, CuPy and JAX arrays as rows, on a GPU if there is one and otherwise on the processor."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn import config_context

from gaussmix import BayesianGaussianMixture, GaussianMixture, GaussianMixtureIC
from gaussmix._src.numerics.device_array import to_host

PAGE = Path(__file__).parents[2] / "docs/guide/devices.md"


@pytest.fixture(autouse=True)
def _dispatch(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")


@pytest.fixture(params=["torch", "cupy", "jax"])
def to_device(request):
    """Return a function that copies a NumPy array to the default device of a library."""
    library = pytest.importorskip(request.param)
    with config_context(array_api_dispatch=True):
        if request.param == "torch":
            yield partial(library.tensor, device="cuda" if library.cuda.is_available() else "cpu")
        elif request.param == "cupy":
            yield library.asarray
        else:
            library.config.update("jax_enable_x64", True)
            yield library.numpy.asarray


FITS = {
    "default": GaussianMixture,
    "kmeans": partial(GaussianMixture, init_params="kmeans"),
    "tied": partial(GaussianMixture, covariance_type="tied"),
    "diag": partial(GaussianMixture, covariance_type="diag"),
    "VEV": partial(GaussianMixture, covariance_type="VEV"),
    "factors": partial(GaussianMixture, covariance_type="factor_analyzer"),
    "noise": partial(GaussianMixture, noise=True),
    "trim": partial(GaussianMixture, trim=0.05),
    "prior": partial(GaussianMixture, prior="default"),
    "Bayes": BayesianGaussianMixture,
    "selection": lambda n_components, **options: GaussianMixtureIC([n_components - 1, n_components], **options),
}


@pytest.mark.parametrize("make", FITS.values(), ids=FITS)
def test_a_fit_on_a_device_equals_the_fit_of_numpy_arrays(make, to_device, rng):
    groups = [rng.normal(size=(5_000, 5)) @ rng.normal(size=(5, 5)) + 4 * rng.normal(size=5) for _ in range(4)]
    X = rng.permutation(np.concatenate(groups))
    weight = rng.choice([0.0, 0.5, 1.0, 3.0], len(X))
    expected = make(4, random_state=0).fit(X, sample_weight=weight)
    found = make(4, random_state=0).fit(to_device(X), sample_weight=to_device(weight))
    assert type(found.means_) is type(to_device(X))
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, rel=1e-9)
    atol = 1e-3 if make is BayesianGaussianMixture else 1e-6  # its accelerated run may take other steps
    # Rounding errors may decide which of several runs is best, and therefore the order of the components.
    found_order, order = (np.argsort(to_host(each.means_)[:, 0]) for each in (found, expected))
    np.testing.assert_allclose(to_host(found.means_)[found_order], expected.means_[order], atol=atol)
    np.testing.assert_allclose(to_host(found.score_samples(to_device(X))), expected.score_samples(X), atol=100 * atol)
    probabilities = to_host(found.predict_proba(to_device(X)))
    np.testing.assert_allclose(probabilities[:, found_order], expected.predict_proba(X)[:, order], atol=10 * atol)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_features", [1, 7, 16, 40])
@pytest.mark.parametrize("n_components", [1, 3, 65])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_a_step_on_a_device_equals_the_step_of_numpy_arrays(covariance_type, n_components, n_features, to_device, rng):
    means = 3 * rng.normal(size=(n_components, n_features))
    X = means[rng.integers(n_components, size=5_000)] + rng.normal(size=(5_000, n_features))
    start = {"means_init": means + 0.1, "weights_init": np.full(n_components, 1 / n_components)}
    options = {"covariance_type": covariance_type, "max_iter": 1, "tol": 0.0, **start}
    expected, found = (GaussianMixture(n_components, **options).fit(rows) for rows in (X, to_device(X)))
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(to_host(getattr(found, name)), getattr(expected, name), rtol=1e-8, atol=1e-9)
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, rel=1e-10)


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_have_the_library_type_and_device_of_the_rows(dtype, to_device, rng):
    X = np.concatenate([rng.normal(size=(300, 2)), rng.normal(size=(200, 2)) + 5]).astype(dtype)
    rows = to_device(X)
    found, expected = (GaussianMixture(2, random_state=0).fit(each) for each in (rows, X))
    for values in (found.means_, found.predict_proba(rows), found.score_samples(rows), found.sample(3)[0]):
        assert (type(values), values.dtype, values.device) == (type(rows), rows.dtype, rows.device)
        if hasattr(values, "is_contiguous"):  # PyTorch's `view` needs it
            assert values.is_contiguous()
    np.testing.assert_allclose(to_host(found.means_), expected.means_, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(to_host(found.labels_), expected.labels_)


def test_a_tensor_that_requires_gradients_is_fitted_without_them(rng):
    torch = pytest.importorskip("torch")
    X = rng.normal(size=(100, 2))
    with config_context(array_api_dispatch=True):
        rows = torch.tensor(X, requires_grad=True)
        found = GaussianMixture(1).fit(rows)
        for values in (found.means_, found.predict_proba(rows), found.score_samples(rows), found.sample(3)[0]):
            assert not values.requires_grad
    np.testing.assert_allclose(found.means_[0], X.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["int32", "float32", "bool"])
def test_X_and_sample_weight_may_be_arrays_of_different_libraries(dtype, rng):
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    X, weight = rng.normal(size=(50, 2)), rng.integers(1, 4, 50).astype(dtype)
    with config_context(array_api_dispatch=True):
        found = GaussianMixture(1).fit(torch.tensor(X), sample_weight=jax.numpy.asarray(weight))
    np.testing.assert_allclose(found.means_[0], np.average(X, axis=0, weights=weight), rtol=1e-12)
