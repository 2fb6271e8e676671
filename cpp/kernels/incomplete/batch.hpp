// Functions for batches of up to eight rows whose responsibilities are computed together, one row per lane.
#pragma once
#include "../bounds.hpp"
#include "../poll.hpp"
#include "../rows.hpp"
#include "layout.hpp"

namespace gaussmix::GAUSSMIX_ISA::incomplete {

// Returns the value of one feature of a row.
GAUSSMIX_INLINE double value_at(const RowsView& rows, Index row, Index feature) {
    const Index at = row * rows.row_stride + feature * rows.column_stride;
    const char* data = static_cast<const char*>(rows.data);
    return rows.is_float32 ? Elements<float>{data}[at] : Elements<double>{data}[at];
}

// Adds the log priors of the rows to the log densities of the components (`densities`, in the layout [component][lane])
// and of the noise component.
inline void add_prior(const PriorView& prior, const Batch& batch, Index n_components, double* densities,
                      double* noise) {
    if (prior.table == nullptr) return;
    const Elements<double> table{reinterpret_cast<const char*>(prior.table)};
    for (int i = 0; i < batch.n_rows; ++i) {
        const Index at = prior_index(prior, batch.row[i]);
        if (at < 0) continue;
        for (Index k = 0; k < n_components; ++k)
            densities[k * kLanes + i] += table[at * prior.row_stride + k * prior.column_stride];
        if (prior.n_columns > n_components)
            noise[i] += table[at * prior.row_stride + n_components * prior.column_stride];
    }
}

// Returns the row weights, with 0 in lanes without a row.
inline Vec weights(const RowWeightView& weight, const Batch& batch) {
    const Elements<double> elements{reinterpret_cast<const char*>(weight.data)};
    alignas(64) double lanes[kLanes];
    for (int i = 0; i < kLanes; ++i) {
        lanes[i] = i >= batch.n_rows ? 0 : weight.data == nullptr ? 1 : elements[batch.row[i] * weight.stride];
    }
    return Vec::load(lanes);
}

// Turns log densities into exponentials, in place, and returns one factor for each row. The product of an exponential
// and the row's factor is the responsibility times the row's weight. Negligible responsibilities are set to zero as in
// softmax.hpp.
inline Vec normalise(double* densities, Index n_components, Vec noise, Vec weight, Totals& totals) {
    const Vec cut = Vec::broadcast(-kNegligible);
    Vec best = noise;
    for (Index k = 0; k < n_components; ++k) best = max(best, Vec::load(densities + k * kLanes));
    const auto exponential = [&](Vec l) {
        const Vec gap = l - best;
        return keep(less(cut, gap), exp_normal(gap));
    };
    const Vec rest = exponential(noise);
    Vec sum = rest;
    for (Index k = 0; k < n_components; ++k) {
        const Vec value = exponential(Vec::load(densities + k * kLanes));
        value.store(densities + k * kLanes);
        sum = sum + value;
    }
    const Vec factor = weight / max(sum, Vec::broadcast(1));
    const Vec log_density = best + log(sum);
    totals.log_likelihood = totals.log_likelihood + keep(less(Vec::zero(), weight), weight * log_density);
    totals.noise = totals.noise + factor * rest;
    return factor;
}

// Writes log p(x, k) of the rows x of the batch under all components k to `out`, (n_rows, n_components).
inline void write_log_densities(const Batch& batch, Index n_components, const double* densities, double* out) {
    for (int i = 0; i < batch.n_rows; ++i) {
        for (Index k = 0; k < n_components; ++k) out[batch.row[i] * n_components + k] = densities[k * kLanes + i];
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::incomplete
