"""Tests of runs of EM steps in the core: same bits on every target, the limits at which a run stops, and errors."""

import numpy as np
import pytest
from common import invalid_arguments

from gaussmix import FAMILIES
from gaussmix.testing import PROBLEMS

ALGEBRAS = {name: family.algebra for name, family in FAMILIES.items() if family.algebra is not None}
FULL, TIED = ALGEBRAS["full"], ALGEBRAS["tied"]
LIMITS = (2.0**-40, 1e-15, 1e3, 1e3)


def arguments(family, rows=None, **changes):
    """Return arguments of `Target.run_em` for a problem, with a copy of its mixture."""
    given = PROBLEMS["overlapping"]
    rows, start = given.rows if rows is None else rows, given.start(family)
    centre = total = None
    if family.algebra == TIED:
        centre = rows.mean(axis=0)
        total = (rows - centre).T @ (rows - centre)
    mixture = (np.array(start.weights), np.array(start.means), np.array(start.covariances.array).reshape(-1))
    values = {
        "rows": rows, "row_weight": None, "total_weight": float(len(rows)), "algebra": family.algebra,
        "weights": mixture[0], "means": mixture[1], "covariances": mixture[2], "centre": centre, "total": total,
        "ridge": np.zeros(3), "limits": LIMITS, "tolerance": 0.0, "previous_objective": -np.inf, "max_steps": 5,
        "seconds": 10.0, "prior": None, "incompleteness": (False, None),
        "log_prior": None, "prior_indices": None, "n_threads": 1,
    }  # fmt: skip
    return values | changes


def with_noise(family):
    """Return the same arguments with uniform noise, which has an initial weight of 0.1."""
    values = arguments(family, centre=None, total=None, log_noise_volume=9.0)
    return values | {"weights": np.append(0.9 * values["weights"], 0.1)}


@pytest.mark.parametrize("make_arguments", [arguments, with_noise])
@pytest.mark.parametrize("name", ALGEBRAS)
def test_run_em_has_the_same_bits_on_every_target(targets, name, make_arguments):
    ends = []
    for target in targets:
        values = make_arguments(FAMILIES[name])
        trace = target.run_em(**values)[0]
        assert len(trace) == 5
        ends.append([trace.tobytes(), *(values[part].tobytes() for part in ("weights", "means", "covariances"))])
    assert all(end == ends[0] for end in ends)


@pytest.mark.parametrize("name", ALGEBRAS)
def test_update_gives_the_same_covariances_on_every_target(targets, name, rng):
    root = rng.normal(size=(3, 4, 4))
    full, mass = root @ root.swapaxes(1, 2), rng.uniform(1, 9, 3)
    second = {1: np.trace(full, axis1=1, axis2=2), 2: np.diagonal(full, axis1=1, axis2=2), 3: full}
    spec = FAMILIES[name].moment_spec(None)
    scatter = second[spec.second].sum(axis=0) if spec.is_pooled else second[spec.second]
    first = [target.update(ALGEBRAS[name], mass, scatter.reshape(-1), 4, None) for target in targets]
    second_update = [target.update(ALGEBRAS[name], mass, scatter.reshape(-1), 4, first[0]) for target in targets]
    for found in first, second_update:
        assert all(each.tobytes() == found[0].tobytes() for each in found)


def test_run_em_of_float32_rows_equals_float64_rows(target):
    rows = PROBLEMS["overlapping"].rows.astype(np.float32)
    in_single, in_double = arguments(FAMILIES["full"], rows), arguments(FAMILIES["full"], rows.astype(np.float64))
    np.testing.assert_array_equal(target.run_em(**in_single)[0], target.run_em(**in_double)[0])
    np.testing.assert_array_equal(in_single["covariances"], in_double["covariances"])


@pytest.mark.parametrize(
    "change",
    [
        {"covariances": np.zeros(27)},
        {"limits": (0.5, *LIMITS[1:])},
        {"limits": (LIMITS[0], 1e3, *LIMITS[2:])},
        {"limits": (*LIMITS[:2], -1.0, LIMITS[3])},
    ],
    ids=["singular", "empty", "noise", "decrease"],
)
def test_run_em_makes_no_step_beyond_the_limits(target, change):
    """Check that the core rejects the step and does not change the mixture."""
    values = arguments(FAMILIES["full"], **change)
    before = [values[part].copy() for part in ("weights", "means", "covariances")]
    assert target.run_em(**values)[0].size == 0
    for part, array in zip(("weights", "means", "covariances"), before, strict=True):
        np.testing.assert_array_equal(values[part], array)


def test_weights_of_components_and_noise_sum_to_1(target):
    values = with_noise(FAMILIES["tied"])
    target.run_em(**values)
    assert values["weights"].sum() == pytest.approx(1.0)
    assert 0 < values["weights"][-1] != 0.1


@pytest.mark.parametrize("change", [{"incompleteness": (True, None)}, {"centre": np.zeros(3), "total": np.eye(3)}])
def test_run_em_rejects_noise_with_missing_values_or_with_the_moments_of_all_rows(target, change):
    with pytest.raises(ValueError, match="noise"):
        target.run_em(**with_noise(FAMILIES["tied"]) | change)


INVALID = {
    "no structure has this algebra": [{"algebra": (0, 2, 2)}, {"algebra": (1, 0, 1)}],
    "an algebra's parts are 0, 1 or 2": [{"algebra": (1, 3, 0)}],
    "means must have shape (n_components, n_features)": [{"means": np.zeros((3, 4))}, {"means": np.zeros((2, 3))}],
    "covariances must be of the algebra's size": [{"covariances": np.zeros(9)}],
    "ridge must have shape (n_features,)": [{"ridge": np.zeros(2)}],
    "row_weight must have shape (n_rows,)": [{"row_weight": np.ones(9)}],
    "centre and total must be given for a shared full covariance": [{"centre": np.zeros(3)}],
    "n_components is 0": [{"weights": np.zeros(0)}],
}


@pytest.mark.parametrize(("change", "message"), invalid_arguments(INVALID))
def test_run_em_rejects_invalid_arguments(target, change, message):
    with pytest.raises(ValueError, match=message):
        target.run_em(**arguments(FAMILIES["full"], **change))


INVALID_UPDATES = {
    "n_features or n_components is 0": [{"mass": np.zeros(0)}],
    "second must be of the algebra's size": [{"second": np.zeros(8)}],
    "current must be of the algebra's size": [{"current": np.zeros(8)}],
}


@pytest.mark.parametrize(("change", "message"), invalid_arguments(INVALID_UPDATES))
def test_update_rejects_invalid_arguments(target, change, message):
    values = {"algebra": FULL, "mass": np.ones(2), "second": np.ones(18), "n_features": 3, "current": None}
    with pytest.raises(ValueError, match=message):
        target.update(**values | change)
