// Computes the weighted log densities l_k = log_scale_k - q_k / 2 of the rows of a group under all components k, where
// q_k is the squared distance of a row to component k, and finds the largest l_k of each row. If a row has log prior
// probabilities of the components, these are added to the row's log densities. Because log priors are at most 0, upper
// bounds on the densities without priors also hold with priors.
//
// A squared distance that overflows or is NaN (from inf - inf) is replaced by the largest double, so that l_k is never
// NaN.
#pragma once
#include "bounds.hpp"
#include "low_rank.hpp"
#include "panels.hpp"
#include "poll.hpp"
#include "rows.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// absolute and relative margins of the limits on squared distances, which are far above rounding errors
constexpr double kRoundingMargin = 1e-3;
constexpr double kRelativeMargin = 0x1p-30;

struct DensityView {
    const Shape& shape;
    const OperandsLayout& layout;
    const double* operands;
    bool may_eliminate;  // whether components that are negligible for the whole group are skipped
    // triangular whitening factors that are not packed yet (a factor is packed into `packed` when it is needed); null
    // if all factors are packed
    const double* unpacked = nullptr;
    double* packed = nullptr;

    const double* log_scale() const { return operands + layout.log_scale; }
    const double* means() const { return operands + layout.means; }
    const double* factors() const { return operands + layout.factors; }
    const double* triangle(Index component) const {
        if (unpacked == nullptr) return factors() + component * layout.factor_stride;
        panels::pack(unpacked + component * shape.n_features * shape.n_features, shape.n_features, packed);
        return packed;
    }
};

struct GroupView {
    const double* rows;
    double* densities;
    double* differences;    // scratch memory for the differences x - mean of the group's rows
    unsigned char* active;  // one byte per component; bit g is set if the component is not negligible in group g
    unsigned char bit;      // bit of this group in each element of `active`
    bounds::View bounds;
    // if there are no bounds, the component to visit first: the most probable component of one row of the previous
    // group
    Index* likeliest;
    Poll* poll;
    const double* prior = nullptr;  // log priors in the layout [component][vector][lane]; null if no row has a prior
};

GAUSSMIX_INLINE void store_log_densities(const Vec (&squares)[kGroupVectors], const Vec (&log_scale)[kGroupVectors],
                                         double* out, Vec (&best)[kGroupVectors]) {
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
        const Vec l = fma(Vec::broadcast(-0.5), min(squares[v], Vec::broadcast(kLargest)), log_scale[v]);
        l.store(out + v * kLanes);
        best[v] = max(best[v], l);
    }
}
GAUSSMIX_INLINE void store_log_densities(const Vec (&squares)[kGroupVectors], double log_scale, double* out,
                                         Vec (&best)[kGroupVectors]) {
    const Vec each = Vec::broadcast(log_scale);
    store_log_densities(squares, {each, each, each}, out, best);
}

// Adds the log priors of the rows to log densities that were computed without priors.
inline void add_log_prior(const GroupView& group, Index n_components, Vec (&best)[kGroupVectors]) {
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
        best[v] = Vec::broadcast(-__builtin_inf());
        for (Index k = 0; k < n_components; ++k) {
            const Index index = (k * kGroupVectors + v) * kLanes;
            const Vec l = Vec::load(group.densities + index) + Vec::load(group.prior + index);
            l.store(group.densities + index);
            best[v] = max(best[v], l);
        }
    }
}

// Computes log densities for D features if the D rows of W fit in one panel. This function is a single loop over all
// components, which calls no other functions and skips no negligible components.
template <int D>
void one_panel(const DensityView& p, const GroupView& group, Prefetch& next, Vec (&best)[kGroupVectors]) {
    const double* mean = p.means();
    const double* factor = p.factors();
    double* out = group.densities;
    Vec top[kGroupVectors];
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) top[v] = best[v];
    for (Index k = 0; k < p.shape.n_components; ++k, out += kGroupRows) {
        next.fetch_piece();
        Vec squares[kGroupVectors] = {Vec::zero(), Vec::zero(), Vec::zero()};
        const panels::Panel<panels::Result::squares> panel{nullptr, 0, group.rows, mean, factor, nullptr};
        panels::whiten_panel<D>(panel, squares);
        store_log_densities(squares, p.log_scale()[k], out, top);
        mean += D, factor += p.layout.factor_stride;
    }
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) best[v] = top[v];
}

// Returns the squared distance above which a component is negligible compared with the most probable component so far.
// The margins of this limit are far above the rounding errors of squared distances. Every eliminated component would
// therefore get responsibility 0 in the softmax, so the results with and without elimination are bit-identical.
GAUSSMIX_INLINE Vec distance_limit(Vec log_scale, Vec best) {
    const Vec nats = log_scale - best + Vec::broadcast(kNegligible + kRoundingMargin);
    return Vec::broadcast(2) * fma(nats, Vec::broadcast(kRelativeMargin), nats);
}

// Computes the squared distances of a group's rows to one component. After every 8 or 16 features, the sums of squares
// so far are compared with the limits. If each lane of each vector v has reached `limit(v)`, the function returns
// false, and `squares` are lower bounds. Nothing is compared after the last feature, so rows may be beyond their limits
// even if the function returns true.
template <class Limit>
GAUSSMIX_INLINE bool squared_distance(const DensityView& p, const GroupView& group, Index k, Limit limit,
                                      Vec (&squares)[kGroupVectors]) {
    const Index d = p.shape.n_features;
    const double* mean = p.means() + k * d;
    const double* factor = p.factors() + k * p.layout.factor_stride;
    switch (p.shape.factor_shape) {
        case FactorShape::triangular:
            return panels::squared_distance(group.rows, mean, p.triangle(k), d, limit, group.differences, squares);
        case FactorShape::diagonal:
            return flat::squared_distance<flat::Scale::per_feature>(group.rows, mean, factor, d, limit, squares);
        default: return flat::squared_distance<flat::Scale::per_component>(group.rows, mean, factor, d, limit, squares);
    }
}

// Order in which the densities of the components are computed for a group, starting with the most probable components.
// If the densities of probable components are known, an improbable component can be eliminated after its squared
// distance has been summed over only a few features.
class ComponentOrder {
public:
    ComponentOrder(const DensityView& p, const GroupView& group)
        : bounds_(group.bounds), n_components_(p.shape.n_components), first_(*group.likeliest) {
        if (bounds_.is_valid()) bounds::move(bounds_, p.log_scale(), n_components_);
    }

    // Returns the index of the next component, or -1 after the last component.
    GAUSSMIX_INLINE Index next(const Vec (&best)[kGroupVectors]) {
        if (!bounds_.is_valid()) return next_of_all();
        const float limit = n_visits_ == 0 ? __builtin_inff() : bounds::limit(best);
        return n_visits_++ < kNearestFirst ? take_nearest(limit) : next_within(limit);
    }

private:
    Index next_of_all() {
        if (n_visits_ == n_components_) return -1;
        const Index visit = n_visits_++;
        return visit == 0 ? first_ : visit <= first_ ? visit - 1 : visit;
    }
    Index take_nearest(float limit) {
        const Index k = bounds::nearest(bounds_, n_components_);
        if (n_visits_ > 1 && !(bounds_.score[k] < limit)) return -1;
        bounds_.score[k] = __builtin_inff();
        return k;
    }
    Index next_within(float limit) {
        while (++last_ < n_components_) {
            if (bounds_.score[last_] < limit) return last_;
        }
        return -1;
    }

    // Number of components that are visited in the order of their scores, before other components are visited in the
    // order of their indices. A larger number would not save time, because the rows of a group belong to few
    // components.
    static constexpr Index kNearestFirst = 4;
    const bounds::View bounds_;
    const Index n_components_, first_;
    Index n_visits_ = 0;
    Index last_ = -1;  // last component that was visited in the order of indices, after the nearest components
};

// Computes the log densities of a group's rows under one component after another, and leaves out negligible components.
inline void visit_components(const DensityView& p, const GroupView& group, Prefetch& next, Vec (&best)[kGroupVectors]) {
    const Index n_components = p.shape.n_components, d = p.shape.n_features;
    ComponentOrder order(p, group);
    for (Index k = order.next(best); k >= 0; k = order.next(best)) {
        Vec log_scale[kGroupVectors], squares[kGroupVectors];
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            log_scale[v] = Vec::broadcast(p.log_scale()[k]);
            if (group.prior != nullptr) {
                log_scale[v] = log_scale[v] + Vec::load(group.prior + (k * kGroupVectors + v) * kLanes);
            }
        }
        const auto limit = [&](int v) {
            return p.may_eliminate ? distance_limit(log_scale[v], best[v]) : Vec::broadcast(__builtin_inf());
        };
        next.fetch_piece();
        const bool is_close = squared_distance(p, group, k, limit, squares);
        if (group.bounds.is_valid()) group.bounds.distance[k] = bounds::distance(squares);
        if (is_close) {
            group.active[k] |= group.bit;
            store_log_densities(squares, log_scale, group.densities + k * kGroupRows, best);
        }
        if (group.poll->is_cancelled(kGroupRows * (d + 1) * d / 2)) return;
    }
    next.fetch_all();
    if (group.bounds.is_valid()) return;
    alignas(64) double largest[kLanes];
    best[0].store(largest);
    for (Index k = 0; k < n_components; ++k) {
        if ((group.active[k] & group.bit) && group.densities[k * kGroupRows] == largest[0]) *group.likeliest = k;
    }
}

template <flat::Scale kScale>
void flat_densities(const DensityView& p, const GroupView& group, const double* rows, Prefetch& next,
                    Vec (&best)[kGroupVectors]) {
    const flat::Components components{p.means(), p.factors(), p.log_scale()};
    flat::log_densities<kScale>(rows, components, p.shape.n_components, p.shape.n_features, *group.poll, next,
                                group.densities, best);
}

inline void low_rank_densities(const DensityView& p, const GroupView& group, Vec (&best)[kGroupVectors]) {
    const Index d = p.shape.n_features, n_factors = p.shape.n_factors;
    for (Index k = 0; k < p.shape.n_components; ++k) {
        Vec squares[kGroupVectors];
        low_rank::squared_distance(group.rows, p.means() + k * d, p.factors() + k * p.layout.factor_stride, d,
                                   n_factors, group.differences, squares);
        store_log_densities(squares, p.log_scale()[k], group.densities + k * kGroupRows, best);
        if (group.poll->is_cancelled(kGroupRows * 2 * d * (n_factors + 2))) return;
    }
}

// Computes the log densities of a group under all components. If the pass is cancelled, the log densities remain
// incomplete, and the caller must not use them.
inline void log_densities(const DensityView& p, const GroupView& group, Prefetch next, Vec (&best)[kGroupVectors]) {
    const Index d = p.shape.n_features;
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) best[v] = Vec::broadcast(-__builtin_inf());
    const bool has_panels = p.shape.factor_shape == FactorShape::triangular && !p.shape.is_shared && d > kPanelRows;
    if (has_panels || group.bounds.is_valid()) return visit_components(p, group, next, best);
    for (Index k = 0; k < p.shape.n_components; ++k) group.active[k] |= group.bit;
    if (p.shape.factor_shape == FactorShape::spherical) {
        flat_densities<flat::Scale::per_component>(p, group, group.rows, next, best);
    } else if (p.shape.factor_shape == FactorShape::diagonal) {
        flat_densities<flat::Scale::per_feature>(p, group, group.rows, next, best);
    } else if (p.shape.factor_shape == FactorShape::low_rank) {
        next.fetch_all();
        low_rank_densities(p, group, best);
    } else if (p.shape.is_shared) {
        panels::whiten(group.rows, p.factors(), d, group.differences);
        flat_densities<flat::Scale::none>(p, group, group.differences, next, best);
    } else {
        with_constant(d, [&](auto n_features) { one_panel<decltype(n_features)::value>(p, group, next, best); });
    }
    if (group.prior != nullptr) add_log_prior(group, p.shape.n_components, best);
    group.poll->is_cancelled(kGroupRows * (p.shape.n_components + (p.shape.is_shared ? d / 2 : 0)) * d);
}

}  // namespace gaussmix::GAUSSMIX_ISA
