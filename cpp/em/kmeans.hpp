// k-means: chooses initial centres by greedy k-means++, and makes passes until the centres converge. If a centre loses
// its rows, the Python module em/initialisation/kmeans.py must take over.
#pragma once
#include "spans.hpp"

namespace gaussmix {

struct SpreadView {
    RowsView rows;
    const double* row_weight;  // (n_rows,)
    Index n_components, n_candidates;
    const double* uniform;  // (1 + (n_components - 1) n_candidates,), random numbers in [0, 1)
};

// Writes to `indices`, (n_components,), rows that are far from each other, drawn by greedy k-means++. Returns false if
// interrupted.
bool seed_centres(const KernelTable& kernels, const SpreadView& task, const Execution& execution, Index* indices);

struct CentresView {
    RowsView rows;
    RowWeightView row_weight;
    Index n_components;
    double tolerance;  // passes stop when the sum of the centres' squared motions is at most this
    Index max_passes;
    double* centres;  // (n_components, n_features), changed in place
};

// Moves centres to the means of their nearest rows until they converge. Stops before a centre would lose all its rows.
// `n_left` receives the number of passes that are left; it is 0 if the centres have converged. Returns false if
// interrupted.
bool move_centres(const KernelTable& kernels, const CentresView& task, const Execution& execution, Index& n_left);

}  // namespace gaussmix
