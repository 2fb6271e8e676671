"""Inputs with known results, as data for `tests/trust`.

Each module makes the cases of related kinds of input; a case takes any estimator with scikit-learn's parameters.
"""

from trust_cases import degenerate, distant_rows, types, units
from trust_cases.case import Case, Wrong

CASES: dict[str, Case] = {
    case.name: case
    for module in (units, degenerate, types, distant_rows)
    for case in module.cases()
}  # fmt: skip

__all__ = ["CASES", "Case", "Wrong"]
