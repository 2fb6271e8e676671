"""Tests of sources of rows in memory."""

import pickle
from functools import partial

import numpy as np
import pytest
from common import ArraySource, AssignmentRule, MomentSpec, Second, StopRule, distinct_rows, final_state, run_em
from many_blocks import ManyBlocks, labelled

from gaussmix import FAMILIES, Mixture
from gaussmix._src.em.initialisation.base import STARTS, load_start
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.testing.closeness import assert_same_bits
from gaussmix.testing import PROBLEMS, check_source


def test_an_array_source_passes_check_source(rng):
    check_source(ArraySource, rng)


def test_a_source_with_many_blocks_passes_check_source(rng):
    check_source(ManyBlocks, rng)


def test_a_source_with_empty_blocks_passes_check_source(rng):
    class WithEmptyBlocks(ManyBlocks):
        def blocks(self):
            for block in super().blocks():
                yield from (block.row_range(0, 0), block)

    check_source(WithEmptyBlocks, rng)


@pytest.mark.parametrize("make", [ArraySource, ManyBlocks])
def test_a_source_with_unknown_labels_passes_check_source(make, rng):
    check_source(lambda rows, weight: labelled(make(rows, weight), np.full(len(rows), -1), np.arange(3)), rng)


@pytest.mark.parametrize("make", [ArraySource, ManyBlocks])
def test_a_reweighted_part_of_a_source_passes_check_source(make, rng):
    """Check a source that selects rows of a larger source and halves their weights."""

    def part_of_more(rows, weight):
        chosen = np.arange(2 * len(rows)) // 50 % 2 == 1
        more, weights = np.full((2 * len(rows), rows.shape[1]), 1e3), np.full(2 * len(rows), 1e3)
        more[chosen], weights[chosen] = rows, 0 if weight is None else weight * 2
        source = make(more, None if weight is None else weights)
        return source.part(lambda block: chosen[block.row_slice], len(rows)).reweighted(0.5)

    check_source(part_of_more, rng)


def test_an_empty_part_of_an_array_source_accepts_an_assignment(rng):
    source = ArraySource(rng.standard_normal((5, 2)).astype(np.float32))
    part = source.part(lambda block: np.zeros(5, dtype=np.bool_), 0)
    again = part.with_assignment(np.empty(0, np.int32))
    assert (list(again.blocks()), again.n_rows, again.n_features, again.dtype) == ([], 0, 2, np.float32)


def test_initial_responsibilities_do_not_depend_on_known_labels(engine, rng):
    """The initial responsibilities must not depend on the known labels of rows."""
    problem = PROBLEMS["overlapping"]
    partition = load_start("random")(distinct_rows(problem.source), engine, 3, rng)
    assigned = partition.responsibilities
    task = StepTask(engine, 3, None, MomentSpec(Second.FULL), AssignmentRule.ASSIGNMENT, responsibilities=assigned)
    labelled_source = labelled(problem.source, problem.labels, np.arange(3))
    found, expected = labelled_source.map_merge(task), problem.source.map_merge(task)
    for name in ("mass", "first", "second"):
        assert_same_bits(getattr(found, name), getattr(expected, name), name)


def test_rows_with_known_labels_belong_to_the_labelled_component(engine):
    """If all labels are known, moments are the moments of the labels, and the log-likelihood is Σ log p(x, label)."""
    problem = PROBLEMS["weighted"]
    start = problem.start(FAMILIES["full"])
    task = StepTask(engine, 3, start.parameters, MomentSpec(Second.FULL), anchor=start.means + 1.0)
    found = labelled(problem.source, problem.labels, np.arange(3)).map_merge(task)
    task = StepTask(engine, 3, None, MomentSpec(Second.FULL), AssignmentRule.ASSIGNMENT, anchor=start.means + 1.0)
    expected = problem.source.map_merge(task)
    for name in ("mass", "first", "second"):
        sums = getattr(expected, name)
        np.testing.assert_allclose(getattr(found, name), sums, rtol=1e-12, atol=1e-12 * np.abs(sums).max())
    log_joint = Mixture._from_model(start).component_log_density(problem.rows) + np.log(start.weights)
    total = problem.row_weight @ log_joint[np.arange(len(log_joint)), problem.labels]
    assert found.log_likelihood == pytest.approx(total, rel=1e-12)


def test_a_label_of_several_components_restricts_rows_to_these_components(engine):
    problem = PROBLEMS["overlapping"]
    start = problem.start(FAMILIES["full"])
    source = labelled(problem.source, np.zeros(len(problem.rows), dtype=int), np.array([0, 1, 0]))
    found = source.map_merge(StepTask(engine, 3, start.parameters, MomentSpec(Second.NONE)))
    joint = np.exp(Mixture._from_model(start).component_log_density(problem.rows)) * start.weights * [1, 0, 1]
    np.testing.assert_allclose(found.mass, (joint / joint.sum(axis=1, keepdims=True)).sum(axis=0), atol=1e-9)
    assert found.log_likelihood == pytest.approx(np.log(joint.sum(axis=1)).sum(), rel=1e-12)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_em_raises_the_joint_likelihood_of_rows_and_labels(name, engine):
    problem, family = PROBLEMS["overlapping"], FAMILIES[name]
    labels = np.where(np.arange(len(problem.rows)) % 4, -1, problem.labels)
    source = labelled(problem.source, labels, np.arange(3))
    _, trace, _ = final_state(run_em(source, engine, problem.start(family), problem.objective, StopRule(1e-6, 60)))
    gains = np.diff(trace.log_likelihood)
    assert (gains > -1e-11).all()
    assert gains.sum() > 0


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_em_never_assigns_a_labelled_row_to_another_component(name, engine):
    """Even if the labels of two distant groups are exchanged, no step may assign a row to another component."""
    problem, family = PROBLEMS["separate"], FAMILIES[name]
    wrong = np.array([1, 0, 2])[problem.labels]
    source = labelled(problem.source, wrong, np.arange(3))
    mixture, _, _ = final_state(run_em(source, engine, problem.start(family), problem.objective, StopRule(1e-6, 60)))
    np.testing.assert_allclose(mixture.weights, np.bincount(wrong) / len(wrong), rtol=1e-12)


@pytest.mark.parametrize("start", sorted(STARTS))
def test_pickled_tasks_have_the_same_key_and_the_same_results(start, engine, rng):
    """A pickled copy of a task must have the same key and the same results, even if it computes an initialisation."""
    problem = PROBLEMS["weighted"]
    partition = load_start(start)(distinct_rows(problem.source), engine, 3, rng)
    model, spec = problem.start(FAMILIES["full"]), MomentSpec(Second.FULL)
    tasks = [
        StepTask(engine, 3, partition.parameters, spec, partition.rule, model.means, partition.responsibilities),
        StepTask(engine, 3, model.parameters, spec),
    ]
    for task in tasks:
        copy = pickle.loads(pickle.dumps(task))
        assert copy.key == task.key
        expected, found = task.sum_moments(problem.source), copy.sum_moments(problem.source)
        for name in ("mass", "first", "second", "log_likelihood"):
            assert_same_bits(getattr(found, name), getattr(expected, name), name)
    for method in (engine.log_density, engine.responsibilities, engine.labels):
        task = partial(method, parameters=model.parameters)
        found = problem.source.each_row(pickle.loads(pickle.dumps(task)))
        assert_same_bits(found, problem.source.each_row(task), method.__name__)
