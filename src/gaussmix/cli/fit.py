"""`gaussmix fit`: a table in, the mixture with the lowest BIC out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from gaussmix.cli.candidates import Candidate, Fitted, choose_by_bic, fit_candidates
from gaussmix.cli.fit_report import Wish, as_json, details, show
from gaussmix.cli.inputs import STANDARD
from gaussmix.cli.notices import check_engine, notice
from gaussmix.cli.options import columns, counts, number, number_or_auto, reading, weights
from gaussmix.cli.outputs import check_target, opened
from gaussmix.cli.progress import progress
from gaussmix.cli.readers import open_table
from gaussmix.facade.gaussian_mixture import GaussianMixture
from gaussmix.families import FAMILIES
from gaussmix.mixture import files

_DEFAULTS: dict[str, Any] = GaussianMixture().get_params()


@click.command(short_help="Fit mixtures to a table and choose one by BIC.")
@click.argument("data", metavar="DATA")
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
@columns
@weights
@click.option(
    "--seed",
    "random_state",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of the starts.",
)
@click.option(
    "--n-init",
    type=click.IntRange(1),
    default=_DEFAULTS["n_init"],
    show_default=True,
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
    show_default=True,
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
@reading
def fit(jobs: int | None, **given: Any) -> None:
    """Fit Gaussian mixtures to the numeric columns of DATA and choose the number of components by BIC.

    DATA is CSV, Parquet, Arrow, Feather or .npy, or "-", standard input.
    """
    wish = Wish(**{name: given.pop(name) for name in Wish.__dataclass_fields__})
    check_wish(wish)
    check_engine(jobs, quiet=wish.quiet)
    table = open_table(wish.data, wish.format, wish.has_header)
    numbers = table.numeric(wish.columns or None, without=[] if wish.weights is None else [wish.weights])
    row_weight = None if wish.weights is None else table.row_weight(wish.weights)
    if len(numbers.rows) == 1:
        raise ValueError(f"{table.name} has a single row; a fit needs at least two.")
    for sentence in (*table.notices, *numbers.notices):
        notice(sentence, quiet=wish.quiet)
    settings = {**given, "n_jobs": jobs}
    with progress(len(wish.counts), quiet=wish.quiet) as announce:
        candidates = list(fit_candidates(numbers.rows, wish.counts, settings, announce, row_weight))
    say_notices(candidates, wish.quiet)
    chosen = choose_by_bic(candidates)
    if wish.model is not None:
        kept = details(numbers, chosen, given, row_weight, has_names=table.has_names)
        mixture = chosen.estimator.mixture_
        with opened(wish.model, for_people=False) as file:
            files.write(file, (mixture.weights, mixture.means, mixture.covariances, mixture.family), kept)
    if wish.as_json:
        click.echo(json.dumps(as_json(wish, numbers, candidates, chosen, row_weight), ensure_ascii=False))
    elif not wish.quiet:
        show(wish, numbers, candidates, chosen, row_weight)


def check_wish(wish: Wish) -> None:
    """Refuse what can't be done before anything is."""
    context = click.get_current_context()
    if wish.weights is not None and wish.weights in wish.columns:
        raise click.UsageError(f"{wish.weights!r} can't be a feature and the weight.", context)
    if wish.model is None:
        return
    check_target(wish.model, wish.data)
    if wish.model == STANDARD and wish.as_json:
        raise click.UsageError("-o - and --json would both go to standard output.", context)


def say_notices(candidates: Sequence[Candidate], quiet: bool) -> None:
    """What happened in each fit, on a line each."""
    for candidate in candidates:
        if isinstance(candidate, Fitted):
            for sentence in candidate.notices:
                notice(f"K = {candidate.n_components}: {sentence}", quiet=quiet)
    slow = [str(c.n_components) for c in candidates if isinstance(c, Fitted) and not c.estimator.converged_]
    if slow:
        notice(f"K = {', '.join(slow)}: not converged; raise --max-iter or --tol.", quiet=quiet)
