"""Tests of `callbacks` and `max_time`, of `tol="auto"` and `check_maximum`, and of `outcome_`."""

import math
import re
import time
import warnings
from itertools import chain, repeat

import numpy as np
import pytest
from common import without_seconds
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gaussmix import FactorAnalyzer, Full, GaussianMixture, GaussianMixtureIC
from gaussmix._src.em.objective.stopping import FIRST_TOLERANCE
from gaussmix._src.report.messages import SearchWarning
from gaussmix._src.sources.waiting import TimeIsOver, cut_in_time, waiting_for


def _rows():
    """Return the rows of scikit-learn's issue 10122: two groups that overlap, so that EM converges slowly."""
    drawn = np.random.RandomState(1234).multivariate_normal
    return np.concatenate((drawn([2, 4], [[5, 2], [2, 6]], 300), drawn([0, 0], [[4, 2], [2, 3]], 100)))


ROWS = _rows()
TWO_RUNS = {"n_components": 2, "random_state": 0, "n_init": 2}
WIDER = np.concatenate((ROWS, np.random.default_rng(0).normal(size=(len(ROWS), 1))), axis=1)
FROM_KMEANS = TWO_RUNS | {"init_params": "kmeans"}  # an initialisation from which EM converges slowly


def test_a_callback_receives_each_step_and_does_not_change_the_fit():
    steps = []
    with_callback = GaussianMixture(**TWO_RUNS, callbacks=[steps.append]).fit(ROWS)
    plain = GaussianMixture(**TWO_RUNS).fit(ROWS)
    assert with_callback.mixture_ == plain.mixture_
    for start in (0, 1):
        steps_of_run = [step for step in steps if step.start == start]
        assert [step.iteration for step in steps_of_run] == list(range(1, len(steps_of_run) + 1))
    runs = [[step for step in steps if step.start == start] for start in (0, 1)]
    best = next(run for run in runs if run[-1].log_likelihood == plain.lower_bound_)
    assert [step.log_likelihood for step in best] == plain.lower_bounds_
    assert best[-1].mixture == plain.mixture_
    seconds = [step.seconds for step in steps]
    assert seconds == sorted(seconds)
    assert all(0 < step.rows_per_second < math.inf for step in steps)


def test_a_callback_that_returns_true_ends_the_fit_with_a_valid_model(tmp_path):
    steps = []
    stopped = GaussianMixture(**TWO_RUNS, tol=0, callbacks=[lambda step: step.iteration == 3, steps.append]).fit(ROWS)
    assert (len(steps), stopped.n_iter_, stopped.converged_) == (3, 3, False)
    assert stopped.outcome_.reason == (
        "A callback ended the fit. A callback ended the fit before the other starts were done."
    )
    assert (stopped.outcome_.n_starts, stopped.outcome_.n_starts_at_best) == (1, 1)
    assert stopped.mixture_ == steps[-1].mixture
    assert np.isfinite(stopped.score(ROWS))
    stopped.save(tmp_path / "m.gmm")
    loaded = GaussianMixture.load(tmp_path / "m.gmm")
    assert loaded.outcome_ == stopped.outcome_
    assert loaded.callbacks is None


@pytest.mark.parametrize(("n_init", "is_mentioned"), [(3, True), (2, False)])
def test_outcome_mentions_runs_that_a_callback_prevented_if_there_are_any(n_init, is_mentioned):
    options = FROM_KMEANS | {"n_init": n_init, "max_iter": 1_000}
    fitted = GaussianMixture(**options, callbacks=[lambda step: step.start == 1 and step.iteration == 1]).fit(ROWS)
    assert (fitted.outcome_.n_starts, fitted.converged_) == (2, True)
    assert ("A callback ended the fit before the other starts were done." in fitted.outcome_.reason) is is_mentioned


def test_a_callback_receives_mixtures_with_feature_names(X):
    pandas = pytest.importorskip("pandas")
    steps = []
    GaussianMixture(2, random_state=0, callbacks=[steps.append]).fit(pandas.DataFrame(X, columns=["a", "b", "c"]))
    assert steps[0].mixture.feature_names == ("a", "b", "c")


def test_an_error_in_a_callback_leaves_the_estimator_unchanged():
    def fail(step):
        raise KeyError("mine")

    fitted = GaussianMixture(**TWO_RUNS).fit(ROWS)
    before = fitted.mixture_
    with pytest.raises(KeyError, match="mine"):
        fitted.set_params(callbacks=[fail]).fit(ROWS)
    assert fitted.mixture_ is before
    assert clone(fitted).callbacks == [fail]


def test_max_time_ends_a_fit_after_a_step():
    with pytest.warns(ConvergenceWarning, match="max_time was reached"):
        fitted = GaussianMixture(**TWO_RUNS, tol=0, max_iter=10**9, max_time=0).fit(ROWS)
    assert (fitted.n_iter_, fitted.outcome_.n_starts, fitted.converged_) == (1, 1, False)
    assert fitted.outcome_.reason.startswith("max_time was reached")
    assert fitted.outcome_.rate is None
    assert np.isfinite(fitted.score(ROWS))
    unlimited = GaussianMixture(**TWO_RUNS).fit(ROWS)
    assert GaussianMixture(**TWO_RUNS, max_time=1e6).fit(ROWS).mixture_ == unlimited.mixture_


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_max_time_may_end_a_search_before_an_m_step_computes_volumes(rng):
    """Stop searches at many times, because an M-step that is stopped early has no volumes yet."""
    rows = rng.normal(size=(500, 100)) + np.repeat([0.0, 1.0], 250)[:, None]
    for max_time in np.linspace(0, 0.05, 10):
        fitted = GaussianMixture(2, covariance_type="VEV", random_state=0, max_time=max_time).fit(rows)
        assert np.isfinite(fitted.score(rows))


def test_no_certificate_is_computed_after_max_time():
    with pytest.warns(ConvergenceWarning, match="max_time was reached"):
        fitted = GaussianMixture(**FROM_KMEANS, check_maximum=True, max_time=0).fit(ROWS)
    assert fitted.outcome_.is_maximum is None
    assert fitted.outcome_.reason.endswith("It is not known whether the fit is near a maximum: max_time has passed.")


@pytest.mark.heavy
def test_max_time_ends_a_fit_at_a_check_of_the_maximum():
    """Check a fit whose `max_time` passes before the first check, because a callback waits in the previous step."""
    options = FROM_KMEANS | {"tol": "auto", "max_iter": 1000, "n_init": 1}
    plain = GaussianMixture(**options).fit(ROWS)
    gains = np.diff(plain.lower_bounds_)
    last_iteration = int(np.argmax(gains < FIRST_TOLERANCE)) + 1  # the step before the first check

    def wait(step):
        while step.iteration == last_iteration and time.monotonic() < first + 1.1:
            time.sleep(0.01)

    first = time.monotonic()
    with pytest.warns(ConvergenceWarning, match="max_time was reached"):
        timed = GaussianMixture(**options, callbacks=[wait], max_time=1).fit(ROWS)
    assert timed.outcome_.reason.startswith("max_time was reached")
    assert last_iteration <= timed.n_iter_ <= last_iteration + 2 < plain.n_iter_


@pytest.mark.parametrize("has_missing", [False, True])
def test_a_time_limit_interrupts_the_passes_of_inference(has_missing, rng):
    rows = np.where(rng.random(ROWS.shape) < 0.1, np.nan, ROWS) if has_missing else ROWS
    fitted = GaussianMixture(**FROM_KMEANS).fit(rows)
    with waiting_for(0), cut_in_time(True), pytest.raises(TimeIsOver):
        fitted.inference(rows)


def test_a_warning_reports_runs_that_max_time_prevented(monkeypatch):
    clock = chain([0.0], repeat(math.inf))  # max_time has passed after the first run
    monkeypatch.setattr("gaussmix._src.fit.monitor.monotonic", lambda: next(clock))
    with pytest.warns(ConvergenceWarning, match="max_time was reached before the other starts were run"):
        fitted = GaussianMixture(2, random_state=0, n_init=5, max_time=1e6).fit(ROWS)
    assert (fitted.converged_, fitted.outcome_.n_starts) == (True, 1)
    assert fitted.outcome_.reason.startswith("The mean log-likelihood changed by less than tol. max_time was reached")


def test_max_time_in_the_first_run_also_reports_the_runs_that_it_prevented():
    with (
        pytest.warns(ConvergenceWarning, match="reached before the mean log-likelihood converged"),
        pytest.warns(ConvergenceWarning, match="reached before the other starts were run"),
    ):
        fitted = GaussianMixture(2, random_state=0, n_init=3, tol=0, max_time=0).fit(ROWS)
    assert re.search("before the mean log-likelihood converged.*before the other starts", fitted.outcome_.reason)


def test_max_time_recommends_a_single_method_for_the_two_searches_of_a_fit_with_noise():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GaussianMixture(2, random_state=0, noise=True, tol=0, max_time=0).fit(ROWS)
        GaussianMixture(2, random_state=0, noise=True, tol=0, max_time=0, init_params="search").fit(ROWS)
    assert ["set init_params to a single method" in str(each.message) for each in caught] == [False, True, False]


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"callbacks": print}, TypeError, "callbacks must be a list of functions or None"),
        ({"callbacks": [3]}, TypeError, "callbacks must contain functions, not 3"),
        ({"callbacks": [ProgressBar()]}, TypeError, r"ProgressBar is a callback of scikit-learn\. .*set_callbacks"),
        ({"max_time": -1}, ValueError, "max_time=-1 must be a finite number"),
        ({"max_time": "1s"}, TypeError, "max_time must be a finite number"),
        ({"check_maximum": "yes"}, ValueError, "check_maximum must be \"auto\", True or False, not 'yes'"),
        ({"check_maximum": 1}, TypeError, "check_maximum must be"),
        ({"tol": "small"}, TypeError, 'tol must be a finite number ≥ 0 or "auto"'),
    ],
)
def test_invalid_callbacks_max_time_check_maximum_and_tol_are_rejected(parameters, error, message):
    with pytest.raises(error, match=message):
        GaussianMixture(2, **parameters).fit(ROWS)


class RecordingCallback:
    """A scikit-learn callback that records the tasks, and ends each run of EM at iteration `last_iteration`."""

    def __init__(self, last_iteration=None):
        self.last_iteration, self.notes = last_iteration, []

    def setup(self, estimator, context):
        self.notes.append("setup")

    def teardown(self, estimator, context):
        self.notes.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.notes.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        self.notes.append(("end", context.task_name, context.task_id, fitted_estimator.score(X)))
        return context.task_name == "iteration" and context.task_id == self.last_iteration


def test_callbacks_of_scikit_learn_have_a_task_for_each_start_and_iteration():
    callback = RecordingCallback()
    fitted = GaussianMixture(**TWO_RUNS).set_callbacks(callback).fit(ROWS)
    assert fitted.mixture_ == GaussianMixture(**TWO_RUNS).fit(ROWS).mixture_
    assert (callback.notes[0], callback.notes[-1]) == ("setup", "teardown")
    tasks = callback.notes[1:-1]
    assert tasks[:3] == [("begin", "fit", 0), ("begin", "start", 0), ("begin", "iteration", 0)]
    assert tasks[-1] == ("end", "fit", 0, fitted.score(ROWS))
    begun, ended = ([task[1:3] for task in tasks if task[0] == what] for what in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    assert [task for task in begun if task[0] == "start"] == [("start", 0), ("start", 1)]
    assert sum(task[0] == "iteration" for task in begun) >= fitted.n_iter_
    assert "_callback_fit_ctx" not in vars(fitted)


def test_a_callback_of_scikit_learn_ends_a_run():
    callback = RecordingCallback(last_iteration=2)
    fitted = GaussianMixture(**TWO_RUNS, tol=0).set_callbacks(callback).fit(ROWS)
    assert sum(note[:2] == ("end", "iteration") for note in callback.notes) == 6
    assert (fitted.n_iter_, fitted.outcome_.n_starts) == (3, 2)


def test_callbacks_of_scikit_learn_are_torn_down_if_a_fit_fails():
    callback = RecordingCallback()
    with pytest.raises(ValueError, match="NaN"):
        GaussianMixture(2, missing="error").set_callbacks(callback).fit(np.full((5, 2), np.nan))
    assert "setup" not in callback.notes
    callback.on_fit_task_end = None
    with pytest.raises(TypeError):
        GaussianMixture(2).set_callbacks(callback).fit(ROWS)
    assert callback.notes[-1] == "teardown"


def test_callbacks_from_scikit_learn_work_in_estimators_and_pipelines(capsys):
    monitor = ScoringMonitor(scoring=lambda estimator, X, y=None: estimator.score(X))
    fitted = GaussianMixture(**TWO_RUNS).set_callbacks(monitor).fit(ROWS)
    assert fitted.converged_
    pytest.importorskip("rich")
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(**TWO_RUNS)).set_callbacks(ProgressBar())
    pipeline.fit(ROWS)
    assert "GaussianMixture" in capsys.readouterr().out


def test_set_callbacks_rejects_functions():
    with pytest.raises(TypeError, match="FitCallback protocol"):
        GaussianMixture(2).set_callbacks(print)


@pytest.mark.heavy(n_default=1)
def test_tol_auto_reaches_a_maximum_although_em_gains_little_per_step():
    options = FROM_KMEANS | {"max_iter": 5000}
    converged = GaussianMixture(**options, tol=1e-12).fit(ROWS)
    by_tol = GaussianMixture(**options, tol=1e-4).fit(ROWS)
    at_maximum = GaussianMixture(**options, tol="auto").fit(ROWS)
    remaining = converged.lower_bound_ - at_maximum.lower_bound_
    assert converged.lower_bound_ - by_tol.lower_bound_ > 1e-3
    assert 0 < remaining < 2e-4
    assert np.sort(at_maximum.weights_)[0] < 0.3 < np.sort(by_tol.weights_)[0]
    outcome = at_maximum.outcome_
    assert outcome.reason == "Further steps would gain less than 1e-4 nats per row."
    assert outcome.is_maximum
    assert outcome.remaining_gain < 1e-4
    assert outcome.certificate.endswith(" % of the labels.")
    assert "maximum" not in outcome.certificate  # the reason already mentions the maximum
    assert 0.9 < outcome.rate < 1


def test_tol_auto_ends_at_a_saddle_point_when_gains_are_only_rounding():
    """Check two equal components, which EM cannot separate, so that it ends at a saddle point."""
    responsibilities = np.full((len(ROWS), 2), 0.5)
    with pytest.warns(ConvergenceWarning, match="the fit is not at a maximum: try other starts"):
        fitted = GaussianMixture(2, tol="auto", init_params=responsibilities).fit(ROWS)
    assert fitted.converged_
    assert fitted.outcome_.reason.startswith("Steps no longer change the mean log-likelihood, but the fit is not at a")
    assert (fitted.outcome_.is_maximum, fitted.outcome_.remaining_gain) == (False, None)
    assert fitted.outcome_.certificate is None  # the certificate does not repeat the reason


def test_max_iter_ends_a_fit_with_tol_auto():
    with pytest.warns(ConvergenceWarning):
        fitted = GaussianMixture(**FROM_KMEANS, tol="auto", max_iter=20).fit(ROWS)
    assert (fitted.n_iter_, fitted.converged_) == (20, False)
    reason = "max_iter was reached before the maximum; raise max_iter, or set tol to a number."
    assert fitted.outcome_.reason == reason


class Opaque(Full):
    """A structure without the formulas that a certificate needs."""

    algebra = None


def test_a_structure_without_formulas_has_no_certificate():
    options = {"random_state": 0, "init_params": "kmeans", "tol": 0.1, "covariance_type": Opaque()}
    fitted = GaussianMixture(2, check_maximum=True, **options).fit(ROWS)
    message = "there is no formula for the structure Opaque"
    assert fitted.outcome_.is_maximum is None
    assert f"It is not known whether the fit is near a maximum: {message}" in fitted.outcome_.reason
    assert "It is not known" not in GaussianMixture(2, **options).fit(ROWS).outcome_.reason
    with pytest.raises(ValueError, match=rf'tol="auto" is not possible here: {message}.*Set tol to a number'):
        GaussianMixture(2, **options | {"tol": "auto", "max_iter": 1000}).fit(ROWS)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("options", [{"trim": 0.1}, {"covariance_type": Full(1.5)}], ids=["trim", "bound"])
def test_tol_auto_reaches_the_maximum_of_trimmed_and_bounded_fits(options):
    options = {"init_params": "kmeans", "random_state": 0, "max_iter": 1000} | options
    fitted = GaussianMixture(2, tol="auto", **options).fit(ROWS)
    assert fitted.outcome_.is_maximum
    assert fitted.outcome_.remaining_gain < 1e-4
    best = GaussianMixture(2, tol=1e-12, **options | {"max_iter": 20_000}).fit(ROWS)
    assert 0 < best.lower_bound_ - fitted.lower_bound_ < 2e-4


WITH_MISSING = np.where(np.arange(ROWS.size).reshape(ROWS.shape) % 5, ROWS, np.nan)


@pytest.mark.parametrize(
    ("options", "rows", "error"),
    [
        ({}, WITH_MISSING, None),
        ({}, ROWS, np.full((400, 2), 0.1)),
        ({"covariance_type": FactorAnalyzer(1)}, WIDER, None),
    ],
    ids=["missing values", "errors", "factors"],
)
def test_a_certificate_with_many_passes_is_computed_only_on_request(options, rows, error):
    for check_maximum in "auto", True:
        fitted = GaussianMixture(**FROM_KMEANS | {"n_init": 1, "tol": 0.1} | options, check_maximum=check_maximum)
        assert (fitted.fit(rows, X_error=error).outcome_.is_maximum is None) is (check_maximum == "auto")


def test_too_many_parameters_for_a_certificate_are_rejected_before_em():
    steps = []
    options = {"tol": "auto", "callbacks": [steps.append], "random_state": 0}
    with pytest.raises(ValueError, match="more than 4,000 parameters"):
        GaussianMixture(2, **options).fit(np.random.default_rng(0).normal(size=(300, 70)))
    assert steps == []


def test_check_maximum_auto_computes_only_certificates_that_cost_little():
    outcomes = [
        GaussianMixture(**FROM_KMEANS, check_maximum=check_maximum).fit(ROWS).outcome_
        for check_maximum in ("auto", False, True)
    ]
    # EM converges slowly, so that the fit is still far from the maximum.
    assert [outcome.is_maximum for outcome in outcomes] == [None, None, False]
    assert [outcome.certificate is None for outcome in outcomes] == [True, True, False]
    converged = GaussianMixture(**FROM_KMEANS, tol=0, max_iter=8_000).set_params(covariance_type="spherical")
    with pytest.warns(ConvergenceWarning):
        assert converged.fit(ROWS).outcome_.is_maximum


@pytest.mark.parametrize(("n_components", "tol", "seed"), [(5, 1e-4, 64), (4, 1e-5, 464)])
def test_no_remaining_gain_is_reported_if_a_newton_step_predicts_too_little(n_components, tol, seed):
    """Check two fits: a Newton step gains 2e-4 and 3e-5 nats per row, as predicted, but EM then gains 0.04 and 0.12."""
    options = {"covariance_type": "EVV", "random_state": seed, "check_maximum": True, "init_params": "kmeans"}
    fitted = GaussianMixture(n_components, tol=tol, max_iter=1000, **options).fit(load_iris().data)
    assert (fitted.outcome_.is_maximum, fitted.outcome_.remaining_gain) == (False, None)
    bound = fitted.lower_bound_
    fitted.set_params(warm_start=True, tol=1e-8, max_iter=5000).fit(load_iris().data)
    assert fitted.lower_bound_ > bound + 0.02


def test_outcome_reports_reason_rate_and_agreeing_runs():
    options = FROM_KMEANS | {"n_init": 4, "tol": 1e-6, "max_iter": 1000}  # many steps, from which a rate is known
    fitted = GaussianMixture(**options, check_maximum=False).fit(ROWS)
    outcome = fitted.outcome_
    assert outcome.reason == "The mean log-likelihood changed by less than tol."
    assert (outcome.n_starts, outcome.n_starts_at_best) == (4, 4)
    gains = np.diff(fitted.lower_bounds_)[-3:]
    rate = max(gains[1:] / gains[:-1])
    assert outcome.rate == pytest.approx(rate)
    assert (outcome.is_maximum, outcome.remaining_gain, outcome.label_change_fraction) == (None, None, None)
    fitted.mixture_ = GaussianMixture(3).fit(ROWS).mixture_  # a different number of components
    assert not hasattr(fitted, "outcome_")


def test_runs_that_end_lower_do_not_agree_with_the_best(rng):
    rows = rng.normal(size=(90, 2)) + np.repeat([[0, 0], [100, 0], [0, 100]], 30, axis=0)
    correct, wrong = np.repeat([0, 1, 2], 30), np.concatenate((np.arange(30) % 2, np.full(60, 2)))
    starts = [wrong, correct, correct]
    fitted = GaussianMixture(3, init_params=lambda X, n_components, rng: starts.pop(0), n_init=3, tol=1e-9).fit(rows)
    assert (fitted.outcome_.n_starts, fitted.outcome_.n_starts_at_best) == (3, 2)


SELECTION = {"n_components": [2, 1, 3], "covariance_type": ["full", "EII"], "random_state": 0, "max_iter": 50}
NOT_STARTED = "not started when a callback ended the model selection"


def test_callbacks_of_a_model_selection_receive_each_step_of_each_candidate():
    steps = []
    with_callback = GaussianMixtureIC(**SELECTION, n_init=2, init_params="kmeans", callbacks=[steps.append]).fit(ROWS)
    plain = GaussianMixtureIC(**SELECTION, n_init=2, init_params="kmeans").fit(ROWS)
    assert (with_callback.mixture_, with_callback.outcome_) == (plain.mixture_, plain.outcome_)
    assert without_seconds(with_callback) == without_seconds(plain)
    sizes = [step.mixture.n_components for step in steps]
    assert sizes == sorted(sizes)
    for index, (structure, k, n_iter) in enumerate(
        zip(*(plain.results_[name] for name in ("structure", "n_components", "n_iter")), strict=True)
    ):
        own = [step for step in steps if step.candidate == index]
        assert {(step.mixture.family.name, step.mixture.n_components) for step in own} == {(structure, k)}
        assert max(step.start for step in own) == 1
        assert n_iter in [step.iteration for step in own]


def test_a_callback_ends_a_model_selection_with_the_best_started_candidate(X, tmp_path, recwarn):
    def stop(step):
        return step.mixture.n_components == 2 and step.iteration == 4

    selection = GaussianMixtureIC(**SELECTION, init_params="hierarchical", tol=0, callbacks=[stop]).fit(X)
    rows = zip(*(selection.results_[name] for name in ("n_components", "structure", "failure")), strict=True)
    assert {(k, name) for k, name, message in rows if message == NOT_STARTED} == {(2, "EII"), (3, "full"), (3, "EII")}
    assert (selection.n_components_, selection.covariance_type_, selection.n_iter_) == (2, "full", 4)
    assert selection.outcome_.reason == (
        "A callback ended the fit. A callback ended the model selection before 3 of 6 candidates were started."
    )
    assert "A callback ended the model selection before 3 of 6" in str(selection.summary())
    assert np.isfinite(selection.score(X))
    selection.save(tmp_path / "m.gmm")
    loaded = GaussianMixtureIC.load(tmp_path / "m.gmm")
    assert (loaded.outcome_, loaded.callbacks) == (selection.outcome_, None)
    assert not recwarn.list


def test_max_time_ends_a_model_selection_with_the_best_started_candidate():
    with (
        pytest.warns(SearchWarning, match="max_time was reached before 5 of 6 candidates were started; raise"),
        pytest.warns(ConvergenceWarning, match="max_time was reached before the mean log-likelihood"),
    ):
        selection = GaussianMixtureIC(**SELECTION, tol=0, max_time=0, n_jobs=1).fit(ROWS)
    assert (selection.n_components_, selection.n_iter_) == (1, 1)
    assert selection.results_["failure"].count("not started when max_time was reached") == 5
    assert selection.outcome_.reason.startswith("max_time was reached before the mean log-likelihood converged")
    assert selection.outcome_.reason.endswith(
        "max_time was reached before 5 of 6 candidates were started; raise max_time or try fewer candidates."
    )
    with_time = GaussianMixtureIC(**SELECTION, max_time=1e6).fit(ROWS)
    assert without_seconds(with_time) == without_seconds(GaussianMixtureIC(**SELECTION).fit(ROWS))


def test_outcome_of_a_model_selection_mentions_runs_that_a_callback_prevented(rng, recwarn):
    # Groups overlap, so that "auto" continues from Ward's hierarchy with searches.
    overlapping = rng.normal(size=(600, 2)) + 3 * rng.normal(size=(8, 2))[rng.integers(8, size=600)]
    options = {"covariance_type": "full", "random_state": 0, "n_jobs": 1, "callbacks": [lambda step: step.start == 1]}
    fitted = GaussianMixtureIC([6, 7, 8], **options).fit(overlapping)
    assert set(fitted.results_["failure"]) == {None}
    assert fitted.outcome_.reason.endswith("A callback ended the fit before the other starts were done.")
    assert not recwarn.list


def test_model_selection_after_max_time_continues_until_a_candidate_is_fitted(X):
    flat = np.c_[X, np.ones(len(X))]
    with pytest.warns() as caught:
        selection = GaussianMixtureIC(**SELECTION, max_time=0, n_jobs=1).fit(flat)
    messages = [str(warning.message) for warning in caught]
    assert any("before 4 of 6 candidates were started" in sentence for sentence in messages)
    assert any(sentence.startswith("1 of 2 candidates could not be fitted: 1 × singular") for sentence in messages)
    assert (selection.n_components_, selection.covariance_type_) == (1, "EII")
    failures = selection.results_["failure"]
    assert sum(why is not None and why.startswith("singular covariance") for why in failures) == 1


class OpenTasks(RecordingCallback):
    """A callback that records the tasks that have begun but not ended."""

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        self.notes.remove(("begin", context.task_name, context.task_id))


@pytest.mark.parametrize("options", [{}, {"n_init": 2, "init_params": "kmeans", "max_time": 0, "tol": 0}], ids=str)
@pytest.mark.filterwarnings("ignore")
def test_every_task_of_a_model_selection_ends_even_if_candidates_fail(options, X):
    tasks = OpenTasks()
    selection = GaussianMixtureIC(**SELECTION | options).set_callbacks(tasks).fit(np.c_[X, np.ones(len(X))])
    assert any(message is not None and message.startswith("singular") for message in selection.results_["failure"])
    assert tasks.notes == ["setup", "teardown"]


def test_every_task_ends_if_max_time_cuts_a_step():
    tasks = OpenTasks()

    class CutSecondStep(FactorAnalyzer):
        def update(self, scatter, current):
            if ("begin", "iteration", 1) in tasks.notes:
                raise TimeIsOver
            return super().update(scatter, current)

    with pytest.warns(ConvergenceWarning, match="max_time was reached"):
        GaussianMixture(2, covariance_type=CutSecondStep(1), tol=0).set_callbacks(tasks).fit(WIDER)
    assert tasks.notes == ["setup", "teardown"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_callbacks_of_scikit_learn_work_if_tol_auto_becomes_stricter_at_the_last_step():
    auto = {"tol": "auto", "init_params": "kmeans", "random_state": 0, "reg_covar": 0.0}
    for max_iter in range(25, 35):
        tasks = OpenTasks()
        fitted = GaussianMixture(2, max_iter=max_iter, **auto).set_callbacks(tasks).fit(ROWS)
        assert (fitted.n_iter_, tasks.notes) == (max_iter, ["setup", "teardown"])


def test_model_selection_raises_if_no_candidate_can_be_fitted(X):
    flat = np.c_[X, np.ones(len(X))]
    search = GaussianMixtureIC([1, 2], covariance_type="full", reg_covar=0, callbacks=[lambda step: True])
    with pytest.raises(ValueError, match="None of 2 candidates could be fitted"):
        search.fit(flat)


@pytest.mark.parametrize("parameters", [{"max_time": 60}, {"callbacks": [print]}])
def test_cross_validation_rejects_max_time_and_callbacks(parameters, X):
    with pytest.raises(ValueError, match=f"criterion='cv' does not support {next(iter(parameters))}."):
        GaussianMixtureIC([1, 2], criterion="cv", **parameters).fit(X)


def test_model_selection_applies_tol_auto_and_check_maximum_as_a_fit_does(X):
    start = {"covariance_type": "full", "init_params": "hierarchical", "random_state": 0}
    selection = GaussianMixtureIC([2, 3], tol="auto", **start).fit(ROWS)
    options = {"tol": "auto", "max_iter": 1000, "init_params": "hierarchical", "reg_covar": 0.0}
    single = GaussianMixture(selection.n_components_, random_state=0, **options).fit(ROWS)
    assert (selection.mixture_, selection.outcome_) == (single.mixture_, single.outcome_)
    assert selection.outcome_.reason.startswith("Further steps would gain less than 1e-4 nats per row")
    selection = GaussianMixtureIC([2, 3], check_maximum=True, tol=1e-7, max_iter=1000, **start).fit(ROWS)
    assert selection.outcome_.is_maximum
    with pytest.raises(ValueError, match="check_maximum must be"):
        GaussianMixtureIC([2, 3], check_maximum="no").fit(X)


def test_callbacks_of_scikit_learn_have_a_task_for_each_candidate():
    callback, choice = RecordingCallback(), SELECTION | {"max_iter": 5}
    search = GaussianMixtureIC(**choice).set_callbacks(callback).fit(ROWS)
    assert search.mixture_ == GaussianMixtureIC(**choice).fit(ROWS).mixture_
    tasks = callback.notes[1:-1]
    assert [task[1:] for task in tasks[:4]] == [("fit", 0), ("candidate", 0), ("start", 0), ("iteration", 0)]
    assert [task[2] for task in tasks if task[:2] == ("end", "candidate")] == list(range(6))
    assert tasks[-1] == ("end", "fit", 0, search.score(ROWS))
    assert "_callback_fit_ctx" not in vars(search)


@pytest.mark.parametrize(("seed", "best"), [(2, 0), (4, 1)])
def test_the_task_of_a_candidate_ends_with_its_best_run(seed, best):
    options = {"max_iter": 3, "tol": 0, "init_params": "random_from_data", "n_init": 2, "random_state": seed}
    callback = RecordingCallback()
    with pytest.warns(ConvergenceWarning):
        GaussianMixtureIC([2], covariance_type="full", **options).set_callbacks(callback).fit(ROWS)
    notes = callback.notes
    scores = {name: [note[3] for note in notes if note[:2] == ("end", name)] for name in ("start", "candidate")}
    assert scores["candidate"] == [scores["start"][best]] == [max(scores["start"])]


def test_a_callback_of_scikit_learn_ends_a_model_selection():
    class Last(RecordingCallback):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            return context.task_name == "candidate" and fitted_estimator.n_components_ == 1

    selection = GaussianMixtureIC(**SELECTION).set_callbacks(Last()).fit(ROWS)
    assert selection.results_["failure"].count(NOT_STARTED) == 5
    assert selection.converged_
