"""`BayesianGaussianMixture`: scikit-learn's estimator, with the exact bound and births of components."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import Final, Literal

from numpy.typing import ArrayLike

from gaussmix._src.checks import check_count
from gaussmix._src.em.bayes.variational import VariationalObjective
from gaussmix._src.em.initialisation.base import Initialisation
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.errors import warn
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.fitting import check_hooks, fit_rows, make_fitted, with_features
from gaussmix._src.estimators.posterior_estimator import PosteriorEstimator
from gaussmix._src.families import Structure
from gaussmix._src.families.base import Family, check_features
from gaussmix._src.fit.bound_moves import VariationalMoves
from gaussmix._src.fit.features.base import FitOptions
from gaussmix._src.fit.fit import fit
from gaussmix._src.fit.fitted import RowSummary
from gaussmix._src.fit.plan import ModelStart, Plan, SizedStart
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.model import Model
from gaussmix._src.validation.incomplete import check_pairs
from gaussmix._src.validation.parameters import CHECKS, check_flag, check_ridge, check_start_names
from gaussmix._src.validation.priors import TYPES, check_conjugate, check_prior
from gaussmix._src.validation.rows import RowsLike, check_counts_of_rows, check_enough_rows

BIRTH: Final = "birth"
MAX_ROWS_OF_KMEANS = 5_000  # with more, births alone: a start from k-means takes as long as they do


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class BayesianGaussianMixture(PosteriorEstimator):
    """Variational Bayes of a Gaussian mixture, with the names of `sklearn.mixture.BayesianGaussianMixture`.

    The prior is conjugate, and the posterior is approximated by one in which the weights, the means and covariances,
    and the components of the rows are independent. `fit` raises a lower bound of the log evidence, which has every
    constant: fits of other numbers of components, structures and priors can be compared by it.

    Parameters
    ----------
    n_components : int, default 1
        The largest number of components. With `split_merge` it is a limit, and the data decide how many have rows.
    covariance_type : {"full", "tied", "diag", "spherical", "EEI", "EII"}, default "full"
        As for `GaussianMixture`. Only these, also by mclust's other names, have a conjugate prior.
    tol : float, default 1e-3
        A run ends when a step changes `lower_bound_` (nats, of all rows) by less, as in scikit-learn.
    reg_covar : float, default 0
        Added to every variance, data units². The prior keeps covariances positive definite, so 0 is right for most
        data. `lower_bound_` may fall slightly in a step if `reg_covar` is above 0, or if `covariance_prior` is None and
        the covariance of X is singular.
    max_iter : int, default 100
        Limit on steps; 0 returns the start.
    max_time : float or None, default None
        Seconds after which `fit` ends with what it has, as for `GaussianMixture`.
    n_init : int, default 1
        Number of starts of each kind; the run with the largest `lower_bound_` is kept.
    init_params : str, list of str, array or callable, default "birth"
        "birth" begins with one component, and where X has one feature or fewer than 5,000 rows also with k-means; the
        higher bound is kept. Others are the starts of `GaussianMixture`, such as scikit-learn's "kmeans". With
        `split_merge`, moves go on from any start, so that "random" often ends where "birth" does.
    split_merge : bool, default True
        Whether components are split, merged and deleted where that raises the bound (Hughes & Sudderth 2013). A
        component is also deleted where the bound without it is less than 0.001 nats lower. False is scikit-learn's
        course; `init_params` must then be another than "birth". With `labels`, which name components by number, moves
        must be False.
    weight_concentration_prior_type : {"dirichlet_process", "dirichlet_distribution"}, default "dirichlet_process"
        The prior of the weights: sticks, or a Dirichlet distribution.
    weight_concentration_prior : float or None, default None
        α, in rows, at most 1e9: the concentration of the process, or of each component. 1 / n_components by default.
    mean_precision_prior : float or None, default None
        β, in rows: μ | Σ ~ N(m, Σ / β). 1 by default.
    mean_prior : array-like (n_features,) or None, default None
        m, data units; the mean of X by default.
    degrees_of_freedom_prior : float or None, default None
        ν, in rows, at most 1e9; above n_features − 1 for matrices. n_features by default.
    covariance_prior : float, array-like or None, default None
        S, data units²: Σ⁻¹ ~ W(ν, S⁻¹). (n_features, n_features) for matrices, (n_features,) for variances, a number
        for one variance. The covariance of X by default, or its diagonal, or the mean of the diagonal. If that
        covariance is singular to working precision, because a column is constant or follows from others, `reg_covar` is
        added to its diagonal. If `reg_covar` is 0 or too small, the automatic ridge of `GaussianMixture`, at least a
        millionth of each variance, takes its place, in the prior and in each step. If X has no more rows than features,
        correlations are left out.
    weight_type : {"frequency", "precision"}, default "frequency"
        What `sample_weight` says, as for `GaussianMixture`.
    random_state : int, RandomState or None, default None
        Seed of the starts, the moves and `sample`.
    warm_start : bool, default False
        Continue from the last fit instead of starting again.
    <missing>
    callbacks : list of functions or None, default None
        As for `GaussianMixture`; `log_likelihood` is the part of the bound that is a sum over rows, per row.
    verbose, verbose_interval : int, default 0 and 10
        Print progress every so many steps; times too where `verbose` is 2.
    n_jobs : int or None, default None
        Threads; None for every processor (or OMP_NUM_THREADS). The result is the same for any number.

    Attributes
    ----------
    weights_ : (n_components,)
        Their means under the posterior; for a process scaled to sum to 1, as in scikit-learn.
    means_ : (n_components, n_features), data units
    covariances_, precisions_, precisions_cholesky_ : data units² and their inverses
        The precisions are their means under the posterior, ν S⁻¹. Shapes as for `GaussianMixture`.
    mass_ : (n_components,)
        Rows in each component, Σ s r; 0 where it has none. Its other arrays are then those of the prior.
    weight_concentration_ : (n_components,), or two of these
        Parameters of the posterior of the weights: Dirichlet, or Beta of each stick. No stick is closed.
    mean_precision_, degrees_of_freedom_ : (n_components,)
        β and ν of the posterior; ν is a number where components share a covariance: that of the prior plus all rows.
    weight_concentration_prior_, mean_precision_prior_, mean_prior_, degrees_of_freedom_prior_, covariance_prior_
        The prior that was used; `weight_concentration_prior_type_` is its type.
    lower_bound_, lower_bounds_ : float and list of float
        The bound, nats, of all rows, before the last step, at each step, and of each start.
    posterior_ : MixturePosterior
        Draws of whole mixtures, and credible intervals.
    mixture_ : Mixture
        The mixture of `weights_`, `means_` and `covariances_`. It can't be set.
    converged_, n_iter_, outcome_ : as for `GaussianMixture`
        Moves, and steps on the condensed rows of one feature, are not counted in `n_iter_`.
    n_features_in_, feature_names_in_ : as in scikit-learn.

    See Also
    --------
    gaussmix.GaussianMixture : maximum likelihood, or with ``prior=`` the most probable mixture, for all structures.

    Notes
    -----
    `predict_proba` gives the responsibilities of the posterior, Bishop eq. 10.49: 0 for components without rows.
    Missing cells, labels, weights, files and rows on a cluster leave the bound exact. With missing cells and with
    errors the posterior has them too, independent of the parameters.

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

    def _find(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> None:
        began = perf_counter()
        problem, plan = self._checked(X, sample_weight, options)
        warn(check_features(self.covariance_type, problem.source.n_features))
        run, ends, _ = fit(problem, plan, options)
        facts = RowSummary.from_source(problem.data.raw_source, X, None, began)
        fitted = make_fitted(problem, plan, run, ends, facts, self._names)
        objective = problem.objective
        assert isinstance(objective, VariationalObjective), "made by `check_prior`"
        model = self._keep_posterior(objective.variational_posterior(run.model), self.n_components)
        self._finish(replace(fitted, model=model), options, problem, run, X)

    def _checked(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> tuple[Problem, Plan]:
        """Return what is fitted and how, from everything that the user passed."""
        check_hooks(self)
        n_components, family = check_count("n_components", self.n_components, 1), check_conjugate(self)
        tolerance, max_steps = CHECKS["tol"](self.tol), CHECKS["max_iter"](self.max_iter)
        n_init, ridge = CHECKS["n_init"](self.n_init), check_ridge(self.reg_covar, [family])
        if ridge is None:
            raise ValueError('reg_covar="auto" is not for BayesianGaussianMixture: the prior does its work. Set 0.')
        has_moves = check_flag("split_merge", self.split_merge)
        is_birth = isinstance(self.init_params, str) and self.init_params == BIRTH
        if is_birth and not has_moves:
            raise ValueError('init_params="birth" needs split_merge=True. Choose another start, such as "kmeans".')
        names = ("kmeans",) if is_birth else check_start_names(self.init_params)
        source = check_counts_of_rows(fit_rows(self, X, sample_weight, options))
        n_initial = 1 if is_birth else n_components
        check_enough_rows(source, n_initial)
        terms = check_prior(self, family, n_components, source.n_features, ridge)
        if source.may_miss:
            check_pairs(source, [family], self._names)
        problem = Problem(TrainingData(source), family, n_initial, self._engine(source), ridge, terms=terms)
        starts = Plan.repeat_starts("kmeans" if is_birth else self.init_params, names, n_init)
        # Of one feature, `VariationalMoves` does this on condensed rows.
        is_small = is_birth and min(n_components, source.n_features) > 1 and source.n_rows < MAX_ROWS_OF_KMEANS
        if is_small and n_components <= len(problem.data.sample.rows):
            starts = [SizedStart("kmeans", n_components)] * n_init + starts
        plan = Plan(
            starts,
            self._rng(),
            StopRule(tolerance / source.row_totals.total_weight, max_steps),
            is_accelerated=has_moves,  # without moves the course is scikit-learn's, to the step
            make_moves=partial(VariationalMoves, n_components) if has_moves else None,
            check_maximum=False,
            can_run_in_engine=False,
        )
        return with_features(options, problem, plan, [(family, n_components)])

    def _model_start(self, problem: Problem) -> ModelStart | None:
        """The start of a fit that continues from the one before; None if there is none like it."""
        if not hasattr(self, "mass_") or len(self._occupied) > self.n_components:
            return None
        family, mixture = problem.family, self.mixture_
        if mixture.family != family or mixture.n_features != problem.source.n_features:
            return None
        q, total = self._approximation, float(self.mass_.sum())
        return ModelStart(Model(q.counts / total, q.means, q.covariances, family), self.lower_bound_ / total)
