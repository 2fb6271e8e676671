// Makes one pass of truncated EM over a range of rows. Each row has few candidate components, so that the time hardly
// grows with the number of components. The method is algorithm 1 of Forster & Lücke (2018), "Can clustering scale
// sublinearly with its clusters?", AISTATS.
//
// Rows are processed in bunches of 8 or 24 rows. For each bunch, the pass evaluates the candidate components of the
// rows, some neighbours of the most probable candidates, some neighbours of randomly drawn candidates, and one random
// component. Each row keeps the most probable of the evaluated components as its new candidates, so that the sum of the
// densities of the row's candidates never decreases. Each component that is evaluated in a tile gets a *slot*, a number
// that replaces the index of the component in the arrays of the tile: `densities` has the layout
// [group][slot][vector][lane].
#pragma once
#include "step.hpp"

namespace gaussmix::GAUSSMIX_ISA::truncated {

// Returns the largest number of components that a tile can evaluate: for each row, its candidates and the neighbours
// that are tried, and one random component per bunch.
inline Index max_slots(const TruncatedView& task) {
    const Index of_row = task.n_candidates + task.n_expanded * task.n_tried + task.n_drawn;
    return smaller(task.step.shape.n_components, kTileRows * of_row + kTileRows / kLanes);
}

inline Shape slots_shape(const TruncatedView& task) {
    Shape shape = task.step.shape;
    shape.n_components = max_slots(task);
    return shape;
}

// With few features and triangular factors, the parameters of a component are also stored together in a *record*: the
// triangle of the factor, the mean, the log scale and, if fixed.hpp sums the moments, the anchor. Most components are not
// in the cache, and a record of three features takes two cache lines, while separate arrays take up to six. The records
// follow the other operands.
struct RecordLayout {
    Index mean, log_scale, anchor;

    explicit constexpr RecordLayout(Index n_features)
        : mean(n_features * (n_features + 1) / 2), log_scale(mean + n_features), anchor(log_scale + 1) {}
};

// Returns the number of doubles in a record, or 0 if there are no records.
inline Index record_stride(const Shape& shape) {
    if (shape.factor_shape != FactorShape::triangular || shape.n_features > kPanelRows) return 0;
    return round_up(RecordLayout(shape.n_features).anchor + (is_fixed(shape) ? shape.n_features : 0), kLanes);
}

struct Layout {
    ScratchLayout tile;
    Index slot, component, listed, wanted, expanded, best, size;

    explicit Layout(const TruncatedView& task) : tile(slots_shape(task)) {
        const Index n_slots = max_slots(task);
        Carver carver;
        carver.take(tile.size);
        // The arrays are twice as large as necessary: the carver counts doubles, but the arrays hold 4-byte integers.
        slot = carver.take(task.step.shape.n_components);
        component = carver.take(n_slots);
        listed = carver.take(n_slots);
        wanted = carver.take(n_slots);
        expanded = carver.take(n_slots);
        best = carver.take(task.n_candidates * kGroupRows);
        size = carver.size();
    }
};

// Returns pseudorandom bits that depend only on x. The formula is in figure 15 of Steele, Lea & Flood (2014), "Fast
// splittable pseudorandom number generators".
inline std::uint64_t mixed(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

class Pass {
public:
    Pass(const TruncatedView& task, const double* operands, Index end, Listener listener, double* scratch, double* sums)
        : task_(task),
          end_(end),
          poll_(listener),
          shape_(slots_shape(task)),
          operands_layout_(task.step.shape),
          record_stride_(record_stride(task.step.shape)),
          layout_(task),
          sums_layout_(task.step.shape, moments_size(task.step.shape)),
          operands_(operands),
          records_(operands + operands_layout_.size),
          scratch_(scratch),
          sums_(sums),
          slot_(reinterpret_cast<std::int32_t*>(scratch + layout_.slot)),
          component_(reinterpret_cast<std::int32_t*>(scratch + layout_.component)),
          listed_(reinterpret_cast<std::int32_t*>(scratch + layout_.listed)),
          wanted_(reinterpret_cast<std::uint32_t*>(scratch + layout_.wanted)),
          expanded_(reinterpret_cast<std::uint32_t*>(scratch + layout_.expanded)),
          active_(reinterpret_cast<unsigned char*>(scratch + layout_.tile.active)),
          noise_(operands[operands_layout_.noise]),
          first_turn_(task.n_neighbours == 0 ? 0
                                             : static_cast<Index>(task.key * static_cast<std::uint64_t>(task.n_tried) %
                                                                  static_cast<std::uint64_t>(task.n_neighbours))) {
        for (Index k = 0; k < task.step.shape.n_components; ++k) slot_[k] = -1;
    }

    // Processes a tile, and adds its sums to the sums of the pass. Returns false if the pass is cancelled.
    bool add_tile(Index first, Index last) {
        const int n_groups = static_cast<int>((last - first + kGroupRows - 1) / kGroupRows);
        LogLikelihood log_likelihood{true, -__builtin_inf()};
        n_slots_ = 0;
        for (int g = 0; g < n_groups && !poll_.is_cancelled(); ++g)
            assign_group(g, first + g * kGroupRows, log_likelihood);
        sums_[sums_layout_.log_likelihood] += log_likelihood.total();
        sums_[sums_layout_.noise] += log_likelihood.noise_mass();
        if (task_.step.shape.second != Second::none && !poll_.is_cancelled()) add_sums(n_groups);
        for (Index s = 0; s < n_slots_; ++s) slot_[component_[s]] = -1;
        return !poll_.is_cancelled(kTileRows * kCostOfMoving * n_slots_);
    }

private:
    // A bunch of rows, for which the same components are evaluated. A bunch is one vector of a group (8 rows) or all
    // three vectors (24 rows). With few features and triangular factors, a bunch is one vector. Whitening three vectors
    // together would save some time, but more time would be lost by evaluating components for rows that do not need
    // these components.
    struct Bunch {
        int first_vector, end_vector;
        unsigned bit;  // bit of this bunch in `wanted_`
        Index first, end;
    };

    const RowsView& rows() const { return task_.step.rows; }
    std::int32_t* candidates_of(Index position) {
        return task_.candidates + row_at(rows(), position) * task_.n_candidates;
    }
    bool has_records() const { return record_stride_ > 0; }

    // Must be inlined, because gcc 12 removes calls of a function that only prefetches and therefore has no effect.
    GAUSSMIX_INLINE void prefetch_parameters(Index k) const {
        if (has_records()) {
            for (Index i = 0; i < record_stride_; i += kLanes) __builtin_prefetch(records_ + k * record_stride_ + i);
        } else {
            __builtin_prefetch(operands_ + operands_layout_.log_scale + k);
            __builtin_prefetch(operands_ + operands_layout_.means + k * shape_.n_features);
            __builtin_prefetch(operands_ + operands_layout_.factors + k * operands_layout_.factor_stride);
        }
    }

    void want(Index k, unsigned bit) {
        std::int32_t& slot = slot_[k];
        if (slot < 0) {
            slot = static_cast<std::int32_t>(n_slots_++);
            component_[slot] = static_cast<std::int32_t>(k);
            wanted_[slot] = expanded_[slot] = 0;
            active_[slot] = 0;
            prefetch_parameters(k);
        }
        if (wanted_[slot] & bit) return;
        wanted_[slot] |= bit;
        listed_[n_listed_++] = slot;
    }

    void want_neighbours(Index k, unsigned bit) {
        std::uint32_t& expanded = expanded_[slot_[k]];
        if (expanded & bit) return;
        expanded |= bit;
        const std::int32_t* near = task_.neighbours + k * task_.n_neighbours;
        Index turn = first_turn_;
        for (Index j = 0; j < task_.n_tried; ++j) {
            if (near[turn] >= 0) want(near[turn], bit);
            turn = turn + 1 < task_.n_neighbours ? turn + 1 : 0;
        }
    }

    // Returns random bits for the pass and the number of a row or bunch.
    std::uint64_t random_bits(Index number) const {
        return mixed(mixed(task_.key) + (static_cast<std::uint64_t>(number) + 1) * 0x9e3779b97f4a7c15);
    }

    // Lists one of the neighbours of one of the candidates of a row.
    void want_drawn(const std::int32_t* own, std::uint64_t drawn, unsigned bit) {
        const std::int32_t k = own[drawn % static_cast<std::uint64_t>(task_.n_candidates)];
        const auto n_neighbours = static_cast<std::uint64_t>(task_.n_neighbours);
        const auto j = static_cast<Index>((drawn >> 32) % n_neighbours);
        const std::int32_t near = k < 0 ? k : task_.neighbours[k * task_.n_neighbours + j];
        if (near >= 0) want(near, bit);
    }

    // Lists the slots of the components that are evaluated for a bunch, beginning with the candidates of the rows.
    void list_components(const Bunch& bunch) {
        n_listed_ = 0;
        for (Index i = bunch.first; i < bunch.end; ++i) {
            const std::int32_t* own = candidates_of(i);
            for (Index c = 0; c < task_.n_candidates && own[c] >= 0; ++c) want(own[c], bunch.bit);
        }
        // Neighbours are prefetched for the next bunch, because for this bunch they would arrive too late. Rows after
        // the span are left out, because another thread may be writing their candidates.
        for (Index i = bunch.end; i < smaller(2 * bunch.end - bunch.first, end_); ++i) {
            const std::int32_t best = candidates_of(i)[0];
            if (best >= 0) __builtin_prefetch(task_.neighbours + best * task_.n_neighbours + first_turn_);
        }
        for (Index i = bunch.first; i < bunch.end; ++i) {
            const std::int32_t* own = candidates_of(i);
            for (Index c = 0; c < task_.n_expanded && own[c] >= 0; ++c) want_neighbours(own[c], bunch.bit);
        }
        for (Index i = bunch.first; i < bunch.end && task_.n_drawn > 0; ++i) {
            std::uint64_t drawn = random_bits(task_.first_row + row_at(rows(), i));
            for (Index j = 0; j < task_.n_drawn; ++j, drawn = mixed(drawn + 1))
                want_drawn(candidates_of(i), drawn, bunch.bit);
        }
        const std::uint64_t drawn = random_bits((task_.first_row + bunch.first) / kLanes);
        want(static_cast<Index>(drawn % static_cast<std::uint64_t>(task_.step.shape.n_components)), bunch.bit);
    }

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
            __builtin_prefetch(candidates_of(i));
            __builtin_prefetch(candidates_of(i) + task_.n_candidates - 1);  // may be in the next cache line
        }
        const int n_together = has_records() ? 1 : kGroupVectors;
        for (int v = 0; v < kGroupVectors && first + v * kLanes < rows().n_rows; v += n_together) {
            const Index from = first + v * kLanes, end = smaller(from + n_together * kLanes, rows().n_rows);
            const Bunch bunch{v, v + n_together, 1u << (g * kGroupVectors + v), from, end};
            list_components(bunch);
            if (group.prior != nullptr) read_prior(first, prior);
            evaluate(group, bunch);
            if (poll_.is_cancelled()) return;
            for (int u = v; u < v + n_together; ++u) assign_vector(g, group, first + u * kLanes, u, log_likelihood);
        }
        if (n_together == kGroupVectors) return;
        // Sets the densities under components that a bunch has not evaluated to zero, because moments are summed over
        // whole groups.
        for (Index slot = 0; slot < n_slots_; ++slot) {
            for (int v = 0; v < kGroupVectors && (active_[slot] & group.bit); ++v) {
                if (wanted_[slot] >> (g * kGroupVectors + v) & 1) continue;
                Vec::zero().store(group.densities + slot * kGroupRows + v * kLanes);
            }
        }
    }

    // Reads the log prior probabilities of the rows for the listed slots and, in the last place, for the noise
    // component.
    void read_prior(Index first, double* out) {
        const PriorView& prior = task_.step.prior;
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
    }

    // Returns a pointer to the i-th largest log density so far (i = 0 for the largest) of each row of vector v.
    double* best_at(Index i, int v) { return scratch_ + layout_.best + i * kGroupRows + v * kLanes; }
    Vec best_of(Index i, int v) { return Vec::load(best_at(i, v)); }

    // Computes the log densities of the listed components, and removes from the list the components that no row will
    // keep as a candidate.
    void evaluate(const GroupView& group, const Bunch& bunch) {
        for (Index i = 0; i < task_.n_candidates; ++i) {
            for (int v = bunch.first_vector; v < bunch.end_vector; ++v)
                Vec::broadcast(-__builtin_inf()).store(best_at(i, v));
        }
        if (has_records()) {
            return with_constant(shape_.n_features, [&](auto count) {
                evaluate_vector<decltype(count)::value>(group, bunch.first_vector);
            });
        }
        const DensityView densities{task_.step.shape, operands_layout_, operands_, true};
        const Index d = shape_.n_features, n_listed = n_listed_;
        n_listed_ = 0;
        for (Index j = 0; j < n_listed && !poll_.is_cancelled(); ++j) {
            const Index slot = listed_[j], k = component_[slot];
            Vec scales[kGroupVectors], limit[kGroupVectors], squares[kGroupVectors];
            for (int v = 0; v < kGroupVectors; ++v) {
                scales[v] = with_prior(group, slot, v, densities.log_scale()[k]);
                limit[v] = min(distance_limit(scales[v], best_of(0, v)), keeping_limit(scales[v], v));
            }
            if (shape_.factor_shape == FactorShape::low_rank) {
                low_rank::squared_distance(group.rows, densities.means() + k * d,
                                           densities.factors() + k * operands_layout_.factor_stride, d,
                                           shape_.n_factors, group.differences, squares);
            } else if (!gaussmix::GAUSSMIX_ISA::squared_distance(densities, group, k, limit, squares)) {
                continue;
            }
            listed_[n_listed_++] = static_cast<std::int32_t>(slot);
            for (int v = 0; v < kGroupVectors; ++v) keep_density(group, slot, v, squares[v], scales[v]);
            poll_.is_cancelled(kGroupRows * (d + 1) * (d + 2 * shape_.n_factors) / 2);
        }
    }

    template <int D>
    void evaluate_vector(const GroupView& group, int v) {
        constexpr RecordLayout layout(D);
        for (Index j = 0; j < n_listed_; ++j) {
            const Index slot = listed_[j];
            const double* record = records_ + component_[slot] * record_stride_;
            const Vec squares = squared_distance<D>(group.rows + v * kLanes, record + layout.mean, record);
            keep_density(group, slot, v, squares, with_prior(group, slot, v, record[layout.log_scale]));
        }
        poll_.is_cancelled(kLanes * n_listed_ * (D + 1) * D / 2);
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

    // Returns the squared distance above which a row does not keep a component as a candidate.
    Vec keeping_limit(Vec log_scale, int v) {
        const Vec twice = Vec::broadcast(2) * (log_scale - best_of(task_.n_candidates - 1, v));
        return fma(max(twice, Vec::zero()), Vec::broadcast(kRelativeMargin), twice) + Vec::broadcast(kRoundingMargin);
    }

    // Returns the log scale of a component plus the log prior probabilities of a vector of rows, if there are any.
    GAUSSMIX_INLINE Vec with_prior(const GroupView& group, Index slot, int v, double log_scale) {
        const Vec scale = Vec::broadcast(log_scale);
        return group.prior == nullptr ? scale : scale + Vec::load(group.prior + slot * kGroupRows + v * kLanes);
    }

    GAUSSMIX_INLINE void keep_density(const GroupView& group, Index slot, int v, Vec squares, Vec log_scale) {
        Vec l = fma(Vec::broadcast(-0.5), min(squares, Vec::broadcast(kLargest)), log_scale);
        l.store(group.densities + slot * kGroupRows + v * kLanes);
        if (!any(less(best_of(task_.n_candidates - 1, v), l))) return;
        for (Index i = 0; i < task_.n_candidates; ++i) {
            const Vec other = best_of(i, v);
            max(l, other).store(best_at(i, v));
            l = min(l, other);
        }
    }

    struct NewCandidates {   // the most probable of the listed components, for each row of a vector
        Vec largest, least;  // largest log density of each row, and the smallest log density of a candidate
        // If several components tie for the last place among the candidates, `n_surplus` of these components must be
        // dropped.
        alignas(64) double n_surplus[kLanes];
        Index n_lanes;                // number of lanes that hold a row
        std::int32_t* lists[kLanes];  // where the candidates of each row are written
        Index count[kLanes] = {};     // number of candidates that each row has so far
    };

    GAUSSMIX_INLINE void begin_candidates(const GroupView& group, Index first, int v, NewCandidates& to) {
        to.largest = best_of(0, v), to.least = best_of(task_.n_candidates - 1, v);
        Vec n_enough = Vec::zero();
        for (Index j = 0; j < n_listed_; ++j) {
            const Vec l = Vec::load(group.densities + listed_[j] * kGroupRows + v * kLanes);
            n_enough = n_enough + select(less(l, to.least), Vec::zero(), Vec::broadcast(1));
        }
        (n_enough - Vec::broadcast(static_cast<double>(task_.n_candidates))).store(to.n_surplus);
        to.n_lanes = larger(smaller(Index{kLanes}, rows().n_rows - first), 0);
        for (Index i = 0; i < to.n_lanes; ++i) to.lists[i] = candidates_of(first + i);
    }

    // Adds the component of a slot to the candidates of the rows for which the component is probable enough. The most
    // probable candidate comes first. If several components have equal densities, the components that come last in the
    // list are kept. Sets the log densities `l` of all other rows to minus infinity. Returns false if no row keeps the
    // component.
    GAUSSMIX_INLINE bool add_candidate(NewCandidates& to, Index slot, double* l) {
        const Vec nothing = Vec::broadcast(-__builtin_inf()), density = Vec::load(l);
        const auto is_less = less(density, to.least);
        unsigned chosen = ~bits(is_less) & bits(less(nothing, density)) & ((1u << to.n_lanes) - 1);
        select(is_less, nothing, density).store(l);
        if (chosen == 0) return false;
        const unsigned surplus =
            chosen & bits(equal(density, to.least)) & bits(less(Vec::zero(), Vec::load(to.n_surplus)));
        for (unsigned dropped = surplus; dropped != 0; dropped &= dropped - 1) {
            const int i = __builtin_ctz(dropped);
            to.n_surplus[i] -= 1;
            l[i] = -__builtin_inf();
        }
        chosen &= ~surplus;
        unsigned tops = chosen & bits(equal(density, to.largest));
        for (; chosen != 0; chosen &= chosen - 1) {
            const int i = __builtin_ctz(chosen);
            to.lists[i][to.count[i]++] = component_[slot];
        }
        for (; tops != 0; tops &= tops - 1) {
            const int i = __builtin_ctz(tops);
            to.lists[i][to.count[i] - 1] = to.lists[i][0];
            to.lists[i][0] = component_[slot];
        }
        return true;
    }

    // Computes the responsibilities of the new candidates for a vector of rows, in the same way as `soft` and `hard`
    // (softmax.hpp).
    void assign_vector(int g, const GroupView& group, Index first, int v, LogLikelihood& log_likelihood) {
        const bool is_hard = shape_.rule == Rule::hard, has_noise = noise_ > -__builtin_inf();
        const Vec cut = Vec::broadcast(-kNegligible);
        NewCandidates chosen;
        begin_candidates(group, first, v, chosen);
        Vec best = chosen.largest, noise = Vec::broadcast(noise_);
        if (has_noise) {
            if (group.prior != nullptr)
                noise = noise + Vec::load(group.prior + shape_.n_components * kGroupRows + v * kLanes);
            best = max(best, noise);
        }
        Vec sum = Vec::zero(), left = Vec::broadcast(1);
        for (Index j = 0; j < n_listed_; ++j) {
            const Index slot = listed_[j];
            double* out = group.densities + slot * kGroupRows + v * kLanes;
            if (!add_candidate(chosen, slot, out)) {
                Vec::zero().store(out);
                continue;
            }
            const Vec gap = Vec::load(out) - best;
            const Vec value = is_hard ? keep(equal(gap, Vec::zero()), left) : keep(less(cut, gap), exp_normal(gap));
            value.store(out);
            sum = sum + value, left = left - value;
            if (any(less(Vec::zero(), value))) active_[slot] = static_cast<unsigned char>(active_[slot] | group.bit);
        }
        for (Index i = 0; i < chosen.n_lanes; ++i) {
            for (Index c = chosen.count[i]; c < task_.n_candidates && chosen.count[i] > 0; ++c) chosen.lists[i][c] = -1;
        }
        double* factor = scratch_ + layout_.tile.row_factor + g * kGroupRows + v * kLanes;
        const Vec weight = Vec::load(factor), gap = noise - best;
        const Vec of_noise = is_hard ? left : keep(less(cut, gap), exp_normal(gap));
        if (is_hard) {
            log_likelihood.add(weight, best);
            sum = Vec::broadcast(1);
        } else {
            if (has_noise) sum = sum + of_noise;
            log_likelihood.add(weight, best, sum);
        }
        const Vec scaled = weight / max(sum, Vec::broadcast(1));
        scaled.store(factor);
        if (has_noise) log_likelihood.noise = log_likelihood.noise + scaled * of_noise;
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
        if (has_records() && is_fixed(task_.step.shape)) {
            const double* anchors = records_ + RecordLayout(shape_.n_features).anchor;
            fixed::add_moments(tile, anchors, record_stride_, sums_ + sums_layout_.moments);
        } else {
            add_moments(task_.step.shape, tile, operands_layout_, operands_, sums_layout_, sums_);
        }
        unsigned char* touched = reinterpret_cast<unsigned char*>(sums_ + sums_layout_.touched);
        for (Index s = 0; s < n_slots_; ++s) touched[component_[s]] |= active_[s];
    }

    const TruncatedView& task_;
    const Index end_;  // position after the last row of the span
    Poll poll_;
    const Shape shape_;  // shape of a tile, in which slots replace components
    const OperandsLayout operands_layout_;
    const Index record_stride_;  // 0 if there are no records
    const Layout layout_;
    const SumsLayout sums_layout_;
    const double* operands_;
    const double* records_;
    double* scratch_;
    double* sums_;
    std::int32_t* const slot_;       // slot of each component, or -1 if the component has no slot
    std::int32_t* const component_;  // component of each slot
    std::int32_t* const listed_;     // slots of the components that are evaluated for the current bunch
    // for each slot, one bit per bunch (the bit of the bunch's first vector): whether the component is listed
    std::uint32_t* const wanted_;
    // for each slot, with the same bits as `wanted_`: whether the neighbours of the component are listed
    std::uint32_t* const expanded_;
    unsigned char* const active_;
    const double noise_;
    const Index first_turn_;  // position of the first neighbour of each list that the pass tries
    Index n_slots_ = 0, n_listed_ = 0;
};

inline Sizes sizes(const TruncatedView& task) noexcept {
    Sizes all = gaussmix::GAUSSMIX_ISA::sizes(task.step.shape);
    all.operands += task.step.shape.n_components * record_stride(task.step.shape) * static_cast<Index>(sizeof(double));
    all.scratch = Layout(task).size * static_cast<Index>(sizeof(double));
    return all;
}

// Packs parameters as for other steps, and then copies them into records. The factors are not shared.
inline void pack(const TruncatedView& task, const ParametersView& parameters, void* operands) noexcept {
    const Shape& shape = task.step.shape;
    gaussmix::GAUSSMIX_ISA::pack(shape, parameters, operands);
    const OperandsLayout from(shape);
    const RecordLayout to(shape.n_features);
    const Index stride = record_stride(shape);
    if (stride == 0) return;
    double* packed = static_cast<double*>(operands);
    for (Index k = 0, d = shape.n_features; k < shape.n_components; ++k) {
        double* record = packed + from.size + k * stride;
        copy(packed + from.factors + k * from.factor_stride, to.mean, record);
        copy(packed + from.means + k * d, d, record + to.mean);
        record[to.log_scale] = packed[from.log_scale + k];
        if (is_fixed(shape)) copy(packed + from.anchor + k * d, d, record + to.anchor);
    }
}

inline Index step(const TruncatedView& task, const void* operands, Index first, Index last, Listener listener,
                  void* scratch, double* sums) noexcept {
    Pass pass(task, static_cast<const double*>(operands), last, listener, static_cast<double*>(scratch), sums);
    while (first < last && pass.add_tile(first, smaller(first + kTileRows, last))) first += kTileRows;
    return smaller(first, last);
}

}  // namespace gaussmix::GAUSSMIX_ISA::truncated
