#include "unsound.hpp"

#include "families/factorisation.hpp"

namespace gaussmix {

namespace {

constexpr double kMinRidges = 2;  // a feature counts as constant if its variance is below this multiple of the ridge

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
    if (!is_full) return false;
    // A covariance C has at least f times the variance of M in each direction if and only if C - f M is positive
    // semidefinite.
    const double* own = covariance(algebra, d, mixture, k);
    Values difference = zeros(d * d), factor(difference);
    for (Index i = 0; i < d * d; ++i) difference[i] = own[i] - task.acceptance.max_flatness * task.mean_covariance[i];
    double log_det;
    return !Factoriser(kernels, d)(difference.data(), execution.interrupt.listener(), factor.data(), &log_det);
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
