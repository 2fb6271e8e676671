// Makes one pass of truncated EM over a range of rows. Each row has few candidate components, so that the time hardly
// grows with the number of components. The method is algorithm 1 of Forster & Lücke (2018), "Can clustering scale
// sublinearly with its clusters?", AISTATS.
//
// Rows are processed in bunches of 8 or 24 rows. For each bunch, the pass evaluates the listed components
// (component_list.hpp). Each row keeps the most probable of the evaluated components as its new candidates
// (candidates.hpp), so that the sum of the densities of the row's candidates never decreases. The array `densities`
// holds the exponentials that softmax.hpp computes, in the layout [group][slot][vector][lane]. Only groups in which a
// slot is active have valid values.
#pragma once
#include "candidates.hpp"
#include "component_list.hpp"

namespace gaussmix::GAUSSMIX_ISA::truncated {

class Pass {
public:
    Pass(const TruncatedView& task, const double* operands, Index end, Listener listener, double* scratch, double* sums)
        : task_(task),
          poll_(listener),
          shape_(slots_shape(task)),
          layout_(task),
          sums_layout_(task.step.shape),
          operands_(task.step.shape, operands),
          scratch_(scratch),
          sums_(sums),
          components_(task, operands_, layout_, end, scratch),
          candidates_(task.n_candidates, scratch + layout_.new_candidates),
          active_(reinterpret_cast<unsigned char*>(scratch + layout_.tile.active)),
          noise_(operands[operands_.layout.noise]) {}

    // Processes a tile, and adds its sums to the sums of the pass. Returns false if the pass is cancelled.
    bool add_tile(Index first, Index last) {
        const int n_groups = static_cast<int>((last - first + kGroupRows - 1) / kGroupRows);
        LogLikelihood log_likelihood{true, -__builtin_inf()};
        for (int g = 0; g < n_groups && !poll_.is_cancelled(); ++g)
            assign_group(g, first + g * kGroupRows, log_likelihood);
        sums_[sums_layout_.log_likelihood] += log_likelihood.total();
        sums_[sums_layout_.noise] += log_likelihood.noise_mass();
        if (task_.step.shape.second != Second::none && !poll_.is_cancelled()) add_sums(n_groups);
        const Index n_slots = components_.n_slots();
        components_.clear();
        return !poll_.is_cancelled(kTileRows * kCostOfMoving * n_slots);
    }

private:
    const RowsView& rows() const { return task_.step.rows; }

    // Reads a group of rows, evaluates the components that are listed for each bunch, and chooses the new candidates.
    void assign_group(int g, Index first, LogLikelihood& log_likelihood) {
        double* prior = scratch_ + layout_.tile.prior;
        double* group_rows = scratch_ + layout_.tile.rows + g * shape_.n_features * kGroupRows;
        const GroupView group{group_rows,
                              scratch_ + layout_.tile.densities + g * densities_stride(),
                              scratch_ + layout_.tile.differences,
                              active_,
                              static_cast<unsigned char>(1 << g),
                              {},
                              nullptr,
                              &poll_,
                              task_.step.prior.table == nullptr ? nullptr : prior};
        read_group(rows(), first, group_rows);
        read_row_weight(task_.step.row_weight, rows(), first, scratch_ + layout_.tile.row_factor + g * kGroupRows);
        Prefetch(rows(), first + kGroupRows, 1).fetch_all();
        for (Index i = first + kGroupRows; i < smaller(first + 2 * kGroupRows, rows().n_rows); ++i) {
            __builtin_prefetch(candidates_of(task_, i));
            __builtin_prefetch(candidates_of(task_, i) + task_.n_candidates - 1);  // may be in the next cache line
        }
        const int n_together = operands_.has_records() ? 1 : kGroupVectors;
        for (int v = 0; v < kGroupVectors && first + v * kLanes < rows().n_rows; v += n_together) {
            const Index from = first + v * kLanes, end = smaller(from + n_together * kLanes, rows().n_rows);
            const Bunch bunch{v, v + n_together, 1u << (g * kGroupVectors + v), from, end};
            components_.list(bunch);
            if (group.prior != nullptr) read_prior(first, prior);
            evaluate(group, bunch);
            if (poll_.is_cancelled()) return;
            for (int u = v; u < v + n_together; ++u) assign_vector(g, group, first + u * kLanes, u, log_likelihood);
        }
    }

    // Reads the log prior probabilities of the rows for the listed slots and, in the last place, for the noise
    // component.
    void read_prior(Index first, double* out) {
        const PriorView& prior = task_.step.prior;
        const Elements<double> table{reinterpret_cast<const char*>(prior.table)};
        for (int i = 0; i < kGroupRows; ++i) {
            const Index index = prior_index(prior, row_at(rows(), smaller(first + i, rows().n_rows - 1)));
            const auto known = [&](Index k) {
                const bool is_known = index >= 0 && k < prior.n_columns;
                return is_known ? table[index * prior.row_stride + k * prior.column_stride] : 0.0;
            };
            for (Index j = 0; j < components_.n_listed(); ++j) {
                const Index slot = components_.slot(j);
                out[slot * kGroupRows + i] = known(components_.component(slot));
            }
            out[shape_.n_components * kGroupRows + i] = known(task_.step.shape.n_components);
        }
    }

    // Computes the log densities of the listed components, and chooses the new candidates of the rows.
    void evaluate(const GroupView& group, const Bunch& bunch) {
        candidates_.clear(bunch);
        if (operands_.has_records()) {
            return with_constant(shape_.n_features, [&](auto count) {
                evaluate_vector<decltype(count)::value>(group, bunch.first_vector);
            });
        }
        for (Index j = 0; j < components_.n_listed() && !poll_.is_cancelled(); ++j)
            evaluate_group(group, components_.slot(j), j);
    }

    // Adds a component to the new candidates of a group. The component may be left out if no row would keep it.
    void evaluate_group(const GroupView& group, Index slot, Index n_before) {
        const DensityView densities{task_.step.shape, operands_.layout, operands_.values, true};
        const Index d = shape_.n_features, k = components_.component(slot);
        Vec scales[kGroupVectors], squares[kGroupVectors];
        for (int v = 0; v < kGroupVectors; ++v) scales[v] = with_prior(group, slot, v, densities.log_scale()[k]);
        const auto limit = [&](int v) {
            return min(distance_limit(scales[v], candidates_.largest(v)), candidates_.keeping_limit(scales[v], v));
        };
        if (shape_.factor_shape == FactorShape::low_rank) {
            low_rank::squared_distance(group.rows, densities.means() + k * d,
                                       densities.factors() + k * operands_.layout.factor_stride, d, shape_.n_factors,
                                       group.differences, squares);
        } else if (!gaussmix::GAUSSMIX_ISA::squared_distance(densities, group, k, limit, squares)) {
            return;
        }
        for (int v = 0; v < kGroupVectors; ++v) add_density(slot, v, squares[v], scales[v], n_before);
        poll_.is_cancelled(kGroupRows * (d + 1) * (d + 2 * shape_.n_factors) / 2);
    }

    // Computes the log densities of a vector of rows under the listed components, for D features.
    template <int D>
    void evaluate_vector(const GroupView& group, int v) {
        for (Index j = 0; j < components_.n_listed(); ++j) {
            const Index slot = components_.slot(j);
            const double* record = operands_.record(components_.component(slot));
            const double* mean = record + operands_.record_layout.mean;
            const Vec squares = squared_distance<D>(group.rows + v * kLanes, mean, record);
            add_density(slot, v, squares, with_prior(group, slot, v, record[operands_.record_layout.log_scale]), j);
        }
        poll_.is_cancelled(kLanes * components_.n_listed() * (D + 1) * D / 2);
    }

    // Computes |W (x - mean)|^2 of a vector of rows. The results and the results of panels::whiten_panel are
    // bit-identical.
    template <int D>
    GAUSSMIX_INLINE static Vec squared_distance(const double* rows, const double* mean, const double* triangle) {
        Vec z[D];
        GAUSSMIX_UNROLL for (int r = 0; r < D; ++r) z[r] = Vec::zero();
        GAUSSMIX_UNROLL for (int i = 0; i < D; ++i) {
            const Vec u = Vec::load(rows + i * kGroupRows) - Vec::broadcast(mean[i]);
            GAUSSMIX_UNROLL for (int r = i; r < D; ++r) z[r] =
                fma(Vec::broadcast(triangle[panels::triangle_column(D, i) + r - i]), u, z[r]);
        }
        Vec squares = Vec::zero();
        GAUSSMIX_UNROLL for (int r = 0; r < D; ++r) squares = fma(z[r], z[r], squares);
        return squares;
    }

    // Returns the log scale of a component plus the log prior probabilities of a vector of rows, if there are any.
    GAUSSMIX_INLINE Vec with_prior(const GroupView& group, Index slot, int v, double log_scale) {
        const Vec scale = Vec::broadcast(log_scale);
        return group.prior == nullptr ? scale : scale + Vec::load(group.prior + slot * kGroupRows + v * kLanes);
    }

    GAUSSMIX_INLINE void add_density(Index slot, int v, Vec squares, Vec log_scale, Index n_before) {
        candidates_.add(fma(Vec::broadcast(-0.5), min(squares, Vec::broadcast(kLargest)), log_scale), slot, v,
                        n_before);
    }

    // Computes the exponentials of the new candidates for a vector of rows, in the same way as `soft_assign` and
    // `hard_assign` (softmax.hpp), but in the order of the candidates. If several components have equal densities, the
    // hard rule chooses the first of them.
    void assign_vector(int g, const GroupView& group, Index first, int v, LogLikelihood& log_likelihood) {
        const bool is_hard = shape_.rule == Rule::hard, has_noise = noise_ > -__builtin_inf();
        const Vec cut = Vec::broadcast(-kNegligible);
        Vec best = candidates_.largest(v), noise = Vec::broadcast(noise_);
        if (has_noise) {
            if (group.prior != nullptr)
                noise = noise + Vec::load(group.prior + shape_.n_components * kGroupRows + v * kLanes);
            best = max(best, noise);
        }
        // `left` is 1 in lanes whose row the hard rule has not assigned yet; the soft rule does not use it.
        Vec sum = Vec::zero(), left = Vec::broadcast(1);
        for (Index i = 0; i < task_.n_candidates; ++i) {
            const Vec gap = candidates_.log_density(i, v) - best;
            const Vec value = is_hard ? keep(equal(gap, Vec::zero()), left) : keep(less(cut, gap), exp_normal(gap));
            sum = sum + value, left = left - value;
            candidates_.set_exponentials(i, v, value);
        }
        write_candidates(group, first, v);
        double* factor = scratch_ + layout_.tile.row_factor + g * kGroupRows + v * kLanes;
        const Vec weight = Vec::load(factor), gap = noise - best;
        const Vec noise_exponential = is_hard ? left : keep(less(cut, gap), exp_normal(gap));
        if (is_hard) {
            log_likelihood.add(weight, best);
        } else {
            if (has_noise) sum = sum + noise_exponential;
            log_likelihood.add(weight, best, sum);
        }
        // With the hard rule, `sum` is 1, or 0 if the row belongs to the noise component.
        const Vec scaled = weight / max(sum, Vec::broadcast(1));
        scaled.store(factor);
        if (has_noise) log_likelihood.noise = log_likelihood.noise + scaled * noise_exponential;
    }

    // Writes the new candidates of a vector of rows, and the exponentials of these candidates, whose slots become
    // active in the group. A row without any new candidate keeps its old candidates.
    void write_candidates(const GroupView& group, Index first, int v) {
        for (Index lane = 0; lane < smaller(Index{kLanes}, rows().n_rows - first); ++lane) {
            if (candidates_.slot(0, v, lane) < 0) continue;
            std::int32_t* own = candidates_of(task_, first + lane);
            for (Index i = 0; i < task_.n_candidates; ++i) {
                const Index slot = candidates_.slot(i, v, lane);
                own[i] = slot < 0 ? -1 : static_cast<std::int32_t>(components_.component(slot));
                const double exponential = candidates_.exponential(i, v, lane);
                if (exponential == 0) continue;
                double* slot_densities = group.densities + slot * kGroupRows;
                if (!(active_[slot] & group.bit)) {  // the first row of the group that belongs to the component
                    for (int u = 0; u < kGroupVectors; ++u) Vec::zero().store(slot_densities + u * kLanes);
                    active_[slot] = static_cast<unsigned char>(active_[slot] | group.bit);
                }
                slot_densities[v * kLanes + lane] = exponential;
            }
        }
    }

    Index densities_stride() const { return round_up(shape_.n_components, kLanes) * kGroupRows; }

    // Adds the moments of a tile to the sums of the pass, and marks the components that have rows in the tile.
    void add_sums(int n_groups) {
        const Index n_slots = components_.n_slots();
        const TileView tile{scratch_ + layout_.tile.rows,
                            scratch_ + layout_.tile.densities,
                            scratch_ + layout_.tile.row_factor,
                            active_,
                            shape_.n_features,
                            n_slots,
                            round_up(shape_.n_components, kLanes),
                            n_groups,
                            scratch_ + layout_.tile.differences,
                            scratch_ + layout_.tile.weighted,
                            &poll_,
                            components_.components()};
        if (operands_.has_records() && is_fixed(task_.step.shape)) {
            const RecordLayout& record = operands_.record_layout;
            fixed::add_moments(tile, operands_.records + record.anchor, record.stride, sums_ + sums_layout_.moments);
        } else {
            add_moments(task_.step.shape, tile, operands_.layout, operands_.values, sums_layout_, sums_);
        }
        unsigned char* touched = reinterpret_cast<unsigned char*>(sums_ + sums_layout_.touched);
        for (Index s = 0; s < n_slots; ++s) touched[components_.component(s)] |= active_[s];
    }

    const TruncatedView& task_;
    Poll poll_;
    const Shape shape_;  // shape of a tile, in which slots replace components
    const Layout layout_;
    const SumsLayout sums_layout_;
    const Operands operands_;
    double* scratch_;
    double* sums_;
    ComponentList components_;
    NewCandidates candidates_;
    unsigned char* const active_;
    const double noise_;
};

inline Index step(const TruncatedView& task, const void* operands, Index first, Index last, Listener listener,
                  void* scratch, double* sums) noexcept {
    Pass pass(task, static_cast<const double*>(operands), last, listener, static_cast<double*>(scratch), sums);
    while (first < last && pass.add_tile(first, smaller(first + kTileRows, last))) first += kTileRows;
    return smaller(first, last);
}

}  // namespace gaussmix::GAUSSMIX_ISA::truncated
