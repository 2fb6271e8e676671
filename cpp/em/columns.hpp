// Variational Bayes of one feature whose components have variances of their own: births, merges and deletions with EM
// between them, on few rows. em/bayes/bound_moves.py makes such moves in all structures, and on all rows.
// The two differ:
// - There, halves come from up to 100 rows, and up to 100 others judge them. Here they come from up to 400, and none judges.
// - Here, two more cuts are tried: the rows near the mean, or the heaviest row, from the others.
// - There, a formula chooses which components to delete. Here, each small one is tried by itself.
// - Here, EM extrapolates, and its first tolerance is coarse.
#pragma once
#include "run_em.hpp"

namespace gaussmix {

namespace bound_moves {               // for several features too
constexpr Index kSteps = 6;           // of EM after births
constexpr Index kNeighbours = 6;      // of each component, that it may merge with
constexpr Index kPairs = 2;           // of each component, that are looked at in a pass
constexpr Index kFewest = 2;          // distinct rows of a component that is split
constexpr double kGain = 1e-9;        // relative to the bound: a smaller gain is rounding
constexpr double kNegligible = 1e-3;  // nats of all rows: a component whose loss costs less is deleted
constexpr double kSmall = 3;          // rows for each parameter: a component with more is never deleted
constexpr double kShared = 1e-10;     // smaller responsibilities have no part in sums of r log r
constexpr double kAnyWeight = 1e-9;   // of a half where rows are far away
}  // namespace bound_moves

struct ColumnView {
    EmView em;    // rows in C order, double, with weights and a belief; tolerance and most steps of EM between moves;
                  // after `seconds` no move and no further EM begins
    Index limit;  // components
    double gain;  // nats per row: after a smaller rise of the bound no more steps follow a birth, and births of all
                  // components need no other try
    const double* uniform;  // (n_uniform,), from [0, 1): where components are cut
    Index n_uniform;
};

// Raises the bound from a mixture, which has to have room for no more than its own components; the end may have others.
// `objective` is the mean bound before the last step; NaN where the first step is unusual. False if interrupted.
bool improve_column(const KernelTable& kernels, const ColumnView& task, const Execution& execution, Mixture& mixture,
                    double& objective);

}  // namespace gaussmix
