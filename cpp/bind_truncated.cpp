// Python bindings for truncated EM, in which each row has few candidate components.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>

#include <optional>
#include <tuple>

#include "bind.hpp"
#include "em/neighbours.hpp"
#include "passes.hpp"

namespace gaussmix {

namespace {

using Candidates = Writable<std::int32_t, 2>;
using Neighbours = Contiguous<std::int32_t, 2>;
using TruncatedResult = std::tuple<double, Result<double>, Result<double>, std::optional<Result<double>>, double>;

constexpr Index kMaxDrawn = 256;  // limits the memory of a tile

// Checks that all values are component indices. If `least` is -1, the value -1 (no component) is also allowed.
void check_components(const std::int32_t* values, std::size_t count, Index n_components, const char* message,
                      std::int32_t least = -1) {
    bool is_sound = true;
    for (std::size_t i = 0; i < count; ++i) is_sound &= values[i] >= least && values[i] < n_components;
    require(is_sound, message);
}

TruncatedResult bound_step_truncated(const Target& target, const Rows& rows, const RowWeight& row_weight,
                                     const Maybe<1>& log_scale, const Maybe<2>& means, int factor_shape,
                                     const Factors& factors, const Maybe<2>& anchor, int rule, int second,
                                     const Maybe<3>& projection, const Prior& log_prior,
                                     const PriorIndices& prior_indices, double log_noise_density,
                                     const Candidates& candidates, const Neighbours& neighbours,
                                     const Contiguous<std::int32_t, 1>& rank, Index n_expanded, Index n_tried,
                                     Index n_drawn, Index first_row, std::uint64_t key, int n_threads) {
    TruncatedView task{};
    StepView& step = task.step;
    step.rows = view_rows(rows, {});
    Shape& shape = step.shape;
    shape = shape_of(count_components(log_scale, means, anchor, {}), step.rows.n_features, factor_shape, to_rule(rule),
                     to_second(second));
    step.row_weight = view_row_weight(row_weight, step.rows.n_rows);
    ParametersView parameters = view_parameters(log_scale, means, factors, shape);
    parameters.anchor = view_anchor(anchor, shape);
    parameters.projection = view_projection(projection, shape);
    parameters.log_noise_density = log_noise_density;
    step.prior = view_prior(log_prior, prior_indices, shape.n_components, step.rows.n_rows);
    const auto count = static_cast<std::size_t>(shape.n_components);
    require(shape.rule != Rule::assignment && !shape.is_shared,
            "each component needs a factor, and rows no assignment");
    require(candidates.shape(0) == static_cast<std::size_t>(step.rows.n_rows) && candidates.shape(1) > 0,
            "candidates must have shape (n_rows, n_candidates)");
    require(neighbours.shape(0) == count && rank.size() == count,
            "neighbours must have shape (n_components, n_neighbours), and rank (n_components,)");
    check_components(candidates.data(), candidates.size(), shape.n_components, "candidates must be components");
    check_components(neighbours.data(), neighbours.size(), shape.n_components, "neighbours must be components");
    check_components(rank.data(), rank.size(), shape.n_components, "rank must be below n_components", 0);
    task.n_candidates = extent(candidates, 1);
    task.n_neighbours = extent(neighbours, 1);
    task.candidates = candidates.data();
    task.neighbours = neighbours.data();
    require(n_expanded >= 0 && n_expanded <= task.n_candidates, "n_expanded must be 0 to n_candidates");
    require(n_tried >= 0 && n_tried <= task.n_neighbours, "n_tried must be 0 to n_neighbours");
    task.n_expanded = n_expanded;
    task.n_tried = n_tried;
    require(n_drawn >= 0 && n_drawn <= kMaxDrawn && (n_drawn == 0 || task.n_neighbours > 0),
            "n_drawn must be 0 to 256, and 0 without neighbours");
    task.n_drawn = n_drawn;
    task.first_row = first_row;
    task.key = key;
    NewMoments out(shape);
    without_gil(n_threads, [&](const Execution& execution) {
        return step_truncated(*target.kernels, task, parameters, rank.data(), execution, out.view());
    });
    return {out.log_likelihood, out.mass.release(), out.first.release(), released(out.second), out.noise};
}

Result<std::int32_t> bound_list_neighbours(const Target&, const Neighbours& near, const Neighbours& sampled,
                                           Index n_neighbours, int n_threads) {
    NeighboursView task{};
    task.n_components = extent(near, 0), task.n_near = extent(near, 1);
    task.n_sampled = extent(sampled, 0), task.n_candidates = extent(sampled, 1);
    require(task.n_components > 0 && task.n_candidates > 0, "near must have rows, and sampled must have columns");
    require(n_neighbours > 0, "n_neighbours must be at least 1");
    check_components(near.data(), near.size(), task.n_components, "near must be components");
    check_components(sampled.data(), sampled.size(), task.n_components, "sampled must be components");
    task.n_neighbours = n_neighbours;
    task.near = near.data();
    task.sampled = sampled.data();
    NewArray<std::int32_t> out({near.shape(0), static_cast<std::size_t>(n_neighbours)});
    without_gil(n_threads, [&](const Execution& execution) { return list_neighbours(task, execution, out.data()); });
    return out.release();
}

}  // namespace

void bind_truncated(nb::class_<Target>& type) {
    using namespace nb::literals;
    type.def("step_truncated", bound_step_truncated, "rows"_a.noconvert(), "row_weight"_a.noconvert().none(),
             "log_scale"_a, "means"_a, "factor_shape"_a, "factors"_a, "anchor"_a.none(), "rule"_a, "second"_a,
             "projection"_a.none(), "log_prior"_a.noconvert().none(), "prior_indices"_a.noconvert().none(),
             "log_noise_density"_a, "candidates"_a.noconvert(), "neighbours"_a, "rank"_a, "n_expanded"_a, "n_tried"_a,
             "n_drawn"_a, "first_row"_a, "key"_a, "n_threads"_a,
             "Update the candidates of rows and sum moments: (free energy, mass, first, second, mass of noise).")
        .def("list_neighbours", bound_list_neighbours, "near"_a, "sampled"_a, "n_neighbours"_a, "n_threads"_a,
             "List the neighbours of each component: near components, then components that overlap.");
}

}  // namespace gaussmix
