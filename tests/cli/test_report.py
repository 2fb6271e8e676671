"""Tests of the page that `gaussmix report` writes, including its Python code."""

import re
import runpy
import shutil
import subprocess
from html import unescape
from pathlib import Path

import html5lib
import numpy as np
import pandas as pd
import pytest
from matplotlib.font_manager import fontManager
from scipy.stats import chi2

from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureIC, Mixture, Noise
from gaussmix._src.cli.show.page import _cell, _font_families, _pairs, _worst
from gaussmix._src.cli.show.report_data import ReportData

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Write the report on Old Faithful, with a column name that HTML must quote, and return its path."""
    from click.testing import CliRunner

    from gaussmix._src.cli.program import program

    folder = tmp_path_factory.mktemp("report")
    data = Path(__file__).parents[2] / "examples" / "faithful.csv"
    text = data.read_text().replace("waiting", "<b>&wait", 1)
    (folder / "data.csv").write_text(text)
    arguments = ["report", folder / "data.csv", "-o", folder / "report.html", "-k", "1:4", "-s", "full"]
    result = CliRunner().invoke(program, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr
    assert "The rows are described as 2 groups" in result.stdout
    return folder / "report.html"


@pytest.fixture(scope="module")
def tree(page):
    """Parse the page; html5lib raises an error for invalid HTML."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return parser.parse(page.read_text(encoding="utf-8"))


@pytest.mark.heavy
def test_a_report_describes_the_chosen_mixture(page):
    text = page.read_text(encoding="utf-8")
    assert "The rows are described as 2 groups, each a normal distribution with full covariances." in text
    assert "hardly better than the second best of 4 fitted candidates (by 2.0)" in text
    assert re.search(r"Component 1 \(64.4 % of the distribution, 175 rows\): high eruptions \(4\.29", text)
    assert "GaussianMixtureIC([1, 2, 3, 4], covariance_type=" in text
    assert "&lt;b&gt;&amp;wait" in text
    assert "<b>" not in text
    rows = np.loadtxt(page.with_name("data.csv"), delimiter=",", skiprows=1)
    expected = GaussianMixture(2, random_state=0, reg_covar=0.0, tol=1e-6).fit(rows).inference(rows)
    for number in (expected.params[0], expected.bse[0], *expected.conf_int()[0]):
        assert f"{number:.4f}" in text[text.index("Standard errors") :]
    assert "variance[1" not in text
    assert "By the Hessian of the objective." in text


def test_a_report_refers_to_no_other_file(tree):
    sources = [element.get(name) for element in tree.iter() for name in ("src", "href") if element.get(name)]
    assert sources
    assert all(source.startswith("data:") for source in sources)


def test_report_images_have_descriptions_and_tables_can_be_sorted(tree):
    images = list(tree.iter("img"))
    assert len(images) == 3
    assert all(len(image.get("alt")) > 30 for image in images)
    components, worst, errors = tree.iter("table")
    assert len(list(errors.find("tbody"))) == 6
    assert len(list(components.find("tbody"))) == 2
    assert len(list(worst.find("tbody"))) == 10
    assert all(heading.find("button") is not None for heading in components.iter("th"))
    assert all(np.isfinite(float(cell.get("data-value"))) for cell in tree.iter("td"))


def test_the_worst_rows_of_a_report_have_the_lowest_density(tree, page):
    rows = np.loadtxt(page.parent / "data.csv", delimiter=",", skiprows=1)
    gm = GaussianMixture(2, random_state=0).fit(rows)
    worst = list(tree.iter("table"))[1]
    shown = [int(row[0].get("data-value")) for row in worst.find("tbody")]
    assert set(shown) == set(np.argsort(gm.score_samples(rows))[:10].tolist())


def test_worst_rows_of_data_with_missing_values_have_the_lowest_p_values(rng):
    """Compare chi-squared p-values, because in small units log densities increase with each observed value."""
    X = rng.normal(size=(1000, 3)) * 1e-6
    X[::12, 0] = np.nan
    gm, p_values = GaussianMixture(1).fit(X), np.empty(len(X))
    for rows, features in (np.isnan(X[:, 0]), [1, 2]), (~np.isnan(X[:, 0]), [0, 1, 2]):
        offsets, covariance = (X[rows] - gm.means_[0])[:, features], gm.covariances_[0][np.ix_(features, features)]
        p_values[rows] = chi2.sf((offsets @ np.linalg.inv(covariance) * offsets).sum(axis=1), len(features))
    expected = np.argsort(p_values)[:10]
    table = _worst(ReportData(gm.mixture_, ["a", "b", "c"], X))
    shown = [int(row) for row in re.findall(r'<tr><td data-value="(\d+)"', table)]
    assert shown == expected.tolist()


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize(("n", "names", "words"), [(4, "ab", "one and two"), (5, "ab", "show two"), (5, "a", "curve")])
def test_the_caption_states_which_ellipses_or_curves_are_drawn(rng, n, names, words):
    mixture = Mixture(np.full(n, 1 / n), rng.normal(size=(n, len(names))), np.ones(n), FAMILIES["spherical"])
    element = _pairs(ReportData(mixture, names, mixture.sample(30, rng)[0]))
    assert words in element[element.index("<figcaption>") :]
    assert ("two features at a time" in element) == (names == "ab")


@pytest.mark.heavy
def test_feature_names_in_any_script_are_drawn_without_warnings(rng):
    assert _font_families(["sans-serif"], ["Länge"]) == ["sans-serif"]
    has_font = any("CJK" in font.name for font in fontManager.ttflist)
    assert any("CJK" in name for name in _font_families(["sans-serif"], ["日本"])) == has_font
    assert _pairs(ReportData(Mixture([1.0], [[0.0]], 1.0, FAMILIES["EII"]), ["\U0010fffd"], rng.normal(size=(9, 1))))


def test_table_cells_show_all_digits_of_dates():
    assert [_cell(value)[0] for value in (20240615.0, 1699997349.88, 0.1 + 0.2)] == ["20240615", "1699997349.88", "0.3"]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.heavy
@pytest.mark.parametrize("width", [1200, 500])  # headless Chromium cannot make narrower windows
def test_a_browser_opens_and_sorts_a_report_without_errors(page, width, tmp_path):
    probe = """<script>
    window.addEventListener("load", () => {
      for (const time of ["up", "down"]) document.querySelectorAll("th button")[1].click();
      const first = Number(document.querySelector("tbody tr td").dataset.value);
      const fits = document.documentElement.scrollWidth <= window.innerWidth;
      const drawn = [...document.images].every(image => image.complete && image.naturalWidth > 0);
      document.title = `first ${first}, fits ${fits}, drawn ${drawn}`;
    });
    </script></body>"""
    (tmp_path / "probe.html").write_text(page.read_text(encoding="utf-8").replace("</body>", probe), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--window-size={width},900"]
    run = subprocess.run(
        [CHROMIUM, *flags, f"--user-data-dir={tmp_path}", "--dump-dom", (tmp_path / "probe.html").as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert ":CONSOLE" not in run.stderr
    assert "<title>first 1, fits true, drawn true</title>" in run.stdout


SHAPES = {
    "one group": ([1.0], [[0.0, 0.0]]),
    "separated": ([0.5, 0.5], [[0.0, 0.0], [30.0, 0.0]]),
    "overlapping": ([0.5, 0.5], [[0.0, 0.0], [0.5, 0.0]]),
}
SENTENCES = {
    "one group": ["One normal distribution with spherical covariances describes the rows."],
    "separated": ["well apart: all of the rows", "high a (30.00 ± 1.00)", "low a (0.00 ± 1.00)"],
    "overlapping": ["strongly mixed: 0.0 % of the rows"],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_report_sentences_describe_the_separation_of_groups_and_outliers(shape):
    weights, means = SHAPES[shape]
    mixture = Mixture(weights, np.array(means), np.ones(len(weights)), FAMILIES["spherical"])
    rows = mixture.sample(500, rng=0, return_labels=False)
    text = " ".join(ReportData(mixture, ("a", "b"), rows).sentences())
    assert all(sentence in text for sentence in SENTENCES[shape])
    assert "nothing unusual" in text
    text = " ".join(ReportData(mixture, ("a", "b"), np.concatenate([rows[:200], np.full((9, 2), 70.0)])).sentences())
    assert " rows of 209 lie outside" in text
    assert "these are more" in text


FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=["a", "b", "c"]).assign(b=lambda x: 3 * x.b)
TABLES = {  # function that writes the table, file name, and options
    "commas": (lambda path: FRAME.to_csv(path, index=False), "t.csv", []),
    "semicolons": (lambda path: FRAME.to_csv(path, index=False, sep=";", decimal=","), "t.csv", ["--decimal", ","]),
    "no header": (lambda path: FRAME.to_csv(path, index=False, header=False), "t.csv", []),
    "blanks": (lambda path: np.savetxt(path, FRAME, header="a b c"), "t.txt", []),
    "R": (lambda path: FRAME.to_csv(path, sep=" ", index_label=False), "t.txt", []),
    "spaced names": (lambda path: path.write_text(" a, b ,c\n" + FRAME.to_csv(index=False, header=False)), "t.csv", []),
    "comments": (lambda path: path.write_text("# by me\n\n# twice\n" + FRAME.to_csv(index=False)), "t.csv", []),
    "sep=": (lambda path: path.write_text("sep=;\n" + FRAME.to_csv(index=False, sep=";")), "t.csv", []),
    "columns in another order": (lambda path: FRAME.to_csv(path, index=False), "t.csv", ["--columns", "c,a"]),
    "missing values": (lambda path: FRAME.where(FRAME < 2).to_csv(path, index=False), "t.csv.gz", ["--drop-missing"]),
    "Parquet": (lambda path: FRAME.to_parquet(path), "t.parquet", ["--exclude", "b"]),
    "Feather": (lambda path: FRAME.to_feather(path), "t.feather", []),
    "NumPy": (lambda path: np.save(path, FRAME.to_numpy()), "t.npy", []),
}


def run_code(page, folder):
    """Run the Python code of a page without the slow line that draws, and return the variables."""
    found = unescape(re.search(r"<pre[^>]*>(?:<code[^>]*>)?(.*?)<", page.read_text(encoding="utf-8"), re.DOTALL)[1])
    (folder / "code.py").write_text(found.replace("PairDisplay.from_estimator(gm, X)\n", ""), encoding="utf-8")
    return runpy.run_path(str(folder / "code.py"))


@pytest.mark.heavy
@pytest.mark.parametrize("kind", TABLES)
def test_the_python_code_of_a_report_reads_the_same_table(kind, cli, tmp_path):
    write, name, options = TABLES[kind]
    write(tmp_path / name)
    result = cli("report", tmp_path / name, "-o", tmp_path / "page.html", "-k", "1:2", *options)
    assert result.exit_code == 0, result.stderr
    made = run_code(tmp_path / "page.html", tmp_path)
    words = f"{len(made['X']):,} rows, {made['X'].shape[1]} features"
    assert words in (tmp_path / "page.html").read_text(encoding="utf-8")
    expected = FRAME[made["X"].columns] if kind in ("columns in another order", "Parquet") else FRAME
    if kind == "missing values":
        expected = expected.where(expected < 2).dropna()
    np.testing.assert_array_equal(made["X"].to_numpy(), expected.to_numpy())


def table_with_weights_and_missing_values():
    """Return two groups with some missing values, weights from 1 to 3, and two rows that belong to neither group."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(80, 2)), rng.normal(9, 1, size=(60, 2)), [[30.0, -30.0], [-25.0, 28.0]]])
    rows[:140][rng.random((140, 2)) < 0.06] = np.nan
    return pd.DataFrame(rows, columns=["a", "b"]).assign(w=rng.integers(1, 4, size=len(rows)))


OPTIONS = {
    "weights": ["--weights", "w", "--drop-missing"],
    "precision": ["--weights", "w", "--weight-type", "precision", "--drop-missing"],
    "missing values": ["--exclude", "w"],
    "noise": ["--noise", "--weights", "w"],
    "factors": ["-s", "factor_analyzer,VVE", "--n-factors", "1:2"],
}


@pytest.mark.heavy
@pytest.mark.parametrize("case", OPTIONS)
def test_a_report_and_its_python_code_fit_like_the_command_fit(case, cli, tmp_path):
    table, page = tmp_path / "t.csv", tmp_path / "page.html"
    table_with_weights_and_missing_values().to_csv(table, index=False, na_rep="?")
    options = ["-k", "1:3", "-s", "full", "--na", "?", *OPTIONS[case]]
    result = cli("report", table, "-o", page, *options)
    assert result.exit_code == 0, result.stderr
    assert cli("fit", table, "-o", tmp_path / "m.gmm", "-q", *options).exit_code == 0
    made, fitted = run_code(page, tmp_path), Mixture.load(tmp_path / "m.gmm")
    np.testing.assert_allclose(made["gm"].means_, fitted.means, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(made["gm"].weights_, fitted.weights, rtol=1e-6)
    mean = np.average(made["gm"].score_samples(made["X"]), weights=made.get("weights"))
    assert f"Mean log-likelihood {mean:.4f} nats per row" in page.read_text(encoding="utf-8")


@pytest.mark.heavy
def test_a_report_counts_rows_of_noise_and_rows_with_missing_values(cli, tmp_path):
    table, page = tmp_path / "t.csv", tmp_path / "page.html"
    frame = table_with_weights_and_missing_values()
    frame.to_csv(table, index=False)
    stdout = cli("report", table, "-o", page, "-k", 2, "--noise", "--columns", "a,b").stdout
    assert re.search(
        r"A uniform background contains \S+ % of the distribution. 2 rows most probably belong to it, and to no group",
        stdout,
    )
    n_incomplete = frame[["a", "b"]].isna().any(axis=1).sum()
    assert f"{n_incomplete} rows with empty cells, whose other cells count" in page.read_text(encoding="utf-8")
    assert re.search('<td data-value="-1">noise</td>', page.read_text(encoding="utf-8"))
    assert "over the smaller of two boxes around the rows" in page.read_text(encoding="utf-8")
    stdout = cli("report", table, "-o", page, "-k", 2, "--columns", "a,b").stdout
    assert f"of {len(frame) - n_incomplete} without empty cells lie outside the region" in stdout


def test_the_worst_rows_have_their_numbers_in_the_table(cli, csv_file, tmp_path):
    lines = ["?"] * 30 + [f"{row % 7}" for row in range(90)] + ["?", "50"]
    table = csv_file("a\n" + "\n".join(lines) + "\n")
    assert cli("report", table, "-o", tmp_path / "page.html", "-k", 1, "--na", "?", "--drop-missing").exit_code == 0
    first = re.search(r"<td data-value.*", (tmp_path / "page.html").read_text().partition("p-value</button>")[2])[0]
    assert first.startswith('<td data-value="121">121</td>')
    assert first.endswith('<td data-value="50.0">50</td></tr>')


def test_the_percentages_of_a_report_use_the_row_weights(cli, tmp_path):
    table, page = tmp_path / "t.csv", tmp_path / "page.html"
    rows = np.concatenate([np.random.default_rng(0).normal(size=(200, 1)), [[9.0]]])
    pd.DataFrame({"a": rows[:, 0], "w": [1.0] * 200 + [0.5]}).to_csv(table, index=False)
    stdout = cli("report", table, "-o", page, "-k", 1, "--weights", "w").stdout
    assert f"{100 * 0.5 / 200.5:.3g} % of the weight of rows lies outside the region" in stdout


@pytest.mark.heavy
def test_the_python_code_for_a_saved_model_accepts_missing_values(cli, tmp_path):
    table, page, path = tmp_path / "t.csv", tmp_path / "page.html", tmp_path / "m.gmm"
    table_with_weights_and_missing_values().to_csv(table, index=False)
    assert cli("fit", table, "-k", 2, "--columns", "a,b", "-o", path, "-q").exit_code == 0
    assert cli("report", table, "-m", path, "--weights", "w", "-o", page, "-q").exit_code == 0
    made = run_code(page, tmp_path)
    assert made["gm"].mixture_ == Mixture.load(path)
    assert list(made["X"].columns) == ["a", "b"]


@pytest.mark.parametrize("options", [["-k", 1], ["--model", "MODEL"]], ids=["fit", "model"])
def test_standard_errors_in_a_report_have_the_names_of_the_features(options, cli, model, faithful, tmp_path):
    words = [model if word == "MODEL" else word for word in options]
    assert cli("report", faithful, *words, "-o", tmp_path / "page.html", "-q").exit_code == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.findall(r"mean\[0, (\w+)\]", text) == ["eruptions", "waiting"]


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("kind", ["fit", "merge", "noise"])
def test_the_python_code_of_a_report_loads_its_model(kind, cli, model, faithful, tmp_path):
    if kind == "merge":
        assert cli("merge", model, "-k", 1, "-o", tmp_path / "one.gmm").exit_code == 0
        model = tmp_path / "one.gmm"
    if kind == "noise":  # the file stores the volume of this noise, but not its bounds
        model = tmp_path / "noise.gmm"
        GaussianMixture(1, noise=Noise(volume=300.0)).fit(pd.read_csv(faithful)).save(model)
    assert cli("report", faithful, "--model", model, "-o", tmp_path / "page.html", "-q").exit_code == 0
    assert run_code(tmp_path / "page.html", tmp_path)["gm"] == Mixture.load(model)


@pytest.mark.heavy
def test_the_python_code_covers_several_files_and_standard_input(cli, tmp_path):
    for at in range(2):
        FRAME[30 * at : 30 * (at + 1)].to_csv(tmp_path / f"t{at}.csv", index=False)
    assert cli("report", tmp_path / "t*.csv", "-k", 1, "-o", tmp_path / "page.html").exit_code == 0
    pd.testing.assert_frame_equal(run_code(tmp_path / "page.html", tmp_path)["X"].reset_index(drop=True), FRAME)
    result = cli("report", "-", "-k", 1, "-o", tmp_path / "page.html", input=FRAME.to_csv(index=False))
    assert result.exit_code == 0
    assert "save it under the name below" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.heavy
def test_a_report_states_that_there_are_no_groups_only_if_several_k_were_compared(cli, tmp_path, csv_file):
    data = csv_file(FRAME.to_csv(index=False))
    one = cli("report", data, "-k", 1, "-o", tmp_path / "page.html").stdout
    several = cli("report", data, "-k", "1:2", "-o", tmp_path / "page.html").stdout
    assert "no sign of groups" not in one
    assert "there is no sign of groups" in several


@pytest.mark.heavy
@pytest.mark.parametrize("criterion", ["stability", "cv"])
def test_a_report_shows_stability_or_cross_validation_next_to_bic(criterion, cli, faithful, tmp_path):
    page = tmp_path / "page.html"
    stdout = cli("report", faithful, "-k", "1:3", "-s", "full", "--criterion", criterion, "-o", page).stdout
    text = page.read_text(encoding="utf-8")
    made = GaussianMixtureIC(range(1, 4), covariance_type="full", criterion=criterion, random_state=0)
    made.fit(np.loadtxt(faithful, delimiter=",", skiprows=1))
    best = f"{made.results_[criterion][made.best_index_]:.4f}"
    assert (f"stability {best}, the highest" if criterion == "stability" else f"CV {best}, the simplest") in text
    assert f"{made.n_components_} components, full covariances" in text
    assert re.findall(r"(\w+) of every candidate", text) == [{"cv": "CV"}.get(criterion, criterion), "BIC"]
    assert ("BIC is lowest for full, K = 2." in stdout) is (criterion == "stability")


@pytest.mark.heavy
def test_a_report_counts_fitted_and_failed_candidates_separately(cli, tmp_path, csv_file):
    data = csv_file(FRAME.assign(c=FRAME.c > 0).to_csv(index=False))
    stdout = cli("report", data, "-k", "1:5", "-s", "full", "-o", tmp_path / "page.html").stdout
    claim = re.search(
        r"the second best of (\d) fitted candidates \(by .*\)\. (\d) of 5 candidates could not be fitted: \d × ", stdout
    )
    assert int(claim[1]) + int(claim[2]) == 5
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"the lowest of {claim[1]} fitted candidates</li>" in text
    assert f"<li>{claim[2]} of 5 candidates could not be fitted: " in text


def test_a_report_claims_a_maximum_only_after_check_maximum():
    rows = np.random.default_rng(0).normal(size=(200, 2)) + np.repeat([[0.0, 0.0], [9.0, 0.0]], 100, axis=0)
    for check_maximum in (True, False):
        selection = GaussianMixtureIC(2, covariance_type="full", check_maximum=check_maximum).fit(rows)
        sentences = " ".join(ReportData(selection.mixture_, ("a", "b"), rows, selection).sentences())
        assert ("The fit is near a maximum. " in sentences) is check_maximum
