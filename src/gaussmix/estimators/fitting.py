"""How an estimator is fitted: its parameters as a problem, who looks at the runs, and the best run as its state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from gaussmix.checks import check_count
from gaussmix.door.incomplete import check_pairs
from gaussmix.door.labels import check_labels, check_suits_labels
from gaussmix.door.parameters import check_remedy, check_verbose
from gaussmix.door.restrictions import check_background, noise_of
from gaussmix.em.objective.stopping import Stopping
from gaussmix.em.objective.trace import State, Trace
from gaussmix.em.priors.terms import Terms
from gaussmix.em.trimming.trimming import cutoff_of
from gaussmix.errors import Outcome, warn
from gaussmix.families.base import Family
from gaussmix.fit.checkpoint import check_place, checkpointed, identity_of
from gaussmix.fit.diagnostics import Diagnosis, diagnosed, held_by_prior
from gaussmix.fit.fit import standing_of
from gaussmix.fit.fitted import Ending, Fitted, RowFacts
from gaussmix.fit.plan import Onward, Plan
from gaussmix.fit.problem import Data, Problem
from gaussmix.fit.watch import CallbackTask, Watch, check_callbacks, deadline_of
from gaussmix.mixture.mixture import Mixture
from gaussmix.report.messages import (
    CollapseWarning,
    constant_sentence,
    few_rows_sentence,
    held_sentence,
    ridge_columns,
    warn_of,
)
from gaussmix.sources.base import Source


def from_now(stopping: Stopping, estimator: Any, *, is_stream: bool = False) -> Stopping:
    """The rule with the end of `max_time`, and with callbacks; those of scikit-learn do not follow a stream."""
    stopping = stopping.until(deadline_of(estimator.max_time))
    if check_callbacks(estimator.callbacks) or (not is_stream and "_skl_callbacks" in vars(estimator)):
        stopping = replace(stopping, is_watched=True)
    return stopping


def problem_of(
    estimator: Any,
    source: Source,
    candidates: Sequence[tuple[Family, int]],
    labels: Any,
    ridge: float | None,
    terms: Terms,
) -> Problem:
    """The problem of the first of the candidates, which are structures and numbers of components.

    Raises ValueError or TypeError where parameters or labels contradict the rows, or each other.
    """
    noise, counts = noise_of(estimator.noise), {count for _, count in candidates}
    check_pairs(source, [family for family, _ in candidates], estimator._names)
    known = check_labels(labels, estimator.label_components, source.n_rows, max(counts))
    check_suits_labels(known, estimator.init_params, counts, has_noise=noise is not None)
    if known is not None and known.is_empty:
        known = None
    data = Data(source, known, check_background(noise, source), trim=float(estimator.trim))
    remedy = check_remedy(estimator.degenerate)
    return Problem(data, *candidates[0], estimator._engine(source), ridge, remedy, terms)


@contextmanager
def watched(
    estimator: Any, problem: Problem, plan: Plan, given: Mapping[str, Any], most: Mapping[str, int], *, is_stream: bool
) -> Iterator[Watch]:
    """Look at the fits of a block as the parameters say: `callbacks`, `max_time`, `checkpoint` and `verbose`.

    For scikit-learn's callbacks, `given` are X, y and sample_weight as `fit` got them, and `most` is how many parts the
    fit and its parts have at most, by the names of the parts. A stream has none of these callbacks, and can't be read
    again.
    """
    task, data = None, problem.data
    if not is_stream and "_skl_callbacks" in vars(estimator):
        task = CallbackTask.of_fit(estimator, **given, n_parts=most["fit"], most=most)
    before = [value for start in plan.starts if isinstance(start, Onward) for value in start.arrays()]
    known = [] if data.known is None else data.known.arrays()
    identity = partial(identity_of, estimator, data.original, before, known)
    with checkpointed(None if is_stream else check_place(estimator.checkpoint), identity) as checkpoint:
        yield Watch(
            check_callbacks(estimator.callbacks),
            task,
            plan.stopping.deadline,
            data.original.n_rows,
            estimator._names,
            checkpoint=checkpoint,
            verbose=check_verbose(getattr(estimator, "verbose", 0)),
            interval=check_count("verbose_interval", getattr(estimator, "verbose_interval", 10), 1),
        )


def fitted_of(
    problem: Problem,
    stopping: Stopping,
    run: State,
    ends: Sequence[Trace],
    facts: RowFacts,
    names: Sequence[str] | None,
    left_out: Outcome | None,
    *,
    certify: bool | None = None,
    of_search: Sequence[Diagnosis] | None = None,
    not_begun: str | None = None,
) -> Fitted:
    """What the best run found, with warnings of what the user should know of it.

    `run` is its end, `ends` are the traces of all runs, and `left_out` is why starts were left out; None if none was.
    `certify` says whether to find out if the fit is at a maximum; with None that is found out where it is cheap.
    After a search, `of_search` are its diagnoses, and `not_begun` is why candidates were not begun; None if all were.
    """
    rows, trace, objective, times = problem.data.original, run.trace, problem.objective, problem.objective.times
    few = few_rows_sentence(rows, problem.n_components)
    constant = ridge_columns(run.model, objective.floor, rows)
    warn_of(run, left_out, objective.raised)
    held = held_by_prior(problem, run)
    warn(held_sentence(held))
    if of_search is None:  # a search tries numbers of components that are too large
        has_few = problem.ridge or len(constant) < rows.n_features  # else the next sentence says why
        warn(few if has_few else None, CollapseWarning)
    if not problem.ridge:  # with 0 only the default prior of a Bayesian fit makes one
        warn(constant_sentence(run.model, constant, names))
    standing = standing_of(problem, run, ends, is_asked=stopping.seeks_maximum or certify)
    ending = Ending.of(run, ends, stopping, left_out, standing, objective.raised)
    if stopping.seeks_maximum and run.outcome is Outcome.CONVERGED and standing.is_maximum is False:
        warn(ending.reason, ConvergenceWarning)
    return Fitted(
        Mixture.of(run.model).with_feature_names(names),
        rows.dtype,
        objective.n_fixed(run.model),
        converged=run.outcome is Outcome.CONVERGED,
        n_iter=trace.n_steps,
        lower_bound=times * trace.last,
        lower_bounds=[times * each for each in trace.objective],
        collapsed=trace.collapsed,
        diagnostics=[*diagnosed(run, held, constant, names, few), *(of_search or ())],
        outcome=ending if not_begun is None else replace(ending, reason=f"{ending.reason} {not_begun}"),
        traces=[[times * each for each in end.objective] for end in ends],
        facts=facts,
        cutoff=cutoff_of(problem.source, problem.engine, run.model),
    )
