"""Features are selected by index or by name, and all operations on a mixture keep the names."""

import numpy as np
import pytest

from gaussmix import FAMILIES, GaussianMixture, Mixture

NAMES = ("height", "weight", "age")


@pytest.fixture
def named():
    return Mixture([1.0], [[2.0, 5.0, 7.0]], [[1.0, 4.0, 9.0]], FAMILIES["diag"], NAMES)


def test_features_are_selected_by_index_or_name(named):
    for features, indices in [("age", [2]), (-1, [2]), (["weight", 0], [1, 0]), (np.array([2, 0]), [2, 0]), ([], [])]:
        np.testing.assert_array_equal(named._feature_indices(features), indices)


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        ("wieght", ValueError, "Did you mean 'weight'"),
        (["age", 2], ValueError, "Feature 'age' occurs twice"),
        (3, ValueError, "no feature 3: the mixture has features 0 to 2"),
        (-4, ValueError, "no feature -4"),
        (1.0, TypeError, "an index or a name, not 1.0"),
        (slice(2), TypeError, r"an index or a name, not slice\(None, 2, None\)"),
        ({"age"}, TypeError, r"an index or a name, not \{'age'\}"),
        ([True], TypeError, "an index or a name, not True"),
    ],
)
def test_an_unknown_feature_is_rejected(named, features, error, message):
    with pytest.raises(error, match=message):
        named._feature_indices(features)


def test_an_ambiguous_feature_name_is_rejected(named):
    twice = named.with_feature_names(["a", "a", "b"])
    assert twice._feature_indices("b") == [2]
    with pytest.raises(ValueError, match="2 features are called 'a': pass an index"):
        twice._feature_indices("a")
    with pytest.raises(ValueError, match="'a' is a name, but the features of this mixture have no names"):
        named.with_feature_names(None)._feature_indices("a")


@pytest.mark.parametrize(("names", "error"), [(("a", "b"), ValueError), (("a", "b", 3), TypeError)])
def test_invalid_feature_names_are_rejected(named, names, error):
    with pytest.raises(error, match="feature_names"):
        named.with_feature_names(names)
    with pytest.raises(ValueError, match="Not a valid mixture: feature_names"):
        Mixture.from_dict(named.to_dict() | {"feature_names": list(names)})


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize(
    "call",
    [
        lambda m, rows: m.log_density(rows),
        lambda m, rows: m.gradient(rows),
        lambda m, rows: m.cdf(rows),
        lambda m, rows: m.probability(rows, np.inf),
        lambda m, rows: m.conditional_mean(rows[rows.columns[:2]], ["height", "weight"]),
        lambda m, rows: m.transform(rows).means,
        lambda m, rows: (
            Mixture.from_parameters([1.0], rows, [1.0], covariance_type="spherical", feature_names=NAMES).means
        ),
    ],
    ids=["log_density", "gradient", "cdf", "probability", "conditional_mean", "transform", "from_parameters"],
)
def test_data_frame_columns_must_be_in_the_order_of_the_features(call, library, named):
    rows = np.array([[1.0, 2.0, 3.0]])
    frame = pytest.importorskip(library).DataFrame({name: rows[:, index] for index, name in enumerate(NAMES)})
    expected = call(named.with_feature_names(["height", "weight", "else"]), frame)
    np.testing.assert_array_equal(call(named, frame), expected)
    with pytest.raises(ValueError, match=r"has 'weight' in column 0, but the columns must be \['height', "):
        call(named, frame[["weight", "height", "age"]])
    with pytest.raises(ValueError, match="X_known has 'weight' in column 1, but the columns must be"):
        named.conditional_mean(frame[["height", "weight"]], known=["height", "age"])


def test_labels_of_a_series_and_a_covariance_must_be_in_the_order_of_the_features(named):
    pandas = pytest.importorskip("pandas")
    variances = pandas.Series([1.0, 4.0, 9.0], NAMES)
    covariance = pandas.DataFrame(np.diag(variances), NAMES, NAMES)
    assert named.convolve(variances) == named.convolve(variances.to_numpy())
    assert named.convolve(covariance) == named.convolve(covariance.to_numpy())
    np.testing.assert_array_equal(named.moments(2, variances), named.moments(2, variances.to_numpy()))
    calls = [
        lambda order: named.convolve(variances[order]),
        lambda order: named.convolve(covariance.loc[order, order]),
        lambda order: named.moments(2, variances[order]),
        lambda order: Mixture.from_parameters(
            [1.0], [variances], covariance.loc[order, order], covariance_type="tied", feature_names=NAMES
        ),
    ]
    for call in calls:
        call([*NAMES])
        with pytest.raises(ValueError, match=r"has 'weight' in column 0, but the columns must be \['height', "):
            call(["weight", "height", "age"])


def test_an_estimator_passes_feature_names_to_its_mixture(rng):
    pandas = pytest.importorskip("pandas")
    rows = rng.normal(size=(50, 3))
    gm = GaussianMixture(2, random_state=0).fit(pandas.DataFrame(rows, columns=NAMES))
    assert gm.mixture_.feature_names == NAMES
    assert gm.fit(rows).mixture_.feature_names is None
