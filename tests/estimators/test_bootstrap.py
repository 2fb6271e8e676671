"""Refits of `bootstrap`: the same bits for all code paths, the order of components, and reports of failures."""

from __future__ import annotations

import numpy as np
import pytest

from gaussmix import FAMILIES, Dirichlet, GaussianMixture, Mixture, NormalInverseWishart, Restrictions
from gaussmix._src.em.curvature.parameter_layout import ParameterLayout, StackedModels
from gaussmix._src.em.step import one_call
from gaussmix._src.fit.after import bootstrap as module
from gaussmix._src.fit.after.bootstrap import RESAMPLING_KINDS, _ComponentMatcher
from gaussmix._src.report.bootstrap import weighted_covariance

N, D = 90, 2


def rows(n=N, distance=4.0):
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, D)) + distance * (rng.random(n) < 0.4)[:, None]


def fitted(X=None, weight=None, error=None, **parameters):
    settings = {"n_components": 2, "random_state": 0, "tol": 1e-9, "max_iter": 5000} | parameters
    return GaussianMixture(**settings).fit(rows() if X is None else X, sample_weight=weight, X_error=error)


@pytest.mark.parametrize("family", ["full", "tied", "diag", "EII"])
@pytest.mark.parametrize(
    ("kind", "noise"),
    [(kind, False) for kind in RESAMPLING_KINDS] + [(kind, True) for kind in RESAMPLING_KINDS if kind != "parametric"],
)
def test_bootstrap_gives_the_same_bits_for_all_n_jobs_batch_sizes_and_code_paths(family, kind, noise, monkeypatch):
    X, weight = rows(), np.random.default_rng(0).integers(1, 3, N).astype(float)
    n_resamples = None if kind == "jackknife" else 7
    settings = {"n_resamples": n_resamples, "kind": kind, "sample_weight": weight, "random_state": 5}
    expected = fitted(X, weight, covariance_type=family, noise=noise, n_jobs=1).bootstrap(X, **settings)
    for patch in (None, (module, "MAX_DRAWN_VALUES", 3 * N * D), (one_call, "_run_in_core", lambda *arguments: {})):
        if patch is not None:
            monkeypatch.setattr(*patch)
        found = fitted(X, weight, covariance_type=family, noise=noise, n_jobs=2).bootstrap(X, **settings)
        np.testing.assert_array_equal(found.cov_params(), expected.cov_params())
        np.testing.assert_array_equal(found.params, expected.params)
    assert expected.n_resamples == (N if kind == "jackknife" else 7)


LABELS = np.where(np.arange(N) % 3 == 0, (rows().sum(axis=1) > 4).astype(int), -1)
MISSING = np.where(np.random.default_rng(3).random((N, D)) < 0.1, np.nan, rows())


@pytest.mark.heavy(n_default=4)
@pytest.mark.parametrize(
    "case",
    [
        {},
        {"noise": True},
        {"trim": 0.1},
        {"prior": "default"},
        {"restrictions": Restrictions(fixed_means=[0]), "means_init": [[0, 0], [4, 4]]},
        {"covariance_type": "factor_analyzer"},
        {"X": MISSING},
        {"error": np.full((N, D), 0.3)},
        {"labels": LABELS, "trim": 0.1},
        {"labels": np.where(LABELS[:, None] < 0, [0.5, 0.5], np.eye(2)[LABELS])},
        {"weight": np.random.default_rng(0).uniform(1, 90, N), "prior": "default"},
    ],
    ids=lambda case: ", ".join(case) or "plain",
)
def test_a_refit_with_unchanged_row_weights_equals_the_fit(case, monkeypatch):
    """Check that refits reproduce the fit for all options that change the objective."""
    X, weight, error = case.get("X", rows()), case.get("weight"), case.get("error")
    options = {name: value for name, value in case.items() if name not in ("X", "weight", "error", "labels")}
    data = {"sample_weight": weight, "X_error": error, "labels": case.get("labels")}
    gm = GaussianMixture(2, **{"random_state": 0, "tol": 1e-9, "max_iter": 5000} | options).fit(X, **data)
    resampled = gm.bootstrap(X, 6, random_state=0, **data)
    assert (resampled.bse[~np.isin(resampled.links, ["logit"])] > 0).any()
    assert np.isfinite(resampled.draws).all()
    monkeypatch.setattr(module, "_draw_row_weights", lambda how, weights, n, *_: np.repeat(weights[None], n, axis=0))
    found = gm.bootstrap(X, 2, **data)
    layout = ParameterLayout.at_model(gm.mixture_._model)
    np.testing.assert_allclose(found.params, layout.to_vector(gm.mixture_._model), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.draws, np.tile(found.params, (2, 1)), rtol=2e-4, atol=2e-4)


def test_permuted_components_are_matched_by_their_rows():
    X = rows()
    model = fitted(X, n_components=3).mixture_._model
    problem = fitted(X, n_components=3)._inference_problem(X, None, None, None)
    orders = [[0, 1, 2], [2, 0, 1], [1, 0, 2]]
    found = StackedModels.from_models([model.take(order) for order in orders])
    matching, similarity = _ComponentMatcher.from_model(problem, model).match_components(found)
    np.testing.assert_allclose(similarity, 1)
    vector = ParameterLayout.at_model(model).to_vector(model)
    np.testing.assert_array_equal(found.to_vectors(matching), np.tile(vector, (3, 1)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_parameter_vector_converts_back_to_the_same_mixture(family):
    X = rows()
    model = fitted(X, covariance_type=family, noise=True, tol=1e-3).mixture_._model
    layout = ParameterLayout.at_model(model)
    converted = layout.to_model(layout.to_vector(model), model)
    np.testing.assert_allclose(converted.covariances.dense(), model.covariances.dense())
    np.testing.assert_array_equal(converted.means, model.means)
    assert Mixture._from_model(converted).noise.weight == model.noise.weight


def test_estimate_applies_a_function_to_every_refit():
    X = rows()
    found = fitted(X).bootstrap(X, 20, random_state=0)
    gap = found.estimate(lambda mixture: mixture.means[0] - mixture.means[1], "gap")
    first, second = (found.draws[:, found.names.index(f"mean[{k}, x0]")] for k in (0, 1))
    np.testing.assert_array_equal(gap.draws[:, 0], first - second)
    assert gap.bse[0] == pytest.approx(np.std(first - second, ddof=1))
    jackknife = fitted(X).bootstrap(X, kind="jackknife")
    with pytest.raises(ValueError, match="'wald'"):
        jackknife.conf_int(method="percentile")
    index = found.names.index("mean[0, x1]")
    assert jackknife.estimate(lambda mixture: mixture.means[0, 1]).bse[0] == pytest.approx(jackknife.bse[index])


def test_intervals_are_quantiles_of_the_refits():
    X = rows()
    found = fitted(X).bootstrap(X, 200, random_state=0)
    np.testing.assert_array_equal(found.conf_int(0.2), np.quantile(found.draws, [0.1, 0.9], axis=0).T)
    index = found.names.index("mean[0, x0]")
    deviations = found.draws[:, index] - found.draws[:, index].mean()
    centred = found.params[index] + np.quantile(deviations, [0.025, 0.975])
    np.testing.assert_allclose(found.conf_int(method="centred")[index], centred)
    wald = found.conf_int(method="wald")[index]
    np.testing.assert_allclose(wald, found.params[index] + 1.959964 * found.bse[index] * np.array([-1, 1]), rtol=1e-6)
    assert (found.conf_int(method="centred")[0] < 1).all()
    assert list(found.tidy()["conf_low"]) == list(found.conf_int()[:, 0])


def test_the_variance_of_refits_is_inversely_proportional_to_concentration():
    """Check that Dirichlet weights of concentration c have 1 / c times the variance of uniform ones, to first order."""
    X = rows(400)
    one, four = (fitted(X).bootstrap(X, 300, concentration=c, random_state=0).bse for c in (1.0, 4.0))
    np.testing.assert_allclose(np.median(one / four), 2, rtol=0.1)


def overlapping_rows(n):
    rng = np.random.default_rng(3)
    return np.where(rng.random(n) < 0.4, rng.normal(0, 1, n), rng.normal(4, 1.5, n))[:, None]


@pytest.mark.parametrize("n", [300, 3000])
@pytest.mark.parametrize("kind", RESAMPLING_KINDS)
def test_refits_of_overlapping_components_converge_by_default(kind, n):
    """Check that EM, which is slow here, ends as near the maximum as with a far smaller tolerance."""
    if kind == "jackknife":
        n //= 10
    X = overlapping_rows(n)
    gm = fitted(X)
    found, exact = (
        gm.bootstrap(X, None if kind == "jackknife" else 50, kind, tol=tol, random_state=0) for tol in (None, 1e-13)
    )
    np.testing.assert_allclose(found.bse, exact.bse, rtol=0.01)


def test_the_jackknife_of_overlapping_components_agrees_with_the_sandwich():
    X = overlapping_rows(300)
    gm = fitted(X)
    expected = gm.inference(X, kind="sandwich").bse
    np.testing.assert_allclose(gm.bootstrap(X, kind="jackknife").bse, expected, rtol=0.05)


def test_the_jackknife_counts_weights_below_1_as_fractions_of_rows():
    """Check that half the weight of every row doubles all variances, and that variances are near the sandwich."""
    X = rows()
    one = fitted(X).bootstrap(X, kind="jackknife", tol=1e-9)
    half = np.full(N, 0.5)
    found = fitted(X, half).bootstrap(X, kind="jackknife", sample_weight=half, tol=1e-9)
    np.testing.assert_allclose(found.bse, np.sqrt(2) * one.bse, rtol=1e-3)
    mixed = np.random.default_rng(0).uniform(0.2, 3.0, N)
    mixed[3] = 1e-200
    gm = fitted(X, mixed)
    found = gm.bootstrap(X, kind="jackknife", sample_weight=mixed, tol=1e-9)
    np.testing.assert_allclose(found.bse, gm.inference(X, sample_weight=mixed, kind="sandwich").bse, rtol=0.05)


def test_the_covariance_of_a_weighted_jackknife_is_about_the_weighted_mean(rng):
    draws, counts = rng.normal(size=(5, 3)), np.array([1.0, 2.0, 3.0, 0.5, 10.0])
    expected = counts.sum() * np.cov(draws.T, aweights=counts, ddof=0)
    np.testing.assert_allclose(weighted_covariance(draws, counts), expected, rtol=1e-13)


def test_fixed_parameters_have_standard_error_0_in_a_weighted_jackknife():
    X, weight = rows(), np.random.default_rng(0).integers(0, 5, N).astype(float)
    initial = {"means_init": [[0.1, -0.3], [4.1, 3.9]], "weights_init": [0.6, 0.4]}
    fixed = Restrictions(fixed_means=[0, 1], fixed_weights=[0, 1])
    found = fitted(X, weight, restrictions=fixed, **initial).bootstrap(X, kind="jackknife", sample_weight=weight)
    np.testing.assert_array_equal(found.bse[:6], 0)
    np.testing.assert_array_equal(found.conf_int()[:6], np.repeat(found.params[:6, None], 2, axis=1))


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("prior", [Dirichlet(30.0), NormalInverseWishart(scale=20.0, dof=50.0)], ids=["weights", "all"])
@pytest.mark.parametrize("trim", [0.0, 0.1])
def test_weight_2_equals_a_repeated_row_in_a_parametric_bootstrap_with_a_prior(prior, trim):
    X = np.tile(rows(), (2, 1))
    settings, options = {"n_resamples": 5, "kind": "parametric", "random_state": 0}, {"prior": prior, "trim": trim}
    expected = fitted(X, **options).bootstrap(X, **settings)
    for X_given, weight in [(rows(), np.full(N, 2.0)), (X, np.ones(2 * N))]:
        found = fitted(X_given, weight, **options).bootstrap(X_given, sample_weight=weight, **settings)
        np.testing.assert_allclose(found.draws, expected.draws, rtol=1e-4)


def test_labelled_components_are_never_relabelled():
    """Check components that random labels make equal, so that only the labels determine their order."""
    X, labels = rows(), np.random.default_rng(0).integers(0, 2, N)
    gm = GaussianMixture(2, random_state=0).fit(X, labels=labels)
    found = gm.bootstrap(X, 40, labels=labels, random_state=0)
    assert found.n_relabelled == 0
    np.testing.assert_allclose(found.bse, gm.inference(X, labels=labels, kind="sandwich").bse, rtol=0.5)


def test_the_text_reports_refits_that_collapsed_or_ended_at_another_maximum():
    X = rows(60, distance=1.0)
    found = fitted(X, tol=1e-4).bootstrap(X, 150, "nonparametric", random_state=0)
    assert found.n_resamples == 150
    assert len(found.draws) == 150 - found.n_collapsed
    assert found.n_at_other_maximum > 0
    text = str(found)
    assert f"In {found.n_at_other_maximum / 150:.1%} of the refits a component kept less than half" in text
    assert "150 refits, to rows drawn with replacement" in text
    note = fitted(X, noise=True).bootstrap(X, 5, random_state=0).notes[-1]
    assert note == "Weights are fractions of all rows, noise included. The volume of the noise is treated as known."


def test_components_that_collapsed_in_the_fit_do_not_count_as_collapsed_refits():
    X = np.column_stack([rows(), np.ones(N)])
    with pytest.warns(match="constant"):
        gm = fitted(X)
    found = gm.bootstrap(X, 20, random_state=0)
    assert found.n_collapsed == 0
    assert found.notes[-1].startswith("Components 0, 1: collapsed or without rows in the fit")


def test_refits_whose_shared_covariance_collapses_are_left_out():
    """Check a column of labels that varies within components in three of 60 rows only."""
    labels = np.arange(60) % 2
    X = np.column_stack([rows(60)[:, 0] + 3 * labels, labels])
    X[:3, 1] += [0.3, -0.2, 0.25]
    found = fitted(X, covariance_type="tied").bootstrap(X, 100, "nonparametric", random_state=0)
    assert 0 < found.n_collapsed == 100 - len(found.draws)


def test_bootstrap_raises_if_components_collapse_in_many_refits():
    X = np.concatenate([rows(30), [[9.0, 9.0], [9.1, 9.3], [9.2, 8.9]]])
    initial = {"means_init": [[0, 0], [4, 4], [9, 9]], "weights_init": [0.5, 0.4, 0.1]}
    gm = fitted(X, n_components=3, covariances_init=[np.eye(2)] * 3, **initial)
    with pytest.raises(ValueError, match=r"collapsed in \d+ of 40 refits.*prior='default'"):
        gm.bootstrap(X, 40, "nonparametric", random_state=0)


def test_bootstrap_supports_more_rows_than_one_call_of_the_core_takes():
    X = np.random.default_rng(0).normal(np.repeat([0.0, 5.0], 35_000))[:, None]
    found = fitted(X, tol=1e-4).bootstrap(X, 4, random_state=0)
    np.testing.assert_allclose(found.bse, fitted(X, tol=1e-4).inference(X).bse, rtol=1.2)
    assert (found.bse > 0).all()


def test_bootstrap_rejects_invalid_parameters():
    X = rows()
    gm = fitted(X)
    for parameters, error, message in [
        ({"kind": "pairs"}, ValueError, "'weighted', 'nonparametric'"),
        ({"n_resamples": 1}, ValueError, "n_resamples=1"),
        ({"n_resamples": 2.5}, TypeError, "integer"),
        ({"n_resamples": 999, "kind": "jackknife"}, ValueError, "one refit per row"),
        ({"concentration": 1e-8}, ValueError, "finite number ≥ 0.1"),
        ({"tol": 10**400}, ValueError, "must be a finite number above 0"),
        ({"concentration": 0.8, "kind": "parametric"}, ValueError, "applies only to kind='weighted'"),
        ({"tol": -1.0}, ValueError, "above 0"),
        ({"random_state": "a"}, ValueError, "random_state"),
    ]:
        with pytest.raises(error, match=message):
            gm.bootstrap(X, **parameters)
    with pytest.raises(ValueError, match="does not support missing values or X_error"):
        fitted(MISSING).bootstrap(MISSING, kind="parametric")
    with_precisions = fitted(weight_type="precision")
    with_precisions.bootstrap(X, 2, kind="parametric")
    with pytest.raises(ValueError, match="does not support weights that are precisions"):
        with_precisions.bootstrap(X, kind="parametric", sample_weight=np.linspace(1, 2, N))
    with pytest.raises(ValueError, match="X has 1 row, but must contain all training rows"):
        gm.bootstrap(X[:1], kind="jackknife")
    with pytest.raises(ValueError, match="does not support labels"):
        gm.bootstrap(X, kind="parametric", labels=LABELS)
    with pytest.raises(ValueError, match=r"limit is 4 GB: kind='parametric' draws one row per unit of weight"):
        gm.bootstrap(X, kind="parametric", sample_weight=np.full(N, 1e15))
    with pytest.warns(RuntimeWarning, match="a new fit to this X"):
        gm.bootstrap(X + 1.0, 3)
