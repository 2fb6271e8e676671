"""Tests of `patch_sklearn` and `python -m gaussmix.patched`, which replace scikit-learn's classes by gaussmix's."""

import pickle
import subprocess
import sys

import pytest
import sklearn.mixture

import gaussmix

NAMES = ["GaussianMixture", "BayesianGaussianMixture"]
OURS = [getattr(gaussmix, name) for name in NAMES]
THEIRS = [getattr(sklearn.mixture, name) for name in NAMES]
SklearnMixture = THEIRS[0]  # patch_sklearn reports that this module still has scikit-learn's class

PROGRAM = """
import sys
from sklearn.mixture import GaussianMixture
print(__name__, __file__, sys.argv, sys.path[0], GaussianMixture.__module__.partition(".")[0], sep="|")
def finish(argument):
    if argument == "fail":
        raise ValueError(argument)
    sys.exit(int(argument))
finish(sys.argv[-1])
"""


def current_classes():
    return [getattr(sklearn.mixture, name) for name in NAMES]


def test_patch_sklearn_contexts_nest_and_end_after_an_error(capsys):
    with gaussmix.patch_sklearn() as outer:
        assert list(outer.replaced.values()) == THEIRS
        with pytest.raises(ZeroDivisionError), gaussmix.patch_sklearn(verbose=False):
            current_classes().index(1 / 0)
        assert current_classes() == OURS
    assert current_classes() == THEIRS
    messages = capsys.readouterr().err.splitlines()
    assert messages[0] == "gaussmix: sklearn.mixture.GaussianMixture is now gaussmix.GaussianMixture."
    assert __name__ in messages[2]
    with gaussmix.patch_sklearn(verbose=False), gaussmix.patch_sklearn(verbose=False):
        gaussmix.unpatch_sklearn()
        gaussmix.unpatch_sklearn()
        assert current_classes() == THEIRS
    assert current_classes() == THEIRS


def test_unpatch_sklearn_keeps_the_class_that_another_package_has_put_there():
    with gaussmix.patch_sklearn(verbose=False):
        sklearn.mixture.GaussianMixture = object
        gaussmix.unpatch_sklearn()
        assert current_classes() == [object, THEIRS[1]]


def test_patch_sklearn_keeps_the_class_of_existing_estimators(X):
    theirs = THEIRS[0](2, random_state=0).fit(X)
    before = pickle.dumps(theirs)
    with gaussmix.patch_sklearn(verbose=False):
        assert type(pickle.loads(before)) is type(pickle.loads(pickle.dumps(theirs))) is THEIRS[0]
        ours = sklearn.mixture.GaussianMixture.from_sklearn(theirs)
        assert type(pickle.loads(pickle.dumps(ours))) is OURS[0]
        assert type(ours.to_sklearn()) is THEIRS[0]


@pytest.mark.heavy
@pytest.mark.parametrize(("word", "code"), [("7", 7), ("0", 0), ("fail", 1)])
def test_python_m_gaussmix_patched_runs_a_script_as_python_does(word, code, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    runs = [
        subprocess.run([sys.executable, *more, "program.py", "-m", word], cwd=tmp_path, capture_output=True, text=True)
        for more in ([], ["-m", "gaussmix.patched"])
    ]
    assert [run.returncode for run in runs] == [code, code]
    assert runs[1].stdout == runs[0].stdout.replace("|sklearn\n", "|gaussmix\n")
    assert runs[1].stderr.splitlines()[2:] == runs[0].stderr.splitlines()
