// Packs the parameters of a call into the layout that the kernels read. All numbers are computed by scalar FMAs in one
// fixed order, so that they are bit-identical on every instruction set.
#pragma once
#include "panels.hpp"

namespace gaussmix::GAUSSMIX_ISA {

inline void copy(const double* from, Index count, double* to) {
    for (Index i = 0; i < count; ++i) to[i] = from[i];
}

// Computes the whitened means W mean_k for a shared factor W. If all components share a factor, distances are computed
// between whitened rows and whitened means. The sums for the eight rows of a panel of W are computed together, so that
// the processor need not wait for each sum.
inline void whiten_means(const Shape& shape, const ParametersView& parameters, double* out) {
    const Index d = shape.n_features;
    for (Index k = 0; k < shape.n_components; ++k) {
        const double* mean = parameters.means + k * d;
        for (Index panel = 0; panel < d; panel += kPanelRows) {
            const Index height = smaller(Index{kPanelRows}, d - panel);
            const double* rows[kPanelRows];
            for (Index r = 0; r < kPanelRows; ++r) rows[r] = parameters.factors + (panel + smaller(r, height - 1)) * d;
            double z[kPanelRows] = {};
            for (Index i = 0; i < panel; ++i) {
                for (Index r = 0; r < kPanelRows; ++r) z[r] = __builtin_fma(rows[r][i], mean[i], z[r]);
            }
            for (Index r = 0; r < height; ++r) {
                for (Index i = panel; i <= panel + r; ++i) z[r] = __builtin_fma(rows[r][i], mean[i], z[r]);
                *out++ = z[r];
            }
        }
    }
}

// Packs the whitening factors. If `factors` is null, nothing is packed, because `evaluate` packs each factor when it is
// needed.
inline void pack_factors(const Shape& shape, const OperandsLayout& layout, const double* factors, double* out) {
    if (factors == nullptr) return;
    const Index count = shape.is_shared ? 1 : shape.n_components, d = shape.n_features;
    switch (shape.factor_shape) {
        case FactorShape::spherical:  // flat.hpp multiplies the sum of squares by the square of the factor
            for (Index k = 0; k < count; ++k) out[k] = factors[k] * factors[k];
            return;
        case FactorShape::diagonal: return copy(factors, count * d, out);
        case FactorShape::low_rank: return copy(factors, count * layout.factor_stride, out);
        case FactorShape::triangular:
            for (Index k = 0; k < count; ++k) panels::pack(factors + k * d * d, d, out + k * layout.factor_stride);
    }
}

inline void pack(const Shape& shape, const ParametersView& parameters, void* out) noexcept {
    double* operands = static_cast<double*>(out);
    const OperandsLayout layout(shape);
    const Index n_means = shape.n_components * shape.n_features;
    if (shape.second != Second::none) copy(parameters.anchor, n_means, operands + layout.anchor);
    for (Index k = 0, size = shape.n_features * shape.n_projected; k < shape.n_components; ++k)
        copy(parameters.projection + k * size, size, operands + layout.projection + k * size);
    if (shape.rule == Rule::assignment) return;
    copy(parameters.log_scale, shape.n_components, operands + layout.log_scale);
    copy(&parameters.log_noise_density, 1, operands + layout.noise);
    if (shape.is_shared) {
        whiten_means(shape, parameters, operands + layout.means);
    } else {
        copy(parameters.means, n_means, operands + layout.means);
    }
    pack_factors(shape, layout, parameters.factors, operands + layout.factors);
}

}  // namespace gaussmix::GAUSSMIX_ISA
