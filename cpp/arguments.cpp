#include "arguments.hpp"

#include <algorithm>

#include "families/update.hpp"

namespace gaussmix {

void require(bool claim, const char* message) {
    if (!claim) throw nb::value_error(message);
}

namespace {

template <class Array>
const double* data_or_null(const std::optional<Array>& array) {
    return array ? array->data() : nullptr;
}

template <class Enum>
Enum to_enum(int value, Enum last, const char* message) {
    require(value >= 0 && value <= static_cast<int>(last), message);
    return static_cast<Enum>(value);
}

// Checks the dimensions of the whitening factors, sets `shape.is_shared` if one factor serves all components, and
// returns a pointer to the factors.
const double* view_factors(const Factors& factors, Shape& shape) {
    require(factors.has_value(), "factors are missing");
    constexpr std::size_t kDimensions[] = {1, 2, 3, 3};
    require(factors->ndim() == kDimensions[static_cast<int>(shape.factor_shape)],
            "factors must have 1, 2, 3 or 3 dimensions for factor_shape 0, 1, 2, 3 (spherical, diagonal, triangular, "
            "low rank)");
    const Index count = extent(*factors, 0), features = shape.n_features;
    const bool is_whole = count == shape.n_components;
    switch (shape.factor_shape) {
        case FactorShape::spherical: require(is_whole, "spherical factors must have shape (n_components,)"); break;
        case FactorShape::diagonal:
            require(is_whole && extent(*factors, 1) == features,
                    "diagonal factors must have shape (n_components, n_features)");
            break;
        case FactorShape::triangular:
            require((is_whole || count == 1) && extent(*factors, 1) == features && extent(*factors, 2) == features,
                    "triangular factors must have shape (n_components or 1, n_features, n_features)");
            shape.is_shared = !is_whole;
            break;
        case FactorShape::low_rank:
            shape.n_factors = extent(*factors, 2) - 1;
            require(is_whole && extent(*factors, 1) == features && shape.n_factors >= 0,
                    "low-rank factors must have shape (n_components, n_features, n_factors + 1)");
    }
    return factors->data();
}

}  // namespace

Shape shape_of(Index n_components, Index n_features, int factor_shape, Rule rule, Second second) {
    return {n_components, n_features, to_factor_shape(factor_shape), false, rule, second};
}

FactorShape to_factor_shape(int value) {
    return to_enum(value, FactorShape::low_rank,
                   "factor_shape must be 0, 1, 2 or 3 (spherical, diagonal, triangular, low rank)");
}

Rule to_rule(int value) { return to_enum(value, Rule::assignment, "rule must be 0, 1 or 2 (soft, hard, assignment)"); }

Second to_second(int value) {
    return to_enum(value, Second::projected, "second must be 0, 1, 2, 3 or 4 (none, trace, diagonal, full, projected)");
}

Algebra to_algebra(const Letters& letters) {
    constexpr const char* kMessage = "an algebra's parts are 0, 1 or 2";
    const auto [volume, shape, orientation] = letters;
    const Algebra algebra{to_enum(volume, Across::own, kMessage), to_enum(shape, Across::own, kMessage),
                          to_enum(orientation, Across::own, kMessage)};
    require(is_valid(algebra), "no structure has this algebra");
    return algebra;
}

Output to_output(int value) {
    return to_enum(value, Output::labels,
                   "output must be 0, 1, 2 or 3 (log density, responsibilities, weighted, labels)");
}

RowsView view_rows(const Rows& rows, const Maybe<1>& origin) {
    const RowsView view = std::visit(
        [&](const auto& array) {
            return RowsView{array.data(),         std::holds_alternative<Strided<float, 2>>(rows),
                            extent(array, 0),     extent(array, 1),
                            array.stride(0),      array.stride(1),
                            data_or_null(origin), nullptr};
        },
        rows);
    require(view.n_features > 0, "rows have no features");
    require(!origin || extent(*origin, 0) == view.n_features, "origin must have shape (n_features,)");
    return view;
}

RowWeightView view_row_weight(const RowWeight& weight, Index n_rows) {
    if (!weight) return {nullptr, 0};
    require(extent(*weight, 0) == n_rows, "row_weight must have shape (n_rows,)");
    return {weight->data(), weight->stride(0)};
}

AssignmentView view_assignment(const Assignment& assignment, const Shape& shape, Index n_rows) {
    require(assignment.has_value() == (shape.rule == Rule::assignment),
            "assignment must be given if and only if rule is 2 (assignment)");
    if (!assignment) return {nullptr, nullptr, 0, 0};
    if (const auto* labels = std::get_if<Strided<std::int32_t, 1>>(&*assignment)) {
        require(extent(*labels, 0) == n_rows, "assignment labels must have shape (n_rows,)");
        return {labels->data(), nullptr, labels->stride(0), 0};
    }
    const auto& table = std::get<Strided<double, 2>>(*assignment);
    require(extent(table, 0) == n_rows && extent(table, 1) == shape.n_components,
            "assignment responsibilities must have shape (n_rows, n_components)");
    return {nullptr, table.data(), table.stride(0), table.stride(1)};
}

PriorView view_prior(const Prior& log_prior, const PriorIndices& indices, Index n_components, Index n_rows) {
    if (!log_prior) return {};
    const Index n_priors = extent(*log_prior, 0), n_columns = extent(*log_prior, 1);
    require(n_columns == n_components || n_columns == n_components + 1,
            "log_prior must have a column for each component, and perhaps one for noise");
    require((indices ? extent(*indices, 0) : n_priors) == n_rows, "log_prior or prior_indices must have n_rows rows");
    const PriorView view{log_prior->data(),
                         log_prior->stride(0),
                         log_prior->stride(1),
                         n_columns,
                         indices ? indices->data() : nullptr,
                         indices ? indices->stride(0) : 0};
    if (!indices) return view;
    // Only the upper limit is checked, because a negative index marks a row without a prior.
    std::int32_t largest = -1;
    for (Index row = 0; row < n_rows; ++row) largest = std::max(largest, view.indices[row * view.index_stride]);
    require(largest < n_priors, "prior_indices point beyond log_prior");
    return view;
}

ErrorView view_error(const Error& error, const RowsView& rows) {
    if (!error) return {};
    const Index d = rows.n_features;
    const bool is_full = error->ndim() == 3;
    require((is_full || error->ndim() == 2) && extent(*error, 0) == rows.n_rows && extent(*error, 1) == d &&
                (!is_full || extent(*error, 2) == d),
            is_full ? "error covariances must have shape (n_rows, n_features, n_features)"
                    : "error variances must have shape (n_rows, n_features)");
    return {error->data(), is_full, error->stride(0), error->stride(1), is_full ? error->stride(2) : 0};
}

ParametersView view_gaussians(const Maybe<2>& means, const Factors& factors, Shape& shape) {
    require(means && extent(*means, 0) == shape.n_components && extent(*means, 1) == shape.n_features,
            "means must have shape (n_components, n_features)");
    return {nullptr, means->data(), view_factors(factors, shape), nullptr};
}

ParametersView view_parameters(const Maybe<1>& log_scale, const Maybe<2>& means, const Factors& factors, Shape& shape) {
    if (shape.rule == Rule::assignment) return {nullptr, nullptr, nullptr, nullptr};
    require(log_scale && extent(*log_scale, 0) == shape.n_components, "log_scale must have shape (n_components,)");
    ParametersView view = view_gaussians(means, factors, shape);
    view.log_scale = log_scale->data();
    return view;
}

const double* view_anchor(const Maybe<2>& anchor, const Shape& shape) {
    require(anchor.has_value() == (shape.second != Second::none),
            "anchor must be given if and only if second is 1, 2, 3 or 4 (trace, diagonal, full, projected)");
    require(!anchor || (extent(*anchor, 0) == shape.n_components && extent(*anchor, 1) == shape.n_features),
            "anchor must have shape (n_components, n_features)");
    return data_or_null(anchor);
}

const double* view_projection(const Maybe<3>& projection, Shape& shape) {
    require(projection.has_value() == (shape.second == Second::projected),
            "projection must be given if and only if second is 4 (projected)");
    if (!projection) return nullptr;
    require(extent(*projection, 0) == shape.n_components && extent(*projection, 1) == shape.n_features,
            "projection must have shape (n_components, n_features, n_projected)");
    shape.n_projected = extent(*projection, 2);
    return projection->data();
}

const std::uint16_t* view_order(const Order& order, const Shape& shape, Index n_rows) {
    if (!order) return nullptr;
    require(shape.rule == Rule::soft, "order needs rule 0 (soft)");
    require(extent(*order, 0) == n_rows, "order must have shape (n_rows,)");
    for (Index first = 0; first < n_rows; first += kLeafRows) {
        const Index count = std::min(kLeafRows, n_rows - first);
        std::uint16_t largest = 0;
        for (Index i = 0; i < count; ++i) largest = std::max(largest, order->data()[first + i]);
        require(largest < count, "order points beyond a block of rows");
    }
    return order->data();
}

VisitView view_visit(const Labels& labels, const Bounds& bounds, const Motion& motion, const Shape& shape,
                     Index n_rows) {
    require(shape.rule == Rule::soft || (!labels && !bounds), "labels and bounds need rule 0 (soft)");
    require(!labels || (extent(*labels, 0) == n_rows && shape.n_components <= 65'536),
            "labels must have shape (n_rows,), and distinguish at most 65,536 components");
    require(bounds.has_value() == motion.has_value(), "bounds and motion must be given together");
    VisitView view{labels ? labels->data() : nullptr, nullptr, nullptr, nullptr};
    if (!bounds) return view;
    require(!shape.is_shared && shape.factor_shape != FactorShape::low_rank,
            "bounds need one factor for each component, and factor_shape 0, 1 or 2 (spherical, diagonal, triangular)");
    require(extent(*bounds, 0) * kGroupRows >= n_rows && extent(*bounds, 1) == shape.n_components,
            "bounds must have shape (n_groups, n_components)");
    require(extent(*motion, 0) == 2 && extent(*motion, 1) == shape.n_components,
            "motion must have shape (2, n_components)");
    view.bounds = bounds->data();
    view.ratio = motion->data();
    view.shift = motion->data() + shape.n_components;
    return view;
}

Index count_components(const Maybe<1>& log_scale, const Maybe<2>& means, const Maybe<2>& anchor,
                       const Assignment& assignment) {
    Index count = 0;
    if (log_scale) {
        count = extent(*log_scale, 0);
    } else if (means) {
        count = extent(*means, 0);
    } else if (anchor) {
        count = extent(*anchor, 0);
    } else if (assignment && std::holds_alternative<Strided<double, 2>>(*assignment)) {
        count = extent(std::get<Strided<double, 2>>(*assignment), 1);
    }
    require(count > 0, "n_components is 0 or unknown: pass log_scale, means or anchor in addition to labels");
    return count;
}

}  // namespace gaussmix
