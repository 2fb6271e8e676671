"""`GaussianMixtureImputer`: imputed values for each pattern, and rows that cannot be imputed."""

from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from common import LEAF_ROWS
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureImputer


@pytest.fixture
def X(rng):
    """Return 200 rows of four dependent columns."""
    return np.where(np.arange(200)[:, None] % 2, 0.0, 4.0) + rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))


@pytest.fixture
def X_nan(X, rng):
    """Return the same rows with a fifth of the values missing, and some rows entirely missing."""
    X_nan = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    X_nan[[3, 50]] = np.nan
    return X_nan


@pytest.mark.parametrize("structure", sorted(FAMILIES))
def test_transform_fills_missing_values_with_conditional_means(structure, X, X_nan):
    imputer = GaussianMixtureImputer(2, covariance_type=structure, random_state=0, max_iter=500).fit(X)
    mixture = imputer.mixture_
    middle, (x, y) = mixture.means[:, :2].mean(axis=0), np.diff(mixture.means[:, :2], axis=0)[0]
    X_nan[4] = [*middle + 1e9 * np.array([y, -x]), np.nan, np.nan]  # a row at the same distance of 1e9 from both means
    filled, missing = imputer.transform(X_nan), np.isnan(X_nan)
    np.testing.assert_array_equal(filled[~missing], X_nan[~missing])
    for row in np.flatnonzero(missing.any(axis=1)):
        known, expected = np.flatnonzero(~missing[row]), mixture.weights @ mixture.means
        if known.size:
            expected = mixture.conditional_mean(X_nan[row : row + 1, known], known)[0]
        np.testing.assert_allclose(filled[row, missing[row]], expected, rtol=1e-9, atol=1e-9)


def test_imputer_is_fitted_to_the_observed_values(X_nan):
    weight = 1.0 + np.arange(200) % 2
    imputer = GaussianMixtureImputer(2, random_state=0).fit(X_nan, sample_weight=weight)
    expected = GaussianMixture(2, random_state=0).fit(X_nan, sample_weight=weight)
    np.testing.assert_array_equal(imputer.mixture_.means, expected.mixture_.means)


@pytest.mark.heavy
def test_impute_draws_from_the_conditional_distributions(X_nan):
    imputer = GaussianMixtureImputer(2, random_state=0).fit(X_nan)
    copies = imputer.impute(X_nan, n_imputations=200)
    assert copies.shape == (200, *X_nan.shape)
    known = ~np.isnan(X_nan)
    assert (copies[:, known] == X_nan[known]).all()
    means, covariances = GaussianMixture(2, random_state=0).fit(X_nan).denoise(X_nan)
    spread = np.sqrt(np.einsum("nii->ni", covariances))[~known]
    assert (np.abs(copies.mean(axis=0)[~known] - means[~known]) < 5 * spread / np.sqrt(200)).all()
    assert copies.std(axis=0)[~known] @ spread == pytest.approx(spread @ spread, rel=0.05)
    np.testing.assert_array_equal(copies, imputer.impute(X_nan, n_imputations=200))


def test_impute_draws_all_copies_in_one_pass(X_nan):
    """Check also that the copies of a row are drawn separately, with the observed values in each copy."""
    imputer, n_passes = GaussianMixtureImputer(2, random_state=0).fit(X_nan), []
    fill = imputer._filled
    imputer._filled = lambda *args: n_passes.append(1) or fill(*args)
    copies = imputer.impute(X_nan.astype(np.float32), n_imputations=7)
    assert len(n_passes) == 1
    assert copies.dtype == np.float32
    for one, other in pairwise(copies):
        np.testing.assert_array_equal(one == other, ~np.isnan(X_nan))


def test_rows_that_are_filled_in_separate_passes_have_separate_draws(X):
    """Check rows of two leaves, whose seeds differ."""
    imputer, rows = GaussianMixtureImputer(2, random_state=0).fit(X), np.full((2 * LEAF_ROWS, X.shape[1]), np.nan)
    first, second = np.split(imputer.impute(rows, n_imputations=1)[0], 2)
    assert not (first == second).any()


def test_sample_posterior_preserves_the_variance_of_the_data(X):
    """Check that imputed means have only the explained variance, and draws have all, within 5 standard errors."""
    imputer = GaussianMixtureImputer(2, random_state=0, sample_posterior=True).fit(X)
    rows, _ = imputer.mixture_.sample(4000, np.random.default_rng(1))
    X_nan = rows.copy()
    X_nan[::2, 1] = np.nan
    drawn = imputer.transform(X_nan)[::2, 1]
    expected = imputer.set_params(sample_posterior=False).transform(X_nan)[::2, 1]
    error = np.sqrt(2 / 2000)
    assert drawn.std() == pytest.approx(rows[:, 1].std(), rel=5 * error)
    assert expected.std() < drawn.std()
    assert (drawn - expected).mean() == pytest.approx(0, abs=5 * (drawn - expected).std() / np.sqrt(2000))


def test_posterior_draws_are_reproducible_by_random_state(X, X_nan):
    imputer = GaussianMixtureImputer(2, random_state=0, sample_posterior=True).fit(X)
    once = imputer.transform(X_nan)
    np.testing.assert_array_equal(imputer.transform(X_nan), once)
    assert (imputer.set_params(random_state=1).transform(X_nan) != once)[np.isnan(X_nan)].all()
    assert not np.isnan(once).any()


def test_transform_keeps_complete_rows_and_does_not_modify_its_input(X, X_nan):
    imputer = GaussianMixtureImputer().fit(X)
    np.testing.assert_array_equal(imputer.transform(X), X)
    before = X_nan.copy()
    imputer.transform(X_nan)
    np.testing.assert_array_equal(X_nan, before)
    one_missing = X.copy()
    one_missing[:, 2] = np.nan
    assert not np.isnan(imputer.transform(one_missing)).any()


def test_transform_keeps_float32(X, X_nan):
    imputer = GaussianMixtureImputer(2, random_state=0).fit(X.astype(np.float32))
    filled = imputer.transform(X_nan.astype(np.float32))
    assert filled.dtype == np.float32


NAMES = ["a", "b", "c", "d"]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_transform_keeps_data_frame_columns(library, X, X_nan):
    frame = pd.DataFrame(X, columns=NAMES) if library == "pandas" else pl.DataFrame(X, schema=NAMES)
    gaps = (
        pd.DataFrame(X_nan, columns=NAMES)
        if library == "pandas"
        else pl.DataFrame(X_nan, schema=NAMES, nan_to_null=True)
    )
    imputer = GaussianMixtureImputer(2, random_state=0).fit(frame)
    assert imputer.get_feature_names_out().tolist() == NAMES
    assert imputer.mixture_.feature_names == tuple(NAMES)
    filled = imputer.set_output(transform=library).transform(gaps)
    assert type(filled) is type(frame)
    assert list(filled.columns) == NAMES
    expected = GaussianMixtureImputer(2, random_state=0).fit(X).transform(X_nan)
    np.testing.assert_allclose(filled.to_numpy(), expected, rtol=1e-9, atol=1e-9)


def test_imputer_works_in_a_pipeline(X_nan):
    pipeline = make_pipeline(
        StandardScaler(), GaussianMixtureImputer(2, random_state=0), GaussianMixture(2, random_state=0)
    )
    assert pipeline.fit(X_nan).predict(X_nan).shape == (200,)


ROWS = np.arange(60.0).reshape(20, 3) ** 1.5 % 7


def test_transform_rejects_infinity_and_another_number_of_features():
    imputer = GaussianMixtureImputer().fit(ROWS)
    with pytest.raises(ValueError, match="Input X contains infinity: row 0, column 1"):
        imputer.transform([[1.0, -np.inf, np.nan]])
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixtureImputer is expecting 3"):
        imputer.transform([[1.0, np.nan]])
