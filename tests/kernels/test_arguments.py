"""Tests of the arguments of a step: an invalid argument raises an error that names it, before anything is read."""

import os

import numpy as np
import pytest
from common import invalid_arguments

INVALID = {
    "row_weight must have shape (n_rows,)": [{"row_weight": np.ones(9)}],
    "origin must have shape (n_features,)": [{"origin": np.zeros(4)}],
    "log_scale must have shape (n_components,)": [{"log_scale": None}],
    "means must have shape (n_components, n_features)": [
        {"log_scale": np.zeros(3)}, {"means": np.zeros((2, 4))}, {"means": np.zeros((3, 3))}, {"means": None}
    ],
    "factors are missing": [{"factors": None}],
    "factors must have 1, 2, 3 or 3 dimensions": [{"factors": np.ones(2)}, {"factors": np.ones((2, 3))}],
    "triangular factors must have shape": [{"factors": np.ones((2, 3, 4))}, {"factors": np.ones((3, 3, 3))}],
    "anchor must have shape (n_components, n_features)": [{"anchor": np.zeros((2, 4))}],
    "anchor must be given if and only if second is 1, 2, 3 or 4": [{"anchor": None}, {"second": 0}],
    "factor_shape must be 0, 1, 2 or 3": [{"factor_shape": -1}, {"factor_shape": 4}],
    "projection must be given if and only if second is 4": [{"projection": np.zeros((2, 3, 1))}, {"second": 4}],
    "rule must be 0, 1 or 2": [{"rule": -1}, {"rule": 3}],
    "assignment must be given if and only if rule is 2": [{"rule": 2}, {"assignment": np.zeros(10, np.int32)}],
    "second must be 0, 1, 2, 3 or 4": [{"second": -1}, {"second": 5}],
    "rows have no features": [{"rows": np.zeros((10, 0))}],
}  # fmt: skip
WRONG_TYPES = {
    "rows": [np.zeros((10, 3), int), np.zeros(10), [[0.0] * 3] * 10, np.zeros((10, 3), ">f8"), np.zeros((10, 3), "f2")],
    "row_weight": [np.ones(10, np.float32), np.ones((10, 1)), 1.0],
    "assignment": [np.zeros(10, np.int64), np.zeros((10, 2), np.float32), "0"],
    "means": [np.zeros(6), "mean"],
    "factor_shape": ["full", None],
}


@pytest.mark.parametrize(("change", "message"), invalid_arguments(INVALID))
def test_step_rejects_invalid_arguments(target, make_problem, change, message):
    with pytest.raises(ValueError, match=message):
        make_problem(10, 3, 2).replace(**change).step(target)


LOW_RANK_SHAPE = "low-rank factors must have shape (n_components, n_features, n_factors + 1)"
INVALID_LOW_RANK = {
    LOW_RANK_SHAPE: [{"factors": np.ones((2, 4, 2))}, {"factors": np.ones((2, 3, 0))}],
    "projection must be given if and only if second is 4": [{"projection": None}],
}


@pytest.mark.parametrize(("change", "message"), invalid_arguments(INVALID_LOW_RANK))
def test_step_rejects_invalid_low_rank_factors_and_projections(target, make_problem, change, message):
    problem = make_problem(10, 3, 2, factor_shape=4, second=4)
    with pytest.raises(ValueError, match=message):
        problem.replace(**change).step(target)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG_TYPES for value in WRONG_TYPES[name]])
def test_step_rejects_arguments_of_wrong_types(target, make_problem, name, value):
    problem = make_problem(10, 3, 2, rule=2 if name == "assignment" else 0)
    with pytest.raises(TypeError):
        problem.replace(**{name: value}).step(target)


INVALID_ASSIGNMENTS = {
    "assignment responsibilities must have shape (n_rows, n_components)": [
        {"assignment": np.zeros((10, 3))}, {"assignment": np.zeros((9, 2))}
    ],
    "assignment labels must have shape (n_rows,)": [{"assignment": np.zeros(9, np.int32)}],
    "assignment must be given if and only if rule is 2": [{"assignment": None}],
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), invalid_arguments(INVALID_ASSIGNMENTS))
def test_step_rejects_invalid_assignments(target, make_problem, change, message):
    with pytest.raises(ValueError, match=message):
        make_problem(10, 3, 2, rule=2).replace(**change).step(target)


def test_step_with_labels_alone_requires_n_components(target):
    rows, labels = np.zeros((4, 2)), np.zeros(4, np.int32)
    with pytest.raises(ValueError, match="n_components"):
        target.step(rows, None, labels, None, None, None, 0, None, None, 2, 0, 1)


INVALID_SUMS = {
    "row_weight must have shape (n_rows,)": [{"row_weight": np.ones(9)}],
    "pairs (n_pairs, 2) and candidates (n_candidates,) must be indices of components": [
        {"pairs": [[0, 2]]}, {"pairs": [[-1, 0]]}, {"pairs": [[0, 1, 1]]}, {"candidates": [2]}
    ],
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), invalid_arguments(INVALID_SUMS))
def test_merge_sums_reject_wrong_weights_and_indices(target, change, message):
    arguments = {"row_weight": np.ones(10), "pairs": [[0, 1]], "candidates": [1]} | change
    arrays = (np.asarray(value) for value in arguments.values())
    with pytest.raises(ValueError, match=message):
        target.merge_sums(np.full((10, 2), 0.5), *arrays)


INVALID_SPLITS = {
    "weight, is_complete and labels must have shape (n_rows,)": [
        {"weight": np.ones(9)}, {"labels": np.zeros(11, int)}
    ],
    "scale must have shape (n_features,)": [{"scale": np.ones(2)}],
    "uniform must have shape (n_components, 3 * (1 + n_features))": [{"uniform": np.ones((1, 9))}],
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), invalid_arguments(INVALID_SPLITS))
def test_split_components_rejects_arrays_that_do_not_fit_the_rows(target, change, message):
    arguments = {
        "weight": np.ones(10), "is_complete": np.ones(10, bool), "scale": np.ones(3), "algebra": (1, 1, 1),
        "labels": np.zeros(10, int), "components": np.zeros(1, int), "uniform": np.ones((1, 12)),
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        target.split_components(np.ones((10, 3)), **arguments | change)


def test_n_threads_and_outputs_out_of_range_are_rejected(target, make_problem):
    problem = make_problem(10, 3, 2)
    with pytest.raises(ValueError, match="n_threads"):
        problem.step(target, 0)
    with pytest.raises(ValueError, match="output"):
        problem.evaluate(target, 4)


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer aborts instead of throwing")
def test_evaluate_raises_memory_error(target):
    huge_rows = np.broadcast_to(np.zeros((1, 1)), (10**15, 1))
    with pytest.raises(MemoryError):
        target.evaluate(huge_rows, None, np.zeros(1), np.zeros((1, 1)), 2, np.ones((1, 1, 1)), 0, 1)


def test_results_are_contiguous_and_writable(target, make_problem):
    problem = make_problem(10, 3, 2)
    for array in (*problem.step(target)[1:], problem.evaluate(target, 1), problem.evaluate(target, 3)):
        assert array.flags.c_contiguous
        assert array.flags.writeable
