// Fits mixtures by variational Bayes to a single feature and few rows, with a separate variance for each component.
// Births (splits), merges and deletions of components alternate with EM. The Python module
// em/bayes/birth_merge_moves.py makes the same moves for all covariance structures, and for any number of features and
// rows. This file and the Python module differ in two ways:
// - The Python module computes by a formula which components it deletes. This file tries to delete each small
//   component.
// - This file extrapolates the EM steps, and begins EM with a coarse tolerance.
#pragma once
#include "run_em.hpp"

namespace gaussmix {

// The Python code for several features uses the same settings.
constexpr Index kStepsAfterBirths = 6;  // maximum number of EM steps after births
// A gain counts only if it exceeds this fraction of the lower bound, because smaller gains may be rounding errors.
constexpr double kRoundingOfBound = 1e-9;
// A component is deleted if its deletion lowers the lower bound on the log evidence by less than this number of nats.
constexpr double kLossOfDeletion = 1e-3;
constexpr double kRowsPerParameter = 3;  // a component with more than this many rows per parameter is never deleted

struct ColumnView {
    // The rows of `em` are float64, in C order and weighted, and `em.prior` is set. `em.tolerance` and `em.max_steps`
    // determine when EM stops between two moves (births, merges and deletions of components). After the time limit
    // `em.seconds`, no move and no EM run begins.
    EmView em;
    Index max_components;
    // EM after a birth stops if a step raises the lower bound by less than `min_step_gain` nats per row. Births are
    // tried again only if the lower bound has risen by at least `min_step_gain` nats per row since the last births.
    double min_step_gain;
    RandomNumbers random;  // decide where components are cut in two
};

// Raises the lower bound by EM and by births, merges and deletions of components. `mixture` needs memory only for its
// initial components, because its arrays are replaced by arrays of the final size. `objective` receives the mean lower
// bound per row before the last EM step, or NaN if the first step violates `Limits`. Returns false if interrupted.
bool improve_column(const KernelTable& kernels, const ColumnView& task, const Execution& execution, Mixture& mixture,
                    double& objective);

}  // namespace gaussmix
