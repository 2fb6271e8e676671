// Sums products of the scores of rows, which the information matrix of a mixture needs: sum s S S', and sum s g c c'
// for each component. The scores of a row with respect to a component are c = (z, products of elements of z, 1), where
// z = W (x - mean). In the sums over rows, g is the component's responsibility for the row, s is the row's weight, and
// the vector S holds g c of all components. If S has n_all values and c has n_own values, the cost is n_all^2 / 2 + K
// n_own^2 / 2 FMAs per row for K components.
//
// The scores are stored in panels of four values, in the layout [panel][vector][value][lane] of scatter.hpp, whose
// register tiles multiply the panels. The panels of c hold z and the products of the elements of z; the number 1 has a
// separate panel. The panels of S hold, for each component, g times z and g times the products, followed by the g of
// all components. With a shared covariance, the panels of S hold g z of each component, then the sums over components
// of g times the products, and then the g of all components. The sums for S are stored before the sums for each
// component. Each pair of panels has one 4 x 4 block, whose rows belong to the later panel.
#pragma once
#include "step.hpp"

namespace gaussmix::GAUSSMIX_ISA::scores {

using scatter::kPanelSize;
using scatter::kSide;
static_assert(kSide == kPanelValues);

constexpr double kRootHalf = 0.70710678118654752440;
// number of panels that stay in the L1 cache while they are multiplied by all other panels
constexpr Index kTogether = 4;

constexpr Index products_size(Index n_panels) { return n_panels * (n_panels + 1) / 2 * kSide * kSide; }
constexpr Index panel_offset(Index i) { return i / kSide * kPanelSize + i % kSide * kLanes; }

struct Layout {
    Index component_sums, sums_size;  // in the result: the sums for S come first, at index 0
    // In the scratch memory, `own` holds the panels of c of one component, and `all` holds the panels of S.
    Index step, step_sums, own, all, weighted, row_weight, responsibilities, masks, size;

    explicit Layout(const ScoresView& task) {
        const Shape& shape = task.step.shape;
        component_sums = products_size(task.n_all);
        sums_size = component_sums + shape.n_components * products_size(task.n_own);
        Carver carver;
        step = carver.take(ScratchLayout(shape).size);
        step_sums = carver.take(SumsLayout(shape).size);
        own = carver.take(task.n_own * kPanelSize);
        all = carver.take(task.n_all * kPanelSize);
        weighted = carver.take(kTogether * kPanelSize);
        row_weight = carver.take(kTileRows);
        responsibilities = carver.take(kTileRows);
        masks = carver.take(task.n_all + task.n_own);  // holds one byte per panel
        size = carver.size();
    }
};

// Multiplies the values u of one panel by the factors r, in the groups whose bits are set in `mask`.
inline void weigh(const double* panel, unsigned char mask, const double* r, double* weighted) {
    const ActiveGroups& groups = active_groups(mask);
    for (int i = 0; i < groups.count; ++i) {
        for (int v = 0; v < kGroupVectors; ++v) {
            const Index n = groups.index[i] * kGroupVectors + v;
            const Vec factor = Vec::load(r + n * kLanes);
            GAUSSMIX_UNROLL for (int j = 0; j < kSide; ++j) {
                const Index index = (n * kSide + j) * kLanes;
                (factor * Vec::load(panel + index)).store(weighted + index);
            }
        }
    }
}

// Adds the sums of r u_a u_b' over the rows, for all pairs of panels u_a and u_b, to `sums`. The bits of masks[a] are
// set for the groups in which panel u_a is not zero; other groups are not read.
inline void add_products(const double* panels, const unsigned char* masks, Index n_panels, const double* r,
                         double* weighted, Poll& poll, double* sums) {
    for (Index a = 0; a < n_panels; a += kTogether) {
        const Index end = smaller(a + kTogether, n_panels);
        for (Index i = a; i < end; ++i) weigh(panels + i * kPanelSize, masks[i], r, weighted + (i - a) * kPanelSize);
        for (Index b = 0; b < end; ++b) {
            // panel that `add_block` prefetches, because it is multiplied next
            const double* next = panels + (b + 1 < end ? b + 1 : 0) * kPanelSize;
            for (Index i = larger(a, b); i < end; ++i) {
                for (unsigned common = masks[i] & masks[b]; common != 0;) {  // loops over runs of groups in both masks
                    const int first = __builtin_ctz(common), count = __builtin_ctz(~(common >> first));
                    common &= ~(((1u << count) - 1) << first);
                    const Index index = first * kGroupVectors * kSide * kLanes;
                    scatter::add_block<kSide>(weighted + (i - a) * kPanelSize + index, panels + b * kPanelSize + index,
                                              next + index, count * kGroupVectors,
                                              sums + products_size(i) + b * kSide * kSide);
                }
            }
        }
        if (poll.is_cancelled(kTileRows * kSide * kSide * (end - a) * end)) return;
    }
}

// Writes the scores of the rows of one tile at a time, and sums their products.
class Scores {
public:
    Scores(const ScoresView& task, const Layout& layout, double* scratch, Poll& poll)
        : task_(task),
          shape_(task.step.shape),
          layout_(layout),
          in_tile_(shape_),
          scratch_(scratch),
          tile_(scratch + layout.step),
          poll_(poll) {
        clear(layout.own, 0, task.n_own);
        clear(layout.all, 0, task.n_all);
        for (int n = 0; n < kTileRows / kLanes; ++n) {  // writes the last element of c, which is always 1
            Vec::broadcast(1).store(scratch + layout.own + (task.n_own - 1) * kPanelSize + n * kSide * kLanes);
        }
    }

    // Adds the products of one tile. The preceding E-step must have written the responsibilities of the tile to the
    // scratch memory.
    void add_tile(Index first, Index last, double* sums) {
        for (Index row = first; row < last; row += kGroupRows) {
            read_row_weight(task_.step.row_weight, task_.step.rows, row, scratch_ + layout_.row_weight + (row - first));
        }
        const unsigned char* active = reinterpret_cast<unsigned char*>(tile_ + in_tile_.active);
        unsigned char* masks = reinterpret_cast<unsigned char*>(scratch_ + layout_.masks);
        unsigned char* own_masks = masks + task_.n_all;
        const Index n_components = shape_.n_components, n_separate = n_components * task_.n_each;
        unsigned char any = 0;
        clear(layout_.all, n_separate, task_.n_all);
        for (Index k = 0; k < n_components; ++k) {
            any |= active[k];
            __builtin_memset(masks + k * task_.n_each, active[k], static_cast<std::size_t>(task_.n_each));
            if (active[k] == 0) continue;
            write_scores(k, active_groups(active[k]));
            __builtin_memset(own_masks, active[k], static_cast<std::size_t>(task_.n_own));
            add(layout_.own, own_masks, task_.n_own, layout_.responsibilities,
                sums + layout_.component_sums + k * products_size(task_.n_own));
        }
        __builtin_memset(masks + n_separate, any, static_cast<std::size_t>(task_.n_all - n_separate));
        add(layout_.all, masks, task_.n_all, layout_.row_weight, sums);
    }

private:
    void clear(Index panels, Index first, Index last) {
        __builtin_memset(scratch_ + panels + first * kPanelSize, 0,
                         static_cast<std::size_t>((last - first) * kPanelSize) * sizeof(double));
    }
    void add(Index panels, const unsigned char* masks, Index n_panels, Index factors, double* sums) {
        add_products(scratch_ + panels, masks, n_panels, scratch_ + factors, scratch_ + layout_.weighted, poll_, sums);
    }

    // Writes the scores c of a component, the products g c, and the weighted responsibilities s g. Rows with
    // responsibility 0 get scores z = 0, however far from the mean the rows are.
    void write_scores(Index k, const ActiveGroups& groups) {
        const Index d = shape_.n_features;
        double* u = tile_ + in_tile_.differences;
        double* z = u + d * kLanes;
        for (int i = 0; i < groups.count; ++i) {
            const Index g = groups.index[i];
            const double* rows = tile_ + in_tile_.rows + g * d * kGroupRows;
            const double* e = tile_ + in_tile_.densities + (g * round_up(shape_.n_components, kLanes) + k) * kGroupRows;
            for (Index v = 0; v < kGroupVectors; ++v) {
                const Index lanes = (g * kGroupVectors + v) * kLanes;
                const Vec responsibility = Vec::load(e + v * kLanes) * Vec::load(tile_ + in_tile_.row_factor + lanes);
                for (Index j = 0; j < d; ++j) {
                    const Vec offset =
                        Vec::load(rows + (j * kGroupVectors + v) * kLanes) - Vec::broadcast(task_.means[k * d + j]);
                    keep(less(Vec::zero(), responsibility), offset).store(u + j * kLanes);
                }
                whiten(k, u, z);
                (responsibility * Vec::load(scratch_ + layout_.row_weight + lanes))
                    .store(scratch_ + layout_.responsibilities + lanes);
                write_values(k, lanes * kSide, z, responsibility);
            }
        }
    }

    // Computes z = W_k u for a vector of rows.
    void whiten(Index k, const double* u, double* z) {
        const Index d = shape_.n_features, each = task_.second == Second::full ? d * d : d;
        const double* factor = task_.factors + (task_.is_shared ? 0 : k * each);
        for (Index i = 0; i < d; ++i) {
            if (task_.second != Second::full) {
                (Vec::broadcast(factor[i]) * Vec::load(u + i * kLanes)).store(z + i * kLanes);
                continue;
            }
            Vec sum = Vec::zero();
            for (Index j = 0; j < d; ++j) sum = fma(Vec::broadcast(factor[i * d + j]), Vec::load(u + j * kLanes), sum);
            sum.store(z + i * kLanes);
        }
    }

    // Writes the scores of component k and their products with g for one vector of rows. The products of elements of z
    // are (|z|^2 - d) / sqrt(2 d) for spheres, and otherwise (z_j^2 - 1) / sqrt(2) and, for full covariances, z_j z_l
    // with l < j. They have variance 1 if z is a standard normal vector.
    void write_values(Index k, Index index, const double* z, Vec responsibility) {
        const Index d = shape_.n_features, n_components = shape_.n_components;
        double* own = scratch_ + layout_.own + index;
        double* all = scratch_ + layout_.all + index;
        double* each = all + k * task_.n_each * kPanelSize;
        const Index n_last = (n_components + kSide - 1) / kSide;  // number of panels of S that hold g of all components
        responsibility.store(all + (task_.n_all - n_last) * kPanelSize + panel_offset(k));
        for (Index j = 0; j < d; ++j) {
            const Vec score = Vec::load(z + j * kLanes);
            score.store(own + panel_offset(j));
            (responsibility * score).store(each + panel_offset(j));
        }
        Index i = 0;
        const auto write = [&](Vec score) {
            score.store(own + panel_offset(d + i));
            if (task_.is_shared) {
                double* to = all + n_components * task_.n_each * kPanelSize + panel_offset(i);
                fma(responsibility, score, Vec::load(to)).store(to);
            } else {
                (responsibility * score).store(each + panel_offset(d + i));
            }
            ++i;
        };
        if (task_.second == Second::trace) {
            Vec sum = Vec::broadcast(-static_cast<double>(d));
            for (Index j = 0; j < d; ++j) sum = fma(Vec::load(z + j * kLanes), Vec::load(z + j * kLanes), sum);
            return write(sum / sqrt(Vec::broadcast(2 * static_cast<double>(d))));
        }
        for (Index j = 0; j < d; ++j) {
            const Vec one = Vec::load(z + j * kLanes);
            write(Vec::broadcast(kRootHalf) * fma(one, one, Vec::broadcast(-1)));
        }
        for (Index j = 1; j < d && task_.second == Second::full; ++j) {
            const Vec one = Vec::load(z + j * kLanes);
            for (Index l = 0; l < j; ++l) write(one * Vec::load(z + l * kLanes));
        }
    }

    const ScoresView& task_;
    const Shape& shape_;
    const Layout& layout_;
    const ScratchLayout in_tile_;  // layout of `tile_`, the scratch memory in which the E-step leaves a tile
    double* scratch_;
    double* tile_;
    Poll& poll_;
};

inline Sizes sizes(const ScoresView& task) noexcept {
    const Layout layout(task);
    constexpr Index bytes = sizeof(double);
    return {OperandsLayout(task.step.shape).size * bytes, layout.size * bytes, layout.sums_size};
}

inline void add(const ScoresView& task, const void* operands, Index first, Index last, Listener listener, void* memory,
                double* sums) noexcept {
    const Layout layout(task);
    double* scratch = static_cast<double*>(memory);
    // The E-step adds the log-likelihood and other sums, which are not used.
    double* step_sums = scratch + layout.step_sums;
    const Index n_sums = SumsLayout(task.step.shape).size;
    __builtin_memset(step_sums, 0, static_cast<std::size_t>(n_sums) * sizeof(double));
    StepView unweighted = task.step;  // g is needed without the row weight s, because S is multiplied by s only once
    unweighted.row_weight = {nullptr, 0};
    Step step(unweighted, static_cast<const double*>(operands), listener, scratch + layout.step, step_sums);
    Poll poll(listener);
    Scores scores(task, layout, scratch, poll);
    for (; first < last; first += kTileRows) {
        const Index end = smaller(first + kTileRows, last);
        if (!step.assign_tile(first, end) || poll.is_cancelled()) return;
        scores.add_tile(first, end, sums);
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::scores
