"""Tests of the files that Spark's Python workers write; they need no Spark."""

import os

import pytest

from gaussmix._src.interfaces.block import BlockState
from gaussmix._src.sources.spark.store import FitPass, stored_states


class Candidates(BlockState):
    affects_results = True


def run_passes(path, fit, numbers, state):
    for number in numbers:
        states = {}  # each pass may run in another worker
        with stored_states(path, states, FitPass(fit, number)):
            before = states.get(fit)
            states[fit] = (number, [state])
        yield before, states


def test_a_pass_starts_with_the_block_states_of_the_previous_pass(tmp_path):
    path = str(tmp_path / "3.rows")
    before = [state and state[0] for state, _ in run_passes(path, "a", [1, 2, 3, 3], Candidates())]
    assert before == [None, 1, 2, 2]  # the last pass was repeated
    assert sorted(os.listdir(tmp_path)) == ["3.rows.a.2", "3.rows.a.3"]


def test_block_states_that_do_not_affect_results_are_not_written(tmp_path):
    path = str(tmp_path / "3.rows")
    assert [states.keys() for _, states in run_passes(path, "a", [1, 2], BlockState())] == [{"a"}, {"a"}]
    assert os.listdir(tmp_path) == []


def test_block_states_of_old_fits_are_removed(tmp_path):
    path = str(tmp_path / "3.rows")
    for index, fit in enumerate("abcdef"):
        list(run_passes(path, fit, [10 * index], Candidates()))
        os.utime(f"{path}.{fit}.{10 * index}", (index, index))
    assert sorted(os.listdir(tmp_path)) == ["3.rows.c.20", "3.rows.d.30", "3.rows.e.40", "3.rows.f.50"]


def test_a_failed_pass_leaves_no_file(tmp_path):
    with pytest.raises(KeyError), stored_states(str(tmp_path / "3.rows"), {}, FitPass("a", 1)):
        raise KeyError
    assert os.listdir(tmp_path) == []
