// Python bindings for the split-and-merge search, which changes the arrays of a mixture in place.
#include <nanobind/nanobind.h>

#include <tuple>

#include "em/ascent.hpp"
#include "em/search.hpp"
#include "em_arguments.hpp"

namespace gaussmix {

namespace {

// Result of a search: whether the search found a mixture (otherwise, the given mixture is not changed), one array with
// the number of rows and the initial log-likelihood of each search run, the number of tried moves, and the number of
// accepted moves.
using SearchResult = std::tuple<bool, Result<double>, double, double>;

SearchResult bound_search(const Target& target, const Rows& rows, const RowWeight& row_weight, const Letters& letters,
                          const Writable<double, 1>& weights, const Writable<double, 2>& means,
                          const Writable<double, 1>& covariances, const Contiguous<double, 1>& ridge,
                          const LimitValues& limits, const Maybe<1>& unit, const PackedSearch& packed_search,
                          Index n_steps, const nb::typed<nb::callable, bool()>& should_stop, int n_threads) {
    EmView task = view_weighted_em(rows, row_weight, letters, weights.size(), ridge, limits);
    require(!unit || static_cast<Index>(unit->size()) == task.rows.n_features, "unit must have shape (n_features,)");
    task.unit = unit ? unit->data() : nullptr;
    const SearchView settings = view_search(packed_search);
    const Written written(task, weights, means, covariances);
    Mixture mixture(task.algebra, task.n_components, task.rows.n_features);
    mixture.read(weights.data(), means.data(), covariances.data());
    bool is_stopped = false, has_result = false;
    // Kernels call this function, and no C++ exception may pass through a kernel. Python's C API leaves an exception
    // pending instead.
    const auto is_over = [&] {
        const AcquiredGil acquired;
        if (PyErr_CheckSignals() != 0) return true;
        const auto answer = nb::steal(PyObject_CallNoArgs(should_stop.ptr()));
        const int truth = answer.is_valid() ? PyObject_IsTrue(answer.ptr()) : -1;  // -1 if an exception is pending
        is_stopped = truth > 0;
        return truth != 0;
    };
    Values starts;
    SearchReport report{};
    without_gil(
        n_threads,
        [&](const Execution& execution) {
            has_result = search(*target.kernels, task, settings, settings.uniform_draws, n_steps, execution, mixture,
                                starts, report);
            const bool has_come = execution.interrupt.has_come();  // may call `is_over`, which sets `is_stopped`
            return is_stopped || !has_come;
        },
        is_over);
    if (has_result) mixture.write(written.view);
    return {has_result, released(starts), report.n_tried, report.n_accepted};
}

double bound_least_gain(const Target&, const Letters& letters, Index n_features, const Contiguous<double, 1>& weights,
                        const Contiguous<double, 1>& weights_without, Index n_rows) {
    require(n_features > 0 && n_rows > 0, "n_features or n_rows is 0");
    const auto values = [](const auto& array) { return Values(array.data(), array.data() + array.size()); };
    return least_gain(to_algebra(letters), n_features, values(weights), values(weights_without), n_rows);
}

}  // namespace

void bind_search(nb::class_<Target>& type) {
    using namespace nb::literals;
    type.def(
            "search", bound_search, "rows"_a, "row_weight"_a, "algebra"_a, "weights"_a.noconvert(),
            "means"_a.noconvert(), "covariances"_a.noconvert(), "ridge"_a, "limits"_a, "unit"_a.none(),
            "packed_search"_a, "n_steps"_a, "should_stop"_a, "n_threads"_a,
            "Move components if it helps; return (has_result, rows and log_likelihood of starts, n_tried, n_accepted).")
        .def("least_gain", bound_least_gain, "algebra"_a, "n_features"_a, "weights"_a, "weights_without"_a, "n_rows"_a,
             "Return the gain of a search, in nats per row, above which the gain is probably not due to chance.");
}

}  // namespace gaussmix
