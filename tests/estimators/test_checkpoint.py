"""Interrupted fits continue from a checkpoint."""

import copy
import errno
import io
import os
from decimal import Decimal
from itertools import product
from threading import Thread

import numpy as np
import pytest
from common import raises_and_keeps, without_seconds
from sklearn.exceptions import ConvergenceWarning

import gaussmix
import gaussmix._src.fit.checkpoint as checkpoints
import gaussmix._src.formats.checkpoint_file as files
from gaussmix import FactorAnalyzer, GaussianMixture, GaussianMixtureIC, NormalInverseWishart, Restrictions
from gaussmix._src.em.step.acceleration import MIN_STEPS, Acceleration
from gaussmix._src.engines.truncated import TruncatedEngine
from gaussmix._src.formats.envelope import pack, unpack
from gaussmix._src.formats.files import remove_unfinished, whole_file

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")

RUNS = {"init_params": ["random", "random_from_data"], "n_init": 2}


class Stop(Exception):
    """An exception that ends a fit before it converges."""


@pytest.fixture
def rows(rng):
    return 2 * rng.normal(size=(4, 3))[rng.integers(4, size=500)] + rng.normal(size=(500, 3))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.ckpt"


@pytest.fixture
def stop_at(monkeypatch):
    """Make fits stop after `n_states` states, or never if `n_states` is None. Each call of the core makes few steps."""
    monkeypatch.setattr("gaussmix._src.engines.complete.core_runs.MAX_CALL_SECONDS", 0.0)
    record_states = checkpoints.Checkpoint._record_states

    def set_limit(n_states):
        remaining = iter(range(n_states)) if n_states is not None else iter(int, 1)

        def record_and_stop(self, run, *where):
            for state in record_states(self, run, *where):
                if next(remaining, None) is None:
                    raise Stop
                yield state

        monkeypatch.setattr(checkpoints.Checkpoint, "_record_states", record_and_stop)

    return set_limit


def interrupted(estimator, rows, stop_at, n_states, **arguments):
    stop_at(n_states)
    with pytest.raises(Stop):
        estimator.fit(rows, **arguments)
    stop_at(None)


def result_of(estimator):
    mixture = estimator.mixture_
    arrays = mixture.weights, mixture.means, mixture.covariances, np.array(estimator.lower_bounds_)
    outcome = estimator.outcome_
    facts = estimator.n_iter_, estimator.converged_, outcome.traces, repr(outcome)
    return [each.tobytes() for each in arrays], facts


CASES = {
    "one initialisation": {"init_params": "kmeans"},
    "a search": {"init_params": "search", "tol": 0},
    "several initialisations": RUNS,
    "a callable": {"init_params": lambda X, k, rng: rng.integers(k, size=len(X)), "n_init": 3},
    "a RandomState": {**RUNS, "random_state": np.random.RandomState(5)},
    "labels": {"init_params": np.arange(500) % 4},
    "factors": {"covariance_type": "factor_analyzer", **RUNS},
    "a prior": {"prior": NormalInverseWishart(scale=2.0), "restrictions": Restrictions(equal_weights=True), **RUNS},
    "no steps": {"max_iter": 0, **RUNS},
}


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("case", CASES)
def test_a_resumed_fit_equals_an_uninterrupted_fit_bit_for_bit(case, rows, path, stop_at):
    parameters = {"tol": 1e-6, "max_iter": 12, "random_state": 3, **CASES[case]}

    def new(path=None):
        new_parameters = dict(parameters)
        if isinstance(new_parameters["random_state"], np.random.RandomState):
            new_parameters["random_state"] = np.random.RandomState(5)
        return GaussianMixture(4, **new_parameters, checkpoint=path)

    weight = np.random.default_rng(0).random(500)
    expected = result_of(new().fit(rows, sample_weight=weight))
    for n_states in range(2) if case == "no steps" else range(1, 17, 3):
        stopped = new(path)
        stop_at(n_states)
        try:
            stopped.fit(rows, sample_weight=weight)
        except Stop:
            assert not hasattr(stopped, "mixture_")
        else:
            assert n_states > 9, "the fit was stopped"
        stop_at(None)
        assert result_of(new(path).fit(rows, sample_weight=weight)) == expected
        assert os.listdir(path.parent) == []


def test_a_resumed_fit_with_candidate_components_never_lowers_the_likelihood(rng, path, stop_at):
    """Check that a resumed fit finds its candidates again among all components, because they are not stored."""
    parameters, X = {"posterior": 3, "init_params": "tree", "tol": 0, "max_iter": 33}, rng.normal(size=(4000, 3)) ** 3
    whole = GaussianMixture(60, **parameters).fit(X).outcome_.traces[0]
    for n_states in (2, 20, 31):
        interrupted(GaussianMixture(60, **parameters, checkpoint=path), X, stop_at, n_states)
        (trace,) = GaussianMixture(60, **parameters, checkpoint=path).fit(X).outcome_.traces
        assert trace[: n_states - 1] == whole[: n_states - 1]
        assert (np.diff(trace[1:]) >= 0).all()


@pytest.mark.heavy
@pytest.mark.usefixtures("auto_truncates_50_components")
def test_a_resumed_fit_keeps_the_doubled_number_of_candidate_components(monkeypatch, rng, path, stop_at):
    """Check that the free energy never falls after resuming the first run, and that the second run has a small gap."""
    X, parameters = rng.normal(size=(2000, 3)), {"covariance_type": "spherical", "tol": 0.01, "max_iter": 40}
    parameters |= {"init_params": ["random", "random_from_data"], "random_state": 0}
    n_states = len(GaussianMixture(60, **parameters).fit(X).outcome_.traces[0])
    numbers, step = [], TruncatedEngine.step
    monkeypatch.setattr(TruncatedEngine, "step", lambda self, *rest: numbers.append(self.n_drawn) or step(self, *rest))
    for n_before in (n_states - 2, n_states - 1, n_states, n_states + 2):
        interrupted(GaussianMixture(60, **parameters, checkpoint=path), X, stop_at, n_before)
        numbers.clear()
        resumed = GaussianMixture(60, **parameters, checkpoint=path).fit(X).outcome_
        assert (np.diff(resumed.traces[0][1:]) >= -1e-13).all()
        assert resumed.n_candidates > 8
        assert resumed.posterior_gap < 2e-3
        n_left = max(n_states - n_before, 0)
        assert numbers[:n_left] == [2] * n_left


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("criterion", ["bic", "cv", "stability"])
def test_a_resumed_model_selection_equals_an_uninterrupted_one_bit_for_bit(criterion, rows, path, stop_at):
    settings = {"covariance_type": ["full", "tied"], "criterion": criterion, "n_folds": 2, "random_state": 3, **RUNS}
    settings |= {"tol": 1e-4, "max_iter": 30}
    whole = GaussianMixtureIC([3, 4], **settings, n_jobs=1).fit(rows)
    for n_states in (2, 40, 90, 150):
        search = GaussianMixtureIC([3, 4], **settings, checkpoint=path)
        interrupted(search, rows, stop_at, n_states)
        search.fit(rows)
        assert result_of(search) == result_of(whole)
        assert without_seconds(search) == without_seconds(whole)
        assert os.listdir(path.parent) == []


@pytest.mark.heavy
@pytest.mark.parametrize("criterion", ["bic", "cv", "stability"])
def test_a_resumed_model_selection_uses_the_seed_that_the_first_run_drew(criterion, rows, path, stop_at):
    parameters = {"covariance_type": ["full", "diag"], "criterion": criterion, "n_folds": 2, "tol": 1e-4, **RUNS}

    def search(seed, **more):
        return GaussianMixtureIC([3, 4], **parameters, random_state=np.random.RandomState(seed), **more)

    whole = search(5).fit(rows)
    for n_states in (2, 60, 120):
        interrupted(search(5, checkpoint=path), rows, stop_at, n_states)
        found = search(6, checkpoint=path).fit(rows)
        assert result_of(found) == result_of(whole)
        assert found.results_["log_likelihood"] == whole.results_["log_likelihood"]
        assert found.results_[criterion] == whole.results_[criterion]


def test_a_model_selection_resumes_after_candidates_that_failed(rows, path, stop_at):
    X = np.column_stack([rows, np.ones(len(rows))])  # "full" does not have covariances for this column
    parameters = {"covariance_type": ["full", "spherical"], "tol": 1e-9, "random_state": 3, **RUNS}
    with pytest.warns(RuntimeWarning, match="could not be fitted"):
        whole = GaussianMixtureIC([2], **parameters).fit(X)
    interrupted(GaussianMixtureIC([2], **parameters, checkpoint=path), X, stop_at, 5)
    with pytest.warns(RuntimeWarning, match="could not be fitted"):
        assert result_of(GaussianMixtureIC([2], **parameters, checkpoint=path).fit(X)) == result_of(whole)
    parameters["covariance_type"] = "full"
    for _ in range(2):
        with pytest.raises(ValueError, match="singular covariance"):
            GaussianMixtureIC([2], **parameters, checkpoint=path).fit(X)
        assert not path.exists()


def test_a_resumed_accelerated_fit_equals_an_uninterrupted_fit(rows, path, stop_at, monkeypatch):
    monkeypatch.setattr(Acceleration, "_is_slow", lambda _, state: state.trace.n_steps >= MIN_STEPS)
    parameters = {"acceleration": "auto", "tol": 0.0, "max_iter": 40, "random_state": 3, "init_params": "random"}
    expected = result_of(GaussianMixture(4, **parameters).fit(rows))
    assert expected != result_of(GaussianMixture(4, **{**parameters, "acceleration": None}).fit(rows))
    for n_states in range(20, 40, 3):
        interrupted(GaussianMixture(4, **parameters, checkpoint=path), rows, stop_at, n_states)
        assert result_of(GaussianMixture(4, **parameters, checkpoint=path).fit(rows)) == expected


@pytest.mark.parametrize("settings", [{"tol": 1e-3}, {"tol": 0, "max_iter": 3}])
def test_a_fit_interrupted_in_its_last_step_resumes_without_a_further_step(settings, rows, path):
    expected = GaussianMixture(4, random_state=3, **settings).fit(rows)
    steps = []

    def stop(step):
        if step.iteration == expected.n_iter_:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        GaussianMixture(4, random_state=3, callbacks=[stop], checkpoint=path, **settings).fit(rows)
    found = GaussianMixture(4, random_state=3, callbacks=[steps.append], checkpoint=path, **settings).fit(rows)
    assert result_of(found) == result_of(expected)
    assert steps == []


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize(("seed", "n_states"), [(1, 20), (1, 22), (3, 14), (3, 15)])
def test_a_resumed_trimmed_fit_with_weights_equals_an_uninterrupted_fit(seed, n_states, path, stop_at):
    """Check fits that stop before the first pass, which has no previous cutoff, and before other passes."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 2.5])
    rows[::3] += 10 * rng.normal(size=rows[::3].shape)
    weights = rng.random(400)
    settings = {"trim": 0.35, "init_params": np.arange(400) // 200, "random_state": 0, "tol": 0, "max_iter": 25}
    expected = GaussianMixture(2, **settings).fit(rows, sample_weight=weights)
    interrupted(GaussianMixture(2, **settings, checkpoint=path), rows, stop_at, n_states, sample_weight=weights)
    found = GaussianMixture(2, **settings, checkpoint=path).fit(rows, sample_weight=weights)
    assert result_of(found) == result_of(expected)
    assert found.cutoff_ == expected.cutoff_


def test_a_resumed_warm_start_equals_an_uninterrupted_warm_start(rows, path, stop_at):
    def warm():
        fitted = GaussianMixture(4, tol=1e-9, max_iter=3, init_params="kmeans", random_state=3, warm_start=True)
        return fitted.fit(rows).set_params(max_iter=9)

    expected = result_of(warm().fit(rows))
    for n_states in range(6):
        interrupted(warm().set_params(checkpoint=path), rows, stop_at, n_states)
        assert result_of(warm().set_params(checkpoint=path).fit(rows)) == expected
    interrupted(warm().set_params(checkpoint=path), rows, stop_at, 3)
    with pytest.raises(ValueError, match=r"another fit: the earlier fit differs\."):
        warm().set_params(max_iter=2).fit(rows).set_params(max_iter=9, checkpoint=path).fit(rows)


@pytest.fixture
def interrupted_fit(rows, path, stop_at):
    """Return the estimator of an interrupted fit, and its file."""
    estimator = GaussianMixture(4, tol=1e-6, max_iter=12, random_state=3, checkpoint=path, **RUNS)
    interrupted(estimator, rows, stop_at, 18)
    return estimator, path.read_bytes()


def assert_rejected(estimator, rows, path, sentence, **arguments):
    contents = path.read_bytes()
    with raises_and_keeps(estimator, ValueError, sentence) as caught:
        estimator.fit(rows, **arguments)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == contents


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"tol": 1e-5}, r"tol was 1e-06 and is 1e-05\."),
        ({"n_components": 3}, r"n_components was 4 and is 3\."),
        ({"covariance_type": "tied"}, r"covariance_type was 'full' and is 'tied'\."),
        ({"n_init": 3}, r"n_init was 2 and is 3\."),
        ({"random_state": 4}, r"random_state was 3 and is 4\."),
        ({"init_params": ["random"]}, r"init_params was \['random', 'random_from_data'\] and is \['random'\]\."),
        ({"prior": "default"}, r"prior was None and is 'default'\."),
        ({"prior": NormalInverseWishart(dof=9)}, r"prior differs\."),
        ({"means_init": np.zeros((4, 3))}, r"means_init differs\."),
        ({"init_params": np.arange(500) % 4}, r"init_params differs\."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_checkpoint_of_a_fit_with_other_parameters_is_rejected(changed, difference, interrupted_fit, rows, path):
    assert_rejected(interrupted_fit[0].set_params(**changed), rows, path, f"checkpoint of another fit: {difference}")


def test_a_checkpoint_of_a_model_selection_with_other_structures_is_rejected(rows, path, stop_at):
    search = GaussianMixtureIC([2], covariance_type=[FactorAnalyzer(1)], checkpoint=path, random_state=0, tol=0)
    interrupted(search, rows, stop_at, 2)
    search.set_params(covariance_type=[FactorAnalyzer(2)])
    assert_rejected(search, rows, path, "checkpoint of another fit: covariance_type")


def test_a_checkpoint_of_a_fit_to_other_data_is_rejected(interrupted_fit, rows, path):
    estimator, _ = interrupted_fit
    assert_rejected(estimator, rows[:-1], path, r"the shape of X was \[500, 3\] and is \[499, 3\]\.")
    assert_rejected(estimator, rows.astype("f4"), path, r"the type of X was 'float64' and is 'float32'\.")
    assert_rejected(estimator, rows[::-1], path, r"the content of X or sample_weight differs\.")
    weight = np.ones(500)
    assert_rejected(estimator, rows, path, r"number and maximum of the weights", sample_weight=2 * weight)
    assert_rejected(estimator, rows, path, r"the content of labels differs\.", labels=np.r_[0, np.full(499, -1)])


def test_threads_and_verbosity_may_change_before_a_fit_resumes(interrupted_fit, rows):
    estimator, _ = interrupted_fit
    again = GaussianMixture(**{**estimator.get_params(), "checkpoint": None}).fit(rows)
    estimator.set_params(n_jobs=2, verbose=0, verbose_interval=3)
    assert result_of(estimator.fit(rows)) == result_of(again)


def test_a_fit_resumes_from_equal_parameters_in_an_object_array(rows, path, stop_at):
    def estimator(first):
        means = [[Decimal(f"{first}.{k}{j}") for j in range(3)] for k in range(4)]
        return GaussianMixture(4, means_init=means, tol=0, max_iter=9, random_state=3, checkpoint=path)

    expected = result_of(estimator(1).set_params(checkpoint=None).fit(rows))
    interrupted(estimator(1), rows, stop_at, 3)
    assert_rejected(estimator(2), rows, path, r"checkpoint of another fit: means_init differs\.")
    assert result_of(estimator(1).fit(rows)) == expected


def test_a_checkpoint_is_not_loaded_as_a_model(path, interrupted_fit):
    for load in gaussmix.load, GaussianMixture.load, gaussmix.Mixture.load, gaussmix.Mixtures.load:
        with pytest.raises(
            gaussmix.InvalidModelFileError, match=r"fit\.ckpt is not .*: it is the checkpoint of a fit,"
        ):
            load(path)


def test_damaged_checkpoints_are_rejected(interrupted_fit, rows, path, rng):
    estimator, contents = interrupted_fit
    not_usable = r"is not a usable checkpoint: .*Remove the file to start again, or pass another path\."
    for length in [0, 5, 200, *rng.integers(len(contents), size=5).tolist()]:
        path.write_bytes(contents[:length])
        assert_rejected(estimator, rows, path, not_usable)
    for index in rng.integers(len(contents), size=20):
        altered = bytearray(contents)
        altered[index] ^= 1 << int(rng.integers(8))
        path.write_bytes(altered)
        assert_rejected(estimator, rows, path, not_usable)
    estimator.__class__(2, random_state=0).fit(rows).save(path)
    assert_rejected(estimator, rows, path, not_usable)
    path.write_bytes(contents)
    estimator.fit(rows)


WRONG = [None, True, -1, 10**400, 99, 0.5, "EMPTY", [], [[0]], [[0, "EMPTY"]], [["a", 1, 2, 3, 4]], {}, {"state": 3}]


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("key", ["version", "identity", "fits", "number", "generator", "state", "best", "ends", "key"])
def test_invalid_headers_with_a_valid_checksum_are_rejected_or_read(key, interrupted_fit, rows, path):
    estimator, contents = interrupted_fit
    header, tensors = unpack(io.BytesIO(contents), files.CHECKPOINT_FORMAT)
    is_of_fit = key in header["fits"][0]
    original = header["fits"][0] if is_of_fit else header
    paths = [(key,), *((key, inner) for inner in (original[key] if isinstance(original.get(key), dict) else ()))]
    messages = []
    for keys, value in product(paths, WRONG):
        changed = copy.deepcopy(header)
        section = changed["fits"][0] if is_of_fit else changed
        (section[key] if len(keys) == 2 else section)[keys[-1]] = value
        path.write_bytes(pack(changed, tensors))
        try:
            estimator.fit(rows)
        except ValueError as error:
            messages.append(str(error))
    assert messages
    sentences = "is not a usable checkpoint: ", "is the checkpoint of another fit: "
    assert all(any(sentence in message for sentence in sentences) for message in messages)


def test_invalid_arrays_with_a_valid_checksum_are_rejected_or_read(interrupted_fit, rows, path):
    estimator, contents = interrupted_fit
    header, tensors = unpack(io.BytesIO(contents), files.CHECKPOINT_FORMAT)
    messages = []
    for name in tensors:
        for values in (np.empty(0), np.array([np.nan]), -np.ones((1, 2)), None):
            changed = {**tensors, name: values}
            if values is None:
                del changed[name]
            if name.endswith("log_likelihood") and values is not None and not values.size:
                changed[name.replace("log_likelihood", "objective")] = values
            path.write_bytes(pack(header, changed))
            try:
                estimator.fit(rows)
            except ValueError as error:
                messages.append(str(error))
    assert messages
    assert all("is not a usable checkpoint: " in message for message in messages)


def test_a_checkpoint_that_is_not_the_path_of_a_local_file_is_rejected(rows, tmp_path):
    with pytest.raises(ValueError, match="is not a regular file"):
        GaussianMixture(checkpoint=tmp_path).fit(rows)
    with pytest.raises(FileNotFoundError, match="folder of the checkpoint does not exist"):
        GaussianMixture(checkpoint=tmp_path / "none" / "fit.ckpt").fit(rows)
    with pytest.raises(FileNotFoundError, match=r"can be read from URLs; give a local path: 's3://bucket/fit"):
        GaussianMixture(checkpoint="s3://bucket/fit.ckpt").fit(rows)
    for value in (3, "", True):
        with pytest.raises(TypeError, match=r"checkpoint must be the path of a file or None, not"):
            GaussianMixture(checkpoint=value).fit(rows)


def raise_disk_full(path):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


class ImmediateThread(Thread):
    """Thread that runs its target in `start`, because on a busy machine a fit may end before another thread runs."""

    start = Thread.run

    def join(self, timeout=None):
        pass


def test_a_fit_warns_once_of_a_full_disk_and_continues(rows, path, stop_at, monkeypatch):
    stop_at(None)
    monkeypatch.setattr(checkpoints, "Thread", ImmediateThread)
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_WRITES", -1.0)
    monkeypatch.setattr("gaussmix._src.formats.files.whole_file", raise_disk_full)
    parameters = {"tol": 1e-9, "max_iter": 20, "random_state": 3, **RUNS}
    with pytest.warns(RuntimeWarning) as caught:
        found = GaussianMixture(4, **parameters, checkpoint=path).fit(rows)
    sentences = [str(each.message) for each in caught if each.category is RuntimeWarning]
    assert sentences == [f"{path} can't be written: No space left on device. The fit continues without a checkpoint."]
    assert result_of(found) == result_of(GaussianMixture(4, **parameters).fit(rows))


def test_a_full_disk_keeps_the_last_checkpoint_unchanged(interrupted_fit, rows, path, stop_at, monkeypatch):
    estimator, contents = interrupted_fit
    with monkeypatch.context() as patch:
        patch.setattr("gaussmix._src.formats.files.whole_file", raise_disk_full)
        stop_at(5)
        with pytest.raises(Stop) as caught:
            estimator.fit(rows)
        assert caught.value.__notes__ == [f"{path} can't be written: No space left on device."]
    assert path.read_bytes() == contents
    assert not hasattr(estimator, "mixture_")


def test_a_fit_that_is_stopped_before_its_first_step_leaves_no_file(rows, path):
    def stop(X, n_components, rng):
        raise Stop

    with pytest.raises(Stop):
        GaussianMixture(4, init_params=stop, checkpoint=path).fit(rows)
    assert not path.exists()


def test_a_fit_that_fails_leaves_no_file(path):
    rows = np.repeat([[0.0, 0.0], [1.0, 1.0]], 5, axis=0)
    estimator = GaussianMixture(2, reg_covar=0, random_state=0, checkpoint=path, **RUNS)
    with pytest.raises(gaussmix.SingularCovarianceError):
        estimator.fit(rows)
    assert not path.exists()


def test_temporary_files_of_a_killed_process_are_removed(rows, path):
    temporary = path.with_name(f".fit.ckpt.{'a1' * 8}.tmp")
    others = [path.with_name(name) for name in (f".fit.ckpt.b.{'a1' * 8}.tmp", f".other.{'a1' * 8}.tmp", "fit.ckpt.2")]
    for each in (temporary, *others):
        each.write_bytes(b"half")
    GaussianMixture(2, random_state=0, checkpoint=path).fit(rows)
    assert sorted(path.parent.iterdir()) == sorted(others)
    with whole_file(path):  # creates a temporary file with a name like that of `temporary`
        (unfinished,) = set(path.parent.iterdir()) - set(others)
        remove_unfinished(path)
        assert not unfinished.exists()
        unfinished.write_bytes(b"whole")


def test_save_stores_the_checkpoint_parameter(rows, path, tmp_path):
    fitted = GaussianMixture(2, random_state=0, checkpoint=path).fit(rows)
    fitted.save(tmp_path / "m.gmm")
    assert GaussianMixture.load(tmp_path / "m.gmm").checkpoint == str(path)


def test_a_checkpoint_is_written_at_the_end_of_each_n_init_run(rows, path, monkeypatch):
    """Check that a checkpoint is written after each run, even if runs are too short to write one earlier."""
    written = []
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_WRITES", np.inf)
    monkeypatch.setattr(checkpoints.Checkpoint, "_write_async", lambda made: written.append(made._record().fits[""]))
    GaussianMixture(4, init_params="random", n_init=3, random_state=3, checkpoint=path).fit(rows)
    assert [(record.n_done, len(record.ends), record.state) for record in written] == [(1, 1, None), (2, 2, None)]
