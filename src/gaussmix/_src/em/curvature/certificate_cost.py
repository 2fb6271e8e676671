"""An estimate of the cost of computing the optimality certificate of a model."""

from __future__ import annotations

from gaussmix._src.em.step.core_steps import step_multiply_adds
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.model import Model
from gaussmix._src.sources.base import Source

# The costs are numbers of multiply-adds. A product of two scores (derivatives of a row's log density) costs
# `PRODUCT_COST`, a score costs `SCORE_COST`, an information matrix (n, n) costs `MATRIX_COST` n³ in NumPy, and a pass
# over few rows costs `PASS_COST`. Passes without products of scores together cost as much as `N_OTHER_PASSES` EM steps.
PRODUCT_COST, SCORE_COST, MATRIX_COST, PASS_COST, N_OTHER_PASSES = 0.45, 10, 4, 10**7, 2
# If `check_maximum` is "auto", the certificate is computed only if it costs at most this fraction of the fit.
MAX_COST_FRACTION = 0.1


def is_certificate_cheap(model: Model, source: Source, n_steps: int) -> bool:
    """Return whether `certify.compute_certificate` needs at most a tenth of the operations of `n_steps` EM steps."""
    second = model.covariances.second
    # With missing values, measurement errors or factors, the certificate needs many passes instead of one.
    if source.is_incomplete or second is Second.PROJECTED:
        return False
    (K, d), is_shared, step_cost = model.means.shape, model.covariances.is_shared, step_multiply_adds(model)
    n_b = d * (d + 1) // 2 if second is Second.FULL else d if second is Second.DIAGONAL else 1
    n_all, n_own = K + K * d + (1 if is_shared else K) * n_b, 1 + d + n_b
    per_row = PRODUCT_COST * (n_all**2 + K * n_own**2) / 2 + SCORE_COST * K * n_own + N_OTHER_PASSES * step_cost
    cost = 2 * (source.n_rows * per_row + MATRIX_COST * n_all**3 + PASS_COST)  # twice, because two models are evaluated
    return bool(cost <= MAX_COST_FRACTION * n_steps * source.n_rows * step_cost)
