// Divides rows into spans (runs of consecutive tiles of 144 rows), processes the spans in threads that live for one
// call, and merges the results in the order of the spans.
//
// The number of tiles in a span depends neither on the number of rows nor on the number of threads. Because the results
// are also merged in a fixed order, sums do not depend on the number of threads, not even in the last bit. Each thread
// stores at most one partial result at a time. The possible numbers of tiles in a span divide 455, so that every leaf
// (455 tiles) ends where a span ends.
#pragma once
#include <chrono>
#include <functional>
#include <utility>

#include "kernel_table.hpp"

namespace gaussmix {

// Estimates the number of multiply-adds that a pass needs per row; an exponential counts as 20 multiply-adds. All
// estimates of the work of an EM step, including estimates in engines/complete/row_order.py, use this function.
double work_per_row(const Shape& shape);

// Returns the number of rows in a span. A span has the smallest number of tiles in kSpanTiles that needs at least 5
// million multiply-adds (0.1 to 0.3 ms) and has at least `least` rows. If all numbers in kSpanTiles are too small, a
// span has 455 tiles. Merging a span takes the time of about 25 multiply-adds per sum, which is below 2 % of the span's
// work.
Index span_rows(const Shape& shape, Index least = 0);

// Checks for an interrupt about every 20 ms. Only the calling thread may use an object of this class. After the first
// interrupt, `has_come` always returns true.
class Interrupt {
public:
    explicit Interrupt(std::function<bool()> is_interrupted) : is_interrupted_(std::move(is_interrupted)) {}

    bool has_come();
    Listener listener();

private:
    const std::function<bool()> is_interrupted_;
    std::chrono::steady_clock::time_point last_check_ = std::chrono::steady_clock::now();
    bool has_come_ = false;
};

struct Execution {
    int n_threads;
    Interrupt& interrupt;
};

struct SpanJob {
    Index n_rows, rows_in_span;
    double work_per_row;
    // processes the rows of one span
    std::function<void(int worker, Index first, Index last, Listener)> process = {};
    // merges the result of one span, and is called in the order of the spans; empty if there is nothing to merge
    std::function<void(int worker)> merge = {};
};

// Returns the number n of workers that `process_spans` will use; `process` and `merge` receive the index of a worker,
// from 0 to n - 1.
int count_workers(const SpanJob& job, int n_threads);

// Processes all spans of the job. Returns false if interrupted, also before the call, because operands that were packed
// during an interrupt are incomplete.
bool process_spans(const SpanJob& job, const Execution& execution);

// Calls each(index, execution) for all indices from 0 to count - 1. The indices are distributed among the threads, and
// each call of `each` may use only one thread. `work` is the number of multiply-adds per call of `each`. Returns false
// if interrupted.
bool process_each(Index count, double work, const Execution& execution,
                  const std::function<void(Index, const Execution&)>& each);

}  // namespace gaussmix
