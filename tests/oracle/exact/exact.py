"""EM and densities with 50 digits: `python exact.py` writes exact.json. The script uses mpmath, but not gaussmix.

Data and initial parameters are doubles from Python's own generator; results are rounded to double only at the end.
"""

import json
import random
from pathlib import Path

import mpmath
from mpmath import mp, mpf

mp.dps = 50
KEPT_STEPS = (1, 2, 25)
FAMILIES = ("full", "tied", "diag", "spherical")


def dense(family, covariance, n_features):
    """Return the full matrix of a covariance that is stored in the form of its structure."""
    if family in ("full", "tied"):
        return mp.matrix(covariance)
    values = covariance if family == "diag" else [covariance] * n_features
    return mp.diag([mpf(value) for value in values])


def of_component(family, covariances, k):
    return covariances if family == "tied" else covariances[k]


def log_joint(mixture, row):
    """Compute log π_k + log N(x | μ_k, Σ_k) for every k from the definition."""
    out = []
    for weight, mean, precision, log_det in mixture:
        u = [mpf(x) - m for x, m in zip(row, mean, strict=False)]
        square = mp.fsum(u[i] * precision[i, j] * u[j] for i in range(len(u)) for j in range(len(u)))
        out.append(mp.log(weight) - (len(u) * mp.log(2 * mp.pi) + log_det + square) / 2)
    return out


def prepared(family, weights, means, covariances):
    mixture = []
    for k, (weight, mean) in enumerate(zip(weights, means, strict=False)):
        sigma = dense(family, of_component(family, covariances, k), len(mean))
        mixture.append((mpf(weight), [mpf(m) for m in mean], sigma**-1, mp.log(mp.det(sigma))))
    return mixture


def log_sum(values):
    largest = max(values)
    return largest + mp.log(mp.fsum(mp.exp(v - largest) for v in values))


def em_step(family, rows, weights, means, covariances):
    """Run an EM step, and return the log-likelihood and responsibilities before it and the parameters after it.

    See Bishop (2006) section 9.2.2.
    """
    mixture = prepared(family, weights, means, covariances)
    joint = [log_joint(mixture, row) for row in rows]
    log_density = [log_sum(values) for values in joint]
    shared = [[mp.exp(v - total) for v in values] for values, total in zip(joint, log_density, strict=False)]
    n_features, components = len(rows[0]), range(len(weights))
    mass = [mp.fsum(share[k] for share in shared) for k in components]
    means = [
        [mp.fsum(s[k] * mpf(row[j]) for s, row in zip(shared, rows, strict=False)) / mass[k] for j in range(n_features)]
        for k in components
    ]
    scatters = [scatter(rows, [share[k] for share in shared], means[k]) for k in components]
    covariances = {
        "full": lambda: [(scatters[k] / mass[k]).tolist() for k in components],
        "tied": lambda: (sum(scatters[1:], scatters[0]) / len(rows)).tolist(),
        "diag": lambda: [[scatters[k][j, j] / mass[k] for j in range(n_features)] for k in components],
        "spherical": lambda: [
            mp.fsum(scatters[k][j, j] for j in range(n_features)) / (n_features * mass[k]) for k in components
        ],
    }[family]()
    return mp.fsum(log_density), shared, ([m / len(rows) for m in mass], means, covariances)


def scatter(rows, shares, mean):
    total = mp.zeros(len(mean))
    for row, share in zip(rows, shares, strict=False):
        u = mp.matrix([mpf(x) - m for x, m in zip(row, mean, strict=False)])
        total += share * (u * u.T)
    return total


def floats(value):
    return [floats(v) for v in value] if isinstance(value, (list, tuple)) else float(value)


def with_em_steps(case):
    """Return the case with the log-likelihood before each step, and the parameters after the steps in KEPT_STEPS."""
    rows, family = case["rows"], case["family"]
    parameters = case["weights"], case["means"], case["covariances"]
    log_likelihood, after = [], {}
    for step in range(1, KEPT_STEPS[-1] + 1):
        before, responsibilities, parameters = em_step(family, rows, *parameters)
        log_likelihood.append(float(before))
        if step == 1:
            case["responsibilities"] = floats(responsibilities)
        if step in KEPT_STEPS:
            after[step] = dict(zip(("weights", "means", "covariances"), floats(parameters), strict=False))
    return case | {"log_likelihood": log_likelihood, "after": after}


def spread(rng, n_features):
    """Draw a positive definite matrix of doubles with a condition number below about 100."""
    factor = [[rng.gauss(0, 0.5) for _ in range(n_features)] for _ in range(n_features)]
    return [
        [sum(a * b for a, b in zip(factor[i], factor[j], strict=False)) + (i == j) * 0.5 for j in range(n_features)]
        for i in range(n_features)
    ]


def in_form(family, matrices):
    diagonals = [[matrix[j][j] for j in range(len(matrix))] for matrix in matrices]
    return {"full": matrices, "tied": matrices[0], "diag": diagonals, "spherical": [d[0] for d in diagonals]}[family]


def problem(name, family, n_rows, n_features, n_components, offset=0.0, distance=0.0):
    """Draw a case with overlapping groups; `offset` is added to all values, `distance` separates the initial means."""
    rng = random.Random(f"{name} {n_features} {n_components}")
    centres = [[rng.gauss(0, 2) for _ in range(n_features)] for _ in range(n_components)]
    rows = [[rng.gauss(c, 1) + offset for c in centres[i % n_components]] for i in range(n_rows)]
    means = [[c + rng.gauss(0, 0.5) + offset for c in centre] for centre in centres]
    for k, mean in enumerate(means):
        mean[0] += distance * (-1) ** k
    matrices = [spread(rng, n_features) for _ in range(n_components)]
    if distance:  # with different covariances, every row would belong to the widest component
        matrices = [matrices[0]] * n_components
    weights = [0.5, 0.5] if n_components == 2 else [0.5, 0.25, 0.25]
    case = {"name": f"{name}-{family}", "family": family, "rows": rows, "weights": weights, "means": means}
    return with_em_steps(case | {"covariances": in_form(family, matrices)})


def tails(family, n_features):
    """Draw a case with log densities at points on a line that leads away from a mixture."""
    rng = random.Random(f"tails {n_features}")
    means = [[rng.gauss(0, 2) for _ in range(n_features)] for _ in range(2)]
    covariances = in_form(family, [spread(rng, n_features) for _ in range(2)])
    weights, mixture = [0.5, 0.5], prepared(family, [0.5, 0.5], means, covariances)
    direction = [rng.uniform(0.5, 1.0) * rng.choice((-1, 1)) for _ in range(n_features)]
    rows = [[m + t * d for m, d in zip(means[0], direction, strict=False)] for t in (0.0, 1.0, 60.0, 1e4, 1e100)]
    return {
        "name": f"{family}-{n_features}d",
        "family": family,
        "weights": weights,
        "means": means,
        "covariances": covariances,
        "rows": rows,
        "log_density": [float(log_sum(log_joint(mixture, row))) for row in rows],
    }


def main():
    problems = []
    for family in FAMILIES:
        problems += [
            problem("one-feature", family, 24, 1, 2),
            problem("overlapping", family, 30, 2, 3),
            problem("wide", family, 36, 5, 2),
            problem("offset", family, 24, 3, 2, offset=1e6),
            problem("far-start", family, 24, 2, 2, distance=1e6),
            problem("far-start-by-1e3", family, 24, 2, 2, distance=1e3),
        ]
    densities = [tails(family, n_features) for family in FAMILIES for n_features in (1, 2, 6)]
    out = {"made_by": f"exact.py, mpmath {mpmath.__version__}, 50 digits"}
    out |= {"problems": problems, "densities": densities}
    (Path(__file__).parent / "exact.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
