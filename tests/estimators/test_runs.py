"""Tests of the runs of EM: `n_init`, warm starts, `max_iter`, seeds, threads, `verbose` and warnings."""

import re
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from gaussmix import GaussianMixture


@pytest.fixture
def ungrouped(rng):
    """Return 300 rows without groups, so that every initialisation ends at another maximum."""
    return rng.random((300, 2))


def test_fit_returns_the_best_of_n_init_runs(ungrouped):
    initial_labels = list(np.random.default_rng(1).integers(4, size=(5, 300)))
    bounds = [GaussianMixture(4, init_params=labels, tol=1e-2).fit(ungrouped).lower_bound_ for labels in initial_labels]
    remaining = iter(initial_labels)
    five_runs = GaussianMixture(4, init_params=lambda X, n_components, rng: next(remaining), n_init=5, tol=1e-2)
    assert five_runs.fit(ungrouped).lower_bound_ == max(bounds)
    assert max(bounds) > min(bounds)


def test_random_state_determines_the_fit(ungrouped):
    def fit(random_state):
        return GaussianMixture(4, init_params="random_from_data", tol=1e-2, random_state=random_state).fit(ungrouped)

    assert fit(0).lower_bounds_ == fit(0).lower_bounds_ == fit(np.random.RandomState(0)).lower_bounds_
    generator = np.random.RandomState(0)
    assert fit(generator).lower_bounds_ != fit(generator).lower_bounds_  # each fit advances the shared generator
    # None means the global state in scikit-learn.
    np.random.seed(3)  # noqa: NPY002
    first = fit(None)
    np.random.seed(3)  # noqa: NPY002
    assert first.lower_bounds_ == fit(None).lower_bounds_ != fit(None).lower_bounds_
    assert (fit(0).sample(9)[0] == fit(0).sample(9)[0]).all()


@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")
def test_a_warm_start_continues_where_the_last_fit_ended(ungrouped, covariance_type):
    parameters = {"n_components": 3, "covariance_type": covariance_type, "tol": 0, "random_state": 0}
    parameters["init_params"] = "kmeans"
    complete = GaussianMixture(max_iter=6, **parameters).fit(ungrouped)
    resumed = GaussianMixture(max_iter=2, warm_start=True, **parameters)
    bounds = [resumed.fit(ungrouped).lower_bounds_ for _ in range(3)]
    assert [bound for part in bounds for bound in part] == complete.lower_bounds_
    assert (resumed.means_ == complete.means_).all()
    assert resumed.set_params(tol=0.1).fit(ungrouped).n_iter_ == 1  # its gain is over the last step of the earlier fit
    restarted = GaussianMixture(max_iter=2, **parameters)
    assert restarted.fit(ungrouped).lower_bounds_ == restarted.fit(ungrouped).lower_bounds_ == bounds[0]


@pytest.mark.parametrize(
    "change",
    [{"n_components": 2}, {"covariance_type": "diag"}, {"noise": True}, {}],
    ids=["components", "structure", "noise", "features"],
)
def test_a_warm_start_with_another_model_equals_a_new_fit(ungrouped, change):
    mixture = GaussianMixture(3, warm_start=True, random_state=0, tol=1e-2).fit(ungrouped)
    X = ungrouped if change else ungrouped[:, :1]
    mixture.set_params(**change).fit(X)
    fresh = GaussianMixture(**{"n_components": 3, "random_state": 0, "tol": 1e-2} | change).fit(X)
    assert mixture.lower_bounds_ == fresh.lower_bounds_


def test_max_iter_0_returns_the_initialisation_without_a_warning(X):
    mixture = GaussianMixture(3, max_iter=0, random_state=0).fit(X)
    assert (mixture.n_iter_, mixture.converged_, mixture.lower_bounds_) == (0, False, [])
    assert mixture.lower_bound_ == -np.inf
    assert mixture.predict(X).shape == (180,)


def test_lower_bounds_records_every_step_until_convergence(X):
    labels = np.arange(len(X)) % 3  # a poor initialisation, from which EM needs several steps
    mixture = GaussianMixture(3, init_params=labels, reg_covar=0, tol=1e-6, max_iter=1000).fit(X)
    bounds = mixture.lower_bounds_
    assert mixture.converged_
    assert mixture.n_iter_ == len(bounds)
    assert mixture.lower_bound_ == bounds[-1]
    steps = np.abs(np.diff(bounds))
    assert steps[-1] < 1e-6 <= steps[:-1].min()
    # The last bound belongs to the parameters before the last step.
    assert mixture.score(X) >= bounds[-1]
    assert mixture.score(X) == pytest.approx(bounds[-1], abs=1e-6)


@pytest.mark.parametrize("method", ["fit", "fit_predict"])
def test_a_convergence_warning_points_to_the_line_of_the_user(ungrouped, method):
    mixture = GaussianMixture(3, max_iter=2, tol=0, random_state=0)
    with pytest.warns(ConvergenceWarning, match="did not converge. Try different init parameters, or inc") as caught:
        getattr(mixture, method)(ungrouped)
    assert [warning.filename for warning in caught] == [__file__]
    assert (mixture.n_iter_, mixture.converged_) == (2, False)


def test_a_collapsed_component_is_frozen_and_reported(rng):
    X = np.r_[rng.normal(size=(40, 2)), np.full((5, 2), 9.0)]
    labels = np.r_[np.zeros(40, int), np.ones(5, int)]
    labels[:2] = 1  # the second component starts with a positive variance
    with pytest.warns(RuntimeWarning, match="component 1 collapsed onto too few distinct rows in column") as caught:
        mixture = GaussianMixture(2, init_params=labels, reg_covar=0, tol=1e-9, max_iter=500).fit(X)
    assert [warning.filename for warning in caught] == [__file__]
    assert "Raise reg_covar, lower n_components, or try another start" in str(caught[0].message)
    assert mixture.outcome_.collapsed == [1]
    assert np.isfinite(mixture.covariances_).all()
    assert np.isfinite(mixture.score_samples(X)).all()
    assert GaussianMixture(2, init_params=labels, tol=1e-9, max_iter=500).fit(X).converged_


@pytest.mark.parametrize(("structure", "seed"), [("full", 11), ("diag", 29), ("VVE", 101)])
@pytest.mark.filterwarnings("ignore:component:RuntimeWarning")
def test_a_warm_start_leaves_collapsed_components_frozen(structure, seed):
    """Check that a warm start does not move collapsed components, although another step would move them."""
    X = np.random.default_rng(seed).normal(size=(20, 2)).round()
    mixture = GaussianMixture(3, covariance_type=structure, init_params="random", random_state=seed, reg_covar=0)
    mixture.set_params(tol=1e-6, max_iter=300, warm_start=True).fit(X)
    first, collapsed = mixture.mixture_, mixture.outcome_.collapsed
    assert collapsed
    with pytest.warns(RuntimeWarning, match="collapsed onto too few distinct rows"):
        second = mixture.fit(X).mixture_
    assert mixture.outcome_.collapsed == collapsed
    assert (second.means[collapsed] == first.means[collapsed]).all()
    assert (second.covariances[collapsed] == first.covariances[collapsed]).all()
    assert mixture.set_params(reg_covar=1e-3).fit(X).outcome_.collapsed == []  # with a ridge they do not collapse


def test_fewer_distinct_rows_than_components_cause_a_warning():
    X = np.repeat([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]], 50, axis=0)
    with pytest.warns(RuntimeWarning, match="X has 3 distinct rows, fewer than n_components=5, so that") as caught:
        GaussianMixture(5, random_state=0).fit(X)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(RuntimeWarning, match="X has 2 distinct rows, fewer than n_components=3"):
        GaussianMixture(3, random_state=0).fit(X, sample_weight=np.arange(150) < 100)
    GaussianMixture(3, random_state=0).fit(X)


@pytest.mark.heavy(n_default=1)
def test_any_number_of_threads_gives_the_same_bits(covariance_type):
    X = np.random.default_rng(0).normal(size=(140_000, 2)).cumsum(axis=1)  # the rows fill three blocks
    weight = np.arange(140_000) % 3 + 0.5

    def fit(n_jobs):
        mixture = GaussianMixture(2, covariance_type=covariance_type, n_jobs=n_jobs, random_state=0, tol=0.1)
        mixture.fit(X, sample_weight=weight)
        results = mixture.weights_, mixture.means_, mixture.covariances_, mixture.score_samples(X), mixture.predict(X)
        return *results, mixture.predict_proba(X), mixture.lower_bounds_

    single_threaded = fit(1)
    for n_jobs in (2, 5, -1, None):
        assert all(np.array_equal(a, b) for a, b in zip(single_threaded, fit(n_jobs), strict=True))


@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")
def test_verbose_prints_each_run_and_some_steps(ungrouped, capsys):
    parameters = {"n_components": 2, "n_init": 2, "max_iter": 5, "tol": 0, "random_state": 0, "init_params": "kmeans"}
    GaussianMixture(**parameters).fit(ungrouped)
    assert capsys.readouterr().out == ""
    GaussianMixture(verbose=1, verbose_interval=2, **parameters).fit(ungrouped)
    run = "Initialization {}\n  Iteration 2\n  Iteration 4\nInitialization did not converge.\n"
    assert capsys.readouterr().out == run.format(0) + run.format(1)
    GaussianMixture(verbose=2, verbose_interval=5, **parameters).fit(ungrouped)
    step = r"  Iteration 5\t time lapse \d+\.\d{5}s\t ll change \d\.\d{5}\n"
    end = r"Initialization did not converge. time lapse \d+\.\d{5}s\t lower bound -\d+\.\d{5}\.\n"
    assert re.fullmatch(f"Initialization 0\n{step}{end}Initialization 1\n{step}{end}", capsys.readouterr().out)
    GaussianMixture(verbose=1, random_state=0).fit(ungrouped)
    assert capsys.readouterr().out == "Initialization 0\nInitialization converged.\n"


@pytest.mark.parametrize("covariance_type", ["full", "factor_analyzer"])  # the fit runs in the core or in Python
def test_verbose_prints_the_progress_of_a_search_initialisation(covariance_type, rng, capsys):
    rows = rng.normal(size=(2_500, 2)) + 3 * rng.integers(4, size=(2_500, 1))
    options = {"init_params": "search", "random_state": 0, "max_iter": 1, "verbose": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        GaussianMixture(3, covariance_type=covariance_type, **options).fit(rows)
    lapse = r"\t time lapse \d+\.\d{5}s\n"
    on_sample, search = rf"  EM on 2,500 rows{lapse}", rf"  Search on [\d,]+ rows from -\d\.\d{{5}}{lapse}"
    output = capsys.readouterr().out
    assert re.match(
        rf"Initialization 0\n{on_sample}({search})+{on_sample}  Search: .+ tried, \d+ kept{lapse}Initialization ",
        output,
    )
