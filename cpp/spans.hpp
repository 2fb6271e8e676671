// Cuts rows into spans, works on them with threads that live for one call, and merges their results in span order.
//
// The number of tiles in a span depends neither on the number of rows nor on that of threads. Together with the ordered
// merge this makes every bit of a sum independent of both. At most one partial result for each thread exists. The numbers
// of tiles divide 455, so that spans end where blocks of 455 tiles end.
#pragma once
#include <chrono>
#include <functional>
#include <utility>

#include "kernel_table.hpp"

namespace gaussmix {

// Multiply-adds of a pass for each row, about: an exponential counts as 20. The one formula for the work of a step, also
// for the decisions of engines/complete/row_order.py.
double work_per_row(const Shape& shape);

// Rows of a span: the fewest tiles of a list that hold 5 million multiply-adds (0.1 to 0.3 ms), and at least five, so
// that adding up its sums (about 25 multiply-adds' time each) stays below 2 % of its work.
Index span_rows(const Shape& shape, Index least = 0);

// Checks for an interrupt about every 20 ms. Only the calling thread may use it. An interrupt is not forgotten.
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
    std::function<void(int worker, Index first, Index last, Listener)> process;  // the rows of a span
    std::function<void(int worker)> merge;  // in span order; empty: nothing to merge
};

// How many workers `process_spans` will use. It passes the numbers 0 .. this - 1 to process and merge.
int count_workers(const SpanJob& job, int n_threads);

// False if interrupted.
bool process_spans(const SpanJob& job, const Execution& execution);

// Calls each(place, execution of one thread) for the places 0 .. count - 1 of things with so much work, which threads share
// among them. False if interrupted.
bool process_each(Index count, double work, const Execution& execution,
                  const std::function<void(Index, const Execution&)>& each);

}  // namespace gaussmix
