"""Count fits of EVE and VVE that end below mclust's, from mclust's labels; and the steps of EM that they take.

    python -m bench.pages.axes --folder FOLDER    # half an hour, most of it in R; rewrites bench/results/axes.md

R needs the packages mclust and MASS, and mlbench for a third of the tables. `axes.R` writes tables of theirs to the
folder, and what mclust makes of every table there with K = 2 … 5; what it finds done it leaves. Fits have no ridge.
"Before" is how gaussmix began at first: four steps from the same axes, with the variances of the scatter, chose. The
beginnings of a fit count as steps, so that a busy machine does not matter. At `tol` 1e-3 EM ends long before mclust
does, so that only the steps say something there.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

from bench.pages.base import Page, facts, parser_of
from bench.peers.mclust import Mclust
from gaussmix.em.initial import InitialMoments
from gaussmix.em.loop import run_em
from gaussmix.em.many import run_each
from gaussmix.em.maximise import collapsed, maximise
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, final
from gaussmix.engines import choose
from gaussmix.errors import SingularCovariance
from gaussmix.families import family_named
from gaussmix.families.common_axes import OTHER_AXES
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.sources.array import ArraySource
from gaussmix.starts import Partition

MOST_STEPS = 5000
BELOW, RELATIVE = 1e-3, 2e-7  # nats, and of the log-likelihood: less is what tolerances leave


class Found(NamedTuple):
    """A log-likelihood (a total, nats; −inf where a component collapses) and the steps to it."""

    log_likelihood: float
    n_steps: int


class Fit:
    """A fit from labels, whose steps are counted."""

    def __init__(self, rows: Array, labels: list[int], structure: str, n_components: int, tolerance: float) -> None:
        self.source, self.engine = ArraySource(rows, given=np.array(labels, dtype=np.int32) - 1), choose(1)
        self.family, self.objective = family_named(structure), Objective(np.zeros(rows.shape[1]))
        self.first = InitialMoments(self.source, self.engine, n_components, Partition())
        self.tolerance, self.n_steps = tolerance, 0

    def counted(self, *arguments: Any) -> list[State]:
        """`run_each`."""
        ends = run_each(*arguments)
        self.n_steps += sum(end.trace.n_steps for end in ends)
        return ends

    def run(self, model: Model, tolerance: float, most: int) -> State:
        end = final(run_em(self.source, self.engine, model, self.objective, Stopping(tolerance, most)))
        self.n_steps += end.trace.n_steps
        return end

    def after(self) -> Model:
        """The start in use."""
        with patch("gaussmix.em.best_of.run_each", self.counted):
            return self.first.model(self.family, self.objective, tolerance=self.tolerance)

    def before(self) -> Model:
        """The start until issue 13."""
        moments, means = self.first.about_means(self.family.need(None))
        weights, means, scatter = self.objective.constrain(*maximise(moments, means))
        others = self.family.other_initial_covariances(scatter)
        factors = [OTHER_AXES.sharp] + [OTHER_AXES.soft] * (len(others) - 1)
        plain = [replace(other, each=other.each / factor) for other, factor in zip(others, factors, strict=True)]
        models = [Model(weights, means, c, self.family) for c in (self.family.update(scatter, None), *plain)]
        models = [model for model in models if not collapsed(model, self.objective)]
        if not models:
            raise SingularCovariance.of_fit([0])
        return max(models, key=lambda model: self.run(model, 1e-6, 4).trace.last)

    def end(self, start: Callable[[], Model]) -> Found:
        self.n_steps = 0
        try:
            state = self.run(start(), self.tolerance, MOST_STEPS)
        except SingularCovariance:
            return Found(-np.inf, self.n_steps)
        total = -np.inf if state.trace.frozen else state.trace.last * float(self.source.n_rows)
        return Found(total, self.n_steps)


def tables() -> dict[str, Array]:
    """Those that are not R's."""
    wine, diabetes = load_wine().data, 10 * load_diabetes().data[:, [0, 2, 3, 4, 5, 6, 7, 8, 9]]
    cancer, digits = load_breast_cancer().data, load_digits().data
    cancer, digits = (cancer - cancer.mean(axis=0)) / cancer.std(axis=0), digits - digits.mean(axis=0)
    found = {"wine": wine, "wine_six": (wine / wine.std(axis=0))[:, :6], "diabetes_442": diabetes}
    found |= {"cancer_error": cancer[:, 10:20], "cancer_worst": cancer[:, 20:]}
    found["digits8"] = digits @ np.linalg.svd(digits, full_matrices=False)[2][:8].T
    for seed in range(12):
        found[f"generated{seed}"] = generated(np.random.default_rng(1000 + seed), seed % 2 == 0)
    return found


def generated(rng: np.random.Generator, have_common_axes: bool) -> Array:
    n_rows, n_features, n_components = rng.integers(300, 1000), rng.integers(2, 12), rng.integers(2, 6)
    axes = np.linalg.qr(rng.normal(size=(n_components, n_features, n_features)))[0]
    axes = axes[[0] * n_components] if have_common_axes else axes
    labels = rng.choice(n_components, n_rows, p=rng.dirichlet(np.full(n_components, 5.0)))
    offsets = np.exp(0.8 * rng.normal(size=(n_components, n_features)))[labels] * rng.normal(size=(n_rows, n_features))
    means = 2 * rng.uniform(0.5, 1.5) * rng.normal(size=(n_components, n_features))
    return means[labels] + np.einsum("nij,nj->ni", axes[labels], offsets)


def measured(folder: Path, tolerance: float) -> tuple[list[str], list[str]]:
    """A row of the table, for a tolerance, and the fits that end below mclust's."""
    names = "before", "after"
    steps: dict[str, list[int]] = {name: [] for name in names}
    below: dict[str, list[str]] = {name: [] for name in names}
    gains = []
    for path in sorted(folder.glob("*.json")):
        reference, rows = json.loads(path.read_text()), np.loadtxt(path.with_suffix(".csv"), delimiter=",", ndmin=2)
        for entry in reference["fits"]:
            values = [entry[control] for control in ("default", "tight") if entry[control] is not None]
            fit = Fit(rows, reference["labels"][str(entry["G"])], entry["model"], entry["G"], tolerance)
            ends = {name: fit.end(getattr(fit, name)) for name in names}
            if not values or not np.isfinite([end.log_likelihood for end in ends.values()]).all():
                continue
            best = max(values)
            for name, end in ends.items():
                steps[name].append(end.n_steps)
                if end.log_likelihood < best - BELOW - RELATIVE * abs(best):
                    below[name].append(f"{path.stem} {entry['model']} {entry['G']} ({end.log_likelihood - best:.3g})")
            gains.append(ends["after"].log_likelihood - ends["before"].log_likelihood)
        print(path.stem, len(gains), *(len(found) for found in below.values()), flush=True)
    ratios = np.log(np.divide(steps["after"], steps["before"]))
    moved = np.array(gains)
    counts = [len(gains), *map(len, below.values()), (moved > 0.01).sum(), (moved < -0.01).sum()]
    of_steps = f"{sum(steps['after']) / sum(steps['before']):.2f}", f"{np.exp(ratios.mean()):.2f}"
    lower = [f"- {name}, `tol` {tolerance:g}: {', '.join(found)}." for name, found in below.items()]
    return [f"{tolerance:g}", *map(str, counts), *of_steps], lower


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where tables and mclust's fits are, or will be")
    folder = parser.parse_args().folder
    missing = Mclust().missing()
    if missing is not None:
        parser.error(f"{missing}: install R with mclust and MASS.")
    folder.mkdir(exist_ok=True)
    for name, rows in tables().items():
        if not (folder / f"{name}.csv").exists():
            np.savetxt(folder / f"{name}.csv", rows, delimiter=",", fmt="%.17g")
    subprocess.run(["Rscript", "--vanilla", str(Path(__file__).with_suffix(".R")), str(folder)], check=True)
    how = "fits of EVE and VVE from mclust's labels, K = 2 … 5"
    page = Page(__file__, "Shared axes, beside R's mclust", how, facts() | {"mclust": Mclust().version()})
    found = [measured(folder, tolerance) for tolerance in (1e-7, 1e-3)]
    names = "`tol` | fits | below mclust before | after | higher than before | lower | steps, after / before"
    page.table(f"{names} | geometric mean", (row for row, _ in found))
    page.say("Below mclust's end, by nats (mclust's tolerances are tight):", "", *found[0][1])
    page.write()


if __name__ == "__main__":
    main()
