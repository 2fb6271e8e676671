#include "passes.hpp"

#include <algorithm>
#include <memory>
#include <new>
#include <vector>

namespace gaussmix {

namespace {

// Doubles on a cache line's boundary, not initialised: the thread that uses them touches them first.
class Buffer {
public:
    explicit Buffer(Index size)
        : data_(static_cast<double*>(::operator new(static_cast<std::size_t>(size) * sizeof(double), kLine))) {}
    double* get() const { return data_.get(); }

private:
    static constexpr std::align_val_t kLine{64};
    struct Delete {
        void operator()(double* data) const { ::operator delete(data, kLine); }
    };
    std::unique_ptr<double, Delete> data_;
};

std::vector<Buffer> make_buffers(int count, Index size) {
    std::vector<Buffer> buffers;
    for (int i = 0; i < count; ++i) buffers.emplace_back(size);
    return buffers;
}

// Calls body(first, last) for pieces of 0 .. size - 1 one after another, until it is to be given up.
template <class Body>
void in_pieces(Index size, const Listener& listener, Body&& body) {
    constexpr Index kPiece = 1 << 18;  // doubles: 0.1 ms or so
    for (Index first = 0; first < size && !listener.ask(listener.self); first += kPiece) {
        body(first, std::min(first + kPiece, size));
    }
}

void clear(double* sums, Index size, const Listener& listener) {
    in_pieces(size, listener, [&](Index first, Index last) { std::fill(sums + first, sums + last, 0.0); });
}

void add(const double* partial, Index size, const Listener& listener, double* total) {
    in_pieces(size, listener, [&](Index first, Index last) {
        std::transform(total + first, total + last, partial + first, total + first, std::plus<>());
    });
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
    SpanJob job{task.rows.n_rows, span_rows(task.shape), work_per_row(task.shape), {}, {}, {}};
    const int n_workers = count_workers(job, execution.n_threads);
    const Listener own = execution.interrupt.listener();
    const Buffer operands = pack(kernels, task.shape, parameters, own);
    const std::vector<Buffer> scratch = make_buffers(n_workers, sizes.scratch),
                              partial = make_buffers(n_workers, sizes.sums);
    const Buffer total(sizes.sums);
    const auto of = [](const std::vector<Buffer>& buffers, int worker) {
        return buffers[static_cast<std::size_t>(worker)].get();
    };

    clear(total.get(), sizes.sums, own);
    job.begin = [&](int worker, Listener listener) { clear(of(partial, worker), sizes.sums, listener); };
    job.run = [&](int worker, Index first, Index last, Listener listener) {
        kernels.step(task, operands.get(), first, last, listener, of(scratch, worker), of(partial, worker));
    };
    job.merge = [&](int worker, Listener listener) { add(of(partial, worker), sizes.sums, listener, total.get()); };
    if (own.ask(own.self) || !run_spans(job, execution)) return false;
    kernels.unpack(task.shape, total.get(), own, out);
    return !own.ask(own.self);
}

bool evaluate(const KernelTable& kernels, const Shape& shape, const RowsView& rows, const ParametersView& parameters,
              Output output, const Execution& execution, void* out) {
    SpanJob job{rows.n_rows, span_rows(shape), work_per_row(shape), {}, {}, {}};
    const Buffer operands = pack(kernels, shape, parameters, execution.interrupt.listener());
    const std::vector<Buffer> scratch =
        make_buffers(count_workers(job, execution.n_threads), kernels.sizes(shape).scratch);

    job.begin = [](int, Listener) {};
    job.run = [&](int worker, Index first, Index last, Listener listener) {
        double* room = scratch[static_cast<std::size_t>(worker)].get();
        kernels.evaluate(shape, rows, output, operands.get(), first, last, listener, room, out);
    };
    return !execution.interrupt.has_come() && run_spans(job, execution);
}

bool factorise(const KernelTable& kernels, Index count, Index n_features, const double* covariances, double* factors,
               double* log_abs_det, bool* failed, Interrupt& interrupt) {
    const Index size = n_features * n_features;
    const Buffer scratch(size + 2 * n_features);
    for (Index k = 0; k < count && !interrupt.has_come(); ++k) {
        failed[k] = !kernels.factorise(n_features, covariances + k * size, interrupt.listener(), scratch.get(),
                                       factors + k * size, log_abs_det + k);
    }
    return !interrupt.has_come();
}

}  // namespace gaussmix
