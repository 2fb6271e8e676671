"""Laws of families, over the registry."""

import numpy as np
import pytest

from gaussmix.families import FAMILIES
from gaussmix.testing import check_equivariance, check_family
from gaussmix.testing.check_family import SHAPES, as_needed, random_scatters


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_family_keeps_its_laws(family, rng):
    check_family(family, rng)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_fits_move_along_with_the_data(family, engine, rng):
    check_equivariance(family, engine, rng)


@pytest.mark.parametrize(("n_components", "n_features"), SHAPES)
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
def test_a_ridge_is_added_to_each_variance(name, n_components, n_features, rng):
    """As it stands, or its mean over features where there is one variance; covariances stay."""
    family, ridge = FAMILIES[name], rng.uniform(0.1, 1.0, n_features)
    scatter = as_needed(family, *random_scatters(rng, n_components, n_features))
    shape = n_components, n_features
    before = family.dense(family.update(scatter, None), *shape)
    after = family.dense(family.update(scatter.with_ridge(ridge), None), *shape)
    added = np.full(n_features, ridge.mean()) if name == "spherical" else ridge
    np.testing.assert_allclose(after, before + np.diag(added), rtol=1e-14, atol=1e-14)
