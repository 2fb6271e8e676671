"""`gaussmix classify`: learn classes from labelled rows, and give other rows theirs."""

from __future__ import annotations

from typing import Any

import click
import numpy as np

from gaussmix.cli.labels import label_cells
from gaussmix.cli.options import Reading, columns, seed, structure, weight_column, writing
from gaussmix.cli.options import as_json as json_option
from gaussmix.cli.options import counts as counts_option
from gaussmix.cli.options import jobs as jobs_option
from gaussmix.cli.options import memory as memory_option
from gaussmix.cli.options import missing as missing_option
from gaussmix.cli.options import reading as reading_options
from gaussmix.cli.outputs import check_inputs, check_target, format_of, rows_at_once, write_table
from gaussmix.cli.show.notices import check_engine, collected_warnings, print_notices
from gaussmix.cli.verbs.predict import joined, taken_notices
from gaussmix.errors import counted
from gaussmix.estimators.classifier import GaussianMixtureClassifier
from gaussmix.numerics.arrays import Array

_KNOWN = {text: f"{text} " for text in ("-1", "-1.0")}  # classes here; the classifier takes such texts as no class


@click.command()
@click.argument("train", metavar="LABELLED", type=click.Path())
@click.argument("data", metavar="DATA", type=click.Path())
@click.option("--labels", required=True, callback=weight_column, metavar="COLUMN", help="The classes, in LABELLED.")
@click.option(
    "-k",
    "counts",
    callback=counts_option,
    metavar="K",
    help="Components of each class: 1, 1:3 or 1,2,4; BIC chooses.  [default: 1]",
)
@structure("; BIC chooses. tied makes linear borders.")
@seed
@columns
@writing
@missing_option
@memory_option
@reading_options
@jobs_option
@json_option
def classify(
    train: str,
    data: str,
    labels: str,
    counts: tuple[int, ...] | None,
    covariance_type: str | list[str],
    random_state: int,
    columns: tuple[str, ...],
    output: str,
    to: str | None,
    reading: Reading,
    as_json: bool,
    quiet: bool,
    jobs: int | None,
    missing: bool,
    memory: int,
) -> None:
    """Learn a mixture for each class from LABELLED, and add to each row of DATA its class and that class's probability.

    Rows of LABELLED with an empty label help to learn where the rows lie. The label -1 is a class, unless --na -1 makes
    it empty. DATA may be LABELLED itself.
    """
    check_inputs(train, data)
    written_as = format_of(output, to, as_json=as_json)
    check_target(output, train, data)
    check_engine(jobs, quiet=quiet)
    learned = reading.open(train)
    learned.check_has(labels)
    names = columns or learned.without([*reading.exclude, labels]).numeric_names()
    learned = reading.of_features(learned, names)
    learned.check_numeric(names)
    table = reading.open(data)
    table.check_numeric(names)
    table = reading.of_features(table, names)
    print_notices(dict.fromkeys([*learned.notices, *table.notices]), quiet=quiet)
    if len(covariance_type) == 1:
        covariance_type = covariance_type[0]  # a single structure needs no choice
    classifier = GaussianMixtureClassifier(
        counts, covariance_type=covariance_type, random_state=random_state, n_jobs=jobs
    )
    with collected_warnings() as collected:
        known = label_cells(learned, labels)
        classifier.fit(learned.all_rows(names, may_miss=missing), [_KNOWN.get(label, label) for label in known])
        n_rows, free = rows_at_once(len(table.names), memory), dict[str, str]()
        parts = table.parts(n_rows, () if written_as == "csv" else names)
        found = (_classes(classifier, part) for part in table.rows(names, n_rows, may_miss=missing))
        write_table(output, written_as, joined(parts, found, free), table.delimiter, table.decimal)
    n_known = sum(label is not None for label in known)
    n_classes = len(classifier.classes_)
    size = "1 class" if n_classes == 1 else f"{n_classes} classes"
    left_out = dict.fromkeys([*learned.left_out_notices, *table.left_out_notices])
    learned_what = f"learned {size} from {counted(n_known, 'labelled row')}."
    print_notices([*collected, *left_out, *taken_notices(data, free), learned_what], quiet=quiet)


def _classes(classifier: GaussianMixtureClassifier, rows: Array) -> dict[str, Any]:
    """The class of each row and its probability."""
    probability = classifier.predict_proba(rows)
    classes = np.array([label.strip() for label in classifier.predict(rows).tolist()])
    return {"class": classes, "probability": probability.max(axis=1)}
