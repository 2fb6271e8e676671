"""Models of all types that can be exported to other systems."""

import numpy as np
import pytest

from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureDetector, Mixture

OFFSETS = (0.0, 1e4)
SHARED = {"distant tied": [[1.0, 0.0], [0.0, 1.0]], "distant EEI": [1.0, 4.0], "distant EII": 1.0}
KINDS = [*FAMILIES, *SHARED, "noise", "a component of weight 0", "one feature", "detector"]


def rows_at(offset, n_features=3):
    """Return two groups with different scales, shifted from the origin by an offset."""
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(2, 200, n_features))
    return np.concatenate([first, second * np.linspace(0.3, 2.0, n_features) + 4.0]) + offset


def fitted(kind, rows):
    """Return a fitted estimator or a mixture of one of `KINDS`."""
    if kind == "detector":
        return GaussianMixtureDetector(2, random_state=0).fit(rows)
    if kind == "noise":
        return GaussianMixture(2, noise=True, random_state=0).fit(rows)
    if kind == "a component of weight 0":
        return Mixture.from_parameters(
            [0.0, 1.0], [rows[0], rows[-1]], np.ones((2, rows.shape[1])), covariance_type="diag"
        )
    structure = kind if kind in FAMILIES else "full"
    return GaussianMixture(3, covariance_type=structure, random_state=0, tol=1e-2).fit(rows)


def mixture_of(model):
    return model if isinstance(model, Mixture) else model.mixture_


@pytest.fixture(params=OFFSETS, ids=lambda offset: f"offset {offset:g}")
def offset(request):
    return request.param


@pytest.fixture(params=KINDS)
def case(request, offset):
    """Return a model and rows: some of its data, and some rows with a large distance from the data."""
    if request.param in SHARED:
        return shared(request.param), DISTANT_ROWS
    data = rows_at(offset, 1 if request.param == "one feature" else 3)
    distant = data[:20] + np.random.default_rng(1).normal(scale=8.0, size=data[:20].shape)
    return fitted(request.param, data), np.concatenate([data[::5], distant])


# Rows for mixtures with a shared covariance. The squared distances of each row to both means are equal in doubles.
DISTANT_ROWS = np.array([[-0.25, 1e9], [0.25, 1e12], [0.25, -1e9], [1e17, 0.0]])


def shared(kind):
    """Return a mixture whose components share one covariance."""
    return Mixture.from_parameters(
        [0.4, 0.6], [[-1.0, 0.0], [1.0, 0.0]], SHARED[kind], covariance_type=kind.removeprefix("distant ")
    )
