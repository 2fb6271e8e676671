#include "em_arguments.hpp"

#include <algorithm>

namespace gaussmix {

namespace {

// Checks the size of an array, and returns its data.
template <class Array>
double* data_of(const Array& array, std::size_t size, const char* message) {
    require(array.size() == size, message);
    return array.data();
}

std::size_t n_covariances(const EmView& task) {
    return static_cast<std::size_t>(task.algebra.n_covariances(task.n_components));
}

// Returns the number of values of one covariance.
std::size_t n_values(const EmView& task) { return static_cast<std::size_t>(task.algebra.size(task.rows.n_features)); }

Steps to_steps(const Stop& stop) {
    require(std::get<1>(stop) >= 1, "EM needs a step");
    return {std::get<0>(stop), std::get<1>(stop)};
}

// The tuples have the fields of a struct in the same order, so fields that need no conversion are passed on together.
AcceptanceSettings to_acceptance(const Acceptance& acceptance) {
    const auto join = [](const Stop& trial, const Stop& long_trial, const Stop& after_move, const Stop& long_after_move,
                         auto... rest) {
        return AcceptanceSettings{to_steps(trial), to_steps(long_trial), to_steps(after_move),
                                  to_steps(long_after_move), rest...};
    };
    return std::apply(join, acceptance);
}

}  // namespace

Limits to_limits(const LimitValues& limits) {
    return std::apply([](auto... each) { return Limits{each...}; }, limits);
}

EmView view_em(const Rows& rows, const RowWeight& row_weight, const Letters& letters, std::size_t n_weights,
               const Contiguous<double, 1>& ridge, const LimitValues& limits, double log_noise_volume) {
    EmView task{};
    task.log_noise_volume = log_noise_volume;
    task.rows = view_rows(rows, {});
    task.row_weight = view_row_weight(row_weight, task.rows.n_rows);
    task.algebra = to_algebra(letters);
    task.n_components = static_cast<Index>(n_weights) - task.has_noise();
    require(task.n_components > 0, "n_components is 0");
    const auto features = static_cast<std::size_t>(task.rows.n_features);
    require(ridge.size() == features, "ridge must have shape (n_features,)");
    task.ridge = ridge.data();
    task.limits = to_limits(limits);
    return task;
}

EmView view_weighted_em(const Rows& rows, const RowWeight& row_weight, const Letters& letters, std::size_t n_weights,
                        const Contiguous<double, 1>& ridge, const LimitValues& limits) {
    EmView task = view_em(rows, row_weight, letters, n_weights, ridge, limits);
    const RowsView& view = task.rows;
    require(!view.is_float32 && view.row_stride == view.n_features && (view.column_stride == 1 || view.n_features == 1),
            "rows must be float64, in C order");
    require(row_weight && task.row_weight.stride == 1, "row_weight must have shape (n_rows,), in C order");
    task.total_weight = sum_in_pairs(task.row_weight.data, view.n_rows);
    return task;
}

MixtureArrays::MixtureArrays(const EmView& task, const Writable<double, 1>& weights, const Writable<double, 2>& means,
                             const Writable<double, 1>& covariances)
    : factors({n_covariances(task) * n_values(task)}), log_abs_det({n_covariances(task)}) {
    const auto n_means = static_cast<std::size_t>(task.n_components * task.rows.n_features);
    view = {weights.data(), data_of(means, n_means, "means must have shape (n_components, n_features)"),
            data_of(covariances, n_covariances(task) * n_values(task), "covariances must be of the algebra's size"),
            factors.data(), log_abs_det.data()};
}

std::optional<PackedPriorView> view_prior(const std::optional<PackedPrior>& prior, const Algebra& algebra, Index d) {
    if (!prior) return std::nullopt;
    const auto& [has_stick_breaking, weight_concentration, max_components, mean, mean_precision, dof, scale,
                 scale_roots, log_normaliser, total_weight, weight_unit, is_map, has_fixed_weights] = *prior;
    const auto columns = static_cast<std::size_t>(d);
    require(mean.size() == columns, "the mean of a prior must have shape (n_features,)");
    require(scale.size() == static_cast<std::size_t>(algebra.size(d)),
            "the scale of a prior must be of the algebra's size");
    require((algebra.second() == Second::full) == scale_roots.has_value() &&
                (!scale_roots || scale_roots->size() == columns * columns),
            "scale_roots must have shape (n_features, n_features), and be given only for full covariances");
    return PackedPriorView{has_stick_breaking, weight_concentration,
                           max_components,     mean.data(),
                           mean_precision,     dof,
                           scale.data(),       scale_roots ? scale_roots->data() : nullptr,
                           log_normaliser,     total_weight,
                           weight_unit,        is_map,
                           has_fixed_weights};
}

ErrorView view_incompleteness(const Incompleteness& incompleteness, const RowsView& rows) {
    const auto& [is_incomplete, error] = incompleteness;
    require(is_incomplete || !error, "rows with errors must be marked as incomplete");
    return view_error(error, rows);
}

SearchView view_search(const PackedSearch& packed_search) {
    require(std::get<0>(packed_search).size() > 0, "uniform_draws must have numbers");
    const auto join = [](const auto& uniform_draws, const auto& kmeans, const Stop& initial, const Stop& refinement,
                         const Stop& last, const Acceptance& acceptance, auto... rest) {
        const auto& [n_candidates, max_passes, tolerance] = kmeans;
        return SearchView{uniform_draws.data(),
                          extent(uniform_draws, 1),
                          {n_candidates, max_passes, tolerance, true},
                          to_steps(initial),
                          to_steps(refinement),
                          to_steps(last),
                          to_acceptance(acceptance),
                          rest...};
    };
    const SearchView view = std::apply(join, packed_search);
    require(view.kmeans.n_candidates > 0, "n_candidates is 0");
    require(std::min({view.first_rows, view.second_rows, view.kmeans_rows}) > 0, "a search must have rows");
    return view;
}

}  // namespace gaussmix
