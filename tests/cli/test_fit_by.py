"""`gaussmix fit --by`: a mixture for each group of a table, and what the other verbs say of the file."""

import json

import numpy as np
import pandas as pd
import pytest

from gaussmix import Mixtures, fit_many


@pytest.fixture
def readings(tmp_path, rng):
    """A table of three sensors with 50 rows each, and one with a single row."""
    frame = pd.DataFrame({"sensor": [*np.repeat(["b", "a", "7"], 50), "roof"]})
    for name in ("x", "y", "w"):
        frame[name] = rng.random(151)
    frame.to_csv(tmp_path / "readings.csv", index=False)
    return tmp_path / "readings.csv", frame


def test_the_mixtures_are_those_of_fit_many(cli, readings, tmp_path):
    path, frame = readings
    result = cli("fit", path, "--by", "sensor", "-k", 2, "--weights", "w", "-o", tmp_path / "many.gmm")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].endswith("readings.csv: 151 rows, 2 features (x, y), 4 groups by 'sensor'")
    assert lines[1].startswith("K = 2, full covariances: 3 fitted in ")
    assert lines[2].startswith("Without a mixture: 'roof': Found array with 1 sample(s)")
    assert lines[-1] == f"Mixtures written to {tmp_path / 'many.gmm'}"
    assert result.stderr.startswith("gaussmix: 1 of 4 groups ('roof') could not be fitted.")
    found = Mixtures.load(tmp_path / "many.gmm")
    with pytest.warns(RuntimeWarning, match="roof"):
        expected = fit_many(frame[["sensor", "x", "y"]], 2, by="sensor", sample_weight=frame["w"], random_state=0)
    assert found.keys == ("b", "a", "7", "roof")
    assert found.feature_names == ("x", "y")
    for name in ("weights", "means", "covariances", "n_iter"):
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes()


def test_settings_that_are_given_count(cli, readings, tmp_path):
    path, frame = readings
    options = ["--columns", "y", "--start", "hierarchical", "--tol", "1e-6", "-s", "diag", "--seed", 3, "-q"]
    result = cli("fit", path, "--by", "sensor", "-k", 3, *options, "-o", tmp_path / "many.gmm")
    assert (result.exit_code, result.output) == (0, "")
    settings = {"init_params": "hierarchical", "tol": 1e-6, "covariance_type": "diag", "random_state": 3}
    with pytest.warns(RuntimeWarning, match="roof"):
        expected = fit_many(frame[["sensor", "y"]], 3, by="sensor", **settings)
    assert Mixtures.load(tmp_path / "many.gmm").means.tobytes() == expected.means.tobytes()


def test_parquet_has_keys_of_its_type(cli, tmp_path, rng):
    frame = pd.DataFrame({"cell": [30, 4] * 40, "x": rng.random(80)})
    frame.loc[1, "x"] = np.nan
    frame.to_parquet(tmp_path / "cells.parquet")
    said = json.loads(cli("fit", tmp_path / "cells.parquet", "--by", "cell", "-k", 1, "--json").stdout)
    assert said["by"] == "cell"
    assert said["n_rows"] == 80
    assert [group["key"] for group in said["groups"]] == [30, 4]
    assert said["groups"][0]["n_steps"] > 0
    assert said["groups"][1]["failed"].startswith("Input X contains NaN: row 0, column 'x'")
    with_holes = cli("fit", tmp_path / "cells.parquet", "--by", "cell", "-k", 1, "--missing", "--json").stdout
    assert json.loads(with_holes)["groups"][1]["n_steps"] > 0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["-k", "1:3"], "give one number after -k"),
        ([], "give one number after -k"),
        (["-k", 2, "-s", "full,diag"], "one structure"),
        (["-k", 2, "-s", "all"], "one structure"),
        (["-k", 2, "--criterion", "aic"], "--criterion has no meaning with --by"),
        (["-k", 2, "--memory", "1GB"], "--memory has no meaning with --by"),
        (["-k", 2, "--checkpoint", "fit.ckpt"], "--checkpoint has no meaning with --by"),
        (["-k", 2, "--max-time", 9], "--max-time has no meaning with --by"),
        (["-k", 2, "--weights", "sensor"], "can't be a feature or the weight"),
        (["-k", 2, "--columns", "x,sensor"], "can't be a feature or the weight"),
    ],
)
def test_options_that_do_not_go_with_groups(cli, readings, arguments, match):
    result = cli("fit", readings[0], "--by", "sensor", *arguments)
    assert result.exit_code == 2
    assert match in result.stderr


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--by", "place", "-k", 2], "has no column 'place'; it has 'sensor', 'x', 'y', 'w'."),
        (["--by", "sensor", "-k", 2, "--columns", "z"], "has no column 'z'"),
        (["--by", "sensor", "-k", 60], "No group of "),
    ],
)
def test_tables_that_do_not_go_with_groups(cli, readings, arguments, match):
    result = cli("fit", readings[0], *arguments, "-q")
    assert result.exit_code == 1
    assert match in result.stderr


@pytest.mark.parametrize(("cell", "options"), [("", []), ("?", ["--na", "?"])])
def test_rows_of_no_group_are_refused_by_their_line(cell, options, cli, csv_file):
    path = csv_file(f"g,x,y\na,1,2\na,,3\na,2,1\n{cell},3,4\nb,4,5\nb,5,7\n")
    result = cli("fit", path, "--by", "g", "-k", 1, "--drop-missing", *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{path}, line 5, column 'g': the cell names no group. Fill the cell, or remove the row." in result.stderr


def test_describe_says_how_many_groups_there_are(cli, readings, tmp_path):
    assert cli("fit", readings[0], "--by", "sensor", "-k", 2, "-q", "-o", tmp_path / "many.gmm").exit_code == 0
    lines = cli("describe", tmp_path / "many.gmm").stdout.splitlines()
    assert lines[0].endswith("many.gmm: 3 features (x, y, w), 4 groups")
    assert lines[1] == "K = 2, full covariances: 3 fitted"
    assert lines[2].startswith("Without a mixture: 'roof'")
    said = json.loads(cli("describe", tmp_path / "many.gmm", "--json").stdout)
    assert [group["key"] for group in said["groups"]] == ["b", "a", "7", "roof"]
    assert said["groups"][0]["means"] == Mixtures.load(tmp_path / "many.gmm")[0].means.tolist()


@pytest.mark.parametrize("verb", [["predict"], ["score"], ["sample", "-n", 3]])
def test_verbs_of_one_mixture_say_what_the_file_holds(verb, cli, readings, tmp_path):
    assert cli("fit", readings[0], "--by", "sensor", "-k", 2, "-q", "-o", tmp_path / "many.gmm").exit_code == 0
    data = [] if verb[0] == "sample" else [readings[0]]
    result = cli(verb[0], tmp_path / "many.gmm", *data, *verb[1:])
    assert result.exit_code == 1
    assert "it holds the mixtures of many groups, which gaussmix.Mixtures.load reads." in result.stderr
