// Default fits of small tables: initialisation, ridge and EM of each table, without returning to Python.
#pragma once
#include <cstdint>
#include <vector>

#include "search.hpp"

namespace gaussmix {

struct GroupsView {
    RowsView rows;             // rows of all groups
    RowWeightView row_weight;  // weights below 1, or null
    Index n_groups;
    const std::int64_t* first;  // (n_groups,), index of each group's first row
    // index of each group's first weight: equal rows may have different weights in another group
    const std::int64_t* first_weight;
    const std::int64_t* n_rows;
    const double* total_weight;
    const double* unit;  // scale by which the weights of each group were divided
    bool is_incomplete = false;
    ErrorView error = {};  // errors of all rows
};

struct FitSettingsView {
    Algebra algebra;
    Index n_components;
    const double* centres;  // (n_components, n_features), the same in each group; null: k-means finds the centres
    const double* unit;     // (n_features,), units of distances from `centres`; null: 1
    // component of each row of the only group; null labels: rows go to their nearest centres
    AssignmentView assignment;
    Index n_starts;  // number of k-means runs, of which the highest is kept
    Index n_candidates;
    const double* uniform;           // (n_starts, ...), random numbers for `seed_centres`, the same in each group
    Index max_passes;                // maximum number of k-means passes
    double kmeans_tolerance;         // k-means ends when centres move by less than this fraction of the mean variance
    bool is_scaled;                  // whether k-means scales each column by its own unit
    const double* ridge;             // (n_features,), data units^2; null: each group has its automatic ridge
    double ridge_fraction, trimmed;  // settings of the automatic ridge, see em/initialisation/sample.py
    double smallest_spread;          // a table with a column that varies by less is left to Python
    Limits limits;
    double tolerance;
    Index max_steps;
    double seconds;            // after this time a group makes no further step
    const SearchView* search;  // null: no search
    bool has_initial = false;  // EM begins at the mixtures in FitsView, with the given ridge
    const PackedPriorView* prior =
        nullptr;  // has its unit for undivided weights; null: no prior, as always without initial mixtures
    double log_volume = kInfinity;  // same as in EmView; infinite without initial mixtures
};

struct FitsView {                           // results of all groups, concatenated
    double *weights, *means, *covariances;  // mixtures at which EM begins, if `has_initial`, and ends
    double *factors, *log_abs_det;          // factors of the covariances
    double* ridge;                          // (n_groups, n_features)
    std::int64_t* n_steps;  // (n_groups,); -1 if Python must fit the group: its other results are then undefined
    bool* has_converged;    // (n_groups,)
    std::vector<Values>& log_likelihood;  // mean log-likelihoods before each step, for each group
    std::vector<Values>& objective;  // mean objectives before each step, with the prior's part; empty without a prior
    SearchReport* search = nullptr;  // (n_groups,); NaN without a search
};

// Begins a fit of each group and makes steps of EM as `run_em` does. A group is left to Python if its values cannot be
// used, if it has fewer distinct rows than components, or if a column is constant. The same holds if a centre loses its
// rows, if the first M-step would pass a limit, or, with several starts, if a run ends before EM does. If centres and a
// ridge are given, only a lost centre and the first M-step count. From a given mixture, only a first step that passes a
// limit counts. Returns false if interrupted.
bool fit_many(const KernelTable& kernels, const GroupsView& groups, const FitSettingsView& settings,
              const Execution& execution, const FitsView& out);

}  // namespace gaussmix
