"""Tests of `GaussianMixture` with each covariance structure and each of its names."""

import pickle

import numpy as np
import pytest
from common import ALIASES, family_named

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix.extend import LowRank

NAMES = [name for name in (*FAMILIES, *ALIASES) if len(name) > 1]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    centres = np.array([[0.0, 0.0, 0.0], [5.0, 5.0, 0.0]])
    return np.concatenate([centre + rng.normal(size=(60, 3)) * [1.0, 2.0, 0.5] for centre in centres])


@pytest.mark.parametrize("name", NAMES)
def test_attributes_and_scores_of_each_structure_are_consistent(name, rows):
    gm = GaussianMixture(2, covariance_type=name, random_state=0).fit(rows)
    family, covariances = gm.mixture_.family, gm.mixture_._model.covariances
    dense, simple_form = covariances.dense(), covariances.to_simple_form()
    assert family is family_named(name)
    assert gm.covariances_.shape == gm.precisions_.shape == simple_form.array.shape
    product = type(simple_form).from_array(gm.precisions_, 2, 3, simple_form.is_shared).dense() @ dense
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-12)
    full = Mixture(gm.weights_, gm.means_, dense, FAMILIES["full"])
    np.testing.assert_allclose(gm.score_samples(rows), full.log_density(rows), rtol=1e-12)
    n_free = family.n_parameters(2, 3) + 2 * 3 + 1
    assert gm.bic(rows) == pytest.approx(-2 * gm.score_samples(rows).sum() + n_free * np.log(len(rows)), rel=1e-13)
    assert len(np.unique(gm.predict(rows))) == 2
    assert gm.sample(7)[0].shape == (7, 3)


@pytest.mark.parametrize("name", [name for name in ALIASES if len(name) > 1])
def test_copies_and_files_keep_an_alias_of_covariance_type(name, rows, tmp_path):
    gm = GaussianMixture(2, covariance_type=name, random_state=0).fit(rows)
    gm.save(tmp_path / "m.gmm")
    for copy in GaussianMixture.load(tmp_path / "m.gmm"), pickle.loads(pickle.dumps(gm)):
        assert copy.covariance_type == name
        assert copy.mixture_.family == gm.mixture_.family
        assert (copy.score_samples(rows) == gm.score_samples(rows)).all()


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.kind is not LowRank])
def test_a_fit_continues_from_its_own_parameters(name, rows):
    gm = GaussianMixture(2, covariance_type=name, random_state=0, tol=1e-7).fit(rows)
    parameters = {"weights_init": gm.weights_, "means_init": gm.means_, "covariances_init": gm.covariances_}
    continued = GaussianMixture(2, covariance_type=name, **parameters).fit(rows)
    assert continued.lower_bounds_[0] == pytest.approx(gm.lower_bound_, abs=2e-7)
    without_step = GaussianMixture(2, covariance_type=name, max_iter=0, **parameters).fit(rows)
    assert (without_step.covariances_ == gm.covariances_).all()


CONSTRAINED = ["VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV"]


@pytest.mark.parametrize("parameter", ["covariances_init", "precisions_init"])
@pytest.mark.parametrize("name", CONSTRAINED)
def test_initial_covariances_outside_the_structure_cause_a_warning(name, parameter, rows):
    """Check that covariances of a less constrained fit cause a warning, but rounding to five digits does not."""
    free = GaussianMixture(2, covariance_type="diag" if name.endswith("I") else "full", random_state=0).fit(rows)
    initial = free.covariances_ if parameter == "covariances_init" else free.precisions_
    message = f"{parameter} does not have the structure {name}: the nearest matrices with this structure differ by"
    with pytest.warns(RuntimeWarning, match=message) as caught:
        fitted = GaussianMixture(2, covariance_type=name, tol=1e-6, max_iter=500, **{parameter: initial}).fit(rows)
    assert [warning.filename for warning in caught] == [__file__]
    matrices = {parameter.removesuffix("_init"): initial, "covariance_type": name}
    with pytest.warns(RuntimeWarning, match=f"covariances does not have the structure {name}.*n_parameters") as caught:
        Mixture.from_parameters(free.weights_, free.means_, **matrices)
    assert [warning.filename for warning in caught] == [__file__]
    values = fitted.covariances_ if parameter == "covariances_init" else fitted.precisions_
    # These covariances have the structure, because they result from an M-step.
    GaussianMixture(2, covariance_type=name, max_iter=0, **{parameter: values}).fit(rows)
    gm = GaussianMixture(2, covariance_type=name, random_state=0).fit(rows)
    values = gm.covariances_ if parameter == "covariances_init" else gm.precisions_
    rounded = np.vectorize(lambda value: float(f"{value:.5g}"))(values)
    GaussianMixture(2, covariance_type=name, max_iter=0, means_init=gm.means_, **{parameter: rounded}).fit(rows)


@pytest.mark.parametrize("name", [name for name in NAMES if len(name) == 3])
def test_structures_of_one_feature_equal_e_or_v(name, rows):
    """Check that structures of one feature equal mclust's E or V, with a warning if their shape has no meaning."""
    expected = GaussianMixture(2, covariance_type=name[0], reg_covar=0, random_state=0).fit(rows[:, :1])
    gm = GaussianMixture(2, covariance_type=name, reg_covar=0, random_state=0)
    if name.endswith("II"):
        gm.fit(rows[:, :1])
    else:
        variances = {"E": "one variance for all components", "V": "a variance per component"}[name[0]]
        with pytest.warns(RuntimeWarning, match=f"'{name}' is '{name[0]}' for one feature, .*: {variances}"):
            gm.fit(rows[:, :1])
    assert gm.lower_bound_ == pytest.approx(expected.lower_bound_, rel=1e-12)
    assert gm.mixture_.n_parameters == expected.mixture_.n_parameters


@pytest.mark.parametrize("n_features", [2, 3])
@pytest.mark.parametrize("name", ["E", "V"])
def test_structures_for_one_feature_are_rejected_for_more_features(name, n_features, rows):
    message = f"'{name}' is for one feature, but X has {n_features}: .* '{name}II' or '{3 * name}'"
    with pytest.raises(ValueError, match=message):
        GaussianMixture(2, covariance_type=name).fit(rows[:, :n_features])


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("name", ["EVE", "VVE"])
@pytest.mark.parametrize("init", ["hierarchical", "kmeans"])
@pytest.mark.filterwarnings("ignore:component:RuntimeWarning")
def test_row_order_does_not_change_the_maximum_unless_a_component_collapses(name, init):
    """Check 34 rows, 23 of them distinct. If a component collapses, rounding decides when it is frozen."""
    n_without_collapse = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        rows = np.round(3 * rng.normal(size=(23, 3)) + 5 * rng.integers(2, size=(23, 1))) / 2
        rows = np.concatenate([rows, rows[:11]])
        settings = {"reg_covar": 0, "tol": 1e-8, "max_iter": 2000, "init_params": init, "random_state": 0}
        orders = [np.arange(34), *(rng.permutation(34) for _ in range(3))]
        fits = [GaussianMixture(2, covariance_type=name, **settings).fit(rows[order]) for order in orders]
        if not any(fit.outcome_.collapsed for fit in fits):
            n_without_collapse += 1
            np.testing.assert_allclose([fit.lower_bound_ for fit in fits], fits[0].lower_bound_, rtol=0, atol=1e-5)
    assert n_without_collapse >= 3
