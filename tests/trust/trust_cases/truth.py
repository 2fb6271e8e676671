"""Reference results without gaussmix: densities and EM in long double, and rows in mpmath at 50 digits or more."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np

LONG = np.longdouble
LOG_2PI = np.log(2 * LONG(np.pi) + LONG("2.4492935982947063545e-16"))  # 2π = 2 · double(π) + the rest


def dense(structure: str, covariances: Any, n_components: int, n_features: int) -> Any:
    """Return covariances as (n_components, n_features, n_features) in long double."""
    covariances, eye = np.asarray(covariances, dtype=LONG), np.eye(n_features, dtype=LONG)
    if structure == "full":
        return covariances
    if structure == "tied":
        return np.broadcast_to(covariances, (n_components, n_features, n_features))
    if structure == "diag":
        return covariances[:, :, None] * eye
    return covariances[:, None, None] * eye


def cholesky(matrix: Any) -> Any:
    """Return the lower L with L Lᵀ = matrix, in the type of the matrix."""
    lower = np.zeros_like(matrix)
    for j in range(len(matrix)):
        lower[j, j] = np.sqrt(matrix[j, j] - lower[j, :j] @ lower[j, :j])
        lower[j + 1 :, j] = (matrix[j + 1 :, j] - lower[j + 1 :, :j] @ lower[j, :j]) / lower[j, j]
    return lower


def log_joint(X: Any, weights: Any, means: Any, covariances: Any) -> Any:
    """Compute log π_k N(x | μ_k, Σ_k), (n_rows, n_components), of dense covariances; Bishop (2006) eq. 9.7."""
    X, joint = np.asarray(X).astype(LONG), []
    for weight, mean, covariance in zip(weights, np.asarray(means).astype(LONG), covariances, strict=True):
        lower, white = cholesky(covariance), np.zeros(X.T.shape, dtype=LONG)
        for j, offsets in enumerate((X - mean).T):
            white[j] = (offsets - lower[j, :j] @ white[:j]) / lower[j, j]
        with np.errstate(divide="ignore"):
            log_weight = np.log(LONG(weight))
        log_det = np.log(np.diagonal(lower)).sum()
        joint.append(log_weight - log_det - (len(mean) * LOG_2PI + (white**2).sum(axis=0)) / 2)
    return np.stack(joint, axis=1)


def log_density(joint: Any) -> Any:
    """Compute log Σ_k exp of the rows of `log_joint`."""
    largest = joint.max(axis=1)
    return largest + np.log(np.exp(joint - largest[:, None]).sum(axis=1))


def stated_log_density(fitted: Any, X: Any) -> Any:
    """Compute log p(x) from the attributes of a fitted estimator."""
    shape = fitted.means_.shape
    return log_density(
        log_joint(X, fitted.weights_, fitted.means_, dense(fitted.covariance_type, fitted.covariances_, *shape))
    )


def em_log_density(X: Any, start: dict[str, Any], ridge: float, n_steps: int) -> Any:
    """Compute log p(x) after EM from `weights_init`, `means_init` and unit covariances; Bishop (2006) section 9.2.2."""
    structure, weights, means = start["covariance_type"], start["weights_init"], start["means_init"]
    n_components, n_features = means.shape
    X, eye = np.asarray(X).astype(LONG), np.eye(n_features, dtype=LONG)
    covariances = np.stack([eye] * n_components)
    for _ in range(n_steps):
        joint = log_joint(X, weights, means, covariances)
        responsibilities = np.exp(joint - log_density(joint)[:, None])
        mass = responsibilities.sum(axis=0)
        weights, means = mass / mass.sum(), (responsibilities.T @ X) / mass[:, None]
        scatter = np.stack([(responsibilities[:, k, None] * (X - m)).T @ (X - m) for k, m in enumerate(means)])
        covariances = _update(structure, scatter, mass) + LONG(ridge) * eye
    return log_density(log_joint(X, weights, means, covariances))


def _update(structure: str, scatter: Any, mass: Any) -> Any:
    """Compute dense covariances of a structure; Celeux & Govaert (1995) section 3."""
    eye = np.eye(scatter.shape[1], dtype=LONG)
    if structure == "tied":
        return np.stack([scatter.sum(axis=0) / mass.sum()] * len(mass))
    full = scatter / mass[:, None, None]
    if structure == "full":
        return full
    if structure == "diag":
        return full * eye
    return np.trace(full, axis1=1, axis2=2)[:, None, None] / len(eye) * eye


def exact_row(x: Any, weights: Any, means: Any, covariances: Any) -> tuple[Any, list[float]]:
    """Compute log p(x) of one row (by mpmath, because it may exceed a double) and its responsibilities."""
    with mpmath.workdps(700):  # enough digits to add 1 to the square of 1e300
        joint = []
        for weight, mean, covariance in zip(weights, means, covariances, strict=True):
            sigma = mpmath.matrix([[mpmath.mpf(float(c)) for c in row] for row in covariance])
            offset = mpmath.matrix([mpmath.mpf(float(a)) - mpmath.mpf(float(b)) for a, b in zip(x, mean, strict=True)])
            squared = (offset.T * mpmath.lu_solve(sigma, offset))[0]
            log_det = mpmath.log(mpmath.det(sigma)) + len(mean) * mpmath.log(2 * mpmath.pi)
            joint.append(mpmath.log(mpmath.mpf(float(weight))) - (log_det + squared) / 2)
        largest = max(joint)
        responsibilities = [mpmath.exp(j - largest) if j - largest > -1000 else mpmath.mpf(0) for j in joint]
        total = mpmath.fsum(responsibilities)
        return largest + mpmath.log(total), [float(responsibility / total) for responsibility in responsibilities]
