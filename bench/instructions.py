"""How many vector instructions a kernel needs for eight pairs of row and component, and how fast they could go.

Counted in the kernels' sources: instructions on registers of eight doubles, by the pipes that take them on a processor
with two for multiplications and two for additions (Zen 5). Loads and stores go beside them. Shuffles, comparisons and
integer operations take any pipe. The bound is what the pipes allow if every one of them is always busy.
"""

from __future__ import annotations

from dataclasses import dataclass

TILE_VECTORS = 18


@dataclass(frozen=True)
class Count:
    """Instructions for eight pairs: multiplications and fused multiply-adds, and all others."""

    multiply: float
    other: float

    def __add__(self, more: Count) -> Count:
        return Count(self.multiply + more.multiply, self.other + more.other)

    def __mul__(self, times: float) -> Count:
        return Count(times * self.multiply, times * self.other)

    @property
    def cycles(self) -> float:
        """Two multiplications a cycle, and four instructions in all."""
        return max(self.multiply / 2, (self.multiply + self.other) / 4)


# softmax.hpp: difference, comparison, exp (10 fused multiply-adds and a multiplication; two additions, two lookups,
# three integer operations), masking, sum.
SOFTMAX = Count(11, 11)
# tile.hpp: responsibility times row factor, and its sum.
WEIGH = Count(1, 1)
# densities.hpp: -q/2 + log scale; the smaller of q and the largest double, and the largest log density.
LOG_DENSITY = Count(1, 2)
# add_lane_sums: 15 shuffles and 8 additions for eight sums, once a tile.
LANE_SUMS = Count(0, 23 / TILE_VECTORS)
# For eight rows: reading them (a transpose of 24 shuffles for eight features), a division (eight cycles of its pipe),
# a share of a logarithm.
ROW = Count(16 + 2, 4)
READ_FEATURE = Count(0, 3)


def flat(structure: str, n_features: int, n_components: int) -> dict[str, Count]:
    """Of an EM step with diagonal or spherical covariances, by phase."""
    scaled = 1 if structure == "diag" else 0  # multiplications by a feature's own scale
    distance = Count(1 + scaled, 1) * n_features + Count(1 - scaled, 0)
    moments = Count(2, 2) * n_features + LANE_SUMS * ((n_features + 3) // 4)
    row = (ROW + READ_FEATURE * n_features) * (1 / n_components)
    return {"distances": distance + LOG_DENSITY, "softmax": SOFTMAX + WEIGH, "moments": moments, "rows": row}


def full(n_features: int, n_components: int) -> dict[str, Count]:
    """Of an EM step with full covariances: triangles of multiply-adds for distances and for second moments."""
    d, triangle = n_features, n_features * (n_features + 1) / 2
    distance = Count(triangle + d, d)
    sums = d * (d + 1) / 2 + d
    moments = Count(d + triangle, 2 * d) + LANE_SUMS * (sums / 8)
    row = (ROW + READ_FEATURE * d) * (1 / n_components)
    return {"distances": distance + LOG_DENSITY, "softmax": SOFTMAX + WEIGH, "moments": moments, "rows": row}


def tied(n_features: int, n_components: int) -> dict[str, Count]:
    """Of an EM step with one covariance: rows are whitened once, and their scatter is that of the whole data."""
    d = n_features
    moments = Count(d, 0) + LANE_SUMS * (d / 8)
    row = (ROW + READ_FEATURE * d + Count(d * (d + 1) / 2, d)) * (1 / n_components)
    return {"distances": Count(d, d) + LOG_DENSITY, "softmax": SOFTMAX + WEIGH, "moments": moments, "rows": row}


def total(phases: dict[str, Count]) -> Count:
    """All phases together."""
    counts = list(phases.values())
    return sum(counts[1:], counts[0])
