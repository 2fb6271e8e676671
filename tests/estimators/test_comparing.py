"""The tables of `compare` agree with the estimators."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import sem
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import PredefinedSplit, cross_val_score

from gaussmix import BayesianGaussianMixture, GaussianMixture, GaussianMixtureIC, compare
from gaussmix._src.fit.candidates import Folds

X = np.random.default_rng(0).normal(np.repeat([0.0, 9.0, 20.0], 40)[:, None], size=(120, 2))


def fits(rows=X, **parameters):
    estimators = {f"{k}": GaussianMixture(k, random_state=0, **parameters) for k in (1, 2, 3)}
    return {name: estimator.fit(rows) for name, estimator in estimators.items()}


def test_compare_reports_the_criteria_of_the_estimators():
    weight = np.random.default_rng(1).integers(1, 4, len(X)).astype(float)
    estimators = {"chosen": GaussianMixtureIC(range(1, 4), random_state=0).fit(X, sample_weight=weight)}
    estimators |= {f"{k}": GaussianMixture(k, random_state=0).fit(X, sample_weight=weight) for k in (1, 2, 3)}
    found = compare(estimators, X, sample_weight=weight)
    assert found["bic"].is_monotonic_increasing
    assert found["bic_above"][0] == 0
    for row in found.itertuples():
        estimator = estimators[row.name]
        assert row.bic == pytest.approx(estimator.bic(X, weight))
        assert row.log_likelihood == pytest.approx(estimator.score(X, sample_weight=weight) * weight.sum())
        assert row.n_parameters == estimator.n_parameters_
        assert row.n_components == len(estimator.weights_)
    assert found.set_index("name")["agreement"][["3", "1"]].tolist() == [1.0, 0.0]


def test_bic_above_is_relative_to_the_lowest_bic():
    estimators = fits()
    found = compare(estimators, X)
    np.testing.assert_allclose(found["bic_above"], found["bic"] - found["bic"].min())
    assert found["name"][0] != next(iter(estimators))  # the first estimator is not the best


def test_cross_validated_scores_equal_those_of_scikit_learn():
    found = compare(fits(), X, cv=4).set_index("name")
    folds = PredefinedSplit(Folds(4, 0).assign_folds(slice(0, len(X))))
    for name in fits():
        scores = cross_val_score(GaussianMixture(int(name), random_state=0), X, cv=folds)
        assert found["cv"][name] == pytest.approx(scores.mean())
        assert found["cv_se"][name] == pytest.approx(scores.std(ddof=1) / 2)
    ones = compare(fits(), X, sample_weight=np.ones(len(X)), cv=4).set_index("name")
    np.testing.assert_array_equal(ones["cv"][found.index], found["cv"])


def test_compare_uses_sample_weight_and_X_error_as_fit_does():
    weight, error = np.where(np.arange(len(X)) % 2, 3.0, 0.0), np.full(X.shape, 0.5)
    one = {"a": GaussianMixture(2, random_state=0).fit(X, sample_weight=weight, X_error=error)}
    found, is_positive = compare(one, X, sample_weight=weight, X_error=error, cv=3), weight > 0
    expected = compare(one, X[is_positive], sample_weight=weight[is_positive], X_error=error[is_positive], cv=3)
    pd.testing.assert_frame_equal(found, expected)
    assert found["bic"][0] == pytest.approx(one["a"].bic(X, weight, X_error=error))
    # The score is the mean of the scores of the folds, weighted by the total weight of each fold.
    heavy = np.r_[np.full(10, 100.0), np.ones(50)]
    fit = {"a": GaussianMixture(1).fit(X[:60], sample_weight=heavy)}
    scores, weights = [], []
    for others, fold in PredefinedSplit(Folds(3, 0).assign_folds(slice(0, 60))).split():
        again = GaussianMixture(1).fit(X[others], sample_weight=heavy[others])
        scores.append(again.score(X[fold], sample_weight=heavy[fold]))
        weights.append(heavy[fold].sum())
    expected = np.average(scores, weights=weights)
    found = compare(fit, X[:60], sample_weight=heavy, cv=3)
    assert found["cv"][0] == pytest.approx(expected)
    # The standard error of a ratio of sums is that of the mean residual (Cochran 1977, section 6.4).
    residuals = np.array(weights) * (np.array(scores) - expected) / np.mean(weights)
    assert found["cv_se"][0] == pytest.approx(sem(residuals))


@pytest.mark.parametrize("n_rows", [120, 6])  # with 6 rows, each fold has as many rows as features
@pytest.mark.parametrize("error", [0.3, [0.3, 0.5, 0.4], np.diag([0.09, 0.25, 0.16])], ids=["scalar", "row", "matrix"])
def test_an_X_error_for_all_rows_equals_the_same_X_error_for_each_row(error, n_rows, rng):
    rows, weight = rng.normal(size=(n_rows + 4, 3)), np.r_[np.ones(n_rows), np.zeros(4)]
    each = np.broadcast_to(error, (len(rows), *(np.shape(error) or (3,))))
    fit = {"a": GaussianMixture(1, covariance_type="spherical").fit(rows, sample_weight=weight, X_error=error)}
    options = {"sample_weight": weight, "cv": 2}
    pd.testing.assert_frame_equal(
        compare(fit, rows, X_error=error, **options), compare(fit, rows, X_error=np.array(each), **options)
    )


def test_cross_validation_does_not_use_the_checkpoint_of_the_fit(tmp_path):
    path = tmp_path / "fit.checkpoint"
    fit = GaussianMixture(2, random_state=0, checkpoint=path).fit(X)
    path.write_bytes(b"of another fit")
    found = compare({"a": fit}, X, cv=2)
    assert path.read_bytes() == b"of another fit"
    pd.testing.assert_frame_equal(found, compare({"a": GaussianMixture(2, random_state=0).fit(X)}, X, cv=2))


def test_compare_checks_sample_weight_as_fit_does():
    one = {"a": GaussianMixture(2, random_state=0).fit(X, sample_weight=2.0)}
    pd.testing.assert_frame_equal(
        compare(one, X, sample_weight=2.0, cv=2), compare(one, X, sample_weight=np.full(120, 2.0), cv=2)
    )
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(119,\), expected \(120,\)"):
        compare(one, X, sample_weight=np.r_[0.0, np.ones(118)])


@pytest.mark.parametrize("dtype", [float, int])
@pytest.mark.parametrize("weight_type", ["frequency", "precision"])
def test_agreement_is_the_adjusted_rand_index_of_repeated_rows(weight_type, dtype, rng):
    rows, weight = rng.normal(size=(80, 2)) + rng.choice([0, 3], size=(80, 1)), rng.integers(0, 4, 80).astype(dtype)
    fits = {
        k: GaussianMixture(k, weight_type=weight_type, random_state=0).fit(rows, sample_weight=weight) for k in (2, 3)
    }
    repeats = weight if weight_type == "frequency" else weight > 0
    expected = adjusted_rand_score(*(np.repeat(fit.predict(rows), repeats.astype(int)) for fit in fits.values()))
    assert 0.2 < expected < 0.9
    assert sorted(compare(fits, rows, sample_weight=weight)["agreement"]) == [pytest.approx(expected, rel=1e-12), 1.0]


def test_agreement_supports_fractional_weights(rng):
    """Check that proportions are scaled as for BIC, and that equal labels have an agreement of exactly 1."""
    alike = {"a": fits()["3"], "b": fits()["3"], "c": fits()["2"]}
    with pytest.warns(RuntimeWarning, match="sums to less than 2"):
        found = compare(alike, X, sample_weight=np.full(120, 0.01))
    assert found["agreement"].tolist() == pytest.approx(compare(alike, X)["agreement"].tolist(), rel=1e-12)
    for weight in rng.random((5, 120)):
        with pytest.warns(RuntimeWarning, match="was fitted to rows with total weight"):
            assert compare(alike, X, sample_weight=weight)["agreement"].tolist()[:2] == [1.0, 1.0]


def test_compare_warns_if_a_fit_had_other_rows_or_errors():
    with pytest.warns(RuntimeWarning, match=r"fits\['2'\] was fitted to rows with total weight 120, but X has 60\."):
        compare({"2": fits()["2"]}, X[:60])
    exact = {"e": GaussianMixture(2, random_state=0).fit(X, X_error=np.full(X.shape, 0.5))}
    with pytest.warns(RuntimeWarning, match=r"fits\['e'\] had X_error"):
        compare(exact, X)


def test_compare_returns_a_data_frame_of_the_library_of_X():
    frame = pl.DataFrame({"a": X[:, 0], "b": X[:, 1]})
    assert isinstance(compare(fits(frame), frame, cv=2), pl.DataFrame)
    table = pd.DataFrame({"b": X[:, 1], "a": X[:, 0]})
    assert isinstance(compare(fits(table), table, cv=2), pd.DataFrame)


def test_fits_that_cannot_be_compared_are_rejected():
    with pytest.raises(TypeError, match="fits must be a dictionary of fitted estimators"):
        compare([*fits().values()], X)
    with pytest.raises(TypeError, match=r"fits\['m'\] must be a GaussianMixture or GaussianMixtureIC, not <Mixture"):
        compare(fits() | {"m": fits()["2"].mixture_}, X)
    with pytest.raises(ValueError, match="fits is empty"):
        compare({}, X)
    with pytest.raises(TypeError, match=r"fits\['bayes'\] has no BIC"):
        compare(fits() | {"bayes": BayesianGaussianMixture(3, random_state=0).fit(X)}, X)
    with pytest.raises(ValueError, match="cv=1 must be an integer ≥ 2"):
        compare(fits(), X, cv=1)
    with pytest.raises(ValueError, match="cv=121, but X has only 120 rows"):
        compare(fits(), X, cv=121)
    with pytest.raises(NotFittedError):
        compare({"new": GaussianMixture(2)}, X)
