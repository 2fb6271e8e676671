"""Time `GaussianMixture.sample`, gaussmix's and scikit-learn's, in one run.

    python -m bench.pages.sample                    # about three minutes and 3 GB; rewrites bench/results/sample.md

Both draw from the same mixture. The runs alternate, and the least time of the repeats counts. On both sides the time
includes that in which the system provides the memory of the result.
"""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs

from bench.cases import Case
from bench.pages.base import Page, parser_of, seconds_of
from gaussmix import GaussianMixture as Ours

SHAPES = [
    ("full", 10_000_000, 8, 16),
    ("tied", 10_000_000, 8, 16),
    ("diag", 10_000_000, 8, 16),
    ("spherical", 10_000_000, 8, 16),
    ("full", 10_000_000, 8, 1),
    ("full", 10_000_000, 2, 16),
    ("full", 2_000_000, 32, 16),
    ("full", 500_000, 128, 16),
    ("full", 5_000_000, 8, 300),
    ("full", 10_000, 8, 16),
    ("full", 1_000, 8, 16),
    ("full", 10, 8, 16),
]
CASES = [Case(*shape) for shape in SHAPES]
SHORT = 0.02  # seconds that a measurement takes at least, by repetition


def estimators(case: Case) -> dict[str, Ours | Theirs]:
    """Both estimators, of the same mixture: the case's start after one step of EM."""
    few = Case(case.structure, max(2_000, 10 * case.n_components), case.n_features, case.n_components)
    ours = Ours(
        case.n_components, covariance_type=case.structure, max_iter=1, reg_covar=1e-3, random_state=0, **few.start()
    ).fit(few.rows())
    theirs = Theirs(case.n_components, covariance_type=case.structure, random_state=0)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        setattr(theirs, name, np.array(getattr(ours, name)))
    return {"ours": ours, "sklearn": theirs}


def measure(case: Case, repeats: int) -> dict[str, float]:
    """Least seconds of scikit-learn, and of gaussmix on every processor and on one."""
    models = estimators(case)
    least = dict.fromkeys(("ours", "ours, 1 thread", "sklearn"), np.inf)
    for _ in range(repeats):
        for name in least:
            model = models[name.partition(",")[0]]
            if isinstance(model, Ours):
                model.set_params(n_jobs=1 if name.endswith("1 thread") else None)
            least[name] = min(least[name], seconds_of(partial(model.sample, case.n_rows), least=SHORT))
    return least


def cells(case: Case, times: dict[str, float]) -> tuple[object, ...]:
    """A row of the table."""
    shown = [f"{1e3 * value:.3g}" for value in times.values()]
    per_number = 1e9 * times["ours, 1 thread"] / case.n_rows / case.n_features
    ratio = f"×{times['sklearn'] / times['ours']:.1f}"
    return (case.structure, f"{case.n_rows:,}", case.n_features, case.n_components, *shown, f"{per_number:.2f}", ratio)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore", ConvergenceWarning)
    how = f"milliseconds of `GaussianMixture.sample`, least of {repeats}, the runs alternate"
    page = Page(__file__, "Drawing rows, beside scikit-learn", how)
    names = "structure | n | d | K | gaussmix | gaussmix, 1 thread | scikit-learn | ns per number, 1 thread | ratio"
    page.table(names, (cells(case, measure(case, repeats)) for case in CASES))
    page.write()


if __name__ == "__main__":
    main()
