#include "spans.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace gaussmix {

namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(20);
constexpr double kSpanWork = 5e6;  // minimum work of a span, in multiply-adds
// minimum work of a job, in multiply-adds, for which more than one thread is used, because starting threads for less
// work costs more time than the threads save
constexpr double kThreadWork = 1.5e7;
constexpr Index kSpanTiles[] = {5, 7, 13, 35, 65, 91, 455};  // divisors of 455, the number of tiles in a leaf

class SpanWorkers {
public:
    SpanWorkers(const SpanJob& job, Interrupt& interrupt)
        : job_(job), interrupt_(interrupt), n_spans_((job.n_rows + job.rows_in_span - 1) / job.rows_in_span) {}

    // Processes all spans in `n_workers` threads. Returns false if interrupted. An exception in a worker is rethrown
    // after all workers have ended.
    bool process(int n_workers) {
        Threads threads;
        threads.reserve(n_workers);
        for (int worker = 1; worker < n_workers; ++worker) {
            try {
                threads.emplace_back([this, worker] { work(worker); });
            } catch (const std::exception&) {
                // The system cannot create more threads, so the existing threads do the work.
                break;
            }
        }
        work(0);
        threads.join();
        if (failure_) std::rethrow_exception(failure_);
        return !is_stopped_;
    }

private:
    // Threads are joined even after an exception, because destroying a running std::thread would end the process.
    struct Threads : std::vector<std::thread> {
        ~Threads() { join(); }
        void join() {
            for (std::thread& thread : *this) {
                if (thread.joinable()) thread.join();
            }
        }
    };

    // Exceptions are caught here, because an exception that leaves a thread would end the process. After an exception,
    // the other threads are stopped, because otherwise they would wait for the span of this thread.
    void work(int worker) {
        try {
            take_spans(worker);
            // Wait here and not in `Threads::join`, because this wait checks for interrupts.
            if (worker == 0) wait_for_turn(n_spans_, 0);
        } catch (...) {
            stop(std::current_exception());
        }
    }

    void take_spans(int worker) {
        Worker self{this, worker};
        const Listener listener{[](void* p) { return static_cast<Worker*>(p)->is_stopped(); }, &self};
        for (Index span = next_++; span < n_spans_ && !is_stopped_; span = next_++) {
            const Index first = span * job_.rows_in_span;
            job_.process(worker, first, std::min(first + job_.rows_in_span, job_.n_rows), listener);
            if (self.is_stopped()) return;
            if (job_.merge) {
                if (!wait_for_turn(span, worker)) return;
                job_.merge(worker);
            }
            pass_turn();
        }
    }

    // Waits until the first `n_spans` spans are finished; returns false if interrupted. The thread blocks instead of
    // spinning, because on a shared machine, the thread that processes an earlier span may not be running.
    bool wait_for_turn(Index n_spans, int worker) {
        std::unique_lock lock(mutex_);
        while (!turn_passed_.wait_for(lock, kPollInterval, [&] { return n_finished_ == n_spans || is_stopped_; })) {
            lock.unlock();
            is_stopped_by(worker);
            lock.lock();
        }
        return !is_stopped_;
    }

    void pass_turn() {
        {
            const std::lock_guard lock(mutex_);
            ++n_finished_;
        }
        turn_passed_.notify_all();
    }

    // Checks for an interrupt if `worker` is 0, i.e. in the calling thread. Only the calling thread can find an
    // interrupt; after an interrupt, this thread stops the other workers.
    bool is_stopped_by(int worker) {
        if (worker == 0 && !is_stopped_ && interrupt_.has_come()) stop(nullptr);
        return is_stopped_;
    }

    void stop(const std::exception_ptr& failure) {
        {
            const std::lock_guard lock(mutex_);
            is_stopped_ = true;
            if (!failure_) failure_ = failure;
        }
        turn_passed_.notify_all();
    }

    struct Worker {
        SpanWorkers* all;
        int worker;

        bool is_stopped() { return all->is_stopped_by(worker); }
    };

    const SpanJob& job_;
    Interrupt& interrupt_;
    const Index n_spans_;
    std::atomic<Index> next_ = 0;
    std::atomic<bool> is_stopped_ = false;
    Index n_finished_ = 0;        // number of processed and, if the job merges, merged spans; guarded by mutex_
    std::exception_ptr failure_;  // exception of the first worker that threw; guarded by mutex_
    std::mutex mutex_;
    std::condition_variable turn_passed_;
};

}  // namespace

bool Interrupt::has_come() {
    const auto now = std::chrono::steady_clock::now();
    if (has_come_ || now - last_check_ < kPollInterval) return has_come_;
    last_check_ = now;
    return has_come_ = is_interrupted_();
}

Listener Interrupt::listener() {
    return {[](void* self) { return static_cast<Interrupt*>(self)->has_come(); }, this};
}

double work_per_row(const Shape& shape) {
    // The terms are the numbers of multiply-adds at the top of the files in kernels/.
    const double d = static_cast<double>(shape.n_features);
    const bool is_dense = shape.factor_shape == FactorShape::triangular && !shape.is_shared;
    const double extra = 2 * d * static_cast<double>(shape.n_factors);  // for factors of low rank
    const double densities = shape.rule == Rule::assignment ? 1 : 20 + (is_dense ? d * d / 2 + 1.5 * d : 2 * d + extra);
    const double moments = shape.second == Second::full   ? d * d / 2 + 2.5 * d
                           : shape.second == Second::none ? d
                                                          : 2.5 * d + 2 * d * static_cast<double>(shape.n_projected);
    const double whitening = shape.is_shared && shape.rule != Rule::assignment ? d * d / 2 : 0;
    return static_cast<double>(shape.n_components) * (densities + moments) + whitening + d;
}

Index span_rows(const Shape& shape, Index least) {
    for (const Index tiles : kSpanTiles) {
        if (tiles * kTileRows >= least && static_cast<double>(tiles * kTileRows) * work_per_row(shape) >= kSpanWork)
            return tiles * kTileRows;
    }
    return kSpanTiles[std::size(kSpanTiles) - 1] * kTileRows;
}

int count_workers(const SpanJob& job, int n_threads) {
    const double work = job.work_per_row * static_cast<double>(job.n_rows);
    const Index n_spans = (job.n_rows + job.rows_in_span - 1) / job.rows_in_span;
    if (work < kThreadWork || n_spans < 2) return 1;
    return static_cast<int>(std::min<Index>(n_threads, n_spans));
}

bool process_spans(const SpanJob& job, const Execution& execution) {
    if (execution.interrupt.has_come()) return false;
    const int n_workers = count_workers(job, execution.n_threads);
    if (n_workers > 1) return SpanWorkers(job, execution.interrupt).process(n_workers);
    const Listener listener = execution.interrupt.listener();
    for (Index first = 0; first < job.n_rows; first += job.rows_in_span) {
        job.process(0, first, std::min(first + job.rows_in_span, job.n_rows), listener);
        if (listener.ask(listener.self)) return false;
        if (job.merge) job.merge(0);
    }
    return true;
}

bool process_each(Index count, double work, const Execution& execution,
                  const std::function<void(Index, const Execution&)>& each) {
    const auto alone = [&](int, Index index, Index, Listener listener) {
        Interrupt interrupt([listener] { return listener.ask(listener.self); });
        each(index, {1, interrupt});
    };
    return process_spans({count, 1, work, alone, {}}, execution);
}

}  // namespace gaussmix
