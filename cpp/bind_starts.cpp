// Python bindings for the initialisation before EM: distinct rows, and k-means centres.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>

#include <limits>
#include <tuple>
#include <vector>

#include "bind.hpp"
#include "em/cells.hpp"
#include "em/kmeans.hpp"
#include "em/relocation.hpp"
#include "em/sample.hpp"

namespace gaussmix {

namespace {

// Distinct rows, their weights, and, for each row of the table, the index of the distinct row that equals it.
using DistinctResult = std::tuple<Result<double>, Result<double>, Result<std::int64_t>>;

DistinctResult bound_distinct_rows(const Target&, const Rows& rows, const RowWeight& row_weight) {
    const RowsView view = view_rows(rows, {});
    const RowWeightView weight = view_row_weight(row_weight, view.n_rows);
    DistinctRows result;
    without_gil(
        1, [&](const Execution& execution) { result = distinct_rows(view, weight, execution.interrupt.listener()); });
    const std::size_t n_rows = result.indices.size();
    NewArray<double> distinct({n_rows, static_cast<std::size_t>(view.n_features)});
    without_gil(1, [&](const Execution& execution) {
        copy_rows(view, result.indices, execution.interrupt.listener(), distinct.data());
    });
    return {distinct.release(), to_array(result.weight), to_array<std::int64_t>(result.distinct_index)};
}

Result<double> bound_trimmed_variances(const Target&, const Contiguous<double, 2>& rows,
                                       const Contiguous<double, 1>& weight, double dropped) {
    require(weight.size() == rows.shape(0), "weight must have shape (n_rows,)");
    const Index n_rows = extent(rows, 0), n_features = extent(rows, 1);
    require(dropped >= 0, "dropped must be at least 0");
    NewArray<double> out({rows.shape(1)});
    without_gil(1, [&](const Execution& execution) {
        trimmed_variances(rows.data(), weight.data(), n_rows, n_features, dropped, execution.interrupt.listener(),
                          out.data());
    });
    return out.release();
}

Result<std::int64_t> bound_seed_centres(const Target& target, const Rows& rows, const Contiguous<double, 1>& row_weight,
                                        Index n_components, Index n_candidates, const Contiguous<double, 1>& uniform) {
    SeedingView task{};
    task.rows = view_rows(rows, {});
    require(!task.rows.is_float32, "rows must be float64");
    require(row_weight.size() == static_cast<std::size_t>(task.rows.n_rows) && row_weight.size() > 0,
            "row_weight must have shape (n_rows,)");
    check_seeding(n_components, n_candidates, uniform.size());
    task.row_weight = row_weight.data();
    task.n_components = n_components;
    task.n_candidates = n_candidates;
    task.uniform = uniform.data();
    std::vector<Index> indices(static_cast<std::size_t>(n_components));
    constexpr int kThreads = 1;  // more threads would hardly make the function faster
    without_gil(kThreads, [&](const Execution& execution) {
        return seed_centres(*target.kernels, task, execution, indices.data());
    });
    return to_array<std::int64_t>(indices);
}

Result<std::int32_t> bound_partition_cells(const Target&, const Contiguous<double, 2>& rows,
                                           const Contiguous<double, 1>& weight, Index n_cells) {
    require(rows.size() > 0 && weight.size() == rows.shape(0), "weight must have shape (n_rows,)");
    require(n_cells > 0 && n_cells <= std::numeric_limits<std::int32_t>::max(), "n_cells is 0 or too large");
    std::vector<std::int32_t> labels;
    without_gil(1, [&](const Execution& execution) {
        labels = partition_cells(rows.data(), weight.data(), extent(rows, 0), extent(rows, 1), n_cells,
                                 execution.interrupt.listener());
    });
    return to_array<std::int32_t>(labels);
}

CentresView view_centres(const RowsView& rows, const RowWeightView& row_weight, const Writable<double, 2>& centres,
                         double tolerance, Index max_passes, double seconds) {
    require(centres.shape(0) > 0 && extent(centres, 1) == rows.n_features,
            "centres must have shape (n_components, n_features)");
    return {rows, row_weight, extent(centres, 0), tolerance, max_passes, centres.data(), seconds};
}

Index bound_move_centres(const Target& target, const Rows& rows, const RowWeight& row_weight,
                         const Writable<double, 2>& centres, double tolerance, Index max_passes, double seconds,
                         int n_threads) {
    const RowsView view = view_rows(rows, {});
    const CentresView task =
        view_centres(view, view_row_weight(row_weight, view.n_rows), centres, tolerance, max_passes, seconds);
    Index n_left = 0;
    without_gil(n_threads,
                [&](const Execution& execution) { return move_centres(*target.kernels, task, execution, n_left); });
    return n_left;
}

void bound_relocate_centres(const Target& target, const Contiguous<double, 2>& rows,
                            const Contiguous<double, 1>& row_weight, const Writable<double, 2>& centres,
                            double tolerance, Index max_passes, double seconds, int n_threads) {
    const Index n_rows = extent(rows, 0), n_features = extent(rows, 1);
    require(row_weight.size() == rows.shape(0), "row_weight must have shape (n_rows,)");
    const CentresView task = view_centres(plain_rows(rows.data(), n_rows, n_features), {row_weight.data(), 1}, centres,
                                          tolerance, max_passes, seconds);
    without_gil(n_threads,
                [&](const Execution& execution) { return relocate_centres(*target.kernels, task, execution); });
}

}  // namespace

void bind_starts(nb::class_<Target>& type) {
    using namespace nb::literals;
    type.def("distinct_rows", bound_distinct_rows, "rows"_a.noconvert(), "row_weight"_a.noconvert().none(),
             "Return distinct rows in lexicographic order: (rows, weight, distinct_index).")
        .def("trimmed_variances", bound_trimmed_variances, "rows"_a, "weight"_a, "dropped"_a,
             "Return variances of columns without some weight at each end.")
        .def("seed_centres", bound_seed_centres, "rows"_a.noconvert(), "row_weight"_a, "n_components"_a,
             "n_candidates"_a, "uniform"_a, "Return indices of distant rows, drawn by greedy k-means++.")
        .def("partition_cells", bound_partition_cells, "rows"_a, "weight"_a, "n_cells"_a,
             "Divide rows into cells of near rows, numbered in the order of a tree.")
        .def("move_centres", bound_move_centres, "rows"_a.noconvert(), "row_weight"_a.noconvert().none(),
             "centres"_a.noconvert(), "tolerance"_a, "max_passes"_a, "seconds"_a, "n_threads"_a,
             "Move centres in place by k-means, until a limit or an empty centre; return the number of passes left.")
        .def("relocate_centres", bound_relocate_centres, "rows"_a, "row_weight"_a, "centres"_a.noconvert(),
             "tolerance"_a, "max_passes"_a, "seconds"_a, "n_threads"_a,
             "Relocate misplaced centres of k-means in place, and run k-means again.");
}

}  // namespace gaussmix
