// Searches for a higher maximum of the likelihood in search runs (ascents) that make split-and-merge moves, first on a
// sample of the rows and then on more rows. The module em/search/split_and_merge.py describes the search and chooses
// its settings.
#pragma once
#include <vector>

#include "ascent.hpp"

namespace gaussmix {

// Two runs count as equal if their objectives differ by less than this fraction, or by less than this many nats for
// objectives below 1.
constexpr double kRoundingOfRuns = 1e-10;

struct SeedsView {  // settings of k-means, which finds initial centres
    Index n_candidates;
    Index max_passes;
    // k-means ends when the squared motion of its centres is below this fraction of the mean variance
    double tolerance;
};

// Writes the centres that k-means finds, beginning at the centres that k-means++ draws. Distances are measured in the
// unit of each feature, `em.unit`. Returns false if a centre loses its rows, or if interrupted.
bool find_centres(const KernelTable& kernels, const EmView& em, const SeedsView& seeds, const double* uniform,
                  const Execution& execution, double* centres);

struct SearchView {
    const double* draws;  // (n_starts, n_draws), random numbers in [0, 1) for each start of the fit
    // number of random numbers for each start; the numbers are used in order, cyclically
    Index n_draws;
    SeedsView seeds;  // settings of k-means for a second initialisation
    // Stopping rules of EM before a search run on few rows, before a search run on more rows, and after the last search
    // run.
    Steps start, refinement, close;
    AcceptanceSettings acceptance;
    Index patience_of_swaps, patience_of_refinement;
    Index least_rows;  // if there are fewer rows, all rows are used, and search runs begin at two results of k-means
    Index first_rows, second_rows, kmeans_rows, least_kmeans_rows;
    // Limits on the work of a search and on the work of the EM run after it. Both limits are multiples of (number of EM
    // steps since the start + `more_steps`); the unit of work is an EM step on all rows.
    double work, closing;
    Index more_steps;
    // Several search runs are made, and their results crossed, if EM has made at least `slow_steps` steps, and if the
    // bound on the gain of the best split, times the number of rows, exceeds `misfit`.
    double work_of_crossing, misfit;
    Index n_ascents, slow_steps;
};

struct SearchReport {            // summary of a split-and-merge search
    double n_tried, n_accepted;  // number of moves that were tried, and of moves that were accepted
    double gain;  // gain in log-likelihood over EM from k-means, on the distinct rows, in nats per unit of weight
};

struct AscentStart {  // number of rows, and log-likelihood at the beginning of a search run
    Index n_rows;
    double log_likelihood;
};

// Improves a mixture, which EM has reached on these rows after `n_steps` steps, by split-and-merge moves. `starts`
// receives, for each search run, the number of rows that the run uses and the log-likelihood at which it begins.
// Returns false and leaves the mixture unchanged if the Python code must run EM on the rows. If interrupted, the best
// mixture found so far is written.
bool search(const KernelTable& kernels, const EmView& em, const SearchView& search, const double* draws, Index n_steps,
            const Execution& execution, Mixture& mixture, std::vector<AscentStart>& starts, SearchReport& report);

// Runs EM until it converges or reaches `steps.limit`; `history` receives the log-likelihood before each step. Returns
// false if a step violates `em.limits`, or if interrupted.
bool run_to_end(const KernelTable& kernels, EmView em, const Steps& steps, const Execution& execution, Mixture& mixture,
                Values& history);

}  // namespace gaussmix
