// Searches for a higher maximum of the likelihood in search runs (ascents) that make split-and-merge moves, first on a
// sample of the rows and then on more rows. The Python module em/search/split_and_merge.py describes the search and
// chooses its settings.
#pragma once

#include "ascent.hpp"
#include "kmeans.hpp"

namespace gaussmix {

// The objectives of two runs count as equal if they differ by at most this number times max(100, |objective|), in nats.
// The limit 100 makes the comparison nearly independent of the units of the features, which shift the objective.
constexpr double kObjectiveRounding = 1e-10;

struct SearchView {               // the fields of engines.calls.SearchSettings
    const double* uniform_draws;  // (n_starts, n_draws), random numbers in [0, 1) for each initialisation of the fit
    // number of random numbers for each initialisation; the random numbers are used cyclically
    Index n_draws;
    KMeansView kmeans;  // settings of k-means for a second initialisation
    // stopping rules of EM: before the search on the small sample, before the search on the larger sample, and after
    // the last search
    Steps initial_limits, refinement_limits, final_limits;
    AcceptanceSettings acceptance;
    // maximum number of moves that a search run tries, and of consecutive failed moves of the first search run and of a
    // search run on the larger sample
    Index max_moves, patience, refinement_patience;
    // If there are fewer rows than `min_rows_to_subsample`, all rows are used. With more than kSmallMixture components,
    // a second search run then begins at another result of k-means, unless every move is predicted to lose much.
    Index min_rows_to_subsample;
    Index first_rows, second_rows, kmeans_rows, min_kmeans_rows;
    // `search_steps_factor` times n is the maximum work of a search, in EM steps on all rows, and `final_steps_factor`
    // times n is the maximum number of EM steps after the search, where n is the number of EM steps after k-means plus
    // `n_extra_em_steps`.
    double search_steps_factor, final_steps_factor;
    Index n_extra_em_steps;
    // The results of `n_ascents` search runs are combined if EM is slow, the mixture does not fit the rows, and
    // components do not share one covariance. EM is slow if it has taken at least `min_slow_steps` steps from k-means.
    // A mixture does not fit the rows if the bound on the gain of the best split, times the number of rows, exceeds
    // `misfit_gain`. The work of all combinations is at most `combination_work_factor` times the maximum work of a
    // search.
    double combination_work_factor, misfit_gain;
    Index n_ascents, min_slow_steps;
};

struct SearchReport {            // summary of a split-and-merge search
    double n_tried, n_accepted;  // numbers of tried and of accepted moves
    double gain;  // gain over EM initialised by k-means, on the distinct rows, in nats per unit of weight
};

// Improves a mixture, which EM has reached on these rows after `n_steps` steps, by split-and-merge moves. `starts`,
// (n_runs, 2), receives for each search run the number of rows that the run uses and the log-likelihood at which it
// begins. If EM from every initialisation violates `em.limits`, the function returns false and leaves the mixture
// unchanged. If interrupted, the best mixture found so far is written.
bool search(const KernelTable& kernels, const EmView& em, const SearchView& search, const double* draws, Index n_steps,
            const Execution& execution, Mixture& mixture, Values& starts, SearchReport& report);

}  // namespace gaussmix
