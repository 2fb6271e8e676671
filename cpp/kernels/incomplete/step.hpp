// Passes once over incomplete rows: chooses a kernel for each row, and adds up the sums of the kernels.
#pragma once
#include "by_component.hpp"
#include "by_row.hpp"
#include "order.hpp"
#include "pack.hpp"
#include "run.hpp"

namespace gaussmix::GAUSSMIX_ISA::incomplete {

// Smallest number of consecutive rows with the same pattern for which the kernels for complete rows are faster than
// `ByComponent`.
constexpr Index kLeastRun = 32;

inline Sizes sizes(const Shape& shape, bool has_errors) noexcept {
    constexpr Index bytes = sizeof(double);
    const Index scratch =
        has_errors ? ByRow::scratch_size(shape) : ByComponent::scratch_size(shape) + Run::scratch_size(shape);
    return {Operands(shape).size * bytes, scratch * bytes, Sums(shape).size};
}

// A pass uses either `by_row_` (for rows with errors) or `by_component_`, so both begin at the start of the scratch
// memory.
class Pass {
public:
    Pass(const IncompleteView& task, const void* operands, Listener listener, void* scratch)
        : task_(task),
          operands_(static_cast<const double*>(operands)),
          poll_(listener),
          by_row_(task.shape, task.rows, task.error, operands_, static_cast<double*>(scratch)),
          by_component_(task.shape, task.rows, operands_, static_cast<double*>(scratch)),
          run_(task.shape, task.rows, task.row_weight, task.prior, operands_, listener,
               static_cast<double*>(scratch) + (has_errors() ? 0 : ByComponent::scratch_size(task.shape))) {}

    // Adds the sums over rows first..last-1 to `sums`. Returns `last`, or `first` if the pass is cancelled.
    Index step(Index first, Index last, double* sums) {
        const Sums layout(task_.shape);
        moments_ = sums + layout.moments;
        if (has_errors()) by_row_.clear_sums();
        if (!visit(first, last)) return first;
        if (has_errors()) by_row_.add_sums(moments_);
        sums[layout.log_likelihood] += lane_sum(totals_.log_likelihood);
        sums[layout.noise] += lane_sum(totals_.noise);
        return last;
    }

    void evaluate(Index first, Index last, double* out) {
        out_ = out;
        visit(first, last);
    }

    // Writes the mean and the covariance of each latent row (without measurement errors and missing values).
    void denoise(Index first, Index last, double* means, double* covariances) {
        Batch batch;
        for (Index row = first; row < last; ++row) {
            batch.row[batch.n_rows++] = row;
            if (batch.n_rows < kBatchRows && row + 1 < last) continue;
            if (!by_row_.find_densities(batch, poll_)) return;
            double* densities = by_row_.densities();
            alignas(64) double noise[kLanes] = {};
            add_prior(task_.prior, batch, task_.shape.n_components, densities, noise);
            const Vec nothing = Vec::broadcast(-__builtin_inf());
            const Vec factor = normalise(densities, task_.shape.n_components, nothing, Vec::broadcast(1), totals_);
            for (Index k = 0; k < task_.shape.n_components; ++k)
                (Vec::load(densities + k * kLanes) * factor).store(densities + k * kLanes);
            if (!by_row_.write_posteriors(batch, means, covariances, poll_)) return;
            batch.n_rows = 0;
        }
    }

private:
    bool has_errors() const { return task_.error.data != nullptr; }
    bool is_step() const { return out_ == nullptr; }

    // Visits rows first..last-1: long runs of rows with the same pattern together, and all other rows in batches.
    // Returns false if the pass is cancelled.
    bool visit(Index first, Index last) {
        Batch batch;
        Index pattern[kBatchRows];
        const int limit = has_errors() ? kBatchRows : ByComponent::batch_rows(task_.shape);
        while (first < last) {
            const Index end = has_errors() ? first + 1 : end_of_run(first, last);
            if (!has_errors() && is_long(first, end)) {
                if (!visit_run(first, end)) return false;
                first = end;
                continue;
            }
            for (; first < end; ++first) {
                pattern[batch.n_rows] = has_errors() ? 0 : task_.pattern[first];
                batch.row[batch.n_rows++] = row_at(task_.rows, first);
                if (batch.n_rows < limit) continue;
                if (!visit_batch(batch, pattern)) return false;
                batch.n_rows = 0;
            }
        }
        return batch.n_rows == 0 || visit_batch(batch, pattern);
    }

    // Returns the end of a run of rows with the same pattern. A run never extends beyond a leaf (block of 65,520 rows),
    // because a call visits the rows of one span, and every leaf ends where a span ends.
    Index end_of_run(Index first, Index last) const {
        Index end = first + 1;
        while (end < last && task_.pattern[end] == task_.pattern[first]) ++end;
        return end;
    }

    // Checks whether the kernels for complete rows handle a run. The kernels for complete rows are slower than
    // `ByComponent` for short runs, cannot handle rows without observed values, and support log priors of rows only in
    // EM steps.
    bool is_long(Index first, Index end) const {
        if (end - first < kLeastRun || (!is_step() && task_.prior.table != nullptr)) return false;
        for (Index j = 0; j < task_.shape.n_features; ++j) {
            const double x = value_at(task_.rows, row_at(task_.rows, first), j);
            if (x == x) return true;
        }
        return false;
    }

    // Adds a run of rows to the moments or, outside EM steps, writes the results of these rows.
    bool visit_run(Index first, Index end) {
        if (!run_.begin(row_at(task_.rows, first), is_step(), poll_)) return false;
        for (; first < end; first += kTileRows) {
            const Index stop = smaller(first + kTileRows, end);
            if (!is_step()) run_.evaluate(first, stop, out_);
            if (is_step() && !run_.add(first, stop)) return false;
        }
        return !is_step() || run_.complete(totals_, poll_, moments_);
    }

    // Adds a batch of rows to the moments or, outside EM steps, writes the results of these rows.
    bool visit_batch(const Batch& batch, const Index* pattern) {
        const Index n_components = task_.shape.n_components;
        const bool has_model =
            has_errors() ? by_row_.find_densities(batch, poll_) : by_component_.find_densities(batch, pattern, poll_);
        if (!has_model) return false;
        double* densities = has_errors() ? by_row_.densities() : by_component_.densities();
        alignas(64) double noise[kLanes];
        Vec::broadcast(operands_[Operands(task_.shape).noise]).store(noise);
        add_prior(task_.prior, batch, n_components, densities, noise);
        if (!is_step()) {
            write_log_densities(batch, n_components, densities, out_);
            return true;
        }
        const Vec factor =
            normalise(densities, n_components, Vec::load(noise), weights(task_.row_weight, batch), totals_);
        return has_errors() ? by_row_.add_moments(factor, poll_)
                            : by_component_.add_moments(batch, factor, poll_, moments_);
    }

    const IncompleteView& task_;
    const double* operands_;
    Poll poll_;
    ByRow by_row_;
    ByComponent by_component_;
    Run run_;
    Totals totals_;
    double* moments_ = nullptr;
    double* out_ = nullptr;
};

inline Index step(const IncompleteView& task, const void* operands, Index first, Index last, Listener listener,
                  void* scratch, double* sums) noexcept {
    return Pass(task, operands, listener, scratch).step(first, last, sums);
}

inline void evaluate(const IncompleteView& task, const void* operands, Index first, Index last, Listener listener,
                     void* scratch, double* out) noexcept {
    Pass(task, operands, listener, scratch).evaluate(first, last, out);
}

inline void denoise(const IncompleteView& task, const void* operands, Index first, Index last, Listener listener,
                    void* scratch, double* means, double* covariances) noexcept {
    Pass(task, operands, listener, scratch).denoise(first, last, means, covariances);
}

inline void merge(const Shape& shape, double* span, double* total) noexcept {
    for (Index i = 0, size = Sums(shape).size; i < size; i += kLanes) {
        (Vec::load(total + i) + Vec::load(span + i)).store(total + i);
        Vec::zero().store(span + i);
    }
}

inline void unpack(const Shape& shape, const double* sums, MomentsView out) noexcept {
    const Index d = shape.n_features, K = padded_components(shape);
    const Sums layout(shape);
    const double* moments = sums + layout.moments;
    *out.log_likelihood = sums[layout.log_likelihood];
    *out.noise = sums[layout.noise];
    for (Index k = 0; k < shape.n_components; ++k) {
        out.mass[k] = moments[k];
        for (Index i = 0; i < d; ++i) {
            out.first[k * d + i] = moments[(1 + i) * K + k];
            const auto second = [&](Index j) { return moments[(1 + d + index(i, j)) * K + k]; };
            if (shape.second == Second::diagonal) out.second[k * d + i] = second(i);
            for (Index j = 0; shape.second == Second::full && j <= i; ++j)
                out.second[(k * d + i) * d + j] = out.second[(k * d + j) * d + i] = second(j);
        }
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::incomplete
