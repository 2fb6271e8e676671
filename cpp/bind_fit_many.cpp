// Python bindings for complete fits of one table or of many groups of rows.
#include <nanobind/nanobind.h>
#include <nanobind/stl/variant.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <variant>
#include <vector>

#include "em/fit_many.hpp"
#include "em_arguments.hpp"

namespace gaussmix {

namespace {

// Concatenates the values.
Result<double> concatenate(const std::vector<Values>& each) {
    Values all;
    for (const Values& values : each) all.insert(all.end(), values.begin(), values.end());
    return to_array(all);
}

using Integers = Contiguous<std::int64_t, 1>;

GroupsView view_groups(const Rows& rows, const RowWeight& row_weight, const std::tuple<Integers, Integers>& ranges,
                       const std::optional<Integers>& starts_of_weights,
                       const std::tuple<Contiguous<double, 1>, Contiguous<double, 1>>& weights) {
    const auto& [first, n_rows] = ranges;
    const Integers& first_weight = starts_of_weights ? *starts_of_weights : first;
    const auto& [total, weight_unit] = weights;
    GroupsView groups{};
    groups.rows = view_rows(rows, {});
    const Index n_weights = row_weight ? static_cast<Index>(row_weight->size()) : groups.rows.n_rows;
    groups.row_weight = view_row_weight(row_weight, n_weights);
    groups.n_groups = static_cast<Index>(first.size());
    require(n_rows.size() == first.size() && first_weight.size() == first.size() && total.size() == first.size() &&
                weight_unit.size() == first.size(),
            "ranges and weights must have shape (n_groups,)");
    for (std::size_t i = 0; i < first.size(); ++i) {
        require(first.data()[i] >= 0 && n_rows.data()[i] >= 0 && first.data()[i] <= groups.rows.n_rows &&
                    n_rows.data()[i] <= groups.rows.n_rows - first.data()[i],
                "ranges of groups must lie within rows");
        require(!row_weight || (first_weight.data()[i] >= 0 && first_weight.data()[i] <= n_weights - n_rows.data()[i]),
                "first_weight of groups must lie within row_weight");
    }
    groups.first = first.data();
    groups.first_weight = first_weight.data();
    groups.n_rows = n_rows.data();
    groups.total_weight = total.data();
    groups.weight_unit = weight_unit.data();
    return groups;
}

// Results of all groups of rows: weights, means, covariances, whitening factors and their log |det|, ridges, numbers of
// steps, convergence flags, log-likelihoods, objectives, and a summary of each split-and-merge search.
using FitsResult =
    std::tuple<Result<double>, Result<double>, Result<double>, Result<double>, Result<double>, Result<double>,
               Result<std::int64_t>, Result<bool>, Result<double>, Result<double>, Result<double>>;

// Tuples of the fields of classes in engines.calls, in the order in which these classes declare them.
using PackedEM = std::tuple<Maybe<1>, double, Index, double, std::optional<PackedPrior>, double>;
using PackedKMeans = std::tuple<Index, Contiguous<double, 2>, Index, double, bool>;
using InitialMixtures = std::tuple<Contiguous<double, 2>, Contiguous<double, 3>, Contiguous<double, 2>>;
using Components = Contiguous<std::int32_t, 1>;  // component index of each row
using Centres = Contiguous<double, 2>;
using Start = std::variant<PackedKMeans, InitialMixtures, Components, Centres>;
using PackedFit =
    std::tuple<Letters, Index, Start, PackedEM, double, double, double, std::optional<PackedSearch>, Maybe<1>>;

// Stores the initialisation of all groups in `settings`, which has the number of components and of steps.
void set_start(const Start& start, const Maybe<1>& unit, const GroupsView& groups, FitSettingsView& settings) {
    const auto d = static_cast<std::size_t>(groups.rows.n_features);
    const auto* centres = std::get_if<Centres>(&start);
    require(!unit || (centres && unit->size() == d), "unit must have shape (n_features,), and needs centres");
    settings.unit = unit ? unit->data() : nullptr;
    if (const auto* kmeans = std::get_if<PackedKMeans>(&start)) {
        const auto& [n_candidates, uniform_draws, max_passes, tolerance, is_scaled] = *kmeans;
        require(uniform_draws.shape(0) > 0, "uniform_draws must have a row for each start");
        check_seeding(settings.n_components, n_candidates, uniform_draws.shape(1));
        settings.n_starts = extent(uniform_draws, 0);
        require(settings.n_starts == 1 || settings.max_steps > 0, "several starts need max_steps of at least 1");
        settings.uniform_draws = uniform_draws.data();
        settings.kmeans = {n_candidates, max_passes, tolerance, settings.search.has_value()};
        settings.is_scaled = is_scaled;
        return;
    }
    require(settings.ridge != nullptr, "a start other than k-means needs a ridge");
    if (const auto* labels = std::get_if<Components>(&start)) {
        require(groups.n_groups == 1 && groups.n_rows[0] == static_cast<Index>(labels->size()),
                "labels must have the component of each row of a single group");
        settings.assignment = {labels->data(), nullptr, 1, 0};
    } else if (centres) {
        require(centres->size() == static_cast<std::size_t>(settings.n_components) * d,
                "centres must have shape (n_components, n_features)");
        settings.centres = centres->data();
    } else {
        require(settings.max_steps > 0, "initial mixtures need max_steps of at least 1");
        settings.has_initial = true;
    }
}

FitSettingsView view_fit(const PackedFit& packed, const LimitValues& limits, double seconds, const GroupsView& groups) {
    const auto& [letters, n_components, start, em_settings, ridge_fraction, ridge_trim_fraction, min_column_spread,
                 search, unit] = packed;
    const auto& [ridge, tolerance, max_steps, previous_objective, prior, log_noise_volume] = em_settings;
    require(n_components > 0, "n_components is 0");
    require(!ridge || ridge->size() == static_cast<std::size_t>(groups.rows.n_features),
            "ridge must have shape (n_features,)");
    require(max_steps >= 0, "max_steps must be at least 0");
    FitSettingsView settings{};
    settings.algebra = to_algebra(letters);
    settings.n_components = n_components;
    settings.ridge = ridge ? ridge->data() : nullptr;
    settings.ridge_fraction = ridge_fraction;
    settings.ridge_trim_fraction = ridge_trim_fraction;
    settings.min_column_spread = min_column_spread;
    settings.limits = to_limits(limits);
    settings.tolerance = tolerance;
    settings.max_steps = max_steps;
    settings.seconds = seconds;
    if (search) settings.search = view_search(*search);
    set_start(start, unit, groups, settings);
    if (search) {
        require(settings.uniform_draws != nullptr && max_steps > 0,
                "a search needs k-means and max_steps of at least 1");
        require(std::get<0>(*search).shape(0) == static_cast<std::size_t>(settings.n_starts),
                "uniform_draws of a search must have a row for each start of the fit");
    }
    const bool has_noise = log_noise_volume < kInfinity;
    require(settings.has_initial || !(prior || groups.is_incomplete || has_noise),
            "a prior, noise and incomplete rows need initial mixtures");
    require(!has_noise || !(prior || groups.is_incomplete), kNoiseAlone);
    settings.prior = view_prior(prior, settings.algebra, groups.rows.n_features);
    settings.log_noise_volume = log_noise_volume;
    return settings;
}

FitsResult bound_fit_many(const Target& target, const Rows& rows, const RowWeight& row_weight,
                          const std::tuple<Integers, Integers>& ranges, const std::optional<Integers>& first_weight,
                          const std::tuple<Contiguous<double, 1>, Contiguous<double, 1>>& weights,
                          const LimitValues& limits, const PackedFit& settings, double seconds,
                          const Incompleteness& incompleteness, int n_threads) {
    GroupsView groups = view_groups(rows, row_weight, ranges, first_weight, weights);
    groups.is_incomplete = std::get<0>(incompleteness);
    groups.error = view_incompleteness(incompleteness, groups.rows);
    const FitSettingsView task = view_fit(settings, limits, seconds, groups);
    const auto d = static_cast<std::size_t>(groups.rows.n_features);
    const auto n_groups = static_cast<std::size_t>(groups.n_groups), k = static_cast<std::size_t>(task.n_components);
    const auto n_covariances = static_cast<std::size_t>(task.algebra.n_covariances(task.n_components)),
               n_weights = k + (task.log_noise_volume < kInfinity);
    const auto size = n_covariances * static_cast<std::size_t>(task.algebra.size(groups.rows.n_features));
    NewArray<double> weights_out({n_groups, n_weights}), covariances({n_groups, size}), factors({n_groups, size});
    NewArray<double> log_abs_det({n_groups, n_covariances}), ridges({n_groups, d});
    NewArray<double> means({n_groups, k, d});
    NewArray<std::int64_t> n_steps({n_groups});
    NewArray<bool> has_converged({n_groups});
    if (const auto* initial = std::get_if<InitialMixtures>(&std::get<2>(settings))) {
        const auto& [initial_weights, initial_means, initial_covariances] = *initial;
        require(initial_weights.size() == n_groups * n_weights && initial_means.size() == n_groups * k * d &&
                    initial_covariances.size() == n_groups * size,
                "initial must have the mixture of each group");
        std::copy_n(initial_weights.data(), initial_weights.size(), weights_out.data());
        std::copy_n(initial_means.data(), initial_means.size(), means.data());
        std::copy_n(initial_covariances.data(), initial_covariances.size(), covariances.data());
    }
    std::vector<Values> histories(n_groups), objectives(n_groups);
    std::vector<SearchReport> reports(n_groups);
    const FitsView out{weights_out.data(), means.data(),  covariances.data(), factors.data(),
                       log_abs_det.data(), ridges.data(), n_steps.data(),     has_converged.data(),
                       histories,          objectives,    reports.data()};
    without_gil(n_threads,
                [&](const Execution& execution) { return fit_many(*target.kernels, groups, task, execution, out); });
    NewArray<double> search_values({n_groups, 3});
    double* next = search_values.data();
    for (const SearchReport& report : reports) {
        for (const double value : {report.n_tried, report.n_accepted, report.gain}) *next++ = value;
    }
    return {weights_out.release(),  means.release(),         covariances.release(),  factors.release(),
            log_abs_det.release(),  ridges.release(),        n_steps.release(),      has_converged.release(),
            concatenate(histories), concatenate(objectives), search_values.release()};
}

}  // namespace

void bind_fit_many(nb::class_<Target>& type) {
    using namespace nb::literals;
    type.def("fit_many", bound_fit_many, "rows"_a.noconvert(), "row_weight"_a.noconvert().none(), "ranges"_a,
             "first_weight"_a.none(), "weights"_a, "limits"_a, "settings"_a, "seconds"_a, "incompleteness"_a,
             "n_threads"_a, "Fit a mixture to each of many groups: values of engines.calls.GroupFits, and factors.");
}

}  // namespace gaussmix
