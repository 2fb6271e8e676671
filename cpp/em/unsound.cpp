#include "unsound.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "families/axes.hpp"

namespace gaussmix {

namespace {

constexpr double kMinRidges = 2;  // a feature counts as constant if its variance is below this multiple of the ridge

Values multiply(const Values& a, const Values& b, Index d) {
    Values product = zeros(d * d);
    for (Index i = 0; i < d; ++i) {
        for (Index j = 0; j < d; ++j) {
            double& sum = product[i * d + j] = 0;
            for (Index l = 0; l < d; ++l) sum += a[i * d + l] * b[l * d + j];
        }
    }
    return product;
}

Values transpose(const Values& a, Index d) {
    Values transposed = zeros(d * d);
    for (Index i = 0; i < d * d; ++i) transposed[i] = a[i % d * d + i / d];
    return transposed;
}

// Returns the smallest variance of a full covariance along any direction, relative to the mean covariance in the same
// direction.
double least_relative_variance(const KernelTable& kernels, const double* covariance, const double* mean_covariance,
                               Index d, const Listener& listener) {
    // Divide each feature by its standard deviation under the mean covariance, because otherwise rounding errors of a
    // feature with large values would exceed the variances of the other features.
    Values scaled = zeros(d * d), own(scaled), values = zeros(d), axes(scaled);
    for (Index i = 0; i < d * d; ++i) {
        const double unit = std::sqrt(mean_covariance[i / d * (d + 1)]) * std::sqrt(mean_covariance[i % d * (d + 1)]);
        scaled[i] = mean_covariance[i] / unit;
        own[i] = covariance[i] / unit;
    }
    principal_axes(kernels, 1, d, scaled.data(), listener, values.data(), axes.data());
    const double least = std::numeric_limits<double>::epsilon();
    for (Index i = 0; i < d * d; ++i) axes[i] /= std::sqrt(std::max(values[i % d], least));
    const Values whitened = multiply(multiply(transpose(axes, d), own, d), axes, d);
    for (Index i = 0; i < d * d; ++i) own[i] = 0.5 * (whitened[i] + whitened[i % d * d + i / d]);
    principal_axes(kernels, 1, d, own.data(), listener, values.data(), axes.data());
    return values[d - 1];
}

// A component is flat if some feature is constant within this component but not on average over all components, or if
// its variance in some direction is much smaller than the mean variance in this direction.
bool is_flat(const KernelTable& kernels, const AscentView& task, const Mixture& mixture, Index k,
             const Execution& execution) {
    const Algebra& algebra = task.em.algebra;
    const Index d = task.em.rows.n_features;
    const bool is_full = algebra.second() == Second::full;
    for (Index j = 0; j < d; ++j) {
        const double own = variance(algebra, d, mixture, k, j), mean = task.mean_covariance[is_full ? j * (d + 1) : j];
        const double least = kMinRidges * task.em.ridge[j];
        if (own < least && mean >= least) return true;
        if (!is_full && own < task.acceptance.max_flatness * mean) return true;
    }
    return is_full && least_relative_variance(kernels, covariance(algebra, d, mixture, k), task.mean_covariance, d,
                                              execution.interrupt.listener()) < task.acceptance.max_flatness;
}

}  // namespace

Index count_unsound(const KernelTable& kernels, const AscentView& task, const Mixture& mixture, const Values& n_rows,
                    const Execution& execution) {
    const Algebra& algebra = task.em.algebra;
    const bool has_own_matrix = algebra.second() == Second::full && !algebra.is_shared();
    // smallest number of rows for which an unshared covariance matrix, or a variance, can be positive
    const auto least_rows = static_cast<double>(has_own_matrix ? task.em.rows.n_features + 1 : 2);
    Index n_unsound = 0;
    for (Index k = 0; k < task.em.n_components; ++k) {
        if (n_rows[k] < task.acceptance.min_rows_per_value * least_rows ||
            (n_rows[k] < task.acceptance.min_rows_per_flat_value * least_rows &&
             is_flat(kernels, task, mixture, k, execution))) {
            ++n_unsound;
        }
    }
    return n_unsound;
}

}  // namespace gaussmix
