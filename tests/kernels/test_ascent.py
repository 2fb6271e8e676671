"""The moves of a search in the core: the same bits on every target, for any number of threads; what is refused."""

import numpy as np
import pytest

from gaussmix import FAMILIES

N_COMPONENTS = 8
AFTER_MOVE = (1e-5, 30)
JUDGED = (1e-5, 4), (1e-5, 16), AFTER_MOVE, AFTER_MOVE, 2e-5, 16.0, 3.0, 0.005, 1e9, 40, 16, 8, 5, 2.0, 10.0, 5e-6


def arguments(rng, name="full", n_rows=2_000, **changes):
    """What `Target.climb` takes: rows of many clusters, and components that EM leaves on few of them."""
    algebra, n_features = FAMILIES[name].algebra, 3
    rows = rng.normal(size=(n_rows, n_features)) + 3 * rng.normal(size=(12, n_features))[rng.integers(12, size=n_rows)]
    one = {"full": np.eye(n_features), "diag": np.ones(n_features), "spherical": np.ones(1)}
    kind = "spherical" if algebra.shape == 0 else "diag" if algebra.orientation == 0 else "full"
    n_covariances = 1 if algebra.is_shared else N_COMPONENTS
    weights, means = np.full(N_COMPONENTS, 1 / N_COMPONENTS), rows[np.argsort(rows[:, 0])[:N_COMPONENTS]]
    covariances = np.tile(9.0 * one[kind].ravel(), n_covariances)
    values = {
        "rows": rows, "row_weight": np.ones(n_rows), "algebra": algebra, "weights": weights, "means": means,
        "covariances": covariances, "ridge": np.full(n_features, 1e-6), "limits": (2.0**-40, 1e-15, 1e3, 1e8),
        "log_likelihood": -20.0, "within": 9.0 * one["full" if kind == "full" else "diag"].ravel(),
        "acceptance": JUDGED, "has_swaps": False, "uniform": rng.random(101), "cursor": 0,
        "should_stop": lambda: False, "n_threads": 1,
    }  # fmt: skip
    return values | changes


def climbed(target, values):
    """The result and the mixture, of which the core writes over a copy."""
    written = {name: np.array(values[name]) for name in ("weights", "means", "covariances")}
    return target.ascend(**values | written), written


@pytest.mark.parametrize("has_swaps", [False, pytest.param(True, marks=pytest.mark.heavy)])
@pytest.mark.parametrize(
    "name",
    [
        name if name in ("full", "EVE") else pytest.param(name, marks=pytest.mark.heavy)
        for name, family in FAMILIES.items()
        if family.algebra is not None
    ],
)
def test_every_target_and_number_of_threads_gives_the_same_bits(targets, name, has_swaps, rng):
    values = arguments(rng, name, 3_000, has_swaps=has_swaps)
    expected, mixture = climbed(targets[0], values)
    assert has_swaps or expected[0] > 0
    for target in targets:
        found, again = climbed(target, values | {"n_threads": 3})
        assert found == expected
        for part, same in mixture.items():
            assert again[part].tobytes() == same.tobytes()


def test_where_em_is_unusual_python_climbs(target, rng):
    values = arguments(rng, limits=(0.5, 1e-15, 1e3, 1e8))
    (n_moves, *_), mixture = climbed(target, values)
    assert n_moves == -1
    for name, same in mixture.items():
        np.testing.assert_array_equal(same, values[name])


def test_a_climb_that_is_not_wanted_ends_soon(target, rng):
    calls = []
    values = arguments(rng, n_rows=60_000, should_stop=lambda: bool(calls.append(0)) or len(calls) > 2)
    climbed(target, values)
    assert len(calls) == 3


def test_an_error_of_the_callable_is_raised(target, rng):
    def fails():
        raise ValueError("as asked")

    with pytest.raises(ValueError, match="as asked"):
        climbed(target, arguments(rng, n_rows=60_000, should_stop=fails))


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": np.ones((4, 3), np.float32)},
        {"rows": np.ones((3, 4)).T},
        {"row_weight": None},
        {"row_weight": np.ones(8)[::2]},
        {"within": np.ones(2)},
        {"uniform": np.ones(0)},
        {"cursor": 101},
        {"cursor": -1},
        {"n_threads": 0},
        {"covariances": np.ones(5)},
        {"acceptance": ((1e-5, 0), *JUDGED[1:])},
    ],
    ids=str,
)
def test_wrong_arguments(target, changes, rng):
    values = arguments(rng, n_rows=4, **changes)
    values["means"], values["weights"] = np.zeros((N_COMPONENTS, 3)), np.ones(N_COMPONENTS)
    with pytest.raises(ValueError, match=r"must|needs"):
        target.ascend(**values)


def pair(rng, name="full", **changes):
    """What `Target.cross` takes: two mixtures on the rows of `arguments`."""
    values, other = arguments(rng, name), arguments(rng, name)
    names = "rows", "row_weight", "algebra", "weights", "means", "covariances", "ridge", "limits", "n_threads"
    found = {each: values[each] for each in names}
    return found | {f"other_{each}": other[each] for each in ("weights", "means", "covariances")} | changes


def crossed(target, values):
    """Whether there is a mixture, and it; the core writes over copies."""
    written = {name: np.array(values[name]) for name in values if name.endswith(("weights", "means", "covariances"))}
    return target.cross(**values | written), written


@pytest.mark.parametrize("name", ["full", "diag", "spherical"])
def test_every_target_and_number_of_threads_crosses_with_the_same_bits(targets, name, rng):
    values = pair(rng, name)
    is_found, mixture = crossed(targets[0], values)
    assert is_found
    assert mixture["weights"].sum() == pytest.approx(1)
    for target in targets:
        is_found, again = crossed(target, values | {"n_threads": 3})
        assert is_found
        for part, same in again.items():
            assert mixture[part].tobytes() == same.tobytes()


def test_mixtures_whose_components_would_collapse_are_not_crossed(target, rng):
    values = pair(rng, limits=(0.5, 1e-15, 1e3, 1e8))
    is_found, mixture = crossed(target, values)
    assert not is_found
    for name in "weights", "means", "covariances":
        np.testing.assert_array_equal(mixture[name], values[name])


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": np.ones((4, 3), np.float32)},
        {"row_weight": None},
        {"other_weights": np.ones(N_COMPONENTS - 1)},
        {"other_means": np.ones((N_COMPONENTS - 1, 3))},
        {"other_covariances": np.ones(5)},
        {"n_threads": 0},
    ],
    ids=str,
)
def test_wrong_arguments_of_a_crossing(target, changes, rng):
    with pytest.raises(ValueError, match=r"must|needs"):
        target.cross(**pair(rng, **changes))


@pytest.mark.parametrize("name", ["tied", "EEV", "VVE", "VEI"])
def test_mixtures_whose_covariances_depend_on_each_other_are_not_crossed(target, name, rng):
    with pytest.raises(ValueError, match="covariances of their own"):
        target.cross(**pair(rng, name))
