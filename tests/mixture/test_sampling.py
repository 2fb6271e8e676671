"""Draws from all components or from one, with or without labels."""

import numpy as np
import pytest

from gaussmix import FAMILIES, Mixture

SEPARATED = Mixture([0.5, 0.5, 0.0], [[0.0], [100.0], [200.0]], [1.0, 1.0, 1.0], FAMILIES["spherical"])
CORRELATED = Mixture([0.5, 0.5], [[0.0] * 3, [3.0] * 3], [np.eye(3) + 1.0, np.eye(3) + 2.0], FAMILIES["full"])


def seeded():
    return np.random.default_rng(0)


def test_sample_returns_labels_unless_return_labels_is_false():
    rows, labels = SEPARATED.sample(50, rng=seeded())
    np.testing.assert_array_equal(SEPARATED.sample(50, seeded(), return_labels=False), rows)
    np.testing.assert_array_equal(labels, (rows[:, 0] > 50).astype(int))


@pytest.mark.parametrize("component", [0, 1, np.int64(2)])
def test_sample_draws_from_one_component_even_if_its_weight_is_0(component):
    rows, labels = SEPARATED.sample(1000, seeded(), component=component)
    np.testing.assert_array_equal(labels, component)
    assert abs(rows.mean() - 100 * component) < 6.2 / np.sqrt(1000)  # standard errors; exceeded by 1e-9 of seeds


@pytest.mark.parametrize(
    ("component", "error", "message"),
    [
        (3, ValueError, "There is no component 3: the mixture has components 0 to 2"),
        (-1, ValueError, "There is no component -1"),
        (1.0, TypeError, "component must be an index, counted from 0, not 1.0"),
        (True, TypeError, "not True"),
    ],
)
def test_sample_rejects_an_invalid_component(component, error, message):
    with pytest.raises(error, match=message):
        SEPARATED.sample(5, seeded(), component=component)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: SEPARATED.sample(50, rng)[0],
        lambda rng: CORRELATED.sample_conditional(np.zeros((50, 1)), [0], rng),
        lambda rng: CORRELATED.cdf([[0.1, 0.2, 0.3]], rng=rng),
        lambda rng: CORRELATED.highest_density_level(0.5, rng=rng),
        lambda rng: SEPARATED.entropy(rng=rng).value,
        lambda rng: CORRELATED.js_divergence(CORRELATED.convolve(1.0), n_draws=100, rng=rng).value,
    ],
    ids=["sample", "sample_conditional", "cdf", "highest_density_level", "entropy", "js"],
)
def test_rng_may_be_a_seed_and_other_objects_are_rejected(draw):
    np.testing.assert_array_equal(draw(7), draw(np.random.default_rng(7)))
    assert np.any(draw(7) != draw(8))
    with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator, .*, not 'seven'"):
        draw("seven")
    with pytest.raises(ValueError, match=r"rng must be .* ≥ 0\), or None, not -1"):
        draw(-1)


@pytest.mark.parametrize("n_jobs", ["2", 1.5, True])
def test_invalid_n_jobs_is_rejected(n_jobs):
    for call in (SEPARATED.log_density, SEPARATED.gradient, lambda rows, n_jobs: SEPARATED.sample(5, n_jobs=n_jobs)):
        with pytest.raises(TypeError, match=f"n_jobs must be an integer other than 0, .*, not {n_jobs!r}"):
            call(np.zeros((2, 1)), n_jobs=n_jobs)


def test_draws_without_a_seed_differ_between_calls():
    assert not np.array_equal(SEPARATED.sample(50)[0], SEPARATED.sample(50)[0])
    known = np.zeros((50, 1))
    assert not np.array_equal(CORRELATED.sample_conditional(known, [0]), CORRELATED.sample_conditional(known, [0]))


@pytest.mark.parametrize(
    ("n_rows", "error", "message"),
    [(-1, ValueError, "n_rows=-1 must be an integer ≥ 0"), (5.0, TypeError, "n_rows must be an integer ≥ 0, not 5.0")],
)
def test_sample_rejects_an_invalid_n_rows(n_rows, error, message):
    with pytest.raises(error, match=message):
        SEPARATED.sample(n_rows, seeded())
