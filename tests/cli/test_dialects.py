"""Which columns and rows of a table count, and text that is not plain CSV."""

import gzip
import json
import shlex

import numpy as np
import pandas as pd
import pytest

from gaussmix.sources.tables import open_table

ROWS = [(1.5, 2.25), (3.5, -1.0), (4.25, 0.5), (2.0, 7.0)]


def fitted(cli, *arguments, input=None):
    """The JSON of a fit of one component to a table, and what was said."""
    result = cli("fit", *arguments, "-k", 1, "--json", input=input)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout), result.stderr


def assert_is_rows(found, names):
    assert found["feature_names"] == names
    assert found["n_rows"] == len(ROWS)
    np.testing.assert_allclose(found["chosen"]["means"], [np.mean(ROWS, axis=0)])


def named_rows(header, sep):
    """As R writes rows with their names."""
    return header + "\n" + "".join(f'"{1 + at}"{sep}{x}{sep}{y}\n' for at, (x, y) in enumerate(ROWS))


TEXTS = {
    "savetxt": ("".join("{:.18e} {:.18e}\n".format(*row) for row in ROWS), ["x0", "x1"], []),
    "savetxt with a header": ("# a b\n" + "".join("{:.18e} {:.18e}\n".format(*row) for row in ROWS), ["a", "b"], []),
    "aligned": ("  a    b \n" + "".join("{:10.3f}\t{:9.3f}  \r\n".format(*row) for row in ROWS), ["a", "b"], []),
    "write.table": (named_rows('"a" "b"', " "), ["a", "b"], []),
    "write.table with tabs": (named_rows('"a"\t"b"', "\t"), ["a", "b"], []),
    "write.table with commas": (named_rows('"a","b"', ","), ["a", "b"], []),
    "write.csv": (named_rows('"","a","b"', ","), ["a", "b"], []),
    "Excel's first line": ("sep=;\r\na;b\r\n" + "".join(f"{x};{y}\r\n" for x, y in ROWS), ["a", "b"], []),
    "Excel's first line without names": ("\nSEP=|\n" + "".join(f"{x}|{y}\n" for x, y in ROWS), ["x0", "x1"], []),
    "an unusual delimiter": ("a:b\n" + "".join(f"{x}:{y}\n" for x, y in ROWS), ["a", "b"], ["--delimiter", ":"]),
    "tab by name": ("a\tb,c\n" + "".join(f"{x}\t{y}\n" for x, y in ROWS), ["a", "b,c"], ["--delimiter", "tab"]),
    "decimal comma": (
        "a;b\n" + "".join("{};{}\n".format(*row) for row in ROWS).replace(".", ","),
        ["a", "b"],
        ["--decimal", ","],
    ),
    "pandas index": (",a,b\n" + "".join(f"{at},{x},{y}\n" for at, (x, y) in enumerate(ROWS)), ["a", "b"], []),
    "pandas index read back": (
        "Unnamed: 0,a,b\n" + "".join(f"{at},{x},{y}\n" for at, (x, y) in enumerate(ROWS)),
        ["a", "b"],
        [],
    ),
    "excluded": (
        "a,id,b\n" + "".join(f"{x},7{at},{y}\n" for at, (x, y) in enumerate(ROWS)),
        ["a", "b"],
        ["--exclude", "id"],
    ),
    "rows with holes": (
        "a,b,note\nNA,1,p\n" + "".join("{},{},\n".format(*row) for row in ROWS) + "3,,q\n",
        ["a", "b"],
        ["--drop-missing"],
    ),
    "holes of one's own": (
        "a,b\nk.A.,1\n" + "".join("{},{}\n".format(*row) for row in ROWS) + "3,?\n",
        ["a", "b"],
        ["--drop-missing", "--na", "k.A.", "--na", "?"],
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_table_is_read_as_what_it_is(name, cli, csv_file):
    text, names, options = TEXTS[name]
    found, _ = fitted(cli, csv_file(text, "table.txt"), *options)
    assert_is_rows(found, names)
    piped, _ = fitted(cli, "-", *options, input=gzip.compress(text.encode()))
    assert_is_rows(piped, names)


@pytest.mark.parametrize("name", ["pandas index", "rows with holes"])
def test_what_was_left_out_is_said(name, cli, csv_file):
    text, _, options = TEXTS[name]
    _, said = fitted(cli, csv_file(text), *options)
    wanted = {"pandas index": "left out column '': it is the index", "rows with holes": "left out 2 rows of "}[name]
    assert wanted in said


@pytest.mark.parametrize("end", [" ", "\t", "  \n", " \t"], ids=repr)
def test_blanks_at_the_end_of_a_table_are_no_cells(end, cli, csv_file):
    result = cli("fit", csv_file("1 2\n3 4\n5 7" + end, "w.txt"), "-k", 1)
    assert result.exit_code == 0, result.stderr
    assert "3 rows, 2 features" in result.stdout


def test_rows_of_blanks_are_read_in_any_pieces(cli, csv_file, rng):
    rows = rng.normal(size=(60_000, 2)).round(6)
    found, _ = fitted(cli, csv_file("x   y\n" + "".join(f" {a}  {b}\n" for a, b in rows.tolist())))
    assert found["n_rows"] == len(rows)
    np.testing.assert_allclose(found["chosen"]["means"], [rows.mean(axis=0)])


def test_predict_and_score_leave_the_same_rows_out(cli, csv_file, model):
    text = "waiting,eruptions,note\n79,3.6,a\nNA,2,b\n54,1.8,\n60,,d\n"
    written = cli("predict", model, csv_file(text), "--drop-missing")
    assert [line.split(",")[2] for line in written.stdout.splitlines()] == ["note", "a", ""]
    assert "left out 2 rows" in written.stderr
    scores = cli("score", model, csv_file(text), "--drop-missing", "--json")
    assert json.loads(scores.stdout)["n_rows"] == 2


def test_a_bad_number_is_named_by_its_own_line_after_rows_were_left_out(cli, csv_file, model):
    result = cli("predict", model, csv_file("eruptions,waiting\n1,2\n,3\n4,inf\n"), "--drop-missing")
    assert result.exit_code == 1
    assert "line 4, column 'waiting': the value is infinite" in result.stderr


def test_rows_that_all_miss_a_value_are_a_sentence(cli, csv_file):
    result = cli("fit", csv_file("a,b\n1,\n,2\n3,\n"), "-k", 1, "--drop-missing")
    assert result.exit_code == 1
    assert "each row misses a value in 'a', 'b'" in result.stderr


def test_a_decimal_comma_is_written_as_it_was_read(cli, csv_file, model):
    result = cli("predict", model, csv_file("eruptions;waiting\n3,6;79\n"), "--decimal", ",")
    assert result.stdout.splitlines()[1].startswith("3,6;79;0;0,99")


def test_excluded_columns_are_copied_by_predict_and_match_by_place(cli, csv_file, model):
    result = cli("predict", model, csv_file("id,e,w\n7,3.6,79\n"), "--exclude", "id", "--columns", "e,w")
    assert result.stdout.splitlines()[1].startswith("7,3.6,79,0,0.99")


MISTYPED = {
    "?": ("'?' in line 4", None),
    "1,000.5": ("'1,000.5' in line 4", None),
    "2,5": ("'2,5' in line 4", "--decimal ,"),
}


@pytest.mark.parametrize("cell", MISTYPED)
def test_a_column_that_is_nearly_numbers_is_not_left_out_in_silence(cell, cli, csv_file):
    shown, hint = MISTYPED[cell]
    text = f'a,b\n1,2\n2,5\n"{cell}",4\n' + "3,1\n5,9\n" * 20
    result = cli("fit", csv_file(text), "-k", 1, "-q")
    assert result.exit_code == 1
    assert f"column 'a' holds numbers except {shown}" in result.stderr
    assert hint is None or hint in result.stderr
    found, _ = fitted(cli, csv_file(text), "--exclude", "a")
    assert found["feature_names"] == ["b"]


@pytest.mark.parametrize("verb", ["fit", "predict"])
@pytest.mark.parametrize("n_whole", [0, 25])
def test_decimal_commas_are_read_where_the_first_lines_show_them_and_told_else(verb, n_whole, cli, csv_file, model):
    """With another column of numbers, the fit could go on without them."""
    rows = n_whole * "3;70;1\n" + "".join(f"{x},5;{70 + x % 3},5;{x * x}\n" for x in range(8))
    data = csv_file("eruptions;waiting;n\n" + rows)
    result = cli(*(["fit", data, "-k", 1] if verb == "fit" else ["predict", model, data]))
    if n_whole:
        assert result.exit_code == 1
        assert "column 'eruptions'" in result.stderr
        assert "(where the comma is a decimal mark, say so: --decimal ,)" in result.stderr
    else:
        assert result.exit_code == 0
        assert f"{data} has commas in its numbers, which are read as decimal marks.\n" in result.stderr


def test_a_text_that_means_a_hole_is_named_and_filled(cli, csv_file, model):
    refused = cli("fit", csv_file("a,b\n1,2\n2,4\nk.A.,1\n5,3\n"), "-k", 1)
    assert "'k.A.' in line 4: mend these cells, give --na TEXT where one means a missing value, or" in refused.stderr
    text = "eruptions,waiting,note\n3.6,k.A.,k.A.\n1.8,54,\n"
    _, first, second = cli("impute", model, csv_file(text), "--na", "k.A.").stdout.splitlines()
    assert (first[:5], first[-5:], second) == ("3.6,7", ",k.A.", "1.8,54,")
    piped = cli("impute", model, "-", "--na", "k.A.", input=text)
    assert piped.stderr == "gaussmix: filled 1 cell of standard input.\n"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("d.json", "is JSON, which is not read: write it as CSV or Parquet first."),
        ("d.gmm", "is a model, not a table: name the rows to read."),
        ("d.npz", "holds several arrays: save the one to read as .npy."),
        ("d.xlsx", "is a spreadsheet: save it as CSV first."),
        ("d.orc", "is no table that is read: write it as CSV."),
        ("d.duckdb", "is a database: write the table to read as CSV or Parquet."),
        ("d.csv.xz", "is compressed in a way that is not read: unpack it first."),
    ],
)
def test_what_is_no_table_is_refused_by_its_name(name, advice, cli, csv_file):
    path = csv_file(b"PK\x03\x04\0\0" if name != "d.json" else "[]", name)
    result = cli("fit", path)
    assert (result.exit_code, result.stderr) == (1, f"gaussmix: {path} {advice}\n")


@pytest.mark.parametrize(
    ("contents", "advice"),
    [
        (b'{"a": 1}\n', "is JSON"),
        (b'[{"a": 1}]\n', "is JSON"),
        (b"SQLite format 3\0", "is a database"),
        (b"\x89HDF\r\n\x1a\n", "is no table that is read"),
        (b"\xfd7zXZ\0\0", "is compressed in a way that is not read"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is a spreadsheet"),
        (b"PK\x03\x04\0\0", "is a zip archive or a spreadsheet"),
    ],
)
def test_what_is_no_table_is_refused_by_how_it_begins(contents, advice, cli):
    assert cli("fit", "-", input=contents).stderr.startswith(f"gaussmix: standard input {advice}")


WRONG = {
    "an unknown extension": (["predict", "MODEL", "DATA", "-o", "out.xyz"], "gaussmix writes no .xyz"),
    "a threshold of nothing": (["predict", "MODEL", "DATA", "--threshold", "0.1"], "--threshold needs --outliers"),
    "probabilities of targets": (
        ["predict", "MODEL", "DATA", "--targets", "waiting", "--probabilities"],
        "--probabilities needs every feature",
    ),
    "take and leave out": (["fit", "DATA", "--missing", "--drop-missing"], "--missing takes the rows"),
    "leave out what is to be filled": (["impute", "MODEL", "DATA", "--drop-missing"], "--drop-missing would leave out"),
    "an unknown noise": (
        ["fit", "DATA", "-s", "factor_analyzer", "--n-factors", "3", "--noise-variance", "foo"],
        "'--noise-variance': 'foo' is not one of",
    ),
    "one mark for two things": (["fit", "DATA", "--decimal", ",", "--delimiter", ","], "can't be the delimiter and"),
    "a model as a table": (["fit", "DATA", "-o", "m.csv"], "a model is not written as .csv: name it m.gmm"),
    "a model for others": (["fit", "DATA", "-o", "m.onnx"], "`gaussmix convert` writes other formats"),
    "two characters": (["fit", "DATA", "--delimiter", "ab"], "is not a single character, tab or blanks"),
}


@pytest.mark.parametrize("name", WRONG)
def test_contradictions_are_wrong_usage(name, cli, faithful, model):
    arguments, said = WRONG[name]
    result = cli(*[{"DATA": faithful, "MODEL": model}.get(argument, argument) for argument in arguments])
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_excluded_column_must_be_there(cli, faithful):
    result = cli("fit", faithful, "--exclude", "wait")
    assert result.exit_code == 1
    assert "has no column 'wait'; it has 'eruptions', 'waiting'" in result.stderr


def test_every_probability_and_a_threshold(cli, faithful, model, tmp_path):
    path = tmp_path / "out.json"
    result = cli(
        "predict",
        model,
        faithful,
        "--probabilities",
        "--outliers",
        "--threshold",
        0.3,
        "-q",
        "-o",
        path,
        "--to",
        "json",
    )
    assert result.exit_code == 0
    rows = json.loads(path.read_text())
    for row in rows:
        assert row["probability_0"] + row["probability_1"] == pytest.approx(1)
        assert row[f"probability_{row['component']}"] == row["probability"]
        assert row["outlier"] == (row["p_value"] < 0.3)
    assert 0.2 < np.mean([row["outlier"] for row in rows]) < 0.4


def test_errors_speak_of_options(cli, faithful, csv_file):
    assert cli("fit", faithful, "-k", 300).stderr.endswith("1 × fewer rows than components. Lower -k.\n")
    constant = csv_file("a,b\n" + "".join(f"{at},1\n" for at in range(30)))
    said = cli("fit", constant, "-k", 1, "--reg-covar", 0).stderr
    assert "Column 'b' of DATA is constant. Leave it out, or raise --reg-covar." in said
    assert "reg_covar" not in said


@pytest.mark.parametrize("verb", [["describe", "MODEL"], ["sample", "MODEL", "-n", 3]], ids=lambda verb: verb[0])
def test_every_verb_takes_quiet(verb, cli, model):
    result = cli(*[model if argument == "MODEL" else argument for argument in verb], "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout


COMMENTS = "# measured on Monday\n#\n# by me\n"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (COMMENTS + "a,b,c\n1,2,3\n3,1,4\n", ("a", "b", "c")),
        (COMMENTS + "# a,b,c\n1,2,3\n3,1,4\n", ("a", "b", "c")),
        (COMMENTS + "1,2,3\n3,1,4\n", ("x0", "x1", "x2")),
        (COMMENTS + "\n# a b c\n 1  2 3\n3 1  4\n", ("a", "b", "c")),
        ("##fileformat=VCF\n#CHROM\tPOS\n1\t2\n3\t1\n", ("CHROM", "POS")),
        ("#,b\n#1,2\n#2,3\n", ("#", "b")),
        ("0,1,2\n0.5,2,3\n0.7,3,4\n", ("0", "1", "2")),
        ("0,1\n5,7\n", ("x0", "x1")),
        ("a,b,,\n1,2,,\n2,3,,\n", ("a", "b", "Unnamed: 2", "Unnamed: 3")),
    ],
)
def test_names_of_columns(text, names, csv_file):
    """After lines of comments; as pandas writes and reads them."""
    table = open_table(str(csv_file(text)))
    assert table.names == names
    assert table.place(1).endswith(f"line {text.count(chr(10))}")


def test_a_comment_between_rows_is_an_error_that_says_so(cli, csv_file):
    path = csv_file("a,b\n1,2\n# a pause\n3,4\n")
    assert cli("fit", path).stderr == f"gaussmix: {path}, line 3: 1 value for 2 columns. Leave out lines of comments.\n"


def test_columns_without_name_and_values_are_left_out_as_empty(cli, csv_file):
    said = cli("fit", csv_file("a,b,\n" + "1,2,\n2,5,\n4,4,\n"), "-k", 1).stderr
    assert said == "gaussmix: left out column '': it is empty.\n"


def test_categories_are_called_so(cli, tmp_path, rng):
    frame = pd.DataFrame({"a": rng.normal(size=20), "b": pd.Categorical(["u", "v"] * 10)})
    frame.to_parquet(tmp_path / "x.parquet")
    said = cli("fit", tmp_path / "x.parquet", "-k", 1).stderr
    assert said == "gaussmix: left out column 'b': it holds categories, not numbers.\n"


def test_failed_candidates_are_told_in_words_of_the_command_line(cli, csv_file):
    text = "a,b\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(40))
    said = cli("fit", csv_file(text), "-k", "1:4", "--start", "hierarchical").stderr
    assert "candidates could not be fitted" in said
    assert "results_" not in said


class TestCounting:
    """A column that counts the rows is no feature, unless the user names it."""

    def table(self, path, rng, *, first=0, name="id", order=None):
        columns = {name: np.arange(first, first + 40), "size": rng.normal(size=40), "mass": rng.normal(size=40)}
        frame = pd.DataFrame(columns)
        frame = frame if order is None else frame.iloc[order]
        frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)

    @pytest.mark.parametrize("extension", ["csv", "parquet", "dat"])
    @pytest.mark.parametrize(("first", "name"), [(0, "a"), (1, "id"), (1001, "customer_id"), (7, "Nr")])
    def test_it_is_left_out_and_named(self, cli, tmp_path, rng, extension, first, name):
        path = tmp_path / f"x.{extension}"
        self.table(path, rng, first=first, name=name)
        result = cli("fit", path, "-k", 1)
        assert "2 features (size, mass)" in result.stdout
        assert result.stderr.startswith(f"gaussmix: left out column '{name}': it counts the rows.")
        assert "features (size, mass)" in cli("fit", path, "-k", 1, "--exclude", name).stdout

    def test_columns_takes_it_back(self, cli, tmp_path, rng):
        self.table(tmp_path / "x.csv", rng)
        result = cli("fit", tmp_path / "x.csv", "-k", 1, "--columns", "id,mass")
        assert "2 features (id, mass)" in result.stdout
        assert "counts" not in result.stderr

    @pytest.mark.parametrize(("first", "name"), [(1950, "year"), (5, "a")])
    def test_other_columns_that_rise_stay(self, cli, tmp_path, rng, first, name):
        self.table(tmp_path / "x.csv", rng, first=first, name=name)
        assert "3 features" in cli("fit", tmp_path / "x.csv", "-k", 1).stdout

    @pytest.mark.parametrize("kind", ["shuffled", "repeated", "with gaps"])
    def test_what_does_not_rise_by_one_each_stays(self, cli, tmp_path, rng, kind):
        order = {"shuffled": rng.permutation(40), "repeated": np.arange(40) // 2, "with gaps": np.arange(0, 40, 2)}
        self.table(tmp_path / "x.csv", rng, order=order[kind])
        assert "3 features" in cli("fit", tmp_path / "x.csv", "-k", 1).stdout

    def test_every_verb_that_chooses_features_leaves_it_out(self, cli, tmp_path, rng):
        path = tmp_path / "x.csv"
        self.table(path, rng)
        frame = pd.read_csv(path).assign(kind=["u", "v"] * 20)
        frame.to_csv(path, index=False)
        for words in (
            ["report", path, "-k", 1, "--exclude", "kind", "-o", tmp_path / "x.html"],
            ["classify", path, path, "--labels", "kind", "-k", 1],
            ["fit", path, "-k", 1, "--by", "kind", "-o", tmp_path / "m.gmm"],
        ):
            result = cli(*words)
            assert result.exit_code == 0, result.stderr
            assert "left out column 'id': it counts the rows." in result.stderr

    def test_a_table_of_nothing_else_is_fitted(self, cli, tmp_path):
        pd.DataFrame({"id": np.arange(30)}).to_csv(tmp_path / "x.csv", index=False)
        assert "1 feature (id)" in cli("fit", tmp_path / "x.csv", "-k", 1).stdout


AMOUNTS = np.array([[-6139.43, 1.5], [1234567.0, 2.25], [12.0, np.nan], [999.5, 1000.0]])
GROUPED = ["Größe;Maß", "-6.139,43;1,5", "1.234.567;2,25", " 12,;k.A.", "999,5;1.000,"]
IN_EUROPE = "--decimal", ",", "--na", "k.A.", "--missing"


class TestEurope:
    """CSV as spreadsheets in Europe write it."""

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
    def test_thousands_and_letters_are_read(self, cli, tmp_path, encoding):
        path = tmp_path / "x.csv"
        path.write_text("\n".join(GROUPED), encoding=encoding)
        found, said = fitted(cli, path, *IN_EUROPE, "--thousands", ".", "--reg-covar", 1)
        assert found["feature_names"] == ["Größe", "Maß"]
        np.testing.assert_allclose(found["chosen"]["means"][0][0], AMOUNTS[:, 0].mean(), rtol=1e-6)
        assert ("so it is read as cp1252; give --encoding if it is another" in said) == (encoding == "cp1252")

    @pytest.mark.parametrize("header", ["", "price\n", "\n"])
    def test_thousands_cut_no_single_column(self, cli, tmp_path, header):
        path = tmp_path / "x.csv"
        path.write_text(f"{header}22,802\n1,016,414.5\n-23,652\n")
        found, _ = fitted(cli, path, "--thousands", ",")
        np.testing.assert_allclose(found["chosen"]["means"][0], [np.mean([22802, 1016414.5, -23652])], rtol=1e-6)

    def test_an_encoding_that_is_said_counts(self, cli, tmp_path):
        path = tmp_path / "x.csv"
        path.write_text("größe\n1\n2\n4\n", encoding="cp437")
        assert fitted(cli, path, "--encoding", "cp437")[0]["feature_names"] == ["größe"]
        wrong = cli("fit", path, "-k", 1, "--encoding", "utf-8")
        assert wrong.stderr == f"gaussmix: {path} is not UTF-8 text: save it as CSV in UTF-8, or give --encoding.\n"
        unknown = cli("fit", path, "-k", 1, "--encoding", "klingon")
        assert "Python knows no encoding 'klingon'" in unknown.stderr

    @pytest.mark.parametrize(
        ("cells", "given", "advice"),
        [
            (["1.234,5", "2.345,6", "7,5"], [], "--thousands ."),
            (["1.234,5", "2.345,6", "3.456,5"], [], "--decimal , --thousands ."),
            (["1.234,5", "2.345,6", "7,5"], ["--decimal", ","], "--thousands ."),
            (['"1,234.5"', '"2,345.6"', '"1,234,567"'], [], "--thousands ,"),
            ([*map(str, range(1, 30)), "2,5", "3,25"], [], "--decimal ,"),
            (["1 234,5", "2 345,6", "7,5"], [], "--thousands ' '"),
            (["1\N{NO-BREAK SPACE}234", "2\N{NARROW NO-BREAK SPACE}345", "7"], [], "--thousands ' '"),
            (["1'234.5", "2\N{RIGHT SINGLE QUOTATION MARK}345.6", "7.5"], [], '--thousands "\'"'),
        ],
    )
    def test_a_column_of_other_marks_is_an_error_that_names_them(self, cli, tmp_path, cells, given, advice):
        path = tmp_path / "x.csv"
        path.write_text("id;a\n" + "".join(f"{number};{cell}\n" for number, cell in enumerate(cells)))
        result = cli("fit", path, "-k", 1, *given)
        assert result.exit_code == 1
        assert f"say so: {advice})" in result.stderr
        assert cli("fit", path, "-k", 1, *given, *shlex.split(advice), "--columns", "a").exit_code == 0

    @pytest.mark.parametrize("decimal", [[], ["--decimal", ","]])
    @pytest.mark.parametrize("cell", ["1.23", "1.2345", "12.34.567", "1.234.", "x"])
    def test_what_is_not_in_groups_of_three_is_no_number(self, cli, tmp_path, cell, decimal):
        path = tmp_path / "x.csv"
        path.write_text("a;b\n" + "1.000;1\n2.000;2\n" * 9 + f"{cell};3\n")
        result = cli("fit", path, "-k", 1, *decimal, "--thousands", ".")
        assert result.exit_code == 1
        assert f"column 'a' holds numbers except '{cell}' in line 20" in result.stderr

    def test_marks_that_are_one_contradict(self, cli, tmp_path):
        result = cli("fit", "x.csv", "-k", 1, "--thousands", ",", "--decimal", ",")
        assert result.stderr.endswith(
            "',' can't mark thousands and be the decimal mark or the delimiter. See 'gaussmix fit --help'.\n"
        )

    def test_a_cell_far_down_is_named_by_its_line(self, cli, tmp_path):
        path = tmp_path / "x.csv"
        path.write_text("a;b\n" + "1.000;1\n" * 30_000 + "?;1\n")
        result = cli("fit", path, "-k", 1, "--decimal", ",", "--thousands", ".")
        assert result.stderr == f"gaussmix: {path}, line 30002, column 'a': '?' is no number.\n"
