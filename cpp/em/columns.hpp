// Variational Bayes of one feature whose components have variances of their own: births, merges and deletions with EM
// between them, on few rows. em/bound_moves.py says the same at length, for all structures; it judges the end on all rows.
#pragma once
#include "run_em.hpp"

namespace gaussmix {

struct ColumnView {
    EmView em;    // rows in C order, double, with weights and a belief; tolerance and most steps of EM between moves
    Index most;   // components
    double gain;  // nats per row: after a smaller rise of the bound no more steps follow a birth, and births of all
                  // components need no other try
    const double* uniform;  // (n_uniform,), from [0, 1): where components are cut
    Index n_uniform;
};

// Raises the bound from a mixture, which has to have room for no more than its own components; the end may have others.
// `objective` is the mean bound before the last step; NaN where the first step is unusual. False if interrupted.
bool settle_column(const KernelTable& kernels, const ColumnView& task, const Execution& execution, Mixture& mixture,
                   double& objective);

}  // namespace gaussmix
