// A search for a higher maximum of the likelihood: ascents on a part of the rows, and on more rows.
// em/search/split_and_merge.py describes the search and chooses its settings.
#pragma once
#include <vector>

#include "ascent.hpp"

namespace gaussmix {

// Runs count as equal if their objectives differ by less, relatively, or in nats for objectives below 1.
constexpr double kRoundingOfRuns = 1e-10;

struct SeedsView {  // settings of k-means for finding centres
    Index n_candidates;
    Index max_passes;
    double tolerance;  // k-means ends when centres move by less than this fraction of the mean variance
};

// Writes the centres of k-means from seeds of k-means++. Distances are taken in `em.unit`. Returns false if a centre
// loses its rows, or if interrupted.
bool find_centres(const KernelTable& kernels, const EmView& em, const SeedsView& seeds, const double* uniform,
                  const Execution& execution, double* centres);

struct SearchView {
    const double* draws;  // (starts of the fit, n_draws), random numbers in [0, 1)
    Index n_draws;        // they are used in order, and then again from the first
    SeedsView seeds;      // settings for a second start
    // EM before an ascent on few rows, before one on more rows, and after the last ascent
    Steps start, refinement, close;
    AcceptanceSettings acceptance;
    Index patience_of_swaps, patience_of_refinement;
    Index least_rows;  // with fewer rows, all are taken, and moves begin at two starts of k-means
    Index first_rows, second_rows, kmeans_rows, least_kmeans_rows;
    // Limits on the work of a search, and of the EM run after it, in steps of EM on all rows. They are factors of the
    // number of steps that EM has made from the start, plus `more_steps`.
    double work, closing;
    Index more_steps;
    // Several ascents are crossed after at least `slow_steps` steps, if the gain of the best split times the rows
    // exceeds `misfit`.
    double work_of_crossing, misfit;
    Index n_ascents, slow_steps;
};

struct SearchReport {            // summary of a search
    double n_tried, n_accepted;  // numbers of moves that were tried and accepted
    double gain;                 // gain over EM from k-means on the distinct rows, nats per unit of weight
};

struct AscentStart {  // rows and log-likelihood at the beginning of an ascent
    Index n_rows;
    double log_likelihood;
};

// Moves components of a mixture that EM has reached on the rows after `n_steps`. `starts` receives the rows and the
// log-likelihood at the beginning of each ascent. Returns false and leaves the mixture unchanged if Python must run EM
// on the rows. If interrupted, it writes the mixture that it has reached.
bool search(const KernelTable& kernels, const EmView& em, const SearchView& search, const double* draws, Index n_steps,
            const Execution& execution, Mixture& mixture, std::vector<AscentStart>& starts, SearchReport& report);

// Runs EM until it ends, with the log-likelihood before each step. Returns false if a step passes a limit, or if
// interrupted.
bool run_to_end(const KernelTable& kernels, EmView em, const Steps& steps, const Execution& execution, Mixture& mixture,
                Values& history);

}  // namespace gaussmix
