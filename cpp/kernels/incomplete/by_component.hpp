// Kernel for rows that share their pattern of missing values with few other rows. The rows are processed one after
// another, for eight components at a time (one per lane). The missing values of a row are replaced by their conditional
// means under each component, and the conditional covariances of these values are added to the second moments.
#pragma once
#include "pattern.hpp"

namespace gaussmix::GAUSSMIX_ISA::incomplete {

class ByComponent {
public:
    static Index scratch_size(const Shape& shape) { return Layout(shape).size; }

    ByComponent(const Shape& shape, const RowsView& rows, const double* operands, double* scratch)
        : d_(shape.n_features),
          K_(padded_components(shape)),
          rows_(rows),
          operands_(operands),
          conditioner_(shape, operands),
          layout_(shape),
          scratch_(scratch) {}

    // Returns the number of rows in a batch. The number is limited, because the conditional covariances of all missing
    // values in a batch are stored.
    static int batch_rows(const Shape& shape) {
        constexpr Index kMaxValues = 32'768;  // maximum number of doubles in these covariances
        const Index size = triangle(shape.n_features) * padded_components(shape);
        return static_cast<int>(larger(Index{1}, smaller(Index{kBatchRows}, kMaxValues / size)));
    }

    double* densities() { return scratch_ + layout_.densities; }

    // Computes the log densities of the rows, without log priors. pattern[i] is the index of row i's pattern of missing
    // values.
    bool find_densities(const Batch& batch, const Index* pattern, Poll& poll) {
        const Index n_vectors = K_ / kLanes;
        int slot = -1;
        for (int i = 0; i < batch.n_rows; ++i) {
            if (i == 0 || pattern[i] != pattern[i - 1]) {
                ++slot;
                patterns_[slot] = Pattern::of(rows_, batch.row[i], features(slot));
                const Pattern& p = patterns_[slot];
                const Vec constant = Vec::broadcast(static_cast<double>(p.n_present) * kLog2Pi);
                for (Index v = 0; v < n_vectors; ++v) {
                    const Vec nats = conditioner_.condition(p, v, conditional(slot, v)) + constant;
                    nats.store(scratch_ + layout_.constants + v * kLanes);
                    const Index n = smaller(p.n_missing, p.n_present);
                    if (poll.is_cancelled(kLanes * (n + 3) * n * d_)) return false;
                }
            }
            slot_[i] = slot;
            const Pattern& p = patterns_[slot];
            for (Index j = 0; j < p.n_present; ++j) {
                const Vec x = Vec::broadcast(value_at(rows_, batch.row[i], p.present(j)));
                for (Index v = 0; v < n_vectors; ++v) {
                    const Vec mean = conditioner_.element(conditioner_.layout().means, p.present(j), v);
                    (x - mean).store(completed(v, p.present(j), i));
                }
            }
            for (Index v = 0; v < n_vectors; ++v) {
                conditioner_.complete(p, v, conditional(slot, v), kBatchRows * kLanes, completed(v, 0, i));
                const Vec constant = Vec::load(scratch_ + layout_.constants + v * kLanes);
                fma(Vec::broadcast(-0.5), constant, conditioner_.element(conditioner_.layout().log_weight, 0, v))
                    .store(by_row(v, i));
            }
            if (poll.is_cancelled(K_ * d_ * p.n_missing)) return false;
        }
        for (Index v = 0; v < n_vectors; ++v) {
            with_constant(batch.n_rows, [&](auto count) { subtract_distances<decltype(count)::value>(v); });
            Vec block[kLanes];  // one vector per row; vectors without a row repeat the first row
            GAUSSMIX_UNROLL for (int i = 0; i < kLanes; ++i) block[i] = Vec::load(by_row(v, i < batch.n_rows ? i : 0));
            transpose(block);
            GAUSSMIX_UNROLL for (int i = 0; i < kLanes; ++i) block[i].store(densities() + (v * kLanes + i) * kLanes);
            if (poll.is_cancelled(kBatchRows * kLanes * d_ * d_ / 2)) return false;
        }
        return true;
    }

    // Adds the moments of the rows to `sums`, which has the layout [moment][component]; the moments are the mass, the
    // first moments and the triangle of second moments. `densities` and `factor` must be the exponentials and the row
    // factors that `normalise` (batch.hpp) computes.
    bool add_moments(const Batch& batch, Vec factor, Poll& poll, double* sums) {
        for (Index v = 0; v < K_ / kLanes; ++v, sums += kLanes) {
            Vec block[kLanes], mass = Vec::zero();
            GAUSSMIX_UNROLL for (int i = 0; i < kLanes; ++i) block[i] =
                Vec::load(densities() + (v * kLanes + i) * kLanes) * factor;
            transpose(block);
            GAUSSMIX_UNROLL for (int i = 0; i < kLanes; ++i) block[i].store(by_row(v, i));
            for (int i = 0; i < batch.n_rows; ++i) mass = mass + Vec::load(by_row(v, i));
            (Vec::load(sums) + mass).store(sums);
            for (Index i = 0; i < d_; i += kSide) {
                with_constant(smaller(Index{kSide}, d_ - i), [&](auto height) {
                    constexpr int H = smaller(decltype(height)::value, kSide);
                    add_first<H>(batch.n_rows, i, v, sums);
                    for (Index j = 0; j < i; j += kSide) add_block<H, false>(batch.n_rows, i, j, v, sums);
                    add_block<H, true>(batch.n_rows, i, i, v, sums);
                });
            }
            for (int i = 0; i < batch.n_rows;) add_covariances(batch.n_rows, v, i, sums);
            if (poll.is_cancelled(kLanes * kLanes * (d_ + 3) * d_)) return false;
        }
        return true;
    }

private:
    static constexpr int kSide = 4;

    struct Layout {
        Index features, densities, by_row, completed, inverse, regression, covariance, constants, vectors, size;

        explicit Layout(const Shape& shape) {
            const Index d = shape.n_features, K = padded_components(shape), rows = batch_rows(shape);
            Carver carver;
            features = carver.take(d * rows);
            // log densities, later their exponentials, [component][row]
            densities = carver.take(K * kLanes);
            // log densities, later responsibilities, [component / kLanes][row][component % kLanes]
            by_row = carver.take(K * kBatchRows);
            completed = carver.take(kBatchRows * d * K);
            inverse = carver.take(triangle(d) * kLanes);
            // Regression matrix of the most recent pattern. The matrix has n_missing * n_present elements, which is at
            // most d^2 / 4.
            regression = carver.take(triangle(d) * K);
            covariance = carver.take(rows * triangle(d) * K);
            constants = carver.take(K);
            vectors = carver.take(d * kLanes);
            size = carver.size();
        }
    };

    Index* features(int slot) { return reinterpret_cast<Index*>(scratch_ + layout_.features + slot * d_); }
    double* by_row(Index v, int row) { return scratch_ + layout_.by_row + (v * kBatchRows + row) * kLanes; }
    double* completed(Index v, Index feature, int row) {
        return scratch_ + layout_.completed + ((v * d_ + feature) * kBatchRows + row) * kLanes;
    }
    Conditional conditional(int slot, Index v) {
        return {scratch_ + layout_.covariance + (slot * K_ + v * kLanes) * triangle(d_),
                scratch_ + layout_.regression + v * triangle(d_) * kLanes, scratch_ + layout_.inverse,
                scratch_ + layout_.vectors};
    }

    // Subtracts half the squared distance, |W u|^2 / 2, from the log density of each of the first R rows of the batch.
    template <int R>
    void subtract_distances(Index v) {
        GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
            Part distance[R];
            GAUSSMIX_UNROLL for (int r = 0; r < R; ++r) distance[r] = Part::zero();
            const double* w = operands_ + conditioner_.layout().whitening + v * kLanes + h * kPartLanes;
            for (Index i = 0; i < d_; ++i) {
                Part z[R];
                GAUSSMIX_UNROLL for (int r = 0; r < R; ++r) z[r] = Part::zero();
                const double* u = completed(v, 0, 0) + h * kPartLanes;
                for (Index j = 0; j <= i; ++j, w += K_, u += kBatchRows * kLanes) {
                    const Part weight = Part::load(w);
                    GAUSSMIX_UNROLL for (int r = 0; r < R; ++r) z[r] = fma(weight, Part::load(u + r * kLanes), z[r]);
                }
                GAUSSMIX_UNROLL for (int r = 0; r < R; ++r) distance[r] = fma(z[r], z[r], distance[r]);
            }
            GAUSSMIX_UNROLL for (int r = 0; r < R; ++r) {
                double* l = by_row(v, r) + h * kPartLanes;
                fma(Part::broadcast(-0.5), min(distance[r], Part::broadcast(kLargest)), Part::load(l)).store(l);
            }
        }
    }

    // Adds the first moments of H features, starting at i, to `sums`, where they follow the masses of all components.
    template <int H>
    void add_first(int n_rows, Index i, Index v, double* sums) {
        GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
            Part sum[H];
            double* out = sums + (1 + i) * K_ + h * kPartLanes;
            const double* u = completed(v, i, 0) + h * kPartLanes;
            GAUSSMIX_UNROLL for (int a = 0; a < H; ++a) sum[a] = Part::load(out + a * K_);
            for (int r = 0; r < n_rows; ++r) {
                const Part responsibility = Part::load(by_row(v, r) + h * kPartLanes);
                GAUSSMIX_UNROLL for (int a = 0; a < H; ++a) sum[a] =
                    fma(responsibility, Part::load(u + (a * kBatchRows + r) * kLanes), sum[a]);
            }
            GAUSSMIX_UNROLL for (int a = 0; a < H; ++a) sum[a].store(out + a * K_);
        }
    }

    // Adds a block of the rows' second moments to `sums`. The rows of the block are H features, starting at i, and the
    // columns are up to four features, starting at j. If i = j, only the lower triangle of the block is added.
    template <int H, bool kIsTriangle>
    void add_block(int n_rows, Index i, Index j, Index v, double* sums) {
        constexpr int W = kIsTriangle ? H : kSide;
        GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
            Part sum[H][W];
            const auto at = [&](int a, int b) {
                return sums + h * kPartLanes + (1 + d_ + triangle(i + a) + j + b) * K_;
            };
            GAUSSMIX_UNROLL for (int a = 0; a < H; ++a) {
                GAUSSMIX_UNROLL for (int b = 0; b < (kIsTriangle ? a + 1 : W); ++b) sum[a][b] = Part::load(at(a, b));
            }
            const double* rows = completed(v, i, 0) + h * kPartLanes;
            const double* columns = completed(v, j, 0) + h * kPartLanes;
            for (int r = 0; r < n_rows; ++r) {
                const Part responsibility = Part::load(by_row(v, r) + h * kPartLanes);
                Part column[W];
                GAUSSMIX_UNROLL for (int b = 0; b < W; ++b) column[b] =
                    in_register(Part::load(columns + (b * kBatchRows + r) * kLanes));
                GAUSSMIX_UNROLL for (int a = 0; a < H; ++a) {
                    const Part weighted = responsibility * Part::load(rows + (a * kBatchRows + r) * kLanes);
                    GAUSSMIX_UNROLL for (int b = 0; b < (kIsTriangle ? a + 1 : W); ++b) sum[a][b] =
                        fma(weighted, column[b], sum[a][b]);
                }
            }
            GAUSSMIX_UNROLL for (int a = 0; a < H; ++a) {
                GAUSSMIX_UNROLL for (int b = 0; b < (kIsTriangle ? a + 1 : W); ++b) sum[a][b].store(at(a, b));
            }
        }
    }

    // Adds to the second moments in `sums` the conditional covariances of the missing values of row i and of the
    // following rows with the same pattern, and sets i to the first row that has a different pattern.
    void add_covariances(int n_rows, Index v, int& i, double* sums) {
        const int slot = slot_[i];
        Vec responsibility = Vec::zero();
        for (; i < n_rows && slot_[i] == slot; ++i) responsibility = responsibility + Vec::load(by_row(v, i));
        const Pattern& p = patterns_[slot];
        const double* covariance = conditional(slot, v).covariance;
        for (Index a = 0; a < p.n_missing; ++a) {
            for (Index b = 0; b <= a; ++b, covariance += kLanes) {
                double* sum = sums + (1 + d_ + index(p.missing(a), p.missing(b))) * K_;
                fma(responsibility, Vec::load(covariance), Vec::load(sum)).store(sum);
            }
        }
    }

    const Index d_, K_;
    const RowsView& rows_;
    const double* operands_;
    const Conditioner conditioner_;
    const Layout layout_;
    double* scratch_;
    Pattern patterns_[kBatchRows];
    int slot_[kBatchRows];
};

}  // namespace gaussmix::GAUSSMIX_ISA::incomplete
