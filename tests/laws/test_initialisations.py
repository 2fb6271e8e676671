"""Tests of all registered initialisations."""

from dataclasses import replace

import numpy as np
import pytest
from common import ArraySource, InitialMoments, Model, Objective, StopRule, assert_same_bits, run_em

from gaussmix import FAMILIES, Full, GaussianMixture, SingularCovarianceError
from gaussmix._src.em.initialisation import imputation, kmeans
from gaussmix._src.em.initialisation.base import DETERMINISTIC_STARTS, STARTS, load_start, repeat_starts
from gaussmix._src.em.initialisation.condensation import condense_rows
from gaussmix._src.em.initialisation.kmeans import seed_centres
from gaussmix._src.em.initialisation.random import HashedResponsibilities
from gaussmix._src.em.initialisation.sample import automatic_ridge, distinct_rows
from gaussmix._src.em.objective.trace import EMState, Trace, final_state
from gaussmix._src.em.step.best_of import _model_divergences, _select_contenders
from gaussmix._src.engines.incomplete import IncompleteEngine
from gaussmix._src.sources.waiting import waiting_for
from gaussmix.extend import Block, DistinctRows, Partition
from gaussmix.testing import check_initialisation


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])  # structures with exact updates
@pytest.mark.parametrize("name", STARTS)
def test_every_initialisation_passes_check_initialisation(name, family, engine, rng):
    check_initialisation(load_start(name), engine, FAMILIES[family], rng)


@pytest.mark.parametrize(("factor", "shift"), [(2.0**-20, 0.0), (2.0**20, 0.0), (1.0, 2.0**20), (0.5, -(2.0**15))])
@pytest.mark.parametrize("name", STARTS)
def test_initialisations_do_not_depend_on_unit_and_origin(name, factor, shift, engine, rng):
    """Rows have only 20 bits, so that scaling and shifting them is exact and does not change random draws."""
    rows = np.round(rng.normal(size=(80, 3)) * 2.0**10) * 2.0**-10 + 4.0 * rng.integers(3, size=(80, 1))
    before = model_of(name, rows, engine)
    after = model_of(name, rows * factor + shift, engine)
    tolerance = 80 * np.finfo(np.float64).eps * (factor + abs(shift))
    np.testing.assert_allclose(after.weights, before.weights, rtol=1e-14)
    np.testing.assert_allclose(after.means, before.means * factor + shift, rtol=1e-14, atol=tolerance)


@pytest.mark.parametrize("name", STARTS)
def test_initialisations_with_too_few_distinct_rows_are_finite(name, engine):
    start = model_of(name, np.repeat([[0.0, 1.0], [2.0, 5.0]], 6, axis=0), engine, n_components=4)
    for values in (start.weights, start.means, start.covariances.each):
        assert np.isfinite(values).all()
    assert start.weights.sum() == pytest.approx(1.0, rel=1e-15)


@pytest.mark.parametrize("name", [name for name in STARTS if name not in DETERMINISTIC_STARTS])
def test_equal_seeds_give_equal_initialisations_and_other_seeds_do_not(name, engine, rng):
    rows = rng.normal(size=(50, 2))
    first, again, other = (model_of(name, rows, engine, seed=seed) for seed in (1, 1, 2))
    assert (first.means == again.means).all()
    assert (first.means != other.means).any()


@pytest.mark.parametrize("name", sorted(DETERMINISTIC_STARTS))
def test_deterministic_initialisations_do_not_advance_the_generator(name, engine, rng):
    before = rng.bit_generator.state
    load_start(name)(distinct_rows(ArraySource(np.arange(40.0).reshape(20, 2))), engine, 3, rng)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("name", STARTS)
def test_initialisations_treat_minus_zero_as_zero(name, engine, rng):
    rows = np.round(rng.normal(size=(50, 2)))
    assert (rows == 0).any()
    signed = np.where(rows == 0, -0.0, rows)
    np.testing.assert_allclose(model_of(name, signed, engine).means, model_of(name, rows, engine).means, atol=1e-13)


class FixedDraws:
    """Random generator that returns given numbers."""

    def __init__(self, *numbers):
        self.numbers = np.array(numbers)

    def random(self, size):
        assert size == len(self.numbers)
        return self.numbers


def test_draw_indices_draws_rows_by_weight():
    """Check draws even for a uniform number of 1, which rounding may produce."""
    sample = distinct_rows(ArraySource(np.arange(3.0)[:, None], np.array([1.0, 2.0, 5.0])))
    rng = FixedDraws(0.0, 0.124, 0.126, 0.374, 0.376, 0.99, 1.0)
    assert sample.draw_indices(rng.random(7)).tolist() == [0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(("numbers", "chosen"), [((0.5, 0.5, 0.5), [2.0, 1.0]), ((0.9, 0.5, 0.1), [0.0, 1.0])])
def test_random_from_data_draws_rows_by_weight_without_replacement(numbers, chosen):
    """Rows with the largest u^(1 / weight) are a weighted draw without replacement (Efraimidis and Spirakis)."""
    sample = distinct_rows(ArraySource(np.arange(3.0)[:, None], np.array([1.0, 2.0, 5.0])))
    assert np.argsort(np.array(numbers) ** (1 / sample.weight))[::-1][:2].tolist() == chosen
    partition = load_start("random_from_data")(sample, None, 2, FixedDraws(*numbers))
    assert partition.parameters.means[:, 0].tolist() == chosen


@pytest.mark.parametrize("n_rows", [10, 100])
def test_automatic_ridge_is_positive_if_trimming_leaves_no_weight(n_rows):
    """With a total weight of 4, rounding decides whether weight remains after 2 are trimmed at each end."""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rows, weight = rng.normal(size=(n_rows, 2)), rng.random(n_rows)
        ridge = automatic_ridge(distinct_rows(ArraySource(rows, weight * (4 / weight.sum()))))
        assert (ridge > 0).all()


def test_condense_rows_condenses_rows_next_to_a_heavy_row(rng):
    values = np.sort(rng.normal(size=20_000))
    weight = np.where(np.arange(20_000) == 7, 1e9, 1.0)
    condensed = condense_rows(DistinctRows(values[:, None], weight))
    assert len(condensed.rows) < 4_500
    assert condensed.weight.sum() == pytest.approx(weight.sum(), rel=1e-12)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_condense_rows_keeps_moments_and_extreme_rows(is_weighted, rng):
    rows = np.append(rng.lognormal(size=9_000), np.full(2_000, 1.5))[:, None]
    distinct = distinct_rows(ArraySource(rows, rng.integers(1, 4, 11_000).astype(float) if is_weighted else None))
    condensed = condense_rows(distinct)
    assert len(condensed.rows) < 3_300
    assert (np.diff(condensed.rows[:, 0]) >= 0).all()
    for power, rounding in (0, 1e-13), (1, 1e-13), (2, 1e-13), (3, 1e-4):
        sums = [(each.weight * each.rows[:, 0] ** power).sum() for each in (condensed, distinct)]
        assert sums[0] == pytest.approx(sums[1], rel=rounding)
    if not is_weighted:
        np.testing.assert_array_equal(condensed.rows[[0, 1, -2, -1]], distinct.rows[[0, 1, -2, -1]])
    at, distinct_at = condensed.rows[:, 0] == 1.5, distinct.rows[:, 0] == 1.5  # frequent values are kept separate
    assert condensed.weight[at].sum() == distinct.weight[distinct_at].sum()
    assert condense_rows(condensed) is condensed


def test_distinct_rows_sorts_rows_that_differ_only_in_late_columns(rng):
    rows = np.zeros((200, 300))
    rows[:, 299] = rng.permutation(200)
    rows[::2, 150] = -1.0
    expected = rows[np.lexsort((rows[:, 299], rows[:, 150]))]
    assert_same_bits(distinct_rows(ArraySource(np.asfortranarray(rows))).rows, expected, "sorted rows")


def test_seed_centres_tries_2_plus_log_k_rows_for_each_centre(rng):
    used, counted = np.random.default_rng(5), np.random.default_rng(5)
    seed_centres(distinct_rows(ArraySource(rng.normal(size=(60, 2)))), 8, used)  # 2 + log 8 rounds to 4
    counted.random(1 + 7 * 4)
    assert used.random() == counted.random()


def test_centres_of_kmeans_are_weighted_means(engine, rng):
    source = ArraySource(np.array([[0.0], [1.0], [10.0]]), np.array([99.0, 1.0, 3.0]))
    partition = load_start("kmeans")(distinct_rows(source), engine, 2, rng)
    assert sorted(partition.parameters.means[:, 0]) == pytest.approx([0.01, 10.0], rel=1e-14)


def test_run_lloyd_moves_an_empty_centre_to_the_row_farthest_from_its_centre(engine):
    rows = np.array([[0.0], [1.0], [10.0], [11.0], [99.0]])
    centres = kmeans.run_lloyd(distinct_rows(ArraySource(rows)), engine, np.array([[0.5], [10.5], [1e4]]))
    assert centres[:, 0].tolist() == [0.5, 10.5, 99.0]


def test_hashed_responsibilities_treat_minus_zero_as_zero():
    """Hashes are used if there are too many rows to sort."""
    signs = np.array([[0.0, 1.0], [-0.0, 1.0]])
    responsibilities = HashedResponsibilities(3, 7, None)(Block(0, signs))
    assert (responsibilities[0] == responsibilities[1]).all()


def test_hashed_responsibilities_distinguish_small_numbers():
    responsibilities = HashedResponsibilities(3, 7, None)(Block(0, np.array([[1e-20], [2e-20]])))
    assert (responsibilities[0] != responsibilities[1]).all()


def test_different_seeds_give_different_hash_keys():
    sample = distinct_rows(ArraySource(np.arange(4.0)[:, None]))
    partitions = [load_start("random")(sample, None, 2, np.random.default_rng(seed)) for seed in range(200)]
    assert len({partition.responsibilities.hash_key for partition in partitions}) == 200


def model_of(name, rows, engine, n_components=3, seed=7):
    source = ArraySource(rows)
    partition = load_start(name)(distinct_rows(source), engine, n_components, np.random.default_rng(seed))
    ridge = np.full(rows.shape[1], 1e-3 * rows.var())
    return InitialMoments(source, engine, n_components, partition).model(FAMILIES["diag"], Objective(ridge))


class BadAlternatives(Full):
    """Structure with bad and with singular initial covariances."""

    algebra = None

    def other_initial_covariances(self, scatter):
        best = self.update(scatter, None)
        return [replace(best, each=1e6 * best.each), replace(best, each=0 * best.each)]


class GoodAlternative(Full):
    """Structure whose first M-step gives bad covariances, but whose other initial covariances include good ones."""

    algebra = None

    def update(self, scatter, current):
        best = super().update(scatter, current)
        return replace(best, each=1e6 * best.each) if current is None else best

    def other_initial_covariances(self, scatter):
        return [super().update(scatter, None), *BadAlternatives().other_initial_covariances(scatter)]


class OnlyGoodAlternative(GoodAlternative):
    """Structure whose only alternative initial covariances lead to the best maximum."""

    def other_initial_covariances(self, scatter):
        return super().other_initial_covariances(scatter)[:1]


@pytest.mark.parametrize("family", [BadAlternatives, GoodAlternative, OnlyGoodAlternative])
def test_em_starts_from_covariances_that_are_best_after_a_few_steps(family, engine, rng):
    rows = np.concatenate([rng.normal(size=(40, 2)), rng.normal(size=(40, 2)) + 6])
    source = ArraySource(rows, assignment=np.repeat(np.arange(2, dtype=np.int32), 40))
    first, objective = InitialMoments(source, engine, 2, Partition()), Objective(np.zeros(2))
    short, long = StopRule(1e-6, 1), StopRule(1e-6, 500)
    best = final_state(
        run_em(source, engine, first.model(FAMILIES["full"], objective), objective, long)
    ).trace.last_objective
    found = final_state(run_em(source, engine, first.model(family(), objective), objective, short)).trace.last_objective
    assert found == pytest.approx(best, abs=1e-5)  # EM stops at gains of 1e-6, which shrink by a tenth per step


def two_groups(rng, linear=None):
    """Draw a mixture of two different components, and apply a linear map."""
    roots = rng.normal(size=(2, 3, 3))
    covariances, means = roots @ roots.swapaxes(1, 2) + np.eye(3), rng.normal(size=(2, 3))
    if linear is not None:
        covariances, means = linear @ covariances @ linear.T, means @ linear.T
    return Model(rng.dirichlet([5.0, 5.0]), means, FAMILIES["full"].covariances(covariances, 2, 3), FAMILIES["full"])


def test_model_divergences_equal_weighted_kl_divergences_of_components(rng):
    seeds, linear = rng.integers(2**31, size=3), rng.normal(size=(3, 3))
    models = [two_groups(np.random.default_rng(seed)) for seed in seeds]
    found = _model_divergences(models)

    def kl(one, other, k):
        change = np.linalg.solve(other.covariances.each[k], one.covariances.each[k])
        offset = one.means[k] - other.means[k]
        distance = offset @ np.linalg.solve(other.covariances.each[k], offset)
        return 0.5 * (np.trace(change) - 3 - np.linalg.slogdet(change)[1] + distance)

    for i, one in enumerate(models):
        for j, other in enumerate(models):
            weights = 0.5 * (one.weights + other.weights)
            expected = sum(weights[k] * 0.5 * (kl(one, other, k) + kl(other, one, k)) for k in range(2))
            assert found[i, j] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    mapped = _model_divergences([two_groups(np.random.default_rng(seed), linear) for seed in seeds])
    np.testing.assert_allclose(mapped, found, rtol=1e-8, atol=1e-10)


def test_select_contenders_keeps_the_best_of_similar_runs_and_different_runs():
    one, other = (two_groups(np.random.default_rng(seed)) for seed in (1, 2))
    similar = replace(one, means=one.means + 1e-3)
    objectives = {"higher": (-3.0, -2.0, -1.0), "lower": (-3.0, -2.0, -1.001)}
    runs = [
        (model, EMState(model, Trace(objectives[each], objectives[each])))
        for model, each in [(similar, "lower"), (one, "higher"), (other, "lower")]
    ]
    assert [model for model, _ in _select_contenders(runs)] == [one, other]


class AlwaysSingular(BadAlternatives):
    def update(self, scatter, current):
        best = super().update(scatter, current)
        return replace(best, each=0 * best.each)


def test_estimates_are_conditional_means_under_one_normal_distribution(rng):
    rows = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
    rows[rng.random(rows.shape) < 0.4] = np.nan
    sample = distinct_rows(ArraySource(rows))
    objective = Objective(automatic_ridge(sample))
    estimates = imputation.estimate_missing_values(sample, IncompleteEngine(1), objective).estimates
    gm = GaussianMixture(max_iter=imputation.MAX_STEPS).fit(rows)
    mean, covariance = gm.means_[0], gm.covariances_[0]
    for row, actual in zip(sample.rows, estimates, strict=True):
        seen = ~np.isnan(row)
        slopes = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[seen])
        np.testing.assert_allclose(actual, mean + (row[seen] - mean[seen]) @ slopes, rtol=1e-9, atol=1e-9)


def test_missing_values_of_many_features_are_not_estimated(rng):
    for n_features in imputation.MAX_FEATURES, imputation.MAX_FEATURES + 1:
        rows = rng.normal(size=(100, n_features))
        rows[:, 0] = np.nan
        sample = imputation.estimate_missing_values(
            DistinctRows(rows, np.ones(100)), IncompleteEngine(1), Objective(np.ones(n_features))
        )
        assert (sample.estimates is None) == (n_features > imputation.MAX_FEATURES)


def test_k_means_finds_clusters_although_few_rows_are_complete():
    """With means of columns as estimates, two of the six fits end 0.6 and 0.8 nats per row lower."""
    for seed in range(6):
        rng, labels = np.random.default_rng(seed), np.arange(600) % 5
        rows = 3 * rng.normal(size=(5, 8))[labels] + rng.normal(size=(600, 8))
        rows[rng.random(rows.shape) < 0.25] = np.nan
        settings = {"covariance_type": "tied", "random_state": seed}
        fits = (GaussianMixture(5, init_params=start, **settings).fit(rows) for start in (labels, "kmeans"))
        from_labels, from_kmeans = (gm.lower_bound_ for gm in fits)
        assert from_kmeans > from_labels - 0.005


def test_singular_initial_covariances_raise_an_error_with_the_components(engine, rng):
    source = ArraySource(rng.normal(size=(40, 2)), assignment=np.repeat(np.arange(2, dtype=np.int32), 20))
    with pytest.raises(SingularCovarianceError) as raised:
        InitialMoments(source, engine, 2, Partition()).model(AlwaysSingular(), Objective(np.zeros(2)))
    assert raised.value.components == (0, 1)


def test_run_lloyd_stops_at_the_tolerance_of_scikit_learn(engine, rng):
    rows = rng.random((5000, 3))  # with 5000 rows, centres still move a little at convergence
    centres, limit, n_passes = rows[:5], 1e-4 * rows.var(axis=0).mean(), 0
    shift = np.inf
    while shift > limit:
        labels = ((rows[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        moved = np.array([rows[labels == k].mean(axis=0) for k in range(5)])
        shift, centres, n_passes = ((moved - centres) ** 2).sum(), moved, n_passes + 1
    assert 5 < n_passes < kmeans.MAX_LLOYD_PASSES
    found = kmeans.run_lloyd(distinct_rows(ArraySource(rows)), engine, rows[:5])
    assert found == pytest.approx(centres, rel=1e-12)


def test_run_lloyd_begins_no_second_pass_after_the_deadline(engine, rng):
    rows = rng.random((5000, 3))
    labels = ((rows[:, None] - rows[:5]) ** 2).sum(axis=2).argmin(axis=1)
    sample = distinct_rows(ArraySource(rows))
    with waiting_for(0.0):
        moved = kmeans.run_lloyd(sample, engine, rows[:5])
    assert moved == pytest.approx(np.array([rows[labels == k].mean(axis=0) for k in range(5)]), rel=1e-12)


def test_repeat_starts_lists_deterministic_initialisations_once():
    assert repeat_starts(["hierarchical", "kmeans"], ["hierarchical", "kmeans"], 3) == [
        "hierarchical",
        "kmeans",
        "kmeans",
        "kmeans",
    ]
