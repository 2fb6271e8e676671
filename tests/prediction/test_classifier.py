"""`GaussianMixtureClassifier`: its classes, known labels, and invalid input."""

import re
import warnings
from datetime import date
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from common import Block, raises_and_keeps
from scipy.special import logsumexp
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB

import gaussmix
from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureClassifier


@pytest.mark.parametrize(
    ("structure", "other"),
    [
        ("tied", LinearDiscriminantAnalysis(solver="lsqr")),
        ("full", QuadraticDiscriminantAnalysis()),
        ("diag", GaussianNB(var_smoothing=0)),
    ],
)
def test_classifier_with_one_component_per_class_is_discriminant_analysis(structure, other, classes):
    X, y = classes
    ours = GaussianMixtureClassifier(covariance_type=structure, reg_covar=0).fit(X, y)
    theirs = other.fit(X, y)
    if structure == "full":  # scikit-learn divides by n_c − 1
        priors = np.bincount(y) / len(y)
        log_joint = np.column_stack(
            [
                log_normal(X, X[y == c].mean(axis=0), np.cov(X[y == c].T, bias=True)) + np.log(priors[c])
                for c in range(3)
            ]
        )
        expected = log_joint - logsumexp(log_joint, axis=1, keepdims=True)
    else:
        expected = theirs.predict_log_proba(X)
    near = expected > -500
    np.testing.assert_allclose(ours.predict_log_proba(X)[near], expected[near], rtol=1e-9, atol=1e-9)
    assert (ours.predict(X) == theirs.predict(X)).mean() > 0.99


def log_normal(X, mean, covariance):
    offsets = X - mean
    return -0.5 * (
        np.einsum("ij,ij->i", offsets @ np.linalg.inv(covariance), offsets)
        + np.linalg.slogdet(2 * np.pi * covariance)[1]
    )


def test_class_mixtures_are_fitted_to_the_rows_of_their_class(classes):
    X, y = classes
    classifier = GaussianMixtureClassifier(2, random_state=0).fit(X, y)
    alone = [GaussianMixture(2, random_state=0).fit(X[y == c]).mixture_ for c in range(3)]
    log_joint = np.column_stack([m.log_density(X) + np.log((y == c).mean()) for c, m in enumerate(alone)])
    expected = log_joint - logsumexp(log_joint, axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_log_proba(X), expected, rtol=1e-12, atol=1e-10)
    for c, mixture in enumerate(alone):
        np.testing.assert_allclose(classifier.class_mixture(c).log_density(X), mixture.log_density(X), rtol=1e-11)
    assert classifier.mixture_.n_components == 6
    joint = log_joint[np.arange(len(y)), y].sum()
    assert classifier.log_likelihood_ == pytest.approx(joint, rel=1e-12)
    assert classifier.n_parameters_ == sum(mixture.n_parameters for mixture in alone) + 2
    assert classifier.bic_ == pytest.approx(-2 * joint + classifier.n_parameters_ * np.log(len(y)), rel=1e-12)


@pytest.mark.parametrize("structure", sorted(FAMILIES))
def test_classifier_supports_every_structure(structure, classes):
    X, y = classes
    for n_components in (None, 2):
        classifier = GaussianMixtureClassifier(n_components, covariance_type=structure, random_state=0).fit(X, y)
        proba = classifier.predict_proba(X)
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
        assert classifier.score(X, y) > 0.9
        joint = sum(
            classifier.class_prior_[c] * np.exp(classifier.class_mixture(c).log_density(X)) for c in classifier.classes_
        )
        np.testing.assert_allclose(np.log(joint), classifier.mixture_.log_density(X), rtol=1e-9, atol=1e-9)


@pytest.mark.heavy
def test_classifier_iterates_structures_without_a_closed_form_update():
    X, y = load_iris(return_X_y=True)
    parameters = {"covariance_type": "factor_analyzer", "tol": 1e-8, "max_iter": 5000}
    together = GaussianMixtureClassifier(**parameters).fit(X, y)
    each = GaussianMixtureClassifier(1, **parameters).fit(X, y)
    assert together.mixture_.family == each.mixture_.family == FAMILIES["factor_analyzer"]
    assert together.n_iter_ > 1
    assert together.log_likelihood_ == pytest.approx(each.log_likelihood_, rel=1e-5)
    assert each.mixture_.n_components == 3
    assert {*together.covariance_type_, *each.covariance_type_} == {"FactorAnalyzer(n_factors=1)"}
    assert "3 classes, 3 components, FactorAnalyzer(n_factors=1)" in together.summary().title


def test_bic_selects_n_components_for_each_class(classes):
    X, y = classes
    classifier = GaussianMixtureClassifier([1, 2], covariance_type=["full", "diag"], tol=1e-6, max_iter=500).fit(X, y)
    assert np.bincount(classifier.component_class_).tolist() == [1, 1, 2]
    assert classifier.covariance_type_.tolist() == ["diag"] * 3


def test_predict_log_proba_is_finite_if_probabilities_underflow(classes):
    X, y = classes
    classifier = GaussianMixtureClassifier(covariance_type="tied").fit(X, y)
    distant = np.array([[1e6, 0.0], [0.0, 1e200], [-1e200, 1e200]])
    log_proba = classifier.predict_log_proba(distant)
    assert np.isfinite(log_proba).all()
    assert log_proba.max(axis=1)[0] == 0
    assert log_proba.min() < -1e5
    assert not np.isnan(classifier.predict_proba(distant)).any()


@pytest.mark.parametrize("structure", ["tied", "EEI", "EII"])
@pytest.mark.parametrize("distance", [1e3, 1e8, 1e12])
def test_a_distant_row_is_classified_by_its_side_of_the_boundary(structure, distance, rng):
    """Check that a row stays on its side of the boundary: with a shared covariance, the log odds are linear in x."""
    X = rng.normal(size=(200, 2)) * [1.0, 2.0] + np.repeat([[0.0, 0.0], [3.0, 1.0]], 100, axis=0)
    y = np.repeat([0, 1], 100)
    classifier = GaussianMixtureClassifier(covariance_type=structure).fit(X, y)
    mixture = classifier.mixture_
    (mean, other), precision = mixture.means, np.linalg.inv(classifier.class_mixture(0).covariance)
    slope = precision @ (other - mean)
    along = np.array([-slope[1], slope[0]]) / np.hypot(*slope)
    log_odds = np.linspace(-3, 3, 13)
    rows = (mean + other) / 2 + np.outer(log_odds / (slope @ slope), slope) + distance * along
    # The exact log odds of the rows, after these were rounded to doubles.
    log_odds = np.array(
        [float(sum(Fraction(a) * Fraction(b) for a, b in zip(slope, row, strict=True))) for row in rows]
    )
    log_odds -= float(slope @ (mean + other) / 2)
    expected = -np.logaddexp(0.0, -log_odds)
    np.testing.assert_allclose(classifier.predict_log_proba(rows)[:, 1], expected, atol=1e-3 + 8e-15 * distance)
    clear = np.abs(log_odds) > 0.1
    np.testing.assert_array_equal(classifier.predict(rows)[clear], (log_odds > 0)[clear])


def test_class_prior_is_the_proportion_of_each_class_or_the_parameter_priors(classes):
    X, y = classes
    weight = 1.0 + (y == 2)
    classifier = GaussianMixtureClassifier(2, random_state=0).fit(X, y, weight)
    np.testing.assert_allclose(classifier.class_prior_, [0.25, 0.25, 0.5])
    with_priors = GaussianMixtureClassifier(2, priors=[0.5, 0.3, 0.2], random_state=0).fit(X, y, weight)
    np.testing.assert_allclose(with_priors.class_prior_, [0.5, 0.3, 0.2])
    log_joint = with_priors._classes.log_odds(Block(0, X), with_priors._engine())[np.arange(len(y)), y]
    assert with_priors.log_likelihood_ == pytest.approx(weight @ log_joint, rel=1e-12)
    assert with_priors.n_parameters_ == classifier.n_parameters_ - 2
    odds = np.log(with_priors.class_prior_ / classifier.class_prior_)
    change = with_priors.predict_log_proba(X) - classifier.predict_log_proba(X) - odds
    np.testing.assert_allclose(change, change[:, :1] * np.ones(3), atol=1e-9)


@pytest.mark.parametrize("names", [["a", "b", "c"], [0, 1, 2]])
def test_labels_of_priors_must_be_in_the_order_of_the_classes(names, classes):
    X, y = classes
    y = np.array(names)[y]
    fractions = pd.Series([0.2, 0.3, 0.5], names)
    for priors in (fractions, fractions.set_axis([7, 8, 9]), fractions.reset_index(drop=True)):
        fitted = GaussianMixtureClassifier(priors=priors).fit(X, y)
        np.testing.assert_allclose(fitted.class_prior_, [0.2, 0.3, 0.5])
    with pytest.raises(ValueError, match=r"labels of priors are .*, but classes_ has"):
        GaussianMixtureClassifier(priors=fractions[::-1]).fit(X, y)  # as from `value_counts`
    with pytest.raises(ValueError, match=rf"must be 3 numbers .* in the order of classes_, \[{names[0]!r}, "):
        GaussianMixtureClassifier(priors=fractions.to_dict()).fit(X, y)


@pytest.mark.parametrize("n_components", [None, [1, 2]])
def test_sample_weights_that_sum_to_1_are_scaled_to_count_rows(n_components, classes):
    X, y = classes
    fractions = np.full(len(y), 1 / len(y))
    settings = {"n_components": n_components, "covariance_type": ["full", "diag"], "random_state": 0}
    alone = GaussianMixtureClassifier(**settings).fit(X, y)
    with pytest.warns(RuntimeWarning, match="sample_weight sums to less than 2") as caught:
        chosen = GaussianMixtureClassifier(**settings).fit(X, y, fractions)
    assert [warning.filename for warning in caught] == [__file__]
    assert chosen.covariance_type_.tolist() == alone.covariance_type_.tolist()
    assert chosen.bic_ == pytest.approx(alone.bic_, rel=1e-9)
    # nothing is chosen, so that there is no warning and bic_ is the same
    plain = GaussianMixtureClassifier().fit(X, y, fractions)
    assert plain.bic_ == pytest.approx(GaussianMixtureClassifier().fit(X, y).bic_, rel=1e-9)


@pytest.mark.parametrize("n_components", [None, 2])
@pytest.mark.parametrize("label", [int, str], ids=["numbers", "text"])
def test_rows_of_unknown_class_increase_the_likelihood_of_the_fit(label, n_components, classes):
    X, y = classes
    known = np.isin(np.arange(180), [*range(0, 20), *range(60, 80), *range(120, 130), *range(150, 160)])
    names = y.astype(label).astype(object)
    partly = np.where(known, names, -1)
    alone = GaussianMixtureClassifier(n_components, random_state=0).fit(X[known], names[known])
    classifier = GaussianMixtureClassifier(n_components, random_state=0, tol=1e-8, max_iter=2000).fit(X, partly)
    assert classifier.classes_.tolist() == sorted(set(names.tolist()))
    assert (classifier.predict(X) == names).mean() >= 0.95

    def log_likelihood(fit):
        log_joint = fit._classes.log_odds(Block(0, X), fit._engine())
        return log_joint[known, y[known]].sum() + logsumexp(log_joint[~known], axis=1).sum()

    assert classifier.log_likelihood_ == pytest.approx(log_likelihood(classifier), rel=1e-12)
    assert classifier.log_likelihood_ > log_likelihood(alone)


def test_known_labels_are_fixed_during_the_fit(classes):
    """Check that only the label decides if all rows look alike."""
    X, _ = classes
    y = np.array(["a", "b", -1, -1], dtype=object)[np.arange(180) % 4]
    classifier = GaussianMixtureClassifier(covariance_type="tied", tol=1e-10, max_iter=5000).fit(X, y)
    assert classifier.class_prior_.min() >= 0.25


@pytest.mark.parametrize("n_components", [None, 2])
def test_reject_below_labels_outliers_of_all_classes_as_unknown(n_components, classes):
    X, y = classes
    distant = np.array([[40.0, -40.0], [0.0, 0.0], [3.0, 30.0]])
    classifier = GaussianMixtureClassifier(n_components, reject_below=1e-3, random_state=0).fit(X, y)
    assert classifier.predict(distant).tolist() == [-1, 0, -1]
    assert classifier.fit(X, np.array(["a", "b", "c"])[y]).predict(distant).tolist() == ["unknown", "a", "unknown"]
    tail = classifier.density_p_value(X)
    assert tail.shape == (len(X), 3)
    for c, label in enumerate("abc"):
        np.testing.assert_array_equal(tail[:, c], classifier.class_mixture(label).density_p_value(X))
    assert classifier.set_params(reject_below=0.0).predict(distant).tolist() != ["unknown", "a", "unknown"]


@pytest.mark.parametrize(("names", "label"), [([-1, 1], "-1"), (["unknown", "known"], "'unknown'")])
def test_reject_below_raises_if_a_class_has_the_label_of_rejected_rows(names, label, classes):
    X, y = classes
    y = np.array(names)[(y > 0).astype(int)]
    message = f"labelled {label}, but a class of y has this name. Rename the class"
    with pytest.raises(ValueError, match=message):
        GaussianMixtureClassifier(reject_below=0.01).fit(X, y)
    fitted = GaussianMixtureClassifier().fit(X, y)
    with pytest.raises(ValueError, match=message):
        fitted.set_params(reject_below=0.01).predict(X)


def test_reject_below_bounds_the_fraction_of_rejected_rows_of_a_class(classes):
    """Check that a rare class loses at most `reject_below` plus 5 standard errors, for 10,000 draws."""
    X, y = classes
    classifier = GaussianMixtureClassifier(covariance_type="tied", reject_below=0.05, priors=[0.98, 0.01, 0.01])
    classifier.fit(X, y)
    drawn, _ = classifier.class_mixture(1).sample(10_000, np.random.default_rng(0))
    rejected = (classifier.predict(drawn) == -1).mean()
    assert rejected < 0.05 + 5 * np.sqrt(0.05 * 0.95 / 10_000)


def some_unknown(y, unknown):
    """Return labels of text as a list, with one in five of them unknown."""
    return [unknown if row % 5 == 0 else label for row, label in enumerate(y)]


@pytest.mark.parametrize("unknown", [-1, -1.0, np.nan], ids=str)
def test_unknown_labels_among_text_are_not_a_class(unknown, classes):
    X, y = classes
    names = np.array(["a", "b", "c"])[y]
    partly = some_unknown(names.tolist(), unknown)
    classifier = GaussianMixtureClassifier().fit(X, partly)
    assert classifier.classes_.tolist() == ["a", "b", "c"]
    assert (classifier.predict(X) == names).mean() > 0.95
    for labels in np.asarray(partly), [*map(np.asarray, partly)]:
        assert GaussianMixtureClassifier().fit(X, labels).log_likelihood_ == classifier.log_likelihood_


MISSING = {
    "list": lambda y: some_unknown(y, None),
    "list with NaN": lambda y: some_unknown(y, np.nan),
    "None": lambda y: np.array(some_unknown(y, None), dtype=object),
    "NaN": lambda y: np.array(some_unknown(y, np.nan), dtype=object),
    "pandas": lambda y: pd.Series(some_unknown(y, None)),
    "pandas.NA": lambda y: pd.Series(some_unknown(y, pd.NA), dtype=object),
    "nullable": lambda y: pd.Series(some_unknown(y, pd.NA), dtype="Int64" if y[0] == 0 else "string"),
    "category": lambda y: pd.Series(some_unknown(y, None), dtype="category"),
    "Categorical": lambda y: pd.Categorical(some_unknown(y, None)),
    "polars": lambda y: pl.Series(some_unknown(y, None)),
    "Arrow": lambda y: pa.array(some_unknown(y, None)),
}


@pytest.mark.parametrize("container", MISSING)
@pytest.mark.parametrize("names", [[0, 1, 2], ["a", "b", "c"]], ids=["numbers", "text"])
def test_missing_labels_are_unknown(names, container, classes):
    X, y = classes
    labels = np.array(names, dtype=object)[y]
    expected = GaussianMixtureClassifier().fit(X, np.array(some_unknown(labels.tolist(), -1), dtype=object))
    actual = GaussianMixtureClassifier().fit(X, MISSING[container](labels.tolist()))
    assert actual.classes_.tolist() == names
    assert actual.log_likelihood_ == expected.log_likelihood_
    assert actual.predict(X).tolist() == expected.predict(X).tolist()


NULLABLE = {
    "pandas": lambda y, kind: pd.array(y, dtype=kind),
    "pandas.Series": lambda y, kind: pd.Series(y, dtype=kind),
    "pandas.DataFrame": lambda y, kind: pd.DataFrame({"y": pd.array(y, dtype=kind)}),
    "unnamed pandas.DataFrame": lambda y, kind: pd.DataFrame(pd.array(y, dtype=kind)),
    "polars": lambda y, kind: pl.Series(y),
    "polars.DataFrame": lambda y, kind: pl.DataFrame({"y": y}),
    "Arrow": lambda y, kind: pa.array(y),
    "chunked Arrow": lambda y, kind: pa.chunked_array([y[:50], y[50:]]),
}


@pytest.mark.parametrize("unknown", [None, 2**60])
@pytest.mark.parametrize("container", NULLABLE)
def test_nullable_integer_and_boolean_labels_do_not_become_floats(container, unknown, classes):
    X, y = classes
    big = np.array([2**60, 2**60 + 1, 2**60 + 4096])[y]
    classifier = GaussianMixtureClassifier().fit(X, NULLABLE[container](some_unknown(big.tolist(), unknown), "Int64"))
    assert classifier.predict(X).dtype == np.int64
    assert classifier.classes_.tolist() == [2**60, 2**60 + 1, 2**60 + 4096]
    booleans = NULLABLE[container](some_unknown((y > 0).tolist(), unknown and False), "boolean")
    assert GaussianMixtureClassifier().fit(X, booleans).classes_.dtype == np.bool_


@pytest.mark.parametrize("missing", [-1, None, np.nan, pd.NA])
def test_score_ignores_rows_of_unknown_class(missing, classes):
    X, y = classes
    weight = 1.0 + np.arange(len(y)) % 3
    partly = y.astype(object)
    partly[::3] = missing
    known = np.delete(np.arange(len(y)), np.s_[::3])
    classifier = GaussianMixtureClassifier(covariance_type="tied").fit(X, partly)
    assert classifier.score(X, partly, weight) == classifier.score(X[known], y[known], weight[known]) > 0.5
    assert not np.isnan(cross_val_score(GaussianMixtureClassifier(), X, partly, cv=2)).any()
    with pytest.raises(ValueError, match="y contains no classes, because every label is missing"):
        classifier.score(X[:5], np.full(5, missing))


def test_score_includes_minus_one_if_minus_one_is_a_class_or_marks_outliers(classes):
    X, y = classes
    signs = np.where(y == 0, -1, 1)
    classifier = GaussianMixtureClassifier().fit(X, signs)
    assert classifier.score(X, signs) == (classifier.predict(X) == signs).mean()
    rejecting = GaussianMixtureClassifier(reject_below=0.5).fit(X, y)
    with_outliers = np.where(rejecting.predict(X) == -1, -1, y)
    assert rejecting.score(X, with_outliers) == (rejecting.predict(X) == with_outliers).mean()


def test_score_rejects_labels_of_another_type_than_in_fit(classes):
    X, y = classes
    for labels, others in ((y, y.astype(str)), (y, y.astype(str).astype(object)), (y.astype(str), y)):
        classifier = GaussianMixtureClassifier(reject_below=0.01).fit(X, labels)
        with pytest.raises(ValueError, match="had a different type"):
            classifier.score(X, others)
        assert classifier.score(X, labels.astype(object)) == classifier.score(X, labels) > 0.9
        assert classifier.score(X, np.full(len(y), -1)) < 0.1


def test_minus_one_is_a_class_if_y_has_only_one_other_label(classes):
    X, y = classes
    for rows, labels in ((X[y < 2], 2 * y[y < 2] - 1), (X, np.where(y == 2, np.nan, 2.0 * y - 1))):
        assert GaussianMixtureClassifier().fit(rows, labels).classes_.tolist() == [-1, 1]


def test_predict_returns_labels_of_the_dtype_of_y(classes):
    X, y = classes
    for labels in (y, y.astype(float), y > 0, np.array(["a", "bb", "ccc"])[y]):
        predicted = GaussianMixtureClassifier().fit(X, labels).predict(X)
        assert predicted.dtype == labels.dtype
        assert (predicted == labels).mean() > 0.95


@pytest.mark.parametrize("unknown", ["a", None, np.nan], ids=str)
def test_text_labels_of_dtype_object_have_a_text_dtype_before_and_after_save(unknown, classes, tmp_path):
    X, y = classes
    labels = np.array(some_unknown(np.array(["a", "bb", "ccc"])[y].tolist(), unknown), dtype=object)
    classifier = GaussianMixtureClassifier().fit(X, labels)
    classifier.save(tmp_path / "classes.gmm")
    again = GaussianMixtureClassifier.load(tmp_path / "classes.gmm")
    assert classifier.classes_.dtype == again.classes_.dtype == "<U3"
    assert classifier.predict(X).dtype == again.predict(X).dtype


def test_warnings_name_the_class_and_the_line_that_calls_fit(classes):
    X, y = classes
    with pytest.warns(ConvergenceWarning) as caught:
        GaussianMixtureClassifier(2, max_iter=1, tol=0).fit(X, y)
    assert [str(warning.message).partition(" init")[0] for warning in caught] == [
        f"Class {c}: Best performing" for c in range(3)
    ]
    assert {warning.filename for warning in caught} == {__file__}
    partly = np.where(np.arange(len(y)) % 2, y, -1)
    with pytest.warns(ConvergenceWarning, match="Best performing") as caught:
        GaussianMixtureClassifier(max_iter=1, tol=0).fit(X, partly)
    assert {warning.filename for warning in caught} == {__file__}
    with pytest.warns(RuntimeWarning, match="covariance_type='VVE' is 'V' for one feature") as caught:
        GaussianMixtureClassifier(covariance_type="VVE").fit(X[:, :1], y)
    assert {warning.filename for warning in caught} == {__file__}


ROWS = np.arange(40.0).reshape(20, 2) % 7
LABELS = np.arange(20) % 2
BAD = {
    "no y": ({}, None, "requires y to be passed, but the target y is None"),
    "one class": ({}, np.ones(20), "y contains only one class, 1.0, but a classifier"),
    "no label at all": ({}, -np.ones(20), "y contains only one class, -1.0"),
    "too short": ({}, LABELS[:5], "y has 5 labels, but X has 20 rows"),
    "infinity": ({}, np.where(np.arange(20) == 3, np.inf, LABELS), "Input y contains infinity or a value too large"),
    "infinity after pandas.NA": ({}, [pd.NA, np.inf] * 10, "Input y contains infinity or a value too large"),
    "nothing but NaN": ({}, np.full(20, np.nan), "y contains no classes, because every label is missing"),
    "one class and None": ({}, np.array(["a", None] * 10, dtype=object), "y contains only one class, 'a'"),
    "numbers beside text": ({}, np.array(["a", 3] * 10, dtype=object), "y mixes text and other values, such as 'a'"),
    "sets": ({}, [{0}, {1}] * 10, "y must be a list or an array of numbers or text, not of type set."),
    "lists": ({}, [[0], [0, 1]] * 10, "y must contain one label for each row, not lists of different lengths."),
    "continuous": ({}, np.linspace(0, 1, 20), "Unknown label type: continuous"),
    "dates": ({}, [None, *[date(2020, 1, 1), date(2020, 1, 2)] * 9, None], "y contains dates, times or durations."),
    "few rows": ({"n_components": 3}, [0] * 18 + [1] * 2, "Class 1: Expected n_samples >= n_components"),
    "too few distinct": ({"reg_covar": 0}, [0] * 18 + [1] * 2, "Too few distinct rows for the covariance of class 1:"),
    "one row": ({"reg_covar": 0}, [0] * 19 + [1], "Too few distinct rows for the covariance of class 1:"),
    "one row for a mixture": ({"n_components": 1}, [0] * 19 + [1], "Class 1: Found array with 1 sample(s)"),
    "unknown structure": ({"covariance_type": "ful"}, LABELS, "Did you mean 'full'?"),
    "unknown above 1": ({"reject_below": 2}, LABELS, "reject_below=2 must be a number from 0 to 1."),
    "unknown negative": ({"reject_below": -0.1}, LABELS, "reject_below=-0.1 must be a number from 0 to 1."),
    "priors": ({"priors": [0.5, 0.6]}, LABELS, "must be 2 numbers > 0 that sum to 1, in the order of"),
    "too many priors": ({"priors": [0.2, 0.3, 0.5]}, LABELS, "must be 2 numbers > 0"),
    "priors and no labels": ({"priors": [0.5, 0.5]}, np.arange(20) % 3 - 1, "(y is -1 or missing). Remove priors"),
    "a choice without labels": ({"n_components": [1, 2]}, np.arange(20) % 3 - 1, "(y is -1 or missing), so set"),
    "tied without labels": (
        {"n_components": 1, "covariance_type": "tied"},
        np.arange(20) % 3 - 1,
        "so set a single n_components and a covariance_type without shared parameters (",
    ),
    "text as priors": ({"priors": "equal"}, LABELS, "array of numbers: 'equal' is text"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_failed_fit_reports_the_reason_and_keeps_the_previous_classifier(case):
    parameters, y, message = BAD[case]
    classifier = GaussianMixtureClassifier().fit(ROWS, LABELS).set_params(**parameters)
    with raises_and_keeps(classifier, ValueError, re.escape(message)):
        classifier.fit(ROWS, y)


@pytest.mark.parametrize("parameters", [{"n_components": 0}, {"n_components": [2, 0]}, {"n_init": 0}], ids=str)
def test_an_invalid_parameter_is_reported_without_a_class(parameters):
    with pytest.raises(ValueError, match=r"^n_\w+=0 must be an integer ≥ 1"):
        GaussianMixtureClassifier(**{"n_components": 2} | parameters).fit(ROWS, LABELS)


def test_a_linearly_dependent_column_is_reported_with_its_classes():
    message = (
        r"class 'a', 'b' is singular\. Column 'twice' follows from column 'x0'\. Leave out one of these columns, or "
    )
    frame = pd.DataFrame(ROWS, columns=[f"x{index}" for index in range(ROWS.shape[1])])
    with pytest.raises(ValueError, match=message):
        GaussianMixtureClassifier(reg_covar=0).fit(frame.assign(twice=2 * frame["x0"]), np.array(["a", "b"])[LABELS])


def test_the_error_of_a_class_counts_the_rows_of_all_classes(rng):
    X, y = rng.normal(size=(60, 2)), np.repeat(["a", "b"], 30)
    X[[37, 45]] = [[1e12, 1e12], [2e12, 2e12]]
    with pytest.raises(
        ValueError, match=r"^Class 'b': .* Rows 37, 45 \(counted from 0\) are so far from all other rows"
    ):
        GaussianMixtureClassifier(1).fit(X, y)


def test_messages_about_a_class_count_the_rows_of_a_file(tmp_path, rng):
    X, y = rng.normal(size=(70_000, 2)), np.arange(70_000) % 2
    X[[31, 50_001]] = [[1e12, 1e12], [2e12, 2e12]]
    np.save(tmp_path / "X.npy", X)
    with pytest.raises(ValueError, match=r"^Class 1: .* Rows 31, 50001 \(counted from 0\) are so far"):
        GaussianMixtureClassifier(1).fit(gaussmix.open(tmp_path / "X.npy", memory=200_000), y)


def test_messages_about_a_class_keep_numbers_in_column_names(rng):
    table = pd.DataFrame({"the row 50": np.ones(60), "b": rng.normal(size=60)})
    with pytest.warns(RuntimeWarning, match=r"^Class [01]: Column 'the row 50' is constant"):
        GaussianMixtureClassifier(2).fit(table, np.arange(60) % 2)


def test_a_long_list_of_classes_is_shortened(rng):
    with pytest.warns(RuntimeWarning, match=r"^Class 0, class 1, .*, class 9 and 50 more rest on reg_covar"):
        GaussianMixtureClassifier().fit(rng.normal(size=(60, 2)), np.arange(60))


def test_a_class_of_one_row_warns_unless_covariances_are_shared():
    y = np.array([0] * 19 + [1])
    with pytest.warns(RuntimeWarning, match="Class 1 rests on reg_covar, because it has 1 distinct row for") as caught:
        GaussianMixtureClassifier().fit(ROWS, y)
    assert {warning.filename for warning in caught} == {__file__}
    assert GaussianMixtureClassifier(covariance_type="tied").fit(ROWS, y).class_prior_.tolist() == [0.95, 0.05]


@pytest.mark.parametrize(("options", "name"), [({}, "Class 'few'"), ({"n_components": 1}, "Class 'few': Component 0")])
def test_a_class_with_too_few_rows_is_reported(options, name, rng):
    X, y = rng.normal(size=(100, 8)), np.where(np.arange(100) < 93, "many", "few")
    with pytest.warns(ConvergenceWarning, match=f"{name} rests on reg_covar, because it has 7 distinct rows for 8 "):
        GaussianMixtureClassifier(**options, random_state=0).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        chosen = GaussianMixtureClassifier(reg_covar=1e-6).fit(X, np.where(np.arange(100) < 10, "-1", y))
    assert chosen.outcome_.on_ridge == [0]


def test_classes_whose_shared_covariance_rests_on_the_ridge_are_reported(rng):
    X, y = rng.normal(size=(60, 3)), np.arange(60) % 3
    X[:, 2] = y  # the column is constant in each class
    expected = r"Class 0, class 1, class 2 rest on reg_covar, because they have one value.* Leave out columns"
    with pytest.warns(RuntimeWarning, match=expected):
        GaussianMixtureClassifier(covariance_type="tied").fit(X, y)


def test_a_class_of_total_weight_0_is_reported():
    with pytest.raises(ValueError, match="No row of class 1 has a positive sample_weight"):
        GaussianMixtureClassifier().fit(ROWS, LABELS, sample_weight=1 - LABELS)


def test_class_mixture_rejects_an_unknown_class(classes):
    with pytest.raises(ValueError, match="'x' is not one of the classes 0, 1, 2"):
        GaussianMixtureClassifier().fit(*classes).class_mixture("x")
    with pytest.raises(ValueError, match=r"array\(\[0, 1\]\) is not one of the classes 0, 1, 2"):
        GaussianMixtureClassifier().fit(*classes).class_mixture(np.array([0, 1]))


@pytest.mark.parametrize("kind", [int, np.uint8, float, str, object])
def test_masked_labels_are_unknown(kind, classes, rng):
    X, y = classes
    is_masked = rng.random(len(X)) < 0.3
    names = np.ma.masked_array(np.unique(y, return_inverse=True)[1].astype(kind), is_masked)
    masked = GaussianMixtureClassifier(random_state=0).fit(X, names)
    plain = np.array(names.data, dtype=object)
    plain[is_masked] = None
    expected = GaussianMixtureClassifier(random_state=0).fit(X, plain)
    assert masked.classes_.tolist() == expected.classes_.tolist()
    assert masked.mixture_ == expected.mixture_
    assert masked.score(X, names) == expected.score(X, plain)


def test_y_may_be_the_name_of_a_data_frame_column(classes):
    X, y = classes
    names = np.array(["a", "b", None], dtype=object)[y]
    frame = pd.DataFrame(X).add_prefix("x").assign(kind=names)
    actual, expected = GaussianMixtureClassifier().fit(frame, "kind"), GaussianMixtureClassifier().fit(X, names)
    np.testing.assert_array_equal(actual.mixture_.means, expected.mixture_.means)
    assert actual.score(frame, "kind") == expected.score(X, names)
    assert "kind" not in actual.feature_names_in_
    unnamed = pd.DataFrame(X).assign(kind=names)
    assert GaussianMixtureClassifier().fit(unnamed, "kind").score(unnamed, "kind") == actual.score(frame, "kind")
