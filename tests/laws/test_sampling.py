"""Tests that drawn rows are independent, have the mixture's distribution and a random order, for any engine.

Seeds are fixed, so that no test fails by chance. A correct implementation passes each bound for all but one in a
billion seeds.
"""

import numpy as np
import pytest
from common import Second
from reference_philox import philox
from scipy import stats
from scipy.special import ndtr

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix._src.interfaces.whitening.diagonal import SphericalWhitening
from gaussmix._src.mixture.sampling import cumulative_weights
from gaussmix.extend import Scatter

RARE = 1e-9
SIX_SIGMA = stats.norm.isf(RARE / 2)  # 6.1 standard errors
KEY = 0xFEDCBA9876543210


def max_ks_distance(n_rows):
    """Return a bound on the Kolmogorov–Smirnov distance; Massart (1990): P(D > x) ≤ 2 exp(−2 n x²)."""
    return np.sqrt(np.log(2 / RARE) / (2 * n_rows))


def ks_distance(numbers, cdf):
    """Compute the largest difference between a cdf and the empirical cdf of a sample."""
    expected, rank = cdf(np.sort(numbers)), np.arange(len(numbers) + 1) / len(numbers)
    return max((rank[1:] - expected).max(), (expected - rank[:-1]).max())


def normals(engine, n_rows, n_features, key=KEY):
    """Draw standard normal numbers with the engine."""
    means = np.zeros((1, n_features))
    whitening = SphericalWhitening.from_variances(np.ones(1), n_features)
    return engine.draw(n_rows, np.array([np.inf]), means, whitening, key)[0]


def make_mixture(rng, name, n_components=4, n_features=3):
    """Return a mixture of overlapping components with different weights and correlated features."""
    roots = rng.normal(size=(n_components, n_features, 2 * n_features)) / np.sqrt(2 * n_features)
    dense = roots @ roots.transpose(0, 2, 1)
    spec, mass = FAMILIES[name].moment_spec(None), np.ones(n_components)
    second = {
        Second.TRACE: np.einsum("kii->k", dense),
        Second.DIAGONAL: np.einsum("kii->ki", dense),
        Second.FULL: dense,
    }[spec.second]
    second = second.sum(axis=0) if spec.is_pooled else second
    covariances = FAMILIES[name].update(Scatter(mass, second, n_features, spec), None).array
    weights = rng.dirichlet(np.full(n_components, 3.0))
    return Mixture(weights, 2 * rng.normal(size=(n_components, n_features)), covariances, FAMILIES[name])


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ([0] * 4, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, 2**64 - 1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            0x299F31D0A4093822,
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, answer):
    """Compare with the `kat_vectors` of Random123's authors for philox4x32 with 10 rounds."""
    words = philox(tuple(np.array([word], np.uint64) for word in counter), key)
    assert " ".join(f"{int(word[0]):08x}" for word in words) == answer


def test_drawn_normal_numbers_have_the_normal_cdf(engine):
    drawn = normals(engine, 100_000, 6)
    for column in drawn.T:
        assert ks_distance(column, ndtr) < max_ks_distance(len(column))
    assert ks_distance(drawn.ravel(), ndtr) < max_ks_distance(drawn.size)


def test_normal_numbers_within_a_row_and_between_rows_are_independent(engine):
    """Correlated squares would reveal a common radius, and products a common angle; keys must be independent, too."""
    n_rows = 100_000
    drawn = normals(engine, n_rows, 6)
    other_keys = normals(engine, n_rows, 6, KEY ^ 1), normals(engine, n_rows, 6, KEY ^ (1 << 32))
    columns = np.column_stack([drawn[:-2], drawn[1:-1], drawn[2:], *(other[:-2] for other in other_keys)])
    for numbers in columns, columns**2, np.abs(columns) - np.abs(columns).mean():
        correlations = np.corrcoef(numbers.T)[np.triu_indices(numbers.shape[1], 1)]
        assert np.abs(correlations).max() < SIX_SIGMA / np.sqrt(len(numbers))


def test_tails_of_normal_draws_have_the_expected_number_of_values(engine):
    """The number of values beyond 4 σ must be as expected on each side."""
    drawn = normals(engine, 1_000_000, 2)
    expected = drawn.size * ndtr(-4.0)
    for beyond in (drawn > 4).sum(), (drawn < -4).sum():
        assert abs(beyond - expected) < SIX_SIGMA * np.sqrt(expected)
    assert np.abs(drawn).max() < 8.6


def test_drawn_labels_follow_the_weights_and_are_independent(engine, rng):
    n_rows, n_components = 200_000, 7
    weights = rng.dirichlet(np.ones(n_components))
    means, whitening = np.zeros((n_components, 3)), SphericalWhitening.from_variances(np.ones(n_components), 3)
    rows, labels = engine.draw(n_rows, cumulative_weights(weights), means, whitening, KEY)
    assert stats.chisquare(np.bincount(labels, minlength=n_components), n_rows * weights).pvalue > RARE
    for lag in 1, 2, 8, 16:
        table = np.zeros((n_components, n_components))
        np.add.at(table, (labels[:-lag], labels[lag:]), 1)
        assert stats.chi2_contingency(table).pvalue > RARE
    for k in range(n_components):  # normal numbers must not depend on the label
        normal_numbers = rows[labels == k].ravel()
        assert ks_distance(normal_numbers, ndtr) < max_ks_distance(len(normal_numbers))


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_drawn_rows_have_the_same_distribution_as_rows_drawn_by_numpy(engine, rng, name):
    """Compare log p(x) of drawn rows with rows of NumPy's generator, which factorises covariances differently."""
    mixture = make_mixture(rng, name)
    rows, labels = engine.draw(50_000, cumulative_weights(mixture.weights), mixture.means, mixture.whitening, KEY)
    dense = mixture._model.covariances.dense()
    counts = rng.multinomial(len(rows), mixture.weights)
    theirs = np.vstack(
        [rng.multivariate_normal(*of, size=n) for *of, n in zip(mixture.means, dense, counts, strict=True)]
    )
    distance = stats.ks_2samp(mixture.log_density(rows), mixture.log_density(theirs)).statistic
    assert distance < 2 * max_ks_distance(len(rows))
    responsibilities = mixture.responsibilities(rows)  # labels must occur as often as Bayes' rule predicts
    for k in range(mixture.n_components):
        error = np.sqrt((responsibilities[:, k] * (1 - responsibilities[:, k])).sum())
        assert abs((labels == k).sum() - responsibilities[:, k].sum()) < SIX_SIGMA * error


def test_components_of_weight_zero_are_never_drawn(engine):
    weights = np.array([0.0, 0.4, 0.0, 0.6, 0.0, 0.0])
    cumulative = cumulative_weights(weights)
    np.testing.assert_array_equal(cumulative, [0, 0.4, 0.4, np.inf, np.inf, np.inf])
    whitening = SphericalWhitening.from_variances(np.ones(6), 1)
    labels = engine.draw(10_000, cumulative, np.zeros((6, 1)), whitening, KEY)[1]
    assert set(labels.tolist()) == {1, 3}


def test_cumulative_weights_leave_no_gap_if_the_sum_of_weights_is_rounded(rng):
    for _ in range(20):
        weights = rng.dirichlet(np.full(300, 0.1)) * (1 - 1e-15)
        cumulative = cumulative_weights(weights)
        assert (np.diff(cumulative[:-1]) >= 0).all()
        assert cumulative[-1] == np.inf
        for largest in (1 - 2.0**-53, np.nextafter(1, 2)):
            assert weights[cumulative.searchsorted(largest, side="right")] > 0


@pytest.mark.parametrize("name", sorted(FAMILIES))
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (3, 33), (300, 2)])
def test_sample_supports_any_shape_and_any_number_of_rows(rng, name, n_components, n_features):
    mixture = make_mixture(rng, name, n_components, n_features)
    for n_rows in (0, 1, np.int32(40)):
        rows, labels = mixture.sample(n_rows, np.random.default_rng(3))
        assert rows.shape == (n_rows, n_features)
        assert labels.shape == (n_rows,)
        assert labels.dtype == np.int64
        assert np.isfinite(rows).all()
        one = mixture.sample(n_rows, np.random.default_rng(3), n_jobs=1)
        np.testing.assert_array_equal(one[0], rows)
        np.testing.assert_array_equal(one[1], labels)


def test_sample_advances_a_random_generator(rng):
    mixture = make_mixture(rng, "full")
    generator = np.random.default_rng(5)
    first, second = mixture.sample(50, generator)[0], mixture.sample(50, generator)[0]
    assert (first != second).all()
    np.testing.assert_array_equal(mixture.sample(20, np.random.default_rng(5))[0], first[:20])


def test_sample_of_an_estimator_uses_its_n_jobs(rng):
    rows = rng.normal(size=(50, 2))
    drawn = [GaussianMixture(2, random_state=0, n_jobs=jobs).fit(rows).sample(20)[0] for jobs in (1, 3, None)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])
    estimator = GaussianMixture(2, random_state=0).fit(rows).set_params(n_jobs=0)
    with pytest.raises(ValueError, match="n_jobs"):
        estimator.sample(3)
