"""Fixtures that call the command line in this process, and as a user's shell would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import gaussmix
from gaussmix._src.cli.program import program
from gaussmix._src.sources.files.arrow import TableReader

FAITHFUL = Path(__file__).parents[2] / "examples" / "faithful.csv"


@pytest.fixture
def cli():
    """Return a function that runs a command in this process, with a terminal that is wide enough for all tables."""

    def run(*arguments, width=120, input=None):
        runner = CliRunner(env={"COLUMNS": str(width)})
        return runner.invoke(program, [str(argument) for argument in arguments], input=input)

    return run


@pytest.fixture
def shell():
    """Return a function that starts a command in a separate process."""
    source = str(Path(gaussmix.__file__).parents[1])

    started = []

    def start(*arguments, prelude="", **options):
        runs = [sys.executable, "-m", "gaussmix"]
        if prelude:  # the prelude is code that runs before the command line is imported
            runs = [sys.executable, "-c", f"{prelude}\nfrom gaussmix._src.cli import main\nmain()"]
        environment = {**os.environ, "PYTHONPATH": source, "PYTHONUTF8": "1"}
        # Output is buffered, as for users, so that write errors are raised later.
        environment.pop("PYTHONUNBUFFERED", None)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        started.append(subprocess.Popen([*runs, *map(str, arguments)], env=environment, text=True, **pipes))
        return started[-1]

    yield start
    for process in started:  # a failed test may have left a process running
        process.kill()
        process.wait()


@pytest.fixture
def faithful(tmp_path):
    """Return the path of a copy of Old Faithful, which a command may overwrite."""
    return Path(shutil.copy(FAITHFUL, tmp_path / "input.csv"))


@pytest.fixture
def csv_file(tmp_path):
    """Return a function that writes text or bytes to a file."""

    def write(contents, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        return path

    return write


@pytest.fixture
def read_features():
    """Return a function that reads the features of a table: names, rows, and notices about other columns."""

    def read(table, columns=None):
        reader = TableReader(table, columns)
        rows = np.concatenate(list(table.rows(reader.names, 50_000)))
        return SimpleNamespace(names=tuple(reader.names), rows=rows, notices=reader.notices)

    return read


@pytest.fixture
def model(cli, faithful, tmp_path):
    """Fit two components to Old Faithful, and return the path of the model file."""
    path = tmp_path / "faithful.gmm"
    assert cli("fit", faithful, "-k", 2, "-s", "full", "-o", path, "--quiet").exit_code == 0
    return path
