"""How a model stands to a maximum of the objective, and what it costs to find out."""

from __future__ import annotations

from dataclasses import dataclass

from gaussmix._src.em.step.fast_path import step_multiply_adds
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.model import Model
from gaussmix._src.sources.base import Source

# Costs in multiply-adds of a step of EM: of one of the score products, of making a score, of each number of the matrix
# times its height, in NumPy, and of a pass however few its rows are; and the other passes over the rows, in steps.
PRODUCT_COST, SCORE_COST, MATRIX_COST, PASS_COST, N_OTHER_PASSES = 0.45, 10, 4, 10**7, 2
# Of the cost of a fit: information that costs at most this part is found without being asked for.
MAX_COST_FRACTION = 0.1


@dataclass(frozen=True)
class OptimalityCertificate:
    """How a model stands to a maximum of the objective.

    Parameters
    ----------
    is_maximum : whether one is so near that Newton's step reaches it. False at a saddle, on a ridge, and where the
        model is still far. None if that is not known.
    remaining_gain : what the objective gains on the way there, nats per unit of row weight; only near a maximum.
    label_change_fraction : part of the row weight whose most probable component is another there; near a maximum.
    why_not : why it is not known, as the end of a sentence; empty if it is known, or was not asked for.
    """

    is_maximum: bool | None = None
    remaining_gain: float | None = None
    label_change_fraction: float | None = None
    why_not: str = ""


def is_certificate_cheap(model: Model, source: Source, n_steps: int) -> bool:
    """Whether `certify.find_certificate` costs at most a tenth of a fit of so many steps, by counting products."""
    second = model.covariances.second
    if source.is_incomplete or second is Second.PROJECTED:  # more than one pass
        return False
    (K, d), is_shared, of_step = model.means.shape, model.covariances.is_shared, step_multiply_adds(model)
    n_b = d * (d + 1) // 2 if second is Second.FULL else d if second is Second.DIAGONAL else 1
    n_all, n_own = K + K * d + (1 if is_shared else K) * n_b, 1 + d + n_b
    of_row = PRODUCT_COST * (n_all**2 + K * n_own**2) / 2 + SCORE_COST * K * n_own + N_OTHER_PASSES * of_step
    cost = 2 * (source.n_rows * of_row + MATRIX_COST * n_all**3 + PASS_COST)  # the information is made twice
    return bool(cost <= MAX_COST_FRACTION * n_steps * source.n_rows * of_step)
