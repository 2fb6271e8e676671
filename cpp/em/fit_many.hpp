// Default fits of small tables: the start, the ridge and EM of each, without coming back to Python.
#pragma once
#include <cstdint>
#include <vector>

#include "search.hpp"

namespace gaussmix {

struct GroupsView {
    RowsView rows;             // of all groups
    RowWeightView row_weight;  // below 1, or null
    Index n_groups;
    const std::int64_t* first;         // (n_groups,), where the rows of each begin
    const std::int64_t* first_weight;  // where their weights begin: the same rows may have others in another group
    const std::int64_t* n_rows;
    const double* total_weight;
    const double* unit;  // what the weights of each group were divided by
    bool is_incomplete = false;
    ErrorView error = {};  // of all rows
};

struct FitSettingsView {
    Algebra algebra;
    Index n_components;
    const double* centres;      // (n_components, n_features), the same in each group; null: k-means finds them
    const double* unit;         // (n_features,), of distances from `centres`; null: 1
    AssignmentView assignment;  // the component of each row of the only group; null labels: rows go to centres
    Index n_starts;             // k-means begins so often, and the highest run is kept
    Index n_candidates;
    const double* uniform;           // for `seed_centres`: (n_starts, ...), the same in each group
    Index max_passes;                // of k-means
    double kmeans_tolerance;         // it ends when centres move by less: this part of the mean variance
    bool is_scaled;                  // whether it takes distances in a unit of each column
    const double* ridge;             // (n_features,), data units^2; null: the automatic one of each group
    double ridge_fraction, trimmed;  // the automatic ridge's, see em/initialisation/sample.py
    double smallest_spread;          // a column that varies by less is unusual
    Limits limits;
    double tolerance;
    Index max_steps;
    double seconds;            // a group makes no further step after so long
    const SearchView* search;  // null: none
    bool has_initial = false;  // EM begins at the mixtures in FitsView, with a ridge that is given
    const PackedPriorView* prior =
        nullptr;  // with its unit for weights that are not divided; null: none, as unless it begins so
    double log_volume = kInfinity;  // as in EmView; infinite unless it begins so
};

struct FitsView {                           // of all groups, one after the other
    double *weights, *means, *covariances;  // where EM begins, if the recipe says so
    double *factors, *log_abs_det;          // of the covariances
    double* ridge;                          // (n_groups, n_features)
    std::int64_t* n_steps;  // (n_groups,); -1 where the group is unusual: the others hold no numbers of it then
    bool* has_converged;    // (n_groups,)
    std::vector<Values>& log_likelihood;  // means before each step, of each group
    std::vector<Values>& objective;       // the same with the part of a belief; empty without one
    SearchReport* search = nullptr;       // (n_groups,); NaN without a search
};

// Begins a fit of each group and makes steps of EM as `run_em` does. A group is unusual where its numbers can't be used or
// have fewer distinct rows than components, a column is constant, a centre loses its rows, or the first M-step would pass a
// limit; with several starts also where a run ends before EM does. With centres and a ridge given, only a lost centre
// and the first M-step count; from a given mixture only a first step that passes a limit. False if interrupted.
bool fit_many(const KernelTable& kernels, const GroupsView& groups, const FitSettingsView& settings,
              const Execution& execution, const FitsView& out);

}  // namespace gaussmix
