"""Export of a mixture as a C header that needs only the standard mathematical functions."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from gaussmix._src.export.coefficients import Coefficients, Linear
from gaussmix._src.mixture.words import names_of, shorten
from gaussmix._src.numerics.arrays import Array

_HEADER = """\
/* A Gaussian mixture of {n_components} components and {n_features} features ({features}), written by gaussmix.
 *
 *   double {name}_log_density(const double *x);                      log p(x), nats
 *   double {name}_responsibilities(const double *x, double *shares); p(k | x), {n_components} numbers; returns log p(x)
 *   int    {name}_label(const double *x);                            the most probable component{noise_is}
{detector_line} *
 * x has {n_features} numbers, data units. Where one is NaN, so are densities and shares, the label is -2{no_outlier}.
 * Where x is so far away that p(x) is 0 in double precision, log p(x) is -INFINITY, shares are NaN, the label is -2.
 * C99 or C++; nothing is allocated, and calls may run at the same time.
 */
#ifndef {guard}
#define {guard}
#include <math.h>

#define {upper}_N_FEATURES {n_features}
#define {upper}_N_COMPONENTS {n_components}

static const double {name}_constants[{n_components}] = {{{constants}}};
static const double {name}_means[{n_components}][{n_features}] = {{
{means}
}};
static const double {name}_factors[{n_components}][{n_factors}] = {{
{factors}
}};

{linear_numbers}/* Returns the largest log p(x, k), or that of noise; joint[k] = log p(x, k) less this. */
static inline double {name}_joint(const double *x, double *joint) {{
    double largest = {noise};
    for (int k = 0; k < {n_components}; ++k) {{
        double distance = 0.0;
{whiten}
        joint[k] = {name}_constants[k] - 0.5 * distance;
        if (!(joint[k] <= largest)) largest = joint[k]; /* NaN too */
    }}
{linear}    for (int k = 0; k < {n_components}; ++k) joint[k] -= largest;
    return largest;
}}

static inline double {name}_responsibilities(const double *x, double *shares) {{
    double largest = {name}_joint(x, shares), total = {noise_share};
    if (!(largest > -INFINITY)) {{
        for (int k = 0; k < {n_components}; ++k) shares[k] = NAN;
        return largest;
    }}
    for (int k = 0; k < {n_components}; ++k) total += shares[k] = exp(shares[k]);
    for (int k = 0; k < {n_components}; ++k) shares[k] /= total;
    return largest + log(total);
}}

static inline double {name}_log_density(const double *x) {{
    double shares[{n_components}];
    return {name}_responsibilities(x, shares);
}}

static inline int {name}_label(const double *x) {{
    double joint[{n_components}];
    double largest = {name}_joint(x, joint);
    if (!(largest > -INFINITY)) return -2;
    for (int k = 0; k < {n_components}; ++k)
        if (joint[k] == 0.0) return k;
    return -1;
}}
{detector}
#endif
"""
_TRIANGLE = """\
        const double *factor = {name}_factors[k];
        for (int i = 0; i < {n_features}; ++i) {{
            double sum = 0.0;
            for (int j = 0; j <= i; ++j) sum += *factor++ * (x[j] - {name}_means[k][j]);
            distance += sum * sum;
        }}"""
_DIAGONAL = """\
        for (int j = 0; j < {n_features}; ++j) {{
            double scaled = {name}_factors[k][j] * (x[j] - {name}_means[k][j]);
            distance += scaled * scaled;
        }}"""
_LINEAR_COEFFICIENTS = """\
static const double {name}_levels[{n_components}] = {{{levels}}};
static const double {name}_centre[{n_features}] = {{{centre}}};
static const double {name}_slopes[{n_components}][{n_features}] = {{
{slopes}
}};

"""
_LINEAR = """\
    if (largest < {limit}) {{ /* squared distances no longer tell components apart; linear terms do */
        double top = -INFINITY;
        for (int k = 0; k < {n_components}; ++k) {{
            joint[k] = {name}_levels[k];
            for (int j = 0; j < {n_features}; ++j) joint[k] += {name}_slopes[k][j] * (x[j] - {name}_centre[j]);
            if (joint[k] > top) top = joint[k];
        }}
        for (int k = 0; k < {n_components}; ++k) joint[k] -= top;
        return largest;
    }}
"""
_DETECTOR = """
static inline int {name}_is_outlier(const double *x) {{ return {name}_log_density(x) < {offset}; }}
"""


def to_c(model: Any, name: str = "gmm") -> str:
    """Write a mixture as a C header whose functions compute log density, responsibilities and label of a row.

    Parameters
    ----------
    model : a `Mixture`, or a fitted `GaussianMixture`, `GaussianMixtureIC`, `GaussianMixtureDetector` or
        `BayesianGaussianMixture`. A `BayesianGaussianMixture` is exported as the components of `mixture_` that have
        rows, whose densities differ from the predictive densities of `score_samples`.
    name : prefix of all function names, a valid C identifier.

    Returns
    -------
    header : C99 code that has no global state and allocates no memory. The results of the C functions, which use double
        precision, agree with gaussmix to 1e-12.

    Raises
    ------
    NotFittedError, TypeError : the model is not fitted, or its type is not supported.
    ValueError : `name` is not a C identifier.

    Notes
    -----
    Covariances of factor analysers are written as matrices. If a feature of a row is NaN, log density and
    responsibilities are NaN, the label is −2 and `is_outlier` is 0. If a row is so far from all components that its
    density is 0 in double precision, the log density is −inf, responsibilities are NaN, the label is −2 and
    `is_outlier` is 1.

    Examples
    --------
    >>> from gaussmix import Mixture
    >>> from gaussmix.export import to_c
    >>> header = to_c(Mixture.from_parameters([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.5, 2.0]]]), "wells")
    >>> "double wells_log_density(const double *x)" in header
    True
    """
    if not (name.isidentifier() and name.isascii()):
        raise ValueError(f"name={name!r} must be a C identifier: letters, digits and underscores.")
    coefficients = Coefficients.from_model(model)
    mixture, offset, names = coefficients.mixture, coefficients.offset, names_of(coefficients.mixture)
    indices = np.tril_indices(mixture.n_features)
    factors = coefficients.factors[:, indices[0], indices[1]] if coefficients.is_matrix else coefficients.factors
    noise = "-INFINITY" if coefficients.noise is None else _literal(coefficients.noise)
    sizes = {"name": name, "n_features": mixture.n_features, "n_components": mixture.n_components}
    sentence = f" *   int    {name}_is_outlier(const double *x);                       1 for an outlier, else 0\n"
    linear = coefficients.linear(mixture.means.mean(axis=0))
    return _HEADER.format(
        **sizes,
        linear_numbers="" if linear is None else _linear_coefficients(linear, sizes),
        linear="" if linear is None else _LINEAR.format(**sizes, limit=_literal(linear.limit)),
        upper=name.upper(),
        guard=f"{name.upper()}_GAUSSIAN_MIXTURE_H",
        features=", ".join(map(_in_comment, names[:8])) + (", ..." if len(names) > 8 else ""),
        n_factors=factors.shape[1],
        constants=", ".join(map(_literal, coefficients.constants.tolist())),
        means=_rows(mixture.means),
        factors=_rows(factors),
        whiten=(_TRIANGLE if coefficients.is_matrix else _DIAGONAL).format(**sizes),
        noise=noise,
        noise_share="0.0" if coefficients.noise is None else f"exp({noise} - largest)",
        noise_is="" if coefficients.noise is None else ", -1 for noise",
        no_outlier="" if offset is None else ", and it is not an outlier",
        detector_line="" if offset is None else sentence,
        detector="" if offset is None else _DETECTOR.format(name=name, offset=_literal(offset)),
    )


def _linear_coefficients(linear: Linear, sizes: dict[str, Any]) -> str:
    levels, centre = (", ".join(map(_literal, values.tolist())) for values in (linear.levels, linear.centre))
    return _LINEAR_COEFFICIENTS.format(**sizes, levels=levels, centre=centre, slopes=_rows(linear.slopes))


def _in_comment(name: str) -> str:
    """Replace each run of characters that could end a comment or a line by a single "?"; "??" begins a trigraph."""
    return re.sub(r"[^A-Za-z0-9_ .-]+", "?", shorten(name))


def _rows(values: Array) -> str:
    return ",\n".join(f"    {{{', '.join(map(_literal, row))}}}" for row in values.tolist())


def _literal(value: float) -> str:
    """Write a double as a C literal that a compiler reads as exactly the same value."""
    return repr(value) if np.isfinite(value) else "-INFINITY" if value < 0 else "INFINITY"
