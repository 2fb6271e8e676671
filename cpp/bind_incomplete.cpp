// Python bindings for passes over rows with missing values or measurement errors.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>

#include <optional>
#include <tuple>

#include "bind.hpp"
#include "incomplete.hpp"

namespace gaussmix {

namespace {

struct Incomplete {
    IncompleteView task;
    ParametersView parameters;
};

Incomplete view_incomplete(const Rows& rows, const Prior& log_prior, const PriorIndices& indices, const Error& error,
                           const Contiguous<double, 1>& log_weight, const Contiguous<double, 2>& means,
                           const Contiguous<double, 3>& factors, double log_noise_density = -__builtin_inf(),
                           Second second = Second::none) {
    IncompleteView task{};
    task.rows = view_rows(rows, {});
    const Index d = task.rows.n_features, count = extent(log_weight, 0);
    task.shape = {count, d, FactorShape::triangular, false, Rule::soft, second};
    require(count > 0, "n_components is 0");
    require(second == Second::none || second == Second::diagonal || second == Second::full,
            "second must be 0, 2 or 3 (none, diagonal, full)");
    require(extent(means, 0) == count && extent(means, 1) == d, "means must have shape (n_components, n_features)");
    require(extent(factors, 0) == count && extent(factors, 1) == d && extent(factors, 2) == d,
            "factors must have shape (n_components, n_features, n_features)");
    task.prior = view_prior(log_prior, indices, count, task.rows.n_rows);
    task.error = view_error(error, task.rows);
    ParametersView parameters{log_weight.data(), means.data(), factors.data(), means.data()};
    parameters.log_noise_density = log_noise_density;
    return {task, parameters};
}

using IncompleteStepResult = std::tuple<double, Result<double>, double, Result<double>, std::optional<Result<double>>>;

IncompleteStepResult bound_step_incomplete(const Target& target, const Rows& rows, const RowWeight& row_weight,
                                           const Prior& log_prior, const PriorIndices& indices, const Error& error,
                                           const Contiguous<double, 1>& log_weight, const Contiguous<double, 2>& means,
                                           const Contiguous<double, 3>& factors, double log_noise_density, int second,
                                           int n_threads) {
    Incomplete view = view_incomplete(rows, log_prior, indices, error, log_weight, means, factors, log_noise_density,
                                      to_second(second));
    view.task.row_weight = view_row_weight(row_weight, view.task.rows.n_rows);
    NewMoments out(view.task.shape);
    without_gil(n_threads, [&](const Execution& execution) {
        return step_incomplete(*target.kernels, view.task, view.parameters, execution, out.view());
    });
    return {out.log_likelihood, out.mass.release(), out.noise, out.first.release(), released(out.second)};
}

Result<double> bound_evaluate_incomplete(const Target& target, const Rows& rows, const Prior& log_prior,
                                         const PriorIndices& indices, const Error& error,
                                         const Contiguous<double, 1>& log_weight, const Contiguous<double, 2>& means,
                                         const Contiguous<double, 3>& factors, int n_threads) {
    const Incomplete view = view_incomplete(rows, log_prior, indices, error, log_weight, means, factors);
    NewArray<double> out({static_cast<std::size_t>(view.task.rows.n_rows), means.shape(0)});
    without_gil(n_threads, [&](const Execution& execution) {
        return evaluate_incomplete(*target.kernels, view.task, view.parameters, execution, out.data());
    });
    return out.release();
}

std::tuple<Result<double>, Result<double>> bound_denoise(const Target& target, const Rows& rows, const Prior& log_prior,
                                                         const PriorIndices& indices, const Error& error,
                                                         const Contiguous<double, 1>& log_weight,
                                                         const Contiguous<double, 2>& means,
                                                         const Contiguous<double, 3>& factors, int n_threads) {
    const Incomplete view = view_incomplete(rows, log_prior, indices, error, log_weight, means, factors);
    const auto n_rows = static_cast<std::size_t>(view.task.rows.n_rows);
    const std::size_t features = means.shape(1);
    NewArray<double> expected({n_rows, features});
    NewArray<double> covariances({n_rows, features, features});
    without_gil(n_threads, [&](const Execution& execution) {
        return denoise(*target.kernels, view.task, view.parameters, execution, expected.data(), covariances.data());
    });
    return {expected.release(), covariances.release()};
}

}  // namespace

void bind_incomplete(nb::class_<Target>& type) {
    using namespace nb::literals;
    type.def("step_incomplete", bound_step_incomplete, "rows"_a.noconvert(), "row_weight"_a.noconvert().none(),
             "log_prior"_a.noconvert().none(), "prior_indices"_a.noconvert().none(), "error"_a.noconvert().none(),
             "log_weight"_a, "means"_a, "factors"_a, "log_noise_density"_a, "second"_a, "n_threads"_a,
             "Sum moments of incomplete rows about the means: (log_likelihood, mass, mass of noise, first, second).")
        .def("evaluate_incomplete", bound_evaluate_incomplete, "rows"_a.noconvert(), "log_prior"_a.noconvert().none(),
             "prior_indices"_a.noconvert().none(), "error"_a.noconvert().none(), "log_weight"_a, "means"_a, "factors"_a,
             "n_threads"_a, "Return log p(x, k) of rows with missing values or errors.")
        .def("denoise", bound_denoise, "rows"_a.noconvert(), "log_prior"_a.noconvert().none(),
             "prior_indices"_a.noconvert().none(), "error"_a.noconvert().none(), "log_weight"_a, "means"_a, "factors"_a,
             "n_threads"_a, "Return means and covariances of the true rows, given the observed values.");
}

}  // namespace gaussmix
