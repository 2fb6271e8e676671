"""Compare gaussmix with R's mclust, fit by fit: `python -m bench.parity [FOLDER]` prints the tables.

First come fits with noise, with a prior and with equal weights, whose references are in tests/oracle. For EII and EEI
mclust's prior differs from the prior of Fraley & Raftery (2007), so gaussmix uses mclust's prior in the comparison.

FOLDER contains the untrimmed output of tests/oracle/mclust/main.R. With it, the ordinary fits follow: every data set of
the reference × 14 structures × 1 to 5 components. Each fit starts with an M-step from mclust's start labels and ends
when |ΔL| / (1 + |L|) < 1e-10 (mclust's `tight` control). If the M-step is a formula, gaussmix must reach the same
log-likelihood in the same number of steps. If the M-step is iterative (VEI, VEE, VEV, EVE, VVE), gaussmix must end at
least as high as mclust from these labels, and as a monotone EM if the reference has one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gaussmix import Mixture, SingularCovarianceError
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.trace import final_state
from gaussmix._src.em.step.loop import run_em
from gaussmix._src.engines import complete_engine
from gaussmix._src.families import family_named
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix.extend import Block, Partition

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "oracle"))
import mclust_extras as extras  # the lines above add its folder to the path
from mclust_rule import MclustStopping, RecordingSource

DATA_SETS = ["galaxies", "eruptions", "faithful", "cross", "iris", "banknote"]
MONOTONE = "x_vve_proper.json"  # file of log-likelihoods of a monotone EM
SEARCHED = {"VEI", "VEE", "VEV", "EVE", "VVE"}
TIGHT = 1e-10
SAME = 1e-9  # relative difference of log-likelihoods after the same steps
NEAR = 1e-7  # relative difference if a tolerance ends an inner iteration

# Relative difference of log-likelihoods. mclust stops if a step gains less than 1e-10 of it, and fits with a prior
# converge slowly.
EXTRA_NEAR = {"noise": 1e-7, "prior": 5e-7, "equal weights": 1e-7}

EXTRA_NOTES = {
    "equal": "equal",
    "mclust astray": "in which mclust 6.0.0 goes astray: it ends lower, or its weights do not sum to 1 (VVI)",
    "mclust fails": "in which mclust reports NA, and gaussmix ends",
    "DIFFERS": "not explained",
}
NOTES = {
    "equal": "the same maximum to the stated digits",
    "same failure": "mclust reports NA (a singular fit), and gaussmix a singular covariance",
    "another maximum": "below mclust's best: exact steps from these labels lead to another local maximum, and from "
    "mclust's parameters gaussmix ends at least as high as mclust",
    "higher": "above mclust's best by more than 1e-7 of it, from the same labels: see the structures below",
    "DIFFERS": "not explained",
}
OTHERS = "its inner search ends later than mclust's"
WHY_HIGHER = {
    "VVE": "steps of mclust 6.0.0's VVE may lower the likelihood, and left this maximum; or gaussmix began with other "
    "axes, which led to a higher maximum",
    "EVE": "gaussmix begins with several sets of axes and keeps the best",
}


@dataclass(frozen=True)
class Fit:
    """A fit that ended.

    Parameters
    ----------
    log_likelihood : nats, a total.
    n_steps : number of M + E passes.
    n_parameters : number of free parameters of the whole mixture.
    uncertainty : −Σ_i log max_k γ_ik, nats.
    n_rows : n.
    """

    log_likelihood: float
    n_steps: int
    n_parameters: int
    uncertainty: float
    n_rows: int

    @property
    def bic(self) -> float:
        return -2 * self.log_likelihood + self.n_parameters * float(np.log(self.n_rows))

    @property
    def icl(self) -> float:
        """Return the ICL of Biernacki, Celeux & Govaert (2000) with labels; lower is better."""
        return self.bic + 2 * self.uncertainty


@dataclass(frozen=True)
class Reference:
    """A data set of a folder, and mclust's fits of this data set."""

    folder: Path
    name: str

    @cached_property
    def values(self) -> dict[str, Any]:
        return json.loads((self.folder / f"{self.name}.json").read_text())

    @cached_property
    def rows(self) -> Array:
        return np.loadtxt(self.folder / f"{self.name}.csv", delimiter=",", skiprows=1, ndmin=2)

    @cached_property
    def monotone(self) -> dict[tuple[str, int], float]:
        """Return log-likelihoods of a monotone EM, by structure and number of components."""
        fits = json.loads((self.folder / MONOTONE).read_text())["fits"]
        return {(f["model"], f["G"]): f["loglik_monotone_em"] for f in fits if f["dataset"] == self.name}

    def best(self, entry: dict[str, Any]) -> float | None:
        """Return the highest log-likelihood from these labels, or None if there is none."""
        reached = [entry[kind]["loglik"] for kind in ("default", "tight")]
        reached.append(self.monotone.get((entry["model"], entry["G"])))
        return max((value for value in reached if value is not None), default=None)

    def mixture(self, entry: dict[str, Any], structure: str) -> Mixture:
        """Return mclust's parameters as a mixture with full covariance matrices."""
        found, n_features = entry["tight"], self.rows.shape[1]
        lower = np.zeros((entry["G"], n_features, n_features))
        lower[:, *np.tril_indices(n_features)] = found["sigma_tril"]
        dense = lower + np.tril(lower, -1).swapaxes(1, 2)
        weights = np.ravel(found["pro"])
        means = np.reshape(found["mean"], (entry["G"], n_features))
        return Mixture(weights / weights.sum(), means, dense, family_named(structure))

    def fit(self, entry: dict[str, Any]) -> Fit | None:
        """Return mclust's fit, and the uncertainty in its own parameters, or None if mclust has no fit."""
        found = entry["tight"]
        if found["loglik"] is None:
            return None
        mclust_uncertainty = uncertainty(self.mixture(entry, "VVV").responsibilities(self.rows))
        return Fit(found["loglik"], abs(found["iterations"]), entry["npar"], mclust_uncertainty, len(self.rows))


def uncertainty(posterior: Array) -> float:
    return -float(np.log(posterior.max(axis=1)).sum())


def our_fit(reference: Reference, entry: dict[str, Any], start: Model | None = None) -> Fit | None:
    """Fit gaussmix without a ridge, from mclust's start labels or from a mixture; None if the fit is singular."""
    rows = reference.rows
    labels = np.array(reference.values["start_labels"][str(entry["G"])], dtype=np.int32) - 1
    source, engine = RecordingSource(rows, assignment=labels), complete_engine(1)
    objective = Objective(np.zeros(rows.shape[1]))
    try:
        first = InitialMoments(source, engine, entry["G"], Partition())
        start = start or first.model(family_named(entry["model"]), objective)
    except SingularCovarianceError:
        return None
    mixture, trace, _ = final_state(run_em(source, engine, start, objective, MclustStopping(TIGHT, total=len(rows))))
    if trace.frozen_components:
        return None
    posterior = engine.responsibilities(Block(0, rows), source.parameters)
    return Fit(trace.last_objective * len(rows), trace.n_steps, mixture.n_parameters, uncertainty(posterior), len(rows))


def verdict(reference: Reference, entry: dict[str, Any], ours: Fit | None, theirs: Fit | None) -> str:
    """Return the result of a comparison, a key of `NOTES`."""
    best = reference.best(entry)
    if ours is None or theirs is None or best is None:
        return "same failure" if ours is None and theirs is None else "DIFFERS"
    gain = (ours.log_likelihood - best) / abs(best)
    same = abs(ours.log_likelihood - theirs.log_likelihood) <= SAME * abs(theirs.log_likelihood)
    same_icl = abs(ours.icl - theirs.icl) <= 1e-6 * abs(theirs.icl)
    if ours.n_parameters != theirs.n_parameters or (same and not same_icl):
        return "DIFFERS"
    if entry["model"] not in SEARCHED:
        return "equal" if same and ours.n_steps == theirs.n_steps else "DIFFERS"
    if abs(gain) <= NEAR:
        return "equal"
    if gain > 0:
        return "higher"
    climbed = our_fit(reference, entry, reference.mixture(entry, entry["model"])._model)
    is_above = climbed is not None and climbed.log_likelihood >= best - NEAR * abs(best)
    return "another maximum" if is_above else "DIFFERS"


def extra_lines() -> Iterator[tuple[str, str, str]]:
    """Yield part, verdict and a line of the table, for fits with noise, with a prior and with equal weights."""
    rows = extras.NOISE_ROWS
    for fit in extras.NOISE["fits"]:
        yield _extra("noise", "noise", fit, extras.with_noise(fit).score(rows) * len(rows))
    for data, fit in extras.prior_fits():
        end = extras.with_prior(data, fit)
        yield _extra("prior", data, fit, end.trace.log_likelihood[-1] * len(extras.ROWS[data]))
    for fit in extras.EQUAL["datasets"]["faithful"]["fits"]:
        rows = extras.ROWS["faithful"]
        yield _extra("equal weights", "faithful", fit, extras.with_equal_weights(fit).score(rows) * len(rows))


def _extra(part: str, data: str, fit: dict[str, Any], ours: float) -> tuple[str, str, str]:
    """Return the part, the verdict and the line of the table for a fit of mclust and our log-likelihood."""
    theirs = np.nan if fit["loglik"] is None else float(fit["loglik"])
    gain = (ours - theirs) / abs(theirs)
    found = "DIFFERS"
    if np.isnan(gain):
        found = "mclust fails"
    elif abs(gain) <= EXTRA_NEAR[part]:
        found = "equal"
    elif gain > 0 or (part == "equal weights" and fit["model"] == "VVI"):
        found = "mclust astray"
    cells = f"{part:<14}{data:<10}{fit['model']:<4}{fit['G']:>2} {ours:>17.9f} {theirs:>17.9f} {gain:>9.1e}  {found}"
    return part, found, cells


def print_extras() -> bool:
    """Print the table of fits with noise, a prior or equal weights; return whether a difference is unexplained."""
    counts: Counter[tuple[str, str]] = Counter()
    print(f"{'part':<14}{'data':<10}{'':4}{'K':>2} {'gaussmix':>17} {'mclust':>17} {'relative':>9}")
    for part, found, line in extra_lines():
        counts[part, found] += 1
        print(line, flush=True)
    for (part, found), n in counts.items():
        within = f" to {EXTRA_NEAR[part]:.0e} of the log-likelihood" if found == "equal" else ""
        print(f"\n{part}: {n} fits {EXTRA_NOTES[found]}{within}.")
    return any(found == "DIFFERS" for _, found in counts)


def lines(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield structure, verdict and a line of the table, fit by fit."""
    for name in DATA_SETS:
        reference = Reference(folder, name)
        for entry in reference.values["fits"]:
            fits = our_fit(reference, entry), reference.fit(entry)
            found, best = verdict(reference, entry, *fits), reference.best(entry)
            gain = np.nan if best is None or fits[0] is None else (fits[0].log_likelihood - best) / abs(best)
            cells = [f"{name:<10}{entry['model']:<4}{entry['G']:>2}", *map(shown, fits), f"{gain:>9.1e}  {found}"]
            yield entry["model"], found, " ".join(cells)


def shown(fit: Fit | None) -> str:
    """Return the columns of a fit."""
    if fit is None:
        return f"{'NA':>17}{'':>42}"
    return f"{fit.log_likelihood:>17.9f}{fit.n_steps:>6}{fit.n_parameters:>4}{fit.bic:>16.6f}{fit.icl:>16.6f}"


def main() -> int:
    """Print the tables, and return 1 if a difference is unexplained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="output of tests/oracle/mclust/main.R")
    folder = parser.parse_args().folder
    if folder is not None and not (folder / MONOTONE).is_file():  # trimming removes the file MONOTONE
        parser.error(f"{folder} is not a complete reference: tests/oracle/mclust/README.md explains how to make it.")
    differs = print_extras()
    if folder is not None:
        differs |= print_plain(folder)
    return int(differs)


def print_plain(folder: Path) -> bool:
    """Print the table of ordinary fits; return whether a difference is unexplained."""
    fields = f"{'log-likelihood':>17}{'steps':>6}{'par':>4}{'BIC':>16}{'ICL':>16}"
    print(f"\n{'':16} {'gaussmix':>59} {'mclust':>59}\n{'data':<10}{'':4}{'K':>2} {fields} {fields} {'relative':>9}")
    counts: Counter[tuple[str, str]] = Counter()
    for structure, found, line in lines(folder):
        counts[found, structure] += 1
        print(line, flush=True)
    for found, note in NOTES.items():
        where = {structure: n for (other, structure), n in counts.items() if other == found}
        print(f"\n{found}: {sum(where.values())} fits, {note}.")
        if found == "higher":
            print(
                "\n".join(f"  {structure}, {n}: {WHY_HIGHER.get(structure, OTHERS)}." for structure, n in where.items())
            )
    return any(found == "DIFFERS" for found, _ in counts)


if __name__ == "__main__":
    sys.exit(main())
