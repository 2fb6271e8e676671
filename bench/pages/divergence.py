"""Time divergences, distances and reductions of mixtures, and a divergence by scikit-learn.

    python -m bench.pages.divergence                # one to two minutes; rewrites bench/results/divergence.md

scikit-learn has no divergence: its users draw rows with `sample` and average the difference of two `score_samples`. The
runs alternate, and the least time of the repeats counts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from bench.pages.base import Page, least_seconds, parser_of
from gaussmix import Mixture
from gaussmix.mixture.compare.estimate import Estimate

N_DRAWS = 1_000_000
N_FEATURES = 8


def mixture(seed: int, n_components: int) -> Mixture:
    """Components of unlike spread about normal points, in `N_FEATURES` features."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(n_components, N_FEATURES, 2 * N_FEATURES)) / np.sqrt(2 * N_FEATURES)
    means = rng.normal(size=(n_components, N_FEATURES))
    return Mixture.from_parameters(rng.dirichlet(np.full(n_components, 3.0)), means, roots @ roots.swapaxes(1, 2))


def by_scikit_learn(p: Mixture, q: Mixture) -> Estimate[float]:
    """KL from p to q and its standard error."""
    one, other = p.to_sklearn().set_params(random_state=0), q.to_sklearn()
    with threadpool_limits(1):  # its BLAS threads stall on shared machines
        rows, _ = one.sample(N_DRAWS)
        excess = one.score_samples(rows) - other.score_samples(rows)
    return Estimate(float(excess.mean()), float(excess.std() / np.sqrt(N_DRAWS)))


def cases() -> dict[str, Callable[[], object]]:
    """The calls that are timed, by their names in the table."""
    p, q, large = mixture(1, 16), mixture(2, 16), mixture(3, 500)
    many, more = mixture(4, 100), mixture(5, 100)
    return {
        "`kl`, a million draws": lambda: p.kl(q, n_draws=N_DRAWS),
        "`kl`, a million draws, 1 thread": lambda: p.kl(q, n_draws=N_DRAWS, n_jobs=1),
        "the same with scikit-learn, 1 thread": lambda: by_scikit_learn(p, q),
        "`js`, a million draws of each": lambda: p.js(q, n_draws=N_DRAWS),
        "`entropy`, a million draws": lambda: p.entropy(n_draws=N_DRAWS),
        "`kl_bounds`": lambda: p.kl_bounds(q),
        "`kl_variational`": lambda: p.kl_variational(q),
        "`entropy_bounds`": lambda: p.entropy_bounds(),
        "`distance`, L2": lambda: p.distance(q, "l2"),
        "`distance`, Cauchy–Schwarz": lambda: p.distance(q, "cauchy_schwarz"),
        "`distance`, MW2": lambda: p.distance(q, "mw2"),
        "`distance`, MW2, K = 100": lambda: many.distance(more, "mw2"),
        "`reduce(20)`, K = 500": lambda: large.reduce(20),
        "`reduce(20, refine=True)`, K = 500": lambda: large.reduce(20, refine=True),
    }


def shown(found: object) -> str:
    """A result as a cell of the table, which is empty for a mixture."""
    if isinstance(found, Mixture):
        return ""
    if isinstance(found, Estimate):
        return f"{found.value:.4f} ± {found.error:.4f}"
    if isinstance(found, tuple):
        return f"{found[0]:.4f} … {found[1]:.4f}"
    return f"{found:.4f}"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    named = cases()
    found, least = {name: shown(ask()) for name, ask in named.items()}, least_seconds(named, repeats)
    how = f"milliseconds, least of {repeats}, the runs alternate; d = {N_FEATURES}, K = 16 unless named"
    page = Page(__file__, "Divergences, distances and reduction", how)
    page.table("what | ms | found", ((name, f"{1e3 * least[name]:.3g}", found[name]) for name in named))
    page.write()


if __name__ == "__main__":
    main()
