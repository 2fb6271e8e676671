"""Tests of birth and merge moves of a variational posterior: only moves that raise the lower bound are accepted."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from common import (
    ArraySource,
    InitialMoments,
    Model,
    Second,
    StopRule,
    checked,
    distinct_rows,
    final_state,
    fit,
    run_em,
)
from every_engine import Stepwise
from scipy.optimize import brentq
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal
from sklearn.base import clone

from gaussmix import FAMILIES, BayesianGaussianMixture
from gaussmix._src.em.bayes import birth_merge_moves
from gaussmix._src.em.bayes.birth_merge_moves import BirthMergeMoves, EvaluatedModel, PrunedModel
from gaussmix._src.em.bayes.births import BirthProposals
from gaussmix._src.em.bayes.merges import deletion_gains
from gaussmix._src.em.bayes.variational import VariationalObjective
from gaussmix._src.em.bayes.variational_posterior import GaussWishartPrior
from gaussmix._src.em.initialisation.condensation import condense_rows
from gaussmix._src.em.priors.concentration import DirichletWeights, StickBreakingWeights
from gaussmix._src.em.step import core_steps
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.estimators.posterior_estimator import MIN_MASS
from gaussmix._src.families.base import has_conjugate_prior
from gaussmix._src.fit import problem
from gaussmix._src.numerics.core import core, native_target
from gaussmix.extend import Partition

conjugate = [family for family in FAMILIES.values() if has_conjugate_prior(family)]
families = pytest.mark.parametrize("family", conjugate, ids=lambda family: family.name)


@pytest.fixture
def rows(rng):
    """Return rows of two clusters that are far apart."""
    return np.concatenate((rng.normal(size=(120, 2)), rng.normal(size=(80, 2)) + 12))


def moves_of(rows, family, engine, weights, responsibilities, row_weight=None, unit=1.0):
    """Return the moves of a posterior, and the model after an M-step from responsibilities."""
    covariance = np.cov(rows.T)
    scale = {Second.FULL: covariance, Second.DIAGONAL: np.diag(covariance), Second.TRACE: np.array(covariance[0, 0])}
    prior = GaussWishartPrior(family, weights, rows.mean(axis=0), 1.0, 2.0, scale[family.kind.second])
    source = ArraySource(rows, row_weight)
    total = unit * source.row_totals.total_weight
    prior_arguments = {"prior": prior.scaled_conjugate(unit), "gauss_wishart": prior}
    objective = VariationalObjective(np.zeros(2), **prior_arguments, total_weight=total, weight_unit=unit)
    assigned = ArraySource(rows, row_weight, assignment=responsibilities)
    model = InitialMoments(assigned, engine, responsibilities.shape[1], Partition()).model(family, objective)
    rng = np.random.default_rng(0)
    return BirthMergeMoves(source, engine, objective, distinct_rows(source), 6, rng, lambda: False), model


def overlapping(rows):
    """Return responsibilities of four components: two divide a cluster at random, and the last one has little mass."""
    responsibilities = np.full((len(rows), 4), 0.005)
    components = np.random.default_rng(1).integers(2, size=120)
    responsibilities[np.arange(120), components] = 0.985
    responsibilities[120:, 2] = 0.985
    return responsibilities


@families
@pytest.mark.parametrize("weights", [DirichletWeights(0.5, 4), StickBreakingWeights(0.5)], ids=["dirichlet", "sticks"])
def test_components_that_divide_a_cluster_are_merged(rows, family, engine, weights) -> None:
    moves, model = moves_of(rows, family, engine, weights, overlapping(rows))
    state = moves.evaluate(model)
    changes = list(moves.propose_pruned_models(state))
    assert (0, 1) in changes[0].merged_pairs
    assert all(2 not in pair or 3 in pair for change in changes for pair in change.merged_pairs)
    assert moves.evaluate(changes[0].model).bound > state.bound
    found = moves.apply_moves(model)
    np.testing.assert_allclose(found.weights, [0.6, 0.4], atol=0.01)


@families
def test_a_deletion_gains_at_least_its_predicted_gain(rows, family, engine) -> None:
    """The predicted gain is the change of the bound if the rows go to the other components, before any update."""
    responsibilities = np.zeros((200, 3))
    responsibilities[:120, 0] = responsibilities[120:, 1] = 0.97
    responsibilities[:, 2] = 0.03
    moves, model = moves_of(rows, family, engine, DirichletWeights(0.5, 3), responsibilities)
    before = moves.objective.variational_posterior(model)
    state, small = moves.evaluate(model), np.array([2])
    sums = moves.merge_sums(moves.source, before, np.empty((0, 2), dtype=np.intp), small)[1]
    gain = deletion_gains(before, moves.objective.variational_posterior(state.next_model).counts, small, sums)[0]
    without = moves.evaluate(moves.objective.to_model(before.take([0, 1])))
    assert gain > 0
    rounding = 1e-2 if family.is_shared else 1e-9  # the deletion also changes a shared covariance
    assert gain - rounding < without.bound - state.bound < gain + 3.0


@pytest.mark.parametrize("seed", [25, 187])
def test_rows_of_weight_0_do_not_change_a_bayesian_fit(seed) -> None:
    """A row of weight 0 may belong to a single component, for which log (1 − r) is −∞."""
    rng = np.random.default_rng(seed)
    n_rows, n_features = int(rng.integers(10, 60)), int(rng.integers(2, 4))
    X = rng.normal(size=(n_rows, n_features)) * rng.uniform(0.3, 3) + 4 * rng.integers(2, size=(n_rows, 1))
    distant = X.mean(axis=0) + 100 * np.concatenate((np.eye(n_features), -np.eye(n_features)))
    fit = BayesianGaussianMixture(5, covariance_type="diag", random_state=0, init_params="kmeans")
    alone = clone(fit).fit(X)
    both = clone(fit).fit(np.concatenate((X, distant)), sample_weight=np.repeat([1.0, 0.0], [n_rows, 2 * n_features]))
    np.testing.assert_allclose(both.lower_bound_, alone.lower_bound_, rtol=1e-9)
    assert (both.mass_ > 0).sum() == (alone.mass_ > 0).sum() == 2


@families
def test_birth_and_merge_moves_that_lower_the_bound_are_rejected(rows, family, engine, monkeypatch) -> None:
    responsibilities = np.repeat(np.eye(2), [120, 80], axis=0)
    moves, model = moves_of(rows, family, engine, StickBreakingWeights(1.0), responsibilities)
    alone = moves.objective.to_model(moves.objective.variational_posterior(model).take([0]))
    worse = PrunedModel(alone, np.array([0]), [(0, 1)])
    monkeypatch.setattr(BirthMergeMoves, "propose_pruned_models", lambda moves, state: iter([worse]))
    q = moves.objective.variational_posterior(alone)
    monkeypatch.setattr(BirthProposals, "split_components", lambda *_: (q, np.array([-1])))
    assert moves.apply_moves(model) is None


@pytest.mark.parametrize(("loss", "pairs", "is_made"), [(5e-4, [], True), (2e-3, [], False), (5e-4, [(0, 1)], False)])
def test_deletions_but_not_merges_may_slightly_lower_the_bound(rows, engine, monkeypatch, loss, pairs, is_made) -> None:
    responsibilities = np.repeat(np.eye(2), [120, 80], axis=0)
    moves, model = moves_of(rows, FAMILIES["full"], engine, StickBreakingWeights(1.0), responsibilities)
    state = moves.evaluate(model)
    alone = moves.objective.to_model(moves.objective.variational_posterior(model).take([0]))
    pruned = PrunedModel(alone, np.array([0]), pairs)
    monkeypatch.setattr(BirthMergeMoves, "propose_pruned_models", lambda *_: iter([pruned]))
    monkeypatch.setattr(BirthMergeMoves, "evaluate", lambda _, model: EvaluatedModel(model, state.bound - loss, model))
    found = moves._prune(state, np.zeros(2, dtype=np.int8), np.full(2, -1))[0].model
    assert (found is alone) == is_made


@pytest.mark.parametrize("family", [family for family in conjugate if not family.is_shared], ids=lambda each: each.name)
@pytest.mark.parametrize("weights", [DirichletWeights(0.5, 8), StickBreakingWeights(0.01)], ids=["dirichlet", "sticks"])
def test_improve_column_ends_where_neither_em_nor_moves_raise_the_bound(family, weights, engine, rng) -> None:
    """Check clusters that are separate, within another cluster, or small; the bound of the core must be correct."""
    parts = [(0.0, 1.0, 3000), (9.0, 0.5, 1500), (9.0, 3.0, 1500), (30.0, 0.2, 60)]
    rows = np.concatenate([rng.normal(location, spread, (size, 1)) for location, spread, size in parts])
    condensed = condense_rows(distinct_rows(ArraySource(rows)))
    scale = rows.var(axis=0).reshape(family.shape(1, 1)[1:])
    prior = GaussWishartPrior(family, weights, rows.mean(axis=0), 1.0, 2.0, scale)
    source = ArraySource(condensed.rows, condensed.weight / 4.0)
    prior_arguments = {"prior": prior.scaled_conjugate(4.0), "gauss_wishart": prior}
    objective = VariationalObjective(np.zeros(1), **prior_arguments, total_weight=6060.0, weight_unit=4.0)
    assigned = ArraySource(condensed.rows, condensed.weight / 4.0, assignment=np.ones((len(condensed.rows), 1)))
    start = InitialMoments(assigned, engine, 1, Partition()).model(family, objective)
    sample = replace(condensed, weight=condensed.weight / 4.0)
    move_arguments = source, engine, objective, sample
    moves = BirthMergeMoves(*move_arguments, 8, np.random.default_rng(0), lambda: False)
    found = moves.improve_column(start, sample, StopRule(1e-8, 1000))
    model, bound = found
    limit = model.n_components  # the limit prevents further births, which might depend on the draws
    moves = BirthMergeMoves(*move_arguments, limit, np.random.default_rng(0), lambda: False)
    assert moves.evaluate(model).bound == pytest.approx(bound, rel=1e-13)
    assert model.n_components > 3
    np.testing.assert_allclose([6060 * model.weights.min(), 6060 * model.weights.max()], [60, 3000], atol=90)
    end = final_state(run_em(source, Stepwise(engine), model, objective, StopRule(1e-8, 100)))
    assert 6060.0 * end.trace.last_objective - bound < 1e-3
    after = moves.apply_moves(end.model)
    assert after is None or moves.evaluate(after).bound - bound < 2e-2
    moves = BirthMergeMoves(*move_arguments, 8, np.random.default_rng(0), lambda: False)
    at_deadline = moves.improve_column(start, sample, StopRule(1e-8, 1000, deadline=0.0))
    assert at_deadline[0].n_components == 1
    np.testing.assert_array_equal(at_deadline[0].means, start.means)
    assert moves.evaluate(start).bound == pytest.approx(at_deadline[1], rel=1e-13)


@pytest.mark.parametrize("fraction", [0.5, 2.0])
def test_improve_column_deletes_components_that_hardly_raise_the_bound(fraction, engine) -> None:
    """The core evaluates every deletion; a component farther from its only row contributes less."""
    source, family = ArraySource(np.append(np.linspace(-2.0, 2.0, 200), 8.0)[:, None]), FAMILIES["diag"]
    prior = GaussWishartPrior(family, StickBreakingWeights(0.5), np.zeros(1), 0.01, 1.0, np.ones(1))
    objective = VariationalObjective(np.zeros(1), prior.conjugate, gauss_wishart=prior, total_weight=201.0)
    sample, rng = distinct_rows(source), np.random.default_rng(0)
    moves = BirthMergeMoves(source, engine, objective, sample, 1, rng, lambda: False)

    def model(*locations: float) -> Model:
        n = len(locations)
        weights, means = np.array([200.0, 1.0])[:n] / 201.0, np.array(locations)[:, None]
        return Model(weights, means, family.covariances(np.ones((n, 1)), n, 1), family)

    alone = moves.evaluate(model(0.0)).bound + fraction * core.LOSS_OF_DELETION
    start = model(0.0, brentq(lambda mean: moves.evaluate(model(0.0, mean)).bound - alone, 8.0, 15.0, xtol=1e-12))
    found = moves.improve_column(start, sample, StopRule(1e-9, 1))
    assert found[0].n_components == (1 if fraction < 1 else 2)


@families
def test_birth_and_merge_moves_do_not_depend_on_the_unit_of_row_weights(rows, family, engine) -> None:
    weights = np.random.default_rng(2).integers(1, 4, 200).astype(float)
    plain, model = moves_of(rows, family, engine, StickBreakingWeights(0.5), overlapping(rows), weights)
    reduced, other = moves_of(rows, family, engine, StickBreakingWeights(0.5), overlapping(rows), weights / 4, 4.0)
    assert reduced.evaluate(other).bound == pytest.approx(plain.evaluate(model).bound, rel=1e-12)
    one, two = plain.apply_moves(model), reduced.apply_moves(other)
    assert one is not None
    assert two is not None
    np.testing.assert_allclose(one.means, two.means, rtol=1e-9)


def draw_clusters(n_rows, n_features, n_clusters, spread, rng):
    """Draw rows of clusters with different shapes and sizes, whose means are about `spread` deviations apart."""
    means = spread * rng.normal(size=(n_clusters, n_features))
    shapes = rng.normal(size=(n_clusters, n_features, n_features)) / np.sqrt(n_features)
    labels = rng.choice(n_clusters, size=n_rows, p=rng.dirichlet(np.full(n_clusters, 5.0)))
    rows = rng.normal(size=(n_rows, n_features))
    return np.concatenate([rows[labels == k] @ shapes[k].T + means[k] for k in range(n_clusters)])


@pytest.mark.parametrize(("n_rows", "n_features", "spread"), [(8000, 8, 0.8), (3000, 40, 2.0)])
def test_births_find_overlapping_clusters_and_clusters_with_many_features(n_rows, n_features, spread) -> None:
    rows = draw_clusters(n_rows, n_features, 12, spread, np.random.default_rng(0))
    found = BayesianGaussianMixture(20, random_state=0).fit(rows)
    assert (found.mass_ > 1).sum() == 12


@families
def test_split_components_divides_the_mass_of_the_parent_component(rows, family, engine) -> None:
    """At the start of EM, the two new components together have the mass of their parent and nearly its mean."""
    moves, model = moves_of(rows, family, engine, StickBreakingWeights(0.5), np.repeat([[0.6, 0.4]], 200, axis=0))
    q = moves.objective.variational_posterior(model)
    births, labels = BirthProposals(moves.sample, np.random.default_rng(0)), np.zeros(200, dtype=np.int64)
    split = births.split_components(q, labels, np.array([0, 1]))  # component 1 is not the most probable one of any row
    assert split is not None
    after, parents = split
    np.testing.assert_array_equal(parents, [0, -1, 0])
    assert after.counts[[0, 2]].sum() == pytest.approx(q.counts[0])
    assert after.counts[1] == q.counts[1]
    np.testing.assert_allclose(after.counts[[0, 2]] @ after.means[[0, 2]] / q.counts[0], rows.mean(axis=0), atol=0.5)
    assert np.sort(after.counts[[0, 2]] / q.counts[0]) == pytest.approx([0.4, 0.6], abs=0.02)


def fit_by_births(rows, **settings):
    """Return the final state of the run that begins with one component, without the run that begins with k-means."""
    fit_problem, plan = checked(BayesianGaussianMixture(12, random_state=0, **settings), rows)
    return fit(fit_problem, replace(plan, make_moves=partial(plan.make_moves, compares_starts=False))).final_state


def test_subsamples_save_passes_over_all_rows_and_keep_the_lower_bound(rng, monkeypatch) -> None:
    """Moves are accepted by the bound of all rows, but all rows are read less often than without subsamples."""
    rows, passes = draw_clusters(8000, 6, 6, 8.0, rng), list[int]()
    sum_moments = StepTask.sum_moments

    def counted(task, source):
        passes.append(source.n_rows)
        return sum_moments(task, source)

    monkeypatch.setattr(StepTask, "sum_moments", counted)
    monkeypatch.setattr(birth_merge_moves, "MAX_ESTIMATION_ROWS", 500)
    monkeypatch.setattr(core_steps, "LEAF_ROWS", 100)  # so that each EM step is a separate pass
    found = []
    for least in (1000, 10**9):
        monkeypatch.setattr(problem, "MIN_SUBSAMPLE_VALUES", least)
        passes.clear()
        found.append((8000 * fit_by_births(rows).trace.last_objective, passes.count(8000)))
    (subsampled, n_passes), (without, n_more) = found
    assert subsampled == pytest.approx(without, abs=0.01)  # 10 × tol
    assert n_passes <= 10 < n_more, (n_passes, n_more)


def test_births_begin_on_subsamples_and_are_tried_once_on_all_rows(monkeypatch) -> None:
    """Subsamples have about 2,500 and 10,000 rows; births on all rows find no further cluster."""
    monkeypatch.setattr(problem, "MIN_SUBSAMPLE_VALUES", 2**12)
    rng, tries = np.random.default_rng(0), []
    split_components = BirthProposals.split_components

    def counted(births, q, labels, chosen):
        tries.append((len(births.sample.rows), len(chosen)))
        return split_components(births, q, labels, chosen)

    monkeypatch.setattr(BirthProposals, "split_components", counted)
    rows = rng.normal(size=(40_000, 2)) + 20.0 * rng.integers(3, size=(40_000, 1))
    assert fit_by_births(rows).model.n_components == 3
    assert sorted(tries) == tries, tries
    assert tries[-2][0] < 10_000, tries
    assert tries[-1] == (40_000, 3), tries


def test_draw_subsamples_keeps_the_weights_of_the_drawn_rows(rng) -> None:
    rows, weight = rng.normal(size=(350_000, 12)), rng.integers(1, 5, 350_000).astype(float)
    data = problem.TrainingData(ArraySource(rows, weight))
    totals = [data.weight_unit * part.weight.sum() for part in data.draw_subsamples(np.random.default_rng(0))]
    np.testing.assert_allclose(totals, weight.sum() * np.array([16_380, 65_520]) / 350_000, rtol=0.02)
    assert not list(problem.TrainingData(ArraySource(rows[:100])).draw_subsamples(np.random.default_rng(0)))


CROSS = 8.0 * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])


@pytest.mark.parametrize("n_rows", [6_000, 70_000])
@pytest.mark.parametrize("covariance_type", ["spherical", "EII"])
def test_k_means_finds_clusters_that_no_single_split_finds(covariance_type, n_rows, rng) -> None:
    """The two halves of a cross are as wide as the cross, so that a split with one shared variance can't succeed."""
    rows = CROSS[rng.integers(5, size=n_rows)] + rng.normal(size=(n_rows, 2))
    assert fit_by_births(rows, covariance_type="EII").model.n_components == 1
    found = BayesianGaussianMixture(12, covariance_type=covariance_type, random_state=0).fit(rows)
    assert sorted(found.means_[found.mass_ > 0].round().tolist()) == sorted(CROSS.tolist())


@pytest.mark.parametrize("n_rows", [6_000, 70_000])
def test_fits_from_k_means_begin_with_few_components(n_rows, rng) -> None:
    """A limit that is far above the number of clusters hardly matters, and large data are represented by a sample."""
    rows, messages = CROSS[rng.integers(5, size=n_rows)] + rng.normal(size=(n_rows, 2)), list[str]()
    fit_problem, plan = checked(BayesianGaussianMixture(100, random_state=0), rows)
    assert fit(fit_problem, replace(plan, report_progress=messages.append)).final_state.model.n_components == 5
    n_read = len(fit_problem.data.sample.rows)
    assert messages == [f"Fit to {n_read:,} rows from {what}" for what in ("births", "k-means with 10 components")]
    assert (n_read < n_rows) == (n_rows == 70_000)


def test_fits_from_k_means_begin_with_more_components_while_the_bound_rises(rng) -> None:
    """k-means with 10 components can't find 40 clusters, and a component that covers several of them can't be split."""
    centres, messages = 4.0 * rng.normal(size=(40, 30)), list[str]()
    rows = centres[rng.integers(40, size=1500)] + rng.normal(size=(1500, 30))
    fit_problem, plan = checked(BayesianGaussianMixture(60, covariance_type="spherical", random_state=0), rows)
    assert fit(fit_problem, replace(plan, report_progress=messages.append)).final_state.model.n_components == 40
    assert len(messages) > 2


@pytest.mark.parametrize("n_components", [14, 15])
def test_fits_from_k_means_are_possible_with_fewer_distinct_rows_than_components(n_components) -> None:
    counts = np.random.default_rng(0).poisson(3, size=(40_000, 1)).astype(float)
    assert len(np.unique(counts)) == 14
    found = BayesianGaussianMixture(n_components, covariance_type="tied", random_state=0).fit(counts)
    assert (found.mass_ > 0).sum() > 8


def test_many_rows_of_weight_0_do_not_weaken_the_evidence_of_a_sample(rng) -> None:
    rows, weight = CROSS[rng.integers(5, size=100_000)] + rng.normal(size=(100_000, 2)), np.zeros(100_000)
    weight[:200] = 1.0
    fit_to = BayesianGaussianMixture(12, covariance_type="EII", random_state=0).fit
    alone = fit_to(rows[:200]).lower_bound_
    assert fit_to(rows, sample_weight=weight).lower_bound_ == pytest.approx(alone, abs=1e-2)


def test_measurement_errors_count_although_the_compared_fits_leave_them_out(rng) -> None:
    labels = rng.integers(5, size=6_000)
    rows, errors = CROSS[labels] + rng.normal(size=(6_000, 2)), np.full((6_000, 2), 0.5)
    start = BayesianGaussianMixture(5, covariance_type="EII", random_state=0)
    found = start.set_params(weight_concentration_prior_type="dirichlet_distribution").fit(rows, X_error=errors)
    exact = clone(found).set_params(init_params=labels, split_merge=False).fit(rows, X_error=errors)
    assert found.lower_bound_ == pytest.approx(exact.lower_bound_, abs=0.01)
    np.testing.assert_allclose(found.covariances_, exact.covariances_, rtol=1e-3)


def split_in_two(rows, weight, uniform, structure):
    """Return weights, means and covariances of both halves of a component with all rows."""
    n_rows, is_complete, component = len(rows), np.ones(len(rows), dtype=bool), np.zeros(1, dtype=np.int64)
    algebra, labels = FAMILIES[structure].algebra, np.zeros(n_rows, dtype=np.int64)
    row_arguments = rows, weight, is_complete, np.maximum(rows.std(axis=0), 1e-300)
    split, *pairs = native_target().split_components(*row_arguments, algebra, labels, component, uniform[None])
    weights, means, covariances = (each.reshape(len(split), 2, -1) for each in pairs)
    return weights[0, :, 0], means[0], covariances[0]


@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
@pytest.mark.parametrize("kind", ["clusters", "tails", "heavy row"])
def test_a_split_is_the_best_result_of_em_from_several_cuts(kind, structure) -> None:
    """Even rows determine a split, and odd rows confirm it, unless a heavy row needs all rows."""
    rng = np.random.default_rng(1)
    rows, weight, uniform = rng.normal(size=(200, 3)), rng.uniform(0.5, 1, 200), rng.random(12)
    some = rng.permutation(200)
    if kind == "clusters":
        rows[some[:100], 0] += 4
    else:
        rows[some[:16]] *= 3
    used = slice(None, None, 1 if kind == "heavy row" else 2)
    if kind == "heavy row":
        weight[7] = 30.0
    fraction, is_full = weight[used] / weight[used].sum(), structure == "full"
    heavy = [np.arange(200) == 7] if kind == "heavy row" else []
    ends = []
    for scale, cut in zip(candidate_scales(rows, weight), np.split(uniform, 3), strict=False):
        white, longest = whitened(rows, used, fraction, scale, is_full)
        along = white[used] @ (2 * cut[1:] - 1)
        order = np.argsort(along)
        quantile = along[order][np.cumsum(fraction[order]) >= 0.2 + 0.6 * cut[0]][0]
        sides = [white[used, longest] > 0, along > quantile, *heavy]
        ends += [bisect_by_em(white, used, fraction, side, is_full) for side in sides]
    _, gains, first = max(ends, key=lambda end: end[0])
    is_confirmed = weight[1::2] @ gains[1::2] > 0
    assert is_confirmed == (kind != "tails" or not is_full)
    if not is_confirmed:
        white, _ = whitened(rows, used, fraction, rows.std(axis=0), is_full)
        squares = (white[used] ** 2).sum(axis=1)
        _, gains, first = bisect_by_em(white, used, fraction, squares > fraction @ squares, is_full)
        assert weight[1::2] @ gains[1::2] > 0
    expected = weight @ first / weight.sum()
    weights, means, covariances = split_in_two(rows, weight, uniform, structure)
    np.testing.assert_allclose(weights, [expected, 1 - expected], atol=1e-6)
    for mean, found, responsibilities in zip(means, covariances, (first, 1 - first), strict=True):
        covariance = np.cov(rows.T, aweights=weight * responsibilities, ddof=0)
        by_structure = {"full": covariance.ravel(), "diag": np.diag(covariance), "spherical": np.trace(covariance) / 3}
        np.testing.assert_allclose(mean, np.average(rows, axis=0, weights=weight * responsibilities), atol=1e-5)
        np.testing.assert_allclose(found, by_structure[structure], rtol=1e-4, atol=1e-4)


def candidate_scales(rows, weight):
    """Return scales of the features; a feature whose distribution is similar to two points is longest on the second."""
    scale = rows.std(axis=0)
    offsets = np.abs(rows - np.average(rows, axis=0, weights=weight)) / scale
    squares = np.average(offsets**2, axis=0, weights=weight)
    likeness = np.average(offsets, axis=0, weights=weight) ** 2 / squares
    stretched = 0.5 * np.sqrt(squares / squares.max()) * scale
    best = np.arange(3) == likeness.argmax()
    return [scale, *([np.where(best, stretched, scale)] if likeness.max() > 0.7 else [])]


def whitened(rows, used, fraction, scale, is_full):
    """Return all rows, whitened so that the used rows have mean 0 and variance 1, and the index of the longest axis."""
    offsets = (rows - fraction @ rows[used]) / scale
    within = offsets[used].T @ (fraction[:, None] * offsets[used])
    axes_of = native_target().principal_axes  # whose signs decide the direction of a random cut
    values, axes = (each[0] for each in axes_of(within[None])) if is_full else (np.diag(within), np.eye(3))
    return offsets @ axes / np.sqrt(values), values.argmax()


def bisect_by_em(white, used, fraction, side, is_full):
    """Return the gain of two components after five EM steps, and the gains and first responsibilities of all rows."""
    responsibilities, one = np.where(side, [[0.05], [0.95]], [[0.95], [0.05]]), multivariate_normal(np.zeros(3))
    history = []
    for _ in range(6):
        densities = []
        for component_weight in responsibilities * fraction:
            mean, n = np.average(white[used], axis=0, weights=component_weight), component_weight.sum()
            covariance = np.cov(white[used].T, aweights=component_weight, ddof=0) + 1e-9 * np.eye(3)
            covariance = covariance if is_full else np.diag(np.diag(covariance))
            densities.append(np.log(n) + multivariate_normal(mean, covariance).logpdf(white))
        gains, first = logsumexp(densities, axis=0) - one.logpdf(white), softmax(densities, axis=0)
        responsibilities = first[:, used]
        history.append(fraction @ gains[used])
    return history[-2], gains, first[0]


@pytest.mark.parametrize("n_far", [1, 3])
def test_a_few_distant_rows_are_split_off_if_no_other_split_is_found(n_far, rng) -> None:
    rows, weight = rng.normal(size=(400, 2)), np.ones(400)
    rows[:n_far] = 1e3
    weights, means, _ = split_in_two(rows, weight, rng.random(9), "full")
    assert weights.min() == pytest.approx(n_far / 400, rel=1e-6)
    np.testing.assert_allclose(means[weights.argmin()], 1e3)


def test_a_constant_feature_does_not_change_a_split(rng) -> None:
    """The values of a constant feature differ only by rounding, and so does its standard deviation from 0."""
    rows, weight, uniform = rng.normal(size=(333, 40)), np.ones(333), rng.random(123)
    rows[:150, 3] += 8
    rows[:, 7] = 0.0
    expected, means, _ = split_in_two(rows, weight, uniform, "full")
    rows[:, 7] = 1234.5
    found, moved, _ = split_in_two(rows, weight, uniform, "full")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(moved[:, 7], 1234.5)
    np.testing.assert_array_equal(np.delete(moved, 7, axis=1), np.delete(means, 7, axis=1))


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("structure", ["full", "diag"])
@pytest.mark.parametrize(("n_features", "distance"), [(1, 6.0), (10, 6.0), (40, 10.0)])
def test_a_bayesian_fit_finds_two_clusters_separated_along_one_of_many_features(structure, n_features, distance):
    """After scaling by the sample, all features have the same spread, even the feature that separates the clusters."""
    rng = np.random.default_rng(n_features)
    X = rng.normal(size=(4_000, n_features))
    X[::2, 0] += distance
    X[:, n_features - 1] += 1e3
    found = BayesianGaussianMixture(6, covariance_type=structure, random_state=0).fit(X)
    assert (found.mass_ > 0).sum() == 2


@pytest.mark.parametrize(("n_features", "deviations", "seed"), [(2, (1.0, 4.0, 16.0), 2), (3, (1.0, 2.5), 0)])
def test_a_bayesian_fit_finds_a_narrow_cluster_within_a_wide_one(n_features, deviations, seed):
    rng = np.random.default_rng(seed)
    size = 600 // len(deviations), n_features
    X = np.concatenate([deviation * rng.normal(size=size) for deviation in deviations])
    found = BayesianGaussianMixture(10, random_state=seed).fit(X)
    assert (found.mass_ > MIN_MASS).sum() == len(deviations)
