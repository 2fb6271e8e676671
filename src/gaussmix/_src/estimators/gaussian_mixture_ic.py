"""`GaussianMixtureIC`: the structure and the number of components chosen by a criterion."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.checks import check_count
from gaussmix._src.em.initialisation.base import DETERMINISTIC_STARTS
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.engines import check_jobs
from gaussmix._src.errors import FailureKind, NothingFitted, ParameterTypeError, warn
from gaussmix._src.estimators.base import FittedValue
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.fitting import check_hooks, fit_rows, make_fitted, start_fit, with_features
from gaussmix._src.estimators.gaussian_mixture import GaussianMixture
from gaussmix._src.estimators.likelihood_estimator import LikelihoodEstimator
from gaussmix._src.families import Family, Structure
from gaussmix._src.fit import candidates
from gaussmix._src.fit.after.diagnostics import SingularColumns, diagnose_ridge, find_ridge_columns
from gaussmix._src.fit.after.stability import find_peaks
from gaussmix._src.fit.candidates import Candidate, Result
from gaussmix._src.fit.criteria import CROSS_VALIDATION, STABILITY, check_criterion
from gaussmix._src.fit.features.base import FitOptions
from gaussmix._src.fit.fitted import Diagnosis, RowSummary
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.fit.search import Search
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.report.messages import (
    INCOMPLETE_REPEATS,
    SearchWarning,
    dropped_sentence,
    not_started_sentence,
    ridge_causes,
)
from gaussmix._src.validation import parameters
from gaussmix._src.validation.incomplete import check_pairs
from gaussmix._src.validation.rows import RowsLike, check_counts_of_rows


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class GaussianMixtureIC(LikelihoodEstimator):
    """Gaussian mixture whose structure and number of components are chosen by a criterion, as `LassoLarsIC` chooses.

    Every pair is fitted, from the same starts for all structures; after `fit` the estimator is the best mixture.

    Parameters
    ----------
    n_components : int or iterable of int, default 1 … 9
        Numbers of components to try, such as ``range(1, 10)``.
    covariance_type : str, structure or list of these, default "all"
        Structures to try, as `GaussianMixture` takes them: ``["full", *map(FactorAnalyzer, range(1, 4))]``.

        <all>
    trim : float, default 0
        Share of the row weight that every candidate leaves out, as for `GaussianMixture`; criteria are those of the
        rows it keeps. Compare some shares: with a small one, more components take the outliers.
    criterion : {"bic", "icl", "aic", "aicc", "cv", "stability"}, default "bic"
        The criterion. With "bic" (Schwarz 1978), "icl" (Biernacki, Celeux & Govaert 2000), "aic" (Akaike 1974) and
        "aicc" (Hurvich & Tsai 1989) the lowest wins; mclust's have the opposite sign. "cv" is the mean log-likelihood
        of held-out rows, nats per unit of sample weight. The candidate with the fewest parameters wins among those
        within one standard error of the highest. "stability" is how well the labels of repeated fits agree with those
        of repeats with one component less and one more, from 0 to 1; the highest wins. Where groups are clear, it often
        takes one too many, and it never takes one: see the peaks in `results_` too.
    n_folds : int, default 5
        Parts that "cv" cuts the rows into, at random; their sizes differ by at most one row. For "stability", how often
        each candidate is fitted again, from other draws of the starts, with k-means for "auto".
    tol : float or "auto", default 1e-6
        EM ends when a step changes the mean log-likelihood (nats per unit of sample weight) by less. Criteria
        compare totals, so the default is smaller than that of `GaussianMixture`. "auto" as for `GaussianMixture`.
    check_maximum : bool or "auto", default "auto"
        Whether to find out if the chosen mixture is at a maximum, as for `GaussianMixture`.
    reg_covar : float or "auto", default 0
        Added to every variance, data units². With 0 a component that falls onto too few rows has no likelihood, and
        its candidate fails; a ridge would give it one that wins. See `GaussianMixture` for "auto".
    max_iter : int, default 1000
        Limit on EM steps.
    max_time : float or None, default None
        Seconds after which no more candidates are begun, and those that are being fitted end after a step. The best of
        the candidates that were fitted is chosen, with a SearchWarning if some were not, and a ConvergenceWarning if
        only searches that "auto" adds were left out; the search goes on until there is one. Those with the fewest
        components come first. Not for "cv" and "stability", which fit every candidate several times.
    acceleration : {"auto"} or None, default None
        As for `GaussianMixture`.
    n_init : int, default 1
        Number of starts of each kind that draws.
    init_params : str or list of str, default "auto"
        Starts, as for `GaussianMixture`; the run with the largest likelihood is kept. A second start,
        ``["auto", "kmeans"]``, takes longer and sometimes finds a better mixture. "auto" is as for `GaussianMixture`,
        with "hierarchical" instead of k-means. Where a criterion of information chooses, every candidate starts from
        "hierarchical", and "search" follows for those that can win: all of the best structure, and those that would be
        the best if a search lowered their criterion as much as the largest fall so far. "search" searches for all.
    noise : bool, float or Noise, default False
        A uniform background in each candidate, as for `GaussianMixture`.
    label_components : dict, default None
        The components of each label in `labels` of `fit`, as for `GaussianMixture`. Every number of components that is
        tried must have those that the labels name. With labels, criteria are of the likelihood of rows and labels.
    degenerate : {"freeze", "repair"}, default "freeze"
        What to do with a component that collapses or loses its mass: a candidate with one that is frozen after its
        collapse fails; "repair" puts one half of the heaviest component in its place, as for `GaussianMixture`.
    weight_type : {"frequency", "precision"}, default "frequency"
        What `sample_weight` says, as for `GaussianMixture`. For "cv" a row of any weight is one row, in one fold.
        Frequencies that sum to less than two rows are scaled to sum to the number of rows of positive weight, because
        criteria count rows.
    prior : {"default"}, NormalInverseWishart, Dirichlet or None, default None
        As for `GaussianMixture`. Criteria are made of the likelihood alone, as Fraley & Raftery (2007) make them.
    restrictions : Restrictions or None, default None
        As for `GaussianMixture`, without fixed parameters of components.
    <missing>
    callbacks : list of functions or None, default None
        Each is called after every step of EM with a record, as for `GaussianMixture`, which also has `candidate`, the
        row of `results_`. One that returns True ends the search, which keeps the best of the candidates that were
        begun. Candidates are then fitted one after the other, those with the fewest components first. Not for "cv" and
        "stability".
    random_state : int, RandomState or None, default None
        Seed of the starts, the same for every candidate, of the folds and of `sample`.
    n_jobs : int or None, default None
        Candidates fitted at a time; with `callbacks` or `checkpoint`, threads of each. None for every processor (or
        OMP_NUM_THREADS), and 4 where a cluster has the rows. Changes no result.
    checkpoint : path or None, default None
        A file in which `fit` notes where it stands, as for `GaussianMixture`. A search that was killed goes on at the
        candidate where it stood. Candidates are then fitted one after the other.

    Attributes
    ----------
    n_components_, covariance_type_, n_factors_ : int, str or structure, and int or None
        What was chosen, as `GaussianMixture` takes it; `n_factors_` is None for a structure without factors.
    mixture_ : Mixture
        The best mixture itself, in float64.
    results_ : dict of lists of equal length
        A row for each candidate, as `pandas.DataFrame` and `polars.DataFrame` take it: "structure" (its name, or the
        value where several of one name have other options than `n_factors`), "n_components", where some have factors
        "n_factors" (None for other structures), "log_likelihood" (nats, a total), "n_parameters", "bic", "icl", "aic",
        "aicc" (lower is better), with ``criterion="cv"`` also "cv" (higher is better) and "cv_error", with "stability"
        also "stability" (higher is better), "stability_sd" over pairs of repeats, and "is_peak": whether it is higher
        than that of the neighbours in the table; "converged", "n_iter", "seconds", and "failure": why a candidate has
        no numbers (NaN), None if it has. Such a candidate is never chosen. "warning" names components that rest on
        `reg_covar` or have fewer distinct rows than columns + 1, so that criteria say little; None without any.
    best_index_ : int
        The row of `results_` that was chosen.
    weights_, means_, covariances_, precisions_, precisions_cholesky_ : as for `GaussianMixture`
    loadings_, noise_variances_ : as for `GaussianMixture`, where the best has factors
    converged_, n_iter_, lower_bound_, lower_bounds_, n_parameters_ : of the best mixture, as for `GaussianMixture`
    outcome_ : record
        How the fit of the best mixture ended, as for `GaussianMixture`. Its `reason` also says how many candidates were
        not begun, and its `diagnostics` also name columns that made candidates fail.
    cutoff_ : float
        As for `GaussianMixture`; only with `trim`.
    labels_ : as for `GaussianMixture`.
    n_features_in_, feature_names_in_ : as in scikit-learn.

    See Also
    --------
    GaussianMixture : one structure and one number of components.

    Notes
    -----
    With an integer `random_state`, every row of the table is the mixture that `GaussianMixture` fits with the same
    parameters, where "auto" stands for "hierarchical", or for the better of it and "search" where the candidate could
    win; the order of the candidates does not change it. The exception is a row that ends with a lower
    likelihood than one of the same structure with fewer components. EM then starts once more from that mixture, with
    its heaviest component split in two. Among equal criteria, fewer parameters win.

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
    """A list for each column of the table of candidates."""
    best_index_: ClassVar[FittedValue[int]] = FittedValue()
    """Index of the best candidate in `results_`."""

    @property
    def n_components_(self) -> int:
        """Number of components of the best mixture."""
        return self.mixture_.n_components

    @property
    def covariance_type_(self) -> str | Family:
        """Structure of the best mixture, as `GaussianMixture` takes it."""
        return parameters.shown(self.mixture_.family)

    @property
    def n_factors_(self) -> int | None:
        """Number of factors of each component of the best mixture; None where its structure has none."""
        return getattr(self.mixture_.family, "n_factors", None)

    def _find(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> None:
        for _ in self._fits(X, sample_weight, options):
            pass

    def _fits(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> Generator[Result, None, None]:
        """Yield what became of each fit when it is done; the estimator is fitted at the end."""
        check_hooks(self)
        began = perf_counter()
        criterion, n_folds = check_criterion(self.criterion), check_count("n_folds", self.n_folds, 2)
        tried, problem, plan = self._checked(X, sample_weight, options)
        source = problem.data.raw_source
        if criterion == STABILITY:
            _check_repeats(tried, plan.starts)
        if criterion == CROSS_VALIDATION and (n_rows := source.row_totals.n_positive) < n_folds:
            raise ValueError(f"n_folds={n_folds}, but there are only {n_rows} rows (of positive weight).")
        search = Search(tried, problem, plan, self.n_jobs, options)
        results = yield from search.results(criterion)
        started = [result for result in results if result.was_started]
        failed = [result.candidate.family for result in started if result.failure is not None]
        causes, has_fit = SingularColumns.find(source, failed), any(each.criterion_inputs for each in results)
        if not has_fit:
            raise candidates.nothing_fitted_error(results, causes.describe(self._names))
        if criterion == CROSS_VALIDATION:
            results, mean, error = yield from search.cross_validate(results, n_folds)
            index = candidates.select_within_error(results, mean, error)
            more = {"cv": mean.tolist(), "cv_error": error.tolist()}
        elif criterion == STABILITY:
            index, more = _choose_stable(results, *(yield from search.repeat_fits(n_folds)))
        else:
            index, more = candidates.select_lowest(results, np.array(candidates.make_table(results)[criterion])), {}
        best, not_started = results[index], not_started_sentence(results)
        assert best.final_state is not None, "what failed is never chosen"
        constant = find_ridge_columns(best.final_state.model, problem.objective.ridge, source)
        table = candidates.make_table(results) | {"warning": self._warnings(search, results, constant)} | more
        assert best.criterion_inputs is not None, "what has a run has a likelihood"
        reached = best.criterion_inputs.log_likelihood / best.criterion_inputs.row_weight
        facts = RowSummary.from_source(source, X, reached, began)
        of_best = search.candidate_problem(best.candidate)
        fitted = make_fitted(
            of_best, plan, best.final_state, best.run_traces, facts, self._names,
            candidate=index, of_search=causes.diagnose_columns(self._names), not_started=not_started,
        )  # fmt: skip
        self._finish(replace(fitted, results=table, best_index=index), options, of_best, best.final_state, X)
        if any(result.failure is not None and result.failure.kind is FailureKind.NO_TIME for result in results):
            warn(not_started, SearchWarning)
        sentence = dropped_sentence([each for each in results if each.was_started], best, causes.describe(self._names))
        warn(sentence, SearchWarning)
        for sentence in parameters.one_feature_notes(self.covariance_type) if source.n_features == 1 else ():
            warn(sentence, SearchWarning)

    def _warnings(self, search: Search, results: Sequence[Result], constant: Sequence[int]) -> list[str | None]:
        """Name the components of each candidate with few distinct rows or on the ridge; None if there are none."""
        sentences = list[str | None]()
        for result in results:
            weak = list[Diagnosis]()
            if result.final_state is not None and result.failure is None:
                of_one = search.candidate_problem(result.candidate)
                weak = diagnose_ridge(of_one, result.final_state.model, constant, self._names)
            sentences.append(ridge_causes(weak) or None)
        return sentences

    def _checked(
        self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions
    ) -> tuple[list[Candidate], Problem, Plan]:
        """What a search tries, and how, from everything that the user passed."""
        check_jobs(self.n_jobs)
        names = parameters.check_start_names(self.init_params)
        if not names:
            raise ParameterTypeError(
                f"init_params must be the name of a start or several, not {self.init_params!r:.60}."
            )
        starts = Plan.repeat_starts(self.init_params, names, parameters.CHECKS["n_init"](self.n_init))
        stopping = StopRule(parameters.check_tol(self.tol) or 0.0, parameters.CHECKS["max_iter"](self.max_iter))
        source = check_counts_of_rows(fit_rows(self, X, sample_weight, options))
        pairs = parameters.check_candidates(self, source.n_features)
        families = [family for family, _ in pairs]
        ridge = parameters.check_ridge(self.reg_covar, families, self.prior)
        if source.may_miss:
            check_pairs(source, families, self._names)
        problem = Problem(TrainingData(source), *pairs[0], self._engine(source), ridge)
        plan = Plan(starts, self._rng(), stopping, n_candidates=len(pairs))
        return [Candidate(*pair) for pair in pairs], *with_features(options, problem, plan, pairs)


def _check_repeats(tried: Sequence[Candidate], starts: Sequence[Any]) -> None:
    """Raise ValueError for what repeated fits can't judge."""
    if all(candidate.n_components == 1 for candidate in tried):
        raise ValueError(
            f"criterion={STABILITY!r} compares labels of K components with those of K − 1 and K + 1, and can't judge "
            "n_components=1. Give larger numbers, such as range(2, 10), or choose another criterion."
        )
    if all(isinstance(start, str) and start in DETERMINISTIC_STARTS for start in starts):
        raise ValueError(
            f"criterion={STABILITY!r} needs a start that draws, and init_params={starts[0]!r} makes all repeats equal. "
            "Give 'auto', 'kmeans' or 'search'."
        )


def _choose_stable(results: Sequence[Result], mean: Array, error: Array) -> tuple[int, dict[str, list[Any]]]:
    """The most stable, and columns of the table; `mean` and `error` (n_results,) are of pairs of repeats."""
    mean = np.where([result.failure is None for result in results], mean, np.nan)
    if np.isnan(mean).all():
        raise NothingFitted(
            f"{INCOMPLETE_REPEATS} any candidate by stability. Choose another criterion, or other n_components."
        )
    is_peak = find_peaks([result.candidate for result in results], mean)
    of_pairs = {"stability": mean.tolist(), "stability_sd": error.tolist(), "is_peak": is_peak}
    return candidates.select_lowest(results, -mean), of_pairs


def as_single(search: GaussianMixtureIC) -> GaussianMixture:
    """The `GaussianMixture` that ends with the mixture that a search has chosen, with the same parameters."""
    names = GaussianMixture._get_param_names()
    settings = {name: value for name, value in search.get_params().items() if name in names}
    settings |= {"n_components": search.n_components_, "covariance_type": search.covariance_type_, "n_jobs": None}
    single = GaussianMixture(**settings)
    single._fitted = replace(search._fitted, results=None, best_index=None)
    return single


def fit_stepwise(search: GaussianMixtureIC, X: RowsLike, labels: ArrayLike | None) -> Generator[Result, None, None]:
    """Fit as `GaussianMixtureIC.fit` does, and yield what became of each candidate when it is done.

    With ``criterion="cv"`` the fits without each fold follow, with "stability" the repeats. Who stops iterating leaves
    the estimator as it was.
    """
    with start_fit(search, X, None, None, labels, None) as (X, options):
        yield from search._fits(X, None, options)
