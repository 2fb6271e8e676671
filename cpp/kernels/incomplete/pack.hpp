// Computes the covariances S = W^-1 W^-1' and the precision matrices S^-1 = W' W of the components from their whitening
// factors W, once per call.
#pragma once
#include "../factor.hpp"
#include "layout.hpp"

namespace gaussmix::GAUSSMIX_ISA::incomplete {

// Returns the number of doubles that `pack` needs as scratch memory.
constexpr Index pack_scratch(Index n_features) { return 3 * n_features * n_features; }

// Computes the lower triangle of sum_p r_p' r_p, where r_p is the row vector of the first p + 1 values in row p of
// `rows`.
inline void add_products(Index d, const double* rows, double* out) {
    for (Index i = 0; i < d * d; ++i) out[i] = 0;
    for (Index p = 0; p < d; ++p) {
        for (Index i = 0; i <= p; ++i) add_multiple(rows[p * d + i], rows + p * d, i + 1, out + i * d);
    }
}

inline void pack(const Shape& shape, const ParametersView& parameters, Listener listener, double* scratch,
                 void* out) noexcept {
    const Index d = shape.n_features, K = padded_components(shape);
    const Operands layout(shape);
    double* operands = static_cast<double*>(out);
    Poll poll(listener);
    double* columns = scratch;
    double* inverse = scratch + d * d;
    double* product = scratch + 2 * d * d;
    const auto lanes = [&](Index part, Index row, Index k) -> double& { return operands[part + row * K + k]; };
    const auto set_both = [&](Index part, Index i, Index j, Index k, double value) {
        lanes(part, i * d + j, k) = lanes(part, j * d + i, k) = value;
    };
    operands[layout.noise] = parameters.log_noise_density;
    for (Index k = 0; k < K && !poll.is_cancelled(d * d * d + 4 * d * d); ++k) {
        const bool is_real = k < shape.n_components;
        const double log_weight = is_real ? parameters.log_scale[k] : -__builtin_inf();
        lanes(layout.log_weight, 0, k) = operands[layout.each_log_weight + k] = log_weight;
        if (!is_real) {  // the components that pad the last vector are standard normal distributions with weight 0
            lanes(layout.log_det, 0, k) = 0;
            for (Index i = 0; i < d; ++i) {
                lanes(layout.means, i, k) = 0;
                for (Index j = 0; j <= i; ++j) {
                    lanes(layout.whitening, index(i, j), k) = i == j;
                    set_both(layout.precision, i, j, k, i == j);
                    set_both(layout.covariance, i, j, k, i == j);
                }
            }
            continue;
        }
        const double* w = parameters.factors + k * d * d;
        const double* mean = parameters.means + k * d;
        Vec log_det = Vec::zero();
        for (Index i = 0; i < d; ++i) {
            lanes(layout.means, i, k) = operands[layout.each_mean + k * d + i] = mean[i];
            log_det = log_det + log(Vec::broadcast(w[i * d + i]));
            for (Index j = 0; j <= i; ++j) {
                lanes(layout.whitening, index(i, j), k) = w[i * d + j];
                columns[j * d + i] = w[i * d + j];
            }
        }
        alignas(64) double first[kLanes];
        log_det.store(first);
        lanes(layout.log_det, 0, k) = first[0];
        add_products(d, w, product);
        for (Index i = 0; i < d; ++i) {
            for (Index j = 0; j <= i; ++j) set_both(layout.precision, i, j, k, product[i * d + j]);
        }
        // Compute L = W^-1 by rows. Element (i, j) of S = L L' is sum_p L_ip L_jp.
        invert_triangle(d, columns, poll, inverse);
        for (Index i = 0; i < d; ++i) {
            for (Index j = 0; j <= i; ++j) {
                double sum = 0;
                for (Index p = 0; p <= j; ++p) sum = __builtin_fma(inverse[i * d + p], inverse[j * d + p], sum);
                set_both(layout.covariance, i, j, k, sum);
                operands[layout.each_covariance + k * triangle(d) + index(i, j)] = sum;
            }
        }
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::incomplete
