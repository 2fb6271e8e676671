// Computes results for single rows: log densities, responsibilities, weighted log densities of the components, or
// labels. A label is the index of the most probable component (the lowest index if several components are equally
// probable), or -1 if the noise component is more probable. Unlike in an EM step, small responsibilities are not set to
// zero. Only one group of rows is kept in memory at a time.
#pragma once
#include "densities.hpp"
#include "exp_log.hpp"

namespace gaussmix::GAUSSMIX_ISA {

struct GroupRows {       // rows of the output to which the results of a group are written
    Index first, count;  // index of the first row, and number of rows

    // Returns the number of rows in vector v and the following vectors, but at most kLanes; not positive without rows.
    int lanes(int v) const { return static_cast<int>(smaller(Index{kLanes}, count - v * kLanes)); }
};

// Returns exp(noise - largest), the term of the noise component in a sum over all components, or 0 if there is no noise
// component.
GAUSSMIX_INLINE Vec exp_noise(double noise, Vec largest) {
    if (!(noise > -__builtin_inf())) return Vec::zero();
    const Vec gap = Vec::broadcast(noise) - largest;
    return keep(less(Vec::broadcast(kLeastExponent), gap), exp_normal(gap));
}

// Writes the log density of each row, which is log sum_k exp l_k for the weighted log densities l_k of the row.
GAUSSMIX_INLINE void write_log_density(const double* l, Index n_components, const Vec (&best)[kGroupVectors],
                                       double noise, GroupRows rows, double* out) {
    for (int v = 0; v < kGroupVectors && rows.lanes(v) > 0; ++v) {
        // Without the lower limit on `largest`, l - largest would be -inf - -inf, which is NaN, if all weights are 0.
        const Vec largest = max(best[v], Vec::broadcast(-__DBL_MAX__));
        Vec sum = Vec::zero();
        for (Index k = 0; k < n_components; ++k) {
            const Vec gap = Vec::load(l + (k * kGroupVectors + v) * kLanes) - largest;
            sum = sum + keep(less(Vec::broadcast(kLeastExponent), gap), exp_normal(gap));
        }
        (largest + log(sum + exp_noise(noise, largest))).store_head(out + rows.first + v * kLanes, rows.lanes(v));
    }
}

// Turns weighted log densities of the components into responsibilities. If `log_density` is not null, it receives the
// log density of each row.
GAUSSMIX_INLINE void normalise(double* l, Index n_components, const Vec (&best)[kGroupVectors], double noise,
                               GroupRows rows, double* log_density) {
    for (int v = 0; v < kGroupVectors; ++v) {
        const Vec largest = max(best[v], Vec::broadcast(-__DBL_MAX__));
        Vec sum = Vec::zero();
        for (Index k = 0; k < n_components; ++k) {
            double* e = l + (k * kGroupVectors + v) * kLanes;
            const Vec value = exp(Vec::load(e) - largest);
            value.store(e);
            sum = sum + value;
        }
        sum = sum + exp_noise(noise, largest);
        if (log_density != nullptr && rows.lanes(v) > 0) {
            (largest + log(sum)).store_head(log_density + rows.first + v * kLanes, rows.lanes(v));
        }
        for (Index k = 0; k < n_components; ++k) {
            double* e = l + (k * kGroupVectors + v) * kLanes;
            (Vec::load(e) / sum).store(e);
        }
    }
}

// Transposes values from the layout [component][lane] to the layout [row][component], eight components at a time.
GAUSSMIX_INLINE void write_table(const double* values, Index n_components, GroupRows rows, double* out) {
    for (int v = 0; v < kGroupVectors; ++v) {
        for (Index k = 0; k < n_components; k += kLanes) {
            const int count = static_cast<int>(smaller(Index{kLanes}, n_components - k));
            Vec lanes[kLanes];
            GAUSSMIX_UNROLL for (int i = 0; i < kLanes; ++i) {
                lanes[i] = i < count ? Vec::load(values + ((k + i) * kGroupVectors + v) * kLanes) : Vec::zero();
            }
            transpose(lanes);
            GAUSSMIX_UNROLL for (int i = 0; i < kLanes; ++i) {
                if (i < rows.lanes(v))
                    lanes[i].store_head(out + (rows.first + v * kLanes + i) * n_components + k, count);
            }
        }
    }
}

GAUSSMIX_INLINE void write_labels(const double* l, Index n_components, double noise, GroupRows rows,
                                  std::int64_t* out) {
    for (int v = 0; v < kGroupVectors; ++v) {
        Vec largest = Vec::broadcast(-__builtin_inf()), label = Vec::zero();
        for (Index k = 0; k < n_components; ++k) {
            const Vec value = Vec::load(l + (k * kGroupVectors + v) * kLanes);
            label = select(less(largest, value), Vec::broadcast(static_cast<double>(k)), label);
            largest = max(largest, value);
        }
        label = select(less(largest, Vec::broadcast(noise)), Vec::broadcast(-1), label);
        alignas(64) double labels[kLanes];
        label.store(labels);
        for (int i = 0; i < rows.lanes(v); ++i) out[rows.first + v * kLanes + i] = static_cast<std::int64_t>(labels[i]);
    }
}

inline void evaluate(const Shape& shape, const RowsView& rows, Output output, void* operands, const double* unpacked,
                     Index first, Index last, Listener listener, void* memory, void* out) noexcept {
    Poll poll(listener);
    const OperandsLayout operands_layout(shape);
    const ScratchLayout layout(shape);
    double* packed = static_cast<double*>(operands);
    // No component is skipped, because the results may include every density. Factors that are not packed yet are
    // packed one at a time into the memory of the packed factors.
    const DensityView parameters{shape, operands_layout, packed, false, unpacked, packed + operands_layout.factors};
    Index likeliest = 0;
    double* log_density = nullptr;
    if (output == Output::responsibilities_and_log_density) {
        log_density = static_cast<double*>(out) + rows.n_rows * shape.n_components;
    }
    double* scratch = static_cast<double*>(memory);
    double* l = scratch + layout.densities;
    const double noise = parameters.operands[operands_layout.noise];
    auto* active = reinterpret_cast<unsigned char*>(scratch + layout.active);
    // With one group in memory, only bit 0 of `active` is used. Bounds are not needed if no component is skipped.
    const GroupView group{scratch + layout.rows, l, scratch + layout.differences, active, 1, {}, &likeliest, &poll};
    for (; first < last; first += kGroupRows) {
        const GroupRows results{first, smaller(Index{kGroupRows}, last - first)};
        Vec best[kGroupVectors];
        read_group(rows, first, scratch + layout.rows);
        log_densities(parameters, group, Prefetch(rows, first + kGroupRows, shape.n_components), best);
        if (poll.is_cancelled()) return;
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) best[v] = max(best[v], Vec::broadcast(noise));
        switch (output) {
            case Output::log_density:
                write_log_density(l, shape.n_components, best, noise, results, static_cast<double*>(out));
                break;
            case Output::labels:
                write_labels(l, shape.n_components, noise, results, static_cast<std::int64_t*>(out));
                break;
            case Output::responsibilities:
            case Output::responsibilities_and_log_density:
                normalise(l, shape.n_components, best, noise, results, log_density);
                [[fallthrough]];
            case Output::weighted_log_density: write_table(l, shape.n_components, results, static_cast<double*>(out));
        }
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
