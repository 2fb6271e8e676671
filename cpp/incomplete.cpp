#include "incomplete.hpp"

#include <algorithm>

#include "tree.hpp"

namespace gaussmix {

namespace {

Buffer pack(const IncompleteKernels& kernels, const Shape& shape, const ParametersView& parameters,
            const Listener& listener) {
    Buffer operands(kernels.sizes(shape, false).operands);
    const Buffer scratch = Buffer::of_doubles(kernels.pack_scratch(shape.n_features));
    kernels.pack(shape, parameters, listener, scratch.doubles(), operands.get());
    return operands;
}

// Divides the rows into spans of at least 35 tiles (5,040 rows). Shorter spans would cost time, because the sums of a
// pattern of missing values are completed once in every span that contains rows of this pattern.
SpanJob job_of(const IncompleteView& task) {
    constexpr Index kLeastRows = 35 * kTileRows;
    return {task.rows.n_rows, std::max(span_rows(task.shape), kLeastRows), 2 * work_per_row(task.shape)};
}

// Sorts the rows by their patterns of missing values, as the kernels for missing values require. Returns false if
// interrupted.
bool order(const IncompleteKernels& kernels, IncompleteView& task, const Execution& execution, Patterns& result) {
    const Index n_rows = task.rows.n_rows;
    if (result.indices.empty()) {
        // The sort is estimated to take the time of 8 multiply-adds per value.
        result.indices.resize(n_rows);
        result.pattern.resize(n_rows);
        SpanJob job{n_rows, kLeafRows, 8 * static_cast<double>(task.rows.n_features)};
        const Index leaf_rows = std::min(n_rows, kLeafRows);
        const PerWorker scratch(count_workers(job, execution.n_threads),
                                kernels.order_scratch(task.rows.n_features, leaf_rows));
        job.process = [&](int worker, Index first, Index last, Listener listener) {
            kernels.order(task.rows, first, last, listener, scratch.of(worker), result.indices.data() + first,
                          result.pattern.data() + first);
        };
        if (!process_spans(job, execution)) return false;
    }
    task.rows.order = result.indices.data();
    task.pattern = result.pattern.data();
    return true;
}

}  // namespace

bool step_incomplete(const KernelTable& table, IncompleteView task, const ParametersView& parameters,
                     const Execution& execution, MomentsView out, Patterns* patterns) {
    const IncompleteKernels& kernels = *table.incomplete;
    const bool has_errors = task.error.data != nullptr;
    Patterns own_patterns;
    if (!has_errors && !order(kernels, task, execution, patterns == nullptr ? own_patterns : *patterns)) return false;
    SpanJob job = job_of(task);
    const int n_workers = count_workers(job, execution.n_threads);
    const Sizes sizes = kernels.sizes(task.shape, has_errors);
    const Buffer operands = pack(kernels, task.shape, parameters, execution.interrupt.listener());
    const PerWorker scratch(n_workers, sizes.scratch);
    const auto add = [&](int worker, Index first, Index last, Listener listener, double* sums) {
        kernels.step(task, operands.get(), first, last, listener, scratch.of(worker), sums);
    };
    const auto unpack = [&](const double* sums) { kernels.unpack(task.shape, sums, out); };
    return sum_leaves(job, n_workers, execution, kernels.merge, task.shape, sizes.sums, add, unpack);
}

bool evaluate_incomplete(const KernelTable& table, IncompleteView task, const ParametersView& parameters,
                         const Execution& execution, double* out) {
    const IncompleteKernels& kernels = *table.incomplete;
    const bool has_errors = task.error.data != nullptr;
    Patterns patterns;
    if (!has_errors && !order(kernels, task, execution, patterns)) return false;
    SpanJob job = job_of(task);
    const Buffer operands = pack(kernels, task.shape, parameters, execution.interrupt.listener());
    const PerWorker scratch(count_workers(job, execution.n_threads), kernels.sizes(task.shape, has_errors).scratch);
    job.process = [&](int worker, Index first, Index last, Listener listener) {
        kernels.evaluate(task, operands.get(), first, last, listener, scratch.of(worker), out);
    };
    return process_spans(job, execution);
}

bool denoise(const KernelTable& table, const IncompleteView& task, const ParametersView& parameters,
             const Execution& execution, double* means, double* covariances) {
    const IncompleteKernels& kernels = *table.incomplete;
    SpanJob job = job_of(task);
    const Buffer operands = pack(kernels, task.shape, parameters, execution.interrupt.listener());
    const PerWorker scratch(count_workers(job, execution.n_threads), kernels.sizes(task.shape, true).scratch);
    job.process = [&](int worker, Index first, Index last, Listener listener) {
        kernels.denoise(task, operands.get(), first, last, listener, scratch.of(worker), means, covariances);
    };
    return process_spans(job, execution);
}

}  // namespace gaussmix
