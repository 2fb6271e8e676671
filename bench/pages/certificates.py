"""Check what `certify` says of 240 fits against EM that runs on, and what `tol="auto"` leaves to gain.

    python -m bench.pages.certificates           # five minutes; rewrites bench/results/certificates.md
    python -m bench.pages.certificates --fits 40 # fewer fits, printed only

The rows are drawn from mixtures that are apart or overlap, or from t distributions, which no mixture fits; every
fourth fit is of real data. Structures, weights of rows, priors, noise and `tol` change from fit to fit. The true gain
is what EM gains until a step gains less than 1e-12 nats. Below 1e-9 nats the ridge and rounding decide, so both gains
count as at least that.

The last rows are the pass of a certificate over 100,000 x 8 numbers with 8 components, on one thread: its processor
time beside a step of EM, and the share of the peak (`bench/fma.py`) that n p^2 / 2 multiply-adds are, p = 359.
Components overlap, or are apart, so that most responsibilities are 0.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from bench.fma import operations_per_second
from bench.pages.base import Page, parser_of, seconds_of
from gaussmix import GaussianMixture
from gaussmix.em.accumulate import StepTask
from gaussmix.em.coordinates import Coordinates
from gaussmix.em.loop import run_em
from gaussmix.em.scores import Scores
from gaussmix.em.stopping import MOST_LEFT, Stopping
from gaussmix.em.trace import Trace, final
from gaussmix.engines.native import NativeEngine
from gaussmix.errors import Outcome
from gaussmix.families import FAMILIES
from gaussmix.fit.fit import fit, standing_of
from gaussmix.fit.problem import Problem
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.core import native_target
from gaussmix.sources.base import OfLeaves

N_FITS, LEAST, MOST_STEPS = 240, 1e-9, 50_000
STRUCTURES = [name for name, family in FAMILIES.items() if family.in_all]
TABLES: list[Array] = [
    np.asarray(load().data)[:, :5] for load in (load_iris, load_wine, load_breast_cancer, load_diabetes)
]


class Checked(NamedTuple):
    """What a certificate says of a fit, and what is true.

    Parameters
    ----------
    is_maximum, said : of the certificate; `said` is the remaining gain, nats per row.
    true : what EM gains when it runs on, nats per row.
    left_by_auto : what `tol="auto"` leaves to gain, nats per row; None where it did not reach a maximum.
    share : the time of the certificate beside the time of a step.
    """

    is_maximum: bool | None
    said: float | None
    true: float
    left_by_auto: float | None
    share: float

    @property
    def is_right(self) -> bool:
        return self.said is not None and 0.5 <= max(self.said, LEAST) / max(self.true, LEAST) <= 2


def problems(n_fits: int) -> Iterator[tuple[GaussianMixture, Array, Array | None]]:
    """Estimators with the rows and weights that they are fitted to."""
    for number in range(n_fits):
        rng = np.random.default_rng(number)
        n_features, n_components = int(rng.integers(1, 6)), int(rng.integers(2, 6))
        rows, weight = _rows(rng, n_features, n_components), None
        if number % 4 == 0:
            rows = TABLES[number // 4 % len(TABLES)]
        if number % 5 == 0:
            weight = rng.uniform(0.1, 3.0, len(rows))
        more: dict[str, Any] = {"prior": "default"} if number % 7 == 0 else {"noise": number % 11 == 0}
        yield (
            GaussianMixture(
                n_components,
                covariance_type=str(rng.choice(STRUCTURES)) if rows.shape[1] > 1 else "full",
                tol=float(rng.choice([1e-3, 1e-4, 1e-5])),
                max_iter=1000,
                random_state=number,
                **more,
            ),
            rows,
            weight,
        )


def _rows(rng: np.random.Generator, n_features: int, n_components: int) -> Array:
    n_rows = int(rng.choice([200, 600, 2000, 6000]))
    if rng.random() < 0.2:
        return rng.standard_t(4, size=(n_rows, n_features))
    centres = rng.choice([1.0, 2.0, 3.0, 5.0]) * rng.normal(size=(n_components, n_features))
    spread = np.exp(0.4 * rng.normal(size=(n_components, n_features)))
    group = rng.integers(n_components, size=n_rows)
    rows: Array = centres[group] + spread[group] * rng.normal(size=(n_rows, n_features))
    return rows @ (np.eye(n_features) + 0.3 * rng.normal(size=(n_features, n_features)))


def checked(estimator: GaussianMixture, rows: Array, weight: Array | None) -> Checked | None:
    """A fit, and what is said and true of it; None if the rows have no such fit."""
    try:
        problem, plan = estimator._checked(rows, weight, None, None, None)
        run = fit(problem, plan).run
    except ValueError:
        return None
    began = time.perf_counter()
    standing = standing_of(problem, run, is_asked=True)
    seconds = time.perf_counter() - began
    of_run = problem.source, problem.engine, run.model, problem.objective
    began = time.perf_counter()
    end = final(run_em(*of_run, Stopping(1e-12, MOST_STEPS), trace=Trace(frozen=run.trace.frozen)))
    of_step = (time.perf_counter() - began) / max(1, end.trace.n_steps)
    true = _height(problem, end.model) - _height(problem, run.model)
    estimator.set_params(tol="auto")
    problem, plan = estimator._checked(rows, weight, None, None, None)
    run = fit(problem, plan).run
    left = None
    if run.outcome is Outcome.CONVERGED and standing_of(problem, run, is_asked=True).is_maximum:
        of_run = problem.source, problem.engine, run.model, problem.objective
        last = final(run_em(*of_run, Stopping(1e-12, MOST_STEPS), trace=Trace(frozen=run.trace.frozen))).model
        left = _height(problem, last) - _height(problem, run.model)
    return Checked(standing.is_maximum, standing.remaining_gain, true, left, seconds / of_step)


def _height(problem: Problem, model: Model) -> float:
    """The objective, nats per unit of row weight."""
    block = problem.source.whole
    assert block is not None, "the rows are in memory"
    log_density = problem.engine.log_density(block, model.parameters)
    total = float(log_density.sum() if block.row_weight is None else block.row_weight @ log_density)
    return (total + problem.objective.log_prior(model)) / block.total_weight


def of_pass(distance: float) -> list[tuple[str, str]]:
    """The time of the pass beside a step, and its share of the peak, where centres have this standard deviation."""
    rng = np.random.default_rng(0)
    n_rows, n_features, n_components = 100_000, 8, 8
    centres = distance * rng.normal(size=(n_components, n_features))
    rows = centres[rng.integers(n_components, size=n_rows)] + rng.normal(size=(n_rows, n_features))
    how: dict[str, Any] = {"init_params": "random_from_data", "max_iter": 3, "random_state": 0}
    problem, plan = GaussianMixture(n_components, **how)._checked(rows, None, None, None, None)
    model, engine = fit(problem, plan).run.model, NativeEngine(1)
    at = Coordinates.of(model, problem.objective, Trace())
    of_step = StepTask(engine, n_components, model.parameters, model.family.need(None))
    tasks: list[Any] = [OfLeaves(Scores(engine, at)), of_step]
    target = native_target()
    assert target is not None, "this page is about the core"
    best, peak = [np.inf, np.inf], 0.0
    for _ in range(15):
        for i, task in enumerate(tasks):
            best[i] = min(best[i], seconds_of(partial(problem.source.map_merge, task), time.process_time))
        peak = max(peak, operations_per_second(target.isa))
    share, where = n_rows * at.size**2 / best[0] / peak, "overlap" if distance < 1 else "are apart"
    size = f"{n_rows:,} x {n_features}, K = {n_components}"
    return [
        (f"its pass over {size}, components {where}: time beside a step", f"{best[0] / best[1]:.0f}"),
        ("the same: share of the peak", f"{share:.0%}"),
    ]


def of_fits(found: list[Checked]) -> list[tuple[str, object]]:
    """What the table says of all fits."""
    near = [each for each in found if each.is_maximum]
    n_right = sum(each.is_right for each in near)
    left = [each.left_by_auto for each in found if each.left_by_auto is not None]
    kinds = Counter(each.is_maximum for each in found)
    gains = sorted(each.true for each in found if not each.is_maximum)
    middle = f"{np.median(gains):.2g} nats a row" if gains else "none"
    return [
        ("fits", len(found)),
        ("near a maximum", kinds[True]),
        ("there the remaining gain is right within a factor of 2", f"{n_right} of {len(near)}"),
        ("not near a maximum, so that no gain is said", kinds[False]),
        ("there EM gains, median", middle),
        ('`tol="auto"` reached a maximum (in 1000 steps)', len(left)),
        (f"there less than twice {MOST_LEFT:.0e} nats were left", sum(each < 2 * MOST_LEFT for each in left)),
        ("time of a certificate beside a step of EM, median", f"{np.median([each.share for each in found]):.0f}"),
    ]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--fits", type=int, default=N_FITS, help="how many")
    n_fits = parser.parse_args().fits
    page = Page(__file__, "What `certify` says, and what is true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = [checked(*each) for each in problems(n_fits)]
        rows = [*of_fits([each for each in made if each is not None]), *of_pass(0.5), *of_pass(4.0)]
    page.table("| ", rows, n_words=2)
    if n_fits == N_FITS:
        page.write()


if __name__ == "__main__":
    main()
