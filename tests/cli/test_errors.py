"""Tests of exit codes, of errors in one sentence, and of pipes, interrupts, terminals and missing packages."""

import errno
import os
import re
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gaussmix import FAMILIES, GaussianMixtureClassifier, Mixture
from gaussmix._src.cli.program import program
from gaussmix._src.sources.files import batches

FAITHFUL = Path(__file__).parents[2] / "examples" / "faithful.csv"
GROUPS = "g,x,y\n" + "".join(f"{'ab'[i % 2]},{i % 7},{i % 5}\n" for i in range(40))
MCLUST = '{{"model": "{}", "pro": {}, "mean": {}, "sigma_tril": {}}}'
TILTED, DIAGONAL = "[[1, 0.9, 1], [4, 0, 9]]", "[[1, 0, 1], [4, 0, 9]]"
FILES = {
    "x.csv": "x,y\n1,2\n3,4.5\n",
    "one.csv": "x,y\n1,2\n",
    "missing.csv": "eruptions,waiting,s\n1,2,a\n,80,b\n4,76,b\n",
    "inf.csv": "eruptions,waiting,s\n1,2,a\ninf,80,b\n4,76,b\n",
    "constant.csv": "a,b\n" + "".join(f"{at},1\n" for at in range(30)),
    "isolated.csv": "a,b\n1e3,0\n" + "".join(f"{at},{at * at % 31}\n" for at in range(30)),
    "far.csv": "a,b\n1e12,1e12\n" + "".join(f"{at},{at * at % 31}\n" for at in range(30)),
    "named.csv": "eruptions,wait\n1,2\n",
    "others.csv": "a,b\n1,2\n",
    "text-id.csv": "id,eruptions,waiting\na,3.6,79\n",
    "text.csv": "eruptions,waiting\n1,2\n3,x\n",
    "gap-then-text.csv": "eruptions,waiting\n3.1,\n1.8,abc\n",
    "bare.csv": "1,2,3\n4,5,6\n",
    "waiting.csv": "waiting\n79\n",
    "negative.csv": "x,w\n1,2\n2,-1\n",
    "zero.csv": "x,w\n1,0\n2,0\n",
    "unweighted.csv": "x,w\n1,1\n2,\n",
    "weights.csv": "w\n1\n2\n",
    "decimals.csv": "x,kind\n" + "0,0.5\n1,1\n2,1.5\n" * 3,
    "kinds.csv": "x,kind\n" + "0,a\n1,b\n2,c\n" * 3,
    "groups.csv": GROUPS,
    "nameless-group.csv": "g,x,y\na,1,2\na,,3\na,2,1\n?,3,4\nb,4,5\nb,5,7\n",
    "a.json": "{}",
    "b.json": "{",
    "c.npz": "PK",
    "lists.json": MCLUST.format("VVV", [0.5, 0.5], [[0, 0], [1, 1]], [[1, 0, 1]]),
    "ragged.json": MCLUST.format("VVV", [0.5, 0.5], [[0, 0], [1, 1]], [[1, 0, 1], [1, 0]]),
    **{f"{name}.json": MCLUST.format(name, [0.5, 0.5], [[0, 0], [1, 1]], TILTED) for name in ("EII", "VVI", "EEE")},
    "units.json": MCLUST.format("VVI", [1], [[0, 0]], [[1.0, 5e-9, 1e-16]]),
    "one-mean.json": MCLUST.format("VVV", 1, [[0, 0]], DIAGONAL),
    "mean.json": MCLUST.format("VVV", [0.5, 0.5], [[0, 0]], DIAGONAL),
    "FOO.json": MCLUST.format("FOO", [0.5, 0.5], [[0, 0], [1, 1]], DIAGONAL),
    "data/part.b": "", "data/part.c": "", "data/part.csv": "", "data/part.d": "", "data/part.e": "",
}  # fmt: skip


@pytest.fixture(scope="module")
def input_folder(tmp_path_factory):
    """Return a folder that contains tables and models."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("data", "empty"):
        (folder / name).mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    shutil.copy(FAITHFUL, folder / "input.csv")
    for words in (
        "fit input.csv -k 2 -s full -o m.gmm -q",
        "fit input.csv -k 2 -s full --noise -o noise.gmm -q",
        "fit groups.csv --by g -k 1 -o many.gmm -q",
        "fit x.csv -k 1 -s spherical --weights y -o other.gmm -q",
    ):
        arguments = [folder / word if (folder / word).exists() or ".gmm" in word else word for word in words.split()]
        assert CliRunner().invoke(program, list(map(str, arguments))).exit_code == 0
    Mixture.load(folder / "m.gmm").save(folder / "bare.gmm")
    Mixture([1.0], np.zeros((1, 9)), np.ones(1), FAMILIES["spherical"]).save(folder / "wide.gmm")
    rows = np.loadtxt(folder / "input.csv", delimiter=",", skiprows=1)
    GaussianMixtureClassifier().fit(rows, rows[:, 0] > 3).save(folder / "classes.gmm")
    (folder / "damaged.gmm").write_bytes((folder / "m.gmm").read_bytes()[:-1])
    return folder


USAGE = [  # commands, and a part of their error message
    ("frobnicate", "No such command 'frobnicate'"),
    ("export m.gmm m.onnx", "No such command 'export'. Did you mean 'convert'?"),
    ("plto m.gmm", "Did you mean 'plot'?"),
    ("x.csv", "x.csv is a file: name a command first, as in 'gaussmix fit FILE'."),
    ("fit", "Missing argument"),
    ("fit x.csv none.csv", "Got unexpected extra argument (none.csv). See"),
    ("fit x.csv --clusters 3", "No such option '--clusters'. Did you mean '-k'?"),
    ("fit x.csv --covariance-type full", "Did you mean '--structure'?"),
    ("fit x.csv --random-state 3", "Did you mean '--seed'?"),
    ("fit x.csv --group g", "No such option '--group'. Did you mean '--by'?"),
    ("fit x.csv --out m.gmm", "No such option '--out'. Did you mean '--output'?"),
    ("fit x.csv --data", "'--start'?) See"),
    ("fit x.csv --criterion silhouette", "'cv', 'stability'. See"),
    ("fit x.csv -k", "requires an argument"),
    ("fit x.csv -k 0", "must be a number of at least 1, or"),
    ("fit x.csv -k 3:1", "3:1"),
    ("fit x.csv -k a", "is not a number or range"),
    ("fit x.csv -k 1:100000000000", "100000000000"),
    ("fit x.csv -s ful", "'ful' is not one of"),
    ("fit x.csv -s full,vev", "'VVV', 'all'. Did you mean 'VEV'?"),
    ("fit x.csv -s All", "Did you mean 'all'?"),
    ("fit x.csv -s full,all", "'all' already includes every structure: use it alone."),
    ("fit x.csv --tol nan", "--tol nan must be a finite number ≥ 0"),
    ("fit x.csv --max-time soon", "'--max-time': --max-time must be a finite number ≥ 0, not 'soon'."),
    ("fit x.csv --reg-covar automatic", "--reg-covar"),
    ("fit x.csv --jobs 0", "--jobs"),
    ("fit x.csv --max-iter -1", "--max-iter"),
    ("fit x.csv --memory abc", "--memory"),
    ("fit x.csv --memory 3", "'3' is 3 bytes; write, for example, 512MB or 3GB."),
    ("score m.gmm input.csv --memory 0", "--memory"),
    ("fit x.csv --start kmean", "Did you mean 'kmeans'?"),
    ("fit x.csv --start search,", "--start"),
    ("fit x.csv --seed -1", "--seed"),
    ("fit x.csv --columns x,y --exclude y", "'y' is both in --columns and in --exclude: name it only once."),
    ("fit x.csv --columns y --weights y", "'y' can't be both a feature and the column of weights."),
    ("fit x.csv --columns x,y --labels x", "is already a feature or the column of --weights"),
    ("fit x.csv --weights ' '", "--weights"),
    ("fit x.csv --n-factors 0", "must be a number of at least 1, or"),
    ("fit x.csv -s full --n-factors 2", "--n-factors has no effect with --structure 'full'"),
    ("report x.csv -o r.html -s full --n-factors 2", "--n-factors has no effect with --structure 'full'"),
    ("report x.csv -o r.html -m m.gmm --n-factors 2", "leave out '--n-factors', or --model"),
    ("classify x.csv x.csv --labels y --n-factors 2", "--n-factors has no effect with --structure 'full'"),
    ("fit x.csv --n-factors 2", "all: name a structure that has it, as in -s factor_analyzer."),
    ("fit x.csv -s factor_analyzer --noise-variance isotropc", "is not one of 'diagonal', 'isotropic'"),
    ("fit x.csv --trim 0.5", "must be a fraction below 1/2"),
    ("fit x.csv -s full --max-condition 0.5", "must be a finite number ≥ 1"),
    ("fit x.csv --missing error --drop-missing", "--missing error and --drop-missing contradict each other"),
    ("fit x.csv --decimal , --delimiter ,", "can't be both the delimiter and"),
    ("fit x.csv --decimal , --thousands ,", "',' can't mark thousands if it is also the decimal mark or delimiter."),
    ("fit x.csv --delimiter ab", "is not a delimiter: use a single character"),
    ("fit x.csv --encoding klingon", "Python has no encoding 'klingon' for text"),
    ("fit x.csv -o x.csv", "x.csv"),
    ("fit x.csv -o m.csv", "a fit can't write a model as .csv: name it m.gmm"),
    ("fit x.csv -o m.onnx", "`gaussmix convert` writes other formats"),
    ("fit x.csv -o - --json", "--json"),
    ("fit groups.csv --by g -k 2 -s full,diag", "use one structure for -s."),
    ("fit groups.csv --by g -k 2 --criterion aic", "--criterion can't be combined with --by"),
    ("fit groups.csv --by g -k 2 --memory 1GB", "--memory can't be combined with --by"),
    ("fit groups.csv --by g -k 2 --weights g", "is already a feature or the column of --weights"),
    ("predict m.gmm input.csv --columns eruptions,,waiting", "--columns"),
    ("predict m.gmm input.csv --targets ''", "--targets"),
    ("predict m.gmm input.csv --targets waiting --outliers", "--outliers needs all features: leave out --targets."),
    ("predict m.gmm input.csv --targets waiting --probabilities", "--probabilities needs all features"),
    ("predict m.gmm input.csv --quantiles 0.5", "--quantiles needs --targets: name the features to predict."),
    ("predict m.gmm input.csv --targets waiting --quantiles 5", "'5' is not a number between 0 and 1; write, for ex"),
    ("predict m.gmm input.csv --threshold 0.1", "--threshold has an effect only with --outliers"),
    ("predict m.gmm input.csv --threshold 3", "'3' is not a number between 0 and 1; write, for example, 0.01."),
    ("predict m.gmm input.csv -o out.xyz", "gaussmix can't write .xyz"),
    ("predict m.gmm input.csv -o out.parquet.gz", "out.parquet.gz"),
    ("predict m.gmm input.csv -o input.csv", "input.csv"),
    ("predict m.gmm input.csv --json -o a.parquet", "--json"),
    ("predict m.gmm input.csv --json -o a.txt", "--json contradicts the output a.txt, whose format is csv."),
    ("predict m.gmm input.csv --json --to csv", "--json contradicts the format csv."),
    ("predict - -", "standard input"),
    ("describe - --inference -", "only one input can be read from standard input"),
    ("score m.gmm input.csv -o a.csv", "--rows"),
    *(
        (f"{words} --weights waiting", "'waiting' can't be both a feature and the column of weights.")
        for words in ("score m.gmm input.csv", "plot m.gmm input.csv -o p.png", "describe m.gmm --inference input.csv")
    ),
    ("fit input.csv -k 2 -s full --max-condition 0.5", "--max-condition 0.5 must be a finite number ≥ 1. See"),
    ("sample m.gmm", "-n"),
    ("sample m.gmm -n 0", "-n"),
    ("sample m.gmm -n 1e3", "Invalid value for '-n': '1e3' is not an integer."),
    ("fit input.csv --jobs x", "'--jobs': 'x' is not an integer."),
    ("sample m.gmm -n 1 -o m.gmm", "m.gmm"),
    ("sample m.gmm -n 1 --json --to npy", "--json"),
    ("sample m.gmm -n 3 --to npy -o out.csv.zst", "out.csv.zst"),
    ("impute m.gmm input.csv --drop-missing", "--drop-missing excludes the rows that"),
    ("impute m.gmm input.csv --missing error", "--missing error excludes the rows that impute fills"),
    ("plot m.gmm missing.csv -o p.png --missing no", "'no' is not one of 'allow', 'error'"),
    ("merge m.gmm m.gmm --weights 1 -o o.gmm", "--weights needs 2 numbers"),
    ("merge m.gmm m.gmm --weights 1,-1 -o o.gmm", "is not a number above 0"),
    ("convert m.gmm m.xyz", "must end in '.gmm'"),
    ("convert m.gmm", "name exactly one output: gaussmix convert IN OUT, or gaussmix convert IN -o OUT."),
    ("convert m.gmm a.json -o b.json", "name exactly one output"),
    ("convert m.onnx m.gmm", "must end in '.gmm'"),
    ("convert m.gmm m.npz --mclust", "--mclust needs an output that ends in .json"),
    ("plot m.gmm -o picture.xyz", "must end in 'png', 'svg', 'pdf', 'jpg', 'webp'"),
    ("describe m.gmm --weights w --columns x --drop-missing", "'--weights', '--columns', '--drop-missing' can only be"),
    ("describe many.gmm --inference groups.csv", "--inference needs one mixture, but many.gmm contains"),
    ("plot m.gmm -o picture.png --delimiter ;", "'--delimiter' can only be used with rows: pass DATA after the model."),
    ("plot m.gmm -o picture.png --kind uncertainty", "pass DATA after the model"),
    ("report input.csv -o r.pdf", "r.pdf: the report is an HTML page. Use a name that ends in .html."),
    ("report m.gmm -o r.html", "m.gmm is a model, but a report also needs rows: gaussmix report DATA --model m.gmm."),
    ("report input.csv -m m.gmm --criterion icl --seed 1 --noise -o r.html", "--noise"),
]  # fmt: skip
NOT_A_MODEL = "is not a usable gaussmix model: it is damaged or truncated, or not a model at all."
FAILED = [
    ("fit x.csv --criterion cv --max-time 9", "--criterion 'cv' does not support --max-time. Choose another"),
    ("fit none.csv", "none.csv: No such file or directory."),
    ("fit *.npy", "*.npy: no file name matches."),
    ("fit empty", "empty: the folder has no files."),
    ("fit data", "'.b' and '.c' and '.csv' and '.d' and 1 more: choose one extension, for example 'data/*.csv'."),
    ("fit x.csv -k 1 -o nowhere/m.gmm", "nowhere: the folder of the output does not exist."),
    ("fit x.csv -k 1 -o .", ".: is a folder; give the path of a file to write."),
    ("fit x.csv -o s3://bucket/m.gmm", "s3://bucket/m.gmm: only tables can be read from URLs; give a local path"),
    ("fit one.csv", "one.csv has only one row, but a fit needs at least two rows."),
    ("fit x.csv --exclude x,y", "x.csv has no columns other than the excluded 'x', 'y'."),
    ("fit x.csv --exclude z", "has no column 'z'; it has 'x', 'y'"),
    ("fit x.csv --criterion BIC -k 9", "fewer rows than components."),
    ("fit input.csv -k 300 -s full", "1 × fewer rows than components. Lower -k."),
    ("fit constant.csv -k 1 --reg-covar 0", "Column 'b' is constant. Leave it out, or raise --reg-covar, on"),
    ("report constant.csv -k 1:2 -o r.html", "Column 'b' is constant."),
    ("fit x.csv -k 1 -s full", "raise --reg-covar, or choose --structure diag."),
    ("fit isolated.csv -k 2 -s full", "Leave it out, or fit with --trim or --noise."),
    ("fit far.csv -k 1 -s full", "Remove the row, or fit with --trim."),
    ("fit constant.csv -k 1 --noise", "Leave out columns that are constant or determined by others."),
    ("fit input.csv -k 1 --criterion stability", "can't judge -k 1. Include larger numbers, such as -k 2:9, or"),
    ("fit negative.csv -k 1 --weights w", "line 3, column 'w': the weight -1 is not between 0 and 1e+150."),
    ("fit zero.csv -k 1 --weights w", "every weight of column 'w' is 0."),
    ("fit unweighted.csv -k 1 --weights w", "line 3, column 'w': the weight is missing"),
    ("fit x.csv -k 1 --weights w", "has no column 'w'; it has 'x', 'y'."),
    ("fit weights.csv -k 1 --weights w", "has no column of numbers to fit."),
    ("fit decimals.csv -k 2 --labels kind", "column 'kind' contains decimal numbers, but labels must be component"),
    ("fit kinds.csv -k 2 --labels kind", "has 3 different labels, and each needs a component: set -k 3 or more."),
    ("fit missing.csv -k 1 --missing error", "Add --drop-missing, or fill such cells first."),
    ("fit missing.csv -k 1 --weights eruptions", "the weight is missing (NaN or null). Give a number: 0 leaves"),
    ("fit inf.csv -k 1", "the value is infinite. Remove or fill such rows first."),
    ("plot m.gmm missing.csv -o p.png --missing error", "Add --drop-missing, or fill such cells first."),
    ("classify missing.csv missing.csv --labels s --missing error", "Add --drop-missing, or fill such cells first."),
    ("report missing.csv -o r.html --missing error", "Add --drop-missing, or fill"),
    ("fit groups.csv --by place -k 2", "has no column 'place'; it has 'g', 'x', 'y'."),
    ("fit groups.csv --by g -k 60", "No mixture could be fitted to any group of "),
    ("fit nameless-group.csv --by g -k 1 --drop-missing --na ?", "line 5, column 'g': the name of the group"),
    ("predict many.gmm nameless-group.csv --by h", "nameless-group.csv has no column 'h'; it has 'g', 'x', 'y'."),
    ("predict many.gmm nameless-group.csv --by g --na ?", "line 5, column 'g': the name of the group is missing."),
    ("predict m.gmm groups.csv --by g", "it contains a single mixture, so leave out --by."),
    ("predict groups.csv many.gmm --by g", "is a table, not a model. If the command needs both, pass the model first."),
    ("predict input.csv input.csv", "is a table, not a model. If the command needs both, pass the model first."),
    ("predict m.gmm named.csv", "named.csv has no column 'waiting', which m.gmm needs; the columns are 'erup"),
    ("predict m.gmm text-id.csv -o a.npy", "column 'id' contains no numbers, but .npy can only store numbers: use"),
    ("predict m.gmm text.csv", "column 'waiting': line 3 contains 'x', not a number."),
    ("predict m.gmm gap-then-text.csv", "column 'waiting': line 3 contains 'abc', not a number."),
    ("predict m.gmm bare.csv", "has 3 numeric columns, but m.gmm has 2 features."),
    ("predict m.gmm input.csv --columns waiting", "has 1 numeric column, but"),
    ("predict m.gmm input.csv --targets waitin", "--targets 'waitin' is not one of 'eruptions', 'waiting'. Did"),
    ("predict m.gmm input.csv --targets waiting,eruptions", "--targets contains every feature of"),
    ("predict m.gmm waiting.csv --targets waiting", "has no column 'eruptions', which"),
    ("predict m.gmm bare.csv --targets waiting", "has 1 features in addition to the targets."),
    ("score m.gmm input.csv --weights foo", "has no column 'foo'; it has 'eruptions', 'waiting'."),
    *((f"{command} damaged.gmm {rest}", NOT_A_MODEL) for command, rest in (("predict", "input.csv"), ("describe", ""))),
    *(
        (words.format("many.gmm"), "it contains the mixtures of many groups, which only describe and predict --by")
        for words in ("predict {} input.csv", "score {} input.csv", "sample {} -n 3")
    ),
    *(
        (words.format("noise.gmm"), "Fit again without --noise.")
        for words in (
            "predict {} input.csv --outliers", "predict {} input.csv --targets waiting", "merge {0} {0} -o o.gmm",
            "merge {} -k 1 -o o.gmm", "convert {} m.joblib", "sample {} -n 3",
        )
    ),
    ("describe classes.gmm --inference input.csv", "--inference needs a GaussianMixture"),
    ("merge m.gmm other.gmm -o o.gmm", "These mixtures have 1 and 2 features. They need the same features."),
    ("merge m.gmm bare.gmm -o o.gmm", "the number of rows of the fit is not stored in the file"),
    ("classify missing.csv others.csv --labels s --drop-missing", "others.csv has no column 'eruptions'"),
    ("convert a.json o.gmm", "neither the keys of gaussmix nor mclust's keys 'pro'"),
    ("convert b.json o.gmm", "can't be read as .json"),
    ("convert c.npz o.gmm", "can't be read as .npz"),
    ("convert lists.json o.gmm", "sigma_tril has 1 list of 3 numbers, but model 'VVV' with 2 components"),
    ("convert ragged.json o.gmm", "sigma_tril must consist of numbers, in lists of the same"),
    *((f"convert {name}.json o.gmm", f"do not have the structure of model '{name}'") for name in ("EII", "VVI", "EEE")),
    ("convert units.json o.gmm", "do not have the structure of model 'VVI'"),
    ("convert one-mean.json o.gmm", "sigma_tril has 2 lists of 3 numbers, but model 'VVV' with 1 component and"),
    ("convert mean.json o.gmm", "pro has 2 weights, but mean has 1 component"),
    ("convert FOO.json o.gmm", "the model 'FOO' is not one of"),
    ("plot wide.gmm -o p.png", "choose some of them with --features A,B."),
    ("plot m.gmm -o p.png --features wait", "wait"),
    ("plot wide.gmm -o p.png --kind components --features x0,x1,x2", "2 different features, not 'x0', 'x1', 'x2'."),
    ("plot m.gmm -o p.png --kind profile --features waiting", "'waiting' is the only one: use --kind components."),
]  # fmt: skip


@pytest.mark.parametrize(("words", "part", "code"), [*((*case, 2) for case in USAGE), *((*case, 1) for case in FAILED)])
def test_an_error_prints_one_sentence_and_sets_the_exit_code(words, part, code, cli, input_folder, monkeypatch):
    monkeypatch.chdir(input_folder)
    before = sorted(input_folder.rglob("*"))
    result = cli(*shlex.split(words))
    assert (result.exit_code, result.stdout) == (code, "")
    *notices, sentence = result.stderr.splitlines()
    assert sentence.startswith("gaussmix: ")
    assert part in sentence
    assert all(notice.startswith("gaussmix: ") for notice in notices)
    assert "noise_volume" not in sentence
    assert "reg_covar" not in sentence
    assert "n_samples" not in result.stderr
    if code == 2 and words.partition(" ")[0] in program.commands:
        assert sentence.endswith(f" See 'gaussmix {words.partition(' ')[0]} --help'.")
    assert sorted(input_folder.rglob("*")) == before


def test_a_command_without_a_subcommand_exits_with_code_2(cli):
    assert cli().exit_code == 2


@pytest.mark.parametrize("name", ["X.csv", "tol.csv", "X", "data/X.csv", "memory=.csv"])
@pytest.mark.parametrize("text", [None, "a,b\n"], ids=["absent", "no rows"])
def test_errors_quote_file_names_unchanged(name, text, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    if text is not None:
        (tmp_path / name).write_text(text)
    result = cli("fit", name, "--format", "csv")
    assert result.exit_code == 1
    assert name in result.stderr


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize(
    ("arguments", "closed"),
    [
        (["predict", "MODEL", "-"], "input"),
        (["describe", "MODEL"], "output"),
        (["describe", "MODEL", "--json"], "output"),
        (["sample", "MODEL", "-n", "2"], "output"),
        (["--help"], "output"),
        (["describe", "-"], "input"),
    ],
    ids=str,
)
def test_a_closed_standard_stream_is_reported_in_one_sentence(arguments, closed, shell, model):
    arguments = [model if argument == "MODEL" else argument for argument in arguments]
    name = {"output": "stdout", "input": "stdin"}[closed]
    process = shell(*arguments, prelude=f"import sys; sys.{name} = None")
    stderr = process.communicate(timeout=60)[1]
    assert (process.returncode, stderr) == (1, f"gaussmix: standard {closed} is closed.\n")


@pytest.mark.heavy
def test_a_quiet_fit_runs_without_standard_streams(shell, faithful, tmp_path):
    prelude = "import sys; sys.stdin = sys.stdout = sys.stderr = None"
    process = shell("fit", faithful, "-k", 1, "--quiet", "-o", tmp_path / "m.gmm", prelude=prelude)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "m.gmm").exists()


@pytest.mark.heavy(n_default=1)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow only text in file names")
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "arrow"])
def test_subcommands_accept_file_names_that_are_not_utf_8(kind, cli, model, faithful, tmp_path):
    undecodable, plain = tmp_path / f"n\udcff.{kind}", tmp_path / f"n.{kind}"
    assert cli("predict", model, faithful, "-o", plain).exit_code == 0
    plain.rename(undecodable)
    for arguments in (
        ["fit", undecodable, "-k", 1, "-o", tmp_path / "m.gmm"],
        ["fit", undecodable, "-k", 1, "--json"],
        ["fit", undecodable, "-k", 1, "--checkpoint", tmp_path / "c.ck"],
        ["score", model, undecodable],
        ["predict", model, undecodable],
    ):
        result = cli(*arguments)
        assert result.exit_code == 0, result.stderr
    assert Mixture.load(tmp_path / "m.gmm").n_components == 1


@pytest.mark.heavy
def test_report_replaces_bytes_of_a_file_name_that_are_not_utf_8(cli, faithful, tmp_path):
    pytest.importorskip("matplotlib")
    undecodable = faithful.rename(tmp_path / "n\udcff.csv")
    result = cli("report", undecodable, "-k", 1, "-o", tmp_path / "r.html")
    assert result.exit_code == 0, result.stderr
    assert "n?.csv" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.fixture
def parts(rng, tmp_path, monkeypatch):
    """Create a folder of two files, a link to this folder, and a model of one component."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    for name in "12":
        np.save(tmp_path / "parts" / f"{name}.npy", rng.normal(size=(40, 2)))
    (tmp_path / "link").symlink_to("parts")
    Mixture([1.0], np.zeros((1, 2)), np.eye(2)[None], FAMILIES["full"]).save("m.gmm")
    return tmp_path / "parts"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows needs a privilege to create links")
@pytest.mark.parametrize(
    ("pattern", "output", "is_rejected"),
    [
        ("parts", "parts/1.npy", True),
        ("p*s/**", "link/2.npy", True),
        ("**/[12].npy", "parts/../link/1.npy", True),
        ("link/*", "{folder}/2.npy", True),
        ("parts", "link/3.npy", True),
        ("link/", "parts/3.csv", True),
        ("parts/*.npy", "parts/3.npy", True),
        ("parts/*.npy", "link/3.npy", True),
        ("pa*/*.npy", "./parts/3.npy", True),
        ("**/?.npy", "3.npy", True),
        ("parts/**", "parts/3.npy", True),
        ("parts/*.npy", "3.npy", False),
        ("parts/*.npy", "parts/3.csv", False),
        ("parts/[12].npy", "parts/3.npy", False),
        ("parts/1.npy", "parts/3.npy", False),
        ("parts", "parts-3.npy", False),
    ],
)
def test_outputs_that_match_the_input_pattern_are_rejected(pattern, output, is_rejected, cli, parts):
    before, target = {path.name: path.read_bytes() for path in parts.iterdir()}, output.format(folder=parts)
    if not is_rejected:
        assert cli("predict", "m.gmm", pattern, "-o", target).exit_code == 0
        assert os.path.exists(target)
        return
    for words in ["predict", "m.gmm"], ["score", "m.gmm", "--rows"], ["fit", "-k", 2, "--checkpoint", target], ["fit"]:
        result = cli(*words, pattern, "-o", "out.gmm" if "--checkpoint" in words else target)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"{target} is among the files of the input {pattern}: write the output elsewhere." in result.stderr
        assert {path.name: path.read_bytes() for path in parts.iterdir()} == before


def test_several_file_arguments_raise_an_error_that_suggests_a_quoted_pattern(cli, parts):
    names = sorted(str(path) for path in parts.iterdir())
    result = cli("fit", *names, names[0])
    assert result.exit_code == 2
    assert f"{names[1]} is one file too many: name several by a pattern in quotes, " in result.stderr
    assert repr(str(parts / "*.npy")) in result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "-h"], ["predict", "--help"], ["--version"]])
def test_help_and_version_exit_with_code_0(arguments, cli):
    result = cli(*arguments)
    assert result.exit_code == 0
    assert "gaussmix" in result.stdout


@pytest.mark.heavy
def test_a_process_prints_results_to_stdout_and_errors_to_stderr(shell, faithful, tmp_path):
    fit = shell("fit", faithful, "-k", "1:3", "-o", tmp_path / "m.gmm")
    stdout, stderr = fit.communicate(timeout=60)
    assert fit.returncode == 0
    assert "lowest BIC" in stdout
    assert "fitting" not in stdout + stderr, "only terminals show progress"
    assert "\x1b" not in stdout
    absent = shell("fit", "none.csv")
    stdout, stderr = absent.communicate(timeout=60)
    assert (absent.returncode, stdout) == (1, "")
    assert stderr == "gaussmix: none.csv: No such file or directory.\n"


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize(
    ("package", "command"), [("click", "--help"), ("rich", "fit"), ("pyarrow", "fit"), ("pyarrow", "sample")]
)
def test_a_missing_package_is_reported_with_the_extra_to_install(package, command, shell):
    process = shell(command, prelude=f"import sys\nsys.modules[{package!r}] = None")
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (1, "")
    assert stderr == f"gaussmix: the command line needs {package}: install gaussmix[cli].\n"


@pytest.mark.heavy
@pytest.mark.parametrize("n_rows", [1, 20_000], ids=["at the end", "in the middle"])
def test_a_closed_output_pipe_ends_predict_without_a_message(n_rows, shell, model, csv_file):
    path = csv_file("eruptions,waiting\n" + "3.6,79\n" * n_rows)
    process = shell("predict", model, path)
    if n_rows > 1:
        process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        stderr = process.stderr.read()
    assert process.wait(60) == 1
    assert "Traceback" not in stderr
    assert "pipe" not in stderr.lower()


def test_a_full_cache_disk_is_reported_with_the_cache_option(cli, faithful, tmp_path, monkeypatch):
    def write(table, path, advice):
        raise OSError(errno.ENOSPC, f"No space left on device; {advice}", str(path))

    monkeypatch.setattr(batches, "write", write)
    stderr = cli("fit", faithful, "-k", 1, "--cache", tmp_path / "cache").stderr
    assert stderr.endswith("name a folder on a larger disk by --cache.\n")


@pytest.mark.heavy
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
def test_a_full_disk_is_reported_in_one_sentence(shell, model, faithful):
    with open("/dev/full", "w") as full:
        process = shell("predict", model, faithful, stdout=full)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr.endswith("gaussmix: No space left on device.\n")
    assert "Traceback" not in stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and terminals")
class TestTerminal:
    @pytest.mark.heavy
    def test_a_terminal_shows_progress_but_no_traceback_of_an_interrupt(self, shell, csv_file, rng):
        import pty

        text = "\n".join(f"{x},{y}" for x, y in rng.normal(size=(20_000, 2)))
        controller, terminal = pty.openpty()
        # Python inherits the setting to ignore SIGINT from its parent process, for example from a script that runs it
        # with "&".
        default_handler = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
        endless = "-k", "20:500", "--tol", 0, "--max-iter", 100_000
        process = shell("fit", csv_file("x,y\n" + text), *endless, stderr=terminal, prelude=default_handler)
        os.close(terminal)
        seen = self.read_until(controller, b"fitting")
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
        seen += self.read_until(controller, None)
        os.close(controller)
        assert process.returncode == 130
        assert stdout == ""
        assert b"Traceback" not in seen

    @pytest.mark.heavy
    @pytest.mark.parametrize("command", ["fit", "predict"])
    def test_progress_of_files_shows_rows_and_bytes_per_second(self, command, shell, tmp_path, rng):
        import pty

        np.save(tmp_path / "rows.npy", rng.normal(size=(300_000, 2)))
        Mixture([1.0], np.zeros((1, 2)), np.eye(2)[None], FAMILIES["full"]).save(tmp_path / "m.gmm")
        controller, terminal = pty.openpty()
        work = {
            "fit": ("fit", tmp_path / "rows.npy", "-k", 2, "--memory", "2MB", "--max-iter", 20, "--tol", 0),
            "predict": ("predict", tmp_path / "m.gmm", tmp_path / "rows.npy", "-o", tmp_path / "out.npy"),
        }
        process = shell(*work[command], stderr=terminal)
        os.close(terminal)
        seen = self.read_until(controller, None).decode()
        process.communicate(timeout=60)
        os.close(controller)
        assert process.returncode == 0
        assert re.search(r"pass [1-9].* \d+\.\d\dM rows/s, \d+ MB/s", seen)

    def read_until(self, terminal, wanted):
        """Return the output of a terminal, up to the wanted bytes or to the end of the process."""
        seen, end = b"", time.monotonic() + 60
        while (wanted is None or wanted not in seen) and time.monotonic() < end:
            try:
                part = os.read(terminal, 4096)
            except OSError:  # Linux raises this error after the other end was closed
                break
            if not part:
                break
            seen += part
        assert wanted is None or wanted in seen
        return seen
