"""Check user input, with error messages that name the invalid parameter, column or row, and give advice."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.validation import incomplete as incomplete
    from gaussmix._src.validation import initial as initial
    from gaussmix._src.validation import invalid_rows as invalid_rows
    from gaussmix._src.validation import labels as labels
    from gaussmix._src.validation import restrictions as restrictions
else:
    __getattr__ = modules(__name__, "incomplete initial invalid_rows labels restrictions")
