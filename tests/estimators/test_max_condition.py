"""`max_condition`, the bound on eigenvalue ratios: errors, collapse, and model selection."""

import numpy as np
import pytest
from common import family_named

from gaussmix import FAMILIES, Diag, Full, GaussianMixture, GaussianMixtureIC

OTHERS = ["EVE", "EEV", "VEV", "VEI", "EVI", "VEE", "VVE", "EVV", "factor_analyzer"]


@pytest.fixture
def rows(rng):
    """Return two groups, and three rows that lie on one point."""
    group = rng.normal(size=(100, 2)) * [1.0, 0.2]
    return np.concatenate([group, group[:60] + np.array([8.0, 3.0]), np.full((3, 2), 20.0)])


def ratio(gm):
    values = np.linalg.eigvalsh(gm.mixture_._model.covariances.dense())
    return values.max() / values.min()


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "EEI", "EII"])
def test_no_component_collapses_if_max_condition_is_set(name, rows):
    """Check that three equal rows have their own component with the smallest variances, although there is no ridge."""
    labels = np.repeat([0, 1, 2], [100, 60, 3])
    gm = GaussianMixture(3, covariance_type=family_named(name, max_condition=50), init_params=labels).fit(rows)
    assert gm.outcome_.collapsed == []
    assert ratio(gm) <= 50 * (1 + 1e-9)
    assert gm.weights_[2] == pytest.approx(3 / 163, abs=1e-6)
    lower = np.array(gm.lower_bounds_)
    assert (np.diff(lower) >= -1e-12 * np.abs(lower[1:])).all()


def test_reg_covar_auto_is_0_with_max_condition_and_a_number_is_added(rows):
    labels = np.repeat([0, 1, 2], [100, 60, 3])
    by_auto, by_zero, ridged = (
        GaussianMixture(3, covariance_type=Full(50), reg_covar=ridge, init_params=labels).fit(rows)
        for ridge in ("auto", 0, 1)
    )
    assert by_auto.covariances_.tobytes() == by_zero.covariances_.tobytes()
    assert np.linalg.eigvalsh(ridged.covariances_).min() > 1 - 1e-12


@pytest.mark.parametrize("name", OTHERS)
def test_other_structures_reject_max_condition(name):
    with pytest.raises(ValueError, match=f"max_condition is not an option of the structure '{name}'"):
        family_named(name, max_condition=3.0)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (0.5, ValueError, "max_condition=0.5 must be a finite number ≥ 1"),
        (np.nan, ValueError, "max_condition=nan must be"),
        (np.inf, ValueError, "max_condition=inf must be"),
        ("3", TypeError, "max_condition must be a finite number ≥ 1, or None, not '3'"),
        (True, TypeError, "max_condition must be a finite number"),
    ],
)
def test_invalid_values_of_max_condition_are_rejected(value, error, message):
    with pytest.raises(error, match=message):
        Full(value)
    structure = Diag(3.0)
    with pytest.raises(error, match=message):
        structure.set_params(max_condition=value)
    assert structure == Diag(3.0)


def test_gaussian_mixture_ic_selects_among_structures_with_max_condition(rows):
    found = GaussianMixtureIC(range(1, 4), covariance_type=[Full(30), Diag(30)], random_state=0).fit(rows)
    assert found.mixture_.family.non_default_params == {"max_condition": 30.0}
    assert ratio(found) <= 30 * (1 + 1e-9)
    assert found.results_["failure"] == [None] * 6
    assert set(found.results_["structure"]) == {"full", "diag"}
    several = GaussianMixtureIC(1, covariance_type=["full", Full(30), Diag(30)], random_state=0).fit(rows)
    assert several.results_["structure"] == ["Full()", "Full(max_condition=30)", "diag"]


def test_a_fitted_mixture_keeps_its_structure_when_max_condition_is_set(rows):
    gm = GaussianMixture(2, covariance_type=Full(30), random_state=0).fit(rows)
    gm.set_params(covariance_type__max_condition=7)
    assert (gm.covariance_type, gm.mixture_.family) == (Full(7), Full(30))


def test_registered_structures_cannot_be_changed():
    gm = GaussianMixture(covariance_type=FAMILIES["full"])
    with pytest.raises(ValueError, match=r"in FAMILIES is shared by all fits: create Full\(…\)"):
        gm.set_params(covariance_type__max_condition=3)
    assert FAMILIES["full"] == Full()
