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


def test_describe_says_how_many_groups_there_are(cli, readings, tmp_path):
    assert cli("fit", readings[0], "--by", "sensor", "-k", 2, "-q", "-o", tmp_path / "many.gmm").exit_code == 0
    lines = cli("describe", tmp_path / "many.gmm").stdout.splitlines()
    assert lines[0].endswith("many.gmm: 3 features (x, y, w), 4 groups")
    assert lines[1] == "K = 2, full covariances: 3 fitted"
    assert lines[2].startswith("Without a mixture: 'roof'")
    said = json.loads(cli("describe", tmp_path / "many.gmm", "--json").stdout)
    assert [group["key"] for group in said["groups"]] == ["b", "a", "7", "roof"]
    assert said["groups"][0]["means"] == Mixtures.load(tmp_path / "many.gmm")[0].means.tolist()
