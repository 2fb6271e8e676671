"""Standard errors by formulas agree with differences of the log-likelihood, closed forms and known results."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from common import Second
from scipy.stats import multivariate_normal, norm

import gaussmix
from gaussmix import FAMILIES, Bootstrap, Dirichlet, GaussianMixture, Inference, Mixture, Noise, Restrictions
from gaussmix._src.em.curvature.parameter_layout import ParameterLayout
from gaussmix._src.fit.after import bootstrap
from gaussmix._src.fit.after.inference import INFORMATION_KINDS, ObjectiveMaximiser

N, K, D = 240, 2, 2
STEP = 0.03  # step of the differences, in standard errors


def rows(seed=0, n=N, distance=4.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, D)) @ np.array([[1.0, 0.3], [0.0, 0.8]]) + distance * (rng.random(n) < 0.4)[:, None]


def fitted(X=None, weight=None, **parameters):
    settings = {"n_components": K, "random_state": 0, "tol": 1e-8, "max_iter": 5000, "reg_covar": 0.0} | parameters
    return GaussianMixture(**settings).fit(rows() if X is None else X, sample_weight=weight)


def log_density_function(X, mixture):
    """Return log p of each row as a function of all parameters except the last weight, with SciPy's densities."""
    layout = ParameterLayout.at_model(mixture._model)
    first = layout.n_components + layout.n_components * D

    def log_density(params):
        weights = np.append(params[: K - 1], 1 - params[: K - 1].sum())
        means = params[K - 1 : first - 1].reshape(K, D)
        densities = 0.0
        for k in range(K):
            covariance = np.zeros((D, D))
            for term, value in zip(layout.terms[first:], params[first - 1 :], strict=True):
                if term.component in (k, -2):
                    i, j = (term.features * 2)[:2] if term.features else (slice(None),) * 2
                    covariance[i, j] = covariance[j, i] = value if term.features else value * np.eye(D)
            densities = densities + weights[k] * multivariate_normal(means[k], covariance).pdf(X)
        return np.log(densities)

    return log_density


def differentiate(function, params, errors, weight):
    """Compute the information and the scores of each row by differences of fourth order."""
    p, unit = len(params), np.diag(errors)
    weights = np.array([1, -8, 0, 8, -1]) / 12
    points = [point for point in range(5) if weights[point]]

    def at(*moves):
        return function(params + STEP * sum(times * unit[i] for i, times in moves))

    scores = np.array([sum(weights[a] * at((i, 2 - a)) for a in points) for i in range(p)]) / -STEP
    matrix = np.empty((p, p))
    for i in range(p):
        for j in range(i + 1):
            total = sum(weights[a] * weights[b] * (weight @ at((i, 2 - a), (j, 2 - b))) for a in points for b in points)
            matrix[i, j] = matrix[j, i] = -total / STEP**2
    return matrix, scores


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("weight_type", ["frequency", "precision"])
@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_the_covariance_of_estimates_equals_that_of_numerical_derivatives(family, weight_type):
    X, weight = rows(), np.random.default_rng(1).integers(1, 4, N).astype(float)
    gm = fitted(X, weight, covariance_type=family, weight_type=weight_type)
    found = {kind: gm.inference(X, sample_weight=weight, kind=kind) for kind in INFORMATION_KINDS}
    counts = weight if weight_type == "frequency" else weight / weight.mean()
    free = np.arange(len(found["hessian"].params)) != K - 1  # the last weight follows from the others
    errors = found["hessian"].bse[free]
    matrix, scores = differentiate(log_density_function(X, gm.mixture_), found["hessian"].params[free], errors, counts)
    outer = scores * counts @ scores.T
    meat = outer if weight_type == "frequency" else scores * counts**2 @ scores.T
    inverse = np.linalg.inv(matrix)
    expected = {"hessian": inverse, "outer": np.linalg.inv(outer), "sandwich": inverse @ meat @ inverse}
    for kind in INFORMATION_KINDS:
        covariance = found[kind].cov_params()[np.ix_(free, free)] / np.outer(errors, errors)
        np.testing.assert_allclose(covariance, expected[kind], atol=2e-6, err_msg=kind)
        weights = found[kind].cov_params()[:K, :K]
        np.testing.assert_allclose(weights.sum(axis=0), 0, atol=1e-12)  # weights sum to 1


def test_inference_uses_labels_as_fit_does():
    X, rng = rows(distance=1.5), np.random.default_rng(2)
    labels = np.where(rng.random(N) < 0.5, (X.sum(axis=1) > 1.5).astype(int), -1)
    gm = GaussianMixture(K, random_state=0, tol=1e-8, max_iter=5000, reg_covar=0.0)
    found = gm.fit(X, labels=labels).inference(X, labels=labels)
    assert not found.notes
    with pytest.warns(RuntimeWarning, match="rows, weights, labels or errors differ"):
        assert (np.abs(gm.inference(X).params - found.params) > 0.1 * found.bse).any()


@pytest.mark.parametrize("case", ["missing", "errors", pytest.param("factors", marks=pytest.mark.heavy)])
def test_the_sandwich_for_missing_values_X_error_or_factors_is_near_the_jackknife(case):
    """Check that the jackknife approaches the sandwich, and the Hessian is close to both if the mixture is correct."""
    X, error, family, rng = rows(), None, "full", np.random.default_rng(5)
    if case == "missing":
        X[rng.random(X.shape) < 0.1] = np.nan
    elif case == "errors":
        error = np.full((N, D), 0.3)
    else:
        X, family = X @ rng.normal(size=(D, 4)) + rng.normal(size=(N, 4)), "factor_analyzer"
    gm = GaussianMixture(K, covariance_type=family, random_state=0, tol=1e-8, max_iter=5000).fit(X, X_error=error)
    found, sandwich = (gm.inference(X, X_error=error, kind=kind) for kind in ("hessian", "sandwich"))
    jackknife = gm.bootstrap(X, kind="jackknife", X_error=error, tol=1e-6)
    np.testing.assert_allclose(sandwich.bse, jackknife.bse, rtol=0.15)
    assert (np.abs(np.log(found.bse / sandwich.bse)) < 0.5).all()


def test_standard_errors_of_one_component_equal_the_textbook_formulas():
    X = rows()[:, :1]
    found = fitted(X, n_components=1).inference(X)
    variance = X.var()
    np.testing.assert_allclose(found.params, [1, X.mean(), variance], rtol=1e-12)
    np.testing.assert_allclose(found.bse, [0, np.sqrt(variance / N), variance * np.sqrt(2 / N)], rtol=1e-9)
    z = norm.ppf(0.975)
    np.testing.assert_allclose(found.conf_int()[0], [1, 1])
    np.testing.assert_allclose(found.conf_int()[1], X.mean() + z * found.bse[1] * np.array([-1, 1]))
    np.testing.assert_allclose(found.conf_int()[2], variance * np.exp(z * np.sqrt(2 / N) * np.array([-1, 1])))


def test_intervals_of_weights_are_symmetric_on_the_logit_scale():
    found = fitted().inference(rows())
    weight, error = found.params[0], found.bse[0]
    ends = found.conf_int(0.1)[0]
    odds = np.log(ends / (1 - ends))
    assert odds.mean() == pytest.approx(np.log(weight / (1 - weight)))
    assert np.ptp(odds) == pytest.approx(2 * norm.ppf(0.95) * error / (weight * (1 - weight)))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"prior": "default"},
        {"prior": Dirichlet(3.0), "covariance_type": "VVE"},
        {"noise": True},
        {"reg_covar": "auto"},
        {"reg_covar": 0.3, "covariance_type": "EEV"},
    ],
    ids=str,
)
def test_inference_continues_em_to_the_maximum(parameters):
    """Check that the estimates belong to the maximum, however early EM ended, and that a note reports large moves."""
    X = rows(distance=3.0)
    with pytest.warns(match="did not converge"):
        early = fitted(X, max_iter=1, init_params="kmeans", **parameters)
    late = fitted(X, tol=1e-10, init_params="kmeans", **parameters).inference(X, kind="sandwich")
    found = early.inference(X, kind="sandwich")
    np.testing.assert_allclose(found.params, late.params, atol=1e-5 * late.bse.max())
    np.testing.assert_allclose(found.bse, late.bse, rtol=1e-4)
    model = early.mixture_._model
    moved = np.abs(ParameterLayout.at_model(model).to_vector(model) - found.params) / found.bse
    assert any("for the maximum" in note for note in found.notes) == (moved.max() > 0.05)
    assert late.notes == tuple(note for note in found.notes if "noise" in note or "prior" in note)
    assert any("prior shifts" in note for note in late.notes) == (parameters.get("prior") == "default")


def test_estimate_gives_the_standard_error_of_the_delta_method():
    X = rows()
    found = fitted(X).inference(X)
    gap = found.estimate(lambda mixture: mixture.means[0] - mixture.means[1], "gap")
    indices = [found.names.index(name) for name in ("mean[0, x0]", "mean[1, x0]")]
    cov = found.cov_params()[np.ix_(indices, indices)]
    assert gap.names == ("gap[0]", "gap[1]")
    assert gap.bse[0] ** 2 == pytest.approx(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1], rel=1e-6)
    ratio = found.estimate(lambda mixture: np.log(mixture.weights[0]))
    assert ratio.names == ("function",)
    assert ratio.bse[0] == pytest.approx(found.bse[0] / found.params[0], rel=1e-6)
    with pytest.raises(ValueError, match="finite"):
        found.estimate(lambda mixture: np.nan)


def test_identical_components_have_no_standard_errors_but_the_others_have():
    X = rows(distance=8.0)
    is_low = X.mean(axis=1) < 4
    ends = X[is_low].mean(axis=0), X[is_low].mean(axis=0), X[~is_low].mean(axis=0)
    gm = fitted(X, n_components=3, means_init=ends, weights_init=[0.3, 0.3, 0.4], covariances_init=[np.eye(2)] * 3)
    found = gm.inference(X)
    is_last = [name.split("[")[1].startswith("2") for name in found.names]
    assert np.isnan(found.bse[~np.array(is_last)]).all()
    pair = fitted(X)
    expected = dict(zip(pair.inference(X).names, pair.inference(X).bse, strict=True))
    high = pair.means_[:, 0].argmax()  # the component of the rows of component 2
    for name, error in zip(np.array(found.names)[is_last], found.bse[is_last], strict=True):
        assert error == pytest.approx(expected[name.replace("[2", f"[{high}")], rel=1e-3)
    assert any(note.startswith("Components 0, 1: no standard error") for note in found.notes)
    assert np.isnan(found.conf_int()[0]).all()


def test_fixed_parameters_have_standard_error_0():
    X = rows()
    initial = {"means_init": [[0, 0], [4, 4]], "weights_init": [0.6, 0.4]}
    gm = fitted(X, restrictions=Restrictions(fixed_means=[0], equal_weights=False), **initial)
    found = dict(zip(gm.inference(X).names, gm.inference(X).bse, strict=True))
    assert found["mean[0, x0]"] == 0
    assert found["mean[1, x0]"] > 0
    equal = fitted(X, restrictions=Restrictions(equal_weights=True)).inference(X)
    assert equal.bse[0] == 0
    np.testing.assert_array_equal(equal.conf_int()[:2], [[0.5, 0.5]] * 2)


def test_parameters_along_flat_directions_have_no_covariance_with_fixed_parameters():
    peak = fitted(rows()).inference(rows()).optimum
    flat = replace(peak, information=replace(peak.information, matrix=np.zeros((1, 1))))
    found = flat.delta_method_covariance(np.array([[1.0], [0.0]]), "hessian")
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [np.nan, 0.0]])


@pytest.mark.parametrize(("structure", "fixed"), [("tied", np.eye(D)), ("EEI", np.ones(D)), ("EII", 1.0)])
def test_a_fixed_shared_covariance_equals_fixed_covariances_of_all_components(structure, fixed):
    options = {"restrictions": Restrictions(fixed_covariances=[0, 1]), "means_init": [[0, 0], [4, 4]]}
    expected = fitted(covariances_init=[np.eye(D)] * K, **options).inference(rows())
    gm = fitted(covariance_type=structure, covariances_init=fixed, check_maximum=True, **options)
    assert gm.outcome_.is_maximum
    found, first = gm.inference(rows()).bse, K + K * D
    np.testing.assert_allclose(found[:first], expected.bse[:first], rtol=1e-6)
    np.testing.assert_array_equal(found[first:], 0)


SEPARATE = [name for name, each in FAMILIES.items() if not each.is_shared and each.kind.second is not Second.TRACE]


def test_a_weight_at_min_weight_has_no_standard_error_and_a_note():
    limited = fitted(restrictions=Restrictions(min_weight=0.45))
    found = limited.inference(rows())
    least = int(limited.weights_.argmin())
    assert np.isnan(found.bse[:K]).tolist() == [k == least for k in range(K)]
    assert any(f"Component {least}: the weight is at min_weight" in note for note in found.notes)


@pytest.mark.parametrize("kind", INFORMATION_KINDS)
def test_standard_errors_treat_a_noise_variance_that_tends_to_0_as_known(kind, rng):
    X = rng.normal(size=(400, 3))
    correlations = np.array([[1.0, 0.8, 0.8], [0.8, 1.0, 0.5], [0.8, 0.5, 1.0]])
    X = (X - X.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(X.T, bias=True))).T
    X = pd.DataFrame(X @ np.linalg.cholesky(correlations).T, columns=["a", "b", "c"])
    gm = GaussianMixture(1, covariance_type="factor_analyzer", reg_covar=0).fit(X)
    found = gm.inference(X, kind=kind)
    what = "Component 0: the noise variance of column 'a' is at its lower bound, so it has no standard error"
    assert found.notes[-1].startswith(what)
    # Without noise in `a`, the other columns are independent linear regressions on `a`.
    expected = [1, 0.8, 1, 0.8, 0.64, 1]
    np.testing.assert_allclose(found.params[4:], expected, rtol=1e-4)
    if kind == "hessian":
        roots = np.sqrt([2, 1.64, 2, 1.64, 1.28, 2])
        np.testing.assert_allclose(found.bse[1:] * 20, [1, 1, 1, *roots], rtol=1e-4)
    assert np.isfinite(found.bse).all()
    shared = gaussmix.FactorAnalyzer(1, shared_loadings=True, shared_noise=True)
    alike = GaussianMixture(1, covariance_type=shared, reg_covar=0).fit(X).inference(X, kind=kind)
    assert alike.notes[-1].startswith("All components: the noise variance of column 'a' is at its lower bound")
    ridged = GaussianMixture(1, covariance_type="factor_analyzer", reg_covar=1e-6).fit(X).inference(X, kind=kind)
    assert not any("noise variance" in note for note in ridged.notes)


@pytest.mark.parametrize("structure", SEPARATE)
def test_means_have_no_standard_errors_if_components_rest_on_reg_covar(structure, rng):
    X = rng.normal(size=(90, 3)) + 6 * rng.integers(2, size=(90, 1))
    X[:, 1] = 1.0
    with pytest.warns(match="constant"):
        gm = GaussianMixture(2, covariance_type=structure, random_state=0).fit(X)
    found = gm.inference(X, kind="hessian")
    are_means = np.array([name.startswith("mean") for name in found.names])
    assert np.isnan(found.bse[are_means]).all()
    assert np.isfinite(found.bse[~are_means]).any()


def test_a_component_on_a_line_has_no_standard_errors_unless_all_rows_are_on_a_plane():
    X = np.repeat(np.random.default_rng(0).normal(size=(6, 2)), 20, axis=0)  # one component has only two distinct rows
    with pytest.warns(match="reg_covar"):
        gm = GaussianMixture(2, random_state=0).fit(X)
    found = gm.inference(X, kind="hessian")
    (k,) = gm.outcome_.on_ridge
    has_error = [name.startswith("weight") or f"[{k}" not in name for name in found.names]
    np.testing.assert_array_equal(np.isfinite(found.bse), has_error)
    assert found.notes[0].startswith(f"Component {k}: no standard errors of mean and covariance after a collapse")
    X = rows()
    with pytest.warns(match="linearly dependent"):
        flat = GaussianMixture(2, random_state=0).fit(np.column_stack((X, X.sum(axis=1))))
    assert np.isfinite(flat.inference(np.column_stack((X, X.sum(axis=1))), kind="hessian").bse).all()


def test_a_factor_analyser_on_a_plane_has_no_standard_errors_unless_all_rows_are_on_a_plane():
    rng = np.random.default_rng(0)
    group = rng.normal(size=(150, 5)) @ rng.normal(size=(5, 5)) + 8
    X = np.concatenate([group, rng.normal(size=(150, 2)) @ rng.normal(size=(2, 5))])
    with pytest.warns(match="linearly dependent"):
        gm = GaussianMixture(2, covariance_type=gaussmix.FactorAnalyzer(2), random_state=0).fit(X)
    found = gm.inference(X, kind="hessian")
    (k,) = gm.outcome_.on_ridge
    has_error = [name.startswith("weight") or f"[{k}" not in name for name in found.names]
    np.testing.assert_array_equal(np.isfinite(found.bse), has_error)
    copied = group[:, [0, 1, 2, 3, 0]]
    with pytest.warns(match="linearly dependent"):
        flat = GaussianMixture(1, covariance_type=gaussmix.FactorAnalyzer(2), random_state=0).fit(copied)
    assert np.isfinite(flat.inference(copied, kind="hessian").bse).all()


@pytest.mark.parametrize("fraction", [1e-12, 0.1])
def test_a_negative_variance_is_0_within_rounding_and_nan_otherwise(fraction, monkeypatch):
    gm = fitted()
    true = gm.inference(rows(), kind="sandwich")
    compute = ObjectiveMaximiser.compute_information

    def rounded(*arguments, **named):
        found = compute(*arguments, **named)
        return replace(found, score_outer_product=-fraction * found.matrix)

    monkeypatch.setattr(ObjectiveMaximiser, "compute_information", rounded)
    found = gm.inference(rows(), kind="sandwich")
    if fraction < 0.1:
        np.testing.assert_array_equal(found.bse, 0)
        assert found.notes == true.notes
    else:
        assert np.isnan(found.bse).all()
        assert np.isnan(found.conf_int()).all()
        assert "'weight[0]', 'weight[1]'" in found.notes[0]
        assert "unknown, because rounding leaves negative variances" in found.notes[0]


def test_only_mean_and_covariance_of_a_collapsed_component_have_no_standard_errors():
    X = rows()
    X[:6] = [30.0, 30.0]
    initial = {"means_init": [[0, 0], [4, 4], [30, 30]], "weights_init": [0.5, 0.4, 0.1]}
    with pytest.warns(match="collapsed"):
        gm = fitted(X, n_components=3, covariances_init=[np.eye(2)] * 3, **initial)
    collapsed = gm.outcome_.collapsed[0]
    found = gm.inference(X)
    errors = dict(zip(found.names, found.bse, strict=True))
    for name, error in errors.items():
        is_collapsed = f"[{collapsed}" in name and not name.startswith("weight")
        assert np.isnan(error) == is_collapsed, name
    assert any(note.startswith(f"Component {collapsed}: no standard errors of mean") for note in found.notes)
    # The collapsed component is not changed.
    np.testing.assert_array_equal(found.mixture.covariances[collapsed], gm.covariances_[collapsed])
    weight = 6 / N
    assert errors[f"weight[{collapsed}]"] == pytest.approx(np.sqrt(weight * (1 - weight) / N), rel=1e-6)


def test_equal_rows_have_no_standard_errors_of_mean_and_covariance():
    """Check the case without free parameters: the weight is 1, and the one row determines mean and covariance."""
    X = np.ones((20, D))
    found = fitted(X, n_components=1, reg_covar=1e-6).inference(X)
    assert found.bse[0] == 0
    assert np.isnan(found.bse[1:]).all()
    assert found.notes[0].startswith("Component 0: no standard errors of mean and covariance after a collapse")
    assert np.isnan(found.estimate(lambda mixture: mixture.mean).bse).all()


def test_a_component_without_rows_has_no_standard_errors_but_the_others_have():
    X = rows()
    initial = {"means_init": [[0, 0], [4, 4], [90, -90]], "weights_init": [0.5, 0.4, 0.1]}
    with pytest.warns(match="became empty"):
        gm = fitted(X, n_components=3, covariances_init=[np.eye(2)] * 3, **initial)
    found, expected = gm.inference(X), fitted(X, means_init=initial["means_init"][:2]).inference(X)
    is_empty = np.array([name.split("[")[1].startswith("2") for name in found.names])
    assert np.isnan(found.bse[is_empty]).all()
    np.testing.assert_allclose(found.bse[~is_empty], expected.bse, rtol=1e-4)
    assert any(note.startswith("Component 2: no standard errors, because") for note in found.notes)


def test_a_component_of_less_than_one_row_has_no_standard_errors():
    X = rows()
    weight = np.r_[np.ones(N - 3), [0.2, 0.2, 0.2]]
    X[-3:] = [[30, 30], [30, 33], [34, 30]]
    initial = {"means_init": [[0, 0], [4, 4], [31, 31]], "weights_init": [0.6, 0.399, 0.001]}
    gm = fitted(X, weight, n_components=3, covariances_init=[np.eye(2), np.eye(2), 9 * np.eye(2)], **initial)
    found = gm.inference(X, sample_weight=weight)
    is_empty = np.array([name.split("[")[1].startswith("2") for name in found.names])
    np.testing.assert_array_equal(np.isnan(found.bse), is_empty)


@pytest.mark.parametrize("change", ["moved", "fewer", "weighted"])
def test_inference_warns_if_rows_or_weights_differ_from_those_of_the_fit(change):
    X = rows()
    gm = fitted(X)
    other = X + 0.5 if change == "moved" else X[:-9] if change == "fewer" else X
    weight = np.arange(N) + 1.0 if change == "weighted" else None
    with pytest.warns(RuntimeWarning, match="a new fit to this X"):
        found = gm.inference(other, sample_weight=weight)
    if change == "moved":
        expected = fitted(other).inference(other)
        np.testing.assert_allclose(np.sort(found.bse), np.sort(expected.bse), rtol=1e-5)


def test_gaussian_mixture_ic_supports_inference():
    X = rows()
    search = gaussmix.GaussianMixtureIC(range(1, 3), covariance_type="full", random_state=0).fit(X)
    np.testing.assert_allclose(np.sort(search.inference(X).bse), np.sort(fitted(X).inference(X).bse), rtol=1e-3)


def test_inference_rejects_trim_unknown_kinds_and_few_rows():
    X = rows()
    with pytest.raises(
        ValueError,
        match=r"^Standard errors can't be computed by formula, because trim leaves out .* Use bootstrap\(X\)\.$",
    ):
        fitted(X, trim=0.05).inference(X)
    with pytest.raises(ValueError, match="'hessian', 'outer', 'sandwich'"):
        fitted(X).inference(X, kind="louis")
    few = X[:4]
    with pytest.raises(ValueError, match="needs more rows"):
        fitted(few, n_components=1).inference(few, kind="outer")
    with pytest.raises(ValueError, match="X has 1 row, but must contain all training rows"):
        fitted(X).inference(X[:1])
    with pytest.raises(ValueError, match="alpha"):
        fitted(X).inference(X).conf_int(1.5)
    for function, error in ((3, TypeError), (lambda mixture: "a", ValueError), (lambda mixture: None, ValueError)):
        with pytest.raises(error, match=r"takes a mixture and returns numbers, not 3|must return finite numbers"):
            fitted(X).inference(X).estimate(function)
    with pytest.raises(ValueError, match="wald"):
        fitted(X).inference(X).conf_int(method="percentile")


@pytest.mark.parametrize(("shift", "spread"), [(1e9, 1.0), (1.7e9, 1e4), (1.0, 1e-9)])
def test_the_text_has_enough_digits_for_the_interval(shift, spread):
    X = shift + spread * np.random.default_rng(0).normal(size=(200, 1))
    found = GaussianMixture(1, reg_covar=0).fit(X).inference(X)
    texts = re.findall(r"mean.*", str(found))[0].split()[2:]
    exact = found.params[1], found.bse[1], *found.conf_int()[1]
    np.testing.assert_allclose([float(text) for text in texts], exact, rtol=0, atol=0.01 * found.bse[1])


@pytest.mark.parametrize(
    ("value", "error", "texts"),
    [
        (1.23456, 0.0123456, "1.2346 0.0123 1.2104 1.2588"),
        (1.5e13, 0.5, "15000000000000 0.5 14999999999999 15000000000001"),
        (0.5, 0.0, "0.5 known"),
    ],
)
def test_the_text_rounds_to_three_digits_of_the_standard_error(value, error, texts):
    found = gaussmix.ParameterEstimates(("a",), np.array([value]), np.array([[error**2]]), ("",), "method")
    assert str(found).splitlines()[-1].split() == ["a", *texts.split()]


def test_the_text_and_the_data_frame_contain_the_standard_errors():
    X = rows()
    found = fitted(X, noise=True).inference(X)
    text = str(found)
    assert text.startswith("Inference by the Hessian of the objective")
    assert "weight[noise]" in text
    assert "volume of the noise is treated as known" in text
    table = found.tidy()
    assert list(table.columns) == ["term", "estimate", "std_error", "conf_low", "conf_high"]
    np.testing.assert_array_equal(table["std_error"], found.bse)
    assert (table["conf_low"] < table["estimate"]).all()
    assert "<table" in found._repr_html_()
    assert isinstance(found.mixture, Mixture)


def test_noise_without_rows_has_standard_error_0_and_the_fit_is_at_a_maximum(rng):
    """Check a background whose weight approaches 0, so that steps in its log odds are huge."""
    X = rng.normal(size=(100, 2))
    X[:10, 0] = np.nan
    noise = Noise(volume=[[-1e3, -1e3], [1e3, 1e3]])
    gm = GaussianMixture(1, noise=noise, check_maximum=True, random_state=0).fit(X)
    assert gm.outcome_.is_maximum
    found = gm.inference(X)
    assert "Almost no row is noise" in str(found)
    assert found.bse[found.names.index("weight[noise]")] == 0
    assert (found.bse[2:] > 0).all()


@pytest.mark.parametrize("noise", [False, True])
def test_tidy_of_the_estimator_has_standard_errors_and_intervals(noise):
    X = rows()
    gm = fitted(X, noise=noise)
    for found in (gm.inference(X), gm.bootstrap(X, 20, random_state=0)):
        table = gm.tidy(found)
        assert len(table) == K + noise
        for k in range(K):
            for term, column in ((f"weight[{k}]", "weight"), (f"mean[{k}, x1]", "mean_x1")):
                index, intervals = found.names.index(term), found.conf_int()
                assert table[f"{column}_std_error"][k] == found.bse[index]
                assert table[f"{column}_conf_low"][k] == intervals[index, 0]
                assert table[f"{column}_conf_high"][k] == intervals[index, 1]
        if noise:
            assert table["weight_std_error"][K] == found.bse[found.names.index("weight[noise]")]
            assert np.isnan(table["mean_x0_std_error"][K])
    with pytest.raises(ValueError, match="this estimator"):
        fitted(X, n_components=3).tidy(found)


def test_tidy_rejects_standard_errors_of_another_fit():
    X, gm = rows(), fitted()
    found = gm.inference(X)
    frame = gm.tidy(found)
    assert (frame["weight_conf_low"] < frame["weight"]).all()
    assert (frame["weight"] < frame["weight_conf_high"]).all()
    with pytest.raises(ValueError, match="they belong to another fit"):
        gm.tidy(fitted(X + 1.0).inference(X + 1.0))
    for wrong in (True, 0.05, frame):
        with pytest.raises(TypeError, match="estimates must be"):
            gm.tidy(wrong)
    gm.covariances_ = 2 * gm.covariances_  # only weights and means are compared, because `tidy` reports no covariances
    assert (gm.tidy(found)["weight_conf_low"] == frame["weight_conf_low"]).all()


@pytest.mark.parametrize("unit", [1e-100, 1e140])
def test_standard_errors_are_rejected_if_squares_of_variances_overflow(unit):
    X = rows() * [1.0, unit]
    gm = fitted(X, reg_covar=0.0)
    for estimate in gm.inference, gm.bootstrap:
        with pytest.raises(ValueError, match=r"the variance of x1 in component 0 .* Rescale this column"):
            estimate(X)


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_a_note_names_a_constant_column(structure):
    X = np.column_stack([rows(), np.ones(N)])
    found = fitted(X, reg_covar=1e-6, covariance_type=structure).inference(X)
    which = "All components have" if structure == "tied" else "Some components have"
    advice = "only because of reg_covar. Leave out columns that are constant in a component."
    assert f"{which} a variance in 'x2' {advice}" in found.notes
    assert not any("reg_covar" in note for note in fitted().inference(rows()).notes)


def test_inference_warns_if_the_fit_ended_far_from_the_maximum():
    X = rows(distance=1.5)
    with pytest.warns(RuntimeWarning, match="standard errors from the fit"):
        found = fitted(X, tol=0.1, init_params="kmeans").inference(X)  # formulas give the same note as refits
    assert "standard errors from the fit" in found.notes[0]


def test_alpha_is_the_probability_outside_of_the_interval():
    found = fitted().inference(rows())
    assert (found.conf_int(0.5)[:, 0] < found.params).all()
    for method in (found.conf_int, found.tidy, found.summary):
        with pytest.raises(ValueError, match=r"alpha=0.95 must be .* such as 0.05 for 95 %"):
            method(0.95)


def test_auto_uses_formulas_if_they_are_accurate():
    gm = fitted()
    found = gm.inference(rows())
    assert (found.kind, found.notes) == ("hessian", ())
    np.testing.assert_array_equal(found.conf_int(), gm.inference(rows(), kind="hessian").conf_int())


def test_auto_uses_the_sandwich_for_weights_that_are_precisions():
    weight = np.random.default_rng(2).uniform(0.5, 2, N)
    gm = fitted(weight=weight, weight_type="precision")
    found = gm.inference(rows(), sample_weight=weight)
    assert found.notes == ("The sandwich estimator was used, because row weights are precisions.",)
    np.testing.assert_array_equal(found.bse, gm.inference(rows(), sample_weight=weight, kind="sandwich").bse)
    without = fitted(weight_type="precision")
    assert without.inference(rows()).kind == "hessian"


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("weight_type", ["frequency", "precision"])
def test_auto_uses_refits_if_formulas_are_inaccurate(weight_type):
    X, weight = rows(distance=1.5), 1.0 + np.arange(N) % 2
    gm, weights = fitted(X, weight, weight_type=weight_type), {"sample_weight": weight}
    found, refits = gm.inference(X, **weights), gm.bootstrap(X, 199, concentration=0.8137, random_state=0, **weights)
    assert isinstance(found, Bootstrap)
    np.testing.assert_array_equal(found.draws, refits.draws)
    assert found.notes[0].startswith("The rows determine some of the parameters only weakly. ")
    assert found.notes[0].endswith(" and intervals from such refits contained 96 %.")
    assert found.notes[1:] == refits.notes
    assert "mean[1, x1]" in found.tidy()["term"].to_list()
    assert len(gm.tidy(found)) == K
    formula = gm.inference(X, kind="hessian", **weights)
    assert isinstance(formula, Inference)
    advice = found.notes[0].replace(", and intervals from such refits contained 96 %.", ". Use bootstrap(X).")
    assert formula.notes == (advice,)
    assert formula.optimum.least_curvature < 15


@pytest.mark.parametrize("reason", ["refits take long", "refits collapse"])
def test_auto_uses_formulas_and_recommends_bootstrap_if_refits_are_not_possible(reason, monkeypatch):
    X = rows(distance=1.5)
    gm = fitted(X)
    limits = {"refits take long": ("MAX_FAST_REFIT_COST", 1), "refits collapse": ("MAX_COLLAPSED_FRACTION", -1)}
    monkeypatch.setattr(bootstrap, *limits[reason])
    found = gm.inference(X)
    assert isinstance(found, Inference)
    assert found.notes[0].endswith("Use bootstrap(X).")
    assert any("needs refits without collapse" in note for note in found.notes) == (reason == "refits collapse")


@pytest.mark.filterwarnings("ignore")
def test_auto_uses_formulas_after_a_collapse():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(150, 2)), rng.normal(4.0, 1.0, size=(150, 2))])[:3]
    gm = GaussianMixture(2, random_state=0).fit(X)
    found, formula = gm.inference(X), gm.inference(X, kind="hessian")
    assert isinstance(found, Inference)
    assert found.notes == formula.notes
    np.testing.assert_array_equal(found.bse, formula.bse)
    assert np.isnan(found.bse).any()
    assert any("no standard errors" in note for note in found.notes)


def test_the_note_of_auto_states_no_coverage_for_few_rows():
    X = rows(n=60, distance=1.5)
    gm = fitted(X, reg_covar=1e-6)
    found, formula = gm.inference(X), gm.inference(X, kind="hessian")
    assert isinstance(found, Bootstrap)
    assert found.notes[0] == "The rows determine some of the parameters only weakly."
    assert formula.notes[0] == f"{found.notes[0]} Use bootstrap(X)."


def test_is_refit_fast_counts_refits_outside_the_core_as_slower():
    """Check that slower refits are avoided at fewer rows: they take 40 times as long with both options, 8 with NaN."""
    X = rows(n=N // 10)
    incomplete = X.copy()
    incomplete[0, 0] = np.nan
    is_fast = []
    both = {"noise": True, "prior": "default"}
    for each, parameters in [(X, {}), (X, {"prior": "default"}), (X, {"noise": True}), (incomplete, {}), (X, both)]:
        gm = fitted(each, **parameters)
        for n_copies in (1, 10, 50):
            problem = gm._inference_problem(np.tile(each, (n_copies, 1)), None, None, None)
            is_fast.append(bootstrap.is_refit_fast(problem, gm.mixture_._model))
    assert is_fast == [True] * 9 + [True, True, False] + [True, False, False]


def test_mixtures_are_sampled_from_a_singular_sandwich_covariance(rng):
    """The scores of five rows span at most five of the nine coordinates."""
    X = rng.normal(size=(5, 3))
    found = GaussianMixture(1).fit(X).inference(X, kind="sandwich")
    drawn = np.array([mixture.parameters.means[0] for mixture in found.sample_mixtures(4_000)])
    np.testing.assert_allclose(drawn.std(axis=0), found.bse[1:4], rtol=0.05)  # `bse` begins with the weight


def test_sampled_mixtures_with_infinite_covariances_are_rejected():
    found = fitted().inference(rows(), kind="outer")
    uncertain = replace(found, optimum=replace(found.optimum, total_weight=1e-6))
    with pytest.raises(ValueError, match=r"^Drawn covariances overflow, .*\. Use bootstrap\(X\)\.$"):
        uncertain.sample_mixtures()
