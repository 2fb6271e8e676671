"""Tests of the arguments of a step: an invalid argument raises an error that names it, before anything is read."""

import os

import numpy as np
import pytest

WRONG_VALUES = {
    "row_weight": [np.ones(9)],
    "origin": [np.zeros(4)],
    "log_scale": [np.zeros(3), None],
    "means": [np.zeros((2, 4)), np.zeros((3, 3)), None],
    "factors": [np.ones(2), np.ones((2, 3)), np.ones((2, 3, 4)), np.ones((3, 3, 3)), None],
    "anchor": [np.zeros((2, 4)), None],
    "factor_shape": [-1, 4],
    "projection": [np.zeros((2, 3, 1))],
    "rule": [-1, 3, 2],
    "second": [-1, 4, 5, 0],
    "assignment": [np.zeros(10, np.int32)],
    "rows": [np.zeros((10, 0))],
}
WRONG_TYPES = {
    "rows": [np.zeros((10, 3), int), np.zeros(10), [[0.0] * 3] * 10, np.zeros((10, 3), ">f8"), np.zeros((10, 3), "f2")],
    "row_weight": [np.ones(10, np.float32), np.ones((10, 1)), 1.0],
    "assignment": [np.zeros(10, np.int64), np.zeros((10, 2), np.float32), "0"],
    "means": [np.zeros(6), "mean"],
    "factor_shape": ["full", None],
}


def cases(table):
    return [
        pytest.param(name, value, id=f"{name}-{i}") for name, values in table.items() for i, value in enumerate(values)
    ]


@pytest.mark.parametrize(("name", "value"), cases(WRONG_VALUES))
def test_step_rejects_invalid_arguments(target, make_problem, name, value):
    problem = make_problem(10, 3, 2)
    with pytest.raises(ValueError, match=r"must|needs?|missing|n_components|no features"):
        problem.replace(**{name: value}).step(target)


@pytest.mark.parametrize(
    "change", [{"factors": np.ones((2, 4, 2))}, {"factors": np.ones((2, 3, 0))}, {"projection": None}]
)
def test_step_rejects_invalid_low_rank_factors_and_projections(target, make_problem, change):
    problem = make_problem(10, 3, 2, factor_shape=4, second=4)
    with pytest.raises(ValueError, match=r"must have shape|must be given"):
        problem.replace(**change).step(target)


@pytest.mark.parametrize(("name", "value"), cases(WRONG_TYPES))
def test_step_rejects_arguments_of_wrong_types(target, make_problem, name, value):
    problem = make_problem(10, 3, 2, rule=2 if name == "assignment" else 0)
    with pytest.raises(TypeError):
        problem.replace(**{name: value}).step(target)


@pytest.mark.parametrize("assignment", [np.zeros((10, 3)), np.zeros((9, 2)), np.zeros(9, np.int32), None])
def test_step_rejects_invalid_assignments(target, make_problem, assignment):
    problem = make_problem(10, 3, 2, rule=2)
    with pytest.raises(ValueError, match="assignment"):
        problem.replace(assignment=assignment).step(target)


def test_step_with_labels_alone_requires_n_components(target):
    rows, labels = np.zeros((4, 2)), np.zeros(4, np.int32)
    with pytest.raises(ValueError, match="n_components"):
        target.step(rows, None, labels, None, None, None, 0, None, None, 2, 0, 1)


@pytest.mark.parametrize("change", [{0: np.ones(9)}, {1: [[0, 2]]}, {1: [[-1, 0]]}, {1: [[0, 1, 1]]}, {2: [2]}])
def test_merge_sums_reject_wrong_weights_and_indices(target, change):
    arguments = {0: np.ones(10), 1: [[0, 1]], 2: [1]} | change
    arrays = (np.asarray(value) for value in arguments.values())
    with pytest.raises(ValueError, match="must"):
        target.merge_sums(np.full((10, 2), 0.5), *arrays)


@pytest.mark.parametrize(
    "change",
    [{"weight": np.ones(9)}, {"labels": np.zeros(11, int)}, {"scale": np.ones(2)}, {"uniform": np.ones((1, 9))}],
)
def test_split_components_rejects_arrays_that_do_not_fit_the_rows(target, change):
    arguments = {
        "weight": np.ones(10), "is_complete": np.ones(10, bool), "scale": np.ones(3), "algebra": (1, 1, 1),
        "labels": np.zeros(10, int), "components": np.zeros(1, int), "uniform": np.ones((1, 12)),
    }  # fmt: skip
    with pytest.raises(ValueError, match="must have shape"):
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
