"""`GaussianMixtureIC`: a mixture whose structure and number of components are chosen by a criterion."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.checks import check_count
from gaussmix._src.em.initialisation.base import DETERMINISTIC_STARTS, repeat_starts
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.engines import check_jobs
from gaussmix._src.errors import FailureKind, NothingFitted, ParameterTypeError, warn
from gaussmix._src.estimators.base import FittedValue
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.fitting import apply_options, check_hooks, fit_rows, make_fitted, start_fit
from gaussmix._src.estimators.gaussian_mixture import GaussianMixture
from gaussmix._src.estimators.likelihood_estimator import LikelihoodEstimator
from gaussmix._src.families import Family, Structure
from gaussmix._src.fit import candidates
from gaussmix._src.fit.after.diagnostics import SingularColumns, diagnose_ridge, find_ridge_columns
from gaussmix._src.fit.after.stability import find_peaks
from gaussmix._src.fit.candidates import Candidate, Result
from gaussmix._src.fit.criteria import CROSS_VALIDATION, STABILITY, check_criterion
from gaussmix._src.fit.fitted import BestRun, Diagnosis, FitResult, RowSummary
from gaussmix._src.fit.options.base import FitOptions
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.fit.selection import Selection
from gaussmix._src.report.messages import (
    INCOMPLETE_REPEATS,
    SearchWarning,
    not_started_sentence,
    relevant_failures_sentence,
    ridge_causes,
)
from gaussmix._src.validation import parameters
from gaussmix._src.validation.incomplete import check_pairs
from gaussmix._src.validation.rows import RowsLike, scale_fractional_weights


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class GaussianMixtureIC(LikelihoodEstimator):
    """Gaussian mixture whose covariance structure and number of components are chosen by a criterion.

    `fit` fits a mixture for every pair of a structure and a number of components; each pair is called a candidate. All
    structures start from the same initialisation. After `fit`, the estimator behaves like the best candidate.

    Parameters
    ----------
    n_components : int or sequence of int, default 1 … 9
        Numbers of components to try, such as ``range(1, 10)``.
    covariance_type : str, structure or list of these, default "all"
        Covariance structures to try, each as in `GaussianMixture`. A list may contain names and structures, for example
        ``["full", *map(FactorAnalyzer, range(1, 4))]``.

        <all>
    trim : float, default 0
        Fraction of the total row weight that every candidate leaves out as outliers, as in `GaussianMixture`. Criteria
        are computed from the rows that are not left out. Compare several fractions, because a fraction that is too
        small may cause additional components for outliers.
    criterion : {"bic", "icl", "aic", "aicc", "cv", "stability"}, default "bic"
        Criterion by which the best mixture is chosen.

        * "bic" (Schwarz 1978), "icl" (Biernacki, Celeux & Govaert 2000), "aic" (Akaike 1974) and "aicc" (Hurvich & Tsai
          1989): the lowest value wins. mclust's criteria have the opposite sign.
        * "cv": mean log-likelihood of held-out rows, in nats per unit of sample weight. Among the candidates within one
          standard error of the highest value, the candidate with fewest parameters wins.
        * "stability": how well the labels of repeated fits agree with the labels of fits that have one component fewer
          or one component more, from 0 to 1; the highest value wins. Stability never chooses one component, and often
          chooses one component too many if groups are well separated, so compare the peaks in `results_`.
    n_folds : int, default 5
        With "cv", the number of random folds of the rows; the sizes of folds differ by at most one row. With
        "stability", the number of times that each candidate is fitted again, from a different random initialisation
        each time. For "stability", ``init_params="auto"`` means "kmeans".
    tol : float or "auto", default 1e-6
        EM ends when a step changes the mean log-likelihood (nats per unit of sample weight) by less than `tol`. The
        default `tol` is smaller than in `GaussianMixture`, because criteria compare log-likelihoods of all rows
        together. ``tol="auto"`` has the same meaning as in `GaussianMixture`.
    check_maximum : bool or "auto", default "auto"
        Whether `fit` checks if the chosen mixture is at a maximum of the likelihood, as in `GaussianMixture`.
    reg_covar : float or "auto", default 0
        Value added to every variance, in data units². With ``reg_covar=0``, a candidate fails if one of its components
        collapses onto too few rows. With a positive `reg_covar`, a candidate with a collapsed component has a high
        likelihood and may win. ``reg_covar="auto"`` means the same as in `GaussianMixture`.
    max_iter : int, default 1000
        Largest number of EM steps of each run.
    max_time : float or None, default None
        Time limit in seconds. When the limit is reached, no new candidate is started, running candidates stop after
        their current step, and the best candidate so far is chosen. A SearchWarning is issued if candidates were
        skipped, and a ConvergenceWarning if only the additional searches of "auto" were skipped. Candidates with few
        components are fitted first, and at least one candidate is always fitted. `max_time` is not supported for the
        criteria "cv" and "stability".
    acceleration : {"auto"} or None, default None
        Whether to accelerate EM; "auto" saves EM steps if EM converges slowly, as in `GaussianMixture`.
    n_init : int, default 1
        Number of runs for each random method in `init_params`; the run with the highest likelihood is kept.
    init_params : str or list of str, default "auto"
        Method of initialising EM, as in `GaussianMixture`, except for "auto". With an information criterion, "auto"
        first fits every candidate from "hierarchical". The split-and-merge search ("search") then tries to improve all
        candidates of the best structure. The search also tries to improve every other candidate that would win if its
        criterion improved by 30 more than the largest improvement so far. ``init_params="search"`` runs the
        split-and-merge search for every candidate. A list such as ``["auto", "kmeans"]`` takes longer and sometimes
        finds a better mixture.
    noise : bool, float or Noise, default False
        Whether each candidate has a noise component for outliers, as in `GaussianMixture`.
    label_components : dict, default None
        The components that each label in the argument `labels` of `fit` allows, as in `GaussianMixture`. Every
        candidate must have all components that the labels allow. With labels, criteria use the joint likelihood of rows
        and labels.
    degenerate : {"freeze", "repair"}, default "freeze"
        What to do if a component collapses or becomes empty. With "freeze", a candidate with a collapsed component
        fails. With "repair", one half of the heaviest component replaces the collapsed component, as in
        `GaussianMixture`.
    weight_type : {"frequency", "precision"}, default "frequency"
        Meaning of `sample_weight`, as in `GaussianMixture`. With ``criterion="cv"``, a row is in a single fold,
        whatever its weight. If frequencies sum to less than 2, they are scaled so that their sum is the number of rows
        of positive weight, because criteria use the number of rows.
    prior : {"default"}, NormalInverseWishart, Dirichlet or None, default None
        Prior on the parameters, as in `GaussianMixture`. Criteria use only the likelihood, without the prior density,
        as in Fraley & Raftery (2007).
    restrictions : Restrictions or None, default None
        Constraints on the parameters, as in `GaussianMixture`. Fixed parameters of components are not supported.
    <missing>
    callbacks : list of functions or None, default None
        Functions that are called after every EM step, as in `GaussianMixture`. The record that a function receives also
        has `candidate`, the row of the candidate in `results_`. If a function returns True, the model selection ends
        with the best candidate so far. With callbacks, candidates are fitted one after the other, from few components
        to many. Callbacks are not supported for the criteria "cv" and "stability".
    random_state : int, RandomState or None, default None
        Seed of the initialisation, of the folds and of `sample`. Every candidate is initialised with the same seed.
    n_jobs : int or None, default None
        Number of candidates that are fitted at the same time; with `callbacks` or `checkpoint`, the number of threads
        of each fit. By default, all processors are used, or the number in OMP_NUM_THREADS if set, but only 4 if the
        rows are on a cluster. The result does not depend on `n_jobs`.
    checkpoint : path or None, default None
        File to which `fit` saves its progress, as in `GaussianMixture`. If `fit` was killed, the next call continues
        with the candidate that was being fitted. With a checkpoint, candidates are fitted one after the other.

    Attributes
    ----------
    n_components_, covariance_type_, n_factors_ : int, str or structure, and int or None
        The number of components and the structure of the best mixture, in the form that `GaussianMixture` accepts.
        `n_factors_` is None for a structure without factors.
    mixture_ : Mixture
        The best mixture distribution, in float64.
    results_ : dict of lists of equal length
        Table with a row for each candidate; you can pass the table to `pandas.DataFrame` or `polars.DataFrame`. The
        columns of the table are:

        * "structure" (a name, or text such as "Full(max_condition=10)" if several structures with this name differ in
          options other than `n_factors`), "n_components" and, if any structure has factors, "n_factors" (None for
          structures without factors).
        * "log_likelihood" (nats, a total), "n_parameters", and "bic", "icl", "aic" and "aicc" (lower is better).
        * With ``criterion="cv"``, "cv" (higher is better) and its standard error "cv_error".
        * With ``criterion="stability"``, "stability" (higher is better), its standard deviation "stability_sd" over
          pairs of fits, and "is_peak", which is True if the neighbouring numbers of components are less stable.
        * "converged", "n_iter" and "seconds".
        * "failure": the reason why a candidate failed, or None. The values of a failed candidate are NaN, and the
          candidate is never chosen.
        * "warning": the names of components that only `reg_covar` keeps from collapsing, or that have fewer than
          n_features + 1 distinct rows, so that criteria mean little; None if there are no such components.
    best_index_ : int
        The index of the best candidate in the lists of `results_`.
    weights_, means_, covariances_, precisions_, precisions_cholesky_ : same as in `GaussianMixture`
    loadings_, noise_variances_ : same as in `GaussianMixture`, if the best structure has factors
    converged_, n_iter_, lower_bound_, lower_bounds_, n_parameters_ : same as in `GaussianMixture`, for the best mixture
    outcome_ : Outcome
        How the fit of the best mixture ended. In addition, `reason` gives the number of candidates that were not
        started, and `diagnostics` names columns that made candidates fail.
    cutoff_ : float
        Log density (nats) below which `trim` left rows out, as in `GaussianMixture`; this attribute exists only with
        `trim`.
    labels_ : same as in `GaussianMixture`.
    n_features_in_, feature_names_in_ : as in scikit-learn.

    See Also
    --------
    GaussianMixture : fits a mixture with a given structure and number of components.

    Notes
    -----
    With an integer `random_state`, `GaussianMixture` with the same parameters fits the same mixture as a candidate. If
    `init_params` is "auto", set "hierarchical" in `GaussianMixture`, or use the better of "hierarchical" and "search"
    if the search was run for the candidate. The order of the candidates has no effect on the fits. The likelihood of a
    candidate should not be lower than the likelihood of a candidate with the same structure and fewer components. If it
    is lower, EM starts again from the mixture with fewer components, after its heaviest component was split in two. If
    two candidates have the same value of the criterion, the candidate with fewer parameters wins.

    References
    ----------
    Fraley & Raftery (2002), JASA 97, 611–631; Scrucca, Fraley, Murphy & Raftery (2023), Model-Based Clustering,
    Classification, and Density Estimation Using mclust in R; Varrone et al. (2024), Nature Genetics 56, 74–84, for
    "stability".

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixtureIC
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(0, 1, size=(200, 2)), rng.normal(8, 1, size=(100, 2))])
    >>> chosen = GaussianMixtureIC(range(1, 5), random_state=0).fit(X)
    >>> chosen.n_components_
    2
    """

    n_components: int | Iterable[int] = field(default=tuple(range(1, 10)), kw_only=False)
    covariance_type: Structure | Literal["all"] | Family | Iterable[Structure | Family] = "all"
    criterion: Literal["bic", "icl", "aic", "aicc", "cv", "stability"] = "bic"
    n_folds: int = 5
    tol: float | Literal["auto"] = 1e-6
    reg_covar: float | Literal["auto"] = 0.0
    max_iter: int = 1000

    results_: ClassVar[FittedValue[dict[str, list[Any]]]] = FittedValue()
    """Table of the candidates, as a dict from column names to lists."""
    best_index_: ClassVar[FittedValue[int]] = FittedValue()
    """Index of the best candidate in `results_`."""

    @property
    def n_components_(self) -> int:
        """Number of components of the best mixture."""
        return self.mixture_.n_components

    @property
    def covariance_type_(self) -> str | Family:
        """Covariance structure of the best mixture, in the form that `GaussianMixture` accepts."""
        return parameters.shown(self.mixture_.family)

    @property
    def n_factors_(self) -> int | None:
        """Number of factors of each component of the best mixture; None if its structure has no factors."""
        return getattr(self.mixture_.family, "n_factors", None)

    def _fit_mixture(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> None:
        for _ in self._fits(X, sample_weight, options):
            pass

    def _fits(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> Generator[Result, None, None]:
        """Yield the result of each candidate when its fit is done; then store the best mixture in the estimator."""
        check_hooks(self)
        began = perf_counter()
        criterion, n_folds = check_criterion(self.criterion), check_count("n_folds", self.n_folds, 2)
        tried, problem, plan = self._checked(X, sample_weight, options)
        if criterion == STABILITY:
            _check_repeats(tried, plan.starts)
        if criterion == CROSS_VALIDATION and (n_rows := problem.data.raw_source.row_totals.n_positive) < n_folds:
            raise ValueError(f"n_folds={n_folds}, but X has only {n_rows} rows of positive weight.")
        selection = Selection(tried, problem, plan, self.n_jobs, options)
        results = yield from selection.fit_candidates(criterion)
        failures = ((each.candidate.family, each.failure) for each in results if each.failure is not None)
        singular = [family for family, failure in failures if failure.kind.is_singular]
        causes = SingularColumns.find(problem.data.raw_source, singular)
        if not any(each.criterion_inputs for each in results):
            raise candidates.nothing_fitted_error(results, causes.describe(self._names))
        results, index, columns = yield from _choose(selection, results, criterion, n_folds)
        fitted, best_run = self._make_fitted(selection, results, index, causes, X, began)
        table = candidates.make_table(results) | {"warning": self._warnings(selection, results, index)} | columns
        self._finish(replace(fitted, results=table, best_index=index), options, best_run, X)
        if any(result.failure is not None and result.failure.kind is FailureKind.NO_TIME for result in results):
            warn(not_started_sentence(results), SearchWarning)
        started = [result for result in results if result.was_started]
        warn(relevant_failures_sentence(started, results[index], causes.describe(self._names)), SearchWarning)
        for sentence in parameters.one_feature_notes(self.covariance_type, problem.source.n_features):
            warn(sentence, SearchWarning)

    def _make_fitted(
        self,
        selection: Selection,
        results: Sequence[Result],
        index: int,
        causes: SingularColumns,
        X: RowsLike,
        began: float,
    ) -> tuple[FitResult, BestRun]:
        """Return the fit of the best candidate (`index`) and its best run, and issue warnings about this run."""
        best, not_started, plan = results[index], not_started_sentence(results), selection.plan
        assert best.final_state is not None, "failed candidates are never chosen"
        assert best.criterion_inputs is not None, "a fitted candidate has a likelihood"
        reached = best.criterion_inputs.log_likelihood / best.criterion_inputs.row_weight
        row_summary = RowSummary.from_source(selection.problem.data.raw_source, X, reached, began)
        best_run = BestRun(best.final_state, best.run_traces, selection.candidate_problem(best.candidate))
        plan = replace(plan, candidate=index, skip_reasons=plan.skip_reasons if not_started is None else {})
        fitted = make_fitted(best_run, plan, row_summary, self._names)
        assert fitted.outcome is not None, "the best candidate has been fitted"
        reason = " ".join(filter(None, [fitted.outcome.reason, not_started]))
        diagnostics = [*fitted.outcome.diagnostics, *causes.diagnose(self._names)]
        return replace(fitted, outcome=replace(fitted.outcome, reason=reason, diagnostics=diagnostics)), best_run

    def _warnings(self, selection: Selection, results: Sequence[Result], index: int) -> list[str | None]:
        """Return the column "warning" of `results_`, which names nearly collapsed components of each candidate.

        Constant columns are found in the fit of the best candidate (`index`).
        """
        problem, best, sentences = selection.problem, results[index].final_state, list[str | None]()
        assert best is not None, "failed candidates are never chosen"
        constant = find_ridge_columns(best.model, problem.objective.ridge, problem.data.raw_source)
        for result in results:
            weak = list[Diagnosis]()
            if result.final_state is not None and result.failure is None:
                candidate_problem = selection.candidate_problem(result.candidate)
                weak = diagnose_ridge(candidate_problem, result.final_state.model, constant, self._names)
            sentences.append(ridge_causes(weak) or None)
        return sentences

    def _checked(
        self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions
    ) -> tuple[list[Candidate], Problem, Plan]:
        """Check data and parameters; return the candidates, the optimisation problem and the plan of the fits."""
        check_jobs(self.n_jobs)
        names = parameters.check_start_names(self.init_params)
        if not names:
            raise ParameterTypeError(
                f"init_params must be the name of a method or a list of names, not {self.init_params!r:.60}."
            )
        starts = repeat_starts(self.init_params, names, parameters.CHECKS["n_init"](self.n_init))
        stopping = StopRule(parameters.check_tol(self.tol) or 0.0, parameters.CHECKS["max_iter"](self.max_iter))
        source = scale_fractional_weights(fit_rows(self, X, sample_weight, options))
        pairs = parameters.check_candidates(self, source.n_features)
        families = [family for family, _ in pairs]
        ridge = parameters.check_ridge(self.reg_covar, families, self.prior)
        if source.may_miss:
            check_pairs(source, families, self._names)
        problem = Problem(TrainingData(source), *pairs[0], self._engine(source), ridge)
        plan = Plan(starts, self._rng(), stopping, n_candidates=len(pairs))
        return [Candidate(*pair) for pair in pairs], *apply_options(options, problem, plan, pairs)


def _check_repeats(tried: Sequence[Candidate], starts: Sequence[Any]) -> None:
    """Raise ValueError if repeated fits cannot measure stability."""
    if all(candidate.n_components == 1 for candidate in tried):
        raise ValueError(
            f"criterion={STABILITY!r} compares labels of fits with K − 1, K and K + 1 components, so it can't "
            "judge n_components=1. Include larger numbers, such as range(2, 10), or choose another criterion."
        )
    if all(isinstance(start, str) and start in DETERMINISTIC_STARTS for start in starts):
        raise ValueError(
            f"criterion={STABILITY!r} needs a random initialisation, but with init_params={starts[0]!r} all repeated "
            "fits are equal. Set init_params to 'auto', 'kmeans' or 'search'."
        )


def _choose(
    selection: Selection, results: list[Result], criterion: str, n_folds: int
) -> Generator[Result, None, tuple[list[Result], int, dict[str, list[Any]]]]:
    """Choose the best candidate; yield the results of the further fits that the criterion needs.

    Returns
    -------
    results : results of all candidates; with "cv", a result becomes a failure if a fit without one of the folds failed.
    index : index of the best candidate.
    columns : columns that the criterion adds to the table of results.
    """
    if criterion == CROSS_VALIDATION:
        results, mean, error = yield from selection.cross_validate(results, n_folds)
        columns = {"cv": mean.tolist(), "cv_error": error.tolist()}
        return results, candidates.select_within_error(results, mean, error), columns
    if criterion == STABILITY:
        mean, error = yield from selection.repeat_fits(n_folds)
        mean = np.where([result.failure is None for result in results], mean, np.nan)
        if np.isnan(mean).all():
            raise NothingFitted(
                f"{INCOMPLETE_REPEATS} any candidate by stability. Choose another criterion, or other n_components."
            )
        is_peak = find_peaks([result.candidate for result in results], mean)
        columns = {"stability": mean.tolist(), "stability_sd": error.tolist(), "is_peak": is_peak}
        return results, candidates.select_lowest(results, -mean), columns
    return results, candidates.select_lowest(results, np.array(candidates.make_table(results)[criterion])), {}


def as_single(selected: GaussianMixtureIC) -> GaussianMixture:
    """Return a fitted `GaussianMixture` with the best mixture and the parameters of a model selection."""
    names = GaussianMixture._get_param_names()
    settings = {name: value for name, value in selected.get_params().items() if name in names}
    settings |= {"n_components": selected.n_components_, "covariance_type": selected.covariance_type_, "n_jobs": None}
    single = GaussianMixture(**settings)
    single._fitted = replace(selected._fitted, results=None, best_index=None)
    return single


def fit_stepwise(estimator: GaussianMixtureIC, X: RowsLike, labels: ArrayLike | None) -> Generator[Result, None, None]:
    """Fit as `GaussianMixtureIC.fit` does, and yield the result of each candidate when its fit is done.

    With ``criterion="cv"``, the function then yields the results of the fits that leave out each fold; with
    "stability", it then yields the results of the repeated fits. If the caller stops iterating before the end, the
    estimator is not changed.
    """
    with start_fit(estimator, X, None, None, labels, None) as (X, options):
        yield from estimator._fits(X, None, options)
