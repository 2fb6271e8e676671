"""Every covariance structure, and each of its names, through the estimator."""

import pickle

import numpy as np
import pytest

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix._src.families import ALIASES, family_named
from gaussmix.extend import LowRank

NAMES = [name for name in (*FAMILIES, *ALIASES) if len(name) > 1]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    centres = np.array([[0.0, 0.0, 0.0], [5.0, 5.0, 0.0]])
    return np.concatenate([centre + rng.normal(size=(60, 3)) * [1.0, 2.0, 0.5] for centre in centres])


@pytest.mark.parametrize("name", NAMES)
def test_an_estimator_of_any_structure_is_whole(name, rows, tmp_path):
    gm = GaussianMixture(2, covariance_type=name, random_state=0).fit(rows)
    family, covariances = gm.mixture_.family, gm.mixture_._model.covariances
    dense, shown = covariances.dense(), covariances.to_simple_form()
    assert family is family_named(name)
    assert gm.covariances_.shape == gm.precisions_.shape == shown.array.shape
    product = type(shown).from_array(gm.precisions_, 2, 3, shown.is_shared).dense() @ dense
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-12)
    full = Mixture(gm.weights_, gm.means_, dense, FAMILIES["full"])
    np.testing.assert_allclose(gm.score_samples(rows), full.log_density(rows), rtol=1e-12)
    free = family.n_parameters(2, 3) + 2 * 3 + 1
    assert gm.bic(rows) == pytest.approx(-2 * gm.score_samples(rows).sum() + free * np.log(len(rows)), rel=1e-13)
    assert len(np.unique(gm.predict(rows))) == 2
    assert gm.sample(7)[0].shape == (7, 3)


@pytest.mark.parametrize("name", [name for name in ALIASES if len(name) > 1])
def test_copies_and_files_keep_the_name_that_the_user_gave(name, rows, tmp_path):
    gm = GaussianMixture(2, covariance_type=name, random_state=0).fit(rows)
    gm.save(tmp_path / "m.gmm")
    for other in GaussianMixture.load(tmp_path / "m.gmm"), pickle.loads(pickle.dumps(gm)):
        assert other.covariance_type == name
        assert other.mixture_.family == gm.mixture_.family
        assert (other.score_samples(rows) == gm.score_samples(rows)).all()


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.kind is not LowRank])
def test_a_fit_goes_on_from_its_own_covariances(name, rows):
    gm = GaussianMixture(2, covariance_type=name, random_state=0, tol=1e-7).fit(rows)
    start = {"weights_init": gm.weights_, "means_init": gm.means_, "covariances_init": gm.covariances_}
    again = GaussianMixture(2, covariance_type=name, **start).fit(rows)
    assert again.lower_bounds_[0] == pytest.approx(gm.lower_bound_, abs=2e-7)
    precise = GaussianMixture(2, covariance_type=name, max_iter=0, **start).fit(rows)
    assert (precise.covariances_ == gm.covariances_).all()


CONSTRAINED = ["VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV"]


@pytest.mark.parametrize("parameter", ["covariances_init", "precisions_init"])
@pytest.mark.parametrize("name", CONSTRAINED)
def test_covariances_outside_the_structure_are_a_warning(name, parameter, rows):
    """Check that covariances of a less constrained fit cause the warning, and five correct digits do not."""
    free = GaussianMixture(2, covariance_type="diag" if name.endswith("I") else "full", random_state=0).fit(rows)
    given = free.covariances_ if parameter == "covariances_init" else free.precisions_
    said = f"{parameter} does not have the structure {name}: the nearest matrices with this structure differ by"
    with pytest.warns(RuntimeWarning, match=said) as caught:
        started = GaussianMixture(2, covariance_type=name, tol=1e-6, max_iter=500, **{parameter: given}).fit(rows)
    assert [warning.filename for warning in caught] == [__file__]
    own = started.covariances_ if parameter == "covariances_init" else started.precisions_
    # one M-step gave the covariances this structure
    GaussianMixture(2, covariance_type=name, max_iter=0, **{parameter: own}).fit(rows)
    gm = GaussianMixture(2, covariance_type=name, random_state=0).fit(rows)
    own = gm.covariances_ if parameter == "covariances_init" else gm.precisions_
    digits = np.vectorize(lambda number: float(f"{number:.5g}"))(own)
    GaussianMixture(2, covariance_type=name, max_iter=0, means_init=gm.means_, **{parameter: digits}).fit(rows)


@pytest.mark.parametrize("name", [name for name in NAMES if len(name) == 3])
def test_one_feature_has_two_structures(name, rows):
    """Check that the structures are mclust's E and V, with a warning if the name has more letters."""
    fits = {other: GaussianMixture(2, covariance_type=other, reg_covar=0, random_state=0) for other in ("E", "V")}
    expected = fits[name[0]].fit(rows[:, :1])
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
def test_a_structure_for_one_feature_is_refused_for_more(name, n_features, rows):
    said = f"'{name}' is for one feature, but X has {n_features}: .* '{name}II' or '{3 * name}'"
    with pytest.raises(ValueError, match=said):
        GaussianMixture(2, covariance_type=name).fit(rows[:, :n_features])


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize("name", ["EVE", "VVE"])
@pytest.mark.parametrize("init", ["hierarchical", "kmeans"])
@pytest.mark.filterwarnings("ignore:component:RuntimeWarning")
def test_the_order_of_few_rows_changes_no_maximum_unless_a_component_collapses(name, init):
    """Check 34 rows, 23 of them distinct. If a component collapses, rounding decides when it is frozen."""
    n_sound = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        rows = np.round(3 * rng.normal(size=(23, 3)) + 5 * rng.integers(2, size=(23, 1))) / 2
        rows = np.concatenate([rows, rows[:11]])
        settings = {"reg_covar": 0, "tol": 1e-8, "max_iter": 2000, "init_params": init, "random_state": 0}
        orders = [np.arange(34), *(rng.permutation(34) for _ in range(3))]
        fits = [GaussianMixture(2, covariance_type=name, **settings).fit(rows[order]) for order in orders]
        if not any(fit.outcome_.collapsed for fit in fits):
            n_sound += 1
            np.testing.assert_allclose([fit.lower_bound_ for fit in fits], fits[0].lower_bound_, rtol=0, atol=1e-5)
    assert n_sound >= 3
