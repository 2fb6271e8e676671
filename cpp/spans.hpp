// Cuts rows into spans, processes them in threads that live for one call, and merges their results in span order.
//
// The number of tiles in a span depends neither on the number of rows nor on the number of threads. Together with the
// ordered merge this makes every bit of a sum independent of both. Each thread has at most one partial result. The
// numbers of tiles divide 455, so that every block of 455 tiles ends where a span ends.
#pragma once
#include <chrono>
#include <functional>
#include <utility>

#include "kernel_table.hpp"

namespace gaussmix {

// Estimates the multiply-adds of a pass for each row, where an exponential counts as 20. No other formula estimates the
// work of a step; engines/complete/row_order.py uses this one, too.
double work_per_row(const Shape& shape);

// Returns the number of rows in a span: the fewest tiles of a list that need 5 million multiply-adds (0.1 to 0.3 ms),
// but at least five tiles. Adding up the span's sums takes the time of about 25 multiply-adds each, which thus stays
// below 2 % of its work.
Index span_rows(const Shape& shape, Index least = 0);

// Checks for an interrupt about every 20 ms. Only the calling thread may use it, and an interrupt stays set.
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
    std::function<void(int worker, Index first, Index last, Listener)> process;  // processes the rows of a span
    std::function<void(int worker)> merge;  // called in span order; empty if there is nothing to merge
};

// Returns the number of workers n that `process_spans` will use; process and merge receive the indices 0 .. n - 1.
int count_workers(const SpanJob& job, int n_threads);

// Processes all spans of the job. Returns false if interrupted.
bool process_spans(const SpanJob& job, const Execution& execution);

// Calls each(index, execution with one thread) for the indices 0 .. count - 1, shared among threads; `work` is the
// number of multiply-adds per index. Returns false if interrupted.
bool process_each(Index count, double work, const Execution& execution,
                  const std::function<void(Index, const Execution&)>& each);

}  // namespace gaussmix
