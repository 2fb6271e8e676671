// Variational Bayes for one feature and few rows, if each component has its own variance: births, merges and
// deletions of components alternate with EM. The Python module em/bayes/birth_merge_moves.py makes such moves for all
// covariance structures and any number of features and rows. The two implementations differ in four ways:
// - The Python module splits a component by up to 100 rows, and judges the split by up to 100 other rows. This file
//   splits a component by up to 400 rows, and does not judge the split by other rows.
// - This file tries two additional cuts: rows near the mean against the other rows, and the heaviest row against the
//   other rows.
// - The Python module chooses the components to delete by a formula. This file tries to delete each small component.
// - This file extrapolates EM, and its first tolerance of EM is coarse.
#pragma once
#include "run_em.hpp"

namespace gaussmix {

namespace bound_moves {           // settings that the Python code for several features also uses
constexpr Index kSteps = 6;       // number of EM steps after births
constexpr Index kNeighbours = 6;  // number of nearest components with which a component may merge
constexpr Index kPairs = 2;       // number of merges of each component whose gain is computed exactly from the rows
constexpr Index kFewest = 2;      // a component with fewer distinct rows is not split
// a gain counts only if it exceeds this fraction of the bound; smaller gains may be rounding errors
constexpr double kGain = 1e-9;
// a component is deleted if its deletion lowers the bound of all rows by less than this, in nats
constexpr double kNegligible = 1e-3;
constexpr double kSmall = 3;         // a component with more than this many rows per parameter is never deleted
constexpr double kShared = 1e-10;    // responsibilities below this are left out of sums of r log r
constexpr double kAnyWeight = 1e-9;  // smallest weight of a half if some rows are far away from the other rows
}  // namespace bound_moves

struct ColumnView {
    // The rows are float64 and in C order, with weights and a prior. `tolerance` and `max_steps` are the stopping rule
    // of the EM steps between two moves (births, merges and deletions of components). After `seconds`, neither a move
    // nor EM begins.
    EmView em;
    Index limit;  // maximum number of components
    // If the bound rises by less than this, in nats per row, EM after a birth stops, and a round of births of all
    // components is not repeated.
    double gain;
    const double* uniform;  // (n_uniform,), random numbers in [0, 1) that decide where components are cut into two
    Index n_uniform;
};

// Raises the lower bound by EM and by births, merges and deletions of components. `mixture` needs memory only for its
// initial components. `objective` receives the mean bound before the last step, or NaN if the first step violates
// `Limits`. Returns false if interrupted.
bool improve_column(const KernelTable& kernels, const ColumnView& task, const Execution& execution, Mixture& mixture,
                    double& objective);

}  // namespace gaussmix
