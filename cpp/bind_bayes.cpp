// Python bindings for births, merges and deletions of components in variational Bayes.
#include <nanobind/nanobind.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "em/births.hpp"
#include "em/columns.hpp"
#include "em/variational_merges.hpp"
#include "em_arguments.hpp"

namespace gaussmix {

namespace {

Mixture copied_mixture(const Algebra& algebra, const Contiguous<double, 1>& weights, const Contiguous<double, 2>& means,
                       const Contiguous<double, 1>& covariances) {
    Mixture mixture(algebra, static_cast<Index>(weights.size()), extent(means, 1));
    require(means.size() == mixture.means.size() && covariances.size() == mixture.covariances.size(),
            "means must have shape (n_components, n_features), and covariances must be of the algebra's size");
    mixture.read(weights.data(), means.data(), covariances.data());
    return mixture;
}

// Results for one column: the mean lower bound per row, and the weights, means and covariances of the mixture.
using ColumnResult = std::tuple<double, Result<double>, Result<double>, Result<double>>;

ColumnResult bound_improve_column(const Target& target, const Rows& rows, const RowWeight& row_weight,
                                  const Letters& letters, const Contiguous<double, 1>& weights,
                                  const Contiguous<double, 2>& means, const Contiguous<double, 1>& covariances,
                                  const Contiguous<double, 1>& ridge, const LimitValues& limits, double tolerance,
                                  Index max_steps, double seconds, double min_step_gain, Index max_components,
                                  const Contiguous<double, 1>& uniform, const PackedPrior& prior) {
    ColumnView task{};
    EmView& em = task.em = view_weighted_em(rows, row_weight, letters, weights.size(), ridge, limits);
    require(em.algebra.is_free(), "components must have variances of their own");
    require(em.rows.n_features == 1 && means.shape(1) == 1, "rows and means must have one feature");
    require(uniform.size() > 0 && max_steps > 0, "uniform or max_steps is missing");
    em.tolerance = tolerance;
    em.max_steps = max_steps;
    em.seconds = seconds;
    const std::optional<PackedPriorView> prior_view = view_prior(prior, em.algebra, em.rows.n_features);
    em.prior = &*prior_view;
    task.max_components = max_components;
    task.min_step_gain = min_step_gain;
    task.random = {uniform.data(), static_cast<Index>(uniform.size())};
    Mixture mixture = copied_mixture(em.algebra, weights, means, covariances);
    double objective = 0;
    without_gil(1, [&](const Execution& execution) {
        return improve_column(*target.kernels, task, execution, mixture, objective);
    });
    NewArray<double> means_out({mixture.means.size(), 1});
    std::copy(mixture.means.begin(), mixture.means.end(), means_out.data());
    return {objective, to_array(mixture.weights), means_out.release(), to_array(mixture.covariances)};
}

// Merges of pairs: indices (n_pairs, 2), gains, means (n_pairs, n_features) and scale matrices (n_pairs, size).
using MergesResult = std::tuple<Result<std::int64_t>, Result<double>, Result<double>, Result<double>>;

MergesResult bound_find_merges(const Target& target, const Letters& letters, const Contiguous<double, 1>& weights,
                               const Contiguous<double, 2>& means, const Contiguous<double, 1>& covariances,
                               const PackedPrior& prior) {
    const Algebra algebra = to_algebra(letters);
    const Index d = extent(means, 1);
    Mixture mixture = copied_mixture(algebra, weights, means, covariances);
    const std::optional<PackedPriorView> prior_view = view_prior(prior, algebra, d);
    std::vector<Merge> merges;
    without_gil(1, [&](const Execution& execution) {
        const Listener listener = execution.interrupt.listener();
        if (!factorise(*target.kernels, algebra, d, listener, mixture)) return;  // then no merge is proposed
        merges = find_merges(*target.kernels, *prior_view, algebra, d, mixture, listener);
    });
    const std::size_t n = merges.size(), features = means.shape(1), size = static_cast<std::size_t>(algebra.size(d));
    NewArray<std::int64_t> pairs({n, 2});
    NewArray<double> gains({n}), merged_means({n, features}), scales({n, size});
    for (std::size_t i = 0; i < n; ++i) {
        pairs.data()[2 * i] = merges[i].one, pairs.data()[2 * i + 1] = merges[i].other;
        gains.data()[i] = merges[i].gain;
        std::copy(merges[i].mean.begin(), merges[i].mean.end(), merged_means.data() + i * features);
        std::copy(merges[i].scale.begin(), merges[i].scale.end(), scales.data() + i * size);
    }
    return {pairs.release(), gains.release(), merged_means.release(), scales.release()};
}

std::tuple<Result<double>, Result<double>> bound_merge_sums(const Target& target,
                                                            const Contiguous<double, 2>& responsibilities,
                                                            const Contiguous<double, 1>& row_weight,
                                                            const Contiguous<std::int64_t, 2>& pairs,
                                                            const Contiguous<std::int64_t, 1>& candidates) {
    const auto n_components = static_cast<std::int64_t>(responsibilities.shape(1));
    const auto is_component = [&](std::int64_t k) { return k >= 0 && k < n_components; };
    require(row_weight.size() == responsibilities.shape(0), "row_weight must have shape (n_rows,)");
    require(pairs.shape(1) == 2 && std::all_of(pairs.data(), pairs.data() + pairs.size(), is_component) &&
                std::all_of(candidates.data(), candidates.data() + candidates.size(), is_component),
            "pairs (n_pairs, 2) and candidates (n_candidates,) must be indices of components");
    const WeightedResponsibilities view{static_cast<Index>(row_weight.size()), n_components, responsibilities.data(),
                                        row_weight.data()};
    std::vector<std::pair<Index, Index>> both;
    for (std::size_t i = 0; i < pairs.shape(0); ++i) both.emplace_back(pairs.data()[2 * i], pairs.data()[2 * i + 1]);
    MergeSums sums;
    const Indices indices(candidates.data(), candidates.data() + candidates.size());
    without_gil(1, [&](const Execution& execution) {
        sums = merge_sums(*target.kernels, view, both, indices, execution.interrupt.listener());
    });
    return {to_array(sums.entropy), to_array(sums.log_complements)};
}

// For each component that was split: its index, and the weights (2,), means and covariances of both halves.
using SplitsResult = std::tuple<Result<std::int64_t>, Result<double>, Result<double>, Result<double>>;

SplitsResult bound_split_components(const Target& target, const Contiguous<double, 2>& rows,
                                    const Contiguous<double, 1>& weight, const Contiguous<bool, 1>& is_complete,
                                    const Contiguous<double, 1>& scale, const Letters& letters,
                                    const Contiguous<std::int64_t, 1>& labels,
                                    const Contiguous<std::int64_t, 1>& components,
                                    const Contiguous<double, 2>& uniform) {
    const Index n_rows = extent(rows, 0), d = extent(rows, 1);
    require(weight.size() == rows.shape(0) && is_complete.size() == rows.shape(0) && labels.size() == rows.shape(0),
            "weight, is_complete and labels must have shape (n_rows,)");
    require(d > 0 && scale.size() == rows.shape(1), "scale must have shape (n_features,)");
    require(uniform.shape(0) == components.size() && extent(uniform, 1) == n_cut_draws(d),
            "uniform must have shape (n_components, 3 * (1 + n_features))");
    const SampleView sample{d, rows.data(), weight.data(), is_complete.data(), scale.data()};
    const Algebra algebra = to_algebra(letters);
    std::vector<std::int64_t> split;
    Mixture pairs;
    without_gil(1, [&](const Execution& execution) {
        for (std::size_t i = 0; i < components.size() && !execution.interrupt.has_come(); ++i) {
            Indices own;
            for (Index row = 0; row < n_rows; ++row) {
                if (labels.data()[row] == components.data()[i]) own.push_back(row);
            }
            const double* draws = uniform.data() + static_cast<Index>(i) * n_cut_draws(d);
            const std::optional<Mixture> pair =
                split_component(*target.kernels, sample, algebra.second(), own, draws, execution);
            if (!pair) continue;
            split.push_back(components.data()[i]);
            const auto append = [](const Values& from, Values& to) { to.insert(to.end(), from.begin(), from.end()); };
            append(pair->weights, pairs.weights);
            append(pair->means, pairs.means);
            append(pair->covariances, pairs.covariances);
        }
        return !execution.interrupt.has_come();
    });
    return {to_array<std::int64_t>(split), to_array(pairs.weights), to_array(pairs.means), to_array(pairs.covariances)};
}

}  // namespace

void bind_bayes(nb::class_<Target>& type) {
    using namespace nb::literals;
    type.def("improve_column", bound_improve_column, "rows"_a.noconvert(), "row_weight"_a, "algebra"_a, "weights"_a,
             "means"_a, "covariances"_a, "ridge"_a, "limits"_a, "tolerance"_a, "max_steps"_a, "seconds"_a,
             "min_step_gain"_a, "max_components"_a, "uniform"_a, "prior"_a,
             "Raise the bound of one feature by moves and EM, and return (bound, weights, means, covariances).")
        .def("find_merges", bound_find_merges, "algebra"_a, "weights"_a, "means"_a, "covariances"_a, "prior"_a,
             "Find merges of variational Bayes, none if a covariance is singular: (pairs, limits of gains, means, "
             "scales).")
        .def("merge_sums", bound_merge_sums, "responsibilities"_a, "row_weight"_a, "pairs"_a, "candidates"_a,
             "Return sums over rows for merges of pairs and for deletions of candidates: (entropy, log_complement).")
        .def("split_components", bound_split_components, "rows"_a, "weight"_a, "is_complete"_a, "scale"_a, "algebra"_a,
             "labels"_a, "components"_a, "uniform"_a,
             "Split components in two, based on their rows: (components, weights, means, covariances) of all halves.");
}

}  // namespace gaussmix
