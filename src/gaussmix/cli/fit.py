"""`gaussmix fit`: a table in, the mixture with the lowest BIC out."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gaussmix.cli.candidates import Candidate, Failed, Fitted, choose_by_bic, fit_candidates, rises_further
from gaussmix.cli.display import shorten, show_candidates, show_components
from gaussmix.cli.notices import check_engine, notice
from gaussmix.cli.options import column_names, counts, number, number_or_auto, shared_options
from gaussmix.cli.tables import Numbers, Table, counted
from gaussmix.facade.gaussian_mixture import GaussianMixture
from gaussmix.families import FAMILIES
from gaussmix.formats import Details, FitRecord, save

_NARROWEST = 72  # a narrower terminal wraps lines; numbers must not be cut
_DEFAULTS: dict[str, Any] = GaussianMixture().get_params()


@dataclass(frozen=True)
class Wish:
    """What the user asked for, beside the settings of the estimator."""

    data: str
    counts: tuple[int, ...]
    model: str | None
    columns: tuple[str, ...]
    has_header: bool | None
    as_json: bool
    quiet: bool


@click.command()
@click.argument("data", metavar="DATA.csv")
@click.option(
    "-k",
    "counts",
    callback=counts,
    default="1:9",
    show_default=True,
    metavar="K",
    help="Numbers of components: 3, 1:6 or 2,4,8.",
)
@click.option("-o", "--output", "model", metavar="MODEL.gmm", help="Write the chosen mixture to this file.")
@click.option(
    "-s",
    "--structure",
    "covariance_type",
    type=click.Choice(sorted(FAMILIES)),
    default=_DEFAULTS["covariance_type"],
    show_default=True,
    help="Structure of the covariances.",
)
@click.option("--columns", multiple=True, callback=column_names, metavar="A,B", help="Use these columns only.")
@click.option(
    "--seed",
    "random_state",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default="0",
    metavar="N",
    help="Seed of the starts.",
)
@click.option(
    "--n-init",
    type=click.IntRange(1),
    default=_DEFAULTS["n_init"],
    show_default=str(_DEFAULTS["n_init"]),
    metavar="N",
    help="Starts for each K; the best is kept.",
)
@click.option(
    "--tol",
    callback=number,
    default=str(_DEFAULTS["tol"]),
    show_default=True,
    metavar="NATS",
    help="End when a step changes the mean log-likelihood by less.",
)
@click.option(
    "--max-iter",
    type=click.IntRange(1),
    default=_DEFAULTS["max_iter"],
    show_default=str(_DEFAULTS["max_iter"]),
    metavar="N",
    help="Limit on EM steps.",
)
@click.option(
    "--reg-covar",
    callback=number_or_auto,
    default=str(_DEFAULTS["reg_covar"]),
    show_default=True,
    metavar="NUMBER",
    help="Added to every variance.",
)
@shared_options
def fit(jobs: int | None, **given: Any) -> None:
    """Fit Gaussian mixtures to the numeric columns of DATA.csv and choose the number of components by BIC."""
    wish = Wish(**{name: given.pop(name) for name in Wish.__dataclass_fields__})
    if wish.model is not None:
        check_target(wish.model, wish.data)
    check_engine(jobs, quiet=wish.quiet)
    table = Table.open(wish.data, wish.has_header)
    numbers = table.numeric(wish.columns or None)
    if len(numbers.rows) == 1:
        raise ValueError(f"{wish.data} has a single row; a fit needs at least two.")
    for sentence in (*table.notices, *numbers.notices):
        notice(sentence, quiet=wish.quiet)
    with progress(len(wish.counts), quiet=wish.quiet) as announce:
        candidates = list(fit_candidates(numbers.rows, wish.counts, {**given, "n_jobs": jobs}, announce))
    say_notices(candidates, wish.quiet)
    chosen = choose_by_bic(candidates)
    if wish.model is not None:
        save(wish.model, chosen.estimator.mixture_, details(numbers, chosen, given))
    if wish.as_json:
        click.echo(json.dumps(as_json(wish, numbers, candidates, chosen), ensure_ascii=False))
    elif not wish.quiet:
        show(wish, numbers, candidates, chosen)


def check_target(model: str, data: str) -> None:
    """See before a long fit that its result can be written, and that it does not replace the data."""
    target = Path(model)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, so it can't be written", model)
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to write to", str(target.parent))
    if target.exists() and Path(data).exists() and target.samefile(data):
        raise click.UsageError(f"{model} is the input: give the output another name.", click.get_current_context())


@contextmanager
def progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while the block runs, if that is a terminal."""
    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal  # else rich leaves an empty line in a log
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=total)
        tried = 0

        def announce(n_components: int) -> None:
            nonlocal tried
            bar.update(task, description=f"fitting K = {n_components}", completed=tried)
            tried += 1

        yield announce


def say_notices(candidates: Sequence[Candidate], quiet: bool) -> None:
    """What happened in each fit, on a line each."""
    for candidate in candidates:
        if isinstance(candidate, Fitted):
            for sentence in candidate.notices:
                notice(f"K = {candidate.n_components}: {sentence}", quiet=quiet)
    slow = [str(c.n_components) for c in candidates if isinstance(c, Fitted) and not c.estimator.converged_]
    if slow:
        notice(f"K = {', '.join(slow)}: not converged; raise --max-iter or --tol.", quiet=quiet)


def details(numbers: Numbers, chosen: Fitted, settings: Mapping[str, Any]) -> Details:
    """What the model file says beside the mixture."""
    estimator, n_rows = chosen.estimator, len(numbers.rows)
    steps, converged = int(estimator.n_iter_), bool(estimator.converged_)
    kept = {**settings, "init_params": estimator.init_params}
    record = FitRecord(n_rows, float(n_rows), chosen.log_likelihood, steps, converged, kept)
    return Details(numbers.names, numbers.rows.dtype.name, record)


def show(wish: Wish, numbers: Numbers, candidates: Sequence[Candidate], chosen: Fitted) -> None:
    """Print the result for people."""
    console = Console(highlight=False, markup=False, emoji=False)  # names are text
    console.width = max(console.width, _NARROWEST)
    features = ", ".join(map(shorten, numbers.names[:5])) + (", …" if len(numbers.names) > 5 else "")
    n_rows, n_features = numbers.rows.shape
    size = f"{counted(n_rows, 'row')}, {counted(n_features, 'feature')}"
    console.print(f"{wish.data}: {size} ({features})\n", soft_wrap=True)
    show_candidates(console, candidates, chosen)
    if rises_further(candidates, chosen):
        console.print(f"K = {chosen.n_components} is the largest tried; a larger one may be better still.")
    console.print(f"\nK = {chosen.n_components}, {chosen.estimator.covariance_type} covariances, mean ± sd:\n")
    show_components(console, chosen.estimator.mixture_, numbers.names)
    written = f"Model written to {wish.model}" if wish.model is not None else "Not saved: add -o MODEL.gmm"
    console.print(f"\n{written}", soft_wrap=True)


def as_json(wish: Wish, numbers: Numbers, candidates: Sequence[Candidate], chosen: Fitted) -> dict[str, Any]:
    """The result for programs."""
    mixture = chosen.estimator.mixture_
    return {
        "data": wish.data,
        "n_rows": len(numbers.rows),
        "feature_names": list(numbers.names),
        "structure": mixture.family.name,
        "candidates": [_candidate_json(candidate) for candidate in candidates],
        "chosen": {
            "n_components": mixture.n_components,
            "weights": mixture.weights.tolist(),
            "means": mixture.means.tolist(),
            "covariances": mixture.covariances.tolist(),
        },
        "model": wish.model,
    }


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    if isinstance(candidate, Failed):
        return {"n_components": candidate.n_components, "failed": candidate.reason}
    return {
        "n_components": candidate.n_components,
        "log_likelihood": candidate.log_likelihood,
        "bic": candidate.bic,
        "n_steps": int(candidate.estimator.n_iter_),
        "has_converged": bool(candidate.estimator.converged_),
        "notices": list(candidate.notices),
    }
