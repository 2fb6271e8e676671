// Measures how far the components moved between two passes, and writes `ratio` and `shift`, which bounds.hpp needs.
#pragma once
#include "bounds.hpp"
#include "factor.hpp"

namespace gaussmix::GAUSSMIX_ISA::motion {

struct Factor {  // whitening factor of one component, before and after a step
    const double* before;
    const double* after;
};

// For triangular factors W before and W' after a step, returns an upper bound on |W W'^-1|, namely 1 + |W W'^-1 - I| in
// the Frobenius norm. W W'^-1 is computed row by row, using back substitution.
inline double growth_of_triangle(Index d, Factor w, double* row) {
    double sum = 0;
    for (Index i = 0; i < d; ++i) {
        __builtin_memcpy(row, w.before + i * d, static_cast<std::size_t>(i + 1) * sizeof(double));
        for (Index j = i; j >= 0; --j) {
            row[j] = row[j] / w.after[j * d + j];
            add_multiple(-row[j], w.after + j * d, j, row);
            const double change = row[j] - (i == j ? 1 : 0);
            sum = __builtin_fma(change, change, sum);
        }
    }
    return 1 + __builtin_sqrt(sum);
}

// Returns an upper bound on |W W'^-1| for factors of any shape but low rank, or NaN if a ratio of diagonal elements is
// NaN.
inline double growth(const Shape& shape, Factor w, double* row) {
    const Index d = shape.n_features;
    switch (shape.factor_shape) {
        case FactorShape::spherical: return *w.before / *w.after;
        case FactorShape::triangular: return growth_of_triangle(d, w, row);
        case FactorShape::diagonal:
        case FactorShape::low_rank: break;  // for low-rank factors, motion is not measured
    }
    double largest = 0;
    for (Index j = 0; j < d; ++j) {
        const double ratio = w.before[j] / w.after[j];
        if (!(ratio <= largest)) largest = ratio;
        if (!(ratio == ratio)) break;  // stops at a NaN, so that a later number cannot replace the NaN
    }
    return largest;
}

// Returns |W (mean' - mean)|, the distance in standard deviations by which a mean moved.
inline double shift(const Shape& shape, const double* factor, const double* before, const double* after) {
    const Index d = shape.n_features;
    double sum = 0;
    for (Index j = 0; j < d; ++j) {
        double z = 0;
        if (shape.factor_shape == FactorShape::triangular) {
            for (Index i = 0; i <= j; ++i) z = __builtin_fma(factor[j * d + i], after[i] - before[i], z);
        } else {
            z = factor[shape.factor_shape == FactorShape::diagonal ? j : 0] * (after[j] - before[j]);
        }
        sum = __builtin_fma(z, z, sum);
    }
    return __builtin_sqrt(sum);
}

}  // namespace gaussmix::GAUSSMIX_ISA::motion

namespace gaussmix::GAUSSMIX_ISA {

// Writes `ratio`, which is at most 1, and `shift` of each component. `scratch` must have room for n_features doubles.
inline void measure_motion(const Shape& shape, const ParametersView& before, const ParametersView& after,
                           Listener listener, double* scratch, float* ratio, float* shift) noexcept {
    const Index d = shape.n_features, stride = factor_size(shape);
    Poll poll(listener);
    for (Index k = 0; k < shape.n_components && !poll.is_cancelled(stride * (d + 6) / 6); ++k) {
        const motion::Factor w{before.factors + k * stride, after.factors + k * stride};
        const double growth = motion::growth(shape, w, scratch);
        const double shifted = motion::shift(shape, w.before, before.means + k * d, after.means + k * d);
        // If the growth is NaN, the ratio is 0, so that the bound on the distance becomes 0, which is always valid.
        // Because the ratio is at most 1, bounds stay valid even if they are adapted twice to the same step.
        const double retained = growth > 1 ? 1 / growth : growth == growth ? 1 : 0;
        ratio[k] = static_cast<float>(retained * (1 - bounds::kMargin));
        shift[k] = static_cast<float>(shifted * (1 + bounds::kMargin));
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
