"""Tests of steps with candidate components for each row: same bits on all targets, candidates, and errors."""

from collections import Counter

import numpy as np
import pytest
from common import invalid_arguments

SPHERICAL, DIAGONAL, TRIANGULAR, SHARED, LOW_RANK = range(5)
NONE, TRACE, DIAGONAL_SECOND, FULL, PROJECTED = range(5)


@pytest.fixture
def make_call(make_problem, rng):
    """Return a function that makes calls of `step_truncated`, which return its results and the new candidates."""

    def make(factor_shape=TRIANGULAR, n_features=3, second=FULL, rule=0, n_rows=500, n_components=30):
        arguments = dict(vars(make_problem(n_rows, n_features, n_components, factor_shape, rule, second)))
        del arguments["origin"], arguments["assignment"]
        arguments |= {"rows": arguments["rows"] - 5, "log_prior": None, "prior_indices": None, "key": 2**64 - 1}
        arguments |= {"log_noise_density": -9.0, "n_expanded": 2, "n_tried": 3, "n_drawn": 2, "first_row": 48}
        arguments["candidates"] = rng.integers(-1, n_components, (n_rows, 4)).astype(np.int32)
        arguments["neighbours"] = rng.integers(-1, n_components, (n_components, 3)).astype(np.int32)
        arguments["rank"] = rng.permutation(n_components).astype(np.int32)

        def call(target, n_threads=1, **changes):
            changed = arguments | changes
            changed["candidates"] = changed["candidates"].copy()
            return *target.step_truncated(**changed, n_threads=n_threads), changed["candidates"]

        return call

    return make


@pytest.mark.pairwise
@pytest.mark.parametrize("second", [NONE, DIAGONAL_SECOND, FULL, PROJECTED])
@pytest.mark.parametrize("factor_shape", [SPHERICAL, DIAGONAL, TRIANGULAR, LOW_RANK])
@pytest.mark.parametrize("n_features", [1, 2, 4, 5, 9, 20, 40])
@pytest.mark.parametrize("rule", [0, 1])
def test_truncated_step_has_the_same_bits_on_any_target(
    check_targets, make_call, factor_shape, n_features, second, rule
):
    call = make_call(factor_shape, n_features, second, rule)
    for n_threads in (1, 3):
        check_targets(lambda target, n=n_threads: [0.0 if each is None else each for each in call(target, n)])


@pytest.mark.parametrize("tried", [(1, 2, 0), (0, 0, 8)], ids=["in_turn", "drawn"])
def test_truncated_step_chooses_the_best_of_candidates_neighbours_and_draws(target, make_call, tried):
    """Check rows with one candidate each; bunches of 8 or 24 rows share candidates, and also try neighbours."""
    call, means = make_call(SPHERICAL, 1, n_rows=48, n_components=100), np.arange(100.0)[:, None]
    candidates, neighbours = np.full((48, 2), -1, np.int32), (np.arange(100, dtype=np.int32)[:, None] + [-1, 1]) % 100
    candidates[:24, 0], candidates[24:, 0] = 10, 52
    rows, same = np.full((48, 1), 11.1), {"log_scale": np.zeros(100), "factors": np.ones(100), "means": means}
    rows[24:] = 51.1
    same |= {"anchor": means, "rank": np.arange(100, dtype=np.int32), "neighbours": neighbours.astype(np.int32)}
    same |= dict(zip(("n_expanded", "n_tried", "n_drawn"), tried, strict=True))
    *_, found = call(target, rows=rows, candidates=candidates, log_noise_density=-np.inf, **same)
    np.testing.assert_array_equal(found, [[11, 10]] * 24 + [[51, 52]] * 24)


@pytest.mark.parametrize("n_candidates", [1, 3, 8])
@pytest.mark.parametrize(("factor_shape", "d"), [(SPHERICAL, 2), (TRIANGULAR, 2), (SPHERICAL, 20), (TRIANGULAR, 9)])
def test_truncated_step_keeps_the_nearest_components_and_the_first_of_equal_ones(
    target, rng, factor_shape, d, n_candidates
):
    """Compare with a stable sort of distances; each mean occurs twice, and the neighbours are all 40 components."""
    means, rows = np.tile(rng.normal(size=(20, d)), (2, 1)), rng.normal(size=(100, d))
    everything, order = np.tile(np.arange(40, dtype=np.int32), (40, 1)), np.arange(40, dtype=np.int32)
    candidates = np.tile(np.int32([0] + [-1] * (n_candidates - 1)), (100, 1))
    factors = np.ones(40) if factor_shape == SPHERICAL else np.tile(np.eye(d), (40, 1, 1))
    target.step_truncated(
        rows, None, np.zeros(40), means, factor_shape, factors, None, 0, NONE, None, None, None, -np.inf,
        candidates, everything, order, 1, 40, 0, 0, 0, 1,
    )  # fmt: skip
    distances = ((rows[:, None] - means[:20]) ** 2).sum(axis=2)
    nearest = np.argsort(distances, axis=1)[:, : n_candidates // 2 + 1]
    expected = np.stack((nearest, nearest + 20), axis=2).reshape(100, -1)[:, :n_candidates]
    np.testing.assert_array_equal(candidates, expected)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize(("K", "n_sampled"), [(1, 0), (5, 60), (3000, 9000)])
def test_list_neighbours_returns_near_and_then_overlapping_components(target, rng, K, n_sampled, n_threads):
    """Compare with dictionaries that count pairs of a row's best candidate and another candidate."""
    near = np.argsort(abs(np.arange(K)[:, None] - np.arange(K)), axis=1, kind="stable")[:, :6].astype(np.int32)
    near[K // 2 :, 3:], near[-1] = -1, -1
    sampled = (rng.integers(K, size=(n_sampled, 1)) + np.arange(4) * rng.integers(1, 9, (n_sampled, 1))) % max(K, 40)
    sampled = np.where((sampled < K) & (rng.random(sampled.shape) < 0.8), sampled, -1).astype(np.int32)
    n_shared = [Counter() for _ in range(K)]
    for best, *others in sampled.tolist():
        for other in others:
            if best >= 0 and other >= 0:
                n_shared[best][other] += 1
                n_shared[other][best] += 1
    n_neighbours = 200  # with fewer neighbours, all lists would be written in one thread
    found = target.list_neighbours(near, sampled, n_neighbours, n_threads)
    for k in range(K):
        first = sorted(set(near[k].tolist()) - {-1})
        rest = sorted(n_shared[k].keys() - set(first), key=lambda other: (-n_shared[k][other], other))
        expected = (first + rest)[:n_neighbours] or [-1]
        assert found[k].tolist() == (expected * n_neighbours)[:n_neighbours]


INVALID_NEIGHBOURS = {
    "near must be components": [{"near": np.full((3, 2), 3, np.int32)}],
    "sampled must be components": [{"sampled": np.full((4, 2), -2, np.int32)}],
    "n_neighbours must be at least 1": [{"n_neighbours": 0}],
    "near must have rows, and sampled must have columns": [{"near": np.zeros((0, 2), np.int32)}],
}


@pytest.mark.parametrize(("change", "message"), invalid_arguments(INVALID_NEIGHBOURS))
def test_list_neighbours_rejects_invalid_arguments(target, change, message):
    arguments = {"near": np.zeros((3, 2), np.int32), "sampled": np.zeros((4, 2), np.int32), "n_neighbours": 5} | change
    with pytest.raises(ValueError, match=message):
        target.list_neighbours(*arguments.values(), 1)


INVALID = {
    "candidates must be components": [
        {"candidates": np.full((500, 4), 30, np.int32)}, {"candidates": np.full((500, 4), -2, np.int32)}
    ],
    "candidates must have shape (n_rows, n_candidates)": [
        {"candidates": np.zeros((500, 0), np.int32)}, {"candidates": np.zeros((499, 4), np.int32)}
    ],
    "neighbours must be components": [
        {"neighbours": np.full((30, 3), 30, np.int32)}, {"neighbours": np.full((30, 3), -2, np.int32)}
    ],
    "neighbours must have shape (n_components, n_neighbours), and rank (n_components,)": [
        {"neighbours": np.zeros((29, 3), np.int32)}, {"rank": np.zeros(31, np.int32)}
    ],
    "rank must be below n_components": [{"rank": np.full(30, 30, np.int32)}, {"rank": np.full(30, -1, np.int32)}],
    "n_expanded must be 0 to n_candidates": [{"n_expanded": -1}, {"n_expanded": 5}],
    "n_tried must be 0 to n_neighbours": [{"n_tried": -1}, {"n_tried": 4}],
    "n_drawn must be 0 to 256": [{"n_drawn": -1}, {"n_drawn": 257}],
    "each component needs a factor, and rows no assignment": [{"rule": 2}, {"factors": np.ones((1, 3, 3))}],
    "rule must be 0, 1 or 2": [{"rule": 9}],
    "second must be 0, 1, 2, 3 or 4": [{"second": 9}],
    "factors must have 1, 2, 3 or 3 dimensions": [{"factors": np.ones((30, 3))}],
    "anchor must be given if and only if second is 1, 2, 3 or 4": [{"anchor": None}],
    "row_weight must have shape (n_rows,)": [{"row_weight": np.ones(499)}],
    "log_prior or prior_indices must have n_rows rows": [{"log_prior": np.zeros((499, 30))}],
    "n_threads must be at least 1": [{"n_threads": 0}],
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), invalid_arguments(INVALID))
def test_truncated_step_rejects_invalid_arguments(target, make_call, change, message):
    with pytest.raises(ValueError, match=message):
        make_call()(target, **change)


@pytest.mark.parametrize(("shape", "dtype"), [((500, 4), float), ((500, 4), np.int64), (500, np.int32)])
def test_truncated_step_rejects_candidates_of_wrong_types(target, make_call, shape, dtype):
    with pytest.raises(TypeError, match="incompatible function arguments"):
        make_call()(target, candidates=np.zeros(shape, dtype))
