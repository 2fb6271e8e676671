// Python bindings for EM steps, which change the arrays of a mixture in place.
#include <nanobind/nanobind.h>

#include <optional>
#include <tuple>

#include "em/run_em.hpp"
#include "em_arguments.hpp"

namespace gaussmix {

namespace {

TotalView view_total(const EmView& task, const Maybe<1>& centre, const Maybe<2>& total) {
    const auto features = static_cast<std::size_t>(task.rows.n_features);
    require(centre.has_value() == task.can_use_total() && total.has_value() == task.can_use_total(),
            "centre and total must be given for a shared full covariance, complete rows and no noise, and only then");
    require(!centre || (centre->size() == features && total->size() == features * features),
            "centre must have shape (n_features,), and total (n_features, n_features)");
    return centre ? TotalView{centre->data(), total->data()} : TotalView{};
}

// Results of EM: log-likelihood and objective before each EM step, whitening factors of the covariances, and log |det|
// of each factor.
using EmResult = std::tuple<Result<double>, Result<double>, Result<double>, Result<double>>;

EmResult bound_run_em(const Target& target, const Rows& rows, const RowWeight& row_weight, double total_weight,
                      const Letters& letters, const Writable<double, 1>& weights, const Writable<double, 2>& means,
                      const Writable<double, 1>& covariances, const Maybe<1>& centre, const Maybe<2>& total,
                      const Contiguous<double, 1>& ridge, const LimitValues& limits, double tolerance,
                      double previous_objective, Index max_steps, double seconds,
                      const std::optional<PackedPrior>& prior, const Incompleteness& incompleteness,
                      const Prior& log_prior, const PriorIndices& prior_indices, int n_threads,
                      double log_noise_volume) {
    EmView task = view_em(rows, row_weight, letters, weights.size(), ridge, limits, log_noise_volume);
    task.is_incomplete = std::get<0>(incompleteness);
    require(!task.has_noise() || !(prior || task.is_incomplete), kNoiseAlone);
    task.error = view_incompleteness(incompleteness, task.rows);
    task.row_prior = view_prior(log_prior, prior_indices, task.n_components, task.rows.n_rows);
    task.total = view_total(task, centre, total);
    task.total_weight = total_weight;
    task.tolerance = tolerance;
    task.previous_objective = previous_objective;
    task.max_steps = max_steps;
    task.seconds = seconds;
    const std::optional<PackedPriorView> prior_view = view_prior(prior, task.algebra, task.rows.n_features);
    task.prior = prior_view ? &*prior_view : nullptr;
    MixtureArrays mixture(task, weights, means, covariances);
    Values log_likelihoods, objectives;
    without_gil(n_threads, [&](const Execution& execution) {
        return run_em(*target.kernels, task, execution, mixture.view, log_likelihoods, &objectives);
    });
    return {to_array(log_likelihoods), to_array(objectives), mixture.factors.release(), mixture.log_abs_det.release()};
}

}  // namespace

void bind_em(nb::class_<Target>& type) {
    using namespace nb::literals;
    type.def("run_em", bound_run_em, "rows"_a.noconvert(), "row_weight"_a.noconvert().none(), "total_weight"_a,
             "algebra"_a, "weights"_a.noconvert(), "means"_a.noconvert(), "covariances"_a.noconvert(),
             "centre"_a.none(), "total"_a.none(), "ridge"_a, "limits"_a, "tolerance"_a, "previous_objective"_a,
             "max_steps"_a, "seconds"_a, "prior"_a.none(), "incompleteness"_a, "log_prior"_a.noconvert().none(),
             "prior_indices"_a.noconvert().none(), "n_threads"_a, "log_noise_volume"_a = kInfinity,
             "Make EM steps, change the mixture in place; return (log_likelihood, objective, factors, log_abs_det).");
}

}  // namespace gaussmix
