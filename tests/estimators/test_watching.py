"""Callbacks and limits during a fit, and the report of its end."""

import math
import re
import time
from itertools import chain, repeat

import numpy as np
import pytest
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


def _slow():
    """Return the rows of scikit-learn's issue 10122: two groups that overlap, on which EM converges slowly."""
    drawn = np.random.RandomState(1234).multivariate_normal
    return np.concatenate((drawn([2, 4], [[5, 2], [2, 6]], 300), drawn([0, 0], [[4, 2], [2, 3]], 100)))


SLOW = _slow()
HOW = {"n_components": 2, "random_state": 0, "n_init": 2}
THREE = np.concatenate((SLOW, np.random.default_rng(0).normal(size=(len(SLOW), 1))), axis=1)
PLAIN = HOW | {"init_params": "kmeans"}  # start from which EM converges slowly


def test_a_callback_is_told_of_each_step_and_changes_no_bit():
    steps = []
    told = GaussianMixture(**HOW, callbacks=[steps.append]).fit(SLOW)
    plain = GaussianMixture(**HOW).fit(SLOW)
    assert told.mixture_ == plain.mixture_
    for start in (0, 1):
        of_start = [step for step in steps if step.start == start]
        assert [step.iteration for step in of_start] == list(range(1, len(of_start) + 1))
    runs = [[step for step in steps if step.start == start] for start in (0, 1)]
    best = next(run for run in runs if run[-1].log_likelihood == plain.lower_bound_)
    assert [step.log_likelihood for step in best] == plain.lower_bounds_
    assert best[-1].mixture == plain.mixture_
    seconds = [step.seconds for step in steps]
    assert seconds == sorted(seconds)
    assert all(0 < step.rows_per_second < math.inf for step in steps)


def test_a_callback_that_returns_true_ends_the_fit_with_a_valid_model(tmp_path):
    steps = []
    stopped = GaussianMixture(**HOW, tol=0, callbacks=[lambda step: step.iteration == 3, steps.append]).fit(SLOW)
    assert (len(steps), stopped.n_iter_, stopped.converged_) == (3, 3, False)
    assert stopped.outcome_.reason == (
        "A callback ended the fit. A callback ended the fit before the other starts were done."
    )
    assert (stopped.outcome_.n_starts, stopped.outcome_.n_starts_at_best) == (1, 1)
    assert stopped.mixture_ == steps[-1].mixture
    assert np.isfinite(stopped.score(SLOW))
    stopped.save(tmp_path / "m.gmm")
    again = GaussianMixture.load(tmp_path / "m.gmm")
    assert again.outcome_ == stopped.outcome_
    assert again.callbacks is None


@pytest.mark.parametrize(("n_init", "is_said"), [(3, True), (2, False)])
def test_starts_that_a_callback_left_out_are_said_where_there_are_some(n_init, is_said):
    how = PLAIN | {"n_init": n_init, "max_iter": 1_000}
    late = GaussianMixture(**how, callbacks=[lambda step: step.start == 1 and step.iteration == 1]).fit(SLOW)
    assert (late.outcome_.n_starts, late.converged_) == (2, True)
    assert ("A callback ended the fit before the other starts were done." in late.outcome_.reason) is is_said


def test_the_mixture_of_a_step_has_the_names_of_the_features(X):
    pandas = pytest.importorskip("pandas")
    steps = []
    GaussianMixture(2, random_state=0, callbacks=[steps.append]).fit(pandas.DataFrame(X, columns=["a", "b", "c"]))
    assert steps[0].mixture.feature_names == ("a", "b", "c")


def test_an_error_in_a_callback_ends_the_fit_and_leaves_the_estimator():
    def fail(step):
        raise KeyError("mine")

    fitted = GaussianMixture(**HOW).fit(SLOW)
    before = fitted.mixture_
    with pytest.raises(KeyError, match="mine"):
        fitted.set_params(callbacks=[fail]).fit(SLOW)
    assert fitted.mixture_ is before
    assert clone(fitted).callbacks == [fail]


def test_time_that_is_up_ends_the_fit_after_a_step():
    with pytest.warns(ConvergenceWarning, match="max_time was reached"):
        fitted = GaussianMixture(**HOW, tol=0, max_iter=10**9, max_time=0).fit(SLOW)
    assert (fitted.n_iter_, fitted.outcome_.n_starts, fitted.converged_) == (1, 1, False)
    assert fitted.outcome_.reason.startswith("max_time was reached")
    assert fitted.outcome_.rate is None
    assert np.isfinite(fitted.score(SLOW))
    assert GaussianMixture(**HOW, max_time=1e6).fit(SLOW).mixture_ == GaussianMixture(**HOW).fit(SLOW).mixture_


def test_after_max_time_no_check_of_the_maximum_begins():
    with pytest.warns(ConvergenceWarning, match="max_time was reached"):
        fitted = GaussianMixture(**PLAIN, check_maximum=True, max_time=0).fit(SLOW)
    assert fitted.outcome_.is_maximum is None
    assert fitted.outcome_.reason.endswith("It is not known whether the fit is near a maximum: max_time has passed.")


@pytest.mark.heavy
def test_a_check_of_the_maximum_may_end_a_fit_by_time():
    """Check a fit whose time is up at the first check, because a callback waits in the step before the check."""
    how = PLAIN | {"tol": "auto", "max_iter": 1000, "n_init": 1}
    plain = GaussianMixture(**how).fit(SLOW)
    gains = np.diff(plain.lower_bounds_)
    last = int(np.argmax(gains < FIRST_TOLERANCE)) + 1  # the step before the first check

    def wait(step):
        while step.iteration == last and time.monotonic() < first + 1.1:
            time.sleep(0.01)

    first = time.monotonic()
    with pytest.warns(ConvergenceWarning, match="max_time was reached"):
        hasty = GaussianMixture(**how, callbacks=[wait], max_time=1).fit(SLOW)
    assert hasty.outcome_.reason.startswith("max_time was reached")
    assert last <= hasty.n_iter_ <= last + 2 < plain.n_iter_


@pytest.mark.parametrize("has_missing", [False, True])
def test_passes_of_a_check_end_with_the_time(has_missing, rng):
    rows = np.where(rng.random(SLOW.shape) < 0.1, np.nan, SLOW) if has_missing else SLOW
    fitted = GaussianMixture(**PLAIN).fit(rows)
    with waiting_for(0), cut_in_time(True), pytest.raises(TimeIsOver):
        fitted.inference(rows)


def test_starts_without_time_are_named(monkeypatch):
    clock = chain([0.0], repeat(math.inf))  # time is up after the first start
    monkeypatch.setattr("gaussmix._src.fit.monitor.monotonic", lambda: next(clock))
    with pytest.warns(ConvergenceWarning, match="max_time was reached before the other starts were made"):
        fitted = GaussianMixture(2, random_state=0, n_init=5, max_time=1e6).fit(SLOW)
    assert (fitted.converged_, fitted.outcome_.n_starts) == (True, 1)
    assert fitted.outcome_.reason.startswith("The mean log-likelihood changed by less than tol. max_time was reached")


def test_starts_without_time_are_named_where_the_first_start_had_too_little_too():
    with (
        pytest.warns(ConvergenceWarning, match="reached before the mean log-likelihood converged"),
        pytest.warns(ConvergenceWarning, match="reached before the other starts were made"),
    ):
        fitted = GaussianMixture(2, random_state=0, n_init=3, tol=0, max_time=0).fit(SLOW)
    assert re.search("before the mean log-likelihood converged.*before the other starts", fitted.outcome_.reason)


@pytest.mark.parametrize(
    ("parameters", "error", "why"),
    [
        ({"callbacks": print}, TypeError, "callbacks must be a list of functions or None"),
        ({"callbacks": [3]}, TypeError, "callbacks must contain functions, not 3"),
        ({"callbacks": [ProgressBar()]}, TypeError, r"ProgressBar is a callback of scikit-learn\. .*set_callbacks"),
        ({"max_time": -1}, ValueError, "max_time=-1 must be a finite number"),
        ({"max_time": "1s"}, TypeError, "max_time must be a number"),
        ({"check_maximum": "yes"}, ValueError, "check_maximum must be \"auto\", True or False, not 'yes'"),
        ({"check_maximum": 1}, TypeError, "check_maximum must be"),
        ({"tol": "small"}, TypeError, 'tol must be a number ≥ 0 or "auto"'),
    ],
)
def test_wrong_values_are_named(parameters, error, why):
    with pytest.raises(error, match=why):
        GaussianMixture(2, **parameters).fit(SLOW)


class Noted:
    """A scikit-learn callback that records the tasks, and ends starts at a given iteration."""

    def __init__(self, last=None):
        self.last, self.notes = last, []

    def setup(self, estimator, context):
        self.notes.append("setup")

    def teardown(self, estimator, context):
        self.notes.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.notes.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        self.notes.append(("end", context.task_name, context.task_id, fitted_estimator.score(X)))
        return context.task_name == "iteration" and context.task_id == self.last


def test_callbacks_of_scikit_learn_have_a_task_for_each_start_and_iteration():
    noted = Noted()
    fitted = GaussianMixture(**HOW).set_callbacks(noted).fit(SLOW)
    assert fitted.mixture_ == GaussianMixture(**HOW).fit(SLOW).mixture_
    assert (noted.notes[0], noted.notes[-1]) == ("setup", "teardown")
    tasks = noted.notes[1:-1]
    assert tasks[:3] == [("begin", "fit", 0), ("begin", "start", 0), ("begin", "iteration", 0)]
    assert tasks[-1] == ("end", "fit", 0, fitted.score(SLOW))
    begun, ended = ([task[1:3] for task in tasks if task[0] == what] for what in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    assert [task for task in begun if task[0] == "start"] == [("start", 0), ("start", 1)]
    assert sum(task[0] == "iteration" for task in begun) >= fitted.n_iter_
    assert "_callback_fit_ctx" not in vars(fitted)


def test_a_callback_of_scikit_learn_ends_a_start():
    noted = Noted(last=2)
    fitted = GaussianMixture(**HOW, tol=0).set_callbacks(noted).fit(SLOW)
    assert sum(note[:2] == ("end", "iteration") for note in noted.notes) == 6
    assert (fitted.n_iter_, fitted.outcome_.n_starts) == (3, 2)


def test_callbacks_of_scikit_learn_are_torn_down_where_a_fit_fails():
    noted = Noted()
    with pytest.raises(ValueError, match="NaN"):
        GaussianMixture(2, missing="error").set_callbacks(noted).fit(np.full((5, 2), np.nan))
    assert "setup" not in noted.notes
    noted.on_fit_task_end = None
    with pytest.raises(TypeError):
        GaussianMixture(2).set_callbacks(noted).fit(SLOW)


def test_scikit_learns_own_callbacks_work_also_through_a_pipeline(capsys):
    monitor = ScoringMonitor(scoring=lambda estimator, X, y=None: estimator.score(X))
    fitted = GaussianMixture(**HOW).set_callbacks(monitor).fit(SLOW)
    assert fitted.converged_
    pytest.importorskip("rich")
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(**HOW)).set_callbacks(ProgressBar())
    pipeline.fit(SLOW)
    assert "GaussianMixture" in capsys.readouterr().out


def test_a_callback_that_is_none_is_refused():
    with pytest.raises(TypeError, match="FitCallback protocol"):
        GaussianMixture(2).set_callbacks(print)


@pytest.mark.heavy(but=1)
def test_auto_ends_at_the_maximum_where_the_last_gain_ends_far_from_it():
    how = PLAIN | {"max_iter": 5000}
    most_likely = GaussianMixture(**how, tol=1e-12).fit(SLOW)
    by_gain = GaussianMixture(**how, tol=1e-4).fit(SLOW)
    at_maximum = GaussianMixture(**how, tol="auto").fit(SLOW)
    left = most_likely.lower_bound_ - at_maximum.lower_bound_
    assert most_likely.lower_bound_ - by_gain.lower_bound_ > 1e-3
    assert 0 < left < 2e-4
    assert np.sort(at_maximum.weights_)[0] < 0.3 < np.sort(by_gain.weights_)[0]
    ending = at_maximum.outcome_
    assert ending.reason == "Less than 1e-4 nats per row are left to gain."
    assert ending.is_maximum
    assert ending.remaining_gain < 1e-4
    assert ending.certificate.endswith(" % of the labels.")
    assert "maximum" not in ending.certificate  # the reason already mentions the maximum
    assert 0.9 < ending.rate < 1


def test_auto_ends_where_gains_are_rounding_though_there_is_no_maximum():
    """Check two equal components, which stay equal at a saddle point."""
    shares = np.full((len(SLOW), 2), 0.5)
    with pytest.warns(ConvergenceWarning, match="the fit is not at a maximum: try other starts"):
        fitted = GaussianMixture(2, tol="auto", init_params=shares).fit(SLOW)
    assert fitted.converged_
    assert fitted.outcome_.reason.startswith("Steps no longer change the mean log-likelihood, but the fit is not at a")
    assert (fitted.outcome_.is_maximum, fitted.outcome_.remaining_gain) == (False, None)
    assert fitted.outcome_.certificate is None  # the certificate does not repeat the reason


def test_a_limit_of_steps_ends_the_way_to_a_maximum():
    with pytest.warns(ConvergenceWarning):
        fitted = GaussianMixture(**PLAIN, tol="auto", max_iter=20).fit(SLOW)
    assert (fitted.n_iter_, fitted.converged_) == (20, False)
    assert (
        fitted.outcome_.reason == "max_iter steps were made before the maximum; raise max_iter, or set tol to a number."
    )


class Opaque(Full):
    """A structure without an algebra."""

    algebra = None


def test_a_structure_without_formulas_has_no_certificate():
    how = {"random_state": 0, "init_params": "kmeans", "tol": 0.1, "covariance_type": Opaque()}
    fitted = GaussianMixture(2, check_maximum=True, **how).fit(SLOW)
    why = "there is no formula for the structure Opaque"
    assert fitted.outcome_.is_maximum is None
    assert f"It is not known whether the fit is near a maximum: {why}" in fitted.outcome_.reason
    assert "It is not known" not in GaussianMixture(2, **how).fit(SLOW).outcome_.reason
    with pytest.raises(ValueError, match=rf'tol="auto" is not possible here: {why}.*Set tol to a number'):
        GaussianMixture(2, **how | {"tol": "auto", "max_iter": 1000}).fit(SLOW)


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize("how", [{"trim": 0.1}, {"covariance_type": Full(1.5)}], ids=["trim", "bound"])
def test_trimmed_and_bounded_fits_go_on_to_a_maximum(how):
    how = {"init_params": "kmeans", "random_state": 0, "max_iter": 1000} | how
    fitted = GaussianMixture(2, tol="auto", **how).fit(SLOW)
    assert fitted.outcome_.is_maximum
    assert fitted.outcome_.remaining_gain < 1e-4
    best = GaussianMixture(2, tol=1e-12, **how | {"max_iter": 20_000}).fit(SLOW)
    assert 0 < best.lower_bound_ - fitted.lower_bound_ < 2e-4


HOLES = np.where(np.arange(SLOW.size).reshape(SLOW.shape) % 5, SLOW, np.nan)


@pytest.mark.parametrize(
    ("how", "rows", "error"),
    [({}, HOLES, None), ({}, SLOW, np.full(SLOW.shape, 0.1)), ({"covariance_type": FactorAnalyzer(1)}, THREE, None)],
    ids=["holes", "errors", "factors"],
)
def test_a_certificate_with_many_passes_is_computed_only_on_request(how, rows, error):
    for check_maximum in "auto", True:
        fitted = GaussianMixture(2, check_maximum=check_maximum, tol=0.1, init_params="kmeans", random_state=0, **how)
        assert (fitted.fit(rows, X_error=error).outcome_.is_maximum is None) is (check_maximum == "auto")


def test_too_many_parameters_for_a_certificate_are_refused_before_em():
    seen = []
    how = {"tol": "auto", "callbacks": [seen.append], "random_state": 0}
    with pytest.raises(ValueError, match="more than 4,000 parameters"):
        GaussianMixture(2, **how).fit(np.random.default_rng(0).normal(size=(300, 70)))
    assert seen == []


def test_a_certificate_is_made_where_it_is_asked_for_or_costs_little():
    certified = [
        GaussianMixture(**PLAIN, check_maximum=check_maximum).fit(SLOW).outcome_
        for check_maximum in ("auto", False, True)
    ]
    # EM converges slowly, and is still far from the maximum
    assert [ending.is_maximum for ending in certified] == [None, None, False]
    assert [ending.certificate is None for ending in certified] == [True, True, False]
    slow = GaussianMixture(**PLAIN, tol=0, max_iter=8_000).set_params(covariance_type="spherical")
    with pytest.warns(ConvergenceWarning):
        assert slow.fit(SLOW).outcome_.is_maximum


@pytest.mark.parametrize(("n_components", "tol", "seed"), [(5, 1e-4, 64), (4, 1e-5, 464)])
def test_no_gain_is_said_on_a_ridge_where_further_steps_gain_far_more_than_one_of_newton(n_components, tol, seed):
    """Check fits where a Newton step gains the predicted 2e-4 and 3e-5 nats per row, but EM then gains .04 and .12."""
    how = {"covariance_type": "EVV", "random_state": seed, "check_maximum": True, "init_params": "kmeans"}
    ended = GaussianMixture(n_components, tol=tol, max_iter=1000, **how).fit(load_iris().data)
    assert (ended.outcome_.is_maximum, ended.outcome_.remaining_gain) == (False, None)
    reached = ended.lower_bound_
    ended.set_params(warm_start=True, tol=1e-8, max_iter=5000).fit(load_iris().data)
    assert ended.lower_bound_ > reached + 0.02


def test_a_fit_says_how_it_ended(X):
    fitted = GaussianMixture(3, n_init=4, init_params="kmeans", random_state=0, tol=1e-6, check_maximum=False).fit(X)
    ending = fitted.outcome_
    assert ending.reason == "The mean log-likelihood changed by less than tol."
    assert (ending.n_starts, ending.n_starts_at_best) == (4, 4)
    gains = np.diff(fitted.lower_bounds_)[-3:]
    rate = max(gains[1:] / gains[:-1])
    assert ending.rate == pytest.approx(rate)
    assert (ending.is_maximum, ending.remaining_gain, ending.label_change_fraction) == (None, None, None)
    fitted.mixture_ = GaussianMixture(2).fit(X).mixture_
    assert not hasattr(fitted, "outcome_")


def test_starts_that_end_lower_do_not_agree(rng):
    rows = rng.normal(size=(90, 2)) + np.repeat([[0, 0], [100, 0], [0, 100]], 30, axis=0)
    good, bad = np.repeat([0, 1, 2], 30), np.concatenate((np.arange(30) % 2, np.full(60, 2)))
    starts = [bad, good, good]
    fitted = GaussianMixture(3, init_params=lambda X, n_components, rng: starts.pop(0), n_init=3, tol=1e-9).fit(rows)
    assert (fitted.outcome_.n_starts, fitted.outcome_.n_starts_at_best) == (3, 2)


CHOICE = {"n_components": [2, 1, 3], "covariance_type": ["full", "EII"], "random_state": 0, "max_iter": 50}
NOT_BEGUN = "not begun when a callback ended the model selection"
CHOOSES = {"covariance_type": "full", "random_state": 0, "n_jobs": 1}


def _table(search):
    return {name: column for name, column in search.results_.items() if name != "seconds"}


def test_callbacks_of_a_search_are_told_of_each_step_of_each_candidate_and_change_no_bit():
    steps = []
    told = GaussianMixtureIC(**CHOICE, n_init=2, init_params="kmeans", callbacks=[steps.append]).fit(SLOW)
    plain = GaussianMixtureIC(**CHOICE, n_init=2, init_params="kmeans").fit(SLOW)
    assert (told.mixture_, told.outcome_) == (plain.mixture_, plain.outcome_)
    assert _table(told) == _table(plain)
    sizes = [step.mixture.n_components for step in steps]
    assert sizes == sorted(sizes)
    for place, (structure, k, n_iter) in enumerate(
        zip(*(plain.results_[name] for name in ("structure", "n_components", "n_iter")), strict=True)
    ):
        mine = [step for step in steps if step.candidate == place]
        assert {(step.mixture.family.name, step.mixture.n_components) for step in mine} == {(structure, k)}
        assert max(step.start for step in mine) == 1
        assert n_iter in [step.iteration for step in mine]


def test_a_callback_ends_a_search_with_the_best_of_the_candidates_that_were_begun(X, tmp_path, recwarn):
    def enough(step):
        return step.mixture.n_components == 2 and step.iteration == 4

    chosen = GaussianMixtureIC(**CHOICE, init_params="hierarchical", tol=0, callbacks=[enough]).fit(X)
    found = zip(*(chosen.results_[name] for name in ("n_components", "structure", "failure")), strict=True)
    assert {(k, name) for k, name, why in found if why == NOT_BEGUN} == {(2, "EII"), (3, "full"), (3, "EII")}
    assert (chosen.n_components_, chosen.covariance_type_, chosen.n_iter_) == (2, "full", 4)
    assert chosen.outcome_.reason == (
        "A callback ended the fit. A callback ended the model selection before 3 of 6 candidates were begun."
    )
    assert "A callback ended the model selection before 3 of 6" in str(chosen.summary())
    assert np.isfinite(chosen.score(X))
    chosen.save(tmp_path / "m.gmm")
    again = GaussianMixtureIC.load(tmp_path / "m.gmm")
    assert (again.outcome_, again.callbacks) == (chosen.outcome_, None)
    assert not recwarn.list


def test_time_that_is_up_ends_a_search_with_the_best_of_the_candidates_that_were_begun():
    with (
        pytest.warns(SearchWarning, match="max_time was reached before 5 of 6 candidates were begun; raise"),
        pytest.warns(ConvergenceWarning, match="max_time was reached before the mean log-likelihood"),
    ):
        chosen = GaussianMixtureIC(**CHOICE, tol=0, max_time=0, n_jobs=1).fit(SLOW)
    assert (chosen.n_components_, chosen.n_iter_) == (1, 1)
    assert chosen.results_["failure"].count("not begun when max_time was reached") == 5
    assert chosen.outcome_.reason.startswith("max_time was reached before the mean log-likelihood converged")
    assert chosen.outcome_.reason.endswith(
        "max_time was reached before 5 of 6 candidates were begun; raise max_time or try fewer candidates."
    )
    unhurried = GaussianMixtureIC(**CHOICE, max_time=1e6).fit(SLOW)
    assert _table(unhurried) == _table(GaussianMixtureIC(**CHOICE).fit(SLOW))


def _overlapping(rng):
    """Return groups that overlap, so that "auto" continues from Ward's hierarchy with searches."""
    return rng.normal(size=(600, 2)) + 3 * rng.normal(size=(8, 2))[rng.integers(8, size=600)]


def test_searches_that_a_callback_prevents_are_named(rng, recwarn):
    ended = GaussianMixtureIC([6, 7, 8], **CHOOSES, callbacks=[lambda step: step.start == 1]).fit(_overlapping(rng))
    assert set(ended.results_["failure"]) == {None}
    assert ended.outcome_.reason.endswith("A callback ended the fit before the other starts were done.")
    assert not recwarn.list


def test_a_search_without_time_goes_on_until_a_candidate_is_fitted(X):
    flat = np.c_[X, np.ones(len(X))]
    with pytest.warns() as caught:
        chosen = GaussianMixtureIC(**CHOICE, max_time=0, n_jobs=1).fit(flat)
    said = [str(warning.message) for warning in caught]
    assert any("before 4 of 6 candidates were begun" in sentence for sentence in said)
    assert any(sentence.startswith("1 of 2 candidates could not be fitted: 1 × singular") for sentence in said)
    assert (chosen.n_components_, chosen.covariance_type_) == (1, "EII")
    assert sum(why is not None and why.startswith("singular covariance") for why in chosen.results_["failure"]) == 1


class Tasks(Noted):
    """A callback that records the open tasks."""

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        self.notes.remove(("begin", context.task_name, context.task_id))


@pytest.mark.parametrize("how", [{}, {"n_init": 2, "init_params": "kmeans", "max_time": 0, "tol": 0}], ids=str)
@pytest.mark.filterwarnings("ignore")
def test_every_task_of_a_search_ends_whatever_its_candidates_do(how, X):
    tasks = Tasks()
    chosen = GaussianMixtureIC(**CHOICE | how).set_callbacks(tasks).fit(np.c_[X, np.ones(len(X))])
    assert any(why is not None and why.startswith("singular") for why in chosen.results_["failure"])
    assert tasks.notes == ["setup", "teardown"]


def test_a_search_stopped_before_any_fit_says_so(X):
    flat = np.c_[X, np.ones(len(X))]
    search = GaussianMixtureIC([1, 2], covariance_type="full", reg_covar=0, callbacks=[lambda step: True])
    with pytest.raises(ValueError, match="None of 2 candidates could be fitted"):
        search.fit(flat)


@pytest.mark.parametrize("ended", [{"max_time": 60}, {"callbacks": [print]}])
def test_held_out_rows_have_no_end_in_between(ended, X):
    with pytest.raises(ValueError, match=f"criterion='cv' does not support {next(iter(ended))}."):
        GaussianMixtureIC([1, 2], criterion="cv", **ended).fit(X)


def test_a_search_stops_each_candidate_by_the_rule_of_a_fit(X):
    start = {"covariance_type": "full", "init_params": "hierarchical", "random_state": 0}
    chosen = GaussianMixtureIC([2, 3], tol="auto", **start).fit(SLOW)
    how = {"tol": "auto", "max_iter": 1000, "init_params": "hierarchical", "reg_covar": 0.0}
    alone = GaussianMixture(chosen.n_components_, random_state=0, **how).fit(SLOW)
    assert (chosen.mixture_, chosen.outcome_) == (alone.mixture_, alone.outcome_)
    assert chosen.outcome_.reason.startswith("Less than 1e-4 nats per row are left")
    certified = GaussianMixtureIC([2, 3], check_maximum=True, tol=1e-7, max_iter=1000, **start).fit(SLOW)
    assert certified.outcome_.is_maximum
    with pytest.raises(ValueError, match="check_maximum must be"):
        GaussianMixtureIC([2, 3], check_maximum="no").fit(X)


def test_callbacks_of_scikit_learn_have_a_task_for_each_candidate():
    noted, choice = Noted(), CHOICE | {"max_iter": 5}
    search = GaussianMixtureIC(**choice).set_callbacks(noted).fit(SLOW)
    assert search.mixture_ == GaussianMixtureIC(**choice).fit(SLOW).mixture_
    tasks = noted.notes[1:-1]
    assert [task[1:] for task in tasks[:4]] == [("fit", 0), ("candidate", 0), ("start", 0), ("iteration", 0)]
    assert [task[2] for task in tasks if task[:2] == ("end", "candidate")] == list(range(6))
    assert tasks[-1] == ("end", "fit", 0, search.score(SLOW))
    assert "_callback_fit_ctx" not in vars(search)


@pytest.mark.parametrize(("seed", "best"), [(2, 0), (4, 1)])
def test_the_task_of_a_candidate_ends_with_its_best_start(seed, best):
    how = {"max_iter": 3, "tol": 0, "init_params": "random_from_data", "n_init": 2, "random_state": seed}
    noted = Noted()
    with pytest.warns(ConvergenceWarning):
        GaussianMixtureIC([2], covariance_type="full", **how).set_callbacks(noted).fit(SLOW)
    scores = {name: [note[3] for note in noted.notes if note[:2] == ("end", name)] for name in ("start", "candidate")}
    assert scores["candidate"] == [scores["start"][best]] == [max(scores["start"])]


def test_a_callback_of_scikit_learn_ends_a_search():
    class Last(Noted):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            return context.task_name == "candidate" and fitted_estimator.n_components_ == 1

    chosen = GaussianMixtureIC(**CHOICE).set_callbacks(Last()).fit(SLOW)
    assert chosen.results_["failure"].count(NOT_BEGUN) == 5
    assert chosen.converged_
