"""`merge` joins components into clusters."""

import itertools
import re
from operator import attrgetter
from types import SimpleNamespace

import numpy as np
import pytest
from common import Block, assert_same_bits
from scipy.special import ndtr
from scipy.stats import ortho_group
from sklearn.metrics import adjusted_rand_score

import gaussmix
from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix._src.estimators.gaussian_mixture import as_estimator
from gaussmix._src.mixture.compare.merging import _component_sums, _pair_sums, _PairValues, merge_by_sums


@pytest.fixture
def crossed(rng):
    """Return two long clusters that cross each other, which full covariances separate, and one distant cluster."""
    scale, swapped = np.array([6.0, 0.4]), np.array([0.4, 6.0])
    parts = [rng.normal(size=(150, 2)) * scale, rng.normal(size=(150, 2)) * swapped, rng.normal(size=(100, 2)) + 40]
    return np.vstack(parts)


@pytest.fixture
def merging(crossed):
    gm = GaussianMixture(3, random_state=0, tol=1e-6, max_iter=1000).fit(crossed)
    return gm, gm.merge(crossed)


def entropy(proba, weight=1.0):
    return -float((weight * np.where(proba > 0, proba * np.log(np.where(proba > 0, proba, 1.0)), 0.0).T).sum())


def test_overlapping_components_become_one_cluster(merging, crossed):
    _, merged = merging
    assert merged.n_clusters == 2
    labels = merged.predict(crossed)
    assert len(set(labels[:300])) == len(set(labels[300:])) == 1
    assert labels[0] != labels[-1]


def test_responsibilities_of_a_cluster_are_sums_over_its_components(merging, crossed):
    gm, merged = merging
    for n_clusters in (1, 2, 3):
        proba = merged.responsibilities(crossed, n_clusters)
        is_member = merged.cluster_labels[n_clusters - 1][:, None] == np.arange(n_clusters)
        np.testing.assert_allclose(proba, gm.predict_proba(crossed) @ is_member, atol=1e-15)
        assert merged.entropy[n_clusters - 1] == pytest.approx(entropy(proba), rel=1e-12, abs=1e-9)
    assert (merged.predict(crossed, 3) == gm.predict(crossed)).all()


def test_responsibilities_of_clusters_support_missing_values(merging, crossed):
    gm, merged = merging
    rows = crossed.copy()
    rows[::3, 1] = np.nan
    rows[5] = np.nan
    is_member = merged.cluster_labels[1][:, None] == np.arange(2)
    np.testing.assert_allclose(merged.responsibilities(rows), gm.predict_proba(rows) @ is_member, atol=1e-15)
    assert (merged.predict(rows) == (gm.predict_proba(rows) @ is_member).argmax(axis=1)).all()


def naive_overlap(proba, i, j, weight):
    """Return the larger of the two misclassification probabilities, computed row by row."""
    misclassified, mass = {i: 0.0, j: 0.0}, {i: 0.0, j: 0.0}
    for row, w in zip(proba, weight, strict=True):
        for own, other in ((i, j), (j, i)):
            mass[own] += w * row[own]
            misclassified[own] += w * row[own] * (row[other] >= row[own])
    return max(misclassified[i] / mass[i], misclassified[j] / mass[j])


@pytest.mark.parametrize("n_components", [6, 14])
@pytest.mark.parametrize("min_overlap", [0.0, 0.025, 0.2, 0.35, 1.0])
def test_each_merge_joins_the_overlapping_pair_that_lowers_the_entropy_most(rng, n_components, min_overlap):
    """Compare each merge with the best of all pairs; 14 components have more pairs than one pass evaluates."""
    K = n_components
    mixture = Mixture(np.full(K, 1 / K), rng.normal(size=(K, 2)), np.ones(K), FAMILIES["spherical"])
    proba = rng.dirichlet(np.full(K, 0.1), size=80)
    weight = rng.integers(1, 4, size=80).astype(float)
    merged = merge_by_sums(mixture, attrgetter("rows"), Block(0, proba, weight).sum_of, min_overlap)
    ends = []
    for n_clusters in range(K - 1, 0, -1):
        is_member = merged.cluster_labels[n_clusters][:, None] == np.arange(n_clusters + 1)
        before = proba @ is_member
        tried = []
        for i, j in itertools.combinations(range(n_clusters + 1), 2):
            after = np.column_stack([np.delete(before, [i, j], axis=1), before[:, i] + before[:, j]])
            tried.append((entropy(after, weight), naive_overlap(before, i, j, weight)))
        overlapping = [pair for pair in tried if pair[1] >= min_overlap]
        ends += [] if overlapping else [n_clusters + 1]
        lowest, overlap = min(overlapping or tried)
        assert merged.entropy[n_clusters - 1] == pytest.approx(lowest, rel=1e-12, abs=1e-12)
        assert merged.overlap[n_clusters - 1] == pytest.approx(overlap, rel=1e-12)
    assert merged.n_clusters == max(ends, default=1)
    assert (np.diff(merged.entropy) >= 0).all()


def test_bounds_on_the_merge_of_a_pair_hold_before_and_after_merges(rng):
    """Compare bounds with exact values; rows with two responsibilities of 0.5 attain the bounds."""
    pairs = np.array([*itertools.combinations(range(8), 2)])
    halves = 0.5 * (pairs[:, :, None] == np.arange(8)).sum(axis=1)
    rows = attrgetter("rows")
    for proba in halves, rng.dirichlet(np.full(8, 0.1), size=40):
        block = Block(0, proba)
        known, clusters = _PairValues(_component_sums(block, rows)), np.arange(8)
        for n_clusters in range(8, 1, -1):
            i, j = pairs = np.triu_indices(n_clusters, 1)
            lowest, highest = known.increase[i, j], known.overlap[i, j]
            known.set(_pair_sums(block, rows, clusters, pairs), pairs)
            assert (lowest <= known.increase[i, j] + 1e-12).all()
            assert (highest >= known.overlap[i, j] - 1e-12).all()
            known.merge(0, 1)
            clusters = np.maximum(clusters - 1, 0)


def test_most_pairs_are_excluded_by_bounds(rng):
    """Check that merging 100 clusters evaluates few pairs, because a pass over all pairs would take a minute."""
    mixture = Mixture(np.full(100, 0.01), rng.normal(size=(100, 2)) * 5, np.ones(100), FAMILIES["spherical"])
    proba, n_pairs = mixture.responsibilities(mixture.sample(3000, rng)[0]), []

    def total(task):
        n_pairs.append(len(task.keywords.get("pairs", [[]])[0]))
        return Block(0, proba).sum_of(task)

    merge_by_sums(mixture, attrgetter("rows"), total, 0.025)
    assert sum(n_pairs) < 1000
    assert len(n_pairs) < 150


def test_responsibilities_of_rows_in_memory_are_computed_once(merging, crossed):
    gm, n_calls = merging[0], []
    make_engine = gm._engine

    def counting_engine(source):
        assign = make_engine(source).responsibilities
        return SimpleNamespace(responsibilities=lambda *args, **kwargs: n_calls.append(1) or assign(*args, **kwargs))

    gm._engine = counting_engine
    gm.merge(crossed)
    assert len(n_calls) == 1


@pytest.mark.parametrize(
    ("proba", "labels", "overlap"),
    [
        ([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]], [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 2]], [0, 1, 1]),
        ([[1.0, 0, 0], [0, 1, 0]], [[0, 0, 0], [0, 1, 0]], [0, 1]),
        ([[0.9, 0.1], [0.9, 0.1]], [[0, 0]], [1]),
    ],
    ids=["ties", "without rows", "two"],
)
def test_ties_merge_the_first_pair_and_empty_clusters_overlap_with_all_others(proba, labels, overlap):
    """Check that the first of equal pairs is merged first, and that a cluster without rows overlaps with all others."""
    K = len(proba[0])
    mixture = Mixture(np.full(K, 1 / K), np.zeros((K, 1)), np.ones(K), FAMILIES["spherical"])
    merged = merge_by_sums(mixture, attrgetter("rows"), Block(0, np.array(proba)).sum_of, 0.025)
    np.testing.assert_array_equal(merged.cluster_labels[:-1], labels)
    np.testing.assert_array_equal(merged.overlap, overlap)


def test_no_overlap_exceeds_1(rng):
    """Check mixtures for which many overlaps are 1, which rounding must not change."""
    overlaps = []
    for _ in range(20):
        variances = rng.uniform(0.05, 2, size=6)
        mixture = Mixture(rng.dirichlet(np.ones(6)), 2 * rng.normal(size=(6, 1)), variances, FAMILIES["spherical"])
        overlaps.append(as_estimator(mixture).merge(mixture.sample(60, rng)[0]).overlap)
    overlap = np.concatenate(overlaps)
    assert overlap.max() == 1
    assert not ((overlap > 1 - 1e-12) & (overlap < 1)).any()


def test_a_sample_weight_counts_as_repeated_rows(merging, crossed, rng):
    gm, _ = merging
    counts = rng.integers(0, 3, size=len(crossed))
    weighted, repeated = gm.merge(crossed, counts), gm.merge(crossed.repeat(counts, axis=0))
    np.testing.assert_allclose(weighted.entropy, repeated.entropy, rtol=1e-12)
    np.testing.assert_allclose(weighted.overlap, repeated.overlap, rtol=1e-12)
    assert (weighted.cluster_labels == repeated.cluster_labels).all()


@pytest.mark.parametrize(("distance", "weight"), [(2.0, 0.5), (3.9, 0.5), (3.95, 0.5), (4.0, 0.1)])
def test_the_overlap_of_two_gaussians_equals_the_exact_probability(distance, weight):
    """Compare with the boundary d/2 + log(π₁/π₂)/d from the first mean; rows are a grid, weighted by density."""
    mixture = Mixture([1 - weight, weight], [[0.0], [distance]], [1.0, 1.0], FAMILIES["spherical"])
    boundary = distance / 2 + np.log(1 / weight - 1) / distance
    step = 1e-4
    # The boundary is between two points of the grid.
    rows = np.arange(boundary - 12, boundary + 12, step)[:, None] + step / 2
    found = as_estimator(mixture).merge(rows, mixture.pdf(rows))
    assert found.overlap[0] == pytest.approx(max(ndtr(-boundary), ndtr(boundary - distance)), rel=1e-7)
    assert found.n_clusters == (1 if found.overlap[0] >= 0.025 else 2)


def clusters(rng, centres, n_rows, draw=None):
    """Return rows of clusters with given centres, each with its own rotation, and their labels."""
    n_clusters, n_features = centres.shape
    labels = np.arange(n_rows) % n_clusters
    offsets = rng.normal(size=(n_rows, n_features)) if draw is None else draw(rng, n_rows, n_features)
    for k in range(n_clusters):
        rotation = ortho_group.rvs(n_features, random_state=rng) if n_features > 1 else np.eye(1)
        offsets[labels == k] = offsets[labels == k] @ rotation
    return centres[labels] + offsets, labels


def on_a_line(rng, gaps, n_features):
    """Return centres along a random direction, with these distances between neighbours."""
    direction = rng.normal(size=n_features)
    return np.concatenate([[0.0], np.cumsum(gaps)])[:, None] * direction / np.linalg.norm(direction)


def fitted(rows, labels, n_parts, by, structure="full"):
    """Fit a mixture, starting from each cluster cut into n_parts along `by`."""
    order = np.lexsort([by, labels])
    parts = np.empty(len(rows), dtype=int)
    for k in range(labels.max() + 1):
        indices = order[labels[order] == k]
        parts[indices] = k * n_parts + np.arange(len(indices)) * n_parts // len(indices)
    return GaussianMixture(parts.max() + 1, covariance_type=structure, init_params=parts, max_iter=500).fit(rows)


SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_features", [1, 2, 5, 10])
@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_separated_clusters_are_not_merged(structure, n_features, seed):
    """Check four clusters 12 to 30 standard deviations apart, for which an elbow criterion gives two or three."""
    rng = np.random.default_rng(seed)
    rows, labels = clusters(rng, on_a_line(rng, rng.uniform(12, 30, size=3), n_features), 400)
    merging = fitted(rows, labels, 1, labels, structure).merge(rows)
    assert merging.n_clusters == 4
    assert (merging.predict(rows) == labels).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_features", [1, 2, 5, 10])
@pytest.mark.parametrize("n_clusters", [1, 4])
def test_components_of_one_gaussian_are_merged(n_clusters, n_features, seed):
    """Check that components of one Gaussian are merged, and components of different Gaussians are not."""
    rng = np.random.default_rng(seed)
    rows, labels = clusters(rng, on_a_line(rng, rng.uniform(12, 30, size=n_clusters - 1), n_features), 300 * n_clusters)
    for n_parts in (1, 2, 3):
        gm = fitted(rows, labels, n_parts, rng.random(len(rows)))
        merging = gm.merge(rows)
        assert merging.n_clusters == n_clusters
        assert adjusted_rand_score(labels, merging.predict(rows)) == 1


SHAPES = {
    "t": lambda rng, n, d: rng.normal(size=(n, d)) / np.sqrt(rng.chisquare(3, size=(n, 1)) / 3),
    "exponential": lambda rng, n, d: rng.exponential(size=(n, 1)) * np.eye(d)[0] + 0.3 * rng.normal(size=(n, d)),
    "gamma": lambda rng, n, d: rng.gamma(2, 0.7, size=(n, d)),
    "uniform": lambda rng, n, d: rng.uniform(-1.7, 1.7, size=(n, d)),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_features", [1, 2, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_components_of_one_non_gaussian_cluster_are_merged(shape, n_features, seed):
    """Check three clusters of two components each, with overlapping heavy tails, skewness, or sharp edges."""
    rng = np.random.default_rng(seed)
    rows, labels = clusters(rng, on_a_line(rng, [25, 30], n_features), 900, SHAPES[shape])
    radius = np.linalg.norm(rows - np.array([np.median(rows[labels == k], axis=0) for k in range(3)])[labels], axis=1)
    gm = fitted(rows, labels, 2, radius)
    merging = gm.merge(rows)
    assert len(gm.weights_) == 6
    assert merging.n_clusters == 3
    assert adjusted_rand_score(labels, merging.predict(rows)) > 0.95


def test_one_component_is_one_cluster(crossed):
    merging = GaussianMixture(1).fit(crossed).merge(crossed)
    assert merging.n_clusters == 1
    assert merging.overlap.shape == (0,)
    assert not merging.predict(crossed).any()


def test_invalid_min_overlap_and_n_clusters_are_rejected(merging, crossed):
    gm, merged = merging
    for wrong, error in ((-0.1, ValueError), (1.5, ValueError), (np.nan, ValueError), ("most", TypeError)):
        with pytest.raises(error, match=r"min_overlap.* must be a number from 0 to 1"):
            gm.merge(crossed, min_overlap=wrong)
    for wrong in (0, 4):
        with pytest.raises(ValueError, match=f"n_clusters={wrong} must be an integer"):
            merged.predict(crossed, wrong)
    with pytest.raises(TypeError, match=r"n_clusters must be an integer"):
        merged.predict(crossed, 2.0)


def test_the_repr_and_the_html_of_a_merging_show_the_clusters():
    mixture = Mixture([0.25] * 4, [[0.0], [20.0], [1.0], [60.0]], [1.0] * 4, FAMILIES["spherical"])
    merging = (
        GaussianMixture(4, means_init=mixture.means, random_state=0)
        .fit(mixture.sample(400, rng=0)[0])
        .merge(mixture.sample(400, rng=1)[0])
    )
    assert repr(merging) == "<Merging: 4 components in 3 clusters: 0 2 | 1 | 3>"
    rows = [re.findall(r"<t[dh][^>]*>([^<]*)<", row) for row in merging._repr_html_().split("<tr>")[1:]]
    assert [row[0] for row in rows] == ["clusters", "4", "→ 3", "2", "1"]
    assert [row[-1] for row in rows[1:3]] == ["0 | 1 | 2 | 3", "0 2 | 1 | 3"]
    np.testing.assert_allclose([float(row[2]) for row in rows[1:]], merging.entropy[::-1], rtol=1e-3)
    np.testing.assert_allclose([float(row[1]) for row in rows[2:]], merging.overlap[::-1], rtol=1e-2)


def test_rows_in_a_file_give_the_same_bits_as_rows_in_memory(tmp_path, rng):
    """Check the bits, and that no array of all rows is made, because merging needs only sums."""
    rows = np.concatenate([rng.normal(size=(140_000, 2)), rng.normal([6.0, 0.0], size=(10_000, 2))])
    np.save(tmp_path / "rows.npy", rows)
    gm = GaussianMixture(3, random_state=0, tol=1.0).fit(rows[::50])
    source = gaussmix.open(tmp_path / "rows.npy", memory="2 MB")
    assert type(source).__name__ == "FileSource"
    source.each_row = None
    found, expected = gm.merge(source), gm.merge(rows)
    for name in "entropy", "overlap", "cluster_labels":
        assert_same_bits(getattr(found, name), getattr(expected, name), name)


def test_merge_rejects_a_mixture_with_noise_unless_the_noise_is_removed(rng):
    X = rng.normal(size=(200, 2)) + 9 * rng.integers(0, 2, (200, 1))
    gm = GaussianMixture(2, noise=True, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"Replace mixture_ by mixture_\.without_noise first"):
        gm.merge(gm.mixture_.means)
    gm.mixture_ = gm.mixture_.without_noise
    assert gm.merge(gm.mixture_.means).n_clusters == 2
