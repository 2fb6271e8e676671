// Python bindings for the split-and-merge search, which changes the arrays of a mixture in place.
#include <nanobind/nanobind.h>

#include <algorithm>
#include <tuple>

#include "em/ascent.hpp"
#include "em/search.hpp"
#include "em/shared_covariance.hpp"
#include "em_arguments.hpp"

namespace gaussmix {

namespace {

// Result of a search: whether the search found a mixture, one array with the number of rows and the initial
// log-likelihood of each search run, the number of tried moves, and the number of accepted moves. If the search found
// no mixture, the given mixture is not changed.
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
    const MixtureArrays arrays(task, weights, means, covariances);
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
    if (has_result) mixture.write(arrays.view);
    return {has_result, to_array(starts), report.n_tried, report.n_accepted};
}

double bound_least_gain(const Target&, const Letters& letters, Index n_features, const Contiguous<double, 1>& weights,
                        const Contiguous<double, 1>& weights_without, Index n_rows) {
    require(n_features > 0 && n_rows > 0, "n_features or n_rows is 0");
    const auto values = [](const auto& array) { return Values(array.data(), array.data() + array.size()); };
    return least_gain(to_algebra(letters), n_features, values(weights), values(weights_without), n_rows);
}

// Result of a split of a component whose covariance is shared: the bound on the gain, in nats per unit of the total
// weight, and each row's responsibility of the first half.
using SharedSplit = std::tuple<double, Result<double>>;

// Calls `compute` with the given covariance, which all components share.
auto with_shared_covariance(const Target& target, const Letters& letters, const Contiguous<double, 1>& covariance,
                            std::size_t n_features, auto&& compute) {
    const auto d = static_cast<Index>(n_features);
    const Algebra algebra = to_algebra(letters);
    require(algebra.is_shared() && static_cast<Index>(covariance.size()) == algebra.size(d),
            "covariance must be of the algebra's size");
    Mixture mixture(algebra, 1, d);
    std::copy_n(covariance.data(), covariance.size(), mixture.covariances.begin());
    require(factorise(*target.kernels, algebra, d, {}, mixture), "covariance must be positive definite");
    return compute(SharedCovariance(*target.kernels, algebra, d, mixture));
}

SharedSplit bound_split_with_shared_covariance(const Target& target, const Contiguous<double, 2>& rows,
                                               const Contiguous<double, 1>& row_weight, const Letters& letters,
                                               const Contiguous<double, 1>& covariance, double mass,
                                               const Contiguous<double, 1>& uniform) {
    require(row_weight.size() == rows.shape(0) && uniform.size() == rows.shape(1),
            "row_weight and uniform must fit the rows");
    const Index n_rows = extent(rows, 0), d = extent(rows, 1);
    return with_shared_covariance(target, letters, covariance, rows.shape(1), [&](const SharedCovariance& shared) {
        const LinearSplit split = shared.split({n_rows, d, rows.data(), row_weight.data()}, mass, uniform.data());
        return SharedSplit{split.gain, to_array(first_responsibility(split, rows.data(), n_rows))};
    });
}

double bound_merge_gain_with_shared_covariance(const Target& target, const Contiguous<double, 1>& gap, double one,
                                               double other, const Letters& letters,
                                               const Contiguous<double, 1>& covariance) {
    return with_shared_covariance(target, letters, covariance, gap.size(), [&](const SharedCovariance& shared) {
        return shared.merge_gain({gap.data(), gap.data() + gap.size()}, one, other);
    });
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
             "Return the gain of a search, in nats per row, above which the gain is probably not due to chance.")
        .def("split_with_shared_covariance", bound_split_with_shared_covariance, "rows"_a, "row_weight"_a, "algebra"_a,
             "covariance"_a, "mass"_a, "uniform"_a,
             "Split a component; return (bound on the gain in nats, responsibilities of the first half).")
        .def("merge_gain_with_shared_covariance", bound_merge_gain_with_shared_covariance, "gap"_a, "one"_a, "other"_a,
             "algebra"_a, "covariance"_a,
             "Return the change of sum r log(pi N) by a merge of two components, in nats.");
}

}  // namespace gaussmix
