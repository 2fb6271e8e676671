// What a family's update is, as algebra and not by name: Sigma_k = volume_k * axes_k diag(shape_k) axes_k', where each
// of the three is the same for all components, or each one's own, or not there.
//
// Banfield & Raftery (1993), Biometrics 49; Celeux & Govaert (1995), Pattern Recognition 28.
#pragma once
#include "kernel_table.hpp"

namespace gaussmix {

enum class Across { nothing, equal, own };  // mclust's letters I, E, V

struct Algebra {
    Across volume, shape, orientation;  // without a shape: spheres; without an orientation: along the coordinates

    bool is_shared() const { return volume != Across::own && shape != Across::own && orientation != Across::own; }
    // Whether no component's covariance depends on another's.
    bool is_free() const { return volume != Across::equal && shape != Across::equal && orientation != Across::equal; }
    // Whether all components share one full covariance.
    bool is_one_matrix() const { return is_shared() && second() == Second::full; }
    // Whether components of shapes of their own share axes, so that EM has several beginnings.
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
    // Numbers of one covariance in compact form.
    Index size(Index n_features) const {
        return shape == Across::nothing ? 1 : orientation == Across::nothing ? n_features : n_features * n_features;
    }
};

}  // namespace gaussmix
