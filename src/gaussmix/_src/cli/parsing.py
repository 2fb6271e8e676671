"""Functions that parse and check the values of options, and raise ValueError or TypeError for an invalid value."""

from __future__ import annotations

from typing import Any

from gaussmix._src.errors import counted, not_one_of
from gaussmix._src.families.base import family_names, is_family
from gaussmix._src.sources.opening import check_memory
from gaussmix._src.sources.tables.base import STANDARD
from gaussmix._src.validation.parameters import ALL, CHECKS

_MAX_CANDIDATES = 1000
_MIN_MEMORY = 1000  # minimum of --memory in bytes; if a number is smaller, the user most likely forgot the unit
_MARK_NAMES = {"tab": "\t", "\\t": "\t", "blanks": " ", "space": " ", "whitespace": " ", "comma": ",", "semicolon": ";"}


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


def output_path(value: str) -> str:
    """Return the path of an output, or "-" if the path stands for standard output, which then contains no report."""
    return STANDARD if value in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1") else value


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
