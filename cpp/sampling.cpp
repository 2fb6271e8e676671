#include "sampling.hpp"

#include <algorithm>
#include <vector>

#include "buffer.hpp"

namespace gaussmix {

namespace {

constexpr Index kMinBlockRows = 8192, kMaxBlockRows = 65536;  // smallest and largest number of rows in a block
constexpr Index kMaxBuckets = 65536;

struct Scratch {
    Scratch(const Shape& shape, Index rows_in_block)
        : starts(shape.n_components + 1),
          order(rows_in_block),
          lanes(Buffer::of_doubles(kDrawnAtOnce * (shape.n_features + 1))),
          scales(Buffer::of_doubles(shape.n_features + shape.n_factors)) {}

    DrawScratch view() { return {starts.data(), order.data(), lanes.doubles(), scales.doubles()}; }

    std::vector<Index> starts, order;
    Buffer lanes, scales;
};

// Chooses the number of rows in a block. A block is so large that most vectors of rows of the same component are full,
// and so small that its rows stay in the cache.
Index rows_in_block(const Shape& shape) {
    Index rows = kMinBlockRows;
    while (rows < 64 * shape.n_components && rows < kMaxBlockRows) rows *= 2;
    return rows;
}

// Estimates the number of multiply-adds that take as long as drawing one row, including its random numbers.
double work_per_drawn_row(const Shape& shape) {
    const auto d = static_cast<double>(shape.n_features);
    return 100 + 40 * d + 2 * d * static_cast<double>(shape.n_factors) +
           (shape.factor_shape == FactorShape::triangular ? d * d / 2 : 0);
}

// Tabulates, for each bucket of random numbers, the component at which the search in the cumulative weights begins.
// With many more buckets than components, the search nearly always ends at this component, so that the processor can
// predict the branches. The number of buckets is limited, because a larger table could cost more time than it saves.
std::vector<std::int32_t> make_guide(const DrawView& view, Index n_rows) {
    Index n_buckets = 1;
    while (n_buckets < std::min({16 * view.shape.n_components, n_rows, kMaxBuckets})) n_buckets *= 2;
    std::vector<std::int32_t> guide(n_buckets);
    std::int32_t component = 0;
    for (Index i = 0; i < n_buckets; ++i) {
        while (view.cumulative[component] <= static_cast<double>(i) / static_cast<double>(n_buckets)) ++component;
        guide[i] = component;
    }
    return guide;
}

}  // namespace

bool draw(const KernelTable& kernels, DrawView view, Index n_rows, const Execution& execution) {
    SpanJob job{n_rows, rows_in_block(view.shape), work_per_drawn_row(view.shape)};
    const std::vector<std::int32_t> guide = make_guide(view, n_rows);
    view.guide = guide.data();
    view.n_buckets = static_cast<Index>(guide.size());
    std::vector<Scratch> scratch;
    for (int i = 0; i < count_workers(job, execution.n_threads); ++i) {
        scratch.emplace_back(view.shape, std::min(job.rows_in_span, n_rows));
    }
    job.process = [&](int worker, Index first, Index last, Listener listener) {
        kernels.draw(view, first, last, listener, scratch[worker].view());
    };
    return process_spans(job, execution);
}

}  // namespace gaussmix
