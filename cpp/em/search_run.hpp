// A search run of a split-and-merge search: EM on a sample of the rows, and then moves from the result of EM.
#pragma once
#include "search.hpp"
#include "subsample.hpp"

namespace gaussmix {

struct SearchRun {
    SharedSample sample;
    Mixture mixture;
    Values mean_covariance;         // mean covariance of the components before the first move
    double initial_log_likelihood;  // log-likelihood before the first move
    AscentResult result;
    Index patience;

    // Checks whether every move is predicted to lower the log-likelihood strongly, and no component is unsound.
    bool is_hopeless() const { return result.is_hopeless && result.n_unsound == 0; }
    bool is_better_than(const SearchRun& other) const;
};

struct SearchContext {  // what the stages of a search share
    const KernelTable& kernels;
    const SearchView& settings;
    const Execution& execution;
    RandomNumbers random;
    Values& starts;  // number of rows and initial log-likelihood of each run, (n_runs, 2)
    SearchReport& report;
    double work_left;  // number of (row, component) pairs that EM may still visit

    bool is_over() const { return work_left <= 0 || execution.interrupt.has_come(); }

    // Returns a random offset for `draw_subsample`. Returns nothing if all rows should be used, because a subsample of
    // `n_wanted` rows would be nearly as large, or because the table is small.
    std::optional<double> draw_offset(const RowSample& rows, Index n_wanted);
    // Draws a subsample of about `n_wanted` rows, or returns `rows` if all rows should be used.
    SharedSample subsample(const SharedSample& rows, Index n_wanted) {
        return draw_subsample(kernels, rows, n_wanted, draw_offset(*rows, n_wanted), execution);
    }

    // Calls `gaussmix::run_to_end`, and counts the work.
    bool run_to_end(const EmView& em, const Steps& steps, Mixture& mixture, Values& history);
    // Begins a search run by EM from `mixture`. Returns nothing if an EM step violates `em.limits`, or if interrupted.
    std::optional<SearchRun> begin(const SharedSample& sample, Mixture mixture, const Steps& steps);
    // Begins a search run, and tries moves. Returns nothing if there is no mixture, or if the run cannot begin.
    std::optional<SearchRun> make_run(const SharedSample& sample, std::optional<Mixture> mixture, const Steps& steps,
                                      Index patience);

    // Tries split-and-merge moves, ranked by the bounds on their gains, until `patience` consecutive moves have failed.
    void try_moves(SearchRun& run, Index patience);
    // Counts unsound components, which have too few rows or a nearly singular covariance, without trying any moves.
    void count_unsound(SearchRun& run) { ascend_from(run, 0, 0); }

private:
    void ascend_from(SearchRun& run, Index patience, Index max_moves);
};

}  // namespace gaussmix
