// Variational Bayes of one feature whose components have their own variances: births, merges and deletions with EM
// between them, on few rows. em/bayes/birth_merge_moves.py makes such moves for all structures, and on all rows. The
// two differ in four ways:
// - There, up to 100 rows make halves, and up to 100 others judge them. Here, up to 400 rows make halves, and none
// judges.
// - Here, two more cuts are tried: rows near the mean from the others, and the heaviest row from the others.
// - There, a formula chooses which components to delete. Here, each small component is tried by itself.
// - Here, EM extrapolates, and its first tolerance is coarse.
#pragma once
#include "run_em.hpp"

namespace gaussmix {

namespace bound_moves {               // settings that also apply to several features
constexpr Index kSteps = 6;           // steps of EM after births
constexpr Index kNeighbours = 6;      // number of neighbours with which a component may merge
constexpr Index kPairs = 2;           // number of pairs of each component that a pass examines
constexpr Index kFewest = 2;          // least number of distinct rows of a component that is split
constexpr double kGain = 1e-9;        // least gain relative to the bound: a smaller gain is rounding
constexpr double kNegligible = 1e-3;  // nats of all rows: a component is deleted if its loss costs less
constexpr double kSmall = 3;          // rows for each parameter: a component with more is never deleted
constexpr double kShared = 1e-10;     // responsibilities below this are left out of sums of r log r
constexpr double kAnyWeight = 1e-9;   // least weight of a half when rows are far away
}  // namespace bound_moves

struct ColumnView {
    // float64 rows in C order, with weights and a prior; tolerance and maximum number of EM steps between moves; no
    // move and no further EM begins after `seconds`
    EmView em;
    Index limit;  // maximum number of components
    // nats per row: after a smaller rise of the bound no more steps follow a birth, and a round of births of all
    // components is not repeated
    double gain;
    const double* uniform;  // (n_uniform,), random numbers in [0, 1) that decide the cuts of components
    Index n_uniform;
};

// Raises the bound from a mixture; the result may have another number of components. The given mixture needs room for
// its own components only. `objective` is the mean bound before the last step, NaN if the first step passes a limit.
// Returns false if interrupted.
bool improve_column(const KernelTable& kernels, const ColumnView& task, const Execution& execution, Mixture& mixture,
                    double& objective);

}  // namespace gaussmix
