"""Tests that model files restore models bit for bit, and damaged, foreign or inconsistent files are rejected."""

import json
import os
import pickle
import stat
import struct
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from common import mixture_and_details
from formats import make_format
from safetensors.numpy import save as save_tensors

from gaussmix import FAMILIES, InvalidModelFileError, Mixture
from gaussmix._src.formats import files, model_file
from gaussmix._src.formats.envelope import pack
from gaussmix._src.formats.record import Details, FitRecord

HERE = Path(__file__).parent
SAMPLES = sorted(HERE.glob("v*.gmm"))


def save(path, mixture, details=None):
    model_file.write(path, mixture._model, details)


def mixture_of(family, rng, n_components=3, n_features=4):
    """Return a random mixture of a structure: positive numbers, or A Aᵀ + I for matrices."""
    compact = rng.uniform(0.5, 2.0, family.shape(n_components, n_features))
    if compact.ndim >= 2 and family.kind.is_matrix:
        compact = compact @ compact.swapaxes(-1, -2) + np.eye(n_features)
    weights = rng.dirichlet(np.ones(n_components))
    return Mixture(weights, rng.normal(size=(n_components, n_features)), compact, family)


def same(one, other):
    return one.family == other.family and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("weights", "means", "covariances")
    )


@pytest.mark.parametrize("name", sorted(FAMILIES))
@pytest.mark.parametrize("n_features", [1, 4])
def test_mixtures_of_all_structures_are_restored_bit_for_bit(name, n_features, rng, tmp_path):
    mixture = mixture_of(FAMILIES[name], rng, n_features=n_features)
    record = FitRecord(7, 8.5, -3.25, 2, False, {"tol": 1e-3, "x": None})
    details = Details(tuple("abcd"[:n_features]), "float64", record)
    save(tmp_path / "m.gmm", mixture, details)
    loaded, loaded_details = mixture_and_details(tmp_path / "m.gmm")
    assert same(loaded, mixture)
    assert loaded_details == details


def test_extreme_parameters_are_restored_bit_for_bit(tmp_path):
    mixture = Mixture([0.0, 1.0], [[-0.0, 1.7e308], [5e-324, -1e-300]], [[1e-300, 1e300], [1.0, 2.0]], FAMILIES["diag"])
    save(tmp_path / "m.gmm", mixture)
    loaded, details = mixture_and_details(tmp_path / "m.gmm")
    assert same(loaded, mixture)
    assert np.signbit(loaded.means[0, 0])
    assert details.feature_names is None
    assert details.fit is None


def test_equal_models_give_equal_files(tmp_path, rng):
    mixture = mixture_of(FAMILIES["tied"], rng)
    for name in "ab":
        save(tmp_path / name, mixture, Details(("p", "q", "r", "s")))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_sample_files_of_all_layouts_can_be_loaded(path):
    mixture, details = mixture_and_details(path)
    assert same(mixture, make_format.MIXTURE)
    assert details == make_format.DETAILS


def test_the_sample_file_is_unchanged():
    """Check the digest of a file; changing this digest means changing files that users have."""
    digest = sha256((HERE / "v1.gmm").read_bytes()).hexdigest()
    assert digest == "2d0044c2cafc1103b249fe0f8ee916c31dcc9d48388a9c0558a78dd24e7af80f"


def header_of(path):
    """Read the JSON header with the standard library alone."""
    contents = path.read_bytes()
    (length,) = struct.unpack("<Q", contents[:8])
    return json.loads(json.loads(contents[8 : 8 + length])["__metadata__"]["gaussmix"])


def test_the_header_of_layout_1_is_written_unchanged(tmp_path):
    save(tmp_path / "m.gmm", make_format.MIXTURE, make_format.DETAILS)
    header = header_of(tmp_path / "m.gmm")
    assert header == header_of(HERE / "v1.gmm")
    assert (header["format"], header["version"]) == ("gaussmix-mixture", 1)
    assert header["feature_names"] == ["height", 'Größe, "cm"']


FOREIGN_FILES = {
    "empty": (b"", "it is empty"),
    "text": (b"eruptions,waiting\n3.6,79\n", "not have the format of gaussmix models"),
    "pickle": (pickle.dumps({"weights": [1.0]}, protocol=5), "it is a pickle; if you trust its author"),
    "zip": (b"PK\x03\x04" + bytes(30), "not have the format of gaussmix models"),
    "a header longer than the file": (struct.pack("<Q", 1 << 60) + b"{}", "damaged or truncated"),
    "safetensors of something else": (save_tensors({"w": np.ones(2)}), "but of other software"),
    "metadata of something else": (save_tensors({"w": np.ones(2)}, {"gaussmix": "[1]"}), "but of other software"),
    "metadata that is not JSON": (save_tensors({"w": np.ones(2)}, {"gaussmix": "{"}), "header is damaged"),
    "nesting without end": (save_tensors({"w": np.ones(2)}, {"gaussmix": "[" * 200_000}), "header is damaged"),
    "NaN": (save_tensors({"w": np.ones(2)}, {"gaussmix": '{"format":NaN}'}), "header is damaged"),
    "float32": (
        save_tensors({"w": np.ones(2, np.float32)}, {"gaussmix": '{"format":"gaussmix-mixture"}'}),
        "not of type float64",
    ),
}


@pytest.mark.parametrize("name", FOREIGN_FILES)
def test_foreign_files_are_rejected(name, tmp_path):
    contents, reason = FOREIGN_FILES[name]
    (tmp_path / "m.gmm").write_bytes(contents)
    with pytest.raises(InvalidModelFileError, match=reason):
        mixture_and_details(tmp_path / "m.gmm")


def test_loading_a_missing_file_raises_the_error_of_open(tmp_path):
    with pytest.raises(FileNotFoundError):
        mixture_and_details(tmp_path / "none.gmm")
    with pytest.raises(IsADirectoryError):
        mixture_and_details(tmp_path)


@pytest.mark.parametrize("path", ["s3://bucket/m.gmm", Path("s3://bucket/m.gmm")], ids=["text", "path"])
def test_models_are_not_saved_to_or_loaded_from_urls(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for use in (Mixture.from_parameters([1.0], [[0.0]], [[[1.0]]]).save, Mixture.load):
        with pytest.raises(FileNotFoundError, match=r"only tables can be read from URLs; give a local path: 's3:"):
            use(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_loading_a_named_pipe_raises_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "m.gmm")
    with pytest.raises(InvalidModelFileError, match="not a regular file"):
        mixture_and_details(tmp_path / "m.gmm")


HEADER = {
    "version": 1,
    "package_version": "0.1.0",
    "family": "full",
    "feature_names": ["a", "b"],
    "dtype": "float64",
    "fit": None,
}
FIT = asdict(FitRecord(9, 9.0, -1.0, 3, True, {}))
TENSORS = {"weights": np.array([0.5, 0.5]), "means": np.zeros((2, 2)), "covariances": np.array([np.eye(2)] * 2)}

# Invalid entries in a file with a valid checksum: changes of the header, changes of the tensors, error message.
INVALID_ENTRIES = {
    "later layout": ({"version": 2}, {}, "can't read layout version 2; a newer version may"),
    "no layout": ({"version": [1]}, {}, "layout version"),
    "unknown family": ({"family": "cubist"}, {}, "structure 'cubist' is not registered"),
    "family not a name": ({"family": 3}, {}, "'family' in the header"),
    "names not text": ({"feature_names": ["a", 2]}, {}, "name of a feature is not text"),
    "too few names": ({"feature_names": ["a"]}, {}, "names 1 feature, but its means have 2"),
    "dtype not text": ({"dtype": 8}, {}, "'dtype' in the header"),
    "fit without steps": ({"fit": {k: v for k, v in FIT.items() if k != "n_steps"}}, {}, "'n_steps' in the header"),
    "fit with a bool for a count": ({"fit": {**FIT, "n_rows": True}}, {}, "'n_rows' in the header"),
    "a nested setting": ({"fit": {**FIT, "settings": {"a": [1]}}}, {}, "setting in the header"),
    "a missing tensor": ({}, {"means": None}, "required arrays are missing"),
    "one tensor more": ({}, {"extra": np.ones(1)}, "there are unknown arrays"),
    "weights of another length": ({}, {"weights": np.ones(1)}, "do not match means"),
    "no components": ({}, {"weights": np.ones(0), "means": np.ones((0, 2))}, "do not match means"),
    "scalar weights": ({}, {"weights": np.array(1.0)}, "do not match means"),
    "covariances of another shape": ({}, {"covariances": np.eye(2)}, r"shape \(2, 2\), not \(2, 2, 2\)"),
    "singular": ({}, {"covariances": np.array([np.ones((2, 2)), np.eye(2)])}, "component 0 is not positive"),
}


@pytest.mark.parametrize("name", INVALID_ENTRIES)
def test_invalid_entries_raise_an_error_that_names_the_entry(name, tmp_path):
    header, tensors, reason = INVALID_ENTRIES[name]
    tensors = {key: value for key, value in {**TENSORS, **tensors}.items() if value is not None}
    (tmp_path / "m.gmm").write_bytes(pack({**HEADER, **header}, tensors))
    with pytest.raises(InvalidModelFileError, match=reason):
        mixture_and_details(tmp_path / "m.gmm")


def test_valid_files_load_and_unknown_keys_are_ignored(tmp_path):
    (tmp_path / "m.gmm").write_bytes(pack({**HEADER, "fit": FIT, "colour": "blue"}, TENSORS))
    mixture, details = mixture_and_details(tmp_path / "m.gmm")
    assert mixture.n_components == 2
    assert details.fit == FitRecord(**FIT)


def test_saving_an_invalid_mixture_raises_and_writes_no_file(tmp_path):
    good = Mixture(*TENSORS.values(), FAMILIES["full"])
    with pytest.raises(ValueError, match="can't be saved: the covariance of components 0, 1 is not positive definite"):
        save(tmp_path / "m.gmm", replace(good, covariances=0 * good.covariances))
    with pytest.raises(ValueError, match="can't be saved: it names 1 feature"):
        save(tmp_path / "m.gmm", good, Details(("a",)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "absent/", "absent/m.gmm", "file/m.gmm", "m" * 300])
def test_saving_to_an_invalid_path_raises_the_same_error_as_open(name, tmp_path, monkeypatch):
    """Check that the error is the one that `open` raises, and that nothing is written elsewhere."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("file").touch()
    with pytest.raises(OSError, match="Errno") as expected, open(name, "wb"):
        pass
    with pytest.raises(expected.type) as found:
        save(name, Mixture(*TENSORS.values(), FAMILIES["full"]))
    assert (found.value.errno, str(found.value)) == (expected.value.errno, str(expected.value))
    assert [*tmp_path.iterdir(), *folder.iterdir()] == [folder, folder / "file"]


def test_whole_file_replaces_a_file_completely_or_not_at_all(tmp_path):
    path = tmp_path / "m.gmm"
    path.write_bytes(b"before")

    def fail():
        with files.whole_file(path) as file:
            file.write(b"half")
            assert path.read_bytes() == b"before"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.gmm"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
def test_a_full_disk_raises_an_error_that_names_the_target(tmp_path):
    def fail():
        with open("/dev/full", "wb") as full, files.whole_file(tmp_path / "m.gmm") as file:
            os.dup2(full.fileno(), file.fileno())
            file.write(b"rows")

    with pytest.raises(OSError, match="No space left") as caught:
        fail()
    assert caught.value.filename == str(tmp_path / "m.gmm")
    assert not list(tmp_path.iterdir())


def test_replacing_a_file_preserves_permissions_and_follows_links(tmp_path):
    path, link = tmp_path / "m.gmm", tmp_path / "link.gmm"
    path.write_bytes(b"before")
    path.chmod(0o640)
    link.symlink_to(path)
    with files.whole_file(link) as file:
        file.write(b"after")
    assert link.is_symlink()
    assert path.read_bytes() == b"after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_writing_to_a_device_file_does_not_replace_it():
    before = os.stat(os.devnull)
    with files.whole_file(os.devnull) as file:
        file.write(b"gone")
    assert os.stat(os.devnull).st_ino == before.st_ino
