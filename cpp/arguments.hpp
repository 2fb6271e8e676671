// Checks the arguments that Python passes, and converts these arguments to the views that the kernels read. Every error
// message names the argument that is wrong.
#pragma once
#include <nanobind/nanobind.h>

#include <optional>
#include <tuple>
#include <variant>

#include "arrays.hpp"
#include "families/algebra.hpp"

namespace gaussmix {

using Rows = std::variant<Strided<double, 2>, Strided<float, 2>>;
using RowWeight = std::optional<Strided<double, 1>>;
using Assignment = std::optional<std::variant<Strided<std::int32_t, 1>, Strided<double, 2>>>;
// volume, shape and orientation of an `Algebra` (the letters in mclust's model names)
using Letters = std::tuple<int, int, int>;
using Prior = std::optional<Strided<double, 2>>;
using PriorIndices = std::optional<Strided<std::int32_t, 1>>;
using Error = std::optional<Strided<double>>;
using Factors = std::optional<Contiguous<double>>;
template <int kDimensions>
using Maybe = std::optional<Contiguous<double, kDimensions>>;
using Order = std::optional<Contiguous<std::uint16_t, 1>>;
using Labels = std::optional<Writable<std::uint16_t, 1>>;
using Bounds = std::optional<Writable<float, 2>>;
using Motion = std::optional<Contiguous<float, 2>>;

// Throws a Python ValueError with `message` if `claim` is false.
void require(bool claim, const char* message);

// Returns a `Shape` in which `is_shared` is false; `view_gaussians` and `view_parameters` later set `is_shared` to true
// if all components share one factor.
Shape shape_of(Index n_components, Index n_features, int factor_shape, Rule rule = Rule::soft,
               Second second = Second::none);

FactorShape to_factor_shape(int value);
Rule to_rule(int value);
Second to_second(int value);
Algebra to_algebra(const Letters& letters);
Output to_output(int value);

Index count_components(const Maybe<1>& log_scale, const Maybe<2>& means, const Maybe<2>& anchor,
                       const Assignment& assignment);

RowsView view_rows(const Rows& rows, const Maybe<1>& origin);
RowWeightView view_row_weight(const RowWeight& weight, Index n_rows);
ErrorView view_error(const Error& error, const RowsView& rows);
PriorView view_prior(const Prior& log_prior, const PriorIndices& indices, Index n_components, Index n_rows);
AssignmentView view_assignment(const Assignment& assignment, const Shape& shape, Index n_rows);

// Checks the shapes of the means and of the whitening factors, and sets `shape.is_shared`.
ParametersView view_gaussians(const Maybe<2>& means, const Factors& factors, Shape& shape);

// Checks all parameters except `anchor` (the points about which moments are taken), and sets `shape.is_shared`.
ParametersView view_parameters(const Maybe<1>& log_scale, const Maybe<2>& means, const Factors& factors, Shape& shape);
const std::uint16_t* view_order(const Order& order, const Shape& shape, Index n_rows);
VisitView view_visit(const Labels& labels, const Bounds& bounds, const Motion& motion, const Shape& shape,
                     Index n_rows);
const double* view_anchor(const Maybe<2>& anchor, const Shape& shape);

// Checks the shape of the projection, and sets `shape.n_projected`.
const double* view_projection(const Maybe<3>& projection, Shape& shape);

}  // namespace gaussmix
