// Draws random rows x = mu_k + W_k^-1 z of a mixture, where component k is drawn with a probability equal to its
// weight, and z is a vector of standard normal variates.
//
// A row depends only on the random key and on the row's index, so the rows are bit-identical however they are divided
// into blocks. The rows of a block are drawn component by component, eight rows at a time (one per SIMD lane), and each
// row is written at its index in the output.
//
// Drawing a row of d features takes d/2 runs of the Philox generator, d/2 Box-Muller transforms and, if W is
// triangular, d^2/2 multiply-adds.
#pragma once
#include "layout.hpp"
#include "normals.hpp"
#include "poll.hpp"

namespace gaussmix::GAUSSMIX_ISA {

constexpr Index kCostOfNormal = 40;  // estimated cost of drawing one normal number, in multiply-adds

class RowDrawer {
public:
    RowDrawer(const DrawView& view, const DrawScratch& scratch)
        : view_(view), scratch_(scratch), random_(view.key), n_features_(view.shape.n_features) {}

    // Draws the labels (components) of rows first..last-1; `first` must be a multiple of 16. In each lane, one run of
    // Philox makes the random bits for two rows.
    void draw_labels(Index first, Index last) const {
        for (; first < last; first += 2 * kLanes) {
            alignas(64) std::uint64_t pairs[kLanes];
            alignas(64) double uniforms[2][kLanes];
            for (int i = 0; i < kLanes; ++i) pairs[i] = static_cast<std::uint64_t>(first / 2 + i);
            const Random bits = random_(Words::load(pairs), 0, Philox::kLabels);
            uniform(bits.words[0], bits.words[1], 0).store(uniforms[0]);
            uniform(bits.words[2], bits.words[3], 0).store(uniforms[1]);
            const Index count = smaller(last - first, Index{2 * kLanes});
            for (Index i = 0; i < count; ++i) view_.labels[first + i] = component_at(uniforms[i % 2][i / 2]);
        }
    }

    // Sorts the indices of rows first..last-1 by component into scratch.order, and writes to scratch.starts the
    // position at which each component's rows begin.
    void sort(Index first, Index last) const {
        Index* const ends = scratch_.starts + 1;
        for (Index k = -1; k < view_.shape.n_components; ++k) ends[k] = 0;
        for (Index row = first; row < last; ++row) ++ends[view_.labels[row]];
        // turns each component's number of rows into the position of the component's first row
        for (Index k = 0, start = 0; k < view_.shape.n_components; ++k) {
            const Index count = ends[k];
            ends[k] = start;
            start += count;
        }
        for (Index row = first; row < last; ++row) scratch_.order[ends[view_.labels[row]]++] = row;
    }

    // Draws the rows of a component. Before, `draw_labels` and `sort` must have been called for the same rows.
    void draw_component(Index component, Poll& poll) const {
        const Index first = scratch_.starts[component], last = scratch_.starts[component + 1];
        if (first == last) return;
        const double* w = factor(component);
        if (view_.shape.factor_shape == FactorShape::low_rank) {
            invert_low_rank(w);
        } else {
            invert_diagonal(w);
        }
        for (Index i = first; i < last; i += kDrawnAtOnce) {
            draw_group(component, scratch_.order + i, smaller(last - i, kDrawnAtOnce));
            if (poll.is_cancelled(kDrawnAtOnce * n_features_ * (kCostOfNormal + n_features_ / 2))) return;
        }
    }

private:
    Index component_at(double u) const {
        Index k = view_.guide[static_cast<Index>(u * static_cast<double>(view_.n_buckets))];
        while (view_.cumulative[k] <= u) ++k;
        return k;
    }

    const double* factor(Index component) const {
        return view_.factors + (view_.shape.is_shared ? 0 : component * factor_size(view_.shape));
    }

    // Writes -1 / W_ii of each feature i to scratch.scales. Because of the minus sign, forward substitution can use
    // multiply-adds instead of subtractions.
    void invert_diagonal(const double* w) const {
        const Index step = view_.shape.factor_shape == FactorShape::spherical  ? 0
                           : view_.shape.factor_shape == FactorShape::diagonal ? 1
                                                                               : n_features_ + 1;
        for (Index i = 0; i < n_features_; ++i) scratch_.scales[i] = -1 / w[i * step];
    }

    // Writes -1 / w_i for each feature i, and then 1 / (1 - |F_l|^2) for each column F_l of F, to scratch.scales,
    // because the inverse of I - F F' is I + sum_l F_l F_l' / (1 - |F_l|^2).
    void invert_low_rank(const double* w) const {
        const Index n_factors = view_.shape.n_factors, stride = n_factors + 1;
        for (Index i = 0; i < n_features_; ++i) scratch_.scales[i] = -1 / w[i * stride + n_factors];
        for (Index l = 0; l < n_factors; ++l) {
            double sum = 0;
            for (Index i = 0; i < n_features_; ++i) sum = __builtin_fma(w[i * stride + l], w[i * stride + l], sum);
            scratch_.scales[n_features_ + l] = 1 / (1 - sum);
        }
    }

    // Draws at most kDrawnAtOnce rows of a component; `order` contains their indices in the output.
    void draw_group(Index component, const Index* order, Index n_rows) const {
        alignas(64) std::uint64_t rows[kDrawnAtOnce];  // row indices; unused lanes repeat the index of the last row
        for (Index i = 0; i < kDrawnAtOnce; ++i) rows[i] = static_cast<std::uint64_t>(order[smaller(i, n_rows - 1)]);
        for (Index i = 0; i < n_rows; ++i) prefetch_to_write(view_.rows + order[i] * n_features_);
        draw_normals(rows, (n_rows + kLanes - 1) / kLanes);
        for (Index first = 0; first < n_rows; first += kLanes) {
            const int n_lanes = static_cast<int>(smaller(n_rows - first, Index{kLanes}));
            colour(component, rows + first, n_lanes, scratch_.lanes + first / kLanes * lanes_in_vector());
        }
    }

    // Prefetches the memory of a row before the row is written, because the rows of a group are scattered over the
    // block.
    void prefetch_to_write(const double* row) const {
        __builtin_prefetch(row, 1);
        __builtin_prefetch(row + n_features_ - 1, 1);
    }

    // Draws the random bits of all vectors before it computes normal variates, because a processor can work on several
    // independent vectors at the same time.
    void draw_normals(const std::uint64_t* rows, Index n_vectors) const {
        for (Index i = 0; i < n_features_; i += 2) {
            Random bits[kDrawnAtOnce / kLanes];
            for (Index v = 0; v < n_vectors; ++v) {
                bits[v] = random_(Words::load(rows + v * kLanes), static_cast<std::uint64_t>(i / 2), Philox::kNormals);
            }
            for (Index v = 0; v < n_vectors; ++v) {
                double* const lanes = scratch_.lanes + v * lanes_in_vector() + i * kLanes;
                Vec one, other;
                normals(bits[v], one, other);
                one.store(lanes);
                other.store(lanes + kLanes);
            }
        }
    }

    Index lanes_in_vector() const { return kLanes * (n_features_ + 1); }

    // Transforms standard normal variates into rows of the mixture, eight features at a time.
    void colour(Index component, const std::uint64_t* rows, int n_lanes, double* lanes) const {
        const double *w = factor(component), *mean = view_.means + component * n_features_;
        if (view_.shape.factor_shape == FactorShape::low_rank) stretch(w, lanes);
        for (Index i = 0; i < n_features_; i += kPanel) {
            const int height = static_cast<int>(smaller(n_features_ - i, Index{kPanel}));
            if (view_.shape.factor_shape == FactorShape::triangular) {
                with_constant(height,
                              [&](auto count) { solve<decltype(count)::value>(w + i * n_features_, i, lanes); });
            } else {
                scale(i, i + height, lanes);
            }
            write(mean + i, lanes + i * kLanes, height, rows, n_lanes, view_.rows + i);
        }
    }

    // Replaces z in the lanes by (I - F F')^-1 z. The inverse is the product of one factor I + F_l F_l' / (1 - |F_l|^2)
    // for each column F_l, because the columns are orthogonal; z is multiplied by one factor after another.
    void stretch(const double* w, double* lanes) const {
        const Index n_factors = view_.shape.n_factors, stride = n_factors + 1;
        for (Index l = 0; l < n_factors; ++l) {
            Vec along = Vec::zero();
            for (Index i = 0; i < n_features_; ++i) {
                along = fma(Vec::broadcast(w[i * stride + l]), Vec::load(lanes + i * kLanes), along);
            }
            along = along * Vec::broadcast(scratch_.scales[n_features_ + l]);
            for (Index i = 0; i < n_features_; ++i) {
                const Vec z = Vec::load(lanes + i * kLanes);
                fma(Vec::broadcast(w[i * stride + l]), along, z).store(lanes + i * kLanes);
            }
        }
    }

    void scale(Index first, Index last, double* lanes) const {
        for (Index i = first; i < last; ++i) {
            (Vec::load(lanes + i * kLanes) * Vec::broadcast(scratch_.scales[i])).store(lanes + i * kLanes);
        }
    }

    // Solves W y = z by forward substitution for features first..first+kHeight-1. The elements of y for all earlier
    // features must already be computed. Replaces z in the lanes by -y.
    template <int kHeight>
    void solve(const double* w, Index first, double* all_lanes) const {
        GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
            double* const lanes = all_lanes + h * kPartLanes;
            Part sums[kHeight];
            GAUSSMIX_UNROLL for (int r = 0; r < kHeight; ++r) sums[r] = Part::load(lanes + (first + r) * kLanes);
            for (Index j = 0; j < first; ++j) {
                const Part solved = in_register(Part::load(lanes + j * kLanes));
                GAUSSMIX_UNROLL for (int r = 0; r < kHeight; ++r) {
                    sums[r] = fma(Part::broadcast(w[r * n_features_ + j]), solved, sums[r]);
                }
            }
            GAUSSMIX_UNROLL for (int j = 0; j < kHeight; ++j) {
                sums[j] = sums[j] * Part::broadcast(scratch_.scales[first + j]);
                sums[j].store(lanes + (first + j) * kLanes);
                GAUSSMIX_UNROLL for (int r = j + 1; r < kHeight; ++r) {
                    sums[r] = fma(Part::broadcast(w[r * n_features_ + first + j]), sums[j], sums[r]);
                }
            }
        }
    }

    // Subtracts the values in `lanes` from the mean, and writes the results to `height` features of each row.
    void write(const double* mean, const double* lanes, int height, const std::uint64_t* rows, int n_lanes,
               double* out) const {
        Vec columns[kPanel];
        GAUSSMIX_UNROLL for (int r = 0; r < kPanel; ++r) {
            columns[r] = r < height ? Vec::broadcast(mean[r]) - Vec::load(lanes + r * kLanes) : Vec::zero();
        }
        transpose(columns);
        for (int i = 0; i < n_lanes; ++i) {
            double* const row = out + static_cast<Index>(rows[i]) * n_features_;
            if (height == kPanel) {
                columns[i].store_unaligned(row);
            } else {
                columns[i].store_head(row, height);
            }
        }
    }

    // number of features that are computed and written together; `transpose` handles exactly this number
    static constexpr int kPanel = 8;
    const DrawView& view_;
    const DrawScratch& scratch_;
    const Philox random_;
    const Index n_features_;
};

inline void draw(const DrawView& view, Index first, Index last, Listener listener,
                 const DrawScratch& scratch) noexcept {
    const RowDrawer drawer(view, scratch);
    Poll poll(listener);
    drawer.draw_labels(first, last);
    drawer.sort(first, last);
    for (Index k = 0; k < view.shape.n_components && !poll.is_cancelled(); ++k) drawer.draw_component(k, poll);
}

// Computes two normal variates from every four words (32 random bits each).
inline void normals_from_words(const std::uint32_t* words, Index count, double* out) noexcept {
    for (Index i = 0; i < count; ++i) {
        Random random;
        for (int j = 0; j < 4; ++j) random.words[j] = Words::broadcast(words[4 * i + j]);
        Vec one, other;
        normals(random, one, other);
        one.store_head(out + 2 * i, 1);
        other.store_head(out + 2 * i + 1, 1);
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
