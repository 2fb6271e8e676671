"""Tests of `partial_fit`: its result depends on the rows, but not on their division into batches."""

import copy
import pickle
import re
from dataclasses import replace
from math import exp, log

import numpy as np
import pandas as pd
import pytest
from common import LEAF_ROWS, reloaded
from every_engine import to_strict
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
COMMON = ["full", "diag", "spherical", "EEI", "VEV"]
ATTRIBUTES = ["weights_", "means_", "covariances_", "lower_bound_", "lower_bounds_", "n_iter_", "n_samples_seen_"]

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")


def streamed(**parameters):
    return GaussianMixture(**{"n_components": 2, "random_state": 0, "max_iter": 4, **parameters})


def rows_of(rng, n_rows=N_ROWS, dtype=np.float64):
    centres = np.array([[-2.0, 0.0], [2.0, 1.0]])
    return (centres[rng.integers(2, size=n_rows)] + rng.normal(size=(n_rows, 2))).astype(dtype)


def assert_same(actual, expected):
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name), err_msg=name)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "dtype", "weighted"),
    [
        ("full", np.float32, False),
        ("tied", np.float32, True),
        *((name, np.float64, True) for name in COMMON),
        *(pytest.param(name, np.float64, True, marks=pytest.mark.heavy) for name in sorted({*STREAMED} - {*COMMON})),
    ],
)
def test_batches_and_reloading_do_not_change_the_result_of_partial_fit(name, dtype, weighted, rng):
    rows = rows_of(rng, dtype=dtype)
    weight = rng.integers(0, 3, N_ROWS).astype(float) if weighted else None
    single_call = streamed(covariance_type=name).partial_fit(rows, sample_weight=weight)
    in_batches = streamed(covariance_type=name)
    ends = [3, *np.sort(rng.integers(3, N_ROWS, 6)), N_ROWS]
    for index, (first, end) in enumerate(zip([0, *ends], ends, strict=False)):
        if first == end:
            continue
        batch = np.asfortranarray(rows[first:end]) if index % 2 else rows[first:end].copy()
        in_batches.partial_fit(batch, sample_weight=None if weight is None else weight[first:end])
        batch[:] = np.nan  # has no effect, because the estimator stores a copy
        if index in (1, 6):
            in_batches = reloaded(in_batches)
    assert in_batches.means_.dtype == dtype
    assert_same(in_batches, single_call)


def test_partial_fit_accepts_single_rows(rng):
    rows = rows_of(rng, 200)
    one_by_one = streamed()
    for row in rows:
        one_by_one.partial_fit(row[None])
    assert_same(one_by_one, streamed().partial_fit(rows))


@pytest.mark.parametrize("n_rows", [50, LEAF_ROWS, LEAF_ROWS + STEP_ROWS - 1])
def test_partial_fit_fits_the_first_rows_as_fit_does(n_rows, rng):
    rows, weight = rows_of(rng, n_rows), rng.uniform(0.5, 2.0, n_rows)
    stream = streamed(warm_start=True).partial_fit(rows[:30], sample_weight=weight[:30])
    assert stream.n_iter_ > 0  # reading an attribute fits the first rows, but the next fit does not continue from it
    stream.partial_fit(rows[30:], sample_weight=weight[30:])
    expected = streamed().fit(rows[:LEAF_ROWS], sample_weight=weight[:LEAF_ROWS])
    for name in ATTRIBUTES[:-1]:
        np.testing.assert_array_equal(getattr(stream, name), getattr(expected, name), err_msg=name)
    assert stream.n_samples_seen_ == n_rows


def test_reading_attributes_does_not_advance_the_random_state(rng):
    rows = rows_of(rng, 300)
    inspected, not_inspected = (streamed(random_state=np.random.RandomState(5), init_params="random") for _ in range(2))
    for batch in np.split(rows, 3):
        assert inspected.partial_fit(batch).weights_.sum() == pytest.approx(1)
        not_inspected.partial_fit(batch)
    assert_same(inspected, not_inspected)


@pytest.mark.parametrize("forgetting", [None, 20_000])
@pytest.mark.parametrize(("weight", "unit"), [(1.0, 1.0), (3.5, 1.0), (3.5, 1e3)])
def test_an_online_step_is_weighted_by_its_sample_weight(weight, unit, forgetting, rng):
    rows = rows_of(rng, LEAF_ROWS + 2 * STEP_ROWS)
    rows[LEAF_ROWS:] += 5
    row_weight = np.where(np.arange(len(rows)) < LEAF_ROWS, 1.0, weight)
    stream = streamed(n_components=1, forgetting=ForgettingRate(0.6, forgetting))
    stream.partial_fit(rows, sample_weight=unit * row_weight)
    mean, seen = rows[:LEAF_ROWS].mean(axis=0), 1.0
    for batch in np.split(rows[LEAF_ROWS:], 2):
        seen += weight
        retention = 1 - seen**-0.6
        if forgetting is not None:
            retention = min(retention, 2 ** (-STEP_ROWS / forgetting))
        retention = retention**weight
        mean = retention * mean + (1 - retention) * batch.mean(axis=0)
    np.testing.assert_allclose(stream.means_[0], mean, rtol=1e-10)
    assert stream.summary().components["size"][0] == pytest.approx(unit * row_weight.sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"decay": 0.5}, ValueError, "decay=0.5 must be a number above 0.5 and at most 1"),
        ({"decay": "fast"}, TypeError, "decay must be a number, not 'fast'"),
        ({"half_life": 100}, ValueError, "half_life=100 must be None or at least 5040"),
        ({"half_life": True}, TypeError, "half_life must be a number, not True"),
    ],
)
def test_invalid_arguments_of_forgetting_rate_are_rejected(parameters, error, message):
    with pytest.raises(error, match=message):
        ForgettingRate(**parameters)


def test_past_rows_have_half_of_their_weight_after_a_half_life():
    rate, n_steps = ForgettingRate(1.0, 10 * STEP_ROWS), 10
    log_retention = sum(rate.log_decay_factor(1e6 + step, 1.0) for step in range(n_steps))
    assert exp(log_retention) == pytest.approx(0.5)
    assert rate.log_decay_factor(1e6, 10.0) == pytest.approx(-log(2))


def test_partial_fit_ignores_rows_of_weight_0(rng):
    rows, weight = rows_of(rng), rng.integers(0, 3, N_ROWS).astype(float)
    rows[weight == 0] *= 1e6
    estimator = streamed().partial_fit(rows, sample_weight=weight).partial_fit(rows[:10], sample_weight=np.zeros(10))
    assert estimator.n_samples_seen_ == N_ROWS + 10
    expected = streamed().partial_fit(rows[weight > 0], sample_weight=weight[weight > 0])
    np.testing.assert_array_equal(estimator.means_, expected.means_)


@pytest.mark.heavy
def test_one_pass_of_partial_fit_nearly_reaches_the_maximum(rng):
    n_components, n_rows = 4, 300_000
    centres = rng.normal(0, 2, size=(n_components, 2))
    rows = centres[rng.integers(n_components, size=n_rows)] + rng.normal(size=(n_rows, 2))
    stream = streamed(n_components=n_components, tol=1e-6, max_iter=1000)
    for batch in np.split(rows, 40):
        stream.partial_fit(batch)
    batch_fit = streamed(n_components=n_components, tol=1e-7, max_iter=2000, means_init=stream.means_).fit(rows)
    assert stream.score(rows) > batch_fit.score(rows) - 1e-3
    assert stream.lower_bound_ == pytest.approx(stream.score(rows), abs=0.02)


def test_partial_fit_with_forgetting_follows_a_drift(rng):
    rows = rows_of(rng, LEAF_ROWS + 30 * STEP_ROWS)
    rows += np.maximum(np.arange(len(rows)) - LEAF_ROWS, 0)[:, None] / 50_000
    with_forgetting = streamed(forgetting=2 * STEP_ROWS).partial_fit(rows)
    without_forgetting = streamed(forgetting=ForgettingRate(decay=1)).partial_fit(rows)
    assert with_forgetting.score(rows[-STEP_ROWS:]) > without_forgetting.score(rows[-STEP_ROWS:]) + 0.5


def test_online_steps_discard_the_trace_of_the_first_fit(rng):
    rows = rows_of(rng)
    stream = streamed().partial_fit(rows[:LEAF_ROWS])
    assert stream.outcome_.traces
    stream.partial_fit(rows[LEAF_ROWS:])
    assert stream.outcome_.reason == "Online steps followed the fit to the first rows."
    assert (stream.outcome_.rate, stream.outcome_.traces) == (None, [])
    assert stream._fitted.row_summary is None


def test_fit_discards_the_state_of_partial_fit(rng):
    rows = rows_of(rng)
    stream = streamed().partial_fit(rows).fit(rows[:100])
    with pytest.raises(AttributeError, match="no attribute 'n_samples_seen_'"):
        _ = stream.n_samples_seen_
    np.testing.assert_array_equal(stream.means_, streamed().fit(rows[:100]).means_)
    fitted = reloaded(streamed().fit(rows))
    with pytest.warns(RuntimeWarning, match="partial_fit begins a new stream and replaces the mixture"):
        assert_same(stream.partial_fit(rows[:400]), streamed().partial_fit(rows[:400]))
    with pytest.warns(RuntimeWarning, match="pass them to partial_fit first"):
        np.testing.assert_array_equal(fitted.partial_fit(rows[:90]).n_samples_seen_, 90)
    assert not hasattr(clone(stream), "n_samples_seen_")


def test_partial_fit_accepts_data_frames_and_sources(rng):
    rows = rows_of(rng)
    expected = streamed().partial_fit(rows)
    frame = pd.DataFrame(rows, columns=["u", "v"])
    with_names = streamed().partial_fit(frame[:1000]).partial_fit(frame[1000:])
    assert_same(with_names, expected)
    assert list(with_names.feature_names_in_) == ["u", "v"] == list(with_names.mixture_.feature_names)
    with pytest.raises(ValueError, match="feature names should match"):
        with_names.partial_fit(frame.rename(columns={"u": "w"}))
    assert_same(streamed().partial_fit(ManyBlocks(rows)), expected)


INVALID = {
    "features": ({}, lambda rows: rows[:, :1], "X has 1 features, but GaussianMixture is expecting 2 features"),
    "a number": ({}, lambda rows: np.where(rows == rows[7, 1], np.nan, rows), "contains NaN: row 7, column 1"),
    "too large": ({}, lambda rows: 1e153 * rows, "Its square overflows"),
    "size": ({"n_components": 3}, lambda rows: rows, "n_components=3 and covariance_type='full' differ from the"),
    "structure": ({"covariance_type": "diag"}, lambda rows: rows, "covariance_type='diag' differ from the values"),
    "half-life": ({"forgetting": 100}, lambda rows: rows, "a ForgettingRate, or a number of rows of at least 5040"),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_failed_partial_fit_leaves_the_estimator_unchanged(case, rng):
    parameters, transform, message = INVALID[case]
    rows = rows_of(rng)
    stream, n_first = streamed().partial_fit(rows[: LEAF_ROWS + 10]), LEAF_ROWS + 10
    before = dict(vars(stream))
    stream.set_params(**parameters)
    with pytest.raises(ValueError, match=re.escape(message)):
        stream.partial_fit(transform(rows[n_first:]))
    stream.set_params(**streamed().get_params())
    assert vars(stream) == before
    assert_same(stream.partial_fit(rows[n_first:]), streamed().partial_fit(rows))


@pytest.mark.parametrize("n_rows", [200, N_ROWS])
def test_partial_fit_starts_again_after_the_mixture_was_changed(n_rows, rng):
    rows = rows_of(rng, n_rows)
    stream = streamed().partial_fit(rows)
    stream.means_ += 9
    assert stream.score(rows + 9) == pytest.approx(streamed().partial_fit(rows).score(rows))
    assert not hasattr(stream, "n_samples_seen_")
    stream.means_[0] = 99
    with pytest.warns(RuntimeWarning, match="partial_fit begins a new stream"):
        stream.partial_fit(rows[:100])
    assert_same(stream, streamed().partial_fit(rows[:100]))


def test_an_estimator_with_too_few_rows_for_a_fit_can_be_copied(rng):
    stream = streamed(n_components=3).partial_fit(rows_of(rng, 2))
    unpickled = pickle.loads(pickle.dumps(stream))
    assert unpickled.n_samples_seen_ == copy.deepcopy(stream).n_samples_seen_ == 2
    assert not hasattr(unpickled, "mixture_")


@pytest.mark.parametrize("convert", [np.asarray, np.ndarray.tolist, pd.DataFrame, to_strict])
def test_partial_fit_rejects_integers_that_a_double_cannot_distinguish(convert, rng):
    X = (100 * rows_of(rng, 60)).astype(np.int64)
    ids = X + np.array([0, 2**60])
    gm = streamed()
    for first in range(0, 60, 20):  # a call may have too few rows to judge the range of a column
        gm.partial_fit(convert(ids[first : first + 20]))
    with pytest.raises(ValueError, match=r"column '?\D*1'?.*integers of size 1\.15e\+18 that differ by at most \d+:"):
        _ = gm.means_
    spread = X * 2**50
    assert_same(streamed().partial_fit(convert(spread)), streamed().partial_fit(spread.astype(float)))


def test_partial_fit_rejects_float64_after_float32(rng):
    rows = rows_of(rng, 100)
    with pytest.raises(ValueError, match="X is float64, but the stream began with float32"):
        streamed().partial_fit(rows.astype(np.float32)).partial_fit(rows)
    assert streamed().partial_fit(rows).partial_fit(rows.astype(np.float32)).n_samples_seen_ == 200


@pytest.mark.parametrize(
    ("parameters", "option"),
    [
        ({"covariance_type": "factor_analyzer"}, "covariance_type='factor_analyzer'"),
        ({"prior": "default"}, "prior"),
        ({"prior": Dirichlet(2)}, "prior"),
        ({"restrictions": Restrictions(equal_weights=True)}, "restrictions"),
        ({"noise": True}, "noise"),
        ({"trim": 0.1}, "trim"),
        ({"label_components": {"a": [0]}}, "label_components"),
        ({"weight_type": "precision"}, "weight_type='precision'"),
        ({"degenerate": "drop"}, "degenerate"),
    ],
    ids=str,
)
def test_options_that_partial_fit_does_not_support_are_rejected(parameters, option, rng):
    stream = streamed(**parameters)
    with pytest.raises(ValueError, match=f"partial_fit does not support {option}"):
        stream.partial_fit(rows_of(rng, 100))
    assert vars(stream) == vars(streamed(**parameters))


def test_invalid_parameters_are_rejected_before_rows_are_stored(rng):
    with pytest.raises(ValueError, match="n_components=0"):
        streamed(n_components=0).partial_fit(rows_of(rng, 100))
    with pytest.raises(TypeError, match=r"forgetting must be a finite number ≥ 0 \(rows\), None or a ForgettingRate"):
        streamed(forgetting="never").fit(rows_of(rng, 100))


@pytest.mark.parametrize(
    ("n_components", "message"),
    [
        (3, "has seen 2 rows of positive weight, fewer than n_components=3"),
        (1, "has seen 1 row of positive weight, fewer than the 2 rows that a fit needs"),
    ],
)
def test_partial_fit_stores_rows_until_there_are_enough_for_a_fit(n_components, message, rng):
    rows, n_few = rows_of(rng, 50), max(n_components, 2) - 1
    stream = streamed(n_components=n_components).partial_fit(rows[:n_few])
    assert not hasattr(stream, "mixture_")
    with pytest.raises(NotFittedError, match=message):
        stream.predict(rows)
    assert_same(stream.partial_fit(rows[n_few:]), streamed(n_components=n_components).partial_fit(rows))


def test_a_component_that_loses_its_rows_in_partial_fit_is_reported(rng):
    rows = rows_of(rng)
    stream = streamed(forgetting=STEP_ROWS).partial_fit(rows[:LEAF_ROWS])
    deserted = int(stream.means_[:, 0].argmin())
    with pytest.warns(RuntimeWarning, match=rf"[Cc]omponent {deserted} became empty"):
        stream.partial_fit(np.array([30.0, 0.0]) + np.abs(np.tile(rows[:STEP_ROWS], (60, 1))))
    assert np.isfinite(stream.score(rows))


DAMAGE = {
    "no number of rows": {},
    "a row is missing": {"weight": lambda weight: weight[1:]},
    "no weight": {"weight": lambda weight: 0 * weight},
    "not finite": {"first": lambda first: "NaN"},
    "another size": {"mass": lambda mass: mass[:1]},
    "negative": {"mass": lambda mass: -mass},
    "too small a clock": {"seen": lambda seen: 0.5},
    "another type": {"dtype": lambda dtype: "int64"},
    "no seed": {"seed": lambda seed: None},
    "too many rows": {"rows": lambda rows: np.tile(rows, (100, 1)), "weight": lambda weight: np.tile(weight, 100)},
}


@pytest.mark.heavy(n_default=9)
@pytest.mark.parametrize("case", DAMAGE)
def test_load_rejects_a_stream_that_contradicts_the_mixture(case, rng, tmp_path):
    stream, changes = streamed().partial_fit(rows_of(rng)), DAMAGE[case]
    details = make_details(stream)
    table = {name: changes.get(name, lambda same: same)(value) for name, (value,) in stream._stream.to_table().items()}
    plain = {"table": [[name, [_plain(value)]] for name, value in table.items()]}
    attributes = {**details.estimator.attributes, "_stream_table": plain}
    if not changes:
        del attributes["n_samples_seen_"]
    estimator = replace(details.estimator, attributes=attributes)
    model_file.write(tmp_path / "stream.gmm", stream.mixture_._model, replace(details, estimator=estimator))
    with pytest.raises(InvalidModelFileError, match="the file's '_stream_table' does not match the file's mixture"):
        GaussianMixture.load(tmp_path / "stream.gmm")


def _plain(value):
    return {"array": value.tolist(), "dtype": value.dtype.name} if isinstance(value, np.ndarray) else value
