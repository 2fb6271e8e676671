// Runs one EM pass over a range of rows, tile by tile. For each tile, the pass reads the rows, computes densities and
// responsibilities (E-step) and sums moments (M-step).
#pragma once
#include "fixed.hpp"
#include "low_rank.hpp"
#include "product.hpp"
#include "scatter.hpp"
#include "softmax.hpp"

namespace gaussmix::GAUSSMIX_ISA {

constexpr bool is_fixed(const Shape& shape) { return shape.second == Second::full && shape.n_features <= kMaxFixed; }

inline Index moments_size(const Shape& shape) {
    switch (shape.second) {
        case Second::none: return product::sums_size(shape);
        case Second::full: return is_fixed(shape) ? fixed::sums_size(shape) : scatter::sums_size(shape);
        case Second::projected: return low_rank::sums_size(shape);
        default: return flat::sums_size(shape);
    }
}

struct SumsLayout {
    Index log_likelihood, n_distant, n_active, noise, mass, touched, moments, size;

    explicit SumsLayout(const Shape& shape) {
        Carver carver;
        log_likelihood = carver.take(1);
        n_distant = carver.take(1);
        n_active = carver.take(1);
        noise = carver.take(1);
        mass = carver.take(shape.n_components);
        // one byte for each component: whether the component has rows in the span
        touched = carver.take((shape.n_components + 7) / 8);
        moments = carver.take(moments_size(shape));
        size = carver.size();
    }
};

// Adds the moments of a tile to the sums.
inline void add_moments(const Shape& shape, const TileView& tile, const OperandsLayout& operands_layout,
                        const double* operands, const SumsLayout& sums_layout, double* sums) {
    const double* anchor = operands + operands_layout.anchor;
    double* moments = sums + sums_layout.moments;
    if (is_fixed(shape)) return fixed::add_moments(tile, anchor, shape.n_features, moments);
    double* mass = sums + sums_layout.mass;
    switch (shape.second) {
        case Second::none: return product::add_moments(tile, mass, moments);
        case Second::full: return scatter::add_moments(tile, anchor, mass, moments);
        case Second::projected:
            return low_rank::add_moments(tile, shape, anchor, operands + operands_layout.projection, mass, moments);
        default: return flat::add_moments(tile, anchor, mass, moments, flat::component_stride(shape.n_features));
    }
}

// To estimate the number of responsibilities that are not zero, the pass counts these responsibilities in every 16th
// group.
constexpr Index kCountedGroup = 16;

class Step {
public:
    Step(const StepView& task, const double* operands, Listener listener, double* scratch, double* sums)
        : task_(task),
          poll_(listener),
          shape_(task.shape),
          operands_layout_(shape_),
          scratch_layout_(shape_),
          sums_layout_(shape_),
          operands_(operands),
          scratch_(scratch),
          sums_(sums),
          distant_limit_(shape_.rule == Rule::soft ? distant_limit(shape_, operands + operands_layout_.log_scale) : 0),
          noise_(shape_.rule != Rule::assignment ? operands[operands_layout_.noise] : -__builtin_inf()) {}

    // Processes a tile, and adds its sums to the sums of the pass. Returns false if the pass is cancelled.
    bool add_tile(Index first, Index last) {
        if (!assign_tile(first, last)) return false;
        const TileView tile{scratch_ + scratch_layout_.rows,
                            scratch_ + scratch_layout_.densities,
                            scratch_ + scratch_layout_.row_factor,
                            active(),
                            shape_.n_features,
                            shape_.n_components,
                            padded_components(),
                            count_groups(first, last),
                            scratch_ + scratch_layout_.differences,
                            scratch_ + scratch_layout_.weighted,
                            &poll_};
        add_moments(shape_, tile, operands_layout_, operands_, sums_layout_, sums_);
        for (Index k = 0; k < shape_.n_components; ++k) touched()[k] |= active()[k];
        return !poll_.is_cancelled(kTileRows * shape_.n_components);
    }

    // Performs the E-step of a tile like `add_tile`, but does not sum moments. Leaves the rows, the exponentials and
    // the row factors in the scratch memory.
    bool assign_tile(Index first, Index last) {
        const int n_groups = count_groups(first, last);
        const Index n_components = shape_.n_components;
        __builtin_memset(active(), 0, static_cast<std::size_t>(n_components));
        n_active_ = 0;
        LogLikelihood log_likelihood{task_.row_weight.data != nullptr, distant_limit_};
        for (int g = 0; g < n_groups; ++g) {
            assign_group(g, first + g * kGroupRows, log_likelihood);
            if (poll_.is_cancelled()) return false;
        }
        sums_[sums_layout_.log_likelihood] += log_likelihood.total();
        sums_[sums_layout_.n_active] += n_active_;
        sums_[sums_layout_.n_distant] += log_likelihood.distant_rows();
        if (has_noise()) sums_[sums_layout_.noise] += log_likelihood.noise_mass();
        return true;
    }

private:
    static int count_groups(Index first, Index last) {
        return static_cast<int>((last - first + kGroupRows - 1) / kGroupRows);
    }
    unsigned char* active() { return reinterpret_cast<unsigned char*>(scratch_ + scratch_layout_.active); }
    unsigned char* touched() { return reinterpret_cast<unsigned char*>(sums_ + sums_layout_.touched); }
    Index padded_components() const { return round_up(shape_.n_components, kLanes); }

    // Computes the responsibilities of a group. Leaves the rows, the exponentials e_k and the row factors in the
    // scratch memory; e_k times a row factor is a responsibility times the row's weight.
    void assign_group(int g, Index first, LogLikelihood& log_likelihood) {
        double* rows = scratch_ + scratch_layout_.rows + g * shape_.n_features * kGroupRows;
        double* densities = scratch_ + scratch_layout_.densities + g * padded_components() * kGroupRows;
        double* row_factor = scratch_ + scratch_layout_.row_factor + g * kGroupRows;
        double* prior = scratch_ + scratch_layout_.prior;
        const bool has_prior = read_log_prior(task_.prior, task_.rows, first, shape_.n_components, prior);
        const GroupView group{rows,
                              densities,
                              scratch_ + scratch_layout_.differences,
                              active(),
                              static_cast<unsigned char>(1 << g),
                              bounds_of(first),
                              &likeliest_,
                              &poll_,
                              has_prior ? prior : nullptr};
        read_group(task_.rows, first, rows);
        read_row_weight(task_.row_weight, task_.rows, first, row_factor);
        if (shape_.rule == Rule::assignment) {
            return read_assignment(task_.assignment, task_.rows.n_rows, first, shape_.n_components, densities,
                                   group.active, group.bit);
        }
        Vec best[kGroupVectors];
        const Prefetch next(task_.rows, first + kGroupRows, shape_.n_components);
        log_densities({shape_, operands_layout_, operands_, true}, group, next, best);
        if (poll_.is_cancelled()) return;
        if (std::uint16_t* labels = task_.visit.labels; labels != nullptr) {
            write_likeliest(group, shape_.n_components, best, distant_limit_, task_.rows, first, labels);
        }
        Vec noise[kGroupVectors];
        if (has_noise()) add_noise(group, noise, best);
        // Groups are numbered within their leaf, so that the estimate does not depend on how leaves are divided into
        // calls.
        if (first % kLeafRows / kGroupRows % kCountedGroup == 0) {
            n_active_ += kCountedGroup * count_active(group, shape_.n_components, best);
        }
        if (shape_.rule == Rule::hard)
            return hard_assign(group, shape_.n_components, best, has_noise(), row_factor, log_likelihood);
        has_noise() ? soft_assign<true>(group, shape_.n_components, best, noise, row_factor, log_likelihood)
                    : soft_assign<false>(group, shape_.n_components, best, noise, row_factor, log_likelihood);
    }

    bool has_noise() const { return noise_ > -__builtin_inf(); }

    // Computes the log density of the noise component for each row, including the row's log prior, and updates the
    // largest log density of each row.
    void add_noise(const GroupView& group, Vec (&noise)[kGroupVectors], Vec (&best)[kGroupVectors]) {
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            noise[v] = Vec::broadcast(noise_);
            if (group.prior != nullptr) {
                const Index index = (shape_.n_components * kGroupVectors + v) * kLanes;
                noise[v] = noise[v] + Vec::load(group.prior + index);
            }
            best[v] = max(best[v], noise[v]);
        }
    }

    bounds::View bounds_of(Index first) {
        const VisitView& visit = task_.visit;
        if (visit.bounds == nullptr) return {};
        float* scores = reinterpret_cast<float*>(scratch_ + scratch_layout_.scores);
        return {visit.bounds + first / kGroupRows * shape_.n_components, scores, visit.ratio, visit.shift};
    }

    const StepView& task_;
    Poll poll_;
    const Shape& shape_;
    const OperandsLayout operands_layout_;
    const ScratchLayout scratch_layout_;
    const SumsLayout sums_layout_;
    const double* operands_;
    double* scratch_;
    double* sums_;
    const double distant_limit_;
    const double noise_;
    double n_active_ = 0;
    Index likeliest_ = 0;
};

inline Index step(const StepView& task, const void* operands, Index first, Index last, Listener listener, void* scratch,
                  double* sums) noexcept {
    Step pass(task, static_cast<const double*>(operands), listener, static_cast<double*>(scratch), sums);
    while (first < last && pass.add_tile(first, smaller(first + kTileRows, last))) first += kTileRows;
    return smaller(first, last);
}

inline Sizes sizes(const Shape& shape) noexcept {
    constexpr Index bytes = sizeof(double);
    return {OperandsLayout(shape).size * bytes, ScratchLayout(shape).size * bytes, SumsLayout(shape).size};
}

// Number of components whose sums are stored together, and the number of doubles in these sums.
struct Slices {
    Index n_together, size;

    explicit Slices(const Shape& shape) : n_together(shape.second == Second::none ? product::kSide : 1) {
        size = moments_size(shape) / ((shape.n_components + n_together - 1) / n_together);
    }
};

inline void add_and_clear(double* from, Index count, double* to) {
    for (Index i = 0; i < count; ++i) {
        to[i] = to[i] + from[i];
        from[i] = 0;
    }
}

// Merges the sums of a span into the total, but only for components that have rows in the span. If K is large and the
// clusters are well separated, few components have rows in a span.
inline void merge(const Shape& shape, double* span, double* total) noexcept {
    const SumsLayout layout(shape);
    const Slices slices(shape);
    unsigned char* touched = reinterpret_cast<unsigned char*>(span + layout.touched);
    unsigned char* touched_in_all = reinterpret_cast<unsigned char*>(total + layout.touched);
    add_and_clear(span, layout.touched, total);
    for (Index k = 0; k < shape.n_components; k += slices.n_together) {
        bool is_touched = false;
        for (Index i = k; i < smaller(k + slices.n_together, shape.n_components); ++i) {
            is_touched |= touched[i] != 0;
            touched_in_all[i] |= touched[i];
            touched[i] = 0;
        }
        if (!is_touched) continue;
        const Index index = layout.moments + k / slices.n_together * slices.size;
        add_and_clear(span + index, slices.size, total + index);
    }
}

inline void unpack(const Shape& shape, const double* sums, MomentsView out) noexcept {
    const SumsLayout layout(shape);
    const double* moments = sums + layout.moments;
    *out.log_likelihood = sums[layout.log_likelihood];
    *out.n_distant = sums[layout.n_distant];
    *out.n_active = sums[layout.n_active];
    if (out.noise != nullptr) *out.noise = sums[layout.noise];
    if (is_fixed(shape)) return fixed::unpack(shape, moments, out);
    copy(sums + layout.mass, shape.n_components, out.mass);
    switch (shape.second) {
        case Second::none: return product::unpack(shape, moments, out);
        case Second::full: return scatter::unpack(shape, moments, out);
        case Second::projected: return low_rank::unpack(shape, moments, out);
        default: return flat::unpack(shape, moments, out);
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
