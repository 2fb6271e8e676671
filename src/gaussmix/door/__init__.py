"""What a user gave, checked: each error says which parameter, column or row is wrong, and what to do."""

from typing import TYPE_CHECKING

from gaussmix.lazy import modules

if TYPE_CHECKING:
    from gaussmix.door import incomplete as incomplete
    from gaussmix.door import initial as initial
    from gaussmix.door import labels as labels
    from gaussmix.door import restrictions as restrictions
else:
    __getattr__ = modules(__name__, "incomplete initial labels restrictions")
