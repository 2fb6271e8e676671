"""Count the vector instructions that a kernel needs for eight pairs of a row and a component, and their cycles.

The counts come from reading the sources of the kernels. The counts refer to instructions on registers of eight doubles.
The processor (Zen 5) has two pipes for multiplications and two for additions; shuffles, comparisons and integer
operations run on any of the four. Loads and stores run in parallel, so they are not counted. The bound is the number of
cycles if every pipe is always busy.
"""

from __future__ import annotations

from dataclasses import dataclass

TILE_VECTORS = 18


@dataclass(frozen=True)
class Count:
    """Numbers of instructions for eight pairs: multiplications including fused multiply-adds, and all others."""

    multiply: float
    other: float

    def __add__(self, more: Count) -> Count:
        return Count(self.multiply + more.multiply, self.other + more.other)

    def __mul__(self, times: float) -> Count:
        return Count(times * self.multiply, times * self.other)

    @property
    def cycles(self) -> float:
        """Return the cycles: the processor starts two multiplications and four instructions in all per cycle."""
        return max(self.multiply / 2, (self.multiply + self.other) / 4)


# softmax.hpp: difference, comparison, exp (10 fused multiply-adds and a multiplication; two additions, two lookups,
# three integer operations), masking, sum.
SOFTMAX = Count(11, 11)
# tile.hpp: product of responsibility and row factor, and its sum.
WEIGH = Count(1, 1)
# densities.hpp: -q/2 + log scale; the minimum of q and the largest double, and the largest log density.
LOG_DENSITY = Count(1, 2)
# add_lane_sums: 15 shuffles and 8 additions for eight sums, once per tile.
LANE_SUMS = Count(0, 23 / TILE_VECTORS)
# For eight rows: reading them (a transpose of 24 shuffles for eight features), a division (eight cycles of its pipe),
# and a fraction of a logarithm.
ROW = Count(16 + 2, 4)
READ_FEATURE = Count(0, 3)


def flat(structure: str, n_features: int, n_components: int) -> dict[str, Count]:
    """Return the instructions of each phase of an EM step with diagonal or spherical covariances."""
    scaled = 1 if structure == "diag" else 0  # multiplications by the scale of a feature
    distance = Count(1 + scaled, 1) * n_features + Count(1 - scaled, 0)
    moments = Count(2, 2) * n_features + LANE_SUMS * ((n_features + 3) // 4)
    row = (ROW + READ_FEATURE * n_features) * (1 / n_components)
    return {"distances": distance + LOG_DENSITY, "softmax": SOFTMAX + WEIGH, "moments": moments, "rows": row}


def full(n_features: int, n_components: int) -> dict[str, Count]:
    """Return instructions with full covariances: distances and second moments take triangles of multiply-adds."""
    d, triangle = n_features, n_features * (n_features + 1) / 2
    distance = Count(triangle + d, d)
    sums = d * (d + 1) / 2 + d
    moments = Count(d + triangle, 2 * d) + LANE_SUMS * (sums / 8)
    row = (ROW + READ_FEATURE * d) * (1 / n_components)
    return {"distances": distance + LOG_DENSITY, "softmax": SOFTMAX + WEIGH, "moments": moments, "rows": row}


def tied(n_features: int, n_components: int) -> dict[str, Count]:
    """Return instructions with one covariance for all, which whiten each row once and sum the scatter of all rows."""
    d = n_features
    moments = Count(d, 0) + LANE_SUMS * (d / 8)
    row = (ROW + READ_FEATURE * d + Count(d * (d + 1) / 2, d)) * (1 / n_components)
    return {"distances": Count(d, d) + LOG_DENSITY, "softmax": SOFTMAX + WEIGH, "moments": moments, "rows": row}


def total(phases: dict[str, Count]) -> Count:
    """Return the sum of all phases."""
    counts = list(phases.values())
    return sum(counts[1:], counts[0])
