"""Definitions of options that several subcommands share, and checks of options that depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from functools import wraps
from typing import Any

import click
from click.core import ParameterSource

from gaussmix._src.cli import parsing
from gaussmix._src.cli.outputs import WRITERS, Writing, output_format
from gaussmix._src.cli.reading import Reading
from gaussmix._src.cli.show.notices import QUIET, in_options
from gaussmix._src.errors import listed
from gaussmix._src.families.base import family_named, family_names
from gaussmix._src.families.factor_analyzer import NOISES
from gaussmix._src.families.structures import Full
from gaussmix._src.fit.criteria import CRITERIA, HIGHER_IS_BETTER
from gaussmix._src.restrictions import Restrictions
from gaussmix._src.sources.opening import DEFAULT_MEMORY
from gaussmix._src.sources.tables import FORMATS
from gaussmix._src.sources.tables.base import STANDARD, Dialect
from gaussmix._src.sources.tables.csv_header import encoding_name
from gaussmix._src.validation.parameters import ALL, MISSING
from gaussmix._src.validation.rows import WEIGHT_TYPES

_OF_STRUCTURES = {  # maps the names of command-line options to parameters of covariance structures
    "n_factors": "n_factors",
    "noise_variance": "noise",
    "shared_loadings": "shared_loadings",
    "shared_noise": "shared_noise",
    "max_condition": "max_condition",
}


def as_values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Convert options to parameters of an estimator; raise UsageError if options contradict each other."""
    settings = dict(parameters)
    if settings.pop("equal_weights", False):
        settings["restrictions"] = Restrictions(equal_weights=True)
    if not settings.get("check_maximum", True):
        del settings["check_maximum"]  # if the flag is not set, the estimator's default applies
    passed = {name: settings.pop(name, None) for name in _OF_STRUCTURES}
    passed = {name: value for name, value in passed.items() if value not in (None, False, NOISES[0])}
    if not passed:
        return settings
    structures = settings.get("covariance_type", [Full().name])
    options_of = {} if structures == ALL else {name: family_named(name).get_params() for name in structures}
    _check_that_structures_have(passed, options_of)
    numbers = passed.pop("n_factors", (1,))
    settings["covariance_type"] = []
    for structure, own in options_of.items():
        options = {_OF_STRUCTURES[name]: value for name, value in passed.items() if _OF_STRUCTURES[name] in own}
        several = [options | {"n_factors": each} for each in numbers] if "n_factors" in own else [options]
        try:
            settings["covariance_type"] += [family_named(structure, **each) if each else structure for each in several]
        except (TypeError, ValueError) as error:
            raise click.UsageError(in_options(str(error))) from None
    return settings


def _check_that_structures_have(passed: Iterable[str], options_of: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UsageError if no structure has an option in `passed`, or if a structure has no max_condition.

    `options_of` maps the name of each structure to the parameters of the structure; it is empty if all structures are
    tried.
    """
    for name in passed:
        lacking = [repr(structure) for structure, own in options_of.items() if _OF_STRUCTURES[name] not in own]
        if not options_of or (lacking and (name == "max_condition" or len(lacking) == len(options_of))):
            flag = f"--{name.replace('_', '-')}"
            example = "full" if name == "max_condition" else "factor_analyzer"
            advice = "" if lacking else f": name a structure that has it, as in -s {example}"
            raise click.UsageError(f"{flag} has no effect with --structure {', '.join(lacking) or ALL}{advice}.")


def set_flags(names: Collection[str]) -> list[str]:
    """Return the flags of the parameters in `names` that the user has set on the command line."""
    context = click.get_current_context()
    return [
        param.opts[0]
        for param in context.command.params
        if param.name in names and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    ]


def check_data(data: str | None, advice: str) -> None:
    """Raise UsageError if `data` is None, so that no table is read, but options for reading a table are set."""
    passed = set_flags({"weights", *_OF_TABLES}) if data is None else []
    if passed:
        raise click.UsageError(f"{listed(passed)} can only be used with rows: {advice}.")


Callback = Callable[..., None]  # function of a subcommand
Decorator = Callable[[Callback], Callback]


def option(declaration: str, help: str, check: Callable[[Any], Any] | None = None, **more: Any) -> Decorator:
    """Declare an option; `declaration` lists the flags and, if the parameter has a different name, this name.

    `check` converts a value that the user has passed, or a default other than None; it raises ValueError or TypeError
    if the value is invalid.
    """

    def checked(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            return value if value is None or check is None else check(value)
        except (TypeError, ValueError) as error:
            raise click.BadParameter(in_options(str(error))) from None

    return click.option(*declaration.split(), help=help, callback=checked, **more)


def output(help: str, declaration: str = "-o --output", **more: Any) -> Decorator:
    """Declare the option for the path of an output."""
    return option(declaration, help, check=parsing.output_path, **more)


def flag(declaration: str, help: str, **more: Any) -> Decorator:
    """Declare an option that takes no value."""
    return option(declaration, help, is_flag=True, **more)


def choice(declaration: str, help: str, choices: Iterable[str], **more: Any) -> Decorator:
    """Declare an option that accepts one of several words."""
    return option(declaration, help, type=click.Choice(list(choices)), **more)


def column(declaration: str, help: str, **more: Any) -> Decorator:
    """Declare an option whose value is a column name."""
    return option(declaration, help, check=parsing.column_name, metavar="COLUMN", **more)


def columns(declaration: str, help: str) -> Decorator:
    """Declare an option that names columns or features."""
    return option(declaration, help, multiple=True, check=parsing.column_names, metavar="A,B")


def file(name: str, metavar: str, **more: Any) -> Decorator:
    """Declare an argument for a file to read or write."""
    return click.argument(name, metavar=metavar, type=click.Path(), **more)


quiet = click.option(
    "-q",
    "--quiet",
    help="Print only errors and the requested output.",
    is_flag=True,
    expose_value=False,
    callback=lambda ctx, param, value: ctx.meta.update({QUIET: value}),
)
as_json = flag("--json as_json", "Print the results as JSON.")
_JOBS_HELP = "Number of threads; by default, one per processor. The results do not depend on it."
jobs = option("-j --jobs", _JOBS_HELP, type=int, check=parsing.threads, metavar="N")
weights = column("--weights", "Column of row weights; a row of weight 2 counts as two rows.")
_WEIGHT_HELP = "Whether weights are frequencies, or precisions, which are scaled to a mean of 1."
weight_type = choice("--weight-type", _WEIGHT_HELP, WEIGHT_TYPES, default=WEIGHT_TYPES[0])

criterion = option(
    "--criterion",
    "Criterion that chooses the mixture. The lowest value wins, except for cv (the likelihood of held-out rows) and "
    "stability (the agreement between the labels of repeated fits), for which the highest value wins.",
    type=click.Choice([*CRITERIA, *HIGHER_IS_BETTER], case_sensitive=False),
    default="bic",
)


def memory_option(help: str) -> Decorator:
    """Declare the option --memory."""
    return option("--memory", help, check=parsing.size, default=DEFAULT_MEMORY.replace(" ", ""), metavar="SIZE")


memory = memory_option("Memory limit for the rows; larger tables are read in parts.")
cache = option("--cache", "Cache the values of DATA in this folder, and read DATA only once.", metavar="FOLDER")


_OF_TABLES = {each.name for each in (*fields(Dialect), *fields(Reading))} - {"jobs"} | {"na"}


class OnTables(click.Command):
    """Subcommand that reads tables; its help lists the options for tables in a separate section at the end."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help text of general options, followed by the help text of options for tables."""
        shown = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for title, of_tables in (("Options", False), ("Options for tables", True)):
            records = [each.get_help_record(ctx) for each in shown if (each.name in _OF_TABLES) is of_tables]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])


def reading(callback: Callback) -> Callback:
    """Add the options for reading a table to a subcommand, which receives the values as one `Reading` object."""

    @wraps(callback)
    def wrapped(**options: Any) -> None:
        dialect = {name: options.pop(name) for name in _OF_TEXT}
        limits = {"memory": options["memory"]} if "memory" in options else {}
        options["dialect"] = Dialect(missing=options.pop("na"), **dialect, **limits)
        chosen = Reading(**{each.name: options.pop(each.name) for each in fields(Reading) if each.name in options})
        for name in chosen.columns:
            if name in chosen.exclude:
                raise click.UsageError(f"{name!r} is both in --columns and in --exclude: name it only once.")
        if chosen.drop_missing and not chosen.missing:
            raise click.UsageError("--missing error and --drop-missing contradict each other: use one.")
        decimal, delimiter, thousands = chosen.dialect.decimal, chosen.dialect.delimiter, chosen.dialect.thousands
        if decimal is not None and decimal == delimiter:
            raise click.UsageError(f"{decimal!r} can't be both the delimiter and the decimal mark.")
        if thousands is not None and thousands in (decimal, delimiter):
            raise click.UsageError(f"{thousands!r} can't mark thousands if it is also the decimal mark or delimiter.")
        callback(reading=chosen, **options)

    added: Callback = wrapped
    for each in (quiet, *_READING):
        added = each(added)
    return added


_OF_TEXT = "has_header", "delimiter", "decimal", "thousands", "encoding"  # fields of `Dialect` except `missing`
_HEADER_HELP = "Whether the first line of CSV has names or data.  [default: names, unless it contains numbers only]"
_MISSING_HELP = "Whether the other cells of rows with empty cells are used, or an empty cell is an error."
_NA_HELP = "Text of CSV that marks an empty cell, in addition to NA, N/A, NaN and null; may be repeated."
_ENCODING_HELP = "Encoding of CSV, such as cp1252 or utf-16.  [default: by a byte order mark, or else UTF-8 or cp1252]"
_DELIMITER_HELP = "Delimiter of the fields of CSV: a character, tab or blanks.  [default: by the first lines]"
_missing = choice(
    "--missing", _MISSING_HELP, MISSING, default=MISSING[0],
    is_flag=False, flag_value=MISSING[0],  # value of --missing without an argument
    check=lambda value: value == MISSING[0],
)  # fmt: skip
_READING = (
    option("--header/--no-header has_header", _HEADER_HELP, default=None),
    flag("--drop-missing", "Leave out rows with an empty cell among the features, and print their number."),
    _missing,
    option("--na", _NA_HELP, multiple=True, metavar="TEXT"),
    choice("--decimal", "Decimal mark of the numbers in CSV.  [default: by the first lines]", ".,"),
    choice("--thousands", "Thousands separator of the numbers in CSV, as in 1.234,5.", ",. '"),
    option("--encoding", _ENCODING_HELP, check=encoding_name, metavar="NAME"),
    option("--delimiter", _DELIMITER_HELP, check=parsing.delimiter, metavar="C"),
    columns("--exclude", "Columns that are not features; they are still copied to the output."),
    columns("--columns", "Use only these columns."),
    choice("--format", "Format of DATA.  [default: by its extension or its first bytes]", FORMATS),
)


def structure(more: str, default: str) -> Decorator:
    """Declare the options --structure, whose help text ends with `more`, and --n-factors."""
    help = f"Covariance structures, separated by commas, or all{more}"
    added = option("-s --structure covariance_type", help, check=parsing.structures, default=default, metavar="S")
    factors = "Numbers of factors of factor_analyzer to try: 2, 1:3 or 2,4."
    return lambda callback: added(option("--n-factors", factors, check=parsing.counts, metavar="Q")(callback))


def candidate_options(callback: Callback) -> Callback:
    """Add the options -k and --structure to a subcommand that compares several mixtures of the same table."""
    help = "Numbers of components to try: 3, 1:6 or 2,4,8."
    count = option("-k counts", help, check=parsing.counts, default="1:9", metavar="K")
    return count(structure(f": {', '.join(family_names())}.", ALL)(callback))


def writing(callback: Callback) -> Callback:
    """Add the options for writing a table to a subcommand, which receives the values as one `Writing` object."""

    @wraps(callback)
    def wrapped(output: str, to: str | None, as_json: bool, **options: Any) -> None:
        format = output_format(output, to, as_json=as_json)
        callback(writing=Writing(output, format, as_json, is_plain=output == STANDARD and to is None), **options)

    help = "Write to this file instead of to standard output."
    to_file = output(help, metavar="OUT", default=STANDARD, show_default=False)
    help = "Format of the output.  [default: by the extension of OUT, or else csv]"
    return to_file(choice("--to", help, WRITERS)(as_json(wrapped)))


noise = flag("--noise", "Add a uniform background for rows that belong to no component.")


def seed_option(declaration: str, help: str, max_value: int | None = None) -> Decorator:
    """Declare the option --seed."""
    return option(declaration, help, type=click.IntRange(0, max_value), default=0, metavar="N")


seed = seed_option("--seed random_state", "Seed of the initialisations.", 2**32 - 1)


def row_by_row(callback: Callback) -> Callback:
    """Add the options for reading and writing tables to a subcommand that writes a result for each row."""
    return writing(memory(reading(jobs(callback))))
