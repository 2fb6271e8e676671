"""Exit codes, one sentence for each error, and what a process meets: pipes, interrupts, a terminal, missing extras."""

import errno
import os
import re
import signal
import sys
import time

import numpy as np
import pytest

from gaussmix import FAMILIES, Mixture
from gaussmix.cli.program import program
from gaussmix.sources.files import batches

USAGE = {
    "no verb": [],
    "unknown verb": ["frobnicate"],
    "no data": ["fit"],
    "unknown option": ["fit", "DATA", "--bar"],
    "zero components": ["fit", "DATA", "-k", "0"],
    "falling range": ["fit", "DATA", "-k", "3:1"],
    "no number": ["fit", "DATA", "-k", "a"],
    "too many": ["fit", "DATA", "-k", "1:100000000000"],
    "structure": ["fit", "DATA", "-s", "ful"],
    "tol": ["fit", "DATA", "--tol", "nan"],
    "tol negative": ["fit", "DATA", "--tol", "-1"],
    "reg-covar": ["fit", "DATA", "--reg-covar", "automatic"],
    "jobs": ["fit", "DATA", "--jobs", "0"],
    "max-iter": ["fit", "DATA", "--max-iter", "-1"],
    "memory": ["fit", "DATA", "--memory", "abc"],
    "memory of 0": ["score", "MODEL", "DATA", "--memory", "0"],
    "start": ["fit", "DATA", "--start", "kmean"],
    "no start": ["fit", "DATA", "--start", "search,"],
    "seed": ["fit", "DATA", "--seed", "-1"],
    "no column": ["fit", "DATA", "--columns", ""],
    "a column without a name": ["predict", "MODEL", "DATA", "--columns", "eruptions,,waiting"],
    "no target": ["predict", "MODEL", "DATA", "--targets", ""],
    "nothing after an option": ["fit", "DATA", "-k"],
    "compressed by a name that no reader takes": ["predict", "MODEL", "DATA", "-o", "out.parquet.gz"],
    "compressed in another format": ["sample", "MODEL", "-n", "3", "--to", "npy", "-o", "out.csv.zst"],
    "output is the input": ["fit", "DATA", "-o", "DATA"],
    "predicting onto the input": ["predict", "MODEL", "DATA", "-o", "DATA"],
    "two standard inputs": ["predict", "-", "-"],
    "json into Parquet": ["predict", "MODEL", "DATA", "--json", "-o", "a.parquet"],
    "json and another format": ["sample", "MODEL", "-n", "1", "--json", "--to", "npy"],
    "an output without rows": ["score", "MODEL", "DATA", "-o", "a.csv"],
    "a feature as weight": ["fit", "DATA", "--columns", "waiting", "--weights", "waiting"],
    "model and report to one place": ["fit", "DATA", "-o", "-", "--json"],
    "no rows": ["sample", "MODEL", "-n", "0"],
    "how many": ["sample", "MODEL"],
    "an unknown format": ["score", "MODEL", "DATA", "--format", "xlsx"],
    "sampling onto the model": ["sample", "MODEL", "-n", "1", "-o", "MODEL"],
    "an empty weight": ["fit", "DATA", "--weights", " "],
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage_is_exit_code_2(name, cli, faithful, model):
    arguments = [str({"DATA": faithful, "MODEL": model}.get(argument, argument)) for argument in USAGE[name]]
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    if arguments:
        assert result.stderr.startswith("gaussmix: ")
        assert result.stderr.count("\n") == 1
    if arguments and arguments[0] in program.commands:
        assert result.stderr.endswith(f" See 'gaussmix {arguments[0]} --help'.\n")


@pytest.mark.parametrize(
    ("arguments", "closed"),
    [
        (["describe", "MODEL"], "output"),
        (["predict", "MODEL", "-"], "input"),
        pytest.param(["describe", "MODEL", "--json"], "output", marks=pytest.mark.heavy),
        pytest.param(["sample", "MODEL", "-n", "2"], "output", marks=pytest.mark.heavy),
        pytest.param(["--help"], "output", marks=pytest.mark.heavy),
        pytest.param(["describe", "-"], "input", marks=pytest.mark.heavy),
    ],
    ids=str,
)
def test_a_closed_stream_is_a_sentence(arguments, closed, shell, model):
    arguments = [model if argument == "MODEL" else argument for argument in arguments]
    name = {"output": "stdout", "input": "stdin"}[closed]
    process = shell(*arguments, prelude=f"import sys; sys.{name} = None")
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (1, f"gaussmix: standard {closed} is closed.\n")


@pytest.mark.heavy
def test_what_prints_nothing_needs_no_stream(shell, faithful, tmp_path):
    prelude = "import sys; sys.stdin = sys.stdout = sys.stderr = None"
    process = shell("fit", faithful, "-k", 1, "--quiet", "-o", tmp_path / "m.gmm", prelude=prelude)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "m.gmm").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names of text alone")
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "arrow"])
def test_names_of_inputs_need_not_be_text(kind, cli, model, faithful, tmp_path):
    odd, plain = tmp_path / f"n\udcff.{kind}", tmp_path / f"n.{kind}"
    assert cli("predict", model, faithful, "-o", plain).exit_code == 0
    plain.rename(odd)
    for arguments in (
        ["fit", odd, "-k", 1, "-o", tmp_path / "m.gmm"],
        ["fit", odd, "-k", 1, "--json"],
        ["fit", odd, "-k", 1, "--checkpoint", tmp_path / "c.ck"],
        ["score", model, odd],
        ["predict", model, odd],
    ):
        result = cli(*arguments)
        assert result.exit_code == 0, result.stderr
    assert Mixture.load(tmp_path / "m.gmm").n_components == 1


def test_the_page_of_a_name_that_is_no_text(cli, faithful, tmp_path):
    pytest.importorskip("matplotlib")
    odd = faithful.rename(tmp_path / "n\udcff.csv")
    result = cli("report", odd, "-k", 1, "-o", tmp_path / "r.html")
    assert result.exit_code == 0, result.stderr
    assert "n?.csv" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_page_is_html(cli, faithful, tmp_path):
    result = cli("report", faithful, "-o", tmp_path / "r.pdf")
    assert result.exit_code == 2
    assert "r.pdf: the report is an HTML page. Let its name end in .html." in result.stderr


INPUTS = ["parts", "parts/*.npy", "p*s/**", "**/[12].npy", "link", "link/*"]  # two files and no other


@pytest.fixture
def parts(rng, tmp_path, monkeypatch):
    """A folder of two files, a link to it, and a model of one component."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    for name in "12":
        np.save(tmp_path / "parts" / f"{name}.npy", rng.normal(size=(40, 2)))
    (tmp_path / "link").symlink_to("parts")
    Mixture([1.0], np.zeros((1, 2)), np.eye(2)[None], FAMILIES["full"]).save("m.gmm")
    return tmp_path / "parts"


@pytest.mark.pairwise
@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("output", ["parts/1.npy", "{folder}/2.npy", "link/2.npy", "parts/../link/1.npy"])
@pytest.mark.parametrize("verb", [["predict", "m.gmm"], ["score", "m.gmm", "--rows"], ["fit"]], ids=" ".join)
def test_no_file_of_the_input_is_written(verb, given, output, cli, parts):
    before = {path.name: path.read_bytes() for path in parts.iterdir()}
    target = output.format(folder=parts)
    result = cli(*verb, given, "-o", target)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{target} is among the files of the input {given}: write the output elsewhere." in result.stderr
    assert {path.name: path.read_bytes() for path in parts.iterdir()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize(
    ("given", "output", "is_refused"),
    [
        ("parts", "parts/3.npy", True),
        ("parts", "link/3.npy", True),
        ("link/", "parts/3.csv", True),
        ("parts/*.npy", "parts/3.npy", True),
        ("parts/*.npy", "link/3.npy", True),
        ("pa*/*.npy", "./parts/3.npy", True),
        ("**/?.npy", "3.npy", True),
        ("parts/**", "parts/3.npy", True),
        ("**/*.npy", "parts/3.npy", True),
        ("parts/*.npy", "3.npy", False),
        ("parts/*.npy", "parts/3.csv", False),
        ("parts/[12].npy", "parts/3.npy", False),
        ("parts/1.npy", "parts/3.npy", False),
        ("parts", "parts-3.npy", False),
    ],
)
def test_no_file_is_written_that_the_same_input_would_name(given, output, is_refused, cli, parts):
    result = cli("predict", "m.gmm", given, "-o", output)
    assert result.exit_code == (2 if is_refused else 0)
    assert os.path.exists(output) != is_refused
    assert ("is among the files of the input" in result.stderr) == is_refused


def test_a_checkpoint_is_not_written_among_the_input(cli, parts):
    result = cli("fit", "parts", "-k", 2, "--checkpoint", "parts/fit.ckpt")
    assert result.exit_code == 2
    assert "parts/fit.ckpt is among the files of the input parts: write the output elsewhere." in result.stderr
    assert sorted(path.name for path in parts.iterdir()) == ["1.npy", "2.npy"]


def test_a_pattern_without_quotes_is_told_to_have_them(cli, parts):
    names = sorted(str(path) for path in parts.iterdir())
    result = cli("fit", *names, names[0])
    assert result.exit_code == 2
    assert f"{names[1]} is one file too many: name several by a pattern in quotes, " in result.stderr
    assert repr(str(parts / "*.npy")) in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fit", "none.csv"], "none.csv: No such file or directory."),
        (["fit", "."], ". names files of several kinds, '' and '.csv': name one kind, as in '*.csv'."),
        (["fit", "DATA", "-o", "nowhere/m.gmm"], "nowhere: there is no such folder to write to."),
        (["fit", "DATA", "-o", "."], ".: is a folder, so it can't be written."),
        (
            ["fit", "DATA", "-o", "s3://bucket/m.gmm"],
            "s3://bucket/m.gmm: only tables are read from URLs; name a file of this machine.",
        ),
        (["fit", "ONE"], "ONE has a single row; a fit needs at least two."),
    ],
    ids=["missing", "folder", "no folder to write to", "writing to a folder", "writing to a URL", "one row"],
)
def test_what_cannot_be_done_is_exit_code_1(arguments, sentence, cli, faithful, csv_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    csv_file("x,y\n1,2\n", "ONE")
    result = cli(*[str(faithful) if argument == "DATA" else argument for argument in arguments])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"gaussmix: {sentence}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "-h"], ["predict", "--help"], ["--version"]])
def test_help_is_no_error(arguments, cli):
    result = cli(*arguments)
    assert result.exit_code == 0
    assert "gaussmix" in result.stdout


@pytest.mark.heavy
def test_a_process_fits_and_predicts(shell, faithful, tmp_path):
    fit = shell("fit", faithful, "-k", "1:3", "-o", tmp_path / "m.gmm")
    said, complaints = fit.communicate(timeout=60)
    assert fit.returncode == 0
    assert "lowest BIC" in said
    assert "fitting" not in said + complaints, "progress is for terminals"
    assert "\x1b" not in said
    predict = shell("predict", tmp_path / "m.gmm", faithful)
    said, _ = predict.communicate(timeout=60)
    assert predict.returncode == 0
    assert said.count("\n") == 273


@pytest.mark.heavy
def test_an_error_is_a_sentence_in_a_process_too(shell):
    process = shell("fit", "none.csv")
    said, complaints = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, "")
    assert complaints.endswith("gaussmix: none.csv: No such file or directory.\n")
    assert "Traceback" not in complaints


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize(
    ("package", "verb"), [("click", "--help"), ("rich", "fit"), ("pyarrow", "fit"), ("pyarrow", "sample")]
)
def test_without_the_extra_one_sentence_says_what_to_install(package, verb, shell):
    process = shell(verb, prelude=f"import sys\nsys.modules[{package!r}] = None")
    said, complaints = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, "")
    assert complaints == f"gaussmix: the command line needs {package}: install gaussmix[cli].\n"


@pytest.mark.heavy
@pytest.mark.parametrize("n_rows", [1, 20_000], ids=["at the end", "in the middle"])
def test_a_reader_that_leaves_is_no_error_to_speak_of(n_rows, shell, model, csv_file):
    path = csv_file("eruptions,waiting\n" + "3.6,79\n" * n_rows)
    process = shell("predict", model, path)
    if n_rows > 1:
        process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        complaints = process.stderr.read()
    assert process.wait(60) == 1
    assert "Traceback" not in complaints
    assert "pipe" not in complaints.lower()


def test_a_full_disk_of_copies_is_told_in_options(cli, faithful, tmp_path, monkeypatch):
    def write(table, path, advice):
        raise OSError(errno.ENOSPC, f"No space left on device; {advice}", str(path))

    monkeypatch.setattr(batches, "write", write)
    said = cli("fit", faithful, "-k", 1, "--cache", tmp_path / "kept").stderr
    assert said.endswith("name a folder on a larger disk by --cache.\n")


@pytest.mark.heavy
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
def test_a_full_disk_is_a_sentence(shell, model, faithful):
    with open("/dev/full", "w") as full:
        process = shell("predict", model, faithful, stdout=full)
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert complaints.endswith("gaussmix: No space left on device.\n")
    assert "Traceback" not in complaints


@pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")
class TestTerminal:
    @pytest.mark.heavy
    def test_progress_is_shown_and_an_interrupt_is_quiet(self, shell, csv_file, rng):
        import pty

        text = "\n".join(f"{x},{y}" for x, y in rng.normal(size=(20_000, 2)))
        ours, theirs = pty.openpty()
        # Python leaves SIGINT ignored where its parent ignores it, as behind "&" in a script.
        heeding = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
        endless = "-k", "20:500", "--tol", 0, "--max-iter", 100_000
        process = shell("fit", csv_file("x,y\n" + text), *endless, stderr=theirs, prelude=heeding)
        os.close(theirs)
        seen = self.read_until(ours, b"fitting")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        seen += self.read_until(ours, None)
        os.close(ours)
        assert process.returncode == 130
        assert said == ""
        assert b"Traceback" not in seen

    @pytest.mark.heavy
    @pytest.mark.parametrize("verb", ["fit", "predict"])
    def test_progress_of_files_is_in_rows_and_bytes(self, verb, shell, tmp_path, rng):
        import pty

        np.save(tmp_path / "rows.npy", rng.normal(size=(300_000, 2)))
        Mixture([1.0], np.zeros((1, 2)), np.eye(2)[None], FAMILIES["full"]).save(tmp_path / "m.gmm")
        ours, theirs = pty.openpty()
        work = {
            "fit": ("fit", tmp_path / "rows.npy", "-k", 2, "--memory", "2MB", "--max-iter", 20, "--tol", 0),
            "predict": ("predict", tmp_path / "m.gmm", tmp_path / "rows.npy", "-o", tmp_path / "out.npy"),
        }
        process = shell(*work[verb], stderr=theirs)
        os.close(theirs)
        seen = self.read_until(ours, None).decode()
        process.communicate(timeout=60)
        os.close(ours)
        assert process.returncode == 0
        assert re.search(r"pass [1-9].* \d+\.\d\dM rows/s, \d+ MB/s", seen)

    def read_until(self, terminal, wanted):
        """What appears on a terminal, up to some bytes or to the end of the process."""
        seen, end = b"", time.monotonic() + 60
        while (wanted is None or wanted not in seen) and time.monotonic() < end:
            try:
                part = os.read(terminal, 4096)
            except OSError:  # Linux says so when nobody holds the other end
                break
            if not part:
                break
            seen += part
        assert wanted is None or wanted in seen
        return seen


@pytest.mark.parametrize("name", ["X.csv", "tol.csv", "X", "data/X.csv", "memory=.csv"])
@pytest.mark.parametrize("text", [None, "a,b\n"], ids=["absent", "no rows"])
def test_names_of_files_stay_as_they_are(name, text, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    if text is not None:
        (tmp_path / name).write_text(text)
    result = cli("fit", name, "--format", "csv")
    assert result.exit_code == 1
    assert name in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit", "x.csv", "--memory", "3"), "'3' is 3 bytes; write 512MB or 3GB."),
        (("fit", "x.csv", "--clusters", "3"), "No such option '--clusters'. Did you mean '-k'?"),
        (
            ("fit", "x.csv", "--covariance-type", "full"),
            "Did you mean '--structure'?",
        ),
        (("x.csv",), "x.csv is a file: say first what to do with it, as in 'gaussmix fit FILE'."),
        (("fit", "x.csv", "--exclude", "x,y"), "x.csv has no column besides 'x', 'y', which are left out."),
        (("fit", "x.csv", "--criterion", "BIC", "-k", "9"), "fewer rows than components."),
        (("fit", "folder"), "folder: the folder holds no file."),
        (
            ("fit", "kinds"),
            "'.b' and '.c' and '.csv' and 2 more: name one kind, as in 'kinds/*.csv'.",
        ),
        (("predict", "x.csv", "m.gmm"), "x.csv is a table, not a model. Name the model first, and then the table."),
        (("predict", "m.gmm", "x.csv", "--threshold", "3"), "'3' is not a number between 0 and 1; write 0.01."),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(words, said, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("x,y\n1,2\n3,4.5\n")
    for folder, endings in (("folder", ()), ("kinds", ("a", "b", "c", "csv", "d", "e"))):
        (tmp_path / folder).mkdir()
        for ending in endings:
            (tmp_path / folder / f"part.{ending}").touch()
    result = cli(*words)
    assert result.exit_code in (1, 2)
    assert said in result.stderr
