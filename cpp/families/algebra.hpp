// A covariance structure in algebraic form: Sigma_k = volume_k * axes_k diag(shape_k) axes_k'. Each of the three
// factors (volume, axes and shape) is the same for all components, differs between components, or is left out.
//
// Banfield & Raftery (1993), Biometrics 49; Celeux & Govaert (1995), Pattern Recognition 28.
#pragma once
#include "kernel_table.hpp"

namespace gaussmix {

enum class Across { nothing, equal, own };  // these values are the letters I, E and V of mclust's model names

struct Algebra {
    // If `shape` is `nothing`, components are spheres. If `orientation` is `nothing`, the axes of components are
    // parallel to the coordinate axes.
    Across volume, shape, orientation;

    bool is_shared() const { return volume != Across::own && shape != Across::own && orientation != Across::own; }
    // Checks whether the covariance of each component is estimated independently of the covariances of the other
    // components.
    bool is_free() const { return volume != Across::equal && shape != Across::equal && orientation != Across::equal; }
    // Checks whether all components share one full covariance.
    bool is_one_matrix() const { return is_shared() && second() == Second::full; }
    // Checks whether components share axes but not shapes. For such structures, EM tries several initial axes.
    bool has_common_axes() const { return shape == Across::own && orientation == Across::equal; }
    FactorShape factor_shape() const {
        return shape == Across::nothing         ? FactorShape::spherical
               : orientation == Across::nothing ? FactorShape::diagonal
                                                : FactorShape::triangular;
    }
    Second second() const {
        return shape == Across::nothing         ? Second::trace
               : orientation == Across::nothing ? Second::diagonal
                                                : Second::full;
    }
    // Returns the number of values of a covariance in compact form: 1, n_features or n_features^2.
    Index size(Index n_features) const {
        return shape == Across::nothing ? 1 : orientation == Across::nothing ? n_features : n_features * n_features;
    }
    // Returns the distance between the variances of consecutive features in this form, which is 0 for spheres.
    Index variance_stride(Index n_features) const {
        return shape == Across::nothing ? 0 : orientation == Across::nothing ? 1 : n_features + 1;
    }
    // Returns the number of features that share a variance: all d features for spheres, and 1 otherwise.
    double features_per_variance(Index d) const { return shape == Across::nothing ? static_cast<double>(d) : 1; }
    Index n_covariances(Index n_components) const { return is_shared() ? 1 : n_components; }
};

}  // namespace gaussmix
