"""How often 95 % intervals hold the truth, by structure, separation, rows and weights; and failures.

    python -m bench.pages.coverage            # hours: 40 designs, 1,000 data sets each
    python -m bench.pages.coverage --small    # minutes: 8 designs, 200 data sets each

Either prints the table and writes bench/results/coverage.md.

Rows are drawn from a known mixture, and each fit begins at it, so that components keep their order. A fit counts as
failed for a kind of interval where gaussmix refuses it, or some number has no interval.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from os import sched_getaffinity
from typing import Any

import numpy as np

from bench.pages.base import RESULTS, facts, head, parser_of
from gaussmix import GaussianMixture, Mixture
from gaussmix.em.natural import Kind, NaturalScale
from gaussmix.families import FAMILIES

RESULT = RESULTS / "coverage.md"
N_SETS, N_SMALL, N_REFITS = 1000, 200, 199
LEVEL, LEAST, MOST = 0.05, 0.93, 0.97
STEP = 0.25  # standard deviations: to such, rows are rounded that shall be equal
OUTSIDE = 3.29  # standard errors: 99.9 % of a cell with the right coverage are within
PARTS = {"weights": {Kind.WEIGHT}, "means": {Kind.MEAN}, "covariances": {Kind.VARIANCE, Kind.COVARIANCE}}
FORMULAS = "hessian", "outer", "sandwich"
RESAMPLED = ("weighted", "percentile"), ("weighted", "centred"), ("weighted", "wald"), ("parametric", "percentile")
METHODS = (*FORMULAS, *(f"{kind}, {method}" for kind, method in RESAMPLED))
TITLES = (*FORMULAS, *(f"{kind} bootstrap, {method}" for kind, method in RESAMPLED))


@dataclass(frozen=True)
class Design:
    """A mixture to draw rows from, and how it is fitted.

    Parameters
    ----------
    family : the structure.
    n_components : K.
    n_rows : of each data set.
    separation : standard deviations between the means of neighbours.
    case : "plain", "unequal" weights, "frequency" or "precision" row weights, "missing" cells, or a "prior".
    """

    family: str
    n_components: int
    n_rows: int
    separation: float
    case: str = "plain"

    @property
    def mixture(self) -> Mixture:
        """The truth: means on a line that turns, covariances of the structure."""
        K = self.n_components
        weights = np.arange(1.0, K + 1) if self.case == "unequal" else np.arange(K + 3.0, 2 * K + 3)
        turns = np.arange(K) % 2
        means = self.separation * np.column_stack([np.arange(K), 0.3 * turns])
        each = np.array([[[1.0, 0.3], [0.3, 1.0]], [[1.3, -0.4], [-0.4, 0.8]]])[turns]
        own = {"full": each, "tied": each[0], "diag": np.diagonal(each, axis1=1, axis2=2)}
        covariances = own.get(self.family, np.array([1.0, 1.4])[turns])
        return Mixture(weights / weights.sum(), means, covariances, FAMILIES[self.family])

    def __str__(self) -> str:
        return f"{self.family}, K={self.n_components}, n={self.n_rows:,}, {self.separation:g} apart, {self.case}"


SMALL = [
    *(Design("full", 2, n_rows, apart) for n_rows, apart in product((300, 1000), (2.5, 4.0))),
    *(replace(Design("full", 2, 300, 4.0), family=family) for family in ("tied", "diag", "spherical")),
    Design("full", 3, 1000, 4.0),
]
ALL = [
    *(Design(*each) for each in product(("full", "tied", "diag", "spherical"), (2, 3), (300, 1000), (2.5, 4.0))),
    *(Design("full", 2, 300, 4.0, case) for case in ("unequal", "frequency", "precision", "missing", "prior")),
    *(Design("full", 2, 1000, 2.5, case) for case in ("unequal", "frequency", "prior")),
]


def held(design: Design, seed: int) -> dict[str, dict[str, float] | str]:
    """By method: the share of intervals that hold the truth by part, or why there are none."""
    rng, truth = np.random.default_rng([seed, 7]), design.mixture
    rows, weight = truth.sample(design.n_rows, rng)[0], None
    parameters: dict[str, Any] = {}
    if design.case == "frequency":  # rounding adds STEP² / 12 to variances, far less than their standard errors
        rows, counts = np.unique(np.round(rows / STEP) * STEP, axis=0, return_counts=True)
        weight = counts.astype(float)
    if design.case == "precision":
        weight = rng.uniform(0.5, 2.0, len(rows))
        parameters["weight_meaning"] = "precision"
    if design.case == "missing":
        rows[rng.random(rows.shape) < 0.1] = np.nan
    if design.case == "prior":
        parameters["prior"] = "default"
    parameters |= {"weights_init": truth.weights, "means_init": truth.means, "covariances_init": truth.covariances}
    gm = GaussianMixture(
        truth.n_components, covariance_type=design.family, tol=1e-7, max_iter=5000, n_jobs=1, **parameters
    )
    gm.fit(rows, sample_weight=weight)
    terms = NaturalScale.of(truth.model).terms
    values = NaturalScale.of(truth.model).values(truth.model)
    found: dict[str, dict[str, float] | str] = {}
    for method, ends in _intervals(gm, rows, weight, seed):
        if isinstance(ends, str):
            found[method] = ends
            continue
        is_held = (ends[:, 0] <= values) & (values <= ends[:, 1])
        found[method] = {
            part: float(is_held[[term.kind in kinds for term in terms]].mean()) for part, kinds in PARTS.items()
        }
    return found


def _intervals(
    gm: GaussianMixture, rows: np.ndarray, weight: np.ndarray | None, seed: int
) -> Iterator[tuple[str, np.ndarray | str]]:
    """The intervals of every method, or why there are none."""
    for kind in FORMULAS:
        try:
            ends = gm.inference(rows, sample_weight=weight, kind=kind).conf_int(LEVEL)
        except ValueError as error:
            yield kind, str(error)
        else:
            yield kind, "some number has no standard error" if np.isnan(ends).any() else ends
    for kind in dict(RESAMPLED):
        methods = [method for each, method in RESAMPLED if each == kind]
        try:
            refits = gm.bootstrap(rows, N_REFITS, kind, sample_weight=weight, random_state=seed)
        except ValueError as error:
            yield from ((f"{kind}, {method}", str(error)) for method in methods)
        else:
            yield from ((f"{kind}, {method}", refits.conf_int(LEVEL, method)) for method in methods)


def covered(task: tuple[Design, int]) -> dict[str, dict[str, float] | str]:
    """`held`, with the warnings of single data sets silenced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return held(*task)


def lines_of(design: Design, results: list[dict[str, dict[str, float] | str]]) -> str:
    """A line of the table."""
    cells = []
    for method in METHODS:
        there = [each for each in (found[method] for found in results) if not isinstance(each, str)]
        n_failed = len(results) - len(there)
        if not there:
            cells.append("refused")
            continue
        shares = [np.array([each[part] for each in there]) for part in PARTS]
        text = " / ".join(_cell(each) for each in shares)
        cells.append(text + (f" ({n_failed} failed)" if n_failed else ""))
    return f"| {design} | {' | '.join(cells)} |"


def _cell(shares: np.ndarray) -> str:
    """A coverage in percent; in bold where it misses what is asked for by more than its Monte Carlo error."""
    mean, error = shares.mean(), OUTSIDE * max(shares.std() / np.sqrt(len(shares)), 1e-9)
    is_right = mean + error >= LEAST and mean - error <= MOST
    return f"{100 * mean:.0f}" if is_right else f"**{100 * mean:.0f}**"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--small", action="store_true", help="8 designs and 200 data sets")
    parser.add_argument("--sets", type=int, help="data sets of each design")
    options = parser.parse_args()
    designs, n_sets = (SMALL, N_SMALL) if options.small else (ALL, N_SETS)
    n_sets = options.sets or n_sets
    lines = [f"| design | {' | '.join(TITLES)} |", f"|---|{'---|' * len(TITLES)}"]
    reasons: Counter[str] = Counter()
    print(*lines, sep="\n")
    with ProcessPoolExecutor(len(sched_getaffinity(0))) as pool:
        for design in designs:
            results = list(pool.map(covered, [(design, seed) for seed in range(n_sets)], chunksize=5))
            lines.append(lines_of(design, results))
            print(lines[-1], flush=True)
            for found in results:
                reasons.update(f"{method}: {why}" for method, why in found.items() if isinstance(why, str))
    command = "python -m bench.pages.coverage" + " --small" * options.small
    about = head("Coverage of 95 % intervals", f"`{command}`", facts())
    said = [f"- {number} × {reason}" for reason, number in reasons.most_common()]
    print(*said, sep="\n")
    RESULT.write_text("\n".join([*about, "", WORDS.format(n=n_sets), "", *lines, "", *said]).rstrip() + "\n")


WORDS = """\
Percent of the intervals that hold the truth: weights / means / covariances, in the mean over the numbers of a part, of
{n:,} data sets. Bold: outside of 93–97 % by more than its Monte Carlo error (99.9 %). Formulas are those of
`inference(kind=…)`, on the logit scale for weights and the log scale for variances; a bootstrap has 199 refits."""


if __name__ == "__main__":
    main()
