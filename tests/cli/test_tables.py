"""CSV files in all their shapes: read rightly, or refused in one sentence that names the place."""

import bz2
import gzip
import json
import re

import numpy as np
import pyarrow as pa
import pytest

from gaussmix.sources.tables import open_table
from gaussmix.sources.tables.base import BadTable, Dialect

LONG = np.arange(2000.0).reshape(1000, 2) ** 2 % 97
TEXT = b"x,y\n" + b"".join(b"%d,%d\n" % tuple(row) for row in LONG)
COMPRESSED = {
    "gz": gzip.compress(TEXT),
    "bz2": bz2.compress(TEXT),
    "zst": pa.compress(TEXT, codec="zstd", asbytes=True),
    "lz4": pa.compress(TEXT, codec="lz4", asbytes=True),
}

GOOD = {
    "plain": "x,y\n1,2\n3,4.5\n",
    "windows lines": "x,y\r\n1,2\r\n3,4.5\r\n",
    "byte order mark": "\ufeffx,y\n1,2\n3,4.5\n",
    "no last newline": "x,y\n1,2\n3,4.5",
    "blanks": " x , y \n 1 , 2 \n3,4.5\n",
    "quotes": '"x","y"\n"1","2"\n3,4.5\n',
    "blank lines": "\n\nx,y\n\n1,2\n\n\n3,4.5\n",
    "blanks before the header": "\n  \nx,y\n1,2\n3,4.5\n",
    "semicolons": "x;y\n1;2\n3;4.5\n",
    "tabs": "x\ty\n1\t2\n3\t4.5\n",
    "exponents": "x,y\n1e0,20e-1\n+3,4.5\n",
    "savetxt's header": "# x,y\n1,2\n3,4.5\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_csv_in_all_its_shapes(name, csv_file, numbers):
    table = open_table(str(csv_file(GOOD[name])))
    found = numbers(table)
    assert found.names == ("x", "y")
    assert np.array_equal(found.rows, [[1, 2], [3, 4.5]])
    assert found.notices == []


@pytest.mark.parametrize("codec", COMPRESSED)
@pytest.mark.parametrize("name", ["data.csv.gz", "data.csv"], ids=["by extension", "by beginning"])
def test_compressed_files_are_read_as_they_are(codec, name, csv_file, numbers):
    table = open_table(str(csv_file(COMPRESSED[codec], name)))
    assert np.array_equal(numbers(table).rows, LONG)


@pytest.mark.parametrize("codec", COMPRESSED)
def test_standard_input_may_be_compressed(codec, cli):
    result = cli("fit", "-", "-k", 1, "--json", input=COMPRESSED[codec])
    assert json.loads(result.stdout)["n_rows"] == len(LONG)


@pytest.mark.heavy
@pytest.mark.parametrize("codec", COMPRESSED)
@pytest.mark.parametrize("format", ["csv", "json"])
def test_what_is_written_is_compressed_as_its_name_says(format, codec, cli, model, tmp_path):
    plain, packed = tmp_path / f"drawn.{format}", tmp_path / f"drawn.{format}.{codec}"
    for path in (plain, packed):
        assert cli("sample", model, "-n", 25_000, "-o", path).exit_code == 0
    with pa.input_stream(packed) as stream:  # which decompresses by the extension
        assert stream.read() == plain.read_bytes()


@pytest.mark.parametrize("way", ["a file", "standard input"])
@pytest.mark.parametrize("harm", ["truncated", "damaged"])
@pytest.mark.parametrize("codec", COMPRESSED)
def test_compressed_bytes_that_are_incomplete_or_wrong_are_a_sentence(codec, harm, way, cli, csv_file):
    half = len(COMPRESSED[codec]) // 2
    contents = COMPRESSED[codec][:half]
    if harm == "damaged":
        contents += bytes(byte ^ 0xFF for byte in COMPRESSED[codec][half:])
    path = csv_file(contents, f"data.csv.{codec}")
    result = cli("fit", path) if way == "a file" else cli("fit", "-", input=contents)
    assert (result.exit_code, result.stdout) == (1, "")
    name = path if way == "a file" else "standard input"
    assert result.stderr.startswith(f"gaussmix: {name} can't be read as CSV: ")
    assert result.stderr.count("\n") == 1


def test_a_name_that_begins_as_a_compressed_file_does_is_a_name(csv_file):
    assert open_table(str(csv_file("BZh,y\n1,2\n"))).names == ("BZh", "y")


def test_a_first_line_of_numbers_is_data_and_that_is_said(csv_file, numbers):
    path = str(csv_file("1,2\n3,4\n"))
    table = open_table(path)
    assert numbers(table).names == ("x0", "x1")
    assert len(numbers(table).rows) == 2
    assert table.notices == (f"{path} begins with numbers, so it is read as having no header; --header if it has.",)
    assert numbers(open_table(path, dialect=Dialect(has_header=True))).names == ("1", "2")
    assert open_table(path, dialect=Dialect(has_header=False)).notices == ()


@pytest.mark.parametrize("missing", ["NA", "", "nan"])
def test_a_missing_cell_in_the_first_line_makes_no_header(missing, csv_file):
    table = open_table(str(csv_file(f"{missing},2.5\n0.1,-0.1\n")))
    assert not table.has_names
    np.testing.assert_array_equal(table.all_rows(table.names, may_miss=True), [[np.nan, 2.5], [0.1, -0.1]])


def test_numbers_that_pandas_gives_to_columns_are_a_header(csv_file):
    assert open_table(str(csv_file(",0,1\n0,1.5,2.5\n1,2.5,3\n"))).names == ("", "0", "1")


@pytest.mark.parametrize("text", ['"len, cm";"w, h"\n1.5;2\n2.5;3\n', "len, cm\tw, h\n1.5\t2\n2.5\t3\n"])
def test_marks_within_names_are_no_delimiters(text, csv_file):
    table = open_table(str(csv_file(text)))
    assert table.names == ("len, cm", "w, h")
    assert table.all_rows(table.names).tolist() == [[1.5, 2.0], [2.5, 3.0]]


@pytest.mark.parametrize("names", ["", "a;b\n"])
@pytest.mark.parametrize("decimal", [None, ","])
def test_decimal_commas_are_read(names, decimal, csv_file):
    path = str(csv_file(names + "0,126;-0,132\n0,64;0,105\n-0,536;0,362\n"))
    table = open_table(path, dialect=Dialect(decimal=decimal))
    assert table.decimal == ","
    assert table.all_rows(table.names).tolist() == [[0.126, -0.132], [0.64, 0.105], [-0.536, 0.362]]


@pytest.mark.parametrize(
    ("cells", "thousands"),
    [("1,234;2,345", None), ("1.5;2,5", None), ("1,5;2,5", ","), ("1;2", None), ("Rome, Bonn;2", None)],
)
def test_commas_that_may_be_other_marks_are_not_read_as_decimal_marks(cells, thousands, csv_file):
    table = open_table(str(csv_file(f"a;b\n{cells}\n")), dialect=Dialect(delimiter=";", thousands=thousands))
    assert table.decimal == "."


@pytest.mark.parametrize("numbers_with_commas", ["1.234,5;2", "1,234;2", "1.234;2"])
def test_where_points_mark_thousands_commas_are_decimal_marks(numbers_with_commas, csv_file):
    """Else 1.234 and 1.5 would be 1234 and one and a half in the same column."""
    path = str(csv_file(f"a;b\n{numbers_with_commas}\n"))
    table, said = (open_table(path, dialect=Dialect(thousands=".", decimal=decimal)) for decimal in (None, ","))
    assert (table.decimal, table.notices) == (",", ())
    assert table.all_rows(table.names).tolist() == said.all_rows(said.names).tolist()


def test_a_decimal_comma_without_a_header_is_told_where_points_are_decimal_marks(csv_file):
    path = str(csv_file("0,126;-0,132\n0,64;0,105\n-0,536;0.362\n"))
    with pytest.raises(ValueError, match=re.escape("begins with '0,126;-0,132' (where the comma is a decimal mark")):
        open_table(path)


DECIMAL_COMMAS = {
    "texts first": ("S0;13,45\nS1;-0,13\nS2;0,64\n", ";"),
    "dates": ("01.02.2024;1,5\n02.02.2024;2,5\n", ";"),
    "two texts": ("A;Rome;1,5\nB;Bonn;2,5\n", ";"),
    "a comma in a name": ("Station, ID;Temp\nS1;12,5\nS2;13,5\n", ";"),
    "two numbers, not one": ("1,5\n2,5\n", ","),
    "semicolons in a text": ("id,tags;x\n1,a;b\n2,c;d\n", ","),
}


@pytest.mark.parametrize("name", DECIMAL_COMMAS)
def test_decimal_commas_beside_text_are_no_delimiters(name, csv_file):
    text, delimiter = DECIMAL_COMMAS[name]
    assert open_table(str(csv_file(text)), dialect=Dialect(has_header=True)).delimiter == delimiter


def test_one_column_of_decimal_commas(csv_file):
    table = open_table(str(csv_file("length\n1,5\n2,25\n")), dialect=Dialect(decimal=","))
    assert table.all_rows(table.names).tolist() == [[1.5], [2.25]]


@pytest.mark.parametrize("names", ["", "x,y\n"])
def test_quoted_decimal_commas_between_commas(names, csv_file):
    table = open_table(str(csv_file(f'{names}"1,5","2,25"\n"3,5","4,0"\n')), dialect=Dialect(decimal=","))
    assert table.all_rows(table.names).tolist() == [[1.5, 2.25], [3.5, 4.0]]


@pytest.mark.parametrize("end", [' ""', '\t""', "\t"])
def test_a_first_row_of_r_may_end_with_an_empty_value(end, csv_file):
    rows = f'"a" "s"\n"1" 1.5{end}\n"2" 2.5 "u"\n'
    table = open_table(str(csv_file(rows if end[0] == " " else rows.replace(" ", "\t"))))
    assert table.names == ("", "a", "s")
    assert table.all_rows(["a"]).tolist() == [[1.5], [2.5]]


def test_lines_that_all_end_with_a_tab_have_no_more_columns_than_names(csv_file):
    with pytest.raises(BadTable, match="3 values for 2 columns"):
        open_table(str(csv_file("a\tb\n1\t2\t\n3\t4\t\n"))).all_rows(["a"])


def test_numbers_beside_text_in_the_first_line_are_names_and_that_is_said(csv_file):
    table = open_table(str(csv_file("5.1,3.5,Iris-setosa\n4.9,3.0,Iris-setosa\n")))
    assert table.names == ("5.1", "3.5", "Iris-setosa")
    assert "--no-header if these are values" in table.notices[0]


def test_thousands_in_the_first_line_are_numbers(csv_file):
    path = str(csv_file("1,500;2\n1,600;3\n"))
    with pytest.raises(ValueError, match=r"begins with '1,500;2' \(where ',' marks thousands"):
        open_table(path)
    table = open_table(path, dialect=Dialect(thousands=","))
    assert table.all_rows(table.names).tolist() == [[1500.0, 2.0], [1600.0, 3.0]]


def test_a_comma_before_three_digits_may_mark_thousands(csv_file, numbers):
    with pytest.raises(ValueError, match=r"where ',' marks thousands, say so.*; where it is a decimal mark"):
        numbers(open_table(str(csv_file('x,y\n"1,000",1\n"1,001",2\n"1,002",3\n'))))


def test_text_comes_back_as_it_was_written(csv_file):
    table = open_table(str(csv_file('id,x,note\n007,1.50,"a,b"\n008,,"two\nlines"\n')))
    found = pa.Table.from_batches(table.batches(table.names))
    assert found.to_pydict() == {"id": ["007", "008"], "x": ["1.50", ""], "note": ["a,b", "two\nlines"]}


def test_fields_may_go_on_over_lines_wherever_a_block_ends(csv_file):
    """Arrow reads blocks of about a megabyte and must not cut a field in two."""
    table = open_table(str(csv_file("x,note\n" + '1,"two\nlines"\n' * 150_000)))
    assert pa.Table.from_batches(table.batches(table.names))["note"].to_pylist() == ["two\nlines"] * 150_000


BAD = {
    "nothing": (b"", " is empty."),
    "blank lines only": (b"\n\n \n", " is empty."),
    "header only": (b"x,y\n", " has a header but no rows."),
    "header without newline": (b"x,y", " has a header but no rows."),
    "binary": (b"ab\0\0\1\2", " holds binary data, not CSV."),
    "no letters of any kind, in names": (
        b"n\x81,y\n1,2\n",
        " is not UTF-8 text: save it as CSV in UTF-8, or say its encoding.",
    ),
    "no letters of any kind, in values": (
        b"n,y\n\x81,a\n",
        " is not UTF-8 text: save it as CSV in UTF-8, or say its encoding.",
    ),
    "one name twice": (b"x,x\n1,2\n", " has two columns called 'x': rename one."),
    "a value too many": (b"x,y\n1,2\n\n3,4,5\n", ", line 4: 3 values for 2 columns."),
    "a value too few": (b"x,y\n1,2\n3\n", ", line 3: 1 value for 2 columns."),
    "an open quote": (b'x,y\n1,2\n"3,4\n5,6\n', ", line 4: 1 value for 2 columns."),
    "no numbers": (b"x,y\nred,blue\n", ", column 'x': line 2 holds 'red', not a number."),
    "text below blanks": (b"\n  \ny\na\n", ", column 'y': line 4 holds 'a', not a number."),
    "a value too few below blanks": (b"  \n\nx,y\n1,2\n3\n", ", line 5: 1 value for 2 columns."),
    "infinity below blanks": (b"\t\n1,2\n3,inf\n", ", line 3, column 'x1': the value is infinite."),
    "a number of Python's": (b"y\n1_000\n", ", column 'y': line 2 holds '1_000', not a number."),
    "digits of other scripts": ("y\n\uff11\n".encode(), ", column 'y': line 2 holds '\uff11', not a number."),
    "infinity": (b"x,y\n1,2\n3,inf\n", ", line 3, column 'y': the value is infinite."),
    "a missing value": (b"x,y\n1,2\n\n3,\n", ", line 4, column 'y': the value is missing (NaN or null)."),
    "NA": (b"x,y\n1,2\nNA,NaN\n3,NA\n", ", line 3, column 'x': the value is missing"),
    "a missing value after a long field": (
        b'x,t,y\n1,"a\nb",2\n,c,4\n',
        ", line 4, column 'x': the value is missing",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_named(name, csv_file, numbers):
    contents, complaint = BAD[name]
    path = str(csv_file(contents))
    with pytest.raises(ValueError, match=f"^{re.escape(path + complaint)}"):
        numbers(open_table(path))


def test_truth_values_are_numbers(csv_file, numbers):
    """As they are in data frames."""
    assert numbers(open_table(str(csv_file("x,y\ntrue,1\nFalse,2\n")))).rows.tolist() == [[1.0, 1.0], [0.0, 2.0]]


def test_columns_that_are_asked_for_must_be_there_and_hold_numbers(csv_file, numbers):
    table = open_table(str(csv_file("x,y\n1,a\n2,b\n")))
    with pytest.raises(ValueError, match="has no column 'z'; it has 'x', 'y'"):
        numbers(table, ["z"])
    with pytest.raises(ValueError, match="column 'y': line 2 holds 'a', not a number"):
        numbers(table, ["x", "y"])
    assert numbers(table, ["x"]).rows.tolist() == [[1.0], [2.0]]


@pytest.mark.heavy
def test_types_are_those_of_the_whole_column(csv_file, numbers):
    """Arrow guesses from the first block, about a megabyte; a later fraction or word must still count."""
    many = "1\n" * 700_000
    assert numbers(open_table(str(csv_file(f"x\n{many}2.5\n")))).rows[-1] == 2.5
    with pytest.raises(ValueError, match="line 700002, column 'x': 'oops' is no number"):
        numbers(open_table(str(csv_file(f"x\n{many}oops\n"))))
