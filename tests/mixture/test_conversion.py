"""Mixtures from parameters, and conversions from and to scikit-learn."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from common import families, groups, overlapping
from sklearn.base import clone
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as Theirs

from gaussmix import FAMILIES, FactorAnalyzer, GaussianMixture, Mixture
from gaussmix.extend import LowRank

SKLEARN = pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
TWO = {"weights": [0.25, 0.75], "means": [[0.0, 1.0], [4.0, 5.0]]}
PAIR = {**TWO, "covariances": [[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 3.0]]]}


@families
def test_from_parameters_restores_every_structure(family):
    mixture = overlapping("p", family)
    values = mixture.weights.tolist(), mixture.means.tolist()
    for name in [family, family.name, *(alias for alias in ("VVV", "EEE", "VVI", "VII") if family.name in alias)]:
        again = Mixture.from_parameters(*values, mixture.covariances, covariance_type=name, feature_names=list("abc"))
        np.testing.assert_array_equal(again.covariances, mixture.covariances)
        assert (again.family, again.feature_names) == (family, ("a", "b", "c"))
    if family.kind is LowRank:  # its precisions do not have this form
        return
    precisions = mixture._model.covariances.inverse().array
    by_precisions = Mixture.from_parameters(*values, precisions=precisions, covariance_type=family.name)
    dense = mixture._model.covariances.dense()
    np.testing.assert_allclose(
        by_precisions.covariances, mixture.covariances, rtol=1e-9, atol=1e-12 * np.abs(dense).max()
    )


def test_from_parameters_uses_the_options_of_a_structure():
    """Check covariances ΛΛᵀ + diag ψ of two factors, where the default is one."""
    family = FactorAnalyzer(2)
    compact = [[[1.0, 0.0, 2.0], [0.0, 1.0, 2.0], [1.0, 1.0, 2.0]]]
    mixture = Mixture.from_parameters([1.0], [[0.0] * 3], compact, covariance_type=family)
    np.testing.assert_array_equal(mixture.covariance, [[3.0, 0.0, 1.0], [0.0, 3.0, 1.0], [1.0, 1.0, 4.0]])


def test_from_parameters_inverts_precisions():
    matrices = np.array(PAIR["covariances"])
    mixture = Mixture.from_parameters(**TWO, precisions=np.linalg.inv(matrices))
    np.testing.assert_allclose(mixture.covariances, matrices, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"covariances": None}, "Pass either covariances or precisions"),
        ({"precisions": PAIR["covariances"]}, "Pass either covariances or precisions"),
        ({"covariance_type": "ful"}, "covariance_type='ful' is not one of .* Did you mean 'full'"),
        ({"weights": [0.5, 0.6]}, "its weights sum to 1.1, not to 1"),
        ({"weights": [-0.5, 1.5]}, "weight 0 is negative"),
        ({"weights": [1.0]}, "do not match means"),
        ({"means": [[0.0, 1.0], [2.0]]}, "means must be an array of real numbers, with rows of equal length"),
        ({"means": [[0.0, 1.0], [2.0, np.nan]]}, "its means contain NaN or infinity"),
        ({"covariances": [np.eye(2), np.diag([1.0, np.inf])]}, "its covariances contain NaN or infinity"),
        ({"covariances": np.eye(2)}, r"its covariances have shape \(2, 2\), not \(2, 2, 2\)"),
        ({"covariances": [np.eye(2), -np.eye(2)]}, "the covariance of component 1 is not positive definite"),
        ({"covariances": [np.eye(2), [[1.0, 0.5], [0.0, 1.0]]]}, "the covariance of component 1 is not symmetric"),
        ({"covariances": None, "precisions": [np.eye(2), 0 * np.eye(2)]}, "the precision of component 1 is not"),
        ({"covariances": None, "precisions": np.eye(2)}, r"its precisions have shape \(2, 2\), not \(2, 2, 2\)"),
        (
            {"covariances": None, "precisions": [np.eye(2)] * 2, "covariance_type": "factor_analyzer"},
            r"Pass covariances of shape \(n_components, n_features, n_factors \+ 1\): the loadings",
        ),
        ({"feature_names": ["a"]}, "feature_names has 1 name for 2 features"),
    ],
)
def test_from_parameters_rejects_invalid_values(change, message):
    with pytest.raises(ValueError, match=message):
        Mixture.from_parameters(**{**PAIR, **change})


def test_mixture_rejects_the_name_of_a_structure():
    with pytest.raises(TypeError, match=r"family must be a covariance structure, such as FAMILIES\[\"full\"\]"):
        Mixture(**PAIR, family="full")


def test_a_mixture_stores_read_only_copies_of_its_arrays():
    arrays = {name: np.array(value) for name, value in PAIR.items()}
    mixture = Mixture(**arrays, family=FAMILIES["full"])
    for name, array in arrays.items():
        array[...] = 7.0
        np.testing.assert_array_equal(getattr(mixture, name), PAIR[name])
        assert not getattr(mixture, name).flags.writeable


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": ["a", "b"]}, "weights must be real numbers, not text"),
        ({"means": None}, "means must be real numbers, not None"),
        ({"covariances": np.array(PAIR["covariances"]) + 1j}, "covariances must be real numbers, not complex128"),
        ({"feature_names": "ab"}, "feature_names must be a list of names, one for each feature, not 'ab'"),
        ({"feature_names": 3}, "feature_names must be a list of names, one for each feature, not 3"),
    ],
)
def test_errors_name_the_parameter_of_the_wrong_type(change, message):
    with pytest.raises(TypeError, match=message):
        Mixture.from_parameters(**{**PAIR, **change})
    arguments = {**PAIR, "family": FAMILIES["full"], **change}
    with pytest.raises(TypeError, match=message):
        Mixture(**arguments)


@pytest.mark.parametrize("values", [3, None, [("format", "gaussmix-mixture")]])
def test_from_dict_rejects_other_objects(values):
    with pytest.raises(TypeError, match="Pass a dictionary returned by `to_dict`, not"):
        Mixture.from_dict(values)


@SKLEARN
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_from_sklearn_and_to_sklearn_are_inverse(name, dtype):
    rows = groups("p", 200, 3, 3, distance=2.0).rows.astype(dtype)
    theirs = Theirs(3, covariance_type=name, random_state=0, max_iter=500).fit(rows)
    mixture = Mixture.from_sklearn(theirs)
    # In single precision scikit-learn's own log densities have seven digits.
    digits = {"rtol": 1e-12, "atol": 1e-12} if dtype is np.float64 else {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(mixture.log_density(rows), theirs.score_samples(rows), **digits)
    again = mixture.to_sklearn()
    for attribute in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        digits = {"rtol": 1e-10, "atol": 1e-12} if dtype is np.float64 else {"rtol": 1e-3, "atol": 1e-5}
        np.testing.assert_allclose(getattr(again, attribute), getattr(theirs, attribute), **digits)
        assert getattr(again, attribute).flags.writeable
    np.testing.assert_array_equal(Mixture.from_sklearn(again).covariances, mixture.covariances)


SHAPES = {"spherical": (3,), "diag": (3, 3), "tied": (3, 3), "full": (3, 3, 3)}


@families
def test_to_sklearn_returns_a_fitted_estimator(family, rng):
    mixture = overlapping("p", family)
    theirs, rows = mixture.to_sklearn(), 3 * rng.normal(size=(40, 3))
    assert type(theirs) is Theirs
    assert theirs.covariances_.shape == SHAPES[theirs.covariance_type]
    assert family.name not in SHAPES or theirs.covariance_type == family.name
    np.testing.assert_allclose(theirs.score_samples(rows), mixture.log_density(rows), rtol=1e-11)
    np.testing.assert_allclose(theirs.predict_proba(rows), mixture.responsibilities(rows), rtol=1e-8, atol=1e-12)
    np.testing.assert_array_equal(theirs.predict(rows), mixture.predict(rows))
    assert theirs.score(rows) == pytest.approx(mixture.log_density(rows).mean(), rel=1e-11)
    drawn, labels = theirs.sample(2000)
    assert drawn.shape == (2000, 3)
    fractions = np.bincount(labels, minlength=3) / 2000
    assert (np.abs(fractions - mixture.weights) < 6.2 * np.sqrt(mixture.weights / 2000)).all()
    assert np.isfinite([theirs.aic(rows), theirs.bic(rows)]).all()
    assert theirs.n_features_in_ == 3
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(theirs)).predict(rows), theirs.predict(rows))
    assert not hasattr(clone(theirs), "weights_")


def test_from_sklearn_and_to_sklearn_keep_feature_names():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(groups("p", 60, 3, 2, distance=2.0).rows, columns=["a", "b", "c"])
    mixture = Mixture.from_sklearn(Theirs(2, random_state=0).fit(table))
    assert mixture.feature_names == ("a", "b", "c")
    theirs = mixture.to_sklearn()
    np.testing.assert_array_equal(theirs.predict(table), mixture.predict(table))
    with pytest.raises(ValueError, match="The feature names should match"):
        theirs.predict(table[["b", "a", "c"]])
    assert not hasattr(mixture.with_feature_names(None).to_sklearn(), "feature_names_in_")


def test_from_sklearn_accepts_objects_with_the_same_attributes():
    rows = groups("p", 200, 3, 3, distance=2.0).rows
    bayesian = BayesianGaussianMixture(n_components=3, random_state=0, max_iter=1000).fit(rows)
    np.testing.assert_array_equal(Mixture.from_sklearn(bayesian).means, bayesian.means_)
    ours = GaussianMixture(2, covariance_type="EEV", random_state=0).fit(rows)
    np.testing.assert_array_equal(Mixture.from_sklearn(ours).covariances, ours.covariances_)
    alike = SimpleNamespace(covariance_type="diag", weights_=[1.0], means_=[[0.0]], covariances_=[[2.0]])
    assert Mixture.from_sklearn(alike).covariances == 2.0


@pytest.mark.parametrize("other", [Theirs(2), "a mixture", GaussianMixture(2)])
def test_from_sklearn_rejects_objects_without_the_attributes(other):
    with pytest.raises(TypeError, match=f"{type(other).__name__} has no .*: pass a fitted GaussianMixture"):
        Mixture.from_sklearn(other)


def test_to_sklearn_rejects_a_singular_covariance():
    mixture = Mixture([1.0], [[0.0, 0.0]], [np.ones((2, 2))], FAMILIES["full"])
    with pytest.raises(ValueError, match="component 0"):
        mixture.to_sklearn()


class Module:
    """The attributes of `GaussianMixtureModel` in torchgmm 0.1.4 and pycave 3.2.1, with their documented shapes."""

    def __init__(self, theirs):
        self.covariance_type = theirs.covariance_type
        self.component_probs, self.means = theirs.weights_.astype(np.float32), theirs.means_.astype(np.float32)
        self.precisions_cholesky = theirs.precisions_cholesky_.astype(np.float32)


@SKLEARN
def test_from_torch_and_from_cuvs_give_the_same_density(name, rng):
    """Check precision factors as in torchgmm and pycave, and buffers as in cuVS: all have scikit-learn's form."""
    rows = rng.normal(np.repeat([0.0, 5.0], 50)[:, None], [1.0, 2.0, 0.1], size=(100, 3))
    theirs = Theirs(2, covariance_type=name, random_state=0).fit(rows)
    flat = theirs.covariances_.astype(np.float32).ravel()
    mixtures = [
        Mixture.from_torch(Module(theirs)),
        Mixture.from_torch(SimpleNamespace(model_=Module(theirs))),
        Mixture.from_cuvs(theirs.weights_.astype(np.float32), theirs.means_, flat, covariance_type=name),
        Mixture.from_cuvs(theirs.weights_, theirs.means_, theirs.covariances_, covariance_type=name),
    ]
    for each in mixtures:
        assert each.family.name == name
        assert each.weights.sum() == pytest.approx(1.0, abs=1e-15)
        np.testing.assert_allclose(each.log_density(rows), theirs.score_samples(rows), rtol=1e-4)
    np.testing.assert_allclose(mixtures[-1].covariances, theirs.covariances_, rtol=1e-12)
    np.testing.assert_array_equal(mixtures[0].log_density(rows), mixtures[1].log_density(rows))


@pytest.mark.parametrize(
    ("structure", "covariances", "message"),
    [
        ("full", [np.eye(2), [[2.0, 1.0], [0.2, 2.0]]], "the covariance of component 1 is not symmetric"),
        ("tied", [[2.0, 1.0], [0.2, 2.0]], "the covariance of components 0, 1 is not symmetric"),
        ("full", [np.eye(2), [[2.0, 0.0], [0.0, -1.0]]], "the covariance of component 1 has a negative variance"),
        ("diag", [[-1.0, 1.0], [1.0, -1.0]], "the covariance of components 0, 1 has a negative variance"),
        ("spherical", [1.0, -1.0], "the covariance of component 1 has a negative variance"),
        ("diag", [[1e6, -1.0], [1.0, 1.0]], "the covariance of component 0 has a negative variance"),
    ],
)
def test_the_constructor_rejects_invalid_covariances(structure, covariances, message):
    with pytest.raises(ValueError, match=rf"^Not a valid mixture: {message}\.$"):
        Mixture([0.5, 0.5], np.zeros((2, 2)), covariances, FAMILIES[structure])


def test_the_constructor_accepts_rounding_errors_of_singular_and_float32_matrices():
    singular = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1e-17], [0.0, 0.0, -1e-17]])
    of_float32 = np.array([[1.0, 0.3, 0.0], [np.float32(0.3), 1.0, 0.0], [0.0, 0.0, 1.0]])
    for matrix in singular, of_float32:
        np.testing.assert_array_equal(
            Mixture([1.0], np.zeros((1, 3)), [matrix], FAMILIES["full"]).covariances, [matrix]
        )
    assert Mixture([1.0], np.zeros((1, 3)), [singular], FAMILIES["full"]).std().tolist() == [1.0, 0.0, 0.0]


def test_from_cuvs_accepts_the_rounding_errors_of_float32():
    mixture = Mixture.from_cuvs([1.0], [[0.0, 3.0]], np.array([2.0, 0.5, np.nextafter(0.5, 1, dtype="f4"), 1.0], "f4"))
    np.testing.assert_allclose(mixture.covariances, [[[2.0, 0.5], [0.5, 1.0]]], rtol=np.finfo(np.float32).eps)


def test_from_torch_and_from_cuvs_reject_invalid_input():
    with pytest.raises(TypeError, match=r"GaussianMixture has no component_probs: pass a fitted .* of torchgmm"):
        Mixture.from_torch(Theirs())
    with pytest.raises(ValueError, match=r"means of shape \(2, 2\) and covariances with 3 numbers do not match"):
        Mixture.from_cuvs([0.5, 0.5], np.eye(2), [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"Not a valid mixture: a covariance is not symmetric\."):
        Mixture.from_cuvs([1.0], [[0.0, 3.0]], [2.0, 0.5, 0.501, 1.0])
    with pytest.raises(ValueError, match=r"Not a valid mixture: its weights sum to 0"):
        Mixture.from_cuvs([0.0, 0.0], np.eye(2), [1.0, 2.0], covariance_type="spherical")


@pytest.mark.parametrize(
    ("covariances", "message"),
    [
        ([1.0, 2.0, 2.0, 1.0], "the covariance of component 0 is not positive definite"),
        ([1.0, 1.0, 1.0, 1.0], "the covariance of component 0 is not positive definite"),
        ([1.0, np.nan, np.nan, 1.0], "its covariances contain NaN or infinity"),
        ([0.0, 0.0, 0.0, 0.0], "the covariance of component 0 is not positive definite"),
    ],
)
def test_from_cuvs_rejects_covariances_that_are_not_positive_definite(covariances, message):
    with pytest.raises(ValueError, match=rf"^Not a valid mixture: {message}\.$"):
        Mixture.from_cuvs([1.0], [[0.0, 3.0]], covariances)


@pytest.mark.parametrize("scale", [5e-324, 1.0, 8e307])
def test_from_cuvs_normalises_weights_of_any_scale(scale):
    mixture = Mixture.from_cuvs([scale, 3 * min(scale, 5e307)], np.eye(2), [1.0, 2.0], covariance_type="spherical")
    assert mixture.weights.sum() == pytest.approx(1.0, abs=1e-15)
    assert (mixture.weights > 0).all()


@pytest.mark.parametrize("name", ["full", "diag"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precisions_cholesky": np.zeros}, "a factor has a zero on its diagonal"),
        ({"precisions_cholesky": lambda shape: np.full(shape, np.nan)}, "precisions_cholesky contains NaN or infinity"),
        ({"precisions_cholesky": lambda shape: np.ones((2, 3))}, r"cholesky of shape \(2, 3\) does not match"),
        ({"precisions_cholesky": lambda shape: np.ones((2, 3, 2))}, "precisions_cholesky of shape"),
        ({"means": lambda shape: np.ones(2)}, r"does not match means of shape \(2,\)"),
        ({"component_probs": lambda shape: -np.ones(2)}, "weight 0 is negative"),
        ({"component_probs": lambda shape: np.zeros(2)}, "its weights sum to 0"),
        ({"component_probs": lambda shape: np.array([1.0, np.nan])}, "its weights contain NaN or infinity"),
    ],
)
def test_from_torch_rejects_invalid_parameters(name, change, message):
    shape = FAMILIES[name].shape(2, 2)
    factors = np.broadcast_to(np.eye(2), shape) if name == "full" else np.ones(shape)
    parameters = {"component_probs": np.full(2, 0.5), "means": np.eye(2), "precisions_cholesky": factors}
    Mixture.from_torch(SimpleNamespace(covariance_type=name, **parameters))
    parameters |= {key: make(shape) for key, make in change.items()}
    with pytest.raises(ValueError, match=f"Not a valid mixture: .*{message}"):
        Mixture.from_torch(SimpleNamespace(covariance_type=name, **parameters))
