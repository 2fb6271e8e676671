"""The command `gaussmix` with its subcommands, and code that turns errors into a sentence and an exit code."""

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

SUBCOMMANDS = {  # maps each subcommand to its description in the program's help
    "fit": "Fit mixtures to a table and choose the best.",
    "predict": "Add component, probability and log density to each row, or predict columns.",
    "score": "Print mean log-likelihood, BIC and AIC of a table.",
    "sample": "Draw rows from a model.",
    "describe": "Print what a model file contains.",
    "plot": "Draw a model, with or without rows.",
    "classify": "Learn classes from labelled rows, and classify other rows.",
    "impute": "Fill the empty cells of a table.",
    "merge": "Merge models into one.",
    "convert": "Convert a model from and to other software: scikit-learn, mclust, ONNX, C, SQL.",
    "completion": "Print the script that completes commands in a shell.",
    "report": "Write an HTML page about a table, with text, tables and pictures.",
}
EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
# These packages take more than half of the import time of scikit-learn, and most subcommands never use them.
SLOW_PACKAGES = "scipy.stats", "pandas"
_LOCK = Lock()


class Program(click.Group):
    """Command with subcommands; an error is printed as one sentence on standard error.

    The attribute `commands` has only the name and one line of help for each subcommand. A subcommand is defined in its
    own module, which is imported when the subcommand runs. The attribute `running` is the subcommand that runs.
    """

    running: click.Command | None = None

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a subcommand; raise SystemExit if the subcommand fails."""
        _replace_closed()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # prevents an error on a terminal that can't show "±"
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
        """Import only the module of the subcommand that runs, so that help and errors about wrong names appear fast."""
        if args[0] not in self.commands and os.path.isfile(args[0]):
            raise click.UsageError(f"{args[0]} is a file: name a command first, as in 'gaussmix fit FILE'.", ctx)
        if args[0] in _SUBCOMMANDS:
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {_SUBCOMMANDS[args[0]]!r}?", ctx)
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            import_lazily()
            command = getattr(import_module(f"gaussmix._src.cli.subcommands.{name}"), name)
        self.running = command
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; if click raises a usage error without a context, add the subcommand's context."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            command = self.commands.get(ctx.invoked_subcommand or "")
            if error.ctx is None and command is not None:
                error.ctx = click.Context(command, ctx, command.name)
            raise


# This dictionary maps words that users may try to the subcommands that they mean.
_SUBCOMMANDS = dict.fromkeys(("cluster", "estimate", "train"), "fit")
_SUBCOMMANDS |= dict.fromkeys(("assign", "label", "transform"), "predict")
_SUBCOMMANDS |= dict.fromkeys(("info", "inspect", "print", "show", "summary"), "describe")
_SUBCOMMANDS |= dict.fromkeys(("draw", "generate", "simulate"), "sample")
_SUBCOMMANDS |= {"evaluate": "score", "export": "convert", "fill": "impute"}
# This dictionary maps options of other programs to options of this program with the same meaning.
_SYNONYMS = dict.fromkeys(
    ("--clusters", "--n-clusters", "--components", "--n-components", "--n_components", "--k", "--K", "-K"), "-k"
)
_SYNONYMS |= dict.fromkeys(("--covariance", "--covariance-type", "--covariance_type", "--model-names"), "--structure")
_SYNONYMS |= dict.fromkeys(("--group", "--group-by", "--groupby", "--groups"), "--by")
_SYNONYMS |= dict.fromkeys(("--out", "--outfile"), "--output")
_SYNONYMS |= dict.fromkeys(("--random-state", "--random_state", "--rng"), "--seed")


class _Closed(RawIOBase):
    """Replacement for a standard stream that was closed before the program began; using it raises OSError."""

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
    """Replace closed standard streams, which Python has set to None; if standard error is closed, discard messages."""
    if sys.stdin is None:
        sys.stdin = TextIOWrapper(_Closed("standard input"))
    if sys.stdout is None:
        sys.stdout = TextIOWrapper(_Closed("standard output"), encoding="utf-8", write_through=True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 — stays open until the process ends


def _usage_sentence(error: click.UsageError) -> str:
    """Return the message of an error in the command's arguments, and suggest the arguments that the user may mean."""
    options = [name for each in error.ctx.command.params for name in each.opts] if error.ctx else []
    if isinstance(error, click.NoSuchOption) and (intended := _SYNONYMS.get(error.option_name)) in options:
        return f"No such option {error.option_name!r}. Did you mean {intended!r}?"
    extra = re.match(r"Got unexpected extra arguments? \((\S+)", error.message)
    # The shell may have expanded a pattern to thousands of files, so the message names only the first file.
    if extra and os.path.isfile(first := extra[1].rstrip(")")):
        several = repr(os.path.join(os.path.dirname(first), f"*{os.path.splitext(first)[1]}"))
        return f"{first} is one file too many: name several by a pattern in quotes, {several}."
    sentence = re.sub(r"(?<!\?)\)$", ").", " ".join(error.format_message().split()))
    return re.sub("a valid integer( range)?", "an integer", sentence)  # a range is a bounded integer


def _report(error: BaseException, command: click.Command | None) -> int:
    """Print the error that a subcommand raised, and return the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return EXIT_USAGE
    if isinstance(error, click.UsageError):
        name = error.ctx.command_path if error.ctx else "gaussmix"
        click.echo(f"gaussmix: {_usage_sentence(error)} See '{name} --help'.", err=True)
        return EXIT_USAGE
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return EXIT_ERROR  # no message is printed, because the program that read from the pipe has ended
    if isinstance(error, OSError) and error.strerror:
        sentence = f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    elif isinstance(error, MemoryError):
        sentence = str(error) or "there is not enough memory."
    elif isinstance(error, ValueError | click.ClickException) or type(error) is ImportError:
        sentence = str(error)
    else:
        raise error
    # These modules are imported late, because they import numerical libraries, which would make --help slow.
    from gaussmix._src.cli.show.notices import in_options
    from gaussmix._src.sources.tables.base import BadTable

    is_of_table = isinstance(error, OSError | BadTable)
    click.echo(f"gaussmix: {in_options(sentence, command, is_of_table=is_of_table)}", err=True)
    return EXIT_ERROR


def _discard_unwritten_output() -> None:
    """Discard output that can't be written, because Python would otherwise report the same error again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class LazyModule(ModuleType):
    """Placeholder for a package, which imports the package when an attribute is first used.

    Modules inside the package, such as `scipy.stats.qmc`, can be imported without importing the package itself. If the
    package can't be imported, ImportError is raised when an attribute is first used.
    """

    def __getattr__(self, name: str) -> Any:
        with _LOCK:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def import_lazily(names: tuple[str, ...] = SLOW_PACKAGES) -> None:
    """To make imports fast, put placeholders for installed packages that are not imported yet into `sys.modules`."""
    for name in names:
        spec = None if name in sys.modules else find_spec(name)
        if spec is not None:
            package = sys.modules[name] = LazyModule(name)
            package.__spec__, package.__path__ = spec, spec.submodule_search_locations or []


@click.group("gaussmix", cls=Program, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_version(), "--version", message="gaussmix %(version)s")
def program() -> None:
    """Fit Gaussian mixtures to tables, and use fitted mixtures.

    \b
      gaussmix fit faithful.csv -k 1:6 -o faithful.gmm
      gaussmix predict faithful.gmm new.csv
      gaussmix score faithful.gmm new.csv
      gaussmix sample faithful.gmm -n 1000 -o drawn.parquet
      gaussmix describe faithful.gmm
      gaussmix plot faithful.gmm faithful.csv -o pairs.png
      gaussmix report faithful.csv -o report.html
    """


for name, line in SUBCOMMANDS.items():
    program.add_command(click.Command(name, short_help=line))
