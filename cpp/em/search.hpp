// A search for a higher maximum of the likelihood: ascents on a part of the rows, and on more of them.
// em/search/split_and_merge.py says what it does, and chooses the numbers.
#pragma once
#include <vector>

#include "ascent.hpp"

namespace gaussmix {

// Runs whose ends differ by less are equal: relative, and nats for objectives below 1.
constexpr double kRoundingOfRuns = 1e-10;

struct SeedsView {  // how k-means finds centres
    Index n_candidates;
    Index max_passes;
    double tolerance;  // it ends when centres move by less: this part of the mean variance
};

// Writes the centres of k-means from those that k-means++ draws. False where a centre loses its rows, and if interrupted.
// Distances are taken in `em.unit`.
bool find_centres(const KernelTable& kernels, const EmView& em, const SeedsView& seeds, const double* uniform,
                  const Execution& execution, double* centres);

struct SearchView {
    const double* draws;             // (starts of the fit, n_draws), from [0, 1)
    Index n_draws;                   // taken one after the other, and again from the first
    SeedsView seeds;                 // of a second start
    Steps start, refinement, close;  // EM before an ascent on few rows, and on more; and after the last one
    AcceptanceSettings acceptance;
    Index patience_of_swaps, patience_of_refinement;
    Index least_rows;  // with fewer, all are taken, and moves from two starts of k-means
    Index first_rows, second_rows, kmeans_rows, least_kmeans_rows;
    // Of a search and of EM after it, in steps of EM on all rows, for each step from the start and for some others.
    double work, closing;
    Index more_steps;
    // Several ascents are crossed after `slow_steps` steps, where the best split gains more, for each row, than a misfit.
    double work_of_crossing, misfit;
    Index n_ascents, slow_steps;
};

struct SearchReport {            // what a search did
    double n_tried, n_accepted;  // moves
    double gain;                 // over EM from k-means on the distinct rows, nats per unit of weight
};

struct AscentStart {  // where an ascent of a search began
    Index n_rows;
    double log_likelihood;
};

// Moves components of a mixture that EM has reached on the rows after `n_steps`. `starts` gets the rows and the
// log-likelihood where each ascent began. Returns false and leaves the mixture unchanged if EM on the rows is not as usual.
// Where it is interrupted, it writes what it has reached.
bool search(const KernelTable& kernels, const EmView& em, const SearchView& search, const double* draws, Index n_steps,
            const Execution& execution, Mixture& mixture, std::vector<AscentStart>& starts, SearchReport& report);

// EM until it ends, and the log-likelihood before each step; false where a step is unusual, and if interrupted.
bool run_to_end(const KernelTable& kernels, EmView em, const Steps& steps, const Execution& execution, Mixture& mixture,
                Values& history);

}  // namespace gaussmix
