"""Passages of text that several estimators' docstrings share, and the decorator that inserts these passages."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import is_dataclass
from functools import wraps
from itertools import product
from textwrap import indent
from typing import Any, TypeVar, get_type_hints

Class = TypeVar("Class", bound=type)


_SELF = """
Returns
-------
self : the fitted estimator."""
_WEIGHT = """\
sample_weight : (n_samples,), weights ≥ 0. By default, weights are frequencies: a row of weight 2 counts
    as two rows (see `weight_type`)."""
_ROWS = f"""\
X : (n_samples, n_features), numbers in data units. X is an array, a data frame, or a source from
    `gaussmix.open`, whose rows need not fit into memory.
y : ignored; the argument exists because scikit-learn's pipelines pass y to every step.
{_WEIGHT}"""

# Names of the shared passages, and their text as it appears in docstrings.
_DOC_PARTS = {
    "letters": """\
The names are EII VII EEI VEI EVI VVI EEE VEE EVE VVE EEV VEV EVV VVV. VVV is the same as "full", EEE as "tied",
VVI as "diag", and VII as "spherical".""",
    "all": """\
"all" is "diag", "EEI", "full", "EEV", "EII", "EVE", "EVI", "EVV", "spherical", "tied", "VEE", "VEI", "VEV",
"VVE", or for one feature "E" and "V". Structures with options and structures from other packages are tried
only if you name them in a list.""",
    "choice": """\
covariance_type : str, structure or list of these, default "full"
    Covariance structure, as in `GaussianMixture`. If you pass a list of structures or "all", BIC chooses one.""",
    "missing": """\
missing : {"allow", "error"}, default "allow"
    Whether X may contain missing values (NaN or null). With "allow", the fit maximises the likelihood of the observed
    values, which is correct if values are missing at random (Little & Rubin 2002). With "error", missing values raise
    ValueError, as in scikit-learn.""",
    "error": """\
X_error : measurement errors of X: standard deviations (n_features,) or (n_samples, n_features) in data units,
    or covariances (n_features, n_features) or (n_samples, n_features, n_features). The mixture then describes
    the true values without measurement errors (Bovy, Hogg & Roweis 2011). A value with an infinite error counts
    as missing.""",
    "BLANKLINE": "<BLANKLINE>",  # kept unchanged, because doctest needs this line
    "raises": """\
Raises
------
NotFittedError : if the estimator is not fitted.
ValueError, TypeError : if X does not contain numbers, or does not have shape (n_samples, n_features).""",
    "weight": f"{_WEIGHT}\n{_SELF}",
    "rows": _ROWS,
    "fit": f"{_ROWS}\n{_SELF}",
}
_PLACEHOLDER = re.compile(r"^( *)<([\w ]+)>$", re.MULTILINE)
_ENTRY = re.compile(r"^(\w[\w, ]*) : ", re.MULTILINE)  # matches the names at the beginning of a docstring entry


def _with_hints(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method so that a call with wrong arguments raises an error with a hint."""

    @wraps(method)
    def called(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return method(self, *arguments, **named)
        except TypeError as error:
            # A longer traceback means that the arguments were accepted and that the body of the method failed.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            from gaussmix._src.other_names import call_error

            raise call_error(method, self, error) from None

    return called


def documented(cls: Class) -> Class:
    """Insert shared passages into the docstrings of a class, and make its methods raise errors with hints.

    Each line ``<name>`` in the docstrings of the class and of its own methods is replaced by the passage `name`.
    ``<Parameters of Base>`` stands for the section "Parameters" in the docstring of the base class `Base`. The
    signature of a dataclass lists the parameters in the same order as the docstring.
    """
    parts = dict(_DOC_PARTS)
    for base, section in product(cls.__mro__, ("Parameters", "Attributes")):
        after = (inspect.getdoc(base) or "").partition(f"{section}\n{'-' * len(section)}\n")[2]
        parts[f"{section} of {base.__name__}"] = after.partition("\n\n")[0]
    for owner in (cls, *(member for member in vars(cls).values() if inspect.isfunction(member))):
        if owner.__doc__:
            owner.__doc__ = _PLACEHOLDER.sub(lambda match: indent(parts[match[2]], match[1]), owner.__doc__)
    if is_dataclass(cls):  # By default, a dataclass puts inherited parameters first.
        signature, entries = inspect.signature(cls.__init__), _ENTRY.findall(inspect.getdoc(cls) or "")
        order = {name: position for position, name in enumerate(["self", *", ".join(entries).split(", ")])}
        in_order = sorted(signature.parameters.values(), key=lambda parameter: order.get(parameter.name, len(order)))
        vars(cls.__init__)["__signature__"] = signature.replace(parameters=in_order)
        with suppress(NameError):  # Some annotations refer to modules that are not imported yet.
            vars(cls)["__init__"].__annotations__ |= get_type_hints(cls)  # resolves annotations across modules
    for owner in cls.__mro__:
        for name, member in [*vars(owner).items()] if owner.__module__.startswith("gaussmix.") else ():
            is_public = inspect.isfunction(member) and (name[0] != "_" or member is vars(cls).get("__init__"))
            if is_public and not hasattr(member, "__wrapped__"):
                setattr(owner, name, _with_hints(member))
    if not inspect.isabstract(cls):  # users can't import the base class
        cls.__module__ = "gaussmix"  # set last, because annotations were resolved in the original module
    return cls
