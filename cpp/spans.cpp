#include "spans.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace gaussmix {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::milliseconds(50);
constexpr double kSpanWork = 5e6;
constexpr double kCallWork = 1e6;      // a kernel call: long beside its overhead, short beside kPatience
constexpr double kThreadWork = 1.5e7;  // below, starting a thread costs more than it gains
constexpr Index kSpanTiles[] = {5, 7, 13, 35, 65, 91, 455};

class SpanRunner {
public:
    SpanRunner(const SpanJob& job, bool (*is_interrupted)())
        : job_(job),
          is_interrupted_(is_interrupted),
          n_spans_((job.n_rows + job.rows_in_span - 1) / job.rows_in_span),
          rows_in_call_(std::max<Index>(1, static_cast<Index>(kCallWork / (job.work_per_row * kTileRows))) *
                        kTileRows) {}

    // False if interrupted.
    bool run(int n_workers) {
        std::vector<std::thread> threads;
        threads.reserve(static_cast<std::size_t>(n_workers));
        for (int worker = 1; worker < n_workers; ++worker) {
            try {
                threads.emplace_back([this, worker] { take_spans(worker); });
            } catch (const std::system_error&) {  // no more threads to be had: those there are do the work
                break;
            }
        }
        take_spans(0);
        if (job_.merge) wait_for_turn(n_spans_, 0);
        for (std::thread& thread : threads) thread.join();
        return !is_stopped_;
    }

private:
    void take_spans(int worker) {
        for (Index span = next_++; span < n_spans_ && !is_stopped_; span = next_++) {
            job_.begin(worker);
            const Index first = span * job_.rows_in_span;
            const Index last = std::min(first + job_.rows_in_span, job_.n_rows);
            for (Index row = first; row < last; row += rows_in_call_) {
                job_.run(worker, row, std::min(row + rows_in_call_, last));
                check_interrupt(worker);
                if (is_stopped_) return;
            }
            if (!job_.merge) continue;
            if (!wait_for_turn(span, worker)) return;
            job_.merge(worker);
            pass_turn();
        }
    }

    // False if interrupted. Blocks rather than spins: on a shared machine the awaited thread may not be running.
    bool wait_for_turn(Index span, int worker) {
        std::unique_lock lock(mutex_);
        while (!turn_passed_.wait_for(lock, kPatience, [&] { return merged_ == span || is_stopped_; })) {
            lock.unlock();
            check_interrupt(worker);
            lock.lock();
        }
        return !is_stopped_;
    }

    void pass_turn() {
        {
            const std::lock_guard lock(mutex_);
            ++merged_;
        }
        turn_passed_.notify_all();
    }

    void check_interrupt(int worker) {
        if (worker != 0 || Clock::now() - last_check_ < kPatience) return;
        last_check_ = Clock::now();
        if (!is_interrupted_()) return;
        {
            const std::lock_guard lock(mutex_);
            is_stopped_ = true;
        }
        turn_passed_.notify_all();
    }

    const SpanJob& job_;
    bool (*const is_interrupted_)();
    const Index n_spans_, rows_in_call_;
    std::atomic<Index> next_ = 0;
    std::atomic<bool> is_stopped_ = false;
    Index merged_ = 0;  // guarded by mutex_
    std::mutex mutex_;
    std::condition_variable turn_passed_;
    Clock::time_point last_check_ = Clock::now();  // the calling thread's
};

}  // namespace

double work_per_row(const Shape& shape) {
    const double d = static_cast<double>(shape.n_features);
    const bool is_dense = shape.structure == Structure::triangular && !shape.is_shared;
    const double densities = shape.rule == Rule::given ? 1 : 20 + (is_dense ? d * d / 2 + 1.5 * d : 2 * d);
    const double moments = shape.second == Second::full   ? d * d / 2 + 2.5 * d
                           : shape.second == Second::none ? d
                                                          : 2.5 * d;
    const double whitening = shape.is_shared && shape.rule != Rule::given ? d * d / 2 : 0;
    return static_cast<double>(shape.n_components) * (densities + moments) + whitening + d;
}

Index span_rows(const Shape& shape) {
    for (const Index tiles : kSpanTiles) {
        if (static_cast<double>(tiles * kTileRows) * work_per_row(shape) >= kSpanWork) return tiles * kTileRows;
    }
    return kSpanTiles[std::size(kSpanTiles) - 1] * kTileRows;
}

int count_workers(const SpanJob& job, int n_threads) {
    const double work = job.work_per_row * static_cast<double>(job.n_rows);
    const Index n_spans = (job.n_rows + job.rows_in_span - 1) / job.rows_in_span;
    if (work < kThreadWork || n_spans < 2) return 1;
    return static_cast<int>(std::min<Index>(n_threads, n_spans));
}

bool run_spans(const SpanJob& job, const Execution& execution) {
    return SpanRunner(job, execution.is_interrupted).run(count_workers(job, execution.n_threads));
}

}  // namespace gaussmix
