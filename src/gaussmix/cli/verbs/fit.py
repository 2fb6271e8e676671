"""`gaussmix fit`: a table in, the best of many mixtures out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from gaussmix.cli.options import columns, counts, number, number_or_auto, reading, structures, weights
from gaussmix.cli.outputs import check_target, opened
from gaussmix.cli.show.fit_report import Wish, as_json, details, show
from gaussmix.cli.show.notices import check_engine, heard, notice
from gaussmix.cli.show.progress import progress
from gaussmix.errors import counted
from gaussmix.estimators.candidates import HELD_OUT, check_candidates
from gaussmix.estimators.gaussian_mixture_ic import GaussianMixtureIC
from gaussmix.mixture import files
from gaussmix.selection.criteria import CRITERIA
from gaussmix.sources.tables.inputs import STANDARD
from gaussmix.sources.tables.readers import open_table

_DEFAULTS: dict[str, Any] = GaussianMixtureIC().get_params()


@click.command(short_help="Fit mixtures to a table and choose the best.")
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
    callback=structures,
    default="full",
    show_default=True,
    metavar="S",
    help="Structures of the covariances: full, or several as tied,VEV, or all.",
)
@click.option(
    "--n-factors",
    callback=counts,
    metavar="Q",
    help="Numbers of factors of a factor_analyzer: 2, 1:3 or 2,4.",
)
@click.option(
    "--noise",
    default=_DEFAULTS["noise"],
    show_default=True,
    metavar="NOISE",
    help="Noise of a factor_analyzer: diagonal or isotropic.",
)
@click.option("--shared-loadings", is_flag=True, help="One matrix of loadings for all components.")
@click.option("--shared-noise", is_flag=True, help="One noise for all components.")
@click.option(
    "--criterion",
    type=click.Choice([*CRITERIA, HELD_OUT]),
    default=_DEFAULTS["criterion"],
    show_default=True,
    help="What decides: the lowest of these, or cv, the likelihood of held-out rows.",
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
    help="Starts of each kind that draws; the best is kept.",
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
    """Fit Gaussian mixtures to the numeric columns of DATA, and choose the number of components and the structure.

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
    chosen = GaussianMixtureIC(wish.counts, **given, n_jobs=jobs)
    n_candidates = len(check_candidates(chosen, numbers.rows.shape[1]))
    n_fits = n_candidates * (1 + chosen.n_folds if chosen.criterion == HELD_OUT else 1)
    with progress(n_fits, quiet=wish.quiet) as announce, heard() as sentences:
        chosen._fit(numbers.rows, row_weight, announce)
    say_notices(chosen, sentences, wish.quiet)
    if wish.model is not None:
        mixture, kept = chosen.mixture_, details(numbers, chosen, row_weight, has_names=table.has_names)
        with opened(wish.model, for_people=False) as file:
            files.write(file, (mixture.weights, mixture.means, mixture.covariances, mixture.family), kept)
    if wish.as_json:
        click.echo(json.dumps(as_json(wish, numbers, chosen, row_weight), ensure_ascii=False))
    elif not wish.quiet:
        show(wish, numbers, chosen, row_weight)


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


def say_notices(chosen: GaussianMixtureIC, sentences: Sequence[str], quiet: bool) -> None:
    """What happened in the fit that was chosen, and which fits did not come to an end."""
    for sentence in sentences:
        notice(f"K = {chosen.n_components_}: {sentence}", quiet=quiet)
    table = chosen.results_
    ended = zip(table["structure"], table["n_components"], table["converged"], table["failure"], strict=True)
    slow = [(structure, k) for structure, k, converged, failure in ended if not converged and failure is None]
    if not slow:
        return
    if len(set(table["structure"])) == 1:
        which = f"K = {', '.join(str(k) for _, k in slow)}"
    else:
        which = (
            f"{counted(len(slow), 'fit')} ({', '.join(f'{name} {k}' for name, k in slow[:3])}{' …' * (len(slow) > 3)})"
        )
    notice(f"{which}: not converged; raise --max-iter or --tol.", quiet=quiet)
