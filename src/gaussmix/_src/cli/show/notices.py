"""Notices on standard error: one sentence per line, with options of the command line instead of Python parameters."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click
from sklearn.exceptions import ConvergenceWarning

QUIET = "gaussmix.quiet"  # key in click's context that stores the flag --quiet
_WITHOUT_NOISE = "Fit again without --noise"
_SHELL_MARKS = {".": ".", ",": ",", " ": "' '", "'": '"\'"'}  # maps thousands separators to quoted forms for a shell
_OPTION_ADVICE = {  # maps advice for users of Python to advice for users of the command line
    "missing='allow'": "--missing allow",
    "correct these cells": "correct these cells, give --na TEXT if such a cell means a missing value",
    "exclude the column": "give --exclude",
    **{f"decimal ',' thousands {mark!r}": f"--decimal , --thousands {word}" for mark, word in _SHELL_MARKS.items()},
    "decimal ','": "--decimal ,",
    **{f"thousands {mark!r}": f"--thousands {word}" for mark, word in _SHELL_MARKS.items()},
    "pass its encoding": "give --encoding",
    "memory=": "--memory",
    "cache=": "--cache",
    "range(2, 10)": "-k 2:9",
    "≥ 1, or None": "≥ 1",
    "required by GaussianMixture": "required for a fit",
    "(y is -1 or missing)": "(an empty label)",
    "or n_components=None": "or leave out -k",
    "Leave such columns out and compare": "Leave such columns out by --exclude and compare",
    "fit_many": "--by",
    "which gaussmix.Mixture.load reads": "so leave out --by",
    "which gaussmix.Mixtures.load reads": "which only describe and predict --by read",
    "fit a GaussianMixture with trim or noise": "fit with --trim or --noise",
    "fit a GaussianMixture with trim": "fit with --trim",
    "set the prior of a GaussianMixture": "set --prior default",
    "choose covariance_type='diag', or set the scale of a GaussianMixture's prior": "or choose --structure diag",
    "others, or set the volume: Noise(volume=…)": "others",
    "features=[…]": "--features A,B",
    "features=": "--features ",
    "targets=": "--targets ",
    "more: see outcome_.diagnostics": "more",
    "Use bootstrap(X)": "In Python, use bootstrap(X)",
    "Use kind='hessian', or bootstrap(X)": "In Python, use inference(X, kind='hessian') or bootstrap(X)",
    "Use marginal to bring the features into the same order, or with_feature_names to rename the features": (
        "Fit them to tables with the same columns"
    ),
    "draw it with ComponentDisplay": "use --kind components",
    "Fit with a box as the volume of noise, or use mixture.without_noise": _WITHOUT_NOISE,
    "Fit with a box as the volume of noise": _WITHOUT_NOISE,
    "Use mixture.without_noise": _WITHOUT_NOISE,
}
_FILL = "Remove or fill such rows first."
_FILL_OR_OPEN = re.compile(_FILL[:-1] + r"(, or open the table [^.]+)?\.")  # advice for users of Python
_SAME_WORDS = "tol trim weight_type criterion max_condition max_iter max_time n_factors n_init reg_covar check_maximum"
_WORDS = {
    **_OPTION_ADVICE,
    "X": "DATA",
    "n_components": "-k",
    "covariance_type": "--structure",
    "init_params": "--start",
    "random_state": "--seed",
    "sample_weight": "--weights",
    "n_samples": "the number of rows",
    **{name: f"--{name.replace('_', '-')}" for name in _SAME_WORDS.split()},
}


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Compile a regular expression that finds the words, except in quotes and in file names."""
    return re.compile(r"(?<![\w'\"./\\-])(" + "|".join(map(re.escape, words)) + r")(?:(=)|(?![\w/\\-]|\.\w))")


_WORD, _PHRASE = _pattern(_WORDS), _pattern(_OPTION_ADVICE)


def in_options(sentence: str, command: click.Command | None = None, *, is_of_table: bool = False) -> str:
    """Convert a message for users of Python to one line that names options of the command line instead of parameters.

    Text in quotes stays unchanged. A message about a table begins with a file name, which might look like a parameter,
    so only the advice in the message is rewritten. `command` is the running command, whose options the advice may name.
    """
    pattern = _PHRASE if is_of_table else _WORD
    text = pattern.sub(lambda match: _WORDS[match[1]] + (" " if match[2] else ""), " ".join(sentence.split()))
    return text if re.search(r"\binfinit[ey]\b", text) else _FILL_OR_OPEN.sub(_missing_value_advice(command), text)


def _missing_value_advice(command: click.Command | None) -> str:
    """Return advice on missing values that fits the options of a command."""
    flags = {flag for option in (command.params if command else []) for flag in option.opts}
    return "Add --drop-missing, or fill such cells first." if "--drop-missing" in flags else _FILL


def is_quiet() -> bool:
    """Return whether the flag --quiet is set, so that only errors and the requested output are printed."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def print_notices(sentences: Iterable[str | Warning]) -> None:
    """Print sentences on standard error, one line each, unless --quiet is set or the command has printed them."""
    context = click.get_current_context()
    printed: set[str] = context.meta.setdefault(__name__, set())
    for sentence in () if is_quiet() else map(str, sentences):
        if sentence not in printed:
            printed.add(sentence)
            click.echo(f"gaussmix: {in_options(sentence, context.command)}", err=True)


@contextmanager
def collected_warnings() -> Iterator[list[Warning]]:
    """Collect the distinct warnings of a `with` block, but ignore ConvergenceWarning: callers report convergence."""
    collected: list[Warning] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield collected
    others = [caution.message for caution in caught if caution.category is not ConvergenceWarning]
    collected.extend({str(warning): warning for warning in others if isinstance(warning, Warning)}.values())
