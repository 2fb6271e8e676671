// Kernel for runs of many consecutive rows with the same pattern of missing values. The kernels for complete rows sum
// the moments of the observed values under the marginal distributions of the components. The moments that involve
// missing values are computed from the sums of a run when the run ends. If f_o and M_oo are the first and second
// moments of the observed values, and B = S_mo S_oo^-1, then the first moments of all features are [I; B] f_o. The
// second moments of all features are [I; B] M_oo [I; B]' plus, for pairs of missing features, N (S_mm - B S_om), where
// N is the mass of the component.
#pragma once
#include "pattern.hpp"

namespace gaussmix::GAUSSMIX_DENSE_ISA {
extern const KernelTable kKernels;
}

namespace gaussmix::GAUSSMIX_ISA::incomplete {

class Run {
public:
    static Index scratch_size(const Shape& shape) { return Layout(shape).size; }

    Run(const Shape& shape, const RowsView& rows, const RowWeightView& row_weight, const PriorView& prior,
        const double* operands, Listener listener, double* scratch)
        : shape_(shape),
          d_(shape.n_features),
          K_(padded_components(shape)),
          rows_(rows),
          row_weight_(row_weight),
          prior_(prior),
          operands_(operands),
          conditioner_(shape, operands),
          listener_(listener),
          layout_(shape),
          scratch_(scratch) {}

    // Begins a run whose pattern is the pattern of the given row; the row must have an observed value. Returns false if
    // the pass is cancelled.
    bool begin(Index row, bool has_moments, Poll& poll) {
        pattern_ = Pattern::of(rows_, row, reinterpret_cast<Index*>(scratch_ + layout_.features));
        const Index n = pattern_.n_missing, o = pattern_.n_present;
        dense_ = {shape_.n_components, o, FactorShape::triangular, false, Rule::soft, Second::full};
        for (Index v = 0; v < K_ / kLanes; ++v) {
            find_marginals(v);
            if (has_moments && n > 0) {
                conditioner_.condition(pattern_, v, conditional(v));
                conditioner_.regress(pattern_, v, conditional(v));
            }
            if (poll.is_cancelled(kLanes * (d_ + 3) * d_ * d_ / 2)) return false;
        }
        const Operands layout(shape_);
        for (Index k = 0; k < shape_.n_components; ++k) {
            for (Index i = 0; i < o; ++i)
                scratch_[layout_.means + k * o + i] = operands_[layout.each_mean + k * d_ + pattern_.present(i)];
        }
        ParametersView parameters{scratch_ + layout_.log_scale, scratch_ + layout_.means, scratch_ + layout_.factors,
                                  scratch_ + layout_.means};
        parameters.log_noise_density = operands_[layout.noise];
        kernels().pack(dense_, parameters, scratch_ + layout_.operands);
        const Index n_sums = kernels().sizes(dense_).sums;
        for (Index i = 0; i < n_sums; ++i) scratch_[layout_.sums + i] = 0;
        return !poll.is_cancelled(K_ * d_ * d_);
    }

    // Adds the moments of rows first .. end - 1, which are at most a tile (144 rows). Returns false if the pass is
    // cancelled.
    bool add(Index first, Index end) {
        const StepView task = view(first, end);
        const Index n_rows = end - first;
        return kernels().step(task, scratch_ + layout_.operands, 0, n_rows, listener_, scratch_ + layout_.scratch,
                              scratch_ + layout_.sums) == n_rows;
    }

    // Writes log p(x, k) of rows first .. end - 1 under all components k.
    void evaluate(Index first, Index end, double* out) {
        const StepView task = view(first, end);
        double* results = scratch_ + layout_.results;
        GAUSSMIX_DENSE_ISA::kKernels.evaluate(dense_, task.rows, Output::weighted_log_density,
                                              scratch_ + layout_.operands, nullptr, 0, end - first, listener_,
                                              scratch_ + layout_.scratch, results);
        const Index n = shape_.n_components;
        for (; first < end; ++first, results += n) {
            for (Index k = 0; k < n; ++k) out[row_at(rows_, first) * n + k] = results[k];
        }
    }

    // Computes the sums that involve missing values, and adds all sums of the run to the sums that all kernels share.
    // Returns false if the pass is cancelled.
    bool complete(Totals& totals, Poll& poll, double* sums) {
        const Index o = pattern_.n_present, K = shape_.n_components;
        double n_distant, n_active, log_likelihood = 0, noise = 0;
        const MomentsView moments{
            &log_likelihood,           &n_distant, &n_active, scratch_ + layout_.mass, scratch_ + layout_.first,
            scratch_ + layout_.second, &noise};
        kernels().unpack(dense_, scratch_ + layout_.sums, moments);
        alignas(64) double one[kLanes] = {log_likelihood}, other[kLanes] = {noise};
        totals.log_likelihood = totals.log_likelihood + Vec::load(one);
        totals.noise = totals.noise + Vec::load(other);
        for (Index v = 0; v < K_ / kLanes; ++v) {
            const Index count = smaller(Index{kLanes}, K - v * kLanes);
            gather(scratch_ + layout_.mass + v * kLanes, 1, count, scratch_ + layout_.lane_mass);
            for (Index i = 0; i < o; ++i) {
                gather(scratch_ + layout_.first + v * kLanes * o + i, o, count,
                       scratch_ + layout_.lane_first + i * kLanes);
                for (Index j = 0; j < o; ++j)
                    gather(scratch_ + layout_.second + v * kLanes * o * o + i * o + j, o * o, count,
                           scratch_ + layout_.lane_second + (i * o + j) * kLanes);
            }
            add_completed(v, sums + v * kLanes);
            if (poll.is_cancelled(kLanes * (d_ + 3) * d_ * d_ / 2)) return false;
        }
        return true;
    }

private:
    struct Layout {
        Index features, factors, means, log_scale, operands, scratch, sums, rows, weights, indices, results;
        Index factor, product, regression, covariance, vectors, mass, first, second, lane_mass, lane_first, lane_second,
            size;

        explicit Layout(const Shape& shape) {
            const Index d = shape.n_features, K = padded_components(shape);
            // The sizes grow with the number of observed features, but another kernel, which may need less memory, sums
            // the moments of more than kMaxFixed features.
            Sizes limit{0, 0, 0};
            const Index largest_counts[] = {smaller(d, Index{kMaxFixed}), d};
            for (const Index o : largest_counts) {
                const Sizes sizes =
                    kernels().sizes({shape.n_components, o, FactorShape::triangular, false, Rule::soft, Second::full});
                limit = {larger(limit.operands, sizes.operands), larger(limit.scratch, sizes.scratch),
                         larger(limit.sums, sizes.sums)};
            }
            constexpr Index bytes = sizeof(double);
            Carver carver;
            features = carver.take(d);
            factors = carver.take(K * d * d);
            means = carver.take(K * d);
            log_scale = carver.take(K);
            operands = carver.take(limit.operands / bytes);
            scratch = carver.take(limit.scratch / bytes);
            sums = carver.take(limit.sums);
            rows = carver.take(kTileRows * d);
            weights = carver.take(kTileRows);
            indices = carver.take(kTileRows);  // holds int32 numbers
            results = carver.take(kTileRows * shape.n_components);
            factor = carver.take(triangle(d) * kLanes);
            product = carver.take(d * d * kLanes);
            regression = carver.take(K * d * d);
            covariance = carver.take(K * triangle(d));
            vectors = carver.take(d * kLanes);
            mass = carver.take(K);
            first = carver.take(K * d);
            second = carver.take(K * d * d);
            lane_mass = carver.take(kLanes);
            lane_first = carver.take(d * kLanes);
            lane_second = carver.take(d * d * kLanes);
            size = carver.size();
        }
    };

    static const StepKernels& kernels() { return GAUSSMIX_DENSE_ISA::kKernels.complete; }

    // Computes, for components 8 v .. 8 v + 7, the whitening factors of the observed features and the constants of the
    // log densities. Leaves L^-1 and 1/D of the covariances L D L' of the observed features in `factor`.
    void find_marginals(Index v) {
        const Index o = pattern_.n_present;
        double* factor = scratch_ + layout_.factor;
        for (Index i = 0; i < o; ++i) {
            for (Index j = 0; j <= i; ++j)
                conditioner_.covariance(pattern_.present(i), pattern_.present(j), v)
                    .store(factor + index(i, j) * kLanes);
        }
        const Vec nats = factorise<0>(o, factor) + Vec::broadcast(static_cast<double>(o) * kLog2Pi);
        fma(Vec::broadcast(-0.5), nats, conditioner_.element(conditioner_.layout().log_weight, 0, v))
            .store(scratch_ + layout_.log_scale + v * kLanes);
        invert_unit(o, factor);
        for (Index i = 0; i < o; ++i) {
            const Vec scale = sqrt(Vec::load(factor + index(i, i) * kLanes));
            for (Index j = 0; j <= i; ++j) {
                alignas(64) double lanes[kLanes];
                (j == i ? scale : scale * Vec::load(factor + index(i, j) * kLanes)).store(lanes);
                double* out = scratch_ + layout_.factors + v * kLanes * o * o + i * o + j;
                GAUSSMIX_UNROLL for (int k = 0; k < kLanes; ++k) out[k * o * o] = lanes[k];
            }
        }
    }

    double* regression(Index v) { return scratch_ + layout_.regression + v * kLanes * d_ * d_; }
    double* covariance(Index v) { return scratch_ + layout_.covariance + v * kLanes * triangle(d_); }

    Conditional conditional(Index v) {
        return {covariance(v), regression(v), scratch_ + layout_.factor, scratch_ + layout_.vectors};
    }

    static void gather(const double* from, Index stride, Index count, double* to) {
        for (Index k = 0; k < kLanes; ++k) to[k] = k < count ? from[k * stride] : 0;
    }

    // Computes the moments of all features from the moments of the observed values, as described at the top of this
    // file, and adds them to the sums of components 8 v .. 8 v + 7.
    void add_completed(Index v, double* sums) {
        const Index n = pattern_.n_missing, o = pattern_.n_present;
        const double* first = scratch_ + layout_.lane_first;
        const double* second = scratch_ + layout_.lane_second;
        double* product = scratch_ + layout_.product;  // B M_oo (see the top of this file), [missing][observed]
        const auto add = [&](Index moment, Vec x) { (Vec::load(sums + moment * K_) + x).store(sums + moment * K_); };
        const auto add_second = [&](Index i, Index j, Vec x) { add(1 + d_ + index(i, j), x); };
        const Vec mass = Vec::load(scratch_ + layout_.lane_mass);
        add(0, mass);
        for (Index i = 0; i < o; ++i) {
            add(1 + pattern_.present(i), Vec::load(first + i * kLanes));
            for (Index j = 0; j <= i; ++j)
                add_second(pattern_.present(i), pattern_.present(j), Vec::load(second + (i * o + j) * kLanes));
        }
        for (Index a = 0; a < n; ++a) {
            const double* row = regression(v) + a * o * kLanes;
            Vec sum = Vec::zero();
            for (Index j = 0; j < o; ++j) sum = fma(Vec::load(row + j * kLanes), Vec::load(first + j * kLanes), sum);
            add(1 + pattern_.missing(a), sum);
            for (Index i = 0; i < o; ++i) {
                Vec moment = Vec::zero();
                for (Index j = 0; j < o; ++j)
                    moment = fma(Vec::load(row + j * kLanes), Vec::load(second + (i * o + j) * kLanes), moment);
                moment.store(product + (a * o + i) * kLanes);
                add_second(pattern_.missing(a), pattern_.present(i), moment);
            }
            for (Index b = 0; b <= a; ++b) {
                const double* other = regression(v) + b * o * kLanes;
                Vec moment = mass * Vec::load(covariance(v) + index(a, b) * kLanes);
                for (Index i = 0; i < o; ++i)
                    moment = fma(Vec::load(product + (a * o + i) * kLanes), Vec::load(other + i * kLanes), moment);
                add_second(pattern_.missing(a), pattern_.missing(b), moment);
            }
        }
    }

    // Reads the observed values of eight rows.
    template <class T>
    void read(const Index (&row)[kLanes], double* out) const {
        for (Index j = 0, n = 0; j < d_; j += kFeaturesTogether) {
            const int count = static_cast<int>(smaller(Index{kFeaturesTogether}, d_ - j));
            alignas(64) Vec features[kFeaturesTogether];
            if (rows_.column_stride == 1) {
                const Elements<T> elements{static_cast<const char*>(rows_.data)};
                const char* at[kLanes];
                GAUSSMIX_UNROLL for (int i = 0; i < kLanes; ++i) at[i] = elements.at(row[i] * rows_.row_stride + j);
                load_features<T>(at, count, features);
            } else {
                alignas(64) double lanes[kLanes];
                for (int i = 0; i < count; ++i) {
                    for (int r = 0; r < kLanes; ++r) lanes[r] = value_at(rows_, row[r], j + i);
                    features[i] = Vec::load(lanes);
                }
            }
            for (; n < pattern_.n_present && pattern_.present(n) < j + count; ++n)
                features[pattern_.present(n) - j].store(out + n * kTileRows);
        }
    }

    // Reads the observed values of rows first .. end - 1 into the layout [feature][row], and finds the weights and log
    // priors of these rows.
    StepView view(Index first, Index end) {
        const Index o = pattern_.n_present;
        double* cells = scratch_ + layout_.rows;
        for (Index i = first; i < end; i += kLanes) {
            if ((i - first) % kGroupRows == 0)
                Prefetch(rows_, i + kTileRows, 1).fetch_all();  // starts to load the rows of the next tile
            // unused lanes repeat the last row of the run, because the rows after the run may have a different pattern
            Index row[kLanes];
            for (int r = 0; r < kLanes; ++r) row[r] = row_at(rows_, smaller(i + r, end - 1));
            rows_.is_float32 ? read<float>(row, cells + i - first) : read<double>(row, cells + i - first);
        }
        StepView task{};
        task.shape = dense_;
        task.rows = {cells, false, end - first, o, 1, kTileRows, nullptr, nullptr};
        if (row_weight_.data != nullptr) {
            double* weights = scratch_ + layout_.weights;
            const Elements<double> elements{reinterpret_cast<const char*>(row_weight_.data)};
            for (Index i = first; i < end; ++i) weights[i - first] = elements[row_at(rows_, i) * row_weight_.stride];
            task.row_weight = {weights, 1};
        }
        if (prior_.table != nullptr) {
            std::int32_t* indices = reinterpret_cast<std::int32_t*>(scratch_ + layout_.indices);
            for (Index i = first; i < end; ++i)
                indices[i - first] = static_cast<std::int32_t>(prior_index(prior_, row_at(rows_, i)));
            task.prior = prior_;
            task.prior.indices = indices;
            task.prior.index_stride = 1;
        }
        return task;
    }

    const Shape& shape_;
    const Index d_, K_;
    const RowsView& rows_;
    const RowWeightView& row_weight_;
    const PriorView& prior_;
    const double* operands_;
    const Conditioner conditioner_;
    const Listener listener_;
    const Layout layout_;
    double* scratch_;
    Pattern pattern_{};
    Shape dense_{};
};

}  // namespace gaussmix::GAUSSMIX_ISA::incomplete
