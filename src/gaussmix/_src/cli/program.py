"""The command as a whole: its verbs, and what becomes of errors (a sentence and an exit code)."""

from __future__ import annotations

import errno
import os
import re
import sys
from importlib import import_module
from importlib.util import find_spec
from io import RawIOBase, TextIOWrapper
from threading import Lock
from types import ModuleType
from typing import Any

import click

from gaussmix._src.version import package_version

VERBS = {  # what the help of the program says of each
    "fit": "Fit mixtures to a table and choose the best.",
    "predict": "Add component, probability and log density to each row, or predict columns.",
    "score": "Print mean log-likelihood, BIC and AIC of a table.",
    "sample": "Draw rows from a model.",
    "describe": "Print what a model file holds.",
    "plot": "Draw a model, alone or over rows.",
    "classify": "Learn classes from labelled rows, and give other rows theirs.",
    "impute": "Fill the empty cells of a table.",
    "merge": "Merge models into one.",
    "convert": "Convert a model from and to other software: scikit-learn, mclust, ONNX, C, SQL.",
    "completion": "Print the script that completes commands in a shell.",
    "report": "Write a page about a table: words, tables and pictures.",
}
EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
# scikit-learn imports them, which takes more than half of its own time, and most verbs never use them.
SLOW_PACKAGES = "scipy.stats", "pandas"
_LOCK = Lock()


class Program(click.Group):
    """A group of verbs whose errors are printed as one sentence on standard error.

    `commands` has the name and a line of help of each verb; its module has the rest. `running` is the verb that runs.
    """

    running: click.Command | None = None

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a verb. Raises SystemExit unless all went well."""
        _replace_closed()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # a terminal without "±" must not end a fit
                stream.reconfigure(errors="replace")
        options = {"prog_name": self.name, **options, "standalone_mode": False}
        try:
            code = super().main(*args, **options)
            sys.stdout.flush()
        except (KeyboardInterrupt, click.Abort):
            sys.exit(EXIT_INTERRUPTED)
        except BaseException as error:
            code = _report(error, self.running)
            _discard_unwritten_output()
            sys.exit(code)
        if code:
            sys.exit(code)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Import the verb that is to run: so help, version and a wrong name wait for no library."""
        if args[0] not in self.commands and os.path.isfile(args[0]):
            raise click.UsageError(
                f"{args[0]} is a file: say first what to do with it, as in 'gaussmix fit FILE'.", ctx
            )
        name, verb, rest = super().resolve_command(ctx, args)
        if name is not None:
            import_lazily()
            verb = getattr(import_module(f"gaussmix._src.cli.verbs.{name}"), name)
        self.running = verb
        return name, verb, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb. An error in its options gets the verb's context, which click leaves out of some."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            verb = self.commands.get(ctx.invoked_subcommand or "")
            if error.ctx is None and verb is not None:
                error.ctx = click.Context(verb, ctx, verb.name)
            raise


# What other programs call the number of components, and the structure.
_SYNONYMS = dict.fromkeys(
    ("--clusters", "--n-clusters", "--components", "--n-components", "--n_components", "--K", "-K"), "-k"
)
_SYNONYMS |= dict.fromkeys(("--covariance", "--covariance-type", "--covariance_type", "--model-names"), "--structure")
_SYNONYMS |= dict.fromkeys(("--random-state", "--random_state", "--rng"), "--seed")


class _Closed(RawIOBase):
    """A standard stream that was closed before the program began: using it is an error of the system."""

    def __init__(self, name: str) -> None:
        self._error = OSError(errno.EBADF, f"{name} is closed")

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise self._error

    def write(self, contents: Any) -> int:
        raise self._error


def _replace_closed() -> None:
    """Replace standard streams that are closed, which are None in Python; what errors say is then lost."""
    if sys.stdin is None:
        sys.stdin = TextIOWrapper(_Closed("standard input"))
    if sys.stdout is None:
        sys.stdout = TextIOWrapper(_Closed("standard output"), encoding="utf-8", write_through=True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 — until the process ends


def _report(error: BaseException, verb: click.Command | None) -> int:
    """Print what went wrong in a verb, and return the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return EXIT_USAGE
    if isinstance(error, click.UsageError):
        name = error.ctx.command_path if error.ctx else "gaussmix"
        intended = _SYNONYMS.get(error.option_name) if isinstance(error, click.NoSuchOption) else None
        options = [name for each in error.ctx.command.params for name in each.opts] if error.ctx else []
        if isinstance(error, click.NoSuchOption) and intended in options:
            error = click.UsageError(f"No such option {error.option_name!r}. Did you mean {intended!r}?", error.ctx)
        extra = re.match(r"Got unexpected extra arguments? \((\S+)", error.message)
        if extra and os.path.isfile(first := extra[1].rstrip(")")):  # the shell may have named thousands
            several = repr(os.path.join(os.path.dirname(first), f"*{os.path.splitext(first)[1]}"))
            error = click.UsageError(f"{first} is one file too many: name several by a pattern in quotes, {several}.")
        click.echo(f"gaussmix: {' '.join(error.format_message().split())} See '{name} --help'.", err=True)
        return EXIT_USAGE
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return EXIT_ERROR  # the reader of the pipe has gone
    if isinstance(error, OSError) and error.strerror:
        sentence = f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    elif isinstance(error, MemoryError):
        sentence = str(error) or "there is not enough memory."
    elif isinstance(error, ValueError | click.ClickException) or type(error) is ImportError:
        sentence = str(error)
    else:
        raise error
    from gaussmix._src.cli.show.notices import in_options  # which imports what a fit needs; help does not wait for it
    from gaussmix._src.sources.tables.base import BadTable

    is_of_table = isinstance(error, OSError | BadTable)
    click.echo(f"gaussmix: {in_options(sentence, verb, is_of_table=is_of_table)}", err=True)
    return EXIT_ERROR


def _discard_unwritten_output() -> None:
    """Discard what can't be written to standard output; Python would report it again when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class LazyModule(ModuleType):
    """A package that takes its contents, when the first of them is asked for, from the package of the same name.

    Modules inside it, such as `scipy.stats.qmc`, are imported without it. Where the package is broken, the ImportError
    comes when its contents are asked for.
    """

    def __getattr__(self, name: str) -> Any:
        with _LOCK:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def import_lazily(names: tuple[str, ...] = SLOW_PACKAGES) -> None:
    """Let `import` of these packages take no time, as far as they are installed and not imported yet."""
    for name in names:
        spec = None if name in sys.modules else find_spec(name)
        if spec is not None:
            package = sys.modules[name] = LazyModule(name)
            package.__spec__, package.__path__ = spec, spec.submodule_search_locations or []


@click.group("gaussmix", cls=Program, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_version(), "--version", message="gaussmix %(version)s")
def program() -> None:
    """Fit Gaussian mixtures to tables, and use them.

    \b
      gaussmix fit faithful.csv -k 1:6 -o faithful.gmm
      gaussmix predict faithful.gmm new.csv
      gaussmix score faithful.gmm new.csv
      gaussmix sample faithful.gmm -n 1000 -o drawn.parquet
      gaussmix describe faithful.gmm
      gaussmix plot faithful.gmm faithful.csv -o pairs.png
      gaussmix report faithful.csv -o report.html
    """


for name, line in VERBS.items():
    program.add_command(click.Command(name, short_help=line))
