"""Tests of all registered covariance structures."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from common import ALIASES, families, family_named

from gaussmix import FAMILIES, Diag, Full, Tied
from gaussmix._src.testing import check_family as laws
from gaussmix.testing import check_equivariance, check_family

MCLUST = ["EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"]


@pytest.mark.heavy(n_default=5)
@families
def test_every_registered_structure_passes_check_family(family, rng):
    check_family(family, rng)


class UnbiasedVariances(Diag):
    """Wrong structure that divides by N − 1 instead of N, so that the likelihood is not maximal."""

    def update(self, scatter, current):
        return self.covariances(scatter.second / (scatter.degrees - 1)[:, None], *scatter.shape)


class HalfWay(Full):
    """Wrong structure whose updates raise the likelihood, but only go halfway to its maximum."""

    def update(self, scatter, current):
        best = super().update(scatter, current)
        return best if current is None else replace(best, each=0.5 * (best.each + current.each))


class MiscountedParameters(Full):
    def n_parameters(self, n_components, n_features):
        return n_components * n_features**2


@pytest.mark.parametrize(
    ("family", "message"),
    [(UnbiasedVariances, "structure allows"), (HalfWay, "of its own result"), (MiscountedParameters, "directions")],
)
def test_check_family_detects_wrong_structures(family, message, rng):
    with pytest.raises(AssertionError, match=message):
        check_family(family(), rng)


@families
def test_fits_of_every_structure_are_equivariant(family, engine, rng):
    check_equivariance(family, engine, rng)


@pytest.mark.parametrize(("n_components", "n_features"), laws.SHAPES)
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "EII", "EEI"])
def test_a_ridge_is_added_to_each_variance(name, n_components, n_features, rng):
    """The ridge is added as it is, or as its mean if all features share one variance; covariances do not change."""
    family, ridge = FAMILIES[name], rng.uniform(0.1, 1.0, n_features)
    scatter = laws.as_needed(family, *laws.random_scatters(rng, n_components, n_features))
    before, after = (family.update(each, None).dense() for each in (scatter, scatter.with_ridge(ridge)))
    added = np.full(n_features, ridge.mean()) if name in ("spherical", "EII") else ridge
    np.testing.assert_allclose(after, before + np.diag(added), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", ["VEI", "VEE", "VEV"])
def test_updates_with_iterated_volumes_work_near_the_largest_float64(name, rng):
    family, unit = FAMILIES[name], 2.0**1000
    mass, full = laws.random_scatters(rng, 3, 4)
    expected = family.update(laws.as_needed(family, mass, full), None)
    found = family.update(laws.as_needed(family, mass, full * unit), None)
    np.testing.assert_allclose(found.each / unit, expected.each, rtol=1e-12)  # each iterative search stops within 1e-13


def is_nested(smaller, larger):
    """Return whether `larger` contains `smaller`, by the order I (identity) < E (equal) < V (varying) of letters."""
    return smaller != larger and all("IEV".index(a) <= "IEV".index(b) for a, b in zip(smaller, larger, strict=True))


def check_nested(smaller, larger, rng):
    """Check that a structure which contains another one is at least as likely for the same scatter matrices."""
    for shape in laws.SHAPES:
        mass, full = laws.random_scatters(rng, *shape)
        values = [
            laws.expected_log_likelihood(laws.updated(family, mass, full).dense(), mass, full)
            for family in (smaller, larger)
        ]
        if values[1] < values[0] - laws.GAIN * float(mass.sum()) * shape[1]:
            raise AssertionError(f"{larger.name} is {values[0] - values[1]:.3g} nats less likely than {smaller.name}")


@pytest.mark.parametrize(
    ("smaller", "larger"), [pair for pair in product(MCLUST, MCLUST) if is_nested(*pair)], ids="-".join
)
def test_a_structure_reaches_at_least_the_likelihood_of_any_that_it_contains(smaller, larger, rng):
    check_nested(family_named(smaller), family_named(larger), rng)


def test_check_nested_detects_structures_in_the_wrong_order(rng):
    with pytest.raises(AssertionError, match="less likely than full"):
        check_nested(Full(), Tied(), rng)


@pytest.mark.parametrize("name", MCLUST)
def test_n_parameters_follows_the_letters_of_a_structure(name):
    """Count 1 or K volumes, (d − 1) parameters per shape and d (d − 1) / 2 per orientation, as mclust's nVarParams."""
    for n_components, n_features in product([1, 2, 5], [1, 2, 7]):
        times = {"I": 0, "E": 1, "V": n_components}
        volume, shape, orientation = (times[letter] for letter in name)
        expected = volume + shape * (n_features - 1) + orientation * n_features * (n_features - 1) // 2
        assert family_named(name).n_parameters(n_components, n_features) == expected


def test_family_named_accepts_every_name_of_mclust():
    assert {family_named(name).name for name in MCLUST} == {name for name, each in FAMILIES.items() if each.in_all}
    assert {name for name in ALIASES if len(name) == 3} == set(MCLUST) - set(FAMILIES)
    assert family_named("E").n_parameters(3, 1) == 1
    assert family_named("V").n_parameters(3, 1) == 3
