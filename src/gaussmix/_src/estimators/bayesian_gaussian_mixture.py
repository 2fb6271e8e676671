"""`BayesianGaussianMixture`: a counterpart of scikit-learn's estimator, with split-and-merge moves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import Final, Literal

from numpy.typing import ArrayLike

from gaussmix._src.checks import check_count, check_nonnegative
from gaussmix._src.em.bayes.variational import VariationalObjective
from gaussmix._src.em.initialisation.base import Initialisation, repeat_starts
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.errors import warn
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.fitting import apply_options, check_hooks, fit_rows, make_fitted
from gaussmix._src.estimators.posterior_estimator import PosteriorEstimator
from gaussmix._src.families import Structure
from gaussmix._src.families.base import Family, check_features
from gaussmix._src.fit.bound_moves import VariationalMoves
from gaussmix._src.fit.fit import fit
from gaussmix._src.fit.fitted import RowSummary
from gaussmix._src.fit.options.base import FitOptions
from gaussmix._src.fit.plan import ModelStart, Plan
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.model import Model
from gaussmix._src.sources.base import has_values
from gaussmix._src.sources.row_statistics import Cells
from gaussmix._src.validation.incomplete import check_pairs
from gaussmix._src.validation.parameters import CHECKS, check_flag, check_ridge_number, check_start_names
from gaussmix._src.validation.priors import TYPES, check_conjugate, check_prior
from gaussmix._src.validation.rows import RowsLike, check_enough_rows, scale_fractional_weights

BIRTH: Final = "birth"


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class BayesianGaussianMixture(PosteriorEstimator):
    """Gaussian mixture fitted by variational Bayes, with the names of `sklearn.mixture.BayesianGaussianMixture`.

    The prior is conjugate. The posterior is approximated by a distribution in which the weights, the means and
    covariances, and the component labels of the rows are independent. `fit` maximises a lower bound on the log
    evidence. Because the lower bound contains all constants, you can use it to compare fits with different numbers of
    components, structures and priors.

    Parameters
    ----------
    n_components : int, default 1
        The largest number of components. With `split_merge`, some of the `n_components` components may end without
        rows.
    covariance_type : {"full", "tied", "diag", "spherical", "EEI", "EII"}, default "full"
        Covariance structure, as in `GaussianMixture`. Other structures are not available, because they have no
        conjugate prior. mclust's names are also allowed, for example "VVV" for "full".
    tol : float, default 1e-3
        A run ends when a step changes `lower_bound_` (nats, for all rows) by less than `tol`, as in scikit-learn.
    reg_covar : float, default 0
        Value added to every variance, in data units². 0 suits most data, because the prior keeps covariances positive
        definite. `lower_bound_` may fall slightly in a step if `reg_covar` is above 0, or if `covariance_prior` is None
        and the covariance of X is singular.
    max_iter : int, default 100
        Largest number of steps in each run, and in each of the fits that ``init_params="birth"`` compares; 0 returns
        the initial mixture.
    max_time : float or None, default None
        Time limit in seconds. When the limit is reached, `fit` stops after the current step, as in `GaussianMixture`.
    n_init : int, default 1
        Number of runs for each random method or function in `init_params`; the run with the highest bound is kept.
    init_params : str, list of str, array or callable, default "birth"
        Method of initialisation. "birth" begins with one component and repeatedly splits components. Because splits may
        miss clusters that only several splits together separate, `fit` also makes fits from k-means, and keeps the fit
        with the highest bound. If X has more than 65,520 rows, these fits read a sample of the rows, and the best of
        them is continued on all rows. These fits also leave out measurement errors. All values that `GaussianMixture`
        allows for `init_params`, such as "kmeans", are also allowed. With `split_merge`, a fit from "random" often ends
        at the same bound as a fit from "birth".
    split_merge : bool, default True
        Whether `fit` splits, merges and deletes components if this raises the lower bound (Hughes & Sudderth 2013). A
        component is also deleted if the deletion lowers the bound by less than 0.001 nats. With ``split_merge=False``,
        `fit` takes the same steps as scikit-learn for the structure "full". You must set ``split_merge=False`` with
        `labels`, because labels are indices of components. ``init_params="birth"`` requires True.
    weight_concentration_prior_type : {"dirichlet_process", "dirichlet_distribution"}, default "dirichlet_process"
        Prior on the weights: a Dirichlet process (stick-breaking) or a Dirichlet distribution.
    weight_concentration_prior : float or None, default None
        Concentration α of the Dirichlet process, or of each component of the Dirichlet distribution, as a number of
        rows, at most 1e9. By default, α is 1 / n_components.
    mean_precision_prior : float or None, default None
        Weight β of the prior on the means, as a number of rows: μ | Σ ~ N(m, Σ / β). None means 1.
    mean_prior : array-like (n_features,) or None, default None
        Prior mean m, in data units. By default, m is the mean of X.
    degrees_of_freedom_prior : float or None, default None
        Degrees of freedom ν of the prior on the covariances; at most 1e9, and above n_features − 1 if covariances are
        matrices. None means n_features.
    covariance_prior : float, array-like or None, default None
        Scale S of the prior on the covariances, in data units²: Σ⁻¹ ~ W(ν, S⁻¹). S has shape (n_features, n_features)
        for "full" and "tied", (n_features,) for "diag" and "EEI", and () for "spherical" and "EII". By default, S is
        the covariance of X, the diagonal of this covariance, or the mean of the diagonal. If values are missing, each
        correlation is computed from the rows in which both features are observed. If X has no more rows than features,
        correlations in S are set to 0. If the covariance of X is singular, `reg_covar` is added to the diagonal of S.
        If S is singular even with `reg_covar`, the automatic `reg_covar` of `GaussianMixture` is used for S and in each
        step.
    weight_type : {"frequency", "precision"}, default "frequency"
        Meaning of `sample_weight`, as in `GaussianMixture`.
    random_state : int, RandomState or None, default None
        Seed of the initialisation, the split-and-merge moves and `sample`.
    warm_start : bool, default False
        Whether `fit` ignores `init_params` and starts from the previous fit, if that fit has the same covariance
        structure.
    <missing>
    callbacks : list of functions or None, default None
        Functions that are called with a record after every step that `n_iter_` counts. In the record,
        `log_likelihood` is the part of the lower bound that is a sum over rows, divided by the number of rows.
    verbose, verbose_interval : int, default 0 and 10
        If `verbose` is positive, `fit` prints progress every `verbose_interval` steps; ``verbose=2`` also prints times.
    n_jobs : int or None, default None
        Number of threads, as in `GaussianMixture`. The result does not depend on `n_jobs`.

    Attributes
    ----------
    weights_ : (n_components,)
        Posterior means of the weights. For a Dirichlet process, the means of the weights are scaled to sum to 1, as in
        scikit-learn.
    means_ : (n_components, n_features), in data units
        Posterior means of the component means.
    covariances_, precisions_, precisions_cholesky_ : data units², 1 / data units², and 1 / data units
        The precisions are the posterior means, ν S⁻¹, and the covariances are the inverses of these means. The shapes
        are the same as in `GaussianMixture`.
    mass_ : (n_components,)
        Expected number of rows in each component: the sum of row weights times responsibilities. For a component
        without rows, all other attributes have the values of the prior.
    weight_concentration_ : (n_components,), or a tuple of two such arrays
        Posterior parameters of the weights. For a Dirichlet distribution, the array contains the concentration of each
        component. For a Dirichlet process, the two arrays contain the parameters of the Beta distribution of each
        component's stick-breaking fraction, including the last component.
    mean_precision_, degrees_of_freedom_ : (n_components,)
        Posterior values of the weight β of the means and of the degrees of freedom ν. If all components share one
        covariance, ν is a single number: the prior ν plus the number of rows.
    weight_concentration_prior_, mean_precision_prior_, mean_prior_, degrees_of_freedom_prior_, covariance_prior_
        The values of the prior that `fit` used; `weight_concentration_prior_type_` is the type of the weights' prior.
    lower_bound_, lower_bounds_ : float and list of float
        The lower bound on the log evidence, in nats for all rows, in the best run: `lower_bound_` is the value before
        the last step, and `lower_bounds_` has the value at each step that `n_iter_` counts.
    posterior_ : MixturePosterior
        The approximate posterior distribution, from which you can draw mixtures and compute credible intervals.
    mixture_ : Mixture
        The mixture of `weights_`, `means_` and `covariances_`; you cannot set `mixture_`.
    converged_, n_iter_, outcome_ : same as in `GaussianMixture`
        `n_iter_` counts neither split-and-merge moves nor the steps of the fits that ``init_params="birth"`` compares.
        If X has a single feature, `n_iter_` also does not count steps on a condensed version of the rows.
    n_features_in_, feature_names_in_ : as in scikit-learn.

    See Also
    --------
    gaussmix.GaussianMixture : fits by maximum likelihood or, with a prior, by maximum a posteriori; all structures.

    Notes
    -----
    `predict_proba` returns the responsibilities under the posterior (Bishop, eq. 10.49), which are 0 for components
    without rows. The lower bound also contains all constants for missing values, labels and weights, and for rows in
    files or on a cluster. Missing values are latent variables, as are the error-free values if X has measurement
    errors; the approximate posterior treats these latent variables as independent of the parameters, so that credible
    intervals are too narrow. Rows without any observed value are left out.

    References
    ----------
    Attias (2000), NIPS 12; Bishop (2006), Pattern Recognition and Machine Learning, 10.2; Blei & Jordan (2006),
    Bayesian Analysis 1; Kurihara, Welling & Teh (2007), IJCAI; Hughes & Sudderth (2013), NIPS 26.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import BayesianGaussianMixture
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(place, 1.0, size=(200, 2)) for place in (0.0, 6.0, 12.0)])
    >>> found = BayesianGaussianMixture(20, random_state=0).fit(X)
    >>> int((found.mass_ > 0).sum())
    3
    """

    n_components: int = field(default=1, kw_only=False)
    covariance_type: Structure | Family = "full"
    tol: float = 1e-3
    reg_covar: float = 0.0
    init_params: Initialisation | Literal["birth"] = BIRTH
    split_merge: bool = True
    weight_concentration_prior_type: str = TYPES[0]
    weight_concentration_prior: float | None = None
    mean_precision_prior: float | None = None
    mean_prior: ArrayLike | None = None
    degrees_of_freedom_prior: float | None = None
    covariance_prior: ArrayLike | None = None
    warm_start: bool = False
    verbose: int = 0
    verbose_interval: int = 10

    def _fit_mixture(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> None:
        began = perf_counter()
        problem, plan = self._checked(X, sample_weight, options)
        warn(check_features(self.covariance_type, problem.source.n_features))
        best = fit(problem, plan, options)
        row_summary = RowSummary.from_source(problem.data.raw_source, X, None, began)
        fitted = make_fitted(best, plan, row_summary, self._names)
        objective = problem.objective
        assert isinstance(objective, VariationalObjective), "`check_prior` makes this objective"
        model = self._keep_posterior(objective.variational_posterior(best.final_state.model), self.n_components)
        self._finish(replace(fitted, model=model), options, best, X)

    def _checked(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> tuple[Problem, Plan]:
        """Check the data and all parameters; return the optimisation problem and the plan of the fit."""
        check_hooks(self)
        n_components, family = check_count("n_components", self.n_components, 1), check_conjugate(self)
        tolerance, max_steps = check_nonnegative("tol", self.tol), CHECKS["max_iter"](self.max_iter)
        if isinstance(self.reg_covar, str) and self.reg_covar == "auto":
            raise ValueError('reg_covar="auto" is not available here: the prior prevents collapse. Set reg_covar=0.')
        n_init, ridge = CHECKS["n_init"](self.n_init), check_ridge_number(self.reg_covar)
        has_moves = check_flag("split_merge", self.split_merge)
        is_birth = isinstance(self.init_params, str) and self.init_params == BIRTH
        if is_birth and not has_moves:
            raise ValueError('init_params="birth" needs split_merge=True. Choose another value, such as "kmeans".')
        names = ("kmeans",) if is_birth else check_start_names(self.init_params, BIRTH)
        source = scale_fractional_weights(fit_rows(self, X, sample_weight, options))
        cells, n_initial = source.collect(Cells) if source.may_miss else None, 1 if is_birth else n_components
        n_empty, empty_weight = (0, 0.0) if cells is None else (cells.n_empty, cells.empty_weight)
        terms = check_prior(self, family, n_components, source.n_features, ridge)
        if source.may_miss:
            check_pairs(source, [family], self._names)
        problem = Problem(TrainingData(source), family, n_initial, self._engine(source), ridge, terms=terms)
        starts = repeat_starts("kmeans" if is_birth else self.init_params, names, n_init)
        plan = Plan(
            starts,
            self._rng(),
            StopRule(tolerance / (source.row_totals.total_weight - empty_weight), max_steps),
            is_accelerated=has_moves,  # Without split-and-merge moves, every step is the same as in scikit-learn.
            make_moves=partial(VariationalMoves, n_components) if has_moves else None,
            check_maximum=False,
            can_run_in_core=False,
        )
        problem, plan = apply_options(options, problem, plan, [(family, n_components)])
        if n_empty:  # The approximation would count rows without observed values as evidence.
            problem = replace(problem, data=problem.data.select_rows(has_values, source.n_rows - n_empty))
        if not isinstance(plan.starts[0], ModelStart):  # With `warm_start`, there may be fewer rows than components.
            advice = 'Lower n_components, or set init_params="birth" and split_merge=True.'
            check_enough_rows(problem.data.raw_source, n_initial, advice)
        return problem, plan

    def _model_start(self, problem: Problem) -> ModelStart | None:
        """Return the previous fit as an initialisation, or None if there is no previous fit that suits the problem."""
        if not hasattr(self, "mass_") or len(self._occupied) > self.n_components:
            return None
        family, mixture = problem.family, self.mixture_
        if mixture.family != family or mixture.n_features != problem.source.n_features:
            return None
        q, total = self._approximation, float(self.mass_.sum())
        if len(q.counts) > self.n_components:
            q = q.take(self._occupied)
        return ModelStart(Model(q.counts / total, q.means, q.covariances, family), self.lower_bound_ / total)
