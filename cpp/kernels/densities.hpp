// Weighted log densities of a group under all components: l_k = log_scale_k - q_k / 2, and their largest.
//
// A distance that overflows, or is inf - inf, counts as the largest number: l is never NaN.
#pragma once
#include "flat.hpp"
#include "panels.hpp"
#include "patience.hpp"
#include "rows.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// 60 log 2 nats: a responsibility below 2^-60 of its row's largest is 0.
constexpr double kNegligible = 0x1.4cb5ecf0a9650p+5;
constexpr double kRoundingMargin = 1e-3;

struct DensityView {
    const Shape& shape;
    const OperandsLayout& layout;
    const Real* operands;
    bool may_eliminate;  // leave out components that are negligible for the whole group

    const Real* log_scale() const { return operands + layout.log_scale; }
    const Real* means() const { return operands + layout.means; }
    const Real* factors() const { return operands + layout.factors; }
};

struct GroupView {
    const Real* rows;
    Real* densities;
    Real* differences;    // room for x - mean of the group
    unsigned char* active;  // [component]
    unsigned char bit;      // of this group in `active`
    Index* likeliest;       // the component to try first: the likeliest for a row of the group before
    Patience* patience;
};

GAUSSMIX_INLINE void store_log_densities(const Vec (&squares)[kGroupVectors], Real log_scale, Real* out,
                                         Vec (&best)[kGroupVectors]) {
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
        const Vec l =
            fma(Vec::broadcast(-0.5), min(squares[v], Vec::broadcast(kLargest)), Vec::broadcast(log_scale));
        l.store(out + v * kLanes);
        best[v] = max(best[v], l);
    }
}

// All of W is one panel: one loop over the components, no call and no elimination within it.
template <int D>
void one_panel(const DensityView& p, const GroupView& group, Vec (&best)[kGroupVectors]) {
    const Real* mean = p.means();
    const Real* factor = p.factors();
    Real* out = group.densities;
    Vec top[kGroupVectors];
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) top[v] = best[v];
    for (Index k = 0; k < p.shape.n_components; ++k, mean += D, factor += p.layout.factor_stride, out += kGroupRows) {
        Vec squares[kGroupVectors] = {Vec::zero(), Vec::zero(), Vec::zero()};
        panels::whiten_panel<D>({nullptr, 0, group.rows, mean, factor, nullptr, nullptr}, squares);
        store_log_densities(squares, p.log_scale()[k], out, top);
    }
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) best[v] = top[v];
}

// The squared distance from which on a component is negligible beside the best so far. The margins are far above
// the rounding of either side, so that what is eliminated the softmax would have dropped: no bit depends on it.
GAUSSMIX_INLINE Vec distance_limit(Real log_scale, Vec best) {
    const Vec nats = Vec::broadcast(log_scale) - best + Vec::broadcast(kNegligible + kRoundingMargin);
    return Vec::broadcast(2) * fma(nats, Vec::broadcast(0x1p-30), nats);
}

// Visits the component that was likeliest for the group before first: the sooner a good one is known, the sooner the
// others are seen to be hopeless.
inline void many_panels(const DensityView& p, const GroupView& group, Prefetch& next_rows, Vec (&best)[kGroupVectors]) {
    const Index n_components = p.shape.n_components, d = p.shape.n_features, first = *group.likeliest;
    for (Index visit = 0; visit < n_components; ++visit) {
        const Index k = visit == 0 ? first : visit <= first ? visit - 1 : visit;
        const Real log_scale = p.log_scale()[k];
        Vec limit[kGroupVectors], squares[kGroupVectors];
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            limit[v] = p.may_eliminate ? distance_limit(log_scale, best[v]) : Vec::broadcast(__builtin_inf());
        }
        next_rows.fetch_share();
        const Real* factor = p.factors() + k * p.layout.factor_stride;
        if (!panels::squared_distance(group.rows, p.means() + k * d, factor, d, limit, group.differences, squares)) {
            group.active[k] = static_cast<unsigned char>(group.active[k] & ~group.bit);
            continue;
        }
        store_log_densities(squares, log_scale, group.densities + k * kGroupRows, best);
        if (group.patience->is_over(kGroupRows * d * d / 2)) return;
    }
    alignas(64) Real largest[kLanes];
    best[0].store(largest);
    for (Index k = 0; k < n_components; ++k) {
        if ((group.active[k] & group.bit) && group.densities[k * kGroupRows] == largest[0]) *group.likeliest = k;
    }
}

template <flat::Scale kScale>
void flat_densities(const DensityView& p, const GroupView& group, const Real* rows, Vec (&best)[kGroupVectors]) {
    const flat::Components components{p.means(), p.factors(), p.log_scale()};
    flat::log_densities<kScale>(rows, components, p.shape.n_components, p.shape.n_features, *group.patience,
                                group.densities, best);
}

// What it leaves is not complete where patience is over.
inline void log_densities(const DensityView& p, const GroupView& group, Prefetch next_rows,
                          Vec (&best)[kGroupVectors]) {
    const Index d = p.shape.n_features;
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) best[v] = Vec::broadcast(-__builtin_inf());
    for (Index k = 0; k < p.shape.n_components; ++k) group.active[k] |= group.bit;
    const bool is_dense = p.shape.structure == Structure::triangular && !p.shape.is_shared;
    if (is_dense && d > kPanelRows) return many_panels(p, group, next_rows, best);
    next_rows.fetch_all();
    if (p.shape.structure == Structure::spherical) {
        flat_densities<flat::Scale::per_component>(p, group, group.rows, best);
    } else if (p.shape.structure == Structure::diagonal) {
        flat_densities<flat::Scale::per_feature>(p, group, group.rows, best);
    } else if (p.shape.is_shared) {
        panels::whiten(group.rows, p.factors(), d, group.differences);
        flat_densities<flat::Scale::none>(p, group, group.differences, best);
    } else {
        with_constant(d, [&](auto n_features) { one_panel<decltype(n_features)::value>(p, group, best); });
    }
    group.patience->is_over(kGroupRows * (p.shape.n_components + (p.shape.is_shared ? d / 2 : 0)) * d);
}

}  // namespace gaussmix::GAUSSMIX_ISA
