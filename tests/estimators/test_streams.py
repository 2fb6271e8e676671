"""`partial_fit`: the result depends on the rows, and not on how calls cut them."""

import copy
import pickle
import re
from dataclasses import replace
from math import exp, log

import numpy as np
import pandas as pd
import pytest
from common import LEAF_ROWS, reloaded
from many_blocks import ManyBlocks
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from gaussmix import FAMILIES, Dirichlet, ForgettingRate, GaussianMixture, InvalidModelFileError, Restrictions
from gaussmix._src.em.step.online import STEP_ROWS
from gaussmix._src.estimators.base import make_details
from gaussmix._src.formats import model_file
from gaussmix.extend import LowRank

N_ROWS = LEAF_ROWS + 3 * STEP_ROWS + 77
STREAMED = sorted(name for name, family in FAMILIES.items() if family.kind is not LowRank)
FEW = ["full", "diag", "spherical", "EEI", "VEV"]
ATTRIBUTES = ["weights_", "means_", "covariances_", "lower_bound_", "lower_bounds_", "n_iter_", "n_samples_seen_"]

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")


def streamed(**parameters):
    return GaussianMixture(**{"n_components": 2, "random_state": 0, "max_iter": 4, **parameters})


def rows_of(rng, n_rows=N_ROWS, dtype=np.float64):
    centres = np.array([[-2.0, 0.0], [2.0, 1.0]])
    return (centres[rng.integers(2, size=n_rows)] + rng.normal(size=(n_rows, 2))).astype(dtype)


def assert_same(one, other):
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "dtype", "weighted"),
    [
        ("full", np.float32, False),
        ("tied", np.float32, True),
        *((name, np.float64, True) for name in FEW),
        *(pytest.param(name, np.float64, True, marks=pytest.mark.heavy) for name in sorted({*STREAMED} - {*FEW})),
    ],
)
def test_cuts_looks_and_files_change_no_bit(name, dtype, weighted, rng):
    rows = rows_of(rng, dtype=dtype)
    weight = rng.integers(0, 3, N_ROWS).astype(float) if weighted else None
    whole = streamed(covariance_type=name).partial_fit(rows, sample_weight=weight)
    cut = streamed(covariance_type=name)
    ends = [3, *np.sort(rng.integers(3, N_ROWS, 6)), N_ROWS]
    for number, (first, end) in enumerate(zip([0, *ends], ends, strict=False)):
        if first == end:
            continue
        part = np.asfortranarray(rows[first:end]) if number % 2 else rows[first:end].copy()
        cut.partial_fit(part, sample_weight=None if weight is None else weight[first:end])
        part[:] = np.nan  # the estimator holds a copy, so that changing the array has no effect
        if number in (1, 6):
            cut = reloaded(cut)
    assert cut.means_.dtype == dtype
    assert_same(cut, whole)


def test_single_rows_are_a_stream(rng):
    rows = rows_of(rng, 200)
    one_by_one = streamed()
    for row in rows:
        one_by_one.partial_fit(row[None])
    assert_same(one_by_one, streamed().partial_fit(rows))


@pytest.mark.parametrize("n_rows", [50, LEAF_ROWS, LEAF_ROWS + STEP_ROWS - 1])
def test_the_first_rows_are_fitted_as_by_fit(n_rows, rng):
    rows, weight = rows_of(rng, n_rows), rng.uniform(0.5, 2.0, n_rows)
    stream = streamed(warm_start=True).partial_fit(rows[:30], sample_weight=weight[:30])
    assert stream.n_iter_ > 0  # a preview, from which the next fit does not continue
    stream.partial_fit(rows[30:], sample_weight=weight[30:])
    expected = streamed().fit(rows[:LEAF_ROWS], sample_weight=weight[:LEAF_ROWS])
    for name in ATTRIBUTES[:-1]:
        np.testing.assert_array_equal(getattr(stream, name), getattr(expected, name), err_msg=name)
    assert stream.n_samples_seen_ == n_rows


def test_a_look_does_not_move_the_seed(rng):
    rows = rows_of(rng, 300)
    looked_at, other = (streamed(random_state=np.random.RandomState(5), init_params="random") for _ in range(2))
    for part in np.split(rows, 3):
        assert looked_at.partial_fit(part).weights_.sum() == pytest.approx(1)
        other.partial_fit(part)
    assert_same(looked_at, other)


@pytest.mark.parametrize("forgetting", [None, 20_000])
@pytest.mark.parametrize("weight", [1.0, 3.5])
def test_a_step_counts_by_its_weight(weight, forgetting, rng):
    rows = rows_of(rng, LEAF_ROWS + 2 * STEP_ROWS)
    rows[LEAF_ROWS:] += 5
    row_weight = np.where(np.arange(len(rows)) < LEAF_ROWS, 1.0, weight)
    stream = streamed(n_components=1, forgetting=ForgettingRate(0.6, forgetting))
    stream.partial_fit(rows, sample_weight=row_weight)
    mean, seen = rows[:LEAF_ROWS].mean(axis=0), 1.0
    for part in np.split(rows[LEAF_ROWS:], 2):
        seen += weight
        kept = 1 - seen**-0.6
        if forgetting is not None:
            kept = min(kept, 2 ** (-STEP_ROWS / forgetting))
        kept = kept**weight
        mean = kept * mean + (1 - kept) * part.mean(axis=0)
    np.testing.assert_allclose(stream.means_[0], mean, rtol=1e-10)


@pytest.mark.parametrize(
    ("given", "kind", "sentence"),
    [
        ({"decay": 0.5}, ValueError, "decay=0.5 must be a number above 0.5 and at most 1"),
        ({"decay": "fast"}, TypeError, "decay must be a number, not 'fast'"),
        ({"half_life": 100}, ValueError, "half_life=100 must be None or at least 5040"),
        ({"half_life": True}, TypeError, "half_life must be a number, not True"),
    ],
)
def test_invalid_forgetting_rates_are_refused(given, kind, sentence):
    with pytest.raises(kind, match=sentence):
        ForgettingRate(**given)


def test_half_of_the_past_is_left_after_a_half_life():
    rate, n_steps = ForgettingRate(1.0, 10 * STEP_ROWS), 10
    kept = sum(rate.log_decay_factor(1e6 + step, 1.0) for step in range(n_steps))
    assert exp(kept) == pytest.approx(0.5)
    assert rate.log_decay_factor(1e6, 10.0) == pytest.approx(-log(2))


def test_rows_of_weight_0_leave_no_trace(rng):
    rows, weight = rows_of(rng), rng.integers(0, 3, N_ROWS).astype(float)
    rows[weight == 0] *= 1e6
    found = streamed().partial_fit(rows, sample_weight=weight).partial_fit(rows[:10], sample_weight=np.zeros(10))
    assert found.n_samples_seen_ == N_ROWS + 10
    expected = streamed().partial_fit(rows[weight > 0], sample_weight=weight[weight > 0])
    np.testing.assert_array_equal(found.means_, expected.means_)


@pytest.mark.heavy
def test_one_pass_is_near_the_maximum(rng):
    n_components, n_rows = 4, 300_000
    centres = rng.normal(0, 2, size=(n_components, 2))
    rows = centres[rng.integers(n_components, size=n_rows)] + rng.normal(size=(n_rows, 2))
    stream = streamed(n_components=n_components, tol=1e-6, max_iter=1000)
    for part in np.split(rows, 40):
        stream.partial_fit(part)
    best = streamed(n_components=n_components, tol=1e-7, max_iter=2000, means_init=stream.means_).fit(rows)
    assert stream.score(rows) > best.score(rows) - 1e-3
    assert stream.lower_bound_ == pytest.approx(stream.score(rows), abs=0.02)


def test_a_drift_is_followed_if_the_past_is_forgotten(rng):
    rows = rows_of(rng, LEAF_ROWS + 30 * STEP_ROWS)
    rows += np.maximum(np.arange(len(rows)) - LEAF_ROWS, 0)[:, None] / 50_000
    forgetful = streamed(forgetting=2 * STEP_ROWS).partial_fit(rows)
    mindful = streamed(forgetting=ForgettingRate(decay=1)).partial_fit(rows)
    assert forgetful.score(rows[-STEP_ROWS:]) > mindful.score(rows[-STEP_ROWS:]) + 0.5


def test_a_step_forgets_what_is_of_the_first_rows_alone(rng):
    rows = rows_of(rng)
    stream = streamed().partial_fit(rows[:LEAF_ROWS])
    assert stream.outcome_.traces
    stream.partial_fit(rows[LEAF_ROWS:])
    assert stream.outcome_.reason == "Online steps followed the fit to the first rows."
    assert (stream.outcome_.rate, stream.outcome_.traces) == (None, [])
    assert stream._fitted.row_summary is None


def test_fit_forgets_the_stream(rng):
    rows = rows_of(rng)
    stream = streamed().partial_fit(rows).fit(rows[:100])
    with pytest.raises(AttributeError, match="no attribute 'n_samples_seen_'"):
        _ = stream.n_samples_seen_
    np.testing.assert_array_equal(stream.means_, streamed().fit(rows[:100]).means_)
    assert_same(stream.partial_fit(rows[:400]), streamed().partial_fit(rows[:400]))
    np.testing.assert_array_equal(reloaded(streamed().fit(rows)).partial_fit(rows[:90]).n_samples_seen_, 90)
    assert not hasattr(clone(stream), "n_samples_seen_")


def test_tables_sources_and_names(rng):
    rows = rows_of(rng)
    expected = streamed().partial_fit(rows)
    frame = pd.DataFrame(rows, columns=["u", "v"])
    named = streamed().partial_fit(frame[:1000]).partial_fit(frame[1000:])
    assert_same(named, expected)
    assert list(named.feature_names_in_) == ["u", "v"] == list(named.mixture_.feature_names)
    with pytest.raises(ValueError, match="feature names should match"):
        named.partial_fit(frame.rename(columns={"u": "w"}))
    assert_same(streamed().partial_fit(ManyBlocks(rows)), expected)


WRONG = {
    "features": ({}, lambda rows: rows[:, :1], "X has 1 features, but GaussianMixture is expecting 2 features"),
    "a number": ({}, lambda rows: np.where(rows == rows[7, 1], np.nan, rows), "contains NaN: row 7, column 1"),
    "too large": ({}, lambda rows: 1e153 * rows, "Its square overflows"),
    "size": ({"n_components": 3}, lambda rows: rows, "n_components=3 and covariance_type='full' differ from the"),
    "structure": ({"covariance_type": "diag"}, lambda rows: rows, "covariance_type='diag' differ from the values"),
    "half-life": ({"forgetting": 100}, lambda rows: rows, "a ForgettingRate, or a number of rows of at least 5040"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_call_that_fails_changes_nothing(what, rng):
    parameters, change, sentence = WRONG[what]
    rows = rows_of(rng)
    stream, cut = streamed().partial_fit(rows[: LEAF_ROWS + 10]), LEAF_ROWS + 10
    before = dict(vars(stream))
    stream.set_params(**parameters)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        stream.partial_fit(change(rows[cut:]))
    stream.set_params(**streamed().get_params())
    assert vars(stream) == before
    assert_same(stream.partial_fit(rows[cut:]), streamed().partial_fit(rows))


@pytest.mark.parametrize("n_rows", [200, N_ROWS])
def test_a_mixture_that_was_changed_begins_a_new_stream(n_rows, rng):
    rows = rows_of(rng, n_rows)
    stream = streamed().partial_fit(rows)
    stream.means_ += 9
    assert stream.score(rows + 9) == pytest.approx(streamed().partial_fit(rows).score(rows))
    assert not hasattr(stream, "n_samples_seen_")
    stream.means_[0] = 99
    stream.partial_fit(rows[:100])
    assert_same(stream, streamed().partial_fit(rows[:100]))


def test_a_stream_that_waits_is_copied_without_a_fit(rng):
    stream = streamed(n_components=3).partial_fit(rows_of(rng, 2))
    woken = pickle.loads(pickle.dumps(stream))
    assert woken.n_samples_seen_ == copy.deepcopy(stream).n_samples_seen_ == 2
    assert not hasattr(woken, "mixture_")


def test_float64_after_float32_is_refused(rng):
    rows = rows_of(rng, 100)
    with pytest.raises(ValueError, match="X is float64, but the stream began with float32"):
        streamed().partial_fit(rows.astype(np.float32)).partial_fit(rows)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"covariance_type": "factor_analyzer"}, "covariance_type='factor_analyzer'"),
        ({"prior": "default"}, "prior"),
        ({"prior": Dirichlet(2)}, "prior"),
        ({"restrictions": Restrictions(equal_weights=True)}, "restrictions"),
        ({"noise": True}, "noise"),
        ({"trim": 0.1}, "trim"),
        ({"weight_type": "precision"}, "weight_type='precision'"),
        ({"degenerate": "drop"}, "degenerate"),
    ],
    ids=str,
)
def test_options_that_partial_fit_does_not_support_are_named(given, named, rng):
    stream = streamed(**given)
    with pytest.raises(ValueError, match=f"partial_fit does not support {named}"):
        stream.partial_fit(rows_of(rng, 100))
    assert vars(stream) == vars(streamed(**given))


def test_a_parameter_is_checked_before_rows_are_held(rng):
    with pytest.raises(ValueError, match="n_components=0"):
        streamed(n_components=0).partial_fit(rows_of(rng, 100))
    with pytest.raises(TypeError, match=r"forgetting must be a number ≥ 0 \(rows\), None or a ForgettingRate"):
        streamed(forgetting="never").fit(rows_of(rng, 100))


@pytest.mark.parametrize(
    ("n_components", "sentence"),
    [
        (3, "has seen 2 rows of positive weight, fewer than n_components=3"),
        (1, "has seen 1 row of positive weight, fewer than the 2 rows that a fit needs"),
    ],
)
def test_too_few_rows_for_a_fit_are_held_until_more_come(n_components, sentence, rng):
    rows, n_few = rows_of(rng, 50), max(n_components, 2) - 1
    stream = streamed(n_components=n_components).partial_fit(rows[:n_few])
    assert not hasattr(stream, "mixture_")
    with pytest.raises(NotFittedError, match=sentence):
        stream.predict(rows)
    assert_same(stream.partial_fit(rows[n_few:]), streamed(n_components=n_components).partial_fit(rows))


def test_a_component_that_no_row_belongs_to_any_more_stays_and_is_named(rng):
    rows = rows_of(rng)
    stream = streamed(forgetting=STEP_ROWS).partial_fit(rows[:LEAF_ROWS])
    left = int(stream.means_[:, 0].argmin())
    with pytest.warns(RuntimeWarning, match=rf"[Cc]omponent {left} lost its mass"):
        stream.partial_fit(np.array([30.0, 0.0]) + np.abs(np.tile(rows[:STEP_ROWS], (60, 1))))
    assert np.isfinite(stream.score(rows))


DAMAGE = {
    "no number of rows": {},
    "a row is missing": {"weight": lambda weight: weight[1:]},
    "no weight": {"weight": lambda weight: 0 * weight},
    "not finite": {"first": lambda first: "NaN"},
    "another size": {"mass": lambda mass: mass[:1]},
    "negative": {"mass": lambda mass: -mass},
    "a clock before the beginning": {"seen": lambda seen: 0.5},
    "another type": {"dtype": lambda dtype: "int64"},
    "no seed": {"seed": lambda seed: None},
    "too many rows": {"rows": lambda rows: np.tile(rows, (100, 1)), "weight": lambda weight: np.tile(weight, 100)},
}


@pytest.mark.heavy(but=9)
@pytest.mark.parametrize("what", DAMAGE)
def test_a_stream_that_contradicts_its_mixture_is_not_loaded(what, rng, tmp_path):
    stream, changes = streamed().partial_fit(rows_of(rng)), DAMAGE[what]
    details = make_details(stream)
    table = {name: changes.get(name, lambda same: same)(cell) for name, (cell,) in stream._stream.to_table().items()}
    plain = {"table": [[name, [_plain(cell)]] for name, cell in table.items()]}
    attributes = {**details.estimator.attributes, "_stream_table": plain}
    if not changes:
        del attributes["n_samples_seen_"]
    estimator = replace(details.estimator, attributes=attributes)
    model_file.write(tmp_path / "stream.gmm", stream.mixture_._model, replace(details, estimator=estimator))
    with pytest.raises(InvalidModelFileError, match="the file's '_stream_table' does not match the file's mixture"):
        GaussianMixture.load(tmp_path / "stream.gmm")


def _plain(cell):
    return {"array": cell.tolist(), "dtype": cell.dtype.name} if isinstance(cell, np.ndarray) else cell
