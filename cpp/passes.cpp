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

Buffer pack(const KernelTable& kernels, const Shape& shape, const ParametersView& parameters) {
    Buffer operands(kernels.sizes(shape).operands);
    kernels.pack(shape, parameters, operands.get());
    return operands;
}

}  // namespace

bool step(const KernelTable& kernels, const StepView& task, const ParametersView& parameters,
          const Execution& execution, MomentsView out) {
    const Sizes sizes = kernels.sizes(task.shape);
    SpanJob job{task.rows.n_rows, span_rows(task.shape), work_per_row(task.shape), {}, {}, {}};
    const int n_workers = count_workers(job, execution.n_threads);
    const Buffer operands = pack(kernels, task.shape, parameters);
    const std::vector<Buffer> scratch = make_buffers(n_workers, sizes.scratch),
                              partial = make_buffers(n_workers, sizes.sums);
    const Buffer total(sizes.sums);
    const auto of = [](const std::vector<Buffer>& buffers, int worker) {
        return buffers[static_cast<std::size_t>(worker)].get();
    };

    std::fill_n(total.get(), sizes.sums, 0.0);
    job.begin = [&](int worker) { std::fill_n(of(partial, worker), sizes.sums, 0.0); };
    job.run = [&](int worker, Index first, Index last) {
        kernels.step(task, operands.get(), first, last, of(scratch, worker), of(partial, worker));
    };
    job.merge = [&](int worker) {
        std::transform(total.get(), total.get() + sizes.sums, of(partial, worker), total.get(), std::plus<>());
    };
    if (!run_spans(job, execution)) return false;
    kernels.unpack(task.shape, total.get(), out);
    return true;
}

bool evaluate(const KernelTable& kernels, const Shape& shape, const RowsView& rows, const ParametersView& parameters,
              Output output, const Execution& execution, void* out) {
    SpanJob job{rows.n_rows, span_rows(shape), work_per_row(shape), {}, {}, {}};
    const Buffer operands = pack(kernels, shape, parameters);
    const std::vector<Buffer> scratch =
        make_buffers(count_workers(job, execution.n_threads), kernels.sizes(shape).scratch);

    job.begin = [](int) {};
    job.run = [&](int worker, Index first, Index last) {
        double* room = scratch[static_cast<std::size_t>(worker)].get();
        kernels.evaluate(shape, rows, output, operands.get(), first, last, room, out);
    };
    return run_spans(job, execution);
}

void factorise(const KernelTable& kernels, Index count, Index n_features, const double* covariances, double* factors,
               double* log_abs_det, bool* failed) {
    const Index size = n_features * n_features;
    const Buffer scratch(size + 2 * n_features);
    for (Index k = 0; k < count; ++k) {
        failed[k] =
            !kernels.factorise(n_features, covariances + k * size, scratch.get(), factors + k * size, log_abs_det + k);
    }
}

}  // namespace gaussmix
