#include "fit_many.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <new>
#include <utility>

#include "sample.hpp"

namespace gaussmix {

namespace {

constexpr double kPassesPerFit = 20;  // estimated number of passes over the rows per fit

struct TableView {
    RowsView rows;
    RowWeightView row_weight;
    double total_weight;
    double weight_unit;  // number by which the row weights were divided
    bool is_incomplete = false;
    ErrorView error = {};
};

// Data that all initialisations of a fit share: the distinct rows, their weights, and the scale by which k-means
// divides each column.
struct Sample {
    Index n_features;
    Values rows, weight, unit;
};

class Fit {
public:
    Fit(const KernelTable& kernels, const FitSettingsView& settings, const Execution& execution)
        : kernels_(kernels), settings_(settings), execution_(execution), listener_(execution.interrupt.listener()) {}

    // Fits a mixture to one table. Returns false if Python must fit this table, or if interrupted.
    bool fit(const TableView& table, const MixtureView& mixture, double* ridge, Values& log_likelihoods,
             Values& objectives, SearchReport& report) const {
        if (settings_.has_initial) return continue_from_mixture(table, mixture, ridge, log_likelihoods, objectives);
        if (settings_.centres != nullptr || settings_.assignment.labels != nullptr) {
            return fit_from_assignment(table, mixture, ridge, log_likelihoods);
        }
        return fit_from_kmeans(table, mixture, ridge, log_likelihoods, report);
    }

private:
    EmView view(const TableView& table, const double* ridge) const {
        EmView em{};
        em.rows = table.rows;
        em.row_weight = table.row_weight;
        em.total_weight = table.total_weight;
        em.algebra = settings_.algebra;
        em.n_components = settings_.n_components;
        em.ridge = ridge;
        em.limits = settings_.limits;
        em.tolerance = settings_.tolerance;
        em.max_steps = settings_.max_steps;
        em.seconds = settings_.seconds;
        em.is_incomplete = table.is_incomplete;
        em.error = table.error;
        em.log_noise_volume = settings_.log_noise_volume;
        return em;
    }

    // Runs EM from an initial mixture.
    bool continue_from_mixture(const TableView& table, const MixtureView& mixture, double* ridge,
                               Values& log_likelihoods, Values& objectives) const {
        std::copy_n(settings_.ridge, table.rows.n_features, ridge);
        EmView em = view(table, ridge);
        TotalMoments total;
        PackedPriorView prior;
        if (settings_.prior) {
            prior = *settings_.prior;
            prior.weight_unit *= table.weight_unit;
            em.prior = &prior;
        }
        return find_total(kernels_, em, execution_, total) &&
               run_em(kernels_, em, execution_, mixture, log_likelihoods, &objectives) && !log_likelihoods.empty();
    }

    // Fits a mixture from centres or labels.
    bool fit_from_assignment(const TableView& table, const MixtureView& mixture, double* ridge,
                             Values& log_likelihoods) const {
        const Index d = table.rows.n_features;
        if (settings_.centres != nullptr) std::copy_n(settings_.centres, settings_.n_components * d, mixture.means);
        std::copy_n(settings_.ridge, d, ridge);
        EmView em = view(table, ridge);
        em.unit = settings_.unit;
        TotalMoments total;
        return begin(em, mixture) &&
               (settings_.max_steps == 0 || (find_total(kernels_, em, execution_, total) &&
                                             run_em(kernels_, em, execution_, mixture, log_likelihoods)));
    }

    // Fits a mixture from each of `n_starts` results of k-means, which a split-and-merge search improves first if
    // `settings_.search` is set. The fit with the highest log-likelihood is the result.
    bool fit_from_kmeans(const TableView& table, const MixtureView& mixture, double* ridge, Values& log_likelihoods,
                         SearchReport& report) const {
        Sample sample{};
        if (!find_sample(table, sample, ridge)) return false;
        const auto n_rows = static_cast<Index>(sample.weight.size());
        const RowsView rows = plain_rows(sample.rows.data(), n_rows, table.rows.n_features);
        const double weight = sum_in_pairs(sample.weight.data(), n_rows);
        EmView em = view(table, ridge), em_of_sample = view({rows, {sample.weight.data(), 1}, weight, 1}, ridge);
        em_of_sample.seconds = kInfinity;
        if (settings_.is_scaled) em.unit = em_of_sample.unit = sample.unit.data();
        TotalMoments total, total_of_sample;
        const bool is_searched = settings_.search.has_value();
        if (settings_.max_steps > 0 && !find_total(kernels_, em, execution_, total)) return false;
        if (is_searched && !find_total(kernels_, em_of_sample, execution_, total_of_sample)) return false;
        Mixture other(settings_.algebra, settings_.n_components, table.rows.n_features);
        const Index n_draws = n_seed_draws(settings_.n_components, settings_.kmeans.n_candidates);
        for (Index start = 0; start < settings_.n_starts; ++start) {
            const MixtureView& to = start == 0 ? mixture : other.view();
            Values history;
            SearchReport own_report = report;
            const double* uniform = settings_.uniform_draws + start * n_draws;
            if (!find_centres(kernels_, em_of_sample, settings_.kmeans, uniform, execution_, to.means)) return false;
            if (is_searched ? !search_from_centres(em_of_sample, start, to, own_report) : !begin(em, to)) return false;
            if (settings_.max_steps > 0 && !run_em(kernels_, em, execution_, to, history)) return false;
            // If EM from one initialisation ended before convergence, its result cannot be compared with the results of
            // the other initialisations.
            if (settings_.n_starts > 1 && !has_ended(history)) return false;
            if (start > 0 && !is_higher(history.back(), log_likelihoods.back())) continue;
            if (start > 0) other.write(mixture);
            log_likelihoods = std::move(history);
            report = own_report;
        }
        return true;
    }

    // Performs the first M-step, from the centres in `mixture.means` or from labels.
    bool begin(const EmView& em, const MixtureView& mixture) const {
        return begin_em(kernels_, em, execution_, settings_.assignment, mixture);
    }

    // Writes the mixture from which EM on all rows continues. EM on the distinct rows begins at the centres in
    // `mixture.means`, and a split-and-merge search follows, as in `FirstState._fit_sample` (fit/first_state.py).
    // Returns false if the mixture violates `Limits`, or if interrupted.
    bool search_from_centres(const EmView& em, Index start_index, const MixtureView& mixture,
                             SearchReport& report) const {
        const SearchView& search = *settings_.search;
        const Index d = em.rows.n_features;
        Mixture without_search(settings_.algebra, settings_.n_components, d);
        std::copy_n(mixture.means, without_search.means.size(), without_search.means.begin());
        Values history;
        if (!begin(em, without_search.view()) || !run_to_end(kernels_, em, {settings_.tolerance, settings_.max_steps},
                                                             execution_, without_search, history)) {
            return false;
        }
        const double expected_without = extrapolate_objective(history);
        double log_likelihood_without = history.back();
        const auto n_steps = static_cast<Index>(history.size());
        Mixture with_search = without_search;
        Values starts;
        if (!gaussmix::search(kernels_, em, search, search.uniform_draws + start_index * search.n_draws, n_steps,
                              execution_, with_search, starts, report)) {
            return false;
        }
        const double max_steps = search.final_steps_factor * static_cast<double>(n_steps + search.n_extra_em_steps);
        const Steps final_steps{search.final_limits.tolerance,
                                std::min(search.final_limits.limit, static_cast<Index>(max_steps))};
        if (!run_to_end(kernels_, em, final_steps, execution_, with_search, history)) return false;
        const double log_likelihood_with = history.back();
        if (!is_higher(log_likelihood_with, expected_without)) {
            if (!run_to_end(kernels_, em, {settings_.tolerance, 1}, execution_, without_search, history)) return false;
            log_likelihood_without = history.back();
        }
        const double gain = log_likelihood_with - log_likelihood_without;
        const bool is_accepted =
            gain > least_gain(em.algebra, d, with_search.weights, without_search.weights, em.rows.n_rows);
        report.gain = is_accepted ? gain : 0;
        if (!is_accepted) report.n_accepted = 0;
        (is_accepted ? with_search : without_search).write(mixture);
        return true;
    }

    // Extrapolates the objective by the same formula as `extrapolate_objective` in em/objective/stopping.py.
    static double extrapolate_objective(const Values& history) {
        return history.size() < 2 ? history.back() : 2 * history.back() - *(history.end() - 2);
    }

    // Checks whether objective `a` is higher than objective `b` by more than rounding errors.
    static bool is_higher(double a, double b) { return a > b + kObjectiveRounding * std::max(100.0, std::fabs(b)); }

    bool has_ended(const Values& history) const {
        return has_converged(history, settings_.tolerance) || static_cast<Index>(history.size()) == settings_.max_steps;
    }

    // Finds the distinct rows and the ridge. Returns false if Python must fit the table.
    bool find_sample(const TableView& table, Sample& sample, double* ridge) const {
        const RowsView& rows = table.rows;
        const Index d = rows.n_features;
        if (rows.n_rows < std::max<Index>(settings_.n_components, 2)) return false;
        if (!(rows.is_float32 ? are_usable<float>(rows) : are_usable<double>(rows))) return false;
        DistinctRows result = distinct_rows(rows, table.row_weight, listener_);
        const auto n_rows = static_cast<Index>(result.indices.size());
        if (n_rows < settings_.n_components) return false;
        sample = {d, zeros(n_rows * d), std::move(result.weight), {}};
        copy_rows(rows, result.indices, listener_, sample.rows.data());
        const bool needs_automatic_ridge = settings_.ridge == nullptr || settings_.is_scaled;
        if (needs_automatic_ridge && !find_ridge(sample, table.weight_unit, ridge)) return false;
        // The scale of a column follows from the automatic ridge, as in `column_units` (em/initialisation/sample.py).
        for (Index j = 0; j < d && settings_.is_scaled; ++j) {
            sample.unit.push_back(std::sqrt(ridge[j] / settings_.ridge_fraction));
        }
        if (settings_.ridge != nullptr) std::copy_n(settings_.ridge, d, ridge);
        return true;
    }

    // Checks that the rows satisfy the requirements of validation/rows.py.
    template <class Element>
    bool are_usable(const RowsView& rows) const {
        // The squared differences of n_rows values up to `largest`, each at most 4 largest^2, sum to a finite number.
        const double largest = std::sqrt(std::numeric_limits<double>::max() / (4 * static_cast<double>(rows.n_rows)));
        // The loop reads together all columns that share a cache line.
        for (Index first = 0; first < rows.n_features; first += kCacheLine) {
            const Index count = std::min(kCacheLine, rows.n_features - first);
            const Element* values = static_cast<const Element*>(rows.data) + first * rows.column_stride;
            std::array<double, kCacheLine> low, high;
            for (Index j = 0; j < count; ++j) low[j] = high[j] = values[j * rows.column_stride];
            bool is_valid = true;
            for (Index row = 0; row < rows.n_rows; ++row) {
                for (Index j = 0; j < count; ++j) {
                    const double number = values[row * rows.row_stride + j * rows.column_stride];
                    is_valid &= std::fabs(number) <= largest;
                    low[j] = std::min(low[j], number);
                    high[j] = std::max(high[j], number);
                }
            }
            for (Index j = 0; j < count && is_valid; ++j) is_valid = high[j] - low[j] >= settings_.min_column_spread;
            if (!is_valid) return false;
        }
        return true;
    }

    // Computes the automatic ridge. The number of rows to drop depends on the weights before their division by
    // `weight_unit`. Returns false if a column is constant.
    bool find_ridge(const Sample& sample, double weight_unit, double* ridge) const {
        Values weight = sample.weight;
        for (double& each : weight) each *= weight_unit;
        const auto n_rows = static_cast<Index>(weight.size()), d = sample.n_features;
        const auto write_variances = [&](const Values& weights, double dropped, double* out) {
            trimmed_variances(sample.rows.data(), weights.data(), n_rows, d, dropped, listener_, out);
        };
        write_variances(weight, std::ceil(settings_.ridge_trim_fraction * sum(weight.data(), n_rows)) + 1, ridge);
        if (!std::all_of(ridge, ridge + d, [](double variance) { return variance > 0; })) {
            Values untrimmed = zeros(d);
            write_variances(sample.weight, 0, untrimmed.data());
            for (Index j = 0; j < d; ++j) {
                if (!(untrimmed[j] > 0)) return false;
                if (!(ridge[j] > 0)) ridge[j] = untrimmed[j];
            }
        }
        for (Index j = 0; j < d; ++j) ridge[j] *= settings_.ridge_fraction;
        return true;
    }

    const KernelTable& kernels_;
    const FitSettingsView& settings_;
    const Execution& execution_;
    const Listener listener_;
};

// value of each field in the report of a fit without a split-and-merge search
constexpr double kNoSearch = std::numeric_limits<double>::quiet_NaN();

// Returns the view of one group's rows, row weights and errors.
TableView table_of(const GroupsView& groups, Index group) {
    TableView table{groups.rows,          groups.row_weight, groups.total_weight[group], groups.weight_unit[group],
                    groups.is_incomplete, groups.error};
    RowsView& rows = table.rows;
    const Index offset = groups.first[group] * rows.row_stride;
    if (rows.is_float32) {
        rows.data = static_cast<const float*>(rows.data) + offset;
    } else {
        rows.data = static_cast<const double*>(rows.data) + offset;
    }
    rows.n_rows = groups.n_rows[group];
    if (table.error.data != nullptr) table.error.data += groups.first[group] * table.error.row_stride;
    if (table.row_weight.data != nullptr) table.row_weight.data += groups.first_weight[group] * table.row_weight.stride;
    return table;
}

}  // namespace

bool fit_many(const KernelTable& kernels, const GroupsView& groups, const FitSettingsView& settings,
              const Execution& execution, const FitsView& out) {
    const Index d = groups.rows.n_features, n_components = settings.n_components;
    const Index n_covariances = settings.algebra.n_covariances(n_components);
    const Index size = n_covariances * settings.algebra.size(d);
    const Index n_weights = n_components + (settings.log_noise_volume < kInfinity);
    const auto fit = [&](Index group, const Execution& alone) {
        const MixtureView mixture{out.weights + group * n_weights, out.means + group * n_components * d,
                                  out.covariances + group * size, out.factors + group * size,
                                  out.log_abs_det + group * n_covariances};
        Values& history = out.log_likelihood[group];
        Values& objectives = out.objective[group];
        const auto leave_to_python = [&] {
            history.clear();
            objectives.clear();
        };
        SearchReport report{kNoSearch, kNoSearch, kNoSearch};
        try {
            if (!Fit(kernels, settings, alone)
                     .fit(table_of(groups, group), mixture, out.ridge + group * d, history, objectives, report)) {
                return leave_to_python();
            }
        } catch (const std::bad_alloc&) {  // if memory is short, Python must fit the group
            return leave_to_python();
        }
        if (out.search != nullptr) out.search[group] = report;
        out.n_steps[group] = static_cast<Index>(history.size());
        out.has_converged[group] = has_converged(settings.prior ? objectives : history, settings.tolerance);
    };
    std::fill_n(out.n_steps, groups.n_groups, -1);
    std::fill_n(out.has_converged, groups.n_groups, false);
    if (groups.n_groups == 1) {  // the threads share the rows if there is only one group
        fit(0, execution);
        return !execution.interrupt.has_come();
    }
    double n_rows = 0;
    for (Index group = 0; group < groups.n_groups; ++group) n_rows += static_cast<double>(groups.n_rows[group]);
    const Shape shape{n_components, d, settings.algebra.factor_shape(), false, Rule::soft, settings.algebra.second()};
    const double work = kPassesPerFit * static_cast<double>(settings.n_starts) * work_per_row(shape) * n_rows /
                        static_cast<double>(std::max<Index>(groups.n_groups, 1));
    return process_each(groups.n_groups, work, execution, fit);
}

}  // namespace gaussmix
