"""Tests of the subcommands `impute`, `classify`, `merge`, `convert`, `completion` and `plot`."""

import csv
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture as SklearnMixture

from gaussmix import FactorAnalyzer, GaussianMixture, GaussianMixtureClassifier, GaussianMixtureDetector, Mixture

MCLUST = Path(__file__).parents[1] / "oracle" / "mclust"
FAITHFUL = Path(__file__).parents[2] / "examples" / "faithful.csv"


def table(text):
    """Return the header and the rows of a CSV text."""
    header, *rows = csv.reader(io.StringIO(text))
    return header, rows


class TestImpute:
    TEXT = "id,eruptions,waiting,note\n007,,79,a\n8,1.8,NA,\n9,3.333,74,c\n10,,,d\n"

    def test_only_missing_values_are_filled(self, cli, model, csv_file):
        result = cli("impute", model, csv_file(self.TEXT))
        header, rows = table(result.stdout)
        assert header == ["id", "eruptions", "waiting", "note"]
        assert [row[0] for row in rows] == ["007", "8", "9", "10"]
        assert rows[2] == ["9", "3.333", "74", "c"]
        mixture = Mixture.load(model).with_feature_names(None)
        assert float(rows[0][1]) == pytest.approx(mixture.conditional_mean([[79.0]], [1])[0, 0])
        assert float(rows[1][2]) == pytest.approx(mixture.conditional_mean([[1.8]], [0])[0, 0])
        np.testing.assert_allclose([float(value) for value in rows[3][1:3]], mixture.mean)
        assert "filled 4 cells" in result.stderr

    def test_draws_depend_on_the_seed(self, cli, model, csv_file):
        path = csv_file(self.TEXT)
        first, again, other = (cli("impute", model, path, "--draw", "--seed", seed).stdout for seed in (1, 1, 2))
        assert first == again
        assert first != other

    def test_draws_depend_on_neither_memory_nor_other_columns(self, cli, model, csv_file):
        lines = ["1,50", *(f"{row / 1000}," for row in range(3_000))]
        narrow = csv_file("eruptions,waiting\n" + "\n".join(lines) + "\n", "narrow.csv")
        wide = csv_file("eruptions,waiting,x,y,z\n" + ",5,5,5\n".join(lines) + ",5,5,5\n", "wide.csv")
        cases = ((narrow,), (narrow, "--memory", "1MB"), (wide, "--memory", "1MB"))
        found = [table(cli("impute", model, *case, "--draw", "-q").stdout)[1] for case in cases]
        assert found[0] == found[1] == [row[:2] for row in found[2]]
        assert found[0][1][1] != found[0][2][1]

    def test_missing_integers_of_parquet_files_are_filled(self, cli, model, tmp_path):
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table({"eruptions": [1.8, None], "waiting": [None, 79]}), tmp_path / "in.parquet")
        assert cli("impute", model, tmp_path / "in.parquet", "-q", "-o", tmp_path / "out.parquet").exit_code == 0
        found = parquet.read_table(tmp_path / "out.parquet")
        assert found["waiting"][1].as_py() == 79
        assert found["waiting"].null_count == found["eruptions"].null_count == 0

    @pytest.mark.parametrize("dtype", ["Int64", "int16[pyarrow]"])
    def test_pandas_reads_filled_integer_columns_as_floats(self, dtype, cli, model, tmp_path):
        rows = pd.DataFrame({"eruptions": [1.8, 2.0], "waiting": pd.array([None, 79], dtype), "id": ["a", "b"]})
        rows.set_index("id").to_parquet(tmp_path / "in.parquet")
        assert cli("impute", model, tmp_path / "in.parquet", "-q", "-o", tmp_path / "out.parquet").exit_code == 0
        found = pd.read_parquet(tmp_path / "out.parquet")
        assert found.index.tolist() == ["a", "b"]
        assert found["waiting"].dtype == np.float64
        assert found["waiting"]["b"] == 79

    @pytest.mark.parametrize("kind", ["parquet", "feather"])
    def test_integer_columns_with_missing_values_become_float_in_all_blocks(self, kind, cli, model, tmp_path):
        import pyarrow as pa
        from pyarrow import feather, parquet

        write = parquet.write_table if kind == "parquet" else feather.write_feather
        for waiting in ([*range(2_999), None], [None, *range(2_999)], range(3_000)):  # two parts of up to 2,048 rows
            rows = pa.table({"eruptions": pa.array([1.5, np.nan] * 1_500), "waiting": pa.array(waiting, pa.int16())})
            rows = rows.cast(pa.schema([rows.schema.field(0).with_nullable(False), rows.schema.field(1)]))
            write(rows, tmp_path / f"in.{kind}")
            args = ("impute", model, tmp_path / f"in.{kind}", "-q", "-o", tmp_path / "out.parquet", "--memory", "1MB")
            result = cli(*args)
            assert result.exit_code == 0, result.stderr
            found = parquet.read_table(tmp_path / "out.parquet")
            assert found.schema.types == [pa.float64(), pa.float64() if None in waiting else pa.int16()]
            filled = zip(waiting, found["waiting"].to_pylist(), strict=True)
            assert all(value == new for value, new in filled if value is not None)

    def test_decimals_in_a_column_with_missing_values_become_the_nearest_floats(self, cli, model, tmp_path):
        import pyarrow as pa
        from pyarrow import parquet

        waiting = pa.array([Decimal("70.13210"), Decimal("71.00001"), None])
        parquet.write_table(pa.table({"eruptions": [1.5, 2.5, 3.5], "waiting": waiting}), tmp_path / "in.parquet")
        result = cli("impute", model, tmp_path / "in.parquet", "-q")
        assert result.exit_code == 0, result.stderr
        assert result.output.splitlines()[1:3] == ["1.5,70.1321", "2.5,71.00001"]


class TestClassify:
    @pytest.fixture
    def iris(self, csv_file):
        """Write the iris data as CSV without every third label."""
        data = load_iris()
        lines = [
            ",".join(map(str, row)) + f",{data.target_names[label] if at % 3 else ''}"
            for at, (row, label) in enumerate(zip(data.data.tolist(), data.target, strict=True))
        ]
        return csv_file("a,b,c,d,species\n" + "\n".join(lines) + "\n", "iris.csv")

    @pytest.mark.parametrize(
        ("options", "parameters"),
        [
            ([], {}),
            (["--reg-covar", "0.1"], {"reg_covar": 0.1}),
            (["-s", "factor_analyzer", "--n-factors", "2"], {"covariance_type": FactorAnalyzer(2)}),
        ],
    )
    def test_classes_and_probabilities_equal_those_of_the_classifier(self, options, parameters, cli, iris):
        result = cli("classify", iris, iris, "--labels", "species", *options)
        header, rows = table(result.stdout)
        assert header == ["a", "b", "c", "d", "species", "class", "probability"]
        assert "learned 3 classes from 100 labelled rows" in result.stderr
        data = load_iris()
        labels = [str(data.target_names[y]) if at % 3 else None for at, y in enumerate(data.target)]
        classifier = GaussianMixtureClassifier(random_state=0, **parameters).fit(data.data, labels)
        assert [row[5] for row in rows] == classifier.predict(data.data).tolist()
        probability = classifier.predict_proba(data.data).max(axis=1)
        np.testing.assert_allclose([float(row[6]) for row in rows], probability, atol=1e-12)

    def test_messages_name_columns_and_options(self, cli, iris, csv_file):
        header, *lines = iris.read_text().split()
        data = csv_file("\n".join([f"{header},same", *(f"{line},1" for line in lines)]))
        result = cli("classify", data, data, "--labels", "species")
        assert result.stderr.startswith("gaussmix: Column 'same' is constant, so that ")
        result = cli("classify", iris, iris, "--labels", "species", "-k", 2, "-s", "tied")
        assert result.stderr.startswith("gaussmix: Some rows have no class (an empty label), so set a single -k")
        assert result.stderr.endswith(", or leave out -k.\n")

    def test_rows_to_classify_need_only_the_features(self, cli, iris, csv_file):
        rows = csv_file("d,c,b,a\n0.2,1.4,3.5,5.1\n")
        result = cli("classify", iris, rows, "--labels", "species", "-s", "tied", "-q")
        assert (result.exit_code, result.stderr) == (0, "")
        assert table(result.stdout)[1][0][4] == "setosa"

    def test_classify_reports_renamed_columns_and_rows_left_out(self, cli, iris, csv_file):
        train = csv_file(iris.read_text() + ",1,2,3,setosa\n", "train.csv")
        data = csv_file("a,b,c,d,class\n5.1,3.5,1.4,0.2,x\n1,,2,3,y\n", "new.csv")
        result = cli("classify", train, data, "--labels", "species", "--drop-missing")
        assert table(result.stdout)[0] == ["a", "b", "c", "d", "class", "class_", "probability"]
        assert f"{data} has a column 'class' already, so the new one is called 'class_'." in result.stderr
        assert f"left out 1 row of {train} with missing values." in result.stderr
        assert f"left out 1 row of {data} with missing values." in result.stderr
        bare = csv_file(
            "5.1,3.5,1.4,0.2,1\n4.9,3.0,1.4,0.2,1\n5.0,3.1,1.5,0.3,1\n7,3,5,1,2\n6,3,5,1,2\n6,2,4,1,2\n", "bare.csv"
        )
        result = cli("classify", bare, bare, "--labels", "x4", "-s", "spherical")
        assert result.stderr.count("begins with numbers") == 1

    def test_label_minus_one_is_a_class_unless_listed_by_the_na_option(self, cli, iris, csv_file):
        text = iris.read_text().replace("versicolor", "0").replace("virginica", "1").replace("setosa", "-1")
        data = csv_file(text, "signs.csv")
        result = cli("classify", data, data, "--labels", "species")
        assert "learned 3 classes from 100 labelled rows" in result.stderr
        assert {row[5] for row in table(result.stdout)[1]} == {"-1", "0", "1"}
        result = cli("classify", data, data, "--labels", "species", "--na", "-1")
        assert "learned 2 classes from 67 labelled rows" in result.stderr


class TestMerge:
    @pytest.fixture
    def two_models(self, cli, csv_file, tmp_path):
        """Fit models to 100 and 300 rows, and return their paths."""
        rng = np.random.default_rng(0)
        for name, n_rows, centre in (("a", 100, 0.0), ("b", 300, 9.0)):
            rows = rng.normal(centre, size=(n_rows, 2))
            path = csv_file("x,y\n" + "".join(f"{a},{b}\n" for a, b in rows.tolist()), f"{name}.csv")
            assert cli("fit", path, "-k", 1, "-s", "full", "-q", "-o", tmp_path / f"{name}.gmm").exit_code == 0
        return tmp_path / "a.gmm", tmp_path / "b.gmm"

    def test_merged_weights_are_proportional_to_the_numbers_of_rows(self, cli, two_models, tmp_path):
        result = cli("merge", *two_models, "-o", tmp_path / "all.gmm")
        assert result.stdout == f"2 components, full; written to {tmp_path / 'all.gmm'}\n"
        merged, parts = Mixture.load(tmp_path / "all.gmm"), [Mixture.load(path) for path in two_models]
        assert merged.weights.tolist() == [0.25, 0.75]
        assert merged.feature_names == ("x", "y")
        np.testing.assert_array_equal(merged.means, np.concatenate([part.means for part in parts]))

    def test_merge_reads_the_number_of_rows_of_a_saved_estimator(self, cli, two_models, tmp_path, rng):
        rows = pd.DataFrame(rng.normal(size=(300, 2)), columns=["x", "y"])
        GaussianMixture().fit(rows, sample_weight=np.full(300, 2.0)).save(tmp_path / "c.gmm")
        assert cli("merge", two_models[1], tmp_path / "c.gmm", "-o", tmp_path / "all.gmm").exit_code == 0
        np.testing.assert_allclose(Mixture.load(tmp_path / "all.gmm").weights, [1 / 3, 2 / 3])

    def test_merging_to_one_component_averages_the_means_by_weight(self, cli, two_models, tmp_path):
        assert cli("merge", *two_models, "--weights", "3,1", "-k", 1, "-o", tmp_path / "one.gmm", "-q").exit_code == 0
        merged, parts = Mixture.load(tmp_path / "one.gmm"), [Mixture.load(path) for path in two_models]
        assert merged.n_components == 1
        np.testing.assert_allclose(merged.means[0], 0.75 * parts[0].means[0] + 0.25 * parts[1].means[0])


class TestConvert:
    @pytest.mark.parametrize("extension", [".json", ".npz", ".gmm"])
    @pytest.mark.parametrize(
        "options", [[], ["--noise"], ["-s", "VEV"], ["-s", "factor_analyzer", "--noise-variance", "isotropic"]], ids=str
    )
    def test_conversion_to_a_format_and_back_gives_an_equal_mixture(self, extension, options, cli, faithful, tmp_path):
        start, middle, end = tmp_path / "m.gmm", tmp_path / f"x{extension}", tmp_path / "back.gmm"
        assert cli("fit", faithful, "-k", 2, *options, "-o", start, "-q").exit_code == 0
        for source, target in ((start, middle), (middle, end)):
            assert cli("convert", source, "-o", target, "-q").exit_code == 0
        assert Mixture.load(end) == Mixture.load(start)

    def test_conversion_to_scikit_learn_and_back_preserves_the_mixture(self, cli, model, tmp_path, rng):
        path = tmp_path / "m.joblib"
        assert cli("convert", model, path).exit_code == 0
        sklearn_mixture, mixture = joblib.load(path), Mixture.load(model)
        rows = rng.normal([3, 70], [1, 10], size=(50, 2))
        assert type(sklearn_mixture) is SklearnMixture
        sklearn_mixture.__dict__.pop("feature_names_in_")
        np.testing.assert_allclose(sklearn_mixture.score_samples(rows), mixture.log_density(rows))
        assert cli("convert", path, tmp_path / "back.gmm", "--trust").exit_code == 0
        np.testing.assert_allclose(Mixture.load(tmp_path / "back.gmm").means, mixture.means)

    @pytest.mark.parametrize("names", [None, ["a", "b"]])
    def test_exported_sql_and_c_contain_the_offset_of_a_detector(self, names, cli, tmp_path, rng):
        detector = GaussianMixtureDetector().fit(rng.normal(size=(90, 2)))
        detector._fitted = replace(detector._fitted, feature_names=names and tuple(names))
        detector.save(tmp_path / "d.gmm")
        for target, expected in (("d.sql", 'AS "outlier"'), ("d.h", "int d_is_outlier(const double *x)")):
            assert cli("convert", tmp_path / "d.gmm", tmp_path / target).exit_code == 0
            text = (tmp_path / target).read_text()
            assert expected in text
            assert repr(detector.offset_) in text
        assert all(f'"{name}"' in (tmp_path / "d.sql").read_text() for name in names or ["x0", "x1"])

    def test_arrays_larger_than_the_memory_limit_are_rejected(self, cli, tmp_path):
        np.savez_compressed(tmp_path / "x.npz", weights=np.zeros(10**6), means=np.zeros((1, 1)), covariances=np.eye(1))
        result = cli("convert", tmp_path / "x.npz", tmp_path / "m.gmm", "--memory", "4MB")
        assert result.exit_code == 1
        assert "x.npz can't be read as .npz: the arrays take 8 MB, but --memory is 4 MB. Raise" in result.stderr

    def test_a_pickle_is_not_read_without_trust(self, cli, tmp_path):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "harm"),)

        (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
        result = cli("convert", tmp_path / "evil.pkl", tmp_path / "m.gmm")
        assert result.exit_code == 2
        assert "reading it runs code from the file: add --trust" in result.stderr
        assert not (tmp_path / "harm").exists()

    def test_mclust_json_is_converted_to_the_same_mixture(self, cli, tmp_path):
        source, target = tmp_path / "r.json", tmp_path / "m.gmm"
        fits = json.loads((MCLUST / "fits.json").read_text())["faithful"]["fits"]
        fit = next(each for each in fits if (each["model"], each["G"]) == ("VVV", 2))["tight"]
        source.write_text(json.dumps({"model": "VVV", **fit}))
        assert cli("convert", source, target).exit_code == 0
        rows = np.loadtxt(FAITHFUL, delimiter=",", skiprows=1)
        found = Mixture.load(target)
        assert found.family.name == "full"
        assert found.log_density(rows).sum() == pytest.approx(fit["loglik"], rel=1e-12)

    @pytest.mark.parametrize(
        ("values", "means", "variances"),
        [
            ({"pro": [0.4, 0.6], "mean": [1, 2], "sigma_tril": [3, 4]}, [[1], [2]], [3, 4]),
            ({"pro": [0.4, 0.6], "mean": [[1], [2]], "sigma_tril": [[3], [4]]}, [[1], [2]], [3, 4]),
            ({"pro": [0.4, 0.6], "mean": [1, 2], "sigma_tril": 3}, [[1], [2]], [3]),
            ({"pro": 1, "mean": 1, "sigma_tril": 3}, [[1]], [3]),
            ({"pro": 1, "mean": [1, 2], "sigma_tril": [3, 0.5, 4]}, [[1, 2]], [3]),
        ],
    )
    def test_mclust_json_may_contain_scalars_instead_of_lists(self, values, means, variances, cli, csv_file, tmp_path):
        model = "EEE" if len(variances) < len(means) else "VVV"
        source = csv_file(json.dumps({"model": model, "parameters": values}), "r.json")
        result = cli("convert", source, tmp_path / "m.gmm")
        assert result.exit_code == 0, result.stderr
        assert ("1 component, " in result.stdout) == (len(means) == 1)
        found = Mixture.load(tmp_path / "m.gmm")
        assert found.means.tolist() == means
        assert found.covariances.reshape(-1, len(means[0]) ** 2)[:, 0].tolist() == variances

    @pytest.mark.parametrize(("model", "name"), [("XII", "EII"), ("XXI", "EEI"), ("XXX", "tied")])
    def test_mclust_json_may_have_one_component_and_no_names(self, model, name, cli, csv_file, tmp_path):
        values = {"model": model, "pro": 1, "mean": [[1, 2]], "sigma_tril": [[3, 0, 3]], "feature_names": {}}
        result = cli("convert", csv_file(json.dumps(values), "r.json"), tmp_path / "m.gmm")
        assert result.exit_code == 0, result.stderr
        found = Mixture.load(tmp_path / "m.gmm")
        assert (found.family.name, found.feature_names) == (name, None)

    @pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "EII", "EEI", "VEV", "EVI"])
    @pytest.mark.parametrize("noise", [[], ["--noise"]], ids=["", "noise"])
    def test_conversion_to_mclust_and_back_keeps_density_and_structure(self, structure, noise, cli, faithful, tmp_path):
        assert cli("fit", faithful, "-k", 2, "-s", structure, *noise, "-o", tmp_path / "m.gmm", "-q").exit_code == 0
        assert cli("convert", tmp_path / "m.gmm", tmp_path / "r.json", "--mclust").exit_code == 0
        assert cli("convert", tmp_path / "r.json", tmp_path / "back.gmm").exit_code == 0
        original, restored = Mixture.load(tmp_path / "m.gmm"), Mixture.load(tmp_path / "back.gmm")
        assert (restored.family.name, restored.feature_names) == (original.family.name, original.feature_names)
        rows = np.loadtxt(faithful, delimiter=",", skiprows=1)
        np.testing.assert_allclose(restored.log_density(rows), original.log_density(rows), rtol=1e-12)

    def test_models_are_exported_to_onnx_c_and_sql(self, cli, model, tmp_path):
        pytest.importorskip("onnx")
        assert cli("convert", model, tmp_path / "m.onnx", "--dtype", "float64").exit_code == 0
        assert cli("convert", model, tmp_path / "old-faithful.h").exit_code == 0
        assert cli("convert", model, tmp_path / "m.sql").exit_code == 0
        assert (tmp_path / "m.onnx").stat().st_size > 500
        assert "double old_faithful_log_density(const double *x)" in (tmp_path / "old-faithful.h").read_text()
        assert '"eruptions"' in (tmp_path / "m.sql").read_text()

    def test_a_classifier_is_exported_to_onnx_with_its_classes(self, cli, tmp_path):
        onnx = pytest.importorskip("onnx")
        rows = np.random.default_rng(0).normal(size=(40, 2))
        GaussianMixtureClassifier().fit(rows, np.repeat(["low", "high"], 20)).save(tmp_path / "c.gmm")
        assert cli("convert", tmp_path / "c.gmm", tmp_path / "c.onnx").exit_code == 0
        label = onnx.load(tmp_path / "c.onnx").graph.output[0]
        assert (label.name, label.type.tensor_type.elem_type) == ("label", onnx.TensorProto.STRING)
        assert cli("convert", tmp_path / "c.gmm", tmp_path / "c.h").exit_code == 0
        assert "c_log_density" in (tmp_path / "c.h").read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_shell_script(shell, cli, monkeypatch):
    monkeypatch.setenv("PATH", os.environ["PATH"])
    if shell == "bash" and shutil.which("bash") is None:
        pytest.skip("there is no bash")
    result = cli("completion", shell)
    assert result.exit_code == 0
    assert "_GAUSSMIX_COMPLETE" in result.stdout


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("words", "at", "expected"),
    [("gaussmix ", 1, "report"), ("gaussmix fit --crit", 2, "--criterion"), ("gaussmix fit ", 2, "file")],
)
def test_completion_suggests_subcommands_options_and_files(words, at, expected):
    variables = {**os.environ, "_GAUSSMIX_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    run = subprocess.run([sys.executable, "-m", "gaussmix"], env=variables, capture_output=True, text=True, check=True)
    assert expected in run.stdout


FIRST_BYTES = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "jpg": b"\xff\xd8"}


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("format", FIRST_BYTES)
def test_plot_writes_the_format_of_the_file_extension(format, cli, model, faithful, tmp_path):
    path = tmp_path / f"picture.{format}"
    result = cli("plot", model, faithful, "-o", path, "--dpi", 40)
    assert (result.exit_code, result.stdout) == (0, f"Picture written to {path}\n")
    assert path.read_bytes().startswith(FIRST_BYTES[format])


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("kind", ["pairs", "components", "profile", "uncertainty"])
@pytest.mark.parametrize("dark", [True, False], ids=["dark", "light"])
def test_plot_draws_all_kinds_in_light_and_dark(kind, dark, cli, model, faithful, tmp_path):
    from matplotlib.image import imread

    path = tmp_path / "picture.png"
    arguments = ["--kind", kind, "--dpi", 40, *(["--dark"] if dark else [])]
    assert cli("plot", model, faithful, "-o", path, "-q", *arguments).exit_code == 0
    corner = imread(path)[0, 0, :3]
    assert np.allclose(corner, 0.0 if dark else 1.0)


def test_plot_weights_the_rows_of_histograms(cli, tmp_path):
    from matplotlib import pyplot

    data, weights = tmp_path / "rows.csv", ["--weights", "w"]
    data.write_text("x,w\n" + "0,3\n1,1\n" * 30)
    cli("fit", data, *weights, "-k", 1, "-o", tmp_path / "m.gmm")
    assert cli("plot", tmp_path / "m.gmm", data, *weights, "-o", tmp_path / "picture.png").exit_code == 0
    bars = pyplot.gcf().axes[0].patches
    assert bars[0].get_height() == pytest.approx(3 * bars[-1].get_height())


def test_plot_draws_a_model_without_rows(cli, model, tmp_path):
    assert cli("plot", model, "-o", tmp_path / "alone.png", "--dpi", 40).exit_code == 0
    assert (tmp_path / "alone.png").stat().st_size > 1000


@pytest.mark.heavy
def test_plot_and_report_without_matplotlib_name_the_extra(shell, model, faithful, tmp_path):
    prelude = "import sys\nsys.modules['matplotlib'] = None"
    for command in (["plot", model, "-o", tmp_path / "a.png"], ["report", faithful, "-o", tmp_path / "a.html"]):
        stdout, stderr = shell(*command, prelude=prelude).communicate(timeout=60)
        assert stdout == ""
        assert stderr == "gaussmix: Pictures need matplotlib: install it with pip install 'gaussmix[plot]'.\n"
