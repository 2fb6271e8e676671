"""Tests of fits of many groups in the core: same bits on every target, groups that are left to Python, and errors."""

import numpy as np
import pytest

from gaussmix import FAMILIES
from gaussmix._src.engines.calls import EMSettings, FitSettings, InitialMixtures, KMeansSettings

FULL = FAMILIES["full"].algebra
BY_CORE = [name for name, family in FAMILIES.items() if family.algebra is not None]
N_COMPONENTS, N_CANDIDATES = 3, 3
N_STEPS, TRACES = 6, 8  # positions of the numbers of steps and of the traces in the results
ACCEPTANCE = (1e-5, 4), (1e-5, 16), (1e-4, 15), (1e-5, 45), 2e-5, 16.0, 0.0025, 2.0, 10.0, 5e-6
SEARCH_SETTINGS = (
    (N_CANDIDATES, 100, 1e-4), (1e-4, 30), (1e-4, 30), (1e-5, 300), ACCEPTANCE, 15, 4, 4, 50, 20, 40, 30, 10, 1e3,
    1e3, 2, 2.0, 0.0, 2, 0,
)  # fmt: skip


def arguments(rng, **changes):
    """Return arguments of `Target.fit_many`: groups of 60, 7, 0, 1, 5, 40 and 30 rows; the first two are fitted."""
    size = np.array([60, 7, 0, 1, 5, 40, 30])
    first = np.cumsum(size) - size
    rows = rng.normal(size=(size.sum(), 2)) + rng.integers(3, size=(size.sum(), 1))
    rows[first[4] :][:5] = rows[first[4]]  # equal rows
    rows[first[5] + 3, 1] = np.nan
    rows[first[6] :, 0] = 2.0  # a constant column
    values = {
        "rows": rows, "row_weight": None, "ranges": (first, size), "first_weight": None,
        "weights": (size.astype(float), np.ones(7)), "limits": (2.0**-40, 1e-15, 1e3, 1e3),
        "seconds": 1e9, "incompleteness": (False, None), "n_threads": 2,
    }  # fmt: skip

    def changed(settings):
        return settings._replace(**{name: changes.pop(name) for name in settings._fields if name in changes})

    em_settings = changed(EMSettings(ridge=None, tolerance=1e-3, max_steps=100))
    uniform = rng.random((2, 1 + (N_COMPONENTS - 1) * N_CANDIDATES))
    kmeans = changed(KMeansSettings(N_CANDIDATES, uniform, max_passes=100, tolerance=1e-4))
    values["settings"] = changed(FitSettings(FULL, N_COMPONENTS, kmeans, em_settings, 1e-6, 0.01, 1e-152))
    return values | changes


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", BY_CORE)
def test_fit_many_has_the_same_bits_on_every_target(targets, name, dtype, rng):
    values = arguments(rng, structure=FAMILIES[name].algebra, ridge=np.full(2, 0.01))
    values["rows"] = np.repeat(values["rows"].astype(dtype), 2, axis=1)[:, ::2]  # not contiguous in memory
    ends = [target.fit_many(**values) for target in targets]
    assert (ends[0][N_STEPS] >= 0).tolist() == [True, True] + 5 * [False]  # Python must fit the last five groups
    for end in ends:
        assert [part.tobytes() for part in fitted_groups(end)] == [part.tobytes() for part in fitted_groups(ends[0])]


def fitted_groups(fits):
    """Return the results of the two fitted groups, because the arrays of other groups are undefined."""
    return *(part[:2] for part in fits[:TRACES]), *fits[TRACES:]


@pytest.mark.parametrize("name", BY_CORE)
def test_fit_many_with_a_search_has_the_same_bits_on_every_target(targets, name, rng):
    search = rng.random((2, 101)), *SEARCH_SETTINGS  # uses a subsample of groups of fifty rows or more
    values = arguments(rng, structure=FAMILIES[name].algebra, search=search, is_scaled=True)
    values["ranges"] = np.array([0, 0, 0]), np.array([9, 48, 60])
    values["weights"] = np.array([9.0, 48.0, 60.0]), np.ones(3)
    ends = [target.fit_many(**values) for target in targets]
    plain = targets[0].fit_many(**values | {"settings": values["settings"]._replace(search=None)})
    assert (ends[0][N_STEPS] >= 0).all()
    assert (plain[N_STEPS] >= 0).all()
    for end in ends:
        assert [part.tobytes() for part in fitted_groups(end)] == [part.tobytes() for part in fitted_groups(ends[0])]


def test_fit_many_fits_a_group_as_if_alone(target, rng):
    values = arguments(rng)
    together, alone = target.fit_many(**values), target.fit_many(**first_group(values))
    assert [part.tobytes() for part in alone[:TRACES]] == [part[:1].tobytes() for part in together[:TRACES]]
    np.testing.assert_array_equal(alone[TRACES], together[TRACES][: alone[N_STEPS][0]])
    assert together[TRACES].size == np.maximum(together[N_STEPS], 0).sum()


def first_group(values):
    """Return the arguments for the first group alone."""
    first, size = (int(part[0]) for part in values["ranges"])
    table = {"rows": values["rows"][first:][:size], "ranges": (np.zeros(1, int), np.array([size])),
             "weights": (np.array([float(size)]), np.ones(1))}  # fmt: skip
    return values | table


def test_fit_many_without_groups_returns_empty_arrays(target, rng):
    nothing = np.zeros(0, np.int64), np.zeros(0, np.int64)
    found = target.fit_many(**arguments(rng, ranges=nothing, weights=(np.zeros(0), np.zeros(0))))
    assert [part.shape for part in found] == [(0, 3), (0, 3, 2), (0, 12), (0, 12), (0, 3), (0, 2), *[(0,)] * 4, (0, 3)]


INITIAL = InitialMixtures(np.zeros((7, 3)), np.zeros((7, 3, 2)), np.zeros((7, 12)))
WRONG = {
    "first_weight": [np.zeros(6, int)],
    "start": [INITIAL],  # not allowed without a ridge
    "structure": [(0, 2, 2)],
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
    "uniform_draws": [np.ones((2, 6)), np.ones((0, 7))],
    "search": [(np.ones((3, 9)), *SEARCH_SETTINGS), (np.ones((2, 0)), *SEARCH_SETTINGS)],
    "unit": [np.ones(2)],  # not allowed without centres
    "n_components": [0, 2],
    "n_candidates": [0],
    "ridge": [np.ones(3)],
    "max_steps": [-1, 0],  # 0 is not allowed with several initialisations
    "n_threads": [0],
    "rows": [np.zeros((143, 0))],
    "log_noise_volume": [1.0],  # not allowed with k-means
}
CASES = [pytest.param({name: value}, id=f"{name}-{i}") for name in WRONG for i, value in enumerate(WRONG[name])]
CASES += [{"start": np.ones((3, 2))}, {"start": np.ones((2, 2)), "ridge": np.ones(2)}]
CASES += [{"start": np.zeros(n, np.int32), "ridge": np.ones(2)} for n in (142, 143)]  # labels allow only one group
CASES += [{"start": INITIAL, "ridge": np.ones(2)} | change for change in ({"n_components": 2}, {"max_steps": 0})]


@pytest.mark.parametrize("change", CASES)
def test_fit_many_rejects_invalid_arguments(target, change, rng):
    with pytest.raises(ValueError, match=r"must|needs?|algebra|moments|n_components|not there|max_steps|features"):
        target.fit_many(**arguments(rng, **change))


@pytest.mark.parametrize("change", [{"rows": np.zeros((143, 2), int)}, {"ranges": 7}])
def test_fit_many_rejects_arguments_of_wrong_types(target, change, rng):
    with pytest.raises(TypeError):
        target.fit_many(**arguments(rng, **change))
