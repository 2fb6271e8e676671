"""The default initialisation is a search, except if no component can move or max_iter is small."""

import numpy as np
import pytest
from common import ArraySource, automatic_ridge, column_units, distinct_rows
from sklearn.metrics import adjusted_rand_score

from gaussmix import GaussianMixture, GaussianMixtureIC
from gaussmix._src.fit.plan import MIN_SEARCH_STEPS
from gaussmix._src.fit.selection import SEARCH_MARGIN

N_ROWS = 200


@pytest.fixture
def rows(rng):
    """Return overlapping groups in columns of unit spread; different initialisations end at different maxima.

    By default, k-means divides columns by their units, so that it equals "kmeans" only if these units are 1.
    """
    rows = rng.normal(size=(N_ROWS, 2)) + 2 * rng.normal(size=(4, 2))[rng.integers(4, size=N_ROWS)]
    return rows / column_units(automatic_ridge(distinct_rows(ArraySource(rows))))


def fitted(rows, init_params="auto", n_components=4, weight=None, kind=GaussianMixture, **parameters):
    settings = {"covariance_type": "full", "random_state": 0} | parameters
    return kind(n_components, init_params=init_params, **settings).fit(rows, sample_weight=weight).mixture_


@pytest.mark.parametrize("family", ["full", "spherical", "tied", "VEV"])
@pytest.mark.parametrize("n_rows", [80, N_ROWS])
@pytest.mark.parametrize("kind", [GaussianMixture, GaussianMixtureIC])
def test_the_default_initialisation_equals_init_params_search(kind, n_rows, family, rows):
    assert fitted(rows[:n_rows], kind=kind, covariance_type=family) == fitted(
        rows[:n_rows], "search", kind=kind, covariance_type=family
    )


def test_the_default_is_k_means_for_initial_values_and_for_one_component(rows):
    for parameters in {"means_init": rows[:4]}, {"weights_init": [0.1, 0.2, 0.3, 0.4]}, {"n_components": 1}:
        assert fitted(rows, **parameters) == fitted(rows, "kmeans", **parameters)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("option", ["labels", "soft labels", "errors", "trim"])
def test_the_default_with_labels_errors_or_trim_is_no_worse_than_k_means(option, rng):
    gains = []
    for seed in range(6):
        centres = 2 * rng.normal(size=(5, 2))
        group = rng.integers(5, size=300)
        rows = rng.normal(size=(300, 2)) @ np.diag([1.0, 0.3]) + centres[group]
        known, fit_arguments = rng.random(300) < 0.05, {}
        if "labels" in option:
            soft = 1 + 9 * known[:, None] * np.eye(5)[group]
            fit_arguments["labels"] = soft if option == "soft labels" else np.where(known, group, -1)
        if option == "errors":
            fit_arguments["X_error"] = rng.uniform(0.05, 0.2, size=rows.shape)
        settings = {"trim": 0.05} if option == "trim" else {}
        fits = [
            GaussianMixture(5, init_params=init_params, random_state=seed, **settings).fit(rows, **fit_arguments)
            for init_params in ("auto", "kmeans", "search")
        ]
        assert fits[0].mixture_ == fits[2].mixture_
        gains.append(fits[0].lower_bound_ - fits[1].lower_bound_)
        if option == "labels":
            assert (fits[0].predict(rows)[known] == group[known]).mean() > 0.5
    # A run ends when a step gains less than `tol`, 1e-3, so that runs to the same maximum may differ by about 2e-3.
    assert min(gains) > -2e-3, gains
    assert max(gains) > 2e-3, gains


def test_the_default_of_gaussian_mixture_ic_is_ward_if_k_means_isolates_a_row(rows):
    """Check the initialisation if k-means assigns a remote row its own component, which is singular without a ridge."""
    remote = np.concatenate([rows, [[1e4, 1e4]], [[1e9, -1e7]], [[1e9, -1.1e7]]])
    for init_params in "kmeans", "search":
        with pytest.raises(ValueError, match="singular covariance"):
            fitted(remote, init_params, 2, kind=GaussianMixtureIC)
    assert fitted(remote, n_components=2, kind=GaussianMixtureIC) == fitted(
        remote, "hierarchical", 2, kind=GaussianMixtureIC
    )


@pytest.mark.parametrize("distance", [10.0, 100.0, 1e4])
@pytest.mark.parametrize("what", ["plain", "weights", "missing", "spherical", "selection"])
def test_the_default_with_noise_leaves_distant_rows_to_the_noise(what, distance, rng):
    """Only some fits from "search" do so, because a search gives distant rows their own components."""
    group = np.repeat(np.arange(3), 100)
    clusters = rng.normal(size=(300, 2)) + 7 * np.array([[0, 0], [1, 0], [0, 1]])[group]
    angle = rng.uniform(0, 2 * np.pi, size=12)
    X = np.concatenate([clusters, distance * rng.uniform(1, 2, size=(12, 1)) * np.c_[np.cos(angle), np.sin(angle)]])
    if what == "missing":
        X[::10, 0] = np.nan
    kind, n_components = (GaussianMixtureIC, [2, 3, 4]) if what == "selection" else (GaussianMixture, 3)
    settings = {"noise": True, "random_state": 0, "covariance_type": "spherical" if what == "spherical" else "full"}
    weight = rng.integers(1, 4, size=len(X)) if what == "weights" else None
    labels = kind(n_components, **settings).fit(X, sample_weight=weight).predict(X)
    assert (labels[300:] == -1).mean() > 0.8
    is_complete = ~np.isnan(X[:300]).any(axis=1)
    assert adjusted_rand_score(group[is_complete], labels[:300][is_complete]) > 0.9


def test_the_default_searches_filled_rows_if_few_rows_are_complete(rng):
    gains, n_moves = [], 0
    for seed in range(6):
        labels, turned = rng.integers(5, size=300), rng.normal(size=(5, 5, 5))
        X = np.einsum("nij,nj->ni", turned[labels], rng.normal(size=(300, 5))) + 2 * rng.normal(size=(5, 5))[labels]
        X[rng.random(X.shape) < 0.35] = np.nan  # an eighth of the rows is complete, so that incomplete rows are used
        default, kmeans = (
            GaussianMixture(5, init_params=each, random_state=seed, max_iter=500).fit(X) for each in ("auto", "kmeans")
        )
        gains.append(default.lower_bound_ - kmeans.lower_bound_)
        n_moves += default.outcome_.n_moves_accepted
    assert n_moves > 0
    assert np.mean(gains) > 0.02, gains  # usually 0.1 nats per row; without a search, 0


@pytest.mark.parametrize("clutter", [0, 30])
def test_the_default_with_noise_is_no_worse_than_a_search(clutter, rows, rng):
    X = np.concatenate([rows, rng.uniform(-20, 20, size=(clutter, 2))])
    both, search = (
        GaussianMixture(4, noise=True, init_params=each, random_state=0).fit(X) for each in ("auto", "search")
    )
    assert both.lower_bound_ >= search.lower_bound_
    assert (both.outcome_.n_starts, search.outcome_.n_starts) == (2, 1)


def test_the_default_with_noise_fits_fewer_rows_than_neighbours(rng):
    X = rng.normal(size=(4, 2))
    assert np.isfinite(GaussianMixture(2, noise=True, random_state=0).fit(X).score(X))


def test_auto_in_a_list_of_init_params_means_search(rows):
    both = GaussianMixture(4, init_params=["auto", "random"], n_init=2, random_state=0).fit(rows)
    named = GaussianMixture(4, init_params=["search", "random"], n_init=2, random_state=0).fit(rows)
    assert both.mixture_ == named.mixture_
    assert both.outcome_.n_starts == 4


@pytest.mark.parametrize(("max_iter", "init_params"), [(MIN_SEARCH_STEPS - 1, "kmeans"), (MIN_SEARCH_STEPS, "search")])
@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
def test_the_default_is_k_means_if_max_iter_is_small(max_iter, init_params, rows):
    assert fitted(rows, max_iter=max_iter, tol=0) == fitted(rows, init_params, max_iter=max_iter, tol=0)


@pytest.mark.heavy
@pytest.mark.parametrize("criterion", ["bic", "aic"])
def test_gaussian_mixture_ic_searches_only_for_candidates_that_can_win(criterion):
    """Check that the best structure is searched, because Ward's hierarchy misses its best number of groups."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1500, 2)) + 3 * rng.normal(size=(12, 2))[rng.integers(12, size=1500)]
    structures = ["full", "spherical", "tied"]
    settings = {"covariance_type": structures, "criterion": criterion, "random_state": 0}
    tables = {
        init_params: GaussianMixtureIC(range(4, 14), init_params=init_params, **settings).fit(rows).results_
        for init_params in ("auto", "hierarchical", "search")
    }
    found, ward, search = (np.array(table[criterion]).reshape(3, -1) for table in tables.values())
    best, _ = np.unravel_index(found.argmin(), found.shape)
    assert found.min() == min(ward.min(), search.min()) < ward.min()
    np.testing.assert_array_equal(found[best], np.minimum(ward, search)[best])
    assert (found <= ward).all()
    is_not_searched = found > search
    assert is_not_searched.any()
    largest = (ward - found).max()
    assert (ward[is_not_searched] - largest - SEARCH_MARGIN >= found.min()).all()
