// This file defines the memory layout of rows, operands (packed parameters) and scratch memory. A *lane* holds one row,
// a *group* is three vectors (24 rows, the width of a register tile), and a *tile* is six groups (144 rows). A tile has
// the following arrays:
//
//   `rows`        values of the rows, [group][feature][vector][lane].
//   `densities`   log densities, later exponentials or responsibilities, [group][component][vector][lane].
//   `prior`       log priors of one group for the components and the noise component, [component][vector][lane].
//   `active`      one byte per component; bit g is set if a row of group g has a responsibility that is not zero.
#pragma once
#include "../kernel_table.hpp"
#include "simd/simd.hpp"

namespace gaussmix::GAUSSMIX_ISA {

constexpr int kGroupVectors = 3;
constexpr int kGroupRows = kGroupVectors * kLanes;
static_assert(kGroupRows == gaussmix::kGroupRows);
constexpr int kTileGroups = kTileRows / kGroupRows;
static_assert(kTileGroups * kGroupRows == kTileRows && kTileGroups <= 8);

constexpr int kMaxFixed = 4;   // with at most this many features, fixed.hpp sums full second moments
constexpr int kPanelRows = 8;  // number of rows of W in a panel (see panels.hpp)

constexpr int smaller(int a, int b) { return a < b ? a : b; }
constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }
constexpr Index larger(Index a, Index b) { return a < b ? b : a; }
constexpr Index round_up(Index n, Index multiple) { return (n + multiple - 1) / multiple * multiple; }

// Calls body(Constant<n>()) for an n from 1 to 8 that is known only at run time. `body` is instantiated for each n, and
// the switch selects the instantiation.
template <int N>
struct Constant {
    static constexpr int value = N;
};
template <class Body>
GAUSSMIX_INLINE void with_constant(Index n, Body&& body) {
    switch (n) {
        case 1: return body(Constant<1>());
        case 2: return body(Constant<2>());
        case 3: return body(Constant<3>());
        case 4: return body(Constant<4>());
        case 5: return body(Constant<5>());
        case 6: return body(Constant<6>());
        case 7: return body(Constant<7>());
        case 8: return body(Constant<8>());
    }
}

// Allocates consecutive pieces of a buffer, aligned to cache lines, and returns the offset of each piece in doubles.
class Carver {
public:
    explicit Carver(Index alignment = kLanes) : alignment_(alignment) {}
    Index take(Index count) {
        const Index offset = size_;
        size_ += round_up(count, alignment_);
        return offset;
    }
    Index size() const { return size_; }

private:
    Index alignment_, size_ = 0;
};

// Returns the number of elements in the first n rows of a triangle that is stored by rows, which is also the position
// of row n.
constexpr Index triangle(Index n) { return n * (n + 1) / 2; }

// Returns the size of a packed triangular factor: d (d + 1) / 2 doubles, rounded up to a multiple of eight. A panel of
// R rows of the factor, starting at row p, is stored as p columns of R doubles for the features before p, followed by
// the columns of the panel's triangle.
constexpr Index packed_triangle(Index n_features) { return round_up(triangle(n_features), kLanes); }

// Returns the number of values of one whitening factor in `ParametersView::factors`.
constexpr Index factor_size(const Shape& shape) {
    return shape.factor_shape == FactorShape::spherical  ? 1
           : shape.factor_shape == FactorShape::diagonal ? shape.n_features
           : shape.factor_shape == FactorShape::low_rank ? shape.n_features * (shape.n_factors + 1)
                                                         : shape.n_features * shape.n_features;
}

struct OperandsLayout {
    Index log_scale, noise, means, factors, anchor, projection, factor_stride, size;

    explicit OperandsLayout(const Shape& shape) {
        const Index n_means = shape.n_components * shape.n_features;
        const bool has_densities = shape.rule != Rule::assignment;
        const bool is_triangular = shape.factor_shape == FactorShape::triangular;
        factor_stride = is_triangular ? packed_triangle(shape.n_features) : factor_size(shape);
        Carver carver;
        log_scale = carver.take(has_densities ? shape.n_components : 0);
        noise = carver.take(has_densities ? 1 : 0);
        means = carver.take(has_densities ? n_means : 0);
        factors = carver.take(has_densities ? (shape.is_shared ? 1 : shape.n_components) * factor_stride : 0);
        anchor = carver.take(shape.second != Second::none ? n_means : 0);
        projection = carver.take(n_means * shape.n_projected);
        size = carver.size();
    }
};

struct ScratchLayout {
    Index rows, densities, row_factor, differences, weighted, active, scores, prior, size;

    explicit ScratchLayout(const Shape& shape) {
        Carver carver;
        rows = carver.take(kTileRows * shape.n_features);
        densities = carver.take(kTileRows * round_up(shape.n_components, kLanes));
        row_factor = carver.take(kTileRows);
        const Index n_differences = larger(shape.n_features, larger(shape.n_factors, shape.n_projected));
        differences = carver.take(kTileRows * round_up(n_differences, kLanes));
        weighted = carver.take(kTileRows * kLanes);
        active = carver.take(round_up(shape.n_components, sizeof(double)) /
                             static_cast<Index>(sizeof(double)));  // one byte for each component
        scores = carver.take(shape.n_components);                  // holds float32 numbers
        prior = carver.take((shape.n_components + 1) * kGroupRows);
        size = carver.size();
    }
};

}  // namespace gaussmix::GAUSSMIX_ISA
