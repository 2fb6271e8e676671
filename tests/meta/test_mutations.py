"""Tests that the table of mutations matches the code. `nox -s mutations` makes the changes of this table."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tools" / "mutations.tsv"


def test_each_mutation_changes_one_line_and_names_a_test_or_a_reason():
    rows = [line for line in TABLE.read_text(encoding="utf-8").split("\n") if line and line[0] != "#"]
    assert rows
    for file, before, after, test in (row.split("\t") for row in rows):
        lines = [line.lstrip() for line in (ROOT / file).read_text(encoding="utf-8").split("\n")]
        assert lines.count(before) == 1, f"{file}: {before!r} does not occur exactly once"
        assert before != after
        if test[0] != "-":
            module, *_, name = test.partition("[")[0].split("::")
            assert f"def {name}(" in (ROOT / module).read_text(encoding="utf-8"), test
