// Python bindings for passes over the rows: the functions release the GIL during a pass, and return new arrays.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <tuple>
#include <variant>
#include <vector>

#include "arguments.hpp"
#include "bind.hpp"
#include "dispatch.hpp"
#include "passes.hpp"

namespace gaussmix {

namespace {

using StepResult =
    std::tuple<double, Result<double>, Result<double>, std::optional<Result<double>>, Index, Index, double>;

StepResult bound_step(const Target& target, const Rows& rows, const RowWeight& row_weight, const Assignment& assignment,
                      const Maybe<1>& origin, const Maybe<1>& log_scale, const Maybe<2>& means, int factor_shape,
                      const Factors& factors, const Maybe<2>& anchor, int rule, int second, int n_threads,
                      const Order& order, const Labels& labels, const Bounds& bounds, const Motion& motion,
                      const Maybe<3>& projection, const Prior& log_prior, const PriorIndices& prior_indices,
                      double log_noise_density) {
    StepView task{};
    task.rows = view_rows(rows, origin);
    Shape& shape = task.shape;
    shape = shape_of(count_components(log_scale, means, anchor, assignment), task.rows.n_features, factor_shape,
                     to_rule(rule), to_second(second));
    task.row_weight = view_row_weight(row_weight, task.rows.n_rows);
    task.assignment = view_assignment(assignment, shape, task.rows.n_rows);
    ParametersView parameters = view_parameters(log_scale, means, factors, shape);
    parameters.anchor = view_anchor(anchor, shape);
    parameters.projection = view_projection(projection, shape);
    parameters.log_noise_density = log_noise_density;
    require(!log_prior || shape.rule != Rule::assignment, "log_prior needs rule 0 or 1 (soft, hard)");
    task.prior = view_prior(log_prior, prior_indices, shape.n_components, task.rows.n_rows);
    // `view_order` checks the range of the row indices. The caller must make sure that each row index occurs once.
    task.rows.order = view_order(order, shape, task.rows.n_rows);
    task.visit = view_visit(labels, bounds, motion, shape, task.rows.n_rows);
    NewMoments out(shape);
    without_gil(n_threads, [&](const Execution& execution) {
        return step(*target.kernels, task, parameters, execution, out.view());
    });
    return {out.log_likelihood,
            out.mass.release(),
            out.first.release(),
            released(out.second),
            static_cast<Index>(out.n_distant),
            static_cast<Index>(out.n_active),
            out.noise};
}

using EvaluateResult = std::variant<Result<double>, Result<std::int64_t>>;

EvaluateResult bound_evaluate(const Target& target, const Rows& rows, const Maybe<1>& origin,
                              const Contiguous<double, 1>& log_scale, const Contiguous<double, 2>& means,
                              int factor_shape, const Factors& factors, int output, int n_threads,
                              double log_noise_density) {
    const RowsView view = view_rows(rows, origin);
    Shape shape = shape_of(count_components(log_scale, means, {}, {}), view.n_features, factor_shape);
    ParametersView parameters = view_parameters(log_scale, means, factors, shape);
    parameters.log_noise_density = log_noise_density;
    const Output what = to_output(output);
    const auto n_rows = static_cast<std::size_t>(view.n_rows), count = static_cast<std::size_t>(shape.n_components);
    const auto evaluated = [&](auto out) -> EvaluateResult {
        without_gil(n_threads, [&](const Execution& execution) {
            return evaluate(*target.kernels, shape, view, parameters, what, execution, out.data());
        });
        return out.release();
    };
    switch (what) {
        case Output::log_density: return evaluated(NewArray<double>({n_rows}));
        case Output::labels: return evaluated(NewArray<std::int64_t>({n_rows}));
        default: return evaluated(NewArray<double>({n_rows, count}));
    }
}

std::tuple<Result<double>, Result<double>> bound_score_products(
    const Target& target, const Rows& rows, const RowWeight& row_weight, const Contiguous<double, 1>& log_scale,
    const Contiguous<double, 2>& means, int factor_shape, const Factors& factors, const Prior& log_prior,
    const PriorIndices& prior_indices, double log_noise_density, const Contiguous<double, 3>& whitening, int second,
    const Order& order, int n_threads) {
    ScoresView task{};
    task.step.rows = view_rows(rows, {});
    Shape& shape = task.step.shape;
    shape = shape_of(count_components(log_scale, means, {}, {}), task.step.rows.n_features, factor_shape);
    task.step.row_weight = view_row_weight(row_weight, task.step.rows.n_rows);
    ParametersView parameters = view_parameters(log_scale, means, factors, shape);
    parameters.log_noise_density = log_noise_density;
    task.step.prior = view_prior(log_prior, prior_indices, shape.n_components, task.step.rows.n_rows);
    task.step.rows.order = view_order(order, shape, task.step.rows.n_rows);
    task.second = to_second(second);
    require(task.second == Second::trace || task.second == Second::diagonal || task.second == Second::full,
            "second must be 1, 2 or 3");
    const auto count = static_cast<std::size_t>(shape.n_components),
               features = static_cast<std::size_t>(shape.n_features), height = whitening.shape(1);
    require((whitening.shape(0) == count || whitening.shape(0) == 1) && whitening.shape(2) == features &&
                height == (task.second == Second::full ? features : 1),
            "whitening must have shape (n_components or 1, n_features or 1, n_features)");
    task.is_shared = whitening.shape(0) == 1;
    task.means = means.data();
    task.factors = whitening.data();
    count_scores(task);
    const auto n_all = static_cast<std::size_t>(task.n_all * kPanelValues),
               n_own = static_cast<std::size_t>(task.n_own * kPanelValues);
    NewArray<double> all({n_all, n_all});
    NewArray<double> own({count, n_own, n_own});
    without_gil(n_threads, [&](const Execution& execution) {
        return add_scores(*target.kernels, task, parameters, execution, all.data(), own.data());
    });
    return {all.release(), own.release()};
}

Result<float> bound_measure_motion(const Target& target, int factor_shape, const Contiguous<double, 2>& means_before,
                                   const Factors& factors_before, const Contiguous<double, 2>& means_after,
                                   const Factors& factors_after) {
    const std::size_t count = means_before.shape(0);
    Shape shape = shape_of(static_cast<Index>(count), extent(means_before, 1), factor_shape);
    const ParametersView before = view_gaussians(means_before, factors_before, shape);
    require(!shape.is_shared && shape.factor_shape != FactorShape::low_rank,
            "motion is measured with one factor for each component, and not of factor_shape 3 (low rank)");
    const ParametersView after = view_gaussians(means_after, factors_after, shape);
    require(!shape.is_shared, "motion is measured with one factor for each component");
    NewArray<float> motion({2, count});
    without_gil(1, [&](const Execution& execution) {
        return measure_motion(*target.kernels, shape, before, after, motion.data(), motion.data() + count,
                              execution.interrupt);
    });
    return motion.release();
}

double bound_work_per_row(const Target&, int factor_shape, Index n_components, Index n_features, Index n_factors) {
    // second moments that an M-step sums for spherical, diagonal, triangular and low-rank factors; with low rank, the
    // rows are projected on the factors
    constexpr Second kSeconds[] = {Second::trace, Second::diagonal, Second::full, Second::projected};
    const FactorShape factors = to_factor_shape(factor_shape);
    return work_per_row({n_components, n_features, factors, false, Rule::soft, kSeconds[static_cast<int>(factors)],
                         n_factors, n_factors});
}

std::vector<Target> targets() {
    std::vector<Target> all;
    for (const KernelTable* kernels : usable_kernels()) all.push_back({kernels});
    return all;
}

Target active() { return {&active_kernels()}; }

}  // namespace

void bind_targets(nb::module_& module) {
    using namespace nb::literals;
    nb::class_<Target> type(module, "Target", "The kernels compiled for one instruction set.");
    type.def_prop_ro(
            "isa", [](const Target& target) { return target.kernels->isa; },
            "Name of the instruction set, a value of GAUSSMIX_ISA.")
        .def("step", bound_step, "rows"_a.noconvert(), "row_weight"_a.noconvert().none(),
             "assignment"_a.noconvert().none(), "origin"_a.none(), "log_scale"_a.none(), "means"_a.none(),
             "factor_shape"_a, "factors"_a.none(), "anchor"_a.none(), "rule"_a, "second"_a, "n_threads"_a,
             "order"_a.noconvert().none() = nb::none(), "labels"_a.noconvert().none() = nb::none(),
             "bounds"_a.noconvert().none() = nb::none(), "motion"_a.noconvert().none() = nb::none(),
             "projection"_a.none() = nb::none(), "log_prior"_a.noconvert().none() = nb::none(),
             "prior_indices"_a.noconvert().none() = nb::none(), "log_noise_density"_a = -__builtin_inf(),
             "Sum weighted moments: (log_likelihood, mass, first, second, n_distant, n_active, mass of noise).")
        .def("evaluate", bound_evaluate, "rows"_a.noconvert(), "origin"_a.none(), "log_scale"_a, "means"_a,
             "factor_shape"_a, "factors"_a, "output"_a, "n_threads"_a, "log_noise_density"_a = -__builtin_inf(),
             "Return log density, responsibilities, weighted log densities or label of each row.")
        .def("score_products", bound_score_products, "rows"_a.noconvert(), "row_weight"_a.noconvert().none(),
             "log_scale"_a, "means"_a, "factor_shape"_a, "factors"_a, "log_prior"_a.noconvert().none(),
             "prior_indices"_a.noconvert().none(), "log_noise_density"_a, "whitening"_a, "second"_a,
             "order"_a.noconvert().none(), "n_threads"_a,
             "Sum products of scores, in panels of four: (over all components, for each component).")
        .def("measure_motion", bound_measure_motion, "factor_shape"_a, "means_before"_a, "factors_before"_a.noconvert(),
             "means_after"_a, "factors_after"_a.noconvert(),
             "Measure how components moved between two steps, to move `bounds` in the second: (2, n_components).")
        .def("work_per_row", bound_work_per_row, "factor_shape"_a, "n_components"_a, "n_features"_a, "n_factors"_a = 0,
             "Estimate the multiply-adds of a step for each row, where an exponential counts as 20.");
    bind_algebra(type);
    bind_draws(type);
    bind_bayes(type);
    bind_em(type);
    bind_search(type);
    bind_fit_many(type);
    bind_incomplete(type);
    bind_starts(type);
    bind_truncated(type);
    module.def("targets", targets, "Return the kernels that this processor can run, slowest first.");
    module.def("active", active, "Return the fastest kernels, or the kernels that GAUSSMIX_ISA names.");
    module.def("omitted", omitted_kernels,
               "Return the name of faster kernels for this processor that the build left out, or ''.");
}

}  // namespace gaussmix
