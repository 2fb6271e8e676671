"""Tests with unusual shapes and values, which hypothesis draws."""

import numpy as np
import pytest
from common import ArraySource, Block, InitialMoments, Objective, StopRule, distinct_rows, final_state, run_em
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gaussmix import FAMILIES, SingularCovarianceError
from gaussmix._src.em.initialisation.base import STARTS, load_start
from gaussmix._src.em.initialisation.sample import automatic_ridge
from gaussmix._src.engines.complete.engine import CompleteEngine

few_examples = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
shapes = st.tuples(st.integers(1, 30), st.integers(1, 7))
values = st.floats(-1e6, 1e6, allow_subnormal=True, width=32) | st.sampled_from([0.0, -0.0, 1.0, 1e-30, 1e30, -1e30])
tables = shapes.flatmap(lambda shape: hnp.arrays(st.sampled_from([np.float32, np.float64]), shape, elements=values))


@pytest.mark.heavy
@few_examples
@given(
    rows=tables,
    n_components=st.integers(1, 5),
    name=st.sampled_from(sorted(FAMILIES)),
    start=st.sampled_from(sorted(STARTS)),
    seed=st.integers(0, 9),
)
def test_any_finite_rows_are_fitted_or_raise_a_singular_covariance_error(rows, n_components, name, start, seed):
    """With the automatic ridge a fit has finite parameters and weights that sum to 1, or raises a clear error."""
    source, engine = ArraySource(rows), CompleteEngine(2)
    sample = distinct_rows(source)
    ridge = automatic_ridge(sample)
    assert (ridge > 0).all()
    partition = load_start(start)(sample, engine, n_components, np.random.default_rng(seed))
    try:
        first = InitialMoments(source, engine, n_components, partition).model(FAMILIES[name], Objective(ridge))
    except SingularCovarianceError:
        return
    mixture, trace, _ = final_state(run_em(source, engine, first, Objective(ridge), StopRule(1e-3, 10)))
    for values in (mixture.weights, mixture.means, mixture.covariances.each, trace.log_likelihood):
        assert np.isfinite(values).all()
    assert mixture.weights.sum() == pytest.approx(1.0, rel=1e-12)
    responsibilities = engine.responsibilities(Block(0, rows), mixture.parameters)
    assert responsibilities.sum(axis=1) == pytest.approx(1.0, rel=1e-12)
    assert (engine.labels(Block(0, rows), mixture.parameters) < n_components).all()


@pytest.mark.heavy
@few_examples
@given(rows=tables, seed=st.integers(0, 9))
def test_distinct_rows_depend_only_on_the_distribution_of_the_rows(rows, seed):
    """The distinct rows do not depend on the order of the rows, and their weights sum to the number of rows."""
    shuffled = np.random.default_rng(seed).permutation(rows)
    one, other = distinct_rows(ArraySource(rows)), distinct_rows(ArraySource(shuffled))
    assert (one.rows == other.rows).all()
    assert (one.weight == other.weight).all()
    assert one.weight.sum() == len(rows)
    assert one.rows.tolist() == np.unique(rows.astype(np.float64) + 0.0, axis=0).tolist()
