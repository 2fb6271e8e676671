"""Tests of `save` and `load` of estimators: the loaded estimator equals the saved one."""

import io
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import gaussmix
from gaussmix import (
    FAMILIES,
    GaussianMixture,
    GaussianMixtureDetector,
    GaussianMixtureIC,
    InvalidModelFileError,
    Mixture,
)
from gaussmix._src.estimators.base import make_details
from gaussmix._src.formats import model_file
from gaussmix._src.formats.envelope import pack, unpack

ATTRIBUTES = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "n_features_in_"]
RESULTS = ["converged_", "n_iter_", "lower_bound_", "lower_bounds_"]


def save_and_load(estimator, path):
    estimator.save(path)
    return type(estimator).load(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_loaded_estimator_equals_the_saved_one(name, dtype, rng, tmp_path):
    rows = rng.normal(size=(80, 3)).astype(dtype)
    estimator = GaussianMixture(2, covariance_type=name, random_state=4, tol=0.1, reg_covar=1e-5).fit(rows)
    again = save_and_load(estimator, tmp_path / "m.gmm")
    assert again.get_params() == estimator.get_params()
    for attribute in ATTRIBUTES:
        value = getattr(estimator, attribute)
        assert np.array_equal(getattr(again, attribute), value)
        assert np.asarray(getattr(again, attribute)).dtype == np.asarray(value).dtype
    for attribute in RESULTS:
        assert getattr(again, attribute) == getattr(estimator, attribute)
        assert type(getattr(again, attribute)) is type(getattr(estimator, attribute))
    for method in ("predict", "predict_proba", "score_samples", "score", "bic"):
        assert np.array_equal(getattr(again, method)(rows), getattr(estimator, method)(rows))
    assert np.array_equal(again.sample(5)[0], estimator.sample(5)[0])


def test_a_loaded_estimator_checks_feature_names(rng, tmp_path):
    frame = pd.DataFrame(rng.normal(size=(50, 2)), columns=["height", "weight"])
    again = save_and_load(GaussianMixture(1).fit(frame), tmp_path / "m.gmm")
    assert list(again.feature_names_in_) == ["height", "weight"]
    assert again.feature_names_in_.dtype == object
    with pytest.raises(ValueError, match="feature names should match"):
        again.predict(frame.rename(columns={"height": "length"}))


PARAMETERS = {
    "labels": {"init_params": np.arange(40) % 2},
    "responsibilities": {"init_params": np.full((40, 2), 0.5) + np.array([[0.25, -0.25]] * 20 + [[-0.25, 0.25]] * 20)},
    "starts": {"weights_init": [0.25, 0.75], "means_init": np.array([[0.0, 1 / 3], [1.0, 1.0]])},
    "nested lists": {"means_init": [[0.0, 1.0], [2.0, 3.0]]},
    "nested tuples": {"means_init": ((0.0, 1.0), (2.0, 3.0))},
    "arrays in a list": {"means_init": [np.array([0.0, 1.0]), np.array([2.0, 3.0])]},
    "covariances": {"covariances_init": np.array([np.eye(2), 2 * np.eye(2)])},
    "numpy numbers": {"tol": np.float64(1e-4), "max_iter": np.int64(5_000), "warm_start": np.True_},
    "generator": {"random_state": np.random.RandomState(7)},
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_all_types_are_restored(name, rng, tmp_path):
    rows = rng.normal(size=(40, 2))
    estimator = GaussianMixture(2, **PARAMETERS[name]).fit(rows)
    again = save_and_load(estimator, tmp_path / "m.gmm")
    for key in PARAMETERS[name]:
        restored, saved = getattr(again, key), getattr(estimator, key)
        if key == "random_state":
            assert np.array_equal(restored.random_sample(5), saved.random_sample(5))
        else:
            assert np.array_equal(restored, saved)
            assert np.asarray(restored).dtype == np.asarray(saved).dtype
            assert type(saved) not in (list, tuple) or repr(restored) == repr(saved)
    clone(again).fit(rows)


def test_a_fit_without_steps_is_restored(rng, tmp_path):
    rows = rng.normal(size=(40, 2))
    again = save_and_load(GaussianMixture(2, max_iter=0).fit(rows), tmp_path / "m.gmm")
    assert (again.lower_bound_, again.lower_bounds_, again.n_iter_) == (-math.inf, [], 0)


def test_warm_start_resumes_a_loaded_fit(rng, tmp_path):
    rows = rng.normal(size=(200, 2))
    estimator = GaussianMixture(3, max_iter=2, tol=0, warm_start=True, random_state=0)
    with pytest.warns(ConvergenceWarning):
        estimator.fit(rows)
    again = save_and_load(estimator, tmp_path / "m.gmm")
    with pytest.warns(ConvergenceWarning):
        again.fit(rows)
    with pytest.warns(ConvergenceWarning):
        estimator.fit(rows)
    assert np.array_equal(again.means_, estimator.means_)


@pytest.mark.parametrize("value", [lambda rows, k, rng: np.arange(len(rows)) % k, {"a": 1}], ids=["function", "dict"])
def test_saving_unsupported_parameters_raises_and_writes_no_file(value, rng, tmp_path):
    estimator = GaussianMixture(2).fit(rng.normal(size=(40, 2))).set_params(init_params=value)
    with pytest.raises(ValueError, match=r"GaussianMixture: init_params is .* which can.t be saved"):
        estimator.save(tmp_path / "m.gmm")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "value",
    [range(1, 4), range(7, 1, -2), range(3, 4), [1, 2, 3], (1, 2), np.array([2, 1]), 3],
    ids=repr,
)
def test_parameters_of_a_model_selection_are_restored(value, rng, tmp_path):
    names = ("full", "diag") if isinstance(value, tuple) else ["full", "diag"]
    chosen = GaussianMixtureIC(value, covariance_type=names, tol=0.1).fit(rng.normal(size=(40, 2)))
    again = save_and_load(chosen, tmp_path / "m.gmm")
    assert type(again.n_components) is type(value)
    assert np.array_equal(again.n_components, value)
    assert again.covariance_type == names


@pytest.mark.parametrize("first", ["a", 1, 1.0, np.float64(1.0), np.int32(1)], ids=repr)
def test_keys_of_label_components_are_restored(first, rng, tmp_path):
    rows, known = rng.normal(size=(40, 2)), {first: [0], 2: (1,)}
    fitted = GaussianMixture(2, label_components=known, random_state=0).fit(rows, labels=[first, 2, *[None] * 38])
    again = save_and_load(fitted, tmp_path / "m.gmm")
    assert again.label_components == {first: [0], 2: [1]}
    assert again.fit(rows, labels=[first, 2, *[None] * 38]).mixture_ == fitted.mixture_


@pytest.mark.parametrize("key", [True, (1, 2), 1.5], ids=repr)
def test_saving_label_keys_that_would_become_text_raises(key, rng, tmp_path):
    estimator = GaussianMixture(2).fit(rng.normal(size=(40, 2))).set_params(label_components={key: [0]})
    with pytest.raises(ValueError, match=f"label_components has the key {re.escape(repr(key))}"):
        estimator.save(tmp_path / "m.gmm")
    assert list(tmp_path.iterdir()) == []


def test_an_estimator_with_an_assigned_mixture_can_be_saved(rng, tmp_path):
    rows = rng.normal(size=(40, 2))
    mixture = GaussianMixture(2).fit(rows).mixture_
    by_hand = GaussianMixture(2)
    by_hand.mixture_ = mixture
    again = save_and_load(by_hand, tmp_path / "m.gmm")
    assert np.array_equal(again.means_, by_hand.means_)
    assert np.array_equal(again.score_samples(rows), mixture.log_density(rows))
    for predictor in (
        GaussianMixtureDetector(),
        gaussmix.GaussianMixtureRegressor(),
        gaussmix.GaussianMixtureClassifier(),
    ):
        with pytest.raises(AttributeError, match="mixture_"):  # other estimators cannot predict
            predictor.mixture_ = mixture


@pytest.mark.parametrize("entry", ["bic", "icl", "log_likelihood", "structure", "failure", "all", "bic_", "name"])
def test_headers_with_missing_entries_are_rejected(entry, rng):
    rows, file, message = rng.normal(size=(60, 2)), io.BytesIO(), "'results_' is not a table"
    model = (
        gaussmix.GaussianMixtureClassifier() if entry in ("bic_", "name") else GaussianMixtureIC([1, 2], random_state=0)
    )
    model.fit(rows, np.arange(60) % 2).save(file)
    header, tensors = unpack(io.BytesIO(file.getvalue()))
    if entry == "bic_":
        del header["estimator"]["attributes"]["bic_"]
        message = "it lacks 'bic_'"
    elif entry == "name":
        header["estimator"]["name"] = ""
        message = "estimator.s name is not the name of a class"
    else:
        table = header["estimator"]["attributes"]["results_"]["table"]
        table[:] = [] if entry == "all" else [each for each in table if each[0] != entry]
    with pytest.raises(InvalidModelFileError, match=message):
        type(model).load(io.BytesIO(pack(header, tensors)))


@pytest.mark.parametrize(
    "path", [b"m.gmm", None, 3, 1.5, True, ["m.gmm"], io.StringIO()], ids=lambda value: type(value).__name__
)
def test_save_and_load_reject_arguments_that_are_not_paths(path, rng):
    estimator = GaussianMixture().fit(rng.normal(size=(40, 2)))
    for write in (estimator.save, estimator.mixture_.save):
        with pytest.raises(TypeError, match=r"^Pass a path as str or pathlib\.Path, or a binary file to write, not "):
            write(path)
    for read in (GaussianMixture.load, Mixture.load, gaussmix.load):
        with pytest.raises(TypeError, match=r"^Pass a path as str or pathlib\.Path, or a binary file to read, not "):
            read(path)


def test_loading_a_mixture_as_an_estimator_raises(rng, tmp_path):
    GaussianMixture(2).fit(rng.normal(size=(40, 2))).mixture_.save(tmp_path / "m.gmm")
    with pytest.raises(ValueError, match=r"m\.gmm contains a mixture, not an estimator: read it with Mixture\.load"):
        GaussianMixture.load(tmp_path / "m.gmm")


class Other(GaussianMixture):
    """A subclass of the estimator with another name."""


def test_loading_an_estimator_of_another_class_raises(rng, tmp_path):
    again = save_and_load(Other(2).fit(rng.normal(size=(40, 2))), tmp_path / "m.gmm")
    assert type(again) is Other
    with pytest.raises(ValueError, match="contains a fitted Other, not a GaussianMixture"):
        GaussianMixture.load(tmp_path / "m.gmm")


def test_load_returns_an_object_of_the_saved_type(rng, tmp_path):
    rows = rng.normal(size=(60, 2))
    search = GaussianMixtureIC([1, 2]).fit(rows)
    many = gaussmix.fit_many({"a": rows[:30], "b": rows[30:]}, random_state=0)
    path = tmp_path / "m.gmm"
    models = [GaussianMixtureDetector().fit(rows), search, search.mixture_, many]
    for model in models:
        model.save(path)
        again = gaussmix.load(path)
        assert type(again) is type(model)
        assert type(gaussmix.load(io.BytesIO(path.read_bytes()))) is type(model)
    assert again.keys == many.keys


def test_load_rejects_foreign_classes_and_damaged_files(rng, tmp_path):
    path = tmp_path / "m.gmm"
    other = Other(2).fit(rng.normal(size=(40, 2)))
    other.save(path)
    with pytest.raises(ValueError, match=r"m\.gmm contains a fitted Other, not a class of gaussmix. Use Other\.load"):
        gaussmix.load(path)
    details = make_details(other)  # Noise is a public class, but not an estimator
    details = replace(details, estimator=replace(details.estimator, name="Noise"))
    model_file.write(path, other.mixture_._model, details)
    with pytest.raises(ValueError, match="contains a fitted Noise, not a class of gaussmix"):
        gaussmix.load(path)
    path.write_bytes(b"nothing")
    for file in (path, io.BytesIO(b"nothing")):
        with pytest.raises(InvalidModelFileError, match="is not a usable gaussmix model"):
            gaussmix.load(file)


def loaded_with(details, mixture):
    """Write a model file with the details, and return the loaded estimator."""
    file = io.BytesIO()
    model_file.write(file, mixture._model, details)
    return GaussianMixture.load(io.BytesIO(file.getvalue()))


# Invalid entries about an estimator in a file with a valid checksum: part of the header, changes, error message.
OUTCOME = {
    "reason": ["settled"],
    "is_maximum": [True],
    "remaining_gain": [0.0],
    "label_change_fraction": [0.0],
    "rate": [0.5],
    "n_starts": [1],
    "n_starts_at_best": [1],
}
INVALID_ENTRIES = {
    "a later parameter": ("parameters", {"colour": "blue"}, "no parameter 'colour'; a newer version may have it"),
    "no value": ("parameters", {"tol": {"numpy": "tol"}}, "'tol' in the header is not a value"),
    "a list": ("parameters", {"tol": [1]}, "'tol' in the header is not a value"),
    "a type that runs code": ("parameters", {"means_init": {"array": [1], "dtype": "object"}}, "is not a value"),
    "a ragged array": ("parameters", {"means_init": {"array": [[1], [2, 3]], "dtype": "float64"}}, "is not a value"),
    "an unknown type": ("parameters", {"means_init": {"array": [1], "dtype": "cubist"}}, "is not a value"),
    "a short generator": ("parameters", {"random_state": {"RandomState": [[1], 2, 0, 0.0]}}, "'random_state' in the"),
    "a generator out of bounds": (
        "parameters",
        {"random_state": {"RandomState": [[1] * 624, 10**6, 0, 0.0]}},
        "is not a value that gaussmix writes",
    ),
    "steps that are text": ("attributes", {"n_iter_": "3"}, "'n_iter_' in the header has the wrong type"),
    "steps that are a truth": ("attributes", {"n_iter_": True}, "'n_iter_' in the header has the wrong type"),
    "more starts than a double holds": (
        "attributes",
        {"_outcome_table": {"table": [*(OUTCOME | {"n_starts": [10**400]}).items()]}},
        "'_outcome_table' in the header has the wrong type",
    ),
    "bounds that are none": ("attributes", {"lower_bounds_": 3.0}, "'lower_bounds_' in the header has the wrong type"),
}


@pytest.mark.parametrize("name", INVALID_ENTRIES)
def test_invalid_estimator_entries_raise_an_error_that_names_the_entry(name, rng):
    part, changes, message = INVALID_ENTRIES[name]
    estimator = GaussianMixture(2).fit(rng.normal(size=(40, 2)))
    details = make_details(estimator)
    values = {**getattr(details.estimator, part), **changes}
    details = replace(details, estimator=replace(details.estimator, **{part: values}))
    with pytest.raises(InvalidModelFileError, match=message):
        loaded_with(details, estimator.mixture_)


def test_unknown_attributes_are_ignored(rng):
    estimator = GaussianMixture(2).fit(rng.normal(size=(40, 2)))
    details = make_details(estimator)
    more = {**details.estimator.attributes, "predict": 1, "colour_": 2}
    details = replace(details, estimator=replace(details.estimator, attributes=more))
    again = loaded_with(details, estimator.mixture_)
    assert callable(again.predict)
    assert not hasattr(again, "colour_")


def test_an_unsupported_dtype_of_the_training_data_raises(rng):
    estimator = GaussianMixture(2).fit(rng.normal(size=(40, 2)))
    with pytest.raises(InvalidModelFileError, match="the training data have type 'int8'"):
        loaded_with(replace(make_details(estimator), dtype="int8"), estimator.mixture_)


VALID_DICTIONARY = {
    "format": "gaussmix-mixture",
    "version": 1,
    "family": "spherical",
    "weights": [0.5, 0.5],
    "means": [[0, 1], [2, 3]],
    "covariances": [1, 2],
}
INVALID_CHANGES = {
    "another format": ({"format": "x"}, "its 'format' is not 'gaussmix-mixture'"),
    "a later version": ({"version": 2}, "its 'version' is not 1"),
    "an unknown family": ({"family": "cubist"}, "its 'family' is not one of 'full'|'diag'"),
    "a family that is no name": ({"family": ["full"]}, "its 'family' is not one of"),
    "the alias of a family": ({"family": "VVV"}, "its 'family' is not one of"),
    "truth values": ({"weights": [True, False]}, "its 'weights' must be an array"),
    "no weights": ({"weights": None}, "its 'weights' must be an array"),
    "numbers as text": ({"weights": ["0.5", "0.5"]}, "its 'weights' must be an array"),
    "ragged means": ({"means": [[0], [1, 2]]}, "its 'means' must be an array"),
    "a table as noise": ({"noise": [[0.1], [2.0]]}, "'noise' must be two numbers"),
    "a negative variance": ({"covariances": [1, -2]}, "component 1 is not positive definite"),
}


@pytest.mark.parametrize("name", INVALID_CHANGES)
def test_from_dict_rejects_invalid_dictionaries(name):
    assert Mixture.from_dict(VALID_DICTIONARY).means.dtype == np.float64
    changes, message = INVALID_CHANGES[name]
    with pytest.raises(ValueError, match=message):
        Mixture.from_dict({**VALID_DICTIONARY, **changes})


def test_to_dict_rejects_an_invalid_mixture():
    with pytest.raises(ValueError, match="can't be saved: the covariance of component 1 is not positive"):
        Mixture([0.5, 0.5], [[0.0], [1.0]], [1.0, 0.0], FAMILIES["spherical"]).to_dict()
