"""Components merged into clusters."""

import itertools

import numpy as np
import pytest

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix.mixture.compare.merging import elbow, merge_by_entropy


@pytest.fixture
def crossed(rng):
    """Two long clusters across each other, which full covariances tell apart, and one far off."""
    long, wide = np.array([6.0, 0.4]), np.array([0.4, 6.0])
    parts = [rng.normal(size=(150, 2)) * long, rng.normal(size=(150, 2)) * wide, rng.normal(size=(100, 2)) + 40]
    return np.vstack(parts)


@pytest.fixture
def merging(crossed):
    gm = GaussianMixture(3, random_state=0, tol=1e-6, max_iter=1000).fit(crossed)
    return gm, gm.merge(crossed)


def entropy(shares, weight=1.0):
    return -float((weight * np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1.0)), 0.0).T).sum())


def test_overlapping_components_become_one_cluster(merging, crossed):
    _, merged = merging
    assert merged.n_clusters == 2
    labels = merged.predict(crossed)
    assert len(set(labels[:300])) == len(set(labels[300:])) == 1
    assert labels[0] != labels[-1]


def test_shares_of_a_cluster_are_the_sums_over_its_components(merging, crossed):
    gm, merged = merging
    for n_clusters in (1, 2, 3):
        shares = merged.responsibilities(crossed, n_clusters)
        onto = merged.cluster_of[n_clusters - 1][:, None] == np.arange(n_clusters)
        np.testing.assert_allclose(shares, gm.predict_proba(crossed) @ onto, atol=1e-15)
        assert merged.entropy[n_clusters - 1] == pytest.approx(entropy(shares), rel=1e-12, abs=1e-9)
    assert (merged.predict(crossed, 3) == gm.predict(crossed)).all()


def test_each_merge_lowers_the_entropy_most(rng):
    """Against every pair tried out."""
    mixture = Mixture(np.full(6, 1 / 6), rng.normal(size=(6, 2)), np.ones(6), FAMILIES["spherical"])
    shares = rng.dirichlet(np.full(6, 0.3), size=80)
    weight = rng.integers(1, 4, size=80).astype(float)
    merged = merge_by_entropy(mixture, shares, weight)
    for n_clusters in range(5, 0, -1):
        before = np.column_stack(
            [shares[:, merged.cluster_of[n_clusters] == c].sum(axis=1) for c in range(n_clusters + 1)]
        )
        tried = [
            entropy(np.column_stack([np.delete(before, [i, j], axis=1), before[:, i] + before[:, j]]), weight)
            for i, j in itertools.combinations(range(n_clusters + 1), 2)
        ]
        assert merged.entropy[n_clusters - 1] == pytest.approx(min(tried), rel=1e-12, abs=1e-12)
    assert (np.diff(merged.entropy) >= 0).all()


def test_weights_count_rows(merging, crossed, rng):
    gm, _ = merging
    counts = rng.integers(0, 3, size=len(crossed))
    weighted, repeated = gm.merge(crossed, counts), gm.merge(crossed.repeat(counts, axis=0))
    np.testing.assert_allclose(weighted.entropy, repeated.entropy, rtol=1e-12)
    assert (weighted.cluster_of == repeated.cluster_of).all()


@pytest.mark.parametrize(
    ("curve", "bend"),
    [([0.0], 1), ([0.0, 5.0], 2), ([0.0, 0.0, 9.0], 2), ([0, 0, 0, 0, 5, 10, 15], 4), ([0, 1, 2, 30, 58, 86], 3)],
)
def test_the_elbow_is_where_two_lines_meet(curve, bend):
    assert elbow(np.array(curve, dtype=float)) == bend


def test_what_cannot_be_used_is_refused(merging, crossed):
    gm, merged = merging
    with pytest.raises(ValueError, match=r"method='entropi' is not one of 'entropy'\. Did you mean 'entropy'"):
        gm.merge(crossed, method="entropi")
    for wrong in (0, 4):
        with pytest.raises(ValueError, match=f"n_clusters={wrong} must be an integer from 1 to 3"):
            merged.predict(crossed, wrong)
