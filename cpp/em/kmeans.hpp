// Runs k-means: draws initial centres by greedy k-means++, and moves the centres in passes over the rows until they
// converge. If a centre loses its rows, the Python module em/initialisation/kmeans.py must take over.
#pragma once
#include <cstdint>
#include <vector>

#include "em_view.hpp"

namespace gaussmix {

// number of random numbers that `seed_centres` needs
inline Index n_seed_draws(Index n_components, Index n_candidates) { return 1 + (n_components - 1) * n_candidates; }

struct SeedingView {
    RowsView rows;
    const double* row_weight;  // weights of the rows, (n_rows,)
    Index n_components, n_candidates;
    const double* uniform;  // (n_seed_draws,), random numbers in [0, 1)
};

// Draws rows that are far from each other by greedy k-means++, and writes their indices to `indices`, (n_components,).
// Returns false if interrupted.
bool seed_centres(const KernelTable& kernels, const SeedingView& task, const Execution& execution, Index* indices);

struct CentresView {
    RowsView rows;
    RowWeightView row_weight;
    Index n_components;
    double tolerance;  // k-means stops when the squared motions of all centres in a pass sum to at most this
    Index max_passes;
    double* centres;             // centres, (n_components, n_features), changed in place
    double seconds = kInfinity;  // after this time, no further pass begins
};

// Moves each centre to the mean of its nearest rows until the centres converge or the time is over. Stops before a
// centre would lose all its rows. `n_left` receives the number of remaining passes, which is positive only if a centre
// would lose all its rows. Returns false if interrupted.
bool move_centres(const KernelTable& kernels, const CentresView& task, const Execution& execution, Index& n_left);

// Returns the index of the nearest centre for each row, (n_rows,). The result is empty if interrupted.
std::vector<std::int64_t> nearest_centres(const KernelTable& kernels, const RowsView& rows, Index n_centres,
                                          const double* centres, const Execution& execution);

struct KMeansView {  // settings of k-means, which finds initial centres
    Index n_candidates;
    Index max_passes;
    // k-means stops after a pass in which the squared motions of all centres sum to at most this fraction of the mean
    // variance of the features
    double tolerance;
    bool relocates = false;  // whether misplaced centres are relocated (relocation.hpp)
};

// Draws centres by k-means++, improves them by k-means, and writes the resulting centres to `centres`. Distances are
// computed after each feature is divided by its scale in `em.unit`. Returns false if a centre loses its rows, or if
// interrupted.
bool find_centres(const KernelTable& kernels, const EmView& em, const KMeansView& kmeans, const double* uniform,
                  const Execution& execution, double* centres);

}  // namespace gaussmix
