"""How often 95 % intervals hold the truth: forty designs, each kind of interval, and mclust's beside them.

    python -m bench.pages.coverage                               # 1,000 data sets of each design: 6 hours of processor
    python -m bench.pages.coverage --sets 100 --keep sets.jsonl  # as many as are asked for; again with more, it goes on
    python -m bench.pages.coverage --columns 'inference|hessian' # only columns with this pattern in their title
    python -m bench.pages.coverage --small                       # minutes: 8 designs, 200 data sets each

Each prints the table and writes bench/results/coverage.md. A file given by `--keep` has a line for each data set that
is finished; columns in it are not made again, and all of them are in the table. `inference(X)` and the formulas take
half an hour of a processor, because refits are made only where `inference` takes them. `--mclust 50` adds mclust to the
first 50 data sets, with R.

Rows are drawn from a known mixture, and each fit begins at its responsibilities, so that components keep their order. A
data set counts as failed for a kind of interval where gaussmix refuses it, or some number has no interval.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from os import sched_getaffinity
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.pages.base import Page, parser_of
from gaussmix import FactorAnalyzer, GaussianMixture, Mixture
from gaussmix.em.natural import Kind, NaturalScale
from gaussmix.families import FAMILIES
from gaussmix.report.bootstrap import CHOSEN
from gaussmix.report.inference import Inference, says_little

Numbers = NDArray[np.float64]

N_SETS, N_SMALL = 1000, 200
LEVEL, LEAST, MOST = 0.05, 0.93, 0.97
STEP = 0.25  # standard deviations: to such, rows are rounded that shall be equal
OUTSIDE = 3.29  # standard errors: 99.9 % of a cell with the right coverage are within
PARTS = {"weights": {Kind.WEIGHT}, "means": {Kind.MEAN}, "covariances": {Kind.VARIANCE, Kind.COVARIANCE}}
FORMULAS = "hessian", "outer", "sandwich"
MCLUST = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}


class Refitted(NamedTuple):
    """A bootstrap, how its refits make intervals, and whether it is there for comparison only."""

    kind: str
    method: str
    concentration: float = 1.0
    is_beside: bool = True


DIRICHLET = "the same, Dirichlet(0.81)"
RESAMPLED = {  # by the title of the column
    "weighted bootstrap": Refitted("weighted", "percentile", is_beside=False),
    DIRICHLET: Refitted("weighted", "percentile", CHOSEN.concentration, is_beside=False),
    "nonparametric": Refitted("nonparametric", "percentile"),
    "parametric": Refitted("parametric", "percentile"),
    "jackknife": Refitted("jackknife", "wald"),
}
OURS, THEIRS, CHOICE = "`inference(X)`", "mclust", "chosen"
TITLES = OURS, *FORMULAS, *RESAMPLED, THEIRS


@dataclass(frozen=True)
class Design:
    """A mixture to draw rows from, and how it is fitted.

    Parameters
    ----------
    family : the structure.
    n_components : K.
    n_rows : of each data set.
    separation : standard deviations between the means of neighbours.
    case : "plain", "uneven" weights of components, "frequency" or "precision" weights of rows, "missing" cells, a
        "prior", or measurement "errors".
    n_features : d.
    """

    family: str
    n_components: int
    n_rows: int
    separation: float
    case: str = "plain"
    n_features: int = 2

    @property
    def mixture(self) -> Mixture:
        """The truth: means on a line that turns, covariances of the structure."""
        K, d = self.n_components, self.n_features
        weights = np.arange(K + 3.0, 2 * K + 3)
        if self.case == "uneven":
            weights = np.array([K - 1.0, *[9.0] * (K - 1)])  # a tenth, and equal shares of the rest
        turns = np.arange(K) % 2
        means = np.zeros((K, d))
        means[:, 0] = self.separation * np.arange(K)
        if d > 1:
            means[:, 1] = 0.3 * self.separation * turns
        family = FactorAnalyzer(1) if self.family == "factor_analyzer" else FAMILIES[self.family]
        return Mixture(weights / weights.sum(), means, _covariances(self.family, d, turns), family)

    @property
    def titles(self) -> list[str]:
        """The columns that it has without mclust: fewer where refits take long, or rows can't be drawn."""
        is_slow, is_incomplete = self.family == "factor_analyzer", self.case in ("missing", "errors")
        left_out = {
            title
            for title, how in RESAMPLED.items()
            if (how.is_beside and is_slow)
            or (how.kind == "parametric" and is_incomplete)
            or (how.kind == "jackknife" and self.n_rows > 300)
        }
        return [title for title in TITLES[:-1] if title not in left_out]

    @property
    def is_mclust(self) -> bool:
        """Whether mclust has such intervals."""
        return self.family != "factor_analyzer" and self.case in ("plain", "uneven")

    def __str__(self) -> str:
        features = f", d={self.n_features}" if self.n_features != 2 else ""
        of_rows = f"K={self.n_components}{features}, n={self.n_rows:,}"
        return f"{self.family}, {of_rows}, {self.separation:g} apart, {self.case}"


def _covariances(family: str, d: int, turns: NDArray[np.intp]) -> Numbers:
    """Two covariances in turn, or the one that all share, in the compact form of the structure."""
    angles = {"EEV": (0.4, 1.5), "VVE": (0.4, 0.4)}
    variances = {"EEV": ((1.6, 0.6), (1.6, 0.6)), "VVE": ((1.6, 0.6), (0.8, 1.2))}
    apart = np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
    scales = np.array([np.ones(d), np.sqrt(np.resize([1.3, 0.8], d))])
    two: Numbers = np.array([0.3**apart, (-0.4) ** apart]) * scales[:, :, None] * scales[:, None, :]
    if family == "diag":
        two = np.diagonal(two, axis1=1, axis2=2)
    elif family == "factor_analyzer":  # a loading and a noise variance of each feature
        loadings = np.array([[1.0, 0.8, 0.6, 0.4, 0.2], [0.2, 0.4, -0.6, 0.8, -1.0]])
        two = np.stack((loadings, np.full_like(loadings, 0.5)), axis=2)
    elif family in ("EII", "spherical", "VEI"):
        two = np.array([[1.2, 0.6], [2.0, 1.0]] if family == "VEI" else [1.0, 1.4])
    elif family in angles:
        axes = np.array([[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in angles[family]])
        two = np.einsum("kij,kj,klj->kil", axes, np.array(variances[family]), axes)
    return np.asarray(two[0] if family in ("EII", "tied") else two[turns])


SMALL = [
    *(Design("full", 2, n_rows, apart) for n_rows, apart in product((300, 1000), (2.5, 4.0))),
    *(Design(family, 2, 300, 4.0) for family in ("tied", "diag", "spherical")),
    Design("full", 3, 1000, 4.0),
]
ALL = [
    *(Design("full", 2, 300, apart) for apart in (2.0, 2.5, 3.0, 4.0, 6.0)),
    *(Design("full", 2, 1000, apart) for apart in (2.0, 2.5, 4.0)),
    *(Design("full", 2, *each) for each in ((100, 4.0), (3000, 2.5))),
    *(Design("full", 3, *each) for each in product((300, 1000), (2.5, 4.0))),
    Design("full", 5, 1000, 4.0),
    *(Design(*each) for each in product(("tied", "diag", "spherical"), (2,), (300,), (2.5, 4.0))),
    *(Design(family, 2, 300, 3.0) for family in ("EII", "VEI", "EEV", "VVE")),
    *(Design("full", 2, 300, apart, n_features=1) for apart in (3.0, 4.0)),
    *(Design("full", 2, n_rows, 4.0, n_features=4) for n_rows in (300, 1000)),
    *(Design("factor_analyzer", 2, n_rows, 4.0, n_features=5) for n_rows in (300, 1000)),
    *(Design("full", 2, n_rows, 4.0, "uneven") for n_rows in (300, 1000)),
    *(Design("full", 2, *each, "missing") for each in ((300, 2.5), (300, 4.0))),
    Design("full", 2, 300, 4.0, "errors"),
    *(Design("full", 2, 300, apart, "prior") for apart in (2.5, 4.0)),
    *(Design("full", 2, 300, 4.0, case) for case in ("frequency", "precision")),
]


class Drawn(NamedTuple):
    """A data set: its rows, the responsibilities of the truth, and what else the fit is given."""

    rows: Numbers
    shares: Numbers
    given: dict[str, Any]
    parameters: dict[str, Any]


def drawn(design: Design, seed: int) -> Drawn:
    """A data set of a design."""
    rng, truth = np.random.default_rng([seed, 7]), design.mixture
    rows, given, parameters = truth.sample(design.n_rows, rng)[0], dict[str, Any](), dict[str, Any]()
    if design.case == "frequency":  # rounding adds STEP² / 12 to variances, far less than their standard errors
        rows, counts = np.unique(np.round(rows / STEP) * STEP, axis=0, return_counts=True)
        given["sample_weight"] = counts.astype(float)
    if design.case == "precision":  # the squares of such weights are 3 / 2 of the square of their mean
        given["sample_weight"] = rng.gamma(2.0, 0.5, len(rows))
        parameters["weight_meaning"] = "precision"
    shares = truth.responsibilities(rows)
    if design.case == "missing":
        rows[rng.random(rows.shape) < 0.1] = np.nan
    if design.case == "errors":
        rows, given["X_error"] = rows + rng.normal(0, 0.3, rows.shape), np.full(rows.shape, 0.3)
    if design.case == "prior":
        parameters["prior"] = "default"
    return Drawn(rows, shares, given, parameters)


def held(design: Design, seed: int, titles: Collection[str]) -> dict[str, Any]:
    """By the title of a column: the shares of intervals that hold the truth, by part; or why there are none.

    Also "chosen", the kind that `inference(X)` takes, if it is among the titles.
    """
    found: dict[str, Any] = {"design": str(design), "seed": seed}
    for title, ends in _intervals(design, seed, titles).items():
        found[title] = ends if title == CHOICE or isinstance(ends, str) else shares_held(design, ends)
    return found


def shares_held(design: Design, ends: Numbers) -> list[float] | str:
    """The shares of intervals (q, 2) that hold the truth, by part."""
    if np.isnan(ends).any():
        return "some number has no interval"
    scale, truth = NaturalScale.of(design.mixture.model), design.mixture.model
    is_held = (ends[:, 0] <= scale.values(truth)) & (scale.values(truth) <= ends[:, 1])
    of_parts = ([term.kind in kinds for term in scale.terms] for kinds in PARTS.values())
    return [round(float(is_held[each].mean()), 4) for each in of_parts]


def _intervals(design: Design, seed: int, titles: Collection[str]) -> dict[str, Numbers | str]:
    """The intervals of columns, or why there are none; also what `inference(X)` chooses.

    All formulas are those of one maximum. `inference(X)` itself has the same seed each time; here refits are drawn anew
    for each data set.
    """
    rows, shares, given, parameters = drawn(design, seed)
    truth = design.mixture
    gm = GaussianMixture(
        truth.n_components, covariance_type=truth.family, init_params=shares, tol=1e-7, max_iter=5000, n_jobs=1,
        **parameters,
    )  # fmt: skip
    gm.fit(rows, **given)
    found, wanted, has_precisions = dict[str, Numbers | str](), {*titles}, design.case == "precision"
    chosen = "sandwich" if has_precisions else "hessian"
    if wanted & {OURS, *FORMULAS}:
        try:
            at_maximum = gm.inference(rows, kind="sandwich", **given)
        except ValueError as error:
            return found | dict.fromkeys(wanted, str(error))
        assert isinstance(at_maximum, Inference), "as with every kind that is named"
        maximum = at_maximum.maximum
        for kind in FORMULAS:
            try:
                if kind == "outer" and has_precisions:  # the squares of weights are in the sandwich only
                    of_kind = gm.inference(rows, kind=kind, **given)
                else:
                    of_kind = replace(at_maximum, covariance=maximum.natural_covariance(kind, None))
                found[kind] = of_kind.conf_int(LEVEL)
            except ValueError as error:
                found[kind] = str(error)
        if OURS in wanted and not maximum.frozen and says_little(maximum):
            chosen = DIRICHLET
            wanted |= {DIRICHLET}
    for title, (kind, method, concentration, _) in RESAMPLED.items():
        if title in wanted:
            n = None if kind == "jackknife" else CHOSEN.n
            try:
                refits = gm.bootstrap(rows, n, kind, concentration=concentration, random_state=seed, **given)
                found[title] = refits.conf_int(LEVEL, method)
            except ValueError as error:
                found[title] = str(error)
    if OURS in wanted:
        found |= {CHOICE: chosen, OURS: found[chosen]}
    return {title: ends for title, ends in found.items() if title in (CHOICE, *titles)}


def beside(design: Design, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The shares that mclust's intervals hold, for some data sets."""
    K, scale = design.n_components, NaturalScale.of(design.mixture.model)
    with tempfile.TemporaryDirectory() as folder:
        table, ends = Path(folder, "rows.csv"), Path(folder, "ends.csv")
        sets = [(seed, drawn(design, seed)) for seed in seeds]
        numbers = [np.column_stack([np.full(len(each.rows), seed), each.rows, each.shares]) for seed, each in sets]
        np.savetxt(table, np.concatenate(numbers), delimiter=",", fmt="%.17g")
        model = "V" if design.n_features == 1 else MCLUST.get(design.family, design.family)
        words = [str(Path(__file__).with_suffix(".R")), table, ends, model, K, CHOSEN.n, LEVEL]
        subprocess.run(["Rscript", "--vanilla", *map(str, words)], check=True)
        lines = np.loadtxt(ends, delimiter=",", ndmin=2)
    results = []
    for seed in seeds:
        own = lines[lines[:, 0] == seed][:, 2:].T
        held: Any = "no refit converged"
        if own.size:
            means, covariances = np.split(own[K:], [K * design.n_features])
            matrices = covariances.reshape(K, design.n_features, design.n_features, 2)
            places = [(max(t.component, 0), *(t.features * 2 or (0, 0))[:2]) for t in scale.terms[K + len(means) :]]
            held = shares_held(design, np.concatenate((own[:K], means, [matrices[place] for place in places])))
        results.append({"design": str(design), "seed": seed, THEIRS: held})
    return results


def covered(task: tuple[Design, list[int], tuple[str, ...]]) -> list[dict[str, Any]]:
    """Columns of the results of some data sets, with the warnings of single ones silenced."""
    design, seeds, titles = task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return beside(design, seeds) if titles == (THEIRS,) else [held(design, seed, titles) for seed in seeds]


def is_right(shares: Numbers, n_numbers: int) -> bool:
    """Whether a coverage may be from 93 to 97 %, within the Monte Carlo error of these shares of n_numbers numbers."""
    least = LEAST * (1 - LEAST) / n_numbers  # the variance of a share, if numbers are independent
    reach = OUTSIDE * np.sqrt(max(shares.var(), least) / len(shares))
    return bool(shares.mean() + reach >= LEAST and shares.mean() - reach <= MOST)


def cells_of(name: str, results: list[dict[str, Any]], n_numbers: Sequence[int]) -> tuple[str, ...]:
    """A row of the table: coverages in percent, in bold where they are not right."""
    n_sets, cells = sum(OURS in found for found in results), []
    for title in TITLES:
        own = [found[title] for found in results if title in found]
        shares = np.array([each for each in own if not isinstance(each, str)])
        parts = zip(shares.T, n_numbers, strict=True) if len(shares) else ()
        marks = [(100 * values.mean(), "" if is_right(values, number) else "**") for values, number in parts]
        asides = [f"of {len(own):,}"] * (0 < len(own) != n_sets)
        asides += [f"{len(own) - len(shares)} failed"] * (len(own) > len(shares))
        cells.append(" / ".join(f"{mark}{mean:.0f}{mark}" for mean, mark in marks))
        cells[-1] += f" ({', '.join(asides)})" if asides else ""
    return name, f"{n_sets:,}", *cells


def sizes(design: Design) -> list[int]:
    """How many numbers each part has."""
    kinds = [term.kind for term in NaturalScale.of(design.mixture.model).terms]
    return [sum(map(kinds.count, part)) for part in PARTS.values()]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--small", action="store_true", help="8 designs and 200 data sets")
    parser.add_argument("--sets", type=int, help="data sets of each design")
    parser.add_argument("--design", default="", help="make only designs with this pattern in their name")
    parser.add_argument("--columns", default="", help="make only columns with this pattern in their title")
    parser.add_argument("--mclust", type=int, default=0, help="data sets beside mclust's intervals")
    parser.add_argument("--keep", type=Path, help="the file with a line for each data set")
    parser.add_argument("--processes", type=int, default=len(sched_getaffinity(0)))
    options = parser.parse_args()
    designs, n_sets = (SMALL, N_SMALL) if options.small else (ALL, N_SETS)
    n_sets = n_sets if options.sets is None else options.sets
    if options.mclust and shutil.which("Rscript") is None:
        print("mclust is left out: there is no Rscript.")
        options.mclust = 0
    results: dict[tuple[str, int], dict[str, Any]] = {}
    if options.keep is not None and options.keep.exists():
        for each in map(json.loads, options.keep.read_text().splitlines()):
            results.setdefault((each["design"], each["seed"]), {}).update(each)
    tasks = []
    for first, design in product(range(0, max(n_sets, options.mclust), 10), designs):
        lacking = defaultdict[tuple[str, ...], list[int]](list)
        for seed in range(first, first + 10):
            titles = design.titles if seed < n_sets and re.search(options.design, str(design)) else []
            titles = [title for title in titles if re.search(options.columns, title)]
            known = results.get((str(design), seed), {})
            lacking[tuple(title for title in titles if title not in known)].append(seed)
            if seed < options.mclust and design.is_mclust and THEIRS not in known:
                lacking[(THEIRS,)].append(seed)
        tasks += [(design, seeds, titles) for titles, seeds in lacking.items() if titles]
    with ProcessPoolExecutor(options.processes) as pool:
        for found in pool.map(covered, tasks):
            for each in found:
                results.setdefault((each["design"], each["seed"]), {}).update(each)
            if options.keep is not None:
                with options.keep.open("a") as file:
                    file.writelines(json.dumps(each) + "\n" for each in found)
    rows = []
    for design in designs:
        own = [found for (name, _), found in results.items() if name == str(design)]
        rows += [cells_of(str(design), own, sizes(design))] if own else []
    for name, is_chosen in (("all that take formulas", False), ("all that take refits", True)):
        own = [each for each in results.values() if "chosen" in each and (each["chosen"] == DIRICHLET) is is_chosen]
        rows += [cells_of(name, own, [1, 1, 1])] if own else []
    reasons = Counter(
        f"{title}: {why}" for found in results.values() for title in TITLES if isinstance(why := found.get(title), str)
    )
    given = [name for name, value in (("--small", options.small), ("--keep FILE", options.keep)) if value]
    page = Page(__file__, "Coverage of 95 % intervals", " ".join(given))
    page.say(WORDS)
    page.table(f"design | sets | {' | '.join(TITLES)}", rows, n_words=2 + len(TITLES))
    page.say(*(f"- {number} × {reason}" for reason, number in reasons.most_common()))
    page.write()


WORDS = f"""\
Percent of the intervals that hold the truth: weights / means / covariances, in the mean over the numbers of a part and
over the data sets. Bold: outside of 93–97 % by more than the Monte Carlo error of the cell (99.9 %). Where a cell has
another number of data sets than its line, it says so. A command with `--keep` goes on with more of them.

- {OURS} is what `inference` chooses by itself: the Hessian, or the sandwich where row weights are precisions; where the
  rows say little (a curvature below 15 nats), {CHOSEN.n} refits with Dirichlet({CHOSEN.concentration:g}) weights.
- hessian, outer and sandwich are `inference(X, kind=…)`, on the logit scale for weights, the log scale for variances.
- A bootstrap has {CHOSEN.n} refits, and its intervals are percentiles; the jackknife's are estimate ± 1.96 errors.
- mclust: percentiles of `MclustBootstrap(…, nboot = {CHOSEN.n}, type = "bs")` from the same maximum."""


if __name__ == "__main__":
    main()
