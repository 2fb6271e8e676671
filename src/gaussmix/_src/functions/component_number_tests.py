"""Tests of the number of components: parametric bootstrap, split likelihood ratio tests, and the EM-test."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from gaussmix._src.checks import check_count, check_finite, check_within
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.errors import listed
from gaussmix._src.estimators.gaussian_mixture import GaussianMixture
from gaussmix._src.fit.after.em_test import CHI2_DOF, em_test_statistic
from gaussmix._src.fit.after.likelihood_ratio import all_repeat_rows, degenerate_error, run_likelihood_ratio_test
from gaussmix._src.fit.fitted import frame_library
from gaussmix._src.mixture.words import names_of
from gaussmix._src.report.component_number_test import ComponentNumberTest
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.opening import is_table, open
from gaussmix._src.validation.parameters import check_seed, check_tol, drawn_seed

MIN_VALUES = 10
FIT_DEFAULTS = {"tol": 1e-6, "max_iter": 1_000}  # defaults that differ from the defaults of `GaussianMixture`
MAX_LAST_GAIN = 1e-3  # limit on the default `tol` times the number of rows, in nats
FIT_PARAMETERS = *FIT_DEFAULTS, "covariance_type", "reg_covar", "init_params", "n_init", "n_jobs"


def likelihood_ratio_test(
    X: ArrayLike,
    n_components: int,
    n_components_alternative: int | None = None,
    *,
    n_resamples: int = 999,
    random_state: int | np.random.RandomState | None = None,
    **parameters: Any,
) -> ComponentNumberTest:
    """Test with a parametric bootstrap whether a mixture needs one more component.

    Parameters
    ----------
    X : rows in memory without missing values, (n_samples, n_features), in the units of the data.
    n_components : number of components of the smaller mixture.
    n_components_alternative : number of components of the larger mixture, by default one more than `n_components`. If
        `n_components_alternative` is above `n_components` + 1, the function tests k against k + 1 components for each k
        from `n_components` to `n_components_alternative` − 1.
    n_resamples : number of bootstrap samples that are drawn from the smaller mixture of each test.
    random_state : seed of the bootstrap samples and of the fits.
    **parameters
        Parameters of `GaussianMixture`: `covariance_type`, `reg_covar`, `init_params`, `n_init`, `n_jobs`, `tol` and
        `max_iter` (1,000 by default), which also applies to refits. By default, `tol` is the smaller of 1e-6 and 1e-3
        divided by the number of rows, because the test compares sums over all rows.

    Returns
    -------
    test : ComponentNumberTest
        The p-values and the test statistics 2 (log L' − log L), in nats, where L and L' are the likelihoods of the
        smaller and the larger mixture. `min_components(alpha)` returns the smallest number of components that the tests
        do not reject at level `alpha`.

    Raises
    ------
    ValueError, TypeError : X or a parameter is not valid, X has missing values, or a feature of X is constant within a
        component, so that the result would depend on `reg_covar`.

    See Also
    --------
    n_components_test : A test without bootstrap samples, which is valid for any number of rows, but has less power.

    Notes
    -----
    To fit the larger mixture to X or to a bootstrap sample, each component of the smaller mixture is split along its
    longest axes, EM starts from each split, and the fit with the highest likelihood is used. Because one of the
    initialisations is the smaller mixture with a duplicated component, the statistic is never negative. The test is due
    to McLachlan (1987), Applied Statistics 36. Unlike this function, mclust's `mclustBootstrapLRT` initialises the
    larger mixture independently of the smaller mixture.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import likelihood_ratio_test
    >>> X = np.random.default_rng(0).normal(np.repeat([0.0, 4.0], 100))[:, None]
    >>> test = likelihood_ratio_test(X, 1, 3, n_resamples=99, random_state=0)
    >>> test.p_value.round(2)
    array([0.01, 0.36])
    >>> test.min_components()
    2
    """
    smallest = check_count("n_components", n_components, 1)
    largest = (
        smallest + 1
        if n_components_alternative is None
        else check_count("n_components_alternative", n_components_alternative, smallest + 1)
    )
    n_resamples, rng, ratios = check_count("n_resamples", n_resamples, 1), check_seed(random_state), []
    rows: Any = open(X) if type(X) is not np.ndarray and is_table(X) else X  # `open` rejects NaN
    own = "n_components_alternative", "n_resamples", "random_state"
    fit_parameters = _fit_parameters("likelihood_ratio_test", own, parameters, random_state)
    if check_tol(fit_parameters["tol"]) is None:
        raise ValueError("likelihood_ratio_test needs a number for tol, in nats per row, for example tol=1e-6.")
    for k in range(smallest, largest):
        fitted = GaussianMixture(k, **fit_parameters).fit(rows)
        problem = fitted._inference_problem(rows, None, None, None)
        if not isinstance(problem.source, ArraySource):
            raise ValueError("likelihood_ratio_test needs rows in memory. Read all or some rows into an array.")
        if problem.source.is_incomplete:
            raise ValueError(
                "likelihood_ratio_test needs complete rows, but X has missing values (NaN). Use n_components_test."
            )
        names = names_of(fitted.mixture_)
        stopping = StopRule(_tol(parameters, problem.source.n_rows), max(1, fitted.max_iter))
        ratios.append(run_likelihood_ratio_test(problem, fitted.mixture_._model, n_resamples, stopping, rng, names))
    about = f"Likelihood ratio test of mixtures against one component more, {n_resamples:,} bootstrap samples"
    statistic, p_value = np.array([each.statistic for each in ratios]), np.array([each.p_value for each in ratios])
    drawn = np.array([each.null_statistics for each in ratios])
    return ComponentNumberTest(np.arange(smallest, largest), statistic, p_value, about, drawn, frame_library(X))


def n_components_test(
    X: ArrayLike,
    max_components: int = 9,
    *,
    n_extra: int = 1,
    alpha: float = 0.05,
    random_state: int | np.random.RandomState | None = None,
    **parameters: Any,
) -> ComponentNumberTest:
    """Test 1, 2, 3 … components against mixtures with more components, until a number of components is not rejected.

    The method is due to Nguyen, Fryer & McLachlan (2023), "Order selection with confidence for finite mixture models",
    Journal of the Korean Statistical Society 52. The larger mixture is fitted to one half of the rows, and the smaller
    mixture to the other half. The likelihoods of both mixtures are then computed on the half to which the smaller
    mixture was fitted. If the true number of components is the number in the smaller mixture, the expectation of the
    likelihood ratio is at most 1 for any number of rows (Wasserman, Ramdas & Balakrishnan 2020, PNAS 117). `statistic`
    is the mean of the likelihood ratio and of the likelihood ratio with the two halves exchanged, and the p-value is
    the smaller of 1 and 1 / `statistic`.

    Parameters
    ----------
    X : rows in memory, (n_samples, n_features), in the units of the data.
    max_components : largest number of components that is tested.
    n_extra : number of additional components of the larger mixture.
    alpha : significance level. The function stops at the first number of components whose p-value exceeds `alpha`.
    random_state : seed of the fits and of the random division of the rows into halves.
    **parameters
        Parameters of `GaussianMixture`, the same as in `likelihood_ratio_test`.

    Returns
    -------
    test : ComponentNumberTest
        With a probability of at least 1 − alpha, the true number of components is at least `min_components(alpha)`.

    Raises
    ------
    ValueError, TypeError : X or a parameter is not valid, or a component has repeated values in a feature, so that the
        result would depend on `reg_covar`.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import n_components_test
    >>> X = np.random.default_rng(0).normal(np.repeat([0.0, 6.0], 100))[:, None]
    >>> n_components_test(X, random_state=0).min_components()
    2
    """
    largest, n_extra = check_count("max_components", max_components, 1), check_count("n_extra", n_extra, 1)
    check_within("alpha", alpha, "a number between 0 and 1", lambda value: 0 < value < 1)
    own = "max_components", "n_extra", "alpha", "random_state"
    fit_parameters = _fit_parameters("n_components_test", own, parameters, random_state)
    rng = check_seed(random_state)
    fitted = GaussianMixture(**fit_parameters).fit(X)
    source, names = fitted._source(X), names_of(fitted.mixture_)
    if source.whole is None:
        raise ValueError("n_components_test needs rows in memory. Read all or some rows into an array.")
    rows = source.whole.rows
    if len(rows) < 4 * (largest + n_extra):
        raise ValueError(
            f"n_components_test needs 4 (max_components + n_extra) = {4 * (largest + n_extra)} rows, but X has "
            f"{len(rows)} rows. Lower max_components, or add rows."
        )
    order = rng.permutation(len(rows))
    parts = rows[np.sort(order[: len(rows) // 2])], rows[np.sort(order[len(rows) // 2 :])]
    ratios, fit_parameters["tol"] = list[float](), _tol(parameters, len(parts[0]))
    for k in range(1, largest + 1):
        logs = list[float]()
        for one, other in (parts, parts[::-1]):
            alternative = GaussianMixture(k + n_extra, **fit_parameters).fit(one)
            null = GaussianMixture(k, **fit_parameters).fit(other)
            problem, model = alternative._inference_problem(one, None, None, None), alternative.mixture_._model
            if all_repeat_rows(problem, [model], len(one)):
                raise degenerate_error(problem, [model], names, "n_components_test")
            logs.append(len(other) * (alternative.score(other) - null.score(other)))
        ratios.append(float(np.logaddexp(logs[0], logs[1]) - np.log(2)))
        # `ratios` contains logarithms, because the likelihood ratios themselves would overflow or underflow.
        p_values = np.exp(-np.maximum(np.array(ratios), 0.0))
        if p_values[-1] > alpha:
            break
    with np.errstate(over="ignore"):
        statistic = np.exp(np.array(ratios))
    sizes, words = np.arange(1, len(ratios) + 1), f"{n_extra} component{'s' * (n_extra > 1)} more"
    about = f"Test of mixtures against {words}, by halves of the rows"
    return ComponentNumberTest(sizes, statistic, p_values, about, None, frame_library(X))


def em_test(x: ArrayLike) -> ComponentNumberTest:
    """Test with the EM-test whether one feature is normal or follows a mixture of two normal distributions.

    The test needs no bootstrap samples, because the limiting distribution of its statistic is χ² with two degrees of
    freedom. The EM-test is described in Chen & Li (2009), "Hypothesis test for normal mixture models: the EM approach",
    Annals of Statistics 37.

    Parameters
    ----------
    x : values of the feature, (n_samples,) or (n_samples, 1): at least ten finite numbers that are not all equal.

    Returns
    -------
    test : ComponentNumberTest
        The `statistic`, in nats, and the `p_value`, which is accurate if x has at least about a hundred values.

    Raises
    ------
    ValueError, TypeError : x does not consist of at least ten finite numbers that are not all equal.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import em_test
    >>> x = np.random.default_rng(0).normal(np.repeat([0.0, 4.0], 100))
    >>> em_test(x).min_components()
    2
    """
    values = np.atleast_1d(check_finite("x", x))
    if values.size != len(values):
        raise ValueError(f"em_test needs one feature, but x has the shape {values.shape}. Use likelihood_ratio_test.")
    values = values.ravel()
    if len(values) < MIN_VALUES or values.min() == values.max():
        raise ValueError(f"em_test needs at least {MIN_VALUES} numbers that are not all equal.")
    statistic = em_test_statistic(values)
    p_value = np.array([chi2.sf(statistic, CHI2_DOF)])
    about = "EM-test of one normal distribution against two"
    return ComponentNumberTest(np.array([1]), np.array([statistic]), p_value, about, None, frame_library(x))


def _fit_parameters(test: str, own: tuple[str, ...], parameters: dict[str, Any], random_state: Any) -> dict[str, Any]:
    """Return the parameters of a test's fits, with one seed for all fits; raises TypeError for unknown names.

    `own` lists the test's own parameters for the message.
    """
    others = sorted(parameters.keys() - {*FIT_PARAMETERS})
    if others:
        names = *own, *FIT_PARAMETERS
        raise TypeError(f"{test} accepts {listed(names, len(names))}, not {others[0]!r}.")
    return FIT_DEFAULTS | parameters | {"random_state": int(drawn_seed(random_state)[0])}


def _tol(parameters: dict[str, Any], n_rows: int) -> Any:
    """Return the `tol` that the user passed, or the default; a test with many rows needs a smaller default."""
    return parameters.get("tol", min(FIT_DEFAULTS["tol"], MAX_LAST_GAIN / n_rows))
