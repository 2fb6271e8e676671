// Computes squared distances q = |W (x - mean)|^2 of a group of rows to one component with a triangular whitening
// factor W:
//
//   z_j = sum_{i <= j} W_ji (x_i - mean_i),   q = sum_j z_j^2.
//
// A panel consists of eight rows of W. The 8 x 3 vectors z of a panel stay in registers while the loop runs over the
// features; a processor with only 16 registers computes z for four rows of W at a time, in 4 x 3 registers. W is packed
// panel by panel, without padding: for each feature before the panel, one number per row of the panel, followed by the
// columns of the panel's triangle. The last panel may have fewer rows; its height is a template argument. The cost is
// d^2/2 + 3d/2 FMAs per row and component.
#pragma once
#include "layout.hpp"

namespace gaussmix::GAUSSMIX_ISA::panels {

// number of rows of W in a register tile, so that the tile, with 3 vectors of rows, fills 3/4 of the registers
constexpr int kTileHeight = kRegisters / 4;

inline void pack(const double* factor, Index n_features, double* out) {
    for (Index panel = 0; panel < n_features; panel += kPanelRows) {
        const Index end = smaller(panel + kPanelRows, n_features);
        for (Index i = 0; i < panel; ++i) {
            for (Index j = panel; j < end; ++j) *out++ = factor[j * n_features + i];
        }
        for (Index i = panel; i < end; ++i) {
            for (Index j = i; j < end; ++j) *out++ = factor[j * n_features + i];
        }
    }
}

enum class Result {  // what the computation of a panel produces
    squares,         // adds z^2 to the squared distances
    differences,     // adds z^2 to the squared distances, and writes x - mean, which later panels read
    whitened,        // writes z = W x; no mean is subtracted from the rows x
};

template <Result kResult>
struct Panel {
    const double* differences;  // differences x - mean of the features before this panel
    Index n_before;
    const double* rows;  // rows x, starting at the panel's first feature
    const double* mean;
    const double* weights;
    double* out;  // output: differences x - mean, or z
};

// Returns the position at which column `column` of a packed triangle of height R starts.
constexpr int triangle_column(int R, int column) { return column * R - column * (column - 1) / 2; }

// For a panel of R rows of W, computes z for its rows first .. first + kHeight - 1. A vector may consist of several
// registers; only the lanes of register h of each vector are computed.
template <int R, int first, int kHeight, Result kResult>
GAUSSMIX_INLINE void whiten_rows(const Panel<kResult>& p, int h, Vec (&squares)[kGroupVectors]) {
    const int lane = h * kPartLanes;
    constexpr bool kHasMean = kResult != Result::whitened;
    // The squared distances stay in memory until z is complete. If the squared distances were kept in registers, three
    // vectors z of a panel of eight rows would be spilled to the stack.
    asm("" : "+m"(squares));
    Part z[kHeight][kGroupVectors];
    GAUSSMIX_UNROLL for (int r = 0; r < kHeight; ++r) {
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) z[r][v] = Part::zero();
    }
    for (Index i = 0; i < p.n_before; ++i) {
        Part u[kGroupVectors];
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            u[v] = Part::load(p.differences + i * kGroupRows + v * kLanes + lane);
        }
        GAUSSMIX_UNROLL for (int r = 0; r < kHeight; ++r) {
            const double w = p.weights[i * R + first + r];
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) z[r][v] = fma(w, u[v], z[r][v]);
        }
    }
    const double* triangle = p.weights + p.n_before * R;
    GAUSSMIX_UNROLL for (int i = 0; i < first + kHeight; ++i) {
        triangle = reread(triangle);
        const Part mean = kHasMean ? Part::broadcast(p.mean[i]) : Part::zero();
        Part u[kGroupVectors];
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            const int index = i * kGroupRows + v * kLanes + lane;
            u[v] = Part::load(p.rows + index);
            if constexpr (kHasMean) u[v] = u[v] - mean;
            if constexpr (kResult == Result::differences) u[v].store(p.out + index);
        }
        GAUSSMIX_UNROLL for (int r = i > first ? i - first : 0; r < kHeight; ++r) {
            const double w = triangle[triangle_column(R, i) + first + r - i];
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) z[r][v] = fma(w, u[v], z[r][v]);
        }
        GAUSSMIX_UNROLL for (int r = i > first ? i - first : 0; r < kHeight; ++r) {
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) z[r][v] = in_register(z[r][v]);
        }
    }
    Part sum[kGroupVectors];
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) sum[v] = part(squares[v], h);
    GAUSSMIX_UNROLL for (int r = 0; r < kHeight; ++r) {
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            if constexpr (kResult == Result::whitened) {
                z[r][v].store(p.out + (first + r) * kGroupRows + v * kLanes + lane);
            } else {
                sum[v] = fma(z[r][v], z[r][v], sum[v]);
            }
        }
    }
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) set_part(squares[v], h, sum[v]);
}

template <int R, int first = 0, Result kResult>
GAUSSMIX_INLINE void whiten_panel(const Panel<kResult>& p, Vec (&squares)[kGroupVectors]) {
    constexpr int kHeight = smaller(kTileHeight, R - first);
    GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) whiten_rows<R, first, kHeight>(p, h, squares);
    if constexpr (first + kHeight < R) whiten_panel<R, first + kHeight>(p, squares);
}

// Computes y = W x for the rows x of a group, where all components share the factor W. No mean is subtracted, so the
// panels get the rows x instead of the differences x - mean.
inline void whiten(const double* rows, const double* weights, Index n_features, double* whitened) {
    Vec unused[kGroupVectors] = {};
    for (Index j = 0; j < n_features; j += kPanelRows) {
        const Index height = smaller(Index{kPanelRows}, n_features - j);
        const Panel<Result::whitened> p{rows, j, rows + j * kGroupRows, nullptr, weights, whitened + j * kGroupRows};
        with_constant(height, [&](auto R) { whiten_panel<decltype(R)::value>(p, unused); });
        weights += j * height + height * (height + 1) / 2;
    }
}

// Computes the squared distances of a group's rows to one component, and compares sums over the first features with
// limits; see `squared_distance` in densities.hpp.
template <class Limit>
GAUSSMIX_INLINE bool squared_distance(const double* rows, const double* mean, const double* weights, Index n_features,
                                      Limit limit, double* differences, Vec (&squares)[kGroupVectors]) {
    const Vec largest = Vec::broadcast(kLargest);
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) squares[v] = Vec::zero();
    Index j = 0;
    for (; j + kPanelRows < n_features; j += kPanelRows) {
        double* here = differences + j * kGroupRows;
        const Panel<Result::differences> p{differences, j, rows + j * kGroupRows, mean + j, weights, here};
        whiten_panel<kPanelRows>(p, squares);
        weights += j * kPanelRows + kPanelRows * (kPanelRows + 1) / 2;
        bool is_close = false;
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            is_close |= any(less(min(squares[v], largest), limit(v)));
        }
        if (!is_close) return false;
    }
    const Panel<Result::squares> last{differences, j, rows + j * kGroupRows, mean + j, weights, nullptr};
    with_constant(n_features - j, [&](auto R) { whiten_panel<decltype(R)::value>(last, squares); });
    return true;
}

}  // namespace gaussmix::GAUSSMIX_ISA::panels
