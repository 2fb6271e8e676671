"""`gaussmix fit`: fit mixtures to a table and choose the best."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from gaussmix.cli.labels import read_labels
from gaussmix.cli.model_file import write_search
from gaussmix.cli.options import (
    Reading,
    Verb,
    as_values,
    by_rule,
    choosing,
    columns,
    counts,
    noise,
    number,
    seed,
    weight_column,
    weight_meaning,
    weights,
)
from gaussmix.cli.options import as_json as json_option
from gaussmix.cli.options import jobs as jobs_option
from gaussmix.cli.options import memory as memory_option
from gaussmix.cli.options import missing as missing_option
from gaussmix.cli.options import reading as reading_options
from gaussmix.cli.outputs import check_target, open_target
from gaussmix.cli.show.notices import check_engine, collected_warnings, print_notices
from gaussmix.cli.show.progress import progress
from gaussmix.cli.show.reports import FitReport, fit_as_json, fit_notices, many_as_json, show_fit, show_many
from gaussmix.cli.verbs.fit_by import Grouping, fit_by
from gaussmix.door.parameters import HELD_OUT, check_candidates
from gaussmix.door.restrictions import DEFAULT
from gaussmix.em.criteria import CRITERIA
from gaussmix.em.stopping import RULES
from gaussmix.estimators.gaussian_mixture_ic import GaussianMixtureIC, fit_stepwise
from gaussmix.families.factor_analyzer import NOISES
from gaussmix.sources.files.base import FileSource
from gaussmix.sources.opening import open
from gaussmix.sources.tables import FORMATS
from gaussmix.sources.tables.base import STANDARD, invented_names
from gaussmix.starts import STARTS

TERMINATED = 128 + signal.SIGTERM  # the exit code that a shell gives to a process that SIGTERM has ended
_NOT_MODELS = {each for format in FORMATS.values() for each in format.extensions}
_NOT_MODELS |= {".json", ".npz", ".joblib", ".pkl", ".onnx", ".h", ".sql"}  # what `gaussmix convert` writes
_DEFAULTS: dict[str, Any] = GaussianMixtureIC().get_params(deep=False)


def parameter(name: str, metavar: str | None, help: str, **checks: Any) -> Callable[[Verb], Verb]:
    """An option that sets a parameter of the search, whose default it has and shows."""
    flag, default = f"--{name.replace('_', '-')}", str(_DEFAULTS[name])
    return click.option(flag, default=default, show_default=True, metavar=metavar, help=help, **checks)


@click.command()
@click.argument("data", metavar="DATA", type=click.Path())
@choosing
@click.option("-o", "--output", "model", metavar="MODEL.gmm", help="Write the chosen mixture to this file.")
@click.option(
    "--n-factors",
    callback=counts,
    metavar="Q",
    help="Numbers of factors of a factor_analyzer: 2, 1:3 or 2,4.",
)
@click.option(
    "--noise-variance",
    type=click.Choice(NOISES),
    default=NOISES[0],
    show_default=True,
    help=f"Noise of a factor_analyzer: {' or '.join(NOISES)}.",
)
@click.option("--shared-loadings", is_flag=True, help="One matrix of loadings for all components.")
@click.option("--shared-noise", is_flag=True, help="One noise for all components.")
@click.option(
    "--max-condition",
    callback=number,
    metavar="C",
    help="Largest ratio of two eigenvalues of the covariances, for structures that have this bound.",
)
@parameter(
    "trim", "SHARE", "Share of the row weight that each step leaves out: the least likely rows.", callback=by_rule
)
@parameter(
    "criterion",
    None,
    "What decides: the lowest of these, or cv, the likelihood of held-out rows.",
    type=click.Choice([*CRITERIA, HELD_OUT]),
)
@columns
@weights
@weight_meaning
@noise
@click.option(
    "--labels",
    callback=weight_column,
    metavar="COLUMN",
    help="Labels known for some rows, empty or -1 for others: numbers of components from 0 on, or names.",
)
@click.option(
    "--by",
    metavar="COLUMN",
    help="Fit a mixture to each group of rows with one value in this column; settings not given are fit_many's.",
)
@seed
@click.option(
    "--start",
    "init_params",
    callback=by_rule,
    default=_DEFAULTS["init_params"],
    show_default=True,
    metavar="START",
    help=f"Kinds of start, several by commas: {', '.join(STARTS)}. search looks for a better maximum.",
)
@parameter("n_init", "N", "Starts of each kind that draws; the best is kept.", callback=by_rule)
@parameter("tol", "NATS", "End when a step changes the mean log-likelihood by less.", callback=by_rule)
@parameter(
    "stopping",
    None,
    "What --tol bounds: the gain of the last step, or of all further steps by Aitken's estimate.",
    type=click.Choice(RULES),
)
@parameter("max_iter", "N", "Limit on EM steps.", callback=by_rule)
@click.option(
    "--max-time",
    callback=by_rule,
    metavar="SECONDS",
    help="Begin no more fits after so many seconds, and choose the best of those that were made.",
)
@parameter("reg_covar", "NUMBER", "Added to every variance.", callback=by_rule)
@click.option("--prior", type=click.Choice([DEFAULT]), help="Most probable mixtures under Fraley and Raftery's prior.")
@click.option("--equal-weights", is_flag=True, help="All components have the same weight.")
@missing_option
@memory_option
@click.option(
    "--checkpoint",
    metavar="FILE",
    help="Note in this file where the fit stands; the same command goes on from it. For one K and one structure.",
)
@reading_options
@jobs_option
@json_option
def fit(
    data: str,
    counts: tuple[int, ...],
    model: str | None,
    columns: tuple[str, ...],
    weights: str | None,
    by: str | None,
    labels: str | None,
    checkpoint: str | None,
    reading: Reading,
    as_json: bool,
    quiet: bool,
    jobs: int | None,
    memory: int,
    missing: bool,
    **parameters: Any,
) -> None:
    """Fit Gaussian mixtures to the numeric columns of DATA, and choose the number of components and the structure.

    DATA is CSV, Parquet, Arrow, Feather or .npy, or "-", standard input. A pattern in quotes, such as 'data/*.parquet',
    or a folder names several files. Tables need not fit into memory.

    With --by, fit one mixture of K components to each group of rows, and write all of them to one file.
    """
    check_usage(data, model, checkpoint, columns, weights, labels, as_json=as_json)
    check_engine(jobs, quiet=quiet)
    if by is not None:
        if labels is not None:
            raise click.UsageError("--labels has no meaning with --by.", click.get_current_context())
        if by in (*columns, weights):
            raise click.UsageError(
                f"{by!r} can't be a feature or the weight and name groups.", click.get_current_context()
            )
        grouping = Grouping(data, by, columns, weights, reading)
        parameters["missing"] = "allow" if missing else "error"
        groups = fit_by(grouping, counts, model, jobs, parameters, quiet=quiet)
        if as_json:
            click.echo(json.dumps(many_as_json(groups), ensure_ascii=False))
        elif not quiet:
            show_many(groups)
        return
    with collected_warnings() as collected:
        table, known = None, None
        if data == STANDARD or labels is not None or not reading.is_plain:
            table = reading.open(data)
            without = [name for name in (labels, weights) if name is not None]
            features = columns or table.without(reading.exclude).numeric_names(without)
            table = reading.of_features(table, features, weights)
        if table is not None and labels is not None:
            known, parameters["label_components"] = read_labels(table, labels, min(counts))
        kept = data if table is None else table.without([*reading.exclude, *([] if labels is None else [labels])])
        rows = open(kept, columns=columns or None, weights=weights, memory=memory, missing=missing)
        collected += [] if table is None else map(RuntimeWarning, table.left_out_notices)
    names = rows.feature_names
    n_rows, n_features = rows.n_rows, rows.n_features
    if n_rows == 1:
        raise ValueError(f"{data} has a single row; a fit needs at least two.")
    print_notices(collected, quiet=quiet)
    search = GaussianMixtureIC(counts, **as_values(parameters), n_jobs=jobs, checkpoint=checkpoint)
    n_fits = len(check_candidates(search, n_features)) * (1 + search.n_folds if search.criterion == HELD_OUT else 1)
    fits = fit_stepwise(search, rows, labels=known)
    with (
        terminated(checkpoint, quiet=quiet),
        progress(quiet=quiet) as bars,
        collected_warnings() as collected,
        closing(fits),
    ):
        advance = bars.fits(n_fits)
        if isinstance(rows, FileSource):
            rows.watch = bars.rows(n_rows, rows.reader.bytes_of(1))
        for _ in fits:
            advance()
    search.checkpoint = None  # the file is gone, and a model is the same with or without it
    print_notices(fit_notices(search, collected), quiet=quiet)
    total = rows.profile.total_weight
    if model is not None:
        with open_target(model, for_people=False) as file:
            write_search(file, search, names, n_rows, total)
    report = FitReport(search, data, names or invented_names(n_features), n_rows, total, weights, model)
    if as_json:
        click.echo(json.dumps(fit_as_json(report), ensure_ascii=False))
    elif not quiet:
        show_fit(report)


def check_usage(
    data: str,
    model: str | None,
    checkpoint: str | None,
    columns: tuple[str, ...],
    weights: str | None,
    labels: str | None,
    *,
    as_json: bool,
) -> None:
    """Raise UsageError or OSError before any work for what could not end well."""
    context = click.get_current_context()
    if weights is not None and weights in columns:
        raise click.UsageError(f"{weights!r} can't be a feature and the weight.", context)
    if labels is not None and labels in (*columns, weights):
        raise click.UsageError(f"{labels!r} can't be a feature or the weight and hold labels.", context)
    for target in (model, checkpoint):
        if target is not None:
            check_target(target, data)
    if model is not None and Path(model).suffix.lower() in _NOT_MODELS:
        advice = f"name it {Path(model).stem}.gmm; `gaussmix convert` writes other formats"
        raise click.UsageError(f"{model}: a model is not written as {Path(model).suffix}: {advice}.", context)
    if model == STANDARD and as_json:
        raise click.UsageError("-o - and --json would both go to standard output.", context)


@contextmanager
def terminated(checkpoint: str | None, *, quiet: bool) -> Iterator[None]:
    """Where there is a checkpoint, let SIGTERM end the block as Ctrl-C does, so that the fit can write it.

    Raises SystemExit with `TERMINATED` then.
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
            print_notices([f"terminated; {checkpoint} holds the fit: the same command goes on with it."], quiet=quiet)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
