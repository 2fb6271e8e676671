// Kernel for rows with measurement errors, which processes eight rows at a time, one row per lane. Let S be the
// covariance of component k, E the error covariance of a row x, o the observed features, T = (S + E)_oo and u = (x -
// mean)_o. The log density is
//
//   log p(x, k) = log pi_k - (d^2 + log |T| + n_o log 2 pi) / 2,    d^2 = u' T^-1 u.
//
// Given the observed values, the latent row (without measurement errors and missing values) has the mean S_:o T^-1 u,
// relative to the mean of component k, and the covariance S - S_:o T^-1 (S_:o)'.
//
// If a feature is missing in a lane, T has 1 on the diagonal and 0 in the rest of this feature's row and column, and
// the feature's element of u is 0. If a value has no error, the conditional mean of its feature is the observed value,
// and the conditional covariances of its feature are 0.
#pragma once
#include "batch.hpp"

namespace gaussmix::GAUSSMIX_ISA::incomplete {

class ByRow {
public:
    // Returns the number of doubles that an object of this class needs in `scratch`. This memory includes sums over the
    // rows that were visited since the last call of `clear_sums`.
    static Index scratch_size(const Shape& shape) { return Layout(shape).size; }

    ByRow(const Shape& shape, const RowsView& rows, const ErrorView& error, const double* operands, double* scratch)
        : shape_(shape),
          d_(shape.n_features),
          rows_(rows),
          error_(error),
          operands_(operands),
          operands_layout_(shape),
          layout_(shape),
          scratch_(scratch) {}

    void clear_sums() {
        for (Index i = 0; i < shape_.n_components * n_moments(d_) * kLanes; ++i) scratch_[layout_.sums + i] = 0;
    }

    double* densities() { return scratch_ + layout_.densities; }

    // Reads the rows of a batch and computes their log densities without log priors. Returns false if the pass is
    // cancelled.
    bool find_densities(const Batch& batch, Poll& poll) {
        read(batch);
        bool is_over = false;
        with_features([&](auto count) { is_over = !find_densities_of<decltype(count)::value>(poll); });
        return !is_over;
    }

    // Adds the moments of the rows to the sums of this kernel. `densities` and `factor` must be the exponentials and
    // the row factors that `normalise` (batch.hpp) computes. Returns false if the pass is cancelled.
    bool add_moments(Vec factor, Poll& poll) {
        bool is_over = false;
        with_features([&](auto count) { is_over = !add_moments_of<decltype(count)::value>(factor, poll); });
        return !is_over;
    }

    // Adds the sums of this kernel to the sums of all kernels, which have the layout [moment][component].
    void add_sums(double* out) {
        const Index K = padded_components(shape_), n = n_moments(d_);
        for (Index k = 0; k < shape_.n_components; ++k) {
            for (Index i = 0; i < n; ++i)
                out[i * K + k] += lane_sum(Vec::load(scratch_ + layout_.sums + (k * n + i) * kLanes));
        }
    }

    // Writes, for each row, the mean and the covariance of the latent row (without measurement errors and missing
    // values) under the whole mixture. `densities` must hold responsibilities.
    bool write_posteriors(const Batch& batch, double* means, double* covariances, Poll& poll) {
        double* sums = scratch_ + layout_.sums;
        for (Index i = 0; i < n_moments(d_) * kLanes; ++i) sums[i] = 0;
        const auto row_mean = [&](Index i) { return sums + (1 + i) * kLanes; };
        const auto product = [&](Index i, Index j) { return sums + (1 + d_ + index(i, j)) * kLanes; };
        const auto expected = [&](Index k, Index i) {
            const Index mean = operands_layout_.each_mean + k * d_ + i;
            return part(layout_.mean, i) + Vec::broadcast(operands_[mean]);
        };
        const bool has_means = for_each_posterior(poll, [&](Index k, Vec responsibility) {
            for (Index i = 0; i < d_; ++i) add_to(row_mean(i), responsibility * expected(k, i));
        });
        const bool is_done = has_means && for_each_posterior(poll, [&](Index k, Vec r) {
                                 for_each_covariance<0>(k, [&](Index i, Index j, Vec covariance) {
                                     const Vec offset = expected(k, i) - Vec::load(row_mean(i));
                                     const Vec other = expected(k, j) - Vec::load(row_mean(j));
                                     add_to(product(i, j), r * fma(offset, other, covariance));
                                 });
                             });
        if (!is_done) return false;
        for (int lane = 0; lane < batch.n_rows; ++lane) {
            const Index row = batch.row[lane];
            const auto is_exact = [&](Index i) { return scratch_[layout_.exact + i * kLanes + lane] > 0; };
            for (Index i = 0; i < d_; ++i) {
                means[row * d_ + i] = is_exact(i) ? scratch_[layout_.rows + i * kLanes + lane] : row_mean(i)[lane];
                for (Index j = 0; j <= i; ++j) {
                    const double value = is_exact(i) || is_exact(j) ? 0 : product(i, j)[lane];
                    covariances[(row * d_ + i) * d_ + j] = covariances[(row * d_ + j) * d_ + i] = value;
                }
            }
        }
        return true;
    }

private:
    // Calls use(k, responsibility) for each component k whose responsibility is not zero, after the posterior of the
    // latent rows (see incomplete.hpp) under component k has been computed. Returns false if the pass is cancelled.
    template <class Use>
    bool for_each_posterior(Poll& poll, Use use) {
        for (Index k = 0; k < shape_.n_components; ++k) {
            const Vec responsibility = Vec::load(densities() + k * kLanes);
            if (!any(less(Vec::zero(), responsibility))) continue;
            find_posterior<0>(k);
            use(k, responsibility);
            if (poll.is_cancelled(kLanes * (d_ + 3) * d_ * d_)) return false;
        }
        return true;
    }

    struct Layout {
        Index rows, present, exact, error, densities, factors, solved, regressed, mean, sums, size;

        explicit Layout(const Shape& shape) {
            const Index d = shape.n_features, K = shape.n_components;
            Carver carver;
            rows = carver.take(d * kLanes);
            present = carver.take(d * kLanes);
            exact = carver.take(d * kLanes);
            error = carver.take(triangle(d) * kLanes);
            densities = carver.take(padded_components(shape) * kLanes);
            factors = carver.take(K * triangle(d) * kLanes);
            solved = carver.take(K * d * kLanes);
            regressed = carver.take(2 * d * d * kLanes);
            mean = carver.take(d * kLanes);
            sums = carver.take(K * n_moments(d) * kLanes);
            size = carver.size();
        }
    };

    template <class Body>
    void with_features(Body&& body) {
        d_ <= 8 ? with_constant(d_, body) : body(Constant<0>());
    }
    template <int D>
    Index features() const {
        return D > 0 ? D : d_;
    }

    // Computes log densities for D features, or for any number of features if D = 0.
    template <int D>
    bool find_densities_of(Poll& poll) {
        const Index d = features<D>();
        for (Index k = 0; k < shape_.n_components; ++k) {
            const double* covariance = operands_ + operands_layout_.each_covariance + k * triangle(d);
            double* l = factors(k);
            for (Index i = 0; i < d; ++i) {
                const Vec here = part(layout_.present, i);
                for (Index j = 0; j < i; ++j) {
                    const Vec t = Vec::broadcast(covariance[index(i, j)]) + error(i, j);
                    (t * here * part(layout_.present, j)).store(l + index(i, j) * kLanes);
                }
                const Vec t = Vec::broadcast(covariance[index(i, i)]) + error(i, i);
                select(less(Vec::zero(), here), t, Vec::broadcast(1)).store(l + index(i, i) * kLanes);
            }
            const Vec log_det = factorise<D>(d, l);
            const double* mean = operands_ + operands_layout_.each_mean + k * d;
            double* z = solved(k);
            Vec distance = Vec::zero();
            for (Index i = 0; i < d; ++i) {
                Vec sum = (part(layout_.rows, i) - Vec::broadcast(mean[i])) * part(layout_.present, i);
                for (Index p = 0; p < i; ++p)
                    sum = fma(Vec::load(l + index(i, p) * kLanes), Vec::load(z + p * kLanes), sum);
                sum.store(z + i * kLanes);
                distance = fma(sum * Vec::load(l + index(i, i) * kLanes), sum, distance);
            }
            const Vec nats = min(distance, Vec::broadcast(kLargest)) + log_det + constant_;
            fma(Vec::broadcast(-0.5), nats, Vec::broadcast(operands_[operands_layout_.each_log_weight + k]))
                .store(densities() + k * kLanes);
            if (poll.is_cancelled(kLanes * (d + 3) * d * d / 6)) return false;
        }
        return true;
    }

    // Adds the moments as `add_moments` does, for D features (0: the number of features is known only at run time).
    template <int D>
    bool add_moments_of(Vec factor, Poll& poll) {
        const Index d = features<D>();
        for (Index k = 0; k < shape_.n_components; ++k) {
            const Vec responsibility = Vec::load(densities() + k * kLanes) * factor;
            if (!any(less(Vec::zero(), responsibility))) continue;
            find_posterior<D>(k);
            double* sums = scratch_ + layout_.sums + k * n_moments(d) * kLanes;
            add_to(sums, responsibility);
            for (Index i = 0; i < d; ++i) add_to(sums + (1 + i) * kLanes, responsibility * part(layout_.mean, i));
            for_each_covariance<D>(k, [&](Index i, Index j, Vec covariance) {
                const Vec product = fma(part(layout_.mean, i), part(layout_.mean, j), covariance);
                add_to(sums + (1 + d + index(i, j)) * kLanes, responsibility * product);
            });
            if (poll.is_cancelled(kLanes * (d + 3) * d * d)) return false;
        }
        return true;
    }

    double* factors(Index k) { return scratch_ + layout_.factors + k * triangle(d_) * kLanes; }
    double* solved(Index k) { return scratch_ + layout_.solved + k * d_ * kLanes; }
    Vec part(Index where, Index i) const { return Vec::load(scratch_ + where + i * kLanes); }
    static void add_to(double* sum, Vec x) { (Vec::load(sum) + x).store(sum); }

    Vec error(Index i, Index j) const {
        if (error_.data == nullptr || (i != j && !error_.is_full)) return Vec::zero();
        return part(layout_.error, index(i, j));
    }

    // Copies a batch of rows, [feature][lane], with 0 for missing values. Unused lanes repeat the first row.
    void read(const Batch& batch) {
        alignas(64) double n_present[kLanes];
        for (int lane = 0; lane < kLanes; ++lane) {
            const Index row = batch.row[lane < batch.n_rows ? lane : 0];
            n_present[lane] = 0;
            for (Index i = 0; i < d_; ++i) {
                const double x = value_at(rows_, row, i);
                const bool is_present = x == x;
                scratch_[layout_.rows + i * kLanes + lane] = is_present ? x : 0;
                scratch_[layout_.present + i * kLanes + lane] = is_present;
                n_present[lane] += is_present;
                // `read_errors` is also called for missing values, for which it must write zeros.
                const double variance = read_errors(row, i, lane, is_present);
                scratch_[layout_.exact + i * kLanes + lane] = is_present && !(variance > 0);
            }
        }
        constant_ = Vec::load(n_present) * Vec::broadcast(kLog2Pi);
    }

    // Reads the covariances between the measurement error of feature i and the errors of earlier features, and returns
    // the variance of feature i's error.
    double read_errors(Index row, Index i, int lane, bool is_present) {
        if (error_.data == nullptr) return 0;
        const Elements<double> elements{reinterpret_cast<const char*>(error_.data)};
        double* out = scratch_ + layout_.error + lane;
        for (Index j = error_.is_full ? 0 : i; j <= i; ++j) {
            const bool is_read = is_present && scratch_[layout_.present + j * kLanes + lane] > 0;
            const Index at = row * error_.row_stride + i * error_.stride + j * error_.column_stride;
            out[index(i, j) * kLanes] = is_read ? elements[at] : 0;
        }
        return out[index(i, i) * kLanes];
    }

    // Computes the conditional means of the latent rows relative to the mean of component k, and the quantities that
    // `for_each_covariance` reads.
    template <int D>
    void find_posterior(Index k) {
        for (Index j = 0; j < features<D>(); j += kTogether) {
            with_constant(smaller(Index{kTogether}, features<D>() - j),
                          [&](auto count) { regress<D, smaller(decltype(count)::value, kTogether)>(k, j); });
        }
    }

    // Computes the same for `count` features, from feature `first` on.
    template <int D, int count>
    void regress(Index k, Index first) {
        const Index d = features<D>();
        const double* covariance = operands_ + operands_layout_.each_covariance + k * triangle(d);
        const double* mean = operands_ + operands_layout_.each_mean + k * d;
        const double* l = factors(k);
        const double* z = solved(k);
        double* v = scratch_ + layout_.regressed + first * d * kLanes;
        Vec sum[count];
        GAUSSMIX_UNROLL for (int c = 0; c < count; ++c) sum[c] = Vec::zero();
        for (Index i = 0; i < d; ++i) {
            const Vec here = part(layout_.present, i);
            Vec value[count];
            GAUSSMIX_UNROLL for (int c = 0; c < count; ++c) value[c] =
                Vec::broadcast(covariance[index(i, first + c)]) * here;
            for (Index p = 0; p < i; ++p) {
                const Vec factor = Vec::load(l + index(i, p) * kLanes);
                GAUSSMIX_UNROLL for (int c = 0; c < count; ++c) value[c] =
                    fma(factor, Vec::load(v + (c * d + p) * kLanes), value[c]);
            }
            const Vec inverse = Vec::load(l + index(i, i) * kLanes), z_i = Vec::load(z + i * kLanes);
            GAUSSMIX_UNROLL for (int c = 0; c < count; ++c) {
                value[c].store(v + (c * d + i) * kLanes);
                const Vec scaled = value[c] * inverse;
                (Vec::zero() - scaled).store(v + (d * d + c * d + i) * kLanes);
                sum[c] = fma(scaled, z_i, sum[c]);
            }
        }
        GAUSSMIX_UNROLL for (int c = 0; c < count; ++c) {
            const Vec seen = part(layout_.rows, first + c) - Vec::broadcast(mean[first + c]);
            select(less(Vec::zero(), part(layout_.exact, first + c)), seen, sum[c])
                .store(scratch_ + layout_.mean + (first + c) * kLanes);
        }
    }

    // Calls use(i, j, element) for each element (i, j) on or below the diagonal of the conditional covariance of the
    // latent rows.
    template <int D, class Use>
    void for_each_covariance(Index k, Use use) const {
        for (Index j = 0; j < features<D>(); j += kTogether) {
            for (Index i = j; i < features<D>(); ++i) {
                with_constant(smaller(Index{kTogether}, i + 1 - j), [&](auto count) {
                    covariances<D, smaller(decltype(count)::value, kTogether)>(k, i, j, use);
                });
            }
        }
    }

    // Calls use(i, j, element) for `count` elements of row i of the conditional covariance, from column `first` on.
    template <int D, int count, class Use>
    void covariances(Index k, Index i, Index first, Use use) const {
        const Index d = features<D>();
        const double* covariance = operands_ + operands_layout_.each_covariance + k * triangle(d) + index(i, first);
        const double* v = scratch_ + layout_.regressed + i * d * kLanes;
        const double* scaled = scratch_ + layout_.regressed + (d + first) * d * kLanes;
        Vec sum[count];
        GAUSSMIX_UNROLL for (int c = 0; c < count; ++c) sum[c] = Vec::broadcast(covariance[c]);
        for (Index p = 0; p < d; ++p) {
            const Vec other = Vec::load(v + p * kLanes);
            GAUSSMIX_UNROLL for (int c = 0; c < count; ++c) sum[c] =
                fma(other, Vec::load(scaled + (c * d + p) * kLanes), sum[c]);
        }
        const Vec unsure = Vec::broadcast(1) - part(layout_.exact, i);
        GAUSSMIX_UNROLL for (int c = 0; c < count; ++c) {
            use(i, first + c, sum[c] * (unsure * (Vec::broadcast(1) - part(layout_.exact, first + c))));
        }
    }

    // number of columns that are computed together, so that the processor need not wait for each addition
    static constexpr int kTogether = 4;
    const Shape& shape_;
    const Index d_;
    const RowsView& rows_;
    const ErrorView& error_;
    const double* operands_;
    const Operands operands_layout_;
    const Layout layout_;
    double* scratch_;
    Vec constant_ = Vec::zero();
};

}  // namespace gaussmix::GAUSSMIX_ISA::incomplete
