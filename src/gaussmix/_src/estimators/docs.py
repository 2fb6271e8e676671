"""Parts that docstrings of several estimators share."""

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
sample_weight : (n_samples,), weights ≥ 0, frequencies by default (see `weight_type`): a row of weight 2
    counts as two rows."""
_ROWS = f"""\
X : (n_samples, n_features), numbers in data units; an array, a data frame, or rows that need not fit into
    memory (`gaussmix.open`).
y : ignored; pipelines pass it.
{_WEIGHT}"""

# The text of each part, as it stands in a docstring.
_DOC_PARTS = {
    "letters": """\
They are EII VII EEI VEI EVI VVI EEE VEE EVE VVE EEV VEV EVV VVV, and as other names of the same: VVV "full",
EEE "tied", VVI "diag", VII "spherical".""",
    "all": """\
"all" is "diag", "EEI", "full", "EEV", "EII", "EVE", "EVI", "EVV", "spherical", "tied", "VEE", "VEI", "VEV",
"VVE", and for one feature "E" and "V". A structure with options of its own, or one that somebody else
registers, has to be named.""",
    "choice": """\
covariance_type : str, structure or list of these, default "full"
    As of `GaussianMixture`; of several, or "all", BIC chooses.""",
    "missing": """\
missing : {"allow", "error"}, default "allow"
    What becomes of NaN and nulls in X. With "allow", a row says what its other cells say, and the fit maximises the
    likelihood of the observed cells. That is right where cells are missing at random (Little & Rubin 2002). "error"
    refuses such rows, as scikit-learn does.""",
    "error": """\
X_error : measurement errors of X: standard deviations (n_features,) or (n_samples, n_features) in data units,
    or covariances (n_features, n_features) or (n_samples, n_features, n_features). The mixture is then that
    of the true rows (Bovy, Hogg & Roweis 2011). A cell with an infinite error is a missing one.""",
    "BLANKLINE": "<BLANKLINE>",  # in examples
    "raises": """\
Raises
------
NotFittedError : before `fit`.
ValueError, TypeError : X is not numbers of shape (n_samples, n_features).""",
    "weight": f"{_WEIGHT}\n{_SELF}",
    "rows": _ROWS,
    "fit": f"{_ROWS}\n{_SELF}",
}
_PLACEHOLDER = re.compile(r"^( *)<([\w ]+)>$", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w[\w, ]*) : ", re.MULTILINE)  # names of parameters


def _hinting(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method whose call with wrong arguments says what to type."""

    @wraps(method)
    def called(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return method(self, *arguments, **named)
        except TypeError as error:
            # A longer traceback means that the method was called, and that something inside it failed.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            from gaussmix._src.other_names import call_error

            raise call_error(method, self, error) from None

    return called


def documented(cls: Class) -> Class:
    """Make calls with wrong arguments say what to type, and put parts into docstrings.

    A part goes where a line of a docstring, of the class or of its own methods, is `<name>` and no more.
    ``<Parameters of Base>`` stands for that section of the docstring of a base class. The signature of a dataclass has
    the order of its docstring.
    """
    parts = dict(_DOC_PARTS)
    for base, section in product(cls.__mro__, ("Parameters", "Attributes")):
        after = (inspect.getdoc(base) or "").partition(f"{section}\n{'-' * len(section)}\n")[2]
        parts[f"{section} of {base.__name__}"] = after.partition("\n\n")[0]
    for owner in (cls, *(member for member in vars(cls).values() if inspect.isfunction(member))):
        if owner.__doc__:
            owner.__doc__ = _PLACEHOLDER.sub(lambda position: indent(parts[position[2]], position[1]), owner.__doc__)
    if is_dataclass(cls):  # which puts inherited parameters first
        signature, entries = inspect.signature(cls.__init__), _ENTRY.findall(cls.__doc__ or "")
        order = {name: position for position, name in enumerate(["self", *", ".join(entries).split(", ")])}
        in_order = sorted(signature.parameters.values(), key=lambda parameter: order.get(parameter.name, len(order)))
        vars(cls.__init__)["__signature__"] = signature.replace(parameters=in_order)
        with suppress(NameError):  # some are names of modules that are imported at their first use
            vars(cls)["__init__"].__annotations__ |= get_type_hints(cls)  # whose names are those of several modules
    for owner in cls.__mro__:
        for name, member in [*vars(owner).items()] if owner.__module__.startswith("gaussmix.") else ():
            is_public = inspect.isfunction(member) and (name[0] != "_" or member is vars(cls).get("__init__"))
            if is_public and not hasattr(member, "__wrapped__"):
                setattr(owner, name, _hinting(member))
    cls.__module__ = "gaussmix"  # last, because the annotations name what this module imports
    return cls
