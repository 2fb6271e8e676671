"""Tests of rows on a device: results agree with the reference engine to 1e-9, and few rows are copied."""

import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import check_engine
import numpy as np
import pytest
from check_moments import check_moments
from common import Block, FactorShape, MomentSpec, Second
from every_engine import ENGINES, on_strict_device, to_strict
from random_parameters import SPECS, random_parameters
from sklearn.exceptions import ConvergenceWarning

from gaussmix import FAMILIES, BayesianGaussianMixture, GaussianMixture, GaussianMixtureIC, n_components_test
from gaussmix._src.engines.device.engine import DeviceEngine
from gaussmix._src.engines.device.passes import Pass
from gaussmix._src.numerics import device_array

DEVICE = ENGINES["device"](1)
TOLERANCE = 1e-9  # as docs/develop/numerics.md states it
# The device engine does not give the same bits for any division into blocks.
CHECKS = [check for check in check_engine.CHECKS if check is not check_engine.check_leaves]


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_device_engine_agrees_with_the_reference_engine(check, rng, monkeypatch):
    monkeypatch.setattr(check_engine, "TOLERANCE", TOLERANCE)
    check(DEVICE, rng)


@pytest.mark.heavy(n_default=3)
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_moments_of_the_device_engine_pass_check_moments(spec, rng):
    check_moments(DEVICE, spec, rng)


@pytest.mark.parametrize("factor_shape", [FactorShape.TRIANGULAR, FactorShape.DIAGONAL, FactorShape.SPHERICAL])
@pytest.mark.parametrize(("ratio", "is_by_products"), [(1.0, True), (1e3, False), (1e5, False)])
def test_device_densities_of_narrow_components_lose_no_digits(factor_shape, ratio, is_by_products, rng):
    """Check densities against differences in long double. Products would be wrong by 1e-8 and 1e-3 nats."""
    parameters = random_parameters(rng, 4, 5, factor_shape)
    parameters = replace(parameters, means=parameters.means * 2 * ratio)
    rows = parameters.means[rng.integers(4, size=300)] + rng.standard_normal((300, 5))
    whitened = [
        _whiten_precisely(parameters.whitening, k, np.longdouble(rows) - np.longdouble(parameters.means[k]))
        for k in range(4)
    ]
    expected = parameters.log_scale - 0.5 * np.stack([(each**2).sum(axis=1) for each in whitened], axis=1)
    found, highest = DEVICE.component_log_density(Block(0, rows), parameters), expected.max(axis=1, keepdims=True)
    is_near = expected > highest - 100
    assert np.abs(found - expected)[is_near].max() < TOLERANCE
    density = Pass(on_strict_device(Block(0, rows)), parameters, 4)._joint_density
    assert density.is_by_products.tolist() == [is_by_products] * 4


def _whiten_precisely(whitening, component, offsets):
    factor = np.longdouble(whitening.factor(component))
    return offsets @ factor.T if factor.ndim == 2 else offsets * factor


@pytest.fixture
def dispatch(monkeypatch):
    """Set scikit-learn's switch for arrays of other libraries."""
    from sklearn import config_context

    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with config_context(array_api_dispatch=True):
        yield


def rows_of(rng, n_rows=1_200, n_features=3):
    """Draw four groups of correlated rows."""
    parts = [
        rng.normal(size=(n_rows // 4, n_features)) @ rng.normal(size=(n_features, n_features)) + 4 * rng.normal(size=3)
        for _ in range(4)
    ]
    return rng.permutation(np.concatenate(parts))


OPTIONS = {
    "default": {},
    "kmeans": {"init_params": "kmeans"},
    "random": {"init_params": "random"},
    "noise": {"noise": True},
    "trim": {"trim": 0.05},
    "prior": {"prior": "default"},
    "weights": {"sample_weight": True},
    "accelerated": {"acceleration": "auto", "tol": 1e-7},
    "labels": {"labels": True},
    **{name: {"covariance_type": name} for name, family in FAMILIES.items() if family.in_all},
    "factors": {"covariance_type": "factor_analyzer"},
}


@pytest.mark.heavy(n_default=7)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_fit_of_device_rows_equals_the_fit_of_numpy_rows(options, rng, dispatch):
    X, parameters, with_rows = rows_of(rng), dict(options), {}
    if parameters.pop("sample_weight", False):
        with_rows["sample_weight"] = rng.uniform(0.5, 2.0, len(X))
    if parameters.pop("labels", False):
        with_rows["labels"] = np.where(X[:, 0] > np.quantile(X[:, 0], 0.9), 0, -1)
    expected = GaussianMixture(4, random_state=0, **parameters).fit(X, **with_rows)
    on_device = {name: to_strict(each) if name == "sample_weight" else each for name, each in with_rows.items()}
    found = GaussianMixture(4, random_state=0, **parameters).fit(to_strict(X), **on_device)
    assert found.n_iter_ == expected.n_iter_
    for name in ("weights_", "means_", "covariances_"):
        values = getattr(found, name)
        assert values.device == to_strict(X).device
        np.testing.assert_allclose(device_array.to_host(values), getattr(expected, name), rtol=1e-8, atol=1e-8)
    for method in ("predict_proba", "score_samples", "predict"):
        values = device_array.to_host(getattr(found, method)(to_strict(X)))
        np.testing.assert_allclose(values, getattr(expected, method)(X), rtol=1e-8, atol=1e-8)
    assert found.bic(to_strict(X)) == pytest.approx(expected.bic(X), rel=1e-12)


def fit_both(X, **parameters):
    """Fit NumPy rows and rows on a device, without a warning that EM has not converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [GaussianMixture(random_state=0, tol=0, **parameters).fit(to(X)) for to in (np.asarray, to_strict)]


@pytest.mark.heavy(n_default=6)
@pytest.mark.parametrize("gap", [1e3, 1e6, 1e8])
@pytest.mark.parametrize("family", [each for each in FAMILIES.values() if each.in_all], ids=lambda each: each.name)
def test_a_device_step_from_wide_to_narrow_components_loses_no_digits(family, gap, rng, dispatch):
    """Check one step to narrow correlated groups, from components that are as wide as the gap between the groups."""
    groups = np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5]]) * gap
    X = np.repeat(groups, 100, axis=0) + rng.normal(size=(200, 3)) @ [[1.0, 1.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 3.0]]
    shape = family.shape(2, 3)
    wide = (gap / 8) ** 2 * (np.broadcast_to(np.eye(3), shape) if family.kind.is_matrix else np.ones(shape))
    start = {"weights_init": [0.5, 0.5], "means_init": groups, "covariances_init": wide}
    expected, found = fit_both(X, n_components=2, covariance_type=family, reg_covar=0, max_iter=1, **start)
    np.testing.assert_allclose(found.mixture_.means, expected.mixture_.means, rtol=1e-15)
    np.testing.assert_allclose(found.mixture_.covariances, expected.mixture_.covariances, rtol=TOLERANCE)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "tied", "spherical", "factor_analyzer"])
def test_device_rows_at_equal_distances_belong_to_the_first_centre(covariance_type, rng, dispatch):
    """Rounding errors of products would decide which of two equally near centres a row belongs to."""
    X = rng.integers(5, size=(200, 4)).astype(float)
    start = {"means_init": X[rng.choice(200, 4, replace=False)], "max_iter": 0}
    expected, found = fit_both(X, n_components=4, covariance_type=covariance_type, **start)
    np.testing.assert_array_equal(found.mixture_.weights, expected.mixture_.weights)
    # A sum of at most 200 products of differences up to 4 has an error of at most 200 · 4² ε: Higham (2002), eq. 4.4.
    atol = 200 * 4**2 * np.finfo(np.float64).eps
    np.testing.assert_allclose(found.mixture_.covariances, expected.mixture_.covariances, rtol=1e-12, atol=atol)


@pytest.mark.parametrize("distance", [1e6, 1e9, 1e12, 1e155])
@pytest.mark.parametrize("factor_shape", FactorShape)
def test_device_rows_far_from_all_means_are_assigned_as_by_the_core(factor_shape, distance, rng):
    """Squared distances of such rows are equal up to rounding, or overflow, but their differences are accurate."""
    near = random_parameters(rng, 2, 2, factor_shape, is_shared=True)
    across, along = near.whitening.colour(0, np.eye(2))  # orthogonal directions in whitened coordinates
    parameters = replace(near, means=np.array([across, -across]), log_scale=np.zeros(2))
    rows = rng.standard_normal((40, 2))
    rows[[7, 30, 33]] = across / 4 + np.outer([distance, -distance, distance], along)
    block, complete = Block(0, rows, rng.random(40)), ENGINES["complete"](1)
    with np.errstate(over="ignore"):
        for method in ("responsibilities", "labels"):
            expected, found = (getattr(engine, method)(block, parameters) for engine in (complete, DEVICE))
            np.testing.assert_allclose(found, expected, atol=TOLERANCE)
        expected, found = (
            engine.step(block, engine.make_state(block, 2), parameters, MomentSpec(Second.TRACE))
            for engine in (complete, DEVICE)
        )
    np.testing.assert_allclose(found.mass, expected.mass, rtol=TOLERANCE)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)


@pytest.mark.filterwarnings("ignore:components:RuntimeWarning")
@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("scale", [1.0, 33.0, 1e-300, 1e100, "sum"])
@pytest.mark.parametrize(
    "options", [{}, {"trim": 0.05}, {"prior": "default"}, {"noise": True}, {"weight_type": "precision"}], ids=str
)
def test_device_fits_with_weights_of_any_scale_equal_numpy_fits(options, scale, rng, dispatch):
    X = rows_of(rng) * (1e110 if scale == 1e100 else 1.0)  # the product of a large weight and a large square overflows
    weight = rng.choice([0.0, 0.5, 1.0, 3.0], len(X))
    weight = weight / weight.sum() if scale == "sum" else scale * weight
    expected, found = (
        GaussianMixture(4, random_state=0, **options).fit(to(X), sample_weight=to(weight))
        for to in (np.asarray, to_strict)
    )
    np.testing.assert_allclose(device_array.to_host(found.means_), expected.means_, rtol=1e-8, atol=1e-8)
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, rel=1e-10)


@pytest.mark.parametrize("factor_shape", [FactorShape.TRIANGULAR, FactorShape.DIAGONAL])
def test_moments_of_a_pass_in_many_parts_equal_the_moments_of_one_part(factor_shape, rng, monkeypatch):
    parameters = random_parameters(rng, 4, 5, factor_shape)
    block = on_strict_device(Block(0, 3 * rng.normal(size=(5_000, 5)), rng.uniform(0.5, 2.0, 5_000)))

    def sum_moments():
        return Pass(block, parameters, 4).sum_moments(MomentSpec(Second.FULL), parameters.means)[0]

    expected = sum_moments()
    monkeypatch.setattr("gaussmix._src.engines.device.passes.MAX_CACHED_VALUES", 2**12)
    found = sum_moments()
    for name in ("mass", "first", "second", "log_likelihood", "row_weight"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-10)


def test_an_em_step_on_a_device_is_one_pass_over_all_rows(rng, dispatch, monkeypatch):
    """The core needs a pass for each node of the summation tree, but passes on a device have a large constant time."""
    X, blocks, step = to_strict(rng.normal(size=(150_000, 2))), [], DeviceEngine.step

    def recorded_step(self, block, *arguments, **options):
        blocks.append(block.n_rows)
        return step(self, block, *arguments, **options)

    monkeypatch.setattr(DeviceEngine, "step", recorded_step)
    GaussianMixture(1).fit(X)
    assert set(blocks) == {150_000}


def test_sums_in_float32_add_the_sums_of_leaves(rng, monkeypatch):
    """A single float32 product of many rows would lose digits, even if the memory of a GPU could hold more rows."""
    monkeypatch.setattr(device_array.DeviceArray, "is_on_cpu", False)
    xp = device_array.namespace_of(to_strict(np.zeros(1)))
    for device, n_parts in ((xp.Device("no_float64"), 3), (xp.Device("device1"), 1)):
        rows = xp.asarray(rng.normal(size=(150_000, 1)).astype("f4"), device=device)
        block = Block(0, device_array.DeviceArray(rows))
        assert len(list(block.split(Pass(block, None, 1)._n_part_rows))) == n_parts


def test_numpy_functions_on_device_arrays_respect_their_arguments(rng):
    rows = rng.normal(size=(3, 4))
    for call in (
        lambda a: np.concatenate([a, a], axis=1),
        lambda a: np.concatenate([a, a], 1),
        lambda a: np.take(a, np.array([0, 2]), axis=1),
        lambda a: np.take(a, [0, 2], axis=0),
        lambda a: np.where(a > 0),
        np.multiply.reduce,
    ):
        np.testing.assert_array_equal(call(device_array.DeviceArray(to_strict(rows))), call(rows))


def test_fits_of_memory_maps_and_masked_arrays_return_numpy_arrays(rng, dispatch, tmp_path):
    X = rows_of(rng)
    np.save(tmp_path / "rows.npy", X)
    for rows in (np.load(tmp_path / "rows.npy", mmap_mode="r"), np.ma.masked_array(X, X > 6)):
        assert isinstance(GaussianMixture(2, random_state=0).fit(rows).means_, np.ndarray)


def test_the_pickle_of_an_estimator_fitted_on_a_device_contains_no_rows(rng, dispatch):
    X = rows_of(rng, 20_000)
    fitted = GaussianMixture(2, random_state=0).fit(to_strict(X))
    assert len(pickle.dumps(fitted)) < 10_000
    assert pickle.loads(pickle.dumps(fitted)).means_.shape == (2, 3)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_device_without_float64_computes_in_float32(dtype, rng, dispatch):
    X = rows_of(rng)
    device, atol = ("no_float64", 1e-3) if dtype == "f4" else ("device2", 1e-8)
    xp = device_array.namespace_of(to_strict(X))
    rows, weight = xp.asarray(X.astype(dtype), device=xp.Device(device)), np.ones(len(X))
    found, expected = (GaussianMixture(4, random_state=0).fit(each, sample_weight=weight) for each in (rows, X))
    np.testing.assert_allclose(device_array.to_host(found.means_), expected.means_, atol=atol)
    assert device_array.to_host(found.predict_proba(rows)).dtype == dtype


COPIES = {
    "default": (GaussianMixture(4), {}),
    "kmeans": (GaussianMixture(4, init_params="kmeans"), {}),
    "tied": (GaussianMixture(4, covariance_type="tied"), {}),
    "noise": (GaussianMixture(4, noise=True), {}),
    "trim": (GaussianMixture(4, trim=0.05), {}),
    "prior": (GaussianMixture(4, prior="default"), {}),
    "bayes": (BayesianGaussianMixture(4), {}),
    "several": (GaussianMixtureIC([3, 4], covariance_type=["full", "diag"]), {}),
    "weights": (GaussianMixture(4), {"sample_weight": True}),
}


@pytest.mark.heavy
@pytest.mark.parametrize(("estimator", "options"), COPIES.values(), ids=COPIES)
def test_a_device_fit_copies_only_a_sample_of_the_rows(estimator, options, rng, dispatch, monkeypatch):
    """Count the rows that are copied from and to the device during a fit and predictions."""
    n_rows, d, copied = 200_000, 3, []
    X, to_host, send = rows_of(rng, n_rows), device_array.to_host, device_array.DeviceArray.send

    def counted_copy(values):
        copied.append(values.shape[0] if values.ndim else 0)
        return to_host(values)

    def counted_send(self, values):
        copied.append(0 if isinstance(values, device_array.DeviceArray) or not np.ndim(values) else len(values))
        return send(self, values)

    rows, weight = to_strict(X), to_strict(rng.uniform(0.5, 2.0, n_rows)) if options else None
    for module in ("numerics.device_array", "sources.device", "engines.device.passes", "sources.quantile"):
        monkeypatch.setattr(f"gaussmix._src.{module}.to_host", counted_copy)
    monkeypatch.setattr("gaussmix._src.engines.device.standardisation.to_host", counted_copy)
    monkeypatch.setattr(device_array.DeviceArray, "send", counted_send)
    fitted = estimator.set_params(random_state=0).fit(rows, sample_weight=weight)
    # The fit copies a sample of about a leaf and its indices; with weights, also the weights, and a leaf to count
    # distinct rows. Arrays of at most 1,000 rows contain parameters and sums.
    in_fit = sum(each for each in copied if each > 1_000)
    assert 65_000 < in_fit < (8 if options else 4) * 66_000
    copied.clear()
    if isinstance(fitted, BayesianGaussianMixture):  # predictions of this estimator pass through NumPy
        return
    for method in (fitted.predict_proba, fitted.score_samples, fitted.predict, fitted.score):
        method(rows)
    assert max(copied) <= 2 * d * (d + 5)  # sums of each feature and of each pair of features


UNSUPPORTED = {
    "missing": (lambda X: [to_strict(np.where(X > 6, np.nan, X))], "finite numbers: fill in missing values"),
    "infinite": (lambda X: [to_strict(np.where(X > 6, np.inf, X).astype("f4"))], "Input X contains infinity: row"),
    "vector": (lambda X: [to_strict(X[:, 0])], "must be a table of shape"),
    "complex": (lambda X: [to_strict(X + 0j)], "complex128. Convert them to float32 or float64"),
    "negative weight": (lambda X: [to_strict(X), None, to_strict(-np.ones(len(X)))], "finite and non-negative.*row 0"),
    "too large": (lambda X: [to_strict(X * 1e160)], "overflows: rescale the column"),
    "too few weights": (lambda X: [to_strict(X), None, to_strict(np.ones(3))], "expected"),
    "one row": (lambda X: [to_strict(X[:1])], "minimum of 2 is required"),
}


@pytest.mark.parametrize(("arguments", "message"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_fit_rejects_unsupported_device_arrays(arguments, message, rng, dispatch):
    with pytest.raises((ValueError, TypeError), match=message):
        GaussianMixture(2).fit(*arguments(rows_of(rng)))


def test_options_that_need_rows_in_memory_reject_rows_on_a_device(rng, dispatch):
    X = rows_of(rng)
    with pytest.raises(ValueError, match="rows on a device: copy them to NumPy"):
        GaussianMixture(4, posterior=2).fit(to_strict(X))
    with pytest.raises(ValueError, match="Copy the rows into memory first"):
        GaussianMixture(4).fit(to_strict(X), X_error=np.ones(3))
    with pytest.raises(ValueError, match="X has 2 features"):
        GaussianMixture(2).fit(to_strict(X)).predict(to_strict(X[:, :2]))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_device_rows_become_numpy_arrays_without_array_api_dispatch(dtype, rng):
    X = rows_of(rng).astype(dtype)
    rows = device_array.namespace_of(to_strict(X)).asarray(X)
    found = GaussianMixture(4, random_state=0).fit(rows)
    for values in (found.means_, found.predict_proba(rows), found.score_samples(rows)):
        assert (type(values), values.dtype) == (np.ndarray, dtype)
    assert isinstance(found.predict(rows), np.ndarray)


def test_assigned_means_and_drawn_rows_are_on_the_device(rng, dispatch):
    X = to_strict(rows_of(rng))
    gm = GaussianMixture(4, random_state=0).fit(X)
    gm.means_ = gm.means_ + 1.0
    assert gm.mixture_.means[0, 0] == pytest.approx(first := float(gm.means_[0, 0]))
    gm.means_[0, 0] += 100.0  # changes only a copy, as docs/guide/devices.md states
    assert float(gm.means_[0, 0]) == first
    drawn, component = gm.sample(10)
    assert (drawn.device, component.device) == (X.device, X.device)
    assert isinstance(gm.predict(np.ones((2, 3))), np.ndarray)  # predictions are arrays of the library of the rows


PAGE = Path(__file__).parents[2] / "docs/guide/devices.md"
CALLS = {
    "`fit` with any covariance structure": lambda X: GaussianMixture(4, covariance_type="VEV").fit(X),
    "`fit` with `sample_weight`": lambda X: GaussianMixture(4).fit(X, sample_weight=to_strict(np.ones(X.shape[0]))),
    "`fit` with `noise`": lambda X: GaussianMixture(4, noise=True).fit(X),
    "`fit` with `trim`": lambda X: GaussianMixture(4, trim=0.05).fit(X),
    "`fit` with `prior` or `restrictions`": lambda X: GaussianMixture(4, prior="default").fit(X),
    "`fit` of `GaussianMixtureIC`": lambda X: GaussianMixtureIC([4], max_iter=3).fit(X),
    "`fit` of `BayesianGaussianMixture`": lambda X: BayesianGaussianMixture(4).fit(X),
    "`predict`, `predict_proba`": lambda X: [fitted().predict(X), fitted().predict_proba(X)],
    "`score_samples`, `score`, `bic`, `aic`": lambda X: [fitted().score_samples(X), fitted().score(X), fitted().bic(X)],
    '`fit` with `init_params="random"`': lambda X: GaussianMixture(4, init_params="random", max_iter=3).fit(X),
    '`fit` with `tol="auto"` or `check_maximum=True`': lambda X: GaussianMixture(4, check_maximum=True).fit(X),
    "`fit` with `labels`": lambda X: GaussianMixture(4).fit(X, labels=np.arange(X.shape[0]) % 5 - 1),
    '`fit` with `criterion="cv"`': lambda X: GaussianMixtureIC([1], criterion="cv", n_folds=2).fit(X),
    "`fit` with `checkpoint`": lambda X: GaussianMixture(4, max_iter=3, checkpoint="fit.ckpt").fit(X),
    "`inference`, `bootstrap`": lambda X: [fitted().inference(X, kind="hessian"), fitted().bootstrap(X, n_resamples=2)],
    "predictions of `BayesianGaussianMixture`": lambda X: BayesianGaussianMixture(2).fit(X[:99, :]).predict_proba(X),
    "`fit` with missing values": lambda X: GaussianMixture(2).fit(to_strict(np.full((9, 2), np.nan))),
    "`fit` with `X_error`": lambda X: GaussianMixture(2).fit(X, X_error=np.ones(3)),
    "`fit` with a number as `posterior`": lambda X: GaussianMixture(4, posterior=2).fit(X),
    "`explain`, `augment`, `denoise`": lambda X: fitted().explain(X),
    "`likelihood_ratio_test`, `n_components_test`": lambda X: n_components_test(GaussianMixture(1), X),
}


def fitted():
    start = {"weights_init": np.full(4, 0.25), "covariances_init": [np.eye(3)] * 4}
    gm = GaussianMixture(4, means_init=np.arange(12.0).reshape(4, 3), max_iter=0, **start)
    return gm.fit(np.arange(30.0).reshape(10, 3))


@pytest.mark.heavy(n_default=1)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", CALLS)
def test_the_devices_page_states_what_each_call_copies(call, rng, dispatch, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    table = dict(line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| "))
    assert table.keys() - CALLS.keys() == {"call"}
    rows, copied, to_host = to_strict(rows_of(rng, 150_000)), [], device_array.to_host
    for module in ("numerics.device_array", "sources.device", "engines.device.passes", "sources.quantile"):
        monkeypatch.setattr(
            f"gaussmix._src.{module}.to_host", lambda values: copied.append(values.shape) or to_host(values)
        )
    if table[call] == "refused":
        with pytest.raises((ValueError, TypeError)):
            CALLS[call](rows)
        return
    CALLS[call](rows)
    n_numbers, n_rows = (sum(shape[0] for shape in copied if len(shape) == n and shape[0] > 1_000) for n in (1, 2))
    is_copied = n_rows >= 2 * 66_000 or n_numbers >= 4 * 66_000  # a sample has indices and weights, too
    assert table[call] == ("copied" if is_copied else "sample" if n_rows else "device")


def test_linearly_dependent_device_columns_are_fitted_as_in_numpy(rng, dispatch):
    celsius = rng.normal(15.0, 5.0, 300)
    X = np.column_stack([celsius, 1.8 * celsius + 32.0])
    fits = [GaussianMixture(2, random_state=0).fit(rows) for rows in (X, to_strict(X))]
    assert fits[1].lower_bound_ == pytest.approx(fits[0].lower_bound_, abs=1e-7)


def test_the_bootstrap_of_device_rows_equals_that_of_numpy_rows(rng, dispatch):
    X = rows_of(rng, 400)
    gm = GaussianMixture(2, init_params="kmeans", random_state=0).fit(X)
    found, expected = (gm.bootstrap(rows, n_resamples=3, random_state=0) for rows in (to_strict(X), X))
    np.testing.assert_allclose(found.draws, expected.draws, rtol=1e-6, atol=1e-6)
