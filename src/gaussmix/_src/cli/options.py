"""Functions that check values of options, and definitions of options that several subcommands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import partial, wraps
from typing import Any

import click
from click.core import ParameterSource

from gaussmix._src.cli.model_file import ModelFile
from gaussmix._src.cli.outputs import WRITERS, Writing, output_format
from gaussmix._src.cli.show.notices import QUIET, in_options, print_notices
from gaussmix._src.errors import counted, listed, not_one_of
from gaussmix._src.families.base import family_named, family_names, is_family
from gaussmix._src.families.factor_analyzer import NOISES
from gaussmix._src.families.structures import Full
from gaussmix._src.fit.criteria import CRITERIA, HIGHER_IS_BETTER
from gaussmix._src.restrictions import Restrictions
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.opening import DEFAULT_MEMORY, check_memory, open
from gaussmix._src.sources.tables import FORMATS, Files, open_table
from gaussmix._src.sources.tables.base import INDEX_OF_FRAME, STANDARD, Dialect, is_numeric
from gaussmix._src.sources.tables.csv_header import encoding_name
from gaussmix._src.validation.parameters import ALL, CHECKS, MISSING
from gaussmix._src.validation.rows import WEIGHT_TYPES

_MAX_CANDIDATES = 1000
_MIN_MEMORY = 1000  # minimum of --memory in bytes; if a number is smaller, the user most likely forgot the unit
_OF_STRUCTURES = {  # maps the names of command-line options to parameters of covariance structures
    "n_factors": "n_factors",
    "noise_variance": "noise",
    "shared_loadings": "shared_loadings",
    "shared_noise": "shared_noise",
    "max_condition": "max_condition",
}


def counts(value: str) -> tuple[int, ...]:
    """Parse numbers of components or factors, such as 3, 1:6 (which includes 6) or 2,4,8, and sort them."""
    chosen: set[int] = set()
    for part in value.split(","):
        first, colon, last = part.partition(":")
        try:
            low = int(first)
            high = int(last) if colon else low
        except ValueError:
            raise ValueError(f"{value!r} is not a number or range, such as 3, 1:6 or 2,4,8.") from None
        if not 1 <= low <= high:
            raise ValueError(f"{part!r} must be a number of at least 1, or an ascending range such as 1:6.")
        if high - low + len(chosen) >= _MAX_CANDIDATES:
            raise ValueError(f"{value!r} would need more than {_MAX_CANDIDATES} fits; use fewer numbers.")
        chosen.update(range(low, high + 1))
    return tuple(sorted(chosen))


def structures(value: str) -> str | list[str]:
    """Parse names of covariance structures separated by commas, or "all"."""
    names = [name.strip() for name in value.split(",")]
    if names == [ALL]:
        return ALL
    for name in names:
        if name == ALL:
            raise ValueError(f"{ALL!r} already includes every structure: use it alone.")
        if not is_family(name):
            raise ValueError(not_one_of(name, (*family_names(), ALL)))
    return names


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
    names = settings.get("covariance_type", [Full().name])
    takers = {} if names == ALL else {name: family_named(name).get_params() for name in names}
    for name in passed:
        lacking = [repr(taker) for taker, own in takers.items() if _OF_STRUCTURES[name] not in own]
        if names == ALL or (lacking and (name == "max_condition" or len(lacking) == len(takers))):
            flag = f"--{name.replace('_', '-')}"
            example = "full" if name == "max_condition" else "factor_analyzer"
            advice = "" if lacking else f": name a structure that has it, as in -s {example}"
            raise click.UsageError(f"{flag} has no effect with --structure {', '.join(lacking) or ALL}{advice}.")
    numbers = passed.pop("n_factors", (1,))
    settings["covariance_type"] = []
    for structure, own in takers.items():
        options = {_OF_STRUCTURES[name]: value for name, value in passed.items() if _OF_STRUCTURES[name] in own}
        several = [options | {"n_factors": each} for each in numbers] if "n_factors" in own else [options]
        try:
            settings["covariance_type"] += [family_named(structure, **each) for each in several]
        except (TypeError, ValueError) as error:
            raise click.UsageError(in_options(str(error))) from None
    return settings


def by_rule(value: str, name: str) -> Any:
    """Parse a number, a text, or a comma-separated list, and apply the checks of the estimator's parameter `name`."""
    parts = [parse_number(part.strip()) for part in value.split(",")]
    checked = parts if len(parts) > 1 else parts[0]
    if name in CHECKS:
        CHECKS[name](checked)
    return checked


def parse_number(text: str) -> int | float | str:
    """Convert a text to a number if possible; otherwise return the text unchanged."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def numbers(value: str, end: float, what: str) -> tuple[str, ...]:
    """Check comma-separated numbers between 0 and `end`, and return each as a text."""
    texts = [part.strip() for part in value.split(",")]
    for part in texts:
        number = parse_number(part)
        if isinstance(number, str) or not 0 < number < end:
            raise ValueError(f"{part!r} is not {what}.")
    return tuple(texts)


def threads(value: int) -> int:
    """Check the number of threads; as in scikit-learn, -1 means all processors."""
    if value == 0:
        raise ValueError("the number of threads can't be 0; use 1, or -1 for all processors.")
    return value


def size(value: str) -> int:
    """Parse a size such as 512MB into bytes."""
    n_bytes = check_memory(value)
    if n_bytes < _MIN_MEMORY:
        raise ValueError(f"{value!r} is {counted(n_bytes, 'byte')}; write, for example, 512MB or 3GB.")
    return n_bytes


def column_names(value: tuple[str, ...]) -> tuple[str, ...]:
    """Parse column names, separated by commas or passed by repeated options, and remove duplicates."""
    names = [name.strip() for part in value for name in part.split(",")]
    if "" in names:
        raise ValueError("a column name must not be empty.")
    return tuple(dict.fromkeys(names))


def column_name(value: str) -> str:
    """Check that a column name is not empty."""
    if not value.strip():
        raise ValueError("a column name must not be empty.")
    return value.strip()


def delimiter(value: str) -> str:
    """Parse a delimiter, which is a character, or a name such as "tab"; the result " " means one or more blanks."""
    mark = _MARK_NAMES.get(value.lower(), value)
    if len(mark) != 1 or mark in '"\r\n':
        raise ValueError(f"{value!r} is not a delimiter: use a single character, 'tab' or 'blanks'.")
    return mark


def open_probability(value: str) -> float:
    """Parse a number above 0 and below 1."""
    number = parse_number(value)
    if isinstance(number, str) or not 0 < number < 1:
        raise ValueError(f"{value!r} is not a number between 0 and 1; write, for example, 0.01.")
    return number


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


Verb = Callable[..., None]
Decorator = Callable[[Verb], Verb]
_MARK_NAMES = {"tab": "\t", "\\t": "\t", "blanks": " ", "space": " ", "whitespace": " ", "comma": ",", "semicolon": ";"}


@dataclass(frozen=True)
class Reading:
    """Values of the options that determine how a subcommand reads its table.

    Parameters
    ----------
    columns : names of the features; empty for all numeric columns.
    exclude : names of columns that are not features.
    drop_missing : whether rows with a missing value in a feature are left out.
    missing : whether rows with missing values are used; if False, a missing value is an error.
    format, dialect : format of the table and its CSV dialect, as passed to `open_table`.
    memory : maximum number of bytes of rows in memory at the same time.
    cache : folder in which values that were read from files are cached; None to cache nothing.
    jobs : number of threads; None for all processors.
    """

    columns: tuple[str, ...]
    exclude: tuple[str, ...]
    drop_missing: bool
    format: str | None
    dialect: Dialect
    missing: bool = True
    memory: int = sys.maxsize
    cache: str | None = None
    jobs: int | None = None

    @property
    def is_plain(self) -> bool:
        """Return whether rows can be read directly from the path, because no option needs an open table."""
        return not (self.exclude or self.drop_missing or self.format) and self.dialect == Dialect()

    def open(self, data: str) -> Files:
        """Open the table `data` with all columns and rows; raise BadTable or OSError."""
        return open_table(data, self.format, self.dialect)

    def counting(self, table: Files, without: Collection[str] = ()) -> list[str]:
        """Return the columns that contain only row numbers, and print a notice about each of these columns.

        A column of row numbers is used as a feature only if the user names the column.
        """
        if self.columns:
            return []
        names = table.counting_names([name for name in table.names if name not in (*self.exclude, *without)])
        print_notices(
            f"left out column {name!r}: it counts the rows. If it is a feature, name all features by --columns."
            for name in names
        )
        return names

    def features(self, table: Files, without: Collection[str] = ()) -> tuple[str, ...]:
        """Return the columns named by the user, or all numeric columns; print notices about omitted columns."""
        if self.columns:
            return self.columns
        rest = table.without([*self.exclude, *self.counting(table, without)])
        names = rest.numeric_names(without)
        taken = {*names, *without}
        others = {name: rest.schema.field(name).type for name in rest.names if name not in taken}
        print_notices(
            f"left out column {name!r}: {INDEX_OF_FRAME if is_numeric(kind) else rest.why_not_numeric(name, kind)}."
            for name, kind in others.items()
        )
        return names

    def of_features(self, table: Files, features: tuple[str, ...], *others: str | None) -> Files:
        """Return the table; with --drop-missing, rows that have missing values in the given columns are left out."""
        columns = [name for name in (*features, *others) if name is not None]
        return table.complete_in(columns) if self.drop_missing else table

    def matched(
        self, model: ModelFile, data: str, weights: str | None = None, targets: tuple[str, ...] = ()
    ) -> tuple[Files, tuple[str, ...]]:
        """Open a table, print the table's notices, and return the table with the columns that a model needs."""
        table = self.open(data)
        rest = table.without(self.exclude)
        if weights is not None:
            rest.check_has(weights)
        features = model.match_columns(rest, self.columns, weights, targets)
        table = self.of_features(table, features, weights)
        print_notices(table.notices)
        return table, features

    def rows(self, table: str | Files, columns: tuple[str, ...], weights: str | None) -> Source:
        """Return a source of rows, with the given columns as features and the column `weights` as row weights."""
        how = partial(open, memory=self.memory, missing=self.missing, cache=self.cache)
        return how(table, columns=columns or None, weights=weights)


def option(declaration: str, help: str, check: Callable[[Any], Any] | None = None, **more: Any) -> Decorator:
    """Declare an option; `declaration` lists the flags and, if the parameter has another name, this name.

    `check` converts a value that the user has passed, or a default other than None; it raises ValueError or TypeError
    if the value is invalid.
    """

    def checked(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            return value if value is None or check is None else check(value)
        except (TypeError, ValueError) as error:
            raise click.BadParameter(in_options(str(error))) from None

    more.setdefault("callback", checked)
    return click.option(*declaration.split(), help=help, **more)


def flag(declaration: str, help: str, **more: Any) -> Decorator:
    """Declare an option that takes no value."""
    return option(declaration, help, is_flag=True, **more)


def choice(declaration: str, help: str, choices: Iterable[str], **more: Any) -> Decorator:
    """Declare an option that accepts one of several words."""
    return option(declaration, help, type=click.Choice(list(choices)), **more)


def column(declaration: str, help: str, **more: Any) -> Decorator:
    """Declare an option whose value is a column name."""
    return option(declaration, help, check=column_name, metavar="COLUMN", **more)


def columns(declaration: str, help: str) -> Decorator:
    """Declare an option that names columns or features."""
    return option(declaration, help, multiple=True, check=column_names, metavar="A,B")


def file(name: str, metavar: str, **more: Any) -> Decorator:
    """Declare an argument for a file to read or write."""
    return click.argument(name, metavar=metavar, type=click.Path(), **more)


quiet = flag(
    "-q --quiet",
    "Print only errors and the requested output.",
    expose_value=False,
    callback=lambda ctx, param, value: ctx.meta.update({QUIET: value}),
)
as_json = flag("--json as_json", "Print JSON for programs.")
_JOBS_HELP = "Threads; every processor by default. Changes no result."
jobs = option("-j --jobs", _JOBS_HELP, type=int, check=threads, metavar="N")
weights = column("--weights", "Weights of the rows: 2 counts as two such rows.")
_WEIGHT_HELP = "Weights are frequencies, or precisions, which are scaled to a mean of 1."
weight_type = choice("--weight-type", _WEIGHT_HELP, WEIGHT_TYPES, default=WEIGHT_TYPES[0])

criterion = option(
    "--criterion",
    "How to choose. The lowest value wins; for cv, the likelihood of held-out rows, and stability, the agreement of "
    "labels of repeated fits, the highest.",
    type=click.Choice([*CRITERIA, *HIGHER_IS_BETTER], case_sensitive=False),
    default="bic",
)


def memory_option(help: str) -> Decorator:
    """Declare the option --memory."""
    return option("--memory", help, check=size, default=DEFAULT_MEMORY.replace(" ", ""), metavar="SIZE")


memory = memory_option("Larger tables are read in parts.")
cache = option("--cache", "Cache the values of DATA in this folder, and read DATA only once.", metavar="FOLDER")


_OF_TABLES = {each.name for each in (*fields(Dialect), *fields(Reading))} - {"jobs"} | {"na"}


class OnTables(click.Command):
    """Subcommand that reads tables; its help lists the options for tables in a separate section at the end."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help text of general options, followed by the help text of options for tables."""
        shown = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for title, of_tables in (("Options", False), ("Options of tables", True)):
            records = [each.get_help_record(ctx) for each in shown if (each.name in _OF_TABLES) is of_tables]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])


def reading(verb: Verb) -> Verb:
    """Add the options for reading a table to a subcommand, which receives the values as one `Reading` object."""

    @wraps(verb)
    def wrapped(**options: Any) -> None:
        dialect = {name: options.pop(name) for name in _OF_TEXT}
        limits = {"memory": options["memory"]} if "memory" in options else {}
        options["dialect"] = Dialect(missing=options.pop("na"), **dialect, **limits)
        values = Reading(**{each.name: options.pop(each.name) for each in fields(Reading) if each.name in options})
        for name in values.columns:
            if name in values.exclude:
                raise click.UsageError(f"{name!r} is both in --columns and in --exclude: name it only once.")
        if values.drop_missing and not values.missing:
            raise click.UsageError("--missing error and --drop-missing contradict each other: use one.")
        decimal, delimiter, thousands = values.dialect.decimal, values.dialect.delimiter, values.dialect.thousands
        if decimal is not None and decimal == delimiter:
            raise click.UsageError(f"{decimal!r} can't be both the delimiter and the decimal mark.")
        if thousands is not None and thousands in (decimal, delimiter):
            raise click.UsageError(f"{thousands!r} can't mark thousands if it is also the decimal mark or delimiter.")
        verb(reading=values, **options)

    added: Verb = wrapped
    for each in (quiet, *_READING):
        added = each(added)
    return added


_OF_TEXT = "has_header", "delimiter", "decimal", "thousands", "encoding"  # fields of `Dialect` except `missing`
_HEADER_HELP = "The first line of CSV contains names, or data.  [default: names, unless it contains numbers only]"
_MISSING_HELP = "Whether rows with empty cells are used, by their other cells, or are an error."
_NA_HELP = "Text of CSV that means an empty cell, as NA, N/A, NaN and null do; can be given several times."
_ENCODING_HELP = "Encoding of CSV, such as cp1252 or utf-16.  [default: by its mark, or else UTF-8 or cp1252]"
_DELIMITER_HELP = "Between the fields of CSV: a character, tab or blanks.  [default: by the first line]"
_missing = choice(
    "--missing", _MISSING_HELP, MISSING, default=MISSING[0],
    is_flag=False, flag_value=MISSING[0],  # value of --missing without an argument
    check=lambda value: value == MISSING[0],
)  # fmt: skip
_READING = (
    option("--header/--no-header has_header", _HEADER_HELP, default=None),
    flag("--drop-missing", "Leave out rows with an empty cell among the features, and count them."),
    _missing,
    option("--na", _NA_HELP, multiple=True, metavar="TEXT"),
    choice("--decimal", "Decimal mark of the numbers in CSV.  [default: by the first lines]", ".,"),
    choice("--thousands", "Mark between groups of three digits in CSV, as in 1.234,5.", ",. '"),
    option("--encoding", _ENCODING_HELP, check=encoding_name, metavar="NAME"),
    option("--delimiter", _DELIMITER_HELP, check=delimiter, metavar="C"),
    columns("--exclude", "Columns that are not features; they are still copied to the output."),
    columns("--columns", "Use these columns only."),
    choice("--format", "Format of DATA.  [default: by its extension or its first bytes]", FORMATS),
)


def structure(more: str, default: str) -> Decorator:
    """Declare the option --structure, whose help text ends with `more`."""
    help = f"Structures of the covariances, several by commas, or all{more}"
    return option("-s --structure covariance_type", help, check=structures, default=default, metavar="S")


def choosing(verb: Verb) -> Verb:
    """Add the options -k and --structure to a subcommand that compares several mixtures of the same table."""
    help = "Numbers of components: 3, 1:6 or 2,4,8."
    count = option("-k counts", help, check=counts, default="1:9", metavar="K")
    return count(structure(f": {', '.join(family_names())}.", ALL)(verb))


def writing(verb: Verb) -> Verb:
    """Add the options for writing a table to a subcommand, which receives the values as one `Writing` object."""

    @wraps(verb)
    def wrapped(output: str, to: str | None, as_json: bool, **options: Any) -> None:
        format = output_format(output, to, as_json=as_json)
        verb(writing=Writing(output, format, as_json, is_plain=output == STANDARD and to is None), **options)

    help = "Write there instead of to standard output."
    to_file = option("-o --output", help, metavar="OUT", default=STANDARD, show_default=False)
    help = "Format of what is written.  [default: by the extension of OUT, or else csv]"
    return to_file(choice("--to", help, WRITERS)(as_json(wrapped)))


noise = flag("--noise", "Add a uniform background for rows that belong to no component.")


def seed_option(declaration: str, help: str, max_value: int | None = None) -> Decorator:
    """Declare the option --seed."""
    return option(declaration, help, type=click.IntRange(0, max_value), default=0, metavar="N")


seed = seed_option("--seed random_state", "Seed of the starts.", 2**32 - 1)


def row_by_row(verb: Verb) -> Verb:
    """Add the options for reading and writing tables to a subcommand that writes a result for each row."""
    return writing(memory(reading(jobs(verb))))
