"""Tests that exported ONNX models give the results of gaussmix in onnxruntime."""

import numpy as np
import pytest
from common import NoiseComponent
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gaussmix import (
    FAMILIES,
    BayesianGaussianMixture,
    GaussianMixture,
    GaussianMixtureClassifier,
    GaussianMixtureDetector,
    GaussianMixtureRegressor,
    Mixture,
)
from gaussmix.export import to_onnx
from tests.export.conftest import fitted, mixture_of, rows_at

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


def run(made, rows, dtype):
    """Return the outputs by name."""
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": rows.astype(dtype)}), strict=True))


@pytest.mark.heavy(n_default=13)
@pytest.mark.pairwise
@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
def test_exported_onnx_equals_the_mixture(case, dtype):
    model, rows = case
    found, tolerance = run(to_onnx(model, dtype=dtype), rows, dtype), TOLERANCE[dtype]
    read = rows.astype(dtype).astype(np.float64)
    mixture = mixture_of(model)
    np.testing.assert_allclose(found["log_density"], mixture.log_density(read), rtol=tolerance, atol=tolerance)
    if isinstance(model, GaussianMixtureDetector):
        assert set(found) == {"label", "log_density", "p_value"}
        assert (found["label"] == model.predict(read)).all()
        return
    assert set(found) == {"label", "probabilities", "log_density"}
    np.testing.assert_allclose(found["probabilities"], mixture.responsibilities(read), atol=10 * tolerance)
    assert (found["label"] == mixture.predict(read)).all()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
def test_onnx_probabilities_of_the_largest_rows_are_numbers(dtype):
    means, largest = [[5.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], float(np.finfo(dtype).max)
    mixture = Mixture.from_parameters([0.0, 0.4, 0.6], means, np.eye(2), covariance_type="tied")
    rows = np.array([[largest, 0.0], [-largest, largest], [largest / 9, -largest], [0.0, largest], [1e3, 0.0]])
    found = run(to_onnx(mixture, dtype=dtype), rows, dtype)
    expected = [[0, 0, 1], [0, 1, 0], [0, 0, 1], [0, 0.4, 0.6], [0, 0, 1]]
    np.testing.assert_allclose(found["probabilities"], expected, rtol=10 * TOLERANCE[dtype])
    assert found["label"].tolist() == [2, 1, 2, 2, 2]


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize(("n_components", "tolerance"), [(1, 1e-5), (2, 1e-2)])
def test_onnx_p_values_are_close_to_those_of_the_detector(n_components, tolerance, offset):
    rows = rows_at(offset)
    detector = GaussianMixtureDetector(n_components, random_state=0).fit(rows)
    found = run(to_onnx(detector, dtype=np.float64), rows, np.float64)
    np.testing.assert_allclose(found["p_value"], detector.p_values(rows), rtol=tolerance)


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 5e-3), (np.float64, 1.2e-3)])
@pytest.mark.parametrize("seed", range(3))
def test_onnx_p_values_are_close_near_each_mode_and_minimum(seed, dtype, tolerance):
    rng = np.random.default_rng(seed)
    rows = rng.normal(rng.uniform(-10, 10, 3), 10 ** rng.uniform(-1, 1, 3), (200, 3)).reshape(-1, 1)
    detector = GaussianMixtureDetector(3, random_state=0).fit(rows)
    grid = np.linspace(-20, 20, 4001, dtype=dtype)[:, None]
    found = run(to_onnx(detector, dtype=dtype), grid, dtype)
    np.testing.assert_allclose(found["p_value"], detector.p_values(grid), rtol=tolerance)


def test_onnx_p_values_are_1_if_rounding_raises_a_density_above_the_maximum(rng):
    n_above = 0
    for _ in range(10):  # In one detector, rounding to float32 might raise no density.
        rows = rng.normal(size=(200, 2)) + 2 * rng.integers(2, size=(200, 1))
        detector = GaussianMixtureDetector(2, random_state=0).fit(rows)
        modes = detector.mixture_.modes()
        near = modes.locations[modes.log_density.argmax()] + rng.normal(scale=1e-4, size=(500, 2))
        found = run(to_onnx(detector), near, np.float32)
        np.testing.assert_allclose(found["p_value"], 1.0, atol=1e-4)
        n_above += np.count_nonzero(found["log_density"] > detector.mixture_.highest_density_level(0.0))
    assert n_above > 0


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("kind", [GaussianMixture, GaussianMixtureDetector])
def test_to_onnx_exports_a_pipeline_that_ends_with_a_mixture(kind, dtype, tmp_path):
    pytest.importorskip("skl2onnx")
    rows = rows_at(0.0)
    pipeline = make_pipeline(StandardScaler(), PCA(2), kind(2, random_state=0)).fit(rows)
    path = tmp_path / "pipeline.onnx"
    made = to_onnx(pipeline, path, dtype=dtype)
    assert path.read_bytes() == made.SerializeToString()
    found = run(made, rows, dtype)
    read = rows.astype(dtype).astype(np.float64)
    np.testing.assert_allclose(found["log_density"], pipeline.score_samples(read), rtol=10 * TOLERANCE[dtype])
    assert (found["label"] == pipeline.predict(read)).all()


def test_to_onnx_refuses_the_number_of_an_open_file():
    with pytest.raises(TypeError, match=r"os\.PathLike"):
        to_onnx(fitted("full", rows_at(0.0)), 1)


@pytest.mark.parametrize("skipped", ["passthrough", None])
def test_to_onnx_leaves_out_passthrough_steps(skipped):
    pytest.importorskip("skl2onnx")
    rows = rows_at(0.0)
    pipeline = make_pipeline(skipped, StandardScaler(), skipped, GaussianMixture(2, random_state=0)).fit(rows)
    found = run(to_onnx(pipeline, dtype=np.float64), rows, np.float64)
    np.testing.assert_allclose(found["log_density"], pipeline.score_samples(rows), rtol=1e-11)


def test_to_onnx_exports_noise_next_to_a_component_of_weight_0():
    noise = NoiseComponent(0.1, np.log(50.0))
    mixture = Mixture([0.0, 0.9], np.array([[0.0], [5.0]]), np.ones((2, 1)), FAMILIES["diag"], noise=noise)
    rows = np.array([[4.5], [40.0]])
    found = run(to_onnx(mixture, dtype=np.float64), rows, np.float64)
    np.testing.assert_allclose(found["log_density"], mixture.log_density(rows), rtol=1e-12)
    assert found["label"].tolist() == mixture.predict(rows).tolist() == [1, -1]


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("kind", ["full", "diag", "detector"])
def test_onnx_outputs_are_finite_for_rows_whose_squares_overflow(kind):
    found = run(to_onnx(fitted(kind, rows_at(0.0))), np.full((2, 3), 1e20), np.float32)
    assert all(np.isfinite(values).all() for values in found.values())
    assert (found["log_density"] < -1e37).all()
    if kind == "detector":
        assert (found["label"] == -1).all()


def test_onnx_labels_with_a_shared_covariance_are_correct_for_rows_whose_products_overflow():
    means = [[-20.0, 0.0], [20.0, 0.0]]  # 20 times the coordinates of a row exceeds the range of float32
    mixture = Mixture.from_parameters([0.4, 0.6], means, np.eye(2), covariance_type="tied")
    rows = np.array([[3e38, 0.0], [-3e38, 3e38], [1e38, -3e38], [-3e38, 0.0]])
    found = run(to_onnx(mixture), rows, np.float32)
    assert found["label"].tolist() == mixture.predict(rows).tolist()
    np.testing.assert_array_equal(found["probabilities"], mixture.responsibilities(rows))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_to_onnx_exports_only_bayesian_components_with_rows():
    rows = rows_at(0.0)
    fit = BayesianGaussianMixture(6, random_state=0).fit(rows)
    part = fit.mass_ > 0
    assert part.sum() < 6
    weights = fit.weights_[part] / fit.weights_[part].sum()
    used = Mixture.from_parameters(weights, fit.means_[part], fit.covariances_[part])
    found = run(to_onnx(fit, dtype=np.float64), rows, np.float64)
    np.testing.assert_allclose(found["log_density"], used.log_density(rows), rtol=1e-12)
    np.testing.assert_allclose(found["probabilities"], used.responsibilities(rows), atol=1e-12)


def test_to_onnx_rejects_pipelines_that_do_not_end_with_a_mixture():
    rows = rows_at(0.0)
    pytest.importorskip("skl2onnx")
    with pytest.raises(TypeError, match="is needed, not PCA"):
        to_onnx(make_pipeline(StandardScaler(), PCA(2)).fit(rows))


def test_to_onnx_rejects_models_that_onnx_cannot_represent():
    rows = rows_at(0.0)
    with pytest.raises(TypeError, match="is needed, not GaussianMixtureRegressor: give its mixture_"):
        to_onnx(GaussianMixtureRegressor(2, random_state=0).fit(rows[:, :2], rows[:, 2]))
    with pytest.raises(ValueError, match="dtype must be float32 or float64, not float16"):
        to_onnx(fitted("full", rows), dtype=np.float16)
    with pytest.raises(ValueError, match="not fitted"):
        to_onnx(GaussianMixture(2))


@pytest.mark.parametrize("unit", [1e-42, 1e42])
def test_to_onnx_rejects_parameters_beyond_the_range_of_float32(unit):
    means, variances = np.array([[0.0, 0.0], [3.0, 3.0]]) * unit, np.full((2, 2), unit**2)
    mixture = Mixture([0.5, 0.5], means, variances, FAMILIES["diag"])
    for beyond in mixture, Mixture([0.5, 0.5], 0 * means, variances, FAMILIES["diag"]):
        with pytest.raises(ValueError, match="beyond the range of float32: set dtype to float64"):
            to_onnx(beyond)
    rows = means + unit
    found = run(to_onnx(mixture, dtype=np.float64), rows, np.float64)
    np.testing.assert_allclose(found["log_density"], mixture.log_density(rows), rtol=1e-12)


@pytest.mark.parametrize("n_components", [None, 2])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize(
    "names", [["low", "high"], [3, -1], [2.0, 1.0], [True, False]], ids=["str", "int", "float", "bool"]
)
def test_onnx_classifier_returns_classes_and_their_probabilities(names, dtype, n_components, offset):
    rows = rows_at(offset)
    structure = "tied" if n_components is None else "full"
    classifier = GaussianMixtureClassifier(n_components, covariance_type=structure, random_state=0)
    classifier.fit(rows, np.repeat(names, 200))
    read = (rows + np.random.default_rng(0).normal(scale=2.0, size=rows.shape)).astype(dtype).astype(np.float64)
    found, tolerance = run(to_onnx(classifier, dtype=dtype), read, dtype), TOLERANCE[dtype]
    assert set(found) == {"label", "probabilities", "log_density"}
    assert found["label"].tolist() == classifier.predict(read).tolist()
    assert len(set(found["label"].tolist())) == 2
    np.testing.assert_allclose(found["probabilities"], classifier.predict_proba(read), atol=10 * tolerance)
    log_density = classifier.mixture_.log_density(read)
    np.testing.assert_allclose(found["log_density"], log_density, rtol=tolerance, atol=tolerance)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("names", [["low", "high"], [0, 5]], ids=["str", "int"])
def test_to_onnx_exports_a_pipeline_that_ends_with_a_classifier(names):
    pytest.importorskip("skl2onnx")
    rows = rows_at(0.0)
    classifier = GaussianMixtureClassifier(2, random_state=0)
    pipeline = make_pipeline(StandardScaler(), classifier).fit(rows, np.repeat(names, 200))
    found = run(to_onnx(pipeline, dtype=np.float64), rows, np.float64)
    assert found["label"].tolist() == pipeline.predict(rows).tolist()
    np.testing.assert_allclose(found["probabilities"], pipeline.predict_proba(rows), atol=1e-11)


def test_to_onnx_rejects_classifiers_that_reject_rows_or_are_not_fitted():
    classifier = GaussianMixtureClassifier(reject_below=0.01).fit(rows_at(0.0), np.repeat([0, 1], 200))
    with pytest.raises(ValueError, match=r"^reject_below=0.01 can't be exported, .* Set reject_below=0\.$"):
        to_onnx(classifier)
    with pytest.raises(NotFittedError, match="GaussianMixtureClassifier"):
        to_onnx(GaussianMixtureClassifier())
