"""The worked examples run, and mixtures do well in them; there are fewer folds than for the printed tables."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def compared(name, **options):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["compare"](**options)


def test_regression_example_beats_a_straight_line():
    results = compared("regression", n_folds=2)
    error, inside, width, log_density = results["mixture"]
    assert error < results["straight line"][0]
    assert width < results["straight line"][2]
    assert log_density > results["straight line"][3]
    assert 0.8 < inside < 0.98


def test_outliers_example_beats_an_elliptic_envelope():
    results = compared("outliers", n_halves=1)
    area, false_alarms, detected = results["mixture"]
    assert area > results["elliptic envelope"][0]
    assert detected > results["elliptic envelope"][2]
    assert false_alarms < 0.15


@pytest.mark.heavy
def test_classification_example_beats_a_random_forest():
    results = compared("classification", n_folds=3, n_repeats=1)
    accuracy, loss = results["one component each, BIC"]
    assert accuracy > 0.96
    assert loss < results["random forest"][1]


def test_trimming_example_recovers_the_species():
    results = compared("trimming", n_init=1)
    for name in ("trimmed mixture", "the same, bounded"):
        agreement, detected = results[name]
        assert agreement > results["plain mixture"][0] + 0.3
        assert agreement > results["tclust"][0] - 0.05  # one flower of the wrong species is 0.02
        assert detected >= results["tclust"][1]


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore:.*Early stopping criterion not reached")
def test_missing_cells_example_has_the_smallest_error():
    results = compared("missing_cells", n_times=1)
    error, correlation = results["mixture"]
    assert error < results["one equation per column"][0]
    assert error < results["nearest rows"][0]
    assert correlation < 0.5 * results["mean of the column"][1]


def test_stars_example_recovers_the_spread_from_known_errors():
    results = compared("stars", n_stars=1500, n_times=1)
    spread, fraction, right = results["with errors"]
    assert spread == pytest.approx(0.3, abs=0.06)
    assert fraction == pytest.approx(0.3, abs=0.05)
    assert right > results["without"][2]
    assert results["without"][0] > 0.38


@pytest.mark.parametrize(
    ("cluster", "needs"),
    [pytest.param("on a Dask cluster", "distributed", marks=pytest.mark.heavy), ("on Spark", "pyspark")],
)
def test_larger_than_memory_example_gives_the_same_model_file_everywhere(cluster, needs, monkeypatch):
    """Compare models of 130,000 rows, which are never in memory at once if they are read from files."""
    pytest.importorskip(needs)
    # Java's second compiler takes longer than it saves in such a short job.
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--driver-java-options -XX:TieredStopAtLevel=1 pyspark-shell")
    names = "in memory", "from files, limited", cluster
    results = compared("larger_than_memory", n_rows=130_000, memory="4 MB", limit=0, names=names)
    digest = results["in memory"]
    assert len(digest) == 64
    assert results == dict.fromkeys(names, digest)


@pytest.mark.parametrize(
    ("name", "n_columns"),
    [("regression", 4), ("outliers", 3), ("classification", 2), ("trimming", 2), ("missing_cells", 2), ("stars", 3)],
)
def test_examples_print_their_tables(name, n_columns, capsys):
    main = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]
    main.__globals__["compare"] = lambda: {"a mixture": (0.5,) * n_columns}
    main()
    assert "a mixture" in capsys.readouterr().out


def test_noise_example_protects_components_from_outliers():
    results = compared("noise", n_tables=2)
    (shift, growth, detected), plain = results["with noise"], results["plain"]
    assert shift < plain[0] / 3
    assert growth < plain[1] / 3
    assert detected > 0.7


def test_labels_example_is_more_accurate_with_some_labels():
    results = compared("labels", n_draws=4)
    assert results["mixture, labels"] > results["mixture, no labels"] + 0.01
    assert results["mixture, labels"] > 0.93
