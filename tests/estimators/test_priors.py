"""Tests of `prior` and `restrictions`: priors, equal weights, minimum weights and fixed parameters."""

import re

import numpy as np
import pytest
from common import raises_and_keeps

from gaussmix import FAMILIES, Dirichlet, Full, GaussianMixture, GaussianMixtureIC, NormalInverseWishart, Restrictions
from gaussmix.testing import PROBLEMS

ROWS = PROBLEMS["overlapping"].rows[:150]
FIFTY = np.random.default_rng(3).normal(size=(50, 4))
EYES = np.stack([np.eye(3)] * 2)
EQUAL = Restrictions(equal_weights=True)
structures = pytest.mark.parametrize("covariance_type", FAMILIES)

CONTRADICTIONS = {
    "prior unknown": ({"prior": "flat"}, ValueError, 'prior must be None, "default", a NormalInverseWishart or a'),
    "prior of other features": ({"prior": NormalInverseWishart(mean=[0.0, 0.0])}, ValueError, "prior has 2 features"),
    "prior with few degrees": ({"prior": NormalInverseWishart(dof=2)}, ValueError, "prior: dof=2 must be above 2"),
    "prior of three weights": ({"prior": Dirichlet([1, 2, 3])}, ValueError, "must be a number, or 2 numbers"),
    "restrictions a dictionary": ({"restrictions": {}}, TypeError, "restrictions must be None or a Restrictions"),
    "equal_weights and a prior of them": (
        {"restrictions": Restrictions(equal_weights=True), "prior": Dirichlet(2.0)},
        ValueError,
        "equal_weights=True contradicts a prior on the weights. Remove one of them.",
    ),
    "equal weights and a start": (
        {"restrictions": Restrictions(equal_weights=True), "weights_init": [0.4, 0.6]},
        ValueError,
        "equal_weights=True requires equal weights in weights_init.",
    ),
    "a weight of 0 under a prior": (
        {"prior": NormalInverseWishart(weights=[1.0, 2.0]), "weights_init": [1.0, 0.0]},
        ValueError,
        "weights_init is 0 for component 1, but the prior on the weights requires weights above 0.",
    ),
    "min_weight above 1 / K": ({"restrictions": Restrictions(min_weight=0.6)}, ValueError, "min_weight=0.6 must be"),
    "fixed weight below min_weight": (
        {"restrictions": Restrictions(min_weight=0.3, fixed_weights=[0]), "weights_init": [0.2, 0.8]},
        ValueError,
        "min_weight=0.3 is above the fixed weight of component 0.",
    ),
    "fixed weights leave too little": (
        {"restrictions": Restrictions(min_weight=0.3, fixed_weights=[0]), "weights_init": [0.8, 0.2]},
        ValueError,
        "fixed_weights leaves a weight of 0.2 for all other components, but min_weight=0.3 requires at least 0.3.",
    ),
    "fixed weights leave nothing": (
        {"restrictions": Restrictions(fixed_weights=[0]), "weights_init": [1.0, 0.0]},
        ValueError,
        "The weights in fixed_weights sum to 1 and leave nothing for the other components.",
    ),
    "fixed weights that do not sum to 1": (
        {"restrictions": Restrictions(fixed_weights=[0, 1]), "weights_init": [0.5, 0.4]},
        ValueError,
        "should be normalized",
    ),
    "fixed_means without values": ({"restrictions": Restrictions(fixed_means=[0])}, ValueError, "also needs means"),
    "fixed_covariances alone": ({"restrictions": Restrictions(fixed_covariances=[0])}, ValueError, "needs covariances"),
    "fixed covariance of factor analysers": (
        {"restrictions": Restrictions(fixed_covariances=[0]), "covariance_type": "factor_analyzer"},
        ValueError,
        "can't be passed. Remove it, or choose another structure.",
    ),
    "fixed_weights alone": ({"restrictions": Restrictions(fixed_weights=[1])}, ValueError, "also needs weights_init"),
    "fixed_means beyond K": (
        {"restrictions": Restrictions(fixed_means=[2]), "means_init": np.zeros((2, 3))},
        ValueError,
        "fixed_means contains component 2, but the last index is n_components − 1 = 1.",
    ),
    "fixed covariance of a shared structure": (
        {"restrictions": Restrictions(fixed_covariances=[0]), "covariance_type": "VEV", "covariances_init": EYES},
        ValueError,
        "fixed_covariances must name all components with covariance_type='VEV', because covariances",
    ),
    "fixed covariance and a bound": (
        {
            "restrictions": Restrictions(fixed_covariances=[0]),
            "covariance_type": Full(max_condition=10.0),
            "covariances_init": EYES,
        },
        ValueError,
        "fixed_covariances contradicts max_condition, a bound on all",
    ),
}

BAD_RESTRICTIONS = {
    "equal_weights 1": ({"equal_weights": 1}, TypeError, "equal_weights must be True or False, not 1."),
    "equal and fixed weights": ({"equal_weights": True, "fixed_weights": [0]}, ValueError, "equal_weights=True"),
    "min_weight negative": ({"min_weight": -0.1}, ValueError, "min_weight=-0.1 must be a number from 0 to 1."),
    "min_weight text": ({"min_weight": "0.1"}, TypeError, "min_weight must be a number from 0 to 1, not '0.1'."),
    "fixed_means twice": ({"fixed_means": [1, 1]}, ValueError, "fixed_means=[1, 1] contains a component twice."),
    "fixed_means below 0": ({"fixed_means": [-1]}, ValueError, "fixed_means contains component -1,"),
    "fixed_means number": ({"fixed_means": 1}, TypeError, "fixed_means must be a list of indices of components, or"),
    "fixed_means mask": ({"fixed_means": [True, False]}, TypeError, "fixed_means must be a list of indices of"),
}

BAD_PRIORS = {
    "mean of two axes": ({"mean": [[0.0]]}, ValueError, "mean must have shape (n_features,), but has shape (1, 1)."),
    "mean empty": ({"mean": []}, ValueError, "mean must have shape (n_features,), but has shape (0,)."),
    "mean NaN": ({"mean": [0.0, np.nan]}, ValueError, "mean contains NaN or infinity"),
    "mean text": ({"mean": ["a"]}, TypeError, "mean must be real numbers, not text."),
    "shrinkage negative": ({"shrinkage": -1.0}, ValueError, "shrinkage=-1.0 must be a finite number ≥ 0."),
    "shrinkage None": ({"shrinkage": None}, TypeError, "shrinkage must be a finite number ≥ 0, not None."),
    "shrinkage infinite": ({"shrinkage": np.inf}, ValueError, "shrinkage=inf must be a finite number ≥ 0."),
    "scale 0": ({"scale": 0.0}, ValueError, "scale must have positive variances."),
    "scale of three axes": ({"scale": EYES}, ValueError, "scale must be a number, (n_features,) or (n_features, n_"),
    "scale oblong": ({"scale": np.ones((2, 3))}, ValueError, "not of shape (2, 3)."),
    "scale asymmetric": ({"scale": [[1.0, 0.5], [0.0, 1.0]]}, ValueError, "scale is not symmetric."),
    "scale indefinite": ({"scale": [[1.0, 2.0], [2.0, 1.0]]}, ValueError, "scale is not positive definite."),
    "dof 0": ({"dof": 0}, ValueError, "dof=0 must be a finite number above 0."),
    "dof True": ({"dof": True}, TypeError, "dof must be a finite number above 0, not True."),
    "weights below 1": ({"weights": 0.5}, ValueError, "weights=0.5 must be at least 1. Below 1, the prior density"),
    "weights infinite": ({"weights": np.inf}, ValueError, "weights contains NaN or infinity"),
    "weights text": ({"weights": "many"}, TypeError, "weights must be real numbers, not text."),
    "weights of two axes": ({"weights": EYES}, ValueError, "weights must be a number or have shape"),
    "two numbers of features": ({"mean": [0.0], "scale": [1.0, 1.0]}, ValueError, "mean has 1 features, but scale"),
}


@pytest.mark.parametrize(("parameters", "kind", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictory_priors_and_restrictions_are_rejected(parameters, kind, message):
    mixture = GaussianMixture(2, random_state=0).fit(ROWS).set_params(**parameters)
    with raises_and_keeps(mixture, kind, re.escape(message)):
        mixture.fit(ROWS)


@pytest.mark.parametrize(("parameters", "kind", "message"), BAD_PRIORS.values(), ids=BAD_PRIORS)
def test_invalid_arguments_of_normal_inverse_wishart_are_rejected(parameters, kind, message):
    with pytest.raises(kind) as error:
        NormalInverseWishart(**parameters)
    assert message in str(error.value)


@pytest.mark.parametrize(("parameters", "kind", "message"), BAD_RESTRICTIONS.values(), ids=BAD_RESTRICTIONS)
def test_invalid_arguments_of_restrictions_are_rejected(parameters, kind, message):
    with pytest.raises(kind) as error:
        Restrictions(**parameters)
    assert message in str(error.value)


@structures
def test_the_default_prior_prevents_collapse_of_20_components_on_50_rows(covariance_type):
    """Check that standard deviations within components stay above a tenth of the standard deviations of all rows.

    The variances of VEV are larger, because they have only the prior's scale, without its degrees of freedom.
    """
    gm = GaussianMixture(20, covariance_type=covariance_type, prior="default", max_iter=1000, random_state=0).fit(FIFTY)
    assert gm.converged_
    assert not gm.outcome_.collapsed
    assert np.isfinite(gm.score_samples(FIFTY)).all()
    deviations = np.sqrt(gm.mixture_._model.covariances.variances())
    assert (deviations > 0.1 * FIFTY.std(axis=0)).all()
    assert (deviations < 2.0 * FIFTY.std(axis=0)).all()
    # Twenty components fit new rows worse than one component does, but the density of new rows is not 0.
    assert gm.score(np.random.default_rng(4).normal(size=(2000, 4))) > -30.0


def test_prior_default_equals_normal_inverse_wishart_without_arguments():
    by_name, by_class = (
        GaussianMixture(3, prior=prior, random_state=0).fit(ROWS) for prior in ("default", NormalInverseWishart())
    )
    assert by_name.mixture_ == by_class.mixture_
    assert by_name.lower_bounds_ == by_class.lower_bounds_


def test_reg_covar_auto_is_0_with_a_prior_and_a_number_is_added():
    fits = [
        GaussianMixture(2, prior="default", reg_covar=ridge, random_state=0, tol=1e-9, max_iter=1000).fit(ROWS)
        for ridge in ("auto", 0.0, 1.0)
    ]
    assert fits[0].mixture_ == fits[1].mixture_
    smallest = [np.linalg.eigvalsh(gm.covariances_).min() for gm in fits]
    assert smallest[2] > max(1.0, smallest[0])


def test_small_sample_weights_strengthen_the_prior_relative_to_the_rows():
    """Check that a prior is weighed against the total weight, so that it is stronger if rows have weight 0.01."""
    distances = []
    for weight in (1.0, 0.01):
        gm = GaussianMixture(1, prior=NormalInverseWishart(mean=np.full(3, 5.0), shrinkage=1.0)).fit(
            ROWS, sample_weight=np.full(len(ROWS), weight)
        )
        total = weight * len(ROWS)
        np.testing.assert_allclose(gm.means_[0], (total * ROWS.mean(axis=0) + 5.0) / (total + 1.0), rtol=1e-12)
        distances.append(np.abs(gm.means_ - 5.0).max())
    assert distances[1] < distances[0]


def test_fixed_parameters_keep_their_values_and_do_not_count_as_free():
    means = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    covariances = np.stack([np.eye(3), 2 * np.eye(3)])
    gm = GaussianMixture(
        2, weights_init=[0.3, 0.7], means_init=means, covariances_init=covariances,
        restrictions=Restrictions(fixed_means=[1], fixed_covariances=[0], fixed_weights=[0]), tol=1e-6,
    ).fit(ROWS)  # fmt: skip
    assert np.array_equal(gm.means_[1], means[1])
    assert not np.allclose(gm.means_[0], means[0])
    assert np.array_equal(gm.covariances_[0], covariances[0])
    assert not np.allclose(gm.covariances_[1], covariances[1])
    np.testing.assert_allclose(gm.weights_, [0.3, 0.7], rtol=1e-15)
    assert gm.n_parameters_ == 3 + 6
    assert gm.mixture_.n_parameters == 1 + 6 + 12
    total = gm.score(ROWS) * len(ROWS)
    assert gm.bic(ROWS) == pytest.approx(-2 * total + 9 * np.log(len(ROWS)), rel=1e-12)
    assert gm.aic(ROWS) == pytest.approx(-2 * total + 2 * 9, rel=1e-12)


def test_fixed_covariances_can_be_passed_as_precisions_init():
    precisions = np.stack([np.eye(3), 0.5 * np.eye(3)])
    gm = GaussianMixture(
        2, precisions_init=precisions, restrictions=Restrictions(fixed_covariances=[1]), random_state=0
    ).fit(ROWS)
    np.testing.assert_allclose(gm.covariances_[1], 2 * np.eye(3), rtol=1e-14)


def test_a_tied_covariance_can_be_fixed():
    fixed = Restrictions(fixed_covariances=[0, 1])
    gm = GaussianMixture(2, covariance_type="tied", covariances_init=np.eye(3), restrictions=fixed).fit(ROWS)
    assert np.array_equal(gm.covariances_, np.eye(3))
    assert gm.n_parameters_ == 1 + 6


@pytest.mark.parametrize("init_params", ["kmeans", "search", "random", ["kmeans", "hierarchical"]])
@pytest.mark.filterwarnings("ignore")
def test_restrictions_hold_after_every_initialisation(init_params):
    """Check that the restrictions hold even without any step."""
    for max_iter in (0, 50):
        gm = GaussianMixture(
            3, weights_init=[0.2, 0.3, 0.5], restrictions=Restrictions(fixed_weights=[1], min_weight=0.1),
            prior="default", max_iter=max_iter, init_params=init_params, random_state=0, tol=1e-6,
        )  # fmt: skip
        gm.fit(ROWS)
        assert gm.weights_[1] == pytest.approx(0.3, rel=1e-15)
        assert gm.weights_.min() >= 0.1
        gm.set_params(weights_init=None, restrictions=EQUAL).fit(ROWS)
        assert np.array_equal(gm.weights_, np.full(3, 1 / 3))


@pytest.mark.filterwarnings("ignore")
def test_a_warm_start_continues_with_a_prior_and_new_restrictions():
    gm = GaussianMixture(3, prior="default", max_iter=5, tol=0, warm_start=True, random_state=0)
    gm.fit(ROWS)
    first = gm.lower_bound_
    gm.fit(ROWS)
    assert gm.lower_bound_ > first
    gm.set_params(restrictions=EQUAL).fit(ROWS)
    assert np.array_equal(gm.weights_, np.full(3, 1 / 3))


@pytest.mark.parametrize("empty", [[], (), np.array([], int)], ids=repr)
def test_partial_fit_accepts_restrictions_with_empty_lists(empty):
    fixed = Restrictions(fixed_means=empty, fixed_covariances=empty, fixed_weights=empty)
    restricted, plain = GaussianMixture(2, random_state=0, restrictions=fixed), GaussianMixture(2, random_state=0)
    assert restricted.partial_fit(ROWS).mixture_ == plain.partial_fit(ROWS).mixture_


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_model_selection_applies_priors_and_restrictions_to_each_candidate():
    """Check 12 rows, with which many candidates fail without a prior, but none fails with a prior."""
    twelve_rows = FIFTY[:12]
    options = {"criterion": "bic", "random_state": 0, "max_iter": 2000}
    plain = GaussianMixtureIC(range(1, 6), **options).fit(twelve_rows)
    search = GaussianMixtureIC(range(1, 6), prior="default", restrictions=EQUAL, **options).fit(twelve_rows)
    assert sum(failure is not None for failure in plain.results_["failure"]) > 10
    assert not any(search.results_["failure"])
    assert search.n_parameters_ == search.results_["n_parameters"][search.best_index_]
    assert search.bic(twelve_rows) == pytest.approx(search.results_["bic"][search.best_index_], rel=1e-10)
    table = zip(*(search.results_[name] for name in ("structure", "n_components", "n_parameters")), strict=True)
    for structure, n_components, n_parameters in table:
        free = FAMILIES[structure].n_parameters(n_components, 4) + 4 * n_components
        assert n_parameters == free
    with pytest.raises(ValueError, match=r"min_weight=0\.5 must be at most 1 / n_components = 0\.2"):
        GaussianMixtureIC(range(1, 6), restrictions=Restrictions(min_weight=0.5)).fit(twelve_rows)
    with pytest.raises(ValueError, match="weights of the prior must be one number, not an array of shape"):
        GaussianMixtureIC(range(1, 6), prior=Dirichlet([1, 2])).fit(twelve_rows)


def test_a_prior_scale_may_be_a_matrix_variances_or_a_number():
    for structure, shape in {"full": (2, 3, 3), "diag": (2, 3), "spherical": (2,)}.items():
        dense, diagonal, number = (
            GaussianMixture(
                2, covariance_type=structure, prior=NormalInverseWishart(scale=scale, dof=500), random_state=0
            ).fit(ROWS)
            for scale in (4 * np.eye(3), np.full(3, 4.0), 4.0)
        )
        assert dense.covariances_.shape == shape
        assert dense.mixture_ == diagonal.mixture_ == number.mixture_


@pytest.mark.heavy(n_default=1)
@structures
def test_trimmed_fits_support_priors_and_equal_weights(covariance_type):
    rows = np.concatenate((ROWS, np.full((8, 3), 50.0)))
    gm = GaussianMixture(
        2, covariance_type=covariance_type, prior="default", trim=0.06, restrictions=EQUAL, random_state=0, tol=1e-6,
        max_iter=1000,
    ).fit(rows)  # fmt: skip
    assert (gm.score_samples(rows[-8:]) < gm.cutoff_).all()
    assert (np.diff(gm.lower_bounds_) > -1e-9).all()
    assert np.array_equal(gm.weights_, [0.5, 0.5])


def test_a_dirichlet_prior_leaves_the_automatic_ridge_unchanged():
    fits = [GaussianMixture(2, prior=prior, random_state=0, max_iter=0).fit(ROWS) for prior in (Dirichlet(5.0), None)]
    assert np.array_equal(fits[0].covariances_, fits[1].covariances_)


def test_model_selection_rejects_fixed_means():
    with pytest.raises(ValueError, match="fixed_means works only in GaussianMixture"):
        GaussianMixtureIC([1, 2], restrictions=Restrictions(fixed_means=[0])).fit(ROWS)


def test_components_that_only_the_prior_determines_are_reported(rng):
    X = rng.normal(size=(30, 2))
    prior = NormalInverseWishart(shrinkage=5.0)
    with pytest.warns(RuntimeWarning, match="components? .*almost no row belongs there") as caught:
        gm = GaussianMixture(8, prior=prior, tol=1e-8, max_iter=5000, random_state=0).fit(X)
    empty = np.flatnonzero(gm.weights_ < 0.5 / 30).tolist()
    assert empty
    assert f"omponent{'s'[: len(empty) - 1]} {', '.join(map(str, empty))}:" in str(caught[0].message)
    assert [each.component for each in gm.outcome_.diagnostics] == empty
    assert "only the prior determines it" in gm.outcome_.diagnostics[0].cause
    assert GaussianMixture(2, prior=prior, random_state=0).fit(X).outcome_.diagnostics == []


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_search_initialisation_on_a_sample_scales_the_prior_to_all_rows(weight, rng):
    """Check that rows of weight 2 give the same fit as repeated rows, although a sample has the same number of both."""
    X = rng.normal(size=(2500, 1)) * np.exp(rng.normal(size=(2500, 1)))
    options = {"prior": NormalInverseWishart(dof=30.0), "reg_covar": 0, "init_params": "search", "random_state": 55}
    weighted = GaussianMixture(5, **options).fit(X, sample_weight=np.full(2500, weight))
    repeated = GaussianMixture(5, **options).fit(np.repeat(X, int(weight), axis=0))
    np.testing.assert_allclose(weighted.lower_bound_, repeated.lower_bound_, rtol=1e-9)
    np.testing.assert_allclose(weighted.weights_, repeated.weights_, rtol=1e-6)


def test_model_selection_compares_initialisations_by_the_posterior():
    """Check an initialisation whose likelihood is higher, but whose log prior is lower by a larger difference."""
    rows, steps = 2 * np.random.default_rng(108).normal(size=(20, 2)), []
    prior = NormalInverseWishart(scale=0.3, dof=30)
    options = {"covariance_type": "spherical", "prior": prior, "init_params": "random", "random_state": 0}
    with pytest.warns(RuntimeWarning, match="component 2: almost no row belongs there"):
        single = GaussianMixtureIC([3], **options).fit(rows).results_["log_likelihood"][0]
    table = GaussianMixtureIC([2, 3], **options, callbacks=[steps.append]).fit(rows).results_["log_likelihood"]
    assert any((step.candidate, step.start) == (1, 1) for step in steps)
    assert table[1] == single < table[0]


def test_weights_that_are_not_fixed_are_estimated_with_a_prior(rng):
    means = np.array([[-20.0], [0.0], [20.0]])
    rows = means.repeat([60, 30, 210], axis=0) + rng.normal(size=(300, 1))
    init = {"weights_init": [0.2, 0.4, 0.4], "means_init": means}
    fit = GaussianMixture(3, prior="default", restrictions=Restrictions(fixed_weights=[0]), **init).fit(rows)
    np.testing.assert_allclose(fit.weights_, [0.2, 0.1, 0.7], atol=1e-6)
    several = NormalInverseWishart(weights=[41.0, 1.0, 61.0])
    posterior = GaussianMixture(3, prior=several, **init).fit(rows)
    np.testing.assert_allclose(posterior.weights_, [0.25, 0.075, 0.675], atol=1e-6)


@pytest.mark.parametrize("seed", [0, 5, 6])
def test_a_search_reaches_no_lower_maximum_if_weights_are_equal(seed):
    """Compare with EM from k-means, because a search ignores restrictions on weights, and EM must apply them again."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(300, 1)) + 3 * rng.normal(size=(5, 1))[rng.choice(5, size=300, p=[0.5, 0.2, 0.1, 0.1, 0.1])]
    terms = {"prior": "default", "restrictions": Restrictions(equal_weights=True), "tol": 1e-9, "max_iter": 2000}
    searched, alone = (
        GaussianMixture(5, covariance_type="EII", init_params=start, random_state=0, **terms).fit(rows)
        for start in ("search", "kmeans")
    )
    assert searched.lower_bound_ >= alone.lower_bound_ - 1e-6
