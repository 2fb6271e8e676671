"""gaussmix's classes in place of scikit-learn's, and programs that run unchanged with them."""

import pickle
import subprocess
import sys

import pytest
import sklearn.mixture

import gaussmix

NAMES = ["GaussianMixture", "BayesianGaussianMixture"]
OURS = [getattr(gaussmix, name) for name in NAMES]
THEIRS = [getattr(sklearn.mixture, name) for name in NAMES]
Kept = THEIRS[0]  # a name in this module, which patch_sklearn reports

PROGRAM = """
import sys
from sklearn.mixture import GaussianMixture
print(__name__, __file__, sys.argv, sys.path[0], GaussianMixture.__module__.partition(".")[0], sep="|")
def last(word):
    if word == "fail":
        raise ValueError(word)
    sys.exit(int(word))
last(sys.argv[-1])
"""


def in_place():
    return [getattr(sklearn.mixture, name) for name in NAMES]


def test_contexts_nest_and_end_after_an_error(capsys):
    with gaussmix.patch_sklearn() as outer:
        assert list(outer.replaced.values()) == THEIRS
        with pytest.raises(ZeroDivisionError), gaussmix.patch_sklearn(verbose=False):
            in_place().index(1 / 0)
        assert in_place() == OURS
    assert in_place() == THEIRS
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "gaussmix: sklearn.mixture.GaussianMixture is now gaussmix.GaussianMixture."
    assert __name__ in said[2]
    with gaussmix.patch_sklearn(verbose=False), gaussmix.patch_sklearn(verbose=False):
        gaussmix.unpatch_sklearn()
        gaussmix.unpatch_sklearn()
        assert in_place() == THEIRS
    assert in_place() == THEIRS


def test_what_is_scikit_learns_stays_so(X):
    theirs = THEIRS[0](2, random_state=0).fit(X)
    before = pickle.dumps(theirs)
    with gaussmix.patch_sklearn(verbose=False):
        assert type(pickle.loads(before)) is type(pickle.loads(pickle.dumps(theirs))) is THEIRS[0]
        ours = sklearn.mixture.GaussianMixture.from_sklearn(theirs)
        assert type(pickle.loads(pickle.dumps(ours))) is OURS[0]
        assert type(ours.to_sklearn()) is THEIRS[0]


@pytest.mark.heavy
@pytest.mark.parametrize(("word", "code"), [("7", 7), ("0", 0), ("fail", 1)])
def test_a_script_runs_as_by_python_alone(word, code, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    runs = [
        subprocess.run([sys.executable, *more, "program.py", "-m", word], cwd=tmp_path, capture_output=True, text=True)
        for more in ([], ["-m", "gaussmix.patched"])
    ]
    assert [run.returncode for run in runs] == [code, code]
    assert runs[1].stdout == runs[0].stdout.replace("|sklearn\n", "|gaussmix\n")
    assert runs[1].stderr.splitlines()[2:] == runs[0].stderr.splitlines()
