// Triangular whitening: squared distances |W (x - mean)|^2 of a group of rows to one component.
//
//   z_j = shift_j + sum_{i <= j} W_ji (x_i - mean_i),   q = sum_j z_j^2
//
// A panel is eight rows of W: its 8 x 3 vectors of z stay in registers while the features go by (4 x 3 halves of
// vectors where there are 16 registers). W is packed panel by panel: [feature before the panel][row], then the
// triangle by columns, without padding; the last panel's height is a template argument. d^2/2 + 3d/2 FMAs per
// row and component. The shift is 0 in double; in float it is what rounding the mean has taken away (pack.hpp).
#pragma once
#include "layout.hpp"

namespace gaussmix::GAUSSMIX_ISA::panels {

constexpr int kTileHeight = kRegisters / 4;

inline void pack(const double* factor, Index n_features, Real* out) {
    for (Index panel = 0; panel < n_features; panel += kPanelRows) {
        const Index end = smaller(panel + kPanelRows, n_features);
        for (Index i = 0; i < panel; ++i) {
            for (Index j = panel; j < end; ++j) *out++ = static_cast<Real>(factor[j * n_features + i]);
        }
        for (Index i = panel; i < end; ++i) {
            for (Index j = i; j < end; ++j) *out++ = static_cast<Real>(factor[j * n_features + i]);
        }
    }
}

struct Panel {
    const Real* differences;  // x - mean of the features before this panel
    Index n_before;
    const Real* rows;   // from the panel's first feature on, as are:
    const Real* mean;   // null: zero
    const Real* shift;  // read in float only; null: zero
    const Real* weights;
    Real* new_differences;  // where to leave x - mean for later panels, or null
    Real* whitened;         // where to leave z, or null to add z^2 to the squared distances
};

// Where column `column` of a packed triangle of height R starts.
constexpr int triangle_column(int R, int column) { return column * R - column * (column - 1) / 2; }

// Rows first .. first + kHeight - 1 of the R rows of a panel, for one part of the lanes.
template <int R, int first, int kHeight>
GAUSSMIX_INLINE void whiten_rows(const Panel& p, int h, Vec (&squares)[kGroupVectors]) {
    const int lane = h * kPartLanes;
    Part z[kHeight][kGroupVectors];
    GAUSSMIX_UNROLL for (int r = 0; r < kHeight; ++r) {
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            z[r][v] = kIsSingle && p.shift != nullptr ? Part::broadcast(p.shift[first + r]) : Part::zero();
        }
    }
    for (Index i = 0; i < p.n_before; ++i) {
        Part u[kGroupVectors];
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            u[v] = Part::load(p.differences + i * kGroupRows + v * kLanes + lane);
        }
        GAUSSMIX_UNROLL for (int r = 0; r < kHeight; ++r) {
            const Part w = Part::broadcast(p.weights[i * R + first + r]);
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) z[r][v] = fma(w, u[v], z[r][v]);
        }
    }
    const Real* triangle = p.weights + p.n_before * R;
    GAUSSMIX_UNROLL for (int i = 0; i < first + kHeight; ++i) {
        Part u[kGroupVectors];
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            const int place = i * kGroupRows + v * kLanes + lane;
            u[v] = Part::load(p.rows + place);
            if (p.mean != nullptr) u[v] = u[v] - Part::broadcast(p.mean[i]);
            if (p.new_differences != nullptr) u[v].store(p.new_differences + place);
        }
        GAUSSMIX_UNROLL for (int r = i > first ? i - first : 0; r < kHeight; ++r) {
            const Part w = Part::broadcast(triangle[triangle_column(R, i) + first + r - i]);
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) z[r][v] = fma(w, u[v], z[r][v]);
        }
    }
    GAUSSMIX_UNROLL for (int r = 0; r < kHeight; ++r) {
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            if (p.whitened != nullptr) {
                z[r][v].store(p.whitened + (first + r) * kGroupRows + v * kLanes + lane);
            } else {
                set_part(squares[v], h, fma(z[r][v], z[r][v], part(squares[v], h)));
            }
        }
    }
}

template <int R, int first = 0>
GAUSSMIX_INLINE void whiten_panel(const Panel& p, Vec (&squares)[kGroupVectors]) {
    constexpr int kHeight = smaller(kTileHeight, R - first);
    GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) whiten_rows<R, first, kHeight>(p, h, squares);
    if constexpr (first + kHeight < R) whiten_panel<R, first + kHeight>(p, squares);
}

// y = W x of a group, for a factor that all components share; the differences are the rows themselves.
inline void whiten(const Real* rows, const Real* weights, Index n_features, Real* whitened) {
    Vec unused[kGroupVectors];
    for (Index j = 0; j < n_features; j += kPanelRows) {
        const Index height = smaller(Index{kPanelRows}, n_features - j);
        const Panel p{rows, j, rows + j * kGroupRows, nullptr, nullptr, weights, nullptr, whitened + j * kGroupRows};
        with_constant(height, [&](auto R) { whiten_panel<decltype(R)::value>(p, unused); });
        weights += j * height + height * (height + 1) / 2;
    }
}

// False as soon as every lane's distance is known to be at least its limit: partial sums of squares only grow.
GAUSSMIX_INLINE bool squared_distance(const Real* rows, const Real* mean, const Real* shift, const Real* weights,
                                      Index n_features, const Vec (&limit)[kGroupVectors], Real* differences,
                                      Vec (&squares)[kGroupVectors]) {
    const Vec largest = Vec::broadcast(kLargest);
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) squares[v] = Vec::zero();
    Index j = 0;
    for (; j + kPanelRows < n_features; j += kPanelRows) {
        Real* here = differences + j * kGroupRows;
        whiten_panel<kPanelRows>({differences, j, rows + j * kGroupRows, mean + j, shift + j, weights, here, nullptr},
                                 squares);
        weights += j * kPanelRows + kPanelRows * (kPanelRows + 1) / 2;
        bool is_near = false;
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            is_near |= any(less(min(squares[v], largest), limit[v]));
        }
        if (!is_near) return false;
    }
    const Panel last{differences, j, rows + j * kGroupRows, mean + j, shift + j, weights, nullptr, nullptr};
    with_constant(n_features - j, [&](auto R) { whiten_panel<decltype(R)::value>(last, squares); });
    return true;
}

}  // namespace gaussmix::GAUSSMIX_ISA::panels
