"""Remedies for components that collapse or become empty, and their diagnostics in `outcome_.diagnostics`."""

import pickle
import re
import warnings
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from common import raises_and_keeps
from sklearn.exceptions import ConvergenceWarning

from gaussmix import (
    DegenerateError,
    Dirichlet,
    GaussianMixture,
    GaussianMixtureIC,
    Restrictions,
    SingularCovarianceError,
)

COLLAPSED = "collapsed onto too few distinct rows"
EMPTY = "became empty"


def spiked():
    """Return a data frame of two groups of 60 rows, and 5 rows with the same `wait`."""
    rng = np.random.default_rng(1)
    spike = np.column_stack([np.full(5, 20.0), [3.0, 4.0, 5.5, 3.5, 4.5]])
    X = np.concatenate([rng.normal(0, 1, (60, 2)), rng.normal(8, 1, (60, 2)), spike])
    return pd.DataFrame(X, columns=["wait", "length"])


def initial_values(*means):
    n = len(means)
    return {
        "means_init": np.array(means, dtype=float),
        "weights_init": np.full(n, 1 / n),
        "covariances_init": np.array([np.eye(2)] * n),
    }


COLLAPSING = {"reg_covar": 0, "tol": 1e-8, "max_iter": 500, **initial_values([0, 0], [8, 8], [20, 4])}
LOSING = {"reg_covar": 0, "tol": 1e-8, "max_iter": 500, **initial_values([0, 0], [8, 8], [900, -900])}


def fit(remedy, case, **more):
    return GaussianMixture(3, **case, degenerate=remedy, **more).fit(spiked().iloc[: 120 if case is LOSING else 125])


@pytest.mark.filterwarnings("ignore:component 2")
@pytest.mark.parametrize(("settings", "cause", "feature"), [(COLLAPSING, COLLAPSED, "wait"), (LOSING, EMPTY, None)])
@pytest.mark.parametrize(
    ("remedy", "done"),
    [("freeze", "frozen"), ("drop", "dropped"), ("repair", "replaced by one half of the heaviest component")],
)
def test_diagnostics_name_component_feature_step_and_cause(remedy, done, settings, cause, feature):
    first = fit(remedy, settings).outcome_.diagnostics[0]
    assert (first.component, first.feature, first.cause) == (2, feature, f"{cause}, and was {done}")
    assert first.step == 1
    assert repr(first) == f"Diagnosis(component=2, feature={feature!r}, step=1, cause={first.cause!r})"


def test_the_reported_feature_of_a_collapse_does_not_depend_on_units():
    """Check a component that is equally wide in both features at first, although `wait` varies more in the mixture."""
    for unit in (1e-3, 1.0, 1e3):
        X, settings = spiked() * [1, unit], {**COLLAPSING, "means_init": COLLAPSING["means_init"] * [1, unit]}
        settings["covariances_init"] = COLLAPSING["covariances_init"] * np.outer([1, unit], [1, unit])
        assert GaussianMixture(3, **settings, degenerate="drop").fit(X).outcome_.diagnostics[0].feature == "wait"


def test_dropping_a_component_rescales_the_other_weights_to_sum_to_1():
    at_once, later = (GaussianMixture(3, **COLLAPSING | {"max_iter": n}, degenerate="drop") for n in (1, 2))
    with pytest.warns(ConvergenceWarning):
        at_once.fit(spiked())
    assert (at_once.mixture_.n_components, at_once.outcome_.diagnostics[0].step) == (2, 1)
    assert at_once.weights_.sum() == pytest.approx(1, abs=1e-15)
    with pytest.warns(ConvergenceWarning):
        later.fit(spiked())
    assert later.lower_bound_ == pytest.approx(at_once.score(spiked()), rel=1e-12)


@pytest.mark.parametrize("settings", [COLLAPSING, LOSING], ids=["collapsed", "lost"])
def test_a_fit_that_drops_a_component_equals_a_fit_of_the_others(settings):
    fitted = fit("drop", settings)
    X = spiked().iloc[: 120 if settings is LOSING else 125]
    assert (fitted.n_components, fitted.mixture_.n_components, fitted.outcome_.collapsed) == (3, 2, [])
    assert fitted.converged_
    assert fitted.predict_proba(X).shape == (len(X), 2)
    assert fitted.weights_.sum() == pytest.approx(1, abs=1e-14)
    others = {name: values[:2] for name, values in initial_values([0, 0], [8, 8], [20, 4]).items()}
    others["weights_init"] = [0.5, 0.5]
    alone = GaussianMixture(2, reg_covar=0, tol=1e-10, max_iter=2000, **others).fit(X)
    assert fitted.score(X) == pytest.approx(alone.score(X), rel=1e-6)
    np.testing.assert_allclose(fitted.means_, alone.means_, rtol=1e-2)


@pytest.mark.parametrize("structure", ["full", "diag", "spherical", "VVE", "VEV", "factor_analyzer"])
def test_every_structure_continues_after_a_component_is_dropped(structure):
    settings = {name: value for name, value in LOSING.items() if name != "covariances_init"}
    X = np.column_stack([spiked().to_numpy()[:120], np.random.default_rng(0).normal(size=120)])
    settings["means_init"] = np.column_stack([settings["means_init"], np.zeros(3)])
    labels = np.repeat([0, 1], 60)
    labels[:2] = 2
    fitted = GaussianMixture(
        3, covariance_type=structure, init_params=labels, reg_covar=0, degenerate="drop", max_iter=300
    ).fit(X)
    assert fitted.mixture_.n_components == 3 - len(fitted.outcome_.diagnostics)
    assert np.isfinite(fitted.score(X))


def test_a_repaired_component_has_rows_and_raises_the_likelihood():
    fitted = fit("repair", LOSING)
    assert (fitted.mixture_.n_components, fitted.outcome_.collapsed, len(fitted.outcome_.diagnostics)) == (3, [], 1)
    assert fitted.weights_.min() > 0.02
    X = spiked().iloc[:120]
    two = GaussianMixture(2, reg_covar=0, tol=1e-8, max_iter=500, random_state=0).fit(X)
    assert fitted.score(X) > two.score(X)


@pytest.mark.parametrize(("settings", "feature"), [(COLLAPSING, "wait"), (LOSING, None)], ids=["collapsed", "lost"])
def test_degenerate_error_names_component_and_feature_and_keeps_the_estimator(settings, feature):
    estimator = GaussianMixture(3, **settings, degenerate="error")
    with raises_and_keeps(estimator, DegenerateError, r"^In step 1 of EM, component 2 ") as caught:
        estimator.fit(spiked().iloc[: 120 if settings is LOSING else 125])
    error = caught.value
    assert isinstance(error, SingularCovarianceError)
    assert (error.component, error.feature, error.step) == (2, feature, 1)
    where = "" if feature is None else f", first in feature {feature!r}"
    assert str(error).startswith(f"In step 1 of EM, component 2 {error.cause}{where}. Raise reg_covar, ")
    restored = pickle.loads(pickle.dumps(error))
    assert (str(restored), vars(restored)) == (str(error), vars(error))


def test_a_degenerate_n_init_run_does_not_end_the_other_runs():
    X = spiked().iloc[:120]
    labels = iter([np.r_[[2, 2], np.repeat([0, 1], [58, 60])], np.repeat([0, 1, 2], [60, 30, 30])])
    settings = {"init_params": lambda X, k, rng: next(labels), "n_init": 2, "reg_covar": 0, "max_iter": 300}
    fitted = GaussianMixture(3, **settings, degenerate="error").fit(X)
    assert fitted.outcome_.diagnostics == []


@pytest.mark.parametrize("as_frame", [True, False])
def test_the_error_names_a_linearly_dependent_or_constant_column(as_frame, rng):
    X = pd.DataFrame(rng.normal(size=(90, 3)), columns=["width", "height", "depth"])
    X["inches"] = X["width"] / 2.54
    which = "Column 'inches' follows from column 'width'" if as_frame else "Column 3 follows from column 0 "
    with pytest.raises(
        SingularCovarianceError,
        match=f"scale the input data. {which}.*Leave out one of these columns, or .* This concerns comp",
    ):
        GaussianMixture(2, reg_covar=0, random_state=0).fit(X if as_frame else X.to_numpy())
    with pytest.raises(SingularCovarianceError, match=r"Column 'depth' .* constant.*Leave it out"):
        GaussianMixture(2, covariance_type="diag", reg_covar=0, random_state=0).fit(X.assign(depth=1.0))


def test_the_error_names_a_linearly_dependent_column_of_a_table_with_missing_values(rng):
    X = pd.DataFrame(rng.normal(size=(90, 2)), columns=["width", "height"]).mask(rng.random((90, 2)) < 0.1)
    X["inches"] = X["width"] / 2.54
    gm = GaussianMixture(2, reg_covar=0, random_state=0)
    named = r"Column 'inches' follows from column 'width' in the rows without missing values\. Leave out one"
    with pytest.raises(SingularCovarianceError, match=named):
        gm.fit(X)
    X.loc[3:, "height"] = np.nan  # three complete rows are linearly dependent by chance
    with pytest.raises(SingularCovarianceError) as caught:
        gm.fit(X)
    assert "follows from" not in str(caught.value)


@pytest.mark.parametrize("n_far", [1, 4])
@pytest.mark.parametrize("reg_covar", [0, "auto"])
@pytest.mark.parametrize("structure", ["full", "tied"])
def test_the_error_names_rows_that_are_far_from_all_others(structure, reg_covar, n_far, rng):
    X = np.r_[np.tile([[1e9, -1e9]], (n_far, 1)), rng.normal(size=(200, 2))]
    message = "Row 0 .* is so far .* or fit a GaussianMixture with" if n_far == 1 else "Rows 0, 1, 2 and 1 more .* are"
    fits = GaussianMixture(1, covariance_type=structure, reg_covar=reg_covar)
    with pytest.raises(SingularCovarianceError, match=f"scale the input data. {message}"):
        fits.fit(X)
    with pytest.raises(
        SingularCovarianceError, match=f"Column 2 follows from column 1 .* raise reg_covar, on .* depend. {message}"
    ):
        fits.fit(X[:, [0, 1, 1]])
    assert np.isfinite(fits.set_params(trim=0.05).fit(X).score(X[n_far:]))


@pytest.mark.parametrize("remedy", ["drop", "repair"])
def test_drop_and_repair_accept_an_initialisation_with_too_few_distinct_rows(remedy):
    """Check remedies if k-means finds a cluster of the rows with equal `wait`, which is otherwise not usable."""
    with pytest.raises(SingularCovarianceError, match="This concerns component"):
        GaussianMixture(3, reg_covar=0, random_state=0).fit(spiked())
    fitted = GaussianMixture(3, reg_covar=0, random_state=0, degenerate=remedy, max_iter=1000).fit(spiked())
    assert fitted.mixture_.n_components == (2 if remedy == "drop" else 3)
    assert (fitted.outcome_.diagnostics[0].feature, fitted.outcome_.diagnostics[0].step) == ("wait", 1)


@pytest.mark.parametrize("remedy", ["drop", "repair", "error"])
@pytest.mark.parametrize("structure", ["full", "tied"])
def test_a_fit_fails_if_all_components_collapse(remedy, structure):
    X = np.column_stack([spiked().to_numpy(), np.ones(125)])
    with pytest.raises(DegenerateError, match=f"component 0 {COLLAPSED}") as caught:
        GaussianMixture(2, covariance_type=structure, reg_covar=0, random_state=0, degenerate=remedy).fit(X)
    assert caught.value.feature == 2


@pytest.mark.parametrize("structure", ["EVE", "VVE"])
def test_common_axes_allow_a_component_of_fewer_rows_than_columns(structure):
    """Check that a scatter matrix may be singular if all variances along the common axes are positive."""
    rng, sizes = np.random.default_rng(0), np.array([9.0, 6.0, 4.0, 2.5, 1.5, 1.0])
    few = rng.normal(size=(5, 6)) * sizes[::-1] + [60, 0, 0, 0, 0, 0]
    rows = np.vstack([rng.normal(size=(300, 6)) * sizes, few])
    fitted = GaussianMixture(2, covariance_type=structure, reg_covar=0, init_params="kmeans", random_state=0).fit(rows)
    assert fitted.weights_.min() == pytest.approx(5 / 305)
    assert np.linalg.cond(fitted.covariances_).max() < 1e4


def test_constant_columns_and_few_rows_are_diagnosed():
    frame = spiked().assign(one=1.0)
    with pytest.warns(RuntimeWarning, match="Column 'one' is constant"):
        fitted = GaussianMixture(2, random_state=0).fit(frame)
    assert [(each.component, each.feature, each.step) for each in fitted.outcome_.diagnostics] == [(None, "one", None)]
    assert fitted.outcome_.diagnostics[0].cause.startswith("the column is constant")
    with pytest.warns(RuntimeWarning, match="X has 2 distinct rows"):
        fitted = GaussianMixture(3, random_state=0).fit(np.repeat([[0.0, 0.0], [1.0, 1.0]], 5, axis=0))
    assert "X has 2 distinct rows, fewer than n_components=3" in [each.cause for each in fitted.outcome_.diagnostics]


def test_a_nearly_singular_covariance_is_diagnosed():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    X[:, 2] = X[:, 0] + 1e-6 * X[:, 2]
    with pytest.warns(RuntimeWarning, match="nearly singular covariance"):
        fitted = GaussianMixture(1, reg_covar=0).fit(X)
    (only,) = fitted.outcome_.diagnostics
    assert only.component == 0
    assert only.feature in (0, 2)
    assert only.cause.startswith("nearly singular covariance, so that rounding changes log densities by about")


def test_a_usual_fit_has_no_diagnostics():
    fitted = GaussianMixture(2, random_state=0).fit(spiked())
    assert fitted.outcome_.diagnostics == []
    assert GaussianMixtureIC([1, 2], random_state=0).fit(spiked()).outcome_.diagnostics == []


OPTIONS = {
    "missing values": {},
    "trimming": {"trim": 0.02},
    "equal weights": {"restrictions": Restrictions(equal_weights=True)},
    "a least weight": {"restrictions": Restrictions(min_weight=0.01)},
    "a prior on the weights": {"prior": Dirichlet(2.0)},
    "precisions": {"weight_type": "precision"},
    "acceleration": {"acceleration": "auto"},
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(("remedy", "n_components"), [("drop", 2), ("repair", 3)])
def test_drop_and_repair_can_be_combined_with_other_options(remedy, n_components, option):
    """Check remedies if ten equal readings make k-means find a component that collapses in the first step."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(20, 2, (200, 2)), rng.normal(35, 3, (100, 2))])
    X[290:, 0] = 60.0
    if option == "missing values":
        X[::9, 1] = np.nan
    weight = rng.uniform(0.5, 1.5, 300) if option == "precisions" else None
    settings = {"reg_covar": 0, "random_state": 0, "max_iter": 1000, "init_params": "kmeans", **OPTIONS[option]}
    fitted = GaussianMixture(3, degenerate=remedy, **settings).fit(X, sample_weight=weight)
    assert fitted.mixture_.n_components == n_components
    first = fitted.outcome_.diagnostics[0]
    assert (first.feature, first.step, first.cause[:9]) == (0, 1, "collapsed")
    assert np.isfinite(fitted.score(X))
    assert fitted.converged_


@pytest.mark.parametrize("remedy", ["drop", "repair"])
def test_model_files_contain_diagnostics(remedy):
    fitted, file = fit(remedy, COLLAPSING), BytesIO()
    fitted.save(file)
    file.seek(0)
    loaded = GaussianMixture.load(file)
    assert (loaded.outcome_.diagnostics, loaded.degenerate) == (fitted.outcome_.diagnostics, remedy)
    assert loaded.mixture_ == fitted.mixture_


def test_a_warm_start_reports_components_that_are_still_frozen():
    with pytest.warns(RuntimeWarning, match="component 2"):
        fitted = fit("freeze", COLLAPSING, warm_start=True)
    with pytest.warns(RuntimeWarning, match="component 2"):
        fitted.fit(spiked())
    assert [each.cause for each in fitted.outcome_.diagnostics] == [f"{COLLAPSED}, and is frozen"]


def test_gaussian_mixture_ic_repairs_candidates_that_would_fail():
    """Check a candidate that would fail, because Ward's hierarchy makes a cluster of a single distant row."""
    X = np.concatenate([spiked().to_numpy()[:120], [[30.0, 30.0]]])
    with pytest.raises(ValueError, match="1 × singular covariance"):
        GaussianMixtureIC([3], covariance_type="full", init_params="hierarchical").fit(X)
    found = GaussianMixtureIC([3], covariance_type="full", init_params="hierarchical", degenerate="repair").fit(X)
    assert found.results_["failure"] == [None]
    assert found.mixture_.n_components == 3
    assert [(each.step, each.cause) for each in found.outcome_.diagnostics] == [
        (1, f"{COLLAPSED}, and was replaced by one half of the heaviest component")
    ]


def drop_with_labels(X):
    GaussianMixture(2, degenerate="drop").fit(X, labels=np.r_[0, 1, np.full(len(X) - 2, -1)])


@pytest.mark.parametrize(
    ("fit_invalid", "sentence"),
    [
        (drop_with_labels, "degenerate='drop' changes component indices, to which labels refer"),
        (lambda X: GaussianMixture(2, degenerate="remove").fit(X), "degenerate='remove' is not one of 'freeze'"),
        (lambda X: GaussianMixture(2, degenerate=None).fit(X), "degenerate=None is not one of 'freeze'"),
        (
            lambda X: GaussianMixtureIC(degenerate="drop").fit(X),
            "degenerate='drop' works only in GaussianMixture: in a",
        ),
        (
            lambda X: GaussianMixtureIC(degenerate="error").fit(X),
            "degenerate='error' works only in GaussianMixture: a mo",
        ),
    ],
)
def test_invalid_values_of_degenerate_are_rejected(fit_invalid, sentence):
    with pytest.raises(ValueError, match="degenerate") as error:
        fit_invalid(spiked())
    assert sentence in str(error.value)


def test_a_filter_of_convergence_warnings_applies_to_a_collapse():
    """Check that the warning of a collapse can be filtered as a ConvergenceWarning and as a RuntimeWarning."""
    for category in ConvergenceWarning, RuntimeWarning:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category)
            fit("freeze", COLLAPSING)
    means = [[0.0, 1.0], [9.0, 8.0], [18.0, 3.0], [2.0, 6.0]]
    rows = np.repeat(means, [5, 5, 40, 40], axis=0)
    rows[10:] += np.random.default_rng(0).normal(size=(80, 2))
    frame = pd.DataFrame(rows, columns=["a", "b"])
    for X, columns in ((rows, "columns 0, 1 (counted from 0)"), (frame, "columns 'a', 'b'")):
        with pytest.warns(ConvergenceWarning) as caught:
            GaussianMixture(4, reg_covar=0, tol=1e-8, max_iter=500, **initial_values(*means)).fit(X)
        where = f"^components 0, 1 collapsed onto too few distinct rows in {re.escape(columns)}: mean and covariance"
        assert re.match(where, str(caught[0].message))


def test_a_warning_about_a_component_does_not_repeat_constant_columns(rng):
    X = np.c_[rng.normal(size=(100, 2)), np.ones(100)]
    X[:50, 1] = 0.0
    with pytest.warns(RuntimeWarning) as caught:
        GaussianMixture(2, random_state=0).fit(X)
    first, second = (str(each.message) for each in caught)
    assert first.startswith("Column 2 (counted from 0) of X is constant")
    assert "one value, or nearly so, in column 1" in second
    assert "constant" not in second


@pytest.mark.parametrize("n_components", [1, 3])
def test_rows_that_are_all_equal_cause_one_warning(n_components):
    with pytest.warns(RuntimeWarning, match="constant") as caught:
        GaussianMixture(n_components).fit(np.ones((30, 2)))
    assert len(caught) == 1


def test_a_component_is_frozen_after_the_maximum_number_of_repairs():
    """Check that the last component is frozen after equal rows have attracted one component after the other."""
    settings = {"reg_covar": 0, "tol": 1e-9, "max_iter": 3000, **initial_values([0, 0], [8, 8], [20, 4])}
    rows = np.concatenate([spiked().to_numpy()[:60], np.tile([20.0, 4.0], (60, 1))])
    with pytest.warns(RuntimeWarning, match="collapsed"):
        fitted = GaussianMixture(3, degenerate="repair", **settings).fit(rows)
    causes = [each.cause for each in fitted.outcome_.diagnostics]
    assert sum("replaced by" in cause for cause in causes) == 10  # maximum number of repairs in a run
    assert sum("frozen" in cause for cause in causes) == len(fitted.outcome_.collapsed) > 0


class Stop(Exception):
    """An exception that ends a fit before it converges."""


@pytest.mark.filterwarnings("ignore:component")
@pytest.mark.parametrize(("remedy", "last"), [("freeze", 1), ("freeze", 3), ("drop", 2), ("repair", 2), ("repair", 14)])
def test_a_resumed_fit_keeps_the_diagnostics_of_the_interrupted_fit(remedy, last, tmp_path):
    def stop(step):
        if step.iteration == last:
            raise Stop

    plain, path = fit(remedy, COLLAPSING), tmp_path / "fit.ckpt"
    with pytest.raises(Stop):
        fit(remedy, COLLAPSING, checkpoint=path, callbacks=[stop])
    other = "drop" if remedy == "repair" else "repair"
    with pytest.raises(ValueError, match=f"degenerate was '{remedy}' and is '{other}'"):
        fit(other, COLLAPSING, checkpoint=path)
    resumed = fit(remedy, COLLAPSING, checkpoint=path)
    assert resumed.mixture_ == plain.mixture_
    assert (resumed.outcome_.diagnostics, resumed.lower_bounds_) == (plain.outcome_.diagnostics, plain.lower_bounds_)
