"""`GaussianMixtureIC`: candidates, criteria, cross-validation, and failures."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from common import family_named, without_seconds
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning

from gaussmix import FAMILIES, FactorAnalyzer, GaussianMixture, GaussianMixtureIC
from gaussmix._src.fit.candidates import Folds
from gaussmix._src.report.messages import CollapseWarning
from gaussmix._src.validation.parameters import check_seed

FOUR = ["full", "tied", "diag", "spherical"]


def results_by_candidate(estimator):
    """Return a dict from candidates to their results, because the order of candidates must not matter."""
    table = without_seconds(estimator)
    pairs = zip(table["structure"], table["n_components"], strict=True)
    return {pair: repr([column[index] for column in table.values()]) for index, pair in enumerate(pairs)}


@pytest.mark.heavy(n_default=1)
def test_the_candidate_with_the_lowest_bic_is_selected(X):
    chosen = GaussianMixtureIC(range(1, 6), covariance_type=FOUR, random_state=0).fit(X)
    assert (chosen.n_components_, chosen.covariance_type_) == (3, "spherical")
    table = pd.DataFrame(chosen.results_)
    assert len(table) == 5 * len(FOUR)
    assert table.bic.idxmin() == chosen.best_index_
    best = table.iloc[chosen.best_index_]
    assert best.bic == pytest.approx(chosen.bic(X), rel=1e-13)
    assert best.aic == pytest.approx(chosen.aic(X), rel=1e-13)
    assert best.log_likelihood == pytest.approx(chosen.score(X) * len(X), rel=1e-13)
    assert best.n_parameters == chosen.mixture_.n_parameters
    assert chosen.predict_proba(X).shape == (len(X), 3)
    assert chosen.sample(5)[0].shape == (5, 3)


def test_results_convert_to_a_data_frame(X):
    table = GaussianMixtureIC([1, 2], covariance_type=FOUR).fit(X).results_
    assert pd.DataFrame(table).shape == pl.DataFrame(table).shape == (8, len(table))


@pytest.mark.parametrize("criterion", ["bic", "icl", "aic", "aicc"])
def test_each_row_of_results_equals_a_fit_of_gaussian_mixture(criterion, X):
    settings = {"tol": 1e-5, "reg_covar": 0, "max_iter": 1000, "init_params": "kmeans", "random_state": 3, "n_init": 2}
    chosen = GaussianMixtureIC([2, 3], covariance_type=FOUR, criterion=criterion, **settings).fit(X)
    for index, (name, n_components) in enumerate(
        zip(chosen.results_["structure"], chosen.results_["n_components"], strict=True)
    ):
        alone = GaussianMixture(n_components, covariance_type=name, **settings).fit(X)
        assert chosen.results_["bic"][index] == pytest.approx(alone.bic(X), rel=1e-13)
        classification = alone.score_samples(X).sum() + np.log(alone.predict_proba(X).max(axis=1)).sum()
        icl = -2 * classification + alone.mixture_.n_parameters * np.log(len(X))
        assert chosen.results_["icl"][index] == pytest.approx(icl, rel=1e-12)
    p, n = np.array(chosen.results_["n_parameters"]), len(X)
    corrected = np.array(chosen.results_["aic"]) + 2 * p * (p + 1) / (n - p - 1)
    np.testing.assert_allclose(chosen.results_["aicc"], corrected, rtol=1e-13)


@pytest.mark.filterwarnings("ignore")
def test_results_do_not_depend_on_order_other_candidates_or_threads(X):
    # The fits use several threads, because there are enough rows.
    tall = np.vstack([X] * 80) + np.arange(80).repeat(len(X))[:, None] * 1e-6
    settings = {"random_state": 5, "init_params": ["kmeans", "hierarchical"], "max_iter": 5}
    first = GaussianMixtureIC([2, 3], covariance_type=["diag", "full"], n_jobs=1, **settings).fit(tall)
    other = GaussianMixtureIC([5, 3, 2], covariance_type=["full", "tied", "diag"], n_jobs=3, **settings).fit(tall)
    known = results_by_candidate(other)
    assert {pair: known[pair] for pair in results_by_candidate(first)} == results_by_candidate(first)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_order_of_rows_does_not_change_the_order_of_components(seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(60, 2)) + 6 * np.repeat([[0, 0], [1, 0], [0, 1]], 20, axis=0)
    chosen = GaussianMixtureIC([2, 3], covariance_type=["tied", "EII"], random_state=0)
    means = [chosen.fit(rng.permutation(rows)).means_ for _ in range(6)]
    np.testing.assert_allclose(means, [means[0]] * 6, rtol=1e-9)


@pytest.mark.parametrize("names", [FOUR, FOUR[::-1]])
def test_ties_go_to_fewer_parameters(names, rng):
    """Check ties: with one component and one feature all structures are the same Gaussian, with equal AIC and BIC."""
    rows = rng.normal(size=(50, 1))
    chosen = GaussianMixtureIC(1, covariance_type=names).fit(rows)
    table = chosen.results_
    assert max(table["bic"]) == pytest.approx(min(table["bic"]), rel=1e-13)
    assert chosen.covariance_type_ == next(name for name in FAMILIES if name in names)


def test_more_components_of_a_structure_never_have_a_lower_likelihood():
    """Check that candidates that would end below smaller ones are fitted again; others equal `GaussianMixture`'s."""
    X = load_iris().data
    structures, initialisation = ["EVI", "VEE", "VEV", "VVE"], {"init_params": "hierarchical"}
    chosen = GaussianMixtureIC(range(1, 10), covariance_type=structures, random_state=0, **initialisation).fit(X)
    table = pd.DataFrame(chosen.results_).dropna(subset="log_likelihood")
    fewer = table.groupby("structure").log_likelihood.cummax().groupby(table.structure).shift()
    assert not (table.log_likelihood < fewer).any()
    settings = {"reg_covar": 0, "tol": 1e-6, "max_iter": 1000} | initialisation
    again = 0
    for row, below in zip(table.itertuples(), fewer, strict=True):
        alone = GaussianMixture(row.n_components, covariance_type=row.structure, **settings).fit(X).score(X) * len(X)
        again += alone < below
        assert row.log_likelihood == pytest.approx(alone, rel=1e-12) or row.log_likelihood > below > alone
    assert again > 0


def test_the_candidates_for_one_feature_are_equal_and_unequal_variances(rng):
    table = GaussianMixtureIC([2], random_state=0).fit(rng.normal(size=(90, 1))).results_
    assert table["structure"] == [family_named(name).name for name in "EV"]
    assert table["n_parameters"] == [4, 5]


def test_a_structure_for_several_features_becomes_e_or_v_with_a_warning(rng):
    with pytest.warns(RuntimeWarning, match="'VVE' is 'V' for one feature"):
        chosen = GaussianMixtureIC(1, covariance_type=["VVE", "E"]).fit(rng.normal(size=(30, 1)))
    assert len(chosen.results_["bic"]) == 2
    with pytest.raises(ValueError, match="'E' is for one feature, but X has 2"):
        GaussianMixtureIC(1, covariance_type=["VVE", "E"]).fit(rng.normal(size=(30, 2)))


def test_failed_candidates_are_reported_and_never_selected(rng):
    rows = np.column_stack([rng.normal(size=40), np.full(40, 7.0)])
    message = (
        r"10 of 12 candidates could not be fitted: 6 × singular covariance, 4 × fewer rows than components\. "
        r"Column 1 \(counted from 0\) of X is constant\. Leave it out, or raise reg_covar, .*\. Lower n_components\."
    )
    with pytest.warns(RuntimeWarning, match=message) as caught:
        chosen = GaussianMixtureIC([1, 2, 41], covariance_type=FOUR, random_state=0).fit(rows)
    assert [warning.filename for warning in caught] == [__file__]
    table = chosen.results_
    assert chosen.covariance_type_ == "spherical"
    for structure, n_components, failure, bic, converged in zip(
        *(table[name] for name in ("structure", "n_components", "failure", "bic", "converged")), strict=True
    ):
        if n_components == 41:
            assert failure == "fewer rows than components: 40"
        elif structure == "spherical":
            assert failure is None
        else:
            assert failure.startswith("singular covariance: component")
        assert np.isnan(bic) == (failure is not None)
        assert not (converged and failure)


def test_few_failed_candidates_cause_no_warning_but_a_majority_does(rng):
    rows = rng.normal(size=(30, 2))
    chosen = GaussianMixtureIC([1, 2, 31], covariance_type=FOUR, random_state=0).fit(rows)
    assert chosen.results_["failure"].count("fewer rows than components: 30") == 4
    with pytest.warns(RuntimeWarning, match=r"^8 of 12 candidates could not be fitted: 8 × fewer rows than components"):
        GaussianMixtureIC([1, 31, 32], covariance_type=FOUR, random_state=0).fit(rows)


def test_columns_are_not_named_as_the_cause_of_too_many_components(rng):
    rows = np.column_stack([rng.normal(size=20), np.zeros(20)])
    with pytest.raises(ValueError, match=r"be fitted: 2 × fewer rows than components\. Lower n_components\.$"):
        GaussianMixtureIC([30, 31], covariance_type="diag").fit(rows)


def test_the_error_counts_the_reasons_if_all_candidates_fail(rng):
    rows = np.column_stack([rng.normal(size=20), np.zeros(20)])
    message = (
        r"None of 4 candidates could be fitted: 2 × singular covariance, 2 × fewer rows than components\. Column 1 "
        r"\(counted from 0\) of X is constant\. Leave it out, or raise reg_covar, .*\. Lower n_components\."
    )
    estimator = GaussianMixtureIC([1, 30], covariance_type=["full", "diag"])
    with pytest.raises(ValueError, match=message):
        estimator.fit(rows)
    assert not hasattr(estimator, "mixture_")


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        (
            {"covariance_type": [FactorAnalyzer(3), FactorAnalyzer(4)]},
            "None of 2 candidates could be fitted: 2 × too many factors. Lower n_factors.",
        ),
        (
            {"n_components": 9},
            "The only candidate could not be fitted: 1 × fewer rows than components. Lower n_components.",
        ),
        (
            {"criterion": "aicc"},
            "The only candidate could not be fitted: 1 × no finite value to choose by. Choose another criterion, "
            "or give more rows than parameters.",
        ),
    ],
    ids=str,
)
def test_the_error_names_a_remedy_if_all_candidates_fail(parameters, sentence, rng):
    estimator = GaussianMixtureIC(**{"n_components": 1, "covariance_type": "factor_analyzer", **parameters})
    with pytest.raises(ValueError, match=re.escape(sentence) + "$"):
        estimator.fit(rng.normal(size=(8, 3)))


@pytest.mark.parametrize("structure", ["EVE", "VVE"])
def test_rounding_of_common_axes_never_makes_a_zero_variance_positive(structure):
    """Check that rounding of common axes never makes a variance of 0 positive, whatever the order of the rows."""
    rng = np.random.default_rng(0)
    amounts = np.where(rng.random((120, 2)) < 0.6, 0.0, rng.exponential(size=(120, 2)))
    coded = np.c_[rng.normal(size=(120, 2)) + 4 * rng.integers(0, 2, (120, 1)), rng.integers(0, 3, 120)]
    for rows in (amounts, rng.permutation(amounts), rng.permutation(amounts), coded):
        for n_components in range(1, 6):
            try:
                found = GaussianMixtureIC(n_components, covariance_type=structure, random_state=0).fit(rows)
            except ValueError:
                continue
            assert np.linalg.cond(found.mixture_.covariances).max() < 1e9 or found.results_["warning"][0]


def test_a_fit_from_fewer_components_that_collapses_is_discarded():
    """Check that such a fit is rejected, although its likelihood is higher because few rows are close together."""
    rng, steps = np.random.default_rng(58), []
    rows = np.vstack([rng.normal(size=(40, 2)), np.round(rng.normal(size=(4, 2)))])
    settings = {"covariance_type": "diag", "init_params": "random", "reg_covar": 0, "random_state": 0}
    alone = GaussianMixtureIC([4], **settings).fit(rows).results_["log_likelihood"][0]
    table = GaussianMixtureIC([3, 4], **settings, callbacks=[steps.append]).fit(rows).results_["log_likelihood"]
    assert any((step.candidate, step.start) == (1, 1) for step in steps)
    assert table[1] == alone < table[0]


def test_cross_validation_selects_by_the_one_standard_error_rule(X):
    chosen = GaussianMixtureIC([1, 2, 3, 4], covariance_type=FOUR, criterion="cv", random_state=0).fit(X)
    table = pd.DataFrame(chosen.results_)
    top = table.loc[table.cv.idxmax()]
    within = table[table.cv >= top.cv - top.cv_error]
    assert chosen.best_index_ == within.n_parameters.idxmin()
    assert chosen.n_components_ == 3
    scored = table.dropna(subset="cv")  # a component on few rows may collapse without the rows of a fold
    assert len(scored) >= 15
    assert (scored.cv < scored.log_likelihood / len(X)).all()
    again = GaussianMixtureIC([1, 2, 3, 4], covariance_type=FOUR, criterion="cv", random_state=0, n_jobs=1).fit(X)
    assert repr(without_seconds(again)) == repr(without_seconds(chosen))


@pytest.mark.parametrize("n_folds", [2, 3, 5, 10, 997])
def test_folds_are_random_and_of_equal_size(n_folds):
    """Check that a range of rows has the same folds as within all rows, and that row indices do not reveal folds."""
    folds, n_rows = Folds(n_folds, 7), 60_000 + n_folds // 2
    whole = folds.assign_folds(slice(0, n_rows))
    sizes = np.bincount(whole, minlength=n_folds)
    assert sizes.tolist() == [folds.fold_size(fold, n_rows) for fold in range(n_folds)]
    assert np.ptp(sizes) <= 1
    for first, end in (0, 1), (5, 5), (3, 40_001), (59_999, n_rows):
        np.testing.assert_array_equal(folds.assign_folds(slice(first, end)), whole[first:end])
    other = Folds(n_folds, 8).assign_folds(slice(0, n_rows))
    for one, another in (whole, other), (whole[:-n_folds], whole[n_folds:]), (whole, np.arange(n_rows) % n_folds):
        deviation = np.sqrt((1 - 1 / n_folds) / n_folds / len(one))
        assert abs((one == another).mean() - 1 / n_folds) < 5 * deviation


@pytest.mark.parametrize("labels", [None, np.arange(180) % 3 - 1], ids=["rows", "labels"])
def test_cross_validated_scores_equal_those_of_single_folds(labels, X):
    """Compare with folds that are fitted one by one; held-out rows are scored without their labels."""
    initialisation = {"init_params": "hierarchical"}
    chosen = GaussianMixtureIC([2], covariance_type="full", criterion="cv", n_folds=4, random_state=1, **initialisation)
    chosen.fit(X, labels=labels)
    fold = Folds(4, int(check_seed(1).integers(2**63))).assign_folds(slice(0, len(X)))
    scores = []
    for number in range(4):
        gm = GaussianMixture(2, reg_covar=0, tol=1e-6, max_iter=1000, **initialisation)
        gm.fit(X[fold != number], labels=None if labels is None else labels[fold != number])
        scores.append(gm.score(X[fold == number]))
    assert chosen.results_["cv"] == pytest.approx([np.mean(scores)], rel=1e-12)
    assert chosen.results_["cv_error"] == pytest.approx([np.std(scores, ddof=1) / 2], rel=1e-10)


def test_n_folds_may_equal_the_number_of_rows(X):
    chosen = GaussianMixtureIC([1], covariance_type="full", criterion="cv", n_folds=12).fit(X[:12])
    gm = GaussianMixture(1, reg_covar=0)
    alone = [gm.fit(np.delete(X[:12], row, axis=0)).score(X[row : row + 1]) for row in range(12)]
    assert chosen.results_["cv"] == pytest.approx([np.mean(alone)], rel=1e-9)


SMALL_WEIGHTS = "sample_weight sums to less than 2, but criteria such as BIC need a row count"


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("total", [1e-300, 1e-3, 1, 1 + 1e-9, 1.9])
@pytest.mark.parametrize("criterion", ["bic", "icl", "aic", "aicc", "cv"])
def test_weights_that_sum_to_less_than_2_are_scaled_to_count_rows(criterion, total, rng):
    rows = rng.normal(size=(300, 2))
    parameters = {
        "n_components": [1, 4],
        "covariance_type": "full",
        "init_params": "hierarchical",
        "criterion": criterion,
        "random_state": 0,
    }
    weight = np.full(300, total / 300)
    with pytest.warns(RuntimeWarning, match=SMALL_WEIGHTS) as caught:
        chosen = GaussianMixtureIC(**parameters).fit(rows, sample_weight=weight)
    assert [warning.filename for warning in caught] == [__file__]
    alone = GaussianMixtureIC(**parameters).fit(rows)
    assert chosen.n_components_ == alone.n_components_
    if criterion == "bic":
        assert chosen.n_components_ == 1
    np.testing.assert_allclose(chosen.results_[criterion], alone.results_[criterion], rtol=1e-9)
    for name in ("bic", "aic"):
        with pytest.warns(RuntimeWarning, match=SMALL_WEIGHTS):
            assert getattr(chosen, name)(rows, weight) == pytest.approx(getattr(alone, name)(rows), rel=1e-9)


def test_weights_that_sum_to_2_or_more_are_frequencies(rng):
    rows = rng.normal(size=(50, 2))
    fitted = GaussianMixture().fit(rows)
    assert fitted.bic(rows[:1], [1.0]) == fitted.bic(rows[:1])
    assert fitted.bic(rows[:2], [1.0, 1.0]) == fitted.bic(rows[:2])
    few = np.full(50, 2 / 50)
    assert fitted.bic(rows, few) == pytest.approx(-4 * fitted.score(rows) + 5 * np.log(2), rel=1e-12)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"criterion": "bick"}, ValueError, "criterion='bick' is not one of 'bic', .* Did you mean 'bic'"),
        ({"n_components": []}, ValueError, "n_components is empty"),
        ({"n_components": [2, 0]}, ValueError, "n_components=0 must be an integer ≥ 1"),
        ({"n_components": 2.5}, TypeError, "n_components must be an integer ≥ 1, or several"),
        ({"n_components": {"a": 2}}, TypeError, "n_components must be an integer ≥ 1, or several"),
        ({"n_components": "3"}, TypeError, "n_components must be an integer ≥ 1, not '3'"),
        ({"covariance_type": "fully"}, ValueError, "covariance_type='fully' is not one of .* Did you mean 'full'"),
        ({"covariance_type": "All"}, ValueError, "covariance_type='All' is not one of .* Did you mean 'all'"),
        ({"covariance_type": []}, ValueError, "covariance_type is empty"),
        ({"n_components": iter([1, 2])}, TypeError, "n_components is an iterator, .* Pass a list"),
        ({"covariance_type": map(str, ["full"])}, TypeError, "covariance_type is an iterator, .* Pass a list"),
        ({"covariance_type": 3}, TypeError, "covariance_type must be a structure, the name of a structure, a list of"),
        ({"init_params": np.zeros(180, dtype=int)}, TypeError, "init_params must be the name of a method or a list"),
        ({"criterion": "cv", "n_folds": 1}, ValueError, "n_folds=1 must be an integer ≥ 2"),
        ({"criterion": "cv", "n_folds": 181}, ValueError, "n_folds=181, but X has only 180 rows"),
        ({"reg_covar": "automatic"}, TypeError, "reg_covar must be a finite number ≥ 0 or"),
    ],
)
def test_invalid_candidates_and_criteria_are_rejected(wrong, error, message, X):
    with pytest.raises(error, match=message):
        GaussianMixtureIC(**({"n_components": [1, 2], "covariance_type": FOUR} | wrong)).fit(X)


def test_a_selected_fit_that_did_not_converge_causes_a_warning(X):
    with pytest.warns(ConvergenceWarning):
        GaussianMixtureIC([3], covariance_type="full", max_iter=1, random_state=0).fit(X)


def test_a_candidate_that_fails_in_a_fold_has_no_cross_validated_score(X):
    settings = {"covariance_type": "diag", "criterion": "cv", "n_folds": 3, "reg_covar": 1e-3, "random_state": 0}
    chosen = GaussianMixtureIC([1, 2, 150], **settings).fit(X)
    failure = "failed without a fold: fewer rows than components: 120"
    assert chosen.results_["failure"] == [None, None, failure]
    assert np.isnan(chosen.results_["cv"]).tolist() == [False, False, True]


def test_rows_of_weight_0_are_in_no_fold(X):
    cv = {"covariance_type": "full", "criterion": "cv", "n_folds": 3, "random_state": 0}
    weighted = GaussianMixtureIC([1, 2], **cv).fit(np.vstack([X, X[:9] + 50.0]), sample_weight=np.arange(189) < 180)
    np.testing.assert_allclose(weighted.results_["cv"], GaussianMixtureIC([1, 2], **cv).fit(X).results_["cv"])


@pytest.mark.parametrize("reg_covar", ["auto", 1e-6, 0.0])
def test_candidates_whose_components_have_few_distinct_rows_have_a_warning(reg_covar):
    rows = load_wine().data
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search = GaussianMixtureIC((1, 2, 3), covariance_type="full", reg_covar=reg_covar, random_state=0).fit(rows)
    is_weak = [warning is not None for warning in search.results_["warning"]]
    assert is_weak == [False, False, reg_covar != 0]  # without a ridge, three components cannot be fitted
    text = str(search.summary())
    assert any(is_weak) == ("1 candidate of 3 with components that have few distinct rows" in text)
    assert is_weak[search.best_index_] == bool(search.outcome_.on_ridge) == ("because it has 5 distinct rows" in text)
    assert sum("rests on reg_covar" in str(each.message) for each in caught) == (reg_covar != 0)


def test_few_distinct_rows_have_a_warning_without_reg_covar(rng):
    """Check five rows in eight columns, which have a density because the components share their orientation."""
    rows = np.concatenate([rng.normal(size=(150, 8)), 60 + 1e-3 * rng.normal(size=(5, 8))])
    with pytest.warns(CollapseWarning, match=r"^Component . has 5 distinct rows for 8 columns\. The likelihood and"):
        search = GaussianMixtureIC(2, covariance_type="VEV", random_state=0).fit(rows)
    assert re.fullmatch(r"Component . has 5 distinct rows for 8 columns\.", search.results_["warning"][0])
    assert "has 5 distinct rows for 8 columns" in str(search.summary())


@pytest.mark.parametrize("seed", [4, 377, 678])
def test_a_candidate_that_the_search_improves_most_is_chosen_among_several_structures(seed):
    """Compare with a selection for each structure alone, in which the search tries to improve every candidate."""
    rng = np.random.default_rng(seed)
    X = rng.standard_t(3, size=(120, 2)) + rng.integers(0, 3, size=(120, 1)) * [3.0, 0.0]
    structures = ["spherical", "diag", "VVE"]
    one, *each = (
        GaussianMixtureIC(range(1, 6), covariance_type=names, random_state=0).fit(X)
        for names in (structures, *structures)
    )
    assert one.bic(X) == pytest.approx(min(gm.bic(X) for gm in each), abs=0.1)
