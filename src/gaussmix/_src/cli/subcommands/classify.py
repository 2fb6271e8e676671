"""`gaussmix classify`: learn classes from labelled rows, and classify other rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import click
import numpy as np

from gaussmix._src.cli import options, parsing
from gaussmix._src.cli.labels import label_cells
from gaussmix._src.cli.outputs import Writing, check_target, rows_at_once
from gaussmix._src.cli.reading import Reading
from gaussmix._src.cli.show.notices import collected_warnings, print_notices
from gaussmix._src.cli.subcommands.predict import joined, taken_notices
from gaussmix._src.errors import counted
from gaussmix._src.estimators.classifier import GaussianMixtureClassifier
from gaussmix._src.families.structures import Full
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.array import ArraySource

# The classifier would treat the texts "-1" and "-1.0" as missing classes. A blank is appended to these texts, because
# they are classes in a table.
_TEXTS = {text: f"{text} " for text in ("-1", "-1.0")}

_RIDGE_HELP = "Value added to every variance; auto is 1e-6 of a robust variance of each column, or 0 if BIC chooses."
_COUNTS_HELP = "Numbers of components per class (1:3); BIC chooses. Default: 1, and classes may share covariances."


@click.command(cls=options.OnTables)
@options.file("train", "LABELLED")
@options.file("data", "DATA")
@options.column("--labels", "Column of LABELLED that contains the classes.", required=True)
@options.option("-k counts", _COUNTS_HELP, check=parsing.counts, metavar="K")
@options.structure("; BIC chooses. Without -k, tied makes the decision boundaries linear.", Full().name)
@options.option(
    "--reg-covar", _RIDGE_HELP, partial(parsing.by_rule, name="reg_covar"), default="auto", metavar="NUMBER"
)
@options.seed
@options.row_by_row
def classify(
    train: str,
    data: str,
    labels: str,
    counts: tuple[int, ...] | None,
    writing: Writing,
    reading: Reading,
    **parameters: Any,
) -> None:
    """Learn a mixture for each class from LABELLED, and add the class and its probability to each row of DATA.

    \b
      gaussmix classify known.csv new.csv --labels species

    Rows of LABELLED with an empty label are also used, because they improve the estimate of the density. The label -1
    is a class, unless --na -1 declares it as an empty label. DATA and LABELLED may be the same file.
    """
    check_target(writing.output, train, data)
    # If there are several covariance structures, BIC chooses one for each class, or one for all classes without -k.
    parameters = options.as_values(parameters)
    if len(parameters["covariance_type"]) == 1:
        (parameters["covariance_type"],) = parameters["covariance_type"]
    source = reading.open(train)
    source.check_has(labels)
    names = reading.features(source, [labels])
    source = reading.of_features(source, names)
    source.check_numeric(names)
    table = reading.open(data)
    table.check_numeric(names)
    table = reading.of_features(table, names)
    print_notices(dict.fromkeys([*source.notices, *table.notices]))
    classifier = GaussianMixtureClassifier(counts, n_jobs=reading.jobs, **parameters)
    with collected_warnings() as collected:
        cells = label_cells(source, labels)
        rows: Any = _as_source(source.all_rows(names, may_miss=reading.missing))
        rows.feature_names = names  # errors and warnings use these names, even if columns have no names
        classifier.fit(rows, [_TEXTS.get(label, label) for label in cells])
        n_rows, free = rows_at_once(len(table.names), reading.memory), dict[str, str]()
        classes = (_classes(classifier, part) for part in table.rows(names, n_rows, may_miss=reading.missing))
        parts = table.parts(n_rows, writing.numbers(names))
        writing.write(joined(zip(parts, classes, strict=True), free), table)
    n_labelled = sum(label is not None for label in cells)
    n_classes = len(classifier.classes_)
    size = "1 class" if n_classes == 1 else f"{n_classes} classes"
    left_out = *source.left_out_notices, *table.left_out_notices
    summary = f"learned {size} from {counted(n_labelled, 'labelled row')}."
    print_notices([*collected, *left_out, *taken_notices(table.name, free), summary])


def _as_source(rows: Array) -> ArraySource:
    """Return a source of rows in memory, which may have missing values."""
    source: Any = ArraySource(rows)
    source.may_miss = bool(np.isnan(rows).any())
    return source


def _classes(classifier: GaussianMixtureClassifier, rows: Array) -> dict[str, Any]:
    """Return the most probable class of each row, and the probability of this class."""
    source = _as_source(rows)  # for an array, the classifier would warn that its columns have no names
    probability = classifier.predict_proba(source)
    classes = np.array([label.strip() for label in classifier.predict(source).tolist()])
    return {"class": classes, "probability": probability.max(axis=1)}
