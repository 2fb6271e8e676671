"""Tests of `gaussmix fit`: the chosen models, the output, the messages, and --by for one mixture per group."""

import json
import os
import re
import signal
import time
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from common import mixture_and_details
from pyarrow import parquet

from gaussmix import FAMILIES, GaussianMixture, Mixture, Mixtures, Restrictions, fit_many

# The defaults of the command line.
SETTINGS = {"tol": 1e-6, "reg_covar": 0.0, "max_iter": 1000, "init_params": "auto"}


def test_fit_prints_the_candidates_and_the_best_mixture_of_old_faithful(cli, faithful, tmp_path):
    result = cli("fit", faithful, "-k", "1:6", "-s", "full", "-o", tmp_path / "faithful.gmm")
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].endswith("input.csv: 272 rows, 2 features (eruptions, waiting)")
    (best,) = (line for line in lines if "lowest BIC" in line)
    assert best.split() == ["2", "-1130.26", "2322.19", "2", "yes", "←", "lowest", "BIC"]
    (first,) = (line for line in lines if line.startswith("        1  "))
    assert first.startswith("        1  0.6441  175.2  4.290 ± 0.412  79.97 ± 6.00  ")
    assert lines[-1] == f"Model written to {tmp_path / 'faithful.gmm'}"


def test_fit_writes_the_model_that_the_estimator_fits(faithful, model):
    rows = np.loadtxt(faithful, delimiter=",", skiprows=1)
    estimator = GaussianMixture(2, random_state=0, **SETTINGS).fit(rows)
    mixture, details = mixture_and_details(model)
    for name in ("weights", "means", "covariances"):
        assert np.array_equal(getattr(mixture, name), getattr(estimator.mixture_, name))
    assert details.feature_names == ("eruptions", "waiting")
    assert details.dtype == "float64"
    assert (details.fit.n_rows, details.fit.row_weight, details.fit.n_steps) == (272, 272.0, estimator.n_iter_)
    assert details.fit.log_likelihood == pytest.approx(estimator.score_samples(rows).sum(), rel=1e-14)
    assert details.fit.has_converged
    expected = SETTINGS | {"covariance_type": "full", "random_state": 0, "n_init": 1}
    assert {key: details.fit.settings[key] for key in expected} == expected
    assert np.array_equal(GaussianMixture.load(model).weights_, estimator.weights_)


def test_fit_prints_the_candidates_and_the_chosen_mixture_as_json(cli, faithful):
    result = cli("fit", faithful, "-k", "3,1:2,2", "-s", "full", "--json")
    output = json.loads(result.stdout)
    assert [candidate["n_components"] for candidate in output["candidates"]] == [1, 2, 3]
    bics = [candidate["bic"] for candidate in output["candidates"]]
    assert output["chosen"]["n_components"] == 1 + int(np.argmin(bics)) == 2
    assert np.shape(output["chosen"]["covariances"]) == (2, 2, 2)
    assert output["feature_names"] == ["eruptions", "waiting"]
    assert output["model"] is None
    assert output["candidates"][1]["has_converged"] is True


OPTIONS = {"random_state": 7, "n_init": 3, "tol": 0.01, "max_iter": 50, "reg_covar": 0.5}


@pytest.mark.parametrize(
    ("options", "params", "stored"),
    [
        (["--seed", 7, "--n-init", 3, "--tol", 0.01, "--max-iter", 50, "--reg-covar", 0.5, "--jobs", 1], OPTIONS, {}),
        (["--start", "search"], {"init_params": "search"}, {}),
        (["--start", "random, kmeans"], {"init_params": ["random", "kmeans"]}, {"init_params": "random,kmeans"}),
    ],
)
def test_fit_passes_its_options_to_the_estimator(options, params, stored, cli, faithful, tmp_path):
    assert cli("fit", faithful, "-k", 4, "-s", "full", *options, "-o", tmp_path / "m.gmm").exit_code == 0
    rows = np.loadtxt(faithful, delimiter=",", skiprows=1)
    mixture, details = mixture_and_details(tmp_path / "m.gmm")
    estimator = GaussianMixture(4, **({"random_state": 0} | SETTINGS | params)).fit(rows)
    assert np.array_equal(mixture.covariances, estimator.mixture_.covariances)
    assert {name: details.fit.settings[name] for name in params} == params | stored
    assert {name: GaussianMixture.load(tmp_path / "m.gmm").get_params()[name] for name in params} == params
    for name, value in stored.items():
        assert f"{name}={value}, " in cli("describe", tmp_path / "m.gmm").stdout


def test_fit_passes_prior_and_equal_weights_to_the_estimator(cli, faithful, tmp_path):
    options = ["-s", "full", "--prior", "default", "--equal-weights", "-o", tmp_path / "m.gmm"]
    assert cli("fit", faithful, "-k", 2, *options).exit_code == 0
    rows = np.loadtxt(faithful, delimiter=",", skiprows=1)
    terms = {"prior": "default", "restrictions": Restrictions(equal_weights=True)}
    estimator = GaussianMixture(2, random_state=0, **terms, **SETTINGS).fit(rows)
    mixture, details = mixture_and_details(tmp_path / "m.gmm")
    assert np.array_equal(mixture.covariances, estimator.mixture_.covariances)
    settings = details.fit.settings
    assert (settings["prior"], settings["restrictions"]) == ("default", "Restrictions(equal_weights=True)")
    scores = json.loads(cli("score", tmp_path / "m.gmm", faithful, "--json").stdout)
    assert scores["n_parameters"] == estimator.n_parameters_ == mixture.n_parameters - 1
    assert scores["bic"] == pytest.approx(estimator.bic(rows), rel=1e-12)
    assert json.loads(cli("describe", tmp_path / "m.gmm", "--json").stdout)["n_parameters"] == estimator.n_parameters_


def test_fit_reports_that_the_best_k_is_the_largest_candidate(cli, faithful):
    assert "K = 2 is the largest tried" in cli("fit", faithful, "-k", "1:2").stdout
    assert "is the largest" not in cli("fit", faithful, "-k", "1:4").stdout
    assert "is the largest" not in cli("fit", faithful, "-k", "2").stdout


def test_quiet_fit_prints_nothing(cli, csv_file):
    result = cli("fit", csv_file("name,x\na,1\nb,2\nc,4\n"), "-k", "1", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("command", ["fit --by name -k 1", "classify --labels name", "report -k 1 -o page.html"])
def test_subcommands_report_columns_that_are_left_out(command, cli, csv_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = csv_file(
        "name,,x,when,y\n" + "".join(f"{'ab'[i % 2]},{7 * i},{i % 5},2020-01-02,{i % 7}\n" for i in range(20))
    )
    name, *more = command.split()
    tables = [table] * (2 if name == "classify" else 1)
    notices = cli(name, *tables, *more).stderr.splitlines()
    first_notices = ["gaussmix: left out column 'name': line 2 contains 'a', not a number."] if name == "report" else []
    assert notices[: 2 + len(first_notices)] == [
        *first_notices,
        "gaussmix: left out column '': it is the index of a data frame.",
        "gaussmix: left out column 'when': it contains dates, times or durations; write them as numbers first, such as "
        "days since the first.",
    ]


def test_fit_reports_columns_with_only_two_values_first(cli, csv_file, rng):
    lines = [f"{x},{y},{x > 0},{int(y > 0)},1" for x, y in rng.normal(size=(60, 2)).tolist()]
    table = csv_file("\n".join(["x,y,member,urban,one", *lines, ",,,,"]) + "\n")
    notes = cli("fit", table, "-k", "1:3", "-s", "full", "--exclude", "one").stderr.splitlines()
    assert notes[0].startswith("gaussmix: Only two values occur in columns 'member', 'urban': labels, not measure")
    assert "Leave such columns out by --exclude and compare" in notes[0]
    assert notes[0].endswith("fit the rows of each value alone (--by).")
    assert "could not be fitted" in notes[1]
    assert "two values" not in cli("fit", table, "-k", 1, "--columns", "x,y").stderr
    assert "two values" not in cli("fit", csv_file("x\n1\n2\n1\n"), "-k", 1).stderr


def test_fit_help_and_errors_list_the_same_structures(cli):
    listed = " ".join(cli("fit", "--help").stdout.split()).partition("or all: ")[2].partition(".")[0]
    assert f"is not one of {', '.join(map(repr, listed.split(', ')))}, 'all'" in cli("fit", "x.csv", "-s", "x").stderr


def test_all_subcommands_accept_missing_values(cli, csv_file, tmp_path):
    table, model = csv_file("a,b\n1,2\n2,\n,3\n4,6\n5,5\n"), tmp_path / "m.gmm"
    assert "5 rows, 2 features (a, b), 2 cells missing" in cli("fit", table, "-k", 1, "-o", model).stdout
    assert json.loads(cli("fit", table, "-k", 1, "--missing", "--json").stdout)["n_missing"] == 2
    for command in ("predict", "score", "impute", "describe --inference", f"plot -o {tmp_path / 'p.png'}"):
        name, *more = command.split()
        assert cli(name, model, *more, table).exit_code == 0
    one = cli("predict", model, csv_file("a,b\n1,\n", "one.csv"))
    assert one.stdout.splitlines()[1].startswith("1,,0,1.0,")


def test_fit_rejects_invalid_options_before_it_reads_the_table(cli, csv_file):
    result = cli("fit", csv_file("name,x\na,1\nb,2\nc,4\n"), "-k", 1, "--n-factors", 2)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_columns_option_selects_and_orders_the_features(cli, csv_file, tmp_path):
    path = csv_file("name,x,y,z\na,1,2,0\nb,3,4.5,\nc,5,1,0\n")
    result = cli("fit", path, "-k", 1, "--columns", "y,x", "--columns", "x", "-o", tmp_path / "m.gmm")
    assert (result.exit_code, result.stderr) == (0, "")
    mixture, details = mixture_and_details(tmp_path / "m.gmm")
    assert details.feature_names == ("y", "x")
    assert mixture.means[0] == pytest.approx([2.5, 3.0], rel=1e-15)


def test_fit_lists_candidates_that_failed_and_fits_the_remaining_ones(cli, csv_file):
    path = csv_file("x,y\n1,2\n3,4.5\n5,1\n")
    result = cli("fit", path, "-k", "1,2,4", "-s", "full", "--reg-covar", 0)
    assert result.exit_code == 0
    failures = [line for line in result.stdout.splitlines() if "failed" in line]
    assert [line.split()[0] for line in failures] == ["2", "4"]
    assert "failed: singular covariance: component" in failures[0]
    assert "failed: fewer rows than components" in failures[1]
    found = json.loads(cli("fit", path, "-k", "1,4", "-s", "full", "--json").stdout)
    assert found["candidates"][1] == {"structure": "full", "n_components": 4, "failed": "fewer rows than components: 3"}


def test_fit_marks_candidates_whose_covariance_rests_on_reg_covar(cli, csv_file):
    rows = [*np.random.default_rng(0).normal(size=(60, 2)), [90, 91], [90, 91]]
    path = csv_file("x,y\n" + "".join(f"{x},{y}\n" for x, y in rows))
    arguments = "fit", path, "-k", "1,2", "-s", "full,diag", "--reg-covar", 1e-6
    stdout = cli(*arguments).stdout
    assert re.search(r"\? Components have few distinct rows, or rest on --reg-covar: .* Component . rests on", stdout)
    marked = [each["warning"] is not None for each in json.loads(cli(*arguments, "--json").stdout)["candidates"]]
    assert marked == [False, True, False, True]
    assert len(re.findall(r"\d\?", stdout)) == 4  # two candidates are marked in each of two tables


def test_fit_reports_candidates_that_have_not_converged(cli, faithful):
    result = cli("fit", faithful, "-k", "5,6", "-s", "full", "--start", "kmeans", "--max-iter", 2)
    assert result.exit_code == 0
    assert result.stderr == "gaussmix: K = 5, 6: not converged; raise --max-iter or --tol.\n"
    assert [line.split()[-1] for line in result.stdout.splitlines() if line[:3] == "6  "] == ["no"]


def test_fit_prints_the_candidates_that_were_fitted_within_max_time(cli, faithful, tmp_path):
    result = cli("fit", faithful, "-k", "1:4", "-s", "full", "--max-time", 0, "-o", tmp_path / "m.gmm")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "gaussmix: --max-time was reached before 3 of 4 candidates were started; raise --max-time or try fewer "
        "candidates.",
        "gaussmix: K = 1: not converged; raise --max-time, --max-iter or --tol.",
    ]
    assert result.stdout.count("not started when --max-time was reached") == 3
    assert "failed" not in result.stdout
    assert "ended       --max-time was reached before the mean" in cli("describe", tmp_path / "m.gmm").stdout
    several = cli("fit", faithful, "-k", "1:4", "-s", "full,EII", "--max-time", 0)
    assert "– 7 not started when --max-time was reached.\n" in several.stdout
    quiet = cli("fit", faithful, "-k", "1:4", "--max-time", 0, "--quiet")
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_fit_passes_tol_auto_to_the_estimator_and_reports_why_em_ended(cli, faithful, tmp_path):
    result = cli("fit", faithful, "-k", 2, "-s", "full", "--tol", "auto", "-o", tmp_path / "m.gmm")
    sentence = "Further steps would gain less than 1e-4 nats per row."
    assert re.search(
        f"Ended after [0-9]+ steps. {sentence} Further steps may gain [0-9.e-]+ nats per row",
        " ".join(result.stdout.split()),
    )
    described = cli("describe", tmp_path / "m.gmm").stdout
    assert f"ended       {sentence}" in described
    assert "The fit is near a maximum" not in described  # otherwise the sentence would appear twice in the output
    assert mixture_and_details(tmp_path / "m.gmm")[1].fit.settings["tol"] == "auto"
    outcome = json.loads(cli("fit", faithful, "-k", 2, "-s", "full", "--check-maximum", "--json").stdout)["outcome"]
    assert outcome["is_maximum"]
    assert 0 <= outcome["remaining_gain"] < 1e-4
    outcome = json.loads(cli("fit", faithful, "-k", 2, "-s", "full", "--json").stdout)["outcome"]
    assert (outcome["reason"], outcome["n_starts"]) == ("The mean log-likelihood changed by less than tol.", 1)


def test_fit_of_several_structures_prints_the_best_and_a_criterion_matrix(cli, faithful):
    result = cli("fit", faithful, "-k", "1:4", "-s", "full,tied,spherical")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[2].split() == ["structure", "K", "log-likelihood", "BIC", "steps", "converged"]
    assert lines[4].split()[:2] == ["tied", "3"]
    assert lines[4].endswith("yes  ← lowest BIC")
    assert sum(line.split()[:1] == ["tied"] for line in lines) == 5
    (row,) = (line.split() for line in lines if line.startswith("tied ") and "*" in line)
    assert row == ["tied", "2607.6", "2325.2", "2314.3*", "2320.1"]
    assert "K = 3, tied covariances, mean ± sd:" in lines


def test_a_criterion_matrix_wider_than_the_terminal_is_split(cli, faithful):
    lines = cli("fit", faithful, "-k", "1:8", "-s", "tied,diag", "--max-iter", 2, width=72).stdout.splitlines()
    headings = [line for line in lines if line.startswith("structure   K = ") or line.startswith("structure    K = ")]
    assert len(headings) == 2
    assert " ".join(headings).split().count("K") == 8
    assert max(map(len, lines[1:])) <= 72


@pytest.mark.heavy
def test_fit_by_cross_validation_marks_the_simplest_candidate_within_an_error(cli, faithful):
    result = cli("fit", faithful, "-k", "1:8", "-s", "EII,VII,EEI,tied,full", "--criterion", "cv")
    assert result.exit_code == 0
    # the phrase occurs in the list and in the matrix
    assert sum("simplest within an error" in line for line in result.stdout.splitlines()) == 2


def test_fit_tries_all_structures_by_default(cli, faithful):
    output = json.loads(cli("fit", faithful, "-k", "1", "--json").stdout)
    assert [candidate["structure"] for candidate in output["candidates"]] == [
        name for name, family in FAMILIES.items() if family.in_all
    ]


def test_fit_by_stability_also_reports_the_lowest_bic(cli, faithful):
    result = cli("fit", faithful, "-k", "2:4", "-s", "full,tied", "--criterion", "stability")
    assert result.exit_code == 0
    # the phrase occurs in the list and in the matrix
    assert sum("highest stability" in line for line in result.stdout.splitlines()) == 2
    assert "Stability chose K = " in result.stdout
    assert "BIC is lowest for " in result.stdout


def test_fit_limits_the_output_for_many_features_to_the_terminal_width(cli, csv_file, rng):
    rows = rng.normal(size=(30, 40))
    text = ",".join(f"feature_number_{at}" for at in range(40)) + "\n"
    text += "\n".join(",".join(map(repr, row)) for row in rows.tolist()) + "\n"
    result = cli("fit", csv_file(text), "-k", 1, "-s", "diag", width=80)
    assert "30 rows, 40 features (feature_number_0, " in result.stdout
    assert max(map(len, result.stdout.splitlines()[1:])) <= 80
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["component", "0"] in lines
    (row,) = (line for line in lines if line[:1] == ["feature_number_37"])
    assert row[2] == "±"
    assert ["…", "4", "more"] in lines  # omitted rows: three features, and the nearest component with its overlap


def test_fit_prints_markup_in_column_names_literally(cli, csv_file):
    result = cli("fit", csv_file("[red]x:smile:,\x1b[31my\n1,2\n3,5\n4,4\n"), "-k", 1)
    assert result.exit_code == 0
    assert result.stdout.count("[red]x:smile:") == 2
    assert "\x1b" not in result.stdout


def test_fit_prints_as_many_digits_as_the_standard_deviation_needs(cli, csv_file):
    path = csv_file("a,b,c\n1e-9,1e12,1000000001\n3e-9,3e12,1000000003\n2e-9,2e12,1000000002\n")
    result = cli("fit", path, "-k", 1, "-s", "diag")
    assert "2e-09 ± 8.16e-10  2e+12 ± 8.16e+11  1000000002 ± 0.816" in result.stdout


@pytest.mark.heavy
def test_fit_compares_n_factors_and_stores_the_best(cli, tmp_path, rng):
    rows = np.vstack(
        [rng.normal(size=(200, 1)) * loadings + rng.normal(size=(200, 4)) for loadings in ([3, 2, 1, 0], [0, 1, 2, 3])]
    )
    np.save(tmp_path / "rows.npy", rows)
    arguments = "-k", "1:2", "-s", "factor_analyzer,diag", "--n-factors", "1,2,9", "--noise-variance", "isotropic"
    result = cli("fit", tmp_path / "rows.npy", *arguments, "-o", tmp_path / "m.gmm")
    assert result.exit_code == 0
    assert "factor_analyzer 2" in result.stdout
    assert "2 failed: too many factors." in result.stdout
    mixture = Mixture.load(tmp_path / "m.gmm")
    output = f"factor_analyzer covariances (n_factors={mixture.family.n_factors}, noise=isotropic)"
    assert output in result.stdout
    assert output in cli("describe", tmp_path / "m.gmm").stdout
    assert json.loads(cli("describe", tmp_path / "m.gmm", "--json").stdout)["options"]["noise"] == "isotropic"
    loaded = GaussianMixture.load(tmp_path / "m.gmm")
    assert loaded.covariance_type == mixture.family
    output = json.loads(cli("fit", tmp_path / "rows.npy", *arguments, "--json").stdout)
    assert [candidate.get("n_factors") for candidate in output["candidates"]] == [1, 1, 2, 2, 9, 9, None, None]


@pytest.mark.heavy
def test_a_file_pattern_and_a_memory_limit_give_the_same_bits(cli, tmp_path, rng):
    """Check that a file, two files that a pattern selects, and a low memory limit give the same bits."""
    rows = rng.normal(size=(70_000, 2)) + 5 * rng.integers(2, size=(70_000, 1))
    np.save(tmp_path / "a.npy", rows)
    np.save(tmp_path / "part-1.npy", rows[:10_001])
    np.save(tmp_path / "part-2.npy", rows[10_001:])
    models = []
    one_file = tmp_path / "a.npy"
    for number, arguments in enumerate(([one_file], [tmp_path / "part-*.npy"], [one_file, "--memory", "1MB"])):
        model = tmp_path / f"{number}.gmm"
        assert cli("fit", *arguments, "-k", "2", "-o", model, "--quiet").exit_code == 0
        models.append(model.read_bytes())
    assert models[0] == models[1] == models[2]


def test_labels_option_assigns_components_to_sorted_labels(cli, tmp_path, rng):
    """Check that numbers are component indices, other labels are sorted, and empty labels are unknown."""
    truth = np.arange(120) % 2
    rows = rng.normal(size=(120, 2)) + 5 * truth[:, None]
    for names, second_label in ((["", "1", "0"], 0), (["", "b", "a"], 0), (["", "a", "b"], 1)):
        labels = [names[0] if row % 3 else names[1 + group] for row, group in enumerate(truth)]
        lines = [f"{x},{y},{label}" for (x, y), label in zip(rows, labels, strict=True)]
        (tmp_path / "t.csv").write_text("\n".join(["x,y,kind", *lines]) + "\n")
        cli("fit", tmp_path / "t.csv", "-k", "2", "--labels", "kind", "-o", tmp_path / "m.gmm")
        mixture = Mixture.load(tmp_path / "m.gmm")
        assert mixture.feature_names == ("x", "y")
        assert mixture.means[second_label, 0] > 4


def test_labels_listed_by_the_na_option_are_unknown(cli, csv_file, tmp_path):
    """Check that labels named by --na are unknown, even between blanks."""
    data = csv_file("x,kind\n" + "0,?\n1, a\n0.5,a \n9, ? \n8,b\n8.5,b\n" * 9)
    result = cli("fit", data, "-k", 2, "-s", "spherical", "--labels", "kind", "--na", "?", "-o", tmp_path / "m.gmm")
    assert (result.exit_code, result.stderr) == (0, "")
    np.testing.assert_allclose(Mixture.load(tmp_path / "m.gmm").means[:, 0], [0.5, 8.5], atol=0.01)


def test_labels_option_accepts_dates(cli, tmp_path):
    days = [None, date(2026, 5, 1), date(2026, 4, 1)] * 20
    table = pa.table({"x": np.tile([0.0, 1.0, 9.0], 20) + np.repeat([0.0, 0.5], 30), "day": days})
    parquet.write_table(table, tmp_path / "t.parquet")
    result = cli("fit", tmp_path / "t.parquet", "-k", 2, "--labels", "day", "-o", tmp_path / "m.gmm", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert Mixture.load(tmp_path / "m.gmm").means[0, 0] > 8


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="pipes have no paths")
@pytest.mark.parametrize("words", [["describe", "MODEL"], ["score", "MODEL", "TABLE"]], ids=lambda words: words[0])
def test_subcommands_read_a_model_from_a_pipe(words, cli, model, faithful):
    receiver, sender = os.pipe()
    os.write(sender, model.read_bytes())
    os.close(sender)
    names = {"MODEL": f"/dev/fd/{receiver}", "TABLE": faithful}
    result = cli(*(names.get(word, word) for word in words))
    os.close(receiver)
    expected = cli(*({"MODEL": model, "TABLE": faithful}.get(word, word) for word in words)).stdout
    assert (result.exit_code, result.stdout) == (0, expected.replace(str(model), names["MODEL"]))


@pytest.mark.parametrize("words", [["describe", "MODEL"], ["sample", "MODEL", "-n", 3]], ids=lambda words: words[0])
def test_describe_and_sample_accept_quiet(words, cli, model):
    result = cli(*[model if argument == "MODEL" else argument for argument in words], "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout


@pytest.mark.heavy
@pytest.mark.parametrize("counts", ["5:6", "6"])
def test_a_terminated_fit_resumes_from_its_checkpoint(cli, shell, tmp_path, rng, counts):
    data, path = tmp_path / "rows.npy", tmp_path / "fit.ckpt"
    np.save(data, rng.normal(size=(50_000, 4)))
    command = ["fit", data, "-k", counts, "-s", "full", "--tol", "0", "--max-iter", "300", "--checkpoint", path]
    # The first checkpoint is written at once, and the fit then waits, so that the signal comes before the fit ends.
    prelude = (
        "import gaussmix._src.fit.checkpoint as checkpoint, time; checkpoint.SECONDS_BETWEEN_WRITES = 0.05\n"
        "checkpoint.monotonic = lambda: (time.sleep(0.05), time.monotonic())[1]"
    )
    process = shell(*command, "-o", tmp_path / "never.gmm", prelude=prelude)
    while not path.exists():
        assert process.poll() is None, "the fit ended before the signal"
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + 15
    assert stderr.splitlines()[-1] == f"gaussmix: terminated; {path} contains the fit: the same command resumes it."
    assert sorted(os.listdir(tmp_path)) == ["fit.ckpt", "rows.npy"]
    contents = path.read_bytes()
    other = cli(*command[:-2], "--seed", "1", "--checkpoint", path)
    assert other.exit_code == 1
    assert other.stderr.splitlines()[-1].startswith(
        f"gaussmix: {path} is the checkpoint of another fit: --seed was 0 and is 1."
    )
    assert path.read_bytes() == contents
    assert cli(*command, "-o", tmp_path / "resumed.gmm").exit_code == 0
    assert not path.exists()
    assert cli(*command[:-2], "-o", tmp_path / "whole.gmm").exit_code == 0
    assert (tmp_path / "resumed.gmm").read_bytes() == (tmp_path / "whole.gmm").read_bytes()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_fit_deletes_its_checkpoint_at_the_end(cli, faithful, tmp_path):
    plain = cli("fit", faithful, "-k", "2", "--json")
    with_checkpoint = cli("fit", faithful, "-k", "2", "--json", "--checkpoint", tmp_path / "fit.ckpt")
    assert with_checkpoint.exit_code == 0
    seconds = r'"seconds": [0-9.e-]+'
    assert re.sub(seconds, "", with_checkpoint.stdout) == re.sub(seconds, "", plain.stdout)
    assert not (tmp_path / "fit.ckpt").exists()


@pytest.fixture
def readings(tmp_path):
    """Write a table of three sensors with 50 rows each, and one sensor with a single row."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"sensor": [*np.repeat(["b", "a", "7"], 50), "roof"]})
    for name in ("x", "y", "w"):
        frame[name] = rng.random(151)
    frame.to_csv(tmp_path / "readings.csv", index=False)
    return tmp_path / "readings.csv", frame


def test_fit_by_groups_equals_fit_many(cli, readings, tmp_path):
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


def test_fit_by_groups_passes_its_options_to_fit_many(cli, readings, tmp_path):
    path, frame = readings
    options = ["--columns", "y", "--start", "hierarchical", "--tol", "1e-6", "-s", "diag", "--seed", 3, "-q"]
    result = cli("fit", path, "--by", "sensor", "-k", 3, *options, "-o", tmp_path / "many.gmm")
    assert (result.exit_code, result.output) == (0, "")
    settings = {"init_params": "hierarchical", "tol": 1e-6, "covariance_type": "diag", "random_state": 3}
    with pytest.warns(RuntimeWarning, match="roof"):
        expected = fit_many(frame[["sensor", "y"]], 3, by="sensor", **settings)
    assert Mixtures.load(tmp_path / "many.gmm").means.tobytes() == expected.means.tobytes()


def test_fit_by_groups_preserves_the_type_of_parquet_keys(cli, tmp_path, rng):
    frame = pd.DataFrame({"cell": [30, 4] * 40, "x": rng.random(80)})
    frame.loc[1, "x"] = np.nan
    frame.to_parquet(tmp_path / "cells.parquet")
    output = json.loads(
        cli("fit", tmp_path / "cells.parquet", "--by", "cell", "-k", 1, "--missing", "error", "--json").stdout
    )
    assert output["by"] == "cell"
    assert output["n_rows"] == 80
    assert [group["key"] for group in output["groups"]] == [30, 4]
    assert output["groups"][0]["n_steps"] > 0
    assert output["groups"][1]["failed"].startswith("Input X contains NaN: row 1 (counted from 0), column 'x'")
    with_missing = cli("fit", tmp_path / "cells.parquet", "--by", "cell", "-k", 1, "--json").stdout
    assert json.loads(with_missing)["groups"][1]["n_steps"] > 0


def test_error_messages_about_groups_count_rows_of_the_file(cli, csv_file):
    path = csv_file("kind,x\na,\na,1\na,inf\nb,1\nb,3\n")
    result = cli("fit", path, "--by", "kind", "-k", 1, "--drop-missing")
    assert "Group 'a': Input DATA contains infinity: row 2 (counted from 0), column 'x'" in result.stderr
    assert "Without a mixture: 'a': Input X contains infinity: row 2 (counted from 0), column 'x'" in result.stdout


def test_fit_by_groups_accepts_dates_and_decimal_numbers(cli, tmp_path, rng):
    keys = {"day": [date(2024, 5, 1), date(2024, 5, 2)], "price": [Decimal("0.50"), Decimal(2)]}
    pd.DataFrame({name: two * 40 for name, two in keys.items()} | {"x": rng.random(80)}).to_parquet(
        tmp_path / "days.parquet"
    )
    for by, expected in (("day", ["2024-05-01", "2024-05-02"]), ("price", ["0.50", "2.00"])):
        words = "fit", tmp_path / "days.parquet", "--by", by, "--columns", "x", "-k", 1
        assert [group["key"] for group in json.loads(cli(*words, "--json").stdout)["groups"]] == expected
        assert cli(*words, "-o", tmp_path / "many.gmm").exit_code == 0
        assert Mixtures.load(tmp_path / "many.gmm").keys == tuple(expected)


def test_describe_reports_the_groups_of_a_file(cli, readings, tmp_path):
    assert cli("fit", readings[0], "--by", "sensor", "-k", 2, "-q", "-o", tmp_path / "many.gmm").exit_code == 0
    lines = cli("describe", tmp_path / "many.gmm").stdout.splitlines()
    assert lines[0].endswith("many.gmm: 3 features (x, y, w), 4 groups")
    assert lines[1] == "K = 2, full covariances: 3 fitted"
    assert lines[2].startswith("Without a mixture: 'roof'")
    output = json.loads(cli("describe", tmp_path / "many.gmm", "--json").stdout)
    piped = cli("describe", "-", input=(tmp_path / "many.gmm").read_bytes())
    assert piped.stdout.splitlines()[0] == "standard input: 3 features (x, y, w), 4 groups"
    assert piped.stdout.splitlines()[1:] == lines[1:]
    assert [group["key"] for group in output["groups"]] == ["b", "a", "7", "roof"]
    assert output["groups"][0]["means"] == Mixtures.load(tmp_path / "many.gmm")[0].means.tolist()
