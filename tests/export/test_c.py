"""Tests that the exported C header compiles without warnings, and its functions give the results of gaussmix."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from gaussmix import GaussianMixtureDetector, Mixture
from gaussmix.export import to_c
from tests.export.conftest import fitted, mixture_of, rows_at

COMPILER = shutil.which("gcc") or shutil.which("cc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
STRICT = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
PROGRAM = """
#include "gmm.h"
double log_density(const double *x) { return gmm_log_density(x); }
double responsibilities(const double *x, double *out) { return gmm_responsibilities(x, out); }
int label(const double *x) { return gmm_label(x); }
"""


@pytest.fixture
def compiled(tmp_path):
    """Compile a header, and load its functions."""

    def load(header, more=""):
        assert "malloc" not in header
        (tmp_path / "gmm.h").write_text(header, encoding="utf-8")
        (tmp_path / "gmm.c").write_text(PROGRAM + more, encoding="utf-8")
        target = tmp_path / "gmm.so"
        subprocess.run([COMPILER, *STRICT, "-shared", "-fPIC", tmp_path / "gmm.c", "-o", target, "-lm"], check=True)
        library = ctypes.CDLL(str(target))
        library.log_density.restype = library.responsibilities.restype = ctypes.c_double
        return library

    return load


def pointer(values):
    return values.ctypes.data_as(ctypes.POINTER(ctypes.c_double))


@pytest.mark.heavy(n_default=2)
def test_exported_c_equals_the_mixture(case, compiled):
    model, rows = case
    mixture, library = mixture_of(model), compiled(to_c(model))
    rows, probabilities = np.ascontiguousarray(rows), np.empty((len(rows), mixture.n_components))
    found = [library.log_density(pointer(row)) for row in rows]
    np.testing.assert_allclose(found, mixture.log_density(rows), rtol=1e-12)
    again = [library.responsibilities(pointer(row), pointer(out)) for row, out in zip(rows, probabilities, strict=True)]
    assert again == found
    np.testing.assert_allclose(probabilities, mixture.responsibilities(rows), atol=1e-12)
    assert [library.label(pointer(row)) for row in rows] == mixture.predict(rows).tolist()


def test_exported_c_of_a_detector_flags_outliers(compiled, rng):
    rows = rng.normal(size=(200, 2))
    detector = GaussianMixtureDetector(1).fit(rows)
    library = compiled(to_c(detector), "int is_outlier(const double *x) { return gmm_is_outlier(x); }\n")
    found = np.array([library.is_outlier(pointer(row)) for row in rows])
    assert (found == (detector.predict(rows) == -1)).all()


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("kind", ["full", "diag", "noise", "detector"])
def test_exported_c_returns_nan_for_rows_with_nan(kind, compiled):
    model = fitted(kind, rows_at(0.0))
    more = "int is_outlier(const double *x) { return gmm_is_outlier(x); }\n" if kind == "detector" else ""
    library, probabilities = compiled(to_c(model), more), np.zeros(mixture_of(model).n_components)
    row = np.array([1.0, np.nan, 2.0])
    assert np.isnan(library.log_density(pointer(row)))
    assert np.isnan(library.responsibilities(pointer(row), pointer(probabilities)))
    assert np.isnan(probabilities).all()
    assert library.label(pointer(row)) == -2
    if kind == "detector":
        assert library.is_outlier(pointer(row)) == 0
        assert library.is_outlier(pointer(np.full(3, 1e200))) == 1


def test_exported_c_assigns_no_component_to_rows_of_density_0(compiled):
    model = fitted("full", rows_at(0.0))
    library, probabilities, row = compiled(to_c(model)), np.zeros(3), np.full(3, 1e200)
    assert library.responsibilities(pointer(row), pointer(probabilities)) == -np.inf
    assert np.isnan(probabilities).all()
    assert library.label(pointer(row)) == -2


def test_to_c_invents_names_for_unnamed_features():
    mixture = Mixture.from_parameters([1.0], [[0.0, 1.0]], [np.eye(2)])
    assert "2 features (x0, x1), written by gaussmix" in to_c(mixture)


def test_to_c_rejects_names_that_are_not_c_identifiers():
    mixture = Mixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    assert "gauss_label(const double *x)" in to_c(mixture, "gauss")
    with pytest.raises(ValueError, match="name='2d' must be a C identifier"):
        to_c(mixture, "2d")


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("standard", ["c99", "c11"])
@pytest.mark.parametrize(
    "name",
    [
        "a */ int evil; /*",
        "*\\\n/ int evil = 1; /*",
        "*\\\r\n/ int evil; /*",
        "*\\ \n/ int evil; /*",
        "*??/\n/ int evil; /*",
        "*??/",
        "/*",
        "\u202e\u2066 wells",
        "\\",
        "x" * 5000,
    ],
)
def test_feature_names_cannot_end_the_comment_of_the_header(name, standard, tmp_path):
    header = to_c(Mixture.from_parameters([1.0], [[0.0]], [[[1.0]]], feature_names=[name]))
    (tmp_path / "gmm.h").write_text(header, encoding="utf-8", newline="")
    (tmp_path / "gmm.c").write_text(PROGRAM, encoding="utf-8")
    flags = [f"-std={standard}", *STRICT[1:]]
    subprocess.run([COMPILER, *flags, "-c", tmp_path / "gmm.c", "-o", tmp_path / "gmm.o"], check=True)
    read = subprocess.run(
        [COMPILER, *flags, "-E", "-P", tmp_path / "gmm.c"], check=True, capture_output=True, text=True
    )
    assert "evil" not in read.stdout
    assert "??" not in header
    assert header.isascii()
