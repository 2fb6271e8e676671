// One pass of truncated EM over a range of rows: each row is shared by its few candidates alone, so that the time does
// not grow with the number of components. Forster & Lücke (2018), "Can clustering scale sublinearly with its
// clusters?", AISTATS, algorithm 1.
//
// A group evaluates its rows' candidates, the neighbours of their likeliest ones, and a few components by chance. Each
// row keeps the best of these, so that the sum of its densities never falls. Components of a tile take *slots*:
//
//   densities   [group][slot][vector][lane]
//   component   [slot]
//   wanted      [slot], bit g: group g evaluates it
#pragma once
#include "step.hpp"

namespace gaussmix::GAUSSMIX_ISA::truncated {

constexpr Index kByChance = 1;  // components for each group

// Components that a tile can want.
inline Index max_slots(const TruncatedView& task) {
    const Index of_rows = kTileRows * (task.n_candidates + task.n_expanded * task.n_neighbours) + kTileGroups * kByChance;
    return smaller(task.step.shape.n_components, of_rows);
}

inline Shape slots_shape(const TruncatedView& task) {
    Shape shape = task.step.shape;
    shape.n_components = max_slots(task);
    return shape;
}

struct Layout {
    ScratchLayout tile;
    Index slot, component, listed, wanted, expanded, best, size;

    explicit Layout(const TruncatedView& task) : tile(slots_shape(task)) {
        const Index n_slots = max_slots(task);
        Carver carver;
        carver.take(tile.size);
        slot = carver.take(task.step.shape.n_components);  // pairs of integers of four bytes would do
        component = carver.take(n_slots);
        listed = carver.take(n_slots);
        wanted = carver.take(n_slots);
        expanded = carver.take(n_slots);
        best = carver.take(task.n_candidates * kGroupRows);
        size = carver.size();
    }
};

// Bits that depend on a number in a way that looks random: Steele, Lea & Flood (2014), "Fast splittable pseudorandom
// number generators", figure 15.
inline std::uint64_t mixed(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

class Pass {
public:
    Pass(const TruncatedView& task, const double* operands, Listener listener, double* scratch, double* sums)
        : task_(task),
          poll_(listener),
          shape_(slots_shape(task)),
          operands_layout_(task.step.shape),
          layout_(task),
          sums_layout_(task.step.shape, moments_size(task.step.shape)),
          operands_(operands),
          scratch_(scratch),
          sums_(sums),
          slot_(reinterpret_cast<std::int32_t*>(scratch + layout_.slot)),
          component_(reinterpret_cast<std::int32_t*>(scratch + layout_.component)),
          listed_(reinterpret_cast<std::int32_t*>(scratch + layout_.listed)),
          wanted_(reinterpret_cast<unsigned char*>(scratch + layout_.wanted)),
          expanded_(reinterpret_cast<unsigned char*>(scratch + layout_.expanded)),
          active_(reinterpret_cast<unsigned char*>(scratch + layout_.tile.active)),
          background_(operands[operands_layout_.background]) {
        for (Index k = 0; k < task.step.shape.n_components; ++k) slot_[k] = -1;
    }

    // False if it is to be given up.
    bool add_tile(Index first, Index last) {
        const int n_groups = static_cast<int>((last - first + kGroupRows - 1) / kGroupRows);
        LogLikelihood log_likelihood{true, -__builtin_inf()};
        n_slots_ = 0;
        for (int g = 0; g < n_groups && !poll_.is_cancelled(); ++g) {
            list_components(g, first + g * kGroupRows);
            share_group(g, first + g * kGroupRows, log_likelihood);
        }
        sums_[sums_layout_.log_likelihood] += log_likelihood.total();
        sums_[sums_layout_.background] += log_likelihood.background_mass();
        if (task_.step.shape.second != Second::none && !poll_.is_cancelled()) add_sums(n_groups);
        for (Index s = 0; s < n_slots_; ++s) slot_[component_[s]] = -1;
        return !poll_.is_cancelled(kTileRows * kCostOfMoving * n_slots_);
    }

private:
    const RowsView& rows() const { return task_.step.rows; }
    std::int32_t* candidates_of(Index position) {
        return task_.candidates + row_at(rows(), position) * task_.n_candidates;
    }

    void want(Index k, int g) {
        std::int32_t& slot = slot_[k];
        if (slot < 0) {
            slot = static_cast<std::int32_t>(n_slots_++);
            component_[slot] = static_cast<std::int32_t>(k);
            wanted_[slot] = expanded_[slot] = active_[slot] = 0;
        }
        if (wanted_[slot] >> g & 1) return;
        wanted_[slot] = static_cast<unsigned char>(wanted_[slot] | 1 << g);
        listed_[n_listed_++] = slot;
    }

    void want_neighbours(Index k, int g) {
        unsigned char& expanded = expanded_[slot_[k]];
        if (expanded >> g & 1) return;
        expanded = static_cast<unsigned char>(expanded | 1 << g);
        for (Index j = 0; j < task_.n_neighbours; ++j) {
            if (const std::int32_t near = task_.neighbours[k * task_.n_neighbours + j]; near >= 0) want(near, g);
        }
    }

    // The slots of the components that a group evaluates, the likely ones first.
    void list_components(int g, Index first) {
        const Index end = smaller(first + kGroupRows, rows().n_rows);
        n_listed_ = 0;
        for (Index c = 0; c < task_.n_candidates; ++c) {
            for (Index i = first; i < end; ++i) {
                if (const std::int32_t k = candidates_of(i)[c]; k >= 0) want(k, g);
            }
        }
        for (Index c = 0; c < task_.n_expanded; ++c) {
            for (Index i = first; i < end; ++i) {
                if (const std::int32_t k = candidates_of(i)[c]; k >= 0) want_neighbours(k, g);
            }
        }
        const std::uint64_t group = static_cast<std::uint64_t>((task_.first_row + first) / kGroupRows);
        const std::uint64_t drawn = mixed(mixed(task_.key) + (group + 1) * 0x9e3779b97f4a7c15);
        want(static_cast<Index>(drawn % static_cast<std::uint64_t>(task_.step.shape.n_components)), g);
    }

    void share_group(int g, Index first, LogLikelihood& log_likelihood) {
        double* row_factor = scratch_ + layout_.tile.row_factor + g * kGroupRows;
        double* prior = scratch_ + layout_.tile.prior;
        const bool has_prior = read_prior(first, prior);
        const GroupView group{scratch_ + layout_.tile.rows + g * shape_.n_features * kGroupRows,
                              scratch_ + layout_.tile.densities + g * densities_stride(),
                              scratch_ + layout_.tile.differences,
                              active_,
                              static_cast<unsigned char>(1 << g),
                              {},
                              nullptr,
                              &poll_,
                              has_prior ? prior : nullptr};
        read_group(rows(), first, scratch_ + layout_.tile.rows + g * shape_.n_features * kGroupRows);
        read_row_weight(task_.step.row_weight, rows(), first, row_factor);
        evaluate(group);
        if (poll_.is_cancelled()) return;
        choose(group, first);
        Vec best[kGroupVectors], background[kGroupVectors] = {};
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) best[v] = best_of(0, v);
        const bool has_background = background_ > -__builtin_inf();
        if (has_background) {
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
                background[v] = Vec::broadcast(background_);
                if (has_prior) background[v] = background[v] + Vec::load(prior + shape_.n_components * kGroupRows + v * kLanes);
                best[v] = max(best[v], background[v]);
            }
        }
        if (shape_.rule == Rule::hard)
            return hard(group, n_slots_, best, has_background, row_factor, log_likelihood);
        has_background ? soft<true>(group, n_slots_, best, background, row_factor, log_likelihood)
                       : soft<false>(group, n_slots_, best, background, row_factor, log_likelihood);
    }

    // What is known of the components of the rows, for the listed slots and, last, for the background.
    bool read_prior(Index first, double* out) {
        const PriorView& prior = task_.step.prior;
        if (prior.table == nullptr) return false;
        const Elements<std::int32_t> indices{reinterpret_cast<const char*>(prior.indices)};
        const Elements<double> table{reinterpret_cast<const char*>(prior.table)};
        for (int i = 0; i < kGroupRows; ++i) {
            const Index row = row_at(rows(), smaller(first + i, rows().n_rows - 1));
            const Index index = prior.indices == nullptr ? row : static_cast<Index>(indices[row * prior.index_stride]);
            const auto known = [&](Index k) {
                const bool is_known = index >= 0 && k < prior.n_columns;
                return is_known ? table[index * prior.row_stride + k * prior.column_stride] : 0.0;
            };
            for (Index j = 0; j < n_listed_; ++j) out[listed_[j] * kGroupRows + i] = known(component_[listed_[j]]);
            out[shape_.n_components * kGroupRows + i] = known(task_.step.shape.n_components);
        }
        return true;
    }

    Vec best_of(Index i, int v) const { return Vec::load(scratch_ + layout_.best + i * kGroupRows + v * kLanes); }

    // Takes note of the log densities of a slot among the best of each row.
    GAUSSMIX_INLINE void insert(const Vec (&l)[kGroupVectors]) {
        const Index last = task_.n_candidates - 1;
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            double* best = scratch_ + layout_.best + v * kLanes;
            if (!any(less(Vec::load(best + last * kGroupRows), l[v]))) continue;
            Vec x = l[v];
            for (Index i = 0; i <= last; ++i, best += kGroupRows) {
                const Vec y = Vec::load(best);
                max(x, y).store(best);
                x = min(x, y);
            }
        }
    }

    // Log densities of the listed slots. Leaves out, without a bit in `active`, those that no row will keep.
    void evaluate(const GroupView& group) {
        const Vec nothing = Vec::broadcast(-__builtin_inf());
        for (Index i = 0; i < task_.n_candidates * kGroupVectors; ++i)
            nothing.store(scratch_ + layout_.best + i * kLanes);
        const DensityView densities{task_.step.shape, operands_layout_, operands_, true};
        const Index d = shape_.n_features;
        if (shape_.factor_shape == FactorShape::triangular && d <= kPanelRows) {
            return with_constant(d, [&](auto count) {
                constexpr int D = decltype(count)::value;
                for (Index j = 0; j < n_listed_; ++j) {
                    const Index k = component_[listed_[j]];
                    Vec squares[kGroupVectors] = {Vec::zero(), Vec::zero(), Vec::zero()};
                    const panels::Panel<panels::Leaves::squares> panel{
                        nullptr, 0,      group.rows, densities.means() + k * D, densities.triangle(k),
                        nullptr};
                    panels::whiten_panel<D>(panel, squares);
                    keep_densities(group, densities, listed_[j], squares);
                }
                poll_.is_cancelled(kGroupRows * n_listed_ * (D + 1) * D / 2);
            });
        }
        for (Index j = 0; j < n_listed_; ++j) {
            const Index k = component_[listed_[j]];
            Vec log_scale[kGroupVectors], limit[kGroupVectors], squares[kGroupVectors];
            bool is_close = true;
            if (shape_.factor_shape == FactorShape::low_rank) {
                low_rank::squared_distance(group.rows, densities.means() + k * d,
                                           densities.factors() + k * operands_layout_.factor_stride, d,
                                           shape_.n_factors, group.differences, squares);
            } else {
                scales(group, densities, listed_[j], log_scale);
                GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
                    limit[v] = distance_limit(log_scale[v], best_of(0, v));
                    const Vec kept = Vec::broadcast(2) * (log_scale[v] - best_of(task_.n_candidates - 1, v));
                    limit[v] = min(limit[v], fma(max(kept, Vec::broadcast(0)), Vec::broadcast(kRelativeMargin), kept) +
                                                 Vec::broadcast(kRoundingMargin));
                }
                is_close = squared_distance(densities, group, k, limit, squares);
            }
            if (is_close) keep_densities(group, densities, listed_[j], squares);
            if (poll_.is_cancelled(kGroupRows * (d + 1) * (d + shape_.n_factors) / 2)) return;
        }
    }

    void scales(const GroupView& group, const DensityView& densities, Index slot, Vec (&log_scale)[kGroupVectors]) {
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            log_scale[v] = Vec::broadcast(densities.log_scale()[component_[slot]]);
            if (group.prior != nullptr)
                log_scale[v] = log_scale[v] + Vec::load(group.prior + slot * kGroupRows + v * kLanes);
        }
    }

    GAUSSMIX_INLINE void keep_densities(const GroupView& group, const DensityView& densities, Index slot,
                                        const Vec (&squares)[kGroupVectors]) {
        Vec l[kGroupVectors];
        scales(group, densities, slot, l);
        double* out = group.densities + slot * kGroupRows;
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            l[v] = fma(Vec::broadcast(-0.5), min(squares[v], Vec::broadcast(kLargest)), l[v]);
            l[v].store(out + v * kLanes);
        }
        insert(l);
        group.active[slot] = static_cast<unsigned char>(group.active[slot] | group.bit);
    }

    // Writes the candidates that each row keeps, the likeliest first; the others have density 0 there. Of equals, those
    // that are listed first.
    void choose(const GroupView& group, Index first) {
        for (int v = 0; v < kGroupVectors; ++v) {
            const Vec least = best_of(task_.n_candidates - 1, v);
            Vec n_enough = Vec::zero();
            for (Index j = 0; j < n_listed_; ++j) {
                if (!(group.active[listed_[j]] & group.bit)) continue;
                const Vec l = Vec::load(group.densities + listed_[j] * kGroupRows + v * kLanes);
                n_enough = n_enough + select(less(l, least), Vec::zero(), Vec::broadcast(1));
            }
            alignas(64) double n_surplus[kLanes];  // of equals
            (n_enough - Vec::broadcast(static_cast<double>(task_.n_candidates))).store(n_surplus);
            choose_lanes(group, first + v * kLanes, v, n_surplus);
        }
    }

    void choose_lanes(const GroupView& group, Index first, int v, double (&n_surplus)[kLanes]) {
        const Index n_lanes = larger(smaller(Index{kLanes}, rows().n_rows - first), 0);
        const Vec least = best_of(task_.n_candidates - 1, v), most = best_of(0, v), nothing = Vec::broadcast(-__builtin_inf());
        Index count[kLanes] = {};
        std::int32_t* candidates[kLanes] = {};
        for (Index i = 0; i < n_lanes; ++i) candidates[i] = candidates_of(first + i);
        for (Index j = 0; j < n_listed_; ++j) {
            const Index slot = listed_[j];
            if (!(group.active[slot] & group.bit)) continue;
            double* out = group.densities + slot * kGroupRows + v * kLanes;
            const Vec l = Vec::load(out);
            const auto is_less = less(l, least);
            select(is_less, nothing, l).store(out);
            const unsigned equals = bits(equal(l, least)), tops = bits(equal(l, most));
            unsigned chosen = ~bits(is_less) & bits(less(nothing, l)) & ((1u << n_lanes) - 1);
            for (; chosen != 0; chosen &= chosen - 1) {
                const int i = __builtin_ctz(chosen);
                if ((equals >> i & 1) && n_surplus[i] > 0) {
                    n_surplus[i] -= 1;
                    out[i] = -__builtin_inf();
                    continue;
                }
                std::int32_t* own = candidates[i];
                own[count[i]] = component_[slot];
                if (tops >> i & 1) {
                    own[count[i]] = own[0];
                    own[0] = component_[slot];
                }
                ++count[i];
            }
        }
        for (Index i = 0; i < n_lanes; ++i) {
            for (Index c = count[i]; c < task_.n_candidates && count[i] > 0; ++c) candidates[i][c] = -1;
        }
    }

    Index densities_stride() const { return round_up(shape_.n_components, kLanes) * kGroupRows; }

    void add_sums(int n_groups) {
        const TileView tile{scratch_ + layout_.tile.rows,
                            scratch_ + layout_.tile.densities,
                            scratch_ + layout_.tile.row_factor,
                            active_,
                            shape_.n_features,
                            n_slots_,
                            round_up(shape_.n_components, kLanes),
                            n_groups,
                            scratch_ + layout_.tile.differences,
                            scratch_ + layout_.tile.weighted,
                            &poll_,
                            component_};
        add_moments(task_.step.shape, tile, operands_layout_, operands_, sums_layout_, sums_);
        unsigned char* touched = reinterpret_cast<unsigned char*>(sums_ + sums_layout_.touched);
        for (Index s = 0; s < n_slots_; ++s) touched[component_[s]] |= active_[s];
    }

    const TruncatedView& task_;
    Poll poll_;
    const Shape shape_;  // with slots in place of components
    const OperandsLayout operands_layout_;
    const Layout layout_;
    const SumsLayout sums_layout_;
    const double* operands_;
    double* scratch_;
    double* sums_;
    std::int32_t* const slot_;       // [component of all], -1: none
    std::int32_t* const component_;  // [slot]
    std::int32_t* const listed_;     // the slots that the group evaluates
    unsigned char* const wanted_;
    unsigned char* const expanded_;  // as wanted: its neighbours are listed
    unsigned char* const active_;
    const double background_;
    Index n_slots_ = 0, n_listed_ = 0;
};

inline Sizes sizes(const TruncatedView& task) noexcept {
    Sizes all = gaussmix::GAUSSMIX_ISA::sizes(task.step.shape);
    all.scratch = Layout(task).size * static_cast<Index>(sizeof(double));
    return all;
}

inline Index step(const TruncatedView& task, const void* operands, Index first, Index last, Listener listener,
                  void* scratch, double* sums) noexcept {
    Pass pass(task, static_cast<const double*>(operands), listener, static_cast<double*>(scratch), sums);
    while (first < last && pass.add_tile(first, smaller(first + kTileRows, last))) first += kTileRows;
    return smaller(first, last);
}

}  // namespace gaussmix::GAUSSMIX_ISA::truncated
