"""Truncated responsibilities: `posterior`, and the gap in `outcome_`."""

import re

import numpy as np
import pandas as pd
import pytest
from common import LEAF_ROWS, assert_same_fit, reloaded
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from gaussmix import GaussianMixture, Restrictions, fit_many
from gaussmix._src.engines.truncated import TruncatedEngine

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")


@pytest.fixture
def rows(rng):
    """Return one group, so that many components overlap."""
    return rng.normal(size=(2000, 2))


def fitted(rows, posterior, n_components=20, **changes):
    parameters = {"random_state": 0, "max_iter": 20, "posterior": posterior} | changes
    return GaussianMixture(n_components, **parameters).fit(rows)


def test_the_default_is_exact_below_many_components(rows):
    """Check that the default is also exact for few rows."""
    for K in (20, 1024):
        default = GaussianMixture(K, random_state=0, max_iter=2, reg_covar=1e-2).fit(rows)
        assert_same_fit(fitted(rows, "exact", K, max_iter=2, reg_covar=1e-2), default)
        assert (default.outcome_.n_candidates, default.outcome_.posterior_gap) == (None, None)


WITH_MISSING = np.array([[np.nan, 1.0], *np.eye(2)] * 9)
NEED_ALL = {"trim": {"trim": 0.1}, "tol='auto'": {"tol": "auto"}, "X_error": {}, "missing values": {}}


@pytest.mark.one_block
@pytest.mark.parametrize("name", NEED_ALL)
def test_options_that_need_all_components_refuse_truncated_em(name, rows):
    X, error = WITH_MISSING if name == "missing values" else rows, np.full(2, 0.1) if name == "X_error" else None
    with pytest.raises(ValueError, match=rf'^posterior.* does not support {name}\. Set posterior="exact"\.$'):
        GaussianMixture(3, posterior=2, **NEED_ALL[name]).fit(X, X_error=error)
    GaussianMixture(3, posterior="exact", max_iter=1, **NEED_ALL[name]).fit(X, X_error=error)


def test_streams_and_groups_are_refused(rows):
    with pytest.raises(ValueError, match="partial_fit does not support posterior"):
        GaussianMixture(3, posterior=2).partial_fit(rows)
    groups = pd.DataFrame(rows).assign(group=np.arange(len(rows)) % 2)
    with pytest.raises(ValueError, match="fit_many does not support posterior"):
        fit_many(groups, by="group", n_components=3, posterior=2)


def test_candidates_that_fill_the_memory_are_refused(monkeypatch, rows):
    monkeypatch.setattr("gaussmix._src.fit.options.posterior.physical_memory", lambda: 23_999)
    needed = r"posterior=3 needs 0 GB for the candidate components of 2,000 rows\. Lower posterior"
    with pytest.raises(ValueError, match=needed):
        fitted(rows, 3)
    fitted(rows[:-1], 3)


def test_components_that_share_a_covariance_are_fitted_exactly(rows):
    with pytest.warns(RuntimeWarning, match="posterior=2 has no effect, because all components have one covariance"):
        found = fitted(rows, 2, 4, covariance_type="tied")
    assert_same_fit(found, fitted(rows, "exact", 4, covariance_type="tied"))
    assert found.outcome_.n_candidates is None


@pytest.mark.heavy(but=3)
@pytest.mark.parametrize("n_rows", [2000, 3 * LEAF_ROWS])
@pytest.mark.parametrize("name", ["full", "diag", "factor_analyzer"])
def test_the_gap_is_that_to_all_components(name, n_rows, rng):
    """Compare with the log-likelihood minus the last bound; the last step, after this bound, changes little here."""
    X, weight = rng.normal(size=(n_rows, 2)), rng.integers(0, 4, n_rows) / 2
    parameters = {"covariance_type": name, "tol": 0, "init_params": "tree", "max_iter": 40}
    found = GaussianMixture(20, posterior=2, **parameters).fit(X, sample_weight=weight)
    outcome, by_hand = found.outcome_, found.score(X, sample_weight=weight) - found.lower_bound_
    assert outcome.n_candidates == 2
    assert abs(outcome.posterior_gap - by_hand) < 4 * outcome.posterior_gap_error + 2 * np.diff(outcome.traces[0])[-1]
    assert outcome.posterior_gap > 10 * outcome.posterior_gap_error > 0
    assert reloaded(found).outcome_ == outcome
    exact = GaussianMixture(20, posterior=20, **parameters | {"max_iter": 2}).fit(X, sample_weight=weight).outcome_
    assert (exact.n_candidates, exact.posterior_gap) == (20, pytest.approx(0, abs=1e-12))


def test_the_gap_counts_labels_and_noise(rows, rng):
    """Compare with the likelihood of exact EM, which continues from the fitted mixture."""
    labels = np.where(rng.random(len(rows)) < 0.3, rng.integers(20, size=len(rows)), -1)
    options = {"noise": True, "tol": 0, "init_params": "tree", "max_iter": 60, "random_state": 0}
    gm = GaussianMixture(20, posterior=2, **options).fit(rows, labels=labels)
    gap, bounds = gm.outcome_.posterior_gap, gm.lower_bounds_
    gm.set_params(posterior="exact", warm_start=True, max_iter=1).fit(rows, labels=labels)
    assert gm.lower_bound_ - bounds[-1] == pytest.approx(gap, abs=2 * (bounds[-1] - bounds[-2]))


def test_the_gap_is_0_if_all_components_are_candidates_of_far_rows(rows):
    start = {"means_init": rows[:3], "covariances_init": [np.eye(2)] * 3, "weights_init": [0.2, 0.3, 0.5]}
    start["restrictions"] = Restrictions(fixed_means=[0, 1, 2], fixed_covariances=[0, 1, 2])
    assert fitted(1e8 * rows, 3, 3, **start).outcome_.posterior_gap == 0


def test_the_gap_is_that_of_the_end_without_the_ridge():
    """Check that the ridge does not count in the gap, which would be 0.038 nats with it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 3)) + np.arange(5000)[:, None] % 4
    X[:, 2] = X[:, 0] + 1e-3 * rng.normal(size=5000)
    found = fitted(X, 2, 4, max_iter=3000)
    assert found.outcome_.is_ridge_dropped
    assert abs(found.outcome_.posterior_gap - found.score(X) + found.lower_bound_) < 1e-4


def test_auto_doubles_candidates_while_the_gap_is_wide(monkeypatch, rows):
    """Check that 8 candidates are doubled if all components overlap, and suffice if components are separated."""
    for name in ("posterior.MIN_TRUNCATED_COMPONENTS", "table.MIN_TRUNCATED_COMPONENTS", "posterior.MIN_PAIRS"):
        monkeypatch.setattr(f"gaussmix._src.fit.options.{name}", 50)
    wide = fitted(rows, "auto", 60, covariance_type="spherical", init_params="random", tol=0.01, max_iter=1000)
    assert wide.outcome_.n_candidates in (16, 32, 60)
    assert wide.outcome_.posterior_gap <= 2e-3
    assert (np.diff(wide.outcome_.traces[0]) >= -1e-13).all()
    apart = fitted(50 * np.arange(60)[np.arange(2000) % 60, None] + rows, "auto", 60)
    assert apart.outcome_.n_candidates == 8
    assert apart.outcome_.posterior_gap < 1e-12
    records = []
    options = {"covariance_type": "spherical", "init_params": "random", "tol": 0, "callbacks": [records.append]}
    # The gap is checked after steps 8 and 16. Before the number of candidates is doubled, more neighbours are tried.
    early = fitted(rows, "auto", 60, max_iter=17, **options)
    assert (early.converged_, early.outcome_.n_candidates) == (False, 16)
    assert [record.iteration for record in records] == list(range(1, 18))


def test_drawn_neighbours_are_tried_to_the_end_once_the_gap_is_wide(monkeypatch, rows):
    """Check that only the last four of 12 steps try drawn neighbours, because the gap is checked after step 8."""
    for name in ("posterior.MIN_TRUNCATED_COMPONENTS", "table.MIN_TRUNCATED_COMPONENTS", "posterior.MIN_PAIRS"):
        monkeypatch.setattr(f"gaussmix._src.fit.options.{name}", 50)
    tried, step = [], TruncatedEngine.step

    def recorded(engine, *arguments):
        tried.append(engine.n_drawn)
        return step(engine, *arguments)

    monkeypatch.setattr(TruncatedEngine, "step", recorded)
    fitted(rows, "auto", 60, covariance_type="spherical", init_params="random", tol=0, max_iter=12)
    assert tried == [0] * (len(tried) - 4) + [2] * 4


def test_rows_in_a_wide_component_find_the_narrow_components_inside_it():
    """Check the gap, which is 0.024 nats if only the narrow components list the wide component as a neighbour."""
    rng = np.random.default_rng(0)
    means, scales = rng.normal(size=(400, 4)), np.where(np.arange(400) % 8, 0.1, 1.0)[:, None]
    group = rng.integers(400, size=20_000)
    X = means[group] + scales[group] * rng.normal(size=(20_000, 4))
    found = fitted(X, 4, 400, means_init=means, covariance_type="spherical", tol=0, max_iter=24)
    assert 0 < found.outcome_.posterior_gap < 0.01


@pytest.mark.heavy
def test_few_candidates_are_not_accelerated(rng):
    """Check that EM is not accelerated, because candidates after a rejected proposal lower the free energy."""
    X, parameters = rng.normal(size=(6000, 3)) ** 3, {"init_params": "tree", "tol": 1e-10, "max_iter": 250}
    accelerated, plain = (fitted(X, 5, acceleration=each, reg_covar=0, **parameters) for each in ("auto", None))
    assert accelerated.outcome_.traces == plain.outcome_.traces


@pytest.mark.parametrize("verbose", [0, 1])
def test_the_gap_is_that_of_the_mixture_at_which_a_callback_stops(rows, verbose):
    own = {"tol": 0, "init_params": "random_from_data", "verbose": verbose, "verbose_interval": 3}
    whole, stopped = (
        fitted(rows, 2, **own, **ending)
        for ending in ({"max_iter": 8}, {"callbacks": [lambda step: step.iteration == 8]})
    )
    names = "posterior_gap", "posterior_gap_error", "n_candidates"
    assert [getattr(stopped.outcome_, name) for name in names] == [getattr(whole.outcome_, name) for name in names]


@pytest.mark.parametrize("init_params", ["random", "kmeans", "tree"])
def test_the_gap_before_the_first_step_is_that_to_all_components(rows, init_params):
    start = fitted(rows, 3, max_iter=0, init_params=init_params)
    parts = np.sort(start.mixture_.component_log_density(rows) + np.log(start.weights_), axis=1)
    gaps = logsumexp(parts, axis=1) - logsumexp(parts[:, -3:], axis=1)
    assert start.outcome_.posterior_gap >= gaps.mean() * (1 - 1e-9)
    if init_params == "random":  # other initialisations leave candidates behind
        assert start.outcome_.posterior_gap == pytest.approx(gaps.mean(), rel=1e-9)


def test_the_gap_after_the_last_step_dropped_components(rng):
    dropped = fitted(rng.normal(size=(400, 2)), 1, 17, init_params="random", degenerate="drop", max_iter=1)
    assert 1 < dropped.mixture_.n_components < 17
    assert 0 < dropped.outcome_.posterior_gap < np.log(17)
    one = fitted(np.repeat(np.eye(2), 50, axis=0), 6, 6, degenerate="drop", reg_covar=1e-3)
    assert one.outcome_.n_candidates == one.mixture_.n_components


def test_the_bound_of_the_fit_does_not_pass_for_other_rows(rng):
    X = rng.normal(size=(1000, 2)) + 2.5 * (np.arange(1000) % 2)[:, None]
    truncated = fitted(X, 1, 2, max_iter=500)
    assert truncated.outcome_.posterior_gap > 0.01
    with pytest.warns(RuntimeWarning, match="standard errors from the fit"):
        assert not any("other rows" in note for note in truncated.inference(X, kind="hessian").notes)
    with pytest.warns(RuntimeWarning, match="other rows"):
        truncated.inference(np.add(X, [[1.0, 0.0]]), kind="hessian")


def test_the_gap_is_printed_on_the_way(rows, capsys):
    outcome = fitted(rows, 2, max_iter=4, tol=0, verbose=1, verbose_interval=2).outcome_
    gaps = re.findall(r"With 2 candidates, the bound is (\S+) ± \S+ nats per row", capsys.readouterr().out)
    assert len(gaps) == 2
    assert float(gaps[-1]) == pytest.approx(outcome.posterior_gap, abs=1e-5)


def test_starts_do_not_depend_on_one_another(rows):
    both, second = (fitted(rows, 3, init_params=start).outcome_ for start in (["tree", "random"], "random"))
    assert both.traces[1:] == second.traces


def test_a_component_that_is_dropped_lowers_the_bound_by_its_rows_alone():
    """Check that the bound does not also fall because of worse candidates of other rows."""
    X, options = np.random.default_rng(3).normal(size=(1500, 3)) ** 3, {"degenerate": "drop", "reg_covar": 1e-9}
    dropped = fitted(X, 3, 80, init_params="random_from_data", random_state=3, tol=0, **options)
    assert len(dropped.weights_) < 80
    assert (np.diff(dropped.outcome_.traces[0]) >= 0).all()


def test_fits_are_stopped_and_go_on(rows):
    stopped = fitted(rows, 3, callbacks=[lambda step: step.iteration == 3])
    assert (stopped.n_iter_, stopped.outcome_.n_candidates) == (3, 3)
    on = fitted(rows, 3, warm_start=True, max_iter=3, tol=0)
    assert on.lower_bound_ < on.set_params(max_iter=20).fit(rows).lower_bound_
    assert fitted(rows, 3, max_time=1e-9, max_iter=10**6).outcome_.n_candidates == 3
