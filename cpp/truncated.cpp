#include <algorithm>
#include <vector>

#include "buffer.hpp"
#include "passes.hpp"
#include "tree.hpp"

namespace gaussmix {

namespace {

constexpr Index kEvaluatedPerRow = 64;  // estimated number of components that are evaluated for each row

// Sorts the rows of each leaf (block of 65,520 rows) by the rank of their most probable component; rows of equal rank
// keep their order.
std::vector<std::uint16_t> order_rows(const TruncatedView& task, const std::int32_t* rank, const Execution& execution) {
    const Index n_rows = task.step.rows.n_rows, n_components = task.step.shape.n_components;
    std::vector<std::uint16_t> order(n_rows);
    const auto order_leaf = [&](Index leaf, const Execution&) {
        const Index first = leaf * kLeafRows, count = std::min(kLeafRows, n_rows - first);
        std::vector<std::uint32_t> starts(n_components + 2, 0);
        const auto rank_of = [&](Index i) {
            const std::int32_t best = task.candidates[(first + i) * task.n_candidates];
            return static_cast<std::size_t>(best < 0 ? n_components : rank[best]);
        };
        for (Index i = 0; i < count; ++i) ++starts[rank_of(i) + 1];
        for (std::size_t r = 1; r < starts.size(); ++r) starts[r] += starts[r - 1];
        for (Index i = 0; i < count; ++i) {
            order[first + starts[rank_of(i)]++] = static_cast<std::uint16_t>(i);
        }
    };
    const Index n_leaves = (n_rows + kLeafRows - 1) / kLeafRows;
    process_each(n_leaves, static_cast<double>(4 * kLeafRows), execution, order_leaf);
    return order;
}

}  // namespace

bool step_truncated(const KernelTable& kernels, TruncatedView task, const ParametersView& parameters,
                    const std::int32_t* rank, const Execution& execution, MomentsView out) {
    const Shape& shape = task.step.shape;
    const std::vector<std::uint16_t> order = order_rows(task, rank, execution);
    if (execution.interrupt.has_come()) return false;
    task.step.rows.order = order.data();
    const Sizes sizes = kernels.truncated.sizes(task);
    Shape evaluated = shape;
    evaluated.n_components = std::min(shape.n_components, kEvaluatedPerRow);
    // Spans have at least n_components rows, because the time for merging the sums of a span is proportional to the
    // number of components.
    SpanJob job{task.step.rows.n_rows, span_rows(evaluated, shape.n_components), work_per_row(evaluated)};
    const int n_workers = count_workers(job, execution.n_threads);
    const Buffer operands(sizes.operands);
    kernels.truncated.pack(task, parameters, operands.get());
    const PerWorker scratch(n_workers, sizes.scratch);
    const auto add = [&](int worker, Index first, Index last, Listener listener, double* sums) {
        kernels.truncated.step(task, operands.get(), first, last, listener, scratch.of(worker), sums);
    };
    const auto unpack = [&](const double* sums) { kernels.complete.unpack(shape, sums, out); };
    return sum_leaves(job, n_workers, execution, kernels.complete.merge, shape, sizes.sums, add, unpack);
}

}  // namespace gaussmix
