"""Replacement of scikit-learn's two mixture classes by gaussmix's classes, for programs that should not be changed.

`python -m gaussmix.patched script.py` runs the program script.py with gaussmix's classes. scikit-learn's own classes
remain in scikit-learn's private modules, from which pickles of scikit-learn import them.
"""

from __future__ import annotations

import os
import runpy
import sys
from io import open_code
from types import ModuleType, TracebackType

import sklearn.mixture
from sklearn.mixture._bayesian_mixture import BayesianGaussianMixture as SklearnBayesian
from sklearn.mixture._gaussian_mixture import GaussianMixture as SklearnMixture

from gaussmix._src.estimators.bayesian_gaussian_mixture import BayesianGaussianMixture
from gaussmix._src.estimators.gaussian_mixture import GaussianMixture

_OURS: dict[str, type] = {"GaussianMixture": GaussianMixture, "BayesianGaussianMixture": BayesianGaussianMixture}
_THEIRS: dict[str, type] = {"GaussianMixture": SklearnMixture, "BayesianGaussianMixture": SklearnBayesian}
_USAGE = (
    "usage: python -m gaussmix.patched script.py [argument ...], or python -m gaussmix.patched -m module [argument ...]"
)


class Patch:
    """A context manager that restores, at its end, the classes that a call of `patch_sklearn` has replaced."""

    def __init__(self) -> None:
        self.replaced: dict[str, type] = {name: getattr(sklearn.mixture, name) for name in _OURS}

    def __enter__(self) -> Patch:
        return self

    def __exit__(self, *error: object) -> None:
        _put(self.replaced)

    def __repr__(self) -> str:
        return f"Patch({', '.join(f'sklearn.mixture.{name}' for name in self.replaced)})"


def patch_sklearn(*, verbose: bool = True) -> Patch:
    """Replace `GaussianMixture` and `BayesianGaussianMixture` in `sklearn.mixture` with gaussmix's classes.

    Parameters
    ----------
    verbose : whether to print to standard error which classes were replaced, and which modules still use scikit-learn's
        classes because they imported the classes earlier.

    Returns
    -------
    patch : a context manager. ``with gaussmix.patch_sklearn():`` replaces the classes and restores the previous classes
        at the end of the block, even after an exception. The dict `patch.replaced` maps the names of the classes to the
        previous classes.

    See Also
    --------
    unpatch_sklearn : restores scikit-learn's classes.

    Notes
    -----
    The replacement applies to the whole process and its forks, but not to new Python processes, such as the processes
    that loky, or multiprocessing with "spawn", starts.

    Examples
    --------
    >>> import gaussmix
    >>> with gaussmix.patch_sklearn(verbose=False):
    ...     from sklearn.mixture import GaussianMixture
    >>> GaussianMixture is gaussmix.GaussianMixture
    True
    """
    patch = Patch()
    _put(_OURS)
    if verbose and sys.stderr is not None:
        for name in _OURS:
            print(f"gaussmix: sklearn.mixture.{name} is now gaussmix.{name}.", file=sys.stderr)
        if unpatched := _modules_with_theirs():
            advice = "Call patch_sklearn() before they are imported, or import the classes there again."
            print(f"gaussmix: scikit-learn's classes stay in {', '.join(unpatched)}. {advice}", file=sys.stderr)
    return patch


def unpatch_sklearn() -> None:
    """Restore scikit-learn's classes in `sklearn.mixture`, no matter how often `patch_sklearn` was called.

    Examples
    --------
    >>> import gaussmix, sklearn.mixture
    >>> patch = gaussmix.patch_sklearn(verbose=False)
    >>> gaussmix.unpatch_sklearn()
    >>> sklearn.mixture.GaussianMixture is gaussmix.GaussianMixture
    False
    """
    _put({name: theirs for name, theirs in _THEIRS.items() if getattr(sklearn.mixture, name) is _OURS[name]})


def _put(classes: dict[str, type]) -> None:
    for name, each in classes.items():
        setattr(sklearn.mixture, name, each)


def _modules_with_theirs() -> list[str]:
    """Return the names of loaded modules outside scikit-learn and gaussmix that contain a class of scikit-learn."""
    theirs = {id(each) for each in _THEIRS.values()}
    loaded = {name: getattr(module, "__dict__", {}) for name, module in list(sys.modules.items())}
    others = [name for name in loaded if name.partition(".")[0] not in ("sklearn", "gaussmix", "__mp_main__")]
    others = [name for name in others if loaded[name] is not globals()]  # leaves out this module if it is `__main__`
    return sorted(name for name in others if not theirs.isdisjoint(map(id, list(loaded[name].values()))))


def main(words: list[str]) -> None:
    """Replace the classes, and run a script or, after -m, a module in the same way as `python` does."""
    is_module = words[:1] == ["-m"]
    sys.argv = words[is_module:]
    if not sys.argv or (sys.argv[0].startswith("-") and not is_module):
        print(_USAGE, file=sys.stderr)
        sys.exit(0 if words in (["-h"], ["--help"]) else 2)
    patch_sklearn()
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True) if is_module else _run_script(sys.argv[0])
    except Exception as error:
        trace = _of_program(error.__traceback__)
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.exit(1)


def _run_script(path: str) -> None:
    """Run a script as `__main__` (`runpy.run_path` would change `sys.argv[0]` or leave `__file__` a relative path)."""
    absolute = os.path.abspath(path)
    try:
        with open_code(absolute) as file:
            source = file.read()
    except OSError as error:
        print(f"gaussmix.patched: can't open file {absolute!r}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    program = sys.modules["__main__"] = ModuleType("__main__")
    vars(program).update(__file__=absolute, __builtins__=sys.modules["builtins"], __annotations__={})
    exec(compile(source, absolute, "exec", dont_inherit=True), vars(program))


def _of_program(trace: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that belongs to the program, without the frames of this file and of runpy."""
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>"):
        trace = trace.tb_next
    return trace


if __name__ == "__main__":
    main(sys.argv[1:])
