"""Callbacks that check the values of options, and the options that several verbs share."""

from __future__ import annotations

import math
from collections.abc import Callable

import click

from gaussmix.cli.outputs import WRITERS
from gaussmix.errors import not_one_of
from gaussmix.estimators.structures import EVERY
from gaussmix.families.base import known_names
from gaussmix.sources.files import MEMORY, check_memory
from gaussmix.sources.tables import FORMATS
from gaussmix.sources.tables.base import STANDARD
from gaussmix.starts import STARTS

_MOST_CANDIDATES = 1000


def counts(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Numbers of components or factors in rising order, from 3, 1:6 (both ends included), 2,4,8 or a mix of them."""
    if value is None:
        return None
    found: set[int] = set()
    for part in value.split(","):
        first, colon, last = part.partition(":")
        try:
            low = int(first)
            high = int(last) if colon else low
        except ValueError:
            raise click.BadParameter(f"{value!r} is not a count; write 3, 1:6 or 2,4,8.") from None
        if not 1 <= low <= high:
            raise click.BadParameter(f"{part!r} must begin at 1 or more and rise; write 3, 1:6 or 2,4,8.")
        if high - low + len(found) >= _MOST_CANDIDATES:
            raise click.BadParameter(f"{value!r} asks for more than {_MOST_CANDIDATES} fits.")
        found.update(range(low, high + 1))
    return tuple(sorted(found))


def structures(ctx: click.Context, param: click.Parameter, value: str) -> str | list[str]:
    """Names of covariance structures separated by commas, or "all"."""
    names = [name.strip() for name in value.split(",")]
    if names == [EVERY]:
        return EVERY
    for name in names:
        if name == EVERY:
            raise click.BadParameter(f"{EVERY!r} tries each structure: give it alone.")
        if name not in known_names():
            raise click.BadParameter(not_one_of(name, (*known_names(), EVERY)))
    return names


def starts(ctx: click.Context, param: click.Parameter, value: str) -> str | list[str]:
    """Names of starts separated by commas: one, or several as a list."""
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if name not in STARTS:
            raise click.BadParameter(not_one_of(name, STARTS))
    return names if len(names) > 1 else names[0]


def number(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """A finite number that is not negative."""
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise click.BadParameter(f"{value!r} is not a number ≥ 0.")
    return found


def number_or_auto(ctx: click.Context, param: click.Parameter, value: str) -> float | str:
    """A finite number that is not negative, or "auto"."""
    return value if value == "auto" else number(ctx, param, value)


def shares(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Numbers between 0 and 1 separated by commas, as the user wrote them, each once."""
    found = [part.strip() for part in value.split(",")] if value else []
    for part in found:
        try:
            is_share = 0 < float(part) < 1
        except ValueError:
            is_share = False
        if not is_share:
            raise click.BadParameter(f"{part!r} is not a number between 0 and 1; write 0.05,0.5,0.95.")
    return tuple(dict.fromkeys(found))


def threads(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    """A number of threads as scikit-learn counts them: -1 is every processor."""
    if value == 0:
        raise click.BadParameter("0 threads can't work; use 1, or -1 for every processor.")
    return value


def size(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Bytes."""
    try:
        return check_memory(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def column_names(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Column names, from values separated by commas and from repeated options, each once."""
    names = [name.strip() for part in value for name in part.split(",")]
    if "" in names:
        raise click.BadParameter("a column needs a name.")
    return tuple(dict.fromkeys(names))


def weight_column(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A column name."""
    if value is not None and not value.strip():
        raise click.BadParameter("a column needs a name.")
    return None if value is None else value.strip()


Verb = Callable[..., None]

quiet = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
jobs = click.option(
    "-j",
    "--jobs",
    type=int,
    callback=threads,
    metavar="N",
    help="Threads; every processor by default. Changes no result.",
)
columns = click.option("--columns", multiple=True, callback=column_names, metavar="A,B", help="Use these columns only.")
weights = click.option(
    "--weights", callback=weight_column, metavar="COLUMN", help="Weights of the rows: 2 counts as two such rows."
)

memory = click.option(
    "--memory",
    callback=size,
    default=MEMORY.replace(" ", ""),
    show_default=True,
    metavar="SIZE",
    help="Larger tables are read in parts.",
)


def reading(verb: Verb) -> Verb:
    """Add the options of every verb that reads a table."""
    for option in (
        quiet,
        as_json,
        jobs,
        click.option(
            "--header/--no-header",
            "has_header",
            default=None,
            help="The first line of CSV holds names, or data.  [default: names, unless it holds numbers only]",
        ),
        click.option(
            "--format",
            type=click.Choice(list(FORMATS)),
            help="Format of DATA.  [default: by its extension or its first bytes]",
        ),
    ):
        verb = option(verb)
    return verb


def writing(verb: Verb) -> Verb:
    """Add the options of every verb that writes a table."""
    for option in (
        click.option(
            "--to",
            type=click.Choice(list(WRITERS)),
            help="Format of what is written.  [default: by the extension of OUT, or else csv]",
        ),
        click.option(
            "-o", "--output", metavar="OUT", default=STANDARD, help="Write there instead of to standard output."
        ),
    ):
        verb = option(verb)
    return verb
