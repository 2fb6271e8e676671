"""Compare default fits of 300 random tables with fits from k-means and with one fit of scikit-learn each.

    python -m bench.pages.tables                  # five minutes; rewrites bench/results/tables.md
    python -m bench.pages.tables --keep FILE      # without scikit-learn: keep log-likelihoods and processor times
    python -m bench.pages.tables --against FILE   # the same, compared with the file of another version
    python -m bench.pages.tables --draw           # ten minutes; the picture and figures of a page of the guide

Tables are of seven `KINDS`, with 150 to 30,000 rows and 1 to 25 features; fits have 2 to 30 components. All of this is
drawn at random, with one seed per table. Each fit is made twice on one thread, and the faster fit counts. Further
tables consist of separate clusters with many features; a fit misses a cluster if it ends more than `CLEARLY` nats per
row below a fit from the true labels. Comparisons also time fits of 300 to 200,000 rows. The picture shows `N_DRAWN`
other tables, with ten starts of scikit-learn as well.

"slower" counts tables for which a default fit took longer than scikit-learn's. "mean gain" is the gain over
scikit-learn's fit. Gains and losses of more than 1 nat count as 1, because components of rounded rows may collapse to
the ridge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.mixture

from bench import baseline
from bench.pages.base import Page, parser_of
from bench.pages.scikit_learn import with_table
from gaussmix import GaussianMixture
from gaussmix._src.numerics.arrays import Array

N_TABLES, LOWER = 300, 1e-4  # nats per row: a fit counts as lower than scikit-learn's if it is below by this
KINDS = "separated", "overlapping", "heavy-tailed", "rounded", "unequal weights", "correlated", "3 % outliers"
STRUCTURES = "full", "full", "tied", "diag", "spherical"  # full covariances are twice as frequent
OURS: dict[str, dict[str, Any]] = {"default": {}, "kmeans": {"init_params": "kmeans"}}
OTHER = "scikit-learn"
N_DRAWN, CLEARLY = 210, 0.01  # tables of the picture; nats per row
DOCS = Path(__file__).parents[2] / "docs"
SIZES = 300, 2_000, 20_000, 200_000  # rows of tables whose times are compared size by size
N_WIDE, WIDE = 4, ((3_000, 25, 15), (1_500, 25, 20), (8_000, 60, 15), (10_000, 150, 12))  # rows, features and clusters


def table(number: int) -> tuple[str, Array, int, str]:
    """Return a name, rows, a number of components, and a structure."""
    rng, kind = np.random.default_rng([2026, number]), KINDS[number % len(KINDS)]
    n_rows, n_features, n_components, n_groups = (
        int(np.exp(rng.uniform(np.log(least), np.log(most))))
        for least, most in ((150, 30_001), (1, 26), (2, 31), (2, 31))
    )
    structure = str(rng.choice(STRUCTURES))
    spread = {"separated": 6.0, "overlapping": 0.8}.get(kind, rng.uniform(1, 5))
    means = spread * rng.normal(size=(n_groups, n_features))
    factors = rng.normal(size=(n_groups, n_features, n_features)) / np.sqrt(n_features)
    if kind == "correlated":  # two axes have nearly all of the variance
        left, right = rng.normal(size=(2, n_groups, n_features, 2))
        factors = 0.1 * factors + left @ right.transpose(0, 2, 1)
    weights = rng.dirichlet(np.full(n_groups, 0.3 if kind == "unequal weights" else 20.0))
    group = rng.choice(n_groups, size=n_rows, p=weights)
    shape = n_rows, n_features
    drawn = rng.standard_t(2.5, size=shape) if kind == "heavy-tailed" else rng.normal(size=shape)
    rows = means[group] + np.einsum("nij,nj->ni", factors[group], drawn)
    if kind == "rounded":
        rows = np.round(rows * rng.choice([1, 4, 20])) / 4
    elif kind == "3 % outliers":
        rows = np.where(rng.random((n_rows, 1)) < 0.03, rng.uniform(-10, 10, shape) * rows.std(axis=0), rows)
    return f"{number} {kind}, {structure}, {n_rows} x {n_features}, K={n_components}", rows, n_components, structure


def results(
    rows: Array,
    n_components: int,
    structure: str,
    *,
    seed: int = 0,
    other_starts: Sequence[int] = (1,),
    n_repeats: int = 1,
) -> Iterator[tuple[str, baseline.Fit]]:
    """Fit rows by default, from k-means, and by scikit-learn with several numbers of starts."""
    common: dict[str, Any] = {"n_components": n_components, "covariance_type": structure, "random_state": seed}
    models: dict[str, Any] = {what: GaussianMixture(**common, **own, n_jobs=1) for what, own in OURS.items()}
    for n_init in other_starts:
        name = OTHER if n_init == 1 else f"{OTHER}, n_init={n_init}"
        models[name] = sklearn.mixture.GaussianMixture(**common, n_init=n_init)
    for what, model in models.items():
        yield what, baseline.fit(partial(model.fit, rows), partial(score, rows), n_repeats)


def score(rows: Array, model: Any) -> float:
    return float(model.score(rows))


def fit_sizes() -> Iterator[tuple[str, dict[str, baseline.Fit]]]:
    """Fit tables of each size, with 4 features and 5 clusters, several times."""
    for n_rows in SIZES:
        rng = np.random.default_rng(n_rows)
        rows = rng.normal(size=(n_rows, 4)) + 2 * rng.normal(size=(5, 4))[rng.integers(5, size=n_rows)]
        for structure in "full", "diag":
            found = results(rows, 5, structure, other_starts=(), n_repeats=20 if n_rows < 10_000 else 5)
            yield f"{n_rows:,} rows, {structure}", {f"{what}, {n_rows:,} rows": each for what, each in found}


def fit_wide(structure: str) -> list[dict[str, baseline.Fit]]:
    """Fit tables of separate clusters with many features; nats are relative to a fit from the true labels."""
    every = []
    for seed, (n_rows, n_features, n_clusters) in product(range(N_WIDE), WIDE):
        rng = np.random.default_rng([seed, n_rows, n_features])
        labels, widths = rng.integers(n_clusters, size=n_rows), rng.uniform(0.7, 1.4, size=(n_clusters, 1))
        noise = rng.normal(size=(n_rows, n_features)) * (1.0 if structure == "tied" else widths[labels])
        rows = 2 * rng.normal(size=(n_clusters, n_features))[labels] + noise
        settings: dict[str, Any] = {"covariance_type": structure, "init_params": labels}
        true = score(rows, GaussianMixture(n_clusters, **settings).fit(rows))
        found = dict(results(rows, n_clusters, structure))
        every.append({what: (nats - true, seconds) for what, (nats, seconds) in found.items()})
    return every


def missed_cells(found: list[dict[str, baseline.Fit]]) -> Iterator[object]:
    """Yield the number of tables, the numbers of fits that miss a cluster, and default times over scikit-learn's."""
    nats, seconds = np.array([[*each.values()] for each in found]).transpose(2, 1, 0)
    yield len(found)
    yield from (nats < -CLEARLY).sum(axis=1)
    yield from (f"{each:.2f}" for each in np.quantile(seconds[0] / seconds[-1], (0.5, 1)))


def summary(found: list[dict[str, baseline.Fit]]) -> tuple[object, ...]:
    """Return a row of the page, over all tables that scikit-learn can fit."""
    both = [each for each in found if not isinstance(each[OTHER][0], str)]
    ours, plain, theirs = (np.array([each[what] for each in both]) for what in (*OURS, OTHER))
    times, gain = ours[:, 1] / theirs[:, 1], ours[:, 0] - theirs[:, 0]
    return (
        len(both),
        *(f"{np.quantile(times, share):.2f}" for share in (0.5, 0.9, 1)),
        f"{(times > 1).mean():.1%}",
        int((ours[:, 0] < plain[:, 0] - LOWER).sum()),
        int((gain < -LOWER).sum()),
        f"{np.clip(gain, -1, 1).mean():.3f}",
    )


def draw(fits: baseline.Fits, docs: Path = DOCS) -> None:
    """Draw how far below the best fit of its table each fit ended against its time, and write both into the guide."""
    import matplotlib.pyplot as plt

    found = {name: each for name, each in fits.items() if not any(isinstance(nats, str) for nats, _ in each.values())}
    nats, seconds = np.array([[*each.values()] for each in found.values()]).transpose(2, 1, 0)
    names, times = ["default", "k-means start", OTHER, f"{OTHER}, n_init=10"], seconds / seconds[len(OURS)]
    below = np.minimum(nats.max(axis=0) - nats, 1)
    medians, means, slow = np.median(times, axis=1), below.mean(axis=1), np.quantile(times, 0.9, axis=1)
    figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for at, (what, color) in enumerate(zip(names, ("#0072B2", "#56B4E9", "#E69F00", "#D55E00"), strict=True)):
        ax.scatter(times[at], np.maximum(below[at], 1e-4), s=8, color=color, alpha=0.5, linewidths=0)
        ax.scatter(medians[at], means[at], s=120, color=color, edgecolors="black", label=what)
    ax.set(xscale="log", xlabel="processor time, fits of scikit-learn")
    ax.set(yscale="log", ylabel="nats per row below the best", ylim=(1.3, 7e-5))
    figure.legend(loc="outside upper center", ncols=4, fontsize=9)
    figure.savefig(docs / "_static" / "likelihood-and-time.png", dpi=130)
    page = Page(__file__, "")
    machine = f"{page.machine['processor']}, scikit-learn {page.machine['scikit-learn']}, {page.machine['date']}"
    page.lines = [f"{len(found)} tables, `python -m bench.pages.tables --draw` ({machine}):"]
    shares = (f"{share:.0%}" for share in (below > CLEARLY).mean(axis=1))
    columns = names, *(map("{:.3g}".format, each.round(3)) for each in (medians, slow, means)), shares
    titles = f"fit | time: median | slowest tenth | nats below the best: mean | more than {CLEARLY} below"
    page.table(titles, zip(*columns, strict=True))
    masks = {kind: [kind in name for name in found] for kind in (*KINDS, "")}
    lower = {kind: nats[1:, mine] - nats[0, mine] > CLEARLY for kind, mine in masks.items()}
    titles = " | ".join(["tables of a kind", "all", *(f"default lower than {what}" for what in names[1:])])
    page.table(titles, ((kind or "all", each.shape[1], *each.sum(axis=1)) for kind, each in lower.items()))
    path = docs / "guide" / "likelihood-and-time.md"
    path.write_text(with_table(path.read_text(encoding="utf-8"), "\n".join(page.lines)), encoding="utf-8")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--draw", action="store_true", help="the picture and the figures of the guide")
    args = baseline.parse(parser, N_TABLES)
    has_other = args.keep is None and args.against is None
    first, n, starts = (N_TABLES, min(args.n, N_DRAWN), (1, 10)) if args.draw else (0, args.n, (1,) * has_other)
    every = (
        (name, dict(results(rows, n_components, structure, other_starts=starts, n_repeats=1 if args.draw else 2)))
        for name, rows, n_components, structure in map(table, range(first, first + n))
    )
    fits = baseline.report(every if has_other else chain(every, fit_sizes()), args)
    if args.draw:
        draw(fits)
    elif has_other:
        note = "processor time compared with one fit of scikit-learn; log-likelihoods in nats per row"
        page = Page(__file__, "Default fits of random tables", note)
        names = "tables | fits | time: median | 90 % | worst | slower | below k-means | below scikit-learn | mean gain"
        groups = {kind: [found for name, found in fits.items() if kind in name] for kind in KINDS}
        page.table(names, ((name, *summary(some)) for name, some in {**groups, "all": [*fits.values()]}.items()))
        page.lines += ["", "Separate clusters with many features: fits that miss a cluster, and times of default fits."]
        names = "structure | tables | missed: default | kmeans | scikit-learn | time: median | worst"
        page.table(names, ((structure, *missed_cells(fit_wide(structure))) for structure in sorted({*STRUCTURES})))
        if args.n == N_TABLES:
            page.write()


if __name__ == "__main__":
    main()
