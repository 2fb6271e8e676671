"""Tests that tables of all formats and dialects give the same rows, or an error that names the location."""

import bz2
import csv
import gzip
import io
import json
import re
import shlex
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

import gaussmix
from gaussmix._src.sources.tables import open_table
from gaussmix._src.sources.tables.base import Dialect

XY, NUMBERED, AB = ("x", "y"), ("x0", "x1"), ("a", "b")
TWO = [[1, 2], [3, 4.5]]
FLOATS = [[1.5, 2.25], [3.5, -1.0], [4.25, 0.5]]
NAMED_BY_R = '"1"{0}1.5{0}2.25\n"2"{0}3.5{0}-1.0\n"3"{0}4.25{0}0.5\n'
SAVETXT = "".join("{:.18e} {:.18e}\n".format(*row) for row in FLOATS)
PLAIN = "1.5,2.25\n3.5,-1.0\n4.25,0.5\n"
COMMAS = [[0.126, -0.132], [0.64, 0.105], [-0.536, 0.362]]

TEXTS = {  # contents, names, rows, parameters of the dialect
    "plain": ("x,y\n1,2\n3,4.5\n", XY, TWO, {}),
    "windows lines": ("x,y\r\n1,2\r\n3,4.5\r\n", XY, TWO, {}),
    "byte order mark": ("\ufeffx,y\n1,2\n3,4.5\n", XY, TWO, {}),
    "no last newline": ("x,y\n1,2\n3,4.5", XY, TWO, {}),
    "blanks": (" x , y \n 1 , 2 \n3,4.5\n", XY, TWO, {}),
    "quotes": ('"x","y"\n"1","2"\n3,4.5\n', XY, TWO, {}),
    "blank lines": ("\n  \nx,y\n\n1,2\n\n\n3,4.5\n", XY, TWO, {}),
    "semicolons": ("x;y\n1;2\n3;4.5\n", XY, TWO, {}),
    "tabs": ("x\ty\n1\t2\n3\t4.5\n", XY, TWO, {}),
    "exponents": ("x,y\n1e0,20e-1\n+3,4.5\n", XY, TWO, {}),
    "truth values": ("x,y\ntrue,2\nFalse,4.5\n", XY, [[1, 2], [0, 4.5]], {}),
    "no header": ("1,2\n3,4.5\n", NUMBERED, TWO, {}),
    "no header by option": ("1,2\n3,4.5\n", NUMBERED, TWO, {"has_header": False}),
    "a header of numbers by option": ("1,2\n3,4\n", ("1", "2"), [[3, 4]], {"has_header": True}),
    "a header of numbers by pandas": ("0,1,2\n0.5,2,3\n0.7,3,4\n", ("0", "1", "2"), [[0.5, 2, 3], [0.7, 3, 4]], {}),
    "numbers that are not a header": ("0,1\n5,7\n", NUMBERED, [[0, 1], [5, 7]], {}),
    "texts longer than Python's limit": (f"x,t,y\n1,{'a' * 2**17}b,2\n3,{'a' * 2**17}b,4.5\n", XY, TWO, {}),
    "an index by pandas": (",0,1\n0,1.5,2.5\n1,2.5,3\n", ("0", "1"), [[1.5, 2.5], [2.5, 3]], {}),
    "columns without names": ("a,b,,\n1,2,,\n3,4.5,,\n", AB, TWO, {}),
    "an index that was read back": ("Unnamed: 0,a,b\n0,1,2\n1,3,4.5\n", AB, TWO, {}),
    "savetxt": (SAVETXT, NUMBERED, FLOATS, {}),
    "savetxt with a header": ("# a b\n" + SAVETXT, AB, FLOATS, {}),
    "aligned": ("  a    b \n 1.5\t  2.25  \r\n 3.5\t -1.0  \r\n4.25\t  0.5  \r\n", AB, FLOATS, {}),
    "blanks and a tab at the end": ("1 2\n3 4\n5 7 \t", NUMBERED, [[1, 2], [3, 4], [5, 7]], {}),
    "write.table": ('"a" "b"\n' + NAMED_BY_R.format(" "), AB, FLOATS, {}),
    "write.table with tabs": ('"a"\t"b"\n' + NAMED_BY_R.format("\t"), AB, FLOATS, {}),
    "write.table with commas": ('"a","b"\n' + NAMED_BY_R.format(","), AB, FLOATS, {}),
    "write.csv": ('"","a","b"\n' + NAMED_BY_R.format(","), AB, FLOATS, {}),
    "write.table, an empty value": ('"a" "s"\n"1" 1.5 ""\n"2" 2.5 "u"\n', ("a",), [[1.5], [2.5]], {}),
    "write.table with tabs, an empty value": ('"a"\t"s"\n"1"\t1.5\t\n"2"\t2.5\t"u"\n', ("a",), [[1.5], [2.5]], {}),
    "Excel's first line": ("sep=;\r\na;b\r\n1;2\r\n3;4.5\r\n", AB, TWO, {}),
    "Excel's first line without names": ("\nSEP=|\n1|2\n3|4.5\n", NUMBERED, TWO, {}),
    "an unusual delimiter": ("a:b\n1:2\n3:4.5\n", AB, TWO, {"delimiter": ":"}),
    "a delimiter that a name has": ("a\tb,c\n1\t2\n3\t4.5\n", ("a", "b,c"), TWO, {}),
    "marks in quoted names": ('"len, cm";"w, h"\n1.5;2\n2.5;3\n', ("len, cm", "w, h"), [[1.5, 2], [2.5, 3]], {}),
    "a name as a compressed file begins": ("BZh,y\n1,2\n", ("BZh", "y"), [[1, 2]], {}),
    "comments": ("# measured on Monday\n#\n# by me\na,b\n1,2\n3,4.5\n", AB, TWO, {}),
    "names in a comment": ("# measured on Monday\n#\n# a,b\n1,2\n3,4.5\n", AB, TWO, {}),
    "comments and no names": ("# measured on Monday\n#\n# by me\n1,2\n3,4.5\n", NUMBERED, TWO, {}),
    "comments, blanks, names": ("# by me\n\n# a b c\n 1  2 3\n3 1  4\n", ("a", "b", "c"), [[1, 2, 3], [3, 1, 4]], {}),
    "VCF": ("##fileformat=VCF\n#CHROM\tPOS\n1\t2\n3\t4.5\n", ("CHROM", "POS"), TWO, {}),
    "decimal commas": ("a;b\n0,126;-0,132\n0,64;0,105\n-0,536;0,362\n", AB, COMMAS, {}),
    "decimal commas, no header": ("0,126;-0,132\n0,64;0,105\n-0,536;0,362\n", NUMBERED, COMMAS, {}),
    "decimal commas by option": ("a;b\n0,126;-0,132\n0,64;0,105\n-0,536;0,362\n", AB, COMMAS, {"decimal": ","}),
    "one column of decimal commas": ("length\n1,5\n2,25\n", ("length",), [[1.5], [2.25]], {"decimal": ","}),
    "quoted decimal commas": ('x,y\n"1,5","2,25"\n"3,5","4,0"\n', XY, [[1.5, 2.25], [3.5, 4]], {"decimal": ","}),
    "quoted, without names": ('"1,5","2,25"\n"3,5","4,0"\n', NUMBERED, [[1.5, 2.25], [3.5, 4]], {"decimal": ","}),
    "points for thousands": ("a;b\n1.234,5;2\n2.000;3,5\n", AB, [[1234.5, 2], [2000, 3.5]], {"thousands": "."}),
    "only points for thousands": ("a;b\n1.234;2\n2.000;3\n", AB, [[1234, 2], [2000, 3]], {"thousands": "."}),
    "commas for thousands": ("1,500;2\n1,600;3\n", NUMBERED, [[1500, 2], [1600, 3]], {"thousands": ","}),
    "thousands of one column": ("price\n22,802\n1,016,414.5\n", ("price",), [[22802], [1016414.5]], {"thousands": ","}),
    "one column without a name": ("22,802\n1,016,414.5\n", ("x0",), [[22802], [1016414.5]], {"thousands": ","}),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_open_table_detects_the_dialect_of_text_files(name, csv_file, read_features):
    text, names, rows, options = TEXTS[name]
    table = open_table(str(csv_file(text, "table.txt")), dialect=Dialect(**options))
    found = read_features(table)
    assert found.names == names
    np.testing.assert_array_equal(found.rows, rows)
    assert table.describe_location(len(rows) - 1).endswith(f"line {text.rstrip().count(chr(10)) + 1}")
    assert csv.field_size_limit() == 2**17  # reading must not change this setting of the whole process


DELIMITERS = {  # contents with columns of text, and the delimiter
    "texts first": ("S0;13,45\nS1;-0,13\nS2;0,64\n", ";"),
    "dates": ("01.02.2024;1,5\n02.02.2024;2,5\n", ";"),
    "two texts": ("A;Rome;1,5\nB;Bonn;2,5\n", ";"),
    "a comma in a name": ("Station, ID;Temp\nS1;12,5\nS2;13,5\n", ";"),
    "two numbers, not one": ("1,5\n2,5\n", ","),
    "semicolons in a text": ("id,tags;x\n1,a;b\n2,c;d\n", ","),
}


@pytest.mark.parametrize("name", DELIMITERS)
def test_decimal_commas_next_to_text_are_not_taken_for_delimiters(name, csv_file):
    text, delimiter = DELIMITERS[name]
    assert open_table(str(csv_file(text)), dialect=Dialect(has_header=True)).delimiter == delimiter


@pytest.mark.parametrize(
    ("line", "thousands"),
    [("1,234;2,345", None), ("1.5;2,5", None), ("1,5;2,5", ","), ("1;2", None), ("Rome, Bonn;2", None)],
)
def test_ambiguous_commas_are_not_read_as_decimal_marks(line, thousands, csv_file):
    table = open_table(str(csv_file(f"a;b\n{line}\n")), dialect=Dialect(delimiter=";", thousands=thousands))
    assert table.decimal == "."


def test_open_table_reports_a_guess_about_the_header(csv_file):
    path = str(csv_file("1,2\n3,4\n"))
    notice = f"{path} begins with numbers, which are read as data; pass --header if these are names."
    assert open_table(path).notices == (notice,)
    assert open_table(path, dialect=Dialect(has_header=False)).notices == ()
    assert "; pass --no-header if these are values" in open_table(str(csv_file("5.1,3.5,setosa\n4.9,3,b\n"))).notices[0]


@pytest.mark.parametrize("missing", ["NA", "", "nan"])
def test_a_missing_value_in_the_first_line_does_not_imply_a_header(missing, csv_file):
    table = open_table(str(csv_file(f"{missing},2.5\n0.1,-0.1\n")))
    assert not table.has_names
    np.testing.assert_array_equal(table.all_rows(table.names, may_miss=True), [[np.nan, 2.5], [0.1, -0.1]])


def test_text_columns_are_read_unchanged_across_blocks(csv_file):
    """Check that Arrow, which reads blocks of about a megabyte, splits no field between two blocks."""
    table = open_table(str(csv_file('id,x,note\n007,1.50,"a,b"\n008,,"two\nlines"\n')))
    found = pa.Table.from_batches(table.batches(table.names))
    assert found.to_pydict() == {"id": ["007", "008"], "x": ["1.50", ""], "note": ["a,b", "two\nlines"]}
    table = open_table(str(csv_file("x,note\n" + '1,"two\nlines"\n' * 150_000)))
    assert pa.Table.from_batches(table.batches(table.names))["note"].to_pylist() == ["two\nlines"] * 150_000


def test_tables_separated_by_blanks_are_read_across_blocks(csv_file, read_features, rng):
    rows = rng.normal(size=(60_000, 2)).round(6)
    text = "x   y\n" + "".join(f" {a}  {b}\n" for a, b in rows.tolist())
    np.testing.assert_array_equal(read_features(open_table(str(csv_file(text)))).rows, rows)


@pytest.mark.heavy
def test_column_types_are_inferred_from_the_whole_column(csv_file, read_features):
    """Check types of whole columns, because Arrow infers types from the first block of about a megabyte."""
    many = "1\n" * 700_000
    assert read_features(open_table(str(csv_file(f"x\n{many}2.5\n")))).rows[-1] == 2.5
    with pytest.raises(ValueError, match="line 700002, column 'x': 'oops' is not a number"):
        read_features(open_table(str(csv_file(f"x\n{many}oops\n"))))


LONG = np.arange(2000.0).reshape(1000, 2) ** 2 % 97
LONG_TEXT = b"x,y\n" + b"".join(b"%d,%d\n" % tuple(row) for row in LONG)
COMPRESSED = {
    "gz": gzip.compress(LONG_TEXT),
    "bz2": bz2.compress(LONG_TEXT),
    "zst": pa.compress(LONG_TEXT, codec="zstd", asbytes=True),
    "lz4": pa.compress(LONG_TEXT, codec="lz4", asbytes=True),
}


@pytest.mark.parametrize("codec", COMPRESSED)
def test_compressed_files_are_read_and_damaged_ones_are_rejected(codec, cli, csv_file, read_features):
    contents = COMPRESSED[codec]
    assert np.array_equal(read_features(open_table(str(csv_file(contents)))).rows, LONG)
    assert json.loads(cli("fit", "-", "-k", 1, "--json", input=contents).stdout)["n_rows"] == len(LONG)
    half = len(contents) // 2
    for damaged in contents[:half], contents[:half] + bytes(byte ^ 0xFF for byte in contents[half:]):
        path = csv_file(damaged, f"data.csv.{codec}")
        result = cli("fit", path)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"gaussmix: {path} can't be read as CSV: ")
        assert result.stderr.count("\n") == 1


def bytes_of(write, *arguments):
    file = io.BytesIO()
    write(*arguments, file)
    return file.getvalue()


def npy(array):
    return bytes_of(lambda array, file: np.save(file, array, allow_pickle=True), array)


def stream(table):
    with io.BytesIO() as file:
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        return file.getvalue()


def feather_1(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes_of(lambda table, file: feather.write_feather(table, file, version=1), table)


ROWS = np.array([[1.5, 2.0], [3.0, 1 / 3], [-1e-300, 7.0]])
FRAME = pa.table({"x": ROWS[:, 0], "y": ROWS[:, 1]})
FILES = {  # extension, contents, column names
    "csv": (".csv", b"x,y\n1.5,2\n3,0.3333333333333333\n-1e-300,7\n", True),
    "parquet": (".parquet", bytes_of(parquet.write_table, FRAME), True),
    "parquet, short": (".pq", bytes_of(parquet.write_table, FRAME), True),
    "arrow file": (".arrow", bytes_of(feather.write_feather, FRAME), True),
    "arrow stream": (".arrows", stream(FRAME), True),
    "feather, version 1": (".feather", feather_1(FRAME), True),
    "npy": (".npy", npy(ROWS), False),
    "npy, Fortran order": (".npy", npy(np.asfortranarray(ROWS)), False),
    "npy, big-endian": (".npy", npy(ROWS.astype(">f8")), False),
    "npy, long double": (".npy", npy(ROWS.astype(np.longdouble)), False),
    "npy, records": (".npy", npy(np.rec.fromarrays(ROWS.T, names="x,y")), True),
}


@pytest.mark.filterwarnings("ignore:Feather V1:DeprecationWarning")
@pytest.mark.parametrize("detection", ["by extension", "by format", "by beginning"])
@pytest.mark.parametrize("name", FILES)
def test_all_formats_give_the_same_rows(name, detection, csv_file, read_features):
    extension, contents, named = FILES[name]
    path = str(csv_file(contents, "data" + (extension if detection == "by extension" else ".bin")))
    format = {".csv": "csv", ".pq": "parquet", ".parquet": "parquet", ".npy": "npy"}.get(extension, "arrow")
    table = open_table(path, format if detection == "by format" else None)
    found = read_features(table)
    assert np.array_equal(found.rows, ROWS)
    assert found.rows.dtype == np.float64
    assert found.names == (("x", "y") if named else ("x0", "x1"))
    assert (table.has_names, found.notices) == (named, [])
    if detection != "by format":
        source = gaussmix.open(path)  # `open` and the command line detect formats alike
        assert np.array_equal(source.whole.rows, ROWS)
        assert source.feature_names == (found.names if named else None)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int64", "uint64", "float16", "float32"])
def test_numeric_types_of_all_widths_are_read(kind, csv_file, read_features):
    column = np.array([1, 2, 200 if kind == "uint8" else 100]).astype(kind)
    parquet_file = bytes_of(parquet.write_table, pa.table({"x": column}))
    for contents, name in ((npy(column), "a.npy"), (parquet_file, "a.parquet")):
        assert read_features(open_table(str(csv_file(contents, name)))).rows[:, 0].tolist() == column.tolist()


DATE_ADVICE = "it contains dates, times or durations; write them as numbers first, such as days since the first."


@pytest.mark.parametrize("kind", ["timestamp[s]", "date32", "time64[us]", "duration[s]"])
def test_columns_that_are_not_numeric_are_left_out_and_reported(kind, tmp_path, read_features):
    frame = pd.DataFrame({"x": [1.0, 2], "name": ["a", "b"], "ok": [True, False]}, index=[5, 9])
    table = pa.Table.from_pandas(frame.assign(kind=pd.Categorical(["u", "v"])))
    times = pa.array([1, 2], pa.int32() if kind == "date32" else pa.int64()).cast(kind)
    parquet.write_table(table.append_column("when", times), tmp_path / "a.parquet")
    opened = open_table(str(tmp_path / "a.parquet"))
    assert opened.notices == ("left out column '__index_level_0__': it is the index of a data frame.",)
    found = read_features(opened)
    assert found.names == ("x", "ok")
    assert found.rows.tolist() == [[1.0, 1.0], [2.0, 0.0]]
    assert sorted(found.notices) == [
        *opened.notices,
        "left out column 'kind': it contains categories, not numbers.",
        "left out column 'name': it contains text, not numbers.",
        f"left out column 'when': {DATE_ADVICE}",
    ]
    with pytest.raises(ValueError, match=re.escape(f"column 'when': {DATE_ADVICE}") + "$"):
        read_features(opened, ["x", "when"])


def test_requested_columns_must_exist_and_be_numeric(csv_file, read_features):
    table = open_table(str(csv_file("x,y\n1,a\n2,b\n")))
    with pytest.raises(ValueError, match="has no column 'z'; it has 'x', 'y'"):
        read_features(table, ["z"])
    with pytest.raises(ValueError, match="column 'y': line 2 contains 'a', not a number"):
        read_features(table, ["x", "y"])
    assert read_features(table, ["x"]).rows.tolist() == [[1.0], [2.0]]


MISSING = "the value is missing (NaN or null)"
NOT_UTF_8 = " is not UTF-8 text: save it as CSV in UTF-8 or pass its encoding."
UNUSABLE = {  # contents, file name, error message
    "nothing": (b"\n\n \n", "a.csv", " is empty."),
    "header only": (b"x,y\n", "a.csv", " has a header but no rows."),
    "header without newline": (b"x,y", "a.csv", " has a header but no rows."),
    "binary": (b"ab\0\0\1\2", "a.csv", " contains binary data, not CSV."),
    "invalid UTF-8 in names": (b"n\x81,y\n1,2\n", "a.csv", NOT_UTF_8),
    "invalid UTF-8 in values": (b"n,y\n\x81,a\n", "a.csv", NOT_UTF_8),
    "one name twice": (b"x,x\n1,2\n", "a.csv", " has two columns called 'x': rename one."),
    "a value too many": (b"x,y\n1,2\n\n3,4,5\n", "a.csv", ", line 4: 3 values for 2 columns."),
    "a value too few": (b"x,y\n1,2\n3\n", "a.csv", ", line 3: 1 value for 2 columns."),
    "a tab too many": (b"a\tb\n1\t2\t\n3\t4\t\n", "a.csv", ", line 2: 3 values for 2 columns."),
    "a comment": (b"a,b\n1,2\n# a\n3,4\n", "a.csv", ", line 3: 1 value for 2 columns. Leave out lines of comments."),
    "an open quote": (b'x,y\n1,2\n"3,4\n5,6\n', "a.csv", ", line 4: 1 value for 2 columns."),
    "no numbers": (b"x,y\nred,blue\n", "a.csv", ", column 'x': line 2 contains 'red', not a number."),
    "text below blanks": (b"\n  \ny\na\n", "a.csv", ", column 'y': line 4 contains 'a', not a number."),
    "a value too few below blanks": (b"  \n\nx,y\n1,2\n3\n", "a.csv", ", line 5: 1 value for 2 columns."),
    "infinity below blanks": (b"\t\n1,2\n3,inf\n", "a.csv", ", line 3, column 'x1': the value is infinite."),
    "a number with underscores": (b"y\n1_000\n", "a.csv", ", column 'y': line 2 contains '1_000', not a number."),
    "digits of other scripts": ("y\n\uff11\n".encode(), "a.csv", ", column 'y': line 2 contains '\uff11', not a"),
    "a missing value": (b"x,y\n1,2\n\n3,\n", "a.csv", f", line 4, column 'y': {MISSING}."),
    "NA": (b"x,y\n1,2\nNA,NaN\n3,NA\n", "a.csv", f", line 3, column 'x': {MISSING}."),
    "a missing value after a long field": (b'x,t,y\n1,"a\nb",2\n,c,4\n', "a.csv", f", line 4, column 'x': {MISSING}."),
    "two decimal marks": (
        b"0,126;-0,132\n0,64;0,105\n-0,536;0.362\n", "a.csv",
        " begins with '0,126;-0,132' (if the comma is a decimal mark",
    ),
    "thousands in the first line": (b"1,500;2\n1,600;3\n", "a.csv", " begins with '1,500;2' (if ',' marks"),
    "CSV named .parquet": (b"x,y\n1,2\n", "a.parquet", " can't be read as Parquet: "),
    "cut Parquet": (FILES["parquet"][1][:-20], "a.parquet", " can't be read as Parquet: "),
    "Parquet with a damaged name": (
        b"\xdd".join(FILES["parquet"][1].rsplit(b"x", 1)), "a.parquet", " can't be read as Parquet: 'utf-8' codec"
    ),
    "cut Arrow": (FILES["arrow file"][1][:-20], "a.arrow", " can't be read as Arrow or Feather: "),
    "empty": (b"", "a.feather", " can't be read as Arrow or Feather: "),
    "CSV named .npy": (b"x,y\n1,2\n", "a.npy", " can't be read as .npy: "),
    "cut npy": (npy(ROWS)[:-8], "a.npy", " is truncated: it ends before the 3 rows that its header declares."),
    "an open bracket in an npy header": (
        npy(ROWS).replace(b"(3, 2)", b"(3, 2 "), "a.npy", " can't be read as .npy: a bracket or quote is not closed.",
    ),
    "objects": (
        npy(np.array([[1, "a"]], dtype=object)), "a.npy", " contains object of shape (1, 2), not rows and columns",
    ),
    "complex": (npy(np.ones((2, 2), complex)), "a.npy", " contains complex128 of shape (2, 2), not rows and columns"),
    "a cube": (npy(np.ones((2, 2, 2))), "a.npy", " contains float64 of shape (2, 2, 2), not rows and columns of"),
    "a missing value of Parquet": (
        bytes_of(parquet.write_table, pa.table({"x": [1.0, None, 3.0]})), "a.parquet",
        f", row group 0, row 1, column 'x': {MISSING}",
    ),
    "infinity of npy": (npy(np.array([[1.0], [np.inf]])), "a.npy", ", row 1, column 'x0': the value is infinite"),
    "no columns": (bytes_of(parquet.write_table, pa.table({})), "a.parquet", " has no columns"),
    "one name twice in Arrow": (stream(pa.table([[1], [2]], names=["x", "x"])), "a.arrow", " has two columns called"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_tables_raise_an_error_that_names_the_location(name, csv_file, read_features):
    contents, file, message = UNUSABLE[name]
    path = str(csv_file(contents, file))
    with pytest.raises(ValueError, match=f"^{re.escape(path + message)}") as caught:
        read_features(open_table(path))
    assert "\n" not in str(caught.value)


OTHER_FILES = {  # file name → first bytes, message
    "d.json": (b'[{"a": 1}]\n', "is JSON, which is unsupported: write it as CSV or Parquet first."),
    "d.gmm": (None, "is a model, not a table: name the rows to read."),
    "d.npz": (None, "contains several arrays: save the one to read as .npy."),
    "d.xlsx": (b"\xd0\xcf\x11\xe0\xa1\xb1", "is a spreadsheet: save it as CSV first."),
    "d.orc": (b"\x89HDF\r\n\x1a\n", "is not a supported table: write it as CSV."),
    "d.duckdb": (b"SQLite format 3\0", "is a database: write the table to read as CSV or Parquet."),
    "d.csv.xz": (b"\xfd7zXZ\0\0", "is compressed in an unsupported way: unpack it first."),
    "d.zip": (b"PK\x03\x04\0\0", "is a zip archive or a spreadsheet"),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_files_of_other_types_are_rejected_by_extension_and_first_bytes(name, cli, csv_file):
    beginning, advice = OTHER_FILES[name]
    path = csv_file(b"PK\x03\x04\0\0" if name != "d.json" else "[]", name)
    result = cli("fit", path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"gaussmix: {path} {advice}")
    if beginning:
        assert cli("fit", "-", input=beginning).stderr.startswith(f"gaussmix: standard input {advice[:20]}")


@pytest.mark.parametrize(
    ("values", "options", "advice"),
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
def test_errors_about_unusual_decimal_marks_suggest_options(cli, csv_file, values, options, advice):
    path = csv_file("id;a\n" + "".join(f"{number};{value}\n" for number, value in enumerate(values)))
    result = cli("fit", path, "-k", 1, *options)
    assert result.exit_code == 1
    assert f"pass {advice})" in result.stderr
    assert cli("fit", path, "-k", 1, *options, *shlex.split(advice), "--columns", "a").exit_code == 0


@pytest.mark.parametrize(
    ("value", "rows", "options", "message"),
    [
        ("?", "1,2\n2,5\n{},4\n", [], "column 'a' contains only numbers except '?' in line 4"),
        ('"1,000.5"', "1,2\n2,5\n{},4\n", [], "column 'a' contains only numbers except '1,000.5' in line 4"),
        ('"2,5"', "1,2\n2,5\n{},4\n", [], "--decimal ,"),
        *(
            (value, "1.000;1\n2.000;2\n{};3\n", decimal, f"column 'a' contains only numbers except '{value}' in line 4")
            for value in ("1.23", "1.2345", "12.34.567", "1.234.", "x")
            for decimal in (["--thousands", "."], ["--thousands", ".", "--decimal", ","])
        ),
    ],
)
def test_an_almost_numeric_column_is_rejected_instead_of_left_out(value, rows, options, message, cli, csv_file):
    delimiter = ";" if options else ","
    path = csv_file(f"a{delimiter}b\n" + rows.format(value) + f"3{delimiter}1\n5{delimiter}9\n" * 20)
    result = cli("fit", path, "-k", 1, "-q", *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "1 feature (b)" in cli("fit", path, "-k", 1, "--exclude", "a", *options).stdout


@pytest.mark.parametrize("value", ["oops", "3,5"])
@pytest.mark.parametrize("n_before", [40, 30_000])  # both are within the rows from which Arrow infers types
def test_text_in_a_numeric_column_is_rejected_in_early_and_late_rows(n_before, value, csv_file):
    table = open_table(str(csv_file("a;b\n" + "1;2\n" * n_before + f"{value};2\n" + "3;1\n" * 20)))
    with pytest.raises(ValueError, match=f"column 'a' contains only numbers except '{value}' in line {n_before + 2}"):
        table.numeric_names()


@pytest.mark.parametrize("cell", [" ", " NA", "NA  ", '"\t"', " 2.5", "\u00a02.5", "2.5\u00a0"])
def test_blanks_around_a_cell_do_not_make_a_column_text(cell, csv_file):
    table = open_table(str(csv_file(f"a,b\n1.5,2\n{cell},3\n" + "4,1\n" * 20)))
    value = 2.5 if "2.5" in cell else np.nan
    rows = table.all_rows(table.numeric_names(), may_miss=True)
    np.testing.assert_array_equal(rows[:3], [[1.5, 2], [value, 3], [4, 1]])


@pytest.mark.parametrize("cell", [" NA", "NA  ", " N/A "])
def test_a_missing_value_between_blanks_is_read_in_a_late_block(cell, csv_file):
    table = open_table(str(csv_file("a,b\n" + "1, 2\n" * 300_000 + f"3,{cell}\n")))
    np.testing.assert_array_equal(table.all_rows(["a", "b"], may_miss=True)[-1], [3, np.nan])


@pytest.mark.parametrize("value", ["oops", '"1,000"'])
def test_text_in_a_late_block_of_a_column_with_blanks_is_rejected(value, csv_file):
    table = open_table(str(csv_file("a,b\nNA ,2\n" + "1,2\n" * 300_000 + f"{value},2\n")))
    with pytest.raises(ValueError, match=f"line 300003, column 'a': '{value.strip(chr(34))}' is not a number"):
        table.all_rows(["a", "b"], may_miss=True)


@pytest.mark.parametrize("n_integers", [0, 25])
def test_decimal_commas_are_detected_in_the_first_lines_or_suggested(n_integers, cli, csv_file, model):
    """Check columns that a fit could leave out, because there is another column of numbers."""
    rows = n_integers * "3;70;1\n" + "".join(f"{x},5;{70 + x % 3},5;{x * x}\n" for x in range(8))
    data = csv_file("eruptions;waiting;n\n" + rows)
    for words in (["fit", data, "-k", 1], ["predict", model, data], ["score", model, data]):
        result = cli(*words)
        if n_integers:
            assert result.exit_code == 1
            assert "column 'eruptions'" in result.stderr
            assert "(if the comma is a decimal mark, pass --decimal ,)" in result.stderr
        else:
            assert result.exit_code == 0
            assert result.stderr.count(f"{data} has commas in its numbers, which are read as decimal marks.\n") == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_european_numbers_and_letters_are_read_in_several_encodings(cli, tmp_path, encoding):
    path = tmp_path / "x.csv"
    lines = ["Größe;Maß", "-6.139,43;1,5", "1.234.567;2,25", " 12,;k.A.", "999,5;1.000,"]
    path.write_text("\n".join(lines), encoding=encoding)
    options = "--decimal", ",", "--na", "k.A.", "--thousands", ".", "--reg-covar", 1
    result = cli("fit", path, "-k", 1, "--json", *options)
    found = json.loads(result.stdout)
    assert found["feature_names"] == ["Größe", "Maß"]
    expected = np.mean([-6139.43, 1234567.0, 12.0, 999.5])
    np.testing.assert_allclose(found["chosen"]["means"][0][0], expected, rtol=1e-6)
    assert ("so it is read as cp1252; if this is wrong, give --encoding" in result.stderr) == (encoding == "cp1252")


def test_encoding_option_sets_the_encoding(cli, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("größe\n1\n2\n4\n", encoding="cp437")
    assert "1 feature (größe)" in cli("fit", path, "-k", 1, "--encoding", "cp437").stdout
    wrong = cli("fit", path, "-k", 1, "--encoding", "utf-8")
    assert wrong.stderr == f"gaussmix: {path} is not UTF-8 text: save it as CSV in UTF-8 or give --encoding.\n"


def test_an_invalid_value_in_a_late_block_is_reported_with_its_line(cli, csv_file):
    path = csv_file("a;b\n" + "1.000;1\n" * 30_000 + "?;1\n")
    result = cli("fit", path, "-k", 1, "--decimal", ",", "--thousands", ".")
    assert result.stderr == f"gaussmix: {path}, line 30002, column 'a': '?' is not a number.\n"


def test_drop_missing_leaves_out_rows_with_missing_values(cli, csv_file, model):
    text = "waiting,eruptions,note\n79,3.6,a\nNA,2,b\n54,1.8,\n60,,d\n?,5,e\n"
    options = "--drop-missing", "--na", "?"
    predicted = cli("predict", model, csv_file(text), *options)
    assert [line.split(",")[2] for line in predicted.stdout.splitlines()] == ["note", "a", ""]
    assert "left out 3 rows" in predicted.stderr
    assert json.loads(cli("score", model, csv_file(text), *options, "--json").stdout)["n_rows"] == 2
    assert json.loads(cli("fit", csv_file(text), "-k", 1, "-s", "diag", "--json", *options).stdout)["n_rows"] == 2
    infinite = cli("predict", model, csv_file("eruptions,waiting\n1,2\n,3\n4,inf\n"), "--drop-missing")
    assert "line 4, column 'waiting': the value is infinite" in infinite.stderr
    none = cli("fit", csv_file("a,b\n1,\n,2\n3,\n"), "-k", 1, "--drop-missing")
    assert (none.exit_code, "every row has a missing value in one of the columns 'a', 'b'" in none.stderr) == (1, True)


def test_columns_without_name_and_values_are_reported_as_empty(cli, csv_file):
    stderr = cli("fit", csv_file("a,b,\n" + "1,2,\n2,5,\n4,4,\n"), "-k", 1).stderr
    assert stderr == "gaussmix: left out column '': it is empty.\n"


class TestRowNumbers:
    """Check that a column that numbers the rows is not a feature, unless the user names this column."""

    def table(self, path, rng, *, first=0, name="id", order=None):
        columns = {name: np.arange(first, first + 40), "size": rng.normal(size=40), "mass": rng.normal(size=40)}
        frame = pd.DataFrame(columns)
        frame = frame if order is None else frame.iloc[order]
        frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
        return path

    @pytest.mark.heavy(n_default=2)
    @pytest.mark.parametrize("extension", ["csv", "parquet", "dat"])
    @pytest.mark.parametrize(("first", "name"), [(0, "a"), (1, "id"), (1001, "customer_id"), (7, "Nr")])
    @pytest.mark.parametrize("is_shuffled", [False, True])
    def test_an_index_column_is_left_out_and_reported(self, cli, tmp_path, rng, extension, first, name, is_shuffled):
        order = rng.permutation(40) if is_shuffled and name != "a" else None
        path = self.table(tmp_path / f"x.{extension}", rng, first=first, name=name, order=order)
        result = cli("fit", path, "-k", 1)
        assert "2 features (size, mass)" in result.stdout
        assert result.stderr.startswith(f"gaussmix: left out column '{name}': it numbers the rows.")
        assert "features (size, mass)" in cli("fit", path, "-k", 1, "--exclude", name).stdout
        result = cli("fit", path, "-k", 1, "--columns", f"{name},mass")
        assert f"2 features ({name}, mass)" in result.stdout
        assert "numbers" not in result.stderr

    @pytest.mark.parametrize(("first", "name", "kind"), [
        (1950, "year", ""), (5, "a", ""), (0, "rank", "shuffled"), (0, "id", "repeated"), (0, "id", "with gaps"),
    ])  # fmt: skip
    def test_columns_that_do_not_number_the_rows_remain_features(self, cli, tmp_path, rng, first, name, kind):
        orders = {"shuffled": rng.permutation(40), "repeated": np.arange(40) // 2, "with gaps": np.arange(0, 40, 2)}
        path = self.table(tmp_path / "x.csv", rng, first=first, name=name, order=orders.get(kind))
        assert "3 features" in cli("fit", path, "-k", 1).stdout

    def test_report_classify_and_fit_by_groups_leave_out_an_index_column(self, cli, tmp_path, rng):
        path = self.table(tmp_path / "x.csv", rng)
        pd.read_csv(path).assign(kind=["u", "v"] * 20).to_csv(path, index=False)
        for words in (
            ["report", path, "-k", 1, "--exclude", "kind", "-o", tmp_path / "x.html"],
            ["classify", path, path, "--labels", "kind", "-k", 1],
            ["fit", path, "-k", 1, "--by", "kind", "-o", tmp_path / "m.gmm"],
        ):
            result = cli(*words)
            assert result.exit_code == 0, result.stderr
            assert "left out column 'id': it numbers the rows." in result.stderr

    def test_a_table_with_only_an_index_column_is_fitted(self, cli, tmp_path):
        pd.DataFrame({"id": np.arange(30)}).to_csv(tmp_path / "x.csv", index=False)
        assert "1 feature (id)" in cli("fit", tmp_path / "x.csv", "-k", 1).stdout
