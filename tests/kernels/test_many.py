"""Fits of many groups in the core: the same bits on every target, what is left to Python, what is refused."""

import numpy as np
import pytest

from gaussmix.families import FAMILIES

FULL, TIED = FAMILIES["full"].algebra, FAMILIES["tied"].algebra
BY_CORE = [name for name, family in FAMILIES.items() if family.algebra not in (None, TIED)]
N_COMPONENTS, N_CANDIDATES = 3, 3


def arguments(rng, **changes):
    """What `Target.fit_many` takes of seven groups: of 60, 7, 0, 1, 5, 40 and 30 rows, the first two usual."""
    size = np.array([60, 7, 0, 1, 5, 40, 30])
    first = np.cumsum(size) - size
    rows = rng.normal(size=(size.sum(), 2)) + rng.integers(3, size=(size.sum(), 1))
    rows[first[4] :][:5] = rows[first[4]]  # equal rows
    rows[first[5] + 3, 1] = np.nan
    rows[first[6] :, 0] = 2.0  # a constant column
    values = {
        "rows": rows, "row_weight": None, "ranges": (first, size), "weights": (size.astype(float), np.ones(7)),
        "algebra": FULL, "n_components": N_COMPONENTS, "n_candidates": N_CANDIDATES,
        "uniform": rng.random(1 + (N_COMPONENTS - 1) * N_CANDIDATES), "kmeans": (100, 1e-4), "ridge": None,
        "automatic": (1e-6, 0.01), "smallest_spread": 1e-152, "limits": (2.0**-40, 1e-15, 1e3, 1e3),
        "tolerance": 1e-3, "max_steps": 100, "n_threads": 2,
    }  # fmt: skip
    return values | changes


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", BY_CORE)
def test_every_target_gives_the_same_bits(targets, name, dtype, rng):
    values = arguments(rng, algebra=FAMILIES[name].algebra, ridge=np.full(2, 0.01))
    values["rows"] = np.repeat(values["rows"].astype(dtype), 2, axis=1)[:, ::2]
    ends = [target.fit_many(**values) for target in targets]
    assert np.flatnonzero(ends[0][4]).tolist() == [0, 1]
    for end in ends:
        assert [part[:2].tobytes() for part in end] == [part[:2].tobytes() for part in ends[0]]


def test_a_group_is_the_same_alone(target, rng):
    values = arguments(rng)
    together = target.fit_many(**values)
    alone = target.fit_many(**values | {"rows": values["rows"][:60], "ranges": (np.array([0]), np.array([60])),
                                        "weights": (np.array([60.0]), np.ones(1))})  # fmt: skip
    assert [part.tobytes() for part in alone] == [part[:1].tobytes() for part in together]


def test_a_weight_of_two_counts_twice(target, rng):
    values = arguments(rng, ridge=np.full(2, 0.01), ranges=(np.array([0]), np.array([60])))
    weight = rng.integers(1, 4, size=len(values["rows"])).astype(float)
    weighted = values | {
        "row_weight": np.repeat(weight / 4, 2)[::2],
        "weights": (weight[:60].sum(keepdims=True) / 4, np.full(1, 4.0)),
    }
    repeated = np.repeat(values["rows"][:60], weight[:60].astype(int), axis=0)
    n_rows = np.array([len(repeated)])
    plain = values | {
        "rows": repeated,
        "ranges": (np.array([0]), n_rows),
        "weights": (n_rows.astype(float), np.ones(1)),
    }
    for found, expected in zip(target.fit_many(**weighted)[:4], target.fit_many(**plain)[:4], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("limits", [(0.9, 1e-15, 1e3, 1e3), (2.0**-40, 1e-15, 1e-9, 1e3)], ids=["lost", "loss"])
def test_a_group_beyond_the_limits_is_left_alone(target, limits, rng):
    n_steps = target.fit_many(**arguments(rng))[4], target.fit_many(**arguments(rng, limits=limits))[4]
    assert n_steps[0][0] > n_steps[1][0] == 0


def one(values, group=0, **changes):
    """The same for `Target.fit_one`, of one of the groups."""
    others = {name: value for name, value in values.items() if name not in ("ranges", "weights")}
    first, size = (part[group] for part in values["ranges"])
    table = {"rows": values["rows"][first:][:size], "total_weight": float(size), "unit": 1.0, "seconds": 1e9}
    return others | table | changes


@pytest.mark.parametrize("name", BY_CORE)
def test_one_table_is_fitted_as_a_group(targets, name, rng):
    values = arguments(rng, algebra=FAMILIES[name].algebra, ridge=np.full(2, 0.01))
    together = targets[0].fit_many(**values)
    for target in targets:
        for group in 0, 1:
            weights, means, covariances, _, _, steps, ridge = target.fit_one(**one(values, group))
            expected = [part[group] for part in together]
            for found, part in zip((weights, means, covariances), expected[:3], strict=True):
                np.testing.assert_array_equal(found, part)
            assert (steps[-1], len(steps)) == (expected[3], expected[4])
            np.testing.assert_array_equal(ridge, 0.01)
        assert [target.fit_one(**one(values, group)) for group in (2, 3, 4)] == [None] * 3


def test_one_table_ends_before_the_step_that_a_group_is_left_for(target, rng):
    values = arguments(rng)
    assert len(target.fit_one(**one(values, limits=(2.0**-40, 1e-15, 1e-9, 1e3)))[5]) == 0
    assert len(target.fit_one(**one(values, seconds=0.0))[5]) == 1


def test_the_ridge_is_a_part_of_the_variances(target, rng):
    values = one(arguments(rng, automatic=(1e-3, 0.01)))
    rows, weight, _ = target.distinct_rows(values["rows"], None)
    expected = 1e-3 * target.trimmed_variances(rows, weight, 2.0)  # 1 % of 60 rows, rounded up, and one more
    np.testing.assert_array_equal(target.fit_one(**values)[6], expected)


def test_no_groups(target, rng):
    nothing = np.zeros(0, np.int64), np.zeros(0, np.int64)
    found = target.fit_many(**arguments(rng, ranges=nothing, weights=(np.zeros(0), np.zeros(0))))
    assert [part.shape for part in found] == [(0, 3), (0, 3, 2), (0, 12), (0,), (0,), (0,)]


WRONG = {
    "algebra": [TIED, (0, 2, 2)],
    "ranges": [
        (np.zeros(6, int), np.zeros(7, int)),
        (np.full(7, 144), np.zeros(7, int)),
        (np.full(7, -1), np.zeros(7, int)),
        (np.zeros(7, int), np.full(7, 144)),
        (np.ones(7, int), np.full(7, 2**63 - 1)),
        (np.zeros(7, int), np.full(7, -1)),
    ],
    "weights": [(np.ones(6), np.ones(7)), (np.ones(7), np.ones(6))],
    "row_weight": [np.ones(9)],
    "uniform": [np.ones(6)],
    "n_components": [0, 2],
    "n_candidates": [0],
    "ridge": [np.ones(3)],
    "max_steps": [0],
    "n_threads": [0],
    "rows": [np.zeros((143, 0))],
}
CASES = [pytest.param({name: value}, id=f"{name}-{i}") for name in WRONG for i, value in enumerate(WRONG[name])]


@pytest.mark.parametrize("change", CASES)
def test_wrong_arguments(target, change, rng):
    with pytest.raises(ValueError, match=r"must|algebra|moments|n_components|not there|max_steps|features"):
        target.fit_many(**arguments(rng, **change))


@pytest.mark.parametrize("change", [case for case in CASES if not {"ranges", "weights"} & set(case.values[0])])
def test_wrong_arguments_of_one(target, change, rng):
    with pytest.raises(ValueError, match=r"must|algebra|moments|n_components|max_steps|features"):
        target.fit_one(**one(arguments(rng), **change))


@pytest.mark.parametrize("change", [{"rows": np.zeros((143, 2), int)}, {"ranges": 7}])
def test_wrong_types(target, change, rng):
    with pytest.raises(TypeError):
        target.fit_many(**arguments(rng, **change))
