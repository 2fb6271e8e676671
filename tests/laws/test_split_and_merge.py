"""Tests of the split-and-merge search: it reaches optima that EM misses, and avoids components on a few rows."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest
from common import ArraySource, Model, assert_same_bits, automatic_ridge, column_units, complete_engine, distinct_rows
from sklearn.datasets import load_iris

from gaussmix import FAMILIES, FactorAnalyzer, Full, GaussianMixture, GaussianMixtureIC, NormalInverseWishart
from gaussmix import open as open_files
from gaussmix._src.em.objective.trace import SearchReport
from gaussmix._src.em.search.split_and_merge import (
    ACCEPTANCE,
    REFINE_SAMPLE_SIZES,
    SEARCH_SAMPLE_SIZES,
    split_and_merge,
)
from gaussmix._src.fit.problem import TrainingData
from gaussmix._src.numerics.core import native_target

pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
N_COMPONENTS, N_FEATURES, N_ROWS = 14, 3, 4_000


def drawn(family, n_rows=N_ROWS):
    """Draw rows of components of different sizes, which k-means cannot separate, and return them with parameters."""
    rng = np.random.default_rng(15)
    means = 3.0 * rng.normal(size=(N_COMPONENTS, N_FEATURES))
    axes = np.linalg.qr(rng.normal(size=(N_COMPONENTS, N_FEATURES, N_FEATURES)))[0]
    if FAMILIES[family].is_shared or family == "VVE":
        axes = axes[:1].repeat(N_COMPONENTS, axis=0)
    size = np.exp(rng.uniform(-3.0, 0.5, size=(N_COMPONENTS, N_FEATURES)))
    if FAMILIES[family].is_shared:
        size[:] = size[0]
    if family == "spherical":
        size[:] = size[:, :1]
    if family in ("spherical", "diag"):
        axes[:] = np.eye(N_FEATURES)
    dense = axes * size[:, None] @ axes.transpose(0, 2, 1)
    covariances = {"full": dense, "VVE": dense, "tied": dense[0], "diag": size, "spherical": size[:, 0]}
    labels = rng.integers(N_COMPONENTS, size=n_rows)
    factors, weights = np.linalg.cholesky(dense), np.full(N_COMPONENTS, 1 / N_COMPONENTS)
    rows = means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(n_rows, N_FEATURES)))
    return rows, {"weights_init": weights, "means_init": means, "covariances_init": covariances[family]}


def fitted(rows, family="full", n_components=N_COMPONENTS, **parameters):
    parameters = {"covariance_type": family, "init_params": "kmeans", "tol": 1e-5, "max_iter": 500} | parameters
    return GaussianMixture(n_components, **parameters).fit(rows)


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("family", ["full", "VVE", "tied", "diag", "spherical"])
def test_a_search_ends_as_high_as_em_from_the_true_parameters(family):
    rows, parameters = drawn(family)
    best = fitted(rows, family, **parameters)
    scores = [fitted(rows, family, init_params="search", random_state=seed).score(rows) for seed in range(4)]
    assert min(scores) > best.score(rows) - 0.005
    plain = [fitted(rows, family, random_state=seed).score(rows) for seed in range(4)]
    assert min(plain) < best.score(rows) - 0.005, "EM from k-means already reaches the optimum"


@pytest.mark.parametrize("case", ["an outlier", "a constant column", "a dependent column", "rounded"])
@pytest.mark.filterwarnings("ignore:.*is constant:RuntimeWarning")
def test_a_search_reaches_the_optimum_despite_outliers_and_unusual_columns(case):
    rows, parameters = drawn("full")
    n_components, n_features = N_COMPONENTS, N_FEATURES
    if case == "an outlier":
        rows = np.concatenate((rows, np.full((1, N_FEATURES), 1e3)))
        n_components += 1
    elif case == "a constant column":
        rows = np.column_stack((rows, np.full(len(rows), 7.0)))
    elif case == "a dependent column":
        rows = np.column_stack((rows, rows.sum(axis=1)))
    else:
        rows = np.round(rows, 1)
    start = np.array(parameters["means_init"])
    labels = ((rows[:, None, :n_features] - start) ** 2).sum(axis=2).argmin(axis=1)
    if case == "an outlier":
        labels[-1] = N_COMPONENTS
    best = fitted(rows, n_components=n_components, init_params=labels).score(rows)
    fits = [fitted(rows, n_components=n_components, init_params="search", random_state=seed) for seed in range(3)]
    assert min(gm.score(rows) for gm in fits) > best - 0.005


@pytest.mark.parametrize("family", ["full", "diag"])
def test_a_search_on_a_subsample_reaches_the_optimum_of_all_rows(family):
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
def test_a_search_without_a_better_maximum_ends_as_high_as_k_means(rows, n_components, weight, family):
    plain, searched = (
        GaussianMixture(n_components, covariance_type=family, init_params=start, random_state=0).fit(rows, None, weight)
        for start in ("kmeans", "search")
    )
    assert np.isfinite(searched.means_).all()
    assert searched.score(rows, sample_weight=weight) >= plain.score(rows, sample_weight=weight) - 1e-3
    if family != "tied":
        assert_same_bits(searched.means_, plain.means_, "means")


def searched(rows, weight=None, n_jobs=1, seed=0, n_components=6):
    sample, engine = distinct_rows(ArraySource(rows, weight)), complete_engine(n_jobs)
    indices = np.linspace(0, len(sample.rows) - 1, n_components).astype(int)
    covariances = FAMILIES["full"].covariances(np.tile(9 * np.eye(2), (n_components, 1, 1)), n_components, 2)
    start = Model(np.full(n_components, 1 / n_components), sample.rows[indices], covariances, FAMILIES["full"])
    objective, rng = TrainingData(ArraySource(rows, weight)).likelihood_objective(1e-3), np.random.default_rng(seed)
    return split_and_merge(start, sample, engine, objective, rng, SearchReport())


@pytest.mark.parametrize("n_components", [2, 6])
def test_row_order_repeated_rows_and_threads_change_no_bit_of_a_search(n_components, rng):
    search = partial(searched, n_components=n_components)
    rows = np.round(rng.normal(size=(900, 2)) + 4 * rng.integers(5, size=(900, 1)), 2)
    times = rng.integers(1, 4, size=900)
    expected = search(rows.repeat(times, axis=0))
    many = rows.repeat(times, axis=0)[rng.permutation(times.sum())]
    for found in search(many), search(many, n_jobs=3), search(rows, times.astype(float)):
        assert_same_bits(found.means, expected.means, "means")


@pytest.mark.parametrize("case", ["outliers", "groups along a feature"])
def test_the_default_initialisation_finds_two_components_that_k_means_misses(case):
    """Two components are a special case, because they allow hardly any moves."""
    rng = np.random.default_rng(2)
    if case == "outliers":
        rows = 3 * rng.normal(size=(8, 6))[rng.integers(8, size=3_000)] + rng.normal(size=(3_000, 6))
        labels = rng.random(3_000) < 0.05
        rows[labels] = rng.uniform(-30, 30, size=(labels.sum(), 6))
    else:
        labels = rng.integers(2, size=1_500)
        rows = rng.standard_t(3, size=(1_500, 6))
        rows[:, 0] = 4 * labels + 0.5 * rng.normal(size=1_500)
    least = GaussianMixture(2, init_params=labels.astype(int)).fit(rows).score(rows) - 1e-3
    assert min(GaussianMixture(2, random_state=seed).fit(rows).score(rows) for seed in range(4)) > least


@pytest.mark.parametrize("covariance_type", ["tied", "EVV", "full"])
def test_a_search_does_not_depend_on_the_unit_of_the_rows(covariance_type):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(900, 3)) * np.exp(rng.normal(size=(4, 3)))[rng.integers(4, size=900)]
        settings = {"covariance_type": covariance_type, "init_params": "search", "random_state": 0}
        fits = (GaussianMixture(4, **settings).fit(unit * rows) for unit in (1.0, 2.0**40, 2.0**-40))
        first, *others = ((fit.weights_, fit.lower_bound_) for fit in fits)
        for (weights, bound), shift in zip(others, (120, -120), strict=True):
            np.testing.assert_allclose(weights, first[0], rtol=1e-6)
            np.testing.assert_allclose(bound + shift * np.log(2), first[1], rtol=1e-9)


@pytest.mark.heavy(n_default=3)
@pytest.mark.parametrize("what", ["plain", "weights", "missing", "few complete", "noise"])
@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical", "VEV", "EVE", "factor_analyzer"])
def test_a_search_ends_at_least_as_high_as_em_from_k_means(family, what):
    """Check overlapping mixtures of random shapes, for which the search must keep the better of the two ends.

    If the search scales columns at its start, the rows are given with this scale.
    """
    for seed in range(4):
        rng = np.random.default_rng(seed)
        n_components, n_features = int(rng.integers(2, 7)), int(rng.integers(2, 5))
        labels = rng.choice(n_components, 400, p=rng.dirichlet(np.ones(n_components)))
        turned = rng.normal(size=(n_components, n_features, n_features))
        middle = 2 * rng.normal(size=(n_components, n_features))
        rows = middle[labels] + np.einsum("nij,nj->ni", turned[labels], rng.normal(size=(400, n_features)))
        weight = rng.integers(1, 4, size=400).astype(float) if what == "weights" else None
        if what in ("missing", "few complete"):
            rows[rng.random(rows.shape) < (0.1 if what == "missing" else 0.6)] = np.nan
            rows = rows[~np.isnan(rows).all(axis=1)]
        options = {"noise": True} if what == "noise" else {}
        sample = distinct_rows(ArraySource(rows, weight))
        rows = rows / column_units(automatic_ridge(sample))
        plain, searched = (
            GaussianMixture(n_components, covariance_type=family, init_params=start, random_state=seed, **options).fit(
                rows, sample_weight=weight
            )
            for start in ("kmeans", "search")
        )
        assert searched.lower_bound_ >= plain.lower_bound_ - 1e-9


def test_a_search_rejects_moves_that_add_a_component_with_too_few_rows():
    """A search that only compares likelihoods would accept the move."""
    rows = np.random.default_rng(4).exponential(size=(200, 3))
    scores = []
    with pytest.MonkeyPatch.context() as patch:
        for _ in range(2):
            fits = [fitted(rows, "tied", n_components=8, init_params="search", random_state=seed) for seed in range(8)]
            scores.append(np.array([gm.score(rows) for gm in fits]))
            lenient = ACCEPTANCE._replace(min_rows_per_value=0, min_rows_per_flat_value=0)
            patch.setattr("gaussmix._src.em.search.split_and_merge.ACCEPTANCE", lenient)
    assert (scores[1] - scores[0]).max() > 0.01


def test_a_search_of_rows_in_a_file_has_the_same_bits_as_in_memory(tmp_path, rng):
    rows = rng.normal(size=(3_000, 2)) + 5 * rng.integers(4, size=(3_000, 1))
    np.save(tmp_path / "rows.npy", rows)
    in_memory = fitted(rows, n_components=5, init_params="search", random_state=0)
    from_file = fitted(open_files(tmp_path / "rows.npy"), n_components=5, init_params="search", random_state=0)
    assert_same_bits(from_file.means_, in_memory.means_, "means")


@pytest.mark.parametrize("option", ["errors", "initial weights", "no steps"])
def test_init_params_search_works_with_x_error_weights_init_or_max_iter_0(option):
    rows, _ = drawn("full", 2_000)
    error = np.full(N_FEATURES, 1e-6) if option == "errors" else None
    options = {
        "errors": {},
        "initial weights": {"weights_init": np.full(N_COMPONENTS, 1 / N_COMPONENTS)},
        "no steps": {"max_iter": 0},
    }[option]
    plain, searched = (
        GaussianMixture(N_COMPONENTS, init_params=start, random_state=3, **options).fit(rows, X_error=error)
        for start in ("kmeans", "search")
    )
    assert searched.score(rows) > plain.score(rows) + 0.05


def uneven(seed):
    """Draw 20,000 rows of 12 components with five features, whose weights differ by a factor of up to 300."""
    rng = np.random.default_rng(seed)
    means = 1.7 * rng.normal(size=(12, 5))
    weights = np.geomspace(1, 300, 12)
    labels = rng.choice(12, 20_000, p=weights / weights.sum())
    factors = rng.normal(size=(12, 5, 5)) / np.sqrt(5) + 0.5 * np.eye(5)
    return means[labels] + np.einsum("ni,nij->nj", rng.normal(size=(20_000, 5)), factors[labels]), labels


@pytest.mark.heavy
def test_a_search_finds_components_that_are_too_small_in_a_subsample():
    rows, labels = uneven(101)
    best = fitted(rows, n_components=12, init_params=labels).score(rows)
    scores = [fitted(rows, n_components=12, init_params="search", random_state=seed).score(rows) for seed in range(4)]
    assert min(scores) > best - 0.005


def search_sizes(capsys, rows, **parameters):
    """Return the number of rows in each run of a search, from the verbose output."""
    fitted(rows, init_params="search", random_state=0, verbose=1, **parameters)
    output = capsys.readouterr().out
    return [int(number.replace(",", "")) for number in re.findall(r"Search on ([\d,]+) rows", output)]


def test_a_search_of_well_separated_groups_uses_one_small_subsample(capsys, rng):
    rows = rng.normal(size=(20_000, 3)) + 20.0 * rng.integers(2, size=(20_000, 3))
    (n_rows,) = search_sizes(capsys, rows, n_components=8)
    assert n_rows < 5_000


def test_a_search_tries_moves_on_a_small_and_then_on_a_larger_subsample(capsys):
    few, more = search_sizes(capsys, drawn("full", 60_000)[0])[:2]
    assert 0.8 < few / (SEARCH_SAMPLE_SIZES[1] * N_COMPONENTS) < 1.05
    assert 0.8 < more / (REFINE_SAMPLE_SIZES[1] * N_COMPONENTS) < 1.05


def test_a_search_of_few_rows_continues_with_more_patience(capsys, rng):
    assert search_sizes(capsys, rng.random((3_000, 2)) ** 2, n_components=24) == [3_000, 3_000]


@pytest.mark.heavy
def test_a_search_uses_several_initialisations_only_if_em_is_slow(capsys, rng):
    """Check that several initialisations are used only if EM from k-means needs many steps."""
    rows = rng.random((15_000, 2)) ** 2
    few, many = (search_sizes(capsys, rows, n_components=12, tol=tol) for tol in (1e-1, 1e-6))
    assert len(few) == 2
    assert len(many) > 8  # runs from five initialisations, for four combinations, and for the best result


def test_model_selection_with_search_ends_higher_than_with_k_means():
    rows, _ = drawn("full")
    choice = {"covariance_type": ["full", "diag"], "n_components": [13, 14], "random_state": 0}
    plain = GaussianMixtureIC(**choice, init_params="kmeans").fit(rows)
    better = GaussianMixtureIC(**choice, init_params="search").fit(rows)
    assert better.score(rows) > plain.score(rows) + 0.005


@pytest.mark.parametrize("structure", ["EVE", "VVE"])
@pytest.mark.parametrize("power", [120, 150])
def test_a_search_supports_columns_of_very_different_scales(structure, power):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 3)) + 5 * (np.arange(200) % 2)[:, None]
    rows[rng.random(rows.shape) < 0.1] = np.nan
    for X in rows[~np.isnan(rows).any(axis=1)], rows:
        mixture = GaussianMixture(3, covariance_type=structure, init_params="search", max_iter=3, random_state=0)
        mixture.fit(X * [10.0**-power, 1.0, 10.0**power])
        assert np.isfinite(mixture.lower_bound_)


def test_a_search_ignores_components_that_a_prior_keeps_without_weight(rng):
    """Most values are 0, and initialisations from the other values leave a component without rows."""
    X = np.concatenate((np.zeros(70), rng.normal(3.4, 0.3, size=20)))[:, None]
    settings = {"prior": NormalInverseWishart(shrinkage=0.1), "reg_covar": 1e-6, "max_iter": 1000, "random_state": 0}
    few = GaussianMixture(2, covariance_type="diag", init_params="search", **settings).fit(X)
    with pytest.warns(RuntimeWarning, match="almost no row belongs there"):
        many = GaussianMixture(5, covariance_type="diag", init_params="search", **settings).fit(X)
    assert many.weights_.min() < 1e-9
    assert many.score(X) > few.score(X) - 1e-6


def test_a_search_of_all_rows_finds_groups_that_were_rejected_on_a_subsample():
    """The search on a subsample rejects two small, distant groups, but the search on all rows must find them."""
    rng = np.random.default_rng(23)
    groups = [rng.normal(size=(2500, 2)) + centre for centre in ([0, 0], [6, 0], [0, 6], [6, 6])]
    groups += [0.3 * rng.normal(size=(n, 2)) + centre for n, centre in ((4, [40, 40]), (3, [-40, 30]))]
    X, labels = np.concatenate(groups), np.minimum(np.repeat(np.arange(6), [2500] * 4 + [4, 3]), 4)
    found, expected = (
        GaussianMixture(5, covariance_type="tied", init_params=init, tol=1e-6, random_state=23).fit(X).lower_bound_
        for init in ("search", np.eye(5)[labels])
    )
    assert found > expected - 0.005


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("what", ["prior", "missing", "bound", "factors"])
def test_a_search_in_python_supports_options_that_the_core_lacks(what):
    """The search must find a mixture that EM from k-means does not reach, and EM then continues with all options."""
    rows, _parameters = drawn("full")
    if what == "missing":
        rows[np.random.default_rng(0).random(rows.shape) < 0.02] = np.nan
        rows = rows[~np.isnan(rows).all(axis=1)]
    options = {
        "prior": {"prior": "default"},
        "bound": {"covariance_type": Full(max_condition=1e4)},
        "factors": {"covariance_type": FactorAnalyzer(2)},
    }.get(what, {})
    plain, searched = (
        [
            GaussianMixture(N_COMPONENTS, init_params=start, random_state=seed, **options).fit(rows).lower_bound_
            for seed in range(3)
        ]
        for start in ("kmeans", "search")
    )
    assert min(searched) > max(plain) - 1e-3
    assert np.mean(searched) > np.mean(plain) + 0.005


@pytest.mark.parametrize("n_rows", [600, 4_000])
@pytest.mark.parametrize("is_plain", [True, False])
def test_a_fit_reports_the_moves_and_the_gain_of_its_search(n_rows, is_plain, rng, capsys) -> None:
    """Check the reported moves and the gain over EM from k-means, in the core and with an initialisation in Python."""
    X = 3 * rng.normal(size=(6, 2))[rng.integers(6, size=n_rows)] + rng.normal(size=(n_rows, 2))
    options = {"covariance_type": "spherical", "random_state": 0, "tol": 1e-6, "prior": None if is_plain else "default"}
    found = GaussianMixture(6, verbose=1, **options).fit(X)
    outcome = found.outcome_
    assert outcome.n_moves_tried >= outcome.n_moves_accepted >= 0
    assert outcome.n_moves_tried > 0
    expected = f"{outcome.n_moves_tried} moves tried, {outcome.n_moves_accepted} kept"
    assert expected in str(found.summary())
    assert expected in capsys.readouterr().out
    if is_plain:
        plain = GaussianMixture(6, init_params="kmeans", **options).fit(X)
        assert outcome.search_gain == pytest.approx(found.lower_bound_ - plain.lower_bound_, abs=1e-4)
        assert plain.outcome_.n_moves_tried is None
        assert "moves tried" not in str(plain.summary())


def test_a_search_report_without_moves_states_only_the_gain():
    assert [str(SearchReport(0, 0, gain)) for gain in (None, -1e-9, 0.25)] == [
        "no move tried",
        "no move tried",
        "raised the log-likelihood by 0.25000 nats per row from another initialisation: 0 moves tried, 0 kept",
    ]
    assert str(SearchReport(3, 0, 0.0)) == "no higher than EM alone: 3 moves tried, 0 kept"


@pytest.mark.heavy
@pytest.mark.parametrize(("family", "n_features"), [("full", 3), ("diag", 4), ("spherical", 2)])
def test_least_gain_equals_the_mean_loss_of_likelihood_on_new_rows(family, n_features, rng):
    """Check the expected gain by chance for a single Gaussian by simulation."""
    lost = []
    for _ in range(800):
        rows, new = rng.normal(size=(2, 25, n_features))
        gm = GaussianMixture(1, covariance_type=family, reg_covar=0).fit(rows)
        lost.append(gm.score(rows) - gm.score(new))
    least_gain, nothing = partial(native_target().least_gain, FAMILIES[family].algebra, n_features), np.zeros(0)
    expected = least_gain(gm.weights_, nothing, 25) - least_gain(nothing, nothing, 25)
    assert np.mean(lost) == pytest.approx(expected, abs=4 * np.std(lost) / np.sqrt(len(lost)))
    assert expected > gm.mixture_.n_parameters / 25, "the expected gain is not above its limit for many rows"


def test_a_search_rejects_components_on_equal_values():
    """In the iris data 29 of 150 flowers have equal petal widths, so that a component on them would gain 90 nats.

    The variance of such a component would be only the ridge.
    """
    X = load_iris().data
    scores = [GaussianMixture(3, init_params="search", random_state=seed).fit(X).score(X) for seed in range(12)]
    assert max(scores) == pytest.approx(-1.2012, abs=1e-3)


@pytest.mark.filterwarnings("ignore:.*is constant:RuntimeWarning")
@pytest.mark.parametrize("seed", [2, 3])
def test_a_constant_column_does_not_make_a_search_reject_moves(seed):
    """A column with a single value must not decide whether the search accepts components."""
    rng = np.random.default_rng(seed)
    groups = [
        1.8 * rng.normal(size=4) + rng.normal(size=(45, 4)) @ (rng.normal(size=(4, 4)) / 2 + 0.3 * np.eye(4))
        for _ in range(8)
    ]
    rows = np.c_[np.concatenate(groups), np.full(360, 3.0)]
    ends = [GaussianMixture(8, random_state=start).fit(rows).lower_bound_ for start in range(6)]
    assert np.ptp(ends) < 0.01  # without the search, runs end up to 0.4 nats lower
