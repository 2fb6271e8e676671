#include "passes.hpp"

#include <algorithm>
#include <memory>
#include <new>
#include <vector>

namespace gaussmix {

namespace {

// Memory on a cache line's boundary, not initialised: the thread that uses it touches it first.
class Buffer {
public:
    explicit Buffer(Index bytes) : data_(::operator new(static_cast<std::size_t>(bytes), kLine)) {}
    static Buffer of_doubles(Index count) { return Buffer(count * static_cast<Index>(sizeof(double))); }
    void* get() const { return data_.get(); }
    double* doubles() const { return static_cast<double*>(get()); }

private:
    static constexpr std::align_val_t kLine{64};
    struct Delete {
        void operator()(void* data) const { ::operator delete(data, kLine); }
    };
    std::unique_ptr<void, Delete> data_;
};

std::vector<Buffer> make_buffers(int count, Index bytes) {
    std::vector<Buffer> buffers;
    for (int i = 0; i < count; ++i) buffers.emplace_back(bytes);
    return buffers;
}

void clear(double* sums, Index size, const Listener& listener) {
    constexpr Index kPiece = 1 << 18;  // 0.1 ms or so
    for (Index first = 0; first < size && !listener.ask(listener.self); first += kPiece) {
        std::fill(sums + first, sums + std::min(first + kPiece, size), 0.0);
    }
}

Buffer pack(const KernelTable& kernels, const Shape& shape, const ParametersView& parameters, Listener listener) {
    Buffer operands(kernels.sizes(shape).operands);
    kernels.pack(shape, parameters, listener, operands.get());
    return operands;
}

}  // namespace

bool step(const KernelTable& kernels, const StepView& task, const ParametersView& parameters,
          const Execution& execution, MomentsView out) {
    const Sizes sizes = kernels.sizes(task.shape);
    SpanJob job{task.rows.n_rows, span_rows(task.shape), work_per_row(task.shape), {}, {}};
    const int n_workers = count_workers(job, execution.n_threads);
    const Listener own = execution.interrupt.listener();
    const Buffer operands = pack(kernels, task.shape, parameters, own);
    const std::vector<Buffer> scratch = make_buffers(n_workers, sizes.scratch),
                              partial = make_buffers(n_workers, sizes.sums * static_cast<Index>(sizeof(double)));
    const Buffer total = Buffer::of_doubles(sizes.sums);
    const auto sums_of = [&](int worker) { return partial[static_cast<std::size_t>(worker)].doubles(); };

    clear(total.doubles(), sizes.sums, own);
    for (int worker = 0; worker < n_workers; ++worker) clear(sums_of(worker), sizes.sums, own);
    job.run = [&](int worker, Index first, Index last, Listener listener) {
        void* room = scratch[static_cast<std::size_t>(worker)].get();
        kernels.step(task, operands.get(), first, last, listener, room, sums_of(worker));
    };
    job.merge = [&](int worker, Listener listener) {
        kernels.merge(task.shape, listener, sums_of(worker), total.doubles());
    };
    if (own.ask(own.self) || !run_spans(job, execution)) return false;
    kernels.unpack(task.shape, total.doubles(), own, out);
    return !own.ask(own.self);
}

bool evaluate(const KernelTable& kernels, const Shape& shape, const RowsView& rows, const ParametersView& parameters,
              Output output, const Execution& execution, void* out) {
    SpanJob job{rows.n_rows, span_rows(shape), work_per_row(shape), {}, {}};
    const Buffer operands = pack(kernels, shape, parameters, execution.interrupt.listener());
    const std::vector<Buffer> scratch =
        make_buffers(count_workers(job, execution.n_threads), kernels.sizes(shape).scratch);

    job.run = [&](int worker, Index first, Index last, Listener listener) {
        void* room = scratch[static_cast<std::size_t>(worker)].get();
        kernels.evaluate(shape, rows, output, operands.get(), first, last, listener, room, out);
    };
    return !execution.interrupt.has_come() && run_spans(job, execution);
}

bool factorise(const KernelTable& kernels, Index count, Index n_features, const double* covariances, double* factors,
               double* log_abs_det, bool* failed, Interrupt& interrupt) {
    const Index size = n_features * n_features;
    const Buffer scratch = Buffer::of_doubles(size + 2 * n_features);
    for (Index k = 0; k < count && !interrupt.has_come(); ++k) {
        failed[k] = !kernels.factorise(n_features, covariances + k * size, interrupt.listener(), scratch.doubles(),
                                       factors + k * size, log_abs_det + k);
    }
    return !interrupt.has_come();
}

bool measure_motion(const KernelTable& kernels, const Shape& shape, const ParametersView& before,
                    const ParametersView& after, float* ratio, float* shift, Interrupt& interrupt) {
    const Buffer scratch = Buffer::of_doubles(shape.n_features);
    kernels.measure_motion(shape, before, after, interrupt.listener(), scratch.doubles(), ratio, shift);
    return !interrupt.has_come();
}

}  // namespace gaussmix
