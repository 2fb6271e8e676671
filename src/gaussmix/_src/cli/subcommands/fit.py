"""`gaussmix fit`: fit mixtures to a table and choose the best one."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import pyarrow as pa

from gaussmix._src.cli import options, parsing
from gaussmix._src.cli.labels import read_labels
from gaussmix._src.cli.model_file import write_selection
from gaussmix._src.cli.outputs import check_target, open_target
from gaussmix._src.cli.reading import Reading
from gaussmix._src.cli.show.notices import collected_warnings, in_options, is_quiet, print_notices
from gaussmix._src.cli.show.progress import progress
from gaussmix._src.cli.show.reports import echo_json, fit_as_json, fit_notices, groups_as_json, show_fit, show_groups
from gaussmix._src.em.initialisation.base import AUTO, STARTS
from gaussmix._src.errors import in_table, invented_names, listed
from gaussmix._src.estimators.gaussian_mixture_ic import GaussianMixtureIC, fit_stepwise
from gaussmix._src.families.factor_analyzer import NOISES
from gaussmix._src.fit.after.diagnostics import find_two_valued_columns, two_valued_sentence
from gaussmix._src.fit.after.stability import add_neighbours
from gaussmix._src.fit.candidates import Candidate
from gaussmix._src.fit.criteria import CROSS_VALIDATION, HIGHER_IS_BETTER, STABILITY
from gaussmix._src.functions.fit_many import fit_many
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.mixture.mixtures import Mixtures
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.files.base import FileSource
from gaussmix._src.sources.opening import is_for_others
from gaussmix._src.sources.tables import FORMATS, Files
from gaussmix._src.sources.tables.base import STANDARD, BadTable, doubles
from gaussmix._src.validation.parameters import check_candidates
from gaussmix._src.validation.restrictions import DEFAULT

TERMINATED = 128 + signal.SIGTERM  # exit code that a shell reports for a process that SIGTERM has ended
_NOT_MODELS = {each for format in FORMATS.values() for each in format.extensions}
_NOT_MODELS |= {".json", ".npz", ".joblib", ".pkl", ".onnx", ".h", ".sql"}  # extensions for `gaussmix convert`
_DEFAULTS: dict[str, Any] = GaussianMixtureIC().get_params(deep=False)
_CONDITION_HELP = "Upper bound on the ratio of two eigenvalues of the covariances, for structures that support it."
_LABELS_HELP = "Column of known components: indices from 0, or names in alphabetical order; empty or -1 if unknown."
_BY_HELP = "Fit a mixture to each group of rows with the same value in this column, with the defaults of fit_many."
_START_HELP = f"Initialisations, separated by commas: {', '.join([AUTO, *STARTS])}. search looks for a better maximum."
_CHECKPOINT_HELP = "Save the state of the fit in this file, from which the same command continues if it is interrupted."
_OF_SELECTIONS = ("noise", "criterion", "check_maximum", "memory", "cache", "checkpoint", "max_time")


def parameter(name: str, metavar: str | None, help: str, flag: str = "") -> options.Decorator:
    """Declare an option for a parameter of `GaussianMixtureIC`, with the default and the checks of the parameter."""
    default = None if _DEFAULTS[name] is None else str(_DEFAULTS[name])
    flag = flag or f"--{name.replace('_', '-')}"
    check = partial(parsing.by_rule, name=name)
    return options.option(f"{flag} {name}", help, check, default=default, metavar=metavar)


@click.command(cls=options.OnTables)
@options.file("data", "DATA")
@options.candidate_options
@options.output("Write the chosen mixture to this file.", "-o --output model", metavar="MODEL.gmm")
@options.choice("--noise-variance", f"Noise of factor_analyzer: {' or '.join(NOISES)}.", NOISES, default=NOISES[0])
@options.flag("--shared-loadings", "Share the loadings of factor_analyzer among the components.")
@options.flag("--shared-noise", "Share the noise variances of factor_analyzer among the components.")
@options.option("--max-condition", _CONDITION_HELP, check=parsing.parse_number, metavar="C")
@parameter("trim", "FRACTION", "Fraction of the row weight that each EM step leaves out, from the least likely rows.")
@options.criterion
@options.weights
@options.weight_type
@options.noise
@options.column("--labels", _LABELS_HELP)
@options.option("--by", _BY_HELP, metavar="COLUMN")
@options.seed
@parameter("init_params", "START", _START_HELP, flag="--start")
@parameter("n_init", "N", "Number of runs for each random initialisation; the best is kept.")
@parameter("tol", "NATS", "Stop if a step changes the mean log-likelihood by less than this; auto stops at a maximum.")
@options.flag("--check-maximum", "Check whether the chosen mixture is near a maximum, and print the remaining gain.")
@parameter("max_iter", "N", "Maximum number of EM steps.")
@parameter("max_time", "SECONDS", "Start no more fits after this time, end running fits, and choose the best fit.")
@parameter("reg_covar", "NUMBER", "Value added to every variance.")
@options.choice("--prior", "Maximise the posterior density, with the prior of Fraley and Raftery.", [DEFAULT])
@options.flag("--equal-weights", "All components have the same weight.")
@options.memory
@options.cache
@options.option("--checkpoint", _CHECKPOINT_HELP, metavar="FILE")
@options.reading
@options.jobs
@options.as_json
def fit(
    data: str,
    counts: tuple[int, ...],
    model: str | None,
    weights: str | None,
    by: str | None,
    labels: str | None,
    checkpoint: str | None,
    reading: Reading,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Fit Gaussian mixtures to the numeric columns of DATA, and choose the best number of components and structure.

    \b
      gaussmix fit faithful.csv -k 1:6 -o faithful.gmm
      gaussmix fit 'data/*.parquet' -k 5 -s tied,diag -o m.gmm

    DATA is a CSV, Parquet, Arrow, Feather or .npy file, or "-" for standard input. A pattern in quotes, such as
    'data/*.parquet', a folder, or a URL such as 's3://bucket/*.parquet' names several files. Tables need not fit into
    memory.

    With --by, fit one mixture to each group of rows, and write all mixtures to one file. If -k has several numbers, BIC
    chooses one of them for each group.
    """
    _check_usage(data, model, checkpoint, as_json=as_json)
    _check_columns(reading.columns, weights, by, labels)
    if by is not None:
        groups, about = fit_by(data, by, weights, reading, counts, model, parameters)
        if as_json:
            echo_json(groups_as_json(groups, about))
        elif not is_quiet():
            show_groups(groups, about)
        return
    parameters = options.as_values(parameters)
    with collected_warnings() as collected:
        table, retained = _get_rows(data, reading, labels, weights)
        known = None
        if table is not None and labels is not None:
            known, parameters["label_components"] = read_labels(table, labels, min(counts))
        rows = reading.rows(retained, reading.columns, weights)
        collected += [] if table is None else map(RuntimeWarning, table.left_out_notices)
    names, n_rows = rows.feature_names, rows.n_rows
    if n_rows == 1:
        raise ValueError(f"{data} has only one row, but a fit needs at least two rows.")
    print_notices(collected)
    selection = GaussianMixtureIC(counts, **parameters, n_jobs=reading.jobs, checkpoint=checkpoint)
    with _exit_on_sigterm(checkpoint):
        run_selection(selection, rows, known)
    selection.checkpoint = None  # the model does not depend on the checkpoint file, which is already removed
    total = rows.row_totals.total_weight
    if model is not None:
        with open_target(model, for_people=False) as file:
            write_selection(file, selection, names, n_rows, total)
    n_missing = selection.summary().statistics["n_missing"]
    about = {"data": data, "n_rows": n_rows, "n_missing": n_missing, "weights": weights, "row_weight": total}
    about |= {"feature_names": names or invented_names(rows.n_features), "model": model}
    if as_json:
        echo_json(fit_as_json(selection, about))
    elif not is_quiet():
        show_fit(selection, about)


def _get_rows(data: str, reading: Reading, labels: str | None, weights: str | None) -> tuple[Files | None, Any]:
    """Return the opened table, or None if the path suffices, and the table or path from which to read rows."""
    is_plain = reading.is_plain and labels is None
    if data != STANDARD and is_plain and is_for_others(data):
        return None, data
    others = [name for name in (labels, weights) if name is not None]
    table = reading.open(data)
    counting = reading.row_number_columns(table, others)
    if table.files and is_plain and not counting:  # rows can be read directly from the path
        return None, data
    left_out = [*reading.exclude, *counting]
    features = reading.columns or table.without(left_out).numeric_names(others)
    table = reading.of_features(table, features, weights)
    return table, table.without(left_out if labels is None else [*left_out, labels])


def run_selection(selection: GaussianMixtureIC, rows: Source, labels: list[Any] | None = None) -> None:
    """Fit the candidates of a model selection, show a progress bar, and print notices."""
    first = ArraySource(next(iter(rows.blocks())).rows[:LEAF_ROWS])
    first.may_miss = True
    if columns := find_two_valued_columns(first):
        print_notices([in_options(two_valued_sentence(columns, rows.feature_names))])
    candidates = [Candidate(*pair) for pair in check_candidates(selection, rows.n_features)]
    around = add_neighbours(candidates, has_labels=labels is not None)
    again = {CROSS_VALIDATION: len(candidates), STABILITY: len(around)}.get(selection.criterion, 0)
    fits = fit_stepwise(selection, rows, labels)
    with progress() as bars, collected_warnings() as collected, closing(fits):
        advance = bars.fits(len(candidates) + selection.n_folds * again)
        if isinstance(rows, FileSource):
            rows.on_progress = bars.rows(rows.n_rows, rows.reader.bytes_of(1))
            # Callbacks are set only for information criteria, because cross-validation and stability do not support
            # callbacks.
            if not bars.disable and selection.criterion not in HIGHER_IS_BETTER:
                selection.callbacks = [bars.steps(selection.tol if selection.prior is None else None)]
        for _ in fits:
            advance()
    selection.callbacks = None
    print_notices(fit_notices(selection, collected))


def _check_usage(data: str, model: str | None, checkpoint: str | None, *, as_json: bool) -> None:
    """Raise UsageError or OSError, before the fit begins, if a file can't be written."""
    for target in (model, checkpoint):
        if target is not None:
            check_target(target, data)
    if model is not None and Path(model).suffix.lower() in _NOT_MODELS:
        advice = f"name it {Path(model).stem}.gmm; `gaussmix convert` writes other formats"
        raise click.UsageError(f"{model}: a fit can't write a model as {Path(model).suffix}: {advice}.")
    if model == STANDARD and as_json:
        raise click.UsageError("-o - and --json would both write to standard output: use one of them.")


def _check_columns(columns: tuple[str, ...], weights: str | None, by: str | None, labels: str | None) -> None:
    """Raise UsageError if the same column is used for two purposes."""
    if weights is not None and weights in columns:
        raise click.UsageError(f"{weights!r} can't be both a feature and the column of weights.")
    if labels is not None and labels in (*columns, weights):
        raise click.UsageError(f"--labels {labels} is already a feature or the column of --weights.")
    if by is not None and labels is not None:
        raise click.UsageError("--labels and --by can't be combined.")
    if by is not None and by in (*columns, weights):
        raise click.UsageError(f"--by {by} is already a feature or the column of --weights. Choose another column.")


@contextmanager
def _exit_on_sigterm(checkpoint: str | None) -> Iterator[None]:
    """Convert SIGTERM to SystemExit with exit code `TERMINATED`, so that the fit can write a last checkpoint.

    If `checkpoint` is None, the handling of signals does not change.
    """
    if checkpoint is None:
        yield
        return

    def end(number: int, frame: object) -> None:
        sys.exit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except SystemExit:
        if os.path.exists(checkpoint):
            print_notices([f"terminated; {checkpoint} contains the fit: the same command resumes it."])
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def fit_by(
    data: str,
    by: str,
    weights: str | None,
    reading: Reading,
    counts: tuple[int, ...],
    model: str | None,
    parameters: dict[str, Any],
) -> tuple[Mixtures, dict[str, Any]]:
    """Fit a mixture to each group of a table, and write all mixtures to one file.

    Returns the mixtures, and a dictionary with the values that `show_groups` prints. Raises UsageError for an option
    that only model selection supports, and ValueError or OSError if the table can't be used or no group can be fitted.
    """
    passed = _set_parameters(parameters) | {"missing": "allow" if reading.missing else "error"}
    table, row_weight, indices = _read(data, by, weights, reading)
    began = perf_counter()
    with collected_warnings() as collected:
        mixtures = fit_many(
            table, counts, by=by, sample_weight=row_weight, random_state=parameters["random_state"],
            n_jobs=reading.jobs, **passed,
        )  # fmt: skip
    seconds = perf_counter() - began
    print_notices(in_table(str(warning), indices) for warning in collected)
    errors = {key: in_table(error, indices) for key, error in mixtures.errors.items()}
    notes = {key: [in_table(note, indices) for note in notes] for key, notes in mixtures.notes.items()}
    mixtures = replace(mixtures, errors=errors, notes=notes)
    if len(mixtures.errors) == len(mixtures):
        raise ValueError(f"No mixture could be fitted to any group of {data}.")
    if model is not None:
        with open_target(model, for_people=False) as file:
            mixtures.save(file)
    return mixtures, {"data": data, "by": by, "n_rows": table.num_rows, "seconds": seconds, "model": model}


def _read(data: str, by: str, weights: str | None, reading: Reading) -> tuple[pa.Table, Any, Callable[[], Any]]:
    """Read the features with the column of groups, the row weights, and a function that returns the rows' indices.

    The indices count all rows of the file, also rows that --drop-missing leaves out. Raises BadTable or OSError.
    """
    table = reading.open(data)
    print_notices(table.notices)
    table.check_has(by)
    others = [by] if weights is None else [by, weights]
    features = reading.features(table, others)
    if not features:
        raise BadTable(f"{table.name} has no numeric column besides {listed(others)}.")
    numbers = [*features, *others[1:]]
    table.check_numeric(numbers)
    table = reading.of_features(table, features, weights)
    batches = list(table.batches([by, *numbers], numbers))
    read = pa.Table.from_batches(batches) if batches else None
    print_notices(table.left_out_notices)
    if read is None or not read.num_rows:
        raise BadTable(f"{table.name} has no rows.")
    keys = reading.group_keys(table, by, read)
    # A file of mixtures can store text and numbers, but neither dates nor decimal numbers.
    groups = read[by] if isinstance(keys[0], str | int | float) else pa.array(list(map(str, keys)))
    columns = {by: groups} | {name: doubles(read[name]) for name in features}
    row_weight = None if weights is None else doubles(read[weights])
    return pa.table(columns), row_weight, cache(table.complete_rows) if table.complete else lambda: range(len(keys))


def _set_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return only the parameters that the user has set, because `fit_many` and model selection differ in defaults."""
    for flag in options.set_flags(_OF_SELECTIONS):
        raise click.UsageError(f"{flag} can't be combined with --by, which runs a short fit for each group.")
    passed = {name: value for name, value in parameters.items() if options.set_flags([name]) and name != "random_state"}
    passed = options.as_values(passed)
    structures = passed.get("covariance_type", [])
    if isinstance(structures, str) or len(structures) > 1:
        raise click.UsageError("--by fits a single structure to all groups: use one structure for -s.")
    if "covariance_type" in passed:
        passed["covariance_type"] = structures[0]
    return passed
