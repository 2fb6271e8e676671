"""A search reaches the optimum that EM alone misses. It is never below its start, and wins no maximum of a few rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine

from gaussmix import GaussianMixture, GaussianMixtureIC
from gaussmix import open as open_files
from gaussmix.em.split_and_merge import split_and_merge
from gaussmix.engines import choose
from gaussmix.estimators.fitting import Data
from gaussmix.families import FAMILIES
from gaussmix.model import Model
from gaussmix.sources.array import ArraySource
from gaussmix.starts.sample import distinct_rows
from gaussmix.testing.closeness import assert_same_bits

pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
N_COMPONENTS, N_FEATURES, N_ROWS = 14, 3, 4_000


def drawn(family):
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
    labels = rng.integers(N_COMPONENTS, size=N_ROWS)
    rows = means[labels] + np.einsum(
        "nij,nj->ni", np.linalg.cholesky(dense)[labels], rng.normal(size=(N_ROWS, N_FEATURES))
    )
    return rows, {
        "weights_init": np.full(N_COMPONENTS, 1 / N_COMPONENTS),
        "means_init": means,
        "covariances_init": shape[family],
    }


def fitted(rows, family="full", n_components=N_COMPONENTS, **parameters):
    return GaussianMixture(n_components, covariance_type=family, **{"tol": 1e-5, "max_iter": 500} | parameters).fit(
        rows
    )


@pytest.mark.parametrize("family", ["full", "VVE", "tied", "diag", "spherical"])
def test_a_search_reaches_what_em_reaches_from_the_truth(family):
    rows, parameters = drawn(family)
    best = fitted(rows, family, **parameters)
    scores = [fitted(rows, family, init_params="search", random_state=seed).score(rows) for seed in range(4)]
    assert min(scores) > best.score(rows) - 0.005
    plain = [fitted(rows, family, random_state=seed).score(rows) for seed in range(4)]
    assert min(plain) < best.score(rows) - 0.005, "else these rows show nothing"


@pytest.mark.parametrize("family", ["full", "EVE", "tied", "diag", "factor_analyzer"])
@pytest.mark.parametrize("name", ["iris", "wine", "weights"])
def test_a_search_is_never_below_its_start(name, family, rng):
    weight, n_components = None, 3
    rows = load_wine().data[:, :6] if name == "wine" else load_iris().data
    if name == "weights":
        weight, n_components = rng.integers(0, 4, size=len(rows)), 6
    options = {"covariance_type": family, "reg_covar": 1e-3, "tol": 1e-7, "max_iter": 2_000, "random_state": 0}
    plain, searched = (
        GaussianMixture(n_components, init_params=start, **options).fit(rows, sample_weight=weight)
        for start in ("kmeans", "search")
    )
    assert searched.score(rows, sample_weight=weight) > plain.score(rows, sample_weight=weight) - 1e-3


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
@pytest.mark.filterwarnings("ignore")
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


def test_a_maximum_on_a_handful_of_rows_is_not_won(rng):
    """Its likelihood is higher, so that a search that asks for nothing else would end there."""
    rows = np.concatenate((rng.normal(size=(300, 2)), [[2.0, 2.0]] + 1e-5 * rng.normal(size=(4, 2))))
    options = {"random_state": 0, "reg_covar": 1e-12, "tol": 1e-6, "max_iter": 1_000}
    labels = np.arange(304) >= 300
    spurious = GaussianMixture(2, init_params=labels.astype(int), **options).fit(rows)
    sound = GaussianMixture(2, init_params="search", **options).fit(rows)
    assert spurious.score(rows) > sound.score(rows) + 0.01
    assert sound.weights_.min() * 304 >= 6


def test_a_search_in_a_file_has_the_bits_of_one_in_memory(tmp_path, rng):
    rows = rng.normal(size=(3_000, 2)) + 5 * rng.integers(4, size=(3_000, 1))
    np.save(tmp_path / "rows.npy", rows)
    in_memory = fitted(rows, n_components=5, init_params="search", random_state=0)
    from_file = fitted(open_files(tmp_path / "rows.npy"), n_components=5, init_params="search", random_state=0)
    assert_same_bits(from_file.means_, in_memory.means_, "means")


def test_a_choice_may_search():
    rows, _ = drawn("full")
    choice = {"covariance_type": ["full", "diag"], "n_components": [13, 14], "random_state": 0}
    plain = GaussianMixtureIC(**choice, init_params="kmeans").fit(rows)
    better = GaussianMixtureIC(**choice, init_params="search").fit(rows)
    assert better.score(rows) > plain.score(rows) + 0.005
