"""scikit-learn's tools with estimators that predict: copies, pickles, files, data frames, pipelines, searches."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from cases import ESTIMATORS, answers, table
from common import reloaded
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureDetector, GaussianMixtureIC, GaussianMixtureRegressor, Restrictions

NAMES = ["height", "width", "depth"]
every = pytest.mark.parametrize("name", ESTIMATORS)
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
and_mixtures = pytest.mark.parametrize("name", [*ESTIMATORS, *MIXTURES])


def fitted(name, rng, frame=np.asarray, **parameters):
    X, y = table(rng)
    return clone((ESTIMATORS | MIXTURES)[name]).set_params(random_state=0, **parameters).fit(frame(X), y), frame(X)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for method in expected:
        np.testing.assert_array_equal(found[method], expected[method])


@pytest.mark.heavy(but=7)
@and_mixtures
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), reloaded])
def test_copies_and_loaded_estimators_predict_the_same_bits(name, again, rng):
    estimator, X = fitted(name, rng)
    woken = again(estimator)
    assert type(woken) is type(estimator)
    assert woken.get_params() == estimator.get_params()
    assert_same(answers(woken, X), answers(estimator, X))
    assert woken.n_features_in_ == 3
    clone(woken).fit(*table(rng))


@pytest.mark.heavy(but=3)
@pytest.mark.parametrize("name", sorted({*ESTIMATORS, *MIXTURES} - {"choice", "folds"}))
def test_equal_fits_have_equal_pickles_and_hashes(name):
    """Check this for joblib's cache of functions; `results_` of a choice contains measured times, so it may differ."""
    one, other = (fitted(name, np.random.default_rng(0))[0] for _ in range(2))
    assert pickle.dumps(one) == pickle.dumps(other)
    assert joblib.hash(one) == joblib.hash(other)


def attributes_of(estimator):
    return {key for key in dir(estimator) if key.endswith("_") and not key.startswith("_") and hasattr(estimator, key)}


@pytest.mark.heavy(but=6)
@and_mixtures
def test_a_file_keeps_every_attribute(name, rng, tmp_path):
    estimator, _ = fitted(name, rng, lambda X: pd.DataFrame(X, columns=NAMES))
    estimator.save(tmp_path / "m.gmm")
    woken = type(estimator).load(tmp_path / "m.gmm")
    public = attributes_of(estimator) - {"labels_"}  # labels_ needs the rows
    assert public == attributes_of(woken)
    # compares texts, because NaN is not equal to NaN
    assert repr(getattr(woken, "outcome_", None)) == repr(getattr(estimator, "outcome_", None))
    for key in public - {"outcome_", "posterior_"}:  # their numbers are attributes, too
        expected = getattr(estimator, key)
        assert type(getattr(woken, key)) is type(expected), key
        np.testing.assert_equal(getattr(woken, key), expected)
    assert gaussmix.Mixture.load(tmp_path / "m.gmm").feature_names == estimator.mixture_.feature_names
    other = GaussianMixtureDetector if type(estimator) is GaussianMixture else GaussianMixture
    with pytest.raises(ValueError, match="contains a fitted"):
        other.load(tmp_path / "m.gmm")


@pytest.mark.parametrize(
    "labels", [["no", "yes"], [False, True], [1.5, 2.0], [-3, 7]], ids=["text", "bool", "float", "int"]
)
def test_classes_of_every_type_wake_up(labels, rng):
    X, y = table(rng)
    classifier = gaussmix.GaussianMixtureClassifier().fit(X, np.array(labels)[y] if labels != [1.5, 2.0] else y + 1.0)
    woken = reloaded(classifier)
    assert woken.classes_.dtype == classifier.classes_.dtype
    np.testing.assert_array_equal(woken.predict(X), classifier.predict(X))


def test_a_regressor_of_columns_wakes_up(rng):
    X, _ = table(rng)
    frame = pd.DataFrame(X, columns=NAMES)
    for targets in ("width", ["depth", "height"]):
        regressor = GaussianMixtureRegressor(2, targets=targets, random_state=0).fit(frame)
        woken = reloaded(regressor)
        assert list(woken.feature_names_in_) == list(regressor.feature_names_in_)
        np.testing.assert_array_equal(woken.predict(frame), regressor.predict(frame))
        np.testing.assert_array_equal(woken.predict_quantiles(frame), regressor.predict_quantiles(frame))


@pytest.mark.heavy(but=3)
@every
def test_factor_analysers_serve_and_wake_up(name, rng):
    estimator, X = fitted(name, rng, covariance_type=gaussmix.FactorAnalyzer(2), max_iter=2000)
    assert estimator.mixture_.family.n_factors == 2
    assert_same(answers(reloaded(estimator), X), answers(estimator, X))


def test_an_attribute_of_the_wrong_type_is_named(rng, tmp_path):
    classifier, _ = fitted("classifier", rng)
    classifier.bic_ = "much"
    classifier.save(tmp_path / "m.gmm")
    with pytest.raises(gaussmix.InvalidModelFileError, match="'bic_' in its header is of the wrong type"):
        gaussmix.GaussianMixtureClassifier.load(tmp_path / "m.gmm")


@pytest.mark.heavy(but=2)
@every
def test_pipelines_and_grid_searches(name, rng):
    X, y = table(rng)
    pipeline = make_pipeline(StandardScaler(), clone(ESTIMATORS[name]).set_params(random_state=0))
    step = pipeline.steps[-1][0]
    scoring = None if hasattr(pipeline, "score") and name[:3] in ("reg", "cla") else lambda fit, X, y: 0.0
    grid = {f"{step}__n_components": [1, 2], f"{step}__covariance_type": ["full", "diag"]}
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise", scoring=scoring).fit(X, y)
    assert len(answers(search.best_estimator_, X)) > 0


def test_several_numbers_of_components_are_a_parameter_of_files(rng):
    X = table(rng)[0]
    regressor = GaussianMixtureRegressor(range(1, 3), covariance_type=["full", "tied"]).fit(X, np.sin(X[:, 0]))
    assert list(reloaded(regressor).n_components) == [1, 2]


@every
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


def test_tags_of_estimators():
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


def test_a_subclass_has_its_own_parameters(rng):
    rows = rng.normal(size=(60, 2))
    own = clone(Own(extra=5))
    assert own.get_params() == {"n_components": 1, "extra": 5}
    assert own.fit(rows).offset_ == GaussianMixtureDetector(coverage=0.9).fit(rows).offset_


@pytest.mark.heavy(but=2)
@every
def test_dask_tells_two_fits_from_each_other(name, rng):
    """Check Dask's names of tasks, which depend on the estimator, because Dask keeps one result per name."""
    tokenize = pytest.importorskip("dask.base", reason="dask is not installed").tokenize
    one, other = (fitted(name, rng)[0] for _ in range(2))
    assert tokenize(one) == tokenize(one)
    assert len({tokenize(one), tokenize(other), tokenize(clone(one))}) == 3
