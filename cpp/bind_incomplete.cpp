// Passes over rows with missing cells and errors, as Python sees them.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>

#include <optional>
#include <tuple>
#include <variant>

#include "bind.hpp"
#include "incomplete.hpp"

namespace gaussmix {

namespace {

struct Incomplete {
    IncompleteView task;
    ParametersView parameters;
};

Incomplete view_incomplete(const Rows& rows, const Prior& log_prior, const PriorPlaces& places, const Error& error,
                           const Contiguous<1>& log_weight, const Contiguous<2>& means, const Contiguous<3>& factors,
                           double log_background, Second second) {
    IncompleteView task{};
    task.rows = view_rows(rows, {});
    const Index d = task.rows.n_features, count = static_cast<Index>(log_weight.shape(0));
    task.shape = {count, d, FactorShape::triangular, false, Rule::soft, second};
    require(count > 0, "n_components is 0");
    require(second == Second::none || second == Second::diagonal || second == Second::full,
            "second must be 0, 2 or 3 (none, diagonal, full)");
    require(static_cast<Index>(means.shape(0)) == count && static_cast<Index>(means.shape(1)) == d,
            "means must have shape (n_components, n_features)");
    require(static_cast<Index>(factors.shape(0)) == count && static_cast<Index>(factors.shape(1)) == d &&
                static_cast<Index>(factors.shape(2)) == d,
            "factors must have shape (n_components, n_features, n_features)");
    task.prior = view_prior(log_prior, places, task.shape, task.rows.n_rows);
    task.error = view_error(error, task.shape, task.rows.n_rows);
    ParametersView parameters{log_weight.data(), means.data(), factors.data(), means.data()};
    parameters.log_background = log_background;
    return {task, parameters};
}

Incomplete view_components(const Rows& rows, const Prior& log_prior, const PriorPlaces& places, const Error& error,
                           const Contiguous<1>& log_weight, const Contiguous<2>& means, const Contiguous<3>& factors) {
    return view_incomplete(rows, log_prior, places, error, log_weight, means, factors, -__builtin_inf(), Second::none);
}

using StepResult = std::tuple<double, Result<double, 1>, double, Result<double, 2>,
                              std::optional<std::variant<Result<double, 2>, Result<double, 3>>>>;

StepResult bound_step(const Target& target, const Rows& rows, const RowWeight& row_weight, const Prior& log_prior,
                      const PriorPlaces& places, const Error& error, const Contiguous<1>& log_weight,
                      const Contiguous<2>& means, const Contiguous<3>& factors, double log_background, int second,
                      int n_threads) {
    Incomplete view =
        view_incomplete(rows, log_prior, places, error, log_weight, means, factors, log_background, to_second(second));
    view.task.row_weight = view_row_weight(row_weight, view.task.rows.n_rows);
    const Second kind = view.task.shape.second;
    const std::size_t count = means.shape(0), features = means.shape(1);
    Interrupt interrupt(is_interrupted);
    const Execution execution{check_threads(n_threads), interrupt};
    NewArray<double, 1> mass({count});
    NewArray<double, 2> first({count, features});
    NewArray<double, 2> diagonal({kind == Second::diagonal ? count : 0, features});
    NewArray<double, 3> full({kind == Second::full ? count : 0, features, features});
    double log_likelihood = 0, background = 0;
    const MomentsView out{&log_likelihood, nullptr,      nullptr,
                          mass.data(),     first.data(), kind == Second::full ? full.data() : diagonal.data(),
                          &background};
    without_gil([&] { return step_incomplete(*target.kernels, view.task, view.parameters, execution, out); });
    StepResult result{log_likelihood, mass.release(), background, first.release(), std::nullopt};
    if (kind == Second::full) std::get<4>(result) = full.release();
    if (kind == Second::diagonal) std::get<4>(result) = diagonal.release();
    return result;
}

Result<double, 2> bound_evaluate(const Target& target, const Rows& rows, const Prior& log_prior,
                                 const PriorPlaces& places, const Error& error, const Contiguous<1>& log_weight,
                                 const Contiguous<2>& means, const Contiguous<3>& factors, int n_threads) {
    const Incomplete view = view_components(rows, log_prior, places, error, log_weight, means, factors);
    Interrupt interrupt(is_interrupted);
    const Execution execution{check_threads(n_threads), interrupt};
    NewArray<double, 2> out({static_cast<std::size_t>(view.task.rows.n_rows), means.shape(0)});
    without_gil(
        [&] { return evaluate_incomplete(*target.kernels, view.task, view.parameters, execution, out.data()); });
    return out.release();
}

std::tuple<Result<double, 2>, Result<double, 3>> bound_denoise(const Target& target, const Rows& rows,
                                                               const Prior& log_prior, const PriorPlaces& places,
                                                               const Error& error, const Contiguous<1>& log_weight,
                                                               const Contiguous<2>& means, const Contiguous<3>& factors,
                                                               int n_threads) {
    const Incomplete view = view_components(rows, log_prior, places, error, log_weight, means, factors);
    Interrupt interrupt(is_interrupted);
    const Execution execution{check_threads(n_threads), interrupt};
    const auto n_rows = static_cast<std::size_t>(view.task.rows.n_rows);
    const std::size_t features = means.shape(1);
    NewArray<double, 2> expected({n_rows, features});
    NewArray<double, 3> covariances({n_rows, features, features});
    without_gil([&] {
        return denoise(*target.kernels, view.task, view.parameters, execution, expected.data(), covariances.data());
    });
    return {expected.release(), covariances.release()};
}

}  // namespace

#define FLOATS "numpy.typing.NDArray[numpy.float64]"
#define ROWS "rows: " FLOATS " | numpy.typing.NDArray[numpy.float32]"
#define KNOWN                                                                                              \
    "log_prior: " FLOATS " | None, prior_places: numpy.typing.NDArray[numpy.int32] | None, error: " FLOATS \
    " | None, "                                                                                            \
    "log_weight: " FLOATS ", means: " FLOATS ", factors: " FLOATS
constexpr const char* kStepSignature = "def step_incomplete(self, " ROWS ", row_weight: " FLOATS " | None, " KNOWN
                                       ", log_background: float, second: int, n_threads: int) -> tuple[float, " FLOATS
                                       ", float, " FLOATS ", " FLOATS " | None]";
constexpr const char* kEvaluateSignature =
    "def evaluate_incomplete(self, " ROWS ", " KNOWN ", n_threads: int) -> " FLOATS;
constexpr const char* kDenoiseSignature =
    "def denoise(self, " ROWS ", " KNOWN ", n_threads: int) -> tuple[" FLOATS ", " FLOATS "]";
#undef FLOATS
#undef ROWS
#undef KNOWN

void bind_incomplete(nb::class_<Target>& type) {
    using namespace nb::literals;
    type.def("step_incomplete", bound_step, nb::sig(kStepSignature), "rows"_a.noconvert(),
             "row_weight"_a.noconvert().none(), "log_prior"_a.noconvert().none(), "prior_places"_a.noconvert().none(),
             "error"_a.noconvert().none(), "log_weight"_a, "means"_a, "factors"_a, "log_background"_a, "second"_a,
             "n_threads"_a,
             "Sum moments of incomplete rows about the means: (log_likelihood, mass, the background's, first, second).")
        .def("evaluate_incomplete", bound_evaluate, nb::sig(kEvaluateSignature), "rows"_a.noconvert(),
             "log_prior"_a.noconvert().none(), "prior_places"_a.noconvert().none(), "error"_a.noconvert().none(),
             "log_weight"_a, "means"_a, "factors"_a, "n_threads"_a,
             "log p(x, k) of each row with missing cells or errors.")
        .def("denoise", bound_denoise, nb::sig(kDenoiseSignature), "rows"_a.noconvert(),
             "log_prior"_a.noconvert().none(), "prior_places"_a.noconvert().none(), "error"_a.noconvert().none(),
             "log_weight"_a, "means"_a, "factors"_a, "n_threads"_a,
             "Means and covariances of the true rows, given what is seen of them.");
}

}  // namespace gaussmix
