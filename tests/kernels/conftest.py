"""Fixtures of kernel tests: all targets of this machine, problems, and a simple evaluation in long double."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from common import EPS, FactorShape

from gaussmix import _core

SPHERICAL, DIAGONAL, TRIANGULAR, SHARED, LOW_RANK = range(5)  # SHARED: one triangular factor for all components
SOFT, HARD, ASSIGNMENT = range(3)
NONE, TRACE, DIAGONAL_SECOND, FULL, PROJECTED = range(5)
CUT = 60 * np.log(np.longdouble(2))
GROUP_ROWS = 24  # rows that share bounds


@pytest.fixture(params=_core.targets()[::-1], ids=lambda target: target.isa)
def target(request):
    """Return each instruction set, beginning with the dispatched one, which `heavy(n_default=1)` keeps."""
    return request.param


@pytest.fixture
def targets():
    """Return all targets, for comparisons."""
    return _core.targets()


@dataclass(frozen=True)
class Problem:
    """Arguments of a step in its order, without the number of threads."""

    rows: np.ndarray
    row_weight: np.ndarray | None
    assignment: np.ndarray | None
    origin: np.ndarray | None
    log_scale: np.ndarray
    means: np.ndarray
    factor_shape: int
    factors: np.ndarray
    anchor: np.ndarray | None
    rule: int
    second: int
    projection: np.ndarray | None = None

    def step(self, target, n_threads=1, **options):
        """Run the core's step, and return log-likelihood, mass, first and second moments."""
        return self.full_step(target, n_threads, **options)[:4]

    def full_step(self, target, n_threads=1, **options):
        """Run the core's step, and also return the distant rows and an estimate of the positive responsibilities."""
        *arguments, projection = self.__dict__.values()
        return target.step(*arguments, n_threads, projection=projection, **options)

    def evaluate(self, target, output, n_threads=1):
        """Evaluate each row in the core."""
        density = (self.origin, self.log_scale, self.means, self.factor_shape, self.factors)
        return target.evaluate(self.rows, *density, output, n_threads)

    def replace(self, **changes):
        """Return the same problem with some arguments changed."""
        return replace(self, **changes)

    def with_component(self, index, mean):
        """Return the same problem with an additional component at `index`, for triangular factors."""
        return self.replace(
            log_scale=np.insert(self.log_scale, index, 0),
            means=np.insert(self.means, index, mean, axis=0),
            factors=np.insert(self.factors, index, np.eye(len(mean)), axis=0),
            anchor=None if self.anchor is None else np.insert(self.anchor, index, mean, axis=0),
            projection=None if self.projection is None else np.insert(self.projection, index, 1.0, axis=0),
        )

    def exact_log_densities(self):
        """Compute log densities (n_rows, n_components) by their definition, in long double."""
        rows = self.centred_rows()
        table = np.empty((len(rows), len(self.means)), np.longdouble)
        for k, mean in enumerate(self.means):
            u = rows - mean
            if self.factor_shape == TRIANGULAR:
                whitened = u @ self.factors[min(k, len(self.factors) - 1)].astype(np.longdouble).T
            elif self.factor_shape == FactorShape.LOW_RANK:
                scaled, directions = u * self.factors[k, :, -1], self.factors[k, :, :-1].astype(np.longdouble)
                whitened = scaled - scaled @ directions @ directions.T
            else:
                whitened = u * self.factors[k]
            table[:, k] = self.log_scale[k] - (whitened**2).sum(1) / 2
        return table

    def centred_rows(self):
        """Return rows minus the origin, in long double."""
        return self.rows.astype(np.longdouble) - (0 if self.origin is None else self.origin)

    def exact_responsibilities(self):
        """Compute responsibilities by the problem's rule, and the log-likelihood of each row."""
        if self.rule == ASSIGNMENT:
            one_hot = np.eye(len(self.means))
            table = self.assignment if self.assignment.ndim == 2 else one_hot[self.assignment]
            return table.astype(np.longdouble), np.zeros(len(table))
        table = self.exact_log_densities()
        gap = table - table.max(1, keepdims=True, initial=-np.inf)
        if self.rule == HARD:
            return np.eye(table.shape[1])[table.argmax(1)].astype(np.longdouble), table.max(1, initial=-np.inf)
        densities = np.where(gap > -CUT, np.exp(gap), 0)
        return densities / densities.sum(1, keepdims=True), table.max(1, initial=-np.inf) + np.log(densities.sum(1))

    def exact_step(self):
        """Compute log-likelihood, mass, first and second moments by their definition, in long double."""
        weight = np.ones(len(self.rows)) if self.row_weight is None else self.row_weight
        responsibilities, log_density = self.exact_responsibilities()
        weighted = responsibilities * weight[:, None]
        anchor = np.zeros_like(self.means) if self.anchor is None else self.anchor
        u = self.centred_rows()[:, None, :] - anchor
        first = np.einsum("nk,nki->ki", weighted, u)
        full = np.einsum("nk,nki,nkj->kij", weighted, u, u)
        diagonal = np.einsum("kii->ki", full)
        second = {NONE: None, TRACE: diagonal.sum(1), DIAGONAL_SECOND: diagonal, FULL: full}.get(self.second)
        if self.projection is not None:
            second = np.concatenate((full @ self.projection.astype(np.longdouble), diagonal[:, :, None]), axis=2)
        return (weight * log_density).sum(), weighted.sum(0), first, second

    def allowed_errors(self):
        """Return bounds on the rounding error of each result: c ε (d + q) times the sum of absolute terms.

        A log density l = s - q/2 has an error of about ε (d + q), where q is the largest squared distance that matters,
        and d is the length of its sums. Responsibilities have this relative error, and so do their sums.
        """
        weight = np.ones(len(self.rows)) if self.row_weight is None else self.row_weight
        table = np.abs(self.exact_log_densities()) if self.rule != ASSIGNMENT else np.zeros((1, 1))
        largest = float(table.max(initial=0))
        unit = 4 * EPS * (self.rows.shape[1] + 8 + min(2 * largest, 1e4))
        total = unit * float(weight.sum())
        anchor = 0 if self.anchor is None else self.anchor
        largest_offset = float(np.abs(self.centred_rows()[:, None, :] - anchor).max(initial=0))
        trace = self.rows.shape[1] if self.second == TRACE else 1
        if self.projection is not None:
            trace = max(1.0, float(np.abs(self.projection).sum(axis=1).max(initial=0)))
        return total * largest, total, total * largest_offset, total * largest_offset**2 * trace

    def check_step(self, results):
        """Compare the results of a step with their definition, up to rounding."""
        names = "log_likelihood", "mass", "first", "second"
        for name, got, want, allowed in zip(names, results, self.exact_step(), self.allowed_errors(), strict=True):
            assert (got is None) == (want is None), name
            if want is not None:
                assert np.shape(got) == np.shape(want), name
                np.testing.assert_allclose(got, np.asarray(want, float), rtol=0, atol=allowed + 1e-300, err_msg=name)

    def trivial_bounds(self):
        """Return trivial bounds, with a motion after which they remain trivial."""
        shape = -(-len(self.rows) // GROUP_ROWS), len(self.means)
        return {"bounds": np.zeros(shape, np.float32), "motion": np.zeros((2, shape[1]), np.float32)}

    def check_bounds(self, bounds, part):
        """Check that bounds are at most the distance of a group's nearest row, and mostly above `part` of it."""
        rows, nearest = self.centred_rows().astype(float), np.empty(bounds.shape)
        for k, mean in enumerate(self.means):
            factor = self.factors[k]
            whitened = (rows - mean) @ factor.T if self.factor_shape == TRIANGULAR else (rows - mean) * factor
            nearest[:, k] = np.sqrt((whitened**2).sum(axis=1)).reshape(-1, GROUP_ROWS).min(axis=1)
        assert (bounds <= nearest).all()
        assert (bounds >= 0).all()
        assert np.mean(bounds > part * nearest) > 0.5


@pytest.fixture
def make_problem(rng):
    """Return a function that makes problems of overlapping components, so that most responsibilities are not 0 or 1."""

    def make(n_rows, n_features, n_components=3, factor_shape=TRIANGULAR, rule=SOFT, second=FULL):
        shape = (n_components, n_features)
        means = rng.normal(size=shape)
        triangles = 0.5 * np.tril(rng.normal(size=(*shape, n_features)) / np.sqrt(n_features)) + np.eye(n_features)
        factors = {
            SPHERICAL: rng.uniform(0.5, 2, n_components),
            DIAGONAL: rng.uniform(0.5, 2, shape),
            TRIANGULAR: triangles,
            SHARED: triangles[:1],
            LOW_RANK: low_rank(rng, shape, int(rng.integers(n_features + 1))),
        }
        assignment = rng.dirichlet(np.ones(n_components), n_rows) if rule == ASSIGNMENT else None
        return Problem(
            rows=2 * rng.normal(size=(n_rows, n_features)) + 5,
            row_weight=rng.integers(0, 4, n_rows) / 2,
            assignment=assignment,
            origin=np.full(n_features, 5.0),
            log_scale=rng.normal(size=n_components),
            means=means,
            factor_shape={SHARED: TRIANGULAR, LOW_RANK: FactorShape.LOW_RANK}.get(factor_shape, factor_shape),
            factors=factors[factor_shape],
            anchor=None if second == NONE else means + 0.1 * rng.normal(size=shape),
            rule=rule,
            second=second,
            projection=rng.normal(size=(*shape, int(rng.integers(11)))) if second == PROJECTED else None,
        )

    return make


@pytest.fixture
def make_clusters(make_problem, rng):
    """Return a function that makes distant clusters, so that most components are negligible for most rows."""

    def make(n_rows, n_features, n_components, factor_shape, is_sorted=True):
        problem = make_problem(n_rows, n_features, n_components, factor_shape)
        means = 12 * rng.normal(size=problem.means.shape)
        labels = rng.integers(n_components, size=n_rows)
        labels = np.sort(labels) if is_sorted else labels
        rows = problem.origin + means[labels] + rng.normal(size=(n_rows, n_features))
        return problem.replace(rows=rows, means=means, anchor=means + 0.1)

    return make


def low_rank(rng, shape, n_factors):
    """Return [F | w], where the columns of F are orthogonal and shorter than 1."""
    directions = np.linalg.qr(rng.normal(size=(*shape, shape[1])))[0][..., :n_factors]
    sizes = rng.uniform(0.1, 0.95, (shape[0], 1, n_factors))
    return np.concatenate((directions * sizes, rng.uniform(0.5, 2, (*shape, 1))), axis=2)


@pytest.fixture
def same_bits():
    """Return a function that checks that two results have the same bits, except that 0 equals -0."""

    def check(one, other):
        if isinstance(one, np.ndarray):
            one, other = [one], [other]
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)

    return check


@pytest.fixture
def check_targets(targets, same_bits):
    """Return a function that checks that a call has the same bits on every target."""

    def check(call):
        expected = call(targets[0])
        for target in targets[1:]:
            same_bits(call(target), expected)

    return check


@pytest.fixture
def move(rng):
    """Return a function that moves a problem's components slightly, and writes the motion into `visit`."""

    def moved(problem, visit, target):
        after = problem.replace(
            means=problem.means + 0.1 * rng.normal(size=problem.means.shape),
            factors=problem.factors * (1 + 0.02 * rng.normal(size=problem.factors.shape)),
        )
        before_and_after = problem.means, problem.factors, after.means, after.factors
        visit["motion"] = target.measure_motion(problem.factor_shape, *before_and_after)
        return after

    return moved
