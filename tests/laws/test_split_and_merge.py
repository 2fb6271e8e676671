"""A search reaches the optimum that EM alone misses. It ends neither below its start nor in a maximum on a few rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from gaussmix import GaussianMixture, GaussianMixtureIC, NormalInverseWishart
from gaussmix import open as open_files
from gaussmix.em import moves
from gaussmix.em import split_and_merge as split_and_merge_module
from gaussmix.em.halves import halved
from gaussmix.em.moves import Draws, LocalEM, Moves, View, crossed
from gaussmix.em.objective import Objective
from gaussmix.em.split_and_merge import POLISHED, SEARCHED, _Climb, _crossed, split_and_merge
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, Trace
from gaussmix.engines import choose
from gaussmix.engines.native.engine import NativeEngine
from gaussmix.families import FAMILIES
from gaussmix.fit import fit
from gaussmix.fit.problem import Data
from gaussmix.model import Model
from gaussmix.sources.array import ArraySource
from gaussmix.starts.sample import distinct_rows
from gaussmix.testing.closeness import assert_same_bits

pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
N_COMPONENTS, N_FEATURES, N_ROWS = 14, 3, 4_000


def drawn(family, n_rows=N_ROWS):
    """Rows of components of many sizes, which k-means does not tell apart, and the parameters."""
    rng = np.random.default_rng(15)
    means = 3.0 * rng.normal(size=(N_COMPONENTS, N_FEATURES))
    turned = np.linalg.qr(rng.normal(size=(N_COMPONENTS, N_FEATURES, N_FEATURES)))[0]
    if FAMILIES[family].is_shared or family == "VVE":
        turned = turned[:1].repeat(N_COMPONENTS, axis=0)
    size = np.exp(rng.uniform(-3.0, 0.5, size=(N_COMPONENTS, N_FEATURES)))
    if FAMILIES[family].is_shared:
        size[:] = size[0]
    if family == "spherical":
        size[:] = size[:, :1]
    if family in ("spherical", "diag"):
        turned[:] = np.eye(N_FEATURES)
    dense = turned * size[:, None] @ turned.transpose(0, 2, 1)
    shape = {"full": dense, "VVE": dense, "tied": dense[0], "diag": size, "spherical": size[:, 0]}
    labels = rng.integers(N_COMPONENTS, size=n_rows)
    rows = means[labels] + np.einsum(
        "nij,nj->ni", np.linalg.cholesky(dense)[labels], rng.normal(size=(n_rows, N_FEATURES))
    )
    return rows, {
        "weights_init": np.full(N_COMPONENTS, 1 / N_COMPONENTS),
        "means_init": means,
        "covariances_init": shape[family],
    }


def fitted(rows, family="full", n_components=N_COMPONENTS, **parameters):
    how = {"init_params": "kmeans", "tol": 1e-5, "max_iter": 500} | parameters
    return GaussianMixture(n_components, covariance_type=family, **how).fit(rows)


def in_python(climb, patience, *, swaps):
    return False


@pytest.fixture
def climbs(monkeypatch):
    """Whether the core tried the moves of each climb."""
    found, by_core = [], _Climb._by_core

    def noted(climb, patience, *, swaps):
        found.append(by_core(climb, patience, swaps=swaps))
        return found[-1]

    monkeypatch.setattr(_Climb, "_by_core", noted)
    return found


@pytest.mark.heavy(but=5)
@pytest.mark.needs_core
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.algebra])
def test_the_core_makes_the_moves_that_python_makes(family, is_weighted, climbs):
    rows, _ = drawn(family if family in ("spherical", "diag", "tied") else "full", 1_500)
    sample = distinct_rows(ArraySource(rows, np.arange(1_500) % 3 + 0.5 if is_weighted else None))
    begun = fitted(rows, family, init_params="random_from_data", max_iter=2, random_state=0).mixture_
    covariances = FAMILIES[family].covariances(begun.covariances, N_COMPONENTS, N_FEATURES)
    start = Model(begun.weights, begun.means, covariances, FAMILIES[family])
    objective, n_accepted = Objective(np.full(N_FEATURES, 1e-6)), []
    found = split_and_merge(start, sample, choose(1), objective, np.random.default_rng(3))
    assert climbs
    assert all(climbs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Climb, "_by_core", in_python)
        accept = _Climb._accept
        patch.setattr(_Climb, "_accept", lambda climb, moves: n_accepted.append(accept(climb, moves)) or n_accepted[-1])
        expected = split_and_merge(start, sample, choose(1), objective, np.random.default_rng(3))
    assert any(n_accepted), "else these rows show nothing"
    for name in "weights", "means":
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.covariances.array, expected.covariances.array, rtol=1e-9, atol=1e-9)


@pytest.mark.needs_core
@pytest.mark.parametrize("family", ["full", "diag", "tied"])
def test_a_search_ends_with_the_move_that_takes_the_last_of_its_work(family, monkeypatch):
    """By the core as by Python: both count the rows and components that EM visits."""
    rows, _ = drawn(family, 1_500)
    sample, objective = distinct_rows(ArraySource(rows)), Objective(np.full(N_FEATURES, 1e-6))
    begun = fitted(rows, family, init_params="random_from_data", max_iter=2, random_state=0).mixture_
    covariances = FAMILIES[family].covariances(begun.covariances, N_COMPONENTS, N_FEATURES)
    start = Model(begun.weights, begun.means, covariances, FAMILIES[family])
    left = {}
    for by in "core", "Python":
        if by == "Python":
            monkeypatch.setattr(_Climb, "_by_core", in_python)
        for n_steps in 0, 100:
            kept = []
            monkeypatch.setattr(
                split_and_merge_module, "LocalEM", lambda *em, kept=kept: kept.append(LocalEM(*em)) or kept[-1]
            )
            split_and_merge(start, sample, choose(1), objective, np.random.default_rng(3), n_steps=n_steps)
            left[by, n_steps] = kept[0].left / (len(sample.rows) * N_COMPONENTS)  # in steps on all rows
    for n_steps in 0, 100:
        assert left["core", n_steps] == left["Python", n_steps]
    assert -100 < left["core", 0] <= 0
    assert left["core", 100] > 0


@pytest.mark.needs_core
def test_groups_that_are_whole_numbers_are_searched_by_the_core(climbs, rng):
    """Their means lie so many standard deviations apart that sums about one centre of all rows lose their digits."""
    rows = np.column_stack((rng.integers(6, size=3_000), rng.normal(size=3_000)))
    assert fitted(rows, "tied", 6, init_params="search", random_state=0).score(rows) > 1
    assert climbs
    assert all(climbs)


@pytest.mark.needs_core
@pytest.mark.parametrize(
    "family", ["full", "VEV", *(pytest.param(name, marks=pytest.mark.heavy) for name in ("EVE", "tied", "diag"))]
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rows_with_something_unusual_are_searched_alike(family, climbs):
    """By the core, which leaves a climb with an unusual step to Python, and by Python alone."""
    for seed, what in enumerate(["outlier", "constant", "far", "sum", "units"] * 2):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(300, 3)) + rng.integers(0, 4, size=(300, 1)) * rng.normal(size=3) * 3
        if what == "outlier":
            rows[0] = 1e4
        elif what == "constant":
            rows[:, 0] = 3.0
        elif what == "far":
            rows += 1e8
        elif what == "sum":
            rows = np.column_stack((rows, rows.sum(axis=1)))
        else:
            rows *= 1e-150
        found = fitted(rows, family, 5, init_params="search", random_state=0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_Climb, "_by_core", in_python)
            patch.setattr(NativeEngine, "fit_many", lambda engine, groups, recipe: None)
            expected = fitted(rows, family, 5, init_params="search", random_state=0)
        assert found.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-7), what
    assert True in climbs


@pytest.mark.heavy(but=2)
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("family", ["full", "diag", "spherical"])
def test_two_models_that_know_a_half_each_give_one_that_knows_more(family, is_weighted):
    """By the core as by Python. Each has one component for what it does not know, and others where none is missing."""
    rows, parameters = drawn(family)
    sample = distinct_rows(ArraySource(rows, np.arange(N_ROWS) % 3 + 0.5 if is_weighted else None))
    em, means = LocalEM(FAMILIES[family], choose(1), Objective(np.full(N_FEATURES, 1e-6))), parameters["means_init"]

    def end(means):
        nearest = ((sample.rows[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
        return em.end(sample, em.model_of(sample, np.eye(N_COMPONENTS)[nearest]), Stopping(1e-6, 200))

    order, half = np.argsort(means[:, 0]), N_COMPONENTS // 2
    ends = []
    for known, lost in (order[:half], order[half:]), (order[half:], order[:half]):
        some = np.array(means)
        some[lost[0]], some[lost[1:]] = means[lost].mean(axis=0), means[known[1:]] + 0.1
        ends.append(end(some))
    found, expected = (make(sample, em, *(each.model for each in ends)) for make in (_crossed, crossed))
    for name in "weights", "means":
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.covariances.array, expected.covariances.array, rtol=1e-9, atol=1e-9)
    higher, best = max(each.trace.last for each in ends), end(means).trace.last
    assert higher < best - 0.1, "else these rows show nothing"
    assert em.end(sample, found, Stopping(1e-6, 200)).trace.last > (higher + best) / 2


@pytest.mark.parametrize("family", ["full", "VVE", "tied", "diag", "spherical"])
def test_a_search_reaches_what_em_reaches_from_the_truth(family):
    rows, parameters = drawn(family)
    best = fitted(rows, family, **parameters)
    scores = [fitted(rows, family, init_params="search", random_state=seed).score(rows) for seed in range(4)]
    assert min(scores) > best.score(rows) - 0.005
    plain = [fitted(rows, family, random_state=seed).score(rows) for seed in range(4)]
    assert min(plain) < best.score(rows) - 0.005, "else these rows show nothing"


@pytest.mark.parametrize("what", ["an outlier", "a constant column", "a column that follows from others", "rounded"])
@pytest.mark.filterwarnings("ignore:.*is constant:RuntimeWarning")
def test_rows_as_people_have_them_do_not_keep_a_search_from_the_optimum(what):
    rows, parameters = drawn("full")
    n_components, n_features = N_COMPONENTS, N_FEATURES
    if what == "an outlier":
        rows = np.concatenate((rows, np.full((1, N_FEATURES), 1e3)))
        n_components += 1
    elif what == "a constant column":
        rows = np.column_stack((rows, np.full(len(rows), 7.0)))
    elif what == "a column that follows from others":
        rows = np.column_stack((rows, rows.sum(axis=1)))
    else:
        rows = np.round(rows, 1)
    start = np.array(parameters["means_init"])
    labels = ((rows[:, None, :n_features] - start) ** 2).sum(axis=2).argmin(axis=1)
    if what == "an outlier":
        labels[-1] = N_COMPONENTS
    best = fitted(rows, n_components=n_components, init_params=labels).score(rows)
    scores = [fitted(rows, n_components=n_components, init_params="search", random_state=seed) for seed in range(3)]
    assert min(gm.score(rows) for gm in scores) > best - 0.005


@pytest.mark.parametrize("family", ["full", "diag"])
def test_a_part_of_many_rows_stands_for_all(family):
    rows, parameters = drawn(family, 60_000)
    best = fitted(rows, family, **parameters)
    assert fitted(rows, family, init_params="search", random_state=0).score(rows) > best.score(rows) - 0.005


@pytest.mark.parametrize(
    ("rows", "n_components", "weight"),
    [
        (np.ones((20, 2)), 3, None),
        (np.arange(24.0).reshape(12, 2) ** 2, 11, None),
        (np.arange(40.0).reshape(20, 2) ** 2, 1, None),
        (np.arange(40.0).reshape(20, 2) ** 2, 3, np.where(np.arange(20) % 7, 0.0, 1.0)),
    ],
    ids=["equal rows", "as many components as rows", "one component", "weights on three rows"],
)
@pytest.mark.parametrize("family", ["full", "tied", "diag"])
@pytest.mark.filterwarnings("ignore:.*(constant|distinct|collapsed|lost):RuntimeWarning")
def test_where_there_is_nothing_to_find_the_answer_is_that_of_the_plain_start(rows, n_components, weight, family):
    plain, searched = (
        GaussianMixture(n_components, covariance_type=family, init_params=start, random_state=0).fit(rows, None, weight)
        for start in ("kmeans", "search")
    )
    assert np.isfinite(searched.means_).all()
    assert searched.score(rows, sample_weight=weight) >= plain.score(rows, sample_weight=weight) - 1e-3
    if family != "tied":
        assert_same_bits(searched.means_, plain.means_, "means")


def searched(rows, weight=None, n_jobs=1, seed=0):
    sample, engine = distinct_rows(ArraySource(rows, weight)), choose(n_jobs)
    data = Data(ArraySource(rows, weight))
    places = np.linspace(0, len(sample.rows) - 1, 6).astype(int)
    covariances = FAMILIES["full"].covariances(np.tile(9 * np.eye(2), (6, 1, 1)), 6, 2)
    start = Model(np.full(6, 1 / 6), sample.rows[places], covariances, FAMILIES["full"])
    return split_and_merge(start, sample, engine, data.objective(1e-3), np.random.default_rng(seed))


def test_order_and_number_of_equal_rows_and_threads_change_no_bit(rng):
    rows = np.round(rng.normal(size=(900, 2)) + 4 * rng.integers(5, size=(900, 1)), 2)
    times = rng.integers(1, 4, size=900)
    expected = searched(rows.repeat(times, axis=0))
    many = rows.repeat(times, axis=0)[rng.permutation(times.sum())]
    for found in searched(many), searched(many, n_jobs=3), searched(rows, times.astype(float)):
        assert_same_bits(found.means, expected.means, "means")


@pytest.mark.parametrize(
    ("n_rows", "is_flat", "n_unsound"), [(5, False, 1), (15, False, 0), (15, True, 1), (60, True, 0), (60, False, 0)]
)
def test_components_on_a_handful_of_rows_are_unsound(n_rows, is_flat, n_unsound, rng):
    """Of rows with a column that is constant, which makes no component flat."""
    near = rng.normal(3.0, 0.3, size=(n_rows, 2)) * ([1.0, 1e-5] if is_flat else 1.0)
    sample = distinct_rows(
        ArraySource(np.column_stack((np.concatenate((rng.normal(size=(300, 2)), near)), np.ones(300 + n_rows))))
    )
    em = LocalEM(FAMILIES["full"], choose(), Objective(np.full(3, 1e-12)))
    start = em.model_of(sample, np.full((300 + n_rows, 2), 0.5) + 0.1 * np.sign(sample.rows[:, :1]) * [1.0, -1.0])
    search = _Climb(sample, em, rng, State(start, Trace()), lambda: False)
    is_near = (sample.rows[:, None, :2] == near).all(axis=2).any(axis=1)
    model = em.model_of(sample, np.column_stack((is_near, ~is_near)).astype(float))
    assert search._count_unsound(View(sample, em, start)) == 0
    assert search._count_unsound(View(sample, em, model)) == n_unsound


def test_halves_find_two_clusters_in_any_units(rng):
    """Beside a group of one cluster, and one without rows; a feature is constant."""
    clusters = np.repeat([[3.0, 0.0], [-3.0, 1.0]], 60, axis=0) + rng.normal(size=(120, 2))
    units = np.array([[1e3, 0.0], [40.0, 1e-4]])
    rows = np.zeros((3, 150, 3))
    rows[0, :120, :2], rows[1, :, :2], rows[:, :, 2] = clusters @ units + 7.0, rng.normal(size=(150, 2)) @ units, 0.1
    weight = np.array([np.arange(150) < 120, np.ones(150), np.zeros(150)]) / [[120], [150], [1]]
    halves = halved(rows, weight, np.array([1e3, 1e-4, 1e-150]), rng.random((3, 4)), is_full=True)
    share = halves.first_share(0, rows[0, :120])
    assert min(abs(share - side).max() for side in (np.repeat([0, 1], 60), np.repeat([1, 0], 60))) < 0.1
    assert halves.gain[0] > 0.3 > 0.1 > halves.gain[1]
    assert halves.gain[2] == -np.inf


def test_a_half_without_a_covariance_gains_nothing():
    """All weight is in one row, so that the half of the others has an offset of 1e5 and a variance of 1e10."""
    rows = np.array([[0.0, 0.0, 0.0], [1e5, -3e4, 2e4], [2e4, 9e4, 3e4], [-3e4, -6e4, 3e5]])
    weight = np.array([1.0, 1e-10, 1e-10, 1e-11])
    halves = halved(rows[None], weight[None] / weight.sum(), np.full(3, 1e-9), None, is_full=True)
    assert halves.gain.tolist() == [-np.inf]
    assert np.isfinite(halves.factors).all()


@pytest.mark.parametrize("family", ["full", "diag", "spherical", "VVE", "tied"])
def test_what_a_removal_loses_does_not_depend_on_the_unit(family):
    """Nor does it where EM has not settled, so that weights differ from the masses of the next step."""
    rows, parameters = drawn(family, 400)
    found = []
    for unit in 1.0, 2.0**60:
        sample = distinct_rows(ArraySource(unit * rows))
        em = LocalEM(FAMILIES[family], choose(), Objective(np.zeros(3)))
        covariances = unit**2 * np.array(parameters["covariances_init"])
        model = Model(
            np.arange(1, N_COMPONENTS + 1) / (N_COMPONENTS * (N_COMPONENTS + 1) / 2),
            unit * np.array(parameters["means_init"]),
            FAMILIES[family].covariances(covariances, N_COMPONENTS, 3),
            FAMILIES[family],
        )
        found.append(moves._removals(View(sample, em, model)))
    assert [each[1:] for each in found[0]] == [each[1:] for each in found[1]]
    np.testing.assert_allclose([each[0] for each in found[0]], [each[0] for each in found[1]], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("covariance_type", ["tied", "EVV", "full"])
def test_a_search_ends_alike_in_any_unit(covariance_type):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(900, 3)) * np.exp(rng.normal(size=(4, 3)))[rng.integers(4, size=900)]
        how = {"covariance_type": covariance_type, "init_params": "search", "random_state": 0}
        fits = (GaussianMixture(4, **how).fit(unit * rows) for unit in (1.0, 2.0**40, 2.0**-40))
        first, *others = ((fit.weights_, fit.lower_bound_) for fit in fits)
        for (weights, bound), shift in zip(others, (120, -120), strict=True):
            np.testing.assert_allclose(weights, first[0], rtol=1e-6)
            np.testing.assert_allclose(bound + shift * np.log(2), first[1], rtol=1e-9)


@pytest.mark.parametrize("family", ["full", "diag", "spherical", "VVE", "tied"])
def test_all_rows_gain_what_the_rows_of_a_move_gain_or_more(family, monkeypatch, rng):
    """Some components are moved and go on to EM; the others are as they were. All are, where covariances are tied."""
    monkeypatch.setattr(moves, "LEAST_SHARE", np.finfo(float).tiny)
    rows, parameters = drawn(family, 1_000)
    sample = distinct_rows(ArraySource(rows, rng.uniform(1, 4, size=1_000)))
    em = LocalEM(FAMILIES[family], choose(), Objective(np.full(3, 1e-9)))
    covariances = FAMILIES[family].covariances(np.array(parameters["covariances_init"]), N_COMPONENTS, 3)
    view = View(sample, em, Model(parameters["weights_init"], parameters["means_init"], covariances, FAMILIES[family]))
    before, n_parts = view.row_share @ view.log_density, 0
    for moved in islice(Moves(em, Draws(rng), np.ones(3)).ranked(view, set()), 12):
        n_parts += len(moved.part.components) < N_COMPONENTS
        state = em.end(moved.part.rows, moved.model, Stopping(0.0, 4))
        last = View(moved.part.rows, em, state.model)
        gain = moved.part.share * (last.row_share @ last.log_density - moved.part.log_likelihood)
        after = View(sample, em, moved.part.within(view.model, state.model))
        assert after.model.weights.sum() == pytest.approx(1, abs=1e-12)
        assert after.row_share @ after.log_density > before + gain - 1e-9
    assert n_parts == (0 if family in ("VVE", "tied") else 12)


def test_a_search_tries_moves_on_few_rows_then_on_more(monkeypatch):
    rows, _ = drawn("full", 60_000)
    seen = []
    end = LocalEM.end
    monkeypatch.setattr(LocalEM, "end", lambda em, rows, *rest: seen.append(len(rows.rows)) or end(em, rows, *rest))
    monkeypatch.setattr(_Climb, "_by_core", in_python)
    fitted(rows, init_params="search", random_state=0)
    few, more = (wanted[1] * N_COMPONENTS for wanted in (SEARCHED, POLISHED))
    first = next(place for place, n_rows in enumerate(seen) if n_rows > 0.8 * more)
    assert 0.8 * few < max(seen[:first]) < 1.05 * few
    assert max(seen) < 1.05 * more
    assert first + 4 < len(seen), "moves are tried on more rows too"


@pytest.mark.parametrize("what", ["plain", "weights", pytest.param("holes", marks=pytest.mark.heavy), "noise"])
@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical", "VEV", "EVE", "factor_analyzer"])
def test_a_search_ends_at_least_as_high_as_em_from_its_k_means_start(family, what):
    """On mixtures of random shapes that overlap: the search keeps the better of the two ends."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        n_components, n_features = int(rng.integers(2, 7)), int(rng.integers(2, 5))
        labels = rng.choice(n_components, 400, p=rng.dirichlet(np.ones(n_components)))
        turned = rng.normal(size=(n_components, n_features, n_features))
        middle = 2 * rng.normal(size=(n_components, n_features))
        rows = middle[labels] + np.einsum("nij,nj->ni", turned[labels], rng.normal(size=(400, n_features)))
        weight = rng.integers(1, 4, size=400).astype(float) if what == "weights" else None
        if what == "holes":
            rows[rng.random(rows.shape) < 0.1] = np.nan
            rows = rows[~np.isnan(rows).all(axis=1)]
        options = {"noise": True} if what == "noise" else {}
        plain, searched = (
            GaussianMixture(n_components, covariance_type=family, init_params=start, random_state=seed, **options).fit(
                rows, sample_weight=weight
            )
            for start in ("kmeans", "search")
        )
        assert searched.lower_bound_ >= plain.lower_bound_ - 1e-9


def test_a_move_that_adds_an_unsound_component_is_refused():
    """A search that looks at the likelihood alone takes it."""
    rows = np.random.default_rng(4).exponential(size=(200, 3))
    scores = []
    with pytest.MonkeyPatch.context() as patch:
        for _ in range(2):
            fits = [fitted(rows, n_components=8, init_params="search", random_state=seed) for seed in range(8)]
            scores.append(np.array([gm.score(rows) for gm in fits]))
            patch.setattr("gaussmix.em.split_and_merge.FEW_ROWS", 0)
            patch.setattr("gaussmix.em.split_and_merge.SOME_ROWS", 0)
    assert (scores[1] - scores[0]).max() > 0.01


def test_a_search_in_a_file_has_the_bits_of_one_in_memory(tmp_path, rng):
    rows = rng.normal(size=(3_000, 2)) + 5 * rng.integers(4, size=(3_000, 1))
    np.save(tmp_path / "rows.npy", rows)
    in_memory = fitted(rows, n_components=5, init_params="search", random_state=0)
    from_file = fitted(open_files(tmp_path / "rows.npy"), n_components=5, init_params="search", random_state=0)
    assert_same_bits(from_file.means_, in_memory.means_, "means")


@pytest.mark.parametrize("how", ["errors", "initial weights", "no steps"])
def test_a_search_that_is_asked_for_is_made_beside_what_else_is_given(how):
    rows, _ = drawn("full", 2_000)
    error = np.full(N_FEATURES, 1e-6) if how == "errors" else None
    options = {
        "errors": {},
        "initial weights": {"weights_init": np.full(N_COMPONENTS, 1 / N_COMPONENTS)},
        "no steps": {"max_iter": 0},
    }[how]
    plain, searched = (
        GaussianMixture(N_COMPONENTS, init_params=start, random_state=3, **options).fit(rows, X_error=error)
        for start in ("kmeans", "search")
    )
    assert searched.score(rows) > plain.score(rows) + 0.05


@pytest.mark.heavy
def test_a_split_of_few_rows_promises_what_it_promises_on_all(monkeypatch, rng):
    """Of rows of one cluster in six dimensions, where 28 more parameters gain 0.07 nats on the 200 rows of a split."""
    rows = rng.normal(size=(8_000, 6)) + 40.0 * (np.arange(8_000) % 2)[:, None]
    sample, em = distinct_rows(ArraySource(rows)), LocalEM(FAMILIES["full"], choose(), Objective(np.full(6, 1e-9)))
    view = View(sample, em, em.model_of(sample, np.eye(2)[(sample.rows[:, 0] > 20).astype(int)]))
    gains = []
    for most in moves.LOCAL_ROWS, len(rows):
        monkeypatch.setattr(moves, "LOCAL_ROWS", most)
        tried = [Moves(em, Draws(np.random.default_rng(seed)), np.ones(6)) for seed in range(8)]
        for each in tried:
            each._split_again(view)
        gains.append(np.mean([split.gain for each in tried for _, split in each._splits.values()]))
    assert gains[0] == pytest.approx(gains[1], abs=0.02)


def uneven(seed):
    """20,000 rows of 12 components in five dimensions, the largest with 300 times the weight of the smallest."""
    rng = np.random.default_rng(seed)
    means = 1.7 * rng.normal(size=(12, 5))
    weights = np.geomspace(1, 300, 12)
    labels = rng.choice(12, 20_000, p=weights / weights.sum())
    factors = rng.normal(size=(12, 5, 5)) / np.sqrt(5) + 0.5 * np.eye(5)
    return means[labels] + np.einsum("ni,nij->nj", rng.normal(size=(20_000, 5)), factors[labels]), labels


@pytest.mark.heavy
def test_components_that_are_too_few_rows_of_a_part_are_found_in_all():
    rows, labels = uneven(101)
    best = fitted(rows, n_components=12, init_params=labels).score(rows)
    scores = [fitted(rows, n_components=12, init_params="search", random_state=seed).score(rows) for seed in range(4)]
    assert min(scores) > best - 0.005


def test_a_search_of_clear_groups_looks_at_few_rows_alone(monkeypatch, rng):
    rows = rng.normal(size=(20_000, 3)) + 20.0 * rng.integers(2, size=(20_000, 3))
    seen = []
    go = _Climb.go
    monkeypatch.setattr(_Climb, "go", lambda climb, patience: seen.append(len(climb.rows.rows)) or go(climb, patience))
    fitted(rows, n_components=8, init_params="search", random_state=0)
    assert len(seen) == 1
    assert seen[0] < 5_000


def test_a_search_whose_part_is_all_rows_goes_on_with_more_patience(monkeypatch, rng):
    rows = rng.random((3_000, 2)) ** 2
    ends = []
    go = _Climb.go

    def noted(climb, patience):
        ends.append((len(climb.rows.rows), patience, go(climb, patience).rank))
        return climb

    monkeypatch.setattr(_Climb, "go", noted)
    fitted(rows, n_components=24, init_params="search", random_state=0)
    assert [end[:2] for end in ends] == [(3_000, 6), (3_000, 24)]
    assert ends[1][2] < ends[0][2]


def test_a_choice_may_search():
    rows, _ = drawn("full")
    choice = {"covariance_type": ["full", "diag"], "n_components": [13, 14], "random_state": 0}
    plain = GaussianMixtureIC(**choice, init_params="kmeans").fit(rows)
    better = GaussianMixtureIC(**choice, init_params="search").fit(rows)
    assert better.score(rows) > plain.score(rows) + 0.005


@pytest.mark.parametrize("structure", ["EVE", "VVE"])
@pytest.mark.parametrize("power", [120, 150])
def test_columns_of_any_size_are_searched(structure, power):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 3)) + 5 * (np.arange(200) % 2)[:, None]
    rows[rng.random(rows.shape) < 0.1] = np.nan
    for X in rows[~np.isnan(rows).any(axis=1)], rows:
        mixture = GaussianMixture(3, covariance_type=structure, init_params="search", max_iter=3, random_state=0)
        mixture.fit(X * [10.0**-power, 1.0, 10.0**power])
        assert np.isfinite(mixture.lower_bound_)


def test_clear_groups_have_no_move_that_is_worth_a_try(rng):
    labels = rng.integers(3, size=600)
    for spread, n_moves in (12.0, 0), (2.0, 4):
        rows = spread * np.eye(3)[labels][:, :2] + rng.normal(size=(600, 2))
        sample, em = distinct_rows(ArraySource(rows)), LocalEM(FAMILIES["full"], choose(), Objective(np.full(2, 1e-9)))
        model = em.model_of(sample, np.eye(3)[labels][np.lexsort(rows.T[::-1])])
        tried = islice(Moves(em, Draws(rng), np.ones(2)).ranked(View(sample, em, model), set()), 4)
        assert len(list(tried)) == n_moves


def test_a_search_passes_over_components_that_a_prior_keeps_without_weight(rng):
    """Most numbers are 0, and starts from the others leave a component without any of them."""
    X = np.concatenate((np.zeros(70), rng.normal(3.4, 0.3, size=20)))[:, None]
    how = {"prior": NormalInverseWishart(shrinkage=0.1), "reg_covar": 1e-6, "max_iter": 1000, "random_state": 0}
    few = GaussianMixture(2, covariance_type="diag", init_params="search", **how).fit(X)
    with pytest.warns(RuntimeWarning, match="next to no row belongs there"):
        many = GaussianMixture(5, covariance_type="diag", init_params="search", **how).fit(X)
    assert many.weights_.min() < 1e-9
    assert many.score(X) > few.score(X) - 1e-6


def test_a_component_that_stays_among_its_own_rows_is_not_judged(rng, monkeypatch):
    """A third of the swaps of three groups: EM would only bring the component back."""
    labels = np.arange(300) % 3
    sample = distinct_rows(ArraySource(20.0 * np.eye(3)[labels][:, :2] + rng.normal(size=(300, 2))))
    em = LocalEM(FAMILIES["tied"], choose(), Objective(np.full(2, 1e-9)))
    nearest = np.where(sample.rows.max(axis=1) > 10, 1 + sample.rows.argmax(axis=1), 0)
    search = _Climb(
        sample, em, rng, State(em.model_of(sample, np.eye(3)[nearest]), Trace((-9.0,), (-9.0,))), lambda: False
    )
    judged = []
    monkeypatch.setattr(LocalEM, "end", lambda em, rows, model, stopping: judged.append(model))
    monkeypatch.setattr(_Climb, "_by_core", in_python)
    before = search.model.means
    search.swap()
    assert 4 <= len(judged) <= 14, "of 15 swaps two thirds, more or less"
    for model in judged:
        (moved,) = np.flatnonzero((model.means != before).any(axis=1))
        assert np.linalg.norm(model.means[moved] - before[moved]) > 10


@pytest.mark.parametrize(("spread", "are_swapped"), [(2.0, True), (20.0, False)])
def test_no_component_is_swapped_where_even_the_first_move_is_hopeless(spread, are_swapped, monkeypatch):
    rng, swapped = np.random.default_rng(5), []
    rows = spread * np.eye(3)[rng.integers(3, size=2_500)][:, :2] + rng.normal(size=(2_500, 2))
    swaps = Moves.swapped
    monkeypatch.setattr(Moves, "swapped", lambda *of: swapped.append(swaps(*of)) or swapped[-1])
    monkeypatch.setattr(_Climb, "_by_core", in_python)
    fitted(rows, "tied", 3, init_params="search", random_state=0)
    assert bool(swapped) == are_swapped


@pytest.mark.parametrize(("radius", "n_judged"), [(8.0, 5), (3.0, 12)])
def test_a_round_ends_where_the_first_moves_of_a_shared_covariance_are_hopeless(radius, n_judged, rng, monkeypatch):
    """Eight groups on a circle; a patience of 24 moves is halved, since no split promises much."""
    turn, labels = np.arange(8) * np.pi / 4, rng.integers(8, size=2_000)
    rows = radius * np.column_stack((np.cos(turn), np.sin(turn)))[labels] + rng.normal(size=(2_000, 2))
    sample, em = distinct_rows(ArraySource(rows)), LocalEM(FAMILIES["tied"], choose(), Objective(np.full(2, 1e-9)))
    settled = em.end(sample, em.model_of(sample, np.eye(8)[labels[np.lexsort(rows.T[::-1])]]), Stopping(1e-9, 50))
    judged, judge = [], _Climb._judge
    monkeypatch.setattr(_Climb, "_judge", lambda *of: judged.append(judge(*of)) or judged[-1])
    monkeypatch.setattr(_Climb, "_by_core", in_python)
    assert _Climb(sample, em, rng, settled, lambda: False).go(24).model is settled.model
    assert len(judged) == n_judged


def test_swaps_forget_no_move_that_was_refused():
    """Four groups and two of a few rows far away: the search of some rows refuses them, and that of all finds them."""
    rng = np.random.default_rng(23)
    groups = [rng.normal(size=(2500, 2)) + centre for centre in ([0, 0], [6, 0], [0, 6], [6, 6])]
    groups += [0.3 * rng.normal(size=(n, 2)) + centre for n, centre in ((4, [40, 40]), (3, [-40, 30]))]
    X, labels = np.concatenate(groups), np.minimum(np.repeat(np.arange(6), [2500] * 4 + [4, 3]), 4)
    fits = [
        GaussianMixture(5, covariance_type="tied", init_params=init, tol=1e-6, random_state=23).fit(X).lower_bound_
        for init in ("search", np.eye(5)[labels])
    ]
    assert fits[0] > fits[1] - 0.005


@pytest.mark.heavy
def test_rows_that_no_mixture_fits_are_searched_from_several_starts_and_clusters_from_one(monkeypatch, rng):
    """And only where EM from k-means makes many steps; in the end the rows of the second search have the best end."""
    numbers = []
    count = split_and_merge_module._crossing

    def counted(found, parts, *rest):
        parts = list(parts)
        numbers.append(1 + len(parts))
        return count(found, parts, *rest)

    monkeypatch.setattr(split_and_merge_module, "_crossing", counted)
    rows, _ = drawn("full", 20_000)
    fitted(rows, init_params="search", random_state=0, tol=1e-3)
    assert not numbers
    rows = rng.random((15_000, 2)) ** 2
    for tol in 1e-1, 1e-6:
        fitted(rows, n_components=12, init_params="search", random_state=0, tol=tol)
    assert numbers == [5]


def test_a_search_must_gain_more_than_the_last_step_of_em_from_k_means(monkeypatch, rng):
    """That step raised the likelihood too, though the last value is from before it: one more step tells."""
    for share, n_ends, kept in (0.1, 3, 2), (0.99, 3, 1), (1.1, 2, 1):
        ends, found = [], []

        def shown(*arguments, ends=ends, share=share, end=fit._end):
            ends.append(end(*arguments))
            if len(ends) == 2:  # the end after the search
                *_, before, last = ends[0].trace.objective
                assert last > before
                higher = replace(ends[1].trace, objective=(last, last + share * (last - before)))
                ends[1] = ends[1]._replace(trace=higher)
            return ends[-1]

        def noted(*arguments, found=found, settled=fit._settled_on_the_sample):
            found.append(settled(*arguments))
            return found[0]

        with monkeypatch.context() as patched:
            patched.setattr(fit, "_end", shown)
            patched.setattr(fit, "_settled_on_the_sample", noted)
            GaussianMixture(4, init_params="search", random_state=0).fit(np.exp(rng.normal(size=(2_500, 2))))
        assert len(ends) == n_ends
        assert found[0] is ends[kept].model
