// Python bindings for whole EM fits, which change the arrays of mixtures in place.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>
#include <variant>

#include "bind.hpp"
#include "em/ascent.hpp"
#include "em/columns.hpp"
#include "em/fit_many.hpp"
#include "em/run_em.hpp"

namespace gaussmix {

namespace {

using LimitValues = std::tuple<double, double, double, double>;
constexpr const char* kAlone = "a background must not go with a prior or incomplete rows";

Limits to_limits(const LimitValues& limits) {
    return {std::get<0>(limits), std::get<1>(limits), std::get<2>(limits), std::get<3>(limits)};
}

template <class Array>
double* written(const Array& array, std::size_t size, const char* message) {
    require(array.size() == size, message);
    return array.data();
}

EmView view_em(const Rows& rows, const RowWeight& row_weight, const Letters& letters,
               const Writable<double, 1>& weights, const Contiguous<double, 1>& ridge, const LimitValues& limits,
               double log_background_volume = kInfinity) {
    EmView task{};
    task.log_background_volume = log_background_volume;
    task.rows = view_rows(rows, {});
    task.row_weight = view_row_weight(row_weight, task.rows.n_rows);
    task.algebra = to_algebra(letters);
    task.n_components = static_cast<Index>(weights.size()) - task.has_background();
    require(task.n_components > 0, "n_components is 0");
    const auto features = static_cast<std::size_t>(task.rows.n_features);
    require(ridge.size() == features, "ridge must have shape (n_features,)");
    task.ridge = ridge.data();
    task.limits = to_limits(limits);
    return task;
}

TotalView view_total(const EmView& task, const Maybe<1>& centre, const Maybe<2>& total) {
    const auto features = static_cast<std::size_t>(task.rows.n_features);
    require(
        centre.has_value() == task.has_one_matrix() && total.has_value() == task.has_one_matrix(),
        "centre and total go with one full covariance for all, complete rows and no background, and only with them");
    require(!centre || (centre->size() == features && total->size() == features * features),
            "centre must have shape (n_features,), and total (n_features, n_features)");
    return centre ? TotalView{centre->data(), total->data()} : TotalView{};
}

// A mixture whose arrays are changed in place, with new arrays for the whitening factors of the covariances.
struct Written {
    NewArray<double> factors, log_abs_det;
    MixtureView view;

    Written(const EmView& task, const Writable<double, 1>& weights, const Writable<double, 2>& means,
            const Writable<double, 1>& covariances)
        : factors({n_covariances(task) * size(task)}), log_abs_det({n_covariances(task)}) {
        const auto n_means = static_cast<std::size_t>(task.n_components * task.rows.n_features);
        view = {weights.data(), written(means, n_means, "means must have shape (n_components, n_features)"),
                written(covariances, n_covariances(task) * size(task), "covariances must be of the algebra's size"),
                factors.data(), log_abs_det.data()};
    }

private:
    static std::size_t n_covariances(const EmView& task) {
        return task.algebra.is_shared() ? 1 : static_cast<std::size_t>(task.n_components);
    }
    static std::size_t size(const EmView& task) {
        return static_cast<std::size_t>(task.algebra.size(task.rows.n_features));
    }
};

// Concatenates the values.
Result<double> joined(const std::vector<Values>& each) {
    Values all;
    for (const Values& values : each) all.insert(all.end(), values.begin(), values.end());
    return released(all);
}

// Tuple of the fields of engines.calls.PackedPrior, in the order in which this class declares them.
using PackedPrior = std::tuple<bool, double, Index, Contiguous<double, 1>, double, double, Contiguous<double, 1>,
                               Maybe<2>, double, double, double, bool>;

std::optional<PackedPriorView> view_prior(const std::optional<PackedPrior>& prior, const Algebra& algebra, Index d) {
    if (!prior) return std::nullopt;
    const auto& [has_stick_breaking, weight_concentration, max_components, mean, mean_precision, dof, scale,
                 scale_roots, log_normaliser, total_weight, weight_unit, is_map] = *prior;
    const auto columns = static_cast<std::size_t>(d);
    require(mean.size() == columns, "the mean of a prior must have shape (n_features,)");
    require(scale.size() == static_cast<std::size_t>(algebra.size(d)),
            "the scale of a prior must be of the algebra's size");
    require((algebra.second() == Second::full) == scale_roots.has_value() &&
                (!scale_roots || scale_roots->size() == columns * columns),
            "the scale_roots of a prior must have shape (n_features, n_features), and go with a matrix");
    return PackedPriorView{has_stick_breaking, weight_concentration,
                           max_components,     mean.data(),
                           mean_precision,     dof,
                           scale.data(),       scale_roots ? scale_roots->data() : nullptr,
                           log_normaliser,     total_weight,
                           weight_unit,        is_map};
}

// Pair of a flag and the measurement errors; the flag is true if rows have missing values or measurement errors.
using Incompleteness = std::tuple<bool, Error>;

ErrorView view_incompleteness(const Incompleteness& incompleteness, const RowsView& rows) {
    const auto& [is_incomplete, error] = incompleteness;
    require(is_incomplete || !error, "rows with errors must be marked as incomplete");
    return view_error(error, {1, rows.n_features, FactorShape::triangular, false, Rule::soft, Second::none},
                      rows.n_rows);
}

// Results of EM: log-likelihood and objective before each EM step, whitening factors of the covariances, and log |det|
// of each factor.
using EmResult = std::tuple<Result<double>, Result<double>, Result<double>, Result<double>>;

EmResult bound_run_em(const Target& target, const Rows& rows, const RowWeight& row_weight, double total_weight,
                      const Letters& letters, const Writable<double, 1>& weights, const Writable<double, 2>& means,
                      const Writable<double, 1>& covariances, const Maybe<1>& centre, const Maybe<2>& total,
                      const Contiguous<double, 1>& ridge, const LimitValues& limits, double tolerance,
                      double previous_objective, Index max_steps, double seconds,
                      const std::optional<PackedPrior>& prior, const Incompleteness& incompleteness, int n_threads,
                      double log_background_volume) {
    EmView task = view_em(rows, row_weight, letters, weights, ridge, limits, log_background_volume);
    task.is_incomplete = std::get<0>(incompleteness);
    require(!task.has_background() || !(prior || task.is_incomplete), kAlone);
    task.error = view_incompleteness(incompleteness, task.rows);
    task.total = view_total(task, centre, total);
    task.total_weight = total_weight;
    task.tolerance = tolerance;
    task.previous_objective = previous_objective;
    task.max_steps = max_steps;
    task.seconds = seconds;
    const std::optional<PackedPriorView> prior_view = view_prior(prior, task.algebra, task.rows.n_features);
    task.prior = prior_view ? &*prior_view : nullptr;
    Written mixture(task, weights, means, covariances);
    Values log_likelihoods, objectives;
    without_gil(n_threads, [&](const Execution& execution) {
        return run_em(*target.kernels, task, execution, mixture.view, log_likelihoods, &objectives);
    });
    return {released(log_likelihoods), released(objectives), mixture.factors.release(), mixture.log_abs_det.release()};
}

// Results for one column: the mean lower bound per row, and the weights, means and covariances of the mixture.
using ColumnResult = std::tuple<double, Result<double>, Result<double>, Result<double>>;

ColumnResult bound_improve_column(const Target& target, const Rows& rows, const Contiguous<double, 1>& row_weight,
                                  const Letters& letters, const Contiguous<double, 1>& weights,
                                  const Contiguous<double, 2>& means, const Contiguous<double, 1>& covariances,
                                  const Contiguous<double, 1>& ridge, const LimitValues& limits, double tolerance,
                                  Index max_steps, double seconds, double min_step_gain, Index max_components,
                                  const Contiguous<double, 1>& uniform, const PackedPrior& prior, int n_threads) {
    ColumnView task{};
    EmView& em = task.em;
    em.rows = view_rows(rows, {});
    const std::size_t n_components = weights.size();
    require(em.rows.n_features == 1 && !em.rows.is_float32 && em.rows.row_stride == 1,
            "rows must be float64 of one feature, in C order");
    require(row_weight.size() == static_cast<std::size_t>(em.rows.n_rows), "row_weight must have shape (n_rows,)");
    em.row_weight = {row_weight.data(), 1};
    em.total_weight = sum_in_pairs(row_weight.data(), em.rows.n_rows);
    em.algebra = to_algebra(letters);
    require(em.algebra.volume == Across::own && em.algebra.shape != Across::equal &&
                em.algebra.orientation != Across::equal,
            "components must have variances of their own");
    require(n_components > 0 && means.size() == n_components && covariances.size() == n_components,
            "the mixture must have components of one feature");
    require(ridge.size() == 1 && uniform.size() > 0 && max_steps > 0, "ridge, uniform or max_steps is missing");
    em.ridge = ridge.data();
    em.limits = to_limits(limits);
    em.tolerance = tolerance;
    em.max_steps = max_steps;
    em.seconds = seconds;
    const std::optional<PackedPriorView> prior_view = view_prior(prior, em.algebra, em.rows.n_features);
    em.prior = &*prior_view;
    task.max_components = max_components;
    task.min_step_gain = min_step_gain;
    task.uniform = uniform.data();
    task.n_uniform = static_cast<Index>(uniform.size());
    Mixture mixture(em.algebra, static_cast<Index>(n_components), 1);
    std::copy_n(weights.data(), n_components, mixture.weights.begin());
    std::copy_n(means.data(), n_components, mixture.means.begin());
    std::copy_n(covariances.data(), n_components, mixture.covariances.begin());
    double objective = 0;
    without_gil(n_threads, [&](const Execution& execution) {
        return improve_column(*target.kernels, task, execution, mixture, objective);
    });
    NewArray<double> means_out({mixture.means.size(), 1});
    std::copy(mixture.means.begin(), mixture.means.end(), means_out.data());
    return {objective, released(mixture.weights), means_out.release(), released(mixture.covariances)};
}

using Stop = std::tuple<double, Index>;  // tolerance and maximum number of EM steps
// Tuple of the fields of `AcceptanceSettings`, in the order in which the struct declares them.
using Acceptance = std::tuple<Stop, Stop, Stop, Stop, double, double, double, double, Index, double, double, double>;

Steps to_steps(const Stop& stop) {
    require(std::get<1>(stop) >= 1, "EM needs a step");
    return {std::get<0>(stop), std::get<1>(stop)};
}

AcceptanceSettings to_acceptance(const Acceptance& acceptance) {
    const auto join = [](const Stop& trial, const Stop& long_trial, const Stop& after_move, const Stop& long_after_move,
                         auto... rest) {
        return AcceptanceSettings{to_steps(trial), to_steps(long_trial), to_steps(after_move),
                                  to_steps(long_after_move), rest...};
    };
    return std::apply(join, acceptance);
}

// Tuple of the fields of engines.calls.SearchSettings, in the order in which this class declares them.
using PackedSearch =
    std::tuple<Contiguous<double, 2>, std::tuple<Index, Index, double>, Stop, Stop, Stop, Acceptance, Index, Index,
               Index, Index, Index, Index, Index, Index, Index, double, double, Index, double, double, Index, Index>;

SearchView view_search(const PackedSearch& packed_search, Index n_components) {
    const auto& [uniform_draws, kmeans, initial_limits, refinement_limits, final_limits, acceptance, max_moves,
                 patience, swap_patience, refinement_patience, min_rows_to_subsample, first_rows, second_rows,
                 kmeans_rows, min_kmeans_rows, search_steps_factor, final_steps_factor, n_extra_em_steps,
                 crossing_work_factor, misfit_gain, n_ascents, min_slow_steps] = packed_search;
    const auto& [n_candidates, max_passes, tolerance] = kmeans;
    require(uniform_draws.shape(0) > 0 && uniform_draws.shape(1) > 0, "uniform_draws must have numbers");
    check_spread(n_components, n_candidates, static_cast<std::size_t>(1 + (n_components - 1) * n_candidates));
    require(std::min({first_rows, second_rows, kmeans_rows}) > 0, "a search must have rows");
    return {uniform_draws.data(),
            static_cast<Index>(uniform_draws.shape(1)),
            {n_candidates, max_passes, tolerance},
            to_steps(initial_limits),
            to_steps(refinement_limits),
            to_steps(final_limits),
            to_acceptance(acceptance),
            max_moves,
            patience,
            swap_patience,
            refinement_patience,
            min_rows_to_subsample,
            first_rows,
            second_rows,
            kmeans_rows,
            min_kmeans_rows,
            search_steps_factor,
            final_steps_factor,
            n_extra_em_steps,
            crossing_work_factor,
            misfit_gain,
            n_ascents,
            min_slow_steps};
}

// Result of a search: whether the search found a mixture (otherwise, the given mixture is not changed), one array with
// the number of rows and the initial log-likelihood of each search run, the number of tried moves, and the number of
// accepted moves.
using SearchResult = std::tuple<bool, Result<double>, double, double>;

SearchResult bound_search(const Target& target, const Rows& rows, const RowWeight& row_weight, const Letters& letters,
                          const Writable<double, 1>& weights, const Writable<double, 2>& means,
                          const Writable<double, 1>& covariances, const Contiguous<double, 1>& ridge,
                          const LimitValues& limits, const Maybe<1>& unit, const PackedSearch& packed_search,
                          Index n_steps, const nb::typed<nb::callable, bool()>& should_stop, int n_threads) {
    EmView task = view_em(rows, row_weight, letters, weights, ridge, limits);
    const RowsView& view = task.rows;
    require(!view.is_float32 && view.row_stride == view.n_features && view.column_stride == 1,
            "rows must be float64, in C order");
    require(row_weight && task.row_weight.stride == 1, "row_weight must have shape (n_rows,), in C order");
    task.total_weight = sum_in_pairs(task.row_weight.data, view.n_rows);
    require(!unit || static_cast<Index>(unit->size()) == task.rows.n_features, "unit must have shape (n_features,)");
    task.unit = unit ? unit->data() : nullptr;
    const SearchView settings = view_search(packed_search, task.n_components);
    const Written written(task, weights, means, covariances);
    Mixture mixture(task.algebra, task.n_components, task.rows.n_features);
    mixture.read(written.view);
    bool is_stopped = false, has_result = false;
    const auto is_over = [&] {
        const AcquiredGil acquired;
        return PyErr_CheckSignals() != 0 || (is_stopped = nb::cast<bool>(should_stop()));
    };
    std::vector<AscentStart> starts;
    SearchReport report{};
    without_gil(
        n_threads,
        [&](const Execution& execution) {
            has_result = search(*target.kernels, task, settings, settings.uniform_draws, n_steps, execution, mixture,
                                starts, report);
            return is_stopped || !execution.interrupt.has_come();
        },
        is_over);
    if (has_result) mixture.write(written.view);
    Values flat;
    for (const AscentStart& start : starts) {
        flat.push_back(static_cast<double>(start.n_rows));
        flat.push_back(start.log_likelihood);
    }
    return {has_result, released(flat), report.n_tried, report.n_accepted};
}

using Integers = Contiguous<std::int64_t, 1>;

GroupsView view_groups(const Rows& rows, const RowWeight& row_weight, const std::tuple<Integers, Integers>& ranges,
                       const std::optional<Integers>& starts_of_weights,
                       const std::tuple<Contiguous<double, 1>, Contiguous<double, 1>>& weights) {
    const auto& [first, n_rows] = ranges;
    const Integers& first_weight = starts_of_weights ? *starts_of_weights : first;
    const auto& [total, unit] = weights;
    GroupsView groups{};
    groups.rows = view_rows(rows, {});
    const Index n_weights = row_weight ? static_cast<Index>(row_weight->size()) : groups.rows.n_rows;
    groups.row_weight = view_row_weight(row_weight, n_weights);
    groups.n_groups = static_cast<Index>(first.size());
    require(n_rows.size() == first.size() && first_weight.size() == first.size() && total.size() == first.size() &&
                unit.size() == first.size(),
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
    groups.unit = unit.data();
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
using PackedFit = std::tuple<Letters, Index, std::variant<PackedKMeans, InitialMixtures, Components, Centres>, PackedEM,
                             double, double, double, std::optional<PackedSearch>, Maybe<1>>;

FitSettingsView view_fit(const PackedFit& packed, const LimitValues& limits, double seconds, const GroupsView& groups) {
    const auto& [letters, n_components, start, em_settings, ridge_fraction, ridge_trim_fraction, min_column_spread,
                 search, unit] = packed;
    const auto& [ridge, tolerance, max_steps, previous_objective, prior, log_background_volume] = em_settings;
    const auto d = static_cast<std::size_t>(groups.rows.n_features);
    FitSettingsView settings{};
    settings.algebra = to_algebra(letters);
    settings.n_components = n_components;
    require(n_components > 0, "n_components is 0");
    require(!ridge || ridge->size() == d, "ridge must have shape (n_features,)");
    require(max_steps >= 0, "max_steps must be at least 0");
    settings.n_starts = 1;
    if (const auto* kmeans = std::get_if<PackedKMeans>(&start)) {
        const auto& [n_candidates, uniform_draws, max_passes, kmeans_tolerance, is_scaled] = *kmeans;
        require(uniform_draws.shape(0) > 0, "uniform_draws must have a row for each start");
        check_spread(n_components, n_candidates, uniform_draws.shape(1));
        settings.n_starts = static_cast<Index>(uniform_draws.shape(0));
        settings.uniform_draws = uniform_draws.data();
        settings.kmeans = {n_candidates, max_passes, kmeans_tolerance};
        settings.is_scaled = is_scaled;
    } else {
        require(ridge.has_value(), "a start other than k-means must go with a ridge");
    }
    settings.has_initial = std::holds_alternative<InitialMixtures>(start);
    require(!settings.has_initial || max_steps > 0, "initial mixtures must go with steps");
    if (const auto* labels = std::get_if<Components>(&start)) {
        require(groups.n_groups == 1 && groups.n_rows[0] == static_cast<Index>(labels->size()),
                "labels must have the component of each row of a single group");
        settings.assignment = {labels->data(), nullptr, 1, 0};
    }
    const auto* centres = std::get_if<Centres>(&start);
    require(!centres || centres->size() == static_cast<std::size_t>(n_components) * d,
            "centres must have shape (n_components, n_features)");
    require(!unit || (centres && unit->size() == d), "unit must have shape (n_features,), and go with centres");
    settings.centres = centres ? centres->data() : nullptr;
    settings.unit = unit ? unit->data() : nullptr;
    settings.ridge = ridge ? ridge->data() : nullptr;
    settings.ridge_fraction = ridge_fraction;
    settings.ridge_trim_fraction = ridge_trim_fraction;
    settings.min_column_spread = min_column_spread;
    settings.limits = to_limits(limits);
    settings.tolerance = tolerance;
    settings.max_steps = max_steps;
    settings.seconds = seconds;
    if (search) {
        require(settings.uniform_draws != nullptr && max_steps > 0, "a search must go with k-means and steps");
        settings.search = view_search(*search, n_components);
        require(std::get<0>(*search).shape(0) == static_cast<std::size_t>(settings.n_starts),
                "uniform_draws of a search must have a row for each start of the fit");
    }
    const bool has_background = log_background_volume < kInfinity;
    require(settings.has_initial || !(prior || groups.is_incomplete || has_background),
            "a prior, a background and incomplete rows must go with initial mixtures");
    require(!has_background || !(prior || groups.is_incomplete), kAlone);
    settings.prior = view_prior(prior, settings.algebra, groups.rows.n_features);
    settings.log_background_volume = log_background_volume;
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
    const auto n_covariances = task.algebra.is_shared() ? 1 : k,
               n_weights = k + (task.log_background_volume < kInfinity);
    const auto size = n_covariances * static_cast<std::size_t>(task.algebra.size(groups.rows.n_features));
    NewArray<double> result({n_groups, n_weights}), covariances({n_groups, size}), factors({n_groups, size});
    NewArray<double> log_abs_det({n_groups, n_covariances}), ridges({n_groups, d});
    NewArray<double> means({n_groups, k, d});
    NewArray<std::int64_t> n_steps({n_groups});
    NewArray<bool> has_converged({n_groups});
    if (const auto* initial = std::get_if<InitialMixtures>(&std::get<2>(settings))) {
        const auto& [weights_of, means_of, covariances_of] = *initial;
        require(weights_of.size() == n_groups * n_weights && means_of.size() == n_groups * k * d &&
                    covariances_of.size() == n_groups * size,
                "initial must have the mixture of each group");
        std::copy_n(weights_of.data(), weights_of.size(), result.data());
        std::copy_n(means_of.data(), means_of.size(), means.data());
        std::copy_n(covariances_of.data(), covariances_of.size(), covariances.data());
    }
    std::vector<Values> histories(n_groups), objectives(n_groups);
    std::vector<SearchReport> reports(n_groups);
    const FitsView out{result.data(),      means.data(),  covariances.data(), factors.data(),
                       log_abs_det.data(), ridges.data(), n_steps.data(),     has_converged.data(),
                       histories,          objectives,    reports.data()};
    without_gil(n_threads,
                [&](const Execution& execution) { return fit_many(*target.kernels, groups, task, execution, out); });
    NewArray<double> of_search({n_groups, 3});
    for (std::size_t i = 0; i < n_groups; ++i) {
        std::tie(of_search.data()[3 * i], of_search.data()[3 * i + 1], of_search.data()[3 * i + 2]) =
            std::tie(reports[i].n_tried, reports[i].n_accepted, reports[i].gain);
    }
    return {result.release(),      means.release(),    covariances.release(), factors.release(),
            log_abs_det.release(), ridges.release(),   n_steps.release(),     has_converged.release(),
            joined(histories),     joined(objectives), of_search.release()};
}

double bound_least_gain(const Target&, const Letters& letters, Index n_features, const Contiguous<double, 1>& weights,
                        const Contiguous<double, 1>& weights_without, Index n_rows) {
    require(n_features > 0 && n_rows > 0, "n_features or n_rows is 0");
    const auto values = [](const auto& array) { return Values(array.data(), array.data() + array.size()); };
    return least_gain(to_algebra(letters), n_features, values(weights), values(weights_without), n_rows);
}

}  // namespace

void bind_em(nb::class_<Target>& type) {
    using namespace nb::literals;
    type.def("run_em", bound_run_em, "rows"_a.noconvert(), "row_weight"_a.noconvert().none(), "total_weight"_a,
             "algebra"_a, "weights"_a.noconvert(), "means"_a.noconvert(), "covariances"_a.noconvert(),
             "centre"_a.none(), "total"_a.none(), "ridge"_a, "limits"_a, "tolerance"_a, "previous_objective"_a,
             "max_steps"_a, "seconds"_a, "prior"_a.none(), "incompleteness"_a, "n_threads"_a,
             "log_background_volume"_a = kInfinity,
             "Make EM steps, change the mixture in place; return (log_likelihood, objective, factors, log_abs_det).")
        .def("improve_column", bound_improve_column, "rows"_a.noconvert(), "row_weight"_a, "algebra"_a, "weights"_a,
             "means"_a, "covariances"_a, "ridge"_a, "limits"_a, "tolerance"_a, "max_steps"_a, "seconds"_a,
             "min_step_gain"_a, "max_components"_a, "uniform"_a, "prior"_a, "n_threads"_a,
             "Raise the bound of one feature by moves and EM, and return (bound, weights, means, covariances).")
        .def("search", bound_search, "rows"_a, "row_weight"_a, "algebra"_a, "weights"_a.noconvert(),
             "means"_a.noconvert(), "covariances"_a.noconvert(), "ridge"_a, "limits"_a, "unit"_a.none(),
             "packed_search"_a, "n_steps"_a, "should_stop"_a, "n_threads"_a,
             "Move components if it helps, and return the values of `SearchResult`.")
        .def("least_gain", bound_least_gain, "algebra"_a, "n_features"_a, "weights"_a, "weights_without"_a, "n_rows"_a,
             "Return the gain of a search, in nats per row, above which the gain is probably not due to chance.")
        .def("fit_many", bound_fit_many, "rows"_a.noconvert(), "row_weight"_a.noconvert().none(), "ranges"_a,
             "first_weight"_a.none(), "weights"_a, "limits"_a, "settings"_a, "seconds"_a, "incompleteness"_a,
             "n_threads"_a, "Fit a mixture to each of many groups: values of engines.calls.GroupFits, and factors.");
}

}  // namespace gaussmix
