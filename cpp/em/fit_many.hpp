// Fits mixtures to many small tables: initialisation, ridge and EM of each table are computed without returning to
// Python.
#pragma once
#include <cstdint>
#include <vector>

#include "search.hpp"

namespace gaussmix {

struct GroupsView {
    RowsView rows;             // rows of all groups (tables)
    RowWeightView row_weight;  // row weights, scaled to below 1; null: every weight is 1
    Index n_groups;
    const std::int64_t* first;  // (n_groups,), index of each group's first row
    // index of each group's first weight; separate from `first`, because groups may share rows but not their weights
    const std::int64_t* first_weight;
    const std::int64_t* n_rows;
    const double* total_weight;
    const double* unit;  // (n_groups,), number by which the weights of each group were divided
    bool is_incomplete = false;
    ErrorView error = {};  // measurement errors of all rows
};

struct FitSettingsView {
    Algebra algebra;
    Index n_components;
    // (n_components, n_features), initial centres for every group; null: k-means finds the centres
    const double* centres;
    const double* unit;  // (n_features,), units in which distances from `centres` are measured; null: 1
    // The initial component of each row, only if there is a single group. If `labels` is null, each row belongs to its
    // nearest centre.
    AssignmentView assignment;
    Index n_starts;  // number of starts from k-means; the start that ends at the highest log-likelihood is kept
    Index n_candidates;
    const double* uniform;  // (n_starts, ...), random numbers for `seed_centres`; all groups use the same numbers
    Index max_passes;       // maximum number of k-means passes
    // k-means ends when the squared motion of its centres is below this fraction of the mean variance
    double kmeans_tolerance;
    bool is_scaled;  // whether k-means divides each column by its scale
    // (n_features,), in squared units of the data; null: the ridge of each group is chosen automatically
    const double* ridge;
    double ridge_fraction, trimmed;  // settings of the automatic ridge, see em/initialisation/sample.py
    double smallest_spread;          // a table is left to Python if one of its columns varies by less than this
    Limits limits;
    double tolerance;
    Index max_steps;
    double seconds;            // time after which no group makes a further EM step
    const SearchView* search;  // null: no search
    bool has_initial = false;  // whether EM begins at the mixtures in FitsView and uses the given ridge
    const PackedPriorView* prior =
        // `prior->unit` refers to weights before division; null: no prior (always the case without `has_initial`)
        nullptr;
    double log_volume = kInfinity;  // same as in EmView; always infinite without `has_initial`
};

struct FitsView {                           // results of all groups, concatenated
    double *weights, *means, *covariances;  // mixtures at which EM ends; if `has_initial`, EM also begins at them
    double *factors, *log_abs_det;          // whitening factors of the covariances, and log |det| of each factor
    double* ridge;                          // (n_groups, n_features)
    // (n_groups,), number of EM steps; -1 if Python must fit the group, whose other results are then undefined
    std::int64_t* n_steps;
    bool* has_converged;                  // (n_groups,)
    std::vector<Values>& log_likelihood;  // mean log-likelihood before each step, one array for each group
    // mean objective (log-likelihood plus log prior) before each step; empty without a prior
    std::vector<Values>& objective;
    SearchReport* search = nullptr;  // (n_groups,); NaN without a search
};

// Fits each group: initialises a mixture, and then makes EM steps as `run_em` does. A group is left to Python if its
// values cannot be used, if it has fewer distinct rows than components, or if a column is constant. A group is also
// left to Python if a k-means centre loses its rows, if the first M-step would violate `limits`, or if one of several
// starts ends before EM has converged. If centres and a ridge are given, Python must fit the group only if a centre
// loses its rows or the first M-step fails; if an initial mixture is given, only if the first EM step fails. Returns
// false if interrupted.
bool fit_many(const KernelTable& kernels, const GroupsView& groups, const FitSettingsView& settings,
              const Execution& execution, const FitsView& out);

}  // namespace gaussmix
