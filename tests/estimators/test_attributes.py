"""Fitted attributes are derived from the mixture, and setting the attributes creates a mixture."""

import copy
import pickle

import numpy as np
import pandas
import polars
import pytest
import sklearn.mixture
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import gaussmix
from gaussmix import FAMILIES, BayesianGaussianMixture, GaussianMixture, GaussianMixtureIC, Mixture

ATTRIBUTES = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]


@pytest.mark.parametrize("kind", [GaussianMixture, BayesianGaussianMixture])
def test_attributes_and_summaries_before_fit_raise_not_fitted_error(kind):
    public = [name for name in (*dir(kind), *kind._attributes) if name.endswith("_") and not name.startswith("_")]
    for name in (*public, "labels_"):
        with pytest.raises(NotFittedError, match=f"This {kind.__name__} instance is not fitted yet"):
            getattr(kind(), name)
    for name in "summary", "tidy", "glance", "sample":
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            getattr(kind(), name)()


def test_the_symmetry_of_covariances_init_is_checked_relative_to_its_scale(X):
    parameters = {"means_init": np.zeros((1, 2)), "weights_init": [1.0], "max_iter": 0}
    wrong = np.array([[[1e-10, 5e-11], [0, 1e-10]]])
    with pytest.raises(ValueError, match="not symmetric"):
        GaussianMixture(1, covariances_init=wrong, **parameters).fit(X[:, :2])
    nearly = np.array([[[1.0, 0.5], [0.500001, 1.0]]])  # a user's rounding errors
    covariances = GaussianMixture(1, covariances_init=nearly, **parameters).fit(X[:, :2]).covariances_
    np.testing.assert_array_equal(covariances, covariances.transpose(0, 2, 1))


def set_by_hand(names, theirs, **options):
    """Return an estimator whose attributes are set one after the other."""
    estimator = GaussianMixture(len(theirs.weights_), **options)
    for name in names:
        setattr(estimator, name, getattr(theirs, name))
    return estimator


@pytest.mark.heavy(n_default=9)
@pytest.mark.pairwise
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "names",
    [
        ("weights_", "means_", "covariances_", "precisions_cholesky_"),
        ("precisions_cholesky_", "covariances_", "means_", "weights_"),
        ("precisions_", "means_", "precisions_cholesky_", "weights_"),
        ("means_", "weights_", "precisions_cholesky_"),
        ("means_", "precisions_", "weights_"),
        ("covariances_", "weights_", "means_"),
    ],
    ids=" ".join,
)
def test_an_estimator_predicts_after_its_attributes_were_set_in_any_order(X, covariance_type, names, dtype, tmp_path):
    rows = X.astype(dtype)
    theirs = sklearn.mixture.GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(rows)
    ours = set_by_hand(names, theirs, covariance_type=covariance_type)
    check_is_fitted(ours)
    tolerance = float(np.sqrt(np.finfo(dtype).eps))
    np.testing.assert_allclose(ours.score_samples(rows), theirs.score_samples(rows), rtol=tolerance)
    np.testing.assert_array_equal(ours.predict(rows), theirs.predict(rows))
    for name in ATTRIBUTES:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-3, atol=1e-4)
        assert getattr(ours, name).dtype == dtype
    assert ours.sample(5)[0].shape == (5, 3)
    assert ours.bic(rows) == pytest.approx(theirs.bic(rows), rel=tolerance)
    ours.save(tmp_path / "m.gmm")
    assert GaussianMixture.load(tmp_path / "m.gmm").mixture_ == ours.mixture_
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3"):
        ours.predict(rows[:, :2])


def test_the_error_of_an_estimator_set_by_hand_lists_its_missing_attributes(X):
    ours = GaussianMixture(2)
    ours.means_ = X[:2]
    for use in (lambda: ours.predict(X), lambda: ours.save("no.gmm")):
        with pytest.raises(NotFittedError, match="'means_' set by hand; set 'weights_', 'covariances_' as well"):
            use()
    with pytest.raises(AttributeError, match="set 'weights_', 'covariances_' as well"):
        _ = ours.weights_
    with pytest.raises(NotFittedError):
        check_is_fitted(ours)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weights_", [0.5, 0.25, 0.25], r"weights_ has shape \(3,\), but must have shape \(2,\)"),
        ("weights_", [0.5, 0.6], "its weights sum to 1.1, not to 1"),
        ("weights_", [1.5, -0.5], "weight 1 is negative"),
        ("means_", [1.0, 2.0], r"means_ has shape \(2,\), but must have shape \(n_components, n_features\)"),
        ("means_", [[np.nan] * 3] * 2, "its means contain NaN"),
        ("means_", np.zeros((2, 2)), r"covariances_ has shape \(2, 3, 3\).*means_ has shape \(2, 2\)"),
        ("covariances_", [np.eye(3)], r"covariances_ has shape \(1, 3, 3\), but must have shape \(2, 3, 3\)"),
        ("covariances_", [np.eye(3), -np.eye(3)], "the covariance of component 1 is not positive definite"),
        ("precisions_", [np.eye(3), -np.eye(3)], "the precision of component 1 is not positive definite"),
        ("precisions_cholesky_", [np.tri(3)] * 2, "precisions_cholesky_ set by hand: matrices C must be upper"),
        ("precisions_cholesky_", [np.zeros((3, 3))] * 2, "precisions_cholesky_ set by hand: Singular"),
    ],
)
def test_an_invalid_attribute_is_named_when_the_estimator_is_used(X, name, value, message):
    fitted = GaussianMixture(2, random_state=0).fit(X)
    before = fitted.mixture_
    setattr(fitted, name, value)
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            fitted.predict(X)
    setattr(fitted, name, getattr(GaussianMixture(2, random_state=0).fit(X), name))
    np.testing.assert_allclose(fitted.mixture_.covariances, before.covariances)


@pytest.mark.parametrize("name", ["precisions_", "precisions_cholesky_"])
def test_covariances_and_precisions_that_contradict_each_other_are_rejected(X, covariance_type, name):
    fitted = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)
    part, where = (..., "") if covariance_type == "tied" else (2, " of component 2")
    fitted.covariances_[part] *= 1.5
    getattr(fitted, name)[part] *= 2
    message = f"covariances_ and {name} were both changed, but imply different covariances{where}"
    with pytest.raises(ValueError, match=message):
        fitted.predict(X)


def test_setting_text_or_parameters_of_factor_analyzers_raises_immediately(X):
    with pytest.raises(ValueError, match="means_ must be an array of numbers"):
        GaussianMixture(2).means_ = "ab"
    fitted = GaussianMixture(2, covariance_type="factor_analyzer", random_state=0).fit(X)
    with pytest.raises(AttributeError, match="covariances_ of 'factor_analyzer' follows from loadings"):
        fitted.covariances_ = fitted.covariances_
    with pytest.raises(AttributeError, match="loadings_ can't be set"):
        fitted.loadings_ = fitted.loadings_


def test_covariances_of_factor_analyzers_cannot_be_set_before_fit(X):
    ours = GaussianMixture(2, covariance_type="factor_analyzer")
    ours.weights_, ours.means_, ours.covariances_ = [0.5, 0.5], X[:2], [np.eye(3)] * 2
    with pytest.raises(ValueError, match="covariances_ of 'factor_analyzer' follows from loadings"):
        ours.predict(X)


def test_gaussian_mixture_ic_with_several_structures_rejects_attributes_set_by_hand(X):
    search = GaussianMixtureIC([1, 2])
    search.weights_, search.means_, search.covariances_ = [0.5, 0.5], X[:2], [np.eye(3)] * 2
    with pytest.raises(ValueError, match=r"covariance_type='all' lists several structures"):
        search.predict(X)


def test_assigned_weights_must_sum_to_1_minus_the_noise_weight(X):
    fitted = GaussianMixture(2, noise=True, random_state=0).fit(X)
    fitted.weights_ = [0.5, 0.5]
    with pytest.raises(ValueError, match=r"weights_ must sum to 1 − noise_weight_ = 0\.\d+, not to 1\."):
        fitted.predict(X)


def test_setting_parameters_of_a_mixture_with_noise_keeps_the_noise(X):
    fitted = GaussianMixture(2, noise=True, random_state=0).fit(X)
    noise = fitted.mixture_.noise
    fitted.means_ = fitted.means_[::-1]
    fitted.weights_ = fitted.weights_[::-1]
    fitted.covariances_ = fitted.covariances_[::-1]
    assert fitted.mixture_.noise is noise
    assert fitted.weights_.sum() == pytest.approx(1 - noise.weight)


def test_an_assigned_mixture_replaces_the_fit_unless_it_only_reorders_components(X, tmp_path):
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    fitted = GaussianMixture(3, random_state=0).fit(frame)
    bound = fitted.lower_bound_
    fitted.mixture_ = fitted.mixture_.sorted("weight")
    assert (fitted.lower_bound_, list(fitted.feature_names_in_)) == (bound, ["a", "b", "c"])
    assert fitted.weights_[0] == fitted.weights_.max()
    fitted.mixture_ = Mixture.from_parameters([1.0], [[0.0, 0.0]], [np.eye(2)])
    assert not any(hasattr(fitted, name) for name in ("converged_", "lower_bound_", "feature_names_in_"))
    assert (fitted.n_features_in_, fitted.n_parameters_) == (2, 5)
    assert fitted.bic(X[:, :2]) == pytest.approx(-2 * fitted.score_samples(X[:, :2]).sum() + 5 * np.log(len(X)))
    fitted.save(tmp_path / "m.gmm")
    assert GaussianMixture.load(tmp_path / "m.gmm").mixture_ == fitted.mixture_
    with pytest.raises(ValueError, match="X has 3 features, but GaussianMixture is expecting 2"):
        fitted.predict(X)
    with pytest.raises(TypeError, match=r"mixture_ must be a gaussmix\.Mixture, not 3"):
        fitted.mixture_ = 3


NO_LABELS = r"has no labels_, because a fit does not store X.* Call predict or fit_predict with these rows\.$"


@pytest.fixture
def gm():
    return GaussianMixture(2, random_state=0)


@pytest.mark.parametrize(
    "estimator", [GaussianMixture(2, random_state=0), GaussianMixtureIC([1, 2], covariance_type="diag", random_state=0)]
)
@pytest.mark.parametrize("kind", [np.asarray, pandas.DataFrame])
def test_labels_equal_the_result_of_predict(X, estimator, kind):
    rows = kind(X)
    labels = estimator.fit(rows).labels_
    np.testing.assert_array_equal(labels, estimator.predict(rows))
    assert labels is estimator.labels_


@pytest.mark.parametrize("kind", [pandas.DataFrame, polars.from_pandas])
def test_labels_are_predicted_for_a_table_with_a_column_of_labels(X, gm, kind):
    features = pandas.DataFrame(X, columns=[f"x{index}" for index in range(X.shape[1])])
    known = np.where(np.arange(len(X)) < 5, 0, -1)
    table = kind(features.assign(known=known))
    np.testing.assert_array_equal(gm.fit(table, labels="known").labels_, gm.predict(features))


def test_fit_predict_stores_its_result_in_labels(X, gm):
    assert gm.fit_predict(X.tolist()) is gm.labels_
    trimmed = GaussianMixture(2, trim=0.1, random_state=0)
    assert trimmed.fit_predict(X) is trimmed.labels_
    assert (trimmed.labels_ == -1).sum() == len(X) // 10


def test_labels_are_removed_when_the_mixture_changes(X, gm):
    assert (gm.fit(X).labels_ == gm.predict(X)).all()
    gm.means_ = gm.means_[::-1]
    assert not hasattr(gm, "labels_")
    gm.fit(X)
    gm.mixture_ = gm.mixture_.sorted("weight")
    assert not hasattr(gm, "labels_")
    with pytest.warns(RuntimeWarning, match="begins a new stream"):
        gm.partial_fit(X)
    assert not hasattr(gm, "labels_")


def test_labels_are_absent_after_load_and_after_a_fit_to_a_file(X, gm, tmp_path):
    gm.fit(X).save(tmp_path / "m.gmm")
    np.save(tmp_path / "x.npy", X)
    for fitted in (GaussianMixture.load(tmp_path / "m.gmm"), gm.fit(gaussmix.open(tmp_path / "x.npy"))):
        with pytest.raises(AttributeError, match=NO_LABELS):
            _ = fitted.labels_


def test_copies_and_pickles_contain_labels_only_if_they_were_computed(X, gm):
    for twin in (copy.deepcopy(gm.fit(X)), pickle.loads(pickle.dumps(gm))):
        assert not hasattr(twin, "labels_")
    labels = gm.labels_
    for twin in (copy.deepcopy(gm), pickle.loads(pickle.dumps(gm))):
        np.testing.assert_array_equal(twin.labels_, labels)


@pytest.mark.parametrize("estimator", [GaussianMixture(covariance_type=name) for name in FAMILIES], ids=FAMILIES)
def test_a_pickle_needs_only_modules_that_a_fit_imports(X, estimator):
    """Check this for joblib's workers: cloudpickle tries to copy a class if the module of the class is not imported."""
    assert b"gaussmix.extend" not in pickle.dumps(estimator.fit(X))


def test_the_error_for_absent_labels_gives_the_reason(X, gm):
    def reason(fitted):
        with pytest.raises(AttributeError) as raised:
            _ = fitted.labels_
        return str(raised.value).partition("because a fit does not store X, and ")[2].split(".")[0]

    assert reason(copy.deepcopy(gm.fit(X))) == "this estimator was loaded, copied or fitted in parts"
    assert reason(GaussianMixture(2).partial_fit(X)) == "this estimator was loaded, copied or fitted in parts"
    gm.means_ = gm.means_ + 1.0
    assert reason(gm) == reason(pickle.loads(pickle.dumps(gm))) == "fit did not find this mixture"
    gm.fit(X.copy())
    assert reason(gm) == "the array X no longer exists"
    for change in (lambda rows: rows.sort(axis=0), lambda rows: rows.__imul__(2.0)):
        rows = X.copy()
        gm.fit(rows)
        change(rows)
        assert reason(gm) == "the array X has been changed"
    frame = pandas.DataFrame(X, columns=[f"x{index}" for index in range(X.shape[1])])
    frame["label"] = gm.fit(frame).predict(frame)
    assert reason(gm) == "the array X has been changed"
    gm.fit(frame.assign(known=-1), labels="known")
    assert reason(gm) == "the array X no longer exists"
    assert reason(gm.fit(X.tolist())) == "X was neither an array nor a data frame"
    assert reason(gm.fit(X, X_error=np.ones(3))) == "predict would need X_error"
    with pytest.raises(
        AttributeError, match=r"predict would need X_error\. Call predict or fit_predict with these rows\.$"
    ):
        _ = gm.labels_
    assert reason(gm.set_params(trim=0.1).fit(X)) == "predict can't leave out the rows that trim left out"
