"""scikit-learn's tools with estimators that predict: copies, pickles, files, data frames, pipelines, searches."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from common import reloaded
from predictive_estimators import ESTIMATORS, predictions, table
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureDetector, GaussianMixtureIC, GaussianMixtureRegressor, Restrictions

NAMES = ["height", "width", "depth"]
all_estimators = pytest.mark.parametrize("name", ESTIMATORS)
MIXTURES = {
    "starts": GaussianMixture(3, n_init=3, init_params="random_from_data"),
    "noise": GaussianMixture(2, noise=True),
    "trim": GaussianMixture(2, trim=0.1),
    "prior": GaussianMixture(2, prior="default", restrictions=Restrictions(equal_weights=True)),
    "choice": GaussianMixtureIC([1, 2], covariance_type=["full", "diag"], init_params=["kmeans", "hierarchical"]),
    "folds": GaussianMixtureIC([1, 2], criterion="cv", n_folds=2),
    "posterior": gaussmix.BayesianGaussianMixture(5),
    "tied posterior": gaussmix.BayesianGaussianMixture(
        5, covariance_type="tied", weight_concentration_prior_type="dirichlet_distribution"
    ),
}
all_estimators_and_mixtures = pytest.mark.parametrize("name", [*ESTIMATORS, *MIXTURES])


def fitted(name, rng, frame=np.asarray, **parameters):
    X, y = table(rng)
    return clone((ESTIMATORS | MIXTURES)[name]).set_params(random_state=0, **parameters).fit(frame(X), y), frame(X)


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for method in expected:
        np.testing.assert_array_equal(actual[method], expected[method])


@pytest.mark.heavy(n_default=7)
@all_estimators_and_mixtures
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), reloaded])
def test_pickled_and_loaded_estimators_predict_the_same_bits(name, again, rng):
    estimator, X = fitted(name, rng)
    loaded = again(estimator)
    assert type(loaded) is type(estimator)
    assert loaded.get_params() == estimator.get_params()
    assert_same(predictions(loaded, X), predictions(estimator, X))
    assert loaded.n_features_in_ == 3
    clone(loaded).fit(*table(rng))


@pytest.mark.heavy(n_default=3)
@pytest.mark.parametrize("name", sorted({*ESTIMATORS, *MIXTURES} - {"choice", "folds"}))
def test_equal_fits_have_equal_pickles_and_hashes(name):
    """Check this for joblib's cache of functions; `results_` of a model selection contains times, which differ."""
    one, other = (fitted(name, np.random.default_rng(0))[0] for _ in range(2))
    assert pickle.dumps(one) == pickle.dumps(other)
    assert joblib.hash(one) == joblib.hash(other)


def attributes_of(estimator):
    return {key for key in dir(estimator) if key.endswith("_") and not key.startswith("_") and hasattr(estimator, key)}


@pytest.mark.heavy(n_default=6)
@all_estimators_and_mixtures
def test_save_and_load_keep_all_public_attributes(name, rng, tmp_path):
    estimator, _ = fitted(name, rng, lambda X: pd.DataFrame(X, columns=NAMES))
    estimator.save(tmp_path / "m.gmm")
    loaded = type(estimator).load(tmp_path / "m.gmm")
    public = attributes_of(estimator) - {"labels_"}  # labels_ needs the rows
    assert public == attributes_of(loaded)
    # compares strings, because NaN is not equal to NaN
    assert repr(getattr(loaded, "outcome_", None)) == repr(getattr(estimator, "outcome_", None))
    for key in public - {"outcome_", "posterior_"}:  # attributes contain the same values
        expected = getattr(estimator, key)
        assert type(getattr(loaded, key)) is type(expected), key
        np.testing.assert_equal(getattr(loaded, key), expected)
    assert gaussmix.Mixture.load(tmp_path / "m.gmm").feature_names == estimator.mixture_.feature_names
    other = GaussianMixtureDetector if type(estimator) is GaussianMixture else GaussianMixture
    with pytest.raises(ValueError, match="contains a fitted"):
        other.load(tmp_path / "m.gmm")


@pytest.mark.parametrize(
    "labels", [["no", "yes"], [False, True], [1.5, 2.0], [-3, 7]], ids=["text", "bool", "float", "int"]
)
def test_save_and_load_keep_the_type_of_classes(labels, rng):
    X, y = table(rng)
    classifier = gaussmix.GaussianMixtureClassifier().fit(X, np.array(labels)[y] if labels != [1.5, 2.0] else y + 1.0)
    loaded = reloaded(classifier)
    assert loaded.classes_.dtype == classifier.classes_.dtype
    np.testing.assert_array_equal(loaded.predict(X), classifier.predict(X))


def test_save_and_load_keep_the_targets_of_a_regressor(rng):
    X, _ = table(rng)
    frame = pd.DataFrame(X, columns=NAMES)
    for targets in ("width", ["depth", "height"]):
        regressor = GaussianMixtureRegressor(2, targets=targets, random_state=0).fit(frame)
        loaded = reloaded(regressor)
        assert list(loaded.feature_names_in_) == list(regressor.feature_names_in_)
        np.testing.assert_array_equal(loaded.predict(frame), regressor.predict(frame))
        np.testing.assert_array_equal(loaded.predict_quantiles(frame), regressor.predict_quantiles(frame))
    for wrong in [1, 1], [3], [-1], [0, 1, 2], []:
        regressor.targets_ = np.array(wrong, dtype=int)
        with pytest.raises(gaussmix.InvalidModelFileError, match="'targets_' must be different features of the mix"):
            reloaded(regressor)


@pytest.mark.heavy(n_default=3)
@all_estimators
def test_estimators_with_factor_analyzers_can_be_saved_and_loaded(name, rng):
    estimator, X = fitted(name, rng, covariance_type=gaussmix.FactorAnalyzer(2), max_iter=2000)
    assert estimator.mixture_.family.n_factors == 2
    assert_same(predictions(reloaded(estimator), X), predictions(estimator, X))


def test_load_reports_an_attribute_of_the_wrong_type(rng, tmp_path):
    classifier, _ = fitted("classifier", rng)
    classifier.bic_ = "much"
    classifier.save(tmp_path / "m.gmm")
    with pytest.raises(gaussmix.InvalidModelFileError, match="'bic_' in the header has the wrong type"):
        gaussmix.GaussianMixtureClassifier.load(tmp_path / "m.gmm")


@pytest.mark.heavy(n_default=2)
@all_estimators
def test_estimators_work_in_pipelines_and_grid_searches(name, rng):
    X, y = table(rng)
    pipeline = make_pipeline(StandardScaler(), clone(ESTIMATORS[name]).set_params(random_state=0))
    step = pipeline.steps[-1][0]
    scoring = None if hasattr(pipeline, "score") and name[:3] in ("reg", "cla") else lambda fit, X, y: 0.0
    grid = {f"{step}__n_components": [1, 2], f"{step}__covariance_type": ["full", "diag"]}
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise", scoring=scoring).fit(X, y)
    assert len(predictions(search.best_estimator_, X)) > 0


def test_save_and_load_keep_a_range_of_n_components(rng):
    X = table(rng)[0]
    regressor = GaussianMixtureRegressor(range(1, 3), covariance_type=["full", "tied"]).fit(X, np.sin(X[:, 0]))
    assert list(reloaded(regressor).n_components) == [1, 2]


@all_estimators
def test_methods_before_fit_raise_not_fitted_error(name, rng):
    X, _ = table(rng)
    for method in METHODS:
        if hasattr(ESTIMATORS[name], method):
            with pytest.raises(NotFittedError):
                getattr(clone(ESTIMATORS[name]), method)(X)
    with pytest.raises(NotFittedError):
        clone(ESTIMATORS[name]).save("nowhere.gmm")


METHODS = ["predict", "predict_proba", "predict_log_proba", "density_p_value", "predict_quantiles", "predict_mixture"]
METHODS += ["decision_function", "score_samples", "p_values", "transform", "class_mixture"]


def test_estimators_have_the_tags_of_their_kind():
    kinds = [sklearn.utils.get_tags(estimator).estimator_type for estimator in ESTIMATORS.values()]
    assert kinds == ["regressor"] * 2 + ["classifier"] * 3 + ["outlier_detector"] * 2 + [None] * 2
    assert sklearn.utils.get_tags(gaussmix.GaussianMixtureImputer()).input_tags.allow_nan
    assert not sklearn.utils.get_tags(GaussianMixtureRegressor(targets=0)).target_tags.required
    assert repr(GaussianMixtureRegressor(3, targets="y")) == "GaussianMixtureRegressor(n_components=3, targets='y')"


class Own(GaussianMixtureDetector):
    """A user's subclass, which has one additional parameter and fixes parameters of the base class."""

    def __init__(self, n_components=1, extra=3):
        super().__init__(n_components, coverage=0.9)
        self.extra = extra


def test_a_subclass_with_its_own_parameters_can_be_cloned_and_fitted(rng):
    rows = rng.normal(size=(60, 2))
    own = clone(Own(extra=5))
    assert own.get_params() == {"n_components": 1, "extra": 5}
    assert own.fit(rows).offset_ == GaussianMixtureDetector(coverage=0.9).fit(rows).offset_


@pytest.mark.heavy(n_default=2)
@all_estimators
def test_dask_tokens_of_two_fits_differ(name, rng):
    """Check Dask's names of tasks, which depend on the estimator, because Dask keeps one result per name."""
    tokenize = pytest.importorskip("dask.base", reason="dask is not installed").tokenize
    one, other = (fitted(name, rng)[0] for _ in range(2))
    assert tokenize(one) == tokenize(one)
    assert len({tokenize(one), tokenize(other), tokenize(clone(one))}) == 3
