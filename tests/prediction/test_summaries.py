"""Summaries of estimators that predict, and reasons why their fits end."""

import numpy as np
import pytest
from predictive_estimators import ESTIMATORS, table
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from gaussmix import (
    GaussianMixture,
    GaussianMixtureClassifier,
    GaussianMixtureDetector,
    GaussianMixtureDimensionReducer,
    GaussianMixtureImputer,
    GaussianMixtureRegressor,
)

pandas = pytest.importorskip("pandas")


@pytest.fixture
def frame(rng):
    return pandas.DataFrame(table(rng)[0], columns=["a", "b", "c"])


@pytest.fixture
def y(rng):
    return table(rng)[1]


def lines(estimator):
    """Return the lines of a summary above its table, by heading."""
    text = str(estimator.summary()).split("\n\n")[1]
    return dict(line.split("  ", 1) for line in text.replace("class ", "class_").splitlines())


def entry(estimator, heading):
    return lines(estimator)[heading].strip()


@pytest.mark.parametrize("name", [*ESTIMATORS, "reducer"])
def test_summary_has_all_formats_and_is_the_same_after_save_and_load(name, rng, tmp_path):
    X, y = table(rng)
    estimator = GaussianMixtureDimensionReducer(2) if name == "reducer" else clone(ESTIMATORS[name])
    fitted = estimator.fit(X, y)
    text = str(fitted.summary())
    assert text.startswith(f"{type(fitted).__name__}: ")
    assert "200 rows of" in text
    assert "summary(X)" not in text
    frame, mixture = fitted.summary().to_frame(), fitted.mixture_
    assert np.array_equal(frame["weight"], mixture.weights)
    assert frame["size"].sum() == pytest.approx(200)
    assert "<table" in fitted.summary()._repr_html_()
    assert "tabular" in fitted.summary().to_latex()
    fitted.save(tmp_path / "m.gmm")
    assert str(type(fitted).load(tmp_path / "m.gmm").summary()) == text


def test_summary_before_fit_raises():
    for estimator in ESTIMATORS.values():
        with pytest.raises(ValueError, match="not fitted yet"):
            clone(estimator).summary()


def test_summary_lists_weight_components_structure_and_rows_of_each_class(frame, y):
    named = np.where(y == 1, "yes", "no")
    classifier = GaussianMixtureClassifier([1, 2], random_state=0).fit(frame, named)
    n_no, n_yes = np.bincount(y)
    assert classifier.class_count_.tolist() == [n_no, n_yes]
    for label, number in ("no", n_no), ("yes", n_yes):
        k = classifier.class_mixture(label).n_components
        counted = f"{k} component{'s' * (k > 1)}"
        assert entry(classifier, f"class_{label}") == f"weight {number / 200:.4f}, {counted}, full, {number} rows"
    of_components = classifier.summary().to_frame()["class"].tolist()
    assert of_components == classifier.classes_[classifier.component_class_].tolist()
    assert entry(classifier, "BIC").startswith(f"{classifier.bic_:.2f}")
    assert entry(classifier, "log-likelihood") == f"{classifier.log_likelihood_:.2f} nats"


def test_summary_counts_rows_of_components_for_any_priors(frame, y):
    with_priors = GaussianMixtureClassifier(priors=[0.9, 0.1]).fit(frame, y)
    assert with_priors.summary().to_frame()["size"].to_numpy() == pytest.approx(np.bincount(y))
    assert entry(with_priors, "class_0").startswith("weight 0.9000")


def test_summary_counts_labelled_rows_and_reports_why_em_stopped(frame, y):
    some = np.where(np.arange(200) < 60, y, -1)
    classifier = GaussianMixtureClassifier().fit(frame, some)
    assert entry(classifier, "class_1").endswith(f"{np.sum(y[:60] == 1)} labelled rows")
    assert entry(classifier, "stopped").endswith(classifier.outcome_.reason)
    one = np.where((y == 1) & (np.arange(200) != y.argmax()), -1, y)
    assert entry(classifier.fit(frame, one), "class_1").endswith(" 1 labelled row")
    whole = classifier.fit(frame, y)
    assert not hasattr(whole, "outcome_")
    assert entry(whole, "stopped") == "after 1 step."


def test_summary_counts_omitted_classes(rng):
    X = rng.normal(size=(300, 2))
    classifier = GaussianMixtureClassifier(covariance_type="tied").fit(X, np.arange(300) % 12)
    assert entry(classifier, "…") == "2 classes more"


def test_summary_names_targets_and_predictors(frame):
    beside = GaussianMixtureRegressor().fit(frame[["a", "b"]], frame["c"])
    assert entry(beside, "predicts") == "c from a, b"
    assert entry(GaussianMixtureRegressor(targets=["a"]).fit(frame), "predicts") == "a from b, c"
    X = frame.to_numpy()
    assert entry(GaussianMixtureRegressor().fit(X[:, :2], X[:, 2]), "predicts") == "y from x0, x1"
    assert entry(GaussianMixtureRegressor().fit(X[:, :1], X[:, 1:]), "predicts") == "y0, y1 from x0"


def test_summary_reports_the_density_threshold_of_outliers(frame):
    detector = GaussianMixtureDetector().fit(frame)
    assert entry(detector, "outliers") == f"log density below {detector.offset_:.6g} nats, fitted with coverage=0.95"
    assert entry(GaussianMixtureDetector(contamination=0.1).fit(frame), "outliers").endswith(
        "nats, fitted with contamination=0.1"
    )


def test_summary_counts_missing_values_by_feature(frame):
    frame.loc[:4, "b"], frame.loc[:9, "c"] = np.nan, np.nan
    imputer = GaussianMixtureImputer().fit(frame)
    assert imputer.n_missing_.tolist() == [0, 5, 10]
    assert entry(imputer, "missing") == "15 of 600 cells: c 10, b 5"
    assert entry(imputer.fit(frame.fillna(0)), "missing") == "0 of 600 cells"
    wide = np.where(np.eye(200, 6) == 1, np.nan, np.arange(1200.0).reshape(200, 6) % 7)
    assert entry(imputer.fit(wide), "missing") == "6 of 1,200 cells: x0 1, x1 1, x2 1, x3 1, x4 1, …"
    assert entry(imputer.fit(wide[:, :5]), "missing").endswith("x4 1")


def test_summary_reports_directions_and_separation(frame):
    reducer = GaussianMixtureDimensionReducer(2, random_state=0).fit(frame)
    assert entry(reducer, "directions") == f"1, separation {reducer.eigenvalues_[0]:.4g}"


def test_detector_stores_its_candidates_with_their_bic(frame):
    detector = GaussianMixtureDetector([1, 2, 3], random_state=0).fit(frame)
    assert detector.results_["n_components"] == [1, 2, 3]
    assert entry(detector, "BIC").startswith(f"{detector.results_['bic'][detector.best_index_]:.2f}")
    assert detector.n_components_ == detector.results_["n_components"][detector.best_index_]
    single = detector.set_params(n_components=1).fit(frame)
    assert not hasattr(single, "results_")


@pytest.mark.parametrize(
    "kind", [GaussianMixtureDetector, GaussianMixtureImputer, GaussianMixtureDimensionReducer, GaussianMixtureRegressor]
)
def test_stopping_parameters_are_passed_to_the_fit(kind, frame):
    settings = {"tol": "auto", "max_iter": 1000, "random_state": 0}
    options = {"targets": ["c"]} if kind is GaussianMixtureRegressor else {}
    fitted, alone = kind(2, **settings, **options).fit(frame), GaussianMixture(2, **settings).fit(frame)
    assert (fitted.mixture_, fitted.outcome_) == (alone.mixture_, alone.outcome_)
    assert fitted.outcome_.reason.startswith("Further steps would gain less than 1e-4 nats per row")


def test_stopping_parameters_apply_to_fits_with_rows_of_unknown_class(frame, y):
    some = np.where(np.arange(200) < 20, y, -1)
    classifier = GaussianMixtureClassifier(tol="auto", max_iter=1000).fit(frame, some)
    assert classifier.outcome_.is_maximum
    assert classifier.outcome_.remaining_gain < 1e-4
    with pytest.raises(ValueError, match="check_maximum must be"):
        GaussianMixtureClassifier(check_maximum="no").fit(frame, y)


@pytest.mark.parametrize(
    "options", [{"n_components": 2}, {"n_components": [1, 2]}, {"covariance_type": ["full", "EII"]}]
)
def test_max_time_ends_the_fit_of_a_detector(options, frame):
    with pytest.warns(match="max_time was reached"):
        detector = GaussianMixtureDetector(**options, max_time=0, tol=0, random_state=0).fit(frame)
    assert detector.n_iter_ == 1
    assert "max_time was reached" in entry(detector, "stopped")
    assert set(detector.predict(frame)) <= {-1, 1}


def test_max_time_limits_the_fit_of_all_classes_together(frame, y):
    with pytest.warns(ConvergenceWarning, match="Class [01]: max_time was reached"):
        interrupted = GaussianMixtureClassifier(2, max_time=0, tol=0, random_state=0).fit(frame, y)
    assert interrupted.n_iter_ == 1
    some = np.where(np.arange(200) < 60, y, -1)
    with pytest.warns(ConvergenceWarning, match="max_time was reached"):
        interrupted = GaussianMixtureClassifier(max_time=0, tol=0, check_maximum=True).fit(frame, some)
    assert interrupted.outcome_.reason.startswith("max_time was reached")
    assert interrupted.outcome_.reason.endswith("max_time has passed.")  # ended the check of the maximum, too
    complete = GaussianMixtureClassifier(2, max_time=1e6, random_state=0).fit(frame, y)
    assert complete.mixture_ == GaussianMixtureClassifier(2, random_state=0).fit(frame, y).mixture_
    with pytest.raises(ValueError, match="max_time=-1 must be"):
        GaussianMixtureClassifier(max_time=-1).fit(frame, y)


def test_detector_explains_which_features_make_an_outlier(frame):
    detector = GaussianMixtureDetector(2, random_state=0).fit(frame)
    outliers = frame.iloc[:2].copy()
    outliers.loc[0, "b"] = 99.0
    outliers.loc[1, "a"] = np.nan
    result = detector.explain(outliers)
    assert result.names == ("a", "b", "c")
    assert result.contributions[0].sum() == pytest.approx(result.squared_distance[0])
    assert result.contributions[0].argmax() == 1
    assert np.isnan(result.contributions[1, 0])
    assert result.to_frame().index.tolist() == [0, 1]
    pandas.testing.assert_frame_equal(detector.explain(outliers[["b", "a", "c"]]).to_frame(), result.to_frame())
    with pytest.raises(ValueError, match="feature names should match"):
        detector.explain(outliers[["b", "a"]])
    with pytest.raises(ValueError, match="not fitted yet"):
        GaussianMixtureDetector().explain(outliers)


def test_html_repr_has_a_line_about_the_fit(frame, y):
    fitted = GaussianMixtureDetector(2, random_state=0).fit(frame)
    assert repr(fitted) == "GaussianMixtureDetector(n_components=2, random_state=0)"
    assert "<b>2 components, full, 200 × 3, −" in fitted._repr_html_()
    assert "2 components, full, 200 × 3, 1 step" in GaussianMixtureClassifier().fit(frame, y)._repr_html_()
