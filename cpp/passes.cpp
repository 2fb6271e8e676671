#include "passes.hpp"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "buffer.hpp"
#include "families/factorisation.hpp"
#include "tree.hpp"

namespace gaussmix {

namespace {

// With more features than this, the packed whitening factors of all components may be too large for the caches.
constexpr Index kMaxFeaturesPackedTogether = 32;

Buffer pack(const StepKernels& kernels, const Shape& shape, const ParametersView& parameters) {
    Buffer operands(kernels.sizes(shape).operands);
    kernels.pack(shape, parameters, operands.get());
    return operands;
}

// Unpacks a symmetric matrix of products, (count, count), from the sums of pairs of panels (4 values each), and returns
// a pointer to the end of these sums.
const double* unpack_products(const double* sums, Index count, double* out) {
    for (Index a = 0; a < count; a += kPanelValues) {
        for (Index b = 0; b <= a; b += kPanelValues, sums += kPanelValues * kPanelValues) {
            for (Index i = 0; i < kPanelValues; ++i) {
                for (Index j = 0; j < (a == b ? i + 1 : kPanelValues); ++j) {
                    out[(a + i) * count + b + j] = out[(b + j) * count + a + i] = sums[i * kPanelValues + j];
                }
            }
        }
    }
    return sums;
}

}  // namespace

bool step(const KernelTable& kernels, const StepView& task, const ParametersView& parameters,
          const Execution& execution, MomentsView out) {
    const StepKernels& complete = kernels.complete;
    const Sizes sizes = complete.sizes(task.shape);
    SpanJob job{task.rows.n_rows, span_rows(task.shape), work_per_row(task.shape)};
    const int n_workers = count_workers(job, execution.n_threads);
    const Buffer operands = pack(complete, task.shape, parameters);
    const PerWorker scratch(n_workers, sizes.scratch);
    const auto add = [&](int worker, Index first, Index last, Listener listener, double* sums) {
        complete.step(task, operands.get(), first, last, listener, scratch.of(worker), sums);
    };
    const auto unpack = [&](const double* sums) { complete.unpack(task.shape, sums, out); };
    return sum_leaves(job, n_workers, execution, complete.merge, task.shape, sizes.sums, add, unpack);
}

bool evaluate(const KernelTable& kernels, const Shape& shape, const RowsView& rows, const ParametersView& parameters,
              Output output, const Execution& execution, void* out) {
    SpanJob job{rows.n_rows, span_rows(shape), work_per_row(shape)};
    ParametersView packed = parameters;
    const double* unpacked = nullptr;
    const bool is_triangular = shape.factor_shape == FactorShape::triangular && !shape.is_shared;
    if (rows.n_rows <= kGroupRows && is_triangular && shape.n_features > kMaxFeaturesPackedTogether) {
        std::swap(packed.factors, unpacked);  // factors that are read only once are not packed in advance
    }
    const Buffer operands = pack(kernels.complete, shape, packed);
    const PerWorker scratch(count_workers(job, execution.n_threads), kernels.complete.sizes(shape).scratch);
    job.process = [&](int worker, Index first, Index last, Listener listener) {
        kernels.evaluate(shape, rows, output, operands.get(), unpacked, first, last, listener, scratch.of(worker), out);
    };
    return process_spans(job, execution);
}

void count_scores(ScoresView& task) {
    const auto panels = [](Index count) { return (count + kPanelValues - 1) / kPanelValues; };
    const Index n_components = task.step.shape.n_components, d = task.step.shape.n_features;
    const Index n_products = task.second == Second::trace ? 1 : task.second == Second::diagonal ? d : d * (d + 1) / 2;
    task.n_own = panels(d + n_products) + 1;
    task.n_each = task.is_shared ? panels(d) : panels(d + n_products);
    task.n_all = n_components * task.n_each + (task.is_shared ? panels(n_products) : 0) + panels(n_components);
}

bool add_scores(const KernelTable& kernels, const ScoresView& task, const ParametersView& parameters,
                const Execution& execution, double* all, double* own) {
    // With this number of rows in a span, merging the sums of spans, which have one sum for each product, takes only 2
    // % of the time.
    constexpr Index kSpan = 13 * kTileRows;
    const Index n_components = task.step.shape.n_components;
    const Index n_all = task.n_all * kPanelValues, n_own = task.n_own * kPanelValues;
    SpanJob job{task.step.rows.n_rows, kSpan, static_cast<double>(n_all * n_all + n_components * n_own * n_own) / 2};
    const Sizes sizes = kernels.scores.sizes(task);
    const Buffer operands = pack(kernels.complete, task.step.shape, parameters);
    const int n_workers = count_workers(job, execution.n_threads);
    const PerWorker scratch(n_workers, sizes.scratch),
        partial(n_workers, sizes.sums * static_cast<Index>(sizeof(double)));
    const Buffer total = Buffer::of_doubles(sizes.sums);
    std::fill_n(total.doubles(), sizes.sums, 0.0);
    job.process = [&](int worker, Index first, Index last, Listener listener) {
        double* sums = partial.doubles(worker);
        std::fill_n(sums, sizes.sums, 0.0);
        kernels.scores.add(task, operands.get(), first, last, listener, scratch.of(worker), sums);
    };
    job.merge = [&](int worker) {
        const double* from = partial.doubles(worker);
        double* to = total.doubles();
        std::transform(from, from + sizes.sums, to, to, std::plus<double>());
    };
    if (!process_spans(job, execution)) return false;
    const double* sums = unpack_products(total.doubles(), n_all, all);
    for (Index k = 0; k < n_components; ++k) sums = unpack_products(sums, n_own, own + k * n_own * n_own);
    return true;
}

bool factorise(const KernelTable& kernels, Index count, Index n_features, const double* covariances, double* factors,
               double* log_abs_det, bool* failed, Interrupt& interrupt) {
    const Index size = n_features * n_features;
    Factoriser factorise_one(kernels, n_features);
    for (Index k = 0; k < count && !interrupt.has_come(); ++k) {
        failed[k] = !factorise_one(covariances + k * size, interrupt.listener(), factors + k * size, log_abs_det + k);
    }
    return !interrupt.has_come();
}

bool gram(const KernelTable& kernels, Index count, Index n_features, const double* factors, double* out,
          Interrupt& interrupt) {
    constexpr Index kTogether = 32;  // number of factors W for which one pass computes W' W
    const Index d = n_features, size = d * d;
    std::vector<std::int32_t> labels(kTogether * d);
    for (Index i = 0; i < kTogether * d; ++i) labels[i] = static_cast<std::int32_t>(i / d);
    const std::vector<double> zero(kTogether * d, 0.0);
    std::vector<double> mass(kTogether), first(kTogether * d);
    // The kernels for EM steps can compute W' W, because W' W is the sum of the second moments about 0 of the rows of
    // W.
    for (Index k = 0; k < count; k += kTogether) {
        const Index n = std::min(kTogether, count - k);
        StepView task{};
        task.shape = {n, d, FactorShape::spherical, false, Rule::assignment, Second::full};
        task.rows = plain_rows(factors + k * size, n * d, d);
        task.assignment = {labels.data(), nullptr, 1, 0};
        double log_likelihood, n_distant, n_active;
        const MomentsView sums{&log_likelihood, &n_distant, &n_active, mass.data(), first.data(), out + k * size};
        if (!step(kernels, task, {nullptr, nullptr, nullptr, zero.data()}, {1, interrupt}, sums)) return false;
    }
    return true;
}

bool measure_motion(const KernelTable& kernels, const Shape& shape, const ParametersView& before,
                    const ParametersView& after, float* ratio, float* shift, Interrupt& interrupt) {
    const Buffer scratch = Buffer::of_doubles(shape.n_features);
    kernels.measure_motion(shape, before, after, interrupt.listener(), scratch.doubles(), ratio, shift);
    return !interrupt.has_come();
}

}  // namespace gaussmix
