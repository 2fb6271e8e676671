// Defines the memory layout of truncated EM (working memory, and records of parameters), and packs parameters into
// records.
#pragma once
#include "../step.hpp"

namespace gaussmix::GAUSSMIX_ISA::truncated {

// Returns the largest number of components that a tile can evaluate: for each row, its candidates and the neighbours
// that are tried, and one random component per bunch.
inline Index max_slots(const TruncatedView& task) {
    const Index n_per_row = task.n_candidates + task.n_expanded * task.n_tried + task.n_drawn;
    return smaller(task.step.shape.n_components, kTileRows * n_per_row + kTileRows / kLanes);
}

inline Shape slots_shape(const TruncatedView& task) {
    Shape shape = task.step.shape;
    shape.n_components = max_slots(task);
    return shape;
}

struct Layout {
    ScratchLayout tile;
    Index slot, component, listed, wanted, expanded, new_candidates, size;

    explicit Layout(const TruncatedView& task) : tile(slots_shape(task)) {
        const Index n_slots = max_slots(task);
        Carver carver;
        carver.take(tile.size);
        // The arrays are twice as large as necessary: the carver counts doubles, but the arrays hold 4-byte integers.
        // `listed` has one entry more than there are slots, because `ComponentList::want` may write after a full list.
        slot = carver.take(task.step.shape.n_components);
        component = carver.take(n_slots);
        listed = carver.take(n_slots + 1);
        wanted = carver.take(n_slots);
        expanded = carver.take(n_slots);
        new_candidates = carver.take(2 * task.n_candidates * kGroupRows);
        size = carver.size();
    }
};

// With few features and triangular factors, the parameters of a component are also stored together in a *record*: the
// triangle of the factor, the mean, the log scale and, if fixed.hpp sums the moments, the anchor. Most components are
// not in the cache, and a record of three features takes two cache lines, while separate arrays take up to six. The
// records follow the other operands.
struct RecordLayout {
    Index mean = 0, log_scale = 0, anchor = 0;
    Index stride = 0;  // number of doubles in a record, or 0 if there are no records

    explicit RecordLayout(const Shape& shape) {
        const Index d = shape.n_features;
        if (shape.factor_shape != FactorShape::triangular || d > kPanelRows) return;
        mean = d * (d + 1) / 2;
        log_scale = mean + d;
        anchor = log_scale + 1;
        stride = round_up(anchor + (is_fixed(shape) ? d : 0), kLanes);
    }
};

struct Operands {  // packed parameters of all components
    OperandsLayout layout;
    RecordLayout record_layout;
    Index n_features;
    const double* values;
    const double* records;

    Operands(const Shape& shape, const double* operands)
        : layout(shape),
          record_layout(shape),
          n_features(shape.n_features),
          values(operands),
          records(operands + layout.size) {}

    bool has_records() const { return record_layout.stride > 0; }
    const double* record(Index k) const { return records + k * record_layout.stride; }

    // Must be inlined, because gcc 12 removes calls of a function that only prefetches and therefore has no effect.
    GAUSSMIX_INLINE void prefetch(Index k) const {
        if (has_records()) {
            for (Index i = 0; i < record_layout.stride; i += kLanes) __builtin_prefetch(record(k) + i);
        } else {
            __builtin_prefetch(values + layout.log_scale + k);
            __builtin_prefetch(values + layout.means + k * n_features);
            __builtin_prefetch(values + layout.factors + k * layout.factor_stride);
        }
    }
};

inline Sizes sizes(const TruncatedView& task) noexcept {
    const Shape& shape = task.step.shape;
    Sizes all = gaussmix::GAUSSMIX_ISA::sizes(shape);
    all.operands += shape.n_components * RecordLayout(shape).stride * static_cast<Index>(sizeof(double));
    all.scratch = Layout(task).size * static_cast<Index>(sizeof(double));
    return all;
}

// Packs parameters as for other steps, and then copies them into records. The factors are not shared.
inline void pack(const TruncatedView& task, const ParametersView& parameters, void* operands) noexcept {
    const Shape& shape = task.step.shape;
    gaussmix::GAUSSMIX_ISA::pack(shape, parameters, operands);
    const OperandsLayout from(shape);
    const RecordLayout to(shape);
    if (to.stride == 0) return;
    const Index d = shape.n_features;
    double* packed = static_cast<double*>(operands);
    for (Index k = 0; k < shape.n_components; ++k) {
        double* record = packed + from.size + k * to.stride;
        copy(packed + from.factors + k * from.factor_stride, to.mean, record);  // the mean follows the factor
        copy(packed + from.means + k * d, d, record + to.mean);
        record[to.log_scale] = packed[from.log_scale + k];
        if (is_fixed(shape)) copy(packed + from.anchor + k * d, d, record + to.anchor);
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::truncated
