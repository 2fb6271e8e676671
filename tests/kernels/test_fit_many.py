"""Tests of fits of many groups in the core: same bits on every target, groups that are left to Python, and errors."""

import numpy as np
import pytest
from common import invalid_arguments

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
INVALID = {
    "ranges and weights must have shape (n_groups,)": [
        {"first_weight": np.zeros(6, int)}, {"ranges": (np.zeros(6, int), np.zeros(7, int))},
        {"weights": (np.ones(6), np.ones(7))}, {"weights": (np.ones(7), np.ones(6))},
    ],
    "ranges of groups must lie within rows": [
        {"ranges": (np.full(7, 144), np.zeros(7, int))}, {"ranges": (np.full(7, -1), np.zeros(7, int))},
        {"ranges": (np.zeros(7, int), np.full(7, 144))}, {"ranges": (np.ones(7, int), np.full(7, 2**63 - 1))},
        {"ranges": (np.zeros(7, int), np.full(7, -1))},
    ],
    "first_weight of groups must lie within row_weight": [{"row_weight": np.ones(9)}],
    "no structure has this algebra": [{"structure": (0, 2, 2)}],
    "uniform must have 1 + (n_components - 1) n_candidates numbers for each start": [
        {"uniform_draws": np.ones((2, 6))}, {"n_components": 2}
    ],
    "uniform_draws must have a row for each start": [{"uniform_draws": np.ones((0, 7))}],
    "uniform_draws of a search must have a row for each start of the fit": [
        {"search": (np.ones((3, 9)), *SEARCH_SETTINGS)}
    ],
    "uniform_draws must have numbers": [{"search": (np.ones((2, 0)), *SEARCH_SETTINGS)}],
    "unit must have shape (n_features,), and needs centres": [{"unit": np.ones(2)}],
    "n_components is 0": [{"n_components": 0}],
    "n_components or n_candidates is 0": [{"n_candidates": 0}],
    "ridge must have shape (n_features,)": [{"ridge": np.ones(3)}],
    "max_steps must be at least 0": [{"max_steps": -1}],
    "several starts need max_steps of at least 1": [{"max_steps": 0}],
    "n_threads must be at least 1": [{"n_threads": 0}],
    "rows have no features": [{"rows": np.zeros((143, 0))}],
    "a prior, noise and incomplete rows need initial mixtures": [{"log_noise_volume": 1.0}],
    "a start other than k-means needs a ridge": [{"start": INITIAL}, {"start": np.ones((3, 2))}],
    "centres must have shape (n_components, n_features)": [{"start": np.ones((2, 2)), "ridge": np.ones(2)}],
    "labels must have the component of each row of a single group": [
        {"start": np.zeros(n, np.int32), "ridge": np.ones(2)} for n in (142, 143)
    ],
    "initial must have the mixture of each group": [{"start": INITIAL, "ridge": np.ones(2), "n_components": 2}],
    "initial mixtures need max_steps of at least 1": [{"start": INITIAL, "ridge": np.ones(2), "max_steps": 0}],
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), invalid_arguments(INVALID))
def test_fit_many_rejects_invalid_arguments(target, change, message, rng):
    with pytest.raises(ValueError, match=message):
        target.fit_many(**arguments(rng, **change))


@pytest.mark.parametrize("change", [{"rows": np.zeros((143, 2), int)}, {"ranges": 7}])
def test_fit_many_rejects_arguments_of_wrong_types(target, change, rng):
    with pytest.raises(TypeError):
        target.fit_many(**arguments(rng, **change))
