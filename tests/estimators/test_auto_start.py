"""The default initialisation is a search, except if no component can move or max_iter is small."""

import numpy as np
import pytest
from common import ArraySource

from gaussmix import GaussianMixture, GaussianMixtureIC
from gaussmix._src.em.initialisation.sample import automatic_ridge, column_units, distinct_rows
from gaussmix._src.fit.plan import MIN_SEARCH_STEPS

N_ROWS = 200


@pytest.fixture
def rows(rng):
    """Return groups that overlap, so that each start ends at another maximum, in columns of unit spread."""
    rows = rng.normal(size=(N_ROWS, 2)) + 2 * rng.normal(size=(4, 2))[rng.integers(4, size=N_ROWS)]
    return rows / column_units(automatic_ridge(distinct_rows(ArraySource(rows))))


def fitted(rows, start="auto", n_components=4, weight=None, kind=GaussianMixture, **parameters):
    how = {"covariance_type": "full", "random_state": 0} | parameters
    return kind(n_components, init_params=start, **how).fit(rows, sample_weight=weight).mixture_


@pytest.mark.parametrize("family", ["full", "spherical", "tied", "VEV"])
@pytest.mark.parametrize("n_rows", [80, N_ROWS])
@pytest.mark.parametrize("kind", [GaussianMixture, GaussianMixtureIC])
def test_the_automatic_start_is_a_search(kind, n_rows, family, rows):
    assert fitted(rows[:n_rows], kind=kind, covariance_type=family) == fitted(
        rows[:n_rows], "search", kind=kind, covariance_type=family
    )


def test_initial_values_and_a_single_component_keep_k_means(rows):
    for given in {"means_init": rows[:4]}, {"weights_init": [0.1, 0.2, 0.3, 0.4]}, {"n_components": 1}:
        assert fitted(rows, **given) == fitted(rows, "kmeans", **given)


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize("what", ["labels", "soft labels", "errors", "trim"])
def test_a_search_beside_other_features_ends_at_least_as_high_as_k_means(what, rng):
    gains = []
    for seed in range(6):
        centres = 2 * rng.normal(size=(5, 2))
        group = rng.integers(5, size=300)
        rows = rng.normal(size=(300, 2)) @ np.diag([1.0, 0.3]) + centres[group]
        rows /= column_units(automatic_ridge(distinct_rows(ArraySource(rows)), 0.0))
        known, given = rng.random(300) < 0.05, {}
        if "labels" in what:
            soft = 1 + 9 * known[:, None] * np.eye(5)[group]
            given["labels"] = soft if what == "soft labels" else np.where(known, group, -1)
        if what == "errors":
            given["X_error"] = rng.uniform(0.05, 0.2, size=rows.shape)
        how = {"trim": 0.05} if what == "trim" else {}
        ends = [
            GaussianMixture(5, init_params=start, random_state=seed, **how).fit(rows, **given)
            for start in ("auto", "kmeans")
        ]
        gains.append(ends[0].lower_bound_ - ends[1].lower_bound_)
        if what == "labels":
            assert (ends[0].predict(rows)[known] == group[known]).mean() > 0.5
    assert min(gains) > -2e-3, gains
    assert max(gains) > 1e-2, gains


def test_a_choice_starts_from_ward_where_k_means_leaves_a_row_alone(rows):
    """Check the start if k-means assigns a remote row its own component, which is singular without a ridge."""
    remote = np.concatenate([rows, [[1e4, 1e4]], [[1e9, -1e7]], [[1e9, -1.1e7]]])
    for start in "kmeans", "search":
        with pytest.raises(ValueError, match="singular covariance"):
            fitted(remote, start, 2, kind=GaussianMixtureIC)
    assert fitted(remote, n_components=2, kind=GaussianMixtureIC) == fitted(
        remote, "hierarchical", 2, kind=GaussianMixtureIC
    )


def test_the_automatic_start_in_a_list_of_starts(rows):
    both = GaussianMixture(4, init_params=["auto", "random"], n_init=2, random_state=0).fit(rows)
    named = GaussianMixture(4, init_params=["search", "random"], n_init=2, random_state=0).fit(rows)
    assert both.mixture_ == named.mixture_
    assert both.outcome_.n_starts == 4


@pytest.mark.parametrize(("max_iter", "start"), [(MIN_SEARCH_STEPS - 1, "kmeans"), (MIN_SEARCH_STEPS, "search")])
@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
def test_few_steps_are_not_searched_for(max_iter, start, rows):
    assert fitted(rows, max_iter=max_iter, tol=0) == fitted(rows, start, max_iter=max_iter, tol=0)


@pytest.mark.heavy
@pytest.mark.parametrize("criterion", ["bic", "aic"])
def test_a_choice_searches_for_the_candidates_that_can_win(criterion):
    """Check that the best structure is searched, because Ward's hierarchy misses its best number of groups."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1500, 2)) + 3 * rng.normal(size=(12, 2))[rng.integers(12, size=1500)]
    structures = ["full", "spherical", "tied"]
    how = {"covariance_type": structures, "criterion": criterion, "random_state": 0}
    tables = {
        start: GaussianMixtureIC(range(7, 14), init_params=start, **how).fit(rows).results_
        for start in ("auto", "hierarchical", "search")
    }
    found, ward, search = (np.array(table[criterion]).reshape(3, -1) for table in tables.values())
    best, _ = np.unravel_index(found.argmin(), found.shape)
    assert found.min() == min(ward.min(), search.min()) < ward.min()
    np.testing.assert_array_equal(found[best], np.minimum(ward, search)[best])
    assert (found <= ward).all()
    is_left = found > search
    assert is_left.any()
    largest = (ward - found).max()
    assert (ward[is_left] - largest >= found.min()).all()
