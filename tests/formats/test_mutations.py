"""Tests that truncated or changed files load unchanged or raise an error of one sentence."""

import copy
import io
import json
from functools import reduce
from operator import getitem
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureClassifier, GaussianMixtureIC, InvalidModelFileError, Mixture
from gaussmix._src.formats import model_file
from gaussmix._src.formats.envelope import pack, unpack

N_CHANGES = 500
SAMPLE = (Path(__file__).parent / "v1.gmm").read_bytes()


@pytest.fixture(params=[1, pytest.param(4, marks=pytest.mark.heavy)])
def times(request):
    """Return the factor on the number of changes."""
    return request.param


def estimator_file():
    """Return a small file that also contains an estimator with every type of parameter."""
    rows = np.random.default_rng(0).normal(size=(30, 2))
    estimator = GaussianMixture(2, means_init=[[0.0, 0.0], [1.0, 1.0]], random_state=3, covariance_type="diag")
    file = io.BytesIO()
    estimator.fit(rows).save(file)
    return file.getvalue()


def read_contents(contents):
    model, record = model_file.read(io.BytesIO(contents))
    arrays = model.weights, model.means, model.covariances.array
    return [array.tobytes() for array in arrays], model.family.name, record.details


@pytest.mark.parametrize("name", ["sample", "estimator"])
def test_a_changed_byte_a_truncation_or_an_extension_is_detected(name, times, rng):
    contents = SAMPLE if name == "sample" else estimator_file()
    original, messages = read_contents(contents), set()
    changes = [contents[:length] for length in range(len(contents))] + [contents + b"\0"]
    for index in np.tile(np.arange(len(contents)), times):
        changed = bytearray(contents)
        changed[index] ^= int(rng.integers(1, 256))
        changes.append(bytes(changed))
    for changed in changes:
        try:
            assert read_contents(changed) == original
        except InvalidModelFileError as error:
            messages.add(str(error))
        else:
            assert len(changed) == len(contents)
    assert all(text.startswith("the file is not a usable gaussmix model: ") and text.endswith(".") for text in messages)
    assert len(messages) >= 4, "the changed files fail fewer than four checks"


def test_the_unchanged_estimator_file_is_valid():
    """Check that the file is valid, because otherwise changed files would be rejected for another reason."""
    assert GaussianMixture.load(io.BytesIO(estimator_file())).n_iter_ > 0
    assert Mixture.load(io.BytesIO(estimator_file())).n_components == 2


VALUES = [None, True, -1, 3, 10**400, 1e308, "", "full", "float32", "x" * 300, [], [[1], [1, 2]], {}, {"float": "nan"}]


def paths_in(value, path=()):
    """Yield the path of each key and index in nested objects and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from paths_in(inner, (*path, key))


def changed_header(header, replacements, removal_probability, rng):
    """Return the header with one entry replaced or removed."""
    changed, paths = copy.deepcopy(header), list(paths_in(header))
    *path, key = paths[rng.integers(len(paths))]
    inner = reduce(getitem, path, changed)
    inner[key] = copy.deepcopy(replacements[rng.integers(len(replacements))])
    if rng.random() < removal_probability:
        del inner[key]
    return changed


ESTIMATORS = {
    "GaussianMixture": lambda X: GaussianMixture(3, covariance_type="factor_analyzer", random_state=0).fit(X),
    "GaussianMixtureIC": lambda X: GaussianMixtureIC([1, 2], covariance_type=["full", "diag"], random_state=0).fit(X),
    "GaussianMixtureDetector": lambda X: gaussmix.GaussianMixtureDetector(2, random_state=0).fit(X),
    "GaussianMixtureImputer": lambda X: gaussmix.GaussianMixtureImputer(2, random_state=0).fit(X),
    "GaussianMixtureRegressor": lambda X: gaussmix.GaussianMixtureRegressor(2, targets=[2, 0], random_state=0).fit(X),
    "GaussianMixtureClassifier": lambda X: GaussianMixtureClassifier(2, random_state=0).fit(X, np.arange(len(X)) % 3),
}
ENTRIES = [
    {"array": [7, -1], "dtype": "int64"},
    {"array": [0, 0, 1, 1, 2, 2], "dtype": "int64"},
    {"array": [1, 0, 2, 0, 1, 2], "dtype": "int64"},
    {"range": [0, 10**18, 1]},
    {"range": [1, 5, 0]},
    {"tuple": [[1]]},
    {"array": [1], "dtype": "(3,"},
    {"table": [["a", [1]], ["b", []]]},
    {"table": None},
    {"list": ["a"]},
    {"float": "inf"},
    {"RandomState": []},
    ["a", "a", "b"],
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_inconsistent_headers_with_a_valid_checksum_are_rejected_or_usable(name, times, rng):
    """Check that loaded models can be used, although invalid parameters may raise errors only when they are used."""
    rows = rng.normal(size=(60, 3))
    fitted, file = ESTIMATORS[name](pd.DataFrame(rows, columns=["a", "b", "c"])), io.BytesIO()
    fitted.save(file)
    header, tensors = unpack(io.BytesIO(file.getvalue()))
    n_loaded, messages = 0, set()
    for _ in range(times * N_CHANGES // 5):
        contents = io.BytesIO(pack(changed_header(header, VALUES + ENTRIES, 0.1, rng), tensors))
        try:
            estimator = type(fitted).load(contents)
        except ValueError as error:
            messages.add(str(error) if isinstance(error, InvalidModelFileError) or "contains" in str(error) else "\n")
            continue
        n_loaded += 1
        assert np.isfinite(estimator.mixture_.log_density(estimator.mixture_.means)).all()
        for method in ("predict", "transform", "score_samples", "predict_proba"):
            try:
                getattr(estimator, method, lambda rows: None)(rows[:4, : estimator.n_features_in_])
            except (TypeError, ValueError) as error:
                messages.add(str(error))
        for method in ("summary", "glance", "tidy"):
            try:
                str(getattr(estimator, method, lambda: None)())
            except (TypeError, ValueError) as error:
                messages.add(str(error))
        if name == "GaussianMixture":
            estimator.set_params(**GaussianMixture(3, warm_start=True).get_params()).fit(rows)
        estimator._repr_html_()
    assert 0 < n_loaded < times * N_CHANGES // 5
    assert not any("\n" in message for message in messages)


def test_changed_parameters_with_a_valid_checksum_are_rejected_or_usable(times, rng):
    header, tensors = unpack(io.BytesIO(SAMPLE))
    loaded = 0
    for _ in range(times * N_CHANGES):
        changed = {name: tensor.copy() for name, tensor in tensors.items()}
        name = list(changed)[rng.integers(3)]
        bits = changed[name].reshape(-1).view(np.uint64)
        bits[rng.integers(bits.size)] ^= np.uint64(1) << np.uint64(rng.integers(64))
        if rng.random() < 0.1:
            changed[name] = changed[name].reshape(-1)[: rng.integers(4)]
        try:
            mixture = Mixture.load(io.BytesIO(pack(header, changed)))
        except InvalidModelFileError:
            continue
        loaded += 1
        assert not np.isnan(mixture.log_density(mixture.means)).any()
    assert 0 < loaded < times * N_CHANGES


@pytest.mark.parametrize("weight", [-5.5, 0.0])
def test_a_total_weight_that_is_not_positive_is_rejected(weight):
    header, tensors = unpack(io.BytesIO(estimator_file()))
    columns = dict(header["estimator"]["attributes"]["_row_summary_table"]["table"])
    columns["row_weight"][0] = weight
    with pytest.raises(InvalidModelFileError, match="'_row_summary_table' in the header has the wrong type"):
        GaussianMixture.load(io.BytesIO(pack(header, tensors)))


def test_an_array_shape_beyond_all_memory_is_rejected():
    """Check the shape 0 × 2**63, which safetensors accepts."""
    contents = SAMPLE
    length = int.from_bytes(contents[:8], "little")
    header = json.loads(contents[8 : 8 + length])
    header["extra"] = {"dtype": "F64", "shape": [0, 2**63], "data_offsets": [0, 0]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with pytest.raises(InvalidModelFileError):
        model_file.read(io.BytesIO(len(text).to_bytes(8, "little") + text + contents[8 + length :]))
