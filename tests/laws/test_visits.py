"""Visiting rows in order: only where it pays, to rounding the same, and the same bits for any number of threads."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from check_moments import assert_same_moments
from every_engine import ENGINES
from many_blocks import clusters_apart

from gaussmix.em.loop import em_step
from gaussmix.em.objective import Objective
from gaussmix.engines.native import visits
from gaussmix.engines.native.visits import Ordering
from gaussmix.sources.array import ArraySource
from gaussmix.waist.need import Need, Second

STRUCTURES = "full", "diag", "spherical"
N_FEATURES, N_COMPONENTS = 6, 60
N_STEPS = 7


@pytest.fixture
def clusters(rng):
    return partial(clusters_apart, rng=rng, n_rows=70_000)


def run(source, mixture, n_threads=1, n_steps=N_STEPS, facts=None):
    """The moments of the last of some steps, and the mixture before it."""
    before, engine = mixture, ENGINES["native"](n_threads)
    for _ in range(n_steps):
        before = mixture
        moments, mixture, _ = em_step(source, engine, mixture, Objective(np.zeros(N_FEATURES)), {}, facts=facts)
        facts = moments.facts
    return moments, before


def visits_of(source):
    """What is kept beside the rows."""
    (state,) = source._kept[1].values()
    return state.visits


@pytest.mark.one_block
@pytest.mark.parametrize("structure", STRUCTURES)
def test_clusters_apart_are_visited_in_order(clusters, structure):
    rows, mixture = clusters(structure)
    source = ArraySource(rows)
    moments, before = run(source, mixture)
    assert moments.facts.ordering.by is not None
    assert visits_of(source)._orders
    assert visits_of(source)._bounds is not None
    fresh, _ = run(ArraySource(rows), before, n_steps=1)
    spread = native_step(rows, before, Need(Second.DIAGONAL)).second
    assert_same_moments(moments, fresh, spread, 1e-12, structure)


def native_step(rows, mixture, need):
    """Moments about the means."""
    source, engine = ArraySource(rows), ENGINES["native"](1)
    state = engine.open(source.whole, need, N_COMPONENTS)
    sums = engine.step(source.whole, state, mixture.parameters, need, anchor=mixture.means)
    return engine.finish(sums, mixture.parameters, need)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_threads_change_no_bit_of_ordered_passes(clusters, structure):
    rows, mixture = clusters(structure)
    expected, _ = run(ArraySource(rows), mixture)
    for n_threads in (2, 3):
        found, _ = run(ArraySource(rows), mixture, n_threads)
        for name in ("mass", "first", "second", "log_likelihood"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_overlapping_components_are_visited_as_they_come(clusters, structure):
    rows, mixture = clusters(structure, distance=0.1)
    source = ArraySource(rows)
    for n_steps in (1, 2, 5):
        moments, _ = run(source, mixture, n_steps=n_steps)
        assert moments.facts.ordering == Ordering(None, n_steps, wants_labels=False)
        assert visits_of(source)._orders == ()


@pytest.mark.parametrize("has_bounds", [True, False])
def test_another_run_starts_anew_with_or_without_bounds(clusters, monkeypatch, has_bounds):
    """However many passes there have been over the same rows, the next run counts its own from 1."""
    if not has_bounds:
        monkeypatch.setattr(visits, "MOST_BOUNDS", 0)
    rows, mixture = clusters("full")
    source = ArraySource(rows)
    run(source, mixture, n_steps=9)
    elsewhere = replace(mixture, means=mixture.means + 9.0)
    expected, _ = run(ArraySource(rows), elsewhere, n_steps=6)
    found, _ = run(source, elsewhere, n_steps=6)
    for name in ("mass", "first", "second", "log_likelihood"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.one_block
@pytest.mark.parametrize("where", ["_by_label", "_changes", "np.zeros"])
def test_an_interrupt_leaves_an_order_and_bounds_that_belong_together(clusters, monkeypatch, where):
    """Whenever it comes: the next pass over the same rows is right."""
    rows, mixture = clusters("full")
    source = ArraySource(rows)

    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    moments, before = run(source, mixture, n_steps=2)  # the next pass writes labels
    facts = moments.facts
    if where == "_changes":  # asked only where there is an order
        facts = facts._replace(
            ordering=facts.ordering._replace(by=run(source, mixture, n_steps=5)[0].facts.ordering.by)
        )
    with monkeypatch.context() as patched:
        patched.setattr(f"gaussmix.engines.native.visits.{where}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(source, before, n_steps=3, facts=facts)
    found, _ = run(source, before, n_steps=4, facts=facts)
    fresh, _ = run(ArraySource(rows), before, n_steps=4, facts=facts)
    for name in ("mass", "first", "second", "log_likelihood"):
        np.testing.assert_array_equal(getattr(found, name), getattr(fresh, name))
