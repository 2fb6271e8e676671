"""Tests of the split-and-merge search in the core: same bits for any target and number of threads, and errors."""

import numpy as np
import pytest
from common import invalid_arguments
from scipy.special import entr, expit

from gaussmix import FAMILIES

N_COMPONENTS = 8
AFTER_MOVE = (1e-5, 30)
ACCEPTANCE = (1e-5, 4), (1e-5, 16), AFTER_MOVE, AFTER_MOVE, 2e-5, 16.0, 0.005, 2.0, 10.0, 5e-6
OTHERS = [name for name, family in FAMILIES.items() if family.algebra is not None and name not in ("full", "EVE")]
SAMPLE_SIZES = 2_000, 1_500, 2_200, 800, 160  # two subsamples, and another one for k-means


def settings(
    rng,
    acceptance=ACCEPTANCE,
    n_rows=SAMPLE_SIZES,
    uniform_draws=None,
    misfit_gain=0.0,
    min_slow_steps=0,
    patience=(40, 16, 8),
):
    """Return the fields of `SearchSettings`: two search runs are combined if the best split indicates a misfit."""
    uniform_draws = rng.random((1, 101)) if uniform_draws is None else uniform_draws
    steps = (1e-4, 12), (1e-4, 30), (1e-5, 300)
    factors = 1e3, 8.0, 3, 2.0, misfit_gain, 2, min_slow_steps
    return uniform_draws, (3, 100, 1e-4), *steps, acceptance, *patience, *n_rows, *factors


def arguments(rng, name="full", n_rows=1_500, **changes):
    """Return arguments of `Target.search`: rows of many clusters, and components that EM has placed on few of them."""
    algebra, n_features = FAMILIES[name].algebra, 3
    rows = rng.normal(size=(n_rows, n_features)) + 3 * rng.normal(size=(12, n_features))[rng.integers(12, size=n_rows)]
    one = {"full": np.eye(n_features), "diag": np.ones(n_features), "spherical": np.ones(1)}
    kind = "spherical" if algebra.shape == 0 else "diag" if algebra.orientation == 0 else "full"
    n_covariances = 1 if algebra.is_shared else N_COMPONENTS
    values = {
        "rows": rows, "row_weight": np.ones(n_rows), "algebra": algebra,
        "weights": np.full(N_COMPONENTS, 1 / N_COMPONENTS), "means": rows[np.argsort(rows[:, 0])[:N_COMPONENTS]],
        "covariances": np.tile(9.0 * one[kind].ravel(), n_covariances), "ridge": np.full(n_features, 1e-6),
        "limits": (2.0**-40, 1e-15, 1e3, 1e8), "unit": None, "packed_search": settings(rng), "n_steps": 10,
        "should_stop": lambda: False, "n_threads": 1,
    }  # fmt: skip
    return values | changes


def run_search(target, values):
    """Return whether the search found a mixture, where its runs began, and a copy of the mixture at its end."""
    copies = {name: np.array(values[name]) for name in ("weights", "means", "covariances")}
    has_result, starts, *_ = target.search(**values | copies)
    return has_result, starts.reshape(-1, 2), copies


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize(
    ("name", "n_rows"),
    [
        ("full", 1_500),
        ("EVE", 1_500),
        *((name, 1_500) for name in OTHERS),
        *((name, 6_000) for name in ("full", "tied", "EVE")),
    ],
)
def test_search_has_the_same_bits_for_any_target_and_number_of_threads(targets, name, n_rows, rng):
    # Ends of searches are never combined if covariances depend on each other.
    misfit_gain = np.inf if "E" in name else 0.0
    values = arguments(rng, name, n_rows)
    values["packed_search"] = settings(rng, misfit_gain=misfit_gain)
    expected, starts, mixture = run_search(targets[0], values)
    assert expected
    assert len(starts) > 1
    for target in targets:
        _, found, again = run_search(target, values | {"n_threads": 3})
        assert found.tobytes() == starts.tobytes()
        for part, array in mixture.items():
            assert again[part].tobytes() == array.tobytes()


def misplaced(rng, name, n_few):
    """Return the arguments of a search of eight clusters, and the means of the clusters.

    The mean of one component lies between two clusters of `n_few` rows, and two components share a cluster.
    """
    one, other, divided = rng.permutation(N_COMPONENTS)[:3]
    sizes, axes = np.full(N_COMPONENTS, 190), np.eye(3)
    sizes[[one, other]] = n_few
    labels = np.arange(N_COMPONENTS).repeat(sizes)
    if name != "EII":
        axes *= np.exp(rng.normal(size=3))
    if name == "tied":
        axes @= np.linalg.qr(rng.normal(size=(3, 3)))[0]
    corners = 12 * np.indices((2, 2, 2)).reshape(3, 8).T + rng.normal(size=(N_COMPONENTS, 3))
    rows = (corners[labels] + rng.normal(size=(len(labels), 3))) @ axes
    best = np.array([rows[labels == k].mean(axis=0) for k in range(N_COMPONENTS)])
    means, within = best.copy(), axes.T @ axes
    means[one], means[other] = (best[one] + best[other]) / 2, best[divided] + 0.5 * axes[0]
    covariances = {"tied": within.ravel(), "EEI": within.diagonal().copy(), "EII": np.ones(1)}[name]
    values = arguments(rng, name, len(rows), rows=rows, means=means, covariances=covariances)
    # If every move is predicted to lose much, the search ends without other initialisations.
    return values | {"packed_search": settings(rng, misfit_gain=np.inf, patience=(40, 1, 1))}, best


@pytest.mark.parametrize("n_few", [6, 190])
@pytest.mark.parametrize("name", ["tied", "EEI", "EII"])
def test_the_first_move_is_the_best_one_if_components_share_a_covariance(target, name, n_few):
    """Check that one of 168 moves reaches the optimum, and that bounds then show that no other move helps.

    Components may have few rows, because all components share a covariance. In some tables, EM alone separates the
    clusters, or another move comes first.
    """
    tried = []
    for seed in range(6):
        values, best = misplaced(np.random.default_rng(seed), name, n_few)
        tried.append(target.search(**values)[2])
        for mean in best:
            assert np.abs(values["means"] - mean).max(axis=1).min() < 0.01 * np.ptp(best)
    assert sorted(tried)[4] <= 1
    assert 1 in tried


@pytest.mark.parametrize("n_features", [1, 3, 6])
@pytest.mark.parametrize("name", ["tied", "EEI", "EII"])
def test_bounds_with_a_shared_covariance_equal_their_definition(target, name, n_features):
    """Compute the bounds, and the linear discriminant between both halves, from moments with NumPy."""
    rng = np.random.default_rng(n_features)
    structure = {"tied": np.array, "EEI": lambda S: np.diag(S.diagonal()), "EII": lambda S: np.eye(len(S)) * S.trace()}
    scales = {"tied": rng.normal(size=(n_features, n_features)), "EEI": rng.uniform(1, 3, n_features), "EII": 2.0}[name]
    axes = scales * np.eye(n_features) if name != "tied" else scales
    weight, mass, gap = rng.uniform(1, 2, 200), 0.4, 5 * axes.sum(axis=0) / np.sqrt(n_features)
    weight /= weight.sum()
    rows = 30 + rng.normal(size=(200, n_features)) @ axes + gap * (rng.random(200) < 0.3)[:, None]

    def shared(second):  # covariance of the structure
        return structure[name](second) / (n_features if name == "EII" else 1)

    before = shared(axes.T @ axes + mass * 0.21 * np.outer(gap, gap))
    compact = {"tied": before.ravel(), "EEI": before.diagonal().copy(), "EII": before[0, :1].copy()}[name]
    algebra = FAMILIES[name].algebra
    gain, first = target.split_with_shared_covariance(rows, weight, algebra, compact, mass, rng.random(n_features))

    share = weight @ first
    means = [(weight * part) @ rows / (weight @ part) for part in (first, 1 - first)]
    removed = mass * share * (1 - share) * np.outer(means[0] - means[1], means[0] - means[1])
    after = shared(before - removed)

    def log_det(covariance):
        return np.linalg.slogdet(covariance).logabsdet

    halves, responsibilities = np.array([share, 1 - share]), np.array([first, 1 - first])
    entropy = weight @ entr(responsibilities).sum(axis=0)
    assert gain == pytest.approx(
        mass * (entropy - entr(halves).sum()) - (log_det(after) - log_det(before)) / 2, rel=1e-9
    )
    direction = np.linalg.solve(after, means[0] - means[1])
    log_odds = np.log(share / (1 - share)) + (rows - (means[0] + means[1]) / 2) @ direction
    np.testing.assert_allclose(first, expit(log_odds), atol=0.01)  # the last E-step uses the means before this step

    gain = target.merge_gain_with_shared_covariance(gap, 0.2, 0.5, algebra, compact)
    merged = shared(before + 0.2 * 0.5 / 0.7 * np.outer(gap, gap))
    weight_gain = 0.2 * np.log(0.7 / 0.2) + 0.5 * np.log(0.7 / 0.5)
    assert gain == pytest.approx(weight_gain - (log_det(merged) - log_det(before)) / 2, rel=1e-9)


def test_search_leaves_the_mixture_unchanged_if_em_exceeds_the_limits(target, rng):
    values = arguments(rng, limits=(0.5, 1e-15, 1e3, 1e8))
    has_result, starts, mixture = run_search(target, values)
    assert not has_result
    assert not len(starts)
    for name, array in mixture.items():
        np.testing.assert_array_equal(array, values[name])


@pytest.mark.heavy(n_default=1)
def test_search_combines_the_results_of_several_runs_only_if_em_is_slow(target, rng):
    values = arguments(rng, n_rows=6_000)
    plain, crossed = (
        run_search(target, values | {"packed_search": settings(np.random.default_rng(0), min_slow_steps=steps)})[1]
        for steps in (11, 10)
    )
    assert len(plain) < len(crossed)


@pytest.mark.heavy(n_default=1)
def test_search_ends_soon_if_should_stop_returns_true(target, rng):
    calls = []
    values = arguments(rng, n_rows=60_000, should_stop=lambda: bool(calls.append(0)) or len(calls) > 2)
    # A sample of 60,001 rows includes all rows.
    values["packed_search"] = settings(rng, n_rows=(60_001, *SAMPLE_SIZES[1:]))
    run_search(target, values)
    assert len(calls) == 3


@pytest.mark.parametrize("n_calls", [1, 3])
def test_search_raises_an_error_of_should_stop(target, n_calls, rng):
    """Check a function that returns None until it fails: None counts as False, as everywhere in Python."""
    calls = []

    def fails():
        calls.append(0)
        if len(calls) == n_calls:
            raise ValueError("stop callback")

    values = arguments(rng, n_rows=60_000, should_stop=fails)
    # A search of all rows takes long, so that it calls the function often.
    values["packed_search"] = settings(rng, n_rows=(60_001, *SAMPLE_SIZES[1:]))
    with pytest.raises(ValueError, match="stop callback"):
        run_search(target, values)
    assert len(calls) == n_calls


INVALID = {
    "rows must be float64, in C order": [{"rows": np.ones((4, 3), np.float32)}, {"rows": np.ones((3, 4)).T}],
    "row_weight must have shape (n_rows,), in C order": [{"row_weight": None}, {"row_weight": np.ones(8)[::2]}],
    "n_threads must be at least 1": [{"n_threads": 0}],
    "covariances must be of the algebra's size": [{"covariances": np.ones(5)}],
    "uniform_draws must have numbers": [
        {"packed_search": {"uniform_draws": np.ones((1, 0))}}, {"packed_search": {"uniform_draws": np.ones((0, 9))}}
    ],
    "a search must have rows": [{"packed_search": {"n_rows": (2_000, 0, 1, 1, 1)}}],
    "EM needs a step": [{"packed_search": {"acceptance": ((1e-5, 0), *ACCEPTANCE[1:])}}],
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), invalid_arguments(INVALID))
def test_search_rejects_invalid_arguments(target, changes, message, rng):
    values = arguments(rng, n_rows=4)
    if "packed_search" in changes:
        changes = {"packed_search": settings(rng, **changes["packed_search"])}
    values["means"], values["weights"] = np.zeros((N_COMPONENTS, 3)), np.ones(N_COMPONENTS)
    with pytest.raises(ValueError, match=message):
        target.search(**values | changes)
